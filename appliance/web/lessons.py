"""What the pages of one lesson share: its place, its steps, its files."""

from __future__ import annotations

from typing import Any

from flask import abort

from appliance.web import shelves
from appliance.web.api import file_url
from appliance.web.views import Views
from content_sync.formats.lesson import Lesson, Resource


def resource_of(lesson: Lesson | None, identity: str) -> Resource | None:
    """The resource of that id, if the lesson is here and has it."""
    return next((r for r in lesson.resources if r.id == identity), None) if lesson else None


class LessonViews(Views):
    """Views that stand on one lesson."""

    def open_lesson(self, identity: str) -> tuple[dict[str, Any], Lesson | None]:
        """What every page of a lesson shows, and the lesson if it is here; 404 for one that nobody knows."""
        row = self.reader.lesson(identity)
        collection = self.reader.places().get(row.collection) if row else None
        if row is None or collection is None:
            abort(404)
        lesson = self.reader.present_lesson(identity)
        steps, beside = shelves.lay_out(lesson) if lesson else ([], [])
        return {
            "row": row, "collection": collection, "lesson": lesson, "layout": steps, "beside": beside,
            "file_url": lambda entry: file_url(entry.file.root, entry.path), "view_of": shelves.view_of,
        }, lesson  # fmt: skip
