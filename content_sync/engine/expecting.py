"""When each lesson is expected, and what the plan says of it, kept for the pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from content_sync.core.forecast import MOST_HOURS, Line, Range, expect
from content_sync.core.plan import Decision
from content_sync.ports import Clock, PlannedRow, State

#: Forecasts are made again at most so often, in seconds; and one that is nearly as before stays.
_AGAIN = 600.0
_NEARLY = 0.15
_STATUS = "line"
_Between = Callable[[float, float], float]


class Expecting:
    """`step` after each look at the plan. `ordered`: lessons come in the order of the plan, as they do over
    the network; what is broadcast comes in its own."""

    def __init__(self, state: State, clock: Clock, ordered: bool) -> None:
        self._state, self._clock, self._ordered = state, clock, ordered
        self._rows = state.planned()
        #: Lesson -> when it made room for others, of those that are not back.
        self.evicted = {row.lesson: row.evicted for row in self._rows.values() if row.evicted is not None}
        self.line, self._off_since = _remembered(state.status(_STATUS))
        self._at: float | None = None
        self._count = 0
        self._wanting = True
        self._due = 0.0

    def step(
        self,
        now: float,
        decisions: Sequence[Decision],
        count: int,
        today: int | None,
        between: _Between | None,
        changed: bool,
    ) -> None:
        """`count`: bytes that came so far, by a counter that only rises while the program runs; `today`: the
        trusted date or None; `between`: bytes that the budget lets through between two times."""
        self._measure(now, count, today)
        self._wanting = any(decision.waits or decision.reason.code == "one-way" for decision in decisions)
        if not changed and now < self._due:
            return
        self._due = now + _AGAIN
        self._write(decisions, self._ranges(decisions, today, between), today)

    def _measure(self, now: float, count: int, today: int | None) -> None:
        known = len(self.line.hours)
        if self._at is None:
            if self._off_since is not None and today is not None and today > self._off_since:
                self.line = self.line.moved(today - self._off_since, 0, True)  # the box was off
                self._off_since = None
        else:
            self.line = self.line.moved(now - self._at, max(0, count - self._count), self._wanting)
        self._at, self._count = now, count
        if len(self.line.hours) != known or (known == MOST_HOURS and not self.line.passed):
            self._state.set_status({_STATUS: {"hours": list(self.line.hours), "at": today}})

    def _ranges(
        self, decisions: Sequence[Decision], today: int | None, between: _Between | None
    ) -> dict[str, Range]:
        if today is None:  # a date that nobody knows is no help
            return {}
        allowed = None if between is None else lambda seconds: between(today, today + seconds)
        waits = [d for d in decisions if d.waits or d.reason.code == "one-way"]
        sums = list(accumulate(d.lacking for d in waits))
        found = expect(self.line, sums, allowed)
        if not self._ordered and sums:
            ends = found[-1]
            if ends is None:
                return {}
            # A carousel has an order of its own: at best this one comes first, at worst last.
            own = expect(self.line, [d.lacking for d in sorted(waits, key=lambda d: d.lacking)], allowed)
            best = next((one.first for one in own if one is not None), 0.0)
            found = [Range(min(best, ends.first), ends.last)] * len(waits)
        return {d.lesson: one for d, one in zip(waits, found, strict=True) if one is not None}

    def _write(self, decisions: Sequence[Decision], ranges: dict[str, Range], today: int | None) -> None:
        listed = {decision.lesson for decision in decisions}
        gone = [lesson for lesson in self._rows if lesson not in listed]
        for lesson in gone:
            del self._rows[lesson]
            self.evicted.pop(lesson, None)
        changes = []
        for decision in decisions:
            old = self._rows.get(decision.lesson)
            first, last = _dates(ranges.get(decision.lesson), today, old)
            row = PlannedRow(
                decision.lesson,
                int(decision.need),
                decision.reason.code,
                dict(decision.reason.facts),
                first,
                last,
                self.evicted.get(decision.lesson),
            )
            if row != old:
                changes.append(row)
                self._rows[decision.lesson] = row
        if changes or gone:
            self._state.note_planned(changes, gone)


def _dates(found: Range | None, today: int | None, old: PlannedRow | None) -> tuple[int | None, int | None]:
    """Unix seconds to be shown: nearly what was shown before stays, so that little is written."""
    if found is None or today is None:
        return None, None
    first, last = today + int(found.first), today + int(found.last)
    if old is not None and old.first is not None and old.last is not None:
        slack = max(_AGAIN, _NEARLY * found.last)
        if abs(old.first - first) <= slack and abs(old.last - last) <= slack and old.last > today:
            return old.first, old.last
    return first, last


def _remembered(stored: Any) -> tuple[Line, int | None]:
    hours = stored.get("hours") if isinstance(stored, dict) else None
    if not isinstance(hours, list) or not all(type(hour) in (int, type(None)) for hour in hours):
        return Line(), None
    at = stored.get("at")
    return Line(tuple(hours[-MOST_HOURS:])), at if type(at) is int else None
