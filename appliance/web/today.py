"""Home: what this board can start now."""

from __future__ import annotations

from flask import Response, make_response, render_template, request

from appliance.web import shelves
from appliance.web.views import GRADE_COOKIE, YEAR, Views, recent
from content_sync.formats.lesson import Lesson, Resource
from content_sync.ports import CollectionRow


class Today(Views):
    """The home page."""

    def home(self) -> Response:
        collections = self.collections()
        today = self.today()
        wished = request.args.get("grade", "")
        first = wished or request.cookies.get(GRADE_COOKIE, "")
        volume = shelves.season_volume(today.date() if today else None)
        grades = shelves.by_grade(collections.values(), volume)
        covers = shelves.covers(self.reader, [lesson for lesson, _ in recent()], grades, first, volume)
        new = shelves.arrivals(self.reader, self.board.clock.wall())
        counts = {name: self.reader.count(state=name) for name in ("present", "arriving", "wanted")}
        response = make_response(
            render_template(
                "home.html",
                today=today,
                covers=covers,
                collections=collections,
                grades=list(grades),
                new=new,
                last=self.last_opened(collections),
                counts=counts,
                problems=self.reader.problems(),
                shelf=shelves.subjects(collections.values()),
                subject_of=shelves.subject_of,
                school=self.reader.meta("school_name") or "",
                shown=[cover.collection.grade for cover in covers],
            )
        )
        if wished in grades:
            response.set_cookie(GRADE_COOKIE, wished, max_age=YEAR, httponly=True, samesite="Lax")
        return response

    def last_opened(
        self, collections: dict[str, CollectionRow]
    ) -> tuple[CollectionRow, Lesson, Resource] | None:
        for identity, resource_id in recent():
            lesson = self.reader.present_lesson(identity)
            resource = next((r for r in lesson.resources if r.id == resource_id), None) if lesson else None
            if lesson and resource and lesson.collection in collections:
                return collections[lesson.collection], lesson, resource
        return None
