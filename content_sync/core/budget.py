"""How fast a box may fetch from afar by the county's rules: windows of local time, live classes, and what the
windows and quotas let through. Pure.

Where the true time is not known the most careful of all windows holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from msgspec import Struct

from content_sync.formats.budget import DAY_MINUTES, BudgetPolicy, Window

_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_LAST = date.max.toordinal() - 1
#: Windows are not told apart by a time that is not better known than this.
_VAGUE = 6 * 3600
#: A change of the rules further off than this is not looked for.
_AHEAD = 8 * _DAY


class Known(Struct, frozen=True):
    """The true time: unix seconds, and by how many it may be wrong."""

    unix: float
    uncertainty: float


class Allowed(Struct, frozen=True):
    """Bytes a second (None: no limit) and why: `open`, `window`, `rate`, `class`, `clock`."""

    rate: int | None
    reason: str


class Spent(Struct, frozen=True):
    """Bytes of this day's and this month's quota that are used."""

    day: int = 0
    month: int = 0


def least(*rates: int | None) -> int | None:
    """The smallest rate, None being no limit."""
    return min((rate for rate in rates if rate is not None), default=None)


def day_number(unix: float, offset: int) -> int:
    """The local day, counted from 1970-01-01; for any number that a clock may show."""
    return max(1 - _EPOCH, min(int((unix + offset) // _DAY), _LAST - _EPOCH))


def month_number(unix: float, offset: int, month_day: int) -> int:
    """The month that local day belongs to, when months begin on their day `month_day`."""
    day = date.fromordinal(day_number(unix, offset) + _EPOCH)
    return day.year * 12 + day.month - 1 - (day.day < month_day)


def clock_text(unix: float, offset: int) -> str:
    """Local hours and minutes, `08:00`."""
    minute = int((unix + offset) // 60) % DAY_MINUTES
    return f"{minute // 60:02}:{minute % 60:02}"


def _on(window: Window, day: int) -> bool:
    if window.on is not None:
        return window.on.toordinal() - _EPOCH == day
    return str((day + 3) % 7 + 1) in window.days  # 1970-01-01 was a Thursday


def _holds(window: Window, day: int, minute: int) -> bool:
    if window.start < window.end:
        return window.start <= minute < window.end and _on(window, day)
    return (minute >= window.start and _on(window, day)) or (minute < window.end and _on(window, day - 1))


class Budget:
    """The rules of one box. `offset`: seconds that its local time is east of UTC."""

    def __init__(self, policy: BudgetPolicy, offset: int) -> None:
        self.policy, self.offset = policy, offset
        every = (*policy.windows, *policy.live)
        self._edges = sorted({0} | {m % DAY_MINUTES for window in every for m in (window.start, window.end)})

    def allowed(self, known: Known | None) -> Allowed:
        """What windows and timetable allow now."""
        if not self.policy.windows and not self.policy.live:
            return Allowed(self.policy.rate, "open" if self.policy.rate is None else "rate")
        if known is None or known.uncertainty > _VAGUE:
            return self._careful()
        first, last = known.unix - known.uncertainty, known.unix + known.uncertainty
        found = self._at(first)
        for edge in self._changes(first, last):
            found = min(found, self._at(edge), key=_rank)
        return found

    def _careful(self) -> Allowed:
        if self.policy.live:
            return Allowed(0, "clock")
        return Allowed(least(self.policy.rate, *(window.rate for window in self.policy.windows)), "clock")

    def _at(self, unix: float) -> Allowed:
        day = day_number(unix, self.offset)
        minute = int((unix + self.offset) // 60) - day * DAY_MINUTES
        if any(_holds(window, day, minute) for window in self.policy.live):
            return Allowed(0, "class")
        rates = [window.rate for window in self.policy.windows if _holds(window, day, minute)]
        if not rates:
            return Allowed(self.policy.rate, "open" if self.policy.rate is None else "rate")
        rate = least(*rates)
        return Allowed(rate, "open" if rate is None else "window")

    def _changes(self, t0: float, t1: float) -> Iterator[float]:
        """Times after t0 and up to t1 at which the rules may change; every local midnight is one."""
        for day in range(day_number(t0, self.offset), day_number(t1, self.offset) + 1):
            for edge in self._edges:
                at = float(day * _DAY + edge * 60 - self.offset)
                if t0 < at <= t1:
                    yield at

    def next_change(self, unix: float) -> float | None:
        """When the rate changes next by windows and timetable; None: not within eight days."""
        now = self._at(unix)
        return next((at for at in self._changes(unix, unix + _AHEAD) if self._at(at) != now), None)

    def allows(
        self, t0: float, t1: float, line: int = 1 << 40, metered: bool = False, spent: Spent = Spent()
    ) -> int:
        """Bytes that may come between two true times over a line of `line` bytes a second. `spent` is of t0's
        day and month; it counts only on a metered line, as the quotas do."""
        total = 0.0
        quotas = metered and (self.policy.day is not None or self.policy.month is not None)
        used = {"day": float(spent.day), "month": float(spent.month)}
        labels = self._labels(t0)
        edges = [t0, *self._changes(t0, t1), t1]
        for begin, end in zip(edges, edges[1:], strict=False):
            rate = least(self._at(begin).rate, line) or 0
            room = rate * max(0.0, end - begin)
            if quotas:
                now = self._labels(begin)
                for name in used:
                    if now[name] != labels[name]:
                        used[name] = 0.0
                labels = now
                for name, quota in (("day", self.policy.day), ("month", self.policy.month)):
                    if quota is not None:
                        room = min(room, max(0.0, quota - used[name]))
                for name in used:
                    used[name] += room
            total += room
        return int(total)

    def _labels(self, unix: float) -> dict[str, int]:
        return {
            "day": day_number(unix, self.offset),
            "month": month_number(unix, self.offset, self.policy.month_day),
        }


def _rank(allowed: Allowed) -> float:
    return float("inf") if allowed.rate is None else allowed.rate
