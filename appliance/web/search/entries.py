"""What of a lesson goes into the index, and how it is noticed that it has changed."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from content_sync.adapters.sqlite import StateReader
from content_sync.formats.lesson import KINDS
from content_sync.formats.outline import Outline, outline
from content_sync.ports import CollectionRow, LessonRow

_GRADE = re.compile(r"([\u4e00-\u9fff])\u5e74\u7ea7")


def word_list(name: str) -> dict[str, tuple[str, ...]]:
    """The lines of words.txt under a heading: a word, and what goes with it."""
    found: dict[str, tuple[str, ...]] = {}
    here = ""
    for line in (Path(__file__).parent / "words.txt").read_text("utf-8").splitlines():
        if line.startswith("# "):
            here = line[2:].partition(":")[0]
        elif here == name:
            for item in line.split():
                word, _, others = item.partition("=")
                found[word] = tuple(others.split(","))
    return found


_ALSO, _NUMBERS = word_list("also"), word_list("numbers")


class Entry(Struct, frozen=True):
    """A lesson as it goes into the index; words as the library writes them. `fields`: all but the title."""

    id: str
    title: str
    fields: tuple[str, ...] = ()
    grade: str = ""
    subject: str = ""
    kinds: tuple[str, ...] = ()
    present: str | None = None
    resources: tuple[str, ...] = ()
    #: Words that every library has; they cut a query that was typed without spaces.
    vocabulary: tuple[str, ...] = ()
    edition: str = ""
    #: Lessons of one collection stand together.
    collection: str = ""
    #: What lists show of it, when it is here.
    outline: Outline | None = None

    @property
    def masks(self) -> tuple[str, ...]:
        """The names of the sets that it belongs to."""
        names = (f"grade {self.grade}", f"subject {self.subject}", f"edition {self.edition}")
        return (*names, *(f"kind {kind}" for kind in self.kinds), *(("here",) if self.present else ()))


class Listed(NamedTuple):
    """A lesson in teaching order: `mark` changes with what the index holds of it, `make` tells all."""

    id: str
    mark: bytes
    collection: str
    masks: tuple[str, ...]
    make: Callable[[], Entry]


def mark_of(*facts: object) -> bytes:
    """A short name of facts."""
    return hashlib.blake2b(repr(facts).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def listed(entry: Entry) -> Listed:
    """An entry that is made already."""
    return Listed(entry.id, mark_of(entry), entry.collection, entry.masks, lambda: entry)


@functools.lru_cache(1024)
def _place(stage: str, subject: str, edition: str, grade: str, volume: str) -> tuple[str, ...]:
    """A collection's own words, and how else they are said: 三年级上册, 三上, 3年级上册."""
    words = [stage, subject, edition, grade, volume, grade + volume]
    words += [other for word in (subject, edition) for other in _ALSO.get(word, ())]
    numbered = _GRADE.fullmatch(grade)
    if numbered and numbered[1] in _NUMBERS:
        digit = _NUMBERS[numbered[1]][0] + grade[1:]
        words += [digit, digit + volume, *([grade[0] + volume[0]] if volume else [])]
    return tuple(dict.fromkeys(filter(None, words)))


@functools.lru_cache(1024)
def _kind_words(kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        word
        for kind in kinds
        if kind in KINDS
        for word in (KINDS[kind][0], *KINDS[kind][2], *_ALSO.get(kind, ()))
    )


def _made(
    c: CollectionRow, identity: str, title: str, unit: str, kinds: tuple[str, ...], present: str | None,
    resources: tuple[str, ...], its: Outline | None = None,
) -> Entry:  # fmt: skip
    place, said = _place(c.stage, c.subject, c.edition, c.grade, c.volume), _kind_words(kinds)
    return Entry(
        identity, title, (unit, *place, *said), c.grade, c.subject, kinds, present, resources, place + said,
        c.edition, c.id, its,
    )  # fmt: skip


def entry(collection: CollectionRow, row: LessonRow, resources: tuple[str, ...]) -> Entry:
    """A lesson's entry. `resources`: their titles, none when it is not here."""
    return _made(collection, row.id, row.title, row.unit, row.kinds, row.present, resources)


def library(reader: StateReader) -> Iterator[Listed]:
    """Every lesson in state.db in teaching order, a collection at a time."""
    for collection in reader.collections(local=True):
        place = mark_of(
            collection.stage, collection.subject, collection.edition, collection.grade, collection.volume
        )

        @functools.lru_cache(256)
        def masks(kinds: str, here: bool, c: CollectionRow = collection) -> tuple[str, ...]:
            made = _made(c, "", "", "", tuple(json.loads(kinds)), "x" if here else None, ())
            return made.masks

        def make(
            identity: str, title: str, unit: str, kinds: str, present: str | None,
            c: CollectionRow = collection,
        ) -> Entry:  # fmt: skip
            detail = reader.detail(identity, present) if present else None
            its = outline(detail) if detail else None
            titles = tuple(dict.fromkeys(part.title for part in its.resources)) if its else ()
            return _made(c, identity, title, unit, tuple(json.loads(kinds)), present, titles, its)

        for facts in reader.facts(collection.id):
            identity, title, unit, kinds, present = facts
            yield Listed(
                identity, mark_of(place, title, unit, kinds, present), collection.id,
                masks(kinds, present is not None), functools.partial(make, *facts),
            )  # fmt: skip
