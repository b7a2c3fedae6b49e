"""A disk whose writes are remembered in their order, and the states that a power cut may leave it in.

QEMU's `blklogwrites` writes down every write, flush and discard in the format of the kernel's dm-log-writes
(Documentation/admin-guide/device-mapper/log-writes.rst). What was written before a flush is on the disk; of
what came after it, any part may be.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.programs import ROOT, wait_until

SECTOR = 512
_MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD = 1, 2, 4
_NEW_MOUNTS = 0x20000  # CLONE_NEWNS
#: How much of what was written since the last flush is on the disk: whole writes, pages or sectors of them.
KINDS = ("nothing", "writes", "pages", "sectors", "all but the first")
_UNITS = {"pages": 4096, "sectors": SECTOR}


@dataclass(frozen=True)
class Entry:
    """One request. `data`: where its bytes stand in the log; `end`: where the log goes on."""

    offset: int
    length: int
    flags: int
    data: int
    end: int


def read_log(path: Path) -> list[Entry]:
    """All requests that stand in the log whole, in their order."""
    found: list[Entry] = []
    size = path.stat().st_size
    with path.open("rb") as log:
        magic, version, _, sector = struct.unpack("<QQQI", log.read(28))
        assert (magic, version, sector) == (_MAGIC, 1, SECTOR), "this is no log of writes"
        at = SECTOR
        while at + SECTOR <= size:
            log.seek(at)
            first, sectors, flags, _ = struct.unpack("<QQQQ", log.read(32))
            end = at + SECTOR + (0 if flags & DISCARD else sectors * SECTOR)
            if end > size or not (flags or sectors):
                break
            found.append(Entry(first * SECTOR, sectors * SECTOR, flags, at + SECTOR, end))
            at = end
    return found


def mount_options() -> str:
    """Those of the image's data partition, without what is systemd's."""
    for line in (ROOT / "images/files/etc/fstab").read_text("utf-8").splitlines():
        fields = line.split()
        if fields[1:3] == ["/data", "ext4"]:
            words = fields[3].split(",")
            return ",".join(word for word in words if word != "nofail" and not word.startswith("x-systemd."))
    raise AssertionError("the image's fstab has no /data")


def make_file_system(image: Path, size: int) -> None:
    """An ext4 as the image's data partition has it, in a file."""
    with image.open("wb") as file:
        file.truncate(size)
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-T", "default", "-b", "4096", "-m", "1", "-J", "size=32"]
    subprocess.run([*command, "-E", "nodiscard", str(image)], check=True)


def mount_alone() -> None:
    """What this process mounts from now on is nobody else's: who makes a mount namespace meanwhile would keep
    a file system mounted that is to be checked."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """The file system of an image, mounted as the box does it. Raises CalledProcessError."""
    place.mkdir(exist_ok=True)
    options = f"loop,{mount_options()}"
    subprocess.run(["mount", "-t", "ext4", "-o", options, str(image), str(place)], check=True)
    try:
        yield place
    finally:  # what was killed lets go of its files a moment later
        wait_until(
            lambda: subprocess.run(["umount", "-q", str(place)], capture_output=True).returncode == 0,
            f"{place} is free",
        )


class Recorded:
    """A disk that is written to through `path`, a file; every request goes into a log too."""

    def __init__(self, folder: Path, size: int) -> None:
        self.base, self.log, self.path = folder / "base", folder / "log", folder / "disk"
        self._now = folder / "now"
        make_file_system(self._now, size)
        copy(self._now, self.base)
        self.log.touch()
        self.path.touch()
        words = ["--blockdev", f"driver=file,node-name=now,filename={self._now}"]
        words += ["--blockdev", f"driver=file,node-name=log,filename={self.log}"]
        words += [
            "--blockdev",
            f"driver=blklogwrites,node-name=recorded,file=now,log=log,log-sector-size={SECTOR}",
        ]
        words += ["--export", f"type=fuse,id=disk,node-name=recorded,mountpoint={self.path},writable=on"]
        self._daemon = subprocess.Popen(["qemu-storage-daemon", *words])
        wait_until(lambda: self.path.stat().st_size == size, "the disk is there")

    def written(self) -> int:
        """How long the log is: whatever was finished before this question stands before it."""
        return self.log.stat().st_size

    def close(self) -> None:
        """End it; the log is whole then."""
        self._daemon.send_signal(signal.SIGTERM)
        self._daemon.wait(60)


def copy(source: Path, target: Path) -> None:
    """Copy a file, without its holes."""
    subprocess.run(["cp", "--sparse=always", str(source), str(target)], check=True)


class Replay:
    """The disk at one moment after another."""

    def __init__(self, base: Path, log: Path, entries: Sequence[Entry], now: Path) -> None:
        """`now`: the file that is made into it."""
        copy(base, now)
        self._now, self._entries, self._next = now, entries, 0
        self._log = os.open(log, os.O_RDONLY)
        self._disk = os.open(now, os.O_RDWR)

    def close(self) -> None:
        """Nothing more is asked."""
        os.close(self._log)
        os.close(self._disk)

    def through(self, number: int) -> None:
        """Do all that was done until the entry `number`, it included. Only forward."""
        while self._next <= number:
            self._do(self._disk, self._entries[self._next])
            self._next += 1

    def cut(self, kind: str, chance: random.Random, state: Path) -> None:
        """The power goes before the next flush is done: `state` becomes what the disk may be then."""
        copy(self._now, state)
        window = []
        for entry in self._entries[self._next :]:
            if entry.flags & FLUSH:
                break
            window.append(entry)
        disk = os.open(state, os.O_RDWR)
        try:
            for number, entry in enumerate(window):
                if kind == "all but the first" and number or kind == "writes" and chance.random() < 0.5:
                    self._do(disk, entry)
                elif unit := _UNITS.get(kind):
                    for start in range(0, entry.length, unit):
                        if chance.random() < 0.5:
                            self._do(disk, entry, start, min(unit, entry.length - start))
        finally:
            os.close(disk)

    def _do(self, disk: int, entry: Entry, start: int = 0, length: int | None = None) -> None:
        length = entry.length if length is None else length
        held = not entry.flags & DISCARD
        data = os.pread(self._log, length, entry.data + start) if held else bytes(length)
        assert len(data) == length
        if length:
            os.pwrite(disk, data, entry.offset + start)
