"""Carrying out the plan: what is wanted, what is begun, what makes room, and what people are told of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from content_sync.core import plan
from content_sync.core.calendar import Agenda, Wishes, agenda, believed
from content_sync.core.reason import Reason, megabytes
from content_sync.core.retention import Held, Rule, rule_of
from content_sync.core.timefloor import TimeFloor
from content_sync.engine.arrivals import Arrivals
from content_sync.engine.expecting import Expecting
from content_sync.engine.keeping import Keeping
from content_sync.engine.library import Library
from content_sync.engine.offers import Offer
from content_sync.engine.problems import Problems
from content_sync.engine.refresh import Refresh
from content_sync.engine.transfers import Transfers
from content_sync.errors import DiskFullError, FormatError, StorageError
from content_sync.formats.collection import subscribes
from content_sync.formats.policy import Policy
from content_sync.formats.update import is_update
from content_sync.ports import Clock, LessonRow, State, Store, Swarm

_log = logging.getLogger(__name__)
_TRIES = 8
_NOBODYS = Wishes(0, None)
#: A job whose bytes came within so many seconds flows.
_FLOWS = 60.0
#: Dates and space are looked at again after so many seconds even when nothing happens.
_AGAIN = 60.0
#: An evicted lesson comes back of itself when this share of the disk stays free beside it.
_MARGIN = 20


class Planning:
    """`carry_out` makes the plan and begins what it says, `note` writes down what goes on.

    `described(infohash, now)` is called when a package's description has come. `wishes` are what teachers
    asked for; `bytes_between(t0, t1)` is what the budget lets through (core/budget.py `allows`).
    """

    def __init__(
        self,
        state: State,
        store: Store,
        swarm: Swarm | None,
        clock: Clock,
        library: Library,
        refresh: Refresh,
        transfers: Transfers,
        keeping: Keeping,
        arrivals: Arrivals,
        problems: Problems,
        offers: Sequence[Offer],
        described: Callable[[str, float], None],
        active: int,
        reserve: int,
    ) -> None:
        self._state, self._store, self._swarm, self._clock = state, store, swarm, clock
        self._library, self._refresh, self._transfers = library, refresh, transfers
        self._keeping, self._arrivals, self._problems = keeping, arrivals, problems
        self._offers, self._described = offers, described
        self._active, self._own_reserve = active, reserve
        #: Packages whose description could not be had, until something changes.
        self._waiting: set[str] = set()
        self._made = plan.Plan((), 0)
        self._agenda = Agenda()
        self._look_again = 0.0
        self._flowed: dict[str, float] = {}
        self._expecting = Expecting(state, clock, swarm is not None)
        #: When a byte came or a job began last, in monotonic seconds.
        self.moved_at = 0.0
        self._done_bytes = -1
        #: Bytes that are here of what does not move, and of all; what lacks something; what moves; what was
        #: written down of each (arriving, bytes, reason).
        self._still = (0, 0)
        self._lacks: list[LessonRow] = []
        self._moving: list[LessonRow] = []
        self._noted: dict[str, tuple[bool, int, str]] = {}
        self._lacking: dict[str, dict[str, int]] = {}
        self.wishes: Mapping[str, Wishes] = {}
        self.bytes_between: Callable[[float, float], float] | None = None

    @property
    def reserve(self) -> int:
        """Bytes of the disk that stay free: this box's setting, or the county's when that is more."""
        return max(self._own_reserve, self._policy.reserve or 0)

    @property
    def _policy(self) -> Policy:
        envelope = self._refresh.envelope
        return envelope.policy if envelope else Policy()

    @property
    def today(self) -> int | None:
        """The date in unix seconds when the clock is trusted, else None."""
        stored = json.loads(self._state.meta("floor") or "{}")
        floor = TimeFloor(stored.get("floor"), stored.get("doubted"))
        return believed(int(self._clock.wall()), self._clock.source() == "ntp", floor)

    @property
    def one_way(self) -> bool:
        """Whether nothing can be asked for, so that carrying out the plan begins nothing."""
        return self._swarm is None

    @property
    def lacks(self) -> bool:
        """Whether any lesson was not whole at the last look."""
        return bool(self._lacks)

    def retry(self) -> None:
        """Something changed: descriptions that could not be had may be had now."""
        self._waiting.clear()

    # The plan

    def carry_out(self, now: float, changed: bool = True) -> bool:
        """Make the plan and carry it out, if anything of it may have changed; whether it was made."""
        for infohash, job in self._transfers.progress().items():
            if job.rate > 0:
                self._flowed[infohash] = now
        flowing = frozenset(name for name, at in self._flowed.items() if now - at < _FLOWS)
        if len(flowing) != len(self._flowed):
            self._flowed = {name: self._flowed[name] for name in flowing}
            changed = True
        if not changed and now < self._look_again:
            return False
        self._look_again = min(
            (at for at in self._transfers.not_before.values() if at > now), default=now + _AGAIN
        )
        self._look_again = min(self._look_again, now + _AGAIN)
        self._agenda = agenda(self._policy, self._wished(), self.today)
        for _ in range(_TRIES):
            made = self._make(now, flowing)
            self._made = made
            if made.short and not made.fetching and not made.evict:
                self._problems.note("store", DiskFullError(f"{made.short} bytes are short"))
            else:
                self._problems.solved("store")
            for one in made.evict:
                self._evict(one)
            fetching = set(made.fetching)
            for infohash in [name for name in self._transfers.running if name not in fetching]:
                self._transfers.stop(infohash)
            fresh = [name for name in made.fetching if name not in self._transfers.running]
            if not self._begin(fresh, now) and not made.evict:
                break
        self.clear()
        return True

    def _wished(self) -> Mapping[str, Wishes]:
        """What teachers wish, and behind it an update of the box's programs: nobody's wish, and small."""
        own = {row.id: _NOBODYS for row in self._state.lessons() if is_update(row.collection)}
        return {**own, **self.wishes}

    def _make(self, now: float, flowing: frozenset[str]) -> plan.Plan:
        rows = [row for row in self._state.lessons() if not row.complete]
        wants = list(self._wants(rows, now))
        running = frozenset(self._transfers.running)
        space = self._store.free() - self.reserve
        margin = self._store.total() // _MARGIN
        given = (wants, running, self._active, space, self._agenda)
        made = plan.make(*given, flowing=flowing, margin=margin)
        if made.short and (held := self._held()):
            made = plan.make(*given, held, flowing, margin)
        return made

    def clear(self) -> None:
        """Delete what nobody wants."""
        if not self._library.current:
            return  # before the release is known everything would look unwanted
        described = self._state.described()
        known = all(name in described or name in self._library.blocked for name in self._library.entries)
        self._keeping.clear(known, self._store.free() <= self.reserve)

    def _wants(self, rows: Sequence[LessonRow], now: float) -> Iterator[plan.Want]:
        lacking, disk = self._state.lacking(), self._store.partials()
        volumes = {row.id: row.volume for row in self._state.collections()}
        for row in rows:
            roots = lacking.get(row.wanted)
            need = (
                row.size
                if roots is None
                else sum(max(0, size - disk.get(root, 0)) for root, size in roots.items())
            )
            entry = self._library.entries.get(row.wanted)
            yield plan.Want(
                row.id,
                row.wanted,
                row.title,
                need,
                None if roots is None else frozenset(roots),
                self._blocked(row.wanted, now, need),
                volumes.get(row.collection, ""),
                entry.week if entry else None,
                row.id in self._expecting.evicted,
            )

    def _blocked(self, infohash: str, now: float, need: int) -> Reason | None:
        if infohash in self._library.blocked:
            return Reason("refused", (("code", self._library.blocked[infohash]),))
        if self._swarm is None:
            room = self._store.free() - self.reserve
            if need <= room:
                return Reason("one-way")
            return Reason("space", (("need", megabytes(need)), ("free", max(0, room) // 1_000_000)))
        if infohash in self._waiting:
            return Reason("description")
        if self._transfers.not_before.get(infohash, 0.0) > now:
            return Reason("resting")
        return None

    def _begin(self, infohashes: Sequence[str], now: float) -> bool:
        """Describe and start packages; whether the plan should be made again."""
        again = False
        known = self._state.described()
        for infohash in infohashes:
            package = self._library.package(infohash, self._offers)
            if package is None:
                self._waiting.add(infohash)
                again = True
            elif infohash not in known:
                self._described(infohash, now)
                again = True
            else:
                try:
                    self._transfers.start(package)
                    self._problems.solved(package.entry.title, DiskFullError.code)
                    self.moved_at = now
                except (StorageError, DiskFullError, FormatError) as error:
                    self._transfers.rest(package, now, error)
        return again

    # Making room

    def _held(self) -> list[Held]:
        """What could go. What no lesson needs is one piece: a file in it may be one of a lesson whose
        description is not here yet, so it goes before its time only for a lesson that needs the room."""
        sizes = self._state.objects()
        unwanted = sum(sizes[root] for root in self._state.unreferenced())
        held = [Held("", "", unwanted, Rule.WITHDRAWN)] if unwanted and self._library.current else []
        alone = self._state.alone()
        collections = {row.id: row for row in self._state.collections()}
        pins = frozenset(self._policy.pins)
        patterns = self._refresh.envelope.collections if self._refresh.envelope else ("*",)
        for row in self._state.lessons():
            if row.present is None or not alone.get(row.id) or row.wanted in self._transfers.running:
                continue
            if is_update(row.collection):
                continue  # the next one takes its place
            entry = self._library.entries.get(row.wanted)
            rule = rule_of(
                self._agenda,
                row.id,
                collections[row.collection].volume if row.collection in collections else "",
                entry.week if entry else None,
                subscribed=subscribes(patterns, row.collection),
                current=row.complete,
                pinned=pinned(pins, row.id, row.collection),
            )
            held.append(Held(row.id, row.title, alone[row.id], rule, row.arrived or 0))
        return held

    def make_room(self) -> bool:
        """Something has come that there is no space for: what may go makes room for the most urgent lesson
        that does not fit, as for one that is fetched. Whether something went."""
        self._agenda = agenda(self._policy, self._wished(), self.today)
        rows = [row for row in self._state.lessons() if not row.complete]
        wants = [want._replace(blocked=None) for want in self._wants(rows, 0.0)]
        space = self._store.free() - self.reserve
        made = plan.make(wants, frozenset(), len(wants), space, self._agenda, self._held())
        for one in made.evict:
            self._evict(one)
        return bool(made.evict)

    def _evict(self, one: Held) -> None:
        if not one.lesson:
            _log.info("room: %d bytes that no lesson of the release needs are deleted", one.frees)
            self._keeping.changed()
            self._keeping.clear(True, True)
            return
        _log.info("room: lesson %s %s is deleted (%s), %d bytes", *_words(one))
        when = int(self._clock.wall())
        forget = one.rule is Rule.UNSUBSCRIBED
        if forget:
            row = next(row for row in self._state.lessons() if row.id == one.lesson)
            self._library.drop(row.wanted)
        else:
            self._expecting.evicted[one.lesson] = when
        gone = self._state.evict(one.lesson, when, forget)
        shown = {row.present for row in self._state.lessons() if row.present is not None}
        self._transfers.keep_seeds(shown)
        for root in gone:
            self._store.remove_object(root)

    # What people are told

    def note(self, now: float, whole: bool = True) -> None:
        """Write down for people what is going on; only what changed. `whole`: of every lesson, not only of
        those that arrive."""
        moving = self._transfers.progress()
        if whole:
            self._look_through()
        reasons = (
            {decision.lesson: decision.reason.text for decision in self._made.decisions} if whole else {}
        )
        done, total = self._still
        changes: list[tuple[str, bool, int, str]] = []
        for row in self._lacks if whole else self._moving:
            roots = self._lacking.get(row.wanted)
            arrived = self._arrivals.have_bytes(roots) if roots else 0
            have = 0 if roots is None else row.size - sum(roots.values()) + arrived
            if row.wanted in moving:
                have = max(have, moving[row.wanted].done)
            have = max(0, min(have, row.size))
            done += have
            arriving = row.wanted in self._transfers.running or arrived > 0
            reason = reasons.get(row.id, "") if whole else self._noted[row.id][2]
            if self._noted.get(row.id, (row.arriving, row.have_bytes, row.reason)) != (
                arriving,
                have,
                reason,
            ):
                changes.append((row.id, arriving, have, reason))
            self._noted[row.id] = (arriving, have, reason)
        if whole:
            running = self._transfers.running
            self._moving = [row for row in self._lacks if row.wanted in running]
            rest = sum(self._noted[row.id][1] for row in self._lacks if row.wanted not in running)
            self._still = (self._still[0] + rest, total)
        if changes:
            self._state.note(changes)
        if done != self._done_bytes:
            self._done_bytes, self.moved_at = done, now
        received = self._transfers.received()
        self._expecting.step(
            now,
            self._made.decisions,
            received if self._swarm else done,
            self.today,
            self.bytes_between,
            whole,
        )
        rate = sum(job.rate for job in moving.values())
        self._state.set_status(
            {
                "progress": {
                    "done": done,
                    "total": total,
                    "received": received,
                    "rate": rate,
                    "peers": sum(job.peers for job in moving.values()),
                    "web": sum(job.web for job in moving.values()),
                },
                "space": {
                    "free": self._store.free() >> 20 << 20,
                    "total": self._store.total(),
                    "reserve": self.reserve,
                },
                "plan": {
                    "clock": self._agenda.now is not None,
                    "week": self._agenda.week,
                    "wishes": len(self._agenda.wishes),
                    "deadlines": len(self._agenda.deadlines),
                },
            }
        )

    def _look_through(self) -> None:
        self._lacking = self._state.lacking()
        self._lacks, self._noted = [], {}
        done = total = 0
        for row in self._state.lessons():
            total += row.size
            if row.complete:
                done += row.size
            else:
                self._lacks.append(row)
        self._still = (done, total)


def _words(one: Held) -> tuple[Any, ...]:
    return one.lesson, one.title, one.rule.name.lower(), one.frees


def pinned(pins: frozenset[str], lesson: str, collection: str) -> bool:
    """Whether a policy's pins (lesson ids, patterns of collections) name this lesson."""
    subject = collection.partition("-")[0]
    return bool(pins) and not pins.isdisjoint((lesson, collection, f"{subject}-*", "*"))
