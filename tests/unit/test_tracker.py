"""The tracker: what it answers, whom it names, what it refuses, and that it stays small."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from content_sync.formats.torrent import bdecode
from content_sync.settings import Settings
from county.config import COUNTY_SETTINGS
from county.distribute import tracker as tracker_module
from county.distribute.announces import SeederAddress
from county.distribute.tracker import (
    PEERS_PER_ADDRESS,
    Announce,
    AnnounceError,
    Told,
    Tracker,
    pack,
    parse_announce,
)
from county.distribute.visitors import parse_address

HASH = bytes(range(236, 256))
COUNTY = parse_address("10.9.9.9")
SEEDER = pack(COUNTY, 6889)


def asked(peer: int, port: int = 7000, left: int = 1, event: str = "", wanted: int = 50) -> Announce:
    return Announce(HASH, b"-LB0001-" + peer.to_bytes(12, "big"), port, left, event, wanted)


def peers(answer: Told) -> list[tuple[str, int]]:
    found = bdecode(answer.body)
    out = []
    for key, size in ((b"peers", 4), (b"peers6", 16)):
        packed = found[key]
        for at in range(0, len(packed), size + 2):
            part = packed[at : at + size + 2]
            out.append((str(ip_address(part[:size])), int.from_bytes(part[size:], "big")))
    return out


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(120, lambda prefix: prefix == HASH)


def test_query_bytes_survive() -> None:
    raw = bytes([0, 37, 38, 43, 61, 63, 255]) + b"a" * 13
    found = parse_announce(
        urlencode({"info_hash": raw, "peer_id": b" " * 20, "port": 1, "left": 0, "numwant": -1})
    )
    assert (found.info_hash, found.peer_id, found.left, found.wanted) == (raw, b" " * 20, 0, 50)
    assert (
        parse_announce(urlencode({"info_hash": raw, "peer_id": raw, "port": 1, "numwant": 9999})).wanted == 50
    )


@pytest.mark.parametrize(
    "change",
    [{"info_hash": b"short"}, {"peer_id": b""}, {"port": "0"}, {"port": "65536"}, {"port": "x"}, {"port": ""},
     {"left": "-1"}, {"left": "1" * 30}, {"event": "paint"}, {"numwant": "many"}],
)  # fmt: skip
def test_nonsense_is_refused(change: dict[str, object]) -> None:
    good = {"info_hash": HASH, "peer_id": HASH, "port": 1, "left": 0}
    parse_announce(urlencode(good))
    with pytest.raises(AnnounceError):
        parse_announce(urlencode({**good, **change}))


def test_announce(tracker: Tracker) -> None:
    near, far, six = (parse_address(text) for text in ("10.1.1.1", "10.2.2.2", "fd00::1"))
    answer = bdecode(tracker.announce(asked(1), near, [SEEDER], 0).body)
    assert (answer[b"interval"], answer[b"min interval"]) == (120, 30)
    assert (answer[b"complete"], answer[b"incomplete"]) == (1, 1)
    assert peers(tracker.announce(asked(1), near, [SEEDER], 1)) == [("10.9.9.9", 6889)]
    tracker.announce(asked(2, left=0), far, [SEEDER], 2)
    tracker.announce(asked(3), six, [SEEDER], 3)
    answer = tracker.announce(asked(4), parse_address("::ffff:10.1.1.7"), [SEEDER], 4)
    assert peers(answer) == [("10.9.9.9", 6889), ("10.1.1.1", 7000), ("10.2.2.2", 7000), ("fd00::1", 7000)]
    assert peers(tracker.announce(asked(4, wanted=2), parse_address("10.1.1.7"), [SEEDER], 4)) == [
        ("10.9.9.9", 6889),
        ("10.1.1.1", 7000),
    ]
    assert peers(tracker.announce(asked(4, wanted=0), parse_address("10.1.1.7"), [SEEDER], 4)) == []
    assert tracker.figures() == {"torrents": 1, "peers": 4, "seeds": 1}


def test_the_asker_is_never_named(tracker: Tracker) -> None:
    here = parse_address("10.1.1.1")
    tracker.announce(asked(1, port=7000), here, [], 0)
    assert peers(tracker.announce(asked(1, port=7001), here, [], 0)) == []
    assert peers(tracker.announce(asked(2, port=6889), COUNTY, [SEEDER], 0)) != [("10.9.9.9", 6889)]


def test_stopped_and_silent_peers_go(tracker: Tracker) -> None:
    here, there = parse_address("10.1.1.1"), parse_address("10.1.1.2")
    tracker.announce(asked(1), here, [], 0)
    tracker.announce(asked(2), there, [], 0)
    tracker.announce(asked(2, event="stopped"), there, [], 1)
    assert tracker.figures()["peers"] == 1
    assert peers(tracker.announce(asked(2), there, [], 660)) == [("10.1.1.1", 7000)]
    assert peers(tracker.announce(asked(2), there, [], 661)) == []
    tracker.announce(asked(2, event="stopped"), there, [], 662)
    assert tracker.figures() == {"torrents": 0, "peers": 0, "seeds": 0}


def test_only_the_countys_packages(tracker: Tracker) -> None:
    with pytest.raises(AnnounceError):
        tracker.announce(Announce(bytes(20), HASH, 1, 0, "", 50), COUNTY, [], 0)
    assert tracker.figures()["torrents"] == 0


def test_memory_is_bounded(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_module, "PEERS_PER_TORRENT", 300)
    one = parse_address("10.1.1.1")
    for port in range(1, 3 * PEERS_PER_ADDRESS):
        tracker.announce(asked(port, port=port), one, [], 0)
    assert tracker.figures()["peers"] == PEERS_PER_ADDRESS
    for number in range(400):
        tracker.announce(asked(number), ip_address(0x0B000000 + number), [], 0)
    assert tracker.figures()["peers"] == 300


def test_boxes_behind_one_line_are_told_each_others_lan_address(tracker: Tracker) -> None:
    line, far = parse_address("203.0.113.9"), parse_address("198.51.100.1")
    tracker.announce(replace(asked(1), lan=parse_address("192.168.1.7")), line, [], 0)
    tracker.announce(asked(2, port=7002), line, [], 0)
    tracker.announce(asked(3), far, [], 0)
    near = replace(asked(4, port=7004), lan=parse_address("192.168.1.8"))
    assert peers(tracker.announce(near, line, [], 1)) == [
        ("203.0.113.9", 7002), ("192.168.1.7", 7000), ("198.51.100.1", 7000),
    ]  # fmt: skip
    assert peers(tracker.announce(near, line, [], 1))[-1] == ("198.51.100.1", 7000), "near ones first"
    assert ("192.168.1.7", 7000) not in peers(tracker.announce(asked(3), far, [], 1))
    assert ("203.0.113.9", 7000) in peers(tracker.announce(asked(3), far, [], 1))


def test_only_a_private_address_may_be_stated() -> None:
    def stated(ip: str) -> object:
        return parse_announce(
            urlencode({"info_hash": HASH, "peer_id": HASH, "port": 1, "left": 0, "ip": ip})
        ).lan

    assert stated("192.168.1.7") == ip_address("192.168.1.7") and stated("fd00::7") == ip_address("fd00::7")
    for wrong in ("203.0.113.9", "8.8.8.8", "127.0.0.1", "0.0.0.0", "lesson.local", "", "169.254.1.1"):
        assert stated(wrong) is None, wrong


def test_near_counts_clients_not_sockets(tracker: Tracker) -> None:
    line, far = parse_address("203.0.113.9"), parse_address("198.51.100.1")
    tracker.announce(asked(1, port=1), line, [], 0)
    told = tracker.announce(asked(1, port=2), line, [], 0)
    assert (told.near, told.seeds) == (1, 0)
    tracker.announce(asked(2, port=3, left=0), line, [], 0)
    tracker.announce(asked(3), far, [], 0)
    told = tracker.announce(asked(4, port=4), line, [], 0)
    assert (told.near, told.seeds) == (2, 1)


def test_hostile_announces_cost_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_module, "MOST_OF_ADDRESS", 40)
    monkeypatch.setattr(tracker_module, "MOST_PEERS", 100)
    tracker = Tracker(120, lambda prefix: True)

    def announce(package: int, address: str) -> None:
        hostile = replace(asked(1), info_hash=package.to_bytes(20, "big"))
        tracker.announce(hostile, parse_address(address), [], 0)

    for package in range(40):
        announce(package, "203.0.113.9")
    for package in range(40, 60):
        with pytest.raises(AnnounceError):
            announce(package, "203.0.113.9")
    announce(7, "203.0.113.9")  # who is there already is served on
    for number in range(300):
        announce(1000 + number, f"198.51.{number // 250}.{number % 250 + 1}")
    assert tracker.figures()["peers"] == 100
    tracker.announce(asked(9), parse_address("203.0.113.9"), [], 1000)
    assert tracker.figures() == {"torrents": 1, "peers": 1, "seeds": 0}
    assert tracker._count == 1 and sum(tracker._of_address.values()) == 1


def test_seeder_address() -> None:
    asked_for: list[str] = []
    found = [parse_address("10.0.0.1")]

    def resolve(name: str) -> list[object]:
        asked_for.append(name)
        return list(found)

    settings = Settings(COUNTY_SETTINGS, {"urls": ["http://county.example:8080/x"], "seeder_port": 7})
    seeder = SeederAddress(settings, resolve)  # type: ignore[arg-type]
    assert seeder.current(1000) == [pack(found[0], 7)] == seeder.current(1299)
    found.clear()
    assert seeder.current(1301) == [pack(parse_address("10.0.0.1"), 7)]
    assert asked_for == ["county.example"] * 2
    assert SeederAddress(Settings(COUNTY_SETTINGS, {}), resolve).current(0) == []  # type: ignore[arg-type]
