"""The HTTP tracker: which boxes have or want a package (BEP 3, compact answers of BEP 23, IPv6 of BEP 7).

All in memory: after a restart it is whole again within one announce interval.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from content_sync.formats.torrent import bencode

MAX_PEERS = 50
PEERS_PER_TORRENT = 2_000
PEERS_PER_ADDRESS = 64
_HASH = 20
_IPV4 = 6
_EVENTS = ("", "started", "stopped", "completed", "paused")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AnnounceError(Exception):
    """Why an announce is refused, in words for the client (`failure reason`)."""


@dataclass(frozen=True)
class Announce:
    """A checked announce. `left` counts padding; `wanted` is how many peers to name."""

    info_hash: bytes
    peer_id: bytes
    port: int
    left: int
    event: str
    wanted: int


@dataclass
class _Peer:
    peer_id: bytes
    seed: bool
    seen: float


def parse_address(text: str) -> Address:
    """An IP address; IPv4 inside IPv6 becomes IPv4. Raises ValueError."""
    address = ipaddress.ip_address(text.split("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def parse_announce(query: str) -> Announce:
    """Read the raw query string, whose `info_hash` and `peer_id` are any bytes. Raises AnnounceError.

    An `ip` that the client states is not looked at: it could send the boxes anywhere.
    """
    values: dict[str, bytes] = {}
    for part in query.split("&"):
        key, _, value = part.partition("=")
        values.setdefault(key, unquote_to_bytes(value.replace("+", " ")))
    for key in ("info_hash", "peer_id"):
        if len(values.get(key, b"")) != _HASH:
            raise AnnounceError(f"{key} must have 20 bytes")
    port, left = _number(values, "port", None), _number(values, "left", 0)
    if not 0 < port < 65536:
        raise AnnounceError("port is out of range")
    event = values.get("event", b"").decode("latin-1")
    if event not in _EVENTS:
        raise AnnounceError("unknown event")
    wanted = min(_number(values, "numwant", MAX_PEERS, negative=True), MAX_PEERS)
    return Announce(
        values["info_hash"], values["peer_id"], port, left, event, MAX_PEERS if wanted < 0 else wanted
    )


def _number(values: dict[str, bytes], key: str, default: int | None, negative: bool = False) -> int:
    text = values.get(key, b"")
    if not text and default is not None:
        return default
    digits = text[1:] if negative and text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 19:
        raise AnnounceError(f"{key} must be a number")
    return int(text)


def pack(address: Address, port: int) -> bytes:
    """A peer as compact answers hold it: 6 bytes for IPv4, 18 for IPv6."""
    return address.packed + port.to_bytes(2, "big")


def failure(reason: str) -> bytes:
    """The refusal that a client shows."""
    return bencode({"failure reason": reason})


class Tracker:
    """Peers by package. `known` tells whether the county has a package whose infohash begins with these 20
    bytes.

    `interval`: seconds between announces; who is silent for two of them is forgotten.
    """

    def __init__(self, interval: int, known: Callable[[bytes], bool]) -> None:
        self._interval = interval
        self._known = known
        self._lock = threading.Lock()
        # Peers by their compact form, the longest silent first.
        self._torrents: dict[bytes, dict[bytes, _Peer]] = {}
        self._swept = 0.0

    def announce(self, asked: Announce, address: Address, seeders: Iterable[bytes], now: float) -> bytes:
        """The bencoded answer to a peer at `address`. `seeders`: the county's own, packed; all are
        told of them first.

        `now` is monotonic seconds. Raises AnnounceError for what the county does not have.
        """
        if not self._known(asked.info_hash):
            raise AnnounceError("this county has no such package")
        own = pack(address, asked.port)
        with self._lock:
            self._sweep(now)
            peers = self._torrents.setdefault(asked.info_hash, {})
            self._forget(peers, now)
            peers.pop(own, None)
            if asked.event != "stopped":
                self._make_room(peers, own)
                peers[own] = _Peer(asked.peer_id, asked.left == 0, now)
            # The latest seen first: they are the likeliest to be there.
            named = [
                key for key, peer in reversed(peers.items()) if key != own and peer.peer_id != asked.peer_id
            ]
            seeds = sum(peer.seed for peer in peers.values())
            count = len(peers)
            if not peers:
                del self._torrents[asked.info_hash]
        near = [key for key in named if _near(key, own)]
        others = [key for key in named if not _near(key, own)]
        county = [key for key in seeders if key != own]
        chosen = ([] if asked.event == "stopped" else [*county, *near, *others])[: asked.wanted]
        return bencode(
            {
                "interval": self._interval,
                "min interval": max(5, self._interval // 4),
                "complete": seeds + len(county),
                "incomplete": count - seeds,
                "peers": b"".join(key for key in chosen if len(key) == _IPV4),
                "peers6": b"".join(key for key in chosen if len(key) != _IPV4),
            }
        )

    def figures(self) -> dict[str, int]:
        """For the status page: packages announced, peers, and those of them that have all."""
        with self._lock:
            every = [peer for peers in self._torrents.values() for peer in peers.values()]
            return {
                "torrents": len(self._torrents),
                "peers": len(every),
                "seeds": sum(peer.seed for peer in every),
            }

    def _forget(self, peers: dict[bytes, _Peer], now: float) -> None:
        gone = []
        for key, peer in peers.items():
            if now - peer.seen <= 2 * self._interval:
                break
            gone.append(key)
        for key in gone:
            del peers[key]

    def _sweep(self, now: float) -> None:
        """Once an interval, forget silent peers of packages that nobody asks about any more."""
        if now - self._swept < self._interval:
            return
        self._swept = now
        for key, peers in list(self._torrents.items()):
            self._forget(peers, now)
            if not peers:
                del self._torrents[key]

    def _make_room(self, peers: dict[bytes, _Peer], own: bytes) -> None:
        """The stalest of a crowd goes, first of all of those at the same address."""
        same = [key for key in peers if key[:-2] == own[:-2]]
        if len(same) >= PEERS_PER_ADDRESS:
            del peers[same[0]]
        elif len(peers) >= PEERS_PER_TORRENT:
            del peers[next(iter(peers))]


def _near(one: bytes, other: bytes) -> bool:
    """Whether two packed peers share a /24 (IPv4) or a /64 (IPv6)."""
    shared = 3 if len(other) == _IPV4 else 8
    return len(one) == len(other) and one[:shared] == other[:shared]
