"""A lesson and its resources, opened for a class."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import abort, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.web import shelves
from appliance.web.documents import page_values
from appliance.web.lessons import LessonViews, resource_of
from appliance.web.player import player_values
from appliance.web.quizzes import Quizzes
from appliance.web.resume import stopped_at
from appliance.web.texts import in_parts, is_text, read_text, text_beside
from appliance.web.views import page_number, remember
from content_sync.errors import StorageError
from content_sync.formats.lesson import Lesson, Resource

if TYPE_CHECKING:
    from appliance.web.app import Board

log = logging.getLogger(__name__)


class Teach(LessonViews):
    """The pages of one lesson."""

    def __init__(self, board: Board, quizzes: Quizzes) -> None:
        super().__init__(board)
        self.quizzes = quizzes

    def lesson(self, lesson: str) -> str:
        values, _ = self.open_lesson(lesson)
        rows = self.reader.lessons(values["row"].collection)
        place = next((n for n, row in enumerate(rows) if row.id == lesson), len(rows))
        following = next((row for row in rows[place + 1 :] if row.present), None)
        return render_template("lesson.html", following=following, **values)

    def resource(self, lesson: str, resource: str) -> Answer:
        values, found = self.open_lesson(lesson)
        if found is None:
            return redirect(url_for("pages.lesson", lesson=lesson))
        this = resource_of(found, resource)
        if this is None:
            abort(404)
        view = shelves.view_of(this)
        values |= {
            "this": this,
            "view": view,
            "quiz": None,
            "page": 1,
            "of": 0,
            "variants": found.variants(this),
            "ending": this.main.path.rpartition(".")[2][:12].upper(),
        }
        if view == "quiz":
            return self.quizzes.quiz(values, found, this)
        template, position = "resource.html", None
        if view in ("video", "audio"):
            template = "_player.html"
            values |= player_values(found, this)
            beside = text_beside(found, this) if view == "audio" else None
            values["text"] = self._lines(beside)[:60] if beside else []
        elif view in ("pages", "document"):
            template = "_pages.html"
            values |= page_values(found, this)
            position = values["page"] if view == "pages" else None
        elif view == "text":
            position = self._text(values, found, this)
        elif view in ("frame", "flash"):
            values["frame"] = self._frame(found, this, view)
        values["visit"], values["recorded"] = self.opened(found.id, this, position)
        response = make_response(render_template(template, **values))
        remember(response, found.id, this.id)
        return response

    def _frame(self, lesson: Lesson, this: Resource, view: str) -> str:
        """Where courseware runs, on its own origin; empty for Flash on a box without its player."""
        if not g.courseware:
            abort(400)
        where = f"{lesson.id}/{quote(this.id, safe='')}/{quote(this.main.path)}"
        if view == "frame":
            return f"{g.courseware}/c/{where}"
        return f"{g.courseware}/flash/{g.language}/{where}" if self.board.ruffle is not None else ""

    def _text(self, values: dict[str, Any], lesson: Lesson, this: Resource) -> int:
        parts = in_parts(self._lines(this))
        page = page_number("page", len(parts))
        if "page" not in request.args:
            page = min(stopped_at(lesson.id, this.id) or 1, len(parts))
        values |= {"text": parts[page - 1], "page": page, "of": len(parts)}
        return page

    def _lines(self, this: Resource) -> list[tuple[bool, str]]:
        assert is_text(this)
        try:
            return read_text(self.board.objects, this)
        except StorageError:
            self.board.unreadable(this.main.file.root)
            raise
