"""Sets of lessons as search.db holds them: by parts of PART lessons, as bits, packed bits, or a list."""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Iterable, Iterator

SCHEMA = 4
PART = 1 << 14
#: A longer list takes longer to read than packed bits.
_LIST = 32
_RAW = -15
_SET = re.compile(rb"[^\0]")


def pack(numbers: Iterable[int]) -> bytes:
    """Numbers below PART: a few as a list of 16 bits each (first byte 0), else as `pack_bits`."""
    held = sorted(set(numbers))
    return b"\0" + array("H", held).tobytes() if len(held) <= _LIST else pack_bits(as_bits(held))


def pack_bits(bits: int) -> bytes:
    """The same of an int with those bits set: as these (first byte 1), or deflated (2) if that is shorter."""
    if bits.bit_count() <= _LIST:
        return pack(numbers_of(bits))
    plain = bits.to_bytes(bits.bit_length() // 8 + 1, "little")
    making = zlib.compressobj(1, wbits=_RAW)
    packed = making.compress(plain) + making.flush()
    return b"\2" + packed if len(packed) < len(plain) else b"\1" + plain


def numbers_of(bits: int) -> Iterator[int]:
    """The numbers of the bits that are set, rising."""
    held = bits.to_bytes(bits.bit_length() // 8 + 1, "little")
    for match in _SET.finditer(held):
        byte, first = held[match.start()], match.start() * 8
        while byte:
            low = byte & -byte
            yield first + low.bit_length() - 1
            byte ^= low


def unpack(packed: bytes) -> int:
    """The same as an int with those bits set. Raises ValueError when it is damaged."""
    if packed[0] == 0:
        return as_bits(array("H", packed[1:]))
    if packed[0] == 1:
        return int.from_bytes(packed[1:], "little")
    try:
        return int.from_bytes(zlib.decompress(packed[1:], _RAW), "little")
    except zlib.error as error:
        raise ValueError(f"a set of lessons: {error}") from error


def as_bits(held: Iterable[int], size: int = PART) -> int:
    """Numbers below `size` as an int with those bits set."""
    bits = bytearray(-(-size // 8))
    for number in held:
        bits[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(bits, "little")
