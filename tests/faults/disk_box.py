"""A box whose files are real files, every change of which goes through a fuse."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from content_sync.adapters.files import on_disk
from content_sync.adapters.local import FileLocal
from content_sync.adapters.objects import FileShelf, FileStore
from content_sync.errors import LessonBoxError
from content_sync.testing.fakes import FakeSwarm
from content_sync.testing.faults import STATE, Crash, FaultFiles, FaultState, Fuse
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import SmallCounty


class DiskBox(MemoryBox):
    """MemoryBox with objects/, partial/ and trust/ in a folder."""

    def __init__(self, folder: Path, county: SmallCounty, **more: Any) -> None:
        super().__init__(folder, county, **more)
        self.folder = folder
        self.reopen()

    def reopen(self) -> None:
        """What the next start finds."""
        super().reopen()
        self.store = FileStore(self.folder / "objects", self.folder / "partial")  # type: ignore[assignment]
        self.shelf = FileShelf(self.folder / "trust")  # type: ignore[assignment]
        self.local = FileLocal(
            self.folder / "local",
            self.folder / "incoming" / "uploads",
            self.folder / "partial",
            self.folder / "received",
            [self.folder / "sticks"],
        )
        if self.swarm is not None:
            self.swarm = FakeSwarm(self.store, self.county.content)

    def bytes_of(self, root: str) -> bytes:
        """An object's bytes."""
        return self.store.object_path(root).read_bytes()

    def kept(self) -> set[str]:
        """Roots of the objects on disk."""
        return {file.root for file in self.store.objects()}

    def leftovers(self) -> list[Path]:
        """Files that nobody would ever use or remove."""
        return [path for path in self.folder.rglob(".*.new")] + list((self.folder / "partial").iterdir())


def through(box: DiskBox, fuse: Fuse, life: Callable[[DiskBox], None]) -> None:
    """Let the box live through `life` with a fuse in every change of its files and its state."""

    def wrap(name: str, part: Any) -> Any:
        return FaultState(part, fuse, STATE) if name == "state" else part

    start = box.start
    box.start = lambda wrap=wrap: start(wrap)  # type: ignore[method-assign]
    try:
        with on_disk(FaultFiles(fuse, box.folder)):
            life(box)
    except (Crash, LessonBoxError):
        pass
    finally:
        box.start = start  # type: ignore[method-assign]
        shutil.rmtree(box.folder.with_name(f"{box.folder.name}.before"))
        box.reopen()
