"""The shelves: subjects, volumes, what is new."""

from __future__ import annotations

from flask import abort, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response as Answer

from appliance.web import shelves, words
from appliance.web.views import Views, recent
from content_sync.ports import CollectionRow


class Browse(Views):
    """Pages to walk through the library."""

    def browse(self, subject: str | None = None) -> Answer:
        chosen = [c for c in self.reader.collections() if subject in (None, shelves.subject_of(c))]
        if subject is not None and not chosen:
            abort(404)
        if subject is not None and len(chosen) == 1:
            return redirect(url_for("pages.volume", collection=chosen[0].id))
        groups: dict[str, list[CollectionRow]] = {shelves.subject_of(c): [] for c in chosen}
        for collection in sorted(chosen, key=lambda c: (words.grade_order(c.grade), c.position)):
            groups[shelves.subject_of(collection)].append(collection)
        return make_response(render_template("browse.html", groups=groups, one=subject is not None))

    def volume(self, collection: str) -> str:
        found = self.collections()
        if collection not in found:
            abort(404)
        this = found[collection]
        rows = self.reader.lessons(collection)
        units, opened = shelves.spreads(rows)
        siblings = [
            c
            for c in found.values()
            if (c.stage, c.subject, c.edition, c.grade)
            == (this.stage, this.subject, this.edition, this.grade)
            and c.id != this.id
        ]
        lessons = {row.id: self.reader.present_lesson(row.id) for row in rows if row.present}
        new = {row.id for row in shelves.arrivals(self.reader, self.board.clock.wall())}
        last = next((lesson for lesson, _ in recent() if lesson in lessons), None)
        return render_template(
            "volume.html",
            this=this,
            units=units,
            spreads=opened,
            siblings=siblings,
            lessons=lessons,
            new=new,
            last=last,
            subject_id=shelves.subject_of(this),
        )

    def new(self) -> str:
        rows = shelves.arrivals(self.reader, self.board.clock.wall())[:100]
        return render_template("new.html", **self.hits(tuple(row.id for row in rows)))
