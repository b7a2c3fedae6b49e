"""`GET /announce[/<token>]`: the tracker's wire, where boxes reach the county's own seeder, and
`GET /neighbours/<token>`: where boxes behind one public address reach each other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, request

from content_sync.errors import TokenError
from content_sync.settings import Settings
from county.distribute.asking import ask
from county.distribute.neighbours import Neighbourhood
from county.distribute.tracker import AnnounceError, failure, pack, parse_announce
from county.distribute.visitors import Address, parse_address
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
    """The routes."""
    routes = Blueprint("announces", __name__)
    seeder = SeederAddress(services.settings)
    neighbourhood = Neighbourhood()
    no_store = {"Cache-Control": "no-store"}

    def announce(token: str | None) -> Response:
        now = services.clock.monotonic()
        visitor = services.visitors.admit(request.environ, token, now)
        try:
            asked = parse_announce(request.environ.get("QUERY_STRING", ""))
            told = services.tracker.announce(asked, visitor.address, seeder.current(now), now)
            body = told.body
            if asked.left and asked.event != "stopped":  # before the answer: the peer connects right after it
                ask(services.paths.work, asked.info_hash, told.near, told.seeds)
        except AnnounceError as error:
            body = failure(str(error))
        return Response(body, content_type="text/plain", headers=no_store)

    @routes.get("/announce")
    def open_announce() -> Response:
        return announce(None)

    @routes.get("/announce/<token>")
    def announce_by(token: str) -> Response:
        return announce(token)

    @routes.get("/neighbours/<token>")
    def neighbours(token: str) -> Response:
        now = services.clock.monotonic()
        visitor = services.visitors.admit(request.environ, token, now)
        if visitor.holder is None or not visitor.holder.startswith("b-"):
            raise TokenError("only boxes have neighbours")
        near = neighbourhood.tell(visitor.holder, visitor.address, request.args.getlist("url"), now)
        answer: Response = jsonify(neighbours=[{"box": box, "url": url} for box, url in near])
        answer.headers.update(no_store)
        return answer

    return routes
