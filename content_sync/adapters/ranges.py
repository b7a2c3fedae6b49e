"""Byte ranges of files by HTTP (BEP 19 web seeds, neighbours), several at a time, by threads of its own.

Each block of 16 KiB goes to its owner the moment it is whole: what has come is never lost, whatever ends the
request, the connection or the program.
"""

from __future__ import annotations

import http.client
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from msgspec import Struct

from content_sync.formats.hashtree import BLOCK
from content_sync.formats.token import hidden

_log = logging.getLogger(__name__)
CONNECT_SECONDS, SILENT_SECONDS = 10.0, 15.0
#: A block that takes longer than this comes from a server that drips: the line is better used otherwise.
BLOCK_SECONDS = 60.0

#: A block: index in its file, bytes. Whether it is the right one.
Sink = Callable[[int, bytes], bool]


class Range(Struct, frozen=True):
    """`length` bytes of a URL from the start of block `block` on; `owner`, `file` and `source` are the
    asker's own."""

    owner: str
    file: int
    block: int
    length: int
    source: str
    url: str
    sink: Sink
    pace: int = 0  # bytes a second that the server should not exceed; 0: it may


class Answer(Struct, frozen=True):
    """How a request ended: bytes that came, and why no more did (`busy`: come back later, `gone`: it is not
    there, `wrong`: a block did not fit its hash, `cut`: by `Ranges.cut`, `lost`: anything else; empty: all
    came)."""

    wanted: Range
    came: int
    seconds: float
    error: str = ""
    first: float | None = None  # seconds until the server began to answer


class _Asked(Struct):
    """One attempt, as far as it got."""

    fresh: bool = False
    came: int = 0
    error: str = "lost"
    first: float | None = None


class Ranges:
    """Ask, then collect answers; `wake` is called from a thread when there is one."""

    def __init__(self, workers: int, wake: Callable[[], None]) -> None:
        self._wake, self._most = wake, workers
        self._asked: queue.SimpleQueue[Range | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._closed = False
        self._lock = threading.Lock()
        self._came = 0

    def ask(self, wanted: Range) -> None:
        """Queue a range."""
        if len(self._workers) < self._most:
            worker = _Worker(self._count)
            self._workers.append(worker)
            threading.Thread(target=self._work, args=(worker,), name="ranges", daemon=True).start()
        self._asked.put(wanted)

    def answers(self) -> list[Answer]:
        """What ended since the last call."""
        found = []
        while not self._answers.empty():
            found.append(self._answers.get())
        return found

    def _count(self, size: int) -> None:
        with self._lock:
            self._came += size

    def came(self) -> int:
        """Bytes of bodies so far."""
        return self._came

    def cut(self, unless: Callable[[Range], bool]) -> None:
        """End every request but those now: what has come of them is kept, what waits is never sent."""
        waiting = []
        with suppress(queue.Empty):
            while True:
                waiting.append(self._asked.get_nowait())
        for wanted in waiting:
            if wanted is None or unless(wanted):
                self._asked.put(wanted)
            else:
                self._answers.put(Answer(wanted, 0, 0.0, "cut"))
        for worker in self._workers:
            worker.cut(unless)

    def _work(self, worker: _Worker) -> None:
        while (wanted := self._asked.get()) is not None and not self._closed:
            self._answers.put(worker.fetch(wanted))
            self._wake()
        worker.close()

    def close(self) -> None:
        """End the threads; what is under way is dropped."""
        self._closed = True
        for worker in self._workers:
            worker.cut(lambda wanted: False)
        for _ in self._workers:
            self._asked.put(None)


class _Worker:
    """One thread's kept-alive connection to the host that it asked last."""

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count
        self._host = ""
        self._line: http.client.HTTPConnection | None = None
        self._lock = threading.Lock()
        self._now: Range | None = None
        self._cut = False

    def cut(self, unless: Callable[[Range], bool]) -> None:
        """End the request under way, from another thread."""
        with self._lock:
            if self._now is None or unless(self._now):
                return
            self._cut = True
            if self._line is not None and self._line.sock is not None:
                with suppress(OSError):
                    self._line.sock.shutdown(socket.SHUT_RDWR)

    def fetch(self, wanted: Range) -> Answer:
        """Ask and hand every block over as it comes; never raises."""
        with self._lock:
            self._now, self._cut = wanted, False
        began, tried = time.monotonic(), _Asked()
        try:
            for _attempt in (1, 2):
                tried = self._once(wanted)
                # A kept connection may have been closed by the other side meanwhile: once more on a new one.
                if tried.error != "lost" or tried.came or tried.fresh or self._cut:
                    break
        except Exception:  # whatever a server makes the library do, the asker gets an answer
            _log.exception("%s", hidden(wanted.url))
        finally:
            with self._lock:
                self._now = None
        if tried.error:
            self.close()
        error = "cut" if tried.error and self._cut else tried.error
        return Answer(wanted, tried.came, time.monotonic() - began, error, tried.first)

    def _once(self, wanted: Range) -> _Asked:
        tried = _Asked()
        try:
            line, target, tried.fresh = self._connection(wanted.url)
            start = wanted.block * BLOCK
            span = f"{start}-{start + wanted.length - 1}"
            headers = {"Range": f"bytes={span}", "User-Agent": "LessonBox/1", "Accept-Encoding": "identity"}
            if wanted.pace:  # CTA-5004 (CMCD): kbit/s, rounded up to hundreds
                headers["CMCD-Request"] = f"rtp={-(-wanted.pace * 8 // 100_000) * 100}"
            asked = time.monotonic()
            line.request("GET", target, headers=headers)
            answer = line.getresponse()
            tried.first = time.monotonic() - asked
            stated = (answer.getheader("Content-Range") or "").split("/")[0].strip()
            if answer.status in (429, 503):
                tried.error = "busy"
            elif answer.status in (403, 404, 410, 416):
                tried.error = "gone"
            elif answer.status != 206 or stated != f"bytes {span}" or answer.length != wanted.length:
                tried.error = "wrong"
            else:
                tried.error = self._take(wanted, answer, tried)
        except (OSError, http.client.HTTPException, ValueError) as error:
            _log.info("%s: %s", hidden(wanted.url), error)
            tried.error = "lost"
        return tried

    def _take(self, wanted: Range, answer: http.client.HTTPResponse, tried: _Asked) -> str:
        while tried.came < wanted.length:
            data = self._block(answer, min(BLOCK, wanted.length - tried.came))
            if not wanted.sink(wanted.block + tried.came // BLOCK, data):
                return "wrong"
            tried.came += len(data)
        answer.read()  # so that the library sees the end and keeps the connection
        if answer.will_close:
            self.close()
        return ""

    def _connection(self, url: str) -> tuple[http.client.HTTPConnection, str, bool]:
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        fresh = self._line is None or self._line.sock is None or self._host != host
        if fresh:
            self.close()
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            line = kind(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS)
            line.connect()
            line.sock.settimeout(SILENT_SECONDS)
            with self._lock:
                self._line, self._host = line, host
                if self._cut:
                    raise OSError("cut off")
        assert self._line is not None
        return self._line, parts.path + (f"?{parts.query}" if parts.query else ""), fresh

    def _block(self, answer: http.client.HTTPResponse, size: int) -> bytes:
        data = bytearray()
        deadline = time.monotonic() + BLOCK_SECONDS
        while len(data) < size:
            part = answer.read1(size - len(data))
            self._count(len(part))
            data += part
            if not part or time.monotonic() > deadline:
                raise OSError("it ends too soon" if not part else "it is too slow")
        return bytes(data)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            with suppress(OSError):
                line.close()
