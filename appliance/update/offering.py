"""sync's part in an update: it says which one lies here whole, and when nobody teaches. What it says gives
no right to anything: root looks at the signature itself (formats.md 18)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.config import BoxPaths
from appliance.update.paper import OFFER, QUIET, QUIET_FORMAT
from appliance.update.quiet import quiet
from content_sync.adapters.files import read_capped, remove, storage_errors, write_durable
from content_sync.adapters.sqlite import StateReader
from content_sync.core.budget import Budget, Known
from content_sync.errors import LessonBoxError
from content_sync.formats import dsse
from content_sync.formats.canonical import dump
from content_sync.formats.update import MANIFEST, MAX_SIGNED, UPDATE_TYPE, parse_update
from content_sync.ports import Clock, Store

_log = logging.getLogger(__name__)
#: Seconds between two looks; how long a word of quiet holds.
_EVERY, _HOLDS = 60.0, 600
#: Files that change whenever a board or phone uses the box.
_USED = ("usage.db-wal", "usage.db", "school.db-wal", "streaming")


class Offering:
    """`look` once in a while. `budget` and `known` are the throttle's and the true time's."""

    def __init__(
        self,
        paths: BoxPaths,
        state: StateReader,
        store: Store,
        clock: Clock,
        budget: Callable[[], Budget],
        known: Callable[[float], Known | None],
        kind: str,
    ) -> None:
        self._paths, self._state, self._store, self._clock = paths, state, store, clock
        self._budget, self._known, self._kind = budget, known, kind
        self._next, self._since = float("-inf"), float("-inf")
        #: None: an offer of an earlier start may lie there, withdrawn since.
        self._seen: tuple[str, ...] | None = None

    def look(self) -> None:
        """Leave word for root. What can't be written is only logged: fetching goes on."""
        now = self._clock.monotonic()
        if not self._kind or now < self._next:
            return
        self._next = now + _EVERY
        try:
            self._offer(now)
        except LessonBoxError as error:
            _log.warning("the update can't be offered: %s", error.line())

    def _offer(self, now: float) -> None:
        here = tuple(row.wanted for row in self._state.updates() if row.complete)
        offer = self._paths.data / OFFER
        if here != self._seen:
            best = max(self._manifests(), default=None)
            if best is None:
                with storage_errors(offer.name):
                    remove(offer)
            elif not _same(offer, best[1]):
                write_durable(offer, best[1])
            self._seen, self._since = here, now
        word = self._paths.data / QUIET
        if here and quiet(self._budget(), self._known(now), self._idle(), now - self._since):
            told = {"format": QUIET_FORMAT, "boot": self._clock.boot_id(), "until": int(now) + _HOLDS}
            write_durable(word, dump(told))
        elif word.exists():
            with storage_errors(word.name):
                remove(word)

    def _manifests(self) -> Iterator[tuple[int, bytes]]:
        """Number and signed bytes of each update that is here and for this machine."""
        for row in self._state.updates():
            lesson = self._state.present_lesson(row.id) if row.complete else None
            main = [
                file
                for resource in (lesson.resources if lesson else ())
                for file in resource.files
                if file.path == MANIFEST
            ]
            for file in main:
                try:
                    data = self._store.read_object(file.file, MAX_SIGNED)
                    update = parse_update(dsse.parse_signed(data, UPDATE_TYPE, MAX_SIGNED).payload)
                except LessonBoxError as error:
                    _log.warning("%s is no update: %s", row.title, error.line())
                    continue
                if update.kind == self._kind:
                    yield update.number, data

    def _idle(self) -> float:
        """Seconds since somebody used the box; by the files that web writes to, so at least so long."""
        wall, found = time.time(), self._clock.monotonic()
        for name in _USED:
            try:
                age = wall - os.stat(self._paths.data / name).st_mtime
            except OSError:
                continue
            found = min(found, max(0.0, age))
        return found


def _same(path: Path, data: bytes) -> bool:
    try:
        return read_capped(path, MAX_SIGNED) == data
    except LessonBoxError:
        return False
