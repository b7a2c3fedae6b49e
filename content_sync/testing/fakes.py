"""In-memory counterparts of the ports. Each passes the same contract suite as the real adapter
(tests/contract)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from content_sync.errors import DiskFullError, NetworkError, NotFoundError, TooBigError
from content_sync.formats.hashtree import BLOCK, FileId, block_count
from content_sync.ports import DropStat, Job, JobProgress


class ManualClock:
    """A clock that stands until it is told to go."""

    def __init__(self, wall: float = 1_760_000_000.0) -> None:
        self.now, self.unix, self.boot, self.origin = 0.0, wall, "boot-1", "system"

    def go(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.unix += seconds

    def monotonic(self) -> float:
        """Seconds since boot."""
        return self.now

    def wall(self) -> float:
        """Unix seconds."""
        return self.unix

    def boot_id(self) -> str:
        """The boot."""
        return self.boot

    def source(self) -> str:
        """`ntp` or `system`."""
        return self.origin


class MemoryStore:
    """ports.Store in memory; `space` is the size of its disk."""

    def __init__(self, space: int = 1 << 40) -> None:
        self.whole: dict[str, bytes] = {}
        self.arriving: dict[str, bytearray] = {}
        self.space = space

    def _used(self) -> int:
        return sum(map(len, self.whole.values())) + sum(map(len, self.arriving.values()))

    def object_path(self, root: str) -> Path:
        """A path for show; FakeSwarm takes the name from it."""
        return Path("/objects") / root

    def partial_path(self, root: str) -> Path:
        """A path for show; FakeSwarm takes the name from it."""
        return Path("/partial") / root

    def has_object(self, file: FileId) -> bool:
        """Whether it is there with its length."""
        return len(self.whole.get(file.root, b"")) == file.length

    def read_object(self, file: FileId, cap: int) -> bytes:
        """All bytes of a small object."""
        if file.root not in self.whole:
            raise NotFoundError(f"{file.root} is not there")
        if len(self.whole[file.root]) > cap:
            raise TooBigError(f"{file.root} has more than {cap} bytes")
        return self.whole[file.root]

    def partial_blocks(self, root: str) -> Iterator[bytes]:
        """Blocks of the arriving file."""
        return _cut(bytes(self.arriving.get(root, b"")))

    def object_blocks(self, root: str) -> Iterator[bytes]:
        """Blocks of an object."""
        return _cut(self.whole.get(root, b""))

    def prepare(self, file: FileId) -> None:
        """Take the file's space."""
        data = self.arriving.setdefault(file.root, bytearray())
        self._grow(data, file.length, file.root)
        del data[file.length :]

    def _grow(self, data: bytearray, size: int, root: str) -> None:
        more = max(0, size - len(data))
        if more > self.free():
            raise DiskFullError(f"no space left for {root}")
        data.extend(bytes(more))

    def write_block(self, file: FileId, index: int, data: bytes) -> None:
        """One block at its place."""
        kept = self.arriving.setdefault(file.root, bytearray())
        self._grow(kept, index * BLOCK + len(data), file.root)
        kept[index * BLOCK : index * BLOCK + len(data)] = data

    def admit(self, file: FileId) -> None:
        """The arriving file becomes an object."""
        if file.root not in self.arriving:
            raise NotFoundError(f"{file.root} is not there")
        self.whole[file.root] = bytes(self.arriving.pop(file.root)[: file.length])

    def remove_object(self, root: str) -> None:
        """Delete."""
        self.whole.pop(root, None)

    def remove_partial(self, root: str) -> None:
        """Delete."""
        self.arriving.pop(root, None)

    def objects(self) -> list[FileId]:
        """Name and length of every object."""
        return [FileId(root, len(data)) for root, data in self.whole.items()]

    def partials(self) -> dict[str, int]:
        """Root -> bytes taken."""
        return {root: len(data) for root, data in self.arriving.items()}

    def free(self) -> int:
        """Bytes left."""
        return self.space - self._used()

    def total(self) -> int:
        """The whole disk."""
        return self.space


class MemoryShelf:
    """ports.Shelf in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def get(self, path: str, cap: int) -> bytes | None:
        """A file's bytes."""
        data = self.files.get(path)
        if data is not None and len(data) > cap:
            raise TooBigError(f"{path} has more than {cap} bytes")
        return data

    def put(self, path: str, data: bytes) -> None:
        """Write."""
        self.files[path] = data

    def remove(self, path: str) -> None:
        """Delete."""
        self.files.pop(path, None)

    def names(self, folder: str) -> list[str]:
        """Names of files in a folder."""
        start = folder + "/"
        return sorted(
            path[len(start) :]
            for path in self.files
            if path.startswith(start) and "/" not in path[len(start) :]
        )


class MemoryDrops:
    """ports.Drops: a dict of files; `put` and `remove` are what a receiver does."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._stats: dict[str, DropStat] = {}
        self._changes = 0
        self._hint = True

    def put(self, path: str, data: bytes) -> None:
        """Write a file."""
        self._changes += 1
        inode = self._stats[path].inode if path in self._stats else self._changes
        self.files[path] = data
        self._stats[path] = DropStat(path, len(data), self._changes, inode)
        self._hint = True

    def remove(self, path: str) -> None:
        """Take a file away."""
        del self.files[path], self._stats[path]
        self._hint = True

    def hint(self) -> bool:
        """Whether something changed."""
        changed, self._hint = self._hint, False
        return changed

    def scan(self) -> list[DropStat]:
        """Every file that is not empty."""
        return [stat for stat in self._stats.values() if stat.size]

    def blocks(self, path: str, first: int = 0) -> Iterator[bytes]:
        """Blocks of a file."""
        return _cut(self.files.get(path, b"")[first * BLOCK :])

    def block(self, path: str, index: int) -> bytes | None:
        """One block."""
        data = self.files.get(path)
        return None if data is None else data[index * BLOCK : (index + 1) * BLOCK]

    def small(self, path: str, cap: int) -> bytes | None:
        """A small file."""
        data = self.files.get(path)
        return data if data is not None and len(data) <= cap else None


class FakeFetcher:
    """ports.Fetcher over a dict of URLs; `up` False: the network is down."""

    def __init__(self, pages: Callable[[str], bytes | None]) -> None:
        self._pages = pages
        self.up = True

    def get(self, url: str, cap: int) -> bytes:
        """The page."""
        if not self.up:
            raise NetworkError(f"{url} can't be reached")
        data = self._pages(url)
        if data is None:
            raise NotFoundError(f"{url} is not there")
        if len(data) > cap:
            raise TooBigError(f"{url} sends more than {cap} bytes")
        return data


class FakeSwarm:
    """ports.Swarm over a MemoryStore: each step brings up to `speed` blocks a job out of `content` (root ->
    bytes).

    `spoil` lists (root, block) that come wrong once. `moved` counts the blocks that came, by (root, block).
    """

    def __init__(self, store: MemoryStore, content: dict[str, bytes], speed: int = 4) -> None:
        self._store, self.content, self.speed = store, content, speed
        self._jobs: dict[str, tuple[Job, dict[str, BlockFlags]]] = {}
        self._finished: list[str] = []
        self._failed: dict[str, str] = {}
        self.spoil: set[tuple[str, int]] = set()
        self.moved: dict[tuple[str, int], int] = {}
        self._bytes = 0
        self.closed = False

    def add(self, job: Job) -> None:
        """Begin."""
        flags = {
            entry.file.root: bytearray(file.have)
            for entry, file in zip(job.torrent.files, job.files, strict=True)
            if file.have is not None
        }
        self._jobs[job.infohash] = (job, flags)

    def remove(self, infohash: str) -> None:
        """End."""
        self._jobs.pop(infohash, None)

    def step(self, now: float) -> None:
        """Bring some blocks."""
        for infohash, (job, flags) in list(self._jobs.items()):
            if job.whole:
                continue
            for _ in range(self.speed):
                if not self._bring(job, flags):
                    break
            if all(all(have) for have in flags.values()):
                self._finished.append(infohash)
                del self._jobs[infohash]

    def _bring(self, job: Job, flags: dict[str, BlockFlags]) -> bool:
        for entry in job.torrent.files:
            root = entry.file.root
            have = flags.get(root)
            index = -1 if have is None or root not in self.content else have.find(0)
            if have is None or index < 0:
                continue
            data = self.content[root][index * BLOCK : (index + 1) * BLOCK]
            if (root, index) in self.spoil:
                self.spoil.discard((root, index))
                data = bytes(len(data))
            self._store.write_block(entry.file, index, data)
            have[index] = 1
            self.moved[root, index] = self.moved.get((root, index), 0) + 1
            self._bytes += len(data)
            return True
        return False

    def fail(self, infohash: str, message: str) -> None:
        """Let a job end in an error."""
        self._jobs.pop(infohash, None)
        self._failed[infohash] = message

    def finished(self) -> list[str]:
        """Jobs that ended well."""
        done, self._finished = self._finished, []
        return done

    def failed(self) -> dict[str, str]:
        """Jobs that did not."""
        lost, self._failed = self._failed, {}
        return lost

    def progress(self) -> dict[str, JobProgress]:
        """Running jobs."""
        return {
            infohash: JobProgress(0, 0, 1, False)
            for infohash, (job, _) in self._jobs.items()
            if not job.whole
        }

    @property
    def jobs(self) -> dict[str, bool]:
        """Infohash -> whether it only hands on."""
        return {infohash: job.whole for infohash, (job, _) in self._jobs.items()}

    def received(self) -> int:
        """Bytes that came."""
        return self._bytes

    def close(self) -> None:
        """End all."""
        self._jobs.clear()
        self.closed = True


BlockFlags = bytearray


def _cut(data: bytes) -> Iterator[bytes]:
    for index in range(block_count(len(data))):
        yield data[index * BLOCK : (index + 1) * BLOCK]
