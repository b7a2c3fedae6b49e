"""Sets of lessons as search.db holds them: by parts of PART lessons, as bits or as a list."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

SCHEMA = 3
PART = 1 << 14


def pack(numbers: Iterable[int]) -> bytes:
    """Numbers below PART: as bits (first byte 1) or as a list of 16 bits each (0), whichever is shorter."""
    held = sorted(set(numbers))
    if 2 * len(held) <= held[-1] // 8:
        return b"\0" + array("H", held).tobytes()
    bits = bytearray(held[-1] // 8 + 1)
    for number in held:
        bits[number >> 3] |= 1 << (number & 7)
    return b"\1" + bytes(bits)


def unpack(packed: bytes) -> int:
    """The same as an int with those bits set."""
    if packed[0] == 1:
        return int.from_bytes(packed[1:], "little")
    held = array("H", packed[1:])
    bits = bytearray(held[-1] // 8 + 1)
    for number in held:
        bits[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(bits, "little")
