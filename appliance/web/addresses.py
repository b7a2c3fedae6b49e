"""Addresses of pages: what a start must not pay for, and what a page has many of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, request
from werkzeug.routing import Rule

Builder = Callable[..., tuple[str, str]]


class LazyRule(Rule):
    """A rule whose two builders of addresses are compiled when they are first called: compiling all of them
    was most of what a start did beside loading modules, and most are never called.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Builder:
        def build(rule: LazyRule, /, **values: Any) -> tuple[str, str]:  # a value may be called anything
            made: Builder = Rule._compile_builder(rule, append_unknown).__get__(rule, None)
            setattr(rule, "_build_unknown" if append_unknown else "_build", made)
            return made(**values)

        return build


def install(app: Flask) -> None:
    """`url_for` of pages: the bare addresses, which each page has many of, are made once."""
    known: dict[tuple[str, str], str] = {}

    def address(endpoint: str, **values: Any) -> str:
        if values or endpoint.startswith("."):
            return app.url_for(endpoint, **values)
        key = request.root_path, endpoint
        if key not in known:
            if len(known) > len(app.view_functions):  # a root of the client's own wording
                known.clear()
            known[key] = app.url_for(endpoint)
        return known[key]

    app.jinja_env.globals["url_for"] = address
