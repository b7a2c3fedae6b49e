"""Whether an MP4 can start before all of it is there: the order of its boxes (ISO/IEC 14496-12)."""

from __future__ import annotations

from typing import BinaryIO

_MOST_BOXES = 1000


def moov_first(stream: BinaryIO, length: int) -> bool:
    """Whether `moov` stands before `mdat`. A file that is no MP4 has neither first: False."""
    at = 0
    for _ in range(_MOST_BOXES):
        stream.seek(at)
        head = stream.read(16)
        if len(head) < 8 or head[4:8] == b"mdat":
            return False
        if head[4:8] == b"moov":
            return True
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8 or at + size > length:
            return False
        at += size
    return False
