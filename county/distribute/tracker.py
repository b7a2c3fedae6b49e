"""The HTTP tracker: which boxes have or want a package (BEP 3, compact answers of BEP 23, IPv6 of BEP 7).

All in memory: after a restart it is whole again within one announce interval.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from content_sync.formats.enrolment import is_private
from content_sync.formats.torrent import bencode
from county.distribute.visitors import Address, parse_address

MAX_PEERS = 50
PEERS_PER_TORRENT = 2_000
PEERS_PER_ADDRESS = 64
#: In all: of one public address (a whole school), and of everybody. Some 400 bytes each.
MOST_OF_ADDRESS, MOST_PEERS = 5_000, 100_000
#: libtorrent, in boxes and in qBittorrent, never announces again before five minutes have passed, whatever
#: the interval it is told.
KEEP_LEAST = 660
_HASH = 20
_IPV4 = 6
_EVENTS = ("", "started", "stopped", "completed", "paused")


class AnnounceError(Exception):
    """Why an announce is refused, in words for the client (`failure reason`)."""


class Announce(Struct, frozen=True):
    """A checked announce. `left` counts padding; `wanted` is how many peers to name; `lan`: the private
    address that the peer states, if it does."""

    info_hash: bytes
    peer_id: bytes
    port: int
    left: int
    event: str
    wanted: int
    lan: Address | None = None


class _Peer(Struct):
    peer_id: bytes
    seed: bool
    seen: float
    lan: bytes | None


class Told(Struct, frozen=True):
    """The answer to an announce, and what the county's own seeder may want to know: how many at the asker's
    public address lack something (the asker included), and how many of all peers have everything."""

    body: bytes
    near: int
    seeds: int


def parse_announce(query: str) -> Announce:
    """Read the raw query string, whose `info_hash` and `peer_id` are any bytes. Raises AnnounceError.

    An `ip` that the client states counts only when it is private: another could send the boxes anywhere.
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
        values["info_hash"],
        values["peer_id"],
        port,
        left,
        event,
        MAX_PEERS if wanted < 0 else wanted,
        _private(values.get("ip", b"")),
    )


def _private(text: bytes) -> Address | None:
    try:
        address = parse_address(text.decode("ascii"))
    except ValueError:
        return None
    return address if is_private(address) else None


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

    `interval`: seconds between announces; who is silent for two of them, and eleven minutes, is forgotten.
    """

    def __init__(self, interval: int, known: Callable[[bytes], bool]) -> None:
        self._interval = interval
        self._keep = max(2 * interval, KEEP_LEAST)
        self._known = known
        self._lock = threading.Lock()
        # Both with the longest silent first: packages, and in each its peers by their compact form.
        self._torrents: dict[bytes, dict[bytes, _Peer]] = {}
        self._of_address: dict[bytes, int] = {}
        self._count = 0
        self._swept = 0.0

    def announce(self, asked: Announce, address: Address, seeders: Iterable[bytes], now: float) -> Told:
        """The bencoded answer to a peer at `address`. `seeders`: the county's own, packed; all are
        told of them first.

        `now` is monotonic seconds. Raises AnnounceError for what the county does not have.
        """
        if not self._known(asked.info_hash):
            raise AnnounceError("this county has no such package")
        own = pack(address, asked.port)
        with self._lock:
            self._sweep(now)
            peers = self._torrents.pop(asked.info_hash, {})
            self._torrents[asked.info_hash] = peers
            self._forget(peers, now)
            self._drop(peers, own)
            if asked.event != "stopped":
                self._make_room(peers, own)
                lan = None if asked.lan is None else pack(asked.lan, asked.port)
                self._put(peers, own, _Peer(asked.peer_id, asked.left == 0, now, lan))
            # The latest seen first: they are the likeliest to be there.
            others = [
                (key, peer)
                for key, peer in reversed(peers.items())
                if key != own and peer.peer_id != asked.peer_id
            ]
            seeds = sum(peer.seed for peer in peers.values())
            # By their ids: a client with several sockets announces once from each.
            near = len({p.peer_id for key, p in peers.items() if key[:-2] == own[:-2] and not p.seed})
            count = len(peers)
            if not peers:
                del self._torrents[asked.info_hash]
        others.sort(key=lambda other: _distance(other[0], own))
        named = [peer.lan if peer.lan and key[:-2] == own[:-2] else key for key, peer in others]
        county = [key for key in seeders if key != own]
        chosen = ([] if asked.event == "stopped" else [*county, *named])[: asked.wanted]
        body = bencode(
            {
                "interval": self._interval,
                "min interval": max(5, self._interval // 4),
                "complete": seeds + len(county),
                "incomplete": count - seeds,
                "peers": b"".join(key for key in chosen if len(key) == _IPV4),
                "peers6": b"".join(key for key in chosen if len(key) != _IPV4),
            }
        )
        return Told(body, near, seeds)

    def figures(self) -> dict[str, int]:
        """For the status page: packages announced, peers, and those of them that have all."""
        with self._lock:
            every = [peer for peers in self._torrents.values() for peer in peers.values()]
            return {
                "torrents": len(self._torrents),
                "peers": len(every),
                "seeds": sum(peer.seed for peer in every),
            }

    def _put(self, peers: dict[bytes, _Peer], key: bytes, peer: _Peer) -> None:
        peers[key] = peer
        self._of_address[key[:-2]] = self._of_address.get(key[:-2], 0) + 1
        self._count += 1

    def _drop(self, peers: dict[bytes, _Peer], key: bytes) -> None:
        if peers.pop(key, None) is None:
            return
        self._count -= 1
        self._of_address[key[:-2]] -= 1
        if not self._of_address[key[:-2]]:
            del self._of_address[key[:-2]]

    def _forget(self, peers: dict[bytes, _Peer], now: float) -> None:
        gone = []
        for key, peer in peers.items():
            if now - peer.seen <= self._keep:
                break
            gone.append(key)
        for key in gone:
            self._drop(peers, key)

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
        """The stalest of a crowd goes, first of all of those at the same address. Raises AnnounceError when
        one address has too many packages: who is there already stays."""
        same = [key for key in peers if key[:-2] == own[:-2]]
        if len(same) >= PEERS_PER_ADDRESS:
            self._drop(peers, same[0])
        elif len(peers) >= PEERS_PER_TORRENT:
            self._drop(peers, next(iter(peers)))
        if self._of_address.get(own[:-2], 0) >= MOST_OF_ADDRESS:
            raise AnnounceError("too many packages are announced from this address")
        while self._count >= MOST_PEERS:
            stalest = next(key for key, held in self._torrents.items() if held)
            crowd = self._torrents[stalest]
            self._drop(crowd, next(iter(crowd)))
            if not crowd and crowd is not peers:
                del self._torrents[stalest]


def _distance(one: bytes, other: bytes) -> int:
    """0: the same public address (one school's line), 1: the same /24 (IPv4) or /64 (IPv6), 2: elsewhere."""
    if one[:-2] == other[:-2]:
        return 0
    shared = 3 if len(other) == _IPV4 else 8
    return 1 if len(one) == len(other) and one[:shared] == other[:shared] else 2
