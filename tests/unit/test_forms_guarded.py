"""Every form of the box, whoever wrote its page: no other site's page may send it, and what changes the
school asks for the PIN or says here why not. New routes are found by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client

from appliance import digits
from appliance.school.sheets import check_sheet
from appliance.web import app as board_app
from content_sync.errors import FormatError
from tests.unit.test_school_pages import OWN, PIN, Site

#: Forms that need no PIN, and why nothing is lost by that. Whoever adds one explains it.
PUBLIC = {
    "api.events": "usage of this board; the county checks what it can",
    "guard.pin": "asks for the PIN itself, and counts wrong tries",
    "guard.first": "only while none is set, from the box's own screen or just after its start",
    "classes.who": "a teacher taps a name on the board; a name that has a PIN of its own asks for that",
    "classes.over": "ends the class of the board that asks, of no other",
    "classes.sheet": "paper filled in at the board where the class was; from elsewhere it asks for the PIN",
    "rooms.board": "where the browser that asks stands, and its hand",
    "baskets.make": "what teachers put together while they prepare: no bytes, no lesson; 200 baskets in all",
    "baskets.add": "likewise: it names a resource that is here; sharing a basket asks for the PIN",
    "baskets.change": "likewise: its name, order and what it names; throwing it away asks for the PIN",
    "remote.end": "takes the board that asks away from all phones",
    "remote.hear": "what is asked of the board that asks",
    "remote.tell": "how the board that asks stands",
    "remote.do": "wants the secret of a phone that scanned a board's code",
    "remote.leave": "likewise",
    "cards.change": "cards of the board that asks: opened, put away, taken out again",
    "wishes.wish": "a wish of the board that asks: one a lesson, 2000 in all, it fetches nothing by itself",
}
STRANGERS = (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://lesson.local:81"},
    {"Origin": ""},
    {"Referer": "http://lesson.local:81/c/x/y/index.html"},
    {"Referer": "not an address ["},
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, Site]]:
    """A box, and the Flask application in it, which knows all routes."""
    found: list[Flask] = []
    make = board_app._flask
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "N", 16)
        patch.setattr(board_app, "_flask", lambda board: found.append(make(board)) or found[-1])  # type: ignore[func-returns-value]
        site = Site(tmp_path_factory.mktemp("guarded") / "box")
        yield found[0], site


def posts(app: Flask) -> list[tuple[str, str]]:
    """(endpoint, path) of every route that changes something, with some value in each of its places."""
    found = []
    for rule in app.url_map.iter_rules():
        if {"POST", "PUT", "DELETE", "PATCH"} & (rule.methods or set()):
            path = re.sub(r"<int:[^>]+>", "1", rule.rule)
            found.append((rule.endpoint, re.sub(r"<[^>]+>", "0123456789abcdef", path)))
    return found


def send(site: Site, path: str, headers: dict[str, str], client: Client | None = None, **form: str) -> Any:
    client = client or Client(site.app)
    return client.post(path, base_url="http://lesson.local", data=form, headers=headers)


def test_no_page_of_another_origin_sends_a_form(made: tuple[Flask, Site]) -> None:
    app, site = made
    secret = site.enter()
    for endpoint, path in posts(app):
        for headers in STRANGERS:
            answer = send(site, path, headers, site.client, secret=secret)
            assert answer.status_code == 403, (endpoint, headers, answer.status_code)
    assert site.get("/school/space").status_code == 200, "and the session goes on"


def test_what_changes_the_school_asks_for_the_pin(made: tuple[Flask, Site]) -> None:
    app, site = made
    found = dict(posts(app))
    assert not (missing := set(PUBLIC) - set(found)), f"no longer there: {missing}"
    assert all(PUBLIC.values())
    for endpoint, path in found.items():
        if endpoint in PUBLIC:
            continue
        answer = send(site, path, {"Origin": "http://lesson.local"})
        locked = answer.status_code in (302, 303) and answer.headers["Location"].startswith("/pin")
        assert locked or answer.status_code == 403, (endpoint, answer.status_code)


def test_with_the_pin_a_form_still_needs_its_secret(made: tuple[Flask, Site]) -> None:
    app, site = made
    browser = Client(site.app)
    browser.post("/pin", base_url="http://lesson.local", data={"pin": PIN})
    for endpoint, path in posts(app):
        if endpoint in PUBLIC:
            continue
        for wrong in ("", "0" * 32, "密"):
            answer = send(site, path, {"Origin": "http://lesson.local"}, browser, secret=wrong)
            assert answer.status_code == 403, (endpoint, answer.status_code)


def test_what_only_looks_changes_nothing_by_its_method(made: tuple[Flask, Site]) -> None:
    app, _ = made
    for rule in app.url_map.iter_rules():
        assert not {"PUT", "DELETE", "PATCH"} & (rule.methods or set()), rule.rule


def named() -> list[str]:
    """Every name by which some page asks for a field of a form or address."""
    found: set[str] = set()
    for folder in ("web", "school"):
        for path in (Path(board_app.__file__).parents[1] / folder).glob("*.py"):
            found |= set(re.findall(r'\(\s*"([a-z_]{1,12})"', path.read_text("utf-8")))
    assert {"limit", "page", "solved", "q", "t", "pick", "begin", "hours", "at"} <= found
    return sorted(found)


@pytest.mark.parametrize("number", ["9" * 4400, "²"], ids=["long", "no digit"])
def test_no_number_in_a_form_or_an_address_breaks_a_page(made: tuple[Flask, Site], number: str) -> None:
    """int() refuses more than 4,300 digits, and what isdigit() takes need not be one."""
    app, site = made
    names, lesson, secret = named(), site.main.id, site.enter()
    paths = [(rule, rule.rule) for rule in app.url_map.iter_rules() if not rule.endpoint.startswith("guard.")]
    for resource in site.main.resources:
        paths += [(r, p.replace("<resource>", resource.id)) for r, p in paths if "<resource>" in p]
    for rule, path in paths:
        path = path.replace("<lesson>", lesson).replace("<collection>", lesson.rpartition("-")[0])
        path = re.sub(r"<[^>]+>", "0" * 16, path)
        for first in range(0, len(names), 120):
            values = dict.fromkeys(names[first : first + 120], number)
            answers = [site.client.get(path, query_string=values, base_url="http://lesson.local")]
            if "POST" in (rule.methods or ()):
                form, headers = {**values, "secret": secret}, {"Origin": "http://lesson.local"}
                answers += [
                    site.client.post(path, data=form, base_url="http://lesson.local", headers=headers)
                ]
            assert all(one.status_code not in (500, 501, 502) for one in answers), (path, names[first])
    for events in ('{"events":[{"position":' + number + "}]}", number):
        answer = site.client.post("/api/v1/events", data=events, base_url="http://lesson.local", headers=OWN)
        assert answer.status_code == 400
    with pytest.raises(FormatError):
        check_sheet({"solved": "1", "tried": number})


@pytest.mark.parametrize("path", ["/", "/status", "/school", "/pin", "/school/door", "/nothing-here"])
def test_headers_of_every_page(made: tuple[Flask, Site], path: str) -> None:
    _, site = made
    answer = Client(site.app).get(path, base_url="http://lesson.local")
    policy = answer.headers["Content-Security-Policy"]
    assert (
        "default-src 'self'" in policy
        and "frame-ancestors 'none'" in policy
        and "form-action 'self'" in policy
    )
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (
        answer.headers["Referrer-Policy"] == "same-origin" and answer.headers["Cache-Control"] == "no-store"
    )
    for cookie in answer.headers.getlist("Set-Cookie"):
        assert "HttpOnly" in cookie and ("SameSite=Lax" in cookie or "SameSite=Strict" in cookie), cookie
    assert not re.search(r"<[^>]+\son[a-z]+=|<script(?![^>]*\ssrc=)|\sstyle=", answer.text), "nothing inline"
