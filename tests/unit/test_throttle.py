"""The throttle over manual time: what the swarm is told, within which time, and what people read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content_sync.core.account import Reading
from content_sync.core.budget import Known
from content_sync.engine.throttle import WORDS, Local, Senses, Throttle
from content_sync.errors import BudgetError, DiskFullError
from content_sync.formats.budget import parse_window_text
from content_sync.formats.envelope import Envelope
from content_sync.formats.policy import Policy
from content_sync.testing.fakes import FakeFetcher, FakeSwarm, MemoryShelf, MemoryStore
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import SmallCounty

MIB = 1 << 20
MONDAY_TEN = 1_763_344_800  # 2025-11-17 10:00 in Beijing
PULSE = 0.25


class Line:
    """Everything that a throttle perceives, to be set by hand."""

    def __init__(self, policy: dict[str, Any] | None = None, local: Local = Local()) -> None:
        self.swarm = FakeSwarm(MemoryStore(), {})
        self.shelf = MemoryShelf()
        self.local, self.now, self.wall = local, 1000.0, float(MONDAY_TEN)
        self.trusted, self.streams, self.fetching, self.paused = True, False, True, False
        self.cost: bool | None = None
        self.reading: Reading | None = None
        self.trip: float | None = None
        self.wanted = False
        self.signed: int | None = MONDAY_TEN
        self.version = 0
        self.envelope: Envelope | None = None
        self.throttle = self.begin()
        self.rule(policy or {})

    def begin(self) -> Throttle:
        """A new program, as after a start."""
        probe = self if self.trip is not None else None
        senses = Senses(self, probe, self.known, lambda now: self.streams, lambda: self.paused)
        self.swarm.rate = None
        self.throttle = Throttle(self.swarm, self.shelf, senses, self.local)
        return self.throttle

    def rule(self, policy: dict[str, Any]) -> None:
        self.version += 1
        self.envelope = Envelope("b", self.version, 0, "", "", (), None, True, policy=Policy(other=policy))
        self.follow()

    def follow(self) -> None:
        self.throttle.follow(self.envelope, self.signed, self.fetching)

    def known(self, now: float) -> Known | None:
        return Known(self.wall, 16) if self.trusted else None

    def metered(self) -> bool | None:
        return self.cost

    def read(self) -> Reading | None:
        return self.reading

    def want(self, on: bool) -> None:
        self.wanted = on

    def samples(self) -> list[tuple[float, float | None]]:
        return [(self.now, self.trip)] if self.wanted else []

    def close(self) -> None:
        self.wanted = False

    def go(self, seconds: float, come: Callable[[int | None], int] = lambda rate: 0) -> None:
        """Let time pass, beat by beat; `come` gives the bytes that come in a beat at a rate."""
        end = self.now + seconds
        while self.now < end:
            self.now += PULSE
            self.wall += PULSE
            self.swarm._bytes += come(self.swarm.rate)
            self.throttle.step(self.now)


def at_rate(rate: int | None) -> int:
    """A swarm that keeps its word, and has no job before the throttle's first step."""
    return int((rate or 0) * PULSE)


def test_without_rules_there_is_no_limit() -> None:
    line = Line()
    line.go(1)
    assert line.swarm.rate is None and line.throttle.status()["reason"] == "open"


def test_windows_classes_and_streams_are_acted_on_within_two_seconds() -> None:
    line = Line({"budget": {"windows": [{"from": "10:01", "to": "10:02", "rate": 5000}], "rate": 90_000}})
    line.go(30)
    assert line.swarm.rate == 90_000
    line.go(30)
    assert line.swarm.rate == 5000 and line.throttle.reason == "window"
    line.streams = True
    line.go(2)
    assert line.swarm.rate == 0 and line.throttle.reason == "streaming"
    line.streams = False
    line.go(2)
    assert line.swarm.rate == 5000
    line.rule({"timetable": [{"from": "10:00", "to": "10:30"}], "budget": {"streaming": 700}})
    line.go(2)
    assert line.swarm.rate == 0 and line.throttle.reason == "class"
    line.rule({"budget": {"streaming": 700}})
    line.streams = True
    line.go(2)
    assert line.swarm.rate == 700


def test_box_toml_goes_before_the_county() -> None:
    window = parse_window_text("09:00-11:00 1234", rate=True)
    line = Line({"budget": {"windows": [{"from": "09:00", "to": "11:00", "rate": 9}]}},
                Local(rate=1000, windows=(window,)))  # fmt: skip
    line.go(1)
    assert line.swarm.rate == 1000 and line.throttle.reason == "setting"


def test_a_damaged_budget_leaves_the_rules_that_held() -> None:
    line = Line({"budget": {"rate": 4000}})
    line.rule({"budget": {"rate": "fast"}})
    line.go(1)
    assert line.swarm.rate == 4000


@pytest.mark.parametrize("wall", [0.0, -1e12, 4_070_908_800.0, 1e18])
def test_an_absurd_clock_is_no_time(wall: float) -> None:
    line = Line({"budget": {"windows": [{"from": "00:00", "to": "12:00", "rate": 3000}], "rate": 1}})
    line.wall, line.trusted = wall, False
    line.go(10)
    assert line.swarm.rate == 1 and line.throttle.reason == "clock"
    line.trusted = True  # whatever says so: it is before what the county signed, or just another hour
    line.go(10)
    assert line.swarm.rate in (1, 3000)
    line.throttle.status()
    if wall < MONDAY_TEN:
        assert line.throttle.reason == "clock"


def test_a_metered_line_stops_at_its_quota_and_not_before() -> None:
    line = Line({"budget": {"metered": True, "day_mb": 40, "month_mb": 60}})
    line.go(400, at_rate)
    used = line.swarm._bytes * 15 / 14
    assert 37 * MIB < used < 40 * MIB
    assert line.swarm.rate == 0 and line.throttle.reason == "day-used"
    line.signed = MONDAY_TEN + 86_400
    line.follow()
    line.go(600, at_rate)
    used = line.swarm._bytes * 15 / 14
    assert 56 * MIB < used < 60 * MIB and line.throttle.reason == "month-used"
    line.cost = False  # a cable was plugged in
    line.go(6, lambda rate: 0)
    assert line.swarm.rate is None


def test_the_interface_tells_what_others_used_too() -> None:
    line = Line({"budget": {"day_mb": 40}})
    line.cost, line.reading = True, Reading("boot", "wwan0", 5000)
    line.go(2)
    line.reading = Reading("boot", "wwan0", 5000 + 39 * MIB)
    line.go(2)
    assert line.throttle.spent.day == 39 * MIB and line.swarm.rate != 0
    line.reading = Reading("boot", "wwan0", 5000 + 41 * MIB)
    line.go(2)
    assert line.swarm.rate == 0
    again = line.begin()
    line.follow()
    line.reading = Reading("boot", "wwan0", 5000 + 42 * MIB)  # while no sync ran
    line.go(1)
    assert again.spent.day >= 41 * MIB and line.swarm.rate == 0


def test_with_the_whole_quota_used_nothing_is_asked() -> None:
    line = Line({"budget": {"metered": True, "day_mb": 1}})
    fetcher = line.throttle.fetcher(FakeFetcher(lambda url: bytes(300_000)))
    line.go(1)
    for _ in range(4):
        fetcher.get("http://county/x", 1 << 20)
        line.go(1)
    with pytest.raises(BudgetError):
        fetcher.get("http://county/x", 1 << 20)
    line.signed = MONDAY_TEN + 86_400
    line.follow()
    line.go(1)
    assert fetcher.get("http://county/x", 1 << 20)


def test_what_can_not_be_written_down_is_not_used() -> None:
    line = Line({"budget": {"metered": True, "day_mb": 40}})

    def full(path: str, data: bytes) -> None:
        raise DiskFullError("no space")

    line.shelf.put = full  # type: ignore[method-assign]
    line.go(2)
    assert line.swarm.rate == 0 and line.throttle.reason == "disk"


def test_a_kill_at_any_moment_counts_too_much_and_never_too_little() -> None:
    line = Line({"budget": {"metered": True, "day_mb": 40}})
    for _ in range(200):
        line.go(1.5, at_rate)
        line.begin()
        line.follow()
    assert line.swarm._bytes * 15 / 14 < 40 * MIB


def test_a_clean_end_gives_back_what_was_booked() -> None:
    line = Line({"budget": {"metered": True, "day_mb": 400}})
    for _ in range(200):
        line.go(0.25, lambda rate: 1000)
        line.throttle.close()
        line.begin()
        line.follow()
    assert line.throttle.spent.day < 300_000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["go", "jump", "trust", "kill", "close", "stream"]), st.floats(-3e9, 3e9)),
        max_size=40,
    )
)
def test_no_clock_gives_more_than_a_days_quota(events: list[tuple[str, float]]) -> None:
    line = Line({"budget": {"metered": True, "day_mb": 8, "windows": [{"from": "08:00", "to": "20:00"}]}})
    for what, number in events:
        if what == "jump":
            line.wall = number
        elif what == "trust":
            line.trusted = not line.trusted
        elif what == "stream":
            line.streams = not line.streams
        elif what in ("kill", "close"):
            if what == "close":
                line.throttle.close()
            line.begin()
            line.follow()
        line.go(20, lambda rate: int((rate or 0) * PULSE))
    assert line.swarm._bytes * 15 / 14 <= 8 * MIB


def test_it_gives_way_when_the_round_trip_rises() -> None:
    line = Line()
    line.trip = 0.05
    line.begin()
    line.follow()
    line.go(30, lambda rate: int(min(rate or 0, 1_000_000) * PULSE))
    before = line.swarm.rate
    assert before is not None and before > 200_000 and line.wanted
    line.trip = 0.12
    line.go(2, lambda rate: int(min(rate or 0, 1_000_000) * PULSE))
    assert line.swarm.rate is not None and line.swarm.rate < 0.85 * before
    assert line.throttle.reason == "line"
    line.fetching = False
    line.follow()
    line.go(1)
    assert not line.wanted and line.throttle.status()["rate"] is None


def test_a_job_that_nothing_comes_for_is_not_probed_for() -> None:
    line = Line()
    line.trip = 0.05
    line.begin()
    line.follow()
    line.go(5)
    assert line.wanted  # the first bytes may come now
    line.go(20)
    assert not line.wanted and line.swarm.rate
    line.go(2, at_rate)
    assert line.wanted


def test_who_beats_hears_that_something_begins() -> None:
    line = Line()
    heard: list[bool] = []
    line.throttle.began = lambda: heard.append(line.throttle.fetching)
    for fetching in (True, False, True, True):
        line.fetching = fetching
        line.follow()
    assert heard == [True]


def test_a_person_stops_it_and_it_goes_on() -> None:
    line = Line({"budget": {"metered": True, "day_mb": 40}})
    line.go(1)
    before = line.swarm.rate
    line.paused = True
    line.go(1)
    assert line.swarm.rate == 0 and line.throttle.status()["reason"] == "paused"
    line.paused = False
    line.go(1)
    assert line.swarm.rate == before != 0


def test_every_reason_has_words_in_both_languages() -> None:
    assert all(len(words) == 2 and all(words) for words in WORDS.values())
    line = Line({"budget": {"metered": True, "day_mb": 40}})
    line.go(1)
    status = line.throttle.status()
    assert status["why"] == dict(zip(("zh", "en"), WORDS[status["reason"]], strict=True))
    json.dumps(status)


def test_the_engine_rests_while_a_class_streams_and_goes_on(tmp_path: Path) -> None:
    county = SmallCounty(tmp_path / "county")
    county.noise("一", 300_000)
    county.publish()
    box = MemoryBox(tmp_path, county)
    assert box.swarm is not None
    line = Line()
    line.swarm, line.streams = box.swarm, True
    box.throttle = line.begin()
    engine = box.start()
    for _ in range(20):
        engine.step(box.clock.monotonic())
        box.clock.go(1)
    assert box.swarm.moved == {} and box.state.status("budget")["reason"] == "streaming"
    line.streams = False
    for _ in range(20):
        engine.step(box.clock.monotonic())
        box.clock.go(1)
    assert box.shown() == {"一"} and set(box.swarm.moved.values()) == {1}
    assert line.throttle.spent.day > 300_000
