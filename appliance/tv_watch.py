"""Minds the television's browser: a page that never came, died or is not the box's is opened anew."""

from __future__ import annotations

import fcntl
import json
import os
import select
from collections.abc import Callable
from typing import Any

#: Seconds to wait for an answer of the browser.
_ANSWER = 10.0
#: Seconds without a page of the box until it is opened anew; twice as long each time, for a slow box's sake.
PATIENCE = 60.0
#: Seconds without one until the browser is given up.
GIVE_UP = 900.0


class GoneError(Exception):
    """The browser ended."""


class Browser:
    """A browser that hears on file 3 and answers on file 4 (`--remote-debugging-pipe`), a NUL after each
    message. It ends when this process does."""

    def __init__(self, command: list[str], clock: Callable[[], float]) -> None:
        self._clock = clock
        (heard, self._to), (self._from, said) = _pipe(), _pipe()
        files = [(os.POSIX_SPAWN_DUP2, heard, 3), (os.POSIX_SPAWN_DUP2, said, 4)]
        self.pid = os.posix_spawn(command[0], command, os.environ, file_actions=files)
        os.close(heard)
        os.close(said)
        os.set_blocking(self._to, False)
        self._asked = 0
        self._rest = b""

    def shows(self, url: str) -> bool | None:
        """Whether a page of the site of `url` is open and answers; None where not even the browser does.
        Raises GoneError."""
        pages = self._pages()
        if pages is None:
            return None
        site = "/".join(url.split("/", 3)[:3])
        for page in pages:
            told = self._in(page, "Runtime.evaluate", expression="location.href")
            if str(told.get("result", {}).get("value", "")).startswith(site + "/"):
                return True
        return False

    def open(self, url: str) -> None:
        """Open it in place of what is there. Raises GoneError."""
        pages = self._pages()
        if pages:
            self._in(pages[0], "Page.navigate", url=url)
            self._in(pages[0], "Page.bringToFront")  # keys went to the browser's own page of an error
        elif pages is not None:
            self._ask("Target.createTarget", url=url)

    def rest(self, seconds: float) -> None:
        """Let it be for so long, or until it says something. Raises GoneError."""
        if select.select([self._from], [], [], seconds)[0]:
            self._read()

    def _pages(self) -> list[str] | None:
        targets = self._ask("Target.getTargets").get("targetInfos")
        return None if targets is None else [it["targetId"] for it in targets if it["type"] == "page"]

    def _in(self, page: str, method: str, **words: object) -> dict[str, Any]:
        session = self._ask("Target.attachToTarget", targetId=page, flatten=True).get("sessionId")
        if session is None:  # it closed meanwhile
            return {}
        try:
            return self._ask(method, session, **words)
        finally:
            self._ask("Target.detachFromTarget", sessionId=session)

    def _ask(self, method: str, session: str | None = None, **words: object) -> dict[str, Any]:
        """The answer; empty where it refuses, or says nothing in time."""
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": words}
        if session is not None:
            message["sessionId"] = session
        until = self._clock() + _ANSWER
        try:
            os.write(self._to, json.dumps(message).encode() + b"\0")
        except BlockingIOError:  # it has not listened for long
            return {}
        except BrokenPipeError as error:
            raise GoneError from error
        while (left := until - self._clock()) > 0:
            if not select.select([self._from], [], [], left)[0]:
                break
            for said in self._read():
                if said.get("id") == self._asked:
                    result: dict[str, Any] = said.get("result", {})
                    return result
        return {}

    def _read(self) -> list[dict[str, Any]]:
        """What it says now, message by message; what was asked long ago is among it."""
        piece = os.read(self._from, 65536)
        if not piece:
            raise GoneError
        *whole, self._rest = (self._rest + piece).split(b"\0")
        return [json.loads(it) for it in whole]


class Watch:
    """What to do about a browser, look after look."""

    def __init__(self, now: float) -> None:
        self._well = now
        self._since: float | None = None
        self._patience = PATIENCE

    def look(self, shows: bool | None, now: float) -> str:
        """`shows`: what the browser says of its page. What is to be done: "", "open" or "end"."""
        if shows:
            self._well, self._since, self._patience = now, None, PATIENCE
        elif now - self._well >= GIVE_UP:
            return "end"
        elif shows is None:
            return ""
        elif self._since is None:
            self._since = now
        elif now - self._since >= self._patience:
            self._since, self._patience = now, self._patience * 2
            return "open"
        return ""


def _pipe() -> tuple[int, int]:
    """Both ends, out of the way of files 3 and 4."""
    read, write = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (read, write))
    os.close(read)
    os.close(write)
    return high[0], high[1]
