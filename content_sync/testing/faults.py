"""Faults on purpose: the Nth durable operation fails, or the program or the power ends there.

`FaultFiles` is ports.Files over the real file system that remembers what no fsync has made durable yet. When
the power goes, it makes the files what a disk may hold then: names and bytes that were never synced are gone,
or the names live and their bytes are lost or torn (the adversary of Pillai et al., "All file systems are not
created equal", OSDI 2014).
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from content_sync.adapters.disk import Disk
from content_sync.errors import DiskFullError, StorageError

#: The disk is full; it does not answer; the program is killed; the power goes and what was not synced is
#: lost; ... and names live while bytes are lost; ... and bytes are torn.
KINDS = ("full", "error", "killed", "power lost", "power bare", "power torn")


class Crash(BaseException):
    """The program or the power went: nothing catches it."""


class Fuse:
    """Counts operations; at number `at` (from 0) something of `kind` (KINDS) happens, once. `blown`: it
    did. `dead`: the program ended there, so nothing can happen any more."""

    def __init__(self, at: int, kind: str) -> None:
        self.at, self.kind, self.count, self.blown = at, kind, 0, False
        self.chance = random.Random(at)

    @property
    def dead(self) -> bool:
        """Whether the program has ended."""
        return self.blown and self.kind not in ("full", "error")

    def burn(self) -> bool:
        """One operation more: whether it is the one. Raises Crash when the program has ended before."""
        if self.dead:
            raise Crash
        number, self.count = self.count, self.count + 1
        self.blown = self.blown or number == self.at
        return number == self.at


class FaultState:
    """A State whose transactions (`names`) go through a fuse: before or after each is a moment to crash."""

    def __init__(self, real: Any, fuse: Fuse, names: tuple[str, ...]) -> None:
        self._real, self._fuse, self._names = real, fuse, names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return (lambda *values: self._run(found, *values)) if name in self._names else found

    def _run(self, operation: Callable[..., Any], *values: Any) -> Any:
        if not self._fuse.burn():
            return operation(*values)
        if self._fuse.kind == "full":
            raise DiskFullError("no space left (fault)")
        if self._fuse.kind == "error":
            raise StorageError("input/output error (fault)")
        if self._fuse.chance.random() < 0.5:
            operation(*values)
        raise Crash


class FaultFiles:
    """ports.Files below `root`, through a fuse."""

    def __init__(self, fuse: Fuse, root: Path) -> None:
        self._fuse, self._root, self._real = fuse, root, Disk()
        self._aside = root.with_name(f"{root.name}.before")
        self._aside.mkdir(exist_ok=True)
        self._paths: dict[int, Path] = {}
        self._bytes: dict[int, bytes] = {}  # inode -> what is durable of a file that was written to since
        # The folder whose fsync makes a change of names durable, and (name, what had it) of each, kept aside.
        self._names: list[tuple[Path, tuple[tuple[Path, Path | None], ...]]] = []

    # ports.Files

    def create(self, path: Path, mode: int) -> int:
        """See ports.Files."""
        self._turn(path)
        descriptor = self._real.create(path, mode)
        return self._opened(descriptor, path, new=True)

    def edit(self, path: Path, mode: int) -> int:
        """See ports.Files."""
        new = not path.exists()
        self._turn(path)
        return self._opened(self._real.edit(path, mode), path, new)

    def _opened(self, descriptor: int, path: Path, new: bool) -> int:
        self._paths[descriptor] = path
        if new:
            self._names.append((path.parent, ((path, None),)))
            self._bytes[os.fstat(descriptor).st_ino] = b""
        return descriptor

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """See ports.Files."""
        self._dirty(descriptor)
        self._turn(
            self._paths[descriptor], lambda: self._real.write(descriptor, data[: len(data) // 2], offset)
        )
        self._real.write(descriptor, data, offset)

    def allocate(self, descriptor: int, length: int) -> None:
        """See ports.Files."""
        self._dirty(descriptor)
        self._turn(self._paths[descriptor])
        self._real.allocate(descriptor, length)

    def truncate(self, descriptor: int, length: int) -> None:
        """See ports.Files."""
        self._dirty(descriptor)
        self._turn(self._paths[descriptor])
        self._real.truncate(descriptor, length)

    def chmod(self, descriptor: int, mode: int) -> None:
        """See ports.Files."""
        self._real.chmod(descriptor, mode)

    def sync(self, descriptor: int) -> None:
        """See ports.Files."""
        self._turn(self._paths.get(descriptor, self._root))
        self._real.sync(descriptor)
        self._bytes.pop(os.fstat(descriptor).st_ino, None)

    def close(self, descriptor: int) -> None:
        """See ports.Files."""
        self._paths.pop(descriptor, None)
        self._real.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """See ports.Files."""
        self._turn(target)
        before, moved = self._keep(target), self._keep(source)
        self._real.rename(source, target)
        self._names.append((target.parent, ((target, before), (source, moved))))

    def remove(self, path: Path) -> None:
        """See ports.Files."""
        if path.exists():
            self._turn(path)
        before = self._keep(path)
        self._real.remove(path)
        self._names.append((path.parent, ((path, before),)))

    def make_folder(self, path: Path, mode: int) -> None:
        """See ports.Files."""
        self._turn(path)
        self._real.make_folder(path, mode)

    def sync_folder(self, path: Path) -> None:
        """See ports.Files."""
        self._turn(path)
        self._real.sync_folder(path)
        self._names = [change for change in self._names if change[0] != path]

    # The fault

    def _turn(self, path: Path, half: Callable[[], None] = lambda: None) -> None:
        """One operation on `path`; `half` does a part of it."""
        if not path.is_relative_to(self._root) or not self._fuse.burn():
            return
        kind = self._fuse.kind
        if kind in ("full", "error"):
            if kind == "full":
                half()  # what fitted
            raise OSError(errno.ENOSPC if kind == "full" else errno.EIO, "fault", str(path))
        half()
        if kind != "killed":
            self._power_cut()
        raise Crash

    def _keep(self, path: Path) -> Path | None:
        """Another name for what has this one now."""
        if not path.exists():
            return None
        aside = self._aside / f"{len(os.listdir(self._aside))}"
        os.link(path, aside)
        return aside

    def _dirty(self, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        if inode not in self._bytes:
            self._bytes[inode] = self._paths[descriptor].read_bytes()

    def _power_cut(self) -> None:
        if self._fuse.kind == "power lost":
            for name, before in (pair for _, pairs in reversed(self._names) for pair in pairs):
                name.unlink(missing_ok=True)
                if before is not None:
                    os.link(before, name)
        for path in list(self._root.rglob("*")):
            old = self._bytes.get(path.lstat().st_ino) if path.is_file() else None
            if old is None:
                continue
            now = path.read_bytes()
            torn = self._fuse.kind == "power torn"
            cut = self._fuse.chance.randrange(len(now) + 1) if torn else 0
            path.chmod(0o644)
            path.write_bytes(now[:cut] + old[cut : len(now)] + bytes(max(0, len(now) - max(cut, len(old)))))


STATE = (
    "set_meta",
    "apply",
    "set_files",
    "add_object",
    "add_objects",
    "forget_objects",
    "withhold",
    "found_whole",
    "publish",
    "put_local",
    "drop_local",
    "note",
    "note_planned",
    "evict",
    "put_drop_parts",
    "forget_drop_files",
    "set_status",
    "problem",
    "solved",
)
