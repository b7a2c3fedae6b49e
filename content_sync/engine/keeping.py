"""The store and state.db kept true to each other: unknown objects verified, lost ones forgotten, unwanted
ones deleted."""

from __future__ import annotations

import logging
from collections.abc import Callable

from content_sync.engine.arrivals import Arrivals
from content_sync.errors import StorageError
from content_sync.formats.hashtree import FileId, Hasher
from content_sync.ports import Clock, State, Store

_log = logging.getLogger(__name__)


class Keeping:
    """`begin` at the start, then `work` while `pending`; `clear` after changes."""

    def __init__(
        self,
        store: Store,
        state: State,
        arrivals: Arrivals,
        clock: Clock,
        damaged: Callable[[FileId, float], None],
    ) -> None:
        self._store, self._state, self._arrivals, self._clock = store, state, arrivals, clock
        self._damaged = damaged
        self._unknown: list[FileId] = []
        self._clear = True
        #: Whether nothing may be deleted now.
        self.holds: Callable[[], bool] = lambda: False

    def begin(self) -> None:
        """Compare names and lengths. A crash between admitting a file and noting it, or a rebuilt state.db,
        leaves objects that are unknown: those that bear the mark of their admission count at once (the scrub
        reads them in its turn), the others are read before they do."""
        disk = {file.root: file.length for file in self._store.objects()}
        noted = self._state.objects()
        lost = [root for root, size in noted.items() if disk.get(root) != size]
        if lost:
            _log.warning("%d objects are gone or have another length", len(lost))
        self._state.forget_objects(lost)
        repaired = self._state.repairs()
        unknown = [FileId(root, size) for root, size in disk.items() if noted.get(root) != size]
        vouched = [file for file in unknown if file.root not in repaired and self._store.vouched(file)]
        self._state.add_objects(vouched, int(self._clock.wall()))
        rank = self._rank()
        self._unknown = sorted(
            set(unknown).difference(vouched), key=lambda file: rank.get(file.root, len(rank)), reverse=True
        )

    def _rank(self) -> dict[str, int]:
        """Root -> place in teaching order of the files that lessons wait for."""
        lacking, rank = self._state.lacking(), dict[str, int]()
        for row in self._state.lessons():
            for root in lacking.get(row.wanted, ()):
                rank.setdefault(root, len(rank))
        return rank

    @property
    def pending(self) -> bool:
        """Whether objects wait to be read."""
        return bool(self._unknown)

    @property
    def left(self) -> dict[str, int]:
        """How much is still to be read."""
        return {"objects": len(self._unknown), "bytes": sum(file.length for file in self._unknown)}

    def work(self, most: int, now: float) -> None:
        """Read unknown objects, about `most` bytes of them, what is taught first first; of one that is not
        what its name says the good blocks are kept if it is wanted."""
        while self._unknown and most > 0:
            file = self._unknown.pop()
            most -= file.length
            if verify_object(self._store, file):
                self._state.add_object(file, int(self._clock.wall()))
            elif self._state.packages_with(file.root):
                self._damaged(file, now)
            else:
                _log.warning("object %s is damaged, deleted", file.root)
                self._store.remove_object(file.root)

    def changed(self) -> None:
        """Something may be wanted no more."""
        self._clear = True

    def clear(self, all_described: bool, space_is_low: bool) -> None:
        """Delete objects and arriving files of no known package, once it is known what every wanted package
        holds: a file that only changed its lesson is not fetched again."""
        waits = self._unknown or self.holds()
        if not self._clear or waits or not (all_described or space_is_low):
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
    try:
        for data in store.object_blocks(file.root):
            hasher.update(data)
    except StorageError:
        return False
    return hasher.finish()[0] == file
