"""What all pages share: the board that they stand on, what the browser remembers, numbers from addresses."""

from __future__ import annotations

import datetime
import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from flask import Response, abort, g, request

from appliance.usage.recorder import Event
from appliance.web.resume import note
from appliance.web.schedule import local, local_time
from appliance.web.search.index import Near
from appliance.web.search.shown import Shown, held
from content_sync.errors import LessonBoxError
from content_sync.formats.lesson import Resource
from content_sync.formats.outline import Outline
from content_sync.formats.shelf import LOCAL
from content_sync.ports import CollectionRow, LessonRow

if TYPE_CHECKING:
    from appliance.school.database import School
    from appliance.web.app import Board
    from appliance.web.guard import Guard

log = logging.getLogger(__name__)
RECENT_COOKIE = "recent"
GRADE_COOKIE = "grade"
SUBJECT_COOKIE = "subject"
TV_COOKIE = "tv"
YEAR = 366 * 86400
PER_PAGE = 20
HEX16 = re.compile(r"[0-9a-f]{16}")
_RECENT = 8


def recent() -> list[tuple[str, str]]:
    """(lesson, resource) that this board opened, newest first, as its cookie remembers."""
    pairs = []
    for item in request.cookies.get(RECENT_COOKIE, "").split("!")[:_RECENT]:
        lesson, _, resource = item.partition("_")
        if lesson and resource:
            pairs.append((lesson, unquote(resource)))
    return pairs


def remember(response: Response, lesson: str, resource: str) -> None:
    pairs = [(lesson, resource), *(pair for pair in recent() if pair[0] != lesson)][:_RECENT]
    value = "!".join(f"{a}_{quote(b, safe='')}" for a, b in pairs)
    response.set_cookie(RECENT_COOKIE, value, max_age=YEAR, httponly=True, samesite="Lax")


def is_tv() -> bool:
    """Whether the page is for a television."""
    return request.cookies.get(TV_COOKIE) == "1" or request.path == "/tv" or request.path.startswith("/tv/")


def page_number(name: str, most: int) -> int:
    text = request.args.get(name, "1")
    return min(max(int(text), 1), max(most, 1)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


def room_facts(now: Sequence[str] = ()) -> Near:
    """What stands near the room that asks: what its address says, its room and what is taught there `now`,
    else what this board remembers."""
    room = g.place.room
    grades = request.args.getlist("room_grade") or (list(room.grades) if room else [])
    subjects = request.args.getlist("room_subject") or list(now) or [request.cookies.get(SUBJECT_COOKIE, "")]
    return Near(
        tuple(grades or [request.cookies.get(GRADE_COOKIE, "")])[:_RECENT],
        tuple(subjects[:_RECENT]),
        tuple(room.editions.items()) if room else (),
    )


class Views:
    """Views of one area, with what they stand on."""

    def __init__(self, board: Board) -> None:
        self.board, self.reader = board, board.reader

    def today(self) -> datetime.datetime | None:
        """Local time, or None when the clock cannot be right."""
        return local_time(self.board)

    def local(self, seconds: float) -> datetime.datetime:
        """A time as the county's clocks show it."""
        return local(self.reader, seconds)

    def collections(self) -> dict[str, CollectionRow]:
        """The county's collections by id, in the release's order."""
        return {name: row for name, row in self.reader.places().items() if not name.startswith(LOCAL)}

    def opened(self, lesson: str, resource: Resource, position: int | None = None) -> tuple[str, bool]:
        """Record that the page was opened; the visit's id, and whether it is recorded. A link that carries
        the visit (the next page, the next question) goes on with it instead.
        """
        carried = request.args.get("v", "")
        going_on = bool(HEX16.fullmatch(carried))
        visit = carried if going_on else secrets.token_hex(8)
        if position is not None:
            note(lesson, resource.id, position)
        kind = "ping" if going_on else "open"
        try:
            self.board.records.record(
                [Event(g.board, lesson, resource.id, resource.kind, visit, kind, None, position, "server")]
            )
        except LessonBoxError as error:
            log.error("opening of %s/%s is not recorded: %s", lesson, resource.id, error)
            return visit, False
        return visit, True

    def hits(self, ids: Sequence[str], shown: Mapping[str, Shown] = MappingProxyType({})) -> dict[str, Any]:
        """Lessons for a list: collection, row, and what is here of it; `shown`: what the index has of it."""
        return {"hits": self.listed(self.reader.rows(ids), shown)}

    def listed(
        self, rows: Sequence[LessonRow], shown: Mapping[str, Shown] = MappingProxyType({})
    ) -> list[tuple[CollectionRow, LessonRow, Outline | Shown | None]]:
        """The same of rows; what the plan says of those that are not here is read with them."""
        collections = self.reader.places()
        outlines = held(self.reader, rows, shown)
        absent = [row.id for row in rows if row.present is None]
        if absent:
            planned = self.reader.planned(absent)
            g.setdefault("planned", {}).update({name: planned.get(name) for name in absent})
        return [
            (collections[row.collection], row, outlines.get(row.id))
            for row in rows
            if row.collection in collections
        ]


class Guarded(Views):
    """Views of which some ask for the PIN."""

    def __init__(self, board: Board, guard: Guard) -> None:
        super().__init__(board)
        self.guard = guard


class OfSchool(Guarded):
    """Views that stand on the school's book."""

    @property
    def school(self) -> School:
        """The school's book. Ends the request with 404 where there is none."""
        if self.board.school is None:
            abort(404)
        return self.board.school
