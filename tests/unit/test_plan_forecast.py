"""The forecast is honest: over weeks of outages lessons arrive within the range that was stated."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content_sync.core.forecast import HOUR, MOST_HOURS, Line, Range, expect
from content_sync.core.plan import Want, make
from content_sync.testing.fakes import ManualClock

STEP = 600.0
WEEKS = 4
#: A day's hours in which a school has no power.
DARK = range(22, 30)


@dataclass
class Stated:
    """A forecast that was given: when, for which lesson, and the range in seconds from then."""

    at: float
    lesson: str
    range: Range


class Outages:
    """A bad line: up and down for random hours, each hour of its own speed, dark at night for some."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.mean = self.chance.choice([2e4, 6e4, 2e5])
        self.up_hours, self.down_hours = self.chance.uniform(4, 30), self.chance.uniform(1, 10)
        self.dark = self.chance.random() < 0.4
        self.up, self.until = True, 0.0

    def rate(self, now: float) -> float:
        """Bytes a second during the step from `now`."""
        if now >= self.until:
            self.up = not self.up
            hours = self.up_hours if self.up else self.down_hours
            self.until = now + self.chance.expovariate(1 / hours) * HOUR
        dark = self.dark and (now / HOUR) % 24 < len(DARK)
        return self.mean * self.chance.lognormvariate(0, 0.5) if self.up and not dark else 0.0


def simulate(seed: int) -> tuple[list[Stated], dict[str, float], float]:
    """What was stated, when each lesson arrived, and when it ended."""
    chance, line, past, clock = random.Random(seed * 7 + 1), Outages(seed), Line(), ManualClock(0.0)
    lacking: dict[str, float] = {}
    arrived: dict[str, float] = {}
    stated: list[Stated] = []
    running: frozenset[str] = frozenset()
    came = 0
    for step in range(int(WEEKS * 7 * 86400 / STEP)):
        now = clock.monotonic()
        if step % int(7 * 86400 / STEP) == 0:  # each week a release, worth about half a week of the line
            share = line.up_hours / (line.up_hours + line.down_hours)
            size = line.mean * share * 86400 * 3.5 / 25
            lacking.update({f"{step}-{n}": size * chance.uniform(0.3, 1.7) for n in range(25)})
        wants = [Want(name, name, name, math.ceil(left), None) for name, left in lacking.items()]
        made = make(wants, running, 4, 1 << 50)
        running = frozenset(made.fetching)
        if step % 36 == 18 and wants:
            amounts, total = [], 0
            for decision in made.decisions:
                total += decision.lacking
                amounts.append(total)
            for decision, range_ in zip(made.decisions, expect(past, amounts), strict=True):
                if range_ is not None:
                    stated.append(Stated(now, decision.lesson, range_))
        room = line.rate(now) * STEP
        came = 0
        for name in made.fetching:
            part = min(lacking[name], room / max(1, len(made.fetching)))
            lacking[name] -= part
            came += round(part)
            if lacking[name] < 1:
                del lacking[name]
                arrived[name] = now + STEP
        past = past.moved(STEP, came, bool(wants))
        clock.go(STEP)
    return stated, arrived, clock.monotonic()


def test_lessons_arrive_within_the_stated_range() -> None:
    right = wrong = 0
    widths = []
    for seed in range(6):
        stated, arrived, end = simulate(seed)
        for one in stated:
            latest = one.at + one.range.last
            if one.lesson not in arrived and latest > end:
                continue  # it was still to come when the simulation ended
            at = arrived.get(one.lesson, math.inf)
            within = one.at + one.range.first <= at <= latest
            right, wrong = right + within, wrong + (not within)
            widths.append((one.range.last - one.range.first) / HOUR)
    print(
        f"{right} of {right + wrong} within; ", sorted(widths)[len(widths) // 2], "hours wide in the middle"
    )
    assert right + wrong > 3000
    assert right / (right + wrong) >= 0.9
    assert sorted(widths)[len(widths) // 2] < 4 * 24  # a range that says nothing is always right


def test_nothing_is_said_of_a_line_that_brought_nothing() -> None:
    assert expect(Line(), [5]) == [None]
    assert expect(Line().moved(7200, 0, True), [5]) == [None]
    assert expect(Line((0, 0, None)), [5]) == [None]
    assert expect(Line((100,)), [10**15]) == [None]
    assert expect(Line((100,)), []) == [] and expect(Line((100,)), [0]) == [Range(0.0, 0.0)]


def test_a_budget_bounds_the_forecast() -> None:
    line = Line((10**9,) * 48)
    free = expect(line, [10**8])[0]
    nights = expect(line, [10**8], lambda seconds: 0 if seconds < 8 * HOUR else 10**12)[0]
    assert free is not None and nights is not None
    assert free.last < HOUR < 8 * HOUR <= nights.first <= nights.last
    assert expect(line, [10**8], lambda seconds: 10**7) == [None]


def test_hours_are_counted_over_long_gaps() -> None:
    line = Line().moved(1800, 900, True).moved(1800, 300, True)
    assert line.hours == (1200,)
    line = line.moved(3 * HOUR, 0, True)
    assert line.hours == (1200, 0, 0, 0)
    assert line.moved(5 * HOUR, 0, False).hours[-5:] == (None,) * 5
    assert len(line.moved(1e12, 0, True).hours) == MOST_HOURS
    assert line.moved(-5, 0, True) == line


@given(
    hours=st.lists(st.none() | st.integers(0, 10**9), max_size=60),
    amounts=st.lists(st.integers(0, 10**12), max_size=20),
)
@settings(max_examples=100, deadline=None)
def test_more_takes_longer(hours: list[int | None], amounts: list[int]) -> None:
    found = expect(Line(tuple(hours)), sorted(amounts))
    assert len(found) == len(amounts)
    known = [one for one in found if one is not None]
    assert all(0 <= one.first <= one.last for one in known)
    assert all(a.last <= b.last + 1e-6 for a, b in zip(known, known[1:], strict=False))


@pytest.mark.parametrize("count", [20_000])
def test_a_whole_county_at_once(count: int) -> None:
    chance = random.Random(3)
    line = Line(tuple(chance.choice([0, 10**8, 3 * 10**8]) for _ in range(MOST_HOURS)))
    found = expect(line, [n * 10**6 for n in range(1, count + 1)])
    assert len(found) == count and found[0] is not None
