"""What is not here yet: 我要这课. A wish is a file for sync (appliance/wishes.py)."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Blueprint, abort, g, redirect, request
from werkzeug.wrappers import Response as Answer

from appliance.web.door import Door, own_path
from appliance.web.i18n import gettext
from appliance.web.views import Views
from appliance.wishes import MOST, make_wish, own_wish, take_back
from content_sync.errors import LessonBoxError
from content_sync.formats.wish import Wish, is_wish_name

if TYPE_CHECKING:
    from appliance.web.app import Board

log = logging.getLogger(__name__)


class Wishing(Views):
    """Asking for lessons, and taking that back."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._door = Door(40, 600, board.clock.monotonic)

    def wish(self) -> Answer:
        """Ask for a lesson from this board, or no more."""
        incoming, lesson = self.board.incoming, self.reader.lesson(request.form.get("lesson", ""))
        if incoming is None or lesson is None:
            abort(404)
        self._door.require()
        at = int(self.board.clock.wall()) if self.today() else None
        wish = Wish(lesson.id, g.board, at)
        if request.form.get("undo"):
            take_back(incoming, wish)
        elif not lesson.complete:
            if sum(map(is_wish_name, os.listdir(incoming))) >= MOST:
                abort(503)
            make_wish(incoming, wish)
        anchor = request.form.get("row", "")
        back = own_path(request.form.get("back", ""), f"/lesson/{lesson.id}")
        return redirect(back + (f"#{anchor}" if anchor.isalnum() and len(anchor) < 9 else ""), 303)

    def wished(self, lesson: str) -> Wish | None:
        """This board's wish for a lesson, if it has one."""
        wish = Wish(lesson, g.board)
        if self.board.incoming is None or wish.file_name not in self._names(self.board.incoming):
            return None
        try:
            return own_wish(self.board.incoming, wish)
        except LessonBoxError as error:
            log.warning("wish: %s", error)
            return None

    def _names(self, incoming: Path) -> set[str]:
        """The wishes that lie there, listed once a page."""
        if "wish_names" not in g:
            try:
                g.wish_names = set(filter(is_wish_name, os.listdir(incoming)))
            except OSError as error:
                log.warning("wishes: %s", error)
                g.wish_names = set()
        names: set[str] = g.wish_names
        return names


def blueprint(board: Board) -> Blueprint:
    """The route, and for pages `can_wish()`, `wished(lesson id)` and `wish_day(seconds)`."""
    routes, wishing = Blueprint("wishes", __name__), Wishing(board)
    routes.add_url_rule("/wish", "wish", wishing.wish, methods=["POST"])

    def wish_day(at: int) -> str:
        day = wishing.local(at)
        return gettext("%(month)s月%(day)s日") % {"month": day.month, "day": day.day}

    routes.add_app_template_global(wishing.wished, "wished")
    routes.add_app_template_global(lambda: board.incoming is not None, "can_wish")
    routes.add_app_template_global(wish_day)
    return routes
