"""One suite for ports.Neighbours: the agent's file, and the fake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from content_sync.adapters.neighbours import HOLDS, FileNeighbours, write_neighbours
from content_sync.ports import Neighbour, Neighbours
from content_sync.testing.fakes import FakeNeighbours, ManualClock

OWN = "b-" + "0" * 16
ONE = Neighbour("b-" + "1" * 16, "http://192.168.1.7:8080")
TWO = Neighbour("b-" + "2" * 16, "http://[fd00::2]:8080")
Side = tuple[Neighbours, Callable[[list[Neighbour]], None]]


@pytest.fixture(params=["file", "fake"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Side:
    if request.param == "fake":
        fake = FakeNeighbours(OWN)
        return fake, fake.hear
    clock = ManualClock()
    path = tmp_path / "neighbours.json"
    return FileNeighbours(path, OWN, clock), lambda found: write_neighbours(path, found, clock)


def test_who_was_heard_of(side: Side) -> None:
    neighbours, hear = side
    assert neighbours.near() == []
    hear([ONE, TWO])
    assert neighbours.near() == [ONE, TWO]
    hear([TWO])
    assert neighbours.near() == [TWO]


def test_each_box_once_and_never_this_one(side: Side) -> None:
    neighbours, hear = side
    hear([Neighbour(OWN, "http://192.168.1.9:8080"), ONE, Neighbour(ONE.box, "http://192.168.1.8:8080")])
    assert neighbours.near() == [ONE]


def test_the_files_word_ends(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "neighbours.json"
    found = FileNeighbours(path, OWN, clock)
    write_neighbours(path, [ONE], clock)
    clock.go(HOLDS - 1)
    assert found.near() == [ONE]
    clock.go(2)
    assert found.near() == []
    write_neighbours(path, [ONE], clock)
    clock.boot = "boot-2"
    assert found.near() == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"boot":1}', '{"boot":"boot-1","at":0,"neighbours":{}}', "\0" * 100_000]
)
def test_a_damaged_file_is_silence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "neighbours.json"
    path.write_text(text)
    assert FileNeighbours(path, OWN, ManualClock()).near() == []


def test_nonsense_in_the_file_is_passed_over(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "neighbours.json"
    wrong = [Neighbour("b-1", ONE.url), Neighbour(ONE.box, "http://8.8.8.8"), Neighbour(ONE.box, "x")]
    write_neighbours(path, [*wrong, TWO], clock)
    path.write_text(path.read_text().replace('"neighbours": [', '"neighbours": [7, {}, '))
    assert FileNeighbours(path, OWN, clock).near() == [TWO]
