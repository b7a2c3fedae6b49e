# ruff: noqa: E501 (Chinese counts double)
"""Home of a room: by timetable and clock, by the teaching calendar, by where the class stopped; without any of
them; and the pages that set rooms and timetables."""

from __future__ import annotations

import datetime
import html
import io
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from appliance.school import rooms as book
from appliance.school.database import School
from appliance.school.rooms import Room, check_room, save_room, set_board
from appliance.school.teachers import remove, teachers
from appliance.school.timetable import EVERY, ODD, Slot, load, save_slots
from appliance.usage.recorder import Event
from appliance.web.app import Board, create_app
from appliance.web.pin import Pin, set_pin
from appliance.web.search.index import Index, Indexer
from content_sync.adapters.sqlite import StateReader
from tests.three_grades import DAY, set_calendar, three_grades
from tests.unit.test_web_app import Memory

PIN = "135790"
#: Friday, 10:42 in Beijing: the third period of USUAL is on.
FRIDAY = int(datetime.datetime(2026, 11, 20, 2, 42, tzinfo=datetime.UTC).timestamp())
HOUR = 3600
TERM = {"start": "2026-09-01", "weeks": 20, "volume": "上册"}


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = FRIDAY

    def monotonic(self) -> float:
        return 1000.0

    def wall(self) -> float:
        return float(self.now)

    def boot_id(self) -> str:
        return "boot"

    def source(self) -> str:
        return "ntp"


class Point:
    """A box, a browser on it, and its school's book."""

    def __init__(self, data: Path) -> None:
        self.clock = SetClock()
        self.box, self.lessons = three_grades(data, FRIDAY)
        paths = self.box.paths
        set_pin(paths.pin, PIN)
        self.school, reader = School(paths.school_db), StateReader(paths.state_db)
        Indexer(paths.search_db, reader).step()
        self.app = create_app(
            Board(
                paths.objects,
                reader,
                Index(paths.search_db),
                Memory(),
                self.clock,
                self.status,
                courseware_port=8101,
                pin=Pin(paths.pin, self.clock),
                school=self.school,
            )  # fmt: skip
        )
        self.client = Client(self.app)

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "box": "b-1",
            "release": 3,
            "problems": [],
            "clock": {"trusted": True, "source": "ntp"},
        }
        return told | {
            "outbox": {"unacknowledged": 0},
            "lessons": {"present": 14, "arriving": 1, "wanted": 0},
        }

    def get(self, path: str = "/") -> Any:
        return self.client.get(path, base_url="http://lesson.local")

    def post(self, path: str, **form: Any) -> Any:
        headers = {"Origin": "http://lesson.local"}
        return self.client.post(path, data=form, base_url="http://lesson.local", headers=headers)

    def titles(self, path: str = "/") -> list[str]:
        """The covers' titles."""
        page = re.sub(r"<rt>[^<]*</rt>|</?ruby>", "", self.get(path).text)
        return re.findall(r'<h2 class="ttl [^>]*>([^<]+)</h2>', page)

    def rows(self) -> list[tuple[str, str]]:
        """Period or unit, and title, of the rows below the covers."""
        return re.findall(r'<span class="p">([^<]*)</span><span class="t">([^<]*)</span>', self.get().text)

    @property
    def board(self) -> str:
        """This browser's id."""
        cookie = self.client.get_cookie("board", "lesson.local")
        assert cookie is not None
        return cookie.value

    def stand_in(self, room: Room, table: bool = True) -> Room:
        """Put this board into a room with the timetable DAY."""
        save_room(self.school, room)
        if table:
            slots = [
                Slot(day, period, grade, EVERY, subject)
                for day in range(1, 6)
                for grade in room.grades
                for period, subject in enumerate(DAY[grade], 1)
            ]
            save_slots(self.school, room.id, slots)
        self.get()
        set_board(self.school, self.board, room.id, "right")
        return room

    def add_teacher(self) -> None:
        """王老师, by an id that tests know."""
        with self.school.write() as db:
            db.execute("INSERT INTO teacher (id, name) VALUES ('0123456789abcdef', '王老师')")

    def unlock(self) -> str:
        """Enter the PIN; what forms carry."""
        self.post("/pin", pin=PIN, next="/school/rooms")
        found = re.search(r'name="secret" value="([0-9a-f]+)"', self.get("/school/rooms/new").text)
        assert found is not None
        return found[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Point:
    return Point(tmp_path_factory.mktemp("point"))


@pytest.fixture
def point(built: Point) -> Point:
    """A new browser on the box; nothing in the school's book, no calendar."""
    built.client, built.clock.now = Client(built.app), FRIDAY
    set_calendar(built.box, None, {})
    with built.school.write() as db:
        for table in ("slot", "board", "room", "period", "teacher", "place_in_lesson"):
            db.execute(f"DELETE FROM {table}")
    return built


THREE = check_room(
    "二号教室", list(DAY), {"语文": "统编版"}, [("一年级", 15), ("二年级", 10), ("三年级", 15)], "r-1"
)


def test_the_day_of_a_room_with_three_grades(point: Point) -> None:
    point.stand_in(THREE)
    page = point.get().text
    assert point.titles() == ["认识钟表", "我爱家乡山和水", "古诗三首"]
    assert "<ruby>钟<rt>zhōng</rt></ruby>" in page and "<ruby>古" not in page, "pinyin for first readers"
    assert "10:42" in page and "第三节</span>" in page and "二号教室" in page and "today.js" in page
    assert point.rows() == [("第四节", "江南"), ("第五节", "早睡早起"), ("第四节", "7的乘法口诀"), ("第五节", "古诗二首"),
                            ("第四节", "笔算乘法"), ("第五节", "Unit 4 We love animals")]  # fmt: skip
    assert (
        page.count("正在教") == 1 and "还有3分钟，再自己练25分钟" in page and "自己练，13分钟后轮到" in page
    )


def test_breaks_evenings_and_weekends(point: Point) -> None:
    point.stand_in(THREE)
    point.clock.now = FRIDAY + 30 * 60
    page = point.get().text
    assert "课间" in page and point.titles() == ["江南", "7的乘法口诀", "笔算乘法"] and "正在教" not in page
    assert page.count('class="when">第四节') == 3
    point.clock.now = FRIDAY - 4 * HOUR
    assert "还没上课" in point.get().text and point.titles() == ["江南", "古诗二首", "Unit 4 We love animals"]
    point.clock.now = FRIDAY + 7 * HOUR
    page = point.get().text
    assert "放学了" in page and page.count('class="when">星期一第一节') == 3
    point.clock.now = FRIDAY + 2 * 86400
    page = point.get().text
    assert "今天没有课" in page and page.count('class="when">明天第一节') == 3
    assert point.titles() == ["江南", "古诗二首", "Unit 4 We love animals"]


def test_without_a_clock_there_are_covers_and_no_date(point: Point) -> None:
    point.stand_in(THREE)
    point.clock.now = 0
    page = point.get().text
    assert point.titles() == ["江南", "古诗二首", "古诗三首"]
    assert "星期" not in page and "第三节" not in page and "正在教" not in page and "today.js" in page


def test_a_clock_far_past_what_the_county_signed_is_no_clock(point: Point, monkeypatch: Any) -> None:
    point.stand_in(THREE)
    later = FRIDAY + 401 * 86400
    point.clock.now = later
    assert "星期" in point.get().text, "NTP says so"
    monkeypatch.setattr(point.clock, "source", lambda: "system")
    point.clock.now += 60
    for path in ("/", "/tv"):
        page = point.get(path).text
        assert "星期" not in page and "第三节" not in page, path
    assert point.titles() == ["江南", "古诗二首", "古诗三首"]
    with closing(sqlite3.connect(point.box.paths.state_db)) as db:
        with db:  # a stick came; its time is doubted
            db.execute(
                "INSERT INTO meta VALUES ('floor', ?)", (f'{{"floor": {FRIDAY}, "doubted": {later}}}',)
            )
        assert "星期" in point.get().text
        with db:
            db.execute("DELETE FROM meta WHERE key = 'floor'")


def test_holidays_show_lessons_and_no_period(point: Point) -> None:
    point.stand_in(THREE)
    set_calendar(point.box, TERM | {"weeks": 5}, {})
    page = point.get().text
    assert "第三节" not in page and point.titles() == ["江南", "古诗二首", "古诗三首"]
    set_calendar(point.box, TERM | {"start": "2026-11-25"}, {})
    assert "第三节" not in point.get().text, "the week before the first"
    set_calendar(point.box, TERM, {})
    assert "第三节" in point.get().text and "第十二周" in point.get().text


def test_the_calendar_says_which_lesson(point: Point) -> None:
    point.stand_in(THREE)
    of = {title: lesson.id for title, lesson in point.lessons.items()}
    set_calendar(
        point.box, TERM, {of["古诗三首"]: 11, of["富饶的西沙群岛"]: 12, of["认识钟表"]: 10, of["练习课"]: 13}
    )
    assert point.titles() == ["认识钟表", "我爱家乡山和水", "富饶的西沙群岛"], (
        "this week's, else that of the last week with one"
    )
    set_calendar(point.box, TERM, {of["古诗三首"]: 12, of["富饶的西沙群岛"]: 12})
    assert point.titles()[2] == "古诗三首"
    point.get(f"/lesson/{of['富饶的西沙群岛']}/r2")
    page = point.get().text
    assert point.titles()[2] == "富饶的西沙群岛" and "接着上课" in page, (
        "of two this week, where the class stopped"
    )


def test_where_the_class_stopped_and_what_follows(point: Point) -> None:
    point.stand_in(THREE)
    lesson = point.lessons["古诗三首"].id
    events = [Event(point.board, lesson, "r1", "video", "a" * 16, "pause", 10, 130, "page")]
    told = [
        {
            "lesson": e.lesson,
            "resource": e.resource,
            "visit": e.visit,
            "type": e.type,
            "at": 10,
            "position": 130,
        }
        for e in events
    ]
    assert (
        point.client.post("/api/v1/events", json={"events": told}, base_url="http://lesson.local").status_code
        == 204
    )
    other = Client(point.app)  # another board of the same room
    other.get("/", base_url="http://lesson.local")
    cookie = other.get_cookie("board", "lesson.local")
    assert cookie is not None
    set_board(point.school, cookie.value, THREE.id, "right")
    point.client = other
    page = point.get().text
    assert point.titles()[2] == "古诗三首" and "接着上课" in page
    assert "上次停在 2:10" in page and "停在 2:10，还剩6分钟" in page
    told[0] |= {"type": "ended", "position": 480, "at": 20}
    other.post("/api/v1/events", json={"events": told}, base_url="http://lesson.local")
    assert point.titles()[2] == "富饶的西沙群岛", "the recording ran to its end: the next lesson"


def test_one_grade_has_its_next_periods_side_by_side(point: Point) -> None:
    point.stand_in(check_room("一年级教室", ["一年级"]))
    assert point.titles() == ["认识钟表", "江南", "早睡早起"]
    assert re.findall(r'class="when">([^<]+)', point.get().text) == ["第四节", "第五节"]
    point.clock.now = FRIDAY - 4 * HOUR
    assert point.titles() == ["江南", "四季", "认识钟表"], (
        "the second period of a subject has the next lesson"
    )
    text = point.get().text
    assert "第七节" in text and text.count("体育") == 1, "the rest of the day stands below"


def test_a_subject_that_the_box_does_not_have_and_a_lesson_that_is_late(point: Point) -> None:
    point.stand_in(check_room("四年级", ["四年级"]), table=False)
    room = book.rooms(point.school)[0]
    save_slots(
        point.school, room.id, [Slot(5, 3, "四年级", EVERY, "体育"), Slot(5, 4, "四年级", EVERY, "数学")]
    )
    page = point.get().text
    assert point.titles() == ["体育", "还没到的课"]
    assert "课箱里没有这一科的资料" in page and "看这一课" in page and "开始上课" not in page


def test_odd_weeks(point: Point) -> None:
    room = point.stand_in(check_room("一", ["一年级"]), table=False)
    save_slots(
        point.school, room.id, [Slot(5, 3, "一年级", EVERY, "语文"), Slot(5, 3, "一年级", ODD, "数学")]
    )
    set_calendar(point.box, TERM, {})
    assert point.titles() == ["江南"], "week 12"
    set_calendar(point.box, TERM | {"start": "2026-09-08"}, {})
    assert point.titles() == ["认识钟表"], "week 11"


def test_a_room_without_timetable_keeps_to_its_grades_and_editions(point: Point) -> None:
    room = point.stand_in(check_room("三年级", ["三年级"], {"语文": "北师大版"}), table=False)
    titles = [*point.titles(), *(title for _, title in point.rows())]
    assert "别的版本" in titles and not {"江南", "古诗二首", "古诗三首", "富饶的西沙群岛"} & set(titles)
    save_slots(point.school, room.id, [Slot(5, 3, "三年级", EVERY, "语文")])
    assert point.titles() == ["别的版本"]
    point.stand_in(check_room("六年级", ["六年级"]), table=False)
    assert "课箱里还没有这间教室的课" in point.get().text and point.titles() == []


def test_four_grades_stand_side_by_side_and_six_in_two_rows(point: Point) -> None:
    every = ["一年级", "二年级", "三年级", "四年级", "五年级", "六年级", "七年级"]
    for number, look in ((4, "four"), (6, "six")):
        room = point.stand_in(check_room(f"大教室{number}", every[:number]), table=False)
        save_slots(point.school, room.id, [Slot(5, 3, grade, EVERY, "数学") for grade in room.grades])
        found = point.titles()
        assert found[:4] == ["认识钟表", "7的乘法口诀", "笔算乘法", "还没到的课"] and len(found) == number
        assert f'class="grades {look}"' in point.get().text and 'class="pick"' not in point.get().text
    save_slots(point.school, room.id, [])
    assert point.titles() == ["江南", "古诗二首", "古诗三首", "还没到的课"], "without a timetable too"


def test_more_grades_than_fit(point: Point) -> None:
    every = ["一年级", "二年级", "三年级", "四年级", "五年级", "六年级", "七年级"]
    room = point.stand_in(check_room("大教室", every), table=False)
    save_slots(point.school, room.id, [Slot(5, 3, grade, EVERY, "数学") for grade in every])
    assert len(point.titles()) == 6
    assert point.titles("/?grade=三年级")[:2] == ["笔算乘法", "还没到的课"]
    assert point.titles()[0] == "笔算乘法", "the board remembers"
    assert 'href="?grade=%E4%B8%83' in point.get().text, "the others are a tap away"


def test_without_a_room_no_grade_stands_twice(point: Point) -> None:
    page = point.get().text
    grades = re.findall(r'<span class="gr kai">([^<]*)</span>', page)
    assert len(grades) == 3 == len(set(grades))
    point.stand_in(check_room("两级", ["一年级", "三年级"]), table=False)
    assert point.titles() == ["江南", "古诗三首"] and 'class="grades halves"' in point.get().text
    point.stand_in(check_room("一级", ["三年级"]), table=False)
    assert len(point.titles()) == 3, "one grade: its subjects"


def test_the_shelf_has_the_subjects_of_the_stages_that_are_taught(tmp_path: Path) -> None:
    point = Point(tmp_path)
    box = point.box
    for subject, edition in (("语文", "统编版"), ("物理", "人教版")):
        box.lesson(f"初中/{subject}/{edition}/八年级/上册", "第一单元", 1, f"{subject}初中课", ())
    box.write(FRIDAY, 2)

    def shelf(path: str = "/") -> list[str]:
        nav = point.get(path).text.partition('id="shelf"')[2].partition("</nav>")[0]
        return re.findall(r'href="/subject/[^"]+">(?:<span>)?(.+?)(?:</span>)?</a>', nav)

    assert "语文" in shelf() and "物理" not in shelf()
    both = shelf("/?grade=八年级")
    assert "物理" in both and "小学<br>语文" in both and "初中<br>语文" in both
    point.stand_in(check_room("初二", ["八年级"]), table=False)
    assert shelf() == ["语文", "物理"]
    point.stand_in(check_room("一级", ["三年级"]), table=False)
    assert shelf().count("语文") == 1 and "物理" not in shelf()


def test_a_box_without_lessons_does_not_say_that_all_are_here(tmp_path: Path) -> None:
    point = Point(tmp_path)
    point.box.lessons.clear()
    point.box.write(FRIDAY, 2)
    page = point.get().text
    assert "资料齐全" not in page and "课箱里还没有课" in page


def test_search_prefers_what_is_taught_now(point: Point) -> None:
    def first() -> str:
        found = re.search(r'href="/lesson/([^"/]+)"', point.get("/search?q=单元").text)
        assert found is not None
        return found[1].rpartition("-")[0]

    point.stand_in(check_room("一", ["一年级"]))
    assert first() == point.lessons["认识钟表"].collection
    point.clock.now = FRIDAY + 40 * 60
    assert first() == point.lessons["江南"].collection


def test_a_board_is_asked_only_where_rooms_are(point: Point) -> None:
    assert "这块白板在哪个教室" not in point.get().text
    save_room(point.school, THREE)
    assert "这块白板在哪个教室" in point.get().text
    page = point.get("/school/board").text
    assert "二号教室" in page and "管理教室" in page
    assert point.post("/school/board", room="r-1").headers["Location"] == "/"
    assert "这块白板在哪个教室" not in point.get().text and "hand-left" not in point.get().text
    assert point.post("/school/board", hand="left").headers["Location"] == "/school/board"
    assert "hand-left" in point.get().text and "二号教室" in point.get().text, "the room stays"
    point.post("/school/board", room="")
    assert "二号教室" not in point.get("/lesson/x").text and "这块白板在哪个教室" in point.get().text
    assert point.post("/school/board", hand="third").status_code == 400
    assert point.post("/school/board", room="r-nowhere").status_code == 303 and "这块白板" in point.get().text


def test_rooms_and_timetables_ask_for_the_pin(point: Point) -> None:
    save_room(point.school, THREE)
    paths = ("/school/rooms", "/school/rooms/new", "/school/rooms/r-1", "/school/rooms/r-1/remove", "/school/timetable",
             "/school/timetable/periods", "/school/timetable/r-1", "/school/timetable/r-1/paste")  # fmt: skip
    for path in paths:
        assert "/pin" in point.get(path).headers["Location"], path
    point.unlock()
    for path in paths:
        assert point.get(path).status_code in (200, 302), path
        if path not in ("/school/rooms", "/school/timetable"):
            assert point.post(path, secret="0" * 32, name="x").status_code == 403, path
    assert point.get("/school/rooms/r-2").status_code == point.get("/school/timetable/r-2").status_code == 404


def test_a_room_is_made_changed_and_taken_away(point: Point) -> None:
    secret = point.unlock()
    for wrong, said in ({"grade": "一年级"}, "请给教室写个名字"), ({"name": "a"}, "请选这间教室的年级"), (
        {"name": "a" * 99, "grade": "一年级"}, "有一格填得不对"
    ):  # fmt: skip
        answer = point.post("/school/rooms/new", secret=secret, **wrong)
        assert answer.status_code == 400 and said in answer.text
    answer = point.post(
        "/school/rooms/new", secret=secret, name="<b>二号</b>", grade=["二年级", "一年级", "没有的"]
    )
    [room] = book.rooms(point.school)
    assert answer.headers["Location"] == f"/school/timetable/{room.id}"
    assert room.grades == ("一年级", "二年级") and "&lt;b&gt;二号" in point.get("/school/rooms").text
    path = f"/school/rooms/{room.id}"
    point.post(
        path,
        secret=secret,
        name="二号",
        grade=["一年级", "二年级"],
        **{"edition-0": "统编版", "turn-0": "15", "turn-1": "10"},
    )
    [room] = book.rooms(point.school)
    assert room.turns == (("一年级", 15), ("二年级", 10)) and room.editions == {"语文": "统编版"}
    bad = point.post(path, secret=secret, name="二号", grade=["一年级", "二年级"], **{"turn-0": "x"})
    assert bad.status_code == 400 and book.rooms(point.school) == [room]
    point.post("/school/board", room=room.id)
    assert "1块白板要重新选教室" in point.get(f"{path}/remove").text
    point.post(f"{path}/clear", secret=secret)
    assert book.boards(point.school) == {}
    point.post(f"{path}/remove", secret=secret)
    assert book.rooms(point.school) == []


def test_the_grid_is_saved_as_it_is_shown(point: Point) -> None:
    secret = point.unlock()
    save_room(point.school, THREE)
    path = "/school/timetable/r-1"
    assert point.get(path).text.count("<select name=") == 5 * 7 * 3
    point.post(
        path, secret=secret, **{"s-1-1-0-0": "语文", "s-5-7-2-0": "体育", "s-9-1-0-0": "x", "s-1-1-9-0": "x"}
    )
    assert [(s.key, s.subject) for s in load(point.school, "r-1").slots] == [
        ((1, 1, "一年级", 0), "语文"), ((5, 7, "三年级", 0), "体育"),
    ]  # fmt: skip
    point.post(
        path,
        secret=secret,
        weeks="1",
        **{"s-1-1-0-1": "美术", "s-1-1-0-2": "音乐", "s-1-2-0-1": "数学", "s-1-2-0-2": "数学"},
    )
    kept = {slot.key: slot.subject for slot in load(point.school, "r-1").slots}
    assert kept == {
        (1, 1, "一年级", 1): "美术",
        (1, 1, "一年级", 2): "音乐",
        (1, 2, "一年级", 0): "数学",
        (5, 7, "三年级", 0): "体育",
    }
    page = point.get(path).text
    assert (
        page.count("<select name=") == 2 * 5 * 7 * 3 and "斜线前面是单周" in point.get(f"{path}/print").text
    )
    assert point.post(path, secret=secret, **{"s-1-1-0-0": "长" * 30}).status_code == 400
    point.post(path, secret=secret, **{"s-1-1-0-1": "", "s-1-1-0-2": ""})
    assert (1, 1, "一年级", 1) not in {slot.key for slot in load(point.school, "r-1").slots}


def test_a_teacher_stays_where_the_form_does_not_show_one(point: Point) -> None:
    secret = point.unlock()
    save_room(point.school, THREE)
    point.add_teacher()
    path = "/school/timetable/r-1"
    point.post(path, secret=secret, teachers="1", **{"s-1-1-0-0": "语文", "t-1-1-0-0": "0123456789abcdef"})
    point.post(path, secret=secret, **{"s-1-1-0-0": "数学"})
    [slot] = load(point.school, "r-1").slots
    assert (slot.subject, slot.teacher) == ("数学", "0123456789abcdef")
    assert "王老师" in point.get(path).text and "王老师" in point.get(f"{path}/print").text


def test_no_second_room_or_teacher_of_the_same_name(point: Point) -> None:
    secret = point.unlock()
    form = {"secret": secret, "name": " 二号教室 ", "grade": ["二年级"]}
    for _ in range(2):
        answer = point.post("/school/rooms/new", **form)
    assert answer.status_code == 400 and "已经有叫“二号教室”的教室" in answer.text
    assert 'value="二年级" checked' in answer.text
    [room] = book.rooms(point.school)
    assert point.post(f"/school/rooms/{room.id}", **form).status_code == 303, "itself is no other"
    form = {"secret": secret, "do": "save", "name": "王芳", "subjects": "语文", "pin": "1234"}
    for _ in range(2):
        answer = point.post("/school/teachers", **form)
    assert answer.status_code == 400 and "已经有叫“王芳”的老师" in answer.text
    assert len(teachers(point.school)) == 1
    first = answer.text.partition("</form>")[0]
    assert 'value="王芳"' in first and 'value="语文"' in first and 'value="1234"' in first
    [one] = teachers(point.school)
    assert point.post("/school/teachers", **form | {"teacher": one.id, "subjects": "数学"}).status_code == 303
    remove(point.school, one.id)
    assert point.post("/school/teachers", **form).status_code == 303, "who left keeps no name"


def test_periods_and_a_pasted_table(point: Point) -> None:
    secret = point.unlock()
    save_room(point.school, THREE)
    bad = point.post("/school/timetable/periods", secret=secret, begin=["9:00", "8:00"], end=["9:40", "8:40"])
    assert bad.status_code == 400 and "时间填得不对" in bad.text and 'value="8:40"' in bad.text
    point.post(
        "/school/timetable/periods", secret=secret, begin=["800", "8:50", ""], end=["8:40", "9:30", ""]
    )
    assert [(p.begins, p.ends) for p in load(point.school, "r-1").periods] == [(480, 520), (530, 570)]
    path = "/school/timetable/r-1/paste"
    assert "没有找到写着星期的那一行" in point.post(path, secret=secret, grade="一年级", text="什么").text
    assert "第2行没有读懂" in point.post(path, secret=secret, grade="一年级", text="星期一\na/b/c").text
    point.post(path, secret=secret, sure="1", grade="二年级", text="节次\t星期一\n1\t语文\n2\t道法")
    point.post(path, secret=secret, sure="1", grade="一年级", text="节次,星期一\n1,数学")
    table = "节次,星期二\n第一节,科学\n".encode("gb18030")
    point.post(path, secret=secret, sure="1", grade="三年级", file=(io.BytesIO(table), "课表.csv"))
    kept = {(s.grade, s.weekday, s.period): s.subject for s in load(point.school, "r-1").slots}
    assert kept == {
        ("二年级", 1, 1): "语文",
        ("二年级", 1, 2): "道德与法治",
        ("一年级", 1, 1): "数学",
        ("三年级", 2, 1): "科学",
    }
    assert point.post(path, secret=secret, grade="六年级", text="星期一\n语文").status_code == 400


def held(point: Point, grade: str) -> list[tuple[int, int, str]]:
    """(weekday, period, subject) of what a grade of the room has."""
    return [(s.weekday, s.period, s.subject) for s in load(point.school, "r-1").slots if s.grade == grade]


def test_a_pasted_table_is_shown_before_it_replaces_the_old_one(point: Point) -> None:
    secret = point.unlock()
    point.stand_in(THREE)
    before, path = held(point, "一年级"), "/school/timetable/r-1/paste"
    text = '节次\t第一节\t第二节\n星期一\t"语文\n<b>王"\t美术/音乐\n星期六\t体育\n'
    page = point.post(path, secret=secret, grade="一年级", text=text)
    assert page.status_code == 200 and "对吗" in page.text and "星期六" in page.text
    cells = re.findall(r"<td>([^<]+)</td>", page.text)
    assert cells == ["语文", "体育", "美术/音乐"] and held(point, "一年级") == before
    found = re.search(r'name="text" value="([^"]*)"', page.text)
    assert found is not None
    carried = html.unescape(found[1])
    back = point.post(path, secret=secret, grade="一年级", text=carried, sure="no")
    assert back.status_code == 200 and text in html.unescape(back.text)
    assert held(point, "一年级") == before
    assert point.post(path, secret=secret, grade="一年级", text=carried, sure="1").status_code == 303
    assert held(point, "一年级") == [(1, 1, "语文"), (1, 2, "美术"), (1, 2, "音乐"), (6, 1, "体育")]


def test_periods_without_bells_are_named(point: Point) -> None:
    secret = point.unlock()
    save_room(point.school, THREE)
    path = "/school/timetable/r-1"
    assert "还没有上下课时间" not in point.get(path).text
    text = "节次,星期一\n7,语文\n8,自习\n9,自习"
    page = point.post(f"{path}/paste", secret=secret, grade="一年级", text=text).text
    assert "第八节、第九节还没有上下课时间" in page and "第七节、" not in page
    point.post(f"{path}/paste", secret=secret, grade="一年级", text=text, sure="1")
    page = point.get(f"{path}?saved=1").text
    assert (
        "第八节、第九节还没有上下课时间" in page
        and 'class="btn btn-line" href="/school/timetable/periods"' in page
    )


def test_files_as_excel_writes_them(point: Point) -> None:
    secret = point.unlock()
    save_room(point.school, THREE)
    path, table = "/school/timetable/r-1/paste", "节次\t星期一\n1\t语文\n"
    for data in (
        table.encode("utf-16"),
        "\ufeff".encode("utf-16-be") + table.encode("utf-16-be"),
        table.encode("gb18030"),
    ):
        file = (io.BytesIO(data), "课表.txt")
        assert "对吗" in point.post(path, secret=secret, grade="一年级", file=file).text
    for data in (b"PK\3\4" + b"x" * 90, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        page = point.post(path, secret=secret, grade="一年级", file=(io.BytesIO(data), "课表.xlsx"))
        assert page.status_code == 400 and "这是Excel文件" in page.text
    for form in ({"text": "长" * 40_001}, {"file": (io.BytesIO(b"x" * 300_000), "a.csv")}):
        page = point.post(path, secret=secret, grade="一年级", **form)
        assert page.status_code == 400 and "太大" in page.text
    page = point.post(
        path, secret=secret, grade="一年级", text="节次,第一节,第二节\n星期一,语文,a/b/c\n星期二,数学,语文"
    )
    assert "第3列没有读懂" in page.text


def test_what_the_grid_shows_more_of_is_saved_first(point: Point) -> None:
    """单双周, 老师 and 周末 are buttons of the form: nothing that was filled in is lost, no mode goes off."""
    secret = point.unlock()
    save_room(point.school, THREE)
    point.add_teacher()
    path = "/school/timetable/r-1"
    page, form = point.get(path).text, {"s-1-1-0-0": "语文"}
    for number, name in enumerate(("weeks", "teachers", "weekend")):
        assert f'<button class="tool dim" type="submit" name="{name}" value="1">' in page
        assert "<a" not in page[page.index("上下课时间</a>") :].split("打印</a>")[1].split("</nav>")[0]
        form |= dict.fromkeys(
            re.findall(r'type="hidden" name="(weeks|teachers|weekend)" value="1"', page), "1"
        )
        assert len(form) == number + 1
        answer = point.post(path, secret=secret, **form, **{name: "1"})
        page = point.get(answer.headers["Location"]).text
        assert held(point, "一年级") == [(1, 1, "语文")]
        assert f'type="hidden" name="{name}"' in page and f'type="submit" name="{name}"' not in page
    assert "<th" in page and "星期日" in page and 'name="s-7-1-0-2"' in page and 'name="t-1-1-0-1"' in page


def test_both_languages(point: Point) -> None:
    point.unlock()
    point.stand_in(THREE)
    for path in ("/", "/school/board", "/school/rooms", "/school/rooms/new", "/school/rooms/r-1", "/school/rooms/r-1/remove",
                 "/school/timetable/r-1", "/school/timetable/periods", "/school/timetable/r-1/paste", "/school/timetable/r-1/print"):  # fmt: skip
        page = point.get(f"{path}?lang=en")
        assert page.status_code == 200 and 'lang="en"' in page.text
        shown = re.sub(
            r"<select.*?</select>|<textarea.*?</textarea>|<[^>]+>|二号教室|中文|溪口教学点|星期一",
            " ",
            page.text,
            flags=re.DOTALL,
        )
        if path not in ("/", "/school/timetable/r-1/print"):
            assert not re.findall("[\u4e00-\u9fff]+", shown), path
