# ruff: noqa: E501 (Chinese counts double)
"""The timetable's rules: what is on, what comes, turns, tables as people write them; rooms and their limits."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from appliance.school import rooms as school_rooms
from appliance.school.database import School
from appliance.school.pasted import read_grid
from appliance.school.rooms import (
    Room,
    boards,
    check_room,
    clear_boards,
    place_of,
    remove_room,
    rooms,
    save_room,
    set_board,
)
from appliance.school.timetable import (
    EVEN,
    EVERY,
    ODD,
    USUAL,
    Period,
    Slot,
    Timetable,
    check_periods,
    load,
    parse_time,
    save_periods,
    save_slots,
    turn,
)
from content_sync.errors import FormatError, NotFoundError, TooBigError

ONE, TWO = "一年级", "二年级"
MONDAY = datetime.datetime(2026, 11, 23)
TABLE = Timetable(
    USUAL,
    (
        Slot(1, 1, ONE, EVERY, "语文"),
        Slot(1, 1, TWO, EVERY, "数学"),
        Slot(1, 2, ONE, EVERY, "数学"),
        Slot(1, 7, TWO, EVERY, "体育"),
        Slot(5, 3, ONE, ODD, "美术"),
        Slot(5, 3, ONE, EVEN, "音乐"),
        Slot(6, 1, TWO, EVERY, "劳动"),
    ),
)


def at(hour: int, minute: int, days: int = 0) -> datetime.datetime:
    return MONDAY + datetime.timedelta(days=days, hours=hour, minutes=minute)


def told(when: datetime.datetime, grade: str, week: int | None = None) -> list[tuple[int, int, str]]:
    return [(h.ahead, h.period.no, h.subject) for h in TABLE.coming(when, week, grade)]


def test_now_is_one_subject_a_grade() -> None:
    assert [(h.slot.grade, h.subject) for h in TABLE.now(at(8, 30), None)] == [(ONE, "语文"), (TWO, "数学")]
    assert [h.subject for h in TABLE.now(at(9, 9), None)] == ["语文", "数学"]
    assert TABLE.now(at(9, 10), None) == [] and TABLE.now(at(8, 29), None) == []
    assert [h.subject for h in TABLE.now(at(9, 20), None)] == ["数学"]
    assert TABLE.now(at(8, 30, days=1), None) == []


def test_what_comes_before_in_and_after_school() -> None:
    assert told(at(6, 0), ONE) == [(0, 1, "语文"), (0, 2, "数学")]
    assert told(at(8, 50), ONE) == [(0, 1, "语文"), (0, 2, "数学")], "the lesson that is on comes first"
    assert told(at(9, 15), ONE) == [(0, 2, "数学")], "between lessons the next one"
    assert told(at(9, 15), TWO) == [(0, 7, "体育")]
    assert told(at(16, 20), TWO) == [(5, 1, "劳动")], "after the last lesson the next day that has some"
    assert told(at(10, 0, days=6), TWO) == [(1, 1, "数学"), (1, 7, "体育")], "Sunday looks to Monday"
    assert TABLE.coming(at(8, 0), None, "六年级") == []


def test_odd_and_even_weeks() -> None:
    friday = at(10, 40, days=4)
    assert [h.subject for h in TABLE.now(friday, 3)] == ["美术"]
    assert [h.subject for h in TABLE.now(friday, 4)] == ["音乐"]
    assert [h.subject for h in TABLE.now(friday, None)] == ["美术"], "a week that is not known"
    assert told(at(12, 0), ONE, week=4) == [(4, 3, "音乐")]
    # from Friday noon of week 3 the next Friday is one of week 4; Monday is nearer
    only = Timetable(USUAL, tuple(slot for slot in TABLE.slots if slot.weekday == 5))
    assert [(h.ahead, h.subject) for h in only.coming(at(12, 0, days=4), 3, ONE)] == [(7, "音乐")]
    assert [(h.ahead, h.subject) for h in only.coming(at(12, 0, days=4), 4, ONE)] == [(7, "美术")]


def test_a_subject_of_one_week_goes_before_that_of_every_week() -> None:
    table = Timetable(USUAL, (Slot(1, 1, ONE, EVERY, "语文"), Slot(1, 1, ONE, EVEN, "书法")))
    assert [h.subject for h in table.now(at(8, 30), 2)] == ["书法"]
    assert [h.subject for h in table.now(at(8, 30), 3)] == ["语文"]


def test_turns_of_a_room_with_several_grades() -> None:
    room = Room("r-1", "二号", (ONE, TWO), turns=((ONE, 15), (TWO, 10)))
    period = Period(1, 510, 550)
    first = turn(room, ONE, period, 517)
    assert first is not None and first.teaching and (first.left, first.until) == (8, None)
    assert first.stretches == ((15, True), (25, False)) and (first.elapsed, first.length) == (7, 40)
    second = turn(room, TWO, period, 517)
    assert second is not None and not second.teaching and second.until == 8
    assert second.stretches == ((15, False), (10, True), (15, False))
    over = turn(room, ONE, period, 540)
    assert over is not None and not over.teaching and over.until is None
    assert turn(room, "三年级", period, 517) is None
    assert turn(room, ONE, period, 550) is None and turn(room, ONE, period, 509) is None
    assert turn(Room("r-2", "a", (ONE, TWO)), ONE, period, 517) is None
    late = Room("r-3", "a", (ONE, TWO), turns=((ONE, 60), (TWO, 10)))
    assert turn(late, TWO, period, 517) is None, "its turn never comes"


def test_periods_as_people_write_them() -> None:
    found = check_periods([("8:30", "9:10"), ("", ""), ("09:20", "10：00")])
    assert found == (Period(1, 510, 550), Period(2, 560, 600))
    assert parse_time(" 23:59 ") == 1439 and parse_time("24:00") == 1440
    for bad in ([], [("9:10", "8:30")], [("8:30", "9:10"), ("9:00", "9:40")], [("8:30", "")], [("a", "b")],
                [("24:10", "24:20")], [("8:60", "9:00")], [("8:30", "9:10")] * 20):  # fmt: skip
        with pytest.raises(FormatError):
            check_periods(bad)


def test_a_table_out_of_a_spreadsheet() -> None:
    text = "溪口教学点课表\n节次\t星期一\t周二\t星期三\n上午\n第一节\t语文\t数\t-\n大课间\n第三节\t美术/音乐\t\t/书法\n"
    slots = read_grid(text, ONE)
    assert [(s.weekday, s.period, s.weeks, s.subject) for s in slots] == [
        (1, 1, EVERY, "语文"), (2, 1, EVERY, "数学"), (1, 3, ODD, "美术"), (1, 3, EVEN, "音乐"), (3, 3, EVEN, "书法"),
    ]  # fmt: skip
    plain = read_grid('"星期一",星期二\n语文,数学\n品德,', ONE, ("品德",))
    assert [(s.weekday, s.period, s.subject) for s in plain] == [
        (1, 1, "语文"),
        (2, 1, "数学"),
        (1, 2, "品德"),
    ]


def read(text: str) -> list[tuple[int, int, str]]:
    """(weekday, period, subject) of what a pasted text says."""
    return [(s.weekday, s.period, s.subject) for s in read_grid(text, ONE, ("语文", "数学"))]


TWO_DAYS = [(1, 1, "语文"), (2, 1, "数学"), (1, 2, "数学"), (2, 2, "语文")]


@pytest.mark.parametrize(
    "text",
    [
        "节次\t星期一\t星期二\n1\t语文\t数学\n2\t数学\t语文",
        "节次;星期一;星期二\r\n1;语文;数学\r\n2;数学;语文\r\n",
        "节次，周一，周二\n1，语文，数学\n2，数学，语文",
        "节 次\t星 期 一\t星 期 二\n第 一 节\t语文\t数学\n第 二 节\t数学\t语文",
        '节次\t星期一\t星期二\n第一节\t"语文\n王老师"\t"数学\n李老师"\n第二节\t数学\t"102室\n语文"\n',
        '节次,星期一,星期二\n"1\n8:30",语文,数学\n"2\n9:20",数学,语文\n',
        '节次\t星期一\t星期二\n1\t"语文\t数学\n2\t数学\t语文',
        "每周一次升旗,,\n周一,,\n节次,星期一,星期二\n1,语文,数学\n2,数学,语文",
        "时间,节次,星期一,星期二\n上午,1,语文,数学\n,2,数学,语文\n午休,,,,\n",
        "节次,星期一,星期二\n早读,语文,语文\n1,语文,数学\n大课间,广播操,广播操\n2,数学,语文\n午休,午休,午休",
        "节次,星期一,星期二\n1,语文,数学\n2,数学,语文\n制表人：,张三\n班主任,李四\n,王五",
        "时间,星期一,星期二\n8:30-9:10,语文,数学\n9:20-10:00,数学,语文\n制表人：,张三",
    ],
)
def test_a_table_as_spreadsheets_give_it(text: str) -> None:
    assert read(text) == TWO_DAYS


@pytest.mark.parametrize(
    "text",
    [
        "节次\t第一节\t第二节\n星期一\t语文\t数学\n星期二\t数学\t语文\n制表人：\t张三",
        "每周一次升旗课程表,,,\n,上午,,\n星期,1,2,午休\n周一,语文,数学,\n周二,数学,语文,\n备注：周一升旗",
    ],
)
def test_weekdays_down_the_side(text: str) -> None:
    assert sorted(read(text)) == sorted(TWO_DAYS)
    assert read("节次\t第一节\t第二节\n星期一\t语文\t数学") == [(1, 1, "语文"), (1, 2, "数学")]


def test_an_evening_after_the_last_period_is_one_more() -> None:
    assert read("节次,星期一\n1,语文\n2,数学\n晚自习,自习\n课后服务,社团")[2:] == [
        (1, 3, "自习"),
        (1, 4, "社团"),
    ]


def test_what_is_not_read_names_its_place() -> None:
    for text, place in (
        ("节次,星期一,星期二\n1,语文,星期三", "line 2"),
        ("节次,星期一,星期二\n1,语文,第三节", "line 2"),
        ('节次,星期一,星期二\n\n1,语文,"数学\n1"\n2,12,语文', "line 5"),
        ("节次,星期一,星期二\n1,语文,数学\n1,数学,语文", "line 3"),
        ("节次,9月1日星期一,星期二,星期三\n1,语文,数学,语文", "line 1"),
        ("节次,第一节,第二节\n星期一,语文,a/b/c\n星期二,数学,语文", "column 3"),
        ("星期一,星期二\n" + "语文,数学\n" * 501, "line"),
    ):
        with pytest.raises(FormatError, match=place):
            read(text)


@pytest.mark.parametrize(
    "text", ["", "语文\t数学", "星期一\t星期一\n语文\t数学", "星期一\n", "星期一\na/b/c", "星期一\n" + "长" * 30,
             "节\t星期一\n第99节\t语文", "\n".join(["星期一", *["语文"] * 40])],
)  # fmt: skip
def test_a_table_that_is_none(text: str) -> None:
    with pytest.raises(FormatError):
        read_grid(text, ONE)


def test_the_book_keeps_rooms_and_tables(tmp_path: Path) -> None:
    school = School(tmp_path / "school.db")
    room = check_room(" 二号  教室 ", [ONE, TWO, ONE], {"语文": "统编版", "数学": ""}, [(ONE, 15), (TWO, 0)])
    assert room.name == "二号 教室" and room.grades == (ONE, TWO) and room.editions == {"语文": "统编版"}
    save_room(school, room)
    save_room(school, check_room("一号", [ONE]))
    assert [one.name for one in rooms(school)] == ["二号 教室", "一号"] and rooms(school)[0] == room
    assert load(school, room.id) == Timetable(USUAL, ())
    save_slots(school, room.id, TABLE.slots)
    save_periods(school, [Period(1, 500, 540), Period(2, 550, 590)])
    again = load(School(tmp_path / "school.db"), room.id)
    assert set(again.slots) == set(TABLE.slots) and len(again.periods) == 2
    assert again.day(5, 1) == [], "a period that is no more is not held"
    set_board(school, "a" * 16, room.id, "left")
    assert boards(school) == {room.id: ["a" * 16]}
    save_room(school, check_room("三号", [TWO], identity=room.id))
    assert place_of(school, "a" * 16).room == rooms(school)[0] and rooms(school)[0].name == "三号"
    remove_room(school, room.id)
    assert load(school, room.id).slots == () and place_of(school, "a" * 16).hand == "left"
    with pytest.raises(FormatError):
        save_slots(school, room.id, TABLE.slots)
    with pytest.raises(NotFoundError):
        set_board(school, "b" * 16, room.id, "right")


def test_what_is_no_room_or_no_lesson_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    school = School(tmp_path / "school.db")
    for name, grades in (
        ("", [ONE]),
        ("a" * 41, [ONE]),
        ("a\0", [ONE]),
        ("a", []),
        ("a", [str(n) for n in range(13)]),
    ):
        with pytest.raises(FormatError):
            check_room(name, grades)
    with pytest.raises(FormatError):
        check_room("a", [ONE], turns=[(ONE, 500)])
    save_room(school, check_room("a", [ONE], identity="r-1"))
    for slot in (Slot(8, 1, ONE, 0, "语文"), Slot(1, 0, ONE, 0, "语文"), Slot(1, 1, ONE, 3, "语文"), Slot(1, 1, ONE, 0, ""),
                 Slot(1, 1, "", 0, "语文"), Slot(1, 1, ONE, 0, "语" * 21), Slot(1, 1, ONE, 0, "语文", "a b")):  # fmt: skip
        with pytest.raises(FormatError):
            save_slots(school, "r-1", [slot])
    monkeypatch.setattr(school_rooms, "MAX_ROOMS", 1)
    with pytest.raises(TooBigError):
        save_room(school, check_room("b", [ONE]))
    monkeypatch.setattr(school_rooms, "MAX_BOARDS", 2)
    set_board(school, "1" * 16, "r-1", "right")
    set_board(school, "2" * 16, None, "left")
    set_board(school, "3" * 16, "r-1", "right")  # the one that stands in no room went
    with pytest.raises(TooBigError):
        set_board(school, "4" * 16, "r-1", "right")
    clear_boards(school, "r-1")
    set_board(school, "4" * 16, "r-1", "right")
    assert boards(school) == {"r-1": ["4" * 16]}
