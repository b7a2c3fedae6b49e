"""Television: the kiosk as its unit starts it, real chromium on an X server of memory, keys alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from content_sync.formats.lesson import Lesson
from tests.box import SmallBox, film, sample
from tests.e2e.board import WebProcess

pytestmark = [pytest.mark.browser, pytest.mark.needs("ffmpeg", "Xvfb", "xdotool")]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallBox, Lesson]:
    folder: Path = tmp_path_factory.mktemp("box")
    return sample(folder, int(time.time()), film(folder / "film.mp4"))


@pytest.fixture(scope="module")
def web(made: tuple[SmallBox, Lesson]) -> Iterator[WebProcess]:
    process = WebProcess(made[0], "threads = 24\nstreams = 12\n")
    yield process
    process.stop()


@pytest.fixture
def display() -> Iterator[str]:
    """An X server of memory; the number that it chose."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x720x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as told:
        number = told.readline().strip()
    assert number, "no X server"
    yield f":{number}"
    server.terminate()
    server.wait(10)


class Screen:
    """The kiosk on a display: keys go in through X, what it shows is asked through its debugging port."""

    def __init__(self, display: str, url: str, folder: Path, chromium: Any) -> None:
        self.environ = {**os.environ, "DISPLAY": display, "HOME": str(folder)}
        self.environ.pop("WAYLAND_DISPLAY", None)
        profile = folder / "profile"
        # the same browser, found first on the path: with a port to look in, written into the profile
        shim = folder / "bin" / "chromium"
        shim.parent.mkdir()
        real = shutil.which("chromium")
        more = "--remote-debugging-port=0 --disable-dev-shm-usage --mute-audio"
        shim.write_text(f'#!/bin/sh\nexec {real} {more} "$@"\n')
        shim.chmod(0o755)
        path = {"PATH": f"{shim.parent}:{os.environ['PATH']}"}
        words = [sys.executable, "-m", "appliance", "tv", "--anyway", "--url", url, "--data", str(profile)]
        self.process = subprocess.Popen(
            words, cwd=ROOT, env=self.environ | path, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port = profile / "browser" / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not (port.exists() and len(port.read_text().splitlines()) > 1):
            assert self.process.poll() is None and time.monotonic() < deadline, "the kiosk did not come up"
            time.sleep(0.05)
        self.browser = chromium.browser_type.connect_over_cdp(
            f"http://127.0.0.1:{port.read_text().split()[0]}"
        )
        self.page = self.browser.contexts[0].pages[0]
        self.page.set_default_timeout(60_000)
        # there is no window manager here; on a box cage lays its one window over the whole screen
        window = ["search", "--sync", "--onlyvisible", "--class", "chromium"]
        self._x(*window, "windowmove", "0", "0", "windowsize", "1280", "720", "windowfocus")

    def _x(self, *words: str) -> None:
        subprocess.run(["xdotool", *words], env=self.environ, check=True, timeout=30)

    def key(self, *names: str) -> None:
        """Press keys, as a remote does."""
        self._x("key", *names)

    def says(self, expression: str) -> Any:
        try:
            return self.page.evaluate(expression)
        except Exception:  # the page is changing
            return None

    def close(self) -> None:
        self.browser.close()
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


def test_a_lesson_plays_by_arrow_keys_alone(
    web: WebProcess,
    made: tuple[SmallBox, Lesson],
    display: str,
    tmp_path: Path,
    wait_until: Callable[..., None],
    chromium: Any,
) -> None:
    screen = Screen(display, f"{web.url}/tv", tmp_path, chromium)
    try:
        # the browser drops keys that come before it has drawn a page for the first time
        drawn = "performance.getEntriesByType('paint').length > 0 && document.hasFocus()"

        def at(path: str) -> None:
            wait_until(
                lambda: screen.says(f"location.pathname == {json.dumps(path)} && !!window.tvKey && {drawn}"),
                60,
                path,
            )

        def ok(to: str) -> None:
            """Press OK on a link until its page is there, as a hand does when nothing happens."""
            screen.key("Return")
            pressed = time.monotonic()

            def there() -> bool:
                nonlocal pressed
                if screen.says(f"location.pathname == {json.dumps(to)}"):
                    return True
                if time.monotonic() > pressed + 10:
                    screen.key("Return")
                    pressed = time.monotonic()
                return False

            wait_until(there, 60, to)
            at(to)

        focused = "document.activeElement.getAttribute('href')"
        lesson = f"/tv/lesson/{made[1].id}"
        at("/tv")
        wait_until(lambda: screen.says(focused), 30, "something has the focus")
        wait_until(lambda: screen.says("innerHeight") == 720, 20, "nothing but the page on the screen")
        assert screen.says("getComputedStyle(document.body).cursor") == "none"
        for _ in range(3):
            if screen.says(focused) == lesson:
                break
            before = screen.says(focused)
            screen.key("Right")
            wait_until(lambda before=before: screen.says(focused) != before, 20, "the focus moves")
        assert screen.says(focused) == lesson
        ok(lesson)
        wait_until(lambda: screen.says(focused) == f"{lesson}/r1", 20, "the first resource has the focus")
        ok(f"{lesson}/r1")
        media = "document.getElementById('media')"
        wait_until(lambda: screen.says(f"{media}.currentTime > 0.5 && !{media}.paused"), 60, "it plays")
        box = screen.says(
            f"(function (b) {{ return [b.width, b.height]; }}({media}.getBoundingClientRect()))"
        )
        assert box == [1280, 720], "over the whole screen"
        screen.key("Return")
        wait_until(lambda: screen.says(f"{media}.paused"), 20, "OK pauses")
        was = screen.says(f"{media}.currentTime")
        screen.key("Right")
        wait_until(lambda: screen.says(f"{media}.currentTime") >= was + 9, 20, "right winds on")
        screen.key("Return")
        wait_until(lambda: not screen.says(f"{media}.paused"), 20, "OK plays")
        screen.key("Escape")
        at(lesson)
        wait_until(lambda: screen.says(focused) == f"{lesson}/r1", 20, "back where it was")
        screen.key("Right")
        wait_until(lambda: screen.says(focused) == f"{lesson}/r2", 20, "the neighbour")
        ok(f"{lesson}/r2")
        screen.key("Right")
        turned = "location.search.indexOf('page=2') >= 0 && !!window.tvKey"
        wait_until(lambda: screen.says(turned), 20, "the next page")
        screen.key("Escape")
        at(lesson)
        screen.key("Escape")
        at(f"/tv/volume/{made[1].collection}")
        # a page of the board's, with the same keys: the quiz
        screen.page.goto(f"{web.url}/lesson/{made[1].id}/r4")
        wait_until(
            lambda: screen.says("!!window.tvKey && document.activeElement != document.body"), 20, "focus"
        )
        for _ in range(12):
            if screen.says("document.activeElement.className").startswith("opt"):
                break
            screen.key("Down")
        assert screen.says("document.activeElement.className").startswith("opt"), "an answer has the focus"
    finally:
        screen.close()
    with closing(sqlite3.connect(made[0].paths.usage_db)) as db:
        told = [row[0] for row in db.execute("SELECT type FROM event WHERE resource = 'r1' ORDER BY id")]
    assert told[0] == "open" and {"play", "pause"} <= set(told), "counted like any other"
