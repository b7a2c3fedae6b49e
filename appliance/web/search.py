"""Finding lessons by any part of their words: SQLite FTS5 over single characters and pairs (findings.md
"Chinese search"). search.db is built from state.db and may be deleted at any time.

Text is normalised (NFKC, case folded, everything but letters, digits and marks is a gap). A query's words
are ANDed; each must stand somewhere in the lesson's text. The index gives candidates in display order, the
stored text decides.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.web.words import grade_order
from content_sync.adapters.files import storage_errors, sync_folder
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import LessonBoxError, StorageError
from content_sync.formats.lesson import KINDS, Lesson
from content_sync.ports import CollectionRow, LessonRow

log = logging.getLogger(__name__)
SCHEMA = 1
MAX_QUERY = 64
_MAX_WORDS = 8
_RUNS = re.compile(r"[a-z0-9]+|[^a-z0-9\s]+")
#: A search.db is built again at most so that building takes a tenth of the time.
_REST = 9
_POLL = 2.0


def normalise(text: str) -> str:
    """Text as it is compared: words of letters, digits and marks with single spaces between."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in folded).split())


def _code(text: str) -> str:
    """Characters as ASCII, so that no tokenizer's idea of Unicode matters."""
    return "".join(f"h{ord(c):x}" for c in text)


def index_tokens(text: str) -> set[str]:
    """What a normalised text is found by: every character and pair of it, every tail of a Latin or digit
    run.
    """
    tokens: set[str] = set()
    for run in _RUNS.findall(text):
        if run[0].isascii():
            tokens.update("l" + run[i:] for i in range(len(run)))
        else:
            tokens.update(_code(c) for c in run)
            tokens.update(_code(a + b) for a, b in itertools.pairwise(run))
    return tokens


def query_tokens(words: Iterable[str], prefix: str = "") -> list[str]:
    """FTS5 terms that every match must hold."""
    terms: list[str] = []
    for run in itertools.chain.from_iterable(_RUNS.findall(word) for word in words):
        if run[0].isascii():
            terms.append(f"{prefix}l{run}*")
        elif len(run) == 1:
            terms.append(prefix + _code(run))
        else:
            terms.extend(prefix + _code(a + b) for a, b in itertools.pairwise(run))
    return list(dict.fromkeys(terms))


def lesson_text(collection: CollectionRow, row: LessonRow, lesson: Lesson | None) -> tuple[str, str]:
    """Normalised title, and normalised text of all that a lesson is found by (one field a line)."""
    fields = [
        row.title,
        row.unit,
        collection.stage,
        collection.subject,
        collection.grade + collection.volume,
        collection.edition,
        *(word for kind in row.kinds if kind in KINDS for word in (KINDS[kind][0], *KINDS[kind][2])),
        *(resource.title for resource in (lesson.resources if lesson else ())),
    ]
    return normalise(row.title), "\n".join(dict.fromkeys(filter(None, map(normalise, fields))))


def build(path: Path, rows: Iterable[tuple[str, str, str, str, str]], generation: int) -> None:
    """Write search.db anew and put it in place in one step. `rows`: lesson id, grade, kinds
    (space-separated), title and text (normalised), in display order. Raises StorageError, DiskFullError.
    """
    fresh = path.with_name(path.name + ".new")
    with storage_errors(path.name):
        fresh.unlink(missing_ok=True)
        try:
            connection = sqlite3.connect(fresh, isolation_level=None)
            try:
                connection.executescript(
                    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                    "CREATE TABLE lesson (number INTEGER PRIMARY KEY, id TEXT, grade TEXT, kinds TEXT,"
                    " title TEXT, text TEXT);"
                    "CREATE VIRTUAL TABLE word USING fts5 (tokens, content='', detail=none, columnsize=0,"
                    " tokenize='ascii');"
                    f"CREATE TABLE meta (generation INTEGER); PRAGMA user_version = {SCHEMA}; BEGIN;"
                )
                connection.execute("INSERT INTO meta VALUES (?)", (generation,))
                for number, (identity, grade, kinds, title, text) in enumerate(rows, 1):
                    connection.execute(
                        "INSERT INTO lesson VALUES (?, ?, ?, ?, ?, ?)",
                        (number, identity, grade, kinds, title, text),
                    )
                    tokens = index_tokens(text) | {"t" + token for token in index_tokens(title)}
                    connection.execute(
                        "INSERT INTO word (rowid, tokens) VALUES (?, ?)", (number, " ".join(tokens))
                    )
                connection.execute("COMMIT")
            finally:
                connection.close()
            descriptor = os.open(fresh, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(fresh, path)
            sync_folder(path.parent)
        except sqlite3.Error as error:
            fresh.unlink(missing_ok=True)
            raise StorageError(f"{path.name}: {error}") from error


@dataclass(frozen=True)
class Found:
    """Lessons found: ids in display order (`limit` of them from `offset`), and how many lie under each grade
    and kind.
    """

    ids: tuple[str, ...]
    total: int
    grades: dict[str, int]
    kinds: dict[str, int]


class Index:
    """Reads search.db, from any number of threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        with storage_errors(self._path.name):
            found = os.stat(self._path)
        identity = (found.st_dev, found.st_ino, found.st_mtime_ns)
        if getattr(self._local, "identity", None) != identity:
            if getattr(self._local, "connection", None) is not None:
                self._local.connection.close()
            self._local.connection = sqlite3.connect(
                f"file:{self._path.as_posix()}?mode=ro&immutable=1", uri=True, isolation_level=None
            )
            self._local.identity = identity
        connection = self._local.connection
        assert isinstance(connection, sqlite3.Connection)
        return connection

    def generation(self) -> int | None:
        """The generation of state.db that it was built from; None when there is none that this program
        reads.
        """
        try:
            connection = self._connection()
            if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
                return None
            return int(connection.execute("SELECT generation FROM meta").fetchone()[0])
        except (LessonBoxError, sqlite3.Error, TypeError):
            return None

    def find(self, query: str, grade: str = "", kind: str = "", offset: int = 0, limit: int = 20) -> Found:
        """Lessons whose text holds every word of `query`: title matches first, then display order. An empty
        query finds nothing. Raises StorageError when there is no index.
        """
        words = normalise(query[:MAX_QUERY]).split()[:_MAX_WORDS]
        ids: list[str] = []
        grades: dict[str, int] = {}
        kinds: dict[str, int] = {}
        total = 0
        for identity, its_grade, its_kinds in self._matches(words) if words else ():
            of_kind, of_grade = not kind or kind in its_kinds, not grade or grade == its_grade
            if of_kind:
                grades[its_grade] = grades.get(its_grade, 0) + 1
            if of_grade:
                for name in its_kinds:
                    kinds[name] = kinds.get(name, 0) + 1
            if of_kind and of_grade:
                total += 1
                if offset < total <= offset + limit:
                    ids.append(identity)
        grades = {name: grades[name] for name in sorted(grades, key=grade_order)}
        return Found(tuple(ids), total, grades, {name: kinds[name] for name in KINDS if name in kinds})

    def _matches(self, words: list[str]) -> Iterator[tuple[str, str, list[str]]]:
        seen: set[int] = set()
        try:
            for prefix, field in (("t", 4), ("", 5)):
                terms = " AND ".join(
                    f'"{t[:-1]}"*' if t[-1] == "*" else t for t in query_tokens(words, prefix)
                )
                for row in self._connection().execute(
                    "SELECT lesson.* FROM word JOIN lesson ON number = word.rowid WHERE word MATCH ?"
                    " ORDER BY word.rowid",
                    (terms,),
                ):
                    if row[0] not in seen and all(word in row[field] for word in words):
                        seen.add(row[0])
                        yield row[1], row[2], row[3].split()
        except sqlite3.Error as error:
            raise StorageError(f"{self._path.name}: {error}") from error


def library_rows(reader: StateReader) -> Iterator[tuple[str, str, str, str, str]]:
    """What `build` wants of every lesson in state.db: what is here first, then in the release's order."""
    collections = {collection.id: collection for collection in reader.collections()}
    for present in (True, False):
        for row in reader.lessons():
            if (row.present is not None) == present and row.collection in collections:
                collection = collections[row.collection]
                title, text = lesson_text(collection, row, reader.present_lesson(row.id) if present else None)
                yield row.id, collection.grade, " ".join(row.kinds), title, text


class Indexer:
    """Keeps search.db in step with state.db, in a thread of its own."""

    def __init__(self, path: Path, reader: StateReader) -> None:
        self._path, self._reader, self._index = path, reader, Index(path)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="search-index", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End and wait for the thread."""
        self._stop.set()
        self._thread.join(10)

    def step(self) -> bool:
        """Build when state.db has changed; whether it was built. Raises LessonBoxError."""
        generation = self._reader.generation()
        if self._index.generation() == generation:
            return False
        build(self._path, library_rows(self._reader), generation)
        return True

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            began = time.monotonic()
            try:
                built = self.step()
            except LessonBoxError as error:
                log.info("search index: %s", error)
                built = False
            pause = max(_POLL, _REST * (time.monotonic() - began) if built else 0.0)
