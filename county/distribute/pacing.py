"""The county's total upload rate: the seeder has a limit of its own, the web seed gets what that leaves.

The kernel paces each answer (SO_MAX_PACING_RATE, socket(7)), so sendfile stays and no thread sleeps.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable
from typing import Any

#: linux/socket.h; Python has no name for it.
_SO_MAX_PACING_RATE = 47
_NO_LIMIT = 0xFFFFFFFF
#: The rate that the asker wishes not to be exceeded, kbit/s (CTA-5004, Common Media Client Data).
_WISHED = re.compile(r"(?:^|[,\s])rtp=([0-9]{1,9})(?![0-9.])")


def seeder_share(total: int) -> int:
    """Bytes a second that the seeder may send of `total` (0: no limit): a quarter is always the web
    seed's."""
    return total and max(1, total * 3 // 4)


class Pace:
    """Shares what the seeder leaves of `total` bytes a second among `answers()` web-seed answers."""

    def __init__(self, total: int, seeder_rate: Callable[[float], int], answers: Callable[[], int]) -> None:
        self._total, self._seeder_rate, self._answers = total, seeder_rate, answers

    def share(self, now: float) -> int:
        """Bytes a second for one answer; 0: no limit. `now`: monotonic seconds."""
        if not self._total:
            return 0
        left = max(self._total // 4, self._total - self._seeder_rate(now))
        return max(1, left // max(1, self._answers()))

    def rate(self, environ: dict[str, Any], now: float) -> int:
        """Bytes a second for the answer to this request; 0: no limit."""
        wished = _WISHED.search(environ.get("HTTP_CMCD_REQUEST", "")[:1000])
        limits = [self.share(now), int(wished[1]) * 125 if wished else 0]
        return min(filter(None, limits), default=0)

    def hold(self, environ: dict[str, Any], now: float) -> None:
        """Pace the answer to this request; only gunicorn shows its socket."""
        sock = environ.get("gunicorn.socket")
        if sock is None:
            return
        rate = min(self.rate(environ, now), _NO_LIMIT - 1) or _NO_LIMIT
        try:
            # Each time: the connection may have been paced for the request before.
            sock.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, struct.pack("=I", rate))
        except OSError:
            pass  # an old kernel: better fast than not at all
