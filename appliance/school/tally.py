"""Keeps what was counted: taps and classes in school.db, made of what usage.db holds (docs/usage.md).

A class is written down once, when no tap can join it any more; until then it is counted anew each time. It is
told to the agent when it can be dated.
"""

from __future__ import annotations

import itertools
import json
import logging
import secrets
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from appliance.school.classes import BACK, MODES, SILENCE, WINDOW, Class, Holding, Room, Tap, count, hold
from appliance.school.database import School
from appliance.school.timetable import Period
from appliance.usage import database
from appliance.usage.dating import NTP, Anchor, Boot, Calendar
from appliance.usage.sessions import Sessions, Step, Stored
from content_sync.core.timefloor import TimeFloor
from content_sync.errors import LessonBoxError
from content_sync.ports import Clock

#: Periods and terms go by a time that is known at least so well, in seconds.
SURE = 600
#: How long a class waits to learn the true time before it is counted without the timetable.
PATIENCE = 60 * 60_000
EVERY = 60.0
_MEMORY = 15.0
#: Events of one board, and of all, that counting reads of a boot: a board that turns a page each minute and
#: pings makes 180 an hour.
_MOST_EVENTS, _MOST_IN_ALL = 10_000, 200_000
_MARGIN = 15 * 60_000
_EVENT = "id, board, lesson, resource, kind, visit, type, at, position, origin, boot, mono, wall, source"
_TAP = "id, teacher, place, board, mode, boot, mono, over"
_CLASS = "id, tap, teacher, place, kind, lesson, seconds, boot, mono, period"
log = logging.getLogger(__name__)


class Library(Struct, frozen=True):
    """What counting asks of the library. `floor`: the newest signed time; `offset`: minutes east of UTC."""

    title: Callable[[str], str]
    training: Callable[[str], bool]
    floor: Callable[[], TimeFloor]
    offset: Callable[[], int]


class Now(Struct, frozen=True):
    """Who teaches at a place: the tap and whether it made a class already."""

    tap: str
    teacher: str
    mode: str
    seconds: int


class Tally:
    """Counts for any number of threads of one process."""

    def __init__(self, school: School, usage: Path, outbox: Path, clock: Clock, library: Library) -> None:
        self._school, self._usage, self._outbox = school, usage, outbox
        self._clock, self._library = clock, library
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._counting = threading.Lock()
        self._changes = 0  # taps, over and settled: what was counted before does not have them
        self._known: tuple[int, float, list[Holding], list[Class]] | None = None

    def start(self) -> None:
        """Settle each minute, in a thread of its own, until the process ends."""
        threading.Thread(target=self._run, name="tally", daemon=True).start()

    def _run(self) -> None:
        said = ""
        while not self._ended.wait(EVERY):
            try:
                self.settle()
                said = ""
            except LessonBoxError as error:  # a disk that is full now may not be in a minute
                if error.line() != said:
                    log.warning("classes: %s", error.line())
                said = error.line()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()

    # what people do

    def tap(self, teacher: str, board: str, room: str | None, mode: str) -> str:
        """Somebody tapped a name: the board's use is this teacher's from now on. The tap's id. Raises
        DiskFullError, BusyError, StorageError."""
        assert mode in MODES
        identity = secrets.token_hex(8)
        facts = (int(self._clock.wall() * 1000), self._clock.source())
        with self._school.write() as db:
            db.execute(
                f"INSERT INTO tap ({_TAP}, wall, source) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?)",
                (identity, teacher, room or board, board, mode, self._clock.boot_id(), self._mono(), *facts),
            )
        self._changes += 1
        return identity

    def over(self, board: str, room: str | None) -> str | None:
        """下课: end what was tapped at this place; the tap that it was. Raises as `tap`."""
        now = self.now(board, room)
        if now is not None:
            with self._school.write() as db:
                db.execute("UPDATE tap SET over = ? WHERE id = ? AND over IS NULL", (self._mono(), now.tap))
            self._changes += 1
        return now.tap if now is not None else None

    # what pages ask

    def now(self, board: str, room: str | None) -> Now | None:
        """Who teaches at this place now. Raises BusyError, StorageError."""
        mono, boot = self._mono(), self._clock.boot_id()
        held, classes = self._counted()
        here = [one for one in held if one.tap.boot == boot]
        # a board that got another room since is still who tapped at it
        mine = [one for one in here if one.tap.place == (room or board) or one.tap.board == board]
        if not mine or not mine[-1].tap.mono <= mono < mine[-1].ends:
            return None
        tap = mine[-1].tap
        slot = {one.tap.id for one in held if one.slot == mine[-1].slot}
        seconds = sum(one.seconds for one in classes if one.tap in slot)
        return Now(tap.id, tap.teacher, tap.mode, seconds)

    def unsettled(self) -> list[Class]:
        """Classes that count already and are not written down yet. Raises BusyError, StorageError."""
        return self._counted()[1]

    # counting

    def settle(self) -> None:
        """Write down the classes that no tap can join any more, and date what can be dated. Raises
        DiskFullError, BusyError, StorageError, NewerDataError."""
        with self._lock:
            calendar = self.calendar()
            with self._counting:
                held, classes = self._count(calendar)
            mono, boot, periods = self._mono(), self._clock.boot_id(), bool(self.periods())

            def final(one: Holding) -> bool:
                patience = PATIENCE if periods and one.period is None else 0
                return one.tap.boot != boot or mono > one.until + patience

            open_slots = {one.slot for one in held if not final(one)}
            done = [one.tap.id for one in held if one.slot not in open_slots]
            made = [one for one in classes if one.tap in set(done)]
            if done:
                with self._school.write() as db:
                    self._write(db, made, done)
                self._changes += 1
            self._date(calendar)

    def _write(self, db: sqlite3.Connection, made: list[Class], done: list[str]) -> None:
        for one in made:
            db.execute(
                f"INSERT OR IGNORE INTO class ({_CLASS}, title, wall, source)"
                " SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, wall + ? - mono, source FROM tap WHERE id = ?",
                (*astuple(one), self._library.title(one.lesson), one.mono, one.tap),
            )
        db.executemany("UPDATE tap SET settled = 1 WHERE id = ?", [(identity,) for identity in done])

    def _date(self, calendar: Calendar) -> None:
        with self._school.read() as db:
            waiting = db.execute("SELECT number, boot, mono FROM class WHERE told IS NULL ORDER BY number")
            rows = [tuple(row) for row in waiting]
        now = self._mono() // 1000
        dated = [(number, calendar.date(boot, mono // 1000, now)) for number, boot, mono in rows]
        found = [(number, when) for number, when in dated if when is not None]
        if not found:
            return
        with self._school.write() as db:
            for number, when in found:
                db.execute(
                    "UPDATE class SET start = ?, uncertainty = ?, clock = ?,"
                    " told = (SELECT coalesce(max(told), 0) + 1 FROM class) WHERE number = ?",
                    (when.start, when.uncertainty, when.clock, number),
                )

    def _counted(self) -> tuple[list[Holding], list[Class]]:
        """What is not settled, counted at most a quarter of a minute ago. One thread counts; the others take
        what was counted last, and wait where that lacks a change."""
        known = self._known
        whole = known is not None and known[0] == self._changes
        if known is not None and whole and 0 <= self._clock.monotonic() - known[1] < _MEMORY:
            return known[2], known[3]
        if not self._counting.acquire(blocking=not whole):
            assert known is not None
            return known[2], known[3]
        try:
            changes, now, known = self._changes, self._clock.monotonic(), self._known
            if known is None or known[0] != changes or not 0 <= now - known[1] < _MEMORY:
                held, classes = self._count(self.calendar() if self.periods() else None)
                known = self._known = (changes, now, held, classes)
            return known[2], known[3]
        finally:
            self._counting.release()

    def _count(self, calendar: Calendar | None) -> tuple[list[Holding], list[Class]]:
        with self._school.read() as db:
            found = db.execute(f"SELECT {_TAP} FROM tap WHERE NOT settled ORDER BY number").fetchall()
        taps = [Tap(*tuple(row)) for row in found]
        if not taps:
            return [], []
        room = self._room()
        steps = self._steps(taps, room)
        offset = self._library.offset() * 60

        def local(boot: str, mono: int) -> int | None:
            when = calendar.at(boot, mono // 1000) if calendar is not None else None
            sure = when is not None and when.clock in ("ntp", "county") and when.uncertainty <= SURE
            return when.start + offset if when is not None and sure else None

        held = hold(taps, steps, room, local)
        return held, count(held, steps, room)

    def _steps(self, taps: list[Tap], room: Room) -> list[Step]:
        """Active time around the taps, of boards at their places. A session that had begun before is counted
        from its next event on."""
        at = {tap.place for tap in taps}
        boards = (
            at | {tap.board for tap in taps} | {board for board in room.places if room.places[board] in at}
        )
        spans: dict[str, tuple[int, int]] = {}
        for tap in taps:
            first, last = spans.get(tap.boot, (tap.mono, tap.mono))
            spans[tap.boot] = min(first, tap.mono), max(last, tap.mono)
        reader = database.open_reader(self._usage)
        if reader is None:
            return []
        found: list[Step] = []
        with closing(reader), database.sqlite_errors(self._usage.name):
            for boot, (first, last) in spans.items():
                rows = reader.execute(
                    f"SELECT {_EVENT} FROM event WHERE boot = ? AND mono BETWEEN ? AND ?"
                    " AND board IN (SELECT value FROM json_each(?)) ORDER BY id",
                    (boot, first - WINDOW - _MARGIN, last + WINDOW + BACK + SILENCE, json.dumps([*boards])),
                )
                sessions = Sessions()
                for event in itertools.islice(_fair(rows), _MOST_IN_ALL):
                    step = sessions.hear(event)
                    if step is not None:
                        found.append(step)
        return found

    def _room(self) -> Room:
        with self._school.read() as db:
            places = {
                row[0]: row[1] for row in db.execute("SELECT id, room FROM board WHERE room IS NOT NULL")
            }
            mixed = [
                row[0]
                for row in db.execute("SELECT id FROM room WHERE json_array_length(grades) > 1").fetchall()
            ]
        return Room(places, frozenset(mixed), self.periods(), self._library.training)

    def periods(self) -> tuple[Period, ...]:
        """The periods that the school has set; the usual ones are nobody's word."""
        with self._school.read() as db:
            return tuple(
                Period(*row) for row in db.execute("SELECT no, begins, ends FROM period ORDER BY no")
            )

    def calendar(self) -> Calendar:
        """What is known of the times of this box's boots: by the agent, and by the taps themselves. Raises
        BusyError, StorageError, NewerDataError."""
        from appliance.usage.outbox import read_boots, witness  # no page waits for this

        boots, anchors = read_boots(self._outbox)
        with self._school.read() as db:
            seen = db.execute(
                "SELECT boot, mono, wall, source FROM tap WHERE NOT settled"
                " UNION ALL SELECT boot, mono, wall, source FROM class WHERE told IS NULL"
            ).fetchall()
        present = self._clock.boot_id()
        known = {boot.id for boot in boots}
        # a boot that the agent does not know was before all that it knows
        earlier = dict.fromkeys(row["boot"] for row in seen if row["boot"] not in known | {present})
        order = [Boot(boot, 0) for boot in earlier] + [boot for boot in boots if boot.id != present]
        order.append(next((boot for boot in boots if boot.id == present), Boot(present, 0)))
        anchors += [witness(*tuple(row)) for row in seen]
        if self._clock.source() == "ntp":
            wall = int(self._clock.wall())
            anchors.append(Anchor(present, int(self._clock.monotonic()), wall, NTP, "ntp"))
        return Calendar(order, anchors, self._library.floor())

    def _mono(self) -> int:
        return int(self._clock.monotonic() * 1000)


def _fair(rows: Iterable[Any]) -> Iterator[Stored]:
    """The events, of each board only so many: one that floods costs no other board its class."""
    seen: Counter[str] = Counter()
    for row in rows:
        event = Stored(*row)
        seen[event.board] += 1
        if seen[event.board] <= _MOST_EVENTS:
            yield event
