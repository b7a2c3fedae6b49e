"""PDF and PPT as page images: which page is open and what lies around it."""

from __future__ import annotations

from typing import Any

from flask import request

from appliance.web.resume import stopped_at
from appliance.web.views import page_number
from content_sync.formats.lesson import Lesson, Resource

#: Thumbnails in the strip. A document may have 10,000 pages; no page lists more of them than these.
STRIP = 6


def page_values(lesson: Lesson, this: Resource) -> dict[str, Any]:
    """What `_pages.html` shows of a resource: the page asked for, else the one where the class stopped, and
    the strip around it, or the one that begins at `from`; `rest` are pages that have no image.
    """
    pages = this.with_role("page")
    of = len(pages)
    page = page_number("page", of)
    if of and "page" not in request.args:
        stopped = stopped_at(lesson.id, this.id) or 1
        page = stopped if stopped < of else 1  # who saw it to its end begins anew
    begin = page_number("from", of) - 1 if "from" in request.args else page - 2
    begin = max(0, min(begin, of - STRIP))
    return {
        "zoom": request.args.get("z") == "1",
        "page": page,
        "of": of,
        "begin": begin + 1,
        "strip": STRIP,
        "rest": max(0, (this.pages or 0) - of) if of else 0,
        "thumbs": [(n + 1, pages[n]) for n in range(begin, min(begin + STRIP, of))],
        "here": pages[page - 1] if of else None,
        "after": pages[page] if page < of else None,
        "before": pages[page - 2] if page > 1 else None,
    }
