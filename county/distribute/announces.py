"""`GET /announce`: the tracker's wire, and where boxes reach the county's own seeder."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from content_sync.settings import Settings
from county.distribute.tracker import Address, AnnounceError, failure, pack, parse_address, parse_announce
from county.services import Services

_REFRESH_SECONDS = 300


def _resolve(name: str) -> list[Address]:
    """The addresses of a host; none when it can't be resolved now."""
    try:
        return list(
            dict.fromkeys(parse_address(str(found[4][0])) for found in socket.getaddrinfo(name, None))
        )
    except (OSError, ValueError, UnicodeError):
        return []


class SeederAddress:
    """The seeder as boxes reach it: the setting, else the host of the county's first address."""

    def __init__(self, settings: Settings, resolve: Callable[[str], list[Address]] = _resolve) -> None:
        urls = settings.texts("urls")
        self._name = settings.text("seeder_address") or (urlsplit(urls[0]).hostname or "" if urls else "")
        self._port = settings.number("seeder_port")
        self._resolve = resolve
        self._busy = threading.Lock()
        self._known: list[Address] = []
        self._due = 0.0

    def current(self, now: float) -> list[bytes]:
        """The packed peers, resolved anew every five minutes; while that fails the last ones stay. `now`:
        monotonic.
        """
        if self._name and now >= self._due and self._busy.acquire(blocking=not self._known):
            try:
                if now >= self._due:
                    self._known = self._resolve(self._name) or self._known
                    self._due = now + (_REFRESH_SECONDS if self._known else 5)
            finally:
                self._busy.release()
        return [pack(address, self._port) for address in self._known]


def blueprint(services: Services) -> Blueprint:
    """The route of the tracker."""
    routes = Blueprint("announces", __name__)
    seeder = SeederAddress(services.settings)

    @routes.get("/announce")
    def announce() -> Response:
        now = services.clock.monotonic()
        try:
            address = parse_address(request.remote_addr or "")
            asked = parse_announce(request.environ.get("QUERY_STRING", ""))
            body = services.tracker.announce(asked, address, seeder.current(now), now)
        except AnnounceError as error:
            body = failure(str(error))
        except ValueError:
            body = failure("the address is not one of the Internet")
        return Response(body, content_type="text/plain", headers={"Cache-Control": "no-store"})

    return routes
