"""The store and state.db kept true to each other: unknown objects verified, lost ones forgotten, unwanted
ones deleted."""

from __future__ import annotations

import logging

from content_sync.engine.ingest import Arrivals
from content_sync.formats.hashtree import FileId, Hasher
from content_sync.ports import Clock, State, Store

_log = logging.getLogger(__name__)


class Keeping:
    """`begin` at the start, then `work` while `pending`; `clear` after changes."""

    def __init__(self, store: Store, state: State, arrivals: Arrivals, clock: Clock) -> None:
        self._store, self._state, self._arrivals, self._clock = store, state, arrivals, clock
        self._unknown: list[FileId] = []
        self._clear = True

    def begin(self) -> None:
        """Compare names and lengths. A crash between admitting a file and noting it, or a rebuilt state.db,
        leaves objects that are unknown: they are read before they count."""
        disk = {file.root: file.length for file in self._store.objects()}
        noted = self._state.objects()
        lost = [root for root, size in noted.items() if disk.get(root) != size]
        if lost:
            _log.warning("%d objects are gone or have another length", len(lost))
        self._state.forget_objects(lost)
        self._unknown = [FileId(root, size) for root, size in disk.items() if noted.get(root) != size]

    @property
    def pending(self) -> bool:
        """Whether objects wait to be read."""
        return bool(self._unknown)

    def work(self, most: int) -> None:
        """Read unknown objects, about `most` bytes of them; what is not what its name says is deleted."""
        while self._unknown and most > 0:
            file = self._unknown.pop()
            most -= file.length
            if verify_object(self._store, file):
                self._state.add_object(file, int(self._clock.wall()))
            else:
                _log.warning("object %s is damaged, deleted", file.root)
                self._store.remove_object(file.root)

    def changed(self) -> None:
        """Something may be wanted no more."""
        self._clear = True

    def clear(self, all_described: bool, space_is_low: bool) -> None:
        """Delete objects and arriving files of no known package, once it is known what every wanted package
        holds: a file that only changed its lesson is not fetched again."""
        if not self._clear or self._unknown or not (all_described or space_is_low):
            return
        self._clear = False
        unwanted = self._state.unreferenced()
        self._state.forget_objects(
            unwanted
        )  # first: a crash in between leaves an unknown file, never a lost one
        for root in unwanted:
            self._store.remove_object(root)
        wanted = self._state.referenced()
        gone = [root for root in self._store.partials() if root not in wanted]
        self._arrivals.forget(gone)
        for root in gone:
            self._store.remove_partial(root)


def verify_object(store: Store, file: FileId) -> bool:
    """Whether an object's bytes are what its name says, read from the disk."""
    hasher = Hasher()
    for data in store.object_blocks(file.root):
        hasher.update(data)
    return hasher.finish()[0] == file
