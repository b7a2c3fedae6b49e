"""Usage events, durable before the caller goes on: one writer thread, one commit for all that wait.

Started in the process that serves boards (a thread does not survive a fork: build it in the worker).
"""

from __future__ import annotations

import logging
import queue
import secrets
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import astuple

from appliance.usage import database
from content_sync.adapters.files import storage_error
from content_sync.errors import BusyError, DiskFullError, FormatError, LessonBoxError, StorageError
from content_sync.formats.canonical import is_hex
from content_sync.ports import Clock

TYPES = ("open", "play", "ping", "pause", "ended", "close")
ORIGINS = ("server", "page")
KEEP_EVENTS = 20_000  # consumed events kept: from them a lost outbox is made again
#: Events at most: some 200 MB. While no agent takes any, forty boards that play six hours a day make them in
#: seven weeks, ten that play three hours in a year.
MOST_EVENTS = 1_000_000
RESERVE_BYTES = 8 << 20  # some 40,000 events
PRUNE_EVERY = 3_600.0
_PRUNE_FULL = 60.0
_QUEUE = 2_000
_MAX_GROUP = 500
_PATIENCE = 30.0
_AGAIN = 30.0  # seconds between tries to open usage.db
_MAX_TEXT = 200
_MAX_NUMBER = 1 << 40
_INSERT = (
    "INSERT INTO event (board, lesson, resource, kind, visit, type, at, position, origin,"
    " boot, mono, wall, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


_LOG = logging.getLogger("usage")


class Event(Struct, frozen=True):
    """One thing that happened at a board.

    `visit` is one page load of one resource; `at` the page's monotonic ms; `position` a second or page;
    `origin` who saw it, `server` or `page`.
    """

    board: str
    lesson: str
    resource: str
    kind: str
    visit: str
    type: str
    at: int | None
    position: int | None
    origin: str


class _Job(Struct, frozen=True):
    rows: list[tuple[object, ...]]
    done: Future[None]
    through: int = 0  # > 0: prune


def check(event: Event) -> None:
    """Raise FormatError unless a report can carry this event."""
    texts = (event.lesson, event.resource, event.kind, event.visit)
    if not is_hex(event.board, 16) or not all(0 < len(text) <= _MAX_TEXT for text in texts):
        raise FormatError("board, lesson, resource, kind or visit of an event is not right")
    if event.type not in TYPES or event.origin not in ORIGINS:
        raise FormatError("unknown type or origin of an event")
    for number in (event.at, event.position):
        if number is not None and not 0 <= number <= _MAX_NUMBER:
            raise FormatError("a number of an event is out of range")


class Recorder:
    """The one writer of usage.db. Thread-safe."""

    def __init__(self, path: Path, clock: Clock, consumed: Callable[[], int] | None = None) -> None:
        """Open or make usage.db and start the writer. Raises NewerDataError, DiskFullError, StorageError.

        `consumed` (outbox.consumed_through) is asked once an hour, and what it allows is pruned.
        """
        self._consumed = consumed
        self._prune_due = clock.monotonic() + 60
        self._path, self._clock, self._boot = path, clock, clock.boot_id()
        self._reserve = database.Reserve(path.with_name("usage.reserve"), RESERVE_BYTES)
        try:
            self._connection, self.moved_aside = self._open()
        except (DiskFullError, StorageError):  # a full disk looks like a broken one where SQLite maps memory
            if not self._reserve.release():
                raise
            self._connection, self.moved_aside = self._open()
        self._reserve_due = not self._reserve.keep()
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_QUEUE)
        self._door = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._write, name="usage-writer", daemon=True)
        self._thread.start()

    def record(self, events: Sequence[Event]) -> None:
        """Store the events, all or none, with this moment's clock facts; returns once they are durable.

        Raises FormatError, DiskFullError (or MOST_EVENTS are held), StorageError, BusyError (too many
        wait; may come true after all).
        """
        for event in events:
            check(event)
        facts = (
            self._boot,
            int(self._clock.monotonic() * 1000),
            int(self._clock.wall() * 1000),
            self._clock.source(),
        )
        if events:
            self._do(_Job([(*astuple(event), *facts) for event in events], Future()))

    def prune(self, through_id: int) -> None:
        """Forget events up to `through_id` (the agent consumed them), but keep the newest KEEP_EVENTS of all.

        By number, not by age: no clock can delete usage. Raises as `record`.
        """
        if through_id > 0:
            self._do(_Job([], Future(), through_id))

    def close(self) -> None:
        """Write what waits, then stop."""
        with self._door:
            first, self._closed = not self._closed, True
        if first:
            self._jobs.put(None)
            self._thread.join()
            self._connection.close()

    def _do(self, job: _Job) -> None:
        with self._door:
            if self._closed:
                raise BusyError("the usage recorder is closed")
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                raise BusyError("too many usage events wait for the disk") from None
        try:
            job.done.result(_PATIENCE)
        except FutureTimeout:
            raise BusyError(f"the disk took more than {_PATIENCE:.0f} s") from None

    def _open(self) -> tuple[sqlite3.Connection, Path | None]:
        return database.open_writer(
            self._path,
            "usage.sql",
            lambda made: made.execute("INSERT INTO meta VALUES ('id', ?)", (secrets.token_hex(8),)),
        )

    def _write(self) -> None:
        """The writer thread: take all that waits, commit once, answer everyone."""
        stop = False
        while not stop:
            group: list[_Job | None] = []
            with suppress(queue.Empty):
                group.append(self._jobs.get(timeout=PRUNE_EVERY / 4))
            while len(group) < _MAX_GROUP:
                try:
                    group.append(self._jobs.get_nowait())
                except queue.Empty:
                    break
            stop = None in group
            if not stop and self._consumed is not None and self._clock.monotonic() >= self._prune_due:
                self._prune_due = self._clock.monotonic() + PRUNE_EVERY
                group += self._prune_job(self._consumed)
            jobs = [job for job in group if job is not None]
            try:
                self._commit(self._with_room(jobs))
            except LessonBoxError as error:
                for job in jobs:
                    _end(job, error)
            except BaseException as error:
                for job in jobs:
                    _end(job, LessonBoxError(f"usage writer: {type(error).__name__}: {error}"))
            else:
                for job in jobs:
                    _end(job)

    def _with_room(self, jobs: list[_Job]) -> list[_Job]:
        """The jobs without those that add events where as many lie as may; those have failed then."""
        try:
            held = self._connection.execute(
                "SELECT (SELECT max(id) FROM event) - (SELECT min(id) FROM event) + 1"
            ).fetchone()[0]
        except sqlite3.Error:  # _commit finds it again, and mends what can be
            return jobs
        if (held or 0) < MOST_EVENTS:
            return jobs
        self._prune_due = min(self._prune_due, self._clock.monotonic() + _PRUNE_FULL)
        for job in jobs:
            if job.rows:
                _end(job, DiskFullError(f"usage.db holds {held} events that no report has taken"))
        return [job for job in jobs if not job.rows]

    def _prune_job(self, consumed: Callable[[], int]) -> list[_Job]:
        try:
            through = consumed()
        except LessonBoxError as error:
            _LOG.warning("nothing pruned: %s", error.what)
            return []
        return [_Job([], Future(), through)] if through > 0 else []

    def _commit(self, jobs: list[_Job]) -> None:
        """Commit the jobs. A full disk gets the reserve, a malformed file is moved aside; then once more."""
        for last in (False, False, True):  # at worst both happen
            try:
                self._apply(jobs)
                break
            except sqlite3.Error as error:
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                if last:
                    raise database.named(error, self._path.name) from error
                if database.is_damage(error):
                    with suppress(sqlite3.Error):
                        self._connection.close()
                    self.moved_aside = database.move_aside(self._path)
                    self._connection, _ = self._open()
                elif self._reserve.release():
                    self._reserve_due = True
                else:
                    raise database.named(error, self._path.name) from error
        if self._reserve_due and any(job.through for job in jobs):  # hourly at most: web prunes hourly
            self._reserve_due = not self._reserve.keep()

    def _apply(self, jobs: list[_Job]) -> None:
        cursor = self._connection
        cursor.execute("BEGIN IMMEDIATE")
        cursor.executemany(_INSERT, [row for job in jobs for row in job.rows])
        if through := max((job.through for job in jobs), default=0):
            newest = cursor.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()[0]
            cursor.execute("DELETE FROM event WHERE id <= ?", (min(through, newest - KEEP_EVENTS),))
        cursor.execute("COMMIT")


def _end(job: _Job, error: LessonBoxError | None = None) -> None:
    """Answer who waits, unless that was done."""
    if job.done.done():
        return
    if error is not None:
        job.done.set_exception(error)
    else:
        job.done.set_result(None)


class PatientRecorder:
    """A Recorder that is opened as soon as usage.db can be: lessons are shown even where usage can't be kept.

    While it can't, `record` raises why, so that pages keep what they have to tell and tell it again.
    """

    def __init__(self, make: Callable[[], Recorder], clock: Clock) -> None:
        self._make, self._clock = make, clock
        self._guard = threading.Lock()
        self._recorder: Recorder | None = None
        self._refusal: LessonBoxError | None = None
        self._again = 0.0
        with suppress(LessonBoxError):
            self._get()

    def record(self, events: Sequence[Event]) -> None:
        """See Recorder. Raises NewerDataError and StorageError too."""
        self._get().record(events)

    def _get(self) -> Recorder:
        with self._guard:
            if self._recorder is not None:
                return self._recorder
            now = self._clock.monotonic()
            if self._refusal is not None and now < self._again:
                raise type(self._refusal)(self._refusal.what)
            try:
                self._recorder = self._make()
            except (LessonBoxError, OSError) as error:
                refusal = storage_error(error, "usage.db") if isinstance(error, OSError) else error
                self._refusal, self._again = refusal, now + _AGAIN
                _LOG.error("usage is not recorded: %s", refusal.line())
                raise refusal from error
            self._refusal = None
            return self._recorder
