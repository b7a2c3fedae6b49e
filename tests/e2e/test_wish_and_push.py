"""A teacher's wish and the county's card, through real programs: what was asked for comes before the rest."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.library import lesson_of_noise
from tests.e2e.programs import Box, County, set_settings, wait_until


def lessons(box: Box) -> list[dict[str, Any]]:
    """All lessons as the box lists them, in teaching order."""
    found: list[dict[str, Any]] = json.loads(box.place.get(f"{box.url}/api/v1/lessons"))["lessons"]
    return found


@pytest.mark.slow  # in short: tests/unit/test_plan.py, test_cards.py
def test_what_is_wished_and_pushed_comes_first(
    make_county: Callable[[], County], make_box: Callable[..., Box], tmp_path: Path
) -> None:
    county = make_county()
    for number in range(1, 7):
        lesson_of_noise(tmp_path / "tree", number, 600_000)
    county.publish(tmp_path / "tree")
    county.serve()
    box = make_box(county, active_lessons=1, download_rate=4_000, sources=["webseed"])
    box.start("web", "sync")
    box.wait_ready()
    wait_until(
        lambda: box.place.answers(f"{box.url}/api/v1/lessons") and len(lessons(box)) == 6, "all are listed"
    )
    ids = [lesson["id"] for lesson in lessons(box)]

    # no script, no PIN: the form as a board sends it
    form = urllib.parse.urlencode({"lesson": ids[5], "back": "/"}).encode()
    asked = urllib.request.Request(f"{box.url}/wish", form, {"Origin": box.url})
    with urllib.request.urlopen(asked, timeout=20) as answer:
        assert answer.status == 200
    pushed = json.loads(
        county.command(
            "push", ids[4], "--all", "--note", "周三晚上看", "--until", "2099-01-01T08:00", "--json"
        )
    )
    assert pushed["boxes"] and pushed["card"]

    def home() -> str:
        return box.place.get(f"{box.url}/").decode()

    wait_until(lambda: "周三晚上看" in home(), "the card waits on home before its lesson has come")
    wait_until(
        lambda: "老师要的" in box.command("status", ids[5]) or "wish" in box.command("status", ids[5]),
        "known",
    )
    box.programs["sync"].stop()
    set_settings(box.data / "box.toml", download_rate=600_000)
    box.start("sync")

    order: list[str] = []

    def come() -> bool:
        order.extend(
            one["id"] for one in lessons(box) if one["state"] == "present" and one["id"] not in order
        )
        return len(order) >= 5

    wait_until(come, "five of six are here")
    before = [identity for identity in order if identity not in (ids[4], ids[5], ids[0])]
    assert order.index(ids[4]) < order.index(ids[5]), "the county's date goes before a wish"
    assert all(order.index(ids[5]) < order.index(identity) for identity in before), "a wish before the rest"
    county.command("push", "--withdraw", pushed["card"], "--all")
    wait_until(lambda: "周三晚上看" not in home(), "taken back")
