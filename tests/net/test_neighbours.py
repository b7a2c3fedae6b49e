"""Boxes on one LAN behind a thin line when things go wrong: a neighbour that falls silent in the middle, a
firewall that drops all BitTorrent."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from content_sync.formats.hashtree import identify
from tests.e2e import library
from tests.e2e.programs import Box, County, wait_until
from tests.net.rig import BOXES, Rig

LESSON = 8_000_000
#: What one box may have under way when it is stopped: the rate times two round trips, and its sockets'
#: buffers.
UNDER_WAY = 2_500_000
pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("ip", "nft")]


class School:
    """A county with one lesson and two boxes of one school that lack it."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig(rate=10e6, delay_ms=50, loss=0)
        self.boxes: list[Box] = []
        self.county: County | None = None
        try:
            self.files = library.lesson_of_noise(folder / "tree", 1, LESSON, files=2)
            self.county = County(folder / "county", self.rig.place("county"))
            self.size = self.county.publish(folder / "tree")["bytes"]
            self.county.serve()
            for number, name in enumerate(BOXES):
                enrolment = self.county.enrol(folder / f"{name}.json", f"00{number}", name)
                self.boxes.append(Box(folder / name, enrolment, self.rig.place(name)))
        except BaseException:
            self.close()
            raise
        self.before = self.rig.counts()["to_b"]["sent_bytes"]

    def down(self) -> int:
        """Bytes over the line towards the school."""
        return self.rig.counts()["to_b"]["sent_bytes"] - self.before

    def check(self, box: Box) -> None:
        """Every byte of the lesson is there."""
        for path in self.files:
            with path.open("rb") as stream:
                root = identify(stream)[0].root
            assert (box.data / "objects" / root[:2] / root).read_bytes() == path.read_bytes()

    def close(self) -> None:
        """End everything."""
        for side in (*self.boxes, self.county):
            if side is not None:
                side.close()
        self.rig.close()


@pytest.fixture
def school(tmp_path: Path) -> Iterator[School]:
    made = School(tmp_path)
    yield made
    made.close()


def test_a_box_steps_in_for_a_neighbour_that_fell_silent(school: School) -> None:
    one, other = school.boxes
    for box in school.boxes:
        box.start("sync")
    wait_until(lambda: school.down() > LESSON // 4, "both are at work")
    stopped = other.programs["sync"]
    os.killpg(stopped.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: one.complete(1), "the one has all of it", 120)
        school.check(one)
    finally:
        os.killpg(stopped.pid, signal.SIGCONT)
    wait_until(lambda: other.complete(1), "the other has all of it", 120)
    school.check(other)
    down = school.down()
    print(f"lesson {school.size} bytes: {down} down ({down / school.size:.3f})")
    assert down < 1.1 * school.size + UNDER_WAY


def knows(box: Box, other: Box) -> bool:
    """Whether a box has heard where the other is."""
    path = box.data / "neighbours.json"
    found = json.loads(path.read_text("utf-8"))["neighbours"] if path.exists() else []
    return other.url in [one["url"] for one in found]


def test_where_bittorrent_is_dropped_they_share_by_http(school: School) -> None:
    assert school.county is not None
    ports = [tomllib.loads((school.county.data / "county.toml").read_text("utf-8"))["seeder_port"]]
    ports += [
        tomllib.loads((box.data / "box.toml").read_text("utf-8"))["torrent_port"] for box in school.boxes
    ]
    for name in BOXES:
        listed = ",".join(map(str, ports))
        rules = [
            "add table inet firewall",
            "add chain inet firewall out { type filter hook output priority 0; }",
            f"add rule inet firewall out tcp dport {{ {listed} }} drop",
            f"add rule inet firewall out tcp sport {{ {listed} }} drop",
            "add rule inet firewall out udp dport 6771 drop",
        ]
        command = [*school.rig.place(name).prefix, "nft", "-f", "-"]
        subprocess.run(command, input="\n".join(rules) + "\n", text=True, check=True, timeout=30)
    for box in school.boxes:
        box.start("web", "agent")
    for box, other in zip(school.boxes, reversed(school.boxes), strict=True):
        wait_until(functools.partial(knows, box, other), "they know each other")
    for box in school.boxes:
        box.start("sync")
    wait_until(lambda: all(box.complete(1) for box in school.boxes), "both hold the lesson", 200)
    down = school.down()
    for box in school.boxes:
        school.check(box)
    print(f"lesson {school.size} bytes: {down} down ({down / school.size:.3f})")
    assert down < 1.4 * school.size
