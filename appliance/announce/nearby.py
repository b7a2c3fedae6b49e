"""Which other boxes are near: heard by multicast DNS, or told by the county, which sees who comes from the
same public address. What is found goes to sync in a file (formats.md 10)."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from zeroconf import Error as ZeroconfError
from zeroconf import ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

from appliance.announce.mdns import SERVICE
from content_sync.adapters.neighbours import MOST, checked, write_neighbours
from content_sync.errors import LessonBoxError
from content_sync.formats.token import hidden
from content_sync.ports import Clock, Neighbour

_ASK_EVERY, _ASK_AGAIN, _WRITE_EVERY = 300.0, 60.0, 60.0
_MAX_ANSWER = 64 << 10
_RESOLVE_MS = 3000
_log = logging.getLogger("nearby")


class Http(Protocol):
    """What is needed of content_sync.adapters.http.HttpFetcher."""

    def get(self, url: str, cap: int) -> bytes:
        """See ports.Fetcher."""


class Listener(ServiceListener):
    """Remembers the boxes that announce themselves on the LAN."""

    def __init__(self, own: str, mine: Callable[[], Sequence[str]] = tuple) -> None:
        self._own, self._mine = own, mine
        self._lock = threading.Lock()
        self._found: dict[str, Neighbour] = {}  # by service name

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Called by zeroconf from its thread."""
        info = zc.get_service_info(type_, name, _RESOLVE_MS)
        one = None if info is None else _neighbour(info, self._own, self._mine())
        with self._lock:
            if one is None:
                self._found.pop(name, None)
            elif len(self._found) < MOST or name in self._found:
                self._found[name] = one

    update_service = add_service

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Called by zeroconf: it said goodbye, or has been silent too long."""
        with self._lock:
            self._found.pop(name, None)

    def found(self) -> list[Neighbour]:
        """Who is there now."""
        with self._lock:
            return list(self._found.values())


def _neighbour(info: ServiceInfo, own: str, mine: Sequence[str] = ()) -> Neighbour | None:
    """`mine`: this machine's addresses, which a host name that two boxes claimed for a moment may lead to."""
    properties = info.decoded_properties
    if properties.get("product") != "lessonbox":
        return None
    for address in info.parsed_addresses():
        if address in mine:
            continue
        host = f"[{address}]" if ":" in address else address
        if one := checked(properties.get("id"), f"http://{host}:{info.port}", own):
            return one
    return None


class Nearby:
    """Call `step` every few seconds. `token`: what the county's addresses carry, None: it is not asked."""

    def __init__(
        self,
        own: str,
        port: int,
        addresses: Callable[[], Sequence[str]],
        counties: Sequence[str],
        token: Callable[[], str | None],
        http: Http,
        clock: Clock,
        path: Path,
    ) -> None:
        self._own, self._port, self._addresses = own, port, addresses
        self._counties, self._token, self._http = counties, token, http
        self._clock, self._path = clock, path
        self._zeroconf: Zeroconf | None = None
        self._listener = Listener(own, addresses)
        self._heard_at: tuple[str, ...] = ()
        self._told: list[Neighbour] = []
        self._ask_at = self._write_at = 0.0
        self._written: list[Neighbour] | None = None

    def step(self) -> None:
        """Listen on the addresses there are now, ask the county when it is time, write what changed."""
        addresses = tuple(self._addresses())
        if addresses != self._heard_at:
            self._listen(addresses)
        now = self._clock.monotonic()
        if now >= self._ask_at:
            self._ask_at = now + (_ASK_EVERY if self._ask(addresses) else _ASK_AGAIN)
        by_box = {one.box: one for one in [*self._told, *self._listener.found()]}  # multicast knows better
        found = [by_box[box] for box in sorted(by_box)]
        if found == self._written and (not found or now < self._write_at):
            return
        try:
            write_neighbours(self._path, found, self._clock)
        except LessonBoxError as error:
            _log.warning("%s", error.line())
            return
        self._written, self._write_at = found, now + _WRITE_EVERY

    def _listen(self, addresses: tuple[str, ...]) -> None:
        self.close()
        self._listener = Listener(self._own, self._addresses)
        four = [address for address in addresses if "." in address]
        if addresses:
            try:
                self._zeroconf = Zeroconf(interfaces=four or list(addresses))
                ServiceBrowser(self._zeroconf, SERVICE, self._listener)
            except (OSError, ZeroconfError) as error:
                self.close()
                _log.warning("cannot listen for other boxes: %s", error)
                return  # tried again by the next step
        self._heard_at = addresses

    def _ask(self, addresses: tuple[str, ...]) -> bool:
        token = self._token()
        if token is None or not addresses:
            self._told = []
            return True
        urls = [f"http://[{a}]:{self._port}" if ":" in a else f"http://{a}:{self._port}" for a in addresses]
        query = urlencode([("url", url) for url in urls[:4]])
        for county in self._counties:
            try:
                data = self._http.get(f"{county}/neighbours/{token}?{query}", _MAX_ANSWER)
                listed = json.loads(data)["neighbours"][:MOST]
                found = [checked(entry.get("box"), entry.get("url"), self._own) for entry in listed]
            except LessonBoxError as error:
                _log.info("%s", hidden(error.what))
                continue
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                _log.info("the county's answer about neighbours: %s", error)
                continue
            self._told = [one for one in found if one is not None]
            return True
        return False

    def close(self) -> None:
        """Stop listening."""
        if self._zeroconf is not None:
            with suppress(OSError, ZeroconfError):
                self._zeroconf.close()
        self._zeroconf, self._heard_at = None, ()
