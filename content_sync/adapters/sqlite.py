"""Reading state.db: what pages, agent and commands may ask (formats.md 10). The writer is in
sqlite_writer.py."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from content_sync.errors import NewerDataError, SetupError, StorageError
from content_sync.formats.hashtree import FileId
from content_sync.formats.lesson import Lesson, parse_lesson
from content_sync.formats.received import ReceivedItem
from content_sync.ports import CollectionRow, LessonRow, PlannedRow, Problem

SCHEMA = 2
_LESSON = (
    "id, collection, position, unit, unit_no, no, title, periods, kinds, added, wanted, size, present,"
    " arriving, have_bytes, reason, arrived, repairing"
)
_MAX_CACHED = 64
_SHARED = 64 << 10


def lesson_row(row: tuple[Any, ...]) -> LessonRow:
    """A LessonRow from the columns of `_LESSON`."""
    values = list(row)
    values[8] = tuple(json.loads(row[8]))
    values[13], values[17] = bool(row[13]), bool(row[17])
    return LessonRow(*values)


def check_schema(connection: sqlite3.Connection, name: str) -> int:
    """The database's schema number. Raises NewerDataError, sqlite3.DatabaseError when it is damaged."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        raise NewerDataError(f"{name} has schema {version}, this program knows {SCHEMA}")
    return version


def read_only(path: Path) -> bool:
    """Whether a file lies on a file system that nobody may write to: a card that failed, or is protected."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def full(path: Path) -> bool:
    """Whether there is no room for what SQLite needs beside a WAL database that nobody has open (32 KiB)."""
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize < _SHARED


class Frozen:
    """A WAL database on a read-only or full file system, where SQLite can't make what it needs beside it
    (sqlite.org/wal.html "Read-Only Databases"): as it is when all of it is in the one file, else a copy with
    its log, in the system's folder for such. Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            self._folder = tempfile.TemporaryDirectory(prefix="lessonbox-")
            for source in (path, log):
                shutil.copyfile(source, Path(self._folder.name) / source.name)
            self.uri = Path(self._folder.name, path.name).as_uri()
        else:
            self.uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"


class StateReader:
    """A read-only view of state.db for any number of threads; each call sees one moment.

    Opens lazily, one connection a thread, and again when sync has rebuilt the file. Raises SetupError when
    there is no database, NewerDataError, StorageError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._lessons: dict[str, Lesson] = {}
        self._frozen: Frozen | None = None
        self._places: tuple[int, dict[str, CollectionRow]] = (-1, {})
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """Where state.db lies, for a program of its own that reads it too."""
        return self._path

    def _connection(self) -> sqlite3.Connection:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            raise SetupError(f"{self._path.name} is not there") from None
        if self._frozen is not None and not self._unwritable():
            self._frozen = None  # it can be written to again, so what was put aside may be old
        identity = (found.st_dev, found.st_ino, self._frozen is not None)
        if getattr(self._local, "identity", None) != identity:
            self.close()
            try:
                # Not mode=ro: a reader of a WAL database must be able to make its -shm file.
                connection = self._opened(str(self._path))
            except sqlite3.OperationalError:
                if not self._unwritable():
                    raise
                with self._lock:
                    self._frozen = self._frozen or Frozen(self._path)
                connection = self._opened(self._frozen.uri)
                identity = (found.st_dev, found.st_ino, True)
            self._local.connection, self._local.identity = connection, identity
        connection = self._local.connection
        assert isinstance(connection, sqlite3.Connection)
        return connection

    def _unwritable(self) -> bool:
        return read_only(self._path) or full(self._path)

    def _opened(self, where: str) -> sqlite3.Connection:
        connection = sqlite3.connect(where, timeout=10, isolation_level=None, uri=where.startswith("file:"))
        try:
            connection.execute("PRAGMA query_only = 1")
            if check_schema(connection, self._path.name) < SCHEMA:  # sync is about to make it
                raise SetupError(f"{self._path.name} is not ready yet")
        except BaseException:
            connection.close()
            raise
        return connection

    def _all(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection().execute(sql, tuple(values)).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"{self._path.name}: {error}") from error

    def _one(self, sql: str, values: Iterable[Any] = ()) -> tuple[Any, ...] | None:
        rows = self._all(sql, values)
        return rows[0] if rows else None

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
        self._local.connection = self._local.identity = None

    def meta(self, key: str) -> str | None:
        """A fact: see state.sql for the keys."""
        row = self._one("SELECT value FROM meta WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def generation(self) -> int:
        """Rises whenever what a page shows may have changed."""
        return int(self.meta("generation") or 0)

    def release(self) -> int:
        """The number of the release that was applied last; 0 before the first."""
        return int(self.meta("release") or 0)

    def collections(self) -> list[CollectionRow]:
        """The subscribed collections in the release's order, with how many lessons are listed and present."""
        return [
            CollectionRow(*row)
            for row in self._all(
                "SELECT c.id, stage, subject, edition, grade, volume, c.position, count(l.id),"
                " count(l.present)"
                " FROM collection c LEFT JOIN lesson l ON l.collection = c.id"
                " GROUP BY c.id ORDER BY c.position"
            )
        ]

    def places(self) -> dict[str, CollectionRow]:
        """The collections by id, in this generation: read once for all pages that show lessons."""
        generation = self.generation()
        if self._places[0] != generation:
            self._places = generation, {collection.id: collection for collection in self.collections()}
        return self._places[1]

    def lessons(
        self,
        collection: str | None = None,
        state: str | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[LessonRow]:
        """Lessons in teaching order, of all collections or one, in all states or one of
        `present`, `arriving`, `wanted` (LessonRow.state)."""
        where, values = _filter(collection, state)
        return [
            lesson_row(row)
            for row in self._all(
                f"SELECT {', '.join('l.' + name.strip() for name in _LESSON.split(','))} FROM lesson l"
                f" JOIN collection c ON c.id = l.collection {where}"
                " ORDER BY c.position, l.position LIMIT ? OFFSET ?",
                (*values, -1 if limit is None else limit, offset),
            )
        ]

    def count(self, collection: str | None = None, state: str | None = None) -> int:
        """How many lessons `lessons` would give without a limit."""
        where, values = _filter(collection, state)
        row = self._one(f"SELECT count(*) FROM lesson l {where}", values)
        return 0 if row is None else int(row[0])

    def lesson(self, identity: str) -> LessonRow | None:
        """One lesson, or None when no release of ours lists it."""
        row = self._one(f"SELECT {_LESSON} FROM lesson WHERE id = ?", (identity,))
        return None if row is None else lesson_row(row)

    def present_lesson(self, identity: str) -> Lesson | None:
        """The whole lesson.json of what teachers see, or None when the lesson is not here."""
        row = self._one(
            "SELECT present, detail FROM lesson WHERE id = ? AND present IS NOT NULL", (identity,)
        )
        if row is None:
            return None
        infohash, detail = row
        lesson = self._lessons.get(infohash)
        if lesson is None:
            lesson = parse_lesson(detail.encode())
            if len(self._lessons) >= _MAX_CACHED:
                self._lessons.clear()
            self._lessons[infohash] = lesson
        return lesson

    def visible_file(self, root: str) -> FileId | None:
        """The identity of an object that a present lesson holds; None for anything else, arriving bytes
        included."""
        row = self._one(
            "SELECT o.size FROM object o WHERE o.root = ? AND EXISTS (SELECT 1 FROM file f JOIN lesson l"
            " ON l.present = f.infohash WHERE f.root = o.root AND f.size = o.size)",
            (root,),
        )
        return None if row is None else FileId(root, row[0])

    def repairs(self) -> dict[str, tuple[int, int]]:
        """Root -> how often it was found damaged, and how often since the scrub last found it whole."""
        return {row[0]: (row[1], row[2]) for row in self._all("SELECT root, times, again FROM repair")}

    def previous(self, infohash: str) -> list[str]:
        """Infohashes of the packages that lessons show which want this one."""
        sql = "SELECT DISTINCT present FROM lesson WHERE wanted = ?1 AND present != ?1"
        return [row[0] for row in self._all(sql, (infohash,))]

    def packages_with(self, root: str) -> list[str]:
        """Infohashes of the wanted or present packages that hold a file."""
        return [row[0] for row in self._all("SELECT DISTINCT infohash FROM file WHERE root = ?", (root,))]

    def has_object(self, file: FileId) -> bool:
        """Whether an object of this name and length counts."""
        row = self._one("SELECT 1 FROM object WHERE root = ? AND size = ?", (file.root, file.length))
        return row is not None

    def resource_file(self, lesson: str, resource: str, path: str) -> FileId | None:
        """The file at `path` (as lesson.json states it) of one resource of a present lesson."""
        found = self.present_lesson(lesson)
        for entry in found.resources if found else ():
            if entry.id == resource:
                return next((part.file for part in entry.files if part.path == path), None)
        return None

    def described(self) -> set[str]:
        """Infohashes of the packages whose files are known."""
        return {row[0] for row in self._all("SELECT DISTINCT infohash FROM file")}

    def lacking(self) -> dict[str, dict[str, int]]:
        """See ports.State."""
        found: dict[str, dict[str, int]] = {
            row[0]: {}
            for row in self._all(
                "SELECT DISTINCT wanted FROM lesson JOIN file ON infohash = wanted"
                " WHERE present IS NOT wanted"
            )
        }
        for infohash, root, size in self._all(
            "SELECT f.infohash, f.root, f.size FROM lesson l JOIN file f ON f.infohash = l.wanted"
            " WHERE l.present IS NOT l.wanted AND NOT EXISTS"
            " (SELECT 1 FROM object o WHERE o.root = f.root AND o.size = f.size)"
        ):
            found[infohash][root] = size
        return found

    def objects(self) -> dict[str, int]:
        """Every object that counts: root -> bytes."""
        return {row[0]: row[1] for row in self._all("SELECT root, size FROM object")}

    def planned(self, lesson: str | None = None) -> dict[str, PlannedRow]:
        """What the plan says of lessons that are not here in their newest version: of all, or of one."""
        where, values = ("", ()) if lesson is None else (" WHERE lesson = ?", (lesson,))
        return {
            name: PlannedRow(name, need, code, json.loads(facts), first, last, evicted)
            for name, need, code, facts, first, last, evicted in self._all(
                f"SELECT * FROM planned{where}", values
            )
        }

    def received(self) -> list[ReceivedItem]:
        """What a person put on the received shelf, the newest first. No release names it."""
        return [
            ReceivedItem(FileId(root, size), name, origin, at)
            for root, size, name, origin, at in self._all(
                "SELECT root, size, name, origin, at FROM received ORDER BY at DESC, name, root"
            )
        ]

    def foreign_drops(self, offset: int = 0, limit: int = 100) -> tuple[list[tuple[str, int]], int]:
        """Path and size of drop files that no release names, and how many there are."""
        rows = self._all(
            "SELECT path, size FROM drop_file WHERE fate = 0 ORDER BY path LIMIT ? OFFSET ?", (limit, offset)
        )
        count = self._one("SELECT count(*) FROM drop_file WHERE fate = 0")
        return [(row[0], row[1]) for row in rows], int(count[0]) if count else 0

    def status(self, key: str) -> Any:
        """What sync last said about itself (see state.sql), or None."""
        row = self._one("SELECT value FROM status WHERE key = ?", (key,))
        return None if row is None else json.loads(row[0])

    def problems(self) -> list[Problem]:
        """What needs a person, oldest first."""
        return [
            Problem(*row)
            for row in self._all(
                "SELECT code, subject, message, since FROM problem ORDER BY since, code, subject"
            )
        ]


def _filter(collection: str | None, state: str | None) -> tuple[str, tuple[Any, ...]]:
    parts: list[str] = []
    values: list[Any] = []
    if collection is not None:
        parts.append("l.collection = ?")
        values.append(collection)
    if state is not None:
        parts.append(
            {
                "present": "l.present IS NOT NULL",
                "arriving": "l.present IS NULL AND l.arriving = 1",
                "wanted": "l.present IS NULL AND l.arriving = 0",
                "repairing": "l.present IS NULL AND l.repairing = 1",
            }.get(state, "0")
        )
    return ("WHERE " + " AND ".join(parts) if parts else ""), tuple(values)
