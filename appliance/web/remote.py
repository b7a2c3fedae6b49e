"""The phone as remote: the board shows a code, a phone that scans it chooses lessons and turns pages.

What a phone asks is fetched by the page that the board shows (static/remote.js) and done with that page's own
buttons and links. Why polls, and what this is worth over plain HTTP: decision 0028, docs/threats.md.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import (
    Blueprint,
    Response,
    abort,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from markupsafe import Markup
from werkzeug.wrappers import Response as Answer

from appliance.school.rooms import Place, place_of
from appliance.web import shelves
from appliance.web.door import Door, own_path
from appliance.web.pairing import DEEDS, Pairing, Phone
from appliance.web.search.index import Near
from appliance.web.today import day_of
from appliance.web.views import HEX16, Views
from content_sync.errors import LessonBoxError
from content_sync.ports import CollectionRow, LessonRow

if TYPE_CHECKING:
    from appliance.web.app import Board

log = logging.getLogger(__name__)
COOKIE = "remote"
#: A board's page waits so long for a word, then asks again.
_WAIT = 5.0
_LONGEST = 120
_SHOWN = 20
_PORT = re.compile(r":(\d{1,5})$")
_CODE = re.compile(r"[0-9a-f]{20}")


def lan_address(environ: Mapping[str, Any]) -> str:
    """`http://…` of this box as a phone on its LAN reaches it: by number, since phones seldom know `.local`.
    It is the address that the board itself used; empty when the box has none."""
    host = str(environ.get("HTTP_HOST", ""))
    port = _PORT.search(host)
    tail = "" if port is None or port[1] == "80" else f":{port[1]}"
    listening = str(environ.get("SERVER_NAME", ""))
    if not _is_number(listening) or ipaddress.ip_address(listening).is_unspecified:
        named = host[: port.start()] if port else host
        listening = named.strip("[]")
        if not _is_number(listening) or ipaddress.ip_address(listening).is_loopback:
            listening = _towards(str(environ.get("REMOTE_ADDR", "")))
    if not listening:
        return ""
    return f"http://[{listening}]{tail}" if ":" in listening else f"http://{listening}{tail}"


def _is_number(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _towards(client: str) -> str:
    """Our own address on the way to a client; for the box's own screen, the one that others reach."""
    if _is_number(client) and not ipaddress.ip_address(client).is_loopback:
        family = socket.AF_INET6 if ":" in client else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:  # connecting it sends nothing
                probe.connect((client, 9))
                return str(probe.getsockname()[0]).partition("%")[0]
        except OSError as error:
            log.info("no way to %s: %s", client, error)
    import psutil  # here and below: no other page needs it

    up = [name for name, told in psutil.net_if_stats().items() if told.isup]
    addresses = psutil.net_if_addrs()
    for found in (one for name in up for one in addresses.get(name, ())):
        if found.family == socket.AF_INET and not found.address.startswith("127."):
            return str(found.address)
    return ""


def qr(text: str) -> Markup:
    """The code as SVG: four quiet modules around it, no style, so that any page may hold it."""
    import segno

    made = segno.make(text, error="m", micro=False)
    return Markup(made.svg_inline(omitsize=True, border=4, light="#fff", svgclass="qr", lineclass=None))


def _told() -> dict[str, Any]:
    """The body. Ends the request with 400 when it is no JSON object."""
    try:
        told = request.get_json(silent=True)
    except RecursionError:  # nested absurdly deep
        told = None
    if not isinstance(told, dict):
        abort(400)
    return told


class Remote(Views):
    """Pages and wires of board and phone."""

    def __init__(self, board: Board, pairing: Pairing) -> None:
        super().__init__(board)
        self.pairing = pairing
        self._codes = Door(20, 60, board.clock.monotonic)
        self._deeds = Door(60, 10, board.clock.monotonic)

    # the board's side

    def page(self) -> str:
        """The code, on the board."""
        address = lan_address(request.environ)
        where = f"{address}{url_for('remote.pair', code=self.pairing.code(g.board))}" if address else ""
        return render_template(
            "remote.html",
            code=qr(where) if where else "",
            where=where,
            address=address,
            phones=self.pairing.count(g.board),
            back=own_path(request.args.get("back", "")),
        )

    def end(self) -> Answer:
        """The board takes the remote back from all phones."""
        self.pairing.end(g.board)
        return redirect(url_for("remote.page", back=own_path(request.form.get("back", ""))), 303)

    def hear(self) -> Response:
        """What is asked of the board that says how it stands."""
        told = _told()
        phones = told.get("phones")
        phones = phones if type(phones) is int and 0 <= phones <= 100 else 0
        seconds = _WAIT if told.get("wait") is True else 0.0
        asked, waited = self.pairing.hear(g.board, _state(told.get("state")), seconds, phones)
        return jsonify({"asked": asked, "waited": waited, "phones": self.pairing.count(g.board)})

    def tell(self) -> Response:
        """How the board stands, between two asks."""
        self.pairing.tell(g.board, _state(_told().get("state")))
        return Response(status=204)

    # the phone's side

    def pair(self, code: str) -> Answer:
        """A phone scanned the code."""
        self._codes.require()
        phone = self.pairing.pair(code) if _CODE.fullmatch(code) else None
        if phone is None:
            if self._phone() is not None:  # the same phone once more
                return redirect(url_for("remote.phone"), 303)
            return make_response(render_template("phone_none.html"), 403)
        answer: Answer = redirect(url_for("remote.phone"), 303)
        answer.set_cookie(COOKIE, phone.token, httponly=True, samesite="Lax")
        return answer

    def _phone(self) -> Phone | None:
        token = request.cookies.get(COOKIE, "")
        return self.pairing.phone(token) if token else None

    def _place(self, phone: Phone) -> Place:
        try:
            return place_of(self.board.school, phone.board) if self.board.school is not None else Place()
        except LessonBoxError as error:
            log.error("school.db: %s", error)
            return Place()

    def phone(self) -> Answer:
        """The remote itself."""
        phone = self._phone()
        if phone is None:
            return make_response(render_template("phone_none.html"), 403)
        collections = self.collections()
        query = request.args.get("q", "").strip()[:64]
        volume, lesson = request.args.get("volume", ""), request.args.get("lesson", "")
        place = self._place(phone)
        rows: list[tuple[CollectionRow, LessonRow]] = []
        found = self.reader.present_lesson(lesson) if lesson else None
        if query:
            rows = self._find(query, place)
        elif volume in collections:
            rows = [(collections[volume], row) for row in self.reader.lessons(volume)]
        elif found is None:
            rows = self._today(place)
        return make_response(
            render_template(
                "phone.html",
                secret=phone.secret,
                place=place,
                query=query,
                rows=rows,
                this=collections.get(volume),
                lesson=found,
                of_lesson=collections.get(found.collection) if found else None,
                volumes=shelves.in_order(c for c in collections.values() if c.lessons),
                state=self.pairing.state(phone.board),
                listens=self.pairing.listens(phone.board),
                sent=request.args.get("sent", ""),
                here=request.full_path.rstrip("?"),
            )
        )

    def _find(self, query: str, place: Place) -> list[tuple[CollectionRow, LessonRow]]:
        room = place.room
        near = Near(room.grades, (), tuple(room.editions.items())) if room else Near()
        try:
            ids = self.board.index.find(query, limit=_SHOWN, room=near).ids
        except LessonBoxError as error:
            log.error("search: %s", error)
            return []
        return [(collection, row) for collection, row, _ in self.hits(ids)["hits"]]

    def _today(self, place: Place) -> list[tuple[CollectionRow, LessonRow]]:
        """What the room could teach now, then what comes next."""
        covers, places = day_of(self.board, place.room).covers, self.reader.places()
        rows = [cover.row for cover in covers] + [later.row for cover in covers for later in cover.after]
        known = {row.id: row for row in rows if row is not None and row.collection in places}
        return [(places[row.collection], row) for row in known.values()]

    def _own_phone(self) -> Phone:
        """The phone whose form this is. Ends the request with 403."""
        phone = self._phone()
        told = request.form.get("secret", "").encode()
        if phone is None or not hmac.compare_digest(told, phone.secret.encode()):
            abort(403)
        return phone

    def do(self) -> Answer:
        """A phone asks something of its board."""
        phone = self._own_phone()
        if not self._deeds.admits(phone.token):
            abort(429)
        deed = request.form.get("do", "")
        lesson, resource = request.form.get("lesson", ""), request.form.get("resource", "")
        if deed == "open":
            found = self.reader.present_lesson(lesson)
            if found is None or (resource and all(r.id != resource for r in found.resources)):
                abort(404)
            path = url_for("pages.lesson", lesson=lesson)
            if resource:
                path = url_for("pages.resource", lesson=lesson, resource=resource)
            self.pairing.ask(phone.board, deed, path)
        elif deed in DEEDS:
            self.pairing.ask(phone.board, deed)
        else:
            abort(400)
        if request.headers.get("X-Requested-With") == "remote":
            return Response(status=204)
        back = own_path(request.form.get("here", ""), url_for("remote.phone"))
        return redirect(back, 303)

    def state(self) -> Response:
        """How the board stands, for the phone's script."""
        phone = self._phone()
        if phone is None:
            abort(403)
        listens, state = self.pairing.listens(phone.board), self.pairing.state(phone.board)
        return jsonify({"listens": listens, "state": state})

    def leave(self) -> Answer:
        """A phone puts the remote away."""
        self.pairing.leave(self._own_phone())
        answer = make_response(render_template("phone_none.html", left=True))
        answer.delete_cookie(COOKIE)
        return answer


def _state(told: object) -> dict[str, Any]:
    """What a board may say about itself: short words and whole numbers."""
    known = told if isinstance(told, dict) else {}
    made: dict[str, Any] = {}
    for name in ("title", "what"):
        if isinstance(known.get(name), str):
            made[name] = known[name][:_LONGEST]
    for name in ("at", "of"):
        if type(known.get(name)) is int and 0 <= known[name] < 1 << 31:
            made[name] = known[name]
    for name in ("media", "playing", "pages", "tap", "tv"):
        made[name] = known.get(name) is True
    return made


def clock(seconds: object) -> str:
    """`7:42`."""
    whole = seconds if isinstance(seconds, int) else 0
    return f"{whole // 60}:{whole % 60:02d}"


def blueprint(board: Board) -> Blueprint:
    """The routes, and `remote_phones()` for base.html: how many phones hold the remote of the board that
    asks."""
    pairing = Pairing(board.clock.monotonic, board.waiters)
    routes, remote = Blueprint("remote", __name__), Remote(board, pairing)
    rules: tuple[tuple[str, str, Any, str], ...] = (
        ("/remote", "page", remote.page, "GET"),
        ("/remote/end", "end", remote.end, "POST"),
        ("/api/v1/remote", "hear", remote.hear, "POST"),
        ("/api/v1/remote/state", "tell", remote.tell, "POST"),
        ("/r/<code>", "pair", remote.pair, "GET"),
        ("/phone", "phone", remote.phone, "GET"),
        ("/phone/do", "do", remote.do, "POST"),
        ("/phone/state", "state", remote.state, "GET"),
        ("/phone/leave", "leave", remote.leave, "POST"),
    )
    for rule, name, view, method in rules:
        routes.add_url_rule(rule, name, view, methods=[method])

    def remote_phones() -> int:
        return pairing.count(g.board) if HEX16.fullmatch(g.get("board", "")) else 0

    routes.add_app_template_global(remote_phones)
    routes.add_app_template_filter(clock)
    return routes
