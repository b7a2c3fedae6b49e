"""The pages that every board has. All is rendered here and works without script; scripts only smooth it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Blueprint

from appliance.web.browse import Browse
from appliance.web.progress import Progress
from appliance.web.quizzes import Quizzes
from appliance.web.teach import Teach
from appliance.web.today import Today

if TYPE_CHECKING:
    from appliance.web.app import Board


def blueprint(board: Board, progress: Progress) -> Blueprint:
    """The routes."""
    routes = Blueprint("pages", __name__)
    today, browse, quizzes = Today(board), Browse(board), Quizzes(board)
    teach = Teach(board, quizzes)
    rules: tuple[tuple[str, str, Callable[..., Any]], ...] = (
        ("/", "home", today.home),
        ("/browse", "browse", browse.browse),
        ("/subject/<subject>", "browse", browse.browse),
        ("/shelf/<shelf>", "shelf", browse.shelf),
        ("/volume/<collection>", "volume", browse.volume),
        ("/new", "new", browse.new),
        ("/lesson/<lesson>", "lesson", teach.lesson),
        ("/lesson/<lesson>/<resource>", "resource", teach.resource),
        ("/lesson/<lesson>/<resource>/print", "paper", quizzes.paper),
        ("/status", "status", progress.status),
    )
    for rule, name, view in rules:
        routes.add_url_rule(rule, name, view)
    return routes
