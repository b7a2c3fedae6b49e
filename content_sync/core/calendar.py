"""What is needed when: the county's deadlines, teachers' wishes, the teaching calendar. Pure.

Times are unix seconds. `now` is None when the clock is not trusted: then no date orders or drops anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum

from msgspec import Struct, field

from content_sync.core.timefloor import TimeFloor
from content_sync.formats.policy import BEIJING, Policy, Term

DAY = 86_400
#: A deadline that has passed counts for so long still: a class is often held again.
LATE = 7 * DAY
#: Weeks of the calendar after this one that come before the rest.
AHEAD = 2
#: A clock that no NTP has set is believed while it agrees with what the county signed this lately.
AGREES = 21 * DAY
WISH_COUNTS = 60 * DAY


class Need(IntEnum):
    """Why a lesson is wanted now, the most urgent first."""

    DEADLINE = 0
    WISH = 1
    CALENDAR = 2
    TERM = 3
    REST = 4


class Wishes(Struct, frozen=True):
    """How many boards asked for a lesson, and when the first did (None: not known)."""

    boards: int
    first: int | None


class Agenda(Struct, frozen=True):
    """What orders the plan. `deadlines`: lesson -> time; `week`: of the term, None when it is not known."""

    deadlines: Mapping[str, int] = field(default_factory=dict)
    wishes: Mapping[str, Wishes] = field(default_factory=dict)
    week: int | None = None
    term: Term | None = None
    now: int | None = None

    def need(self, lesson: str, volume: str, week: int | None) -> tuple[Need, int, int]:
        """How urgent a lesson is: its need, and what orders lessons of the same need."""
        by = self.deadlines.get(lesson)
        if by is not None and (self.now is None or self.now <= by + LATE):
            return Need.DEADLINE, by, 0
        wish = self.wishes.get(lesson)
        if wish is not None:
            return Need.WISH, -wish.boards, wish.first or 0
        if not self.in_term(volume):
            return Need.REST, 0, 0
        if self.week is not None and week is not None and self.week <= week <= self.week + AHEAD:
            return Need.CALENDAR, week, 0
        # No lesson counts as more needed for its volume before the county has told the term.
        return (Need.REST if self.term is None else Need.TERM), 0, 0

    def in_term(self, volume: str) -> bool:
        """Whether a volume is of this term; every one is while the term is not known. Needs no clock."""
        if self.term is None or self.term.volume == "全一册":
            return True
        return volume in (self.term.volume, "全一册") or volume not in ("上册", "下册")


def believed(wall: int, ntp: bool, floor: TimeFloor) -> int | None:
    """`wall` when it may be used as the date, else None: set by NTP, or in step with what the county signed
    in the last weeks; never when the county has signed something later."""
    if floor.contradicts(wall):
        return None
    lately = floor.floor is not None and wall <= floor.floor + AGREES
    return wall if ntp or lately else None


def local_day(now: int, utc_offset: int = BEIJING) -> date:
    """The day at a place `utc_offset` minutes east of UTC."""
    return (datetime.fromtimestamp(now, UTC) + timedelta(minutes=utc_offset)).date()


def week_of(term: Term, day: date) -> int | None:
    """The week of the term, from 1; None before it begins or after it."""
    monday = term.start - timedelta(days=term.start.weekday())
    week = (day - monday).days // 7 + 1
    # In the week before the first, the first weeks are prepared.
    return max(1, week) if 0 <= week <= term.weeks else None


def agenda(policy: Policy, wishes: Mapping[str, Wishes], now: int | None) -> Agenda:
    """The agenda of a box; of two deadlines of a lesson the earlier that still counts holds."""
    deadlines: dict[str, int] = {}
    for deadline in policy.deadlines:
        late = now is not None and now > deadline.by + LATE
        if not late and deadline.by < deadlines.get(deadline.lesson, deadline.by + 1):
            deadlines[deadline.lesson] = deadline.by
    fresh = {
        lesson: wish
        for lesson, wish in wishes.items()
        if now is None or wish.first is None or now - wish.first <= WISH_COUNTS
    }
    week = None
    if policy.term is not None and now is not None:
        week = week_of(policy.term, local_day(now, policy.utc_offset))
    return Agenda(deadlines, fresh, week, policy.term, now)
