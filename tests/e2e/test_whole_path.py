"""One lesson all the way: published, fetched, played in Chromium, and its use back at the county."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.e2e import library
from tests.e2e.browser import Tab
from tests.e2e.programs import Box, County, wait_until

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


@pytest.mark.browser
@pytest.mark.needs("ffmpeg")
def test_from_the_folder_to_the_board_and_back(
    tmp_path: Path,
    make_county: Callable[[], County],
    make_box: Callable[..., Box],
    open_tab: Callable[[], Tab],
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
    tab = open_tab()
    play(tab.page, box.url)
    board = next(cookie["value"] for cookie in tab.context.cookies() if cookie["name"] == "board")
    tab.page.goto(box.url)  # leaving the page closes the visit
    assert not tab.errors
    tab.close()
    wait_until(lambda: county.stats()["rows"], "the county's statistics show the use", 180)
    stats = county.stats()
    [row] = stats["rows"]
    assert (row["school_code"], row["board"]) == ("000", board)
    assert (row["title"], row["kind"], row["sessions"]) == ("古诗三首", "video", 1)
    assert PLAYED <= row["seconds"] < 300
    assert stats["total"]["schools_using"] == 1
    wait_until(lambda: box.status()["outbox"]["unacknowledged"] == 0, "the acknowledgement came down", 120)
