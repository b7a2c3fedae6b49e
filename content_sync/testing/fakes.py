"""In-memory counterparts of the ports. Each passes the same contract suite as the real adapter
(tests/contract)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from content_sync.errors import (
    DiskFullError,
    DropError,
    NetworkError,
    NotFoundError,
    StorageError,
    TooBigError,
)
from content_sync.formats.hashtree import BLOCK, FileId, block_count
from content_sync.ports import DropFolder, DropStat, Job, JobProgress, Neighbour


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
        self.marked: dict[str, bytes] = {}  # what an object was when it was admitted
        self.unreadable: set[tuple[str, int]] = set()  # (root, block) that the disk gives no more

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
        return (
            b"" if (root, index) in self.unreadable else data
            for index, data in enumerate(_cut(bytes(self.arriving.get(root, b""))))
        )

    def object_blocks(self, root: str) -> Iterator[bytes]:
        """Blocks of an object."""
        for index, data in enumerate(_cut(self.whole.get(root, b""))):
            if (root, index) in self.unreadable:
                raise StorageError(f"{root}: input/output error")
            yield data

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
        self.unreadable.discard((file.root, index))  # a disk gives a sector that is written to another place

    def read_block(self, file: FileId, index: int) -> bytes | None:
        """One block."""
        data = self.whole.get(file.root) or self.arriving.get(file.root) or b""
        return bytes(data[index * BLOCK : (index + 1) * BLOCK]) or None

    def sync(self) -> None:
        """Memory lasts."""

    def admit(self, file: FileId) -> None:
        """The arriving file becomes an object."""
        if file.root not in self.arriving:
            raise NotFoundError(f"{file.root} is not there")
        self.whole[file.root] = bytes(self.arriving.pop(file.root)[: file.length])
        self.marked[file.root] = self.whole[file.root]

    def vouched(self, file: FileId) -> bool:
        """Whether it is what it was when it was admitted."""
        return self.has_object(file) and self.marked.get(file.root) is self.whole[file.root]

    def inspect(self, root: str, first: int, count: int) -> list[bytes]:
        """Blocks of an object."""
        return [
            b"" if (root, first + index) in self.unreadable else data
            for index, data in enumerate(list(_cut(self.whole.get(root, b"")))[first : first + count])
        ]

    def retract(self, root: str) -> None:
        """An object arrives again."""
        if root in self.whole:
            self.arriving[root] = bytearray(self.whole.pop(root))

    def rot(self, root: str, index: int, marked: bool = True) -> None:
        """Spoil a block of an object; `marked`: as a disk does it, unseen."""
        data = bytearray(self.whole[root])
        data[index * BLOCK] ^= 0xFF
        self.whole[root] = bytes(data)
        if marked:
            self.marked[root] = self.whole[root]

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
    """ports.Drops: a dict of files; `put` and `take_away` are what a receiver does."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._stats: dict[str, DropStat] = {}
        self._changes = 0
        self._hint = True
        self.delete = False  # whether consumed files are deleted
        self.problem = ""
        self.refused: set[str] = set()  # files that can't be read

    def put(self, path: str, data: bytes) -> None:
        """Write a file."""
        self._changes += 1
        inode = self._stats[path].inode if path in self._stats else self._changes
        self.files[path] = data
        self._stats[path] = DropStat(path, len(data), self._changes, inode)
        self._hint = True

    def take_away(self, path: str) -> None:
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

    def folders(self) -> list[DropFolder]:
        """One, `drop`."""
        return [DropFolder("drop", False, self.problem, self.delete)]

    def members(self, stat: DropStat) -> tuple[list[DropStat], str]:
        """Archives are not read."""
        return [], ""

    def portions(self, path: str, first: int = 0) -> Iterator[bytes]:
        """Bytes of a file."""
        if path in self.refused:
            raise DropError(f"{path}: Permission denied")
        data = self.files.get(path, b"")
        return (data[at : at + 64 * BLOCK] for at in range(first * BLOCK, len(data), 64 * BLOCK))

    def block(self, path: str, index: int, count: int = 1) -> bytes | None:
        """Some blocks."""
        data = self.files.get(path)
        return None if data is None else data[index * BLOCK : (index + count) * BLOCK]

    def small(self, path: str, cap: int) -> bytes | None:
        """A small file."""
        data = self.files.get(path)
        return data if data and len(data) <= cap else None

    def remove(self, stat: DropStat) -> bool:
        """Delete a consumed file."""
        if not self.delete or self._stats.get(stat.path) != stat:
            return False
        del self.files[stat.path], self._stats[stat.path]
        return True


class FakeNeighbours:
    """ports.Neighbours that hears what it is told. `own`: this box's id."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._found: list[Neighbour] = []

    def hear(self, found: Iterable[Neighbour]) -> None:
        """From now on these are near."""
        self._found = list(found)

    def near(self) -> list[Neighbour]:
        """Who is near."""
        by_box: dict[str, Neighbour] = {}
        for one in self._found:
            if one.box != self._own:
                by_box.setdefault(one.box, one)
        return list(by_box.values())


class FakeFetcher:
    """ports.Fetcher over a dict of URLs; `up` False: the network is down. `sent`: URL and bytes of each
    answer."""

    def __init__(self, pages: Callable[[str], bytes | None]) -> None:
        self._pages = pages
        self.up = True
        self.sent: list[tuple[str, int]] = []

    def get(self, url: str, cap: int) -> bytes:
        """The page."""
        if not self.up:
            raise NetworkError(f"{url} can't be reached")
        data = self._pages(url)
        if data is None:
            raise NotFoundError(f"{url} is not there")
        if len(data) > cap:
            raise TooBigError(f"{url} sends more than {cap} bytes")
        self.sent.append((url, len(data)))
        return data

    def part(self, url: str, first: int, count: int) -> bytes:
        """Bytes of the page."""
        if not self.up:
            raise NetworkError(f"{url} can't be reached")
        data = self._pages(url)
        if data is None:
            raise NotFoundError(f"{url} is not there")
        self.sent.append((url, len(data[first : first + count])))
        return data[first : first + count]


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
        self.rate: int | None = None
        self._room, self._at = 0.0, 0.0

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

    def fill(self, infohash: str, root: str, have: bytes) -> None:
        """Blocks that the caller has written."""
        if infohash in self._jobs and root in self._jobs[infohash][1]:
            flags = self._jobs[infohash][1][root]
            flags[:] = bytes(one | other for one, other in zip(flags, have, strict=True))

    def step(self, now: float) -> None:
        """Bring some blocks; under a limit, as many as the time since the last step allows."""
        # What a second allows is saved up, or a block where that is more.
        saved = self._room + (self.rate or 0) * max(0.0, now - self._at)
        self._room, self._at = min(saved, max(BLOCK, self.rate)) if self.rate else 0.0, now
        for infohash, (job, flags) in list(self._jobs.items()):
            if job.whole:
                continue
            for _ in range(self.speed):
                if (self.rate is not None and self._room < BLOCK) or not self._bring(job, flags):
                    break
                self._room -= BLOCK
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

    def limit(self, rate: int | None) -> None:
        """Most bytes a second."""
        self.rate = rate

    def afar(self) -> int:
        """Everything: there is no LAN."""
        return self._bytes

    def close(self) -> None:
        """End all."""
        self._jobs.clear()
        self.closed = True


BlockFlags = bytearray


def _cut(data: bytes) -> Iterator[bytes]:
    for index in range(block_count(len(data))):
        yield data[index * BLOCK : (index + 1) * BLOCK]
