# ruff: noqa: E501 (Chinese counts double)
"""A school director makes a room and its timetable in Chromium, a board is put into it, and a teacher is two taps
from home to a playing video; with and without script, at a board and on a phone."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.school.database import School
from appliance.school.rooms import check_room, save_room
from appliance.school.timetable import EVERY, Period, Slot, save_periods, save_slots
from appliance.web.pin import set_pin
from tests.box import film
from tests.e2e.board import WebProcess
from tests.e2e.browser import LAPTOP, PHONE
from tests.three_grades import three_grades

pytestmark = [pytest.mark.browser, pytest.mark.needs("ffmpeg")]
Opener = Callable[..., Any]
PIN = "135790"
#: The whole day, so that a lesson is on whenever this test runs.
BELLS = (("0:00", "11:59"), ("1200", "23:59"))
SUBJECTS = {"一年级": "数学", "二年级": "道德与法治", "三年级": "语文"}
TITLES = ["认识钟表", "我爱家乡山和水", "古诗三首"]
_SIDEWAYS = "document.documentElement.scrollWidth > window.innerWidth"
_SMALL = (
    "[].filter.call(document.querySelectorAll('.ledge a, .ledge button, .btn, .door, select, .tick span, .leaf a'),"
    "function (e) { var b = e.getBoundingClientRect(); return b.height && b.height < LEAST; }).length"
)
#: The covers' titles without their pinyin.
_TITLES = (
    "[].map.call(document.querySelectorAll('.grade .ttl'), function (e) { var c = e.cloneNode(true);"
    "[].forEach.call(c.querySelectorAll('rt'), function (r) { r.parentNode.removeChild(r); }); return c.textContent; })"
)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    """A point whose book has two rooms already."""
    folder: Path = tmp_path_factory.mktemp("point")
    box, _ = three_grades(folder, int(time.time()), film(folder / "film.mp4", 6))
    set_pin(box.paths.pin, PIN)
    school = School(box.paths.school_db)
    save_room(school, check_room("二号教室", list(SUBJECTS), {"语文": "统编版"}, [("一年级", 90)], "r-1"))
    save_room(school, check_room("三号教室", ["四年级"], identity="r-2"))  # nobody stands there
    save_periods(school, [Period(1, 0, 720), Period(2, 720, 1440)])
    slots = [Slot(d, p, g, EVERY, s) for d in range(1, 8) for p in (1, 2) for g, s in SUBJECTS.items()]
    save_slots(school, "r-1", slots)
    process = WebProcess(box, "threads = 24\nstreams = 16\n")
    yield process
    process.stop()


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_from_the_pin_to_a_playing_video(furnished: WebProcess, open_tab: Opener, script: bool) -> None:
    name = "甲教室" if script else "乙教室"
    tab = open_tab(java_script_enabled=script)
    page = tab.page
    page.goto(f"{furnished.url}/school/rooms/new")
    page.fill("input[name=pin]", PIN)
    page.press("input[name=pin]", "Enter")
    page.fill("input[name=name]", name)
    for grade in SUBJECTS:
        page.click(f".tick:has(input[value={grade}])")
    page.click(".tool.big")
    page.click("text=上下课时间")
    for number, times in enumerate(BELLS):
        page.fill(f"input[name=begin] >> nth={number}", times[0])
        page.fill(f"input[name=end] >> nth={number}", times[1])
    for number in range(2, page.locator("input[name=begin]").count()):
        page.fill(f"input[name=begin] >> nth={number}", "")
        page.fill(f"input[name=end] >> nth={number}", "")
    page.click(".tool.big")
    if page.locator(f'.pick a:has-text("{name}")').count():
        page.click(f'.pick a:has-text("{name}")')
    page.click("text=周末")
    today = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=8)
    for day in (today.isoweekday(), today.isoweekday() % 7 + 1):  # it may be tomorrow when the board looks
        for period in (1, 2):
            for number, subject in enumerate(SUBJECTS.values()):
                page.select_option(f'select[name="s-{day}-{period}-{number}-0"]', subject)
    page.click(".tool.big")
    page.wait_for_selector('.top:has-text("存好了")')
    # the board: nothing was forced, one tap on home leads to the question
    page.goto(furnished.url)
    page.click("text=这块白板在哪个教室")
    page.click(f'.door:has-text("{name}")')
    page.wait_for_selector(".grade")
    assert page.evaluate(_TITLES) == TITLES
    assert "现在" not in page.inner_text(".top") and "节" in page.inner_text(".clk")
    # two taps
    page.click(".grade >> nth=2 >> .btn-paper")
    page.click(".tool.big")
    if script:
        tab.until("document.getElementById('media').currentTime > 0")
        page.goto(furnished.url)
        assert "接着上课" in page.inner_text(".grade >> nth=2")
    else:
        assert page.locator("video[controls]").count() == 1
    assert not tab.errors


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_a_grid_that_outlasts_the_pin_is_saved_in_the_end(
    furnished: WebProcess, open_tab: Opener, script: bool
) -> None:
    tab = open_tab(java_script_enabled=script)
    page, cell = tab.page, 'select[name="s-3-1-0-0"]'
    page.goto(f"{furnished.url}/pin?next=/school/timetable/r-2")
    page.fill("input[name=pin]", PIN)
    page.press("input[name=pin]", "Enter")
    for pin_in_another_tab, subject in ((False, "音乐"), (True, "美术")):
        page.select_option(cell, subject)
        other = tab.context.new_page()
        other.goto(f"{furnished.url}/school")
        other.click("button:has-text('锁上')")
        other.wait_for_load_state()
        if pin_in_another_tab:
            other.goto(f"{furnished.url}/pin")
            other.fill("input[name=pin]", PIN)
            other.press("input[name=pin]", "Enter")
            other.wait_for_url("**/school")
        other.close()
        page.click(".tool.big")
        page.wait_for_selector("text=还没有存")
        if not pin_in_another_tab:
            page.fill("input[name=pin]", PIN)
            page.press("input[name=pin]", "Enter")
        page.click(".tool.big:has-text('再存一次')")
        page.wait_for_selector('.top:has-text("存好了")')
        assert page.input_value(cell) == subject
    assert all("403" in error for error in tab.errors), "but for the answers that the PIN was wanted for"


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_a_pasted_table_is_looked_at_then_saved(
    furnished: WebProcess, open_tab: Opener, script: bool
) -> None:
    tab = open_tab(java_script_enabled=script)
    page = tab.page
    page.goto(f"{furnished.url}/pin?next=/school/timetable/r-2/paste")
    page.fill("input[name=pin]", PIN)
    page.press("input[name=pin]", "Enter")
    text = '节次\t第一节\t第三节\n星期一\t"数学\n王老师"\t科学\n星期二\t语文\t'
    page.fill("textarea", text)
    page.click(".tool.big")
    page.wait_for_selector("text=第三节还没有上下课时间")
    assert page.locator("td:text-is('数学')").count() == 1 and not page.evaluate(_SIDEWAYS)
    page.click("text=改一改")
    page.wait_for_selector("textarea")
    assert page.input_value("textarea") == text
    page.click(".tool.big")
    page.click(".tool.big")
    page.wait_for_selector('.top:has-text("存好了")')
    assert page.input_value('select[name="s-1-1-0-0"]') == "数学"
    page.click(".fix a")
    page.wait_for_selector("input[name=begin]")
    assert not tab.errors


def choose(page: Any, url: str) -> None:
    page.goto(f"{url}/school/board")
    page.click('.door:has-text("二号教室")')
    page.wait_for_selector(".grade")


@pytest.mark.parametrize("size", [None, LAPTOP, PHONE], ids=["board", "laptop", "phone"])
def test_home_and_the_rooms_page_fit(furnished: WebProcess, open_tab: Opener, size: Any) -> None:
    tab = open_tab(**({"viewport": size} if size else {}))
    page = tab.page
    choose(page, furnished.url)
    assert page.evaluate(_TITLES) == TITLES
    tops = page.evaluate(
        "[].map.call(document.querySelectorAll('.grade'), function (e) { return e.getBoundingClientRect().top; })"
    )
    assert (len(set(tops)) == 1) == (size is not PHONE), "side by side, on a phone one below the other"
    if size is not PHONE:
        high, view = page.evaluate("[document.documentElement.scrollHeight, window.innerHeight]")
        assert high <= view, "home does not scroll"
        assert page.evaluate(
            "[].every.call(document.querySelectorAll('.ttl'), function (e) { return e.scrollWidth <= e.clientWidth + 1; })"
        ), "no title is cut"
    for path in ("/", "/school/board", "/school/timetable/r-1/print"):
        page.goto(furnished.url + path)
        assert not page.evaluate(_SIDEWAYS), path
        assert not page.evaluate(_SMALL.replace("LEAST", "64" if size is None else "40")), path
    assert not tab.errors


def test_left_hand_and_home_that_stays_true(furnished: WebProcess, open_tab: Opener) -> None:
    tab = open_tab()
    page = tab.page
    page.clock.install()
    choose(page, furnished.url)
    place = "document.querySelector('.ledge .on').getBoundingClientRect().left"
    assert page.evaluate(place) < 500
    page.evaluate("document.querySelector('.grade .ttl').textContent = 'old'; document.activeElement.blur()")
    page.clock.run_for(61_000)
    tab.until(f"{_TITLES}[0] === '{TITLES[0]}'")
    page.goto(f"{furnished.url}/school/board")
    page.click('.door:has-text("左手")')
    page.goto(furnished.url)
    assert page.evaluate(place) > 1400
    page.click(".ledge >> text=本校")
    assert page.url.endswith("/school")
    assert not tab.errors
