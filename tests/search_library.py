# ruff: noqa: E501 (rows of words)
"""A county's library of 50,000 lessons for tests and measures of search, made from tests/data/search/lessons.txt
(titles of primary and middle schools, from memory), and what is wanted of it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pypinyin import lazy_pinyin

from appliance.web.search.entries import Entry, entry
from appliance.web.search.words import letters, normalise, squeeze
from content_sync.ports import CollectionRow, LessonRow

DATA = Path(__file__).parent / "data" / "search"
EDITIONS = (
    "统编版",
    "人教版",
    "北师大版",
    "苏教版",
    "冀教版",
    "西师大版",
    "浙教版",
    "教科版",
    "青岛版",
    "湘教版",
)
SORTS = (
    "{}", "{} 第一课时", "{} 第二课时", "{} 第三课时", "{}（练习课）", "{}（复习课）", "{} 名师示范课", "{} 专递课堂",
    "{} 说课", "{} 单元整理", "{} 微课",
)  # fmt: skip
KINDS = (("video", "courseware"), ("recorded",), ("courseware", "quiz"), ("audio", "plan"))


@dataclass(frozen=True)
class Query:
    """A line of queries.tsv."""

    kind: str
    text: str
    meant: str


def queries() -> list[Query]:
    """The labelled queries."""
    return [Query(*line.split("\t")) for line in (DATA / "queries.tsv").read_text("utf-8").splitlines()]


def sections() -> Iterator[tuple[list[str], str, list[str]]]:
    """Stage, subject, grade and volume; unit; titles."""
    place: list[str] = []
    for line in (DATA / "lessons.txt").read_text("utf-8").splitlines():
        if line.startswith("# "):
            place = line[2:].split()
            continue
        unit, _, titles = line.rpartition(": ")
        words = titles.split()
        if (
            words[0].isascii() and place[1] == "英语"
        ):  # English titles have spaces: a title is a line's whole rest
            words = [titles[i:j].strip() for i, j in itertools.pairwise([*_heads(titles), len(titles)])]
        yield place, unit, words


def _heads(titles: str) -> list[int]:
    """Where a capital letter begins a new title."""
    return [0] + [
        i for i in range(1, len(titles)) if titles[i].isupper() and titles[i - 1] == " " and titles[i - 2] not in ".AB"
        and titles[i : i + 6] not in ("Gina T", "Monday") and titles[i : i + 2] not in ("A ", "B ", "A", "B")
    ]  # fmt: skip


def library(size: int) -> list[Entry]:
    """So many lessons: every title in each edition, plain and in sorts, in teaching order."""
    found: list[Entry] = []
    listed = list(sections())
    for number, (edition, sort) in enumerate(itertools.product(EDITIONS, SORTS)):
        for position, (place, unit, titles) in enumerate(listed):
            stage, subject, grade, volume = place
            collection = CollectionRow(
                f"{subject}-{number}", stage, subject, edition, grade, volume, position, 0, 0
            )
            for title in titles:
                name = sort.format(title)
                kinds = KINDS[(len(found) + number) % 4]
                row = LessonRow(
                    f"l{len(found)}", collection.id, position, unit, None, None, name, 1, kinds, 0, "w", 1,
                    "w" if len(found) % 3 else None, False, 0, "", None,
                )  # fmt: skip
                resources = (f"{title} 课件", f"{title} 朗读") if len(found) % 3 else ()
                found.append(entry(collection, row, resources))
                if len(found) == size:
                    return found
    raise AssertionError(f"only {len(found)} lessons")


def _holds(word: str, text: str) -> bool:
    return word in text


class Oracle:
    """What is wanted, by brute force over the words themselves: no index, no readings but the likeliest."""

    def __init__(self, entries: list[Entry]) -> None:
        self._texts: dict[str, list[int]] = {}
        for number, one in enumerate(entries):
            for text in {squeeze(t) for t in (one.title, *one.fields, *one.resources)}:
                self._texts.setdefault(text, []).append(number)
        self._sounds = {
            text: ([s if s.isascii() else "?" for s in lazy_pinyin(text, errors=list)])
            for text in self._texts
        }

    def _with(self, fits: Callable[[str], bool]) -> set[int]:
        return {n for text, numbers in self._texts.items() if fits(text) for n in numbers}

    def meant(self, query: Query) -> set[int]:
        """Lessons in which every word that is meant stands."""
        sets = [self._with(functools.partial(_holds, word)) for word in normalise(query.meant).split()]
        return set.intersection(*sets)

    def right(self, query: Query) -> set[int]:
        """Lessons that may be found: those meant, and what is said the same way."""
        if not letters(squeeze(query.text)):
            return self.meant(query)
        typed = letters(squeeze(query.text))
        if query.kind == "tones":
            typed = "".join(c for c in typed if not c.isdigit())

        def fits(text: str) -> bool:
            said = self._sounds[text]
            starts = set(itertools.accumulate((len(s) for s in said), initial=0))
            joined = "".join(said)
            at = joined.find(typed)
            while at >= 0:
                if at in starts and at + len(typed) in starts:
                    return True
                at = joined.find(typed, at + 1)
            return typed in "".join(s[0] for s in said)

        return self.meant(query) | self._with(fits)
