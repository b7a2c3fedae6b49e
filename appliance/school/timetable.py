"""The timetable (课表): periods of the day, what each grade of a room has in them, and what is on now.

The rules are pure; only `load`, `save_periods` and `save_slots` touch school.db. Times are minutes after
midnight of the box's local day; weekdays count from Monday, 1.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from appliance.school.database import School
from appliance.school.rooms import Room
from content_sync.errors import FormatError

EVERY, ODD, EVEN = 0, 1, 2
DAYS = range(1, 8)
MAX_PERIODS, MAX_SLOTS = 16, 4_000
_MIDNIGHT = 24 * 60
_TIME = re.compile(r"([0-9]{1,2})[:：.]?([0-9]{2})")
_TEACHER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUBJECT = 20


class Period(Struct, frozen=True, order=True):
    """A period (节) of the school day, `ends` not included."""

    no: int
    begins: int
    ends: int


#: What most primary schools have: lessons of 40 minutes, four before noon, three after.
USUAL = tuple(
    Period(no, begins, begins + 40)
    for no, begins in enumerate((510, 560, 630, 680, 840, 890, 940), 1)  # 8:30 9:20 10:30 11:20 14:00 …
)


class Slot(Struct, frozen=True, order=True):
    """What a grade has in a period of a weekday; `weeks`: every one, odd or even ones."""

    weekday: int
    period: int
    grade: str
    weeks: int
    subject: str
    teacher: str | None = None

    @property
    def key(self) -> tuple[int, int, str, int]:
        """What there is one of."""
        return self.weekday, self.period, self.grade, self.weeks


class Held(Struct, frozen=True):
    """A slot on a day: the period it is held in, and how many days ahead (0: today)."""

    period: Period
    slot: Slot
    ahead: int = 0

    @property
    def subject(self) -> str:
        """What is taught."""
        return self.slot.subject


class Timetable(Struct, frozen=True):
    """The timetable of one room."""

    periods: tuple[Period, ...] = USUAL
    slots: tuple[Slot, ...] = ()

    def day(self, weekday: int, week: int | None, ahead: int = 0) -> list[Held]:
        """What is held on a weekday, by period. In a week whose number is not known, odd weeks' subjects
        stand for both."""
        fits = {EVERY, EVEN if week is not None and week % 2 == 0 else ODD}
        by_no = {period.no: period for period in self.periods}
        return sorted(
            (
                Held(by_no[slot.period], slot, ahead)
                for slot in self.slots
                if slot.weekday == weekday and slot.weeks in fits and slot.period in by_no
            ),
            key=lambda held: (held.period.begins, held.slot.grade, -held.slot.weeks),
        )

    def period_at(self, minute: int) -> Period | None:
        """The period that is on."""
        return next((p for p in self.periods if p.begins <= minute < p.ends), None)

    def now(self, when: datetime.datetime, week: int | None) -> list[Held]:
        """What is on at this moment, one a grade."""
        period, found = self.period_at(minute_of(when)), dict[str, Held]()
        for held in self.day(when.isoweekday(), week):
            if held.period == period:
                found.setdefault(held.slot.grade, held)
        return list(found.values())

    def coming(self, when: datetime.datetime, week: int | None, grade: str) -> list[Held]:
        """What a grade has from now on: what is on, then the rest of the day; after the last lesson of the
        day (or on a day without any) the next day that has some, at most a week ahead."""
        for ahead in range(8):
            day = when + datetime.timedelta(days=ahead)
            its_week = week
            if week is not None:  # the week number rises on Mondays
                its_week = week + (when.isoweekday() - 1 + ahead) // 7
            held: dict[int, Held] = {}
            for one in self.day(day.isoweekday(), its_week, ahead):
                if one.slot.grade == grade and (ahead or one.period.ends > minute_of(when)):
                    held.setdefault(one.period.no, one)
            if held:
                return list(held.values())
        return []


def minute_of(when: datetime.datetime) -> int:
    """Minutes after midnight."""
    return when.hour * 60 + when.minute


class Turn(Struct, frozen=True):
    """Where a grade of a 复式 room stands in its period: `teaching` now, for `left` minutes more, or `until`
    its turn (None: it had its last), and the stretches of the period as (minutes, taught)."""

    teaching: bool
    left: int
    until: int | None
    stretches: tuple[tuple[int, bool], ...]
    elapsed: int
    length: int


def turn(room: Room, grade: str, period: Period, minute: int) -> Turn | None:
    """Where a grade stands by its room's plan of turns; None when the plan says nothing of it."""
    length, elapsed = period.ends - period.begins, minute - period.begins
    if not 0 <= elapsed < length or not any(name == grade for name, _ in room.turns):
        return None
    spans: list[tuple[int, int, bool]] = []
    at = 0
    for name, minutes in room.turns:
        end = min(at + minutes, length)
        if end > at:
            spans.append((at, end, name == grade))
        at = end
    if at < length:
        spans.append((at, length, False))
    merged: list[tuple[int, bool]] = []
    for begin, end, taught in spans:
        if merged and merged[-1][1] == taught:
            merged[-1] = (merged[-1][0] + end - begin, taught)
        else:
            merged.append((end - begin, taught))
    teaching = next((end - elapsed for begin, end, taught in spans if taught and begin <= elapsed < end), 0)
    until = next((begin - elapsed for begin, _, taught in spans if taught and begin > elapsed), None)
    if not any(taught for _, taught in merged):
        return None  # the period is over before its turn comes
    return Turn(bool(teaching), teaching, until, tuple(merged), elapsed, length)


def parse_time(text: str) -> int:
    """`8:30` (or `830`, where a keyboard has only digits) as minutes. Raises FormatError."""
    match = _TIME.fullmatch(text.strip())
    if (
        match is None
        or int(match[1]) > 24
        or int(match[2]) > 59
        or int(match[1]) * 60 + int(match[2]) > _MIDNIGHT
    ):
        raise FormatError(f"not a time: {text[:20]!r}")
    return int(match[1]) * 60 + int(match[2])


def time_text(minutes: int) -> str:
    """Minutes as `8:30`."""
    return f"{minutes // 60}:{minutes % 60:02d}"


def check_periods(times: Iterable[tuple[str, str]]) -> tuple[Period, ...]:
    """Periods from their begin and end as people write them; lines without both are left out. Raises
    FormatError."""
    found: list[Period] = []
    for begin, end in times:
        if not begin.strip() and not end.strip():
            continue
        period = Period(len(found) + 1, parse_time(begin), parse_time(end))
        if period.begins >= period.ends or (found and period.begins < found[-1].ends):
            raise FormatError(f"period {period.no} begins before it may")
        found.append(period)
    if not found or len(found) > MAX_PERIODS:
        raise FormatError(f"a day has 1 to {MAX_PERIODS} periods")
    return tuple(found)


def check_slot(slot: Slot, periods: int = MAX_PERIODS) -> Slot:
    """The slot, if it is one. Raises FormatError."""
    good = (
        slot.weekday in DAYS
        and 1 <= slot.period <= periods
        and slot.weeks in (EVERY, ODD, EVEN)
        and 0 < len(slot.subject) <= _SUBJECT
        and slot.subject.isprintable()
        and 0 < len(slot.grade) <= _SUBJECT
        and (slot.teacher is None or _TEACHER.fullmatch(slot.teacher))
    )
    if not good:
        raise FormatError("a lesson of the timetable is damaged")
    return slot


# school.db


def load(school: School, room: str) -> Timetable:
    """The timetable of a room. Raises BusyError, StorageError."""
    found: Timetable = school.kept(("timetable", room), lambda: _read(school, room))
    return found


def _read(school: School, room: str) -> Timetable:
    with school.read() as db:
        periods = tuple(Period(*row) for row in db.execute("SELECT no, begins, ends FROM period ORDER BY no"))
        slots = tuple(
            Slot(*row)
            for row in db.execute(
                "SELECT weekday, period, grade, weeks, subject, teacher FROM slot WHERE room = ?"
                " ORDER BY weekday, period, grade, weeks",
                (room,),
            )
        )
    return Timetable(periods or USUAL, slots)


def save_periods(school: School, periods: Sequence[Period]) -> None:
    """Periods of the school's day, for all rooms. Raises DiskFullError, BusyError, StorageError."""
    with school.write() as db:
        db.execute("DELETE FROM period")
        db.executemany("INSERT INTO period VALUES (?, ?, ?)", [(p.no, p.begins, p.ends) for p in periods])


def save_slots(school: School, room: str, slots: Sequence[Slot]) -> None:
    """All that a room's timetable says, in place of what it said. Raises FormatError, DiskFullError,
    BusyError, StorageError."""
    unique = {slot.key: check_slot(slot) for slot in slots}
    if len(unique) > MAX_SLOTS:
        raise FormatError(f"a timetable has at most {MAX_SLOTS} lessons")
    with school.write() as db:
        if not db.execute("SELECT 1 FROM room WHERE id = ?", (room,)).fetchone():
            raise FormatError("there is no such room")
        db.execute("DELETE FROM slot WHERE room = ?", (room,))
        db.executemany(
            "INSERT INTO slot VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(room, s.weekday, s.period, s.grade, s.weeks, s.subject, s.teacher) for s in unique.values()],
        )
