"""A quiz: question by question on the board, and on paper."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import abort, g, make_response, render_template, request
from werkzeug.wrappers import Response as Answer

from appliance.web import picking, selftest, shelves
from appliance.web.api import file_url
from appliance.web.lessons import LessonViews, resource_of
from appliance.web.views import page_number, remember
from content_sync.adapters.files import read_capped
from content_sync.errors import FormatError, LessonBoxError, NotFoundError, StorageError
from content_sync.formats.lesson import Lesson, Resource
from content_sync.formats.shelf import shelf_of

if TYPE_CHECKING:
    from appliance.web.app import Board
    from appliance.web.quiz import Item, Quiz

log = logging.getLogger(__name__)
#: Quizzes whose files were read lately: a class goes through one, a tap at a time.
_KEPT = 4
#: Kinds whose letters may stand in the question's brackets.
_LETTERED = ("choice", "judge", "multiple", "order")


class Quizzes(LessonViews):
    """The pages of a quiz."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._lock = threading.Lock()
        self._read: dict[tuple[str, ...], Quiz] = {}

    def read_file(self, resource: Resource) -> Callable[[str], bytes]:
        """A reader of the resource's files by path."""
        from appliance.web.quiz import MAX_XML

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

    def _read_quiz(self, this: Resource) -> Quiz | None:
        from appliance.web.quiz import read_quiz  # it brings XML, which no start shall wait for

        key = tuple(text for entry in this.files for text in (entry.path, entry.file.root))
        with self._lock:
            quiz = self._read.pop(key, None)
        try:
            quiz = quiz or read_quiz(this.main.path, self.read_file(this))
        except (FormatError, NotFoundError) as error:
            log.warning("quiz %s: %s", this.main.path, error)
            return None
        if any(item.kind == "broken" for item in quiz.items):
            return quiz  # its file may come back
        with self._lock:
            self._read[key] = quiz  # the last used stands last
            while len(self._read) > _KEPT:
                del self._read[next(iter(self._read))]
        return quiz

    def quiz(self, values: dict[str, Any], lesson: Lesson, this: Resource) -> Answer:
        """One question of it; what can't be read as a quiz is a file to download."""
        quiz = self._read_quiz(this)
        number = page_number("q", len(quiz.items) if quiz else 1)
        values["visit"], values["recorded"] = self.opened(lesson.id, this, number)
        values |= {"quiz": quiz, "number": number}
        if quiz is not None:
            values |= _question(quiz.items[number - 1])
            values["urls"] = {entry.path: file_url(entry.file.root, entry.path) for entry in this.files}
        response = make_response(render_template("quiz.html", **values))
        remember(response, lesson.id, this.id)
        if quiz is not None and values["shown"] and shelf_of(values["collection"].stage) == "training":
            self._test(response, values, f"{lesson.id}.{this.id}")
        return response

    def _test(self, response: Answer, values: dict[str, Any], quiz: str) -> None:
        """A question of a training's quiz was answered: it counts in the self-test of who is trained."""
        right = picking.solved(values["item"], values["pick"])
        if right is None or self.board.tally is None:
            return
        try:
            now = self.board.tally.now(g.board, g.place.room.id if g.place.room is not None else None)
        except LessonBoxError as error:
            log.error("self-test: %s", error)
            return
        if now is not None:
            selftest.answered(response, now.tap, quiz, values["number"], right)

    def paper(self, lesson: str, resource: str) -> str:
        """The quiz as it is printed."""
        values, found = self.open_lesson(lesson)
        this = resource_of(found, resource)
        quiz = self._read_quiz(this) if this and shelves.view_of(this) == "quiz" else None
        if this is None or quiz is None:
            abort(404)
        urls = {entry.path: file_url(entry.file.root, entry.path) for entry in this.files}
        return render_template(
            "paper.html", this=this, quiz=quiz, urls=urls, key="key" in request.args, **values
        )


def _question(item: Item) -> dict[str, Any]:
    """One question as its address says: what was tapped, and whether the answer is shown."""
    shown = request.args.get("a") == "1"
    pick = picking.clean(item, request.args.get("pick", ""))
    if item.kind in ("choice", "judge") and not shown:
        pick = ""  # the answer was put away: the class tries again
    open_gaps = set(item.gaps) if shown else picking.gaps(item, request.args.get("pick", ""))
    values: dict[str, Any] = {"item": item, "shown": shown, "pick": pick, "open_gaps": open_gaps}
    # What stands in the question's brackets: the answer, or what the class picked and the options show.
    values["filled"] = (item.answer if shown else pick) if item.kind in _LETTERED else ""
    if item.kind == "fill":
        names = list(item.gaps)
        values["pick"] = ".".join(str(names.index(name)) for name in names if name in open_gaps)
    if item.kind == "match":
        values["left"], values["right"] = picking.sides(item, pick, shown)
        values["lines"] = picking.lines(item, pick, shown)
    else:
        values["taps"] = picking.taps(item, pick, shown)
    return values
