"""Baskets (备课篮): filling and ordering them needs no PIN; to share one as the school's own lesson does, and
to throw one away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import abort, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.school import baskets as book
from appliance.school import uploads
from appliance.school.baskets import Basket, Item
from appliance.web import words
from appliance.web.door import Door
from appliance.web.guard import Guard
from appliance.web.local import GRADES, OTHER
from appliance.web.views import OfSchool
from content_sync.errors import LocalError
from content_sync.formats.local import ANY_GRADE, LocalRequest, heading

if TYPE_CHECKING:
    from appliance.web.app import Board


class BasketPages(OfSchool):
    """The views."""

    def __init__(self, board: Board, guard: Guard) -> None:
        super().__init__(board, guard)
        self._new = Door(40, 600, board.clock.monotonic)
        self._put = Door(300, 600, board.clock.monotonic)

    def _basket(self, identity: str) -> Basket:
        found = book.basket(self.school, identity) if book.is_basket_id(identity) else None
        if found is None:
            abort(404)
        return found

    def baskets(self) -> str:
        """All baskets."""
        return render_template("baskets.html", baskets=book.all_baskets(self.school))

    def make(self) -> Answer:
        """A new one."""
        self._new.require()
        try:
            made = book.make(self.school, request.form.get("name", ""))
        except LocalError:
            abort(400)
        return redirect(url_for("baskets.basket", basket=made), 303)

    def add(self) -> Answer:
        """Put a resource that is here into the basket that this board fills."""
        lesson, resource = request.form.get("lesson", ""), request.form.get("resource", "")
        found = self.reader.present_lesson(lesson)
        this = next((r for r in found.resources if r.id == resource), None) if found else None
        wanted = request.form.get("basket", "") or None
        if found is None or this is None or (wanted and not book.is_basket_id(wanted)):
            abort(404)
        self._put.require()
        if not wanted and book.current(self.school, g.board) is None:
            self._new.require()  # it makes one
        item = Item(found.id, this.id, this.title, this.kind, found.title)
        try:
            target = book.put(self.school, g.board, wanted, item)
        except LocalError:
            abort(400)
        return redirect(url_for("baskets.basket", basket=target, lesson=found.id, resource=this.id), 303)

    def _from(self) -> str:
        """The resource that was put in just now: a teacher goes on from there."""
        lesson, resource = request.args.get("lesson", ""), request.args.get("resource", "")
        if not resource or self.reader.present_lesson(lesson) is None:
            return ""
        return url_for("pages.resource", lesson=lesson, resource=resource)

    def basket(self, basket: str) -> str:
        """One basket, in order; what is not here any more is grey."""
        found = self._basket(basket)
        rows = []
        for item in found.items:
            lesson = self.reader.present_lesson(item.lesson)
            here = next((r for r in lesson.resources if r.id == item.resource), None) if lesson else None
            rows.append((item, here, lesson))
        places, colls = self.reader.places(), [self.reader.lesson(i.lesson) for i in found.items]
        first = next((places[r.collection] for r in colls if r and r.collection in places), None)
        shared = self.reader.present_lesson(found.lesson) if found.lesson else None
        asked = uploads.waiting(self.board.incoming) if self.board.incoming is not None else []
        return render_template(
            "basket.html",
            came_from=self._from(),
            this=found,
            rows=rows,
            first=first,
            shared=shared,
            busy=any(w.lesson == found.lesson for w in asked if found.lesson),
            known_pin=self.guard.secret(),
            subjects=list(dict.fromkeys([*words.SUBJECT_NAMES, OTHER])),
            grades=[*GRADES, ANY_GRADE],
        )

    def change(self, basket: str) -> Answer:
        """Another name, another order, one less."""
        found, form, school = self._basket(basket), request.form, self.school
        if "name" in form:
            book.rename(school, found.id, form["name"])
        for name, do in (("up", book.move_up), ("out", book.take_out)):
            lesson, _, resource = form.get(name, "").partition("/")
            if resource:
                do(school, found.id, lesson, resource)
        return redirect(url_for("baskets.basket", basket=found.id), 303)

    def away(self, basket: str) -> Answer:
        """Throw it away, after a second tap: it may be anybody's."""
        secret = self.guard.require()
        found = self._basket(basket)
        if request.method == "GET":
            shared = self.reader.present_lesson(found.lesson) if found.lesson else None
            page = render_template("basket_gone.html", secret=secret, this=found, shared=shared)
            return make_response(page)
        book.throw_away(self.school, found.id)
        return redirect(url_for("baskets.baskets"), 303)

    def share(self, basket: str) -> Answer:
        """Make a lesson of the school's own of it, or make that what the basket is now."""
        if self.guard.secret() is None:
            back = url_for("baskets.basket", basket=basket) if book.is_basket_id(basket) else None
            return redirect(url_for("guard.pin", next=back), 303)
        self.guard.require()
        found = self._basket(basket)
        if self.board.incoming is None or not found.items:
            abort(400)
        head = heading(found.name, request.form.get("subject", ""), request.form.get("grade", ""))
        lesson = book.shared_as(self.school, found.id)
        items = tuple((item.lesson, item.resource) for item in found.items)
        uploads.leave(self.board.incoming, LocalRequest("basket", lesson, head, items=items))
        return redirect(url_for("baskets.basket", basket=found.id), 303)
