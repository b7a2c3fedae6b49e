"""RaptorQ (RFC 6330) through the library `raptorq`; its only import (decision 0014)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import raptorq

from content_sync.errors import FormatError
from content_sync.formats.hashtree import BLOCK
from content_sync.formats.parcel import MAX_CHUNK, MAX_ESI

_T = TypeVar("_T")


class RaptorQ:
    """ports.Fec. A packet of the library is SBN (0), ESI in 3 bytes, and a symbol of 16 KiB."""

    def repair(self, blocks: Sequence[bytes], first: int, count: int) -> list[bytes]:
        """Repair symbols `first` to `first + count` of a chunk."""
        size = len(blocks)
        if not 1 <= size <= MAX_CHUNK or first < 0 or count < 0 or size + first + count > MAX_ESI:
            raise FormatError(f"no such symbols: {first} to {first + count} of a chunk of {size}")
        if any(not 0 < len(block) <= BLOCK for block in blocks):
            raise FormatError("a block of a chunk has another length")
        if not count:
            return []
        data = b"".join(block.ljust(BLOCK, b"\0") for block in blocks)
        encoder = _contained(lambda: raptorq.Encoder.with_defaults(data, BLOCK))
        packets = _contained(lambda: encoder.get_encoded_packets(first + count))[size + first :]
        if [packet[:4] for packet in packets] != [_id(size + first + at) for at in range(count)]:
            raise FormatError("the library numbers its symbols in another way")
        return [packet[4:] for packet in packets]

    def decode(self, count: int, symbols: Mapping[int, bytes]) -> list[bytes] | None:
        """The chunk's blocks, or None when these symbols are not enough."""
        if not 1 <= count <= MAX_CHUNK or any(not 0 <= esi < MAX_ESI for esi in symbols):
            raise FormatError(f"no such chunk: {count} blocks, symbols up to {max(symbols, default=0)}")
        if any(len(data) != BLOCK for data in symbols.values()):
            raise FormatError("a symbol has another length")
        if len(symbols) < count:
            return None
        decoder = _contained(lambda: raptorq.Decoder.with_defaults(count * BLOCK, BLOCK))
        for esi, data in sorted(symbols.items()):
            packet = _id(esi) + data
            found = _contained(lambda packet=packet: decoder.decode(packet))  # type: ignore[misc]
            if found is not None:
                return [found[at : at + BLOCK] for at in range(0, count * BLOCK, BLOCK)]
        return None


def _id(esi: int) -> bytes:
    return b"\0" + esi.to_bytes(3, "big")


def _contained(call: Callable[[], _T]) -> _T:
    """What `call` returns. A panic of the library (a BaseException) becomes a FormatError."""
    try:
        return call()
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise FormatError(f"the symbols can't be decoded: {str(error)[:120]}") from None
