"""Who teaches, in Chromium: the real pages on a clock that the test moves, so that a class takes no time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from appliance.school import teachers
from appliance.school.database import School
from appliance.school.rooms import Room, save_room
from appliance.school.tally import Tally
from appliance.school.timetable import Slot, save_slots
from appliance.usage.recorder import Recorder
from appliance.web.app import Board, create_app
from appliance.web.classes import counted
from appliance.web.pin import Pin, set_pin
from appliance.web.search.index import Index
from content_sync.adapters.sqlite import StateReader
from content_sync.formats.lesson import Lesson
from tests.box import SmallBox, quiz_files, sample
from tests.e2e.browser import BOARD, PHONE, Tab
from tests.e2e.test_reach_browser import AXE, grave
from tests.usage import TRUE, HandClock

pytestmark = pytest.mark.browser
SCHOOL_PIN, OWN_PIN = "271828", "2468"


class Served:
    """A box whose pages are served from here, with two teachers; `clock` is moved by hand."""

    def __init__(self, data: Path) -> None:
        self.clock = HandClock()
        self.box: SmallBox
        self.main: Lesson
        self.box, self.main = sample(data, TRUE)
        test = self.box.resource("r1", "quiz", "自测", "application/xml", *quiz_files())
        self.training = self.box.lesson(
            "教师培训/课箱怎么用/不分版本/不分年级/全一册", "第一讲", 1, "怎么上好一节课", (test,)
        )
        self.box.write(TRUE)
        paths = self.box.paths
        set_pin(paths.pin, SCHOOL_PIN)
        self.school = School(paths.school_db)
        self.wang = teachers.save(self.school, "王秀英", "语文、道德与法治")
        self.li = teachers.save(self.school, "李国强", "数学、科学")
        teachers.set_pin(self.school, self.wang, OWN_PIN)
        reader = StateReader(paths.state_db)
        self.recorder = Recorder(paths.usage_db, self.clock)
        self.tally = Tally(self.school, paths.usage_db, paths.outbox_db, self.clock, counted(reader))
        board = Board(
            paths.objects,
            reader,
            Index(paths.search_db),
            self.recorder,
            self.clock,
            lambda: {"problems": []},
            courseware_port=1,
            pin=Pin(paths.pin, self.clock),
            school=self.school,
            tally=self.tally,
        )
        self.server = make_server("127.0.0.1", 0, create_app(board), threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.recorder.close()

    def teach(self, tab: Tab, minutes: int) -> None:
        """The open page says each minute that it is seen, as it does while a class looks at it."""
        for minute in range(1, minutes + 1):
            self.clock.mono += 60
            status = tab.page.evaluate(
                """at => { var s = document.getElementById('screen'), http = new XMLHttpRequest();
                http.open('POST', '/api/v1/events', false);
                http.setRequestHeader('Content-Type', 'application/json');
                http.send(JSON.stringify({events: [{lesson: s.getAttribute('data-lesson'),
                  resource: s.getAttribute('data-resource'), visit: s.getAttribute('data-visit'),
                  type: 'ping', at: at, position: 1}]}));
                return http.status; }""",
                minute * 60_000,
            )
            assert status == 204


@pytest.fixture
def school(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path / "box")
    yield made
    made.close()


def unlock(tab: Tab, url: str) -> None:
    """Open a page behind the school's PIN."""
    tab.page.goto(url)
    tab.page.fill("#pin", SCHOOL_PIN)
    tab.page.press("#pin", "Enter")
    tab.page.wait_for_selector("button[name=do], .weekpage, .stat")


def test_a_name_a_class_a_sheet_and_the_week_on_paper(
    school: Served, open_tab: Callable[..., Tab], tmp_path: Path
) -> None:
    tab = open_tab()
    page, lesson = tab.page, f"{school.url}/lesson/{school.main.id}/r2"
    page.goto(lesson)
    page.click("#who")
    page.click(".name:has-text('王秀英')")
    for key in "1111":
        page.click(f"[data-key='{key}']")
    page.click("button.open")
    assert "密码不对" in page.inner_text("#said")
    for key in OWN_PIN:
        page.click(f"[data-key='{key}']")
    page.click("button.open")
    page.wait_for_selector("#screen")
    assert page.url == lesson and page.inner_text("#who").split() == ["王秀英", "0/80"]
    school.teach(tab, 25)
    school.clock.mono += 20
    page.reload()
    assert page.inner_text("#who").split() == ["王秀英", "1/80"]
    page.click("#who")
    assert "25分钟" in page.inner_text(".say")
    page.click("text=下课")
    assert "记上了" in page.inner_text(".top")
    page.click("label:has-text('部分适用')")
    page.click("label:has-text('积极')")
    page.fill("#note", "图片有点暗")
    page.click("text=记下")
    row = page.inner_text(".tally li >> nth=0")
    assert "王秀英" in row and "1/80" in row
    assert "还没有" not in page.inner_text(".tally")
    # after the hour in which a name could still join it stands in the week
    school.clock.mono += 4000
    school.tally.settle()
    page.reload()
    page.click(".weeks a")
    assert page.inner_text(".each tbody tr").split("\t")[3:] == [
        "王秀英", school.main.title, "25", "部分适用", "积极", "",
    ]  # fmt: skip
    assert "图片有点暗" not in page.inner_text(".a4"), "notes are for who has the PIN"
    week = page.url
    unlock(tab, f"{school.url}/pin?next={week[len(school.url) :]}")
    assert "图片有点暗" in page.inner_text(".a4")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('.ledge')).display") == "none"
    paper = page.pdf(format="A4")
    assert paper.startswith(b"%PDF") and paper.count(b"/Type /Page\n") == 1
    page.emulate_media(media="screen")
    page.click(".sum a")
    assert "王秀英" in page.inner_text(".a4 header")
    assert [e for e in tab.errors if "403" not in e] == []


def test_without_script_and_never_in_the_way(school: Served, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(java_script_enabled=False)
    page, lesson = tab.page, f"{school.url}/lesson/{school.main.id}/r2"
    page.goto(lesson)
    assert page.locator("#screen").count() == 1, "nobody was asked for a name"
    page.click("#who")
    page.click(".name:has-text('王秀英')")
    page.fill("#pin", OWN_PIN)
    page.press("#pin", "Enter")
    page.wait_for_selector("#screen")
    assert "王秀英" in page.inner_text("#who")
    # another name, without a PIN
    page.click("#who")
    page.click(".name:has-text('李国强')")
    assert "李国强" in page.inner_text("#who")
    # 听课
    page.click("#who")
    page.click(".tools >> text=听课")
    page.click(".name:has-text('李国强')")
    assert "0/80" in page.inner_text("#who")


def test_the_self_test_of_a_training_fills_its_sheet(school: Served, open_tab: Callable[..., Tab]) -> None:
    """What the teacher tapped in the training's quiz stands on the sheet, counted at the first try."""
    tab = open_tab()
    page, quiz = tab.page, f"/lesson/{school.training.id}/r1"
    page.goto(f"{school.url}/who?next={quiz}")
    page.click(".name:has-text('李国强')")
    page.wait_for_url(school.url + quiz)

    def tap(letter: str, then: str = "#screen .opt.yes") -> None:
        page.click(f"#screen .opt[data-k={letter}]")
        page.wait_for_selector(then)

    def to(number: int) -> None:
        page.click("#next")
        page.wait_for_selector(f"#screen[data-page='{number}']")

    tap("B")  # right at once
    to(2)
    tap("A", "#screen .opt.picked")
    page.click("#answer")  # A alone is wrong
    page.wait_for_selector("#screen .opt.wrong")
    page.click("#answer")
    page.wait_for_selector("#screen .opt:not(.yes):not(.wrong)")
    tap("A", "#screen:not(:has(.picked))")
    for letter in "BC":
        tap(letter, f".opt.picked[data-k={letter}]")
    page.click("#answer")
    page.wait_for_selector("#screen .opt.yes")  # right now, but not at the first try
    school.teach(tab, 21)
    page.goto(f"{school.url}/who")
    page.click("text=下课")
    assert [page.input_value(f"[name={name}]") for name in ("tried", "solved")] == ["2", "1"]
    assert "照刚做的练习填好了" in page.inner_text("#main")
    cookie = next(one for one in tab.context.cookies() if one["name"] == "selftest")
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax" and "李" not in cookie["value"]
    page.fill("[name=solved]", "2")  # the teacher has the last word
    page.click("text=记下")
    assert "研修1次" in page.inner_text(".tally li:has-text('李国强')")
    assert not tab.errors


def test_a_sheet_opened_again_keeps_its_self_test_and_a_mistake_loses_nothing(
    school: Served, open_tab: Callable[..., Tab]
) -> None:
    tab = open_tab()
    page, quiz = tab.page, f"/lesson/{school.training.id}/r1"
    page.goto(f"{school.url}/who?next={quiz}")
    page.click(".name:has-text('李国强')")
    page.wait_for_url(school.url + quiz)
    page.click("#screen .opt[data-k=B]")
    page.wait_for_selector("#screen .opt.yes")
    page.goto(f"{school.url}/who")
    page.click("text=下课")  # after a minute: no class
    sheet = page.url
    page.click("text=记下")
    page.wait_for_url("**/classes")
    page.goto(sheet)
    assert [page.input_value(f"[name={name}]") for name in ("tried", "solved")] == ["1", "1"]
    page.fill("[name=solved]", "5")
    page.fill("[name=note]", "投影有点暗")
    page.click("label:has-text('部分适用')")
    page.click("text=记下")
    assert page.is_visible("[role=status]") and page.is_checked("[name=fit][value='2']")
    values = [page.input_value(f"[name={name}]") for name in ("tried", "solved", "note")]
    assert values == ["1", "5", "投影有点暗"]
    page.fill("[name=tried]", "6")
    page.click("text=记下")
    page.wait_for_url("**/classes")
    page.goto(sheet)
    assert [page.input_value(f"[name={name}]") for name in ("tried", "solved")] == ["6", "5"]


#: Selects whose chosen word is wider than the room for it (the arrow takes some).
CUT = """() => [].filter.call(document.querySelectorAll('.grid select'), function (e) {
  var s = getComputedStyle(e), pen = document.createElement('canvas').getContext('2d');
  pen.font = s.fontSize + ' ' + s.fontFamily;
  return pen.measureText(e.options[e.selectedIndex].text).width > e.clientWidth - 16
    - parseFloat(s.paddingLeft) - parseFloat(s.paddingRight);
}).map(function (e) { return e.name + ' ' + e.options[e.selectedIndex].text; })"""


def test_a_timetable_of_three_grades_and_seven_days_is_whole(
    school: Served, open_tab: Callable[..., Tab]
) -> None:
    grades = ("一年级", "二年级", "三年级")
    save_room(school.school, Room("fushi", "复式教室", grades))
    every = [Slot(day, 1, grade, 0, "道德与法治") for day in range(1, 8) for grade in grades]
    save_slots(school.school, "fushi", every)
    tab = open_tab()
    page = tab.page
    page.goto(f"{school.url}/pin?next=/school/timetable/fushi")
    page.fill("#pin", SCHOOL_PIN)
    page.press("#pin", "Enter")
    for lang in ("zh", "en"):
        for size in (BOARD, PHONE):
            page.set_viewport_size(size)
            page.goto(f"{school.url}/school/timetable/fushi?lang={lang}")
            assert page.locator(".grid select").count() >= 21 and page.evaluate(CUT) == [], (lang, size)


def test_the_list_of_teachers_is_behind_the_schools_pin(school: Served, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab()
    page = tab.page
    unlock(tab, f"{school.url}/school/teachers")
    page.fill(".new [name=name]", "赵敏")
    page.fill(".new [name=pin]", "1357")
    page.click("text=加一位")
    assert page.locator("form.person:not(.new) [name=name] >> nth=2").input_value() == "赵敏"
    assert [one.locked for one in teachers.teachers(school.school)] == [True, False, True]
    page.click("form.person:not(.new) >> nth=2 >> text=移出")
    assert "已移出" in page.inner_text(".off")
    page.click("text=开始新学期")
    assert "改不回来" in page.inner_text("main")
    with school.school.read() as db:
        assert db.execute("SELECT 1 FROM fact WHERE key = 'term_after'").fetchone() is None, "not yet"
    page.click("text=还不开始")
    page.click("text=开始新学期")
    page.click("button:has-text('开始新学期')")
    page.wait_for_selector(".person.new")
    with school.school.read() as db:
        assert db.execute("SELECT value FROM fact WHERE key = 'term_after'").fetchone()[0] == "0"
    assert not tab.errors
    stranger = open_tab()
    answer = stranger.page.request.post(
        f"{school.url}/school/teachers", form={"do": "save", "name": "x"}, max_redirects=0
    )
    assert answer.status == 302 and len(teachers.teachers(school.school)) == 2


@pytest.mark.parametrize("size", [None, PHONE], ids=["board", "phone"])
def test_pages_fit_and_can_be_touched(school: Served, open_tab: Callable[..., Tab], size: object) -> None:
    tab = open_tab(**({"viewport": size} if size else {}))
    page = tab.page
    page.goto(f"{school.url}/who")
    page.click(".name:has-text('李国强')")
    page.goto(f"{school.url}/lesson/{school.main.id}/r2")
    school.teach(tab, 21)
    unlock(tab, f"{school.url}/school/teachers")
    with school.school.read() as db:
        sheet = db.execute("SELECT id FROM tap").fetchone()[0]
    school.clock.mono += 20
    mine = f"/classes/sheet/{sheet}"
    for path in ("/who", "/who?mode=watch", "/classes", mine, "/school/teachers", "/who?lang=en"):
        page.goto(school.url + path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
        small = page.evaluate(
            """least => { var list = document.querySelectorAll('a, button, .field'), i, box, bad = [];
            for (i = 0; i < list.length; i += 1) { box = list[i].getBoundingClientRect();
              if (box.height && !/skip/.test(list[i].className) && box.height < least)
                bad.push(list[i].className + box.height); }
            return bad; }""",
            40 if size else 64,
        )
        assert not small, (path, small)
        page.evaluate(AXE.read_text("utf-8") + ";undefined")
        assert not grave(page), path
    school.clock.mono += 8000
    school.tally.settle()
    page.goto(f"{school.url}/classes")
    page.click(".weeks a")
    page.evaluate(AXE.read_text("utf-8") + ";undefined")
    assert page.locator(".each tbody tr").count() == 1 and not grave(page)
    assert not tab.errors
