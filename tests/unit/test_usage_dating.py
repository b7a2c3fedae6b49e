"""When it was: a box whose clock is wrong, right, stepped, or put right later (docs/usage.md)."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.usage.dating import (
    COUNTY,
    EARLIEST,
    HELD_BOOTS,
    NTP,
    PATIENCE,
    SYSTEM,
    Anchor,
    Boot,
    Calendar,
    Dated,
    believable,
)
from content_sync.core.timefloor import DOUBT, TimeFloor

DAY = 86_400
TRUE = 1_795_000_000  # November 2026
FLOOR = TimeFloor(TRUE - 3 * DAY)
ONE = [Boot("b1", TRUE - 3 * DAY)]
TWO = [*ONE, Boot("b2", TRUE - 3 * DAY)]


def ntp(boot: str, mono: int, unix: int) -> Anchor:
    return Anchor(boot, mono, unix, NTP, "ntp")


def county(boot: str, mono: int, unix: int) -> Anchor:
    return Anchor(boot, mono, unix, COUNTY, "county")


def claim(boot: str, mono: int, unix: int) -> Anchor:
    return Anchor(boot, mono, unix, SYSTEM, "system")


def test_booted_in_1970_and_put_right_by_ntp_an_hour_later() -> None:
    calendar = Calendar(ONE, [claim("b1", 100, 100), ntp("b1", 3700, TRUE + 3600)], FLOOR)
    assert calendar.date("b1", 100, 3800) == Dated(TRUE, NTP + 1, "ntp")


def test_booted_in_1970_and_told_the_time_by_the_county() -> None:
    calendar = Calendar(ONE, [claim("b1", 100, 100), county("b1", 200, TRUE + 100)], FLOOR)
    assert calendar.date("b1", 100, 300) == Dated(TRUE, COUNTY + 1, "county")


def test_booted_in_1970_waits_while_nothing_is_known() -> None:
    assert Calendar(ONE, [claim("b1", 100, 100)], FLOOR).date("b1", 100, 10**6) is None


def test_a_plausible_clock_waits_a_while_for_a_better_one_and_is_then_believed_with_doubt() -> None:
    calendar = Calendar(ONE, [claim("b1", 100, TRUE)], FLOOR)
    assert calendar.date("b1", 100, 100 + PATIENCE - 1) is None
    assert calendar.date("b1", 100, 100 + PATIENCE) == Dated(TRUE, SYSTEM, "system")


def test_ntp_is_better_than_the_county_is_better_than_the_clock() -> None:
    known = [claim("b1", 100, TRUE - DAY), county("b1", 100, TRUE + 7)]
    assert Calendar(ONE, known, FLOOR).at("b1", 100) == Dated(TRUE + 7, COUNTY, "county")
    assert Calendar(ONE, [*known, ntp("b1", 100, TRUE)], FLOOR).at("b1", 100) == Dated(TRUE, NTP, "ntp")


def test_a_clock_far_ahead_is_not_believed() -> None:
    assert not believable(TRUE + DOUBT, FLOOR, "system")
    assert Calendar(ONE, [claim("b1", 100, TRUE + 9 * 365 * DAY)], FLOOR).date("b1", 100, 10**6) is None


def test_a_clock_before_the_signed_time_is_not_believed_even_from_ntp() -> None:
    assert not believable(TRUE - 10 * DAY, FLOOR, "ntp")


def test_a_release_dated_2099_changes_no_date() -> None:
    doubted = FLOOR.accept(TRUE + 73 * 365 * DAY)
    assert doubted.doubted
    calendar = Calendar(ONE, [claim("b1", 100, TRUE), county("b1", 200, TRUE + 73 * 365 * DAY)], doubted)
    assert calendar.date("b1", 100, 100 + PATIENCE) == Dated(TRUE, SYSTEM, "system")


def test_a_boot_that_never_knew_lies_between_its_neighbours() -> None:
    boots = [Boot("b0", 0), Boot("b1", TRUE - 3 * DAY), Boot("b2", TRUE - 3 * DAY)]
    known = [ntp("b0", 500, TRUE - DAY), claim("b1", 50, 50), ntp("b2", 60, TRUE + 60)]
    dated = Calendar(boots, known, FLOOR).date("b1", 50, 100)
    assert dated is not None and dated.clock == "none"
    assert dated.start == TRUE - DAY - NTP
    assert dated.start + dated.uncertainty >= TRUE


def test_a_boot_that_never_knew_is_held_until_one_knows() -> None:
    assert Calendar(TWO, [claim("b1", 50, 50), claim("b2", 50, 50)], FLOOR).date("b1", 50, 100) is None


def test_and_not_for_ever() -> None:
    boots = [*ONE, *(Boot(f"x{number}", 0) for number in range(HELD_BOOTS + 1))]
    dated = Calendar(boots, [claim("b1", 50, 50)], FLOOR).date("b1", 50, 100)
    assert dated == Dated(TRUE - 3 * DAY, DOUBT, "none")


def test_an_old_boot_is_never_dated_after_a_later_one_began() -> None:
    known = [claim("b1", 50, TRUE + DAY), ntp("b2", 60, TRUE)]
    dated = Calendar(TWO, known, FLOOR).date("b1", 50, 100)
    assert dated is not None and dated.start <= TRUE
    assert abs(TRUE + DAY - dated.start) <= dated.uncertainty


def test_a_floor_that_the_county_took_back_is_no_lower_bound() -> None:
    boots = [Boot("b1", TRUE + 300 * DAY), Boot("b2", 0)]
    dated = Calendar(boots, [ntp("b2", 60, TRUE)], TimeFloor(TRUE - DAY)).date("b1", 5, 100)
    assert dated is not None and dated.start == EARLIEST


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32))
def test_true_times_lie_inside_and_order_is_kept(seed: int) -> None:
    """Boots at any wrong time, with or without anchors: no date lies, none is in the future."""
    chance = random.Random(seed)
    true, floor = TRUE, 0
    boots: list[Boot] = []
    anchors: list[Anchor] = []
    moments: list[tuple[str, int, int]] = []
    mono = 0
    for number in range(chance.randint(1, 6)):
        boot, off = (
            f"b{number}",
            chance.choice([-TRUE, -7 * 365 * DAY, 9 * 365 * DAY, chance.randint(-3600, 3600)]),
        )
        boots.append(Boot(boot, floor))
        began, mono = true, 0
        for _ in range(chance.randint(1, 10)):
            mono += chance.randint(1, 7200)
            moments.append((boot, mono, began + mono))
            anchors.append(claim(boot, mono, began + mono + off))
            if chance.random() < 0.15:
                anchors.append(ntp(boot, mono, began + mono + chance.randint(-NTP, NTP)))
            if chance.random() < 0.1:
                anchors.append(county(boot, mono, began + mono + chance.randint(-COUNTY, COUNTY)))
            if chance.random() < 0.1:
                floor = began + mono
        true = began + mono + chance.randint(60, 5 * DAY)
    calendar = Calendar(boots, anchors, TimeFloor(floor or None))
    present, now = began + mono, mono
    best = calendar.at(boots[-1].id, now)
    for boot in boots:
        dated = [(calendar.date(boot.id, at, now), really) for b, at, really in moments if b == boot.id]
        known = [(one, really) for one, really in dated if one is not None]
        starts = [one.start for one, _ in known]
        assert starts == sorted(starts)
        for one, really in known:
            if one.clock in ("ntp", "county"):
                assert abs(one.start - really) <= one.uncertainty + 2 * NTP
            if one.clock == "none":
                assert one.start - NTP <= really + 1 and really <= one.start + one.uncertainty + 2 * NTP
            if best is not None and best.clock != "system":
                assert one.start <= present + 2 * NTP
