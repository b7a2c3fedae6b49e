"""What may be fetched when: windows, live classes, quotas, and an account that no clock deceives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content_sync.core.account import Account, Reading, carried, parse_account
from content_sync.core.budget import Budget, Known, Spent
from content_sync.errors import FormatError
from content_sync.formats.budget import BudgetPolicy, parse_budget, parse_window_text
from content_sync.formats.canonical import dump

CHINA = timezone(timedelta(hours=8))
EAST = 8 * 3600
MIB = 1 << 20


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp()


def budget(policy: dict[str, object], offset: int = EAST) -> Budget:
    return Budget(parse_budget(policy), offset)


SCHOOL = {
    "budget": {
        "windows": [
            {"days": "12345", "from": "08:00", "to": "17:00", "rate": 20_000},
            {"from": "22:00", "to": "06:00", "rate": None},
        ],
        "rate": 300_000,
        "day_mb": 200,
        "month_mb": 3000,
        "month_day": 5,
    },
    "timetable": [
        {"days": "2", "from": "09:50", "to": "10:30"},
        {"date": "2026-11-21", "from": "19:00", "to": "20:00"},
    ],
}


@pytest.mark.parametrize(
    ("when", "rate", "reason"),
    [
        ("2026-11-16 07:59:59", 300_000, "rate"),  # a Monday
        ("2026-11-16 08:00:00", 20_000, "window"),
        ("2026-11-16 16:59:59", 20_000, "window"),
        ("2026-11-16 17:00:00", 300_000, "rate"),
        ("2026-11-17 09:50:00", 0, "class"),
        ("2026-11-17 10:30:00", 20_000, "window"),
        ("2026-11-18 09:50:00", 20_000, "window"),
        ("2026-11-21 12:00:00", 300_000, "rate"),  # a Saturday
        ("2026-11-21 19:30:00", 0, "class"),
        ("2026-11-28 19:30:00", 300_000, "rate"),
        ("2026-11-21 22:00:00", None, "open"),
        ("2026-11-22 05:59:59", None, "open"),
        ("2026-11-22 06:00:00", 300_000, "rate"),
    ],
)
def test_windows_hold_in_local_time(when: str, rate: int | None, reason: str) -> None:
    found = budget(SCHOOL).allowed(Known(at(when), 0))
    assert (found.rate, found.reason) == (rate, reason)


def test_near_an_edge_the_more_careful_side_holds() -> None:
    rules = budget(SCHOOL)
    assert rules.allowed(Known(at("2026-11-16 07:59:50"), 16)).rate == 20_000
    assert rules.allowed(Known(at("2026-11-17 10:30:05"), 16)).rate == 0
    assert rules.allowed(Known(at("2026-11-21 23:00:00"), 16)).rate is None


def test_an_unknown_time_has_the_most_careful_rate() -> None:
    found = budget({"budget": {**SCHOOL["budget"]}}).allowed(None)  # type: ignore[dict-item]
    assert (found.rate, found.reason) == (20_000, "clock")
    assert budget(SCHOOL).allowed(None).rate == 0
    assert budget(SCHOOL).allowed(Known(at("2026-11-21 23:00"), 86_400)).rate == 0
    assert budget({"budget": {"rate": 7}}).allowed(None).rate == 7
    assert budget({}).allowed(None).rate is None


@given(st.floats(-1e18, 1e18), st.floats(0, 1e18))
def test_any_number_is_a_time(unix: float, uncertainty: float) -> None:
    rules = budget(SCHOOL)
    assert rules.allowed(Known(unix, uncertainty)).rate in (None, 0, 20_000, 300_000)
    rules.next_change(unix)


def test_the_next_change_is_named() -> None:
    rules = budget(SCHOOL)
    assert rules.next_change(at("2026-11-16 08:30")) == at("2026-11-16 17:00")
    assert rules.next_change(at("2026-11-17 08:30")) == at("2026-11-17 09:50")
    assert rules.next_change(at("2026-11-21 23:30")) == at("2026-11-22 06:00")
    assert budget({"budget": {"rate": 5}}).next_change(at("2026-11-16 08:30")) is None


def test_what_a_time_lets_through() -> None:
    rules = budget(SCHOOL)
    begin, end = at("2026-11-17 08:00"), at("2026-11-17 17:00")
    assert rules.allows(begin, end) == 20_000 * (9 * 3600 - 2400)
    assert rules.allows(at("2026-11-21 22:00"), at("2026-11-22 06:00"), line=1000) == 1000 * 8 * 3600
    week = rules.allows(at("2026-11-16 00:00"), at("2026-11-23 00:00"), line=10**6, metered=True)
    assert week == 7 * 200 * MIB
    month = rules.allows(at("2026-11-05 00:00"), at("2026-12-05 00:00"), line=10**6, metered=True)
    assert month == 3000 * MIB
    spent = Spent(day=150 * MIB, month=2990 * MIB)
    assert rules.allows(at("2026-12-04 00:00"), at("2026-12-05 00:00"), 10**6, True, spent) == 10 * MIB
    assert rules.allows(end, begin) == 0


@given(st.floats(0, 5e5), st.floats(0, 5e5), st.floats(0, 5e5))
def test_what_parts_let_through_is_what_the_whole_does(a: float, b: float, c: float) -> None:
    first, middle, last = sorted((a, b, c))
    rules, base = budget(SCHOOL), at("2026-11-16 00:00")
    parts = rules.allows(base + first, base + middle, 10**5) + rules.allows(base + middle, base + last, 10**5)
    assert abs(parts - rules.allows(base + first, base + last, 10**5)) <= 2


@pytest.mark.parametrize(
    "bad",
    [
        {"budget": []},
        {"budget": {"rate": -1}},
        {"budget": {"rate": True}},
        {"budget": {"streaming": "0"}},
        {"budget": {"day_mb": -1}},
        {"budget": {"month_day": 29}},
        {"budget": {"windows": [{"from": "8:00", "to": "17:00"}]}},
        {"budget": {"windows": [{"from": "08:00", "to": "08:00"}]}},
        {"budget": {"windows": [{"from": "24:00", "to": "08:00"}]}},
        {"budget": {"windows": [{"from": "08:00", "to": "25:00"}]}},
        {"budget": {"windows": [{"days": "0", "from": "08:00", "to": "09:00"}]}},
        {"budget": {"windows": [{"from": "08:00", "to": "09:00"}] * 101}},
        {"timetable": [{"date": "2026-02-30", "from": "08:00", "to": "09:00"}]},
        {"timetable": [{"from": "08:00"}]},
        {"timetable": ["08:00"]},
    ],
)
def test_a_damaged_budget_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        parse_budget(bad)


def test_windows_as_box_toml_has_them() -> None:
    window = parse_window_text("12345 08:00-17:00 20000", rate=True)
    assert (window.days, window.start, window.end, window.rate) == ("12345", 480, 1020, 20_000)
    assert parse_window_text("22:00-06:00", rate=True).rate is None
    assert parse_window_text("2026-11-23 09:50-10:30", rate=False).rate == 0
    for bad in ("", "08:00", "08:00-17:00 fast", "08:00-17:00 5", "9 08:00-17:00", "x 08:00-17:00"):
        with pytest.raises(FormatError):
            parse_window_text(bad, rate=False)


# The account

QUOTAS = BudgetPolicy(day=20 * MIB, month=100 * MIB)
START = int(at("2026-11-16 10:00"))


def spend_all(account: Account, policy: BudgetPolicy, turns: int = 2000) -> int:
    """Use whatever the account allows, in steps of a second."""
    total = 0
    for _ in range(turns):
        account.book(policy)
        found = account.rate(policy)
        assert found is not None
        account.spend(found[0])
        total += found[0]
    return total


def test_a_day_is_used_up_and_begins_anew_with_the_countys_time() -> None:
    account = Account()
    account.go(0, START, EAST, 1)
    used = spend_all(account, QUOTAS)
    assert 18 * MIB < used <= 20 * MIB and account.rate(QUOTAS) == (0, "day")
    account.go(1, START + 13 * 3600, EAST, 1)
    assert account.rate(QUOTAS) == (0, "day")
    assert account.go(1, START + 15 * 3600, EAST, 1)
    assert spend_all(account, QUOTAS) > 18 * MIB
    for day in range(1, 9):
        account.go(1, START + (day * 24 + 15) * 3600, EAST, 1)
        spend_all(account, QUOTAS)
    assert account.rate(QUOTAS) == (0, "month") and account.periods["month"].used <= 100 * MIB


def test_a_day_without_the_county_is_24_hours_of_running() -> None:
    account = Account()
    account.go(0, START, EAST, 1)
    spend_all(account, QUOTAS)
    for _ in range(13):
        account.go(3600, None, EAST, 1)
    assert account.rate(QUOTAS) == (0, "day")
    for _ in range(11):
        account.go(3600, None, EAST, 1)
    assert spend_all(account, QUOTAS) > 18 * MIB


def test_a_power_cut_forgets_nothing() -> None:
    account = Account()
    account.go(0, START, EAST, 1)
    assert account.book(QUOTAS)
    written = account.dump()
    used = 0
    while not account.book(QUOTAS):
        rate = account.rate(QUOTAS)
        assert rate is not None and rate[0] > 0
        account.spend(rate[0])
        used += rate[0]
    after = Account.parse(written)
    assert used <= after.periods["day"].used <= used + MIB
    assert after.sure == account.sure


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"\x00" * 300, b'{"format":"lessonbox-account/1"}', b"[" * 4000, dump({"format": "x/1"})],
)
def test_a_damaged_account_is_a_day_used_up(data: bytes) -> None:
    account, error = parse_account(data, QUOTAS)
    assert error is not None
    account.go(0, START, EAST, 1)
    account.book(QUOTAS)
    assert account.rate(QUOTAS) == (0, "day")
    account.go(0, START + 86_400, EAST, 1)
    account.book(QUOTAS)
    found = account.rate(QUOTAS)
    assert found is not None and found[0] > 0


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 20_000),  # seconds that pass
            st.one_of(st.none(), st.floats(0, 1)),  # a signed time: so far back, or none comes
            st.booleans(),  # a cut of power
            st.integers(0, 3),  # hours that the box is off, with a cut
        ),
        max_size=60,
    )
)
def test_no_sequence_of_cuts_and_clocks_gives_more_than_the_quota(
    events: list[tuple[float, float | None, bool, int]],
) -> None:
    """The system's clock is not even asked; the county's signed times may come late, old or not at all."""
    truth, account, written = float(START), Account(), b""
    account.go(0, START, EAST, 1)
    begun, used = truth, 0
    for passed, back, cut, hours in events:
        truth += passed
        signed = None if back is None else max(START, int(truth - back * 100_000))
        account.go(passed, signed, EAST, 1)
        assert account.sure <= truth + 1
        for _ in range(5):
            if account.book(QUOTAS):
                written = account.dump()
            found = account.rate(QUOTAS)
            assert found is not None
            account.spend(found[0])
            used += found[0]
        if cut and written:
            truth += hours * 3600
            account = Account.parse(written)
        days = (int(truth) + EAST) // 86_400 - (int(begun) + EAST) // 86_400 + 1
        assert used <= days * 20 * MIB
        months = (datetime.fromtimestamp(truth, UTC) + timedelta(hours=8)).month - 11 + 1
        assert used <= months % 12 * 100 * MIB


def test_counters_begin_anew_and_wrap() -> None:
    before = Reading("boot", "wwan0", 1000)
    assert carried(None, before) == 0
    assert carried(before, Reading("boot", "wwan0", 1500)) == 500
    assert carried(before, Reading("boot", "wwan0", 400)) == 400  # the modem was plugged in again
    assert carried(before, Reading("other", "wwan0", 400)) == 400
    assert carried(before, Reading("boot", "eth0", 9999)) == 0
    assert carried(Reading("boot", "wwan0", (1 << 32) - 10), Reading("boot", "wwan0", 20)) == 30
