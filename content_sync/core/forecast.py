"""When a lesson is expected, as an honest range, from what the line really brought. Pure.

A line is remembered as hours: how many bytes an hour of wanting brought, nought while it was down or the box
was off. A forecast replays that past from many of its hours on: the time it would have taken then. So nights,
outages and budgets that lie in the past are in it without a model of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate

from msgspec import Struct
from msgspec.structs import replace

HOUR = 3600.0
#: Hours that are remembered: two weeks.
MOST_HOURS = 336
#: A forecast further away than this is none.
HORIZON = 60 * 24
_GRID = 48
_STARTS = 84
#: A range is widened to this share below and above what the past says; a short past widens more.
_BELOW, _ABOVE = 0.7, 1.4
#: Seconds of wanting after which a rate is worth saying anything.
ENOUGH = 60.0


class Line(Struct, frozen=True):
    """What the line brought. `hours`: bytes an hour, the oldest first; None: nothing was wanted.

    `bytes`, `active` and `passed` are of the hour that runs: what came, seconds of wanting, all seconds.
    """

    hours: tuple[int | None, ...] = ()
    bytes: int = 0
    active: float = 0.0
    passed: float = 0.0

    def moved(self, seconds: float, count: int, wanting: bool) -> Line:
        """After `seconds` in which `count` bytes came. Longer than an hour: spread evenly (a box that was
        off, or slept); an absurd length counts as two weeks."""
        line = self
        seconds = min(max(0.0, seconds), MOST_HOURS * HOUR)
        while seconds > 0 or count:
            step = min(seconds, HOUR - line.passed)
            part = count if step >= seconds else round(count * step / seconds)
            line = replace(
                line,
                bytes=line.bytes + part,
                active=line.active + (step if wanting else 0.0),
                passed=line.passed + step,
            )
            seconds, count = seconds - step, count - part
            if line.passed >= HOUR:
                # A few seconds of wanting say little about an hour.
                rate = round(line.bytes / line.active * HOUR) if line.active >= ENOUGH else None
                line = Line((*line.hours, rate)[-MOST_HOURS:])
        return line

    def plain(self) -> list[int | None]:
        """For storing: the hours; the one that runs is worth nothing after a restart."""
        return list(self.hours)


class Range(Struct, frozen=True):
    """Seconds from now: a lesson is expected between them."""

    first: float
    last: float


def expect(
    line: Line, amounts: Sequence[int], allowed: Callable[[float], float] | None = None
) -> list[Range | None]:
    """For rising amounts of bytes still to come (each lesson's own and all before it): when it is all here.

    `allowed(seconds)`: bytes that the budget lets through from now until then, at most; None: no limit.
    None for what the past gives no answer to: nothing measured yet, or too far away to say.
    """
    hours = _known_hours(line)
    if not hours or not amounts:
        return [None] * len(amounts)
    top = max(amounts)
    if top <= 0:
        return [Range(0.0, 0.0)] * len(amounts)
    grid = sorted({1, *(max(1, round(top * (n / _GRID) ** 2)) for n in range(1, _GRID + 1))})
    points = [_bounded(_replayed(hours, amount, len(line.hours)), amount, allowed) for amount in grid]
    found: list[Range | None] = []
    for amount in amounts:
        at = min(bisect_left(grid, amount), len(grid) - 1)
        low, high = points[max(0, at - 1)], points[at]
        if low is None or high is None:
            found.append(None)
            continue
        share = 0.0 if not at else (amount - grid[at - 1]) / (grid[at] - grid[at - 1])
        found.append(
            Range(low.first + (high.first - low.first) * share, low.last + (high.last - low.last) * share)
        )
    return found


def _bounded(found: Range | None, amount: int, allowed: Callable[[float], float] | None) -> Range | None:
    if found is None or allowed is None:
        return found
    limit = _when(allowed, amount)
    return None if limit is None else Range(max(found.first, limit), max(found.last, limit * _ABOVE))


def _known_hours(line: Line) -> list[int]:
    """The hours as numbers: an idle hour is as the same hour of other days, or as the mean."""
    hours: list[int | None] = list(line.hours)
    if line.active >= ENOUGH:
        hours.append(round(line.bytes / line.active * HOUR))
    known = [value for value in hours if value is not None]
    if not known or not any(known):
        return []
    mean = round(sum(known) / len(known))
    by_hour: dict[int, list[int]] = {}
    for place, value in enumerate(hours):
        if value is not None:
            by_hour.setdefault(place % 24, []).append(value)
    return [
        value
        if value is not None
        else round(sum(by_hour.get(place % 24, [mean])) / len(by_hour.get(place % 24, [mean])))
        for place, value in enumerate(hours)
    ]


def _replayed(hours: Sequence[int], amount: int, whole: int) -> Range | None:
    """How long `amount` bytes took from many hours of the past on, going round at its end."""
    count = len(hours)
    sums = [0, *accumulate([*hours, *hours])]
    round_trip = sums[count]
    times = []
    # Starts at the time of day that it is now first: a line has its nights.
    starts = list(range(count - 1, -1, -24)) + list(range(0, count, max(1, count // _STARTS)))
    for start in dict.fromkeys(starts):
        rounds, rest = divmod(amount, round_trip)
        if rounds * count > HORIZON:
            return None
        goal = sums[start] + rest
        at = bisect_left(sums, goal, start)
        inside = 0.0
        if at > start:
            rate = sums[at] - sums[at - 1]
            inside = at - 1 - start + (goal - sums[at - 1]) / rate
        times.append((rounds * count + inside) * HOUR)
    times.sort()
    # Little past: it may be anything; from a day on the spread of the past itself speaks.
    doubt = 1.0 + 3.0 / (1.0 + whole / 8)
    first = times[0] * _BELOW / doubt
    last = times[-1] * _ABOVE * doubt + ENOUGH
    return None if last > HORIZON * HOUR * 2 else Range(first, last)


def _when(allowed: Callable[[float], float], amount: int) -> float | None:
    """The first time at which the budget has let `amount` bytes through; None: not within the horizon."""
    last = HOUR
    while allowed(last) < amount:
        last *= 2
        if last > HORIZON * HOUR:
            return None
    first = 0.0
    while last - first > 60.0:
        middle = (first + last) / 2
        if allowed(middle) < amount:
            first = middle
        else:
            last = middle
    return last
