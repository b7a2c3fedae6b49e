"""Who teaches, the sheet after a class, what the school keeps of its classes: optional, never in the way."""

from __future__ import annotations

import datetime
import logging
import re
from typing import TYPE_CHECKING, Any

from flask import Blueprint, abort, g, make_response, redirect, render_template, request, url_for
from msgspec import Struct
from msgspec.structs import replace
from werkzeug.wrappers import Response as Answer

from appliance.school import sheets
from appliance.school.classes import MODES, TEACH, TRAIN, WATCH
from appliance.school.sheets import Kept, Score, Week
from appliance.school.tally import Library, Tally
from appliance.school.teachers import Teacher, enter, teacher, teachers
from appliance.web import selftest
from appliance.web.door import Door
from appliance.web.guard import Guard
from appliance.web.i18n import N_
from appliance.web.views import OfSchool
from content_sync.adapters.sqlite import StateReader
from content_sync.core.timefloor import TimeFloor
from content_sync.errors import FormatError, LessonBoxError, NotFoundError, PinError
from content_sync.formats.shelf import shelf_of

if TYPE_CHECKING:
    from appliance.web.app import Board

log = logging.getLogger(__name__)
#: A page of this box, with its query.
_OWN = re.compile(r"/(?!/)[A-Za-z0-9._~%/?&=:-]*")
_WEEK = re.compile(r"n\d{1,12}|\d{4}-\d{2}-\d{2}")
KIND_WORDS = {TEACH: N_("上课"), WATCH: N_("听课"), TRAIN: N_("研修")}
#: Field of the sheet -> (what is asked, the answers from the best down).
QUESTIONS = {
    "fit": (N_("资源适用吗"), (N_("适用"), N_("部分适用"), N_("不适用"))),
    "pupils": (N_("学生反应"), (N_("积极"), N_("一般"), N_("听不懂"))),
    "machine": (N_("设备情况"), (N_("正常"), N_("有点卡"), N_("出了故障"))),
}


class Teaching(Struct, frozen=True):
    """Who teaches at this board, as its pages show it."""

    name: str
    mode: str
    done: int
    goal: int
    minutes: int


class Classes(OfSchool):
    """The views. Without the school's book there is nobody to choose."""

    def __init__(self, board: Board, guard: Guard) -> None:
        super().__init__(board, guard)
        # three taps a board where forty stand behind one address
        self._door = Door(120, 600, board.clock.monotonic)

    @property
    def tally(self) -> Tally:
        """What counts; 404 where nothing does."""
        if self.board.tally is None:
            abort(404)
        return self.board.tally

    def _room(self) -> str | None:
        return g.place.room.id if g.place.room is not None else None

    def _goal(self) -> int:
        """Classes that a teacher should hold a term: what the county said, else the box's own setting."""
        return self.reader.class_goal() or self.board.class_goal

    def _since(self) -> int | None:
        """When the term began, if the county said it."""
        term, offset = self.reader.term()
        if term is None:
            return None
        begin = datetime.datetime.combine(term.start, datetime.time(), datetime.UTC)
        return int(begin.timestamp()) - offset * 60

    def scores(self) -> dict[str, Score]:
        """Teacher -> classes of this term, those of this hour too."""
        return sheets.scores(self.school, self._since(), self.tally.unsettled())

    def teaching(self) -> Teaching | None:
        """For every page of a lesson: who teaches here, `None` for nobody. Never a reason not to show it."""
        if self.board.school is None or self.board.tally is None or g.get("new_board"):
            return None
        try:
            now = self.tally.now(g.board, self._room())
            found = teacher(self.school, now.teacher) if now is not None else None
            if now is None or found is None:
                return None
            score = self.scores().get(found.id, Score())
        except LessonBoxError as error:
            log.error("who teaches: %s", error)
            return None
        done = score.watch if now.mode == WATCH else score.teach
        return Teaching(found.name, now.mode, done, self._goal(), now.seconds // 60)

    def anybody(self) -> bool:
        """Whether there is anybody to choose: only then pages ask."""
        if self.board.school is None or self.board.tally is None:
            return False
        try:
            return bool(teachers(self.board.school))
        except LessonBoxError:
            return False

    # who teaches

    def _next(self) -> str:
        following = request.values.get("next", "")
        return following if _OWN.fullmatch(following) else url_for("pages.home")

    def who(self) -> Answer:
        mode = request.values.get("mode", TEACH)
        if mode not in MODES:
            abort(400)
        chosen = (
            teacher(self.school, request.values.get("teacher", "")) if "teacher" in request.values else None
        )
        if request.method == "GET" or chosen is None or chosen.gone:
            return self._choose(mode)
        if chosen.locked and "pin" not in request.form:
            return self._ask(chosen, mode, "", 200)
        try:
            enter(self.school, chosen.id, request.form.get("pin", ""), self.board.clock)
        except PinError as error:
            return self._ask(chosen, mode, error.what, 403)
        self._door.require()
        self.tally.tap(chosen.id, g.board, self._room(), mode)
        return redirect(self._next(), 303)

    def _choose(self, mode: str) -> Answer:
        scores = self.scores()
        return make_response(
            render_template(
                "who.html", mode=mode, next=self._next(), goal=self._goal(),
                people=[(one, scores.get(one.id, Score())) for one in teachers(self.school)],
                now=self.teaching(),
            )
        )  # fmt: skip

    def _ask(self, chosen: Teacher, mode: str, said: str, status: int) -> Answer:
        wait = said.rpartition(" in ")[2].removesuffix(" s")
        page = render_template(
            "who_pin.html", teacher=chosen, mode=mode, next=self._next(), wrong=said.startswith("wrong"),
            wait=int(wait) if wait.isdigit() else 0,
        )  # fmt: skip
        return make_response(page, status)

    def over(self) -> Answer:
        """下课: to the sheet, which nobody has to fill in."""
        tap = self.tally.over(g.board, self._room())
        return redirect(url_for("classes.sheet", tap=tap) if tap else self._next(), 303)

    def sheet(self, tap: str) -> Answer:
        """The board where the class was may fill in its sheet, and who has the school's PIN."""
        found = sheets.tapped(self.school, tap)
        person = teacher(self.school, found[0]) if found else None
        if found is None or person is None:
            abort(404)
        secret = self.guard.secret() if found[1] == g.board else self.guard.require()
        said, status = "", 200
        if request.method == "POST":
            try:
                sheets.save_sheet(self.school, tap, sheets.check_sheet(request.form))
                return redirect(url_for("classes.overview"), 303)
            except (FormatError, NotFoundError) as error:
                said, status = error.what, 400
        kinds = {one.kind for one in self.tally.unsettled() if one.tap == tap}
        kinds |= sheets.kinds_of(self.school, tap)
        sheet = sheets.sheet_of(self.school, tap) or sheets.Sheet()
        tried, solved = selftest.figures(tap)
        played = bool(tried) and sheet.tried is None
        training = TRAIN in kinds or played or sheet.tried is not None
        if played:
            sheet = replace(sheet, tried=tried, solved=solved)
        page = render_template(
            "class_sheet.html", tap=tap, person=person, questions=QUESTIONS, said=said,
            sheet=_as_sent() if said else sheet, counted=bool(kinds), training=training, played=played,
            secret=secret or "",
        )  # fmt: skip
        return make_response(page, status)

    def term(self) -> Answer:
        """Begin a new term, after a second tap: no page takes it back."""
        secret = self.guard.require()
        if request.method == "GET":
            kept = sheets.scores(self.school, self._since())  # what is not settled yet counts in the new one
            page = render_template("term_gone.html", secret=secret, scores=list(kept.values()))
            return make_response(page)
        sheets.begin_term(self.school)
        return redirect(url_for("classes.teachers"), 303)

    # what the school keeps

    def overview(self) -> str:
        people = teachers(self.school)
        scores = self.scores()
        return render_template(
            "classes.html", people=[(one, scores.get(one.id, Score())) for one in people],
            goal=self._goal(), weeks=self._weeks(), day=_day, school=self._name(),
            fresh=self._mine(),
        )  # fmt: skip

    def _mine(self) -> str | None:
        """The class of this board that has no sheet yet."""
        now = self.tally.now(g.board, self._room())
        return now.tap if now is not None else None

    def _weeks(self) -> list[Week]:
        return sheets.weeks(self.school, self.reader.term()[1])

    def _name(self) -> str:
        return self.reader.meta("school_name") or ""

    def week(self, week: str) -> str:
        """A week on paper, of the school or of one teacher. Notes are for who has the school's PIN."""
        if not _WEEK.fullmatch(week):
            abort(404)
        found = next((one for one in self._weeks() if one.key == week), None)
        if found is None:
            abort(404)
        person = teacher(self.school, request.args["teacher"]) if request.args.get("teacher") else None
        classes = [one for one in found.classes if person is None or one.teacher == person.id]
        names = {one.teacher: one.name for one in found.classes}
        return render_template(
            "class_week.html", week=found, classes=classes, person=person, names=names, day=_day,
            counts=sheets.sum_up(classes), scores=self.scores(), goal=self._goal(),
            kinds_of=KIND_WORDS, questions=QUESTIONS, school=self._name(), minutes_of=_minutes,
            notes=self.guard.secret() is not None,
        )  # fmt: skip


def _as_sent() -> dict[str, Any]:
    """A sheet with a mistake in it, as it was filled in."""
    choices: dict[str, Any] = {name: request.form.get(name, 0, int) for name in QUESTIONS}
    return choices | {name: request.form.get(name, "") for name in ("note", "solved", "tried")}


def _day(day: datetime.date) -> dict[str, int]:
    return {"year": day.year, "month": day.month, "day": day.day}


def _minutes(classes: list[Kept]) -> int:
    return sum(one.seconds for one in classes) // 60


def counted(reader: StateReader) -> Library:
    """What counting asks of the library, from state.db."""

    def title(lesson: str) -> str:
        row = reader.lesson(lesson)
        return row.title if row is not None else lesson

    def training(lesson: str) -> bool:
        row = reader.lesson(lesson)
        place = reader.places().get(row.collection) if row is not None else None
        return place is not None and shelf_of(place.stage) == "training"

    def floor() -> TimeFloor:
        try:
            return TimeFloor.stored(reader.meta("floor"))
        except LessonBoxError:
            return TimeFloor()

    return Library(title, training, floor, lambda: reader.term()[1])


def blueprint(board: Board, guard: Guard) -> Blueprint:
    """The routes. Templates get `teaching()` and `teachers_listed()`."""
    routes = Blueprint("classes", __name__)
    classes = Classes(board, guard)
    rules: tuple[tuple[str, str, Any, tuple[str, ...]], ...] = (
        ("/who", "who", classes.who, ("GET", "POST")),
        ("/who/over", "over", classes.over, ("POST",)),
        ("/school/teachers/term", "term", classes.term, ("GET", "POST")),
        ("/classes", "overview", classes.overview, ("GET",)),
        ("/classes/week/<week>", "week", classes.week, ("GET",)),
        ("/classes/sheet/<tap>", "sheet", classes.sheet, ("GET", "POST")),
    )
    for rule, name, view, methods in rules:
        routes.add_url_rule(rule, name, view, methods=list(methods))

    @routes.record_once
    def give(state: Any) -> None:
        state.app.jinja_env.globals.update(teaching=classes.teaching, teachers_listed=classes.anybody)

    return routes
