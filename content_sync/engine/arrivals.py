"""Which blocks of the files that are arriving are here."""

from __future__ import annotations

from collections.abc import Iterable

from content_sync.core.blocks import BlockMap
from content_sync.engine.targets import Package
from content_sync.formats.hashtree import HASH, FileId
from content_sync.ports import Store

#: Blocks whose maps are kept between matches (33 bytes each); others are made again from the disk.
_MOST_KEPT = 1 << 20
#: What a map costs beside its blocks, in blocks.
_MAP = 64


class Arrivals:
    """Block maps of the files that are arriving; those of the last ones are kept while there are bytes of
    them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._maps: dict[str, BlockMap] = {}  # the last used last
        self._counted: dict[str, int] = {}  # verified bytes of files whose map was dropped
        self._added = 0  # blocks and maps since they were trimmed

    def maps(self, package: Package, objects: dict[str, int]) -> dict[str, BlockMap]:
        """Root -> map of each file of the package that is no object yet."""
        found = {}
        for entry in package.files:
            root = entry.file.root
            if objects.get(root) == entry.file.length:
                continue
            found[root] = self.map(entry.file, package.leaves[root])
        return found

    def map(self, file: FileId, leaves: bytes) -> BlockMap:
        """The map of one file that is no object yet."""
        self._counted.pop(file.root, None)
        made = self._maps.pop(file.root, None)
        if made is None:
            made = BlockMap.rebuilt(file, leaves, self._store.partial_blocks(file.root))
            self._added += len(leaves) // HASH + _MAP
        self._maps[file.root] = made
        return made

    def trim(self) -> None:
        """Drop the maps of files of which nothing is here, and of those that were not used for long."""
        if self._added <= _MOST_KEPT // 8:  # to go through all of them each time takes the square of it
            return
        self._added = 0
        kept: dict[str, BlockMap] = {}
        blocks = 0
        for root, made in reversed(self._maps.items()):
            blocks += len(made.leaves) // HASH if made.have_bytes else 0
            if made.have_bytes and blocks <= _MOST_KEPT:
                kept[root] = made
            elif made.have_bytes:
                self._counted[root] = made.have_bytes
        self._maps = dict(reversed(kept.items()))

    def reread(self, roots: Iterable[str]) -> None:
        """Others wrote into these: look at their bytes again."""
        for root in roots:
            known = self._maps.get(root)
            if known is not None:
                known.reload(self._store.partial_blocks(root))

    def forget(self, roots: Iterable[str]) -> None:
        """These are objects now, or no longer wanted."""
        for root in roots:
            self._maps.pop(root, None)
            self._counted.pop(root, None)

    def have_bytes(self, roots: Iterable[str]) -> int:
        """Verified bytes of these files."""
        return sum(
            self._maps[root].have_bytes if root in self._maps else self._counted.get(root, 0)
            for root in roots
        )
