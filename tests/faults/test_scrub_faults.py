"""A damaged object is found and repaired while every durable operation of that fails or is cut off once: the
damaged bytes are never shown again, and the next start completes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from content_sync.formats.hashtree import BLOCK
from content_sync.testing.faults import Fuse
from tests.faults.disk_box import DiskBox, through
from tests.unit.small_county import SmallCounty, identify


def spoil(box: DiskBox, root: str) -> None:
    """Change a byte as a disk does it: nobody wrote, so length, times and mark stay."""
    path = box.store.object_path(root)
    found = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.seek(2 * BLOCK)
        stream.write(b"rot")
    path.chmod(0o444)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["error", "killed", "power lost"])
def test_a_fault_in_every_step_of_a_repair(tmp_path: Path, kind: str) -> None:
    at = 0
    while True:
        folder = tmp_path / f"{at}"
        county = SmallCounty(folder / "county")
        county.noise("一", 4 * BLOCK + 7, 100)
        county.publish()
        root = identify(county.lessons["一"]["资料 0.bin"])[0].root
        (folder / "box").mkdir()
        box = DiskBox(folder / "box", county)
        box.start()
        box.settle()
        spoil(box, root)
        assert box.store.vouched(identify(county.lessons["一"]["资料 0.bin"])[0])

        def life(box: DiskBox, root: str = root) -> None:
            engine = box.start()
            engine.suspect(root)
            box.settle()

        fuse = Fuse(at, kind)
        through(box, fuse, life)
        engine = box.start()
        if root in box.state.repairs():
            # Once it was withheld nobody sees it before it is whole, whatever its mark says.
            assert box.state.visible_file(root) is None or box.shown() == {"一"}
        engine.suspect(root)  # the next reader, or the scrub
        box.settle()
        box.clock.go(8000)
        box.settle()
        assert box.shown() == {"一"} and not box.leftovers(), f"{kind} at {at}"
        assert box.kept() == box.state.referenced()
        box.state.close()
        shutil.rmtree(folder)
        if not fuse.blown:
            break
        at += 1
    print(f"{kind}: {at} faults")
    assert at >= 10
