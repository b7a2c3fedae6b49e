"""One lesson all the way: published, fetched, played in Chromium, and its use back at the county."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.e2e import library
from tests.e2e.programs import Box, County, wait_until

CHROMIUM = ("--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage", "--mute-audio")
PLAYED = 8  # seconds of the video that the board plays at least


def play(page: Page, url: str) -> None:
    """From the home page to a video that plays on from 80% of its length, by taps alone."""
    page.goto(url)
    page.get_by_text("开始上课").first.click()
    page.locator(".tool.big").first.click()
    video = page.locator("video")
    video.wait_for()
    page.evaluate("window.v = document.querySelector('video')")
    page.wait_for_function("() => !v.paused && v.currentTime > 4")
    page.evaluate("v.currentTime = 0.8 * v.duration")
    page.wait_for_function("() => !v.seeking && !v.paused && v.currentTime > 0.8 * v.duration + 4")
    assert page.evaluate("v.error") is None


def sessions(county: County) -> list[dict[str, Any]]:
    """What the county's statistics say of each board and lesson."""
    found: list[dict[str, Any]] = county.stats()["lessons"]
    return found


@pytest.mark.browser
@pytest.mark.needs("ffmpeg")
def test_from_the_folder_to_the_board_and_back(
    tmp_path: Path, make_county: Callable[[], County], make_box: Callable[..., Box]
) -> None:
    library.two_lessons(tmp_path / "tree")
    county = make_county()
    published = county.publish(tmp_path / "tree")
    assert (published["release"], published["lessons"]) == (1, 2)
    county.serve()
    box = make_box(county)
    box.start("run")
    box.wait_ready()
    wait_until(lambda: box.complete(2), "both lessons are on the box")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
        context = browser.new_context(viewport={"width": 1920, "height": 1080}, locale="zh-CN")
        page = context.new_page()
        page.set_default_timeout(60_000)
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        play(page, box.url)
        board = next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "board")
        page.goto(box.url)  # leaving the page closes the visit
        browser.close()
    assert not failures
    wait_until(lambda: sessions(county), "the county's statistics show the use", 180)
