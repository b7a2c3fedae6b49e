"""The rules of counting (docs/usage.md), example by example, then by chance."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.usage.sessions import GAP, RESUME, SLACK, SPAN, Cut, Draft, Stored, build

BOARD = "b" * 16
DONE = 10**9


def event(
    number: int, second: float, type: str, visit: str = "v1", at: float | None = None, **other: Any
) -> Stored:
    """An event of one video at one board; a page's own clock starts at 0 unless told."""
    mono = int(second * 1000)
    page = type != "open" and other.get("origin") != "server"
    stamp = int((second if at is None else at) * 1000) if page else None
    made = Stored(number, BOARD, "l1", "r1", "video", visit, type, stamp, None, "page" if page else "server",
                  "boot1", mono, 10**12 + mono, "ntp")  # fmt: skip
    return replace(made, **other)


def play(first: int, begin: int, end: int, visit: str = "v1") -> list[Stored]:
    """open, play, a ping every 30 s, close."""
    events = [event(first, begin, "open", visit), event(first + 1, begin, "play", visit, 0)]
    for second in range(begin + 30, end, 30):
        events.append(event(first + len(events), second, "ping", visit, second - begin))
    return [*events, event(first + len(events), end, "close", visit, end - begin)]


def ended(events: list[Stored], now: int = DONE, boot: str = "boot1") -> list[Draft]:
    return list(build(events, boot, now, "usage").ended)


def test_a_video_played_for_nine_minutes_counts_nine_minutes() -> None:
    [session] = ended(play(1, 100, 640))
    assert (session.seconds, session.ended, session.mono) == (540, "closed", 100_000)


def test_opened_without_a_script_counts_as_opened_with_no_minutes() -> None:
    [session] = ended([event(1, 5, "open", kind="plan")])
    assert (session.seconds, session.ended) == (0, "left")


def test_a_pause_does_not_count() -> None:
    events = [event(1, 0, "open"), event(2, 0, "play"), event(3, 20, "pause"), event(4, 80, "play"),
              event(5, 100, "close")]  # fmt: skip
    assert [session.seconds for session in ended(events)] == [40]


def test_a_paused_page_that_says_so_keeps_its_session() -> None:
    events = [event(1, 0, "open"), event(2, 0, "play"), event(3, 30, "pause")]
    events += [event(4 + n, 30 + 120 * (n + 1), "pause") for n in range(10)]
    events += [event(20, 1300, "play"), event(21, 1330, "close")]
    assert [session.seconds for session in ended(events)] == [60]


def test_a_document_counts_while_its_page_is_seen() -> None:
    events = [event(1, 0, "open"), event(2, 30, "ping"), event(3, 45, "pause"), event(4, 200, "play"),
              event(5, 210, "close")]  # fmt: skip
    events = [replace(one, kind="plan") for one in events]
    assert [session.seconds for session in ended(events)] == [55]


def test_one_step_counts_ninety_seconds_at_most() -> None:
    assert [s.seconds for s in ended([event(1, 0, "open"), event(2, 0, "play"), event(3, 200, "close")])] == [
        90
    ]


def test_silence_of_more_than_five_minutes_ends_a_session() -> None:
    events = [event(1, 0, "open"), event(2, 0, "play"), event(3, 30, "ping"), event(4, 400, "ping"),
              event(5, 430, "close")]  # fmt: skip
    assert [(s.ended, s.seconds) for s in ended(events)] == [("left", 30), ("closed", 30)]


def test_a_page_cannot_claim_more_than_the_box_saw() -> None:
    events = [event(1, 0, "open"), event(2, 0, "play", at=0)]
    events += [event(3 + n, 10, "ping", at=n) for n in range(15)]
    events += [event(90, 11, "close", at=9999)]
    assert [session.seconds for session in ended(events)] == [10]


def test_pings_that_came_late_together_count_their_own_time() -> None:
    events = [event(1, 0, "open"), event(2, 0, "play", at=0)]
    events += [event(3 + n, 150, "ping", at=30 * (n + 1)) for n in range(5)]
    events += [event(9, 150, "close", at=150)]
    assert [session.seconds for session in ended(events)] == [150]


def test_a_reload_is_a_new_session_and_its_minutes_go_on() -> None:
    events = [*play(1, 0, 60), *play(10, 62, 122, "v2")]
    assert [(s.ended, s.seconds) for s in ended(events)] == [("closed", 60), ("closed", 60)]


def test_pages_turned_are_one_session_whatever_overtakes_what() -> None:
    """Each page of a document is loaded anew under one visit; the old page's goodbye may come after that."""
    loads = [(1, 0, "open"), (4, 40, "ping"), (7, 80, "ping")]
    events = [event(number, second, type, kind="plan", origin="server") for number, second, type in loads]
    events += [event(2, 30, "ping", kind="plan", at=30), event(3, 39, "close", kind="plan", at=39),
               event(6, 70, "ping", kind="plan", at=30), event(8, 81, "close", kind="plan", at=41),
               event(9, 110, "ping", kind="plan", at=30),
               event(10, 115, "close", kind="plan", at=35)]  # fmt: skip
    [session] = ended(sorted(events, key=lambda one: one.id))
    assert (session.seconds, session.ended) == (39 + 40 + 35, "closed")


def test_pages_turned_without_a_script_count() -> None:
    events = [event(1 + n, 50 * n, "ping" if n else "open", kind="plan", origin="server") for n in range(4)]
    assert [(s.seconds, s.ended) for s in ended(events)] == [(150, "left")]


def test_a_page_that_comes_back_at_once_goes_on() -> None:
    events = [*play(1, 0, 60), event(9, 65, "play"), event(10, 95, "close")]
    assert [(s.seconds, s.ended) for s in ended(events)] == [(90, "closed")]


def test_a_closed_session_is_told_soon() -> None:
    assert build(play(1, 0, 60), "boot1", 60_000 + RESUME, "usage").ended == ()
    assert len(build(play(1, 0, 60), "boot1", 60_001 + RESUME, "usage").ended) == 1


def test_opened_again_while_the_old_page_never_closed() -> None:
    events = [event(1, 0, "open"), event(2, 0, "play"), event(3, 30, "ping"), *play(4, 40, 100, "v2")]
    assert [(s.ended, s.seconds) for s in ended(events)] == [("reopened", 30), ("closed", 60)]


def test_two_tabs_of_one_resource_count_once() -> None:
    first = [event(1 + n, 30 * n, "ping" if n else "open") for n in range(20)]
    second = [event(100 + n, 15 + 30 * n, "ping" if n else "open", "v2") for n in range(20)]
    both = sorted([*first, *second], key=lambda one: one.mono)
    both = [replace(one, id=number) for number, one in enumerate(both, 1)]
    assert sum(session.seconds for session in ended(both)) <= 19 * 30 + 15


def test_a_straggler_after_the_close_is_no_session() -> None:
    events = [*play(1, 0, 60), event(9, 61, "ping", at=59)]
    assert len(ended(events)) == 1


def test_power_cut() -> None:
    first = [event(1, 0, "open"), event(2, 0, "play"), event(3, 30, "ping")]
    again = [replace(one, id=one.id + 9, boot="boot2", visit="v2") for one in first]
    cut = build([*first, *again], "boot2", 40_000, "usage")
    assert [(s.boot, s.ended, s.seconds) for s in cut.ended] == [("boot1", "boot", 30)]
    assert cut.through == 9  # the session that goes on begins at 10


def test_furthest_point() -> None:
    events = [event(1, 0, "open"), event(2, 1, "play", position=400), event(3, 9, "close", position=3)]
    assert [session.furthest for session in ended(events)] == [400]


def test_what_goes_on_is_not_told_yet() -> None:
    events = [event(1, 0, "open"), event(2, 0, "play"), event(3, 30, "ping")]
    assert build(events, "boot1", 30_000 + GAP + SLACK, "usage").ended == ()
    assert ended(events, 30_001 + GAP + SLACK)[0].ended == "left"


def test_a_board_left_on_is_cut_after_twelve_hours() -> None:
    events = [event(1 + n, 60 * n, "ping" if n else "open") for n in range(SPAN // 60_000 + 100)]
    assert [s.ended for s in build(events, "boot1", events[-1].mono, "usage").ended] == ["left"]


def test_ids_follow_the_event_and_the_file() -> None:
    one = build(play(1, 0, 60), "boot1", DONE, "usage").ended
    assert one == build(play(1, 0, 60), "boot1", DONE * 2, "usage").ended
    assert one[0].id != build(play(1, 0, 60), "boot1", DONE, "other").ended[0].id


def any_day(chance: random.Random) -> list[Stored]:
    """Anything boards may send: several boards and pages, pauses, silences, restarts of the box."""
    mono, boot, made = 0, 0, []
    for number in range(1, chance.randint(2, 80)):
        if chance.random() < 0.04:
            boot, mono = boot + 1, 0
        mono += chance.choice([0, 500, 30_000, 100_000, 310_000])
        type = chance.choice(["open", "play", "ping", "ping", "pause", "ended", "close"])
        made.append(
            Stored(number, chance.choice("ab") * 16, "l1", chance.choice(["r1", "r2"]),
                   chance.choice(["video", "plan"]), chance.choice(["v1", "v2", "v3"]), type,
                   chance.choice([None, chance.randint(0, 10**6), mono]), chance.choice([None, 7, 99]),
                   "server" if type == "open" else "page", f"boot{boot}", mono, mono, "ntp")
        )  # fmt: skip
    return made


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_told_in_pieces_is_told_once(seed: int) -> None:
    """Looking at any moments, from the watermark on, without ids told already, gives what one look gives."""
    chance = random.Random(seed)
    events = any_day(chance)
    last = events[-1]
    whole = {draft.id: draft for draft in build(events, last.boot, last.mono + DONE, "u").ended}
    told: dict[str, Draft] = {}
    taken: set[str] = set()
    through = 0
    for seen in [*sorted(chance.choices(range(1, len(events) + 1), k=6)), len(events)]:
        present = events[seen - 1]
        now = present.mono + (DONE if told and seen == len(events) else 0)
        part = [one for one in events[:seen] if one.id > through]
        cut = build(part, present.boot, now, "u")
        fresh = {draft.id: draft for draft in cut.ended if draft.id not in taken}
        assert not fresh.keys() & told.keys()
        told |= fresh
        through = max(through, cut.through)
        taken = {one for one in taken | fresh.keys() if told[one].last > through}
    final = build([one for one in events if one.id > through], last.boot, last.mono + DONE, "u")
    told |= {draft.id: draft for draft in final.ended if draft.id not in taken}
    assert {one: (draft.seconds, draft.first, draft.last) for one, draft in told.items()} == {
        one: (draft.seconds, draft.first, draft.last) for one, draft in whole.items()
    }


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_never_more_than_the_box_saw(seed: int) -> None:
    events = any_day(random.Random(seed))
    last = events[-1]
    for draft in build(events, last.boot, last.mono + DONE, "u").ended:
        inside = [one for one in events if draft.first <= one.id <= draft.last and one.boot == draft.boot]
        assert 0 <= draft.seconds * 1000 <= inside[-1].mono - inside[0].mono


@pytest.mark.parametrize("kind", ["video", "plan"])
def test_a_box_without_events(kind: str) -> None:
    assert build([], "boot1", 5, kind) == Cut((), 0)
