"""Which boxes were seen behind one public address, and where they say that their pages are on their LAN."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from msgspec import Struct

from content_sync.formats.enrolment import is_private, lan_url
from county.distribute.visitors import Address

KEEP_SECONDS = 1200.0
MOST_NEAR, MOST_URLS, MOST_ADDRESSES = 64, 4, 10_000


class _Seen(Struct, frozen=True):
    urls: tuple[str, ...]
    at: float


class Neighbourhood:
    """In memory: after a restart it is whole again within one round. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By public address, the longest silent first; in each by box, the same.
        self._seen: dict[str, dict[str, _Seen]] = {}

    def tell(self, box: str, address: Address, urls: Sequence[str], now: float) -> list[tuple[str, str]]:
        """Note a box's own addresses; (box, address) of the others, the latest heard first.

        What is no `http://<private IP address>[:port]` is left out. `now`: monotonic seconds.
        """
        good = tuple(dict.fromkeys(url for url in map(lan_url, urls[:MOST_URLS]) if url is not None))
        key = _line(address)
        with self._lock:
            boxes = self._seen.pop(key, {})
            for name in [name for name, seen in boxes.items() if now - seen.at > KEEP_SECONDS]:
                del boxes[name]
            boxes.pop(box, None)
            found = [(name, url) for name, seen in reversed(boxes.items()) for url in seen.urls]
            if good:
                boxes[box] = _Seen(good, now)
            if len(boxes) > MOST_NEAR:
                del boxes[next(iter(boxes))]
            if boxes:
                self._seen[key] = boxes
            if len(self._seen) > MOST_ADDRESSES:
                del self._seen[next(iter(self._seen))]
        return found[:MOST_NEAR]


def _line(address: Address) -> str:
    """What boxes of one school share: the IPv4 address of its line; where no NAT stands between, the /24 of a
    private network or the /64 of an IPv6 one."""
    if address.version == 4 and not is_private(address):
        return str(address)
    return address.packed[: 3 if address.version == 4 else 8].hex()
