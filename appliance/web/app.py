"""The board's program: one WSGI application for both ports (application factory; no work at import)."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flask import Flask, Response, abort, g, render_template, request
from gunicorn.http.errors import ParseException
from markupsafe import Markup
from msgspec import Struct
from werkzeug.exceptions import HTTPException

from appliance.school.database import School
from appliance.school.places import Places
from appliance.school.rooms import Place, place_of
from appliance.school.tally import Tally
from appliance.school.timetable import time_text
from appliance.school.uploads import Uploads
from appliance.usage.recorder import Event
from appliance.web import (
    addresses,
    api,
    areas,
    assets,
    captive,
    cards,
    classes,
    enrol,
    expecting,
    i18n,
    pages,
    remote,
    schedule,
    wishes,
    words,
)
from appliance.web.compiled import Compiled
from appliance.web.content import RETRY_AFTER, Content, Environ, StartResponse, media_type, short
from appliance.web.enrol import Enrolling
from appliance.web.flash import Flash
from appliance.web.guard import Guard, own_page
from appliance.web.pin import Pin
from appliance.web.progress import Progress
from appliance.web.search.index import Index
from appliance.web.views import is_tv
from content_sync.adapters.sending import Streams
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import BusyError, LessonBoxError, SetupError
from content_sync.ports import Clock, LessonRow, Neighbour, PlannedRow

if TYPE_CHECKING:
    from appliance.web.lan import Network
    from appliance.web.machine import Machine

log = logging.getLogger(__name__)
BOARD_COOKIE = "board"
TEN_YEARS = 10 * 366 * 86400
#: Paths that other boxes ask for (sharing.py).
_OF_BOXES = ("/blocks/", "/api/v1/have/")
_BOARD = re.compile(r"[0-9a-f]{16}")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(?::\d{1,5})?")
_HERE = Path(__file__).parent
#: Icons that point along the line: they turn with a language that is written from the right.
_POINTING = ("next", "prev", "first", "last", "back")
_SYMBOL = re.compile(r'<symbol id="i-([a-z]+)".*?</symbol>', re.DOTALL)


class Records(Protocol):
    """What the board needs of appliance.usage.recorder.Recorder."""

    def record(self, events: Sequence[Event]) -> None:
        """Durable when it returns. Raises LessonBoxError."""


class Sign(Protocol):
    """What the board needs of content_sync.adapters.streaming.StreamSign."""

    def began(self) -> Callable[[], None]:
        """A stream began; what is returned is called when it ends."""

    def plays(self, seconds: float) -> None:
        """A page plays for so long."""


class Board(Struct, frozen=True):
    """All that the pages stand on. `status` gives what `/api/v1/status` answers; `streams`: most long
    answers at once.
    """

    objects: Path
    reader: StateReader
    index: Index
    records: Records
    clock: Clock
    status: Callable[[], dict[str, Any]]
    streams: int = 120
    language: str = "zh"
    courseware_port: int = 0
    #: Where files arrive and where torrents and leaf lists lie: what other boxes may read of.
    partial: Path | None = None
    packages: Path | None = None
    #: Told the root of an object that could not be read.
    unreadable: Callable[[str], None] = lambda root: None
    #: Tells sync that a class streams.
    sign: Sign | None = None
    #: The received shelf's files, where requests are left for sync, and who may leave them.
    received: Path | None = None
    incoming: Path | None = None
    pin: Pin | None = None
    #: How many boards may wait at the same time for what a phone asks of them (pairing.py).
    waiters: int = 0
    #: Sticks and programs of the machine; other boxes that were heard of; the name of the school's Wi-Fi.
    machine: Machine | None = None
    #: How a box that is not enrolled yet takes an enrolment file; makes the diagnosis for the technician.
    enrolling: Enrolling | None = None
    diagnosis: Callable[[], bytes] | None = None
    neighbours: Callable[[], Sequence[Neighbour]] = tuple
    wifi: str = ""
    #: The school's own book; without it a board has no room.
    school: School | None = None
    #: Where Ruffle, the Flash player, lies; None where the box has none.
    ruffle: Path | None = None
    #: Files that teachers send, on their way in.
    uploads: Uploads | None = None
    #: Uplinks, shares and the own Wi-Fi; who came by the latter.
    network: Network | None = None
    captive: captive.Captive | None = None
    #: Counts classes, and how many a teacher should hold a term.
    tally: Tally | None = None
    class_goal: int = 80
    #: Where compiled templates are kept from one start to the next.
    compiled: Path | None = None


def board_of(environ: Environ, cookie: str | None) -> str:
    """The board's id: its cookie, or for a browser that keeps none a name made from its address."""
    if cookie and _BOARD.fullmatch(cookie):
        return cookie
    return hashlib.sha256(f"board:{environ.get('REMOTE_ADDR', '')}".encode()).hexdigest()[:16]


def _origin(board: Board) -> str:
    """The courseware's origin under the host name that the board used; empty when the Host header is
    nonsense.
    """
    host = request.environ.get("HTTP_HOST", "")
    if not _HOST.fullmatch(host):
        return ""
    name = re.sub(r":\d+$", "", host)
    return f"http://{name}:{board.courseware_port}"


def _icons(app: Flask) -> None:
    """`ic(name)` draws an icon, `sprite()` at the page's end gives those that were drawn."""
    symbols = {m[1]: m[0] for m in _SYMBOL.finditer((_HERE / "icons.svg").read_text("utf-8"))}

    def draw(name: str, more: str = "") -> Markup:
        assert name in symbols, name
        g.icons.add(name)
        more = f"{more} turns" if name in _POINTING else more
        return Markup(
            f'<svg class="ic {more}" width="24" height="24" aria-hidden="true" focusable="false">'
            f'<use xlink:href="#i-{name}"/></svg>'
        )

    def sprite() -> Markup:
        drawn = "".join(symbols[name] for name in sorted(g.icons))
        return Markup(
            f'<svg width="0" height="0" class="sprite" aria-hidden="true" focusable="false">{drawn}</svg>'
        )

    app.jinja_env.globals.update(ic=draw, sprite=sprite)


def _planned(board: Board, row: LessonRow) -> PlannedRow | None:
    """What the plan says of a lesson, asked once a page."""
    if "planned" not in g:
        g.planned = {}
    if row.id not in g.planned:
        g.planned[row.id] = board.reader.planned(row.id).get(row.id)
    found: PlannedRow | None = g.planned[row.id]
    return found


def _place(board: Board) -> Place:
    """Where this board stands; a book that can't be read is no reason not to teach."""
    if board.school is None or g.new_board:
        return Place()
    try:
        return place_of(board.school, g.board)
    except LessonBoxError as error:
        log.error("school.db: %s", error)
        return Place()


def _flask(board: Board) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.url_rule_class = addresses.LazyRule
    if board.compiled is not None:
        app.jinja_env.bytecode_cache = Compiled(board.compiled)
    app.config["MAX_CONTENT_LENGTH"] = 1 << 20
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    i18n.install(app, board.language)
    _icons(app)
    assets.install(app)
    addresses.install(app)
    app.jinja_env.globals.update(
        subject=words.subject, known=words.known, where=words.where, called=words.called,
        subject_tag=words.tag, title_class=words.title_class, minutes=words.minutes, size_text=words.size,
        unit_parts=words.unit_parts, kinds=words.KIND_WORDS, kind_words=words.KIND_WORDS,
        grade_mark=words.grade_mark, period_word=schedule.period_word, number_word=schedule.number_word,
        time_text=time_text, is_tv=is_tv,
        number_mark=words.number_mark, steps=words.STEP_WORDS,
        file_type=media_type, plain_title=words.plain_title, other_language=words.other_language,
        language_name=words.language_name, direction=words.direction, languages=i18n.LANGUAGES,
        why=lambda row: expecting.why(_planned(board, row)),
        expected=lambda row: expecting.expected(
            _planned(board, row), board.clock.wall(), lambda at: schedule.local(board.reader, at)
        ),
    )  # fmt: skip
    app.jinja_env.filters["only_set"] = lambda values: {
        name: value for name, value in values.items() if value
    }
    app.jinja_env.globals["which_box"] = board.network.number_name if board.network is not None else str
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    guard = Guard(board.pin)
    app.register_blueprint(pages.blueprint(board, Progress(board, guard)))
    app.register_blueprint(api.blueprint(board))
    app.register_blueprint(guard.blueprint())
    app.register_blueprint(classes.blueprint(board, guard))
    app.register_blueprint(enrol.blueprint(board, guard))
    app.register_blueprint(remote.blueprint(board))
    app.register_blueprint(cards.blueprint(board, guard))
    app.register_blueprint(wishes.blueprint(board))
    areas.install(app, board, guard)
    if board.captive is not None:
        app.register_blueprint(captive.blueprint(board, board.captive))

    places = Places(board.school, board.clock.monotonic) if board.school is not None else None

    @app.before_request
    def begin() -> None:
        g.icons = set()
        g.repairs = board.reader.repairs
        cookie = request.cookies.get(BOARD_COOKIE, "")
        g.new_board = not _BOARD.fullmatch(cookie) and not request.path.startswith(
            ("/api/", "/static/", "/mirrored/", "/healthz")
        )
        g.board = secrets.token_hex(8) if g.new_board else board_of(request.environ, cookie)
        g.courseware = _origin(board)
        g.place = _place(board)
        g.places = places

    @app.before_request
    def refuse_strangers() -> Response | None:
        """Nothing changes because another site's page, courseware for one, sent a form here."""
        if request.method in ("GET", "HEAD", "OPTIONS") or own_page():
            return None
        if request.path.startswith("/api/"):
            return api.error(403, "E-ORIGIN", "another site's page may not report use")
        abort(403)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        if request.path.startswith(("/static/", "/mirrored/")):
            return response
        response.headers["Content-Security-Policy"] = (
            "default-src 'self'; img-src 'self' data:; object-src 'self'; base-uri 'none'; form-action"
            f" 'self'; frame-ancestors 'none'; frame-src 'self' {g.get('courseware', '')}".rstrip()
        )
        response.headers["X-UA-Compatible"] = "IE=edge"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers.setdefault("Cache-Control", "no-store")
        if g.get("new_board"):
            _keep(response, BOARD_COOKIE, g.board)
        if g.get("keep_language"):
            _keep(response, i18n.COOKIE, g.language)
        return response

    @app.errorhandler(Exception)
    def fault(error: Exception) -> Response:
        status, code, message = _fault(error)
        if status == 500:
            log.exception("%s %s", request.method, request.path)
        if request.path.startswith(("/api/", "/healthz")):
            response = api.error(status, code, message)
        else:
            g.setdefault("icons", set())
            g.setdefault("language", board.language)
            response = Response(render_template("error.html", status=status, code=code), status)
        if status == 503:
            response.headers["Retry-After"] = str(RETRY_AFTER)
        return response

    return app


def _keep(response: Response, name: str, value: str) -> None:
    response.set_cookie(name, value, max_age=TEN_YEARS, httponly=True, samesite="Lax")


def _fault(error: Exception) -> tuple[int, str, str]:
    """HTTP status, code and message of an error."""
    if isinstance(error, HTTPException) and error.code:
        return error.code, {404: "E-NOT-FOUND", 413: "E-TOO-BIG"}.get(error.code, "E-REQUEST"), error.name
    if isinstance(error, ParseException):  # a body whose chunks are damaged shows when it is read
        return 400, "E-REQUEST", "the request is damaged"
    if isinstance(error, BusyError | SetupError) or isinstance(error, LessonBoxError) and error.retryable:
        return 503, error.code, error.what
    if isinstance(error, LessonBoxError):
        return 500, error.code, error.what
    return 500, "E-INTERNAL", "something went wrong in the box"


def create_app(board: Board) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """The WSGI application for both ports; which one a request came by is what SERVER_PORT says (gunicorn
    sets it from the listening socket, never from the request).
    """
    flask = _flask(board)

    def refuse(environ: Environ, start: StartResponse, status: int) -> Iterable[bytes]:
        """A page for people, one line for players."""
        if status not in (404, 500, 503) or "text/html" not in environ.get("HTTP_ACCEPT", ""):
            return short(environ, start, status)
        with flask.request_context(environ):
            g.icons = set()
            kept = request.cookies.get(i18n.COOKIE, "")
            i18n.speak(kept if kept in i18n.LANGUAGES else board.language)
            code = {404: "E-NOT-FOUND", 503: "E-BUSY"}.get(status, "E-STORAGE")
            response = Response(render_template("error.html", status=status, code=code), status)
        if status == 503:
            response.headers["Retry-After"] = str(RETRY_AFTER)
        return response(environ, start)

    streams = Streams(board.streams)
    content = Content(
        board.objects,
        board.reader,
        streams,
        refuse,
        board.sign.began if board.sign is not None else lambda: lambda: None,
        Flash(board.ruffle) if board.ruffle is not None else None,
    )
    courseware_port = str(board.courseware_port)

    def sharing() -> Callable[[Environ, StartResponse], Iterable[bytes]]:
        from appliance.web.sharing import Sharing  # only where other boxes ask

        assert board.partial is not None and board.packages is not None  # they come together
        return Sharing(
            board.objects, board.partial, board.packages, board.reader, streams, board.clock.monotonic
        )

    shared = areas.Later(sharing)

    def application(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        if environ["SERVER_PORT"] == courseware_port:
            return content.courseware_origin(environ, start)
        if board.captive is not None and board.captive.takes(environ):
            return board.captive(environ, start)
        if environ["PATH_INFO"].startswith("/content/"):
            return content.pages_origin(environ, start)
        if environ["PATH_INFO"].startswith("/received/file/") and board.received is not None:
            return content.received_file(environ, start, board.received)
        if environ["PATH_INFO"].startswith(_OF_BOXES) and board.partial is not None:
            return shared.get()(environ, start)
        answer: Iterable[bytes] = flask(environ, start)
        return answer

    return application
