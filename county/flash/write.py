"""Writes an image to a card, reads it back, and puts the box's settings on its FAT partition.

The first 1 MiB, where a computer looks for what to boot, comes last: a card that was pulled out or failed
never boots half an image, and no system mounts it while it is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from msgspec import Struct

from content_sync.errors import CardError, CardSmallError, CardWrongError, FormatError
from county.flash.fat import open_fat
from county.flash.image import Image
from county.flash.target import UNIT, Target, card_errors

HEAD = 1 << 20
#: So much may wait in memory: what the bar shows is on the card, and a card that went is noticed soon.
_UNFLUSHED = 64 << 20
Bar = Callable[[str, int, int], None]


class Written(Struct, frozen=True):
    """Bytes of the image that were written and read back."""

    bytes: int


class Patched:
    """A card whose first MiB is still in memory: reads and writes of any bytes, for the FAT."""

    def __init__(self, target: Target, head: bytearray) -> None:
        self._target, self._head = target, head

    def read(self, offset: int, length: int) -> bytes:
        """Bytes at any place. Raises CardError."""
        begin = offset - offset % UNIT
        data = self._units(begin, -(-(offset + length) // UNIT) * UNIT - begin)
        return data[offset - begin : offset - begin + length]

    def _units(self, offset: int, length: int) -> bytes:
        if offset < HEAD:
            kept = bytes(self._head[offset : min(offset + length, HEAD)])
            rest = length - (HEAD - offset)
            return kept + (self._units(HEAD, rest) if rest > 0 else b"")
        with card_errors(self._target.name):
            return self._target.read(offset, length)

    def write(self, offset: int, data: bytes) -> None:
        """Change bytes at any place. Raises CardError, FormatError for a place beyond the card."""
        if offset + len(data) > self._target.size:
            raise FormatError("the FAT reaches beyond the card")
        begin = offset - offset % UNIT
        units = bytearray(self._units(begin, -(-(offset + len(data)) // UNIT) * UNIT - begin))
        units[offset - begin : offset - begin + len(data)] = data
        if begin < HEAD:
            kept = min(HEAD - begin, len(units))
            self._head[begin : begin + kept] = units[:kept]
            begin, units = begin + kept, units[kept:]
        if units:
            write_all(self._target, begin, bytes(units))


def write_image(image: Image, target: Target, files: Mapping[str, bytes], bar: Bar) -> Written:
    """Write all ranges of the image and `files` (name -> bytes) into its FAT; all of it read back.

    `bar`: told what is done ("writing", "reading back"), how much of how much.
    Raises CardError in its kinds, TargetError for an image that changed meanwhile, FormatError for one
    without a FAT partition.
    """
    if target.size < image.size:
        raise CardSmallError(f"{target.name} has {target.size} bytes, the image needs {image.size}")
    blank(target)
    head = bytearray(HEAD)
    sums, done, total = [], 0, image.to_write
    for offset, data in image.pieces():
        if offset < HEAD:  # pieces never cross a MiB
            head[offset : offset + len(data)] = data
        else:
            write_all(target, offset, data)
            sums.append((offset, len(data), hashlib.sha256(data).digest()))
        done += len(data)
        if done // _UNFLUSHED > (done - len(data)) // _UNFLUSHED:
            flush(target)
        bar("writing", done, total)
    flush(target)

    done = total - sum(length for _, length, _ in sums)
    for offset, length, digest in sums:
        back = read_all(target, offset, length)
        if hashlib.sha256(back).digest() != digest:
            raise CardWrongError(f"{target.name} gives back other bytes than were written, at {offset}")
        done += length
        bar("reading back", done, total)

    card = Patched(target, head)
    if files:
        fat = open_fat(card)
        for name, data in files.items():
            fat.write(name, data)
        flush(target)
        if any(open_fat(card).read(name) != data for name, data in files.items()):
            raise CardWrongError(f"{target.name} does not keep the box's settings")
    write_all(target, 0, bytes(head[: min(HEAD, image.size)]))
    flush(target)
    if read_all(target, 0, min(HEAD, image.size)) != bytes(head[: min(HEAD, image.size)]):
        raise CardWrongError(f"{target.name} gives back other bytes than were written, at 0")
    return Written(total)


def blank(target: Target) -> None:
    """Make the card unbootable, durably: what was on it is going to be overwritten."""
    write_all(target, 0, bytes(min(HEAD, target.size - target.size % UNIT)))
    flush(target)


def write_all(target: Target, offset: int, data: bytes) -> None:
    """All of it, or CardError: a card may take less than it is given."""
    view = memoryview(data)
    while view:
        with card_errors(target.name):
            done = target.write(offset, bytes(view))
        if done <= 0:
            raise CardError(f"{target.name} takes no more at byte {offset}")
        view, offset = view[done:], offset + done


def read_all(target: Target, offset: int, length: int) -> bytes:
    """So many bytes, fewer when the card has no more. Raises CardError."""
    with card_errors(target.name):
        return target.read(offset, length)


def flush(target: Target) -> None:
    """All durable. Raises CardError."""
    with card_errors(target.name):
        target.flush()


def on_card(target: Target, name: str, cap: int) -> bytes | None:
    """A small file on the FAT of a card, as it was before; None where there is none that can be read."""
    try:
        fat = open_fat(Patched(target, bytearray(read_all(target, 0, HEAD).ljust(HEAD, b"\0"))))
        return fat.read(name, cap)
    except (FormatError, CardError):
        return None
