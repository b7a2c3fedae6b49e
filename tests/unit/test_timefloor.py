"""The time floor and the clock guard of `publish` (formats.md 4)."""

from __future__ import annotations

import pytest

from content_sync.core.timefloor import DOUBT, TimeFloor, check_signing_time
from content_sync.errors import ClockError

DAY = 86_400
NOW = 1_763_712_000
Y2099 = 4_070_908_800


def test_the_first_time_is_the_floor() -> None:
    assert TimeFloor().shown is None
    assert not TimeFloor().contradicts(0)
    assert TimeFloor().accept(NOW) == TimeFloor(NOW)


def test_it_follows_versions_not_the_greatest() -> None:
    assert TimeFloor(NOW).accept(NOW + DAY) == TimeFloor(NOW + DAY)
    assert TimeFloor(NOW).accept(NOW - 30 * DAY) == TimeFloor(NOW - 30 * DAY)


def test_2099_then_a_right_one() -> None:
    floor = TimeFloor(NOW).accept(Y2099)
    assert floor == TimeFloor(NOW, Y2099) and floor.shown == Y2099
    assert not floor.contradicts(NOW + DAY)  # the doubted time never distrusts the box's clock
    assert floor.accept(NOW + 7 * DAY) == TimeFloor(NOW + 7 * DAY)


def test_a_box_that_first_saw_2099_comes_back() -> None:
    floor = TimeFloor().accept(Y2099)
    assert floor.contradicts(NOW)
    assert floor.accept(NOW) == TimeFloor(NOW)


def test_doubt_begins_after_400_days() -> None:
    assert TimeFloor(NOW).accept(NOW + DOUBT) == TimeFloor(NOW + DOUBT)
    assert TimeFloor(NOW).accept(NOW + DOUBT + 1) == TimeFloor(NOW, NOW + DOUBT + 1)


def test_doubts_do_not_add_up() -> None:
    """A second far date does not count from the first."""
    floor = TimeFloor(NOW).accept(Y2099).accept(Y2099 + DAY)
    assert floor == TimeFloor(NOW, Y2099 + DAY)


def test_a_box_that_slept_for_years_believes_ntp() -> None:
    later = NOW + 1000 * DAY
    floor = TimeFloor(NOW).accept(later)
    assert floor.with_clock(later + DAY, synchronised=False) == floor
    assert floor.with_clock(NOW, synchronised=True) == floor
    assert floor.with_clock(later + DAY, synchronised=True) == TimeFloor(later)
    assert floor.with_clock(later - 3600, synchronised=True) == TimeFloor(later)
    assert TimeFloor(NOW).with_clock(Y2099, synchronised=True) == TimeFloor(NOW)


def test_a_clock_of_1970_is_contradicted() -> None:
    floor = TimeFloor(NOW)
    assert floor.contradicts(0)
    assert floor.contradicts(NOW - DAY - 1)
    assert not floor.contradicts(NOW - 8 * 3600)  # a wrong time zone is no wrong clock
    assert not floor.contradicts(Y2099)


def test_publish_refuses_implausible_dates() -> None:
    check_signing_time(NOW, None, False)
    check_signing_time(NOW, NOW, False)
    check_signing_time(NOW - 600, NOW, False)
    check_signing_time(NOW + DOUBT, NOW, False)
    for now in (0, NOW - 2 * 3600, NOW + DOUBT + 1, Y2099):
        with pytest.raises(ClockError):
            check_signing_time(now, NOW, False)
        check_signing_time(now, NOW, True)
