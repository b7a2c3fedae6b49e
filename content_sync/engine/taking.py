"""Writing verified blocks of drop files where they belong."""

from __future__ import annotations

from collections.abc import Callable

from content_sync.core.blocks import BlockMap
from content_sync.errors import DiskFullError, LessonBoxError, StorageError
from content_sync.formats.hashtree import block_count
from content_sync.ports import Store

#: The free space is looked at each time this much was taken.
_SPACE_EVERY = 4 << 20


class Taking:
    """What blocks are written with: who is told before and after, and the space that is left free."""

    def __init__(self, store: Store, reserve: int, hold: Callable[[str], None]) -> None:
        self._store, self._reserve, self._hold = store, reserve, hold
        self._held: set[str] = set()
        self._taken = _SPACE_EVERY
        self._touched: set[str] = set()
        #: What lay in the way of writing; nothing is written until it is cleared.
        self.error: LessonBoxError | None = None

    def write(self, infohash: str, block_map: BlockMap, index: int, data: bytes) -> None:
        """Put a run of verified blocks in its place. No one else may write to the file before `done`."""
        if self.error is not None:
            return
        try:
            self._write(infohash, block_map, index, data)
        except (DiskFullError, StorageError) as error:
            self.error = error

    def _write(self, infohash: str, block_map: BlockMap, index: int, data: bytes) -> None:
        root = block_map.file.root
        if root not in self._held or self._taken >= _SPACE_EVERY:
            self._taken = 0
            if self._store.free() - len(data) <= self._reserve:
                raise DiskFullError("the reserve is reached, what lies in drop folders is not taken")
        if root not in self._held:
            self._hold(root)
            self._held.add(root)
        self._taken += len(data)
        self._store.write_block(block_map.file, index, data)
        for number in range(index, index + block_count(len(data))):
            block_map.mark(number)
        self._touched.add(infohash)

    def done(self) -> set[str]:
        """The packages that got blocks since the last call; others may write again."""
        touched, self._touched = self._touched, set()
        self._held.clear()
        return touched
