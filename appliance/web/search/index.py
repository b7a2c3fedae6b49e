"""Finding lessons by any part of their words or by pinyin (decision 0021; words.py cuts them).

A set of lessons is an int with a bit for each lesson in teaching order, so that words are ANDed, grades
counted and the best put first in microseconds, however many lessons match. search.db is made by
build.py in a program of its own; library.py reads it, and this module starts that program when state.db has
changed.
"""

from __future__ import annotations

import itertools
import logging
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, field

from appliance.web.search.library import Library, Sets
from appliance.web.search.sets import numbers_of
from appliance.web.search.shown import Shown
from appliance.web.search.words import normalise
from appliance.web.words import grade_order
from content_sync.adapters.files import storage_errors
from content_sync.adapters.resting import Resting
from content_sync.adapters.sqlite import StateReader, read_only
from content_sync.errors import DiskFullError, LessonBoxError, StorageError
from content_sync.formats.lesson import KINDS

log = logging.getLogger(__name__)
MAX_QUERY = 64
_MAX_WORDS = 8
#: search.db is built again at most so that building takes a tenth of the time.
_REST = 9
_POLL = 2.0
_PATIENCE = 1800.0
#: Connections that wait for the next call: a search takes milliseconds, so few meet.
_MOST_RESTING = 4


class Near(NamedTuple):
    """What comes first of equals: grades and subjects of the room that asks, and (subject, edition) pairs."""

    grades: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    editions: tuple[tuple[str, str], ...] = ()


class Found(Struct, frozen=True):
    """Lessons found: ids in order (`limit` of them from `offset`), how many in all, and how many lie under
    each grade, kind and subject. `sound`: by pinyin alone. `alone`: when nothing was found, each word of
    several and how many lessons it finds by itself. `shown`: what the index knows of each of `ids` for lists.
    """

    ids: tuple[str, ...]
    total: int
    grades: dict[str, int]
    kinds: dict[str, int]
    sound: bool = False
    alone: tuple[tuple[str, int], ...] = ()
    subjects: dict[str, int] = field(default_factory=dict)
    shown: dict[str, Shown] = field(default_factory=dict)


class Index:
    """Reads search.db, from any number of threads. `path` may be changed to where another one lies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._resting = Resting[Library](_MOST_RESTING)
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

    def _library(self) -> AbstractContextManager[Library]:
        identity = self._identity()
        return self._resting.lent(identity, lambda: (identity, Library(self.path)))

    def close(self) -> None:
        """Close the connections."""
        self._resting.close()

    def generation(self) -> int | None:
        """The generation of state.db that it was built from; None when there is none that can be used."""
        try:
            with self._library() as library:
                generation = int(library.generation)
            return None if self.damaged == self._identity() else generation
        except (LessonBoxError, sqlite3.Error, TypeError, ValueError):
            return None

    def check(self) -> None:
        """Read all of the file, and know it as damaged if it is. Raises StorageError when it is not there."""
        identity = self._identity()
        try:
            with self._library() as library:
                whole = library.check()
        except (sqlite3.Error, TypeError, ValueError):
            whole = False
        self.damaged = None if whole else identity

    def spoken(self, collection: str, lesson: str) -> str:
        """The syllables of a lesson's title, one a character, for short ones; `` where it is not known."""
        try:
            with self._library() as library:
                return library.spoken(collection, lesson)
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
        counted: bool = True,
    ) -> Found:
        """Lessons that every word of `query` finds: whole titles first, then those with all words in the
        title, then those with some, then the rest; among equals those of the `room` (its grades, its
        subjects, its editions) first, then what is here, then teaching order. An empty query finds nothing.
        Not `counted`: without how many lie under each grade, kind and subject.

        Raises StorageError when there is no index, or it is damaged.
        """
        words = normalise(query[:MAX_QUERY]).split()[:_MAX_WORDS]
        if not words:
            return Found((), 0, {}, {})
        near = room if isinstance(room, Near) else Near(tuple(room[0]), tuple(room[1]))
        try:
            with self._library() as library:
                return self._find(library, words, (grade, kind, subject), (offset, limit), near, counted)
        except (sqlite3.Error, TypeError, ValueError, LookupError) as error:
            try:
                self.damaged = self._identity()
            except LessonBoxError:
                pass
            raise StorageError(f"{self.path.name}: {error}") from error

    def _find(
        self,
        library: Library,
        words: list[str],
        only: tuple[str, str, str],
        part: tuple[int, int],
        room: Near,
        counted: bool,
    ) -> Found:
        found, some, alone, sound = library.words(words)
        if not found.all and (pieces := library.cut(words)) != words:
            found, some, alone, sound = library.words(pieces[: 2 * _MAX_WORDS])
        if len(words) > 1:  # “Unit 4”, 心中的“110”: the whole title may have gaps
            found = Sets(found.title, found.all, library.whole_title("".join(words)) & found.all)
        masks = library.masks
        of_grade, of_kind, of_subject = (
            masks.get(f"{name} {value}", 0) if value else -1
            for name, value in zip(("grade", "kind", "subject"), only, strict=True)
        )
        grades = kinds = subjects = dict[str, int]()
        if counted:
            grades = _counts(masks, "grade ", found.all & of_kind & of_subject)
            kinds = _counts(masks, "kind ", found.all & of_grade & of_subject)
            subjects = _counts(masks, "subject ", found.all & of_grade & of_kind)
        chosen = found.all & of_grade & of_kind & of_subject
        numbers = _ordered(chosen, (found.whole, found.title, some, -1), masks, room, *part)
        shown = {one.id: one for one in library.shown(numbers)}
        return Found(
            tuple(shown),
            chosen.bit_count(),
            {name: grades[name] for name in sorted(grades, key=grade_order)},
            {name: kinds[name] for name in KINDS if name in kinds},
            sound and bool(found.all),
            tuple(alone) if not found.all and len(alone) > 1 else (),
            dict(sorted(subjects.items(), key=lambda item: -item[1])),
            shown,
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
        numbers += itertools.islice(numbers_of(tier), skip, skip + limit - len(numbers))
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
        import subprocess  # rare: after a change of the library

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
        pause, rested, turn = 0.0, 0.0, 0
        while not self._stop.wait(pause):
            pause, began = _POLL, time.monotonic()
            try:
                turn += 1
                if turn == 2 and self._index.generation() is not None:  # the first page comes before it
                    self._index.check()
                if began < rested and self._index.generation() is not None:
                    continue
                if self.step(apart=True):
                    rested = time.monotonic() + _REST * (time.monotonic() - began)
            except (LessonBoxError, OSError) as error:
                log.info("search index: %s", error)
        if self._spare is not None:
            self._spare.cleanup()
