"""Areas of the board whose pages are loaded when the first of them is asked for: home needs none of them, and
a start does not wait for them. Their addresses stand here, since every page may lead to them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flask import Flask

from appliance.network.ssdp import DESCRIPTION
from appliance.web.views import Guarded, Views

if TYPE_CHECKING:
    from appliance.web.app import Board
    from appliance.web.guard import Guard

_T = TypeVar("_T")
_BOTH = ("GET", "POST")
#: Area, which is the first part of its endpoints -> module and class of its views ->
#: (address, endpoint, method or methods; the view, where it is not called like the endpoint).
AREAS: dict[str, dict[str, tuple[tuple[Any, ...], ...]]] = {
    "pages": {
        "find:Find": (("/search", "search", "GET"),),
        "blackboard:Blackboard": (("/blackboard", "blackboard", "GET"), ("/kit", "kit", "GET")),
    },
    "local": {
        "local:LocalPages": (
            ("/local", "shelf", "GET"),
            ("/local/manage", "manage", "GET"),
            ("/local/new", "new", "GET"),
            ("/local/edit/<lesson>", "edit", "GET"),
            ("/local/add/<lesson>", "add", "POST"),
            ("/local/save/<lesson>", "save", "POST"),
            ("/local/offer/<lesson>", "offer", "POST"),
            ("/local/delete/<lesson>", "delete", _BOTH),
            ("/local/others/<lesson>", "others", "GET"),
            ("/local/take/<lesson>", "take", "POST"),
            ("/local/upload/<upload>", "upload", _BOTH),
        )
    },
    "baskets": {
        "baskets:BasketPages": (
            ("/baskets", "baskets", "GET"),
            ("/baskets/make", "make", "POST"),
            ("/baskets/add", "add", "POST"),
            ("/baskets/<basket>", "basket", "GET"),
            ("/baskets/<basket>/change", "change", "POST"),
            ("/baskets/<basket>/share", "share", "POST"),
            ("/baskets/<basket>/away", "away", _BOTH),
        )
    },
    "received": {
        "received:Received": (
            ("/received", "shelf", "GET"),
            ("/received/manage", "manage", "GET"),
            ("/received/change", "change", "POST"),
        )
    },
    "school": {
        "school:SchoolPages": (
            ("/school", "home", "GET"),
            ("/school/problems", "problems", "GET"),
            ("/school/clock", "clock", "GET"),
            ("/school/network", "network", "GET"),
        ),
        "progress:Progress": (
            ("/school/progress", "progress", "GET", "volumes"),
            ("/school/pause", "pause", "POST"),
            ("/school/space", "space", "GET"),
        ),
        "machine:Desk": (
            ("/school/stick", "stick", "GET"),
            ("/school/stick/use", "use", "POST"),
            ("/school/restart", "restart", _BOTH),
            ("/school/disk", "disk", _BOTH),
        ),
        "doorsheet:DoorSheet": (("/school/door", "door", "GET", "sheet"),),
    },
    "rooms": {
        "rooms:Rooms": (
            ("/school/board", "board", _BOTH, "here"),
            ("/school/rooms", "every", "GET"),
            ("/school/rooms/new", "new", _BOTH, "one"),
            ("/school/rooms/<room>", "one", _BOTH),
            ("/school/rooms/<room>/remove", "remove", _BOTH),
            ("/school/rooms/<room>/clear", "clear", "POST"),
        ),
        "tables:Tables": (
            ("/school/timetable", "timetables", "GET", "first"),
            ("/school/timetable/periods", "periods", _BOTH),
            ("/school/timetable/<room>", "timetable", _BOTH, "grid"),
            ("/school/timetable/<room>/paste", "paste", _BOTH),
            ("/school/timetable/<room>/print", "paper", "GET"),
        ),
    },
    "help": {"help:Help": (("/help", "page", "GET"), ("/help/diagnosis", "diagnosis", "GET"))},
    "tv": {
        "tv:Television": (
            ("/tv", "home", "GET"),
            ("/tv/leave", "leave", "GET"),
            ("/tv/subject/<subject>", "subject", "GET"),
            ("/tv/volume/<collection>", "volume", "GET"),
            ("/tv/lesson/<lesson>", "lesson", "GET"),
            ("/tv/lesson/<lesson>/<resource>", "resource", "GET"),
        )
    },
    "classes": {"teachers:Teachers": (("/school/teachers", "teachers", _BOTH, "page"),)},
    "lan": {
        "lan:Lan": (
            (DESCRIPTION, "description", "GET"),
            ("/here/<device>.gif", "here", "GET"),
            ("/lesson.url", "shortcut", "GET"),
            ("/lesson.html", "finder", "GET"),
            ("/school/lan", "page", "GET"),
            ("/school/lan", "change", "POST"),
        )
    },
    "opds": {
        "opds:Opds": (
            ("/opds/search.xml", "description", "GET"),
            ("/opds", "atom", "GET"),
            ("/opds/<any(new,search,recorded,received):where>", "atom_list", "GET", "atom"),
            ("/opds/<any(subject,volume,shelf):where>/<name>", "atom_of", "GET", "atom"),
            ("/opds/v2", "json", "GET"),
            ("/opds/v2/<any(new,search,recorded,received):where>", "json_list", "GET", "json"),
            ("/opds/v2/<any(subject,volume,shelf):where>/<name>", "json_of", "GET", "json"),
            ("/opds/v2/publication/<name>", "publication", "GET"),
        )
    },
}


class Later(Generic[_T]):
    """What is loaded and made when it is first asked for, once for all threads."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._made: _T | None = None

    def get(self) -> _T:
        """It. Raises what making it raises; then the next who asks tries again."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


def _views(where: str, board: Board, guard: Guard) -> Views:
    module, name = where.split(":")
    kind = getattr(import_module(f"appliance.web.{module}"), name)
    made: Views = kind(board, guard) if issubclass(kind, Guarded) else kind(board)
    return made


def _view(later: Later[Views], name: str) -> Callable[..., Any]:
    return lambda **values: getattr(later.get(), name)(**values)


def install(app: Flask, board: Board, guard: Guard) -> None:
    """Make the areas' addresses known."""
    for area, classes in AREAS.items():
        for where, rules in classes.items():
            later = Later(partial(_views, where, board, guard))
            for address, endpoint, methods, *other in rules:
                asked = [methods] if isinstance(methods, str) else list(methods)
                view = _view(later, other[0] if other else endpoint)
                app.add_url_rule(address, f"{area}.{endpoint}", view, methods=asked)
