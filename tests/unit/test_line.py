"""How much is asked for at once of the county."""

from __future__ import annotations

from content_sync.adapters.libtorrent.line import CONNECTIONS, MOST, Line
from content_sync.adapters.ranges import Answer, Range
from content_sync.formats.hashtree import BLOCK


def wanted(length: int) -> Range:
    return Range("job", 0, 0, length, "http://county", "http://county/x", lambda block, data: True)


def fill(line: Line, now: float) -> list[Range]:
    """Ask for all that there is room for."""
    found = []
    while room := line.room(now):
        found.append(wanted(room))
        line.asked(room, now)
    return found


def run(line: Line, rate: float, trip: float, seconds: int) -> int:
    """A line of `rate` bytes a second: most bytes that were under way in the last second."""
    most, total, left, flying = 0, 0.0, 0.0, fill(line, 0.1)
    for tick in range(1, seconds * 20):
        now = 0.1 + tick / 20
        left += rate / 20
        while flying and left >= flying[0].length:
            one = flying.pop(0)
            left -= one.length
            total += one.length
            line.ended(Answer(one, one.length, 1.0, "", trip), now)
        left = left if flying else 0.0
        line.measure(now, int(total))
        flying += fill(line, now)
        if tick > (seconds - 1) * 20:
            most = max(most, line.under_way)
    return most


def line_room(line: Line) -> int:
    """The largest request of a line that has run at 100 MB/s."""
    run(line, 100e6, 0.01, 5)
    while line.requests:
        one = wanted(line.under_way // line.requests)
        line.ended(Answer(one, one.length, 0.1, "", 0.01), 6.0)
    return max(one.length for one in fill(line, 6.0))


def test_a_long_line_is_kept_full_and_a_short_one_is_not_flooded() -> None:
    assert run(Line(None), 1.25e6, 0.3, 20) > 1.25e6 * 0.3 * 1.5
    assert run(Line(None), 2e6, 0.01, 20) < 2e6 * 0.25
    assert run(Line(None), 32e3, 0.05, 60) <= 160 << 10


def test_never_more_than_so_many_requests_and_a_fast_line_gets_larger_ones() -> None:
    line = Line(None)
    assert MOST < line_room(line) <= 1 << 20
    assert line.requests <= CONNECTIONS
    assert run(Line(None), 1e6, 0.1, 20) <= CONNECTIONS * MOST


def test_a_limit_holds_over_seconds_and_zero_stops() -> None:
    line = Line(50_000)
    asked = 0
    for tick in range(200):
        now = 1 + tick / 20
        for one in fill(line, now):
            asked += one.length
            line.ended(Answer(one, one.length, 0.1, "", 0.01), now)
    assert 9 * 50_000 <= asked <= 11 * 50_000 + BLOCK
    assert line.pace == 50_000
    line.limit = 0
    assert line.room(100.0) == 0 and line.pace == 0
    line.limit = None
    assert line.room(100.0) >= BLOCK


def test_under_a_limit_a_few_answers_come_paced_instead_of_many_in_bursts() -> None:
    line = Line(640_000)
    run(line, 640_000, 0.3, 10)
    assert line.pace == 64_000 and line.requests <= 11
    assert all(one.length <= 64_000 for one in fill(line, 60.0))


def test_a_busy_county_gets_fewer_requests_for_a_while() -> None:
    line = Line(None)
    run(line, 100e6, 0.3, 5)
    for one in [wanted(BLOCK)] * 3:
        line.asked(one.length, 10.0)
        line.ended(Answer(one, 0, 0.1, "busy", 0.1), 10.0)
    before = line.requests
    assert len(fill(line, 11.0)) + before <= max(before, CONNECTIONS // 8)
