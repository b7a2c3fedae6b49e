"""The school's own page: what has come, what is on its way, what is wrong."""

from __future__ import annotations

import datetime

from flask import render_template

from appliance.web import expecting, shelves
from appliance.web.views import Views

#: Lessons that the page lists: those that lack something, and the newest, as far as one screen goes.
_LACKING, _FRESH = 4, 7


class Progress(Views):
    """The status page."""

    def status(self) -> str:
        collections = self.collections()
        lacking = self.reader.lessons(state="arriving", limit=_LACKING)
        if len(lacking) < _LACKING:
            lacking += self.reader.lessons(state="wanted", limit=_LACKING - len(lacking))
        fresh = shelves.arrivals(self.reader, self.board.clock.wall())[: max(0, _FRESH - 2 * len(lacking))]
        status = self.board.status()
        return render_template(
            "status.html",
            status=status,
            troubles=[expecting.trouble(problem) for problem in status["problems"][:6]],
            counts={name: self.reader.count(state=name) for name in ("present", "arriving", "wanted")},
            coming=[(collections[row.collection], row) for row in lacking if row.collection in collections],
            fresh=[(collections[row.collection], row) for row in fresh if row.collection in collections],
            school=self.reader.meta("school_name") or "",
            county=self.reader.meta("county") or "",
            space=self.reader.status("space"),
            sources=self.reader.status("sources"),
            issued=int(self.reader.meta("issued") or 0),
            day=datetime.datetime.fromtimestamp,
            shelf=shelves.subjects(collections.values()),
        )
