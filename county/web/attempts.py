"""Wrong passwords: after a few from one address it must wait, longer each time."""

from __future__ import annotations

import threading

FREE_TRIES = 5
FIRST_WAIT = 60
LONGEST_WAIT = 900
_FORGET = 3600
_MOST_ADDRESSES = 10_000


class Attempts:
    """Counts wrong tries by address, in memory. `now`: monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: dict[str, tuple[int, float, float]] = {}

    def wait(self, address: str, now: float) -> int:
        """Seconds until this address may try again; 0: at once."""
        with self._lock:
            _, until, _ = self._wrong.get(address, (0, 0.0, 0.0))
            return max(0, int(until - now + 0.999))

    def wrong(self, address: str, now: float) -> None:
        """Count a wrong try."""
        with self._lock:
            count, _, last = self._wrong.pop(address, (0, 0.0, now))
            count = 1 if now - last > _FORGET else count + 1
            over = count - FREE_TRIES
            wait = (
                min(LONGEST_WAIT, FIRST_WAIT << over)
                if 0 <= over < 10
                else (LONGEST_WAIT if over >= 0 else 0)
            )
            while len(self._wrong) >= _MOST_ADDRESSES:
                self._wrong.pop(next(iter(self._wrong)))
            self._wrong[address] = (count, now + wait, now)

    def right(self, address: str) -> None:
        """Forget the wrong tries of an address."""
        with self._lock:
            self._wrong.pop(address, None)
