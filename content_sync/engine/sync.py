"""The engine: `step(now)` does what can be done and says when to be woken. No threads, no clock of its own.

Every effect can be cut off anywhere: what counts is read again from trust/, objects/ and partial/ at the
next start.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from content_sync.core.calendar import Wishes
from content_sync.engine.arrivals import Arrivals
from content_sync.engine.choosing import Choosing
from content_sync.engine.intake import Intake
from content_sync.engine.keeping import Keeping
from content_sync.engine.library import Library
from content_sync.engine.local import LocalAsked, Locals
from content_sync.engine.offers import HttpOffer, Offer
from content_sync.engine.papers import Papers
from content_sync.engine.parcels import Parcels
from content_sync.engine.parts import Options, Parts
from content_sync.engine.planning import Planning
from content_sync.engine.problems import Problems
from content_sync.engine.received import Asked
from content_sync.engine.reception import Reception
from content_sync.engine.refresh import Refresh
from content_sync.engine.reuse import Reuse
from content_sync.engine.scrub import Scrub
from content_sync.engine.source import Around, Host, Import
from content_sync.engine.taking import Taking
from content_sync.engine.targets import Package, Targets
from content_sync.engine.transfers import SEEDS, Transfers
from content_sync.errors import DiskFullError, FormatError, LessonBoxError, NetworkError, StorageError
from content_sync.formats.local import LocalRequest
from content_sync.formats.received import ReceivedRequest
from content_sync.formats.update import update_patterns
from content_sync.ports import Drops

_log = logging.getLogger(__name__)
_READ_AT_ONCE = 128 << 20
_RETRY_FIRST = 5.0
#: Seconds between looks at the plan while jobs run, while something lacks, and when all is here.
_LOOK, _IDLE, _WHOLE = 1.0, 60.0, 300.0


class Engine:
    """See the module. Build it, `start()`, `step(now)` again and again, `close()`."""

    def __init__(self, parts: Parts, options: Options) -> None:
        self._p, self._o, self._state, self._busy = parts, options, parts.state, parts.busy
        self._problems = Problems(parts.state, parts.clock)
        targets = Targets(parts.shelf, parts.state, self._problems, parts.store)
        self._refresh = Refresh(
            parts.shelf, parts.state, parts.clock, parts.make_trust, options.box, targets, self._problems
        )
        self._library = Library(parts.state, targets, self._refresh, self._problems)
        self._arrivals = Arrivals(parts.store)
        self._transfers = Transfers(
            parts.store, parts.state, parts.swarm, self._arrivals, parts.clock, self._problems
        )
        self._scrub = Scrub(
            parts.store,
            parts.state,
            parts.clock,
            self._library,
            self._transfers,
            self._arrivals,
            self._problems,
            self._withheld,
            options.scrub_days,
        )
        self._library.updates = partial(update_patterns, options.update_kind)
        self._library.choose = Choosing(parts.store, self._refresh)
        self._library.fill = Reuse(
            parts.store,
            parts.state,
            targets,
            self._arrivals,
            self._transfers.hold,
            lambda: self._planning.reserve,
        ).fill
        self._keeping = Keeping(parts.store, parts.state, self._arrivals, parts.clock, self._scrub.damaged)
        self._parcels = self._make_parcels()
        around = Around(
            parts.state,
            parts.store,
            parts.shelf,
            parts.clock,
            self._arrivals,
            self._library,
            self._transfers,
            self._problems,
            options.reserve,
            Host(
                self._take_signed,
                self._follow,
                lambda infohash, now: self._settle(infohash, now, show=False),
                self._show_ready,
                self._changed,
                lambda: self._planning.make_room(),
            ),
            self._parcels,
        )
        self._intake = Intake(parts.drops, around, parts.received, options.scan_seconds, options.poll_seconds)
        self._local = None
        if parts.local is not None:
            given = (parts.local, parts.drops, parts.state, parts.store, parts.clock, self._problems)
            self._local = own = Locals(*given, options.reserve)
            self._keeping.holds = lambda: own.holds
        self._http = [HttpOffer(parts.fetcher, url) for url in options.urls]
        self._planning = Planning(
            parts.state,
            parts.store,
            parts.swarm,
            parts.clock,
            self._library,
            self._refresh,
            self._transfers,
            self._keeping,
            self._arrivals,
            self._problems,
            self._http,
            self._described,
            options.active,
            options.reserve,
        )
        if parts.throttle is not None:
            self._planning.bytes_between = parts.throttle.between
        self._next_refresh = self._next_look = 0.0
        self._network_failures = 0
        self._refreshed = False
        self._dirty = True
        self._contact: dict[str, Any] = {}

    def _make_parcels(self) -> Parcels | None:
        parts, options = self._p, self._o
        if parts.stash is None or parts.fec is None:
            return None
        return Parcels(
            parts.stash,
            parts.fec,
            parts.state,
            parts.store,
            self._arrivals,
            self._library,
            Taking(parts.store, options.reserve, self._transfers.hold),
            Papers(parts.stash, parts.fec, options.box),
            Reception(parts.stash, parts.clock),
            options.parcel_space,
            options.reserve,
        )

    def start(self) -> None:
        """Take up what is on the disk. Does not touch the network."""
        self._state.set_meta({"box": self._o.box})
        self._refresh.note_release()
        self._refresh.note_envelope()
        self._intake.begin()
        if self._local is not None:  # before anything may be deleted as unwanted
            self._local.begin()
        self._library.begin()
        if self._parcels is not None:
            self._parcels.begin()
        self._library.describe_all(self._intake.main.offers)
        self._scrub.begin()
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
        self._scrub.save(0.0)
        self._transfers.close()

    # One step

    def step(self, now: float) -> float:
        """Do what can be done at `now` (monotonic seconds); when to be woken at the latest."""
        if self._p.throttle is not None:
            fetching = bool(self._transfers.running)
            self._p.throttle.follow(self._refresh.envelope, self._refresh.signed, fetching)
            self._p.throttle.step(now)
        for infohash in self._transfers.poll(now):
            self._settle(infohash, now)
        self._transfers.resume(now)
        self._intake.step(now)
        if self._local is not None:
            self._local.step()
        if now >= self._next_refresh:
            self._refresh_from_county(now)
        if self._keeping.pending:
            self._keeping.work(_READ_AT_ONCE, now)
            self._show_ready()
            self._dirty = True
        scrub = self._scrub.step(now, not (self._intake.pending or self._keeping.pending or self._busy()))
        if self._local is not None:
            self._local.show()
        if self._dirty or now >= self._next_look:
            changed, self._dirty = self._dirty, False
            self._note(now, self._planning.carry_out(now, changed))
            idle = _IDLE if self._planning.lacks else _WHOLE
            self._next_look = now + (_LOOK if self._transfers.running else idle)
        if self._intake.pending or self._keeping.pending or self._own_pending or self._dirty:
            return now
        return min(self._intake.due, self._next_refresh, self._next_look, scrub)

    def suspect(self, root: str) -> None:
        """Somebody could not read this object: look at it in the next step."""
        self._scrub.suspect(root)

    def wish(self, wishes: Mapping[str, Wishes]) -> None:
        """What teachers ask for now, by lesson; the plan follows in the next step."""
        if wishes != self._planning.wishes:
            self._planning.wishes = wishes
            self._dirty = True

    @property
    def today(self) -> int | None:
        """The date in unix seconds when the clock is trusted, else None."""
        return self._planning.today

    def refresh_soon(self) -> None:
        """Ask the county in the next step: something new is known to be there."""
        self._next_refresh = 0.0

    def settled(self, now: float, patience: float) -> bool:
        """Whether nothing more can be done now: nothing moved for `patience` seconds, and nothing waits to
        be read."""
        waits = self._intake.pending or self._keeping.pending or self._dirty or not self._refreshed
        waits = waits or self._scrub.pending or self._intake.unsettled(now) or self._own_pending
        return not waits and (not self._transfers.running or now - self._planning.moved_at > patience)

    @property
    def complete(self) -> bool:
        """Whether there is a release, and all that the newest accepted one lists for this box is here."""
        return self._library.current and all(row.complete for row in self._state.lessons())

    def _changed(self) -> None:
        self._planning.retry()
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
                if self._o.line or isinstance(error, FormatError):
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
        self._planning.retry()
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

    def begin_import(self, stages: Iterable[Drops]) -> Import:
        """Take everything useful from a stick, disc or folder, once, in the next steps."""
        return self._intake.begin_import(stages)

    def ask_received(self, request: ReceivedRequest) -> Asked | None:
        """Put a file on the received shelf or take one away, in the next steps; None where there is none."""
        return self._intake.shelving.ask(request) if self._intake.shelving is not None else None

    def ask_local(self, request: LocalRequest, name: str) -> LocalAsked | None:
        """Make, change or take away a lesson of the school's own, in the next steps; None where there are
        none."""
        return self._local.ask(request, name) if self._local is not None else None

    @property
    def _own_pending(self) -> bool:
        return self._local is not None and self._local.pending

    def import_from(self, stages: Iterable[Drops], now: float) -> Import:
        """The same at once, where nothing else is to be done."""
        job = self.begin_import(stages)
        while not job.done:
            self._intake.import_some(now)
            self._note(now)
        self._clear()
        if self._planning.one_way:  # why what lacks is not here; nothing begins
            self._planning.carry_out(now)
        self._note(now)
        return job

    # Blocks and lessons

    def _settle(self, infohash: str, now: float, show: bool = True) -> None:
        """A package may be whole: verify it, admit what is, `show` what can be shown."""
        package = self._transfers.running.get(infohash) or self._library.package(infohash)
        if package is None:
            return
        self._dirty = True
        try:
            if self._transfers.admit(package, now):
                self._transfers.stop(infohash)
                if show:
                    self._show_ready()
        except (StorageError, DiskFullError) as error:
            self._transfers.rest(package, now, error)

    def _show_ready(self) -> None:
        news: list[Package] = []
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
                if package.description is not None:
                    self._scrub.suspect(package.description.root)
                continue
            if shown:
                self._problems.solved(package.entry.title)
                news.append(package)
                self._keeping.changed()
                self._dirty = True
        for package in news[-SEEDS:]:
            self._transfers.seed(package, news=True)
        if self._local is not None:
            self._local.show()

    # Plan

    def _clear(self) -> None:
        self._planning.clear()

    def _described(self, infohash: str, now: float) -> None:
        """A package's description came: what lies in drop folders may hold it already."""
        self._intake.described(infohash, now)

    def _withheld(self, infohash: str, now: float) -> None:
        """A file of a package went bad: drop folders may hold what it lacks now."""
        self._intake.described(infohash, now)
        self._dirty = True

    def _note(self, now: float, whole: bool = True) -> None:
        """Write down for people what is going on; only what changed."""
        self._planning.note(now, whole)
        self._state.set_status(
            {
                "sources": {
                    "county": {**self._contact, "reached": not self._network_failures},
                    "drop": self._intake.status(),
                },
                "reception": self._parcels.status() if self._parcels is not None else {},
                "budget": self._p.throttle.status() if self._p.throttle is not None else {},
            }
        )
