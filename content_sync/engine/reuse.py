"""What a changed lesson shares with its older version: those blocks are copied, not fetched.

Whole files that both have are one object already. Inside a file that was changed (a page added to a document,
a slide mended, a zip with one more member) blocks that stand where they stood, or anywhere else in the old
version, have the same leaf.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from content_sync.engine.arrivals import Arrivals
from content_sync.engine.targets import Package, Targets
from content_sync.errors import DiskFullError, StorageError
from content_sync.formats.hashtree import HASH
from content_sync.ports import State, Store

_log = logging.getLogger(__name__)
_SPACE_EVERY = 256


class Reuse:
    """`hold(root)`: no one else may write to an arriving file from then on. `reserve()`: bytes that stay
    free."""

    def __init__(
        self,
        store: Store,
        state: State,
        targets: Targets,
        arrivals: Arrivals,
        hold: Callable[[str], None],
        reserve: Callable[[], int],
    ) -> None:
        self._store, self._state, self._targets, self._arrivals = store, state, targets, arrivals
        self._hold, self._reserve = hold, reserve

    def fill(self, package: Package) -> int:
        """Copy what the package's lesson has of it already into its arriving files; how many bytes.

        Does it badly rather than not: what can't be read or written is left to the sources.
        """
        here = self._state.objects(package.entry.infohash)
        lacking = {
            entry.file.root: entry.file
            for entry in package.files
            if here.get(entry.file.root) != entry.file.length
        }
        previous = self._state.previous(package.entry.infohash)
        if not lacking or not previous:
            return 0
        objects = self._state.objects()
        old: dict[bytes, tuple[str, int]] = {}
        for infohash in previous:
            for root, leaves in self._targets.stored(infohash).items():
                if root in objects:
                    for index in range(len(leaves) // HASH):
                        old.setdefault(leaves[index * HASH : (index + 1) * HASH], (root, index))
        copied = 0
        try:
            for root, file in lacking.items():
                leaves = package.leaves[root]
                shared = [
                    (index, old[leaf])
                    for index in range(len(leaves) // HASH)
                    if (leaf := leaves[index * HASH : (index + 1) * HASH]) in old
                ]
                if not shared:
                    continue
                self._hold(root)
                block_map = self._arrivals.map(file, leaves)
                for number, (index, (source, at)) in enumerate(shared):
                    if not block_map.lacks(index):
                        continue
                    if number % _SPACE_EVERY == 0 and self._store.free() <= self._reserve():
                        return copied
                    found = self._store.inspect(source, at, 1)
                    if found and block_map.fits(index, found[0]):
                        self._store.write_block(file, index, found[0])
                        block_map.mark(index)
                        copied += len(found[0])
        except (StorageError, DiskFullError) as error:
            _log.warning("blocks of the older version of %s: %s", package.entry.id, error.what)
        return copied
