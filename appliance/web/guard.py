"""The PIN's page, and what stands before every page that changes something on the box."""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING

from flask import Blueprint, abort, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from content_sync.errors import PinError

if TYPE_CHECKING:
    from appliance.web.pin import Pin

COOKIE = "pin"
#: Where the PIN page may lead: a path of this box, nothing that a browser could take for another host.
_OWN = re.compile(r"/(?:[a-z0-9][a-z0-9._-]*/?)*")


class Guard:
    """Asks for the PIN. `home`: the endpoint that the PIN's page leads to when nothing else was asked for."""

    def __init__(self, pin: Pin | None, home: str = "received.manage") -> None:
        self._pin, self._home = pin, home

    def secret(self) -> str | None:
        """What forms of this browser's session must carry; None: the PIN was not entered."""
        token = request.cookies.get(COOKIE, "")
        return self._pin.secret(token) if self._pin is not None and token else None

    def require(self) -> str:
        """The session's secret. Ends the request with the PIN's page where there is none, and with 403 where
        a form does not carry it as its field `secret`."""
        secret = self.secret()
        if secret is None:
            abort(redirect(url_for("guard.pin", next=request.path if request.method == "GET" else None)))
        if request.method == "POST" and not hmac.compare_digest(
            request.form.get("secret", "").encode(), secret.encode()
        ):
            abort(403)
        return secret

    def _pin_page(self) -> Answer:
        pin = self._pin
        said, status = "", 200
        following = request.values.get("next", "")
        if not _OWN.fullmatch(following):
            following = url_for(self._home)
        if request.method == "POST" and pin is not None:
            try:
                token = pin.enter(request.form.get("pin", ""))
            except PinError as error:
                said, status = error.what, 403
            else:
                answer: Answer = redirect(following, 303)
                answer.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
                return answer
        wait = said.rpartition(" in ")[2].removesuffix(" s")
        return make_response(
            render_template(
                "pin.html",
                is_set=pin is not None and pin.is_set,
                wrong=said.startswith("wrong"),
                wait=int(wait) if wait.isdigit() else 0,
                next=following,
            ),
            status,
        )

    def _leave(self) -> Answer:
        self.require()
        if self._pin is not None:
            self._pin.leave(request.cookies.get(COOKIE, ""))
        answer: Answer = redirect(url_for("pages.home"), 303)
        answer.delete_cookie(COOKIE)
        return answer

    def blueprint(self) -> Blueprint:
        """The routes `/pin` and `/pin/leave`."""
        routes = Blueprint("guard", __name__)
        routes.add_url_rule("/pin", "pin", self._pin_page, methods=["GET", "POST"])
        routes.add_url_rule("/pin/leave", "leave", self._leave, methods=["POST"])
        return routes
