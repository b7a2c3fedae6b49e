"""The page of a box that nobody has enrolled yet: takes the county's file, behind the PIN, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.web.guard import Guard
from appliance.web.views import Guarded
from content_sync.errors import LessonBoxError, StorageError, TooBigError
from content_sync.formats.enrolment import MAX_ENROLMENT, Enrolment

if TYPE_CHECKING:
    from appliance.web.app import Board


class Enrolling(Protocol):
    """What the page needs of the box (appliance/setup.py)."""

    def needed(self) -> bool:
        """Whether nobody has enrolled it."""

    def offers(self) -> Sequence[tuple[str, Enrolment]]:
        """Enrolment files on sticks: name, what it says."""

    def take_from(self, name: str) -> Enrolment:
        """Enrol with one of them. Raises LessonBoxError."""

    def take(self, content: bytes) -> Enrolment:
        """Enrol with what was uploaded. Raises LessonBoxError."""


class Enrol(Guarded):
    """While it is not enrolled, home leads here; afterwards the page says whose box it is."""

    def first(self) -> Answer | None:
        """Home of a box that has nothing to show leads to where that can be changed."""
        if request.path != "/" or request.method != "GET" or self.reader.release() or self.reader.count():
            return None
        enrolling = self.board.enrolling
        return redirect(url_for("enrol.page")) if enrolling is not None and enrolling.needed() else None

    def page(self) -> str:
        """What to do; where the PIN was entered, the form and what lies on sticks."""
        return self._page("")

    def _page(self, said: str, enrolment: Enrolment | None = None) -> str:
        enrolling, secret = self.board.enrolling, self.guard.secret()
        needed = enrolling is not None and enrolling.needed()
        return render_template(
            "enrol.html",
            needed=needed,
            offers=enrolling.offers() if enrolling is not None and needed and secret else (),
            school=enrolment.school_name if enrolment is not None else self.reader.meta("school_name") or "",
            secret=secret or "",
            said=said,
            unlocked=self.guard.minutes(),
        )

    def take(self) -> str | tuple[str, int]:
        """Enrol; then the programs begin anew."""
        self.guard.require()
        enrolling = self.board.enrolling
        if enrolling is None:
            return self._page("E-SETUP"), 400
        try:
            name = request.form.get("name", "")
            if name:
                enrolment = enrolling.take_from(name)
            else:
                sent = request.files.get("file")
                content = sent.stream.read(MAX_ENROLMENT + 1) if sent is not None else b""
                if len(content) > MAX_ENROLMENT:
                    raise TooBigError("no enrolment file is as large as that")
                enrolment = enrolling.take(content)
        except LessonBoxError as error:
            return self._page(error.code), 503 if isinstance(error, StorageError) else 400
        if self.board.machine is not None:
            self.board.machine.restart()
        return self._page("", enrolment)


def blueprint(board: Board, guard: Guard) -> Blueprint:
    """The routes `/enrol`."""
    routes, pages = Blueprint("enrol", __name__), Enrol(board, guard)
    routes.before_app_request(pages.first)
    rules: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
        ("page", pages.page, ("GET",)),
        ("take", pages.take, ("POST",)),
    )
    for name, view, methods in rules:
        routes.add_url_rule("/enrol", name, view, methods=list(methods))
    return routes
