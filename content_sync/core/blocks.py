"""Which 16 KiB blocks of a wanted file are here and verified. Pure: bytes come from the caller (design.md
2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from content_sync.formats.hashtree import BLOCK, HASH, FileId, block_count, block_length, block_ok


class BlockMap:
    """The blocks of one wanted file against its checked leaf list. Bytes are the truth: a map is never
    stored."""

    def __init__(self, file: FileId, leaves: bytes) -> None:
        self.file, self.leaves = file, leaves
        self._have = bytearray(block_count(file.length))
        self.have_bytes = 0

    @classmethod
    def rebuilt(cls, file: FileId, leaves: bytes, blocks: Iterable[bytes]) -> BlockMap:
        """The map of the bytes of an arriving file, given as its blocks in order."""
        made = cls(file, leaves)
        made.reload(blocks)
        return made

    def reload(self, blocks: Iterable[bytes]) -> None:
        """Look at the bytes again: others may have written."""
        self._have = bytearray(len(self._have))
        self.have_bytes = 0
        for index, data in enumerate(blocks):
            if index >= len(self._have):
                break
            if self.fits(index, data):
                self.mark(index)

    def fits(self, index: int, data: bytes) -> bool:
        """Whether `data` is this block."""
        return block_ok(self.file, self.leaves, index, data)

    def mark(self, index: int) -> None:
        """This block was verified and written."""
        if not self._have[index]:
            self._have[index] = 1
            self.have_bytes += block_length(self.file.length, index)

    def lacks(self, index: int) -> bool:
        """Whether this block is still missing."""
        return not self._have[index]

    def missing(self) -> Iterator[tuple[int, bytes]]:
        """(index, leaf) of each block that lacks."""
        at = self._have.find(0)
        while at >= 0:
            yield at, self.leaves[at * HASH : (at + 1) * HASH]
            at = self._have.find(0, at + 1)

    @property
    def whole(self) -> bool:
        """Whether no block lacks."""
        return self.have_bytes == self.file.length

    @property
    def flags(self) -> bytes:
        """One byte a block: 1 when verified."""
        return bytes(self._have)


def piece_claims(
    have: bytes | None, length: int, piece_length: int
) -> tuple[list[bool], dict[int, list[bool]]]:
    """What may be claimed to a swarm about one file: (each piece whole?, blocks of the pieces begun).

    `have` as in ports.JobFile. Piece numbers count from the file's first piece.
    """
    per = piece_length // BLOCK
    pieces = -(-length // piece_length)
    if have is None:
        return [True] * pieces, {}
    whole: list[bool] = []
    begun: dict[int, list[bool]] = {}
    for piece in range(pieces):
        flags = have[piece * per : (piece + 1) * per]
        whole.append(all(flags))
        if any(flags) and not all(flags):
            begun[piece] = [bool(flag) for flag in flags]
    return whole, begun
