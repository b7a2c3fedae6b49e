"""One set of folders that files come in: read, matched, its blocks taken; and a folder that is looked through
once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from content_sync.engine.arrivals import Arrivals
from content_sync.engine.ingest import TAKEN, Ingest
from content_sync.engine.library import Library
from content_sync.engine.matching import BATCH, Matching
from content_sync.engine.offers import DropOffer, Offer
from content_sync.engine.parcels import Parcels
from content_sync.engine.problems import Problems
from content_sync.engine.taking import Taking
from content_sync.engine.transfers import Transfers
from content_sync.errors import DiskFullError, LessonBoxError, StorageError
from content_sync.formats.hashtree import HASH
from content_sync.ports import Clock, Drops, Shelf, State, Store

#: Bytes read in a step.
AT_ONCE = 32 << 20
#: Parts looked up in a step: very many small files.
_PARTS = 1 << 13
#: Set while packages are described and not matched yet against what was read before.
_UNMATCHED = "drops_unmatched"


class Host(Struct, frozen=True):
    """What the engine does for what comes in."""

    take_signed: Callable[[Offer], None]
    follow: Callable[[Sequence[Offer]], None]
    settle: Callable[[str, float], None]  # verify and admit; `show_ready` comes after
    show_ready: Callable[[], None]
    changed: Callable[[], None]
    make_room: Callable[[], bool]


class Around(Struct, frozen=True):
    """What drop folders are read for."""

    state: State
    store: Store
    shelf: Shelf
    clock: Clock
    arrivals: Arrivals
    library: Library
    transfers: Transfers
    problems: Problems
    reserve: int
    host: Host
    parcels: Parcels | None = None


class Source:
    """One set of folders: read, matched, its blocks taken."""

    def __init__(self, drops: Drops, around: Around) -> None:
        self._a, self._drops = around, drops
        self.offer = DropOffer(drops, around.state)
        self.taking = Taking(around.store, around.reserve, around.transfers.hold)
        self.ingest = Ingest(
            drops, around.state, around.arrivals, around.library, self.offer, self.taking, around.parcels
        )
        self._matching = Matching(drops, around.state, around.arrivals, around.library, self.taking)
        self._unmatched: list[tuple[str, int, int]] = []  # path, first block, blocks
        self._blocks = 0
        #: Blocks could not be taken: there was no space.
        self.starved = False

    def begin(self) -> None:
        """Go on with what was read and not matched before this start."""
        self.ingest.begin()
        everything = self._a.state.meta(_UNMATCHED) == "1"
        self.again(self._a.state.drop_parts() if everything else self._a.state.unmatched_drops())

    def again(self, parts: Sequence[tuple[str, int]]) -> None:
        """Match these parts in the next steps."""
        self._unmatched += [(*part, BATCH // 32) for part in parts]
        self._blocks += len(parts) * (BATCH // 32)

    @property
    def pending(self) -> bool:
        """Whether `work` has something to do."""
        return self.ingest.pending or bool(self._unmatched) or self._papers_came

    @property
    def _papers_came(self) -> bool:
        return self._a.parcels is not None and self._a.parcels.papers.news

    def work(self, now: float) -> bool:
        """A slice: read, take what is signed, take blocks. Whether something new is here."""
        parts = self.ingest.read(AT_ONCE, now)
        for part in parts:
            if part.sha256 != TAKEN:
                self._unmatched.append((part.stat.path, part.first, len(part.leaves) // HASH))
                self._blocks += len(part.leaves) // HASH
        signed = {part.sha256 for part in parts if part.sha256 and part.sha256 != TAKEN}
        if signed:
            self._take_signed(signed)
        if self._papers_came:
            self._take_papers()
        if not self.ingest.pending:
            self.offer.settled()
            self.ingest.settled()
        if self._unmatched and (
            self._blocks >= BATCH or len(self._unmatched) >= _PARTS or not self.ingest.pending
        ):
            self._match_some()
        return self.finish(now) or bool(signed)

    def _take_signed(self, signed: set[str]) -> None:
        library, host = self._a.library, self._a.host
        before = library.entries
        host.take_signed(self.offer)
        host.follow(self.offers)
        names = [
            name
            for name, entry in library.entries.items()
            if library.entries is not before
            or not signed.isdisjoint((entry.torrent.sha256, entry.leaves.sha256))
        ]
        if names:
            self._a.state.set_meta({_UNMATCHED: "1"})
            self.match_new(library.describe_all(self.offers, names))
            self._a.state.set_meta({_UNMATCHED: "0"})
            host.show_ready()

    @property
    def offers(self) -> tuple[Offer, ...]:
        """Where signed files can be had: drop files, and what parcels brought."""
        return (self.offer,) if self._a.parcels is None else (self.offer, self._a.parcels.papers.offer)

    def _take_papers(self) -> None:
        """Signed files out of parcels."""
        assert self._a.parcels is not None
        papers, library, host = self._a.parcels.papers, self._a.library, self._a.host
        papers.news = False
        host.take_signed(papers.offer)
        host.follow(self.offers)
        self._a.state.set_meta({_UNMATCHED: "1"})
        self.match_new(library.describe_all(self.offers))
        self._a.state.set_meta({_UNMATCHED: "0"})
        papers.offer.settled()
        host.show_ready()

    def match_new(self, infohashes: Sequence[str]) -> None:
        """Packages whose description came: look for their blocks in everything that was read, and in what
        parcels brought."""
        if not infohashes:
            return
        self._matching.match(self.ingest.parts(), infohashes)
        if self._a.parcels is not None:
            try:
                self._a.parcels.described(infohashes)
                self._a.parcels.commit()
            except (DiskFullError, StorageError) as error:
                self.taking.error = error

    def _match_some(self) -> None:
        blocks, taken = 0, 0
        for taken, (_, _, count) in enumerate(self._unmatched, 1):
            blocks += count
            if blocks >= BATCH or taken == _PARTS:
                break
        batch, self._unmatched = self._unmatched[:taken], self._unmatched[taken:]
        self._blocks = max(0, self._blocks - blocks)
        self._matching.match([(path, first) for path, first, _ in batch])

    def finish(self, now: float) -> bool:
        """Packages that got blocks may be whole; others may write again. Whether some did."""
        touched = self.taking.done()
        whole = self._a.parcels.ready() if self._a.parcels is not None else set[str]()
        touched |= whole
        for infohash in touched:
            self._a.host.settle(infohash, now)
        if whole and self._a.parcels is not None:
            self._a.parcels.drop_unwanted()
        self._a.transfers.resume(now)
        error, self.taking.error = self.taking.error, None
        if isinstance(error, DiskFullError) and self._a.host.make_room():
            self.again(self.ingest.parts())
        elif error is not None:
            self.starved = True
            self._a.problems.note("drop", error)
        elif touched and not self.starved:
            self._a.problems.solved("drop")
        return bool(touched)


class Import:
    """A stick, disc or folder that is looked through once, in stages: what is in the next one may depend on
    what the one before brought."""

    def __init__(
        self,
        stages: Iterable[Drops],
        open_source: Callable[[Drops], Source],
        keep: Callable[[], list[str]],
        complete: Callable[[], set[str]],
    ) -> None:
        self._stages, self._open, self._keep, self._complete = iter(stages), open_source, keep, complete
        self._before = complete()
        self._source: Source | None = None
        self._scanned = self.done = False
        #: Files that were read, lessons that became complete meanwhile.
        self.files = self.lessons = 0
        #: What made it end early.
        self.error: LessonBoxError | None = None

    def step(self, now: float) -> bool:
        """A slice; whether something new is here."""
        try:
            return self._step(now)
        except LessonBoxError as error:
            self.error = error
            self._end()
            self.done = True
            return False

    def _step(self, now: float) -> bool:
        if self._source is None:
            stage = next(self._stages, None)
            if stage is None:
                self.lessons = len(self._complete() - self._before)
                self.done = True
                return False
            self._source, self._scanned = self._open(stage), False
        if not self._scanned:
            self._scanned = self._source.ingest.scan(now) is not None
        elif self._source.pending:
            return self._source.work(now)
        else:
            self.files += len([path for path in self._source.ingest.paths if "//" not in path])
            self._end()
        return False

    def _end(self) -> None:
        """Forget what was read."""
        if self._source is not None:
            self._source.ingest.forget_all(but=self._keep())
            self._source = None
