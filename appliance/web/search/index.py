"""Finding lessons by any part of their words or by pinyin (decision 0021; words.py cuts them).

A set of lessons is an int with a bit for each lesson in teaching order, so that words are ANDed, grades
counted and the best put first in microseconds, however many lessons match. search.db is made by
build.py in a program of its own; this module reads it, and starts that program when state.db has
changed.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import contains
from pathlib import Path
from typing import NamedTuple

from appliance.web.search.sets import PART, SCHEMA, unpack
from appliance.web.search.words import RUN, known_words, letters, long_runs, normalise, spellings, variants
from appliance.web.words import grade_order
from content_sync.adapters.files import storage_errors
from content_sync.adapters.sqlite import StateReader, read_only
from content_sync.errors import DiskFullError, LessonBoxError, StorageError
from content_sync.formats.lesson import KINDS

log = logging.getLogger(__name__)
MAX_QUERY = 64
_MAX_WORDS = 8
_MAX_PREFIXED = 400
_SET = re.compile(rb"[^\0]")
#: So many candidates at most are compared letter by letter; with more, the runs of three decide.
_VERIFIED, _HEARD = 400, 150
#: search.db is built again at most so that building takes a tenth of the time.
_REST = 9
_POLL = 2.0
_PATIENCE = 1800.0


class Near(NamedTuple):
    """What comes first of equals: grades and subjects of the room that asks, and (subject, edition) pairs."""

    grades: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    editions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Found:
    """Lessons found: ids in order (`limit` of them from `offset`), how many in all, and how many lie under
    each grade, kind and subject. `sound`: by pinyin alone. `alone`: when nothing was found, each word of
    several and how many lessons it finds by itself. `toned`: syllables of short titles among `ids`.
    """

    ids: tuple[str, ...]
    total: int
    grades: dict[str, int]
    kinds: dict[str, int]
    sound: bool = False
    alone: tuple[tuple[str, int], ...] = ()
    toned: dict[str, str] = field(default_factory=dict)
    subjects: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sets:
    """Lessons with a word in the title, anywhere, and as the whole title."""

    title: int
    all: int
    whole: int = 0

    def __or__(self, other: _Sets) -> _Sets:
        return _Sets(self.title | other.title, self.all | other.all, self.whole | other.whole)

    def __and__(self, other: _Sets) -> _Sets:
        return _Sets(self.title & other.title, self.all & other.all, self.whole & other.whole)


def _bits(numbers: Iterable[int], size: int) -> int:
    held = bytearray(size // 8 + 1)
    for number in numbers:
        held[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(held, "little")


def _numbers(bits: int) -> Iterator[int]:
    """The numbers of the bits that are set, rising."""
    held = bits.to_bytes(bits.bit_length() // 8 + 1, "little")
    for match in _SET.finditer(held):
        byte, first = held[match.start()], match.start() * 8
        while byte:
            low = byte & -byte
            yield first + low.bit_length() - 1
            byte ^= low


def _sounds_so(sound: str, wanted: Sequence[str]) -> bool:
    """Whether characters with these readings stand in a row in `sound`, as build.py writes it (` chang|zhang
    da` a run). `|da|` is a whole reading, `|d` the beginning of one.
    """
    for run in sound.split("\n"):
        its = [f"|{readings}|" for readings in run.split()]
        for at in range(len(its) - len(wanted) + 1):
            if wanted[0] in its[at] and all(map(contains, its[at:], wanted)):
                return True
    return False


class _Library:
    """One search.db, read by one thread."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None
        )
        try:
            if self._connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
                raise sqlite3.DatabaseError("another schema")
            self.generation, self.numbers, said, known = self._connection.execute(
                "SELECT generation, numbers, syllables, vocabulary FROM meta"
            ).fetchone()
            self._syllables, self._vocabulary = frozenset(said.split()), tuple(known.split())
            self.masks = {
                name: int.from_bytes(bits, "little")
                for name, bits in self._connection.execute("SELECT name, bits FROM mask")
            }
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let it go."""
        self._connection.close()

    def check(self) -> bool:
        """Whether its pages are as SQLite wrote them; reads all of it."""
        return bool(self._connection.execute("PRAGMA quick_check").fetchone()[0] == "ok")

    def named(self, numbers: Sequence[int]) -> list[tuple[str, str]]:
        """Ids of lessons in their order, and the syllables of their titles."""
        rows = self._connection.execute(
            "SELECT number, id, toned FROM lesson WHERE number IN (SELECT value FROM json_each(?))",
            (json.dumps(numbers),),
        )
        found = {number: (identity, toned) for number, identity, toned in rows}
        return [found[number] for number in numbers]

    def spoken(self, collection: str, lesson: str) -> str:
        """The syllables of a lesson's title, where it is a short one."""
        row = self._connection.execute(
            "SELECT l.toned FROM collection c JOIN lesson l ON l.number BETWEEN c.first"
            " AND c.first + c.room - 1 WHERE c.id = ? AND l.id = ?",
            (collection, lesson),
        ).fetchone()
        return str(row[0] or "") if row else ""

    def _token(self, token: str, more: bool = False) -> int:
        """Lessons with a token; `more`: with any token that begins so."""
        where, values = (
            ("token = ?", [token]) if not more else ("token >= ? AND token < ?", [token, token + "{"])
        )
        found = 0
        for part, packed in self._connection.execute(
            f"SELECT part, numbers FROM token WHERE {where} LIMIT {_MAX_PREFIXED}", values
        ):
            found |= unpack(packed) << (part * PART)
        return found

    def _both(self, tokens: Sequence[str], more: bool = False) -> _Sets:
        """Lessons with all tokens, in the title and anywhere; `more`: the last is only begun."""
        title, everywhere = -1, -1
        for number, token in enumerate(tokens, 1):
            begun = more and number == len(tokens)
            here = self._token("^" + token, begun)
            title &= here
            everywhere &= here | self._token(token, begun)
        return _Sets(title, everywhere)

    def text(self, word: str) -> _Sets:
        """Lessons with a squeezed word in their texts."""
        found = _Sets(0, 0)
        for way in variants(word):
            here = self._both(long_runs(way))
            if (
                len(way) > RUN
                and not any(way in known for known in self._vocabulary)
                and 0 < here.all.bit_count() <= _VERIFIED
            ):
                here = self._verified(way, here.all)
            found |= _Sets(here.title, here.all, self._token("=" + way))
        return found

    def _verified(self, word: str, candidates: int) -> _Sets:
        title, everywhere = [], []
        for number, in_title in self._connection.execute(
            "SELECT number, instr(title, ?1) FROM lesson WHERE number IN (SELECT value FROM json_each(?2))"
            " AND instr(text, ?1)",
            (word, json.dumps(list(_numbers(candidates)))),
        ):
            everywhere.append(number)
            if in_title:
                title.append(number)
        return _Sets(_bits(title, self.numbers), _bits(everywhere, self.numbers))

    def initials(self, typed: str) -> _Sets:
        """Lessons with a run of characters that sound so, by the first letter of each."""
        here = self._both([":" + run for run in long_runs(typed)])
        if len(typed) > RUN:
            here = self._heard(here, [f"|{letter}" for letter in typed])
        return _Sets(here.title, here.all, self._token("=:" + typed))

    def syllables(self, typed: str, more: bool = False) -> _Sets:
        """Lessons with a run of characters that are spelled so; `more`: the last syllable is only begun."""
        full, part = spellings(typed, self._syllables)
        found = _Sets(0, 0)
        for way in part + full if more else full:
            if len(way) == 1:
                found |= self._both(["!" + way[0]], more)
                continue
            here = self._both([f"&{a}'{b}" for a, b in itertools.pairwise(way)], more)
            if len(way) > 2:
                last = f"|{way[-1]}" if more else f"|{way[-1]}|"
                here = self._heard(here, [*(f"|{syllable}|" for syllable in way[:-1]), last])
            found |= here
        return _Sets(found.title, found.all, self._token("=!" + typed))

    def _sounds(self, typed: str, more: bool) -> _Sets:
        """Lessons that sound so; with an unfinished last syllable if there is none and `more`."""
        found = self.syllables(typed) | self.initials(typed)
        return self.syllables(typed, True) if more and not found.all else found

    def _heard(self, here: _Sets, wanted: Sequence[str]) -> _Sets:
        """Those of few lessons that sound so (see `_sounds_so`)."""
        if not 0 < here.all.bit_count() <= _HEARD:
            return here
        heard = _bits(
            (
                number
                for number, sound in self._connection.execute(
                    "SELECT number, sound FROM lesson WHERE number IN (SELECT value FROM json_each(?))",
                    (json.dumps(list(_numbers(here.all))),),
                )
                if _sounds_so(sound, wanted)
            ),
            self.numbers,
        )
        return _Sets(here.title & heard, here.all & heard)

    def word(self, word: str) -> tuple[_Sets, bool]:
        """Lessons with a word in any way, and whether it is by its sound alone."""
        found = self.text(word)
        typed = letters(word)
        if not typed:
            return found, False
        heard = self._sounds(typed, not found.all)
        return found | heard, not found.all and bool(heard.all)

    def words(self, words: Sequence[str]) -> tuple[_Sets, int, list[tuple[str, int]], bool]:
        """Lessons with all words, those with some word in the title, how many each word has, and whether one
        is found by its sound alone.

        Syllables (or single letters) side by side are one word when they are found so: jing ye si.
        """
        found, title, alone, sound, at = _Sets(-1, -1, -1), 0, [], False, 0
        typed = [letters(word) for word in words]
        while at < len(words):
            end = at
            while (
                end < len(words)
                and typed[end]
                and (len(typed[end]) == 1 or spellings(typed[end], self._syllables)[0])
            ):
                end += 1
            here, by_sound = _Sets(0, 0), False
            if end - at > 1:
                joined = "".join(typed[at:end])
                here = self._sounds(joined, True)
                if here.all:
                    by_sound = True
                    plain = _Sets(-1, -1)
                    for word in words[at:end]:
                        plain &= self.text(word)
                    here |= plain
            if not here.all:
                end = at + 1
                here, by_sound = self.word(words[at])
            alone.append((" ".join(words[at:end]), here.all.bit_count()))
            title |= here.title
            found, sound = found & here, sound or by_sound
            at = end
        return found, title & found.all, alone, sound

    def whole_sound(self, typed: str) -> int:
        """Lessons whose whole title sounds so, as initials or as syllables."""
        return self._token("=:" + typed) | self._token("=!" + typed) if typed else 0

    def cut(self, words: Sequence[str]) -> list[str]:
        """The words, cut where words of the library stand in them."""
        return [piece for word in words for piece in known_words(word, self._vocabulary)]


class Index:
    """Reads search.db, from any number of threads. `path` may be changed to where another one lies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        #: The file that proved damaged while it was read.
        self.damaged: tuple[int, int, int] | None = None

    def _identity(self) -> tuple[int, int, int]:
        with storage_errors(self.path.name):
            found = os.stat(self.path)
        return found.st_dev, found.st_ino, found.st_mtime_ns

    def version(self) -> tuple[int, int, int] | None:
        """Another one whenever there is another index; None without any."""
        try:
            return self._identity()
        except LessonBoxError:
            return None

    def _library(self) -> _Library:
        identity = self._identity()
        if getattr(self._local, "identity", None) != identity:
            self.close()
            self._local.library = _Library(self.path)
            self._local.identity = identity
        library = self._local.library
        assert isinstance(library, _Library)
        return library

    def close(self) -> None:
        """Close this thread's connection."""
        if getattr(self._local, "library", None) is not None:
            self._local.library.close()
        self._local.library = self._local.identity = None

    def generation(self) -> int | None:
        """The generation of state.db that it was built from; None when there is none that can be used."""
        try:
            generation = int(self._library().generation)
            return None if self.damaged == self._identity() else generation
        except (LessonBoxError, sqlite3.Error, TypeError, ValueError):
            return None

    def check(self) -> None:
        """Read all of the file, and know it as damaged if it is. Raises StorageError when it is not there."""
        identity = self._identity()
        try:
            whole = self._library().check()
        except (sqlite3.Error, TypeError, ValueError):
            whole = False
        self.damaged = None if whole else identity

    def spoken(self, collection: str, lesson: str) -> str:
        """The syllables of a lesson's title, one a character, for short ones; `` where it is not known."""
        try:
            return self._library().spoken(collection, lesson)
        except (sqlite3.Error, LessonBoxError) as error:
            log.warning("search.db: %s", error)
            return ""

    def find(
        self,
        query: str,
        grade: str = "",
        kind: str = "",
        offset: int = 0,
        limit: int = 20,
        room: Near | tuple[Sequence[str], Sequence[str]] = Near(),
        subject: str = "",
    ) -> Found:
        """Lessons that every word of `query` finds: whole titles first, then those with all words in the
        title, then those with some, then the rest; among equals those of the `room` (its grades, its
        subjects, its editions) first, then what is here, then teaching order. An empty query finds nothing.

        Raises StorageError when there is no index, or it is damaged.
        """
        words = normalise(query[:MAX_QUERY]).split()[:_MAX_WORDS]
        if not words:
            return Found((), 0, {}, {})
        near = room if isinstance(room, Near) else Near(tuple(room[0]), tuple(room[1]))
        try:
            return self._find(self._library(), words, (grade, kind, subject), (offset, limit), near)
        except (sqlite3.Error, TypeError, ValueError, IndexError) as error:
            try:
                self.damaged = self._identity()
            except LessonBoxError:
                pass
            raise StorageError(f"{self.path.name}: {error}") from error

    def _find(
        self,
        library: _Library,
        words: list[str],
        only: tuple[str, str, str],
        part: tuple[int, int],
        room: Near,
    ) -> Found:
        found, some, alone, sound = library.words(words)
        if not found.all and (pieces := library.cut(words)) != words:
            found, some, alone, sound = library.words(pieces[: 2 * _MAX_WORDS])
        if len(words) > 1:  # “Unit 4”, 心中的“110”: the whole title may have gaps
            whole = library.text("".join(words)).whole | library.whole_sound("".join(map(letters, words)))
            found = _Sets(found.title, found.all, whole & found.all)
        masks = library.masks
        of_grade, of_kind, of_subject = (
            masks.get(f"{name} {value}", 0) if value else -1
            for name, value in zip(("grade", "kind", "subject"), only, strict=True)
        )
        grades = _counts(masks, "grade ", found.all & of_kind & of_subject)
        kinds = _counts(masks, "kind ", found.all & of_grade & of_subject)
        subjects = _counts(masks, "subject ", found.all & of_grade & of_kind)
        chosen = found.all & of_grade & of_kind & of_subject
        numbers = _ordered(chosen, (found.whole, found.title, some, -1), masks, room, *part)
        shown = library.named(numbers)
        return Found(
            tuple(identity for identity, _ in shown),
            chosen.bit_count(),
            {name: grades[name] for name in sorted(grades, key=grade_order)},
            {name: kinds[name] for name in KINDS if name in kinds},
            sound and bool(found.all),
            tuple(alone) if not found.all and len(alone) > 1 else (),
            {identity: toned for identity, toned in shown if toned},
            dict(sorted(subjects.items(), key=lambda item: -item[1])),
        )


def _counts(masks: dict[str, int], prefix: str, found: int) -> dict[str, int]:
    counts = {
        name.removeprefix(prefix): (bits & found).bit_count()
        for name, bits in masks.items()
        if name.startswith(prefix)
    }
    return {name: count for name, count in counts.items() if count}


def _ordered(
    chosen: int,
    tiers: Sequence[int],
    masks: dict[str, int],
    room: Near,
    offset: int,
    limit: int,
) -> list[int]:
    """The numbers from `offset`, at most `limit`, best first (see Index.find)."""
    of_grade = of_subject = of_edition = 0
    for grade in room.grades:
        of_grade |= masks.get(f"grade {grade}", 0)
    for subject in room.subjects:
        of_subject |= masks.get(f"subject {subject}", 0)
    for subject, edition in room.editions:
        of_edition |= masks.get(f"subject {subject}", 0) & masks.get(f"edition {edition}", 0)
    nearest = [near for near in (of_grade & of_subject, of_grade, of_subject) if near]
    numbers: list[int] = []
    left, skip = chosen, offset
    ranks = itertools.product(
        tiers, [*nearest, -1], [of_edition, -1] if of_edition else [-1], (masks.get("here", 0), -1)
    )
    for best, near, ours, here in ranks:
        if not left or len(numbers) == limit:
            break
        tier = left & best & near & ours & here
        if not tier:
            continue
        left &= ~tier
        count = tier.bit_count()
        if skip >= count:
            skip -= count
            continue
        numbers += itertools.islice(_numbers(tier), skip, skip + limit - len(numbers))
        skip = 0
    return numbers


class Indexer:
    """Keeps search.db in step with state.db: a thread that looks, and starts programs_search.py.

    Where the data folder can't be written to, the index lies in the system's folder for such while this
    program runs, and `index` is told.
    """

    def __init__(self, path: Path, reader: StateReader, index: Index | None = None) -> None:
        self._path, self._reader, self._index = path, reader, index or Index(path)
        self._stop = threading.Event()
        self._child: subprocess.Popen[str] | None = None
        self._spare: tempfile.TemporaryDirectory[str] | None = None
        self._thread = threading.Thread(target=self._run, name="search-index", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End and wait for the thread."""
        self._stop.set()
        self._thread.join(10)

    def step(self, apart: bool = False) -> bool:
        """Build when state.db has changed, or search.db is damaged; whether it was built. `apart`: in a
        program of its own. Raises LessonBoxError.
        """
        generation, known = self._reader.generation(), self._index.generation()
        if known == generation:
            return False
        old = None if known is None else self._index.path
        target = self._target()
        if apart:
            self._build(target, old)
        else:
            from appliance.web.search.build import refresh

            refresh(self._reader.path, target, old)
        self._index.path = target
        return True

    def _target(self) -> Path:
        with storage_errors(self._path.name):
            if not read_only(self._path.parent) and os.access(self._path.parent, os.W_OK):
                return self._path
        if self._spare is None:
            self._spare = tempfile.TemporaryDirectory(prefix="lessonbox-search-")
        return Path(self._spare.name) / self._path.name

    def _build(self, target: Path, old: Path | None) -> None:
        command = [sys.executable, "-m", "appliance.programs_search", self._reader.path, target]
        command += [] if old is None else [old]
        with storage_errors(target.name):
            child = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
        with child:
            deadline = time.monotonic() + _PATIENCE
            while True:
                try:
                    _, said = child.communicate(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    if self._stop.is_set() or time.monotonic() > deadline:
                        child.kill()
        if child.returncode and not self._stop.is_set():
            line = said.strip().rpartition("\n")[2] or f"ended with {child.returncode}"
            raise (DiskFullError if DiskFullError.code in line else StorageError)(f"{target.name}: {line}")

    def _run(self) -> None:
        pause, rested, checked = 0.0, 0.0, False
        while not self._stop.wait(pause):
            pause, began = _POLL, time.monotonic()
            try:
                if not checked and self._index.generation() is not None:
                    self._index.check()
                checked = True
                if began < rested and self._index.generation() is not None:
                    continue
                if self.step(apart=True):
                    rested = time.monotonic() + _REST * (time.monotonic() - began)
            except (LessonBoxError, OSError) as error:
                log.info("search index: %s", error)
        if self._spare is not None:
            self._spare.cleanup()
