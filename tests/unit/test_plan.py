"""The plan's rules: what comes first, what may go, and that it always says why."""

from __future__ import annotations

import time
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from content_sync.core.calendar import (
    AGREES,
    LATE,
    WISH_COUNTS,
    Agenda,
    Need,
    Wishes,
    agenda,
    believed,
    week_of,
)
from content_sync.core.plan import Plan, Want, make
from content_sync.core.reason import SENTENCES, Reason
from content_sync.core.retention import Held, Rule, choose, rule_of
from content_sync.core.timefloor import TimeFloor
from content_sync.formats.policy import Deadline, Policy, Term

TERM = Term(date(2026, 9, 1), 20, "上册")
#: 2026-09-16, a Wednesday of the third week.
NOW = 1_789_545_600
DAY = 86_400


def want(name: str, lacking: int = 10, volume: str = "上册", week: int | None = None, **more: object) -> Want:
    return Want(name, f"hash-{name}", name, lacking, None, volume=volume, week=week)._replace(**more)


def order(wants: list[Want], agenda_: Agenda) -> str:
    return "".join(d.lesson for d in make(wants, frozenset(), 1, 1 << 40, agenda_).decisions)


def test_deadline_wish_calendar_term_rest() -> None:
    wants = [want("r", volume="下册"), want("t"), want("c", week=4), want("b", week=3), want("w"), want("d")]
    policy = Policy(deadlines=(Deadline("d", NOW + DAY),), term=TERM)
    made = agenda(policy, {"w": Wishes(1, NOW)}, NOW)
    assert made.week == 3
    assert order(wants, made) == "dwbctr"


def test_without_a_trusted_clock_weeks_order_nothing() -> None:
    wants = [want("a", week=9), want("b", week=3), want("r", volume="下册"), want("d")]
    policy = Policy(deadlines=(Deadline("d", 5),), term=TERM)
    # The deadline of long ago may be tomorrow's; the term is the county's word and needs no clock.
    assert order(wants, agenda(policy, {"a": Wishes(1, 5)}, None)) == "dabr"
    assert order(wants, agenda(policy, {"a": Wishes(1, NOW)}, NOW)) == "abdr"  # that deadline is over
    late = agenda(policy, {"a": Wishes(1, NOW - WISH_COUNTS - 1)}, NOW)
    assert not late.deadlines and not late.wishes and late.week == 3


def test_deadlines_by_date_wishes_by_boards() -> None:
    policy = Policy(deadlines=(Deadline("b", NOW + 9), Deadline("a", NOW + 99), Deadline("a", NOW + 5)))
    wishes = {"c": Wishes(1, NOW - 50), "d": Wishes(3, NOW), "e": Wishes(1, NOW - 60)}
    assert order([want(name) for name in "abcde"], agenda(policy, wishes, NOW)) == "abdec"
    assert agenda(policy, {}, NOW + LATE + 50).deadlines == {"a": NOW + 99}


def test_weeks_begin_on_monday() -> None:
    assert week_of(TERM, date(2026, 8, 31)) == week_of(TERM, date(2026, 9, 6)) == 1
    assert week_of(TERM, date(2026, 9, 7)) == 2
    assert week_of(TERM, date(2026, 8, 24)) == 1 and week_of(TERM, date(2026, 8, 23)) is None
    assert week_of(TERM, date(2027, 1, 17)) == 20 and week_of(TERM, date(2027, 1, 18)) is None


def test_which_clock_is_believed() -> None:
    floor = TimeFloor(NOW)
    assert believed(NOW + 5, False, floor) == NOW + 5
    assert believed(NOW + AGREES + 1, False, floor) is None
    assert believed(NOW + AGREES + 1, True, floor) == NOW + AGREES + 1
    assert believed(NOW - 3 * DAY, True, floor) is None
    assert believed(NOW, False, TimeFloor()) is None


def test_a_more_urgent_need_takes_the_place_of_what_runs_and_nothing_else_does() -> None:
    running = frozenset({"hash-y", "hash-z"})
    wants = [want(name) for name in "xyz"]
    assert set(make(wants, running, 2, 1000).fetching) == running
    urgent = make(wants, running, 2, 1000, Agenda(wishes={"x": Wishes(1, None)}))
    assert urgent.fetching == ("hash-x", "hash-y")
    assert urgent.decisions[2].reason == Reason("queued", (("ahead", 2),))


def test_while_a_lesson_with_a_deadline_flows_the_line_is_its_own() -> None:
    wants = [want(name) for name in "abc"]
    with_deadline = Agenda(deadlines={"b": 5})
    assert len(make(wants, frozenset(), 3, 1000, with_deadline).fetching) == 3
    flows = make(wants, frozenset({"hash-b"}), 3, 1000, with_deadline, flowing=frozenset({"hash-b"}))
    assert flows.fetching == ("hash-b",)
    assert {d.reason.code for d in flows.decisions[1:]} == {"urgent"}


def held(name: str, frees: int, rule: Rule, came: int = 0) -> Held:
    return Held(name, name, frees, rule, came)


def test_what_goes_for_what() -> None:
    shelf = [
        held("past", 50, Rule.PAST_TERM, 1),
        held("past2", 50, Rule.PAST_TERM, 2),
        held("gone", 30, Rule.WITHDRAWN),
        held("strange", 40, Rule.UNSUBSCRIBED),
        held("kept", 500, Rule.KEPT),
    ]
    names = lambda *args: [one.lesson for one in choose(shelf, *args)]  # noqa: E731
    assert names(25, Need.REST) == ["gone"]
    assert names(60, Need.REST) == ["gone", "strange"]
    assert names(71, Need.REST) == []  # for the rest nothing that is subscribed goes
    assert names(71, Need.TERM) == ["gone", "strange", "past"]
    assert names(10_000, Need.DEADLINE) == []  # it would not fit anyway: nothing goes


def test_which_rule_a_lesson_falls_under() -> None:
    this = Agenda(term=TERM, wishes={"w": Wishes(1, None)})
    assert rule_of(this, "a", "上册", None) is Rule.KEPT
    assert rule_of(this, "a", "全一册", None) is Rule.KEPT
    assert rule_of(this, "a", "下册", None) is Rule.PAST_TERM
    assert rule_of(this, "a", "下册", None, current=False) is Rule.OLDER
    assert rule_of(this, "a", "下册", None, pinned=True) is Rule.KEPT
    assert rule_of(this, "w", "下册", None) is Rule.KEPT
    assert rule_of(this, "a", "下册", None, subscribed=False) is Rule.UNSUBSCRIBED
    assert rule_of(this, "a", "上册", None, subscribed=False) is Rule.UNSUBSCRIBED
    assert rule_of(Agenda(now=NOW), "a", "下册", None) is Rule.KEPT  # the clock alone evicts nothing


def test_room_is_made_before_anything_else_is_begun_with_it() -> None:
    this = Agenda(term=TERM)
    past = [held("old", 90, Rule.PAST_TERM)]
    made = make([want("new", 100), want("huge", 500)], frozenset(), 4, 20, this, past)
    assert [one.lesson for one in made.evict] == ["old"] and not made.fetching
    assert [d.reason.code for d in made.decisions] == ["room", "space"]


def test_an_evicted_lesson_comes_back_when_there_is_ample_space_or_need() -> None:
    this = Agenda(term=TERM)
    gone = want("old", 90, "下册", evicted=True)
    assert make([gone], frozenset(), 4, 100, this, margin=50).decisions[0].reason.code == "evicted"
    assert make([gone], frozenset(), 4, 140, this, margin=50).fetching
    wished = Agenda(term=TERM, wishes={"old": Wishes(1, None)})
    assert make([gone], frozenset(), 4, 100, wished, margin=50).fetching


def test_nothing_comes_and_goes_in_turns() -> None:
    """Two volumes on a disk for one: the term's comes, the other goes once, and then it is quiet."""
    this, size, disk = Agenda(term=TERM), 10, 100
    here = {f"past{n}" for n in range(10)}
    evicted: set[str] = set()
    moves = 0
    names = [*(f"new{n}" for n in range(8)), *(f"past{n}" for n in range(10))]
    for _ in range(200):
        wants = [
            want(name, size, "上册" if name.startswith("new") else "下册", evicted=name in evicted)
            for name in names
            if name not in here
        ]
        shelf = [held(name, size, Rule.PAST_TERM) for name in here if name.startswith("past")]
        made = make(wants, frozenset(), 2, disk - size * len(here), this, shelf, margin=5)
        for one in made.evict:
            here.discard(one.lesson)
            evicted.add(one.lesson)
        here |= {d.lesson for d in made.decisions if d.fetch}
        moves += len(made.evict) + len(made.fetching)
    assert {f"new{n}" for n in range(8)} <= here and len(here) == 10
    assert moves == 8 + 8


NAMES = "abcdefghij"
WANTS = st.lists(
    st.builds(
        want,
        st.sampled_from(NAMES),
        st.integers(0, 200),
        st.sampled_from(["上册", "下册", "全一册", ""]),
        st.none() | st.integers(1, 25),
        roots=st.none() | st.frozensets(st.sampled_from("xyzuv"), max_size=3),
        blocked=st.none() | st.just(Reason("one-way")),
        evicted=st.booleans(),
    ),
    max_size=10,
    unique_by=lambda one: one.lesson,
)
AGENDAS = st.builds(
    agenda,
    st.builds(
        Policy,
        deadlines=st.lists(
            st.builds(Deadline, st.sampled_from(NAMES), st.integers(NOW - 30 * DAY, NOW + DAY))
        ).map(tuple),
        term=st.none() | st.just(TERM),
    ),
    st.dictionaries(st.sampled_from(NAMES), st.builds(Wishes, st.integers(1, 9), st.none() | st.just(NOW))),
    st.none() | st.just(NOW),
)
HELD = st.lists(
    st.builds(
        held, st.text("klmnop", min_size=1), st.integers(0, 90), st.sampled_from(Rule), st.integers(0, 9)
    ),
    max_size=8,
)


@given(
    wants=WANTS,
    running=st.frozensets(st.sampled_from([f"hash-{name}" for name in NAMES]), max_size=4),
    limit=st.integers(1, 4),
    space=st.integers(-50, 400),
    agenda_=AGENDAS,
    shelf=HELD,
    margin=st.integers(0, 50),
)
@settings(max_examples=250, deadline=None)
def test_every_plan(
    wants: list[Want],
    running: frozenset[str],
    limit: int,
    space: int,
    agenda_: Agenda,
    shelf: list[Held],
    margin: int,
) -> None:
    def made() -> Plan:
        return make(wants, running, limit, space, agenda_, shelf, running, margin)

    plan = made()
    assert plan == made()  # same input, same plan
    assert sorted(d.lesson for d in plan.decisions) == sorted(one.lesson for one in wants)
    assert len(plan.fetching) <= limit
    by_lesson = {one.lesson: one for one in wants}
    chosen = [by_lesson[d.lesson] for d in plan.decisions if d.fetch]
    roots = [root for one in chosen for root in one.roots or ()]
    assert len(roots) == len(set(roots))  # no file is fetched twice
    begun = [one for one in chosen if one.infohash not in running]
    assert sum(one.lacking for one in begun) <= max(0, space)  # the reserve stays
    for decision in plan.decisions:  # explained, in words that can be written
        assert decision.reason.code in SENTENCES and decision.reason.text
        assert decision.fetch == (decision.reason.code == "arriving")
    needs = [d.need for d in plan.decisions]
    assert needs == sorted(needs)
    turned_away = [d for d in plan.decisions if d.reason.code == "queued"]
    for decision in turned_away:  # nobody waits behind a less urgent one
        assert all(other.need <= decision.need for other in plan.decisions if other.fetch)
    for one in plan.evict:
        assert one in shelf and one.rule is not Rule.KEPT
    if plan.evict:
        needy = next(d for d in plan.decisions if d.reason.code == "room")
        assert sum(one.frees for one in plan.evict) + space >= needy.lacking


def test_a_large_county_is_planned_quickly() -> None:
    wants = [
        want(f"l{n}", 1000, roots=frozenset({f"r{n}", f"s{n}"}), week=n % 20 or None) for n in range(20_000)
    ]
    begin = time.process_time()
    plan = make(wants, frozenset(), 4, 1 << 40, Agenda(term=TERM, week=3, deadlines={"l7": 5}))
    took = time.process_time() - begin
    print(f"20,000 lessons planned in {1000 * took:.0f} ms of processor time")
    assert len(plan.decisions) == 20_000 and plan.fetching[0] == "hash-l7"
