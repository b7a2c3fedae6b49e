"""Where a class stopped: coalesced writes, the room before the board, what a restart keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g

from appliance.school import places
from appliance.school.database import School
from appliance.school.places import EVERY, Places, Stopped, spots
from appliance.school.rooms import Place, Room
from appliance.usage.recorder import Event
from appliance.web import resume
from content_sync.errors import BusyError, DiskFullError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def made(tmp_path: Path) -> tuple[School, Clock, Places]:
    school, clock = School(tmp_path / "school.db"), Clock()
    return school, clock, Places(school, clock)


def stored(school: School) -> list[tuple[Any, ...]]:
    with school.read() as db:
        return [tuple(row) for row in db.execute("SELECT spot, position FROM place_in_lesson ORDER BY turn")]


def test_pings_are_read_at_once_and_written_once_a_minute(made: tuple[School, Clock, Places]) -> None:
    school, clock, found = made
    for second in range(0, 59, 10):
        clock.now = float(second)
        found.note("r-1", "l", "v", second, False)
    assert found.where(("r-1",), "l", "v") == 50 and not stored(school)
    clock.now = EVERY
    found.note("r-1", "l", "v", 60, False)
    assert stored(school) == [("r-1", 60)]


def test_a_pause_is_durable(made: tuple[School, Clock, Places]) -> None:
    school, clock, found = made
    found.note("r-1", "l", "v", 7, True)
    found.note("r-1", "l", "v", 9, False)  # a power cut here costs two seconds
    assert Places(School(school.path), clock).where(("r-1",), "l", "v") == 7
    found.flush()
    assert Places(School(school.path), clock).where(("r-1",), "l", "v") == 9


def test_the_newest_of_room_and_board(made: tuple[School, Clock, Places]) -> None:
    _, _, found = made
    names = spots(Place(Room("r-1", "三班")), "ab" * 8)
    assert names == ("r-1", "board:" + "ab" * 8) and spots(Place(), "x") == ("board:x",)
    found.note(names[1], "l", "v", 5, True)
    assert found.where(names, "l", "v") == 5, "before the board had a room"
    found.note(names[0], "l", "v", 3, True)
    assert found.where(names, "l", "v") == 3 and found.where(names, "l", "other") is None
    assert found.where(("r-2",), "l", "v") is None


def test_what_was_open_last(made: tuple[School, Clock, Places]) -> None:
    _, _, found = made
    for lesson, resource, at in (("a", "v", 1), ("b", "v", 2), ("a", "p", 3), ("c", "q", 0)):
        found.note("r", lesson, resource, at, at != 0)
    assert found.last(("r",)) == [Stopped("c", "q", 0), Stopped("a", "p", 3), Stopped("b", "v", 2)]
    assert found.last(("r",), 1) == [Stopped("c", "q", 0)]
    assert found.in_lesson(("r",), "a") == {"v": 1, "p": 3}


def test_the_oldest_go(made: tuple[School, Clock, Places], monkeypatch: pytest.MonkeyPatch) -> None:
    school, _, found = made
    monkeypatch.setattr(places, "MOST", 3)
    for n in range(6):
        found.note(f"board:{n}", "l", "v", n, True)
    assert [row[1] for row in stored(school)] == [3, 4, 5]


def event(kind: str, position: int | None, resource: str = "v") -> Event:
    return Event("ab" * 8, "l", resource, "video", "cd" * 8, kind, 1, position, "page")


def test_what_pages_report(made: tuple[School, Clock, Places]) -> None:
    school, _, found = made
    with Flask("test").app_context():
        g.places, g.place, g.board, g.new_board = found, Place(), "ab" * 8, False
        resume.note_events([event("play", 3), event("ping", 33), event("ping", 5, "other")])
        assert resume.stopped_in("l") == {"v": 33, "other": 5} and not stored(school)
        resume.note_events([event("pause", 40)])
        assert resume.stopped_at("l", "v") == 40 and [row[1] for row in stored(school)] == [5, 40]
        resume.note_events([event("ended", 60), event("close", 60)])
        assert resume.stopped_at("l", "v") == 0, "at its end it begins anew"
        assert [one.resource for one in resume.last_open()] == ["v"]
        g.new_board = True
        resume.note("l", "w", 9, True)
        assert resume.stopped_at("l", "w") is None, "a browser without a cookie is a new one each time"


def test_a_book_that_fails_costs_no_page(made: tuple[School, Clock, Places]) -> None:
    class Broken(Places):
        def note(self, *_: object) -> None:
            raise DiskFullError("no space")

        def _of(self, *_: object) -> list[Stopped]:
            raise BusyError("busy")

    with Flask("test").app_context():
        g.places, g.place, g.board, g.new_board = Broken(made[0], made[1]), Place(), "ab" * 8, False
        resume.note("l", "v", 1)
        assert (
            resume.stopped_at("l", "v") is None and resume.stopped_in("l") == {} and resume.last_open() == []
        )
