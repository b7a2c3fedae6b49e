"""Every change of a stick's files fails or is cut off once: what is noted as durable is true, a bag that says
it is whole is whole, and running again completes it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from content_sync.adapters.files import on_disk
from content_sync.adapters.stick import FolderStick
from content_sync.errors import LessonBoxError
from content_sync.formats import bag
from content_sync.formats.hashtree import BLOCK
from content_sync.testing.faults import KINDS, Crash, FaultFiles, Fuse
from tests.unit.small_county import NOW, SmallCounty
from tests.unit.sticks import Carrier, check_bag, in_memory, missing


def check_notes(top: Path, fuse: Fuse) -> None:
    """What the bag says of itself after a fault."""
    down = top / bag.DOWN
    declared = (down / bag.DECLARATION).exists()
    for name in (bag.WRITING, bag.MANIFEST):
        if name == bag.MANIFEST and not declared:
            continue
        noted = bag.parse_manifest((down / name).read_bytes()) if (down / name).exists() else {}
        for path, digest in noted.items():
            held = down / path
            if held.exists():
                # A name that stays while its content changes is replaced before it is noted anew.
                changing = path.startswith("data/metadata/timestamp")
                good = hashlib.sha256(held.read_bytes()).hexdigest() == digest
                assert good or (changing and not declared), f"{path}: {fuse.kind} at {fuse.at}"
    if declared:
        check_whole(down)


def check_whole(down: Path) -> None:
    """The bag is declared, and each file of it named with its hash (once a sweep bagit.py says so too)."""
    named = bag.parse_manifest((down / bag.MANIFEST).read_bytes())
    held = {path.relative_to(down).as_posix(): path for path in (down / "data").rglob("*") if path.is_file()}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in held.items()} == named
    assert (down / bag.DECLARATION).read_bytes() == bag.DECLARED


def sweep(work: Path, carrier: Carrier, kind: str, before: Path | None, most: int) -> int:
    """One export with a fault at each operation in turn; how many faults there were."""
    at = 0
    while True:
        top = work / f"{at}" / "stick"
        top.parent.mkdir(parents=True)
        if before is None:
            top.mkdir()
        else:
            shutil.copytree(before, top)
        fuse = Fuse(at, kind)
        try:
            with on_disk(FaultFiles(fuse, top)):
                carrier.export(FolderStick(top), most=most)
        except (Crash, LessonBoxError):
            pass
        if (top / bag.DOWN).is_dir():
            check_notes(top, fuse)
        made = carrier.export(FolderStick(top), most=most)
        assert made.lessons == made.asked and not made.problems, f"{kind} at {at}"
        check_whole(top / bag.DOWN)
        assert not (top / bag.DOWN / bag.WRITING).exists()
        assert not missing([top], carrier.wanted()), f"{kind} at {at}"
        if not fuse.blown:
            check_bag(top)
            return at
        shutil.rmtree(top.parent)
        at += 1


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: what is durable is FaultFiles' to say, not the disk's."""
    with in_memory() as folder:
        yield folder


@pytest.fixture
def carriers(tmp_path: Path) -> tuple[Carrier, Path, Carrier]:
    """A county; a stick with its first release; the county after its second."""
    folder = tmp_path
    county = SmallCounty(folder / "a")
    county.noise("一", 3 * BLOCK + 7, 100)
    county.publish()
    shutil.copytree(folder / "a", folder / "b")
    first = Carrier(county, folder / "objects")
    stick = folder / "stick"
    stick.mkdir()
    first.export(FolderStick(stick), most=2 * BLOCK)
    (stick / "holiday.jpg").write_bytes(b"mine")
    later = SmallCounty.__new__(SmallCounty)
    later.__dict__ |= county.__dict__ | {"lessons": dict(county.lessons), "content": dict(county.content)}
    later.folder, later.public = folder / "b", folder / "b" / "public"
    later.repository = type(county.repository)(later.public, folder / "b" / "keys", 365)
    later.noise("二", BLOCK)
    later.publish(NOW + 60)
    return first, stick, Carrier(later, folder / "objects")


@pytest.mark.parametrize(
    "kind", [kind if kind == "killed" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_a_fault_at_every_operation_of_an_export(
    carriers: tuple[Carrier, Path, Carrier], tmp_path: Path, kind: str
) -> None:
    first, stick, later = carriers
    fresh = sweep(tmp_path / "fresh", first, kind, None, 2 * BLOCK)
    again = sweep(tmp_path / "again", later, kind, stick, 2 * BLOCK)
    print(f"{kind}: {fresh} + {again} faults")
    assert fresh > 60 and again > 40
