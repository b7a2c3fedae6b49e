"""Rooms and the boards in them. Which room this board stands in, and for which hand, anybody at it may say;
making and changing rooms and timetables asks for the PIN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import abort, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.school.rooms import (
    HANDS,
    MAX_BOARDS,
    Room,
    boards,
    check_room,
    clear_boards,
    remove_room,
    rooms,
    save_room,
    set_board,
)
from appliance.web import shelves, words
from appliance.web.door import Door
from appliance.web.guard import Guard
from appliance.web.i18n import gettext
from appliance.web.tables import OfRooms
from content_sync.errors import FormatError, NotFoundError, TooBigError

if TYPE_CHECKING:
    from appliance.web.app import Board

#: Grades that every primary school may have; others are offered where the library has them.
_PRIMARY = ("一年级", "二年级", "三年级", "四年级", "五年级", "六年级")


class Rooms(OfRooms):
    """The pages."""

    def __init__(self, board: Board, guard: Guard) -> None:
        super().__init__(board, guard)
        self._door = Door(60, 600, board.clock.monotonic)

    # This board

    def here(self) -> Answer:
        """Where this board stands, and for which hand."""
        if request.method == "GET":
            page = render_template(
                "here.html", rooms=rooms(self.school), hand=g.place.hand, chosen=g.place.room, full=False
            )
            return make_response(page)
        self._door.require()
        hand, room = request.form.get("hand", g.place.hand), request.form.get("room")
        if hand not in HANDS:
            abort(400)
        identity = room if room is not None else (g.place.room.id if g.place.room else "")
        try:
            set_board(self.school, g.board, identity or None, hand)
        except NotFoundError:
            return redirect(url_for("rooms.board"), 303)  # removed in the meantime
        except TooBigError:
            page = render_template(
                "here.html", rooms=rooms(self.school), hand=hand, chosen=g.place.room, full=MAX_BOARDS
            )
            return make_response(page, 503)
        return redirect(url_for("pages.home") if room is not None else url_for("rooms.board"), 303)

    # With the PIN

    def every(self) -> str:
        """All rooms."""
        secret = self.guard.require()
        return render_template(
            "rooms.html",
            secret=secret,
            rooms=rooms(self.school),
            boards=boards(self.school),
            here=g.place.room,
        )

    def one(self, room: str = "") -> Answer:
        """A room to change, or a new one."""
        secret = self.guard.require()
        found = self.room(room) if room else None
        said, status = "", 200
        form: Mapping[str, Any] = {
            "name": found.name if found else "",
            "grades": found.grades if found else (),
            "editions": found.editions if found else {},
            "turns": dict(found.turns) if found else {},
        }
        if request.method == "POST":
            form = self._filled(found)
            try:
                made = check_room(
                    form["name"],
                    form["grades"],
                    form["editions"],
                    self._turns(form),
                    found.id if found else "",
                )
                save_room(self.school, made)
                if found is None:
                    return redirect(url_for("rooms.timetable", room=made.id), 303)
                return redirect(url_for("rooms.every"), 303)
            except FormatError as error:
                status = 400
                said = gettext("有一格填得不对，请看一看。")
                if isinstance(error, TooBigError):
                    said = gettext("教室太多了，先拿掉不用的。")
                elif not form["name"].strip():
                    said = gettext("请给教室写个名字。")
                elif not form["grades"]:
                    said = gettext("请选这间教室的年级。")
                elif "has this name" in error.what:
                    name = form["name"].strip()
                    said = gettext("已经有叫“%(name)s”的教室，请换一个名字。") % {"name": name}
        page = render_template(
            "room.html",
            secret=secret,
            room=found,
            form=form,
            said=said,
            grades=self.grades(),
            editions=self._editions(),
            boards=boards(self.school).get(found.id, []) if found else [],
        )
        return make_response(page, status)

    def _filled(self, found: Room | None) -> dict[str, Any]:
        form = request.form
        shown = self._editions()
        editions = dict(found.editions) if found else {}
        editions |= {s: form.get(f"edition-{n}", "") for n, s in enumerate(shown)}
        return {
            "name": form.get("name", ""),
            "grades": [grade for grade in self.grades() if grade in form.getlist("grade")],
            "editions": editions,
            "turns": {grade: form.get(f"turn-{n}", "") for n, grade in enumerate(self.grades())},
        }

    @staticmethod
    def _turns(form: Mapping[str, Any]) -> list[tuple[str, int]]:
        """Minutes of the chosen grades, if there are several. Raises FormatError."""
        turns = []
        for grade in form["grades"] if len(form["grades"]) > 1 else ():
            text = str(form["turns"].get(grade, "")).strip()
            if text and not (text.isascii() and text.isdigit() and len(text) < 4):
                raise FormatError("minutes are digits")
            turns.append((grade, int(text or 0)))
        return turns

    def grades(self) -> list[str]:
        """Grades that a room may have."""
        known = {c.grade for c in self.reader.collections()} - {"不分年级"}
        return sorted({*_PRIMARY, *known}, key=words.grade_order)

    def _editions(self) -> dict[str, list[str]]:
        """The editions of each subject that the library has in more than one."""
        found: dict[str, list[str]] = {}
        for collection in shelves.in_order(self.reader.collections()):
            editions = found.setdefault(collection.subject, [])
            if collection.edition not in editions:
                editions.append(collection.edition)
        return {subject: editions for subject, editions in found.items() if len(editions) > 1}

    def remove(self, room: str) -> Answer:
        """Take a room away, after a second tap."""
        secret = self.guard.require()
        found = self.room(room)
        if request.method == "GET":
            count = len(boards(self.school).get(found.id, []))
            return make_response(render_template("room_gone.html", secret=secret, room=found, boards=count))
        remove_room(self.school, found.id)
        return redirect(url_for("rooms.every"), 303)

    def clear(self, room: str) -> Answer:
        """No board stands in it any more."""
        self.guard.require()
        clear_boards(self.school, self.room(room).id)
        return redirect(url_for("rooms.one", room=room), 303)
