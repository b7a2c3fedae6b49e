"""library.db by typed calls (schema: library.sql). One object is one connection, for one thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from content_sync.errors import DiskFullError, LessonBoxError, NewerDataError, SetupError, StorageError
from content_sync.formats.hashtree import FileId
from content_sync.formats.policy import Policy, dump_policy, parse_policy

SCHEMA = 1
_WAIT_SECONDS = 60


class PackageRow(Struct, frozen=True):
    """A package: its torrent's and leaves file's names in a release. `made` is unix seconds."""

    infohash: str
    lesson: str
    lesson_root: str
    name: str
    size: int
    torrent_sha256: str
    torrent_length: int
    leaves_sha256: str
    leaves_length: int
    made: int


class LessonRow(Struct, frozen=True):
    """A lesson as it was last published; `withdrawn` (unix seconds) once a release left it out."""

    id: str
    collection: str
    title: str
    stage: str
    subject: str
    edition: str
    grade: str
    volume: str
    unit: str
    infohash: str
    withdrawn: int | None = None


class SourceRow(Struct, frozen=True):
    """What a source file was when it was read; `path` as the system spells it."""

    path: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    root: str


class ReleaseRow(Struct, frozen=True):
    """A published release."""

    number: int
    issued: int
    lessons: int
    resources: int
    bytes: int
    new_bytes: int


class BoxRow(Struct, frozen=True):
    """A box for which an enrolment file was made at `enrolled` (unix seconds)."""

    id: str
    school_code: str
    school_name: str
    claim: str
    collections: tuple[str, ...]
    enrolled: int
    policy: Policy = field(default_factory=Policy)


_BOX = (
    "SELECT b.id, school_code, school_name, claim, collections, enrolled, policy FROM box b"
    " LEFT JOIN policy p ON p.box = b.id"
)
#: Tables that a library of an earlier program lacks.
_LATER = (
    "CREATE TABLE IF NOT EXISTS adopted (lesson TEXT PRIMARY KEY, here INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS policy (box TEXT PRIMARY KEY, policy TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS calendar (lesson TEXT PRIMARY KEY, week INTEGER NOT NULL) WITHOUT ROWID",
)


def _columns(row: type[Struct]) -> str:
    return ", ".join(row.__struct_fields__)


def _storage(error: sqlite3.Error) -> LessonBoxError:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
        return DiskFullError("no space left for library.db")
    return StorageError(f"library.db: {error}")


class Library:
    """An open library.db. Every call raises StorageError or DiskFullError when the database does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def create(cls, path: Path) -> Library:
        """Make an empty library.db."""
        try:
            connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript((files("county") / "library.sql").read_text("utf-8"))
        except sqlite3.Error as error:
            raise _storage(error) from error
        return cls(connection)

    @classmethod
    def open(cls, path: Path, write: bool = False) -> Library:
        """Open for reading, or for writing too. Raises SetupError, NewerDataError."""
        if not path.is_file():
            raise SetupError(f"{path.name} is not there")
        try:
            # Not mode=ro: a reader of a WAL database must be able to make its -shm file.
            connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
            connection.execute("PRAGMA synchronous = FULL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            for statement in _LATER if version == SCHEMA else ():
                connection.execute(statement)
            if not write:
                connection.execute("PRAGMA query_only = 1")
        except sqlite3.Error as error:
            raise _storage(error) from error
        if version != SCHEMA:
            connection.close()
            if version > SCHEMA:
                raise NewerDataError(f"{path.name} has schema {version}, this program knows {SCHEMA}")
            raise SetupError(f"{path.name} is not whole")
        return cls(connection)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _storage(error) from error

    def _one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        rows = self._all(sql, values)
        return rows[0] if rows else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block or none, durable at its end."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise _storage(error) from error

    def _put(self, table: str, row: type[Struct], rows: Iterable[Any], verb: str = "REPLACE") -> None:
        names = row.__struct_fields__
        marks = ", ".join("?" * len(names))
        try:
            self._connection.executemany(
                f"INSERT OR {verb} INTO {table} ({', '.join(names)}) VALUES ({marks})",
                ([getattr(entry, name) for name in names] for entry in rows),
            )
        except sqlite3.Error as error:
            raise _storage(error) from error

    # Files and what was made of them

    def source(self, path: bytes) -> SourceRow | None:
        """What is known of a source file."""
        row = self._one(f"SELECT {_columns(SourceRow)} FROM source_file WHERE path = ?", (path,))
        return None if row is None else SourceRow(*row)

    def put_sources(self, rows: Iterable[SourceRow]) -> None:
        """Remember source files."""
        self._put("source_file", SourceRow, rows)

    def object_size(self, root: str) -> int | None:
        """The length of an object, if it is known."""
        row = self._one("SELECT size FROM object WHERE root = ?", (root,))
        return None if row is None else int(row[0])

    def leaves(self, root: str) -> bytes:
        """The leaf list of a known object. Raises StorageError."""
        row = self._one("SELECT leaves FROM object WHERE root = ?", (root,))
        if row is None:
            raise StorageError(f"library.db does not know the object {root}")
        return bytes(row[0])

    def put_objects(self, rows: Iterable[tuple[FileId, bytes]]) -> None:
        """Remember objects and their leaf lists."""
        for file, leaves in rows:
            self._all(
                "INSERT OR IGNORE INTO object (root, size, leaves) VALUES (?, ?, ?)",
                (file.root, file.length, leaves),
            )

    def derived(self, root: str, recipe: str) -> dict[str, dict[str, Any]]:
        """What was made of a file by a recipe: tool -> result."""
        rows = self._all("SELECT tool, result FROM derived WHERE root = ? AND recipe = ?", (root, recipe))
        return {tool: json.loads(result) for tool, result in rows}

    def put_derived(self, root: str, recipe: str, tool: str, result: dict[str, Any]) -> None:
        """Remember what was made of a file."""
        text = json.dumps(result, ensure_ascii=False, sort_keys=True)
        self._all("INSERT OR REPLACE INTO derived VALUES (?, ?, ?, ?)", (root, recipe, tool, text))

    # Packages, lessons, releases

    def package(self, infohash: str) -> PackageRow | None:
        """One package."""
        row = self._one(f"SELECT {_columns(PackageRow)} FROM package WHERE infohash = ?", (infohash,))
        return None if row is None else PackageRow(*row)

    def package_of(self, lesson: str, lesson_root: str) -> PackageRow | None:
        """The package of a lesson whose lesson.json has this root."""
        row = self._one(
            f"SELECT {_columns(PackageRow)} FROM package WHERE lesson = ? AND lesson_root = ?",
            (lesson, lesson_root),
        )
        return None if row is None else PackageRow(*row)

    def has_package(self, prefix: str) -> bool:
        """Whether a package's infohash begins with these hex digits: a tracker is told the first 40 only."""
        row = self._one("SELECT 1 FROM package WHERE infohash >= ? AND infohash < ?", (prefix, prefix + "g"))
        return row is not None

    def published(self, prefix: str) -> PackageRow | None:
        """The package of the newest release whose infohash begins with these hex digits."""
        row = self._one(
            f"SELECT {', '.join('p.' + name for name in PackageRow.__struct_fields__)} FROM package p"
            " JOIN lesson l ON l.id = p.lesson AND l.infohash = p.infohash"
            " WHERE p.infohash >= ? AND p.infohash < ? AND l.withdrawn IS NULL",
            (prefix, prefix + "g"),
        )
        return None if row is None else PackageRow(*row)

    def package_files(self, infohash: str) -> dict[str, FileId]:
        """Path -> identity of a package's files."""
        rows = self._all("SELECT path, root, size FROM package_file WHERE infohash = ?", (infohash,))
        return {path: FileId(root, size) for path, root, size in rows}

    def put_package(self, package: PackageRow, listed: Iterable[tuple[str, FileId]]) -> None:
        """Remember a package and its files."""
        self._put("package", PackageRow, [package])
        for path, file in listed:
            self._all(
                "INSERT OR REPLACE INTO package_file VALUES (?, ?, ?, ?)",
                (package.infohash, path, file.root, file.length),
            )

    def lesson(self, identity: str) -> LessonRow | None:
        """A lesson of the library or one that was withdrawn."""
        row = self._one(f"SELECT {_columns(LessonRow)} FROM lesson WHERE id = ?", (identity,))
        return None if row is None else LessonRow(*row)

    def lessons(self, withdrawn: bool = False) -> list[LessonRow]:
        """The lessons of the newest release; with `withdrawn` those that were left out since, too."""
        rows = self._all(
            f"SELECT {_columns(LessonRow)} FROM lesson WHERE withdrawn IS NULL OR ? ORDER BY id", (withdrawn,)
        )
        return [LessonRow(*row) for row in rows]

    def published_roots(self) -> set[str]:
        """Roots of all files of the newest release's packages."""
        rows = self._all(
            "SELECT DISTINCT root FROM package_file JOIN lesson USING (infohash) WHERE withdrawn IS NULL"
        )
        return {row[0] for row in rows}

    def first_added(self, lesson: str) -> int | None:
        """When the lesson was first published (unix seconds), if it ever was."""
        row = self._one("SELECT added FROM lesson_added WHERE lesson = ?", (lesson,))
        return None if row is None else int(row[0])

    def add_lesson(self, lesson: str, now: int) -> int:
        """When the lesson was first published; from now on `now`, when it never was."""
        self._all("INSERT OR IGNORE INTO lesson_added VALUES (?, ?)", (lesson, now))
        added = self.first_added(lesson)
        assert added is not None
        return added

    def adopted(self) -> dict[str, bool]:
        """Lessons that `county adopt` brought: id -> whether it is here (False: taken out by hand)."""
        return {row[0]: bool(row[1]) for row in self._all("SELECT lesson, here FROM adopted")}

    def mark_adopted(self, lessons: Iterable[str], here: bool | None) -> None:
        """Remember lessons as adopted (True), as taken out by hand (False), or as the county's own (None)."""
        for lesson in lessons:
            if here is None:
                self._all("DELETE FROM adopted WHERE lesson = ?", (lesson,))
            else:
                self._all("INSERT OR REPLACE INTO adopted VALUES (?, ?)", (lesson, here))

    def put_release(self, release: ReleaseRow, lessons: Sequence[LessonRow]) -> None:
        """Make `lessons` the library, the others withdrawn. A release that is known stays as it was."""
        with self.transaction():
            live = {row.id for row in lessons}
            gone = [row.id for row in self.lessons() if row.id not in live]
            for identity in gone:
                self._all("UPDATE lesson SET withdrawn = ? WHERE id = ?", (release.issued, identity))
            self._put("lesson", LessonRow, lessons)
            self._put("release", ReleaseRow, [release], verb="IGNORE")

    def releases(self) -> list[ReleaseRow]:
        """All releases, the newest first."""
        rows = self._all(f"SELECT {_columns(ReleaseRow)} FROM release ORDER BY number DESC")
        return [ReleaseRow(*row) for row in rows]

    def roots_kept(self, packages: set[str], as_it_was: Callable[[bytes, int, int, int], bool]) -> set[str]:
        """Roots of the files of these packages, and of the source files of which `as_it_was(path, size,
        mtime_ns, inode)` says that they are there."""
        roots = {
            root
            for infohash, root in self._all("SELECT infohash, root FROM package_file")
            if infohash in packages
        }
        sources = self._all("SELECT root, path, size, mtime_ns, inode FROM source_file")
        return roots | {root for root, *facts in sources if root not in roots and as_it_was(*facts)}

    def forget_packages(self, packages: set[str], roots: set[str]) -> None:
        """Forget all other packages, and whatever is known of files other than `roots`."""
        with self.transaction():
            gone = [row for row in self._all("SELECT infohash FROM package") if row[0] not in packages]
            lost = [row for row in self._all("SELECT root FROM object") if row[0] not in roots]
            for table in ("package_file", "package"):
                self._many(f"DELETE FROM {table} WHERE infohash = ?", gone)
            for table in ("object", "derived", "source_file"):
                self._many(f"DELETE FROM {table} WHERE root = ?", lost)

    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _storage(error) from error

    def newest_release(self) -> ReleaseRow | None:
        """The newest release, if anything was published."""
        row = self._one(f"SELECT {_columns(ReleaseRow)} FROM release ORDER BY number DESC LIMIT 1")
        return None if row is None else ReleaseRow(*row)

    def issued(self, number: int) -> int | None:
        """When a release was issued (unix seconds)."""
        row = self._one("SELECT issued FROM release WHERE number = ?", (number,))
        return None if row is None else int(row[0])

    # Boxes and staff

    def boxes(self) -> list[BoxRow]:
        """All enrolled boxes, by school code."""
        rows = self._all(f"{_BOX} ORDER BY school_code, b.id")
        return [_box(row) for row in rows]

    def box(self, identity: str) -> BoxRow | None:
        """One box."""
        row = self._one(f"{_BOX} WHERE b.id = ?", (identity,))
        return None if row is None else _box(row)

    def set_policy(self, box: BoxRow) -> None:
        """Keep a box's collections and policy."""
        self._all("UPDATE box SET collections = ? WHERE id = ?", (json.dumps(list(box.collections)), box.id))
        text = json.dumps(dump_policy(box.policy), ensure_ascii=False, sort_keys=True)
        self._all("INSERT OR REPLACE INTO policy VALUES (?, ?)", (box.id, text))

    def weeks(self) -> dict[str, int]:
        """The teaching calendar: lesson -> week."""
        return dict(self._all("SELECT lesson, week FROM calendar"))

    def set_weeks(self, weeks: dict[str, int], instead_of: Iterable[str]) -> None:
        """Replace the weeks of lessons."""
        for lesson in instead_of:
            self._all("DELETE FROM calendar WHERE lesson = ?", (lesson,))
        for lesson, week in weeks.items():
            self._all("INSERT OR REPLACE INTO calendar VALUES (?, ?)", (lesson, week))

    def add_box(self, box: BoxRow) -> None:
        """Add a box. Raises StorageError when its id is taken."""
        self._all(
            "INSERT INTO box VALUES (?, ?, ?, ?, ?, ?)",
            (
                box.id,
                box.school_code,
                box.school_name,
                box.claim,
                json.dumps(list(box.collections)),
                box.enrolled,
            ),
        )

    def correct_box(self, identity: str, school_name: str, collections: Sequence[str]) -> None:
        """Of a box that nobody has begun to use: what the corrected list of schools says."""
        self._all(
            "UPDATE box SET school_name = ?, collections = ? WHERE id = ?",
            (school_name, json.dumps(list(collections)), identity),
        )

    def remove_box(self, identity: str) -> None:
        """Forget a box whose enrolment file could not be written, or was never used; its policy too."""
        self._all("DELETE FROM box WHERE id = ?", (identity,))
        self._all("DELETE FROM policy WHERE box = ?", (identity,))

    def staff_password(self, name: str) -> str | None:
        """The password hash (werkzeug) of an account."""
        row = self._one("SELECT password FROM staff WHERE name = ?", (name,))
        return None if row is None else str(row[0])

    def put_staff(self, name: str, password_hash: str) -> None:
        """Make an account or give it a new password hash."""
        self._all("INSERT OR REPLACE INTO staff VALUES (?, ?)", (name, password_hash))


def _box(row: tuple[Any, ...]) -> BoxRow:
    identity, code, name, claim, collections, enrolled, policy = row
    known = parse_policy(json.loads(policy)) if policy else Policy()
    return BoxRow(identity, code, name, claim, tuple(json.loads(collections)), enrolled, known)
