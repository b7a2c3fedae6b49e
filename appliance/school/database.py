"""school.db: how it is opened, read and written. Web is its one writer; what stands in it can't be rebuilt.

Its schema is a row of numbered files, each applied once, in order, in one transaction; the file as it was is
kept beside it before that (`school.db.before-N`). A newer file is refused, a damaged one moved aside whole.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from appliance.usage.database import is_damage, move_aside, named, sqlite_errors
from content_sync.adapters.files import make_folder, storage_errors, sync_folder
from content_sync.adapters.kept import Kept, Watch
from content_sync.adapters.resting import Resting
from content_sync.adapters.sqlite import Frozen, full, read_only
from content_sync.errors import NewerDataError

#: Connections that wait for the next call.
_MOST_RESTING = 8


def _steps() -> list[str]:
    """The schema's files in order; the first is step 1."""
    found = sorted(Path(__file__).with_name("schema").glob("*.sql"))
    assert [int(entry.name[:3]) for entry in found] == list(range(1, len(found) + 1)), "numbers without a gap"
    return [entry.read_text("utf-8") for entry in found]


def _connected(where: str) -> sqlite3.Connection:
    """A connection to a path or URI, for any thread, outside of transactions."""
    return sqlite3.connect(
        where, timeout=10, isolation_level=None, uri=where.startswith("file:"), check_same_thread=False
    )


def _reading(where: str) -> sqlite3.Connection:
    connection = _connected(where)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA cache_size = -128")
    connection.execute("PRAGMA query_only = 1")
    return connection


class School:
    """The school's own book, for any number of threads of one process."""

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises NewerDataError, DiskFullError, BusyError, StorageError."""
        self.path = path
        #: Where a damaged file was put, if there was one.
        self.aside: Path | None = None
        with storage_errors(path.name):
            make_folder(path.parent)
        self._lock = threading.RLock()
        self._resting = Resting[sqlite3.Connection](_MOST_RESTING)
        self._watch, self._kept = Watch(), Kept(1000)
        #: What is read while nothing can be written: a card that failed still shows its timetable.
        self._frozen: Frozen | sqlite3.Connection | None = None
        self._where = str(path)
        self._writer: sqlite3.Connection | None = None
        try:
            self._writer = self._open()
        except sqlite3.Error as error:
            if is_damage(error):
                self.aside = move_aside(path)
                with sqlite_errors(path.name):
                    self._writer = self._open()
            elif read_only(path.parent) or full(path):
                self._freeze()
            else:
                raise named(error, path.name) from error

    def _freeze(self) -> None:
        if self.path.exists():
            self._frozen = Frozen(self.path)
            self._where = self._frozen.uri
            return
        self._where = f"file:school-{id(self)}?mode=memory&cache=shared"
        self._frozen = empty = sqlite3.connect(self._where, uri=True, check_same_thread=False)
        for step in _steps():
            empty.executescript(step)

    def _thaw(self) -> sqlite3.Connection:
        """The writer, where the disk can be written to again."""
        if self._writer is None:
            self._writer = self._open()
            self._frozen, self._where = None, str(self.path)
        return self._writer

    def _open(self) -> sqlite3.Connection:
        steps = _steps()
        connection = _connected(str(self.path))
        try:
            known = connection.execute("PRAGMA user_version").fetchone()[0]
            if known > len(steps):
                raise NewerDataError(f"{self.path.name} has schema {known}, known is {len(steps)}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if known and connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                error = sqlite3.DatabaseError("quick_check found damage")
                error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise error
            if 0 < known < len(steps):
                self._keep_before(connection, known)
            for number in range(known, len(steps)):
                connection.executescript(
                    f"BEGIN IMMEDIATE;\n{steps[number]}\nPRAGMA user_version = {number + 1};\nCOMMIT;"
                )
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.close()
            raise
        return connection

    def _keep_before(self, connection: sqlite3.Connection, known: int) -> None:
        """A whole copy of the file as an older program wrote it, so that going back loses nothing."""
        kept = self.path.with_name(f"{self.path.name}.before-{known + 1}")
        new = kept.with_name(f"{kept.name}.new")
        new.unlink(missing_ok=True)
        with closing(sqlite3.connect(new)) as copy:
            connection.backup(copy)
        new.replace(kept)
        sync_folder(kept.parent)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction; durable when the block ends, undone when it raises. Raises DiskFullError,
        BusyError, StorageError."""
        with self._lock, sqlite_errors(self.path.name):
            writer = self._thaw()
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    writer.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading. Rows are sqlite3.Row. Raises BusyError, StorageError."""
        where = self._where
        with sqlite_errors(self.path.name):
            try:
                with self._resting.lent(where, lambda: (where, _reading(where))) as connection:
                    yield connection
            except sqlite3.Error:
                self._watch.forget()  # what was made without it is not to last
                raise

    def version(self) -> int:
        """Another number after every change of the book. Raises BusyError, StorageError."""
        with sqlite_errors(self.path.name):
            where = self._where
            return self._watch.version(where, lambda: _connected(where))

    def kept(self, key: Hashable, read: Callable[[], Any]) -> Any:
        """What `read` gave for this key, read once until the book changes; nobody may change it. Raises as
        `read`, BusyError, StorageError."""
        return self._kept.get(self.version(), key, read)
