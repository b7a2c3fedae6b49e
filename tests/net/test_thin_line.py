"""Two boxes on one fast LAN behind a long thin line: between them they fetch a lesson about once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from content_sync.formats.hashtree import identify
from tests.e2e import library
from tests.e2e.programs import Box, County, wait_until
from tests.net.rig import BOXES, Rig

LESSON = 12_000_000


@pytest.fixture
def rig() -> Iterator[Rig]:
    """10 Mbit/s, 300 ms there and back, 1% lost each way."""
    made = Rig(rate=10e6, delay_ms=150, loss=0.01)
    yield made
    made.close()


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.needs("ip")
def test_neighbours_fetch_a_lesson_about_once(rig: Rig, tmp_path: Path) -> None:
    files = library.lesson_of_noise(tmp_path / "tree", 1, LESSON, files=2)
    county = County(tmp_path / "county", rig.place("county"))
    size = county.publish(tmp_path / "tree")["bytes"]
    boxes: list[Box] = []
    try:
        county.serve()
        for number, name in enumerate(BOXES):
            enrolment = county.enrol(tmp_path / f"{name}.json", f"00{number}", name)
            boxes.append(Box(tmp_path / name, enrolment, rig.place(name)))
        begun, before = time.monotonic(), rig.counts()
        for box in boxes:
            box.start("sync")
        wait_until(lambda: all(box.complete(1) for box in boxes), "both boxes hold the lesson", 300)
        seconds, after = time.monotonic() - begun, rig.counts()
        down = after["to_b"]["sent_bytes"] - before["to_b"]["sent_bytes"]
        up = after["to_a"]["sent_bytes"] - before["to_a"]["sent_bytes"]
        print(f"lesson {size} bytes: {down} down ({down / size:.3f}), {up} up, {seconds:.0f} s for both")
        for path in files:
            with path.open("rb") as stream:
                root = identify(stream)[0].root
            for box in boxes:
                assert (box.data / "objects" / root[:2] / root).read_bytes() == path.read_bytes()
        assert size <= down < 1.3 * size
    finally:
        for box in boxes:
            box.close()
        county.close()
