"""The pages of the board. Everything is rendered here and works without script; scripts only smooth it."""

from __future__ import annotations

import datetime
import logging
import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from flask import Blueprint, Response, abort, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.usage.recorder import Event
from appliance.web import expecting, shelves, words
from appliance.web.api import file_url
from appliance.web.quiz import MAX_XML, Quiz, read_quiz
from appliance.web.search import MAX_QUERY
from content_sync.adapters.files import read_capped
from content_sync.errors import FormatError, LessonBoxError, NotFoundError, StorageError
from content_sync.formats.lesson import Lesson, Resource, ResourceFile
from content_sync.ports import CollectionRow

if TYPE_CHECKING:
    from appliance.web.app import Board

log = logging.getLogger(__name__)
RECENT_COOKIE = "recent"
GRADE_COOKIE = "grade"
SUBJECT_COOKIE = "subject"
_RECENT = 8
_PER_PAGE = 20
_YEAR = 366 * 86400
_HEX16 = re.compile(r"[0-9a-f]{16}")


def _recent() -> list[tuple[str, str]]:
    """(lesson, resource) that this board opened, newest first, as its cookie remembers."""
    pairs = []
    for item in request.cookies.get(RECENT_COOKIE, "").split("!")[:_RECENT]:
        lesson, _, resource = item.partition("_")
        if lesson and resource:
            pairs.append((lesson, unquote(resource)))
    return pairs


def _remember(response: Response, lesson: str, resource: str) -> None:
    pairs = [(lesson, resource), *(pair for pair in _recent() if pair[0] != lesson)][:_RECENT]
    value = "!".join(f"{a}_{quote(b, safe='')}" for a, b in pairs)
    response.set_cookie(RECENT_COOKIE, value, max_age=_YEAR, httponly=True, samesite="Lax")


def _page_number(name: str, most: int) -> int:
    text = request.args.get(name, "1")
    return min(max(int(text), 1), max(most, 1)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


#: Lessons that the status page lists: those that lack something, and the newest, as far as one screen goes.
_LACKING, _FRESH = 4, 7


class _Pages:
    """The views, with what they stand on."""

    def __init__(self, board: Board) -> None:
        self.board, self.reader = board, board.reader

    def today(self) -> datetime.datetime | None:
        """Local time, or None when the clock stands before the release that it has: it cannot be right."""
        now = self.board.clock.wall()
        if now < int(self.reader.meta("issued") or 0) - 86400:
            return None
        return datetime.datetime.fromtimestamp(now)

    def collections(self) -> dict[str, CollectionRow]:
        return {collection.id: collection for collection in self.reader.collections()}

    def opened(self, lesson: str, resource: Resource, position: int | None = None) -> tuple[str, bool]:
        """Record that the page was opened; the visit's id, and whether it is recorded. A link that carries
        the visit (the next page, the next question) goes on with it instead.
        """
        carried = request.args.get("v", "")
        going_on = bool(_HEX16.fullmatch(carried))
        visit = carried if going_on else secrets.token_hex(8)
        kind = "ping" if going_on else "open"
        try:
            self.board.records.record(
                [Event(g.board, lesson, resource.id, resource.kind, visit, kind, None, position, "server")]
            )
        except LessonBoxError as error:
            log.error("opening of %s/%s is not recorded: %s", lesson, resource.id, error)
            return visit, False
        return visit, True

    def read_file(self, resource: Resource) -> Callable[[str], bytes]:
        """A reader of the resource's files by path."""
        files = {entry.path: entry.file for entry in resource.files}

        def read(path: str) -> bytes:
            if path not in files:
                raise NotFoundError(f"the quiz lacks {path}")
            root = files[path].root
            try:
                return read_capped(self.board.objects / root[:2] / root, MAX_XML)
            except StorageError:
                self.board.unreadable(root)
                raise

        return read

    def home(self) -> Response:
        collections = self.collections()
        today = self.today()
        wished = request.args.get("grade", "")
        first = wished or request.cookies.get(GRADE_COOKIE, "")
        volume = shelves.season_volume(today.date() if today else None)
        grades = shelves.by_grade(collections.values(), volume)
        covers = shelves.covers(self.reader, [lesson for lesson, _ in _recent()], grades, first, volume)
        new = shelves.arrivals(self.reader, self.board.clock.wall())
        counts = {name: self.reader.count(state=name) for name in ("present", "arriving", "wanted")}
        response = make_response(
            render_template(
                "home.html",
                today=today,
                covers=covers,
                collections=collections,
                grades=list(grades),
                new=new,
                last=self.last_opened(collections),
                counts=counts,
                problems=self.reader.problems(),
                shelf=shelves.subjects(collections.values()),
                subject_of=shelves.subject_of,
                school=self.reader.meta("school_name") or "",
                shown=[cover.collection.grade for cover in covers],
            )
        )
        if wished in grades:
            response.set_cookie(GRADE_COOKIE, wished, max_age=_YEAR, httponly=True, samesite="Lax")
        return response

    def last_opened(
        self, collections: dict[str, CollectionRow]
    ) -> tuple[CollectionRow, Lesson, Resource] | None:
        for identity, resource_id in _recent():
            lesson = self.reader.present_lesson(identity)
            resource = next((r for r in lesson.resources if r.id == resource_id), None) if lesson else None
            if lesson and resource and lesson.collection in collections:
                return collections[lesson.collection], lesson, resource
        return None

    def browse(self, subject: str | None = None) -> Answer:
        chosen = [c for c in self.reader.collections() if subject in (None, shelves.subject_of(c))]
        if subject is not None and not chosen:
            abort(404)
        if subject is not None and len(chosen) == 1:
            return redirect(url_for("pages.volume", collection=chosen[0].id))
        groups: dict[str, list[CollectionRow]] = {shelves.subject_of(c): [] for c in chosen}
        for collection in sorted(chosen, key=lambda c: (words.grade_order(c.grade), c.position)):
            groups[shelves.subject_of(collection)].append(collection)
        return make_response(render_template("browse.html", groups=groups, one=subject is not None))

    def volume(self, collection: str) -> str:
        found = self.collections()
        if collection not in found:
            abort(404)
        this = found[collection]
        rows = self.reader.lessons(collection)
        units, opened = shelves.spreads(rows)
        siblings = [
            c
            for c in found.values()
            if (c.stage, c.subject, c.edition, c.grade)
            == (this.stage, this.subject, this.edition, this.grade)
            and c.id != this.id
        ]
        lessons = {row.id: self.reader.present_lesson(row.id) for row in rows if row.present}
        new = {row.id for row in shelves.arrivals(self.reader, self.board.clock.wall())}
        last = next((lesson for lesson, _ in _recent() if lesson in lessons), None)
        return render_template(
            "volume.html",
            this=this,
            units=units,
            spreads=opened,
            siblings=siblings,
            lessons=lessons,
            new=new,
            last=last,
            subject_id=shelves.subject_of(this),
        )

    def _lesson(self, identity: str) -> tuple[dict[str, Any], Lesson | None]:
        row = self.reader.lesson(identity)
        collection = self.collections().get(row.collection) if row else None
        if row is None or collection is None:
            abort(404)
        lesson = self.reader.present_lesson(identity)
        steps, beside = shelves.lay_out(lesson) if lesson else ([], [])
        return {
            "row": row, "collection": collection, "lesson": lesson, "layout": steps, "beside": beside,
            "file_url": lambda entry: file_url(entry.file.root, entry.path), "view_of": shelves.view_of,
        }, lesson  # fmt: skip

    def lesson(self, lesson: str) -> str:
        values, _ = self._lesson(lesson)
        return render_template("lesson.html", **values)

    def resource(self, lesson: str, resource: str) -> Answer:
        values, found = self._lesson(lesson)
        if found is None:
            return redirect(url_for("pages.lesson", lesson=lesson))
        this = next((r for r in found.resources if r.id == resource), None)
        if this is None:
            abort(404)
        view = shelves.view_of(this)
        values |= {"this": this, "view": view, "quiz": None, "page": 1, "of": 0}
        if view == "quiz":
            return self._quiz(values, found, this)
        pages = this.with_role("page")
        page = _page_number("page", len(pages))
        values |= {
            "zoom": request.args.get("z") == "1",
            "pages": pages,
            "page": page,
            "of": len(pages),
            "thumbs": _around(pages, page),
        }
        if view == "frame":
            if not g.courseware:
                abort(400)
            values["frame"] = f"{g.courseware}/c/{found.id}/{quote(this.id, safe='')}/{quote(this.main.path)}"
        position = page if view == "pages" else None
        values["visit"], values["recorded"] = self.opened(found.id, this, position)
        response = make_response(render_template("resource.html", **values))
        _remember(response, found.id, this.id)
        return response

    def _read_quiz(self, this: Resource) -> Quiz | None:
        try:
            return read_quiz(this.main.path, self.read_file(this))
        except (FormatError, NotFoundError) as error:
            log.warning("quiz %s: %s", this.main.path, error)
            return None

    def _quiz(self, values: dict[str, Any], lesson: Lesson, this: Resource) -> Answer:
        quiz = self._read_quiz(this)
        number = _page_number("q", len(quiz.items) if quiz else 1)
        values["visit"], values["recorded"] = self.opened(lesson.id, this, number)
        if quiz is None:
            values["view"] = "file"
            response = make_response(render_template("resource.html", **values))
        else:
            urls = {entry.path: file_url(entry.file.root, entry.path) for entry in this.files}
            values |= {
                "quiz": quiz,
                "number": number,
                "item": quiz.items[number - 1],
                "urls": urls,
                "shown": request.args.get("a") == "1",
                "pick": request.args.get("pick", "")[:8],
            }
            response = make_response(render_template("quiz.html", **values))
        _remember(response, lesson.id, this.id)
        return response

    def paper(self, lesson: str, resource: str) -> str:
        values, found = self._lesson(lesson)
        this = next((r for r in found.resources if r.id == resource), None) if found else None
        quiz = self._read_quiz(this) if this and shelves.view_of(this) == "quiz" else None
        if this is None or quiz is None:
            abort(404)
        urls = {entry.path: file_url(entry.file.root, entry.path) for entry in this.files}
        return render_template(
            "paper.html", this=this, quiz=quiz, urls=urls, key="key" in request.args, **values
        )

    def search(self) -> str:
        query = request.args.get("q", "").strip()[:MAX_QUERY]
        grade, kind = request.args.get("grade", ""), request.args.get("kind", "")
        page = _page_number("page", 500)
        values: dict[str, Any] = {"query": query, "grade": grade, "kind": kind, "page": page, "broken": False}
        try:
            found = self.board.index.find(query, grade, kind, (page - 1) * _PER_PAGE, _PER_PAGE, _room())
        except LessonBoxError as error:
            log.error("search: %s", error)
            return render_template(
                "search.html", found=None, hits=[], best=None, **(values | {"broken": True})
            )
        values |= self._hits(found.ids)
        if not found.total:
            collections = [c for c in self.reader.places().values() if c.lessons]
            values["grades"] = list(dict.fromkeys(c.grade for c in shelves.in_order(collections)))
            values["shelf"] = shelves.subjects(collections)
        return render_template("search.html", found=found, more=found.total > page * _PER_PAGE, **values)

    def _hits(self, ids: tuple[str, ...]) -> dict[str, Any]:
        collections = self.reader.places()
        hits = [
            (collections[row.collection], row, self.reader.present_lesson(row.id))
            for row in map(self.reader.lesson, ids)
            if row is not None and row.collection in collections
        ]
        return {"hits": hits}

    def new(self) -> str:
        rows = shelves.arrivals(self.reader, self.board.clock.wall())[:100]
        return render_template("new.html", **self._hits(tuple(row.id for row in rows)))

    def status(self) -> str:
        collections = self.collections()
        lacking = self.reader.lessons(state="arriving", limit=_LACKING)
        if len(lacking) < _LACKING:
            lacking += self.reader.lessons(state="wanted", limit=_LACKING - len(lacking))
        fresh = shelves.arrivals(self.reader, self.board.clock.wall())[: max(0, _FRESH - 2 * len(lacking))]
        status = self.board.status()
        return render_template(
            "status.html",
            status=status,
            troubles=[expecting.trouble(problem) for problem in status["problems"][:6]],
            counts={name: self.reader.count(state=name) for name in ("present", "arriving", "wanted")},
            coming=[(collections[row.collection], row) for row in lacking if row.collection in collections],
            fresh=[(collections[row.collection], row) for row in fresh if row.collection in collections],
            school=self.reader.meta("school_name") or "",
            county=self.reader.meta("county") or "",
            space=self.reader.status("space"),
            sources=self.reader.status("sources"),
            issued=int(self.reader.meta("issued") or 0),
            day=datetime.datetime.fromtimestamp,
            shelf=shelves.subjects(collections.values()),
        )


def _room() -> tuple[list[str], list[str]]:
    """Grades and subjects of the room that asks: those of its address, else what this board remembers."""
    grades = request.args.getlist("room_grade") or [request.cookies.get(GRADE_COOKIE, "")]
    subjects = request.args.getlist("room_subject") or [request.cookies.get(SUBJECT_COOKIE, "")]
    return grades[:_RECENT], subjects[:_RECENT]


def _around(pages: list[ResourceFile], page: int) -> list[tuple[int, ResourceFile]]:
    """Up to six pages near the one shown: thumbnails, and fetched before they are asked for."""
    begin = max(0, min(page - 2, len(pages) - 6))
    return [(n + 1, pages[n]) for n in range(begin, min(begin + 6, len(pages)))]


def blueprint(board: Board) -> Blueprint:
    """The routes."""
    routes, pages = Blueprint("pages", __name__), _Pages(board)
    for rule, name in (
        ("/", "home"),
        ("/browse", "browse"),
        ("/subject/<subject>", "browse"),
        ("/volume/<collection>", "volume"),
        ("/lesson/<lesson>", "lesson"),
        ("/lesson/<lesson>/<resource>", "resource"),
        ("/lesson/<lesson>/<resource>/print", "paper"),
        ("/search", "search"),
        ("/new", "new"),
        ("/status", "status"),
    ):
        routes.add_url_rule(rule, name, getattr(pages, name))
    return routes
