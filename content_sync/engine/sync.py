"""The engine: `step(now)` does what can be done and says when to be woken. No threads, no clock of its own.

Every effect can be cut off anywhere: what counts is read again from trust/, objects/ and partial/ at the
next start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from content_sync.core import plan
from content_sync.engine.ingest import Arrivals, Ingest
from content_sync.engine.keeping import Keeping
from content_sync.engine.library import Library
from content_sync.engine.offers import DropOffer, HttpOffer, Offer
from content_sync.engine.problems import Problems
from content_sync.engine.refresh import MakeTrust, Refresh
from content_sync.engine.targets import Targets
from content_sync.engine.transfers import SEEDS, Transfers
from content_sync.errors import DiskFullError, FormatError, LessonBoxError, NetworkError, StorageError
from content_sync.ports import Clock, Drops, Fetcher, LessonRow, Shelf, State, Store, Swarm

_log = logging.getLogger(__name__)
_READ_AT_ONCE = 128 << 20
_RETRY_FIRST = 5.0
_LOOK = 1.0
#: Drop folders are looked through at most so often, however often they report a change; and once more after
#: the second when a file is being written to.
_SCAN_GAP, _STILL = 0.5, 2.0
_TRIES = 8


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
    """What wiring hands in. Without a swarm only drops bring content. `jitter` gives 0 to 1."""

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
        self._p, self._o, self._state = parts, options, parts.state
        self._problems = Problems(parts.state, parts.clock)
        targets = Targets(parts.shelf, parts.state, self._problems)
        self._refresh = Refresh(
            parts.shelf, parts.state, parts.clock, parts.make_trust, options.box, targets, self._problems
        )
        self._library = Library(parts.state, targets, self._refresh, self._problems)
        self._arrivals = Arrivals(parts.store)
        self._transfers = Transfers(
            parts.store, parts.state, parts.swarm, self._arrivals, parts.clock, self._problems
        )
        self._keeping = Keeping(parts.store, parts.state, self._arrivals, parts.clock)
        self._drop_offer = DropOffer(parts.drops, parts.state)
        self._ingest = self._new_ingest(parts.drops, self._drop_offer)
        self._http = [HttpOffer(parts.fetcher, url) for url in options.urls]
        self._waiting: set[str] = (
            set()
        )  # packages whose description could not be had, until something changes
        self._reasons: dict[str, str] = {}
        self._next_scan = self._next_refresh = self._next_look = 0.0
        self._scanned = float("-inf")
        self._network_failures = 0
        self._refreshed = False
        self._dirty = True
        self._moved_at, self._done_bytes = 0.0, -1
        self._contact: dict[str, Any] = {}

    def _new_ingest(self, drops: Drops, offer: DropOffer) -> Ingest:
        return Ingest(drops, self._state, self._p.store, self._arrivals, offer, self._o.reserve)

    def start(self) -> None:
        """Take up what is on the disk. Does not touch the network."""
        self._state.set_meta({"box": self._o.box})
        self._refresh.note_release()
        self._refresh.note_envelope()
        self._ingest.begin()
        self._library.begin()
        self._library.describe_all((self._drop_offer,))
        self._keeping.begin()
        begun = self._p.store.partials()
        for infohash, roots in self._state.lacking().items():
            if roots.keys() & begun.keys():
                self._settle(infohash, 0.0)
        self._show_ready()
        rows = [row for row in self._state.lessons() if row.complete]
        for row in sorted(rows, key=lambda row: row.arrived or 0)[-SEEDS:]:
            package = self._library.package(row.wanted)
            if package is not None:
                self._transfers.seed(package)

    def broke(self, error: LessonBoxError) -> None:
        """The program ends because of this: leave a word for people, if the disk still takes one."""
        try:
            self._problems.note("store", error)
        except LessonBoxError:
            _log.warning("%s", error.line())

    def close(self) -> None:
        """End all jobs."""
        self._transfers.close()

    # One step

    def step(self, now: float) -> float:
        """Do what can be done at `now` (monotonic seconds); when to be woken at the latest."""
        for infohash in self._transfers.poll(now):
            self._settle(infohash, now)
        self._transfers.resume(now)
        self._look_at_drops(now)
        if now >= self._next_refresh:
            self._refresh_from_county(now)
        if self._keeping.pending:
            self._keeping.work(_READ_AT_ONCE)
            self._show_ready()
            self._dirty = True
        if self._dirty or now >= self._next_look:
            self._next_look = now + _LOOK
            self._dirty = False
            self._plan(now)
            self._note(now)
        if self._ingest.pending or self._keeping.pending or self._dirty:
            return now
        look = self._next_look if self._transfers.running else now + 60
        return min(self._next_scan, self._next_refresh, look)

    def refresh_soon(self) -> None:
        """Ask the county in the next step: something new is known to be there."""
        self._next_refresh = 0.0

    def settled(self, now: float, patience: float) -> bool:
        """Whether nothing more can be done now: nothing moved for `patience` seconds, and nothing waits to
        be read."""
        waits = self._ingest.pending or self._keeping.pending or self._dirty or not self._refreshed
        waits = waits or self._ingest.changing or self._next_scan - now <= _SCAN_GAP
        return not waits and (not self._transfers.running or now - self._moved_at > patience)

    @property
    def complete(self) -> bool:
        """Whether there is a release, and all that the newest accepted one lists for this box is here."""
        return self._library.current and all(row.complete for row in self._state.lessons())

    def _look_at_drops(self, now: float) -> None:
        if self._p.drops.hint():
            self._next_scan = min(self._next_scan, self._scanned + _SCAN_GAP)
        if now >= self._next_scan:
            self._scanned = now
            for path in self._ingest.scan():
                self._problems.solved(path)
            self._next_scan = now + (_STILL if self._ingest.changing else self._o.scan_seconds)
        if self._ingest.pending:
            self._take_in(self._ingest, self._drop_offer, now)

    def _take_in(self, ingest: Ingest, offer: DropOffer, now: float) -> None:
        parts = ingest.read(_READ_AT_ONCE)
        self._take_signed(offer)
        if not ingest.pending:
            offer.settled()
        self._follow((offer,))
        new = self._library.describe_all((offer,))
        fresh = set(new)
        came = ingest.leaves(parts)
        known = [name for name in self._state.lacking() if self._library.lists_any(name, came)]
        self._match(ingest, [name for name in known if name not in fresh], parts, now)
        self._match(ingest, new, ingest.parts(), now)
        self._waiting.clear()
        self._show_ready()
        self._dirty = True

    def _take_signed(self, offer: Offer) -> None:
        try:
            self._refresh.take(offer)
        except NetworkError as error:  # a drop has none
            _log.info("%s", error.what)

    def _refresh_from_county(self, now: float) -> None:
        self._refreshed = True
        self._refresh.look_at_clock()
        reached = not self._http
        for offer in self._http:
            offer.down = False
            try:
                if not self._refresh.take(offer):
                    continue  # its address is shown with what was refused; another may be the county's
            except (NetworkError, FormatError) as error:
                self._problems.note("county", error)
                continue
            reached = True
            self._problems.solved("county")
            self._contact = {"url": offer.url, "at": int(self._p.clock.wall())}
            break
        self._network_failures = 0 if reached else self._network_failures + 1
        delay = self._o.refresh_seconds
        if not reached:
            delay = min(delay, _RETRY_FIRST * 2 ** min(self._network_failures - 1, 10))
        self._next_refresh = now + delay * (0.75 + 0.5 * self._p.jitter())
        self._follow(self._http)
        self._waiting.clear()
        self._dirty = True

    def _follow(self, offers: Sequence[Offer]) -> None:
        if not self._library.follow(offers):
            return
        for infohash in [name for name in self._transfers.running if name not in self._library.entries]:
            self._transfers.stop(infohash)
        self._transfers.keep_seeds(set(self._library.entries))
        self._keeping.changed()
        self._show_ready()
        self._dirty = True

    def import_from(self, drops: Drops, now: float) -> dict[str, int]:
        """Take everything useful from a stick, disc or folder, once: files read, lessons that became
        visible."""
        before = {row.id for row in self._state.lessons() if row.complete}
        offer = DropOffer(drops, self._state)
        ingest = self._new_ingest(drops, offer)
        ingest.scan()
        try:
            while ingest.pending:
                self._take_in(ingest, offer, now)
                self._note(now)
            files = len(ingest.paths)
        finally:
            ingest.forget_all(but=self._ingest.paths)
        self._clear()
        self._note(now)
        after = {row.id for row in self._state.lessons() if row.complete}
        return {"files": files, "lessons": len(after - before)}

    # Blocks and lessons

    def _match(
        self, ingest: Ingest, infohashes: Sequence[str], parts: Sequence[tuple[str, int]], now: float
    ) -> None:
        if not parts or not infohashes:
            return
        found = map(self._library.package, infohashes)  # one at a time: leaf lists of a library are large
        touched: set[str] = set()
        try:
            ingest.match((made for made in found if made is not None), parts, self._transfers.hold, touched)
            self._problems.solved("drop")
        except (StorageError, DiskFullError) as error:
            self._problems.note("drop", error)
        for infohash in touched:
            self._settle(infohash, now)
        self._transfers.resume(now)
        self._dirty = self._dirty or bool(touched)

    def _settle(self, infohash: str, now: float) -> None:
        """A package may be whole: verify it, admit what is, show what can be shown."""
        package = self._transfers.running.get(infohash) or self._library.package(infohash)
        if package is None:
            return
        self._dirty = True
        try:
            if self._transfers.admit(package, now):
                self._transfers.stop(infohash)
                self._show_ready()
        except (StorageError, DiskFullError) as error:
            self._transfers.rest(package, now, error)

    def _show_ready(self) -> None:
        for infohash, lacking in self._state.lacking().items():
            package = None if lacking else self._library.package(infohash)
            if package is None:
                continue
            try:
                shown = self._transfers.show(package)
            except FormatError as error:
                self._library.block(infohash, error)
                continue
            except StorageError as error:
                self._problems.note(package.entry.title, error)
                continue
            if shown:
                self._problems.solved(package.entry.title)
                self._transfers.seed(package)
                self._keeping.changed()
                self._dirty = True

    # Plan

    def _plan(self, now: float) -> None:
        for _ in range(_TRIES):
            rows = [row for row in self._state.lessons() if not row.complete]
            space = self._p.store.free() - self._o.reserve
            wants = self._wants(rows, now)
            made = plan.make(wants, frozenset(self._transfers.running), self._o.active, space)
            self._reasons = {decision.infohash: decision.reason for decision in made.decisions}
            if made.short and not made.fetching:
                self._problems.note("store", DiskFullError(f"{made.short} bytes are short"))
            else:
                self._problems.solved("store")
            if not self._begin([name for name in made.fetching if name not in self._transfers.running], now):
                break
        self._clear()

    def _clear(self) -> None:
        if not self._library.current:
            return  # before the release is known everything would look unwanted
        described = self._state.described()
        known = all(name in described or name in self._library.blocked for name in self._library.entries)
        self._keeping.clear(known, self._p.store.free() <= self._o.reserve)

    def _wants(self, rows: Sequence[LessonRow], now: float) -> list[plan.Want]:
        lacking, disk = self._state.lacking(), self._p.store.partials()
        wants = []
        for row in rows:
            roots = lacking.get(row.wanted)
            need = (
                row.size
                if roots is None
                else sum(max(0, size - disk.get(root, 0)) for root, size in roots.items())
            )
            why = self._library.blocked.get(row.wanted, "")
            if not why and self._p.swarm is None:
                why = "等待接收：卫星、U盘或文件夹里还没有这一课的全部内容"
            elif not why and row.wanted in self._waiting:
                why = "等待课程清单：联网或收到文件后继续"
            elif not why and self._transfers.not_before.get(row.wanted, 0.0) > now:
                why = "刚才没有成功，稍后自动再试"
            names = None if roots is None else frozenset(roots)
            wants.append(plan.Want(row.id, row.wanted, row.title, need, names, why))
        return wants

    def _begin(self, infohashes: Sequence[str], now: float) -> bool:
        """Describe and start packages; whether the plan should be made again."""
        again = False
        known = self._state.described()
        for infohash in infohashes:
            package = self._library.package(infohash, self._http)
            if package is None:
                self._waiting.add(infohash)
                again = True
            elif infohash not in known:
                self._match(self._ingest, [infohash], self._ingest.parts(), now)
                self._show_ready()
                again = True
            else:
                try:
                    self._transfers.start(package)
                    self._problems.solved(package.entry.title, DiskFullError.code)
                    self._moved_at = now
                except (StorageError, DiskFullError, FormatError) as error:
                    self._transfers.rest(package, now, error)
        return again

    def _note(self, now: float) -> None:
        """Write down for people what is going on; only what changed."""
        lacking, moving = self._state.lacking(), self._transfers.progress()
        changes, done, total = [], 0, 0
        for row in self._state.lessons():
            total += row.size
            if row.complete:
                done += row.size
                continue
            roots = lacking.get(row.wanted)
            have = arrived = 0
            if roots is not None:
                arrived = self._arrivals.have_bytes(roots)
                have = row.size - sum(roots.values()) + arrived
            if row.wanted in moving:
                have = max(have, moving[row.wanted].done)
            have = max(0, min(have, row.size))
            done += have
            arriving = row.wanted in self._transfers.running or arrived > 0
            reason = self._reasons.get(row.wanted, "")
            if (row.arriving, row.have_bytes, row.reason) != (arriving, have, reason):
                changes.append((row.id, arriving, have, reason))
        if changes:
            self._state.note(changes)
        if done != self._done_bytes:
            self._done_bytes, self._moved_at = done, now
        self._state.set_status(
            {
                "progress": {
                    "done": done,
                    "total": total,
                    "received": self._transfers.received(),
                    "rate": sum(job.rate for job in moving.values()),
                    "peers": sum(job.peers for job in moving.values()),
                    "web": sum(job.web for job in moving.values()),
                },
                "space": {
                    "free": self._p.store.free() >> 20 << 20,
                    "total": self._p.store.total(),
                    "reserve": self._o.reserve,
                },
                "sources": {
                    "county": {**self._contact, "reached": not self._network_failures},
                    "drop": {"files": len(self._ingest.paths)},
                },
            }
        )
