"""Reading state.db: what pages, agent and commands may ask (formats.md 10). The writer is in
sqlite_writer.py."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from content_sync.adapters.kept import Kept, Watch
from content_sync.adapters.resting import Resting
from content_sync.errors import FormatError, NewerDataError, SetupError, StorageError
from content_sync.formats.hashtree import FileId
from content_sync.formats.lesson import Lesson, parse_lesson
from content_sync.formats.outline import Outline, outline
from content_sync.formats.policy import Policy, Term, parse_policy
from content_sync.formats.received import ReceivedItem
from content_sync.formats.update import UPDATES
from content_sync.ports import CollectionRow, LessonRow, LocalRow, PlannedRow, Problem, TallyRow

SCHEMA = 3
_LESSON = (
    "id, collection, position, unit, unit_no, no, title, periods, kinds, added, wanted, size, present,"
    " arriving, have_bytes, reason, arrived, repairing, week"
)
#: Whether an id is that of a collection of the school's own lessons, `local-…`.
OWN = "{0} >= 'local-' AND {0} < 'local.'"
#: Of one of updates of the box's own programs (formats.md 18); of one that counts as none of the county's
#: lessons.
UPDATE_IDS = f"{{0}} >= '{UPDATES}-' AND {{0}} < '{UPDATES}.'"
ASIDE = f"{OWN} OR {UPDATE_IDS}"
_MAX_CACHED = 64
#: Outlines are small, and the same few hundred lessons are listed again and again.
_MAX_OUTLINES = 1024
_SHARED = 64 << 10
#: Rows that are kept in memory until state.db changes (one is about 700 bytes).
_MOST_ROWS = 2000


@functools.lru_cache(512)
def _kinds(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


@functools.lru_cache(4)
def _term(text: str) -> Policy:
    try:
        return parse_policy(json.loads(text))
    except (FormatError, ValueError, AttributeError):
        return Policy()


def lesson_row(row: tuple[Any, ...]) -> LessonRow:
    """A LessonRow from the columns of `_LESSON`."""
    values = list(row)
    values[8] = _kinds(row[8])
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
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY) or _emergency(path)


def _emergency(path: Path) -> bool:
    """Whether an ext4 took `errors=remount-ro`: from Linux 6.15 on only its own options say so."""
    device = os.stat(path).st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        return any(
            line.split(" ", 3)[2] == name and "emergency_ro" in line.rsplit(" ", 1)[1] for line in mounts
        )
    return False


def full(path: Path) -> bool:
    """Whether there is no room for what SQLite needs beside a WAL database that nobody has open (32 KiB)."""
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize < _SHARED


#: What a connection keeps of the file, and how many connections wait for the next call.
_CACHE_KIB, _MOST_RESTING = 512, 8


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

    Opens lazily, as many connections as calls meet each other, and again when sync has rebuilt the file.
    Raises SetupError when there is no database, NewerDataError, StorageError.
    """

    #: Collections that `lessons` leaves out; the writer plans for updates as for lessons.
    _aside = ASIDE

    def __init__(self, path: Path) -> None:
        self._path = path
        self._resting = Resting[sqlite3.Connection](_MOST_RESTING)
        self._lessons: dict[str, Lesson] = {}
        self._outlines: dict[str, Outline] = {}
        self._frozen: Frozen | None = None
        self._places: tuple[Any, dict[str, CollectionRow]] = (None, {})
        self._lock = threading.Lock()
        self._watch, self._rows_kept = Watch(), Kept(_MOST_ROWS, len)

    @property
    def path(self) -> Path:
        """Where state.db lies, for a program of its own that reads it too."""
        return self._path

    def _identity(self) -> tuple[int, int, bool]:
        """Which file it is now, and whether it is frozen."""
        try:
            found = os.stat(self._path)
            if self._frozen is not None and not self._unwritable():
                self._frozen = None  # it can be written to again, so what was put aside may be old
        except FileNotFoundError:
            raise SetupError(f"{self._path.name} is not there") from None
        return found.st_dev, found.st_ino, self._frozen is not None

    def version(self) -> int:
        """Another number after every change of state.db, also of what no page shows; as long as it is the
        same, so is all that this object gives."""
        identity = self._identity()
        try:
            return self._watch.version(identity, lambda: self._new(identity)[1])
        except (sqlite3.Error, OSError) as error:  # OSError: it went just now, or no copy can be made
            raise StorageError(f"{self._path.name}: {error}") from error

    def _new(self, identity: tuple[int, int, bool]) -> tuple[tuple[int, int, bool], sqlite3.Connection]:
        try:
            # Not mode=ro: a reader of a WAL database must be able to make its -shm file.
            return identity, self._opened(str(self._path))
        except sqlite3.OperationalError:
            if not self._unwritable():
                raise
            with self._lock:
                self._frozen = frozen = self._frozen or Frozen(self._path)
            return (*identity[:2], True), self._opened(frozen.uri)

    def _unwritable(self) -> bool:
        return read_only(self._path) or full(self._path)

    def _opened(self, where: str) -> sqlite3.Connection:
        if not where.startswith("file:") and read_only(self._path):
            # Asked to write where it can't, SQLite could not use a descriptor that it has put by, and would
            # take another one each time.
            where = f"{self._path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(
            where,
            timeout=10,
            isolation_level=None,
            uri=where.startswith("file:"),
            check_same_thread=False,
        )
        try:
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute("PRAGMA query_only = 1")
            if check_schema(connection, self._path.name) < SCHEMA:  # sync is about to make it
                raise SetupError(f"{self._path.name} is not ready yet")
        except BaseException:
            connection.close()
            raise
        return connection

    def _all(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        identity = self._identity()
        try:
            with self._resting.lent(identity, lambda: self._new(identity)) as connection:
                return connection.execute(sql, tuple(values)).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"{self._path.name}: {error}") from error

    def _one(self, sql: str, values: Iterable[Any] = ()) -> tuple[Any, ...] | None:
        rows = self._all(sql, values)
        return rows[0] if rows else None

    def _same(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """As `_all`, of what pages ask again and again: read once until state.db changes."""
        found: list[tuple[Any, ...]] = self._rows_kept.get(
            self.version(), (sql, values), lambda: self._all(sql, values)
        )
        return found

    def close(self) -> None:
        """Close the connections."""
        self._resting.close()
        self._watch.forget()

    def meta(self, key: str) -> str | None:
        """A fact: see state.sql for the keys."""
        rows = self._same("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def generation(self) -> int:
        """Rises whenever what a page shows may have changed."""
        return int(self.meta("generation") or 0)

    def release(self) -> int:
        """The number of the release that was applied last; 0 before the first."""
        return int(self.meta("release") or 0)

    def term(self) -> tuple[Term | None, int]:
        """The school term that the county has set, and how many minutes east of UTC the box counts its
        days and hours."""
        told = _term(self.meta("term") or "{}")
        return told.term, told.utc_offset

    def class_goal(self) -> int | None:
        """How many classes (课时) a teacher should hold a term, if the county has said it."""
        return _term(self.meta("term") or "{}").class_goal

    def collections(self, local: bool = False) -> list[CollectionRow]:
        """The subscribed collections in the release's order, with how many lessons are listed and present;
        the school's own behind them when `local`."""
        hidden = UPDATE_IDS if local else self._aside
        own = f" WHERE NOT ({hidden.format('c.id')})"
        return [
            CollectionRow(*row)
            for row in self._all(
                "SELECT c.id, stage, subject, edition, grade, volume, c.position,"
                " count(l.collection), count(l.present)"
                f" FROM collection c LEFT JOIN lesson l ON l.collection = c.id{own}"
                " GROUP BY c.id ORDER BY c.position, c.id"
            )
        ]

    def tally(self) -> list[TallyRow]:
        """Every collection in figures, in the release's order."""
        return [
            TallyRow(*row)
            for row in self._all(
                "SELECT c.id, count(l.id), count(l.present), sum(l.present IS NULL AND l.arriving),"
                " sum(l.size), sum(iif(l.present IS l.wanted, l.size, l.have_bytes)),"
                " sum(iif(l.present IS NULL, 0, l.size)), sum(l.present IS NOT l.wanted),"
                " sum(l.present IS NOT l.wanted AND p.expected_to IS NOT NULL),"
                " max(iif(l.present IS l.wanted, NULL, p.expected_to))"
                " FROM collection c JOIN lesson l ON l.collection = c.id"
                " LEFT JOIN planned p ON p.lesson = l.id"
                f" WHERE NOT ({ASIDE.format('c.id')}) GROUP BY c.id ORDER BY c.position"
            )
        ]

    def places(self) -> dict[str, CollectionRow]:
        """The collections by id, the school's own too, in this generation: read once for all pages that show
        lessons."""
        this = self._identity(), self.generation()
        known, found = self._places
        if known != this:
            found = {row.id: row for row in self.collections(local=True)}
            self._places = this, found
        return found

    def lessons(
        self,
        collection: str | None = None,
        state: str | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[LessonRow]:
        """Lessons in teaching order, of all the county's collections or one (the school's own too), in all
        states or one of `present`, `arriving`, `wanted` (LessonRow.state)."""
        where, values = _filter(self._aside, collection, state)
        return [
            lesson_row(row)
            for row in (self._all if collection is None else self._same)(
                f"SELECT {', '.join('l.' + name.strip() for name in _LESSON.split(','))} FROM lesson l"
                f" JOIN collection c ON c.id = l.collection {where}"
                " ORDER BY c.position, l.position LIMIT ? OFFSET ?",
                (*values, -1 if limit is None else limit, offset),
            )
        ]

    def updates(self) -> list[LessonRow]:
        """The updates of the box's own programs that the release has for this machine: packages like a
        lesson's, that `lessons` leaves out."""
        return [
            lesson_row(row)
            for row in self._all(
                f"SELECT {_LESSON} FROM lesson WHERE {UPDATE_IDS.format('collection')} ORDER BY id"
            )
        ]

    def count(self, collection: str | None = None, state: str | None = None) -> int:
        """How many lessons `lessons` would give without a limit."""
        where, values = _filter(self._aside, collection, state)
        return int(self._same(f"SELECT count(*) FROM lesson l {where}", values)[0][0])

    def lesson(self, identity: str) -> LessonRow | None:
        """One lesson, or None when no release of ours lists it."""
        rows = self._same(f"SELECT {_LESSON} FROM lesson WHERE id = ?", (identity,))
        return lesson_row(rows[0]) if rows else None

    def present_lesson(self, identity: str) -> Lesson | None:
        """The whole lesson.json of what teachers see, or None when the lesson is not here."""
        rows = self._same("SELECT present FROM lesson WHERE id = ? AND present IS NOT NULL", (identity,))
        lesson = self._lessons.get(rows[0][0]) if rows else None
        if rows and lesson is None:
            row = self._one(
                "SELECT present, detail FROM lesson WHERE id = ? AND present IS NOT NULL", (identity,)
            )
            if row is None:  # it went meanwhile
                return None
            infohash, detail = row
            lesson = parse_lesson(detail.encode())
            if len(self._lessons) >= _MAX_CACHED:
                self._lessons.clear()
            self._lessons[infohash] = lesson
        return lesson

    def rows(self, ids: Sequence[str]) -> list[LessonRow]:
        """The lessons with these ids in their order, without those that no release of ours lists."""
        found = {
            row[0]: lesson_row(row)
            for row in self._same(
                f"SELECT {_LESSON} FROM lesson WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps(ids),),
            )
        }
        return [found[identity] for identity in ids if identity in found]

    def arrived(self, since: float, limit: int) -> list[LessonRow]:
        """Lessons of the county's that became visible after `since` (unix seconds), newest first."""
        return [
            lesson_row(row)
            for row in self._all(
                f"SELECT {_LESSON} FROM lesson WHERE arrived > ? AND present IS NOT NULL"
                f" AND NOT ({ASIDE.format('collection')}) ORDER BY arrived DESC, id LIMIT ?",
                (since, limit),
            )
        ]

    def with_kind(self, kind: str, limit: int = 1000) -> list[LessonRow]:
        """The county's lessons that hold a kind, in teaching order; those that are here first."""
        names = ", ".join(f"l.{name.strip()}" for name in _LESSON.split(","))
        return [
            lesson_row(row)
            for row in self._all(
                f"SELECT {names} FROM lesson l JOIN collection c ON c.id = l.collection"
                f" WHERE instr(l.kinds, ?) AND NOT ({ASIDE.format('l.collection')})"
                " ORDER BY l.present IS NULL, c.position, l.position LIMIT ?",
                (f'"{kind}"', limit),
            )
        ]

    def holds_kind(self, kind: str) -> bool:
        """Whether any lesson holds a kind."""
        return bool(self._same("SELECT 1 FROM lesson WHERE instr(kinds, ?) LIMIT 1", (f'"{kind}"',)))

    def facts(self, collection: str) -> list[tuple[str, str, str, str, str | None]]:
        """Id, title, unit, kinds (JSON) and infohash of what teachers see of each lesson of a collection, in
        teaching order: what an index looks through often."""
        rows = self._all(
            "SELECT id, title, unit, kinds, present FROM lesson WHERE collection = ? ORDER BY position",
            (collection,),
        )
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]

    def detail(self, identity: str, present: str) -> str | None:
        """The lesson.json of a lesson while teachers see this package of it."""
        row = self._one("SELECT detail FROM lesson WHERE id = ? AND present = ?", (identity, present))
        return None if row is None else str(row[0])

    def outlines(self, rows: Iterable[LessonRow]) -> dict[str, Outline]:
        """Lesson id -> what lists show of what teachers see of it; those that are here."""
        known = self._outlines
        if len(known) > _MAX_OUTLINES:
            known = self._outlines = {}
        wanted = {row.id: row.present for row in rows if row.present}
        lacking = [identity for identity, infohash in wanted.items() if infohash not in known]
        if lacking:
            for infohash, detail in self._all(
                "SELECT present, detail FROM lesson WHERE present IS NOT NULL"
                " AND id IN (SELECT value FROM json_each(?))",
                (json.dumps(lacking),),
            ):
                known[infohash] = outline(detail)
        return {identity: known[infohash] for identity, infohash in wanted.items() if infohash in known}

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
        return {row[0]: (row[1], row[2]) for row in self._same("SELECT root, times, again FROM repair")}

    def damage(self) -> list[tuple[str, int, int]]:
        """Root, how often it was found damaged, and when last (unix seconds by this box's clock)."""
        rows = self._all("SELECT root, times, last FROM repair ORDER BY last, root")
        return [(root, times, last) for root, times, last in rows]

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

    def objects(self, infohash: str | None = None) -> dict[str, int]:
        """See ports.State."""
        if infohash is None:
            return {row[0]: row[1] for row in self._all("SELECT root, size FROM object")}
        sql = "SELECT o.root, o.size FROM object o JOIN file f ON f.root = o.root WHERE f.infohash = ?"
        return {row[0]: row[1] for row in self._all(sql, (infohash,))}

    def planned(self, lesson: str | Sequence[str] | None = None) -> dict[str, PlannedRow]:
        """What the plan says of lessons that are not here in their newest version: of all, of one or some."""
        where, values = ("", ()) if lesson is None else (" WHERE lesson = ?", (lesson,))
        if not isinstance(lesson, str | None):
            where, values = " WHERE lesson IN (SELECT value FROM json_each(?))", (json.dumps(lesson),)
        return {
            name: PlannedRow(name, need, code, json.loads(facts), first, last, evicted)
            for name, need, code, facts, first, last, evicted in (
                self._all if lesson is None else self._same
            )(f"SELECT * FROM planned{where}", values)
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

    def local_lessons(self) -> list[LocalRow]:
        """The school's own lessons, the newest first."""
        names = ", ".join(f"l.{name.strip()}" for name in _LESSON.split(","))
        return [
            LocalRow(lesson_row(row[4:]), bool(row[0]), bool(row[1]), row[2], tuple(json.loads(row[3])))
            for row in self._all(
                f"SELECT o.offered, o.basket, o.origin, o.damaged, {names} FROM local o"
                " JOIN lesson l ON l.id = o.lesson ORDER BY l.added DESC, l.id"
            )
        ]

    def status(self, key: str) -> Any:
        """What sync last said about itself (see state.sql), or None."""
        row = self._one("SELECT value FROM status WHERE key = ?", (key,))
        return None if row is None else json.loads(row[0])

    def problems(self) -> list[Problem]:
        """What needs a person, oldest first."""
        return [
            Problem(*row)
            for row in self._same(
                "SELECT code, subject, message, since FROM problem ORDER BY since, code, subject"
            )
        ]


def _filter(aside: str, collection: str | None, state: str | None) -> tuple[str, tuple[Any, ...]]:
    parts: list[str] = []
    values: list[Any] = []
    if collection is not None:
        parts.append("l.collection = ?")
        values.append(collection)
    else:
        parts.append(f"NOT ({aside.format('l.collection')})")
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
