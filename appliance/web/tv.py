"""Television: pages for a screen across the room, driven by the arrow keys of its remote (static/tv.js).

Lessons, videos, sound, pages and pictures have pages of their own under /tv; all others are the board's, on
which the same keys move the focus, since the television says with a cookie that it is one.
"""

from __future__ import annotations

from flask import abort, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.health.faults import fault_codes
from appliance.school.timetable import minute_of
from appliance.web import shelves
from appliance.web.aisles import aisles
from appliance.web.documents import page_values
from appliance.web.lessons import LessonViews, resource_of
from appliance.web.player import player_values
from appliance.web.remote import lan_address
from appliance.web.schedule import held_word
from appliance.web.today import day_of, has_rooms, stopped, taught_here
from appliance.web.views import GRADE_COOKIE, TV_COOKIE, YEAR, remember
from content_sync.errors import LessonBoxError

_OWN = ("video", "audio", "pages", "picture")


class Television(LessonViews):
    """The pages under /tv."""

    def home(self) -> Answer:
        """What can start now, what was pushed, all shelves. static/tv.js fetches it again and again."""
        room = g.place.room
        day = day_of(self.board, room, taught_here(self.reader), request.cookies.get(GRADE_COOKIE, ""))
        when = day.moment.when
        response = make_response(
            render_template(
                "tv.html",
                today=when,
                moment=day.moment,
                minute=minute_of(when) if when else 0,
                covers=day.covers,
                shelf=shelves.subjects(c for c in self.reader.collections() if c.present),
                aisles=aisles(self.reader),
                subject_of=shelves.subject_of,
                room=room,
                school=self.reader.meta("school_name") or "",
                ask_room=room is None and has_rooms(self.board),
                stopped=stopped,
                held_word=held_word,
                address=lan_address(request.environ),
                codes=self._codes(),
            )
        )
        response.set_cookie(TV_COOKIE, "1", max_age=YEAR, httponly=True, samesite="Lax")
        return response

    def _codes(self) -> list[str]:
        """Fault codes, the worst first: on the box's own screen this page stands where its console was."""
        try:
            found = [str(one["code"]) for one in self.board.status()["problems"]]
        except LessonBoxError as error:
            found = [error.code]
        return fault_codes(found)

    def leave(self) -> Answer:
        """This browser is no television."""
        response: Answer = redirect(url_for("pages.home"))
        response.delete_cookie(TV_COOKIE)
        return response

    def subject(self, subject: str) -> Answer:
        """The volumes of a subject; its lessons where there is only one."""
        found = [c for c in self.reader.collections() if shelves.subject_of(c) == subject and c.lessons]
        if not found:
            abort(404)
        if len(found) == 1:
            return redirect(url_for("tv.volume", collection=found[0].id))
        return make_response(render_template("tv_volumes.html", volumes=shelves.in_order(found)))

    def volume(self, collection: str) -> str:
        """The lessons of a volume, units in order."""
        this = self.collections().get(collection)
        if this is None:
            abort(404)
        units, _ = shelves.spreads(self.reader.lessons(collection))
        return render_template("tv_volume.html", this=this, units=units, subject_id=shelves.subject_of(this))

    def lesson(self, lesson: str) -> str:
        """A lesson with all that it holds."""
        values, found = self.open_lesson(lesson)
        shown = [*(step.resource for step in values["layout"]), *values["beside"]] if found else []
        return render_template("tv_lesson.html", shown=shown, **values)

    def resource(self, lesson: str, resource: str) -> Answer:
        """Full screen; what has no page for televisions opens as on a board."""
        values, found = self.open_lesson(lesson)
        this = resource_of(found, resource)
        if found is None or this is None:
            return redirect(url_for("tv.lesson", lesson=lesson))
        view, position = shelves.view_of(this), None
        if view not in _OWN:
            return redirect(url_for("pages.resource", lesson=lesson, resource=resource))
        values |= {"this": this, "view": view, "main": this.main, "page": 1, "of": 0}
        if view in ("video", "audio"):
            values |= player_values(found, this)
        elif view == "pages":
            values |= page_values(found, this)
            position = values["page"]
        values["visit"], values["recorded"] = self.opened(found.id, this, position)
        response = make_response(render_template("tv_play.html", **values))
        remember(response, found.id, this.id)
        return response
