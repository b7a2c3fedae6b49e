"""The slow re-hash of the store, and what happens with an object that is found damaged.

A pass goes through the objects by name, as fast as it must to come round in the days that are set, and
stands still while `quiet` is False. Objects that someone could not read are looked at first, at once. What
is bad is withheld in one transaction, then made an arriving file again: its good blocks are kept, the others
come from any source, and the lessons are shown again as after any arrival.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from content_sync.engine.arrivals import Arrivals
from content_sync.engine.library import Library
from content_sync.engine.problems import Problems
from content_sync.engine.transfers import Transfers
from content_sync.errors import DiskFailingError, RotError
from content_sync.formats.hashtree import BLOCK, FileId, Hasher, block_count, block_ok
from content_sync.ports import Clock, State, Store

_log = logging.getLogger(__name__)
#: Bytes of one read, of the reads of one turn, and of a turn when somebody waits for the answer.
READ, TURN, URGENT = 256 << 10, 4 << 20, 32 << 20
#: What looking at one object counts at least: small ones cost their opening.
_LEAST = 128 << 10
_SLOWEST = 1024.0
#: Seconds between writing down where the scrub stands, and between looks when it may not go on.
_SAVE, _AGAIN = 600.0, 60.0
#: Seconds until a file is fetched again when it was found bad once, twice… since it was last whole.
_WAITS = (0.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
#: So many damaged files in this pass and the last are the disk's fault.
_MANY = 3


class _Look(Struct):
    """An object that is being read: its leaf list when it is known, else what was hashed so far."""

    file: FileId
    leaves: bytes | None
    block: int = 0
    hasher: Hasher = field(default_factory=Hasher)


class Standing(Struct):
    """Where the scrub is and what it has found, as `status("scrub")` keeps it. `found`: in this pass and in
    the one before; `rotten` and `unreadable`: files in all."""

    after: str = ""
    root: str = ""
    block: int = 0
    passes: int = 0
    bytes: int = 0
    found: list[int] = field(default_factory=lambda: [0, 0])
    rotten: int = 0
    unreadable: int = 0


class Scrub:
    """`described(infohash, now)`: look what the drop folders hold of a package. `days`: of running, for a
    pass."""

    def __init__(
        self,
        store: Store,
        state: State,
        clock: Clock,
        library: Library,
        transfers: Transfers,
        arrivals: Arrivals,
        problems: Problems,
        described: Callable[[str, float], None],
        days: float,
    ) -> None:
        self._store, self._state, self._clock, self._library = store, state, clock, library
        self._transfers, self._arrivals, self._problems = transfers, arrivals, problems
        self._described, self._days = described, days
        self._stand = Standing()
        self._look: _Look | None = None
        self._suspects: dict[str, _Look | None] = {}
        self._rate = 0.0  # bytes a second; 0: to be computed
        self._credit, self._at, self._saved = 0.0, float("-inf"), float("-inf")

    def begin(self) -> None:
        """Go on where the last run stood."""
        stored: Any = self._state.status("scrub") or {}
        known = {key: value for key, value in stored.items() if key in Standing.__struct_fields__}
        self._stand = Standing(**known)

    @property
    def pending(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._suspects)

    def suspect(self, root: str) -> None:
        """Somebody could not read this object: look at it at once."""
        self._suspects.setdefault(root, None)

    def step(self, now: float, quiet: bool) -> float:
        """Read a bit; when to be called again. `quiet`: nobody else needs the disk."""
        if self._at == float("-inf"):
            self._at = self._saved = now
            self._hold_back(now)
        if self._suspects:
            self._look_at_suspect(now)
        elapsed, self._at = now - self._at, now
        if not quiet:
            return now if self._suspects else now + _AGAIN
        rate = self._rate or self._set_rate()
        self._credit = min(TURN, self._credit + elapsed * rate)
        if self._credit >= TURN:
            self._credit -= TURN
            self._turn(now)
        if now - self._saved >= _SAVE:
            self.save(now)
        return now if self._suspects else now + (TURN - self._credit) / rate

    def save(self, now: float) -> None:
        """Write down where it stands."""
        self._saved = now
        if self._look is not None:
            self._stand.root, self._stand.block = self._look.file.root, self._look.block
        self._state.set_status({"scrub": asdict(self._stand)})

    def _set_rate(self) -> float:
        self._stand.bytes = sum(self._state.objects().values())
        self._rate = max(_SLOWEST, self._stand.bytes / (self._days * 86_400))
        return self._rate

    # Reading

    def _turn(self, now: float) -> None:
        """Go on with the pass for one turn."""
        left = TURN
        while left > 0:
            if self._look is None:
                file = self._state.next_object(self._stand.after)
                if file is None:
                    self._end_pass(now)
                    return
                self._look = self._new_look(file)
                if file.root == self._stand.root and self._look.leaves is not None:
                    self._look.block = min(self._stand.block, block_count(file.length))
            look = self._look
            read, good = self._read(look, left)
            left -= max(read, _LEAST)
            if good is None:
                continue
            self._look, self._stand.after = None, look.file.root
            if good:
                self._state.found_whole(look.file.root)

    def _look_at_suspect(self, now: float) -> None:
        root, look = next(iter(self._suspects.items()))
        if look is None:
            size = self._state.objects().get(root)
            if size is None:  # withheld already, or nobody's
                del self._suspects[root]
                return
            look = self._suspects[root] = self._new_look(FileId(root, size))
        if self._read(look, URGENT)[1] is not None:
            del self._suspects[root]

    def _new_look(self, file: FileId) -> _Look:
        """A large file is checked block by block, so that it need not be read in one life of the box."""
        if file.length > TURN:
            for infohash in self._state.packages_with(file.root):
                package = self._library.package(infohash)
                if package is not None:
                    return _Look(file, package.leaves[file.root])
        return _Look(file, None)

    def _read(self, look: _Look, most: int) -> tuple[int, bool | None]:
        """Read on, about `most` bytes: how many came, and whether the object is good once that is known. A
        bad one is withheld."""
        blocks, done = block_count(look.file.length), 0
        while done < most and look.block < blocks:
            count = min(READ // BLOCK, blocks - look.block)
            found = self._store.inspect(look.file.root, look.block, count)
            unreadable = b"" in found
            good = len(found) == count and not unreadable
            if good and look.leaves is not None:
                good = all(
                    block_ok(look.file, look.leaves, index, data)
                    for index, data in enumerate(found, look.block)
                )
            elif good:
                for data in found:
                    look.hasher.update(data)
            if not good:
                self.damaged(look.file, self._at, unreadable)
                return done, False
            look.block += count
            done += sum(map(len, found))
        if look.block < blocks:
            return done, None
        if look.leaves is None and look.hasher.finish()[0] != look.file:
            self.damaged(look.file, self._at, False)
            return done, False
        return done, True

    def _end_pass(self, now: float) -> None:
        stand = self._stand
        stand.after, stand.root, stand.block = "", "", 0
        stand.passes += 1
        stand.found = [0, stand.found[0]]
        if not any(stand.found):
            self._problems.solved("disk", DiskFailingError.code)
        self._rate = 0.0  # the store may have grown
        self.save(now)

    # What is bad

    def damaged(self, file: FileId, now: float, unreadable: bool = False) -> None:
        """Withhold an object, keep its good blocks, let the others be fetched. Raises DiskFullError,
        StorageError."""
        _log.warning("object %s is %s", file.root, "unreadable" if unreadable else "damaged")
        infohashes = self._state.withhold(file, int(self._clock.wall()))  # first: it is served no more
        self._transfers.let_go(infohashes)
        self._store.retract(file.root)
        self._arrivals.forget([file.root])
        stand = self._stand
        stand.found[0] += 1
        stand.unreadable += unreadable
        stand.rotten += not unreadable
        self.save(now)
        wait = self._wait(self._state.repairs()[file.root][1])
        for infohash in infohashes:
            entry = self._library.entries.get(infohash)
            if entry is None:
                continue
            self._problems.note(entry.title, RotError(f"{file.root[:16]}, {file.length} bytes"))
            self._transfers.not_before[infohash] = now + wait
            self._described(infohash, now)
        if sum(stand.found) >= _MANY:
            total = stand.rotten + stand.unreadable
            self._problems.note("disk", DiskFailingError(f"{total} files, {stand.unreadable} unreadable"))

    @staticmethod
    def _wait(again: int) -> float:
        return _WAITS[min(again, len(_WAITS)) - 1]

    def _hold_back(self, now: float) -> None:
        """After a start: what was bad again and again is not fetched at once."""
        objects = self._state.objects()
        for root, (_, again) in self._state.repairs().items():
            if again > 1 and root not in objects:
                for infohash in self._state.packages_with(root):
                    self._transfers.not_before[infohash] = now + self._wait(again)
