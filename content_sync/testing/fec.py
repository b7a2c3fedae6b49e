"""What parcels need, in memory: an erasure code in a few lines (repair symbols are sums of random blocks) and
a stash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from content_sync.errors import FormatError
from content_sync.formats.hashtree import BLOCK
from content_sync.formats.parcel import MAX_CHUNK, MAX_ESI
from content_sync.ports import Shards


class FakeFec:
    """ports.Fec. Needs a few symbols more than RaptorQ: each one beyond `count` halves the chance to fail."""

    def repair(self, blocks: Sequence[bytes], first: int, count: int) -> list[bytes]:
        """Sums of blocks."""
        size = len(blocks)
        if not 1 <= size <= MAX_CHUNK or first < 0 or count < 0 or size + first + count > MAX_ESI:
            raise FormatError("no such symbols")
        if any(not 0 < len(block) <= BLOCK for block in blocks):
            raise FormatError("a block of a chunk has another length")
        numbers = [int.from_bytes(block.ljust(BLOCK, b"\0"), "big") for block in blocks]
        return [
            _sum(numbers, _mask(size, size + esi)).to_bytes(BLOCK, "big")
            for esi in range(first, first + count)
        ]

    def decode(self, count: int, symbols: Mapping[int, bytes]) -> list[bytes] | None:
        """Gauss elimination over bits."""
        if not 1 <= count <= MAX_CHUNK or any(not 0 <= esi < MAX_ESI for esi in symbols):
            raise FormatError("no such chunk")
        if any(len(data) != BLOCK for data in symbols.values()):
            raise FormatError("a symbol has another length")
        rows: dict[int, tuple[int, int]] = {}  # highest block of a sum -> which blocks, their sum
        for esi, data in sorted(symbols.items()):
            mask, value = _mask(count, esi), int.from_bytes(data, "big")
            while mask and mask.bit_length() - 1 in rows:
                other = rows[mask.bit_length() - 1]
                mask, value = mask ^ other[0], value ^ other[1]
            if mask:
                rows[mask.bit_length() - 1] = (mask, value)
        if len(rows) < count:
            return None
        known: list[int] = []
        for block in range(count):
            mask, value = rows[block]
            known.append(value ^ _sum(known, mask ^ (1 << block)))
        return [value.to_bytes(BLOCK, "big") for value in known]


def _mask(size: int, esi: int) -> int:
    if esi < size:
        return 1 << esi
    seed = hashlib.shake_128(f"{size}/{esi}".encode()).digest(MAX_CHUNK // 8)
    return int.from_bytes(seed, "big") % (1 << size) or (1 << size) - 1


def _sum(numbers: Sequence[int], mask: int) -> int:
    total = 0
    for at, number in enumerate(numbers):
        if mask >> at & 1:
            total ^= number
    return total


class MemoryStash:
    """ports.Stash in memory; `crash` forgets what was not committed."""

    def __init__(self) -> None:
        self._shards: dict[str, dict[int, tuple[int, bytes]]] = {}
        self._papers: dict[str, tuple[int, str, bytes]] = {}
        self._facts: dict[str, str] = {}
        self._count = 0
        self._kept = self._copy()

    def _copy(
        self,
    ) -> tuple[dict[str, dict[int, tuple[int, bytes]]], dict[str, tuple[int, str, bytes]], dict[str, str]]:
        shards = {group: dict(rows) for group, rows in self._shards.items()}
        return shards, dict(self._papers), dict(self._facts)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def add(self, group: str, number: int, data: bytes) -> bool:
        """Keep one."""
        rows = self._shards.setdefault(group, {})
        if number in rows:
            return False
        rows[number] = (self._next(), data)
        return True

    def numbers(self, group: str) -> set[int]:
        """Numbers of a group."""
        return set(self._shards.get(group, {}))

    def read(self, group: str) -> dict[int, bytes]:
        """A group's data."""
        return {number: data for number, (_, data) in self._shards.get(group, {}).items()}

    def one(self, group: str, number: int) -> bytes | None:
        """One of a group."""
        return self.read(group).get(number)

    def groups(self) -> list[Shards]:
        """Every group."""
        return [
            Shards(group, len(rows), max(at for at, _ in rows.values()))
            for group, rows in self._shards.items()
        ]

    def remove(self, groups: Iterable[str]) -> None:
        """Forget these."""
        for group in groups:
            self._shards.pop(group, None)

    def size(self) -> int:
        """Bytes, with what a row costs on a disk."""
        shards = sum(len(data) + 100 for rows in self._shards.values() for _, data in rows.values())
        return shards + sum(len(data) + 200 for _, _, data in self._papers.values())

    def put_paper(self, sha256: str, path: str, data: bytes) -> None:
        """Keep a small file."""
        self._papers.pop(sha256, None)
        self._papers[sha256] = (self._next(), path, data)

    def paper(self, sha256: str) -> bytes | None:
        """A small file."""
        found = self._papers.get(sha256)
        return None if found is None else found[2]

    def papers(self) -> list[tuple[str, str, int]]:
        """The oldest first."""
        return [(sha256, path, len(data)) for sha256, (_, path, data) in self._papers.items()]

    def remove_papers(self, digests: Iterable[str]) -> None:
        """Forget these."""
        for digest in digests:
            self._papers.pop(digest, None)

    def fact(self, key: str) -> str | None:
        """A fact."""
        return self._facts.get(key)

    def set_fact(self, key: str, value: str | None) -> None:
        """Write or forget it."""
        self._facts.pop(key, None)
        if value is not None:
            self._facts[key] = value

    def commit(self) -> None:
        """What `crash` goes back to."""
        self._kept = self._copy()

    def crash(self) -> None:
        """Lose what was not committed."""
        self._shards, self._papers, self._facts = self._kept
        self._kept = self._copy()

    def close(self) -> None:
        """Nothing is held."""
        self.commit()
