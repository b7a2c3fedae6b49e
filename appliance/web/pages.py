"""The pages that every board has. All is rendered here and works without script; scripts only smooth it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Blueprint

from appliance.web.browse import Browse
from appliance.web.find import Find
from appliance.web.progress import Progress
from appliance.web.teach import Teach
from appliance.web.today import Today

if TYPE_CHECKING:
    from appliance.web.app import Board


def blueprint(board: Board) -> Blueprint:
    """The routes."""
    routes = Blueprint("pages", __name__)
    today, browse, teach = Today(board), Browse(board), Teach(board)
    rules: tuple[tuple[str, str, Callable[..., Any]], ...] = (
        ("/", "home", today.home),
        ("/browse", "browse", browse.browse),
        ("/subject/<subject>", "browse", browse.browse),
        ("/volume/<collection>", "volume", browse.volume),
        ("/new", "new", browse.new),
        ("/lesson/<lesson>", "lesson", teach.lesson),
        ("/lesson/<lesson>/<resource>", "resource", teach.resource),
        ("/lesson/<lesson>/<resource>/print", "paper", teach.paper),
        ("/search", "search", Find(board).search),
        ("/status", "status", Progress(board).status),
    )
    for rule, name, view in rules:
        routes.add_url_rule(rule, name, view)
    return routes
