"""Zip archives read in place (PKWARE APPNOTE 6.3): their members as streams, never unpacked to a disk.

An archive from outside may be cut off, locked, damaged, or made to harm: what is read of it is bounded before
it is read, and what can't be read is named and left out.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from content_sync.formats.hashtree import BLOCK

#: Members of an archive that are looked at, bytes of a name, bytes of a list of members.
MAX_MEMBERS, MAX_NAME, MAX_LIST = 20_000, 1024, 64 << 20
#: All members together unpack to at most so many times the archive's size (and this much anyway).
MAX_RATIO, ALWAYS = 200, 64 << 20
#: Blocks that a member is read in.
PORTION = 64
#: A packed member can be read forwards alone: so often it is begun anew for one that asks in another order.
_REWINDS = 8
_READ = 256 << 10
_STORED, _DEFLATED = 0, 8
_LOCKED, _SIZES_BEHIND, _UTF8 = 0x1, 0x8, 0x800
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_WORDS = {
    "locked": "are locked with a password",
    "method": "are packed in a way that is not known",
    "damaged": "are damaged",
    "many": "are too many",
    "bomb": "unpack to absurd sizes",
}


class Member(Struct, frozen=True):
    """A file in an archive: where its local header lies, how it is packed, its bytes packed and unpacked, its
    CRC-32 by the archive's list. Only who must have it whole looks at that: blocks have hashes of their own.
    """

    name: str
    method: int
    header: int
    packed: int
    size: int
    crc: int = 0


def _name(raw: bytes, flags: int) -> str:
    """A name for people: UTF-8 where it is said or fits, else as Chinese Windows writes them."""
    for encoding in ("utf-8",) if flags & _UTF8 else ("utf-8", "gb18030"):
        try:
            text = raw.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        text = raw.decode("utf-8", "replace")
    text = "".join(c if c.isprintable() else "?" for c in text.replace("\\", "/"))
    return "/".join(part for part in text.split("/") if part) or "?"


class _Listing:
    """Collects members within the bounds; counts what is left out, by reason."""

    def __init__(self, size: int) -> None:
        self._room = max(ALWAYS, MAX_RATIO * size)
        self.members: list[Member] = []
        self.left_out: Counter[str] = Counter()
        self._names: Counter[str] = Counter()

    def add(
        self, raw: bytes, flags: int, method: int, header: int, packed: int, size: int, crc: int = 0
    ) -> None:
        if raw.endswith(b"/") or not size:
            return
        name = _name(raw[:MAX_NAME], flags)
        if len(self.members) >= MAX_MEMBERS:
            self.left_out["many"] += 1
        elif flags & _LOCKED:
            self.left_out["locked"] += 1
        elif method not in (_STORED, _DEFLATED):
            self.left_out["method"] += 1
        elif method == _STORED and packed != size:
            self.left_out["damaged"] += 1
        elif size > self._room:
            self.left_out["bomb"] += 1
        else:
            self._room -= size
            self._names[name] += 1
            if self._names[name] > 1:
                name = f"{name} ({self._names[name]})"
            self.members.append(Member(name, method, header, packed, size, crc))

    def without_overlaps(self) -> None:
        """Two members in the same bytes are a way to unpack much from little."""
        end, kept = -1, []
        for member in sorted(self.members, key=lambda member: member.header):
            if member.header < end:
                self.left_out["bomb"] += 1
                continue
            end = member.header + _LOCAL.size + member.packed
            kept.append(member)
        self.members = kept

    def words(self) -> str:
        return ", ".join(f"{count} members {_WORDS[why]}" for why, count in sorted(self.left_out.items()))


def list_members(descriptor: int, size: int) -> tuple[list[Member], str]:
    """The members of an archive of `size` bytes, and what was left out, in words. Where the list at its end
    lacks, the members' own headers are followed. Raises OSError."""
    listing = _Listing(size)
    place = _find_list(descriptor, size)
    if place is not None and _read_list(descriptor, *place, listing):
        listing.without_overlaps()
        return listing.members, listing.words()
    listing = _Listing(size)
    _follow_headers(descriptor, size, listing)
    words = listing.words()
    if not listing.members and not words:
        return [], ""
    return listing.members, ", ".join(filter(None, ("the end of the archive is not here", words)))


def _find_list(descriptor: int, size: int) -> tuple[int, int, int] | None:
    """(begin of the list, its bytes, what to add to offsets), or None."""
    tail_at = max(0, size - (64 << 10) - _END.size)
    tail = os.pread(descriptor, size - tail_at, tail_at)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if at + _END.size <= len(tail):
            *_, length, offset, comment = _END.unpack_from(tail, at)
            end = tail_at + at
            if end + _END.size + comment <= size:
                break
        at = tail.rfind(b"PK\x05\x06", 0, at)
    else:
        return None
    if 0xFFFFFFFF in (length, offset) or 0xFFFF in _END.unpack_from(tail, at)[3:5]:
        found = os.pread(descriptor, _LOCATOR.size, max(0, end - _LOCATOR.size))
        if len(found) == _LOCATOR.size and found[:4] == b"PK\x06\x07":
            end64 = _LOCATOR.unpack(found)[2]
            record = os.pread(descriptor, _END64.size, end64) if end64 < size else b""
            if len(record) == _END64.size and record[:4] == b"PK\x06\x06":
                length, offset = _END64.unpack(record)[8:10]
                end = end64
    shift = end - length - offset
    return (end - length, length, shift) if length <= MAX_LIST and 0 <= shift <= end - length else None


def _read_list(descriptor: int, at: int, length: int, shift: int, listing: _Listing) -> bool:
    """Whether the whole list could be read."""
    data = os.pread(descriptor, length, at)
    at = 0
    while at + _CENTRAL.size <= len(data):
        magic, _, _, flags, method, _, _, crc, packed, size, n, m, k, _, _, _, header = _CENTRAL.unpack_from(
            data, at
        )
        begin = at + _CENTRAL.size
        if magic != b"PK\x01\x02":
            return False
        size, packed, header = _long(data[begin + n : begin + n + m], size, packed, header)
        listing.add(data[begin : begin + n], flags, method, header + shift, packed, size, crc)
        at = begin + n + m + k
    return at == length


def _long(extra: bytes, *values: int) -> tuple[int, int, int]:
    """Sizes and offsets beyond 4 GiB stand in the extra field 1 (ZIP64), in this order, where they are
    0xFFFFFFFF."""
    at, found = 0, list(values)
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            more = extra[at + 4 : at + 4 + length]
            for index, value in enumerate(found):
                if value == 0xFFFFFFFF and len(more) >= 8:
                    found[index], more = struct.unpack("<Q", more[:8])[0], more[8:]
            break
        at += 4 + length
    return found[0], found[1], found[2]


def _follow_headers(descriptor: int, size: int, listing: _Listing) -> None:
    at = 0
    for _ in range(MAX_MEMBERS):
        head = os.pread(descriptor, _LOCAL.size + MAX_NAME, at)
        if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
            return
        _, _, flags, method, _, _, _, packed, length, n, m = _LOCAL.unpack_from(head)
        extra = os.pread(descriptor, m, at + _LOCAL.size + n) if m else b""
        length, packed, _ = _long(extra, length, packed, 0)
        begin = at + _LOCAL.size + n + m
        raw = head[_LOCAL.size : _LOCAL.size + n]
        if flags & _SIZES_BEHIND and not packed:
            if method != _DEFLATED or flags & _LOCKED:
                listing.left_out["locked" if flags & _LOCKED else "damaged"] += 1
                return
            probe = Member("", method, at, size - begin, max(ALWAYS, MAX_RATIO * size))
            packed, length = _measure(descriptor, probe, begin)
            listing.add(raw, flags, method, at, packed, length)
            # the sizes follow, in 4 or 8 bytes each, with or without a mark before them
            behind = os.pread(descriptor, 32, begin + packed)
            at = begin + packed + next((n for n in (16, 12, 24, 20) if behind[n : n + 2] == b"PK"), 32)
        else:
            listing.add(raw, flags, method, at, packed, length)
            at = begin + packed


def _measure(descriptor: int, member: Member, begin: int) -> tuple[int, int]:
    """Bytes packed and unpacked of a member that only says at its end how long it is."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    used = made = 0
    pending = b""
    try:
        while not inflate.eof and made <= member.size:
            if not pending:
                pending = os.pread(descriptor, _READ, begin + used)
                if not pending:
                    break
                used += len(pending)
            made += len(inflate.decompress(pending, _READ))
            pending = inflate.unconsumed_tail
    except zlib.error:
        pass
    return used - len(inflate.unused_data if inflate.eof else pending), made


def _stream(descriptor: int, member: Member) -> Iterator[bytes]:
    """A member's bytes in portions of whole blocks, as far as they can be had, at most what was said."""
    head = os.pread(descriptor, _LOCAL.size, member.header)
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        return
    at = member.header + _LOCAL.size + sum(_LOCAL.unpack(head)[9:11])
    end, left = at + member.packed, member.size
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == _DEFLATED else None
    out, pending, whole = bytearray(), b"", PORTION * BLOCK
    while left > 0:
        if not pending:
            pending = os.pread(descriptor, min(_READ, end - at), at) if at < end else b""
            at += len(pending)
        if inflate is None:
            data, pending = pending[:left], b""
        else:
            try:
                data = inflate.decompress(pending, min(_READ, left))
            except zlib.error:
                break
            pending = inflate.unconsumed_tail
        if not data and (not pending or (inflate is not None and inflate.eof)):
            break
        left -= len(data)
        out += data
        while len(out) >= whole:
            yield bytes(out[:whole])
            del out[:whole]
    if left:  # cut off: what is no whole block is nothing
        del out[len(out) // BLOCK * BLOCK :]
    if out:
        yield bytes(out)


class Cursor:
    """Reads one member by block numbers; holds the archive open until `close`."""

    def __init__(self, descriptor: int, member: Member) -> None:
        self._descriptor, self._member = descriptor, member
        self._rewinds = 0
        self._begin()

    def _begin(self) -> None:
        self._stream = _stream(self._descriptor, self._member)
        self._at, self._held = 0, b""  # the portion at hand, and its first block

    def blocks(self, first: int, count: int) -> bytes:
        """`count` blocks from `first` on, as far as the member goes. Raises OSError."""
        if first < self._at:
            self._rewinds += 1
            if self._rewinds > _REWINDS:
                return b""
            self._begin()
        found = bytearray()
        while count > 0:
            held = -(-len(self._held) // BLOCK)
            if first >= self._at + held:
                following = next(self._stream, None)
                if following is None:
                    break
                self._at, self._held = self._at + held, following
                continue
            begin = (first - self._at) * BLOCK
            data = self._held[begin : begin + count * BLOCK]
            blocks = -(-len(data) // BLOCK)
            found += data
            first, count = first + blocks, count - blocks
        return bytes(found)

    def close(self) -> None:
        """Let the archive go."""
        os.close(self._descriptor)
