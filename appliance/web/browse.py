"""The shelves: volumes by grade and by subject, the special shelves, what is new."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.web import shelves, words
from appliance.web.aisles import SHELVES, aisles
from appliance.web.views import GRADE_COOKIE, YEAR, Views, page_number, recent
from content_sync.formats.shelf import shelf_of
from content_sync.ports import CollectionRow, LessonRow

#: With so many volumes at most all stand on one page; with more a grade is chosen first.
_FEW = 12
#: Kinds to choose from: what fits beside a volume.
_KINDS = 5
_LISTED = 40
_OF_SERIES = 6


def kinds_of(rows: Iterable[LessonRow]) -> dict[str, int]:
    """The kinds that lessons hold, those that most have first, and how many lessons have each."""
    found: dict[str, int] = {}
    for row in rows:
        for kind in row.kinds:
            if kind in words.KIND_WORDS:
                found[kind] = found.get(kind, 0) + 1
    order = list(words.KIND_WORDS)
    return dict(sorted(found.items(), key=lambda item: (-item[1], order.index(item[0])))[:_KINDS])


class Browse(Views):
    """Pages to walk through the library."""

    def browse(self, subject: str | None = None) -> Answer:
        if subject is not None:
            return self._subject(subject)
        books = [c for c in self.collections().values() if shelves.is_textbook(c)]
        grades = list(dict.fromkeys(c.grade for c in shelves.in_order(books)))
        wished = request.args.get("grade", "")
        shown = self._shown(grades, wished, len(books))
        today = self.today()
        volume = shelves.season_volume(today.date() if today else None)
        groups = []
        for grade in shown:
            its = self._ours([c for c in books if c.grade == grade])
            now = [c for c in its if c.volume in (volume, "全一册") or not volume]
            groups.append((grade, now or its, [c for c in its if c not in now] if now else []))
        response = make_response(
            render_template(
                "browse.html", groups=groups, grades=grades, shown=shown, aisles=aisles(self.reader)
            )
        )
        if wished in grades:
            response.set_cookie(GRADE_COOKIE, wished, max_age=YEAR, httponly=True, samesite="Lax")
        return response

    def _shown(self, grades: list[str], wished: str, volumes: int) -> list[str]:
        """The grades to show: the one asked for, else those of the room, else all of few, else the last."""
        room = g.place.room
        for chosen in ([wished], room.grades if room else (), grades if volumes <= _FEW else ()):
            if found := [grade for grade in grades if grade in chosen]:
                return found
        kept = request.cookies.get(GRADE_COOKIE, "")
        return [kept] if kept in grades else grades[:1]

    def _ours(self, books: list[CollectionRow]) -> list[CollectionRow]:
        """The volumes of a grade without other editions of what the room has an edition of."""
        editions = g.place.room.editions if g.place.room else {}
        has = {(c.subject, c.edition) for c in books}
        return [
            c
            for c in books
            if (c.subject, editions.get(c.subject)) not in has or c.edition == editions[c.subject]
        ]

    def _subject(self, subject: str) -> Answer:
        chosen = [
            c
            for c in self.collections().values()
            if shelves.subject_of(c) == subject and shelves.is_textbook(c)
        ]
        if not chosen:
            abort(404)
        if len(chosen) == 1:
            return redirect(url_for("pages.volume", collection=chosen[0].id))
        kind = request.args.get("kind", "")
        rows = [row for c in shelves.in_order(chosen) for row in self.reader.lessons(c.id)]
        kinds = kinds_of(rows)
        values: dict[str, Any] = {"this": chosen[0], "of": subject, "kinds": kinds, "kind": kind}
        if kind in kinds:
            return make_response(render_template("subject.html", **values, **self._listing(rows, kind)))
        room = g.place.room
        ours = room.editions.get(chosen[0].subject) if room else None
        editions: dict[str, list[CollectionRow]] = {}
        for c in sorted(chosen, key=lambda c: (c.edition != ours, c.position)):
            editions.setdefault(c.edition, []).append(c)
        groups = [(edition, shelves.in_order(its)) for edition, its in editions.items()]
        return make_response(render_template("subject.html", **values | {"kind": ""}, groups=groups, hits=[]))

    def _listing(self, rows: list[LessonRow], kind: str) -> dict[str, Any]:
        """A page of the lessons that hold a kind: those of the room's grades first, then what is here."""
        places = self.reader.places()
        near = g.place.room.grades if g.place.room else (request.cookies.get(GRADE_COOKIE, ""),)
        having = [row for row in rows if kind in row.kinds]
        having.sort(key=lambda row: (places[row.collection].grade not in near, row.present is None))
        page = page_number("page", -(-len(having) // _LISTED))
        part = having[(page - 1) * _LISTED : page * _LISTED]
        return {
            "hits": self.listed(part),
            "total": len(having),
            "page": page,
            "more": len(having) > page * _LISTED,
        }

    def shelf(self, shelf: str) -> str:
        if shelf not in SHELVES:
            abort(404)
        series = [c for c in self.collections().values() if shelf_of(c.stage) == shelf]
        groups = [
            (c, self.listed(self.reader.lessons(c.id, limit=_OF_SERIES + 1)))
            for c in sorted(series, key=lambda c: (c.stage, c.position))
        ]
        recorded: dict[str, Any] = {"hits": [], "total": 0, "page": 1, "more": False}
        if shelf == "recorded":
            own = {c.id for c in series}
            having = [row for row in self.reader.with_kind("recorded") if row.collection not in own]
            recorded = self._listing(having, "recorded")
        return render_template(
            "shelf.html", shelf=shelf, name=SHELVES[shelf][0], groups=groups, most=_OF_SERIES, **recorded
        )

    def volume(self, collection: str) -> str:
        found = self.reader.places()
        if collection not in found:
            abort(404)
        this = found[collection]
        rows = self.reader.lessons(collection)
        kinds = kinds_of(rows)
        kind = request.args.get("kind", "")
        kind = kind if kind in kinds else ""
        chosen = [row for row in rows if not kind or kind in row.kinds]
        units, opened = shelves.spreads(chosen)
        siblings = [
            c
            for c in found.values()
            if (c.stage, c.subject, c.edition, c.grade)
            == (this.stage, this.subject, this.edition, this.grade)
            and c.id != this.id
            and shelves.is_textbook(c)
        ]
        lessons = {row.id: lesson for _, row, lesson in self.listed(chosen)}
        new = {row.id for row in shelves.arrivals(self.reader, self.board.clock.wall())}
        last = next((lesson for lesson, _ in recent() if lessons.get(lesson)), None)
        taught = next((u.anchor for u in units if any(row.id == last for row in u.rows)), 1)
        return render_template(
            "volume.html",
            this=this,
            units=units,
            numbers=shelves.numbers(len(units), request.args.get("unit", 0, type=int) or taught),
            spreads=opened,
            siblings=siblings,
            lessons=lessons,
            new=new,
            last=last,
            kinds=kinds if len(kinds) > 1 else {},
            kind=kind,
            book=shelves.is_textbook(this),
            up=self._up(this),
        )

    def _up(self, this: CollectionRow) -> str:
        """Where the volume was found."""
        if shelf := shelf_of(this.stage):
            return url_for("pages.shelf", shelf=shelf)
        if not shelves.is_textbook(this):
            return url_for("pages.browse")
        return url_for("pages.browse", grade=this.grade)

    def new(self) -> str:
        rows = shelves.arrivals(self.reader, self.board.clock.wall())
        page = page_number("page", -(-len(rows) // _LISTED))
        part = rows[(page - 1) * _LISTED : page * _LISTED]
        return render_template(
            "new.html", hits=self.listed(part), total=len(rows), page=page, more=len(rows) > page * _LISTED
        )
