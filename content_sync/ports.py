"""The Protocols that the engine needs. Each has a real adapter, a fake in testing/, and one contract suite
for both.

Errors: an adapter raises LessonBoxError subclasses only; `retryable` tells whether to try again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from content_sync.formats.collection import Collection, TargetRef
from content_sync.formats.envelope import Envelope
from content_sync.formats.hashtree import FileId
from content_sync.formats.torrent import Torrent


class Clock(Protocol):
    """Time as facts: never read deep inside, always handed in."""

    def monotonic(self) -> float:
        """Seconds since this boot, suspension included (CLOCK_BOOTTIME)."""

    def wall(self) -> float:
        """Unix seconds of the system clock, right or wrong."""

    def boot_id(self) -> str:
        """The kernel's id of this boot."""

    def source(self) -> str:
        """`ntp` when the kernel says that the clock is synchronised, else `system`."""


@dataclass(frozen=True)
class CollectionRow:
    """A collection as state.db knows it; `lessons` are listed in it, `present` of them can be shown."""

    id: str
    stage: str
    subject: str
    edition: str
    grade: str
    volume: str
    position: int
    lessons: int
    present: int


@dataclass(frozen=True)
class LessonRow:
    """A lesson as state.db knows it. `wanted` and `present` are infohashes; times are unix seconds."""

    id: str
    collection: str
    position: int
    unit: str
    unit_no: int | None
    no: int | None
    title: str
    periods: int
    kinds: tuple[str, ...]
    added: int
    wanted: str
    size: int
    present: str | None
    arriving: bool
    have_bytes: int
    reason: str
    arrived: int | None

    @property
    def state(self) -> str:
        """`present`, `arriving` or `wanted`. A lesson whose newer version arrives is `present` still."""
        if self.present is not None:
            return "present"
        return "arriving" if self.arriving else "wanted"

    @property
    def complete(self) -> bool:
        """Whether what the release names is what teachers see."""
        return self.present == self.wanted


@dataclass(frozen=True)
class Problem:
    """Something that needs a person: code, what it is about, a sentence in Chinese, unix seconds."""

    code: str
    subject: str
    message: str
    since: int


class Fetcher(Protocol):
    """Small files by HTTP."""

    def get(self, url: str, cap: int) -> bytes:
        """The whole body, at most `cap` bytes; no redirect to another host is followed.

        Raises NotFoundError (404), TooBigError, NetworkError (everything else; retryable).
        """


class Store(Protocol):
    """Files named by their identity: whole ones (objects, never changed) and arriving ones (partial).

    Raises DiskFullError, StorageError.
    """

    def object_path(self, root: str) -> Path:
        """Where the object lies or would lie."""

    def partial_path(self, root: str) -> Path:
        """Where the arriving file lies or would lie."""

    def has_object(self, file: FileId) -> bool:
        """Whether an object of this name and length is there."""

    def read_object(self, file: FileId, cap: int) -> bytes:
        """An object's bytes. Raises NotFoundError, TooBigError."""

    def partial_blocks(self, root: str) -> Iterator[bytes]:
        """The arriving file's bytes in blocks of 16 KiB; nothing when it is not there."""

    def object_blocks(self, root: str) -> Iterator[bytes]:
        """An object's bytes in blocks of 16 KiB; nothing when it is not there."""

    def prepare(self, file: FileId) -> None:
        """Give the arriving file its length and all of its space, so that no later write can find the disk
        full."""

    def write_block(self, file: FileId, index: int, data: bytes) -> None:
        """Put a verified block in its place in the arriving file."""

    def admit(self, file: FileId) -> None:
        """Make the arriving file durable and an object, in this order. The caller has verified every byte."""

    def remove_object(self, root: str) -> None:
        """Delete an object; nothing when it is not there."""

    def remove_partial(self, root: str) -> None:
        """Delete an arriving file; nothing when it is not there."""

    def objects(self) -> list[FileId]:
        """Name and length of every object on disk."""

    def partials(self) -> dict[str, int]:
        """Root -> bytes of disk that each arriving file takes."""

    def free(self) -> int:
        """Bytes that can still be written."""

    def total(self) -> int:
        """Bytes of the whole file system."""


class Shelf(Protocol):
    """The signed files on disk, below trust/: by path, durable. Raises DiskFullError, StorageError."""

    def get(self, path: str, cap: int) -> bytes | None:
        """A file's bytes, or None when it is not there. Raises TooBigError."""

    def put(self, path: str, data: bytes) -> None:
        """Write durably, all or nothing."""

    def remove(self, path: str) -> None:
        """Delete; nothing when it is not there."""

    def names(self, folder: str) -> list[str]:
        """Names of the files in one folder."""


@dataclass(frozen=True)
class DropStat:
    """A file in a drop folder as the last scan saw it."""

    path: str
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True)
class DropPart:
    """Leaves of a run of a drop file's blocks, from block `first` on. `last`: the file was read to its end.

    `sha256` is that of the whole of a small file.
    """

    stat: DropStat
    first: int
    leaves: bytes
    sha256: str | None
    last: bool


class Drops(Protocol):
    """Folders that others write into: anything may vanish, grow or be unreadable at any time.

    What can't be read is silence (None, or an end of the iteration), never an error.
    """

    def hint(self) -> bool:
        """Whether something may have changed since the last call. A hint may be lost; the scan is the
        truth."""

    def scan(self) -> list[DropStat]:
        """Every regular file there is now. Links are not followed."""

    def blocks(self, path: str, first: int = 0) -> Iterator[bytes]:
        """The file's bytes from block `first` on, in blocks of 16 KiB, the last may be short."""

    def block(self, path: str, index: int) -> bytes | None:
        """One block, or None."""

    def small(self, path: str, cap: int) -> bytes | None:
        """All bytes of a file of at most `cap` bytes, or None."""


@dataclass(frozen=True)
class JobFile:
    """A file of a job, in the torrent's order: where it lies, and which blocks of it are verified.

    `have` is one byte a block (1: verified), or None for a whole object, which must never be written.
    """

    path: Path
    have: bytes | None


@dataclass(frozen=True)
class Job:
    """A package to fetch (some blocks lack) or to hand on (all files are objects)."""

    torrent: Torrent
    files: tuple[JobFile, ...]

    @property
    def infohash(self) -> str:
        """The package's name."""
        return self.torrent.infohash

    @property
    def whole(self) -> bool:
        """Whether nothing lacks."""
        return all(file.have is None for file in self.files)


@dataclass(frozen=True)
class JobProgress:
    """What a job moves now: bytes of the package that the swarm holds, bytes a second, peers, whether the
    web seed helps, pieces that came and did not fit their hash."""

    done: int
    rate: int
    peers: int
    web: bool
    bad: int = 0


class Swarm(Protocol):
    """Fetches the blocks that lack into the files named, from whoever has them; hands on what is whole.

    Never writes to a file whose `have` is None. What it calls finished is to be verified by the caller.
    """

    def add(self, job: Job) -> None:
        """Begin a job; one of the same package is ended first. Raises TorrentError, StorageError."""

    def remove(self, infohash: str) -> None:
        """End a job; when this returns, its files are written to and held open no more."""

    def step(self, now: float) -> None:
        """Look after the jobs; `now` is monotonic seconds. Called often, at least once a second while jobs
        run."""

    def finished(self) -> list[str]:
        """Packages all of whose pieces came since the last call, already removed as `remove` does."""

    def failed(self) -> dict[str, str]:
        """Jobs that ended in an error since the last call, already removed: infohash -> what happened."""

    def progress(self) -> dict[str, JobProgress]:
        """Every job that is not whole."""

    def received(self) -> int:
        """Bytes of content that came since the start, from peers and web seeds together, bad and double
        ones too."""

    def close(self) -> None:
        """End all jobs and leave the network."""


class Trust(Protocol):
    """The verifier of signed metadata, fed with bytes; it does no I/O. Raises TrustError subclasses and
    FormatError.

    An update either holds or leaves everything as it was.
    """

    timestamp_version: int
    issued: int
    expires: int
    county: str
    subjects: dict[str, TargetRef]

    def copy(self) -> Trust:
        """An independent copy to try an update on."""

    @property
    def root_version(self) -> int:
        """Version of the newest accepted root."""

    @property
    def release(self) -> int:
        """The release number, 0 before any."""

    @property
    def needs_snapshot(self) -> bool:
        """Whether the accepted timestamp names a snapshot that is not here."""

    @property
    def needs_targets(self) -> bool:
        """Whether the accepted snapshot names targets that are not here."""

    def update_root(self, data: bytes) -> None:
        """Accept root N+1."""

    def update_timestamp(self, data: bytes) -> bool:
        """Accept a timestamp: whether it is newer than the one here."""

    def snapshot_ref(self) -> TargetRef:
        """The snapshot that the timestamp names."""

    def update_snapshot(self, data: bytes) -> None:
        """Accept that snapshot."""

    def targets_ref(self) -> TargetRef:
        """The targets that the snapshot names."""

    def update_targets(self, data: bytes) -> None:
        """Accept those targets: from now on this is the release."""

    def verify_envelope(self, data: bytes, box: str, above: int) -> Envelope:
        """The envelope in `data` for `box`, of a version above `above`."""


class State(Protocol):
    """What sync knows, durable: each method is one transaction (adapters/state.sql). Raises DiskFullError,
    StorageError."""

    def meta(self, key: str) -> str | None:
        """A fact."""

    def set_meta(self, values: dict[str, str]) -> None:
        """Write facts."""

    def apply(self, collections: Sequence[Collection], facts: dict[str, str]) -> None:
        """Make a release what the box wants; what no longer stands in it is shown no more."""

    def lessons(self) -> list[LessonRow]:
        """Every lesson, in teaching order."""

    def set_files(self, torrent: Torrent) -> None:
        """Remember which files a wanted package has."""

    def described(self) -> set[str]:
        """Infohashes of the packages whose files are known."""

    def lacking(self) -> dict[str, dict[str, int]]:
        """Of each described package of a lesson that is not complete: root -> bytes of the files that are
        no objects."""

    def objects(self) -> dict[str, int]:
        """Every object that counts: root -> bytes."""

    def add_object(self, file: FileId, now: int) -> None:
        """A verified, durable file is in the store."""

    def forget_objects(self, roots: Iterable[str]) -> None:
        """Objects that are gone or about to be deleted; lessons that show them are shown no more."""

    def unreferenced(self) -> list[str]:
        """Objects of no known wanted or present package."""

    def referenced(self) -> set[str]:
        """Roots of every file of a known wanted or present package."""

    def publish(self, lesson: str, infohash: str, detail: bytes, now: int) -> bool:
        """Show a package; False (and nothing) when it is no longer wanted or not whole."""

    def note(self, changes: Sequence[tuple[str, bool, int, str]]) -> None:
        """(lesson, arriving, have_bytes, reason) of lessons on their way."""

    def drop_files(self) -> dict[str, DropStat]:
        """What was read in drop folders, by path."""

    def drop_parts(self) -> list[tuple[str, int]]:
        """Path and first block of every part of a drop file that was read."""

    def drop_leaves(self, path: str, first: int) -> bytes:
        """Leaves of one part, as they were when it was read; empty when unknown."""

    def drop_named(self, sha256: str) -> list[str]:
        """Drop files that had this SHA-256."""

    def put_drop_parts(self, parts: Sequence[DropPart]) -> None:
        """Parts of drop files were read; what was known of a file from there on is replaced."""

    def forget_drop_files(self, paths: Iterable[str]) -> None:
        """Drop files are gone."""

    def set_status(self, values: dict[str, Any]) -> None:
        """What sync is doing now."""

    def problem(self, code: str, subject: str, message: str, now: int) -> None:
        """Something needs a person."""

    def problems(self) -> list[Problem]:
        """What needs a person."""

    def solved(self, subject: str, code: str | None = None) -> None:
        """Nothing is wrong with this subject any more (or: not this code)."""
