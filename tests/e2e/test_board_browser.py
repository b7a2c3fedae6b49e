"""The board in a real browser: two taps to a lesson, pages turn, courseware is contained, script or not."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from content_sync.formats.lesson import Lesson
from tests.box import SmallBox, film, sample
from tests.e2e.board import WebProcess
from tests.e2e.browser import PHONE

pytestmark = [pytest.mark.browser, pytest.mark.needs("ffmpeg")]
Opener = Callable[..., Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallBox, Lesson]:
    folder: Path = tmp_path_factory.mktemp("box")
    return sample(folder, int(time.time()), film(folder / "film.mp4"))


def recorded(box: SmallBox, resource: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(box.paths.usage_db)) as db:
        return db.execute(
            "SELECT type, origin, position, visit FROM event WHERE resource = ? ORDER BY id", (resource,)
        ).fetchall()


def test_two_taps_to_a_playing_video_and_a_seek(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener, wait_until: Callable[..., None]
) -> None:
    tab = open_tab()
    page = tab.page
    page.goto(web.url)
    page.click(f'.cover a[href="/lesson/{made[1].id}"]')
    page.click(".tool.big")
    tab.until("document.getElementById('media').currentTime > 0.3")
    assert "playing" in page.evaluate("document.documentElement.className")
    box = page.locator("#track").bounding_box()
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 5)
    tab.until("document.getElementById('media').currentTime > 24.3")
    at = page.evaluate("document.getElementById('media').currentTime")
    assert at < 30
    page.click("[data-do=back]")
    tab.until(f"document.getElementById('media').currentTime < {at} - 5")
    page.click("[data-do=play]")
    tab.until("document.getElementById('media').paused")
    page.keyboard.press(" ")
    tab.until("!document.getElementById('media').paused")
    page.click("[data-do=speed]")
    assert page.evaluate("document.getElementById('media').playbackRate") == 1.25
    page.click("[data-do=words]")
    assert page.locator("#cue").is_hidden(), "subtitles are drawn by the page"
    page.click(".ledge .tool >> nth=0")
    wait_until(
        lambda: recorded(made[0], "r1")[-1:] and recorded(made[0], "r1")[-1][0] == "close", 30, "close"
    )
    told = recorded(made[0], "r1")
    assert told[0][:2] == ("open", "server") and {"play", "pause", "close"} <= {row[0] for row in told}
    assert len({row[3] for row in told}) == 1, "one visit"
    assert not tab.errors


def test_pages_turn_by_tap_and_by_clicker(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    tab = open_tab()
    page = tab.page
    page.goto(f"{web.url}/lesson/{made[1].id}/r2")
    shown = [file.file.root for file in made[1].resources[1].with_role("page")]

    def at(number: int) -> None:
        tab.until(f"document.getElementById('at').textContent.indexOf('{number}') > 0")
        assert shown[number - 1] in page.get_attribute("#page", "src")

    at(1)
    page.evaluate("window.kept = 1")
    page.click("#next")
    at(2)
    page.keyboard.press("PageDown")
    at(3)
    page.keyboard.press("ArrowRight")
    at(4)
    page.keyboard.press("PageUp")
    at(3)
    page.click("#film a >> nth=4")
    at(5)
    page.click("#next")  # the last page stays
    at(5)
    assert page.evaluate("window.kept") == 1, "turned in place"
    assert "page=5" in page.url
    page.reload()
    at(5)
    assert not tab.errors


def test_courseware_runs_and_reaches_nothing(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    tab = open_tab()
    page = tab.page
    page.goto(f"{web.url}/lesson/{made[1].id}/r3")
    frame = page.frame_locator("#frame")
    frame.locator("#out", has_text="运行了").wait_for()
    said = frame.locator("#out").inner_text()
    assert said == "运行了 cookie! parent! storage! top!"
    assert frame.locator("#out").evaluate("e => getComputedStyle(e).color") == "rgb(176, 56, 43)", (
        "its style sheet"
    )
    # opened as a page of its own, it is in the sandbox all the same
    page.goto(page.get_attribute("#frame", "src"))
    page.locator("#out", has_text="运行了").wait_for()
    assert "cookie!" in page.inner_text("#out") and "storage!" in page.inner_text("#out")


@pytest.mark.parametrize("size", [None, PHONE], ids=["board", "phone"])
def test_all_pages_fit_and_say_no_error(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener, size: Any
) -> None:
    tab = open_tab(**({"viewport": size} if size else {}))
    lesson = f"/lesson/{made[1].id}"
    for path in (
        "/",
        "/browse",
        f"/volume/{made[1].collection}",
        lesson,
        f"{lesson}/r1",
        f"{lesson}/r2",
        f"{lesson}/r4?a=1",
        f"{lesson}/r4/print?key",
        f"{lesson}/r7",
        f"{lesson}/r8",
        "/search?q=古诗",
        "/search?q=小学",
        "/new",
        "/status",
    ):
        tab.page.goto(web.url + path)
        wide, view = tab.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= view, f"{path} scrolls sideways: {wide} > {view}"
        small = tab.page.evaluate(
            "[].filter.call(document.querySelectorAll('.ledge a, .ledge button, .btn'), function (e) {"
            "var b = e.getBoundingClientRect(); return b.height && b.height < 40; }).length"
        )
        assert not small, f"{path}: something is too small to touch"
    assert not tab.errors


def test_everything_opens_without_script(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    tab = open_tab(java_script_enabled=False)
    page = tab.page
    page.goto(web.url)
    page.click(f'.cover a[href="/lesson/{made[1].id}"]')
    page.click(".tool.big")
    assert page.locator("video[controls]").count() == 1
    assert page.locator("[data-do=play]:visible").count() == 0
    page.click('.steps a[href$="/r2"]')
    page.click("#next")
    assert "第2页" in page.inner_text("#at")
    page.click("#sheet")
    assert "第3页" in page.inner_text("#at")
    page.click('.steps a[href$="/r4"]')
    page.click(".opt >> nth=1")
    assert page.locator(".opt.yes").inner_text().startswith("B")
    page.click("#next")
    assert "第2题" in page.inner_text(".top")
    page.goto(web.url + "/search")
    page.fill("#q", "西沙")
    page.click(".go")
    assert "富饶的西沙群岛" in page.inner_text(".best")
    page.click(".best")
    assert page.inner_text("h1") == "富饶的西沙群岛"
    page.click('.ledge a[href="/"]')
    page.click("text=English")
    assert page.inner_text("h1") == "Today"
    events = [row[:3] for row in recorded(made[0], "r4")]
    assert ("open", "server", 1) in events and ("ping", "server", 2) in events


def test_a_busy_box_is_tried_again(
    made: tuple[SmallBox, Lesson], open_tab: Opener, wait_until: Callable[..., None]
) -> None:
    """The usage of a page waits while the box is away, and goes on where it was."""
    web = WebProcess(made[0], "threads = 24\nstreams = 16\n")
    try:
        tab = open_tab()
        tab.page.goto(f"{web.url}/lesson/{made[1].id}/r1")
        tab.until("document.getElementById('media').currentTime > 0.2")
        tab.page.click("[data-do=play]")
        before = len(recorded(made[0], "r1"))
        web.stop()
        tab.page.click("[data-do=play]")  # cannot be told now
        web = WebProcess(made[0], listen=f"127.0.0.1:{web.port}")
        wait_until(lambda: "play" in [row[0] for row in recorded(made[0], "r1")[before:]], 40, "told later")
    finally:
        web.stop()
