"""USB disks that could take the lessons, as sysfs and udev tell of them: nothing is opened, and no right is
needed. Making one is root's part (helper.py)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from appliance.helped import MEDIA
from content_sync.adapters.mountinfo import mount_point

LABEL = "lessonbox-disk"
#: Bytes: what is smaller is a stick to carry things on.
LEAST = 8_000_000_000
#: An image's own start moves lessons to such a disk, once; nothing else does.
_MOVER, _MOVED = Path("/usr/lib/lessonbox/data"), Path("/data/disk")
_SECTOR = 512


class Disk(Struct, frozen=True):
    """A whole disk. `plugging`: which time of plugging in it is, so that another disk in its place is never
    taken for it; `size` in bytes; `holds`: labels, or kinds, of what is on it; `used`: bytes, None where
    nobody has looked; `ready`: it is a disk for lessons already."""

    name: str
    plugging: int
    model: str
    size: int
    holds: tuple[str, ...] = ()
    used: int | None = None
    ready: bool = False

    @property
    def token(self) -> str:
        """What names it for the helper."""
        return f"{self.name}-{self.plugging}"

    @property
    def number(self) -> str:
        """Its size in GB as on its case: who writes it has looked at the disk."""
        return str(round(self.size / 1e9))


def can_move() -> bool:
    """Whether the next start of this machine would move the lessons to a disk."""
    return _MOVER.exists() and not _MOVED.exists()


def usb_disks(root: Path = Path("/")) -> list[Disk]:
    """USB disks that the machine does not live on, by name. One whose label is another one of Lesson Box's is
    somebody's card or box, and is not among them."""
    mounts = dict(_mounts(root / "proc/self/mountinfo"))
    found = []
    for block in sorted((root / "sys/block").glob("*")):
        with suppress(OSError, ValueError):  # pulled out meanwhile
            disk = _disk(block, root, mounts)
            if disk is not None:
                found.append(disk)
    return found


def _disk(block: Path, root: Path, mounts: dict[str, list[str]]) -> Disk | None:
    if "/usb" not in os.path.realpath(block) or _read(block / "ro") != "0":
        return None
    size = int(_read(block / "size")) * _SECTOR
    parts = [block, *(path.parent for path in sorted(block.glob(f"{block.name}*/dev")))]
    if any(any(part.glob("holders/*")) for part in parts):  # of a volume or an array that is in use
        return None
    numbers = [_read(part / "dev") for part in parts]
    places = [place for number in numbers for place in mounts.get(number, ())]
    if size < LEAST or any(Path(place).parent != MEDIA for place in places):
        return None
    said = [_udev(root / "run/udev/data" / f"b{number}") for number in numbers]
    labels = [one.get("ID_FS_LABEL_ENC", "") for one in said]
    if any(label.startswith("lessonbox-") and label != LABEL for label in labels):
        return None
    holds = [label or one.get("ID_FS_TYPE", "") for label, one in zip(labels, said, strict=True)]
    names = (_read(block / "device/vendor", ""), _read(block / "device/model", ""))
    return Disk(
        block.name,
        int(_read(block / "diskseq")),
        " ".join(name for name in names if name) or block.name,
        size,
        tuple(name for name in holds if name),
        _used(places),
        LABEL in labels,
    )


def _used(places: list[str]) -> int | None:
    total = None
    for place in places:
        with suppress(OSError):
            told = os.statvfs(place)
            total = (total or 0) + (told.f_blocks - told.f_bfree) * told.f_frsize
    return total


def _read(path: Path, absent: str | None = None) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        if absent is None:
            raise
        return absent


def _udev(path: Path) -> dict[str, str]:
    """The properties that udev keeps of a device; in names its own escapes are undone."""
    lines = _read(path, "").splitlines()
    pairs = (line[2:].partition("=")[::2] for line in lines if line.startswith("E:"))
    return {key: _plain(value) for key, value in pairs}


def _plain(text: str) -> str:
    pieces = re.split(r"\\x([0-9a-f]{2})", text)
    raw = b"".join(
        bytes.fromhex(piece) if number % 2 else piece.encode() for number, piece in enumerate(pieces)
    )
    return "".join(c for c in raw.decode("utf-8", "replace") if c.isprintable())[:40]


def _mounts(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Device number -> where it is mounted (proc_pid_mountinfo(5))."""
    found: dict[str, list[str]] = {}
    for line in _read(path, "").splitlines():
        fields = line.split()
        if len(fields) > 4:
            found.setdefault(fields[2], []).append(mount_point(fields[4]))
    yield from found.items()
