"""The minder of the television's browser, with real chromium: web is away, a page dies, the browser ends."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from appliance.tv import kiosk
from appliance.tv_watch import Browser, GoneError
from tests.e2e.programs import free_port

pytestmark = [pytest.mark.browser]


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>a page</title>")

    def log_message(self, *words: object) -> None:
        """Nothing."""


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Browser, str]]:
    """The kiosk as its unit starts it, without a screen; nobody answers at its address yet."""
    url = f"http://127.0.0.1:{free_port()}/tv"
    monkeypatch.setenv("HOME", str(tmp_path))
    command = kiosk(url, tmp_path / "profile", {"DISPLAY": ":0"}, root=os.geteuid() == 0)
    real = shutil.which(command[0])
    assert real is not None
    minded = Browser(
        [real, "--headless=new", "--disable-dev-shm-usage", "--disable-gpu", *command[1:]], time.monotonic
    )
    yield minded, url
    try:
        os.kill(minded.pid, signal.SIGKILL)
        os.waitpid(minded.pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def test_it_brings_the_page_back(browser: tuple[Browser, str], wait_until: Callable[..., None]) -> None:
    minded, url = browser
    wait_until(lambda: minded.shows(url) is False, seconds=60)  # up: an error
    port = int(url.split(":")[2].split("/")[0])
    web = ThreadingHTTPServer(("127.0.0.1", port), Page)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        minded.open(url)
        wait_until(lambda: minded.shows(url) is True)
        for process in psutil.Process(minded.pid).children(recursive=True):
            if "--type=renderer" in process.cmdline():
                process.kill()
        wait_until(lambda: minded.shows(url) is False)
        minded.open(url)
        wait_until(lambda: minded.shows(url) is True)
    finally:
        web.shutdown()
        web.server_close()
    psutil.Process(minded.pid).kill()
    with pytest.raises(GoneError):
        wait_until(lambda: minded.shows(url) and False)
