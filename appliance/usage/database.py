"""How the two files that can't be rebuilt, usage.db and outbox.db, are opened (design.md 6)."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from content_sync.adapters.files import make_folder, storage_error, storage_errors, sync_folder
from content_sync.errors import BusyError, DiskFullError, LessonBoxError, NewerDataError, StorageError

SCHEMA = 1
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SIDES = ("", "-wal", "-shm")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is malformed."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGED


def named(error: sqlite3.Error, what: str) -> LessonBoxError:
    """The named error for SQLite's: DiskFullError, BusyError or StorageError."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(f"no space left for {what}")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyError(f"{what} is locked")
    return StorageError(f"{what}: {error}")


@contextmanager
def sqlite_errors(what: str) -> Iterator[None]:
    """Turn sqlite3.Error inside the block into a named error."""
    try:
        yield
    except sqlite3.Error as error:
        raise named(error, what) from error


def open_writer(
    path: Path, sql: str, made: Callable[[sqlite3.Connection], object]
) -> tuple[sqlite3.Connection, Path | None]:
    """Open `path` for its one writer: WAL, synchronous FULL; made by the schema file `sql` and `made` if new.

    A malformed file is moved aside, whole, and a new one begun; the second result says where the old lies.
    Autocommit: the caller says BEGIN. Raises NewerDataError, DiskFullError, BusyError, StorageError.
    """
    aside = None
    with storage_errors(path.name):
        make_folder(path.parent)
    try:
        connection = _open(path, sql, made)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise named(error, path.name) from error
        aside = move_aside(path)
        with sqlite_errors(path.name):
            connection = _open(path, sql, made)
    return connection, aside


def _open(path: Path, sql: str, made: Callable[[sqlite3.Connection], object]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise NewerDataError(f"{path.name} has schema {version}, known is {SCHEMA}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if version == 0:
            script = Path(__file__).with_name(sql).read_text("utf-8")
            connection.execute("BEGIN IMMEDIATE")
            for statement in script.split(";\n"):
                connection.execute(statement)
            made(connection)
            connection.execute("COMMIT")
        elif connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            error = sqlite3.DatabaseError("quick_check found damage")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
    except BaseException:
        with suppress(sqlite3.Error):
            connection.close()
        raise
    return connection


def move_aside(path: Path) -> Path:
    """Rename a damaged database and its side files to the first free `<name>.damaged-N`; its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    with storage_errors(path.name):
        for side in reversed(_SIDES):  # the database last: until then the next start finds it damaged again
            with suppress(FileNotFoundError):
                os.replace(f"{path}{side}", f"{aside}{side}")
        sync_folder(path.parent)
    return aside


def open_reader(path: Path) -> sqlite3.Connection | None:
    """Open another program's database to read it; None when it is not there.

    Raises NewerDataError, StorageError.
    """
    if not path.is_file():
        return None
    with sqlite_errors(path.name):
        # Not mode=ro: a reader of a WAL database must be able to make its -shm file.
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10, isolation_level=None
        )
        try:
            connection.execute("PRAGMA query_only = 1")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except BaseException:
            connection.close()
            raise
    if version == 0:  # its writer is making it at this moment
        connection.close()
        return None
    if version > SCHEMA:
        connection.close()
        raise NewerDataError(f"{path.name} has schema {version}, known is {SCHEMA}")
    return connection


class Reserve:
    """A file of real blocks beside a database, given up when the disk is full: the last commits still fit."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size

    def keep(self) -> bool:
        """Make the reserve if it is not there and there is room; whether it is there."""
        try:
            with open(self.path, "ab") as stream:
                os.posix_fallocate(stream.fileno(), 0, self.size)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise storage_error(error, self.path.name) from error
            self.release()
            return False
        return True

    def release(self) -> bool:
        """Give the space back; whether there was any."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise storage_error(error, self.path.name) from error
        return True
