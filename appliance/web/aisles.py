"""What stands beside the textbook volumes: the special shelves, what is new, the school's own."""

from __future__ import annotations

from flask import current_app, url_for
from msgspec import Struct

from appliance.web import words
from appliance.web.i18n import N_
from content_sync.adapters.sqlite import StateReader
from content_sync.formats.shelf import shelf_of

#: Special shelf -> its name and icon.
SHELVES = {
    "recorded": (N_("名师课堂"), "play"),
    "topics": (N_("专题教育"), "star"),
    "training": (N_("教师培训"), "board"),
    "community": (N_("社区学习"), "flag"),
}


class Aisle(Struct, frozen=True):
    """A way to what stands beside the volumes: its name, icon and address, and how many lessons are there."""

    name: str
    icon: str
    address: str
    lessons: int | None = None


def aisles(reader: StateReader) -> list[Aisle]:
    """What stands beside the volumes, as far as there is something."""
    counts: dict[str, int] = {}
    for c in reader.places().values():
        if shelf := shelf_of(c.stage):
            counts[shelf] = counts.get(shelf, 0) + c.lessons
    if "recorded" not in counts and reader.holds_kind("recorded"):
        counts["recorded"] = 0
    found = [
        Aisle(name, icon, url_for("pages.shelf", shelf=shelf), counts[shelf] or None)
        for shelf, (name, icon) in SHELVES.items()
        if shelf in counts
    ]
    found.append(Aisle(N_("最近新到"), "clock", url_for("pages.new")))
    for name, icon, endpoint in (
        (words.OWN_SHELF, "pen", "local.shelf"),
        (N_("收到的文件"), "usb", "received.shelf"),
    ):
        if endpoint in current_app.view_functions:
            found.append(Aisle(name, icon, url_for(endpoint)))
    return found
