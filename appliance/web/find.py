"""The search page."""

from __future__ import annotations

import logging
from typing import Any

from flask import render_template, request

from appliance.web import shelves
from appliance.web.search.index import MAX_QUERY
from appliance.web.views import PER_PAGE, Views, page_number, room_facts
from content_sync.errors import LessonBoxError

log = logging.getLogger(__name__)


class Find(Views):
    """Search, with or without script."""

    def search(self) -> str:
        query = request.args.get("q", "").strip()[:MAX_QUERY]
        grade, kind = request.args.get("grade", ""), request.args.get("kind", "")
        page = page_number("page", 500)
        values: dict[str, Any] = {"query": query, "grade": grade, "kind": kind, "page": page, "broken": False}
        try:
            found = self.board.index.find(query, grade, kind, (page - 1) * PER_PAGE, PER_PAGE, room_facts())
        except LessonBoxError as error:
            log.error("search: %s", error)
            return render_template(
                "search.html", found=None, hits=[], best=None, **(values | {"broken": True})
            )
        values |= self.hits(found.ids)
        if not found.total:
            collections = [c for c in self.reader.places().values() if c.lessons]
            values["grades"] = list(dict.fromkeys(c.grade for c in shelves.in_order(collections)))
            values["shelf"] = shelves.subjects(collections)
        return render_template("search.html", found=found, more=found.total > page * PER_PAGE, **values)
