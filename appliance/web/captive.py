"""The page that a telephone shows by itself when it joins the box's own Wi-Fi (formats.md 19, decision 0040).

There every name leads to the box. A request for somebody else's is answered with a way to /captive, always to
the same address and with nothing of the request in it: no cookie is set, no page is shown under a stranger's
name. A telephone's test of the network is told the truth, that this is not the Internet, so that it goes on
using its own data for that; only who says on the page that no other use is wanted is told otherwise.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.network.hotspot import ADDRESS
from appliance.web.views import Views

if TYPE_CHECKING:
    from appliance.web.app import Board

Environ = Mapping[str, Any]
_MOST, _HOURS = 500, 2 * 3600.0
_PORT = re.compile(r":\d{1,5}$")
_HTML = "text/html; charset=utf-8"
_APPLE = b"<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>"
#: What each maker's test expects of the Internet, by the path that it asks for: status, type, body.
_EXPECTED = {
    # Android, MIUI, EMUI, ColorOS, vivo: names differ, the path does not
    "/generate_204": (204, "", b""),
    "/gen_204": (204, "", b""),
    "/generate204": (204, "", b""),
    # Apple
    "/hotspot-detect.html": (200, _HTML, _APPLE),
    "/library/test/success.html": (200, _HTML, _APPLE),
    # Windows 10 and 11; Windows 7 and 8
    "/connecttest.txt": (200, "text/plain", b"Microsoft Connect Test"),
    "/ncsi.txt": (200, "text/plain", b"Microsoft NCSI"),
    # Firefox
    "/success.txt": (200, "text/plain", b"success\n"),
}  # fmt: skip


def local_address(environ: Environ) -> str:
    """The address of ours that a request came to; empty where the server does not say."""
    one = environ.get("gunicorn.socket")
    try:
        return str(one.getsockname()[0]).removeprefix("::ffff:") if one is not None else ""
    except OSError:
        return ""


class Captive:
    """`host_name`: the box's; who is settled is forgotten after two hours."""

    def __init__(self, host_name: str, monotonic: Callable[[], float]) -> None:
        own = re.escape(host_name.lower())
        self._own = re.compile(
            rf"(?:{re.escape(ADDRESS)}|(?:{own}|lesson)(?:-\d{{1,2}})?(?:\.local|\.lan)?)\.?"
        )
        self._monotonic, self._lock = monotonic, threading.Lock()
        self._settled: OrderedDict[str, float] = OrderedDict()

    def settle(self, who: str, settled: bool) -> None:
        """Remember that this telephone shall take the Wi-Fi for the Internet, or no longer."""
        with self._lock:
            self._settled.pop(who, None)
            if settled:
                self._settled[who] = self._monotonic() + _HOURS
            while len(self._settled) > _MOST:
                self._settled.popitem(last=False)

    def is_settled(self, who: str) -> bool:
        """Whether somebody said so."""
        with self._lock:
            return self._settled.get(who, 0.0) > self._monotonic()

    def takes(self, environ: Environ) -> bool:
        """Whether a request came by the own Wi-Fi and means another host than the box."""
        if local_address(environ) != ADDRESS:
            return False
        return not self._own.fullmatch(_PORT.sub("", str(environ.get("HTTP_HOST", ""))).lower())

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        """Its answer."""
        more: list[tuple[str, str]]
        method, known = environ.get("REQUEST_METHOD"), _EXPECTED.get(str(environ.get("PATH_INFO", "")))
        if method not in ("GET", "HEAD"):
            status, kind, body, more = 403, "text/plain", b"not this host\n", []
        elif known is not None and self.is_settled(str(environ.get("REMOTE_ADDR", ""))):
            (status, kind, body), more = known, []
        else:
            port = str(environ.get("SERVER_PORT", "80"))
            where = f"http://{ADDRESS}{'' if port == '80' else ':' + port}/captive"
            status, kind, more = 302, _HTML, [("Location", where)]
            body = f'<a href="{where}">{where}</a>\n'.encode()
        headers = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), *more]
        headers += [] if status == 204 else [("Content-Type", kind), ("Content-Length", str(len(body)))]
        start(f"{status} {_PHRASES[status]}", headers)
        return [b"" if method == "HEAD" else body]


_PHRASES = {200: "OK", 204: "No Content", 302: "Found", 403: "Forbidden"}


class CaptivePages(Views):
    """What such a telephone is shown."""

    def __init__(self, board: Board, captive: Captive) -> None:
        super().__init__(board)
        self._captive = captive

    def page(self) -> str:
        """Where one is, and the two ways on."""
        self._only_here()
        return render_template(
            "captive.html",
            school=self.reader.meta("school_name") or "",
            settled=self._captive.is_settled(request.remote_addr or ""),
            address=ADDRESS,
        )

    def choose(self) -> Answer:
        """Lessons and nothing else, or the telephone's own data too."""
        self._only_here()
        alone = request.form.get("use") == "lessons"
        self._captive.settle(request.remote_addr or "", alone)
        return redirect(url_for("pages.home" if alone else "captive.page"), 303)

    def api(self) -> Response:
        """RFC 8908, for who asks; no telephone is sent here, since it would want TLS (decision 0040)."""
        self._only_here()
        captive = not self._captive.is_settled(request.remote_addr or "")
        answer = jsonify({"captive": captive, "user-portal-url": url_for("captive.page", _external=True)})
        answer.content_type = "application/captive+json"
        return answer

    def _only_here(self) -> None:
        if local_address(request.environ) != ADDRESS:
            abort(404)


def blueprint(board: Board, captive: Captive) -> Blueprint:
    """The routes `/captive…`, there for who came by the own Wi-Fi."""
    routes, pages = Blueprint("captive", __name__), CaptivePages(board, captive)
    routes.add_url_rule("/captive", "page", pages.page)
    routes.add_url_rule("/captive", "choose", pages.choose, methods=["POST"])
    routes.add_url_rule("/captive/api", "api", pages.api)
    return routes
