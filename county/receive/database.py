"""reports.db: readers, and the one writer thread that drains its queue into durable transactions.

Draining the queue makes the cost of a slow disk's fsync a matter of commits, not of reports (findings: 258 a
second against 10). The import command writes too, from its own process: every transaction is immediate, so
each sees what the other has committed.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from content_sync.adapters.files import sync_folder
from content_sync.errors import DiskFullError, LessonBoxError, NewerDataError, SetupError, StorageError
from county.receive import records

SCHEMA = 1
_WAIT_SECONDS = 30
_MOST_AT_ONCE = 64
T = TypeVar("T")


def storage_error(error: sqlite3.Error) -> LessonBoxError:
    """The named error for a failing reports.db."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
        return DiskFullError("no space left for reports.db")
    return StorageError(f"reports.db: {error}")


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def create(path: Path) -> None:
    """Make reports.db if it is not there. Raises NewerDataError, StorageError, DiskFullError."""
    try:
        connection = _open(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                raise NewerDataError(f"{path.name} has schema {version}, this program knows {SCHEMA}")
            if not version:
                for statement in _statements((files("county.receive") / "reports.sql").read_text("utf-8")):
                    connection.execute(statement)
            known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'class'").fetchone()
            for statement in _statements((files("county.receive") / "records.sql").read_text("utf-8")):
                connection.execute(statement)
            if not known:
                records.bring_out(connection)
            connection.execute("COMMIT")
        finally:
            connection.close()
        sync_folder(path.parent)
    except sqlite3.Error as error:
        raise storage_error(error) from error


def _statements(script: str) -> list[str]:
    """The statements of a script (`executescript` would commit before the first)."""
    found, part = [], ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            found.append(part)
            part = ""
    return found


class Reader:
    """Read-only connections to reports.db, one a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def all(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows. Raises SetupError before anything was received, StorageError."""
        connection = getattr(self._local, "connection", None)
        try:
            if connection is None:
                if not self._path.is_file():
                    raise SetupError(f"{self._path.name} is not there")
                connection = _open(self._path)
                connection.execute("PRAGMA query_only = 1")
                self._local.connection = connection
            return connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise storage_error(error) from error

    def one(self, sql: str, values: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
        """The first row."""
        rows = self.all(sql, values)
        return rows[0] if rows else None


class Writer:
    """One thread that owns the writing connection. `run` returns when what it ran is durable."""

    def __init__(self, path: Path) -> None:
        create(path)
        self._path = path
        self._jobs: queue.SimpleQueue[tuple[Callable[[sqlite3.Connection], Any], Future[Any]] | None]
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="reports-writer", daemon=True)
        self._thread.start()

    def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` in a transaction shared with others that wait; its result once that is durable.

        What the job raises undoes its own writes only. Raises StorageError, DiskFullError when nothing was
        kept.
        """
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future.result()

    def close(self) -> None:
        """End the thread after what is queued."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        ended = False
        while not ended:
            taken = [self._jobs.get()]
            while len(taken) < _MOST_AT_ONCE and not self._jobs.empty():
                taken.append(self._jobs.get())
            ended = None in taken
            jobs = [entry for entry in taken if entry is not None]
            try:
                connection = connection or _open(self._path)
                results = _together(connection, jobs)
            except sqlite3.Error as error:
                if connection is not None and connection.in_transaction:
                    connection.rollback()
                for _, future in jobs:
                    future.set_exception(storage_error(error))
                continue
            for future, (result, failure) in zip((future for _, future in jobs), results, strict=True):
                if failure is None:
                    future.set_result(result)
                else:
                    future.set_exception(failure)
        if connection is not None:
            connection.close()


def _together(
    connection: sqlite3.Connection, jobs: list[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]]
) -> list[tuple[Any, Exception | None]]:
    """Run the jobs in one durable transaction, each within a savepoint; (result, what it raised) of each."""
    results: list[tuple[Any, Exception | None]] = []
    connection.execute("BEGIN IMMEDIATE")
    for job, _ in jobs:
        connection.execute("SAVEPOINT job")
        try:
            results.append((job(connection), None))
        except sqlite3.Error:
            raise
        except Exception as error:
            connection.execute("ROLLBACK TO job")
            results.append((None, error))
        connection.execute("RELEASE job")
    connection.execute("COMMIT")
    return results
