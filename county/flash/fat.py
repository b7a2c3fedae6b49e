"""Small files on the FAT16 or FAT32 partition of a disk, without mounting: so it is the same on every
system.

Only what `county flash` needs: files in the root folder, read, written anew or replaced.
"""

from __future__ import annotations

import struct
from typing import Protocol

from msgspec import Struct

from content_sync.errors import DiskFullError, FormatError

_SECTOR = 512
_ENTRY = 32
_DELETED, _LFN, _VOLUME, _FOLDER, _ARCHIVE = 0xE5, 0x0F, 0x08, 0x10, 0x20
_FIRST_DAY = 0x21  # 1980-01-01: what is written says nothing about this computer's clock
_MOST_FAT = 32 << 20
_MOST_ENTRIES = 65536
_MBR_FAT = (0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E, 0xEF)
#: Where a long name's 13 UTF-16 units lie in its entry.
_LONG = ((1, 5), (14, 6), (28, 2))


class Bytes(Protocol):
    """Where the partition lies: bytes at any place."""

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes."""

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`."""


class _Found(Struct, frozen=True):
    """A file's entry: where its first slot (long name) and its own lie in the folder, cluster and size."""

    first: int
    slot: int
    cluster: int
    size: int


def partitions(disk: Bytes) -> list[int]:
    """Where the partitions of a GPT or MBR begin, that may be FAT; [0] for a bare file system."""
    head = disk.read(0, 2 * _SECTOR)
    if len(head) < 2 * _SECTOR or head[510:512] != b"\x55\xaa":
        return []
    if head[512:520] == b"EFI PART":
        table, count, size = struct.unpack_from("<QII", head, 512 + 72)
        if not (128 <= size <= 4096 and count <= 1024 and table < 1 << 40):
            return []
        rows = disk.read(table * _SECTOR, count * size)
        entries = [rows[at : at + size] for at in range(0, len(rows) - 127, size)]
        return [struct.unpack_from("<Q", row, 32)[0] * _SECTOR for row in entries if row[:16].strip(b"\0")]
    rows = head[446:510]
    entries = [rows[at : at + 16] for at in range(0, 64, 16)]
    found = [struct.unpack_from("<I", row, 8)[0] * _SECTOR for row in entries if row[4] in _MBR_FAT]
    return found or [0]


def open_fat(disk: Bytes) -> Fat:
    """The FAT partition that a box reads its settings from: the first one. Raises FormatError."""
    for begin in partitions(disk):
        try:
            return Fat(disk, begin)
        except FormatError:
            continue
    raise FormatError("there is no FAT partition for the box's settings")


class Fat:
    """The file system at `begin` of a disk. Raises FormatError for anything else."""

    def __init__(self, disk: Bytes, begin: int) -> None:
        self._disk, self._begin = disk, begin
        boot = disk.read(begin, _SECTOR)
        if len(boot) < _SECTOR or boot[510:512] != b"\x55\xaa" or boot[0] not in (0xEB, 0xE9):
            raise FormatError("not a FAT file system")
        (sector, per_cluster, reserved, copies, roots, small, _, fat16) = struct.unpack_from(
            "<HBHBHHBH", boot, 11
        )
        total: int = small or struct.unpack_from("<I", boot, 32)[0]
        fat32, _, _, self._root, info = struct.unpack_from("<IHHIH", boot, 36)
        self._wide = not fat16
        length = fat16 or fat32
        plain = sector in (512, 1024, 2048, 4096) and per_cluster in (1, 2, 4, 8, 16, 32, 64, 128)
        if not plain or not reserved or copies not in (1, 2) or not 0 < length * sector <= _MOST_FAT:
            raise FormatError("not a FAT file system that can be written")
        self._fat_at = [begin + (reserved + copy * length) * sector for copy in range(copies)]
        self._root_at = begin + (reserved + copies * length) * sector
        self._root_size = roots * _ENTRY
        first = reserved + copies * length + -(-self._root_size // sector)
        self._data_at: int = begin + first * sector
        self._cluster: int = per_cluster * sector
        clusters = (total - first) // per_cluster
        self._width = 4 if self._wide else 2
        if (
            clusters < 1
            or (not self._wide and clusters < 4085)
            or (clusters + 2) * self._width > length * sector
        ):
            raise FormatError("not FAT16 or FAT32")
        self._last = clusters + 1
        self._end = 0x0FFFFFFF if self._wide else 0xFFFF
        self._info = begin + info * sector if self._wide and info not in (0, 0xFFFF) else None
        self._table = bytearray(disk.read(self._fat_at[0], length * sector))
        if len(self._table) < length * sector or (self._wide and not self._chain(self._root)):
            raise FormatError("a FAT file system that is damaged")

    # The table

    def _next(self, cluster: int) -> int:
        value = int.from_bytes(self._table[cluster * self._width : (cluster + 1) * self._width], "little")
        return value & self._end

    def _link(self, cluster: int, value: int) -> None:
        at = cluster * self._width
        old = int.from_bytes(self._table[at : at + self._width], "little")
        self._table[at : at + self._width] = ((old & ~self._end) | value).to_bytes(self._width, "little")

    def _chain(self, cluster: int) -> list[int]:
        found: list[int] = []
        while 2 <= cluster <= self._last:
            if len(found) > self._last:
                raise FormatError("the FAT has a ring")
            found.append(cluster)
            cluster = self._next(cluster)
        return found

    def _take(self, count: int) -> list[int]:
        free: list[int] = []
        for cluster in range(2, self._last + 1):
            if len(free) == count:
                break
            if not self._next(cluster):
                free.append(cluster)
        if len(free) < count:
            raise DiskFullError("no space left on the card's FAT partition")
        for here, after in zip(free, [*free[1:], self._end], strict=False):
            self._link(here, after)
        return free

    def _keep_table(self) -> None:
        for at in self._fat_at:
            self._disk.write(at, bytes(self._table))
        if self._info is not None:
            sector = bytearray(self._disk.read(self._info, _SECTOR))
            if sector[:4] == b"RRaA":
                free = sum(not self._next(cluster) for cluster in range(2, self._last + 1))
                struct.pack_into("<II", sector, 488, free, 2)
                self._disk.write(self._info, bytes(sector))

    # Data

    def _at(self, cluster: int) -> int:
        return self._data_at + (cluster - 2) * self._cluster

    def _read_chain(self, cluster: int) -> bytes:
        return b"".join(self._disk.read(self._at(one), self._cluster) for one in self._chain(cluster))

    def _folder(self) -> bytearray:
        data = self._read_chain(self._root) if self._wide else self._disk.read(self._root_at, self._root_size)
        return bytearray(data[: _MOST_ENTRIES * _ENTRY])

    def _keep_folder(self, folder: bytearray) -> None:
        if not self._wide:
            if len(folder) > self._root_size:
                raise DiskFullError("the root folder of the card's FAT partition is full")
            self._disk.write(self._root_at, bytes(folder))
            return
        chain = self._chain(self._root)
        more = -(-len(folder) // self._cluster) - len(chain)
        if more > 0:
            added = self._take(more)
            self._link(chain[-1], added[0])
            chain += added
        folder += bytes(len(chain) * self._cluster - len(folder))
        for number, cluster in enumerate(chain):
            begin = number * self._cluster
            self._disk.write(self._at(cluster), bytes(folder[begin : begin + self._cluster]))

    # Files

    def read(self, name: str, cap: int = 1 << 20) -> bytes | None:
        """A file of the root folder by its name in any case; None when it is absent or longer than `cap`."""
        found = _find(self._folder(), name)
        if found is None or found.size > cap:
            return None
        return self._read_chain(found.cluster)[: found.size]

    def write(self, name: str, data: bytes) -> None:
        """Make or replace a file of the root folder. Raises DiskFullError."""
        folder = self._folder()
        old = _find(folder, name)
        if old is not None:
            for cluster in self._chain(old.cluster):
                self._link(cluster, 0)
            for at in range(old.first, old.slot + 1, _ENTRY):
                folder[at] = _DELETED
        clusters = self._take(-(-len(data) // self._cluster))
        for number, cluster in enumerate(clusters):
            part = data[number * self._cluster : (number + 1) * self._cluster]
            self._disk.write(self._at(cluster), part.ljust(self._cluster, b"\0"))
        slots = _slots(folder, name, clusters[0] if clusters else 0, len(data))
        at = _room(folder, len(slots) // _ENTRY)
        folder[at : at + len(slots)] = slots
        self._keep_folder(folder)
        self._keep_table()


def _find(folder: bytearray, name: str) -> _Found | None:
    long, first = "", 0
    for at in range(0, len(folder) - _ENTRY + 1, _ENTRY):
        entry = folder[at : at + _ENTRY]
        if not entry[0]:
            return None
        if entry[0] == _DELETED:
            long = ""
        elif entry[11] & 0x3F == _LFN:
            if entry[0] & 0x40:
                long, first = "", at
            units = b"".join(entry[begin : begin + 2 * count] for begin, count in _LONG)
            long = units.decode("utf-16-le", "replace") + long
        else:
            first = first if long else at
            base, ending = (bytes(entry[a:b]).decode("latin-1").rstrip() for a, b in ((0, 8), (8, 11)))
            names = {long.partition("\0")[0].lower(), f"{base}.{ending}".rstrip(".").lower()}
            if name.lower() in names and not entry[11] & (_VOLUME | _FOLDER):
                high, low, size = struct.unpack_from("<H4xHI", entry, 20)
                return _Found(first, at, high << 16 | low, size)
            long = ""
    return None


def _slots(folder: bytearray, name: str, cluster: int, size: int) -> bytes:
    """The entries of a new file: its long name, then its own with a short name that is not taken."""
    taken = {bytes(folder[at : at + 11]) for at in range(0, len(folder), _ENTRY)}
    base, _, ending = name.upper().rpartition(".")
    plain = "".join(letter for letter in base if letter.isascii() and letter.isalnum())
    for number in range(1, 1000):
        tail = f"~{number}"
        short = (plain[: 8 - len(tail)] + tail).ljust(8).encode() + ending[:3].ljust(3).encode()
        if short not in taken:
            break
    check = 0
    for byte in short:
        check = ((check & 1) << 7) + (check >> 1) + byte & 0xFF
    units = (name + "\0").encode("utf-16-le") if len(name) % 13 else name.encode("utf-16-le")
    parts = [units[at : at + 26].ljust(26, b"\xff") for at in range(0, len(units), 26)]
    made = b""
    for order, part in reversed(list(enumerate(parts, 1))):
        flag = 0x40 if order == len(parts) else 0
        made += struct.pack(
            "<B10sBBB12sH4s", order | flag, part[:10], _LFN, 0, check, part[10:22], 0, part[22:]
        )
    day = _FIRST_DAY
    own = struct.pack(
        "<11sBBBHHHHHHHI", short, _ARCHIVE, 0, 0, 0, day, day, cluster >> 16, 0, day, cluster & 0xFFFF, size
    )
    return made + own


def _room(folder: bytearray, count: int) -> int:
    """Where `count` free entries lie side by side; the folder's end when there are none."""
    run, at = 0, 0
    for at in range(0, len(folder) - _ENTRY + 1, _ENTRY):
        run = run + 1 if folder[at] in (0, _DELETED) else 0
        if run == count:
            return at - (count - 1) * _ENTRY
    return len(folder) - run * _ENTRY
