"""What all pages share: the board that they stand on, what the browser remembers, numbers from addresses."""

from __future__ import annotations

import datetime
import logging
import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from flask import Response, g, request

from appliance.usage.recorder import Event
from content_sync.errors import LessonBoxError
from content_sync.formats.lesson import Resource
from content_sync.ports import CollectionRow

if TYPE_CHECKING:
    from appliance.web.app import Board

log = logging.getLogger(__name__)
RECENT_COOKIE = "recent"
GRADE_COOKIE = "grade"
SUBJECT_COOKIE = "subject"
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


def page_number(name: str, most: int) -> int:
    text = request.args.get(name, "1")
    return min(max(int(text), 1), max(most, 1)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


def room_facts() -> tuple[list[str], list[str]]:
    """Grades and subjects of the room that asks: those of its address, else what this board remembers."""
    grades = request.args.getlist("room_grade") or [request.cookies.get(GRADE_COOKIE, "")]
    subjects = request.args.getlist("room_subject") or [request.cookies.get(SUBJECT_COOKIE, "")]
    return grades[:_RECENT], subjects[:_RECENT]


class Views:
    """Views of one area, with what they stand on."""

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
        going_on = bool(HEX16.fullmatch(carried))
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

    def hits(self, ids: tuple[str, ...]) -> dict[str, Any]:
        collections = self.reader.places()
        hits = [
            (collections[row.collection], row, self.reader.present_lesson(row.id))
            for row in map(self.reader.lesson, ids)
            if row is not None and row.collection in collections
        ]
        return {"hits": hits}
