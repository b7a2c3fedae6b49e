"""The FAT partition: kernel, initrd and command line of each system in the folder of its slot, and one
letter that says which of them the machine's firmware starts (formats.md 18).

FAT can't rename in one instant, but one sector that lies there already is written whole or not at all.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from content_sync.adapters.files import storage_errors
from content_sync.errors import DiskFullError, StorageError

#: file -> what stands around the letter: a Raspberry Pi's firmware, systemd-boot.
_POINTERS = {
    "config.txt": re.compile(rb"^os_prefix=([ab])/\r?$", re.MULTILINE),
    "loader/loader.conf": re.compile(rb"^default lessonbox-([ab])\.conf\r?$", re.MULTILINE),
}
_ROOT = re.compile(r"\broot=PARTUUID=[0-9a-fA-F-]+")
CMDLINE = "cmdline.txt"
#: Words of one length in a Pi's command line: all processors, or one.
_ALL, _ONE = b"lessonbox.cpus=all", b"nr_cpus=1         "
_SECTOR = 512
_CAP = 64 << 10


class Loader:
    """`fat`: where the partition is mounted; `writable(fat)`: it can be written inside."""

    def __init__(self, fat: Path, writable: Callable[[Path], object]) -> None:
        self._fat, self._writable = fat, writable

    def slot(self) -> str:
        """Which slot the firmware starts. Raises StorageError when the partition does not say so."""
        return self._pointer()[2]

    def _pointer(self) -> tuple[Path, int, str]:
        for name, pattern in _POINTERS.items():
            path = self._fat / name
            with storage_errors(name):
                if not path.is_file():
                    continue
                found = list(pattern.finditer(path.read_bytes()[:_CAP]))
            if len(found) == 1:
                return path, found[0].start(1), found[0][1].decode()
        raise StorageError("the boot partition does not say which system it starts")

    def point_to(self, slot: str, files: Path, partition: str) -> None:
        """Put the files of a slot in place (`files`: that system's own copy of them), then let the firmware
        start it: one byte. `partition`: the PARTUUID of its root. Cut off anywhere, the other one is started.

        Raises StorageError, DiskFullError.
        """
        path, at, before = self._pointer()
        if before == slot:
            return
        with storage_errors("the boot partition"), _entered(self._writable(self._fat)):
            self._put(files, self._fat / slot, partition)
            if path.name == "loader.conf":
                self._entry(slot, files, partition)
            _in_place(path, slot.encode(), at)
        if self.slot() != slot:
            raise StorageError("the boot partition does not keep what is written to it")

    def processors(self, one: bool) -> bool:
        """Let the system that the firmware starts use one processor, or all; whether that was another. A
        kernel whose others wait in a spin table (Raspberry Pi 4) jumps to another kernel only when it never
        woke them.

        Nothing where the command line has no word for it (a PC). Raises StorageError.
        """
        path = self._fat / self.slot() / CMDLINE
        new, old = (_ONE, _ALL) if one else (_ALL, _ONE)
        with storage_errors(path.name):
            data = path.read_bytes() if path.is_file() else b""
            at = data.find(old)
            if at < 0 or at // _SECTOR != (at + len(old) - 1) // _SECTOR:
                return False
            with _entered(self._writable(self._fat)):
                _in_place(path, new, at)
            if path.read_bytes()[at : at + len(new)] != new:
                raise StorageError("the boot partition does not keep what is written to it")
        return True

    def _put(self, files: Path, folder: Path, partition: str) -> None:
        room = shutil.disk_usage(self._fat).free + _size(folder)
        if room < _size(files) + (1 << 20):
            raise DiskFullError("no space left on the boot partition")
        shutil.rmtree(folder, ignore_errors=True)
        for source in sorted(files.rglob("*")):
            target = folder / source.relative_to(files)
            if source.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.name == CMDLINE:
                _write(target, _cmdline(source, partition))
                continue
            shutil.copyfile(source, target)
            _durable(target)
            if not filecmp.cmp(source, target, shallow=False):
                raise StorageError(f"{target.name} on the boot partition is not what was written")

    def _entry(self, slot: str, files: Path, partition: str) -> None:
        options = _cmdline(files / CMDLINE, partition).decode().strip()
        text = f"title Lesson Box {slot}\nlinux /{slot}/vmlinuz\ninitrd /{slot}/initrd\noptions {options}\n"
        _write(self._fat / "loader" / "entries" / f"lessonbox-{slot}.conf", text.encode())


@contextmanager
def _entered(context: object) -> Iterator[None]:
    with context:  # type: ignore[attr-defined]
        yield


def _cmdline(path: Path, partition: str) -> bytes:
    text, count = _ROOT.subn(f"root=PARTUUID={partition}", path.read_text("ascii"))
    if count != 1:
        raise StorageError("the new system does not say how its kernel finds its root")
    return text.encode()


def _in_place(path: Path, data: bytes, at: int) -> None:
    """Within one sector of a file that is there: written whole or not at all."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, data, at)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    _durable(path)


def _durable(path: Path) -> None:
    for place, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        descriptor = os.open(place, flags | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
