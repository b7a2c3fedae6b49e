"""Home: what this board can start now."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flask import Response, current_app, g, make_response, render_template, request
from msgspec import Struct
from msgspec.structs import replace

from appliance.school.rooms import Room, rooms
from appliance.school.timetable import minute_of, turn
from appliance.web import shelves
from appliance.web.choosing import MOST, Choosing, Cover, Taught
from appliance.web.i18n import gettext, language
from appliance.web.resume import last_open, stopped_in
from appliance.web.schedule import Moment, held_word, moment
from appliance.web.views import GRADE_COOKIE, RECENT_COOKIE, YEAR, Views, recent
from appliance.web.words import minutes
from content_sync.adapters.kept import Kept
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import LessonBoxError
from content_sync.formats.lesson import Lesson, Resource
from content_sync.formats.shelf import LOCAL
from content_sync.ports import CollectionRow

if TYPE_CHECKING:
    from appliance.web.app import Board

#: Lessons that a room had open last, as far back as matters.
_REMEMBERED = 40
#: Characters of home pages that are kept, twice.
_KEPT = 1 << 20
#: Minutes that a home may be kept, where no timetable and no card's begin or end makes it another one
#: meanwhile: a day ends where such a quarter does, in any zone.
_QUARTER = 15
#: Grades whose titles stand with their pinyin.
_FIRST_READERS = ("一年级", "二年级")


class Day(Struct, frozen=True):
    """What home shows of a room's day: its covers, and all the grades to choose from."""

    moment: Moment
    covers: list[Cover]
    grades: list[str]


class Made(Struct, frozen=True):
    """Home as it is sent: the page, its mark, the grade that was chosen on it, whether it is another one in
    a minute."""

    page: str
    mark: str
    grade: str
    timed: bool


def day_of(board: Board, room: Room | None, taught: Sequence[Taught] = (), first: str = "") -> Day:
    """The day of a room, or of a board that stands in none. `first`: the grade that comes first where there
    are more than fit."""
    now = moment(board, room)
    collections = [c for c in board.reader.places().values() if not c.id.startswith(LOCAL)]
    choosing = Choosing(board.reader, collections, room, now.volume, now.week, taught)
    grades = shelves.by_grade(collections, now.volume, room.grades if room else ())
    if room is None:
        return Day(now, choosing.by_grade(grades, first), list(grades))
    covers: list[Cover] = []
    own = _turned(room.grades, first)
    if now.table is not None and now.when is not None:
        coming = {grade: now.table.coming(now.when, now.week, grade) for grade in own}
        covers = [
            _at(cover, room, now) for cover in choosing.by_timetable({g: c for g, c in coming.items() if c})
        ]
    if not covers:
        covers = choosing.by_grade({grade: grades[grade] for grade in own if grade in grades}, first, MOST)
    return Day(now, covers, list(room.grades))


def _turned(grades: Sequence[str], first: str) -> list[str]:
    """The grades in their order; where they don't fit side by side, beginning with the one asked for."""
    if first not in grades or len(grades) <= MOST:
        return list(grades)
    place = list(grades).index(first)
    return [*grades[place:], *grades[:place]]


def _at(cover: Cover, room: Room, now: Moment) -> Cover:
    """A cover of the timetable, told whether it is on, and whose turn it is."""
    if cover.held is None or now.when is None or now.period != cover.held.period or cover.held.ahead:
        return cover
    minute = minute_of(now.when)
    return replace(cover, on=True, turn=turn(room, cover.grade, cover.held.period, minute))


def _shelf(covers: Sequence[Cover], collections: Sequence[CollectionRow]) -> list[CollectionRow]:
    """What stands on home's shelf: the subjects of the stages (小学, 初中) that the covers are of; of all
    where there are none."""
    stages = {cover.collection.stage for cover in covers if cover.collection}
    return shelves.subjects([c for c in collections if c.stage in stages] if stages else collections)


def taught_here(reader: StateReader) -> list[Taught]:
    """What this room had open, newest first: as the school's book has it, then as the browser remembers.
    A recording that ran to its end ends a lesson of one period."""
    found: dict[str, Taught] = {}
    for one in last_open(_REMEMBERED):
        over = False
        if one.position == 0:
            row = reader.lesson(one.lesson)
            over = row is not None and row.periods <= 1
        found.setdefault(one.lesson, Taught(one.lesson, over))
    for lesson, _ in recent():
        found.setdefault(lesson, Taught(lesson))
    return list(found.values())


def has_rooms(board: Board) -> bool:
    """Whether the school has rooms that a board could stand in."""
    if board.school is None:
        return False
    try:
        return bool(rooms(board.school))
    except LessonBoxError:
        return False


def stopped(lesson: Lesson, resource: Resource | None = None) -> str:
    """Where the class stopped in a lesson's recording, or in a resource of it; `` at its beginning or end."""
    at = stopped_in(lesson.id)
    for one in [resource] if resource else lesson.resources:
        position = at.get(one.id, 0)
        if position <= 1:
            continue
        if one.kind in ("video", "recorded", "audio"):
            told = gettext("停在 %(time)s") % {"time": f"{position // 60}:{position % 60:02d}"}
            left = (one.seconds or 0) - position
            return told + (
                gettext("，还剩%(time)s") % {"time": minutes(left)} if resource and left > 0 else ""
            )
        if resource and one.with_role("page"):
            return gettext("停在第%(n)s页") % {"n": position}
    return ""


class Today(Views):
    """The home page, which every board opens again and again: made once of the same state of everything
    that stands on it."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._made, self._still = (Kept(_KEPT, lambda made: len(made.page)) for _ in range(2))

    def home(self) -> Response:
        """Home; who has it already (today.js asks each minute) is told so."""
        state, asked, minute = self._state(), self._asked(), int(self.board.clock.wall() // 60)
        made = self._still.get((state, minute // _QUARTER), asked, self._make)
        if made.timed:
            made = self._made.get((state, minute), asked, self._make)
        response = make_response(made.page)
        if made.grade:
            response.set_cookie(GRADE_COOKIE, made.grade, max_age=YEAR, httponly=True, samesite="Lax")
        response.set_etag(made.mark)
        response.make_conditional(request)
        return response

    def _state(self) -> object:
        """What home is made of but for who asks and the clock: both books, the places not yet written, the
        index."""
        try:
            book = self.board.school.version() if self.board.school is not None else 0
        except LessonBoxError:
            return object()  # like no other
        noted = g.places.noted if g.places is not None else 0
        return self.reader.version(), book, noted, self.board.index.version()

    def _asked(self) -> tuple[object, ...]:
        """Who asks for what. A board that nobody has seen before is like any other such."""
        shared: Mapping[str, Any] = current_app.jinja_env.globals
        return (
            "" if g.new_board else g.board,
            language(),
            request.root_path,
            request.full_path,
            request.cookies.get(RECENT_COOKIE),
            request.cookies.get(GRADE_COOKIE),
            shared["is_tv"](),
            shared["remote_phones"](),
        )

    def _make(self) -> Made:
        room = g.place.room
        wished = request.args.get("grade", "")
        first = wished or request.cookies.get(GRADE_COOKIE, "")
        day = day_of(self.board, room, taught_here(self.reader), first)
        collections = self.collections()
        new = shelves.arrivals(self.reader, self.board.clock.wall())
        page = render_template(
            "home.html",
            today=day.moment.when,
            moment=day.moment,
            minute=minute_of(day.moment.when) if day.moment.when else 0,
            covers=day.covers,
            collections=collections,
            grades=day.grades,
            shown=[cover.grade for cover in day.covers],
            new=new,
            last=self.last_opened(collections),
            present=sum(c.present for c in collections.values()),
            coming=sum(c.lessons - c.present for c in collections.values()),
            problems=self.reader.problems(),
            shelf=_shelf(day.covers, list(collections.values())),
            subject_of=shelves.subject_of,
            school=self.reader.meta("school_name") or "",
            room=room,
            ask_room=room is None and has_rooms(self.board),
            stopped=stopped,
            spoken=self.spoken,
            held_word=held_word,
        )
        shared: Mapping[str, Any] = current_app.jinja_env.globals
        timed = day.moment.table is not None or shared["changing_cards"](_QUARTER * 60)
        mark = hashlib.sha256(page.encode()).hexdigest()[:16]
        return Made(page, mark, wished if wished in day.grades else "", timed)

    def spoken(self, cover: Cover) -> list[str]:
        """The syllables of a title that first readers see with them (look.md, ruled title)."""
        if cover.row is None or cover.grade not in _FIRST_READERS:
            return []
        found = self.board.index.spoken(cover.row.collection, cover.row.id).split()
        return found if len(found) == len(cover.row.title) else []

    def last_opened(
        self, collections: dict[str, CollectionRow]
    ) -> tuple[CollectionRow, Lesson, Resource] | None:
        """Where to go on: what the room had open last; a board that stands in none remembers by itself."""
        of_room = [(one.lesson, one.resource) for one in last_open()]
        for identity, resource_id in [*of_room, *recent()] if g.place.room else [*recent(), *of_room]:
            lesson = self.reader.present_lesson(identity)
            resource = next((r for r in lesson.resources if r.id == resource_id), None) if lesson else None
            if lesson and resource and lesson.collection in collections:
                return collections[lesson.collection], lesson, resource
        return None
