"""Words to the service manager (sd_notify(3)): ready, still at work. Without one, nothing happens."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress


def tell(word: str) -> None:
    """Send `READY=1`, `WATCHDOG=1`, `STATUS=…`; never raises: no program fails because nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one:
        one.connect("\0" + address[1:] if address.startswith("@") else address)
        one.sendall(word.encode())


class Pulse:
    """Says `READY=1` with the first beat, then `WATCHDOG=1` as often as the unit's WatchdogSec= asks for."""

    def __init__(self) -> None:
        asked = os.environ.get("WATCHDOG_USEC", "")
        #: Seconds between words; the service manager waits three times as long. None: it does not ask.
        self.every = int(asked) / 3e6 if asked.isascii() and asked.isdigit() else None
        self._next: float | None = None

    def wait(self) -> float | None:
        """Seconds until the next word is due; None where none is asked for."""
        if self.every is None or self._next is None:
            return None
        return max(0.0, self._next - time.monotonic())

    def beat(self) -> None:
        """The program's loop has come round. Cheap: call it each time."""
        now = time.monotonic()
        if self._next is None:
            tell("READY=1")
        elif self.every is None or now < self._next:
            return
        else:
            tell("WATCHDOG=1")
        self._next = now + (self.every or 0.0)
