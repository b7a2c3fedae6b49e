"""What a form that needs no PIN must pass: it comes from a page of this box, and not too often."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from flask import abort, request

#: A path of this box, nothing that a browser could take for another host.
_OWN = re.compile(r"/(?![/\\])[^\s\\]{0,500}")
_MOST = 1000


def own_path(text: str, default: str = "/") -> str:
    """`text` when it is a path of this box, else `default`."""
    return text if _OWN.fullmatch(text) and text.isprintable() else default


def from_own_page() -> bool:
    """Whether a page of this box sent the request: by Origin, for engines without it by Referer. Courseware
    has the opaque origin `null`, other sites their own."""
    host = request.environ.get("HTTP_HOST", "")
    said = request.headers.get("Origin") or request.headers.get("Referer", "")
    try:
        parts = urlsplit(said)
    except ValueError:
        return False
    return bool(host) and parts.scheme == "http" and parts.netloc.lower() == host.lower()


class Door:
    """At most `most` requests, or things in them, in `seconds` from one address."""

    def __init__(self, most: int, seconds: float, monotonic: Callable[[], float]) -> None:
        self._most, self._seconds, self._monotonic = most, seconds, monotonic
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, list[float]] = OrderedDict()

    def admits(self, who: str, things: int = 1) -> bool:
        """Count a request; whether it is within the limit."""
        now = self._monotonic()
        with self._lock:
            times = [at for at in self._seen.pop(who, []) if now - at < self._seconds]
            allowed = len(times) + things <= self._most
            if allowed:
                times += [now] * things
            self._seen[who] = times
            while len(self._seen) > _MOST:
                self._seen.popitem(last=False)
            return allowed

    def require(self, things: int = 1) -> None:
        """End the request with 429 when its address asked too often."""
        if not self.admits(request.remote_addr or "", things):
            abort(429)
