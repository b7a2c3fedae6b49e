"""A teacher's morning on a touch board, by taps that are counted: from the door sheet into the third minute
of a lesson, to the next lesson, to a quiz on paper; who taught, a basket and the left hand on the way. With
script and without, and on a box that does not know the day."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from appliance.school.database import School
from appliance.school.rooms import check_room, save_room
from appliance.school.teachers import save as save_teacher
from content_sync.formats.lesson import Lesson
from tests.box import SmallBox, film, sample
from tests.e2e.board import WebProcess
from tests.e2e.browser import Tab

pytestmark = [pytest.mark.browser, pytest.mark.needs("ffmpeg")]
Opener = Callable[..., Tab]
MEDIA = "document.getElementById('media')"
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallBox, Lesson]:
    """A box whose film runs into its third minute; a room and a teacher are written down."""
    folder: Path = tmp_path_factory.mktemp("box")
    box, main = sample(folder, int(time.time()), film(folder / "film.mp4", 150))
    school = School(box.paths.school_db)
    save_room(school, check_room("三年级教室", ["三年级"], {}, [], "r-1"))
    save_teacher(school, "王秀英", "语文")
    return box, main


class Hand:
    """Taps, and counts them: what is tapped is at least 64 pixels high, and not in the top of the board."""

    def __init__(self, tab: Tab) -> None:
        self.page, self.taps = tab.page, 0

    def tap(self, what: str) -> None:
        thing = self.page.locator(what).first
        thing.scroll_into_view_if_needed()
        box = thing.bounding_box()
        assert box is not None and box["height"] >= 64 and box["y"] >= 96, (what, box)
        thing.tap()
        self.page.wait_for_load_state()
        self.taps += 1

    def at(self, path: str) -> None:
        self.page.wait_for_url(lambda url: urlsplit(url).path == path)


@pytest.mark.parametrize(
    # in short: the walk with script, and what each page's own tests do without
    "script",
    [True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["script", "plain"],
)
def test_from_the_door_to_a_quiz_on_paper(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener, script: bool
) -> None:
    lesson = f"/lesson/{made[1].id}"
    tab = open_tab(has_touch=True, java_script_enabled=script)
    page, hand = tab.page, Hand(tab)

    page.goto(f"{web.url}/school/door")
    shown = page.inner_text(".addr .big")
    assert shown.startswith("http://") and page.locator(".scan svg").count() == 1
    page.goto(web.url)  # the address on the sheet is the school network's; this test has the loopback only
    hand.tap('.slip:has-text("哪个教室"), .slip:has-text("这块白板")')
    hand.tap('.door:has-text("三年级教室")')
    hand.at("/")
    assert "三年级教室" in page.inner_text(".top")

    # two taps from home to playing, then the third minute
    hand.taps = 0
    hand.tap(f'.grade a.btn-paper[href="{lesson}"]')
    hand.tap(".tool.big")
    hand.at(f"{lesson}/r1")
    assert hand.taps == 2
    if script:
        tab.until(f"{MEDIA}.currentTime > 0.2")
        box = page.locator("#track").bounding_box()
        assert box is not None and box["height"] >= 64
        page.touchscreen.tap(box["x"] + 0.86 * box["width"], box["y"] + box["height"] / 2)
        tab.until(f"{MEDIA}.currentTime > 121 && !{MEDIA}.paused")
        hand.tap("#kit-open")
        page.wait_for_selector("[data-kit=pen0]")
        page.touchscreen.tap(700, 300)
        hand.tap("[data-kit=close]")
    else:
        assert page.locator("video[controls][autoplay]").count() == 1

    # who taught, and the basket; both come back to where they were tapped
    hand.tap("#who")
    hand.tap(".name")
    hand.at(f"{lesson}/r1")
    assert "王秀英" in page.inner_text("#who") and "0/80" in page.inner_text("#who")
    hand.tap('.keep button:has-text("放进备课篮")')
    assert page.locator(".lines, main").first.inner_text().count("视频")
    hand.tap('.ledge a:has-text("回课文")')
    hand.at(f"{lesson}/r1")

    # the quiz: a tap shows the answer; then on paper, without and with the answers
    hand.tap('.step a.h:has-text("练习")')
    hand.at(f"{lesson}/r4")
    hand.tap(".opt")
    page.wait_for_selector(".opt.yes")
    assert page.locator('.ledge a[href^="/remote"]').count() == 1
    hand.tap('.ledge a:has-text("打印")')
    hand.at(f"{lesson}/r4/print")
    page.emulate_media(media="print")
    assert not page.is_visible(".ledge") and page.is_visible(".paper h1") and not page.locator(".key").count()
    page.emulate_media(media="screen")
    hand.tap('.ledge a:has-text("题目和答案")')
    page.wait_for_selector(".key")

    # the next lesson: back to the lesson, on
    page.goto(web.url + lesson)
    before = hand.taps
    hand.tap("#following")
    page.wait_for_url(lambda url: urlsplit(url).path != lesson)
    assert page.url.startswith(f"{web.url}/lesson/") and hand.taps == before + 1
    assert page.locator(".tool.big").count() == 1
    assert not tab.errors


def test_the_left_hand_and_english(web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener) -> None:
    tab = open_tab(has_touch=True)
    page, hand = tab.page, Hand(tab)
    page.goto(f"{web.url}/school/board")
    hand.tap('.door:has-text("左手")')
    page.wait_for_selector(".hand-left")
    page.goto(f"{web.url}/lesson/{made[1].id}/r1")
    hand.tap("#kit-open")
    page.wait_for_selector("[data-kit=pen0]")
    assert page.locator("[data-kit=hand]").bounding_box()["x"] < 400
    assert page.locator("#kit-open").bounding_box()["x"] < 700
    page.goto(f"{web.url}/lesson/{made[1].id}/r1?lang=en")
    assert "Home" in page.inner_text(".ledge")
    cut: Any = page.evaluate(
        "[].filter.call(document.querySelectorAll('.step .two span, .step .two b, .tool'), function (e) {"
        "return e.scrollWidth > e.clientWidth + 1; }).map(function (e) { return e.textContent; })"
    )
    assert cut == []
    assert not tab.errors


@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not here")
def test_a_box_that_does_not_know_the_day(made: tuple[SmallBox, Lesson], open_tab: Opener) -> None:
    process = WebProcess(
        made[0],
        env={
            **os.environ,
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME": "@1970-01-01 08:00:05",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
        start_new_session=True,
    )
    try:
        tab = open_tab(has_touch=True)
        page, hand = tab.page, Hand(tab)
        page.goto(process.url)
        assert "1970" not in page.inner_text("body") and "星期" not in page.inner_text(".top")
        hand.tap(f'.grade a.btn-paper[href="/lesson/{made[1].id}"]')
        hand.tap(".tool.big")
        hand.at(f"/lesson/{made[1].id}/r1")
        tab.until(f"{MEDIA}.currentTime > 0.2")
        assert hand.taps == 2 and not tab.errors
    finally:  # under libfaketime its threads' waits may never end: no gentle stop
        os.killpg(process.process.pid, signal.SIGKILL)
        process.stop()
