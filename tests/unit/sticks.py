"""Sticks for tests: a small county's objects as files, a stick with a stated size, a judge of bags."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bagit

from content_sync.adapters.objects import FileShelf
from content_sync.adapters.stick import FolderStick, ObjectFolder
from content_sync.adapters.tuf import Trust
from content_sync.engine import shipment
from content_sync.engine.export import Export, Exported
from content_sync.engine.shipment import Load, Release
from content_sync.errors import DiskFullError
from content_sync.formats import bag
from content_sync.formats.hashtree import BLOCK
from tests.unit.small_county import NOW, SmallCounty


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder on tmpfs where there is one: a thousand fsyncs cost nothing there."""
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


class SmallStick(FolderStick):
    """A stick of `space` bytes in clusters of 4 KiB; what it says of its space may be a lie."""

    def __init__(self, top: Path, space: int, lies: int = 0) -> None:
        super().__init__(top)
        self.space, self.lies = space, lies

    def cost(self, size: int) -> int:
        return (-(-size // 4096) + 1) * 4096

    def used(self) -> int:
        return sum(self.cost(size) for size in self.files().values())

    def free(self) -> int:
        return max(0, self.space - self.used()) + self.lies

    def write(self, path: str, blocks: Iterable[bytes]) -> None:
        room = self.space - self.used()

        def limited() -> Iterable[bytes]:
            nonlocal room
            for data in blocks:
                room -= len(data)
                if room < 0:
                    raise DiskFullError("no space left for the test")
                yield data

        super().write(path, limited())


class Carrier:
    """What exports need of a SmallCounty; its objects lie as files below `folder`."""

    def __init__(self, county: SmallCounty, folder: Path) -> None:
        self.county, self.objects = county, folder
        self.shelf = FileShelf(county.public)
        folder.mkdir(exist_ok=True)
        self.renew()

    def renew(self) -> None:
        """Put there what was published since."""
        for root, data in self.county.content.items():
            (self.objects / root).write_bytes(data)
        self._release: Release | None = None

    def wanted(self) -> dict[str, bytes]:
        """Root -> bytes of what its newest release holds."""
        whole = [data for files in self.county.lessons.values() for data in files.values()]
        return {root: data for root, data in self.county.content.items() if data in whole}

    def release(self) -> Release:
        """The newest release, read once."""
        if self._release is None:
            self._release = self._read()
        return self._release

    def _read(self) -> Release:
        return shipment.open_release(
            self.shelf, lambda roots, *levels: Trust.reload(roots[0], roots[1:], *levels), ("*",)
        )

    def export(
        self,
        stick: FolderStick,
        loads: list[Load] | None = None,
        most: int = bag.MAX_PART,
        verify: bool = False,
        asked: bool = False,
    ) -> Exported:
        """Write a bag; with everything unless `loads` are given."""
        release = self.release()
        made = Export(stick, self.shelf, ObjectFolder(lambda root: self.objects / root), most, BLOCK)
        loads = shipment.for_all(release) if loads is None else loads
        return made.run(release.signed, loads, shipment.bag_info(release, NOW), verify=verify, asked=asked)


def check_bag(top: Path) -> dict[str, Any]:
    """The bag on a stick is whole by the Library of Congress's own reading; its bag-info."""
    found = bagit.Bag(str(top / bag.DOWN))
    found.validate()
    info: dict[str, Any] = found.info
    return info


def carried(top: Path) -> dict[str, dict[int, bytes]]:
    """Root -> block -> bytes of everything in objects/ of a stick."""
    found: dict[str, dict[int, bytes]] = {}
    for path in (top / bag.DOWN).glob("data/objects/??/*"):
        part = bag.part_of(path.relative_to(top / bag.DOWN).as_posix())
        assert part is not None, path
        data = path.read_bytes()
        for at in range(0, len(data), BLOCK):
            found.setdefault(part[0], {})[(part[1] or 0) + at // BLOCK] = data[at : at + BLOCK]
    return found


def missing(tops: Iterable[Path], content: dict[str, bytes]) -> int:
    """How many blocks of `content` lie on none of the sticks, as they should be."""
    held = [carried(top) for top in tops]
    return sum(
        all(found.get(root, {}).get(at // BLOCK) != data[at : at + BLOCK] for found in held)
        for root, data in content.items()
        for at in range(0, len(data), BLOCK)
    )
