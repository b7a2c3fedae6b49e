"""The television's pages in Chromium, by keys: its home has what a board's has, stays true for days and keeps
the focus meanwhile; pictures fill the screen."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from appliance.school import cards
from appliance.school.database import School
from appliance.school.rooms import check_room, save_room
from appliance.school.timetable import EVERY, Period, Slot, save_periods, save_slots
from content_sync.formats.lesson import Lesson
from tests.box import SmallBox
from tests.e2e.board import WebProcess
from tests.e2e.browser import PHONE
from tests.three_grades import three_grades

pytestmark = pytest.mark.browser
Opener = Callable[..., Any]
TITLES = "[].map.call(document.querySelectorAll('.bigs .ttl'), function (e) { return e.textContent; })"
FOCUSED = "document.activeElement.getAttribute('href') || document.activeElement.value"
HUGE = {"width": 3840, "height": 2160}


def slots(subjects: dict[str, str]) -> list[Slot]:
    return [
        Slot(day, no, grade, EVERY, s)
        for day in range(1, 8)
        for no in (1, 2)
        for grade, s in subjects.items()
    ]


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallBox, dict[str, Lesson], School]:
    """A point of two rooms, of two grades and of three; its day has two periods and no break."""
    box, made = three_grades(tmp_path_factory.mktemp("point"), int(time.time()))
    school = School(box.paths.school_db)
    save_room(school, check_room("一号教室", ["一年级", "三年级"], {}, [], "r-1"))
    save_room(school, check_room("二号教室", ["一年级", "二年级", "三年级"], {"语文": "统编版"}, [], "r-2"))
    save_periods(school, [Period(1, 0, 720), Period(2, 720, 1440)])
    return box, made, school


@pytest.fixture(scope="module")
def web(point: tuple[SmallBox, dict[str, Lesson], School]) -> Iterator[WebProcess]:
    process = WebProcess(point[0], "threads = 16\nstreams = 4\n")
    yield process
    process.stop()


def stand(page: Any, url: str, room: str) -> None:
    """Put the browser into a room, and open the television's home."""
    page.goto(f"{url}/school/board")
    page.click(f'.door:has-text("{room}")')
    page.wait_for_selector(".grade")
    page.goto(f"{url}/tv")


def test_two_covers_stand_side_by_side_and_whole(
    web: WebProcess, point: tuple[SmallBox, dict[str, Lesson], School], open_tab: Opener
) -> None:
    save_slots(point[2], "r-1", slots({"一年级": "数学", "三年级": "语文"}))
    page = open_tab().page
    stand(page, web.url, "一号教室")
    assert page.evaluate(TITLES) == ["认识钟表", "古诗三首"]
    button, cover, words = page.evaluate(
        "(function () { var b = document.querySelector('.bigs .btn'), r = document.createRange();"
        " r.selectNodeContents(b);"
        " return [b, b.parentNode.parentNode, r].map(function (e) { e = e.getBoundingClientRect();"
        " return [e.left, e.top, e.width, e.height]; }); }())"
    )
    assert button[2] < cover[2] / 2, "a button, not a block to the cover's edge"
    assert abs(button[1] + button[3] / 2 - words[1] - words[3] / 2) < 8, "its words stand in its middle"
    # the board's home: 第二节 on the line of the subject
    save_slots(
        point[2], "r-1", [Slot(d, 2, g, EVERY, "数学") for d in range(1, 8) for g in ("一年级", "三年级")]
    )
    page.goto(web.url)
    when = page.evaluate(
        "[].map.call(document.querySelectorAll('.now .sub'), function (e) {"
        " return Math.round(e.offsetHeight / parseFloat(getComputedStyle(e).lineHeight)); })"
    )
    assert when and set(when) == {1}, "one line"


def test_home_shows_all_shelves_and_what_was_pushed(
    web: WebProcess, point: tuple[SmallBox, dict[str, Lesson], School], open_tab: Opener
) -> None:
    _, made, school = point
    pushed = made["水到哪里去了"]
    cards.push(school, pushed.id, "周三一起看", [], None, None)
    cards.push(school, made["四季"].id, "", [], None, None)
    tab = open_tab()
    page = tab.page
    stand(page, web.url, "二号教室")
    assert (
        "二号教室" in page.inner_text(".top")
        and "月" in page.inner_text(".top")
        and ":" in page.inner_text(".clk")
    )
    assert {"最近新到", "本校资料"} <= set(page.inner_text(".aisles0").split())
    view = page.evaluate("[document.documentElement.scrollHeight, window.innerHeight]")
    assert view[0] <= view[1], "all of it is on the screen"
    page.keyboard.press("ArrowDown")  # from the first cover to the card, then along it
    for _ in range(3):
        if page.evaluate(FOCUSED) == "open":
            break
        page.keyboard.press("ArrowRight")
    assert page.evaluate(FOCUSED) == "open"
    newest = page.inner_text(".slip b")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/tv/lesson/{made[newest].id}")
    page.goto(f"{web.url}/tv")
    page.click(".card1 [value=away]")
    page.wait_for_url("**/tv")
    assert page.inner_text(".slip b") != newest
    # back to the television's home, not to the board's
    page.goto(f"{web.url}/new")
    page.keyboard.press("Escape")
    page.wait_for_url("**/tv")
    assert not tab.errors


def test_home_follows_the_timetable_and_keeps_the_focus(
    web: WebProcess, point: tuple[SmallBox, dict[str, Lesson], School], open_tab: Opener
) -> None:
    _, made, school = point
    save_slots(school, "r-2", slots({"一年级": "数学", "二年级": "数学", "三年级": "语文"}))
    tab = open_tab()
    page = tab.page
    page.clock.install()
    stand(page, web.url, "二号教室")
    assert page.evaluate(TITLES) == ["认识钟表", "7的乘法口诀", "古诗三首"]
    page.keyboard.press("ArrowRight")
    second = page.evaluate(FOCUSED)
    assert second.endswith(made["7的乘法口诀"].id)
    save_slots(school, "r-2", slots({"一年级": "语文", "二年级": "数学", "三年级": "英语"}))
    page.clock.run_for(31_000)
    tab.until(f"{TITLES}.join() === '江南,7的乘法口诀,Unit 4 We love animals'")
    assert page.evaluate(FOCUSED) == second, "it stays on the lesson"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(FOCUSED).endswith(made["Unit 4 We love animals"].id), (
        "the next key goes on from there"
    )
    save_slots(school, "r-2", slots({"一年级": "语文", "二年级": "数学", "三年级": "科学"}))
    page.clock.run_for(31_000)
    tab.until(f"{TITLES}[2] === '水到哪里去了'")
    assert page.evaluate(FOCUSED).endswith(made["水到哪里去了"].id), "on what took its place"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/tv/lesson/{made['水到哪里去了'].id}")
    assert not tab.errors


def test_home_is_no_wider_than_a_small_phone(web: WebProcess, open_tab: Opener) -> None:
    page = open_tab(viewport={"width": 300, "height": 600}).page
    page.goto(web.url + "/tv?lang=en")
    assert "Which room is this board in" in page.inner_text(".aisles0")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


@pytest.mark.parametrize("size", [None, HUGE, PHONE], ids=["board", "4K", "phone"])
def test_a_picture_fills_the_screen(
    web: WebProcess, point: tuple[SmallBox, dict[str, Lesson], School], open_tab: Opener, size: Any
) -> None:
    tab = open_tab(**({"viewport": size} if size else {}))
    page = tab.page
    page.goto(f"{web.url}/tv/lesson/{point[1]['古诗三首'].id}/r2")
    tab.until("document.readyState === 'complete'")
    box = page.locator("#picture").bounding_box()
    view = page.viewport_size
    assert (box["width"], box["height"]) == (view["width"], view["height"])
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for x in (3, view["width"] - 4):  # a picture of 16 to 9 reaches both sides of each of them
        assert shot.getpixel((x, view["height"] // 2)) == (40, 90, 120)
    assert not tab.errors
