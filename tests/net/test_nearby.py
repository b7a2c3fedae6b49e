"""Two boxes on one LAN learn of each other: by multicast DNS, and where a switch drops multicast, from the
county; then each reads what the other has."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import library
from tests.e2e.programs import Box, County, wait_until
from tests.net.rig import BOXES, Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A line that is no hindrance."""
    made = Rig(rate=100e6, delay_ms=1, loss=0)
    yield made
    made.close()


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.needs("ip", "nft")
@pytest.mark.parametrize("road", ["multicast", "county"])
def test_boxes_find_each_other(rig: Rig, tmp_path: Path, road: str) -> None:
    library.lesson_of_noise(tmp_path / "tree", 1, 400_000, files=2)
    county = County(tmp_path / "county", rig.place("county"))
    county.publish(tmp_path / "tree")
    boxes: list[Box] = []
    try:
        if road == "county":
            county.serve()
            for name in BOXES:
                chain = ["chain o {", "type filter hook output priority 0;", "udp dport 5353 drop", "}"]
                rules = "\n".join(["table inet t {", *chain, "}", ""])
                command = ["ip", "netns", "exec", rig.name(name), "nft", "-f", "-"]
                subprocess.run(command, input=rules, text=True, check=True)
        for number, name in enumerate(BOXES):
            enrolment = county.enrol(tmp_path / f"{name}.json", f"00{number}", name)
            boxes.append(Box(tmp_path / name, enrolment, rig.place(name)))
            boxes[-1].start("web", "agent")

        def heard(box: Box) -> list[str]:
            try:
                told = json.loads((box.data / "neighbours.json").read_text())
            except FileNotFoundError:
                return []
            return [entry["url"] for entry in told["neighbours"]]

        one, two = boxes
        wait_until(lambda: heard(two) == [one.url], "the second box knows of the first")
        if road == "multicast":
            wait_until(lambda: heard(one) == [two.url], "and the first of the second")
        else:
            one.start("sync")
            wait_until(lambda: one.complete(1), "the first box has the lesson")
            one.wait_ready()
            (path,) = (county.data / "public/targets/packages").glob("*.torrent")
            infohash = path.name.split(".")[1]
            told = json.loads(rig.place("box2").get(f"{one.url}/api/v1/have/{infohash}"))
            assert [file["have"] for file in told["files"]] == ["all"] * len(told["files"]) != []
    finally:
        for box in boxes:
            box.close()
        county.close()
