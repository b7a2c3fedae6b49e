"""Giving way on a line that is simulated: others' round trip stays, the line is used."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from content_sync.core.yielding import FLOOR, START, Yielding

HEADERS = 1.08


@dataclass
class Line:
    """A queue before a line of `rate` bytes a second; what the box asks for comes `lag` later. `others`:
    bytes a second of other people at a time."""

    rate: float
    trip: float
    lag: float = 0.5
    loss: float = 0.0
    noise: float = 0.003
    most: float = 0.2
    others: Callable[[float], float] = lambda at: 0.0
    queues: list[tuple[float, float]] = field(default_factory=list)
    came: list[tuple[float, float]] = field(default_factory=list)

    def run(self, yielding: Yielding, seconds: float, begin: float = 0.0) -> None:
        chance, step = random.Random(3), 0.01
        queue, acting = 0.0, deque([(begin, yielding.rate)])
        probes: deque[tuple[float, float | None]] = deque()
        recent: deque[tuple[float, float]] = deque()
        for turn in range(int(seconds / step)):
            at = begin + turn * step
            if turn % 20 == 0:
                trip = self.trip + queue + abs(chance.gauss(0, self.noise))
                probes.append((at + trip, None if chance.random() < self.loss else trip))
            if turn % 25 == 0:
                while recent and recent[0][0] < at - 1:
                    recent.popleft()
                samples = [probe for probe in probes if probe[0] <= at]
                probes = deque(probe for probe in probes if probe[0] > at)
                rate = yielding.step(at, samples, sum(size for _, size in recent))
                acting.append((at + self.lag, rate))
            while len(acting) > 1 and acting[1][0] <= at:
                acting.popleft()
            mine, theirs = acting[0][1] * HEADERS * step, self.others(at) * step
            room = self.rate * step
            share = mine if mine + theirs <= room and not queue else room * mine / (mine + theirs)
            queue = min(self.most, max(0.0, queue + (mine + theirs) / self.rate - step))
            recent.append((at, share / HEADERS))
            self.came.append((at, share))
            self.queues.append((at, queue))

    def worst(self, since: float, share: float = 0.95) -> float:
        """Seconds of queue that `share` of the time after `since` stays below."""
        found = sorted(queue for at, queue in self.queues if at >= since)
        return found[int(share * (len(found) - 1))]

    def used(self, since: float) -> float:
        """Share of the line that the box used after `since`."""
        came = [size for at, size in self.came if at >= since]
        return sum(came) / (self.rate * len(came) * 0.01)


@pytest.mark.parametrize("trip", [0.03, 0.3])
@pytest.mark.parametrize("rate", [250_000.0, 1_250_000.0, 12_500_000.0])
@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_the_line_is_used_and_others_do_not_feel_it(rate: float, trip: float, loss: float) -> None:
    line = Line(rate, trip, loss=loss)
    line.run(Yielding(), 150)
    assert line.worst(30) <= 0.05
    assert line.used(60) >= 0.85


def test_it_makes_room_for_whoever_comes(rate: float = 1_250_000.0) -> None:
    line = Line(rate, 0.05, others=lambda at: 0.5 * rate if at > 60 else 0.0)
    line.run(Yielding(), 180)
    assert line.worst(80) <= 0.05
    assert 0.25 <= line.used(90) <= 0.5


def test_a_line_that_others_fill_is_left_to_them(rate: float = 1_250_000.0) -> None:
    line = Line(rate, 0.05, others=lambda at: 1.05 * rate if at > 30 else 0.0)
    yielding = Yielding()
    line.run(yielding, 120)
    assert yielding.rate <= 4 * FLOOR


def test_what_is_known_of_the_line_shortens_the_next_start() -> None:
    first = Yielding()
    Line(1_250_000, 0.05).run(first, 60)
    assert first.line is not None and first.line > 900_000
    again, line = Yielding(first.line), Line(1_250_000, 0.05)
    line.run(again, 60)
    assert line.used(5) > 0.8 and line.worst(0, 1.0) <= 0.08


def test_a_longer_road_is_learnt_in_ten_minutes() -> None:
    yielding = Yielding()
    Line(1_250_000, 0.05).run(yielding, 60)
    far = Line(1_250_000, 0.15)
    far.run(yielding, 760, begin=60)
    assert far.used(760) > 0.3


def test_no_answers_at_all_are_no_reason_to_hurry() -> None:
    yielding = Yielding()
    for turn in range(100):
        yielding.step(turn * 0.25, [(turn * 0.25, None)], 50_000)
    assert yielding.rate <= START


def test_it_gives_way_within_two_seconds_of_monotonic_time() -> None:
    yielding = Yielding(1_000_000)
    for turn in range(40):
        yielding.step(turn * 0.25, [(turn * 0.25, 0.05)], 900_000)
    before = yielding.rate
    for turn in range(40, 44):
        yielding.step(turn * 0.25, [(turn * 0.25, 0.15)], 900_000)
    assert yielding.rate < 0.85 * before
