"""A lesson and its resources, opened for a class."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from flask import abort, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.web import shelves
from appliance.web.api import file_url
from appliance.web.quiz import MAX_XML, Quiz, read_quiz
from appliance.web.views import Views, page_number, remember
from content_sync.adapters.files import read_capped
from content_sync.errors import FormatError, NotFoundError, StorageError
from content_sync.formats.lesson import Lesson, Resource, ResourceFile

log = logging.getLogger(__name__)


class Teach(Views):
    """The pages of one lesson."""

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
        page = page_number("page", len(pages))
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
        remember(response, found.id, this.id)
        return response

    def _read_quiz(self, this: Resource) -> Quiz | None:
        try:
            return read_quiz(this.main.path, self.read_file(this))
        except (FormatError, NotFoundError) as error:
            log.warning("quiz %s: %s", this.main.path, error)
            return None

    def _quiz(self, values: dict[str, Any], lesson: Lesson, this: Resource) -> Answer:
        quiz = self._read_quiz(this)
        number = page_number("q", len(quiz.items) if quiz else 1)
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
        remember(response, lesson.id, this.id)
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


def _around(pages: list[ResourceFile], page: int) -> list[tuple[int, ResourceFile]]:
    """Up to six pages near the one shown: thumbnails, and fetched before they are asked for."""
    begin = max(0, min(page - 2, len(pages) - 6))
    return [(n + 1, pages[n]) for n in range(begin, min(begin + 6, len(pages)))]
