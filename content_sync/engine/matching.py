"""Matching what was read in drop folders against the leaf lists of packages, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from content_sync.core.blocks import BlockMap
from content_sync.engine.arrivals import Arrivals
from content_sync.engine.ingest import ZERO_BLOCK
from content_sync.engine.library import Library
from content_sync.engine.taking import Taking
from content_sync.formats.hashtree import BLOCK, HASH
from content_sync.ports import Drops, State

#: Blocks looked for at once: bounds the memory of a match (about 250 bytes each).
BATCH = 1 << 15
#: Blocks that are read, checked and written as one.
_RUN = 64
#: Files of packages that are noted for one block; a block of more is of none that may be counted.
_MOST_OWNERS = 64
_NOT_COUNTABLE = frozenset(("",))

_Part = tuple[str, int]


class Matching:
    """Takes blocks of drop files that were read before."""

    def __init__(
        self, drops: Drops, state: State, arrivals: Arrivals, library: Library, taking: Taking
    ) -> None:
        self._drops, self._state, self._arrivals = drops, state, arrivals
        self._library, self._taking = library, taking

    def match(self, parts: Iterable[_Part], infohashes: Sequence[str] | None = None) -> None:
        """Take every block of these parts that a package lacks, of all packages or these. Note which blocks
        are any package's."""
        batch: list[tuple[str, int, bytes]] = []
        blocks = 0
        for path, first in parts:
            leaves = self._state.drop_leaves(path, first)
            batch.append((path, first, leaves))
            blocks += len(leaves) // HASH
            if blocks >= BATCH:
                self._match(batch, infohashes)
                batch, blocks = [], 0
        if batch:
            self._match(batch, infohashes)

    def _match(self, batch: Sequence[tuple[str, int, bytes]], infohashes: Sequence[str] | None) -> None:
        came: dict[bytes, tuple[int, int]] = {}
        fresh: set[bytes] = set()  # those that are no package's as far as is known
        for number, (path, first, leaves) in enumerate(batch):
            named = self._state.drop_blocks_named(path, first)
            for at, leaf in enumerate(_split(leaves)):
                came.setdefault(leaf, (number, first + at))
                if named[at : at + 1] != b"\1" and leaf != ZERO_BLOCK:
                    fresh.add(leaf)
        objects, lacking = self._state.objects(), self._state.lacking()
        owners: dict[bytes, frozenset[str]] = {}
        for infohash in list(self._library.entries) if infohashes is None else infohashes:
            looked_for = came.keys() if infohash in lacking or infohashes is not None else fresh
            if looked_for and self._library.lists_any(infohash, looked_for):
                self._package(infohash, batch, came, objects, owners)
                self._arrivals.trim()
        self._note(batch, owners)

    def _package(
        self,
        infohash: str,
        batch: Sequence[tuple[str, int, bytes]],
        came: dict[bytes, tuple[int, int]],
        objects: dict[str, int],
        owners: dict[bytes, frozenset[str]],
    ) -> None:
        package = self._library.package(infohash)
        if package is None:
            return
        for entry in package.files:
            root, leaves = entry.file.root, package.leaves[entry.file.root]
            alone = frozenset((root,))  # one for all blocks of the file: they are many
            hits: list[
                tuple[int, int, int]
            ] = []  # index in the file; batch number and block of the drop file
            for index, leaf in enumerate(_split(leaves)):
                where = came.get(leaf)
                if where is not None:
                    hits.append((index, *where))
                    before = owners.setdefault(leaf, alone)
                    if root not in before:
                        owners[leaf] = before | (alone if len(before) < _MOST_OWNERS else _NOT_COUNTABLE)
            if hits and objects.get(root) != entry.file.length:
                block_map = self._arrivals.map(entry.file, leaves)
                for run in _runs([hit for hit in hits if block_map.lacks(hit[0])]):
                    self._take(infohash, block_map, batch[run[0][1]][0], run)

    def _take(
        self, infohash: str, block_map: BlockMap, path: str, run: Sequence[tuple[int, int, int]]
    ) -> None:
        index, _, number = run[0]
        data = self._drops.block(path, number, len(run))
        if data is None:
            return
        good = [block_map.fits(index + n, data[n * BLOCK : (n + 1) * BLOCK]) for n in range(len(run))]
        begin = 0
        while begin < len(good):
            end = begin
            while end < len(good) and good[end]:
                end += 1
            if end > begin:
                self._taking.write(infohash, block_map, index + begin, data[begin * BLOCK : end * BLOCK])
            begin = end + 1

    def _note(self, batch: Sequence[tuple[str, int, bytes]], owners: dict[bytes, frozenset[str]]) -> None:
        """Count for each part which of its blocks have an owner."""
        notes = []
        for path, first, leaves in batch:
            named, roots = bytearray(), set[str]()
            for leaf in _split(leaves):
                found = owners.get(leaf)
                named.append(found is not None or leaf == ZERO_BLOCK)
                if found is not None and leaf != ZERO_BLOCK:
                    roots |= found
            notes.append((path, first, bytes(named) if roots else b"", frozenset(roots)))
        self._state.name_drop_blocks(notes)


def _split(leaves: bytes) -> Iterator[bytes]:
    return (leaves[at : at + HASH] for at in range(0, len(leaves), HASH))


def _runs(hits: Sequence[tuple[int, int, int]]) -> Iterator[list[tuple[int, int, int]]]:
    """Hits that follow each other in both files, together."""
    run: list[tuple[int, int, int]] = []
    for hit in hits:
        if run and (len(run) == _RUN or hit != (run[-1][0] + 1, run[-1][1], run[-1][2] + 1)):
            yield run
            run = []
        run.append(hit)
    if run:
        yield run
