"""The agent's search for other boxes: what multicast DNS and the county say, checked, in a file for sync."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.announce.nearby import Listener, Nearby
from content_sync.adapters.neighbours import FileNeighbours
from content_sync.errors import NetworkError
from content_sync.ports import Neighbour
from content_sync.testing.fakes import ManualClock

OWN, ONE, TWO = (f"b-{digit * 16}" for digit in "012")
COUNTY = "http://county.test"


class Http:
    """Answers as the county would; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: bytes | None = b'{"neighbours":[]}'

    def get(self, url: str, cap: int) -> bytes:
        self.asked.append(url)
        if self.answer is None:
            raise NetworkError(f"{url} can't be reached")
        return self.answer


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def nearby(http: Http, clock: ManualClock, path: Path, token: str | None = "t") -> Nearby:
    counties = [COUNTY, "http://other.test"]
    found = Nearby(OWN, 8080, lambda: ("192.168.1.5",), counties, lambda: token, http, clock, path)
    found._heard_at = ("192.168.1.5",)  # no multicast here: tests/net has it
    return found


def test_what_the_county_says_reaches_sync(tmp_path: Path, clock: ManualClock) -> None:
    http, path = Http(), tmp_path / "neighbours.json"
    http.answer = json.dumps({"neighbours": [
        {"box": ONE, "url": "http://192.168.1.7:8080"}, {"box": OWN, "url": "http://192.168.1.5:8080"},
        {"box": TWO, "url": "http://evil.example"}, {"box": TWO, "url": "http://8.8.8.8"},
    ]}).encode()  # fmt: skip
    found, sync = nearby(http, clock, path), FileNeighbours(path, OWN, clock)
    found.step()
    assert http.asked == [f"{COUNTY}/neighbours/t?url=http%3A%2F%2F192.168.1.5%3A8080"]
    assert sync.near() == [Neighbour(ONE, "http://192.168.1.7:8080")]
    clock.go(200)
    found.step()
    assert len(http.asked) == 1 and sync.near(), "asked again only after a while"
    http.answer = b'{"neighbours":[]}'
    clock.go(101)
    found.step()
    assert sync.near() == [] and len(http.asked) == 2


@pytest.mark.parametrize("answer", [None, b"", b"[]", b'{"neighbours":7}', b'{"neighbours":[7]}', b"\xff"])
def test_a_county_that_does_not_answer_is_asked_again(
    tmp_path: Path, clock: ManualClock, answer: bytes | None
) -> None:
    http = Http()
    http.answer = answer
    found = nearby(http, clock, tmp_path / "neighbours.json")
    found.step()
    assert len(http.asked) == 2, "both addresses"
    clock.go(61)
    found.step()
    assert len(http.asked) == 4


def test_without_a_token_the_county_is_not_asked(tmp_path: Path, clock: ManualClock) -> None:
    http = Http()
    nearby(http, clock, tmp_path / "neighbours.json", token=None).step()
    assert http.asked == []


def service(product: str, box: str, *addresses: str) -> Any:
    info = SimpleNamespace(
        decoded_properties={"product": product, "id": box},
        parsed_addresses=lambda: list(addresses),
        port=8080,
    )
    return SimpleNamespace(get_service_info=lambda type_, name, wait: info)


def test_only_boxes_at_private_addresses_are_heard() -> None:
    listener = Listener(OWN)
    listener.add_service(service("lessonbox", ONE, "8.8.8.8", "192.168.1.7"), "t", "one")
    listener.add_service(service("lessonbox", OWN, "192.168.1.5"), "t", "own")
    listener.add_service(service("printer", TWO, "192.168.1.8"), "t", "printer")
    listener.add_service(service("lessonbox", "nonsense", "192.168.1.8"), "t", "nonsense")
    listener.add_service(service("lessonbox", TWO, "8.8.8.8"), "t", "far")
    assert listener.found() == [Neighbour(ONE, "http://192.168.1.7:8080")]
    listener.update_service(service("lessonbox", ONE, "fd00::7"), "t", "one")
    assert listener.found() == [Neighbour(ONE, "http://[fd00::7]:8080")]
    listener.remove_service(service("lessonbox", ONE), "t", "one")
    assert listener.found() == []
