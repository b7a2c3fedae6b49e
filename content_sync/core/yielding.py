"""Giving way to others on the line: a rate that keeps the queue before the county's line short. Pure.

The idea of LEDBAT (RFC 6817) without its window: the round trip's rise over its least value of the last
minutes is the queue. It grows until the queue shows, then gives back what drains that queue at once, so that
the least value is seen again and again and does not drift.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

#: Seconds of queue at which it gives way: others are promised 50 ms, and it takes a while to act.
TARGET = 0.018
#: Bytes a second to begin with, and that are always asked for: without them it never learns.
START, FLOOR = 128_000.0, 8_000.0
_MINUTE, _HISTORY = 60.0, 10
#: Samples whose least is the delay now: some late answers are no queue (a busy machine, a radio line).
_SAMPLES = 4
#: Answers missing in a row that are no bad luck any more.
_LOST = 3
#: Seconds between a change of the rate and its effect, beside the round trip.
_LAG = 0.6
#: Growth a second: on a line not known yet; below what it carried when its queue showed last; below what it
#: carried at its best; about that, and by how much it becomes faster with the square of the seconds without a
#: queue.
_FIRST, _FAST, _AGAIN, _SLOW, _FASTER = 0.3, 0.5, 0.1, 0.008, 0.00005
#: Seconds that draining may take before the rate is lowered once more.
_PATIENCE = 1.0
#: Where it goes on after the queue is gone, as a share of what the line carried.
_BACK = 0.96
#: A limit that is not used to this share tells nothing about the line.
_USED = 0.7


class Yielding:
    """`step` some times a second; `rate` is the most bytes a second that leave others their round trip."""

    def __init__(self, line: int | None = None) -> None:
        """`line`: what was seen the line to carry at another time, bytes a second."""
        self.rate = START
        self._least: deque[tuple[int, float]] = deque(maxlen=_HISTORY)  # minute, least round trip in it
        self._recent: deque[float] = deque(maxlen=_SAMPLES)
        self._lost = 0
        self._knee = (
            None if line is None else max(FLOOR, float(line))
        )  # what the line carried when its queue showed last
        self._best = self._knee or 0.0  # the same at its best; a little is forgotten each time
        self._draining = False
        self._changed_at = float("-inf")  # when it gave way, or went on after that
        self._at: float | None = None
        self.pause()

    @property
    def line(self) -> int | None:
        """What the line was seen to carry; None before its queue showed."""
        return None if self._knee is None else int(self._knee)

    @property
    def base(self) -> float | None:
        """The least round trip of the last ten minutes, seconds."""
        return min((least for _, least in self._least), default=None)

    @property
    def delay(self) -> float | None:
        """Seconds by which the round trip stands over its base now; None before anything is known."""
        base = self.base
        if self._lost >= _LOST:
            return 1.0
        return None if base is None or not self._recent else min(self._recent) - base

    def pause(self) -> None:
        """Nothing is fetched: what is known of the line stays, what is measured next is new."""
        self._recent.clear()
        self._lost, self._at = 0, None
        self.rate = START if self._knee is None else 0.5 * self._knee
        self._draining = False

    def step(self, now: float, samples: Iterable[tuple[float, float | None]], moving: float) -> float:
        """The rate from now on. `samples`: what the probe gave; `moving`: bytes a second that come."""
        fresh = False
        while self._least and self._least[0][0] < now // _MINUTE - _HISTORY:
            self._least.popleft()
        for at, trip in samples:
            fresh = True
            if trip is None:
                self._lost += 1
                continue
            self._lost = 0
            self._recent.append(trip)
            minute = int(at // _MINUTE)
            if self._least and self._least[-1][0] == minute:
                trip = min(trip, self._least.pop()[1])
            self._least.append((minute, trip))
        if self._at is None:
            self._changed_at = now
        passed = 0.0 if self._at is None else min(1.0, now - self._at)
        self._at = now
        delay = self.delay
        if delay is None:
            return self.rate
        since = now - self._changed_at
        settled = since >= _LAG + (self.base or 0.0)
        if delay > TARGET:
            if fresh and (not self._draining or since >= _LAG + (self.base or 0.0) + _PATIENCE):
                if self._draining and self._knee is not None:  # still a queue: others fill the line
                    carried = self._knee * (1 - min(0.4, 0.1 + delay))
                else:
                    carried = min(self.rate, moving) if moving > 0 else self.rate
                self._knee = max(FLOOR, carried)
                self._best = max(self._knee, 0.85 * self._best)
                self._draining, self._changed_at = True, now
                # a queue of d seconds is gone after a second at 1 - d of what the line carries
                self.rate = max(FLOOR, self._knee * (1 - min(0.7, 0.05 + 1.5 * delay)))
        elif self._draining:
            if settled and self._knee is not None:
                self._draining, self._changed_at = False, now
                self.rate = max(FLOOR, _BACK * self._knee)
        elif moving >= _USED * self.rate:
            growth = _FIRST
            if self._knee is not None:
                growth = min(_FIRST, _SLOW + _FASTER * since**2)
                if self.rate < 0.9 * self._knee:
                    growth = _FAST
                elif self.rate < 0.8 * self._best:
                    growth = max(growth, _AGAIN)
            self.rate *= 1 + growth * passed * (1 - max(0.0, delay) / TARGET)
        return self.rate
