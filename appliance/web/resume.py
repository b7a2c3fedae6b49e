"""Where the class stopped, as pages ask and tell it. A book that can't be read or written costs no page."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from flask import g

from appliance.school.places import Places, Stopped, spots
from appliance.usage.recorder import Event
from content_sync.errors import LessonBoxError

log = logging.getLogger(__name__)
_RESTS = ("pause", "close")


def _places() -> Places | None:
    found: Places | None = g.get("places")
    return found


def note(lesson: str, resource: str, position: int, rest: bool = False) -> None:
    """The class of this board is there now."""
    places = _places()
    if places is None or g.new_board:  # a browser that keeps no cookie is another one each time
        return
    try:
        places.note(spots(g.place, g.board)[0], lesson, resource, position, rest)
    except LessonBoxError as error:
        log.error("where the class stopped is not kept: %s", error)


def note_events(events: Sequence[Event]) -> None:
    """The same from what pages report: the last position of each resource; at the end it begins anew."""
    for number, event in enumerate(events):
        later = any((e.lesson, e.resource) == (event.lesson, event.resource) for e in events[number + 1 :])
        if event.type == "ended":
            note(event.lesson, event.resource, 0, True)
        elif event.position is not None and not later:
            ended = any(e.type == "ended" and e.visit == event.visit for e in events[:number])
            if not ended:
                note(event.lesson, event.resource, max(1, event.position), event.type in _RESTS)  # 0: the end


def stopped_at(lesson: str, resource: str) -> int | None:
    """The second, page or question; None when the class never had it open."""
    places = _places()
    if places is None:
        return None
    try:
        return places.where(spots(g.place, g.board), lesson, resource)
    except LessonBoxError as error:
        log.error("where the class stopped is not known: %s", error)
        return None


def stopped_in(lesson: str) -> dict[str, int]:
    """Where it stopped in each resource of a lesson."""
    places = _places()
    if places is None:
        return {}
    try:
        return places.in_lesson(spots(g.place, g.board), lesson)
    except LessonBoxError as error:
        log.error("where the class stopped is not known: %s", error)
        return {}


def last_open(most: int = 10) -> list[Stopped]:
    """What this room had open last, newest first, one of each lesson."""
    places = _places()
    if places is None:
        return []
    try:
        return places.last(spots(g.place, g.board), most)
    except LessonBoxError as error:
        log.error("what was open last is not known: %s", error)
        return []
