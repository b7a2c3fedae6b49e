"""A parcel: records one after the other, each checkable on its own (formats.md 13).

The reader gives every intact record of whatever it is fed: a parcel, a damaged one, many in one file, or
something else altogether.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct

from content_sync.errors import FormatError, LessonBoxError, TooBigError
from content_sync.formats.canonical import check_format, dump, is_hex, load, need, need_hex
from content_sync.formats.hashtree import BLOCK, MAX_LENGTH, FileId, block_count, block_length
from content_sync.formats.paths import check_path

MARK = b"\x89LBprc1\n"
MAX_CHUNK = 512
MAX_ESI = 1 << 16
MAX_FILE = 16 << 20
MAX_PARCELS = 1 << 20
#: Bytes of a file that are coded together.
PART = 256 * BLOCK
MAX_MANIFEST = 4 << 20
MANIFEST_FORMAT = "lessonbox-carousel/1"
MANIFEST = "carousel/manifest.json"
PACKS = "packs/"

_HEADER = struct.Struct(">8sBHI16s")
_HEAD = struct.Struct(">8sIIIIIQ")
_BLOCK = struct.Struct(">32sQI")
_REPAIR = struct.Struct(">32sIHI")
_FILE = struct.Struct(">32sIHI")
_MAX_HEAD = _FILE.size + 1024
MAX_RECORD = _HEADER.size + _MAX_HEAD + BLOCK
#: A reader hashes at most so many times what it is fed: marks can be forged so that each costs a record.
_PATIENCE = 4


class Head(Struct, frozen=True):
    """First and last record of a parcel: number `number` (from 0) of `parcels` in cycle `cycle` of a
    carousel, with `records` other records; `release` is the number of the release that it carries, `made`
    unix seconds."""

    carousel: bytes
    cycle: int
    number: int
    parcels: int
    release: int
    records: int
    made: int


class Block(Struct, frozen=True):
    """Block `index` of a file."""

    file: FileId
    index: int
    data: bytes


class Repair(Struct, frozen=True):
    """A RaptorQ symbol of a chunk: `count` blocks of a package from block `first` on, the blocks of all its
    files counted through in the torrent's order."""

    infohash: str
    first: int
    count: int
    esi: int
    data: bytes


class Symbol(Struct, frozen=True):
    """A symbol of part `part` of a small file, source (`esi` < count) or repair."""

    sha256: str
    length: int
    part: int
    esi: int
    path: str
    data: bytes

    @property
    def count(self) -> int:
        """Source symbols of this part."""
        return part_symbols(self.length, self.part)


Record: TypeAlias = Head | Block | Repair | Symbol


def parts(length: int) -> int:
    """Parts of a file of `length` bytes."""
    return -(-length // PART)


def part_symbols(length: int, part: int) -> int:
    """Source symbols of a part."""
    return block_count(min(PART, length - part * PART))


# Writing


def _record(kind: int, head: bytes, data: bytes) -> bytes:
    start = _HEADER.pack(MARK, kind, len(head), len(data), bytes(16))
    check = hashlib.sha256(start[len(MARK) :] + head + data).digest()[:16]
    return _HEADER.pack(MARK, kind, len(head), len(data), check) + head + data


def dump_record(record: Record) -> bytes:
    """A record's bytes. Raises FormatError for what no reader would take."""
    if isinstance(record, Head):
        r = record
        head = _HEAD.pack(r.carousel, r.cycle, r.number, r.parcels, r.release, r.records, r.made)
        kind, data = 1, b""
    elif isinstance(record, Block):
        head = _BLOCK.pack(bytes.fromhex(record.file.root), record.file.length, record.index)
        kind, data = 2, record.data
    elif isinstance(record, Repair):
        head = _REPAIR.pack(bytes.fromhex(record.infohash), record.first, record.count, record.esi)
        kind, data = 3, record.data
    else:
        head = _FILE.pack(bytes.fromhex(record.sha256), record.length, record.part, record.esi)
        head += record.path.encode()
        kind, data = 4, record.data
    if _parse(kind, head, data) != record:
        raise FormatError(f"not a record: {head[:80]!r}")
    return _record(kind, head, data)


def file_symbols(path: str, data: bytes) -> Iterator[Symbol]:
    """The source symbols of a small file."""
    digest = hashlib.sha256(data).hexdigest()
    for part in range(parts(len(data))):
        body = data[part * PART : (part + 1) * PART]
        for esi in range(block_count(len(body))):
            yield Symbol(digest, len(data), part, esi, path, body[esi * BLOCK : (esi + 1) * BLOCK])


def files_size(path: str, length: int) -> int:
    """Bytes of the records of `file_symbols`."""
    return block_count(length) * (_HEADER.size + _FILE.size + len(path.encode())) + length


# Reading


def _parse(kind: int, head: bytes, data: bytes) -> Record | None:
    """The record, or None for a kind that is not known. Raises FormatError."""
    try:
        if kind == 1:
            return _check_head(Head(*_HEAD.unpack(head)), data)
        if kind == 2:
            root, length, index = _BLOCK.unpack(head)
            block = Block(FileId(root.hex(), length), index, data)
            if index >= block_count(length) or len(data) != block_length(length, index):
                raise FormatError("a block that its file does not have")
            return block
        if kind == 3:
            infohash, first, count, esi = _REPAIR.unpack(head)
            if not 1 <= count <= MAX_CHUNK or not count <= esi < MAX_ESI or len(data) != BLOCK:
                raise FormatError("a repair symbol out of range")
            return Repair(infohash.hex(), first, count, esi, data)
        if kind == 4:
            return _check_symbol(head, data)
    except struct.error:
        raise FormatError("a record head of another length") from None
    except UnicodeDecodeError:
        raise FormatError("a path that is not UTF-8") from None
    return None


def _check_head(head: Head, data: bytes) -> Head:
    if data or not head.number < head.parcels <= MAX_PARCELS:
        raise FormatError("a parcel that its cycle does not have")
    return head


def _check_symbol(head: bytes, data: bytes) -> Symbol:
    digest, length, part, esi = _FILE.unpack(head[: _FILE.size])
    path = check_path(head[_FILE.size :].decode())
    symbol = Symbol(digest.hex(), length, part, esi, path, data)
    if not 0 < length <= MAX_FILE or part >= parts(length) or esi >= MAX_ESI:
        raise FormatError("a symbol that its file does not have")
    left = length - part * PART - esi * BLOCK
    if len(data) != (min(BLOCK, left) if esi < symbol.count else BLOCK):
        raise FormatError("a symbol of another length")
    return symbol


class Reader:
    """`feed` bytes in order, then `finish`: the records that are whole. `damaged` counts the bytes that
    belong to none."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fed = self._hashed = 0
        self.records = self.damaged = 0

    def feed(self, data: bytes) -> Iterator[Record]:
        """Records that these bytes complete."""
        self._buffer += data
        self._fed += len(data)
        return self._take(last=False)

    def finish(self) -> Iterator[Record]:
        """No more bytes come: what was cut off is damaged, what lies inside it is not."""
        return self._take(last=True)

    def _take(self, last: bool) -> Iterator[Record]:
        at = 0
        buffer = self._buffer
        while True:
            found = buffer.find(MARK, at)
            if found < 0:
                # The beginning of a mark may stand at the end.
                keep = 0 if last else min(len(MARK) - 1, len(buffer) - at)
                self.damaged += len(buffer) - at - keep
                at = len(buffer) - keep
                break
            self.damaged += found - at
            at = found
            if len(buffer) - at < _HEADER.size and not last:
                break
            size = self._size(at)
            if size and len(buffer) - at < size:
                if not last:
                    break
                size = 0
            record = self._check(at, size) if size else None
            if isinstance(record, int):
                at += record
                continue
            if record is None:
                self.damaged += len(MARK)
                at += len(MARK)
                continue
            at += size
            self.records += 1
            yield record
        del buffer[:at]

    def _size(self, at: int) -> int:
        """Bytes of the record that begins here, as it says; 0 when it can't be one."""
        if len(self._buffer) - at < _HEADER.size:
            return 0
        _, _, head, body, _ = _HEADER.unpack_from(self._buffer, at)
        return _HEADER.size + int(head) + int(body) if head <= _MAX_HEAD and body <= BLOCK else 0

    def _check(self, at: int, size: int) -> Record | int | None:
        """The record; how much to skip when it is whole but not ours; None when it is damaged."""
        if self._hashed > _PATIENCE * self._fed + MAX_RECORD:
            self.damaged += size
            return size
        self._hashed += size
        raw = bytes(self._buffer[at : at + size])
        _, kind, head, _, check = _HEADER.unpack_from(raw)
        start = raw[len(MARK) : _HEADER.size - 16] + bytes(16)
        if hashlib.sha256(start + raw[_HEADER.size :]).digest()[:16] != check:
            return None
        body = _HEADER.size + head
        try:
            found = _parse(kind, raw[_HEADER.size : body], raw[body:])
        except LessonBoxError:
            self.damaged += size
            return size
        return size if found is None else found


def read_records(data: bytes) -> list[Record]:
    """Every intact record in these bytes."""
    reader = Reader()
    return [*reader.feed(data), *reader.finish()]


# The manifest


class Manifest(Struct, frozen=True):
    """What a cycle holds; hearsay until the release says the same. `packages`: infohash -> bytes.

    `overhead`: repair symbols in thousandths of the source symbols.
    """

    county: str
    carousel: str
    cycle: int
    release: int
    parcels: int
    overhead: int
    packages: dict[str, int]


def dump_manifest(manifest: Manifest) -> bytes:
    """Its bytes. Raises TooBigError."""
    data = dump(
        {
            "format": MANIFEST_FORMAT,
            "county": manifest.county,
            "carousel": manifest.carousel,
            "cycle": manifest.cycle,
            "release": manifest.release,
            "parcels": manifest.parcels,
            "overhead": manifest.overhead,
            "packages": [[infohash, size] for infohash, size in manifest.packages.items()],
        }
    )
    if len(data) > MAX_MANIFEST:
        raise TooBigError(f"a carousel of {len(manifest.packages)} lessons is too large: name collections")
    return data


def parse_manifest(data: bytes) -> Manifest:
    """Read one. Raises FormatError."""
    obj = load(data, MAX_MANIFEST)
    check_format(obj, MANIFEST_FORMAT)
    packages: dict[str, int] = {}
    for entry in need(obj, "packages", list):
        if not isinstance(entry, list) or len(entry) != 2 or not is_hex(entry[0], 64):
            raise FormatError("a package of the manifest is not [infohash, bytes]")
        if type(entry[1]) is not int or not 0 < entry[1] <= MAX_LENGTH:
            raise FormatError("a package of the manifest has no size")
        packages[entry[0]] = entry[1]
    numbers = {key: need(obj, key, int) for key in ("cycle", "release", "parcels", "overhead")}
    if any(not 0 <= number <= MAX_LENGTH for number in numbers.values()):
        raise FormatError("a number of the manifest is out of range")
    return Manifest(need(obj, "county", str), need_hex(obj, "carousel", 16), **numbers, packages=packages)
