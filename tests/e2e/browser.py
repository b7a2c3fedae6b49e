"""Debian's chromium under playwright, for tests that look at the board. Imported by conftest.py."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

BOARD = {"width": 1920, "height": 1080}
LAPTOP = {"width": 1366, "height": 768}
PHONE = {"width": 390, "height": 844}
ARGS = [
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-dev-shm-usage",
    "--mute-audio",
]


def launch(playwright: Any, *more: str) -> Any:
    """A headless chromium. `more`: further switches, such as --host-resolver-rules=…"""
    return playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*ARGS, *more])


class Tab:
    """A page in a context of its own, with every console error, failed request and uncaught exception that
    it met.
    """

    def __init__(self, browser: Any, **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": BOARD, "locale": "zh-CN", **context})
        self.context.set_default_timeout(60_000)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        # A click returns when the next page begins to come: one goes on when all of it is there.
        look, click, press = self.page.evaluate, self.page.click, self.page.press

        def evaluate(*words: Any) -> Any:
            self.page.wait_for_load_state("domcontentloaded")
            return look(*words)

        def clicked(*words: Any, **more: Any) -> None:
            click(*words, **more)
            self.page.wait_for_load_state("domcontentloaded")

        def pressed(*words: Any, **more: Any) -> None:
            press(*words, **more)
            self.page.wait_for_load_state("domcontentloaded")

        self.page.evaluate, self.page.click, self.page.press = evaluate, clicked, pressed

    def until(self, expression: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is true.

        playwright's wait_for_function needs eval in the page; the board's content security policy forbids
        it.
        """
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"not within {seconds} s: {expression}"
            time.sleep(0.05)

    def close(self) -> None:
        """Close the context."""
        self.context.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One headless chromium for the session."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def open_tab(chromium: Any) -> Iterator[Any]:
    """A function that opens a Tab; all are closed after the test."""
    tabs: list[Tab] = []

    def opener(**context: Any) -> Tab:
        tabs.append(Tab(chromium, **context))
        return tabs[-1]

    yield opener
    for tab in tabs:
        tab.close()
