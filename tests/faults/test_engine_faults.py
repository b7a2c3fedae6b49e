"""Every durable operation of first sync, drop and release change fails or is cut off once: nothing wrong is
ever shown, and the next start completes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from content_sync.errors import LessonBoxError
from content_sync.formats.hashtree import BLOCK
from content_sync.testing.faults import KINDS, SHELF, STATE, STORE, Crash, FaultFiles, Fuse
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import NOW, SmallCounty

NAMES = {"store": STORE, "shelf": SHELF, "state": STATE}


def live(box: MemoryBox, county: SmallCounty, wrap: Any) -> None:
    """A first sync with a drop, then a release that changes one lesson and withdraws another."""
    box.start(wrap)
    box.settle()
    box.clock.go(400)
    box.settle()


def run(folder: Path, county: SmallCounty, fuse: Fuse, half: bool) -> MemoryBox:
    """One life with one fault, a restart, and what must hold at the end."""
    box = MemoryBox(folder, county)
    if half:
        box.drops.put("drop/x", county.lessons["一"]["资料 0.bin"][: 3 * BLOCK] + b"!" * BLOCK)

    def wrap(name: str, part: Any) -> Any:
        return FaultFiles(part, fuse, NAMES[name])

    try:
        live(box, county, wrap)
    except (Crash, LessonBoxError):
        pass
    box.shown()  # checks every byte that teachers can see
    box.start()
    box.settle()
    box.clock.go(4000)
    box.settle()
    assert box.shown() == set(county.lessons), f"{fuse.kind} at {fuse.at}"
    assert not box.store.arriving
    assert set(box.store.whole) == box.state.referenced()
    return box


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_every_durable_operation(tmp_path: Path, kind: str) -> None:
    county = SmallCounty(tmp_path / "county")
    county.noise("一", 4 * BLOCK + 7, 100)
    county.noise("二", 2 * BLOCK)
    county.publish()
    faults = at = 0
    while True:
        folder = tmp_path / f"{at}"
        folder.mkdir()
        fuse = Fuse(at, kind)
        run(folder, county, fuse, half=True).state.close()
        if not fuse.blown:
            break
        faults += 1
        at += 1
    print(f"{kind}: {faults} faults")
    assert faults > 25


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_in_a_release_change(tmp_path: Path, kind: str) -> None:
    faults = at = 0
    while True:
        folder = tmp_path / f"{at}"
        county = SmallCounty(folder / "county")
        county.noise("一", 2 * BLOCK + 7)
        county.noise("二", BLOCK)
        county.publish()
        box = MemoryBox(folder, county)
        box.start()
        box.settle()
        county.noise("一", 2 * BLOCK, 50, seed=1)
        del county.lessons["二"]
        county.publish(NOW + 60)
        fuse = Fuse(at, kind)
        box.clock.go(400)
        try:
            box.start(lambda name, part, fuse=fuse: FaultFiles(part, fuse, NAMES[name]))
            box.settle()
        except (Crash, LessonBoxError):
            pass
        assert box.shown() >= {"一"}, f"{kind} at {at}"
        box.start()
        box.settle()
        box.clock.go(4000)
        box.settle()
        assert box.shown() == {"一"} and box.state.lessons()[0].complete, f"{kind} at {at}"
        assert set(box.store.whole) == box.state.referenced()
        box.state.close()
        if not fuse.blown:
            break
        faults += 1
        at += 1
    print(f"{kind}: {faults} faults")
    assert faults > 15
