"""Pushed lessons: cards that wait on home until a teacher opens them or puts them away, and the office's page
from which the school pushes."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from msgspec import Struct
from werkzeug.wrappers import Response as Answer

from appliance.school import cards as book
from appliance.school.cards import Card, Seen
from appliance.school.rooms import rooms
from appliance.web.door import Door
from appliance.web.guard import Guard
from appliance.web.views import OfSchool, is_tv
from content_sync.errors import FormatError, LessonBoxError, TooBigError
from content_sync.formats.policy import MAX_NOTE, parse_cards
from content_sync.ports import CollectionRow, LessonRow

if TYPE_CHECKING:
    from appliance.web.app import Board

log = logging.getLogger(__name__)
#: What the office may choose: name of the field's value -> days that a card waits; 0: until it is taken back.
SPANS = {"today": 1, "week": 7, "month": 30, "always": 0}
_FOUND = 8


class Waiting(Struct, frozen=True):
    """A card on a board, with its lesson as far as the box knows it."""

    card: Card
    collection: CollectionRow | None
    row: LessonRow | None
    seen: Seen | None


class Cards(OfSchool):
    """Cards on boards, and the office's page."""

    def __init__(self, board: Board, guard: Guard) -> None:
        super().__init__(board, guard)
        self._door = Door(60, 60, board.clock.monotonic)

    def _now(self) -> int | None:
        """Unix seconds; None when the clock cannot be right."""
        return int(self.board.clock.wall()) if self.today() else None

    def _county(self) -> list[Card]:
        try:
            told = json.loads(self.reader.meta("cards") or "[]")
            return book.of_policy(parse_cards(told if isinstance(told, list) else []))
        except (LessonBoxError, ValueError) as error:
            log.error("the county's cards: %s", error)
            return []

    def _all(self) -> list[Card]:
        """The county's and the school's, newest first as far as that is known."""
        return [*self._county(), *book.cards(self.school)]

    def _of_board(self) -> list[Waiting]:
        """All cards that are meant for the board that asks, put away or not."""
        if self.board.school is None:
            return []
        room, now = g.place.room, self._now()
        seen = book.seen_in(self.board.school, book.spot_of(room, g.board))
        places = self.reader.places()
        found = []
        for card in self._all():
            if card.meant_for(room) and card.counts(now):
                row = self.reader.lesson(card.lesson)
                found.append(
                    Waiting(card, places.get(row.collection) if row else None, row, seen.get(card.id))
                )
        return found

    def waiting(self) -> list[Waiting]:
        """What home shows: cards that nobody here put away. A book that can't be read shows none."""
        try:
            return [one for one in self._of_board() if one.seen is None or not one.seen.away]
        except LessonBoxError as error:
            log.error("cards: %s", error)
            return []

    def changing(self, seconds: int) -> bool:
        """Whether a card of this board begins or ends within so many seconds."""
        now, room = self._now(), g.place.room
        if self.board.school is None or now is None:
            return False
        try:
            cards = [card for card in self._all() if card.meant_for(room)]
        except LessonBoxError as error:
            log.error("cards: %s", error)
            return False
        return any(at is not None and now <= at <= now + seconds for c in cards for at in (c.begin, c.until))

    def here(self) -> str:
        """All cards of this board."""
        return render_template("cards.html", cards=self._of_board(), day=self.local)

    def change(self) -> Answer:
        """A teacher opens a card, puts it away, or takes it out again."""
        self._door.require()
        asked, identity = request.form.get("do", ""), request.form.get("card", "")
        found = next((one for one in self._of_board() if one.card.id == identity), None)
        home = "tv.home" if is_tv() else "pages.home"
        if asked not in ("open", "away", "out"):
            abort(404)
        if found is None:
            if all(card.id != identity for card in self._all()):
                abort(404)
            return redirect(url_for(home), 303)  # it ended while it stood there
        spot = book.spot_of(g.place.room, g.board)
        away = found.seen is not None and found.seen.away if asked == "open" else asked == "away"
        try:
            book.mark(self.school, identity, spot, asked == "open", away, self._now())
        except TooBigError:
            book.forget(self.school, {card.id for card in self._all()})
            book.mark(self.school, identity, spot, asked == "open", away, self._now())
        if asked == "open" and found.row is not None:
            page = "tv.lesson" if is_tv() else "pages.lesson"
            return redirect(url_for(page, lesson=found.card.lesson), 303)
        return redirect(url_for("cards.here" if request.form.get("here") else home), 303)

    # the office

    def office(self) -> str:
        """What was pushed and what became of it; choose a lesson to push."""
        return self._office(self.guard.require())

    def _office(self, secret: str, wrong: str = "") -> str:
        query = request.values.get("q", "").strip()[:64]
        chosen = self.reader.lesson(request.values.get("lesson", ""))
        hits: list[Any] = []
        if query and chosen is None:
            try:
                hits = self.hits(self.board.index.find(query, limit=_FOUND).ids)["hits"]
            except LessonBoxError as error:
                log.error("search: %s", error)
        school = self.school
        named, places = {room.id: room.name for room in rooms(school)}, self.reader.places()
        seen = book.seen(school)
        pushed = [
            (card, row, places.get(row.collection) if row else None, seen.get(card.id, []))
            for card in self._all()
            for row in (self.reader.lesson(card.lesson),)
        ]
        return render_template(
            "cards_office.html",
            secret=secret,
            wrong=wrong,
            query=query,
            hits=hits,
            chosen=chosen,
            of_chosen=places.get(chosen.collection) if chosen else None,
            rooms=named,
            pushed=pushed,
            now=self._now(),
            note=request.form.get("note", "")[:MAX_NOTE],
            max_note=MAX_NOTE,
            day=self.local,
        )

    def push(self) -> Answer | str:
        """The office pushes a lesson."""
        secret = self.guard.require()
        row, now = self.reader.lesson(request.form.get("lesson", "")), self._now()
        days = SPANS.get(request.form.get("span", "week"))
        if row is None or days is None:
            abort(400)
        chosen = [] if request.form.get("all") else request.form.getlist("room")
        if not chosen and not request.form.get("all"):
            return self._office(secret, "room")
        until = None
        if days and now is not None:  # to the end of its last day
            today = self.local(now)
            until = now + days * 86400 - (today.hour * 3600 + today.minute * 60 + today.second) - 1
        try:
            book.push(self.school, row.id, request.form.get("note", ""), chosen, until, now)
        except FormatError:
            return self._office(secret, "note")
        except TooBigError:
            return self._office(secret, "many")
        return redirect(url_for("cards.office"), 303)

    def withdraw(self) -> Answer:
        """The office takes a card back."""
        self.guard.require()
        book.withdraw(self.school, request.form.get("card", ""))
        return redirect(url_for("cards.office"), 303)


def blueprint(board: Board, guard: Guard) -> Blueprint:
    """The routes, and `waiting_cards()` and `changing_cards()` for home."""
    routes, cards = Blueprint("cards", __name__), Cards(board, guard)
    rules: tuple[tuple[str, str, Any, str], ...] = (
        ("/cards", "here", cards.here, "GET"),
        ("/cards", "change", cards.change, "POST"),
        ("/school/cards", "office", cards.office, "GET"),
        ("/school/cards", "push", cards.push, "POST"),
        ("/school/cards/withdraw", "withdraw", cards.withdraw, "POST"),
    )
    for rule, name, view, method in rules:
        routes.add_url_rule(rule, name, view, methods=[method])
    routes.add_app_template_global(cards.waiting, "waiting_cards")
    routes.add_app_template_global(cards.changing, "changing_cards")
    return routes
