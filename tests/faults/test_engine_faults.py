"""Every durable operation fails or is cut off once, in each part of a box's life: nothing wrong is ever
shown, and the next start completes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from content_sync.formats.hashtree import BLOCK
from content_sync.testing.faults import KINDS, Fuse
from tests.faults.disk_box import DiskBox, through
from tests.unit.small_county import NOW, SmallCounty


def first_sync(box: DiskBox) -> None:
    """From nothing to a whole library over the network."""
    box.start()
    box.settle()


def drop(box: DiskBox) -> None:
    """A damaged file of one lesson lies in the drop folder, the network brings the rest."""
    box.drops.put("drop/x", box.county.lessons["一"]["资料 0.bin"][: 3 * BLOCK] + b"!" * BLOCK)
    first_sync(box)


def change(box: DiskBox) -> None:
    """A lesson changes, one moves away, one comes."""
    county = box.county
    county.noise("一", 2 * BLOCK, 50, seed=1)
    county.lessons.pop("二", None)
    county.noise("三", BLOCK + 1)
    county.publish(NOW + 60)
    box.clock.go(400)
    first_sync(box)


def start_up(box: DiskBox) -> None:
    """A start over a whole library, and over one whose state.db is lost."""
    box.start()
    box.settle()
    box.state.close()
    for path in box.folder.glob("state.db*"):
        path.unlink()
    box.reopen()
    first_sync(box)


#: Life -> whether the box has its library before, and how many faults are the least that it must have.
LIVES: dict[Callable[[DiskBox], None], tuple[bool, int]] = {
    first_sync: (False, 100),
    drop: (False, 100),
    change: (True, 80),
    start_up: (True, 5),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
def test_a_fault_at_every_durable_operation(
    memory_path: Path, life: Callable[[DiskBox], None], kind: str
) -> None:
    has_library, least = LIVES[life]
    at = 0
    while True:
        folder = memory_path / f"{at}"
        county = SmallCounty(folder / "county")
        county.noise("一", 4 * BLOCK + 7, 100)
        county.noise("二", 2 * BLOCK)
        county.publish()
        (folder / "box").mkdir()
        box = DiskBox(folder / "box", county)
        if has_library:
            first_sync(box)
        fuse = Fuse(at, kind)
        through(box, fuse, life)
        at_least = {"一"} if has_library and life is not start_up else set()
        box.start()
        assert box.shown() >= at_least, f"{kind} at {at}"  # checks every byte that teachers can see
        box.settle()
        box.clock.go(4000)
        box.settle()
        assert box.shown() == set(county.lessons), f"{kind} at {at}"
        assert all(row.complete for row in box.state.lessons()), f"{kind} at {at}"
        assert box.kept() == box.state.referenced(), f"{kind} at {at}"
        assert not box.leftovers(), f"{kind} at {at}"
        box.state.close()
        shutil.rmtree(folder)
        if not fuse.blown:
            break
        at += 1
    print(f"{life.__name__}, {kind}: {at} faults")
    assert at >= least
