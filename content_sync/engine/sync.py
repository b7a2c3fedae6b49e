"""The engine: `step(now)` does what can be done and says when to be woken. No threads, no clock of its own.

Every effect can be cut off anywhere: what counts is read again from trust/, objects/ and partial/ at the next start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from content_sync.core import plan
from content_sync.engine.ingest import Arrivals, Ingest
from content_sync.engine.keeping import Keeping
from content_sync.engine.offers import DropOffer, HttpOffer, Offer
from content_sync.engine.problems import Problems
from content_sync.engine.refresh import MakeTrust, Refresh
from content_sync.engine.targets import Catalogue, Package, Targets
from content_sync.engine.transfers import SEEDS, Transfers
from content_sync.errors import DiskFullError, FormatError, LessonBoxError, NetworkError, StorageError, TrustError
from content_sync.formats.collection import LessonEntry
from content_sync.ports import Clock, Drops, Fetcher, Shelf, State, Store, Swarm

_log = logging.getLogger(__name__)
_READ_AT_ONCE = 128 << 20
_RETRY_FIRST = 5.0
_LOOK = 1.0
_NOTE_SECONDS = 2.0


@dataclass(frozen=True)
class Options:
    """Sizes in bytes, times in seconds; `urls` are the county's, the best first."""

    box: str
    urls: Sequence[str]
    active: int = 4
    reserve: int = 0
    scan_seconds: float = 60
    refresh_seconds: float = 300


@dataclass(frozen=True)
class Parts:
    """What wiring hands in. Without a swarm only drops bring content. `jitter` gives 0…1."""

    state: State
    store: Store
    shelf: Shelf
    clock: Clock
    drops: Drops
    fetcher: Fetcher
    swarm: Swarm | None
    make_trust: MakeTrust
    jitter: Callable[[], float]


class Engine:
    """See the module. Build it, `start()`, `step(now)` again and again, `close()`."""

    def __init__(self, parts: Parts, options: Options) -> None:
        self._p, self._o = parts, options
        self._state = parts.state
        self._problems = Problems(parts.state, parts.clock)
        self._targets = Targets(parts.shelf, parts.state, self._problems)
        self.refresh = Refresh(
            parts.shelf,
            parts.state,
            parts.clock,
            parts.make_trust,
            options.box,
            self._targets,
            self._problems,
        )
        self._arrivals = Arrivals(parts.store)
        self.transfers = Transfers(
            parts.store, parts.state, parts.swarm, self._arrivals, parts.clock, self._problems
        )
        self._drop_offer = DropOffer(parts.drops, parts.state)
        self._http = [HttpOffer(parts.fetcher, url) for url in options.urls]
        self._ingest = self._new_ingest(parts.drops, self._drop_offer)
        self._keeping = Keeping(parts.store, parts.state, self._arrivals)
        self._entries: dict[str, LessonEntry] = {}
        self._blocked: dict[str, str] = {}
        self._waiting: set[str] = set()
        self._next_scan = self._next_refresh = self._next_note = self._next_look = 0.0
        self._network_failures = 0
        self._refreshed = False
        self._dirty = True
        self._stalled_since: float | None = None
        self._seen_bytes = -1
        self._contact: dict[str, Any] = {}

    def _new_ingest(self, drops: Drops, offer: DropOffer) -> Ingest:
        return Ingest(drops, self._state, self._p.store, self._arrivals, offer, self._o.reserve)

    # Start

    def start(self) -> None:
        """Take up what is on the disk. Does not touch the network."""
        self._state.set_meta({"box": self._o.box})
        self.refresh.note_envelope()
        catalogue = self._targets.applied()
        if catalogue is not None:
            self._adopt(catalogue)
        self._apply(())
        self._ingest.begin()
        self._describe_all((self._drop_offer,))
        self._keeping.begin()
        self._show_ready()
        rows = [row for row in self._state.lessons() if row.complete]
        for row in sorted(rows, key=lambda row: row.arrived or 0)[-SEEDS:]:
            package = self._package(row.wanted, ())
            if package is not None:
                self.transfers.seed(package)

    # One step

    def step(self, now: float) -> float:
        """Do what can be done at `now` (monotonic seconds); when to be woken at the latest."""
        for infohash in self.transfers.poll(now):
            self._settle(infohash, now)
        self._look_at_drops(now)
        if now >= self._next_refresh:
            self._refresh_from_county(now)
        if self._keeping.pending:
            self._keeping.work(_READ_AT_ONCE)
            self._dirty = True
            self._show_ready()
        if self._dirty or now >= self._next_look:
            self._plan(now)
        if now >= self._next_note or self._dirty:
            self._note(now)
            self._next_note = now + _NOTE_SECONDS
        if self._ingest.pending or self._keeping.pending:
            return now
        look = [self._next_look] if self.transfers.running or self._stalled_since is not None else []
        return min(self._next_scan, self._next_refresh, *look, now + 60)

    def _look_at_drops(self, now: float) -> None:
        if self._p.drops.hint() or now >= self._next_scan:
            self._next_scan = now + self._o.scan_seconds
            for path in self._ingest.scan():
                self._problems.solved(path)
        if self._ingest.pending:
            self._take_in(self._ingest, self._drop_offer, now)

    def _take_in(self, ingest: Ingest, offer: DropOffer, now: float) -> None:
        paths, signed = ingest.read(_READ_AT_ONCE)
        if signed or (not ingest.pending and not offer.empty and self.refresh.trust.needs_targets):
            self._refresh_from(offer)
        if not ingest.pending:
            offer.settled()
        self._waiting.clear()
        self._apply((offer,))
        new = self._describe_all((offer,))
        self._match(ingest, self._described(), paths, now)
        if new:
            self._match(ingest, self._described(new), ingest.paths, now)

    def _refresh_from(self, offer: Offer) -> None:
        # A file may wait for one that stands behind it in the drop, so everything is looked at again.
        try:
            self.refresh.take(offer)
        except NetworkError as error:
            _log.info("%s", error.what)

    def _refresh_from_county(self, now: float) -> None:
        self._refreshed = True
        self.refresh.look_at_clock()
        reached = not self._http
        for offer in self._http:
            offer.down = False
            try:
                self.refresh.take(offer)
                reached = True
                self._problems.solved("county")
                self._contact = {"url": offer.url, "at": int(self._p.clock.wall())}
                break
            except (NetworkError, FormatError) as error:
                self._problems.note("county", error)
        self._network_failures = 0 if reached else self._network_failures + 1
        delay = self._o.refresh_seconds
        if not reached:
            delay = min(delay, _RETRY_FIRST * 2 ** min(self._network_failures - 1, 10))
        self._next_refresh = now + delay * (0.75 + 0.5 * self._p.jitter())
        self._waiting.clear()
        self._apply(self._http)
        self._dirty = True

    # Release

    def _apply(self, offers: Sequence[Offer]) -> None:
        """Make the trusted release the wanted one, if all of its indexes can be had."""
        trust, envelope = self.refresh.trust, self.refresh.envelope
        if not trust.release:
            return
        patterns = envelope.collections if envelope else ("*",)
        catalogue = self._targets.catalogue(trust.release, trust.subjects, patterns, offers)
        if catalogue is None:
            return
        if self._targets.apply(catalogue, trust.subjects) or not self._entries:
            self._adopt(catalogue)

    def _adopt(self, catalogue: Catalogue) -> None:
        self._entries = {
            entry.infohash: entry for collection in catalogue.collections for entry in collection.lessons
        }
        for infohash in [running for running in self.transfers.running if running not in self._entries]:
            self.transfers.stop(infohash)
        self._blocked = {infohash: why for infohash, why in self._blocked.items() if infohash in self._entries}
        self.transfers.keep_seeds(set(self._entries))
        self._waiting.clear()
        self._keeping.clear_wanted()
        self._dirty = True

    def _package(self, infohash: str, offers: Sequence[Offer]) -> Package | None:
        """A described package; what is wrong with it becomes a problem, and it is not tried again."""
        entry = self._entries.get(infohash)
        if entry is None or infohash in self._blocked:
            return None
        try:
            return self._targets.package(entry, offers)
        except (FormatError, TrustError) as error:
            self._problems.note(entry.title, error)
            self._blocked[infohash] = f"课程清单有误（{error.code}），请县里重新发布"
            return None

    def _describe(self, infohash: str, offers: Sequence[Offer]) -> Package | None:
        package = self._package(infohash, offers)
        if package is not None:
            self._state.set_files(package.torrent)
            self._dirty = True
        return package

    def _describe_all(self, offers: Sequence[Offer]) -> list[str]:
        """Describe every package whose files lie here already; those that are new."""
        known = self._state.described()
        return [infohash for infohash in self._entries if infohash not in known and self._describe(infohash, offers)]

    def _described(self, only: Sequence[str] | None = None) -> list[Package]:
        wanted = self._state.lacking() if only is None else only
        made = (self._package(infohash, ()) for infohash in wanted)
        return [package for package in made if package is not None]

    # Blocks and lessons

    def _match(self, ingest: Ingest, packages: list[Package], paths: Sequence[str], now: float) -> None:
        if not paths or not packages:
            return
        by_name = {package.entry.infohash: package for package in packages}
        try:
            touched = ingest.match(packages, paths, self.transfers.hold)
            self._problems.solved("drop", DiskFullError.code)
        except StorageError as error:
            touched = set(by_name)
            self._problems.note("drop", error)
        except DiskFullError as error:
            touched = set(by_name)
            self._problems.note("drop", error)
        for infohash in touched:
            self._settle(infohash, now, by_name[infohash])
        self._resume(now)
        self._dirty = self._dirty or bool(touched)

    def _resume(self, now: float) -> None:
        try:
            self.transfers.resume()
        except LessonBoxError as error:
            self._problems.note("store", error)

    def _settle(self, infohash: str, now: float, package: Package | None = None) -> None:
        """A package may be whole: verify it, admit what is, show what can be shown."""
        package = package or self.transfers.running.get(infohash)
        if package is None:
            return
        self._dirty = True
        self.transfers.hold(infohash)
        try:
            whole = self.transfers.admit(package, now)
        except (StorageError, DiskFullError) as error:
            self._problems.note(package.entry.title, error)
            return
        if whole:
            self.transfers.stop(infohash)
        self._show_ready()

    def _show_ready(self) -> None:
        for infohash, lacking in self._state.lacking().items():
            if lacking:
                continue
            package = self._package(infohash, ())
            if package is None:
                continue
            try:
                shown = self.transfers.show(package)
            except (FormatError, StorageError) as error:
                self._problems.note(package.entry.title, error)
                self._blocked[infohash] = f"课程说明有误（{error.code}），请县里重新发布"
                continue
            if shown:
                self._problems.solved(package.entry.title)
                self.transfers.seed(package)
                self._keeping.clear_wanted()
                self._dirty = True
