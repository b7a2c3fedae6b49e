"""How web tells sync that a class streams: a file that says until when, and is worth nothing afterwards.

One line, `<boot id> <milliseconds since boot>\\n`, overwritten in place and never synced to the disk: a web
program that crashed, a power cut or a clock that jumped leaves no word that holds. It says at most
`MOST` seconds of anything.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from content_sync.ports import Clock

_log = logging.getLogger(__name__)
#: Seconds between two words while a stream goes on, and that one word holds.
EVERY, HOLDS = 1.0, 3.0
#: Seconds that a stream counts on after its last byte: players fetch in portions.
LINGER = 5.0
#: No word holds longer than this.
MOST = 60.0
_LENGTH = 96


class StreamSign:
    """Web's side. Any thread; what can't be written is only logged: streaming goes before."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock, self._boot = path, clock, clock.boot_id()
        self._lock = threading.Condition()
        self._open = 0
        self._until = 0.0
        self._said = float("-inf")
        self._thread: threading.Thread | None = None
        self._closed = False

    def began(self) -> Callable[[], None]:
        """A stream began; call what is returned when it has ended."""
        with self._lock:
            self._open += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="stream sign", daemon=True)
                self._thread.start()
            self._lock.notify()
        self._say(self._clock.monotonic() + HOLDS)
        ended = threading.Lock()

        def end() -> None:
            if ended.acquire(blocking=False):  # once, however often a file is closed
                with self._lock:
                    self._open -= 1
                self._say(self._clock.monotonic() + LINGER)

        return end

    def plays(self, seconds: float) -> None:
        """A page says that it plays: for so long, whether bytes move or not."""
        self._say(self._clock.monotonic() + min(seconds, MOST))

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            self._closed = True
            self._lock.notify()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._open > 0 or self._closed)
                if self._closed:
                    return
                self._lock.wait(EVERY)
                going = self._open > 0
            if going:
                self._say(self._clock.monotonic() + HOLDS)

    def _say(self, until: float) -> None:
        with self._lock:
            now = self._clock.monotonic()
            if until <= self._until and now < self._said + EVERY:
                return
            self._until, self._said = max(until, self._until), now
            line = f"{self._boot} {int(self._until * 1000)}\n".encode().ljust(_LENGTH)
            try:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    os.pwrite(descriptor, line, 0)
                finally:
                    os.close(descriptor)
            except OSError as error:
                _log.warning("%s: %s", self._path.name, error)


def streams(path: Path, boot: str, now: float) -> bool:
    """Sync's side: whether a class streams at `now` (seconds since the boot `boot`)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            words = os.pread(descriptor, _LENGTH, 0).decode("ascii", "replace").split()
        finally:
            os.close(descriptor)
    except OSError:
        return False
    if len(words) != 2 or words[0] != boot or not words[1].isdigit():
        return False
    return now < int(words[1]) / 1000 <= now + MOST + HOLDS
