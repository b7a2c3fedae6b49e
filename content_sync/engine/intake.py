"""What comes in files: drop folders, sticks and discs. Each step does a slice, so that nothing else waits for
it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from content_sync.core.trust import MAX_TARGETS
from content_sync.engine.ingest import TAKEN
from content_sync.engine.received import Shelving
from content_sync.engine.source import AT_ONCE, Around, Import, Source
from content_sync.errors import ArchiveError, DropError
from content_sync.formats.envelope import MAX_ENVELOPE
from content_sync.ports import DropCounts, Drops, DropStat, ReceivedStore

#: Drop folders are looked through at most so often, however often they report a change, and for at most a
#: tenth of the time; and once more after the second when a file is being written to.
SCAN_GAP, _SHARE, _STILL = 0.5, 10, 2.0
#: A consumed file is deleted when it stood still for so long, and so many in a step.
_UNTOUCHED, _DELETED = 30.0, 200
#: What drop files are good for is found out anew at most so often.
_JUDGE_GAP = 5.0


class Intake:
    """The drop folders, and every import that runs."""

    def __init__(
        self,
        drops: Drops,
        around: Around,
        received: ReceivedStore | None,
        scan_seconds: float,
        poll_seconds: float,
    ) -> None:
        self._drops, self._a = drops, around
        self.shelving = (
            None
            if received is None
            else Shelving(
                received,
                drops,
                around.state,
                around.store,
                around.clock,
                around.problems,
                around.reserve,
            )
        )
        self._scan_seconds, self._poll_seconds = scan_seconds, poll_seconds
        self.main = Source(drops, around)
        self._imports: list[Import] = []
        self.next_scan = 0.0
        self._scanned, self._cost = float("-inf"), 0.0
        self._judged: tuple[float, int] = (float("-inf"), -1)
        self._unjudged = self._look_for_spent = True
        self._counts = DropCounts(0, 0, 0, 0)
        self._still: dict[str, tuple[DropStat, float]] = {}
        self._told: dict[str, str] = {}

    def begin(self) -> None:
        """Learn what was read before this start."""
        self.main.begin()
        if self.shelving is not None:
            self.shelving.begin()

    # Steps

    def step(self, now: float) -> None:
        """A slice of everything that waits."""
        self._look(now)
        if self.main.pending and self.main.work(now):
            self._something_new()
        self.import_some(now)
        if self.shelving is not None:
            self.shelving.step()
        if not self.pending:
            self._judge(now)

    def import_some(self, now: float) -> None:
        """A slice of every import."""
        for job in list(self._imports):
            if job.step(now):
                self._something_new()
            if job.done:
                self._imports.remove(job)
                self._a.host.changed()

    def _something_new(self) -> None:
        self._unjudged = True
        self._a.host.show_ready()
        self._a.host.changed()

    @property
    def pending(self) -> bool:
        """Whether `step` has something to do at once."""
        waits = self.main.pending or self.main.ingest.scanning or bool(self._imports)
        return waits or (self.shelving is not None and self.shelving.pending)

    @property
    def due(self) -> float:
        """When `step` has something to do at the latest."""
        return min(self.next_scan, self._judged[0] + _JUDGE_GAP if self._unjudged else self.next_scan)

    def unsettled(self, now: float) -> bool:
        """Whether something is still to be expected from the drop folders soon."""
        return self.pending or self.main.ingest.changing or self.next_scan - now <= SCAN_GAP

    def _look(self, now: float) -> None:
        ingest = self.main.ingest
        if self._drops.hint():
            self.next_scan = min(self.next_scan, self._scanned + max(SCAN_GAP, _SHARE * self._cost))
        if not ingest.scanning:
            if now < self.next_scan:
                return
            self._scanned, self._cost = now, 0.0
        began = self._a.clock.monotonic()
        gone = ingest.scan(now)
        self._cost += self._a.clock.monotonic() - began
        if gone is None:
            self.next_scan = now
            return
        for path in gone:
            self._a.problems.solved(path)
        self._unjudged = self._unjudged or bool(gone)
        self._look_for_spent = True
        folders = self._drops.folders()
        wait = self._poll_seconds if any(folder.polled for folder in folders) else self._scan_seconds
        wait = _STILL if ingest.changing else min(wait, self._scan_seconds)
        self.next_scan = now + max(wait, _SHARE * self._cost)
        self._tell({folder.path: folder.problem for folder in folders})
        if self.main.starved and self._a.store.free() > self._a.reserve + AT_ONCE:
            self.main.starved = False
            self.main.again(ingest.parts())

    def _tell(self, folders: dict[str, str]) -> None:
        """Problems of folders, unreadable files and archives, when they change."""
        now = {path: text for path, text in folders.items() if text}
        unreadable = self.main.ingest.unreadable
        if unreadable:
            folder = unreadable[0].rpartition("/")[0]
            now[folder] = (
                now.get(folder) or f"{len(unreadable)} files can't be read, {unreadable[0]} among them"
            )
        for path in self._told.keys() - now.keys():
            self._a.problems.solved(path, DropError.code)
        for path, text in now.items():
            if self._told.get(path) != text:
                self._a.problems.note(path, DropError(text))
        if now != self._told:
            self._told = now
            self._a.host.changed()
        for path, text in self.main.ingest.left_out.items():
            if text:
                self._a.problems.note(path, ArchiveError(text))
            else:
                self._a.problems.solved(path, ArchiveError.code)
        self.main.ingest.left_out.clear()

    def described(self, infohash: str, now: float) -> None:
        """A package's description came: what lies in drop folders may hold it already."""
        self.main.match_new([infohash])
        self.main.finish(now)
        self._a.host.show_ready()

    # A stick, disc or folder

    def begin_import(self, stages: Iterable[Drops]) -> Import:
        """Take everything useful from there, once; done when `done`."""
        job = Import(
            stages, lambda drops: Source(drops, self._a), lambda: self.main.ingest.paths, self._complete
        )
        self._imports.append(job)
        return job

    def _complete(self) -> set[str]:
        return {row.id for row in self._a.state.lessons() if row.complete}

    # What drop files are good for

    def _judge(self, now: float) -> None:
        self._unjudged = self._unjudged or self._judged[1] != self._a.state.generation()
        if self._unjudged and now - self._judged[0] >= _JUDGE_GAP:
            counts = self._a.state.judge_drops(self._signed())
            self._judged, self._unjudged, self._look_for_spent = (
                (now, self._a.state.generation()),
                False,
                True,
            )
            if counts != self._counts:
                self._counts = counts
                self._a.host.changed()
        folders = tuple(folder.path + "/" for folder in self._drops.folders() if folder.delete)
        if folders and self._look_for_spent:
            self._look_for_spent = False
            self._delete(folders, now)

    def _signed(self) -> frozenset[str]:
        """SHA-256 of the signed files that are here."""
        shelf, found = self._a.shelf, {TAKEN}
        for folder in ("subjects", "collections", "packages"):
            found.update(name.partition(".")[0] for name in shelf.names(f"targets/{folder}"))
        paths = [f"metadata/{name}" for name in shelf.names("metadata")]
        for path, cap in [*((path, MAX_TARGETS) for path in paths), ("envelope.json", MAX_ENVELOPE)]:
            data = shelf.get(path, cap)
            if data is not None:
                found.add(hashlib.sha256(data).hexdigest())
        return frozenset(found)

    def _delete(self, folders: tuple[str, ...], now: float) -> None:
        spent = [stat for stat in self._a.state.consumed_drops() if stat.path.startswith(folders)]
        still = {stat.path: self._still.get(stat.path, (stat, now)) for stat in spent}
        self._still = {
            stat.path: still[stat.path] if still[stat.path][0] == stat else (stat, now) for stat in spent
        }
        gone: list[str] = []
        for path, (stat, since) in self._still.items():
            if len(gone) == _DELETED or self._scanned - since < _UNTOUCHED:
                continue
            if self.main.ingest.unchanged(stat) and self._drops.remove(stat):
                gone.append(path)
        if gone:
            self._a.state.count_consumed(len(gone))
            self.main.ingest.forget(gone)
            self._unjudged = True

    def status(self) -> dict[str, Any]:
        """Figures of the drop folders (formats.md 10)."""
        counts = self._counts
        return {
            "files": self.main.ingest.count,
            "seen": counts.seen,
            "useful": counts.useful,
            "foreign": counts.foreign,
            "consumed": counts.consumed,
            "unreadable": len(self.main.ingest.unreadable),
            "imports": len(self._imports),
            "folders": [
                {
                    "path": folder.path,
                    "polled": folder.polled,
                    "delete": folder.delete,
                    "problem": folder.problem,
                }
                for folder in self._drops.folders()
            ],
        }
