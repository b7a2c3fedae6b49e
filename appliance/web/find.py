"""The search page."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from flask import render_template, request
from markupsafe import Markup, escape

from appliance.web import shelves
from appliance.web.schedule import subjects_now
from appliance.web.search.index import MAX_QUERY
from appliance.web.search.words import normalise, variants
from appliance.web.views import PER_PAGE, Views, page_number, room_facts
from content_sync.errors import LessonBoxError

log = logging.getLogger(__name__)
#: Filters of one sort that are shown: what fits above the letters on a board.
_SIFTS = 3
_ALIKE = re.compile(b"\0+|\1+")
#: With so few lessons found the resources of the first stand in the list too.
_FEW = 3


def lit(title: str, words: Sequence[str]) -> Markup:
    """A title in which the words that were asked for are marked."""
    folded = title.casefold()
    here = [way for word in words for way in variants(word) if way in folded]
    if not here or len(folded) != len(title):  # its letters don't stand where they stood
        return escape(title)
    marked = bytearray(len(title))
    for way in here:
        for match in re.finditer(re.escape(way), folded):
            marked[match.start() : match.end()] = b"\1" * len(way)
    pieces = [(p[0][0], escape(title[p.start() : p.end()])) for p in _ALIKE.finditer(marked)]
    return Markup("".join([f"<u>{piece}</u>" if on else piece for on, piece in pieces]))


def _most(counts: dict[str, int], chosen: str) -> dict[str, int]:
    """The filters to show, in their order: those that most lessons have, and the chosen one."""
    best = sorted(counts, key=lambda name: (name != chosen, -counts[name]))[:_SIFTS]
    return {name: n for name, n in counts.items() if name in best}


class Find(Views):
    """Search, with or without script."""

    def search(self) -> str:
        query = request.args.get("q", "").strip()[:MAX_QUERY]
        chosen = {name: request.args.get(name, "")[:MAX_QUERY] for name in ("grade", "kind", "subject")}
        page = page_number("page", 500)
        values: dict[str, Any] = {"query": query, "chosen": chosen, "page": page, "broken": False}
        try:
            found = self.board.index.find(
                query,
                chosen["grade"],
                chosen["kind"],
                (page - 1) * PER_PAGE,
                PER_PAGE,
                room_facts(subjects_now(self.board)),
                chosen["subject"],
            )
        except LessonBoxError as error:
            log.error("search: %s", error)
            return render_template("search.html", found=None, hits=[], **(values | {"broken": True}))
        values |= self.hits(found.ids, found.shown)
        first = values["hits"][0][1] if values["hits"] else None
        values["best"] = first if first is not None and first.present and page == 1 else None
        values["whole"] = None
        if values["best"] is not None and found.total <= _FEW:
            values["whole"] = self.reader.present_lesson(values["best"].id)
        words = normalise(query).split()
        values["lit"] = lambda title: lit(title, words)
        values["sifts"] = {
            "kind": _most(found.kinds, chosen["kind"]),
            "subject": _most(found.subjects, chosen["subject"]),
            "grade": _most(found.grades, chosen["grade"]),
        }
        if not found.total:
            collections = [c for c in self.reader.places().values() if c.lessons and shelves.is_textbook(c)]
            values["grades"] = list(dict.fromkeys(c.grade for c in shelves.in_order(collections)))
            values["shelf"] = shelves.subjects(collections)
        return render_template("search.html", found=found, more=found.total > page * PER_PAGE, **values)
