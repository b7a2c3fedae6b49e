"""Packages on their way: jobs of the swarm, and the step from whole bytes to a visible lesson."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from content_sync.core import renditions
from content_sync.engine.arrivals import Arrivals
from content_sync.engine.problems import Problems
from content_sync.engine.targets import Package
from content_sync.errors import DiskFullError, FormatError, LessonBoxError, LessonError, StorageError
from content_sync.formats import lesson
from content_sync.ports import Clock, Job, JobFile, JobProgress, State, Store, Swarm

#: Packages that are handed on to neighbours after they came.
SEEDS = 50
_MANY_FAILURES = 3
_RETRY_SECONDS = 60.0


class Transfers:
    """Runs jobs; admits what is whole; shows lessons."""

    def __init__(
        self,
        store: Store,
        state: State,
        swarm: Swarm | None,
        arrivals: Arrivals,
        clock: Clock,
        problems: Problems,
    ) -> None:
        self._store, self._state, self._swarm = store, state, swarm
        self._arrivals, self._clock, self._problems = arrivals, clock, problems
        self.running: dict[str, Package] = {}
        self._held: set[str] = set()
        self._ended: set[str] = set()  # the swarm has brought all of these
        self._written: set[str] = set()  # arriving files that others wrote into since the swarm was told
        #: Packages whose files the swarm may have written to since they were read last.
        self._lent: dict[str, Package] = {}
        self._failures: dict[str, int] = {}
        self.not_before: dict[str, float] = {}
        self._seeds: deque[str] = deque()

    # Jobs

    def start(self, package: Package) -> None:
        """Ask for what lacks. Raises DiskFullError, StorageError, TorrentError."""
        infohash = package.entry.infohash
        self.running[infohash] = package
        self._held.discard(infohash)
        self._ended.discard(infohash)
        if self._swarm is None:
            return
        maps = self._arrivals.maps(package, self._state.objects(infohash))
        self._lent[infohash] = package
        try:
            for block_map in maps.values():
                self._store.prepare(block_map.file)
            self._swarm.add(
                Job(
                    package.torrent,
                    tuple(
                        JobFile(
                            self._store.partial_path(e.file.root),
                            maps[e.file.root].flags,
                            package.leaves[e.file.root],
                        )
                        if e.file.root in maps
                        else self._whole(e.path, e.file.root, package)
                        for e in package.torrent.files
                    ),
                )
            )
        except BaseException:
            del self.running[infohash]
            raise

    def hold(self, root: str) -> None:
        """Someone is about to write verified blocks to an arriving file. Its jobs run on: whatever they write
        there are the same bytes, or such as the last look at the file finds out. `admit` tells them."""
        self._written.add(root)

    def _tell(self) -> None:
        """Let running jobs ask for the blocks no more that others have brought."""
        written, self._written = self._written, set()
        for infohash, package in self.running.items():
            mine = [entry.file for entry in package.files if entry.file.root in written]
            if self._swarm is not None and self._runs(infohash):
                for file in mine:
                    flags = self._arrivals.map(file, package.leaves[file.root]).flags
                    self._swarm.fill(infohash, file.root, flags)

    def _runs(self, infohash: str) -> bool:
        """Whether the swarm is at work on a package."""
        at_work = infohash in self.running and self._swarm is not None
        return at_work and infohash not in self._held and infohash not in self._ended

    def _hold(self, infohash: str) -> None:
        if infohash in self.running and infohash not in self._held and self._swarm is not None:
            self._swarm.remove(infohash)
            self._held.add(infohash)
            self._arrivals.reread(self.running[infohash].leaves)
            self._lent.pop(infohash, None)

    def resume(self, now: float) -> None:
        """Go on with what was held."""
        for infohash in list(self._held):
            package = self.running[infohash]
            try:
                self.start(package)
            except (StorageError, DiskFullError, FormatError) as error:
                self.rest(package, now, error)

    def stop(self, infohash: str) -> None:
        """End a job; its bytes stay."""
        self._hold(infohash)
        self._held.discard(infohash)
        self._ended.discard(infohash)
        self.running.pop(infohash, None)

    def poll(self, now: float) -> list[str]:
        """Packages whose every piece is said to be here; jobs that failed rest for a while."""
        if self._swarm is None:
            return []
        self._swarm.step(now)
        for infohash, message in self._swarm.failed().items():
            package = self.running.pop(infohash, None)
            if package is not None:
                self._arrivals.forget(package.leaves)  # made again from the disk when it is wanted
                self.rest(package, now, StorageError(message))
        done = [infohash for infohash in self._swarm.finished() if infohash in self.running]
        self._ended.update(done)
        return done

    def rest(self, package: Package, now: float, error: LessonBoxError) -> None:
        """It did not work: end the job and try again later. Several times, or a full disk, is worth a
        word."""
        infohash = package.entry.infohash
        self.stop(infohash)
        count = self._failures[infohash] = self._failures.get(infohash, 0) + 1
        self.not_before[infohash] = now + _RETRY_SECONDS * min(count, 60)
        if count >= _MANY_FAILURES or isinstance(error, DiskFullError):
            self._problems.note(package.entry.title, error)

    def progress(self) -> dict[str, JobProgress]:
        """Every running job of the swarm."""
        return self._swarm.progress() if self._swarm is not None else {}

    def received(self) -> int:
        """Bytes of content that came over the network since the start."""
        return self._swarm.received() if self._swarm is not None else 0

    # From bytes to a lesson

    def admit(self, package: Package, now: float) -> bool:
        """Verify every byte that others wrote, from the disk; make whole files objects. Whether all are.

        While its job runs it only learns which blocks others have brought, unless they have made a file
        whole; it says itself when all is here. Jobs that share a file are held.
        """
        self._tell()
        infohash = package.entry.infohash
        maps = self._arrivals.maps(package, self._state.objects(infohash))
        if self._runs(infohash) and not any(block_map.whole for block_map in maps.values()):
            return False
        for other, running in self.running.items():
            if other not in self._ended and maps.keys() & running.leaves.keys():
                self._hold(other)
        self._arrivals.reread(
            [root for root in maps if any(root in lent.leaves for lent in self._lent.values())]
        )
        self._lent.pop(package.entry.infohash, None)
        for root, block_map in maps.items():
            if block_map.whole:
                self._store.admit(block_map.file)
                self._state.add_object(block_map.file, int(self._clock.wall()))
                self._arrivals.forget([root])
        lacking = [root for root, block_map in maps.items() if not block_map.whole]
        if lacking and package.entry.infohash in self.running and package.entry.infohash not in self._held:
            # The swarm said that all is here and the disk says otherwise: ask again for the bad blocks alone.
            self.rest(package, now, StorageError(f"{len(lacking)} files came damaged"))
        if not lacking:
            self._failures.pop(package.entry.infohash, None)
        self._arrivals.trim()
        return not lacking

    def show(self, package: Package) -> bool:
        """Make a package whose files are all objects visible. Raises LessonError when it describes itself
        wrongly."""
        entry = package.entry
        files = {file.path: file.file for file in package.torrent.files}
        if lesson.NAME not in files:
            raise LessonError(f"package {entry.infohash} has no {lesson.NAME}")
        data = self._store.read_object(files[lesson.NAME], lesson.MAX_LESSON)
        made = lesson.parse_lesson(data)
        lesson.check_against(made, files)
        if made.id != entry.id:
            raise LessonError(f"package {entry.infohash} describes lesson {made.id}, not {entry.id}")
        if package.chosen is not None:
            data = lesson.dump_lesson(renditions.narrow(made, package.chosen))
        return self._state.publish(entry.id, entry.infohash, data, int(self._clock.wall()))

    # Handing on

    def seed(self, package: Package, news: bool = False) -> None:
        """Hand a whole package on to neighbours; the oldest of many is no longer. `news`: it just came."""
        if self._swarm is None:
            return
        infohash = package.entry.infohash
        if infohash in self._seeds:
            return
        self._swarm.add(
            Job(
                package.torrent,
                tuple(self._whole(e.path, e.file.root, package) for e in package.torrent.files),
                news,
            )
        )
        self._seeds.append(infohash)
        while len(self._seeds) > SEEDS:
            self._swarm.remove(self._seeds.popleft())

    def _whole(self, path: str, root: str, package: Package) -> JobFile:
        wanted = package.chosen is None or path in package.chosen
        return JobFile(self._store.object_path(root), None, wanted=wanted)

    def keep_seeds(self, infohashes: set[str]) -> None:
        """Stop handing on everything else."""
        for infohash in [seed for seed in self._seeds if seed not in infohashes]:
            self._seeds.remove(infohash)
            if self._swarm is not None:
                self._swarm.remove(infohash)

    def let_go(self, infohashes: Iterable[str]) -> None:
        """A file of these packages is no object any more: end what reads it. The plan begins anew."""
        for infohash in infohashes:
            if infohash in self.running:
                self.stop(infohash)
        self.keep_seeds(set(self._seeds).difference(infohashes))

    def close(self) -> None:
        """End all jobs."""
        if self._swarm is not None:
            self._swarm.close()
