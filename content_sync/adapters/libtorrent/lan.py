"""Neighbours by HTTP (formats.md 8): which verified blocks of our packages they have, asked every two
seconds by a thread of its own. Hearsay all of it: each block is checked when it comes.

This is how boxes share where a firewall drops BitTorrent, and how single blocks are shared that don't make a
whole piece yet.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from content_sync.adapters.http import HttpFetcher
from content_sync.adapters.libtorrent.sources import BAN, REST
from content_sync.adapters.ranges import Answer
from content_sync.errors import FormatError, LessonBoxError, NotFoundError
from content_sync.formats.canonical import load
from content_sync.formats.hashtree import block_count
from content_sync.formats.torrent import Torrent
from content_sync.ports import Neighbours

_log = logging.getLogger(__name__)
_EVERY = 2.0
_MOST_ANSWER = 4 << 20
#: Neighbours that are asked, requests under way at each, and bytes of one request (a neighbour's limit).
_MOST, PER_NEIGHBOUR, MOST_BYTES = 16, 3, 1 << 20


class Held(Struct, frozen=True):
    """What one neighbour has of one package: per file one byte a block (1: verified there)."""

    name: str
    url: str
    files: tuple[bytes, ...]

    @property
    def fetches(self) -> bool:
        """Whether it has a part: then it is fetching the rest, as we are."""
        return any(1 in flags for flags in self.files) and any(0 in flags for flags in self.files)


class Lan:
    """`want` says which packages lack something; `held` what was heard last."""

    def __init__(self, neighbours: Neighbours, wake: Callable[[], None]) -> None:
        self._neighbours, self._wake = neighbours, wake
        self._lock = threading.Lock()
        self._wanted: dict[str, Torrent] = {}
        self._held: dict[str, dict[str, Held]] = {}
        self._until: dict[str, float] = {}  # until when a neighbour is not asked
        self._under_way: dict[str, int] = {}
        self._due, self._closed = threading.Event(), False
        self._thread: threading.Thread | None = None

    def want(self, packages: Mapping[str, Torrent]) -> None:
        """Ask about these packages from now on."""
        with self._lock:
            new = packages.keys() - self._wanted.keys()
            self._wanted = dict(packages)
            for infohash in self._held.keys() - packages.keys():
                del self._held[infohash]
        if packages and self._thread is None:
            self._thread = threading.Thread(target=self._work, name="neighbours", daemon=True)
            self._thread.start()
        if new:
            self._due.set()

    def held(self, infohash: str, now: float) -> list[Held]:
        """What neighbours have who are not resting."""
        with self._lock:
            found = list(self._held.get(infohash, {}).values())
            return [held for held in found if self._until.get(held.url, 0.0) <= now]

    def room(self, url: str) -> bool:
        """Whether a neighbour may be asked for one more range."""
        return self._under_way.get(url, 0) < PER_NEIGHBOUR

    def asked(self, url: str) -> None:
        """A request went out."""
        self._under_way[url] = self._under_way.get(url, 0) + 1

    def took(self, answer: Answer, now: float, others: bool) -> None:
        """A request ended. `others`: whether there is another source, so that this one may be banned."""
        url = answer.wanted.source
        self._under_way[url] = max(0, self._under_way.get(url, 0) - 1)
        rest = {
            "": 0.0,
            "cut": 0.0,
            "busy": 2.0,
            "gone": _EVERY,
            "lost": REST,
            "wrong": BAN if others else REST,
        }
        if answer.error in ("gone", "wrong"):
            with self._lock:  # its word was wrong: it is asked again what it has
                self._held.get(answer.wanted.owner, {}).pop(url, None)
        if answer.error:
            self._until[url] = max(self._until.get(url, 0.0), now + rest[answer.error])

    def _work(self) -> None:
        fetcher = HttpFetcher(timeout=5.0)
        while not self._closed:
            self._due.wait(_EVERY if self._wanted else None)
            self._due.clear()
            with self._lock:
                wanted = dict(self._wanted)
            if wanted:
                try:
                    self._look(fetcher, wanted)
                except Exception:  # the thread must live; what is heard is only a help
                    _log.exception("neighbours")
        fetcher.close()

    def _look(self, fetcher: HttpFetcher, wanted: Mapping[str, Torrent]) -> None:
        urls = {one.url: _address(one.url) for one in self._neighbours.near()[:_MOST]}
        for url, name in urls.items():
            for infohash, torrent in wanted.items():
                if self._closed or not name or self._until.get(url, 0.0) > time.monotonic():
                    break
                held = None
                try:
                    held = _parse(
                        fetcher.get(f"{url}/api/v1/have/{infohash}", _MOST_ANSWER), torrent, name, url
                    )
                except NotFoundError:
                    pass
                except LessonBoxError as error:
                    _log.info("%s", error.what)
                    self._until[url] = time.monotonic() + REST
                with self._lock:
                    if infohash in self._wanted and held is not None:
                        self._held.setdefault(infohash, {})[url] = held
                    else:
                        self._held.get(infohash, {}).pop(url, None)
        with self._lock:
            for heard in self._held.values():
                for url in heard.keys() - urls.keys():
                    del heard[url]
        self._wake()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._due.set()


def _address(url: str) -> str:
    """The private IPv4 address in a neighbour's URL, by which it is known; empty when it has none."""
    try:
        parts = urlsplit(url)
        host = ipaddress.IPv4Address(parts.hostname or "")
    except ValueError:
        return ""
    return str(host) if host.is_private and parts.scheme in ("http", "https") else ""


def address_towards(name: str) -> str:
    """This machine's own address on the way to `name`; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((name, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return ""


def _parse(data: bytes, torrent: Torrent, name: str, url: str) -> Held:
    """Raises FormatError."""
    listed = load(data, _MOST_ANSWER).get("files")
    if not isinstance(listed, list) or len(listed) != len(torrent.files):
        raise FormatError(f"{url} lists other files in {torrent.infohash}")
    files = []
    for entry, said in zip(torrent.files, listed, strict=True):
        count = block_count(entry.file.length)
        have = said.get("have") if isinstance(said, dict) and said.get("root") == entry.file.root else None
        if have == "all":
            files.append(b"\1" * count)
        elif have == "none":
            files.append(bytes(count))
        elif isinstance(have, str) and len(have) == (count + 7) // 8 * 2:
            files.append(_bits(have, count))
        else:
            raise FormatError(f"{url} does not say what it has of {torrent.infohash}")
    return Held(name, url, tuple(files))


def _bits(text: str, count: int) -> bytes:
    try:
        number = int(text, 16)
    except ValueError:
        raise FormatError("not hexadecimal") from None
    digits = f"{number:0{len(text) * 4}b}"[:count]
    return digits.encode().translate(bytes.maketrans(b"01", b"\0\1"))
