"""The PIN's page, and what stands before every page that changes something on the box."""

from __future__ import annotations

import hmac
import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Blueprint, abort, g, make_response, redirect, render_template, request, url_for
from msgspec import Struct
from werkzeug.wrappers import Response as Answer

from appliance.web.door import from_own_page, own_path
from content_sync.errors import PinError, UsageError

if TYPE_CHECKING:
    from appliance.web.pin import Pin

COOKIE = "pin"
#: Where the PIN page may lead: a path of this box, nothing that a browser could take for another host.
_OWN = re.compile(r"/(?:[a-z0-9][a-z0-9._-]*/?)*")
_SECRET = re.compile(r"[0-9a-f]{32}")
#: Characters of a form that is kept on the page while the PIN is asked for.
_MOST_HELD = 200_000


class Held(Struct, frozen=True):
    """A form that came too late: where it goes ("": it cannot wait), and its fields as a query."""

    to: str = ""
    query: str = ""

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Names and values."""
        return parse_qsl(self.query, keep_blank_values=True)


def own_page(must_say: bool = False) -> bool:
    """Whether a page of ours sent this form, or something that is no browser page. `must_say`: only the
    former; then a name that an Internet server could have given itself for this address is not believed."""
    if "Origin" not in request.headers and "Referer" not in request.headers:
        return not must_say
    return from_own_page() and (not must_say or _local(urlsplit(request.host_url).hostname or ""))


def _local(host: str) -> bool:
    """An address, a name without dots or one of mDNS."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(".local")
    return True


def _own_screen() -> bool:
    """Whether the box's own screen asks (its browser runs on this machine)."""
    try:
        return ipaddress.ip_address(request.environ.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _of_a_session() -> bool:
    """Whether a page of ours sent this form, with the secret of a session that may be over."""
    return (
        own_page(must_say=True)
        and request.blueprint != "guard"
        and _SECRET.fullmatch(request.form.get("secret", "")) is not None
    )


def _held() -> Held:
    """The request's form, without its secret. No file and no PIN waits on a page."""
    form = request.form
    query = urlencode([(name, value) for name, value in form.items(multi=True) if name != "secret"])
    if form.get("pin") or len(query) > _MOST_HELD or any(file.filename for file in request.files.values()):
        return Held()
    return Held(own_path(request.full_path.rstrip("?"), ""), query)


class Guard:
    """Asks for the PIN. `home`: the endpoint that the PIN's page leads to when nothing else was asked for."""

    def __init__(self, pin: Pin | None, home: str = "school.home") -> None:
        self._pin, self._home = pin, home

    def secret(self) -> str | None:
        """What forms of this browser's session must carry; None: the PIN was not entered."""
        token = request.cookies.get(COOKIE, "")
        return self._pin.secret(token) if self._pin is not None and token else None

    def require(self) -> str:
        """The session's secret. Ends the request with the PIN's page where there is none, and with 403 where
        a form does not carry it as its field `secret`; a form of ours from a session that is over is offered
        to be sent again."""
        secret = self.secret()
        g.unlocked = self.minutes()
        if request.method == "POST":
            if secret is not None and hmac.compare_digest(
                request.form.get("secret", "").encode(), secret.encode()
            ):
                return secret
            if _of_a_session():
                held = _held()
                abort(self._again(secret, held) if secret else self._ask("over", 403, held))
            if secret is not None:
                abort(403)
        if secret is None:
            abort(redirect(url_for("guard.pin", next=request.path if request.method == "GET" else None)))
        return secret

    def minutes(self) -> int:
        """Minutes after which this browser's session ends by itself; 0: it is locked."""
        token = request.cookies.get(COOKIE, "")
        return -(-self._pin.left(token) // 60) if self._pin is not None and token else 0

    def _following(self) -> str:
        following = request.values.get("next", "")
        return following if _OWN.fullmatch(following) else url_for(self._home)

    def _pin_page(self) -> Answer:
        pin, said, status, held = self._pin, "", 200, Held()
        if request.method == "POST" and pin is not None:
            if own_page(must_say=True) and len(request.form.get("held", "")) <= _MOST_HELD:
                held = Held(own_path(request.form.get("to", ""), ""), request.form.get("held", ""))
            try:
                token = pin.enter(request.form.get("pin", ""))
            except PinError as error:
                said, status = "wrong" if error.what.startswith("wrong") else "early", 403
            else:
                secret = pin.secret(token)
                again = self._again(secret, held, 200) if secret and held.to else None
                return self._opened(token, again or redirect(self._following(), 303))
        return self._ask(said, status, held)

    @staticmethod
    def _again(secret: str, held: Held, status: int = 403) -> Answer:
        """The form once more, for another tap."""
        return make_response(render_template("pin_again.html", secret=secret, late=held), status)

    def _first(self) -> Answer:
        """Set the first PIN, by whom could as well have pulled the plug."""
        pin = self._pin
        if pin is None or not own_page(must_say=True) or not (_own_screen() or pin.first_for()):
            return self._ask("late", 403)
        new = request.form.get("pin", "")
        if new != request.form.get("again", ""):
            return self._ask("differ", 400)
        try:
            pin.set_first(new)
            return self._opened(pin.enter(new), redirect(self._following(), 303))
        except PinError:
            return self._ask("late", 403)
        except UsageError:
            return self._ask("easy", 400)

    def _ask(self, said: str, status: int, held: Held | None = None) -> Answer:
        pin = self._pin
        return make_response(
            render_template(
                "pin.html",
                is_set=pin is not None and pin.is_set,
                first=pin is not None and bool(_own_screen() or pin.first_for()),
                said=said,
                wait=pin.waits() if pin is not None and pin.is_set else 0,
                next=self._following(),
                late=held or Held(),
            ),
            status,
        )

    @staticmethod
    def _opened(token: str, answer: Answer) -> Answer:
        answer.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
        return answer

    def _change(self) -> Answer:
        """Another PIN, by somebody who knows the one that holds."""
        secret, pin = self.require(), self._pin
        said, status = "", 200
        if request.method == "POST" and pin is not None:
            new = request.form.get("new", "")
            try:
                if new != request.form.get("again", ""):
                    raise UsageError("differ")
                token = pin.change(request.form.get("pin", ""), new)
                return self._opened(token, redirect(url_for(self._home), 303))
            except PinError as error:
                said, status = "wrong" if error.what.startswith("wrong") else "early", 403
            except UsageError as error:
                said, status = "differ" if error.what == "differ" else "easy", 400
        wait = pin.waits() if pin is not None else 0
        return make_response(render_template("pin_change.html", secret=secret, said=said, wait=wait), status)

    def _leave(self) -> Answer:
        self.require()
        if self._pin is not None:
            self._pin.leave(request.cookies.get(COOKIE, ""))
        answer: Answer = redirect(url_for("pages.home"), 303)
        answer.delete_cookie(COOKIE)
        return answer

    def blueprint(self) -> Blueprint:
        """The routes `/pin…`."""
        routes = Blueprint("guard", __name__)
        routes.add_url_rule("/pin", "pin", self._pin_page, methods=["GET", "POST"])
        routes.add_url_rule("/pin/first", "first", self._first, methods=["POST"])
        routes.add_url_rule("/pin/change", "change", self._change, methods=["GET", "POST"])
        routes.add_url_rule("/pin/leave", "leave", self._leave, methods=["POST"])
        return routes
