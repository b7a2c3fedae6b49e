"""The Protocols that the engine needs. Each has a real adapter, a fake in testing/, and one contract suite
for both.

Errors: an adapter raises LessonBoxError subclasses only; `retryable` tells whether to try again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

if TYPE_CHECKING:  # all programs load this module, each with few of these
    from content_sync.core.account import Reading
    from content_sync.formats.collection import Collection, TargetRef
    from content_sync.formats.envelope import Envelope
    from content_sync.formats.hashtree import FileId
    from content_sync.formats.lesson import Lesson
    from content_sync.formats.local import LocalLesson
    from content_sync.formats.received import ReceivedItem
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


class CollectionRow(Struct, frozen=True):
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


class LessonRow(Struct, frozen=True):
    """A lesson as state.db knows it. `wanted` and `present` are infohashes; times are unix seconds.

    `repairing`: teachers saw it until a file of it was found damaged on the disk. `week`: of the teaching
    calendar.
    """

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
    repairing: bool = False
    week: int | None = None

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


class TallyRow(Struct, frozen=True):
    """A collection in figures: its lessons, those that are here in some version, those that arrive; bytes of
    its newest versions, of these here, of what teachers see. `waiting`: lessons that are not here whole in
    their newest version; `told` of them are expected at a known time, all of those until `last`."""

    collection: str
    lessons: int
    present: int
    arriving: int
    size: int
    here: int
    shown: int
    waiting: int
    told: int
    last: int | None


class LocalRow(Struct, frozen=True):
    """A lesson of the school's own, as state.db knows it: whether it is `offered` to the county, is a
    `basket`, came from another box (`origin`), and the titles of resources that the disk has lost."""

    row: LessonRow
    offered: bool
    basket: bool
    origin: str
    damaged: tuple[str, ...]


class PlannedRow(Struct, frozen=True):
    """What the plan says of a lesson that is not here in its newest version: how much it is needed
    (core/calendar.py), why it is not here (code and facts of core/reason.py), between which times it is
    expected (unix seconds; None: not known), when it made room for others."""

    lesson: str
    need: int
    code: str
    facts: dict[str, int | str]
    first: int | None = None
    last: int | None = None
    evicted: int | None = None


class Problem(Struct, frozen=True):
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

    def part(self, url: str, first: int, count: int) -> bytes:
        """`count` bytes from byte `first` on; other bytes where a server does ranges badly: check them.

        Raises NotFoundError (404), NetworkError.
        """


class Files(Protocol):
    """The few calls that change a file system, as the kernel has them: every durable effect goes through
    these, so that a test can fail or cut off each (testing/faults.py). Raises OSError.
    """

    def create(self, path: Path, mode: int) -> int:
        """Make a new file; its descriptor. FileExistsError when it is there."""

    def edit(self, path: Path, mode: int) -> int:
        """Open a file to read and write, made when absent; its descriptor."""

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """All of `data` at `offset`."""

    def allocate(self, descriptor: int, length: int) -> None:
        """Give the file at least this length and the space for it (posix_fallocate)."""

    def truncate(self, descriptor: int, length: int) -> None:
        """Give the file this length."""

    def chmod(self, descriptor: int, mode: int) -> None:
        """Set its permissions."""

    def sync(self, descriptor: int) -> None:
        """Make what was written durable (fsync)."""

    def close(self, descriptor: int) -> None:
        """Let go of it."""

    def rename(self, source: Path, target: Path) -> None:
        """Give `source` the name `target`, in place of what had it."""

    def remove(self, path: Path) -> None:
        """Take a name away. FileNotFoundError when it is not there."""

    def make_folder(self, path: Path, mode: int) -> None:
        """Make one folder; one that is there stays."""

    def sync_folder(self, path: Path) -> None:
        """Make a folder's names durable (fsync of the directory)."""


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
        """The arriving file's bytes in blocks of 16 KiB, one that can't be read is empty; nothing when it is
        not there."""

    def object_blocks(self, root: str) -> Iterator[bytes]:
        """An object's bytes in blocks of 16 KiB; nothing when it is not there."""

    def prepare(self, file: FileId) -> None:
        """Give the arriving file its length and all of its space, so that no later write can find the disk
        full."""

    def write_block(self, file: FileId, index: int, data: bytes) -> None:
        """Put a verified block in its place in the arriving file."""

    def read_block(self, file: FileId, index: int) -> bytes | None:
        """A block of an object, else of the arriving file, not verified; None when it is not there."""

    def sync(self) -> None:
        """Make every block that was written since the last time durable."""

    def admit(self, file: FileId) -> None:
        """Make the arriving file durable and an object, in this order. The caller has verified every byte."""

    def vouched(self, file: FileId) -> bool:
        """Whether an object of this name and length is there that `admit` made and nobody wrote to since."""

    def inspect(self, root: str, first: int, count: int) -> list[bytes]:
        """Blocks of an object as the disk itself gives them, fewer at its end, none when it is not there; one
        that can't be read is empty."""

    def retract(self, root: str) -> None:
        """Make an object an arriving file again: whole no more, its good blocks are kept. Nothing when it is
        not there."""

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


class Objects(Protocol):
    """Where the bytes of whole files can be read, to be carried away."""

    def blocks(self, root: str, first: int) -> Iterator[bytes]:
        """The file's bytes from block `first` on, 16 KiB at a time. Raises NotFoundError, StorageError."""


class Stick(Protocol):
    """The folder of a bag on a medium that may be full, broken or pulled out at any time; paths below it.

    Raises DiskFullError, StorageError.
    """

    def free(self) -> int:
        """Bytes that can still be written."""

    def cost(self, size: int) -> int:
        """Bytes of the medium that a new file of this size takes."""

    def files(self) -> dict[str, int]:
        """Path -> size of every regular file there is."""

    def read(self, path: str, cap: int) -> bytes | None:
        """A file's bytes, or None when it is not there. Raises TooBigError."""

    def blocks(self, path: str, cold: bool = False) -> Iterator[bytes]:
        """A file's bytes, 16 KiB at a time; `cold`: from the medium itself, not from memory."""

    def put(self, path: str, data: bytes) -> None:
        """Write a file durably, all or nothing."""

    def append(self, path: str, data: bytes) -> None:
        """Add to a file's end, durably; a crash may leave a part of it."""

    def write(self, path: str, blocks: Iterable[bytes]) -> None:
        """Write a file anew; not durable before `flush`. What raises leaves nothing of it."""

    def flush(self, paths: Iterable[str]) -> None:
        """Make written files and their names durable."""

    def remove(self, paths: Iterable[str]) -> None:
        """Delete files durably; those that are not there are passed over."""


class DropStat(Struct, frozen=True):
    """A file in a drop folder as the last scan saw it; or a member of an archive there, whose path is the
    archive's, `//` and a name (formats.md 10). `inode` is 0 where the file system gives no lasting one."""

    path: str
    size: int
    mtime_ns: int
    inode: int


class DropPart(Struct, frozen=True):
    """Leaves of a run of a drop file's blocks, from block `first` on. `last`: the file was read to its end.

    `sha256` is that of the whole of a file that may be signed metadata. `named` is one byte a block: 1 when
    the block is known to be of `uses`, files of packages (roots). `archive`: 0 none, 1 an archive, 2 one of
    which members were left out.
    """

    stat: DropStat
    first: int
    leaves: bytes
    sha256: str | None
    last: bool
    named: bytes = b""
    uses: frozenset[str] = frozenset()
    archive: int = 0


class DropFolder(Struct, frozen=True):
    """A configured drop folder: whether it is looked through by the clock alone (`polled`), what is wrong
    with it, if anything, and whether consumed files are deleted there."""

    path: str
    polled: bool
    problem: str = ""
    delete: bool = False


class DropCounts(Struct, frozen=True):
    """Files in drop folders, archives as one each: `seen` were read, of these `useful` hold blocks that a
    release names, `foreign` none; `consumed` are durable here in every byte, those deleted since included."""

    seen: int
    useful: int
    foreign: int
    consumed: int


class Drops(Protocol):
    """Folders that others write into: anything may vanish, grow or be unreadable at any time.

    What vanished is silence (None, or an end of the iteration).
    """

    def hint(self) -> bool:
        """Whether something may have changed since the last call. A hint may be lost; the scan is the
        truth."""

    def scan(self) -> Iterable[DropStat]:
        """Every regular file there is now, found while it is iterated. Links are not followed."""

    def folders(self) -> list[DropFolder]:
        """The folders as the last scan found them."""

    def members(self, stat: DropStat) -> tuple[list[DropStat], str]:
        """The files inside a zip archive, and what was left out of it, in words; nothing of what is none."""

    def portions(self, path: str, first: int = 0) -> Iterator[bytes]:
        """The file's bytes from block `first` on, in portions of whole blocks, 1 MiB at most; the last block
        may be short. Raises DropError when they are there and can't be read."""

    def block(self, path: str, index: int, count: int = 1) -> bytes | None:
        """`count` blocks from `index` on, as far as the file goes; None when they can't be read."""

    def small(self, path: str, cap: int) -> bytes | None:
        """All bytes of a file of at most `cap` bytes, or None."""

    def remove(self, stat: DropStat) -> bool:
        """Delete a file that was consumed, if its folder is set so, it is what `stat` says still, and no one
        writes to it. Whether it is gone."""


class LocalStore(Protocol):
    """The lasting records of local lessons, and files on their way into them. A *place* is a path that
    `uploaded`, `copied` or `found` gives. Raises DiskFullError, StorageError."""

    def records(self) -> dict[str, bytes | None]:
        """Lesson -> its record, None when it can't be read."""

    def write(self, lesson: str, data: bytes) -> None:
        """Keep a record durably, all or nothing."""

    def remove(self, lesson: str) -> None:
        """Take a record away, durably."""

    def uploaded(self, upload: str) -> str:
        """The place of a whole upload."""

    def copied(self, name: str) -> str:
        """The place of a copy that this program makes."""

    def found(self, source: str, where: str) -> str:
        """The place of a file of the received shelf or of a stick; others are not to be had. Raises
        NotFoundError."""

    def size(self, place: str) -> int | None:
        """Bytes of the regular file there; None when there is none."""

    def portions(self, place: str) -> Iterator[bytes]:
        """Its bytes, 1 MiB at a time. Raises NotFoundError."""

    def members(self, place: str) -> list[str]:
        """Names of the files in a zip archive that can be read; nothing of what is none. Raises LocalError
        for one that is locked, damaged or a bomb."""

    def member(self, place: str, name: str) -> Iterator[bytes]:
        """One of them. Raises LocalError."""

    def append(self, name: str, data: bytes, offset: int) -> None:
        """The next bytes of a copy; 0 begins anew. Not durable."""

    def settle(self, name: str) -> None:
        """Make a copy durable: a record may name it now."""

    def arrive(self, place: str, file: FileId) -> None:
        """Make an upload or copy durable as the arriving file of the store (Store.admit is next)."""

    def drop(self, place: str) -> None:
        """Delete an upload or copy; nothing when it is not there."""

    def tidy(self, keep: Iterable[str]) -> None:
        """Delete all copies but these places."""

    def package(self, folder: str) -> tuple[str, bytes]:
        """Place and record of the local lesson that lies on a stick at `folder`. Raises NotFoundError."""

    def parts(self, place: str, file: FileId) -> Iterator[bytes]:
        """The bytes of a file of it. Raises NotFoundError."""


class ReceivedStore(Protocol):
    """Files on the received shelf, with their descriptions. Raises DiskFullError, StorageError."""

    def items(self) -> list[ReceivedItem]:
        """What is there whole; remains are deleted."""

    def append(self, data: bytes, offset: int) -> None:
        """The next bytes of the file that is being copied; 0 begins anew."""

    def keep(self, item: ReceivedItem) -> None:
        """The copied file is whole: make it and its description durable."""

    def drop(self, root: str = "") -> None:
        """Take a file away; without a root what was copied of one."""


class JobFile(Struct, frozen=True):
    """A file of a job, in the torrent's order: where it lies, and which blocks of it are verified.

    `have` is one byte a block (1: verified), or None for a whole object, which must never be written.
    `leaves`: the checked leaf list of a file that lacks blocks. One that is not `wanted` is neither fetched
    nor written nor handed on.
    """

    path: Path
    have: bytes | None
    leaves: bytes = b""
    wanted: bool = True


class Job(Struct, frozen=True):
    """A package to fetch (some blocks lack) or to hand on (all files are objects). `news`: it has only just
    come, so it is worth the bytes to tell the county's tracker that it is here too, for a while."""

    torrent: Torrent
    files: tuple[JobFile, ...]
    news: bool = False

    @property
    def infohash(self) -> str:
        """The package's name."""
        return self.torrent.infohash

    @property
    def whole(self) -> bool:
        """Whether nothing that is wanted lacks."""
        return all(file.have is None or not file.wanted for file in self.files)


class JobProgress(Struct, frozen=True):
    """What a job moves now: bytes of the package that the swarm holds, bytes a second, peers, whether the
    web seed helps, pieces that came and did not fit their hash."""

    done: int
    rate: int
    peers: int
    web: bool
    bad: int = 0


class Fec(Protocol):
    """An erasure code over chunks of 16 KiB blocks (RFC 6330, formats.md 13). Symbols 0 to the number of
    blocks are the blocks themselves, padded with zeros; later ones repair.

    Raises FormatError for what no chunk has: more than MAX_CHUNK blocks, an ESI from MAX_ESI on, other
    lengths.
    """

    def repair(self, blocks: Sequence[bytes], first: int, count: int) -> list[bytes]:
        """`count` repair symbols of a chunk, the first with ESI `len(blocks) + first`."""

    def decode(self, count: int, symbols: Mapping[int, bytes]) -> list[bytes] | None:
        """The chunk's `count` blocks from symbols by ESI, or None when these are not enough. What was given
        is not checked, so neither is what comes out."""


class Shards(Struct, frozen=True):
    """A group of symbols or blocks in the stash: how many, and when the last one came (rising numbers)."""

    group: str
    held: int
    latest: int


class Stash(Protocol):
    """What parcels brought and can't be used yet: symbols and blocks in groups, small files, facts. Nothing
    here is verified. What was written since the last `commit` may be lost together. Raises DiskFullError,
    StorageError.
    """

    def add(self, group: str, number: int, data: bytes) -> bool:
        """Keep one; False when it is here already."""

    def numbers(self, group: str) -> set[int]:
        """Numbers of a group."""

    def read(self, group: str) -> dict[int, bytes]:
        """A group's data, by number; for groups that are known to be small."""

    def one(self, group: str, number: int) -> bytes | None:
        """One of a group."""

    def groups(self) -> list[Shards]:
        """Every group."""

    def remove(self, groups: Iterable[str]) -> None:
        """Forget these groups."""

    def size(self) -> int:
        """Bytes of all shards and papers."""

    def put_paper(self, sha256: str, path: str, data: bytes) -> None:
        """Keep a small file; of no bytes: only that it was here."""

    def paper(self, sha256: str) -> bytes | None:
        """A small file."""

    def papers(self) -> list[tuple[str, str, int]]:
        """(sha256, path, bytes) of every small file, the oldest first."""

    def remove_papers(self, digests: Iterable[str]) -> None:
        """Forget these."""

    def fact(self, key: str) -> str | None:
        """A fact."""

    def set_fact(self, key: str, value: str | None) -> None:
        """Write a fact, or forget it."""

    def commit(self) -> None:
        """Make all of it durable, together."""


class Swarm(Protocol):
    """Fetches the blocks that lack into the files named, from whoever has them; hands on what is whole.

    Never writes to a file whose `have` is None. What it calls finished is to be verified by the caller.
    """

    def add(self, job: Job) -> None:
        """Begin a job; one of the same package is ended first. Raises TorrentError, StorageError."""

    def remove(self, infohash: str) -> None:
        """End a job; when this returns, its files are written to and held open no more."""

    def fill(self, infohash: str, root: str, have: bytes) -> None:
        """Blocks of an arriving file that the caller has verified and written while its job runs (one byte a
        block, 1: here): they are asked of nobody any more."""

    def limit(self, rate: int | None) -> None:
        """Take at most `rate` bytes a second from afar, from now on: 0 ends what is under way, None is no
        limit. What neighbours on the LAN give is free. May be called from any thread, some times a second."""

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

    def afar(self) -> int:
        """Of `received`, what came from beyond the LAN. May be called from any thread."""

    def close(self) -> None:
        """End all jobs and leave the network."""


class Meter(Protocol):
    """The line to the county, as the machine sees it. Never raises; quick; may be called from any thread."""

    def metered(self) -> bool | None:
        """Whether its bytes cost money; None when nothing tells."""

    def read(self) -> Reading | None:
        """The counters of the interface to the county when nothing else of the school uses that; None when
        it is the LAN's too (then the caller counts its own bytes), or there is no way to the county."""


class Probe(Protocol):
    """Measures the round trip to the county while it is wanted. May be called from any thread."""

    def want(self, on: bool) -> None:
        """Begin or end measuring."""

    def samples(self) -> list[tuple[float, float | None]]:
        """What came since the last call: monotonic seconds of the answer and seconds of the round trip, None
        when there was no answer."""

    def close(self) -> None:
        """End."""


class Neighbour(Struct, frozen=True):
    """Another box nearby: its id and its address without a closing slash, like http://192.168.1.7:8080. Both
    are hearsay: whatever comes from there is checked block by block."""

    box: str
    url: str


class Neighbours(Protocol):
    """Other boxes that may be reached over the LAN by HTTP (formats.md 9)."""

    def near(self) -> list[Neighbour]:
        """Who was heard of lately, never this box itself, each box once; quick, never raises."""


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

    def generation(self) -> int:
        """Rises whenever what a page shows may have changed."""

    def apply(self, collections: Sequence[Collection], facts: dict[str, str]) -> None:
        """Make a release what the box wants; what no longer stands in it is shown no more."""

    def lessons(self) -> list[LessonRow]:
        """Every lesson of the county's, in teaching order."""

    def local_lessons(self) -> list[LocalRow]:
        """The school's own lessons."""

    def put_local(self, local: LocalLesson, shown: Lesson | None, now: int) -> None:
        """A local lesson is so now; pages see `shown` of it, None: nothing. All files of either are
        protected."""

    def drop_local(self, lessons: Iterable[str]) -> list[FileId]:
        """These local lessons are gone; objects that nothing needs any more, forgotten: delete them next."""

    def has_object(self, file: FileId) -> bool:
        """Whether an object of this name and length counts."""

    def local_lacking(self) -> dict[str, frozenset[str]]:
        """Of each local lesson: roots of its files that are no objects."""

    def present_lesson(self, identity: str) -> Lesson | None:
        """What teachers see of a lesson, or None when it is not here."""

    def set_files(self, torrent: Torrent, chosen: frozenset[str]) -> frozenset[str]:
        """Remember which files (paths) of a wanted package are chosen; those that hold: a package that
        teachers see stays as it came."""

    def described(self) -> set[str]:
        """Infohashes of the packages whose files are known."""

    def lacking(self) -> dict[str, dict[str, int]]:
        """Of each described package of a lesson that is not complete: root -> bytes of the files that are
        no objects."""

    def objects(self, infohash: str | None = None) -> dict[str, int]:
        """Every object that counts, or those among the files of one package: root -> bytes."""

    def add_object(self, file: FileId, now: int) -> None:
        """A verified, durable file is in the store."""

    def add_objects(self, files: Sequence[FileId], now: int) -> None:
        """The same of many, at once."""

    def next_object(self, after: str) -> FileId | None:
        """The first object whose root stands behind this text; None behind the last."""

    def withhold(self, file: FileId, now: int) -> list[str]:
        """This object is bad: it counts no more, lessons that show it are shown as being repaired; infohashes
        of the packages that hold it. Its repairs are counted (`repairs`)."""

    def previous(self, infohash: str) -> list[str]:
        """Infohashes of the packages that lessons show which want this one."""

    def packages_with(self, root: str) -> list[str]:
        """Infohashes of the wanted or present packages that hold a file."""

    def repairs(self) -> dict[str, tuple[int, int]]:
        """Root -> how often it was withheld, and how often since it was last found whole by the scrub."""

    def found_whole(self, root: str) -> None:
        """The scrub read the whole of an object that had been repaired, and it was as it should be."""

    def status(self, key: str) -> Any:
        """What `set_status` wrote last, or None."""

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

    def planned(self) -> dict[str, PlannedRow]:
        """What was noted of the plan, by lesson."""

    def note_planned(self, rows: Sequence[PlannedRow], gone: Iterable[str]) -> None:
        """Note what changed of the plan; lessons of `gone` are planned no more."""

    def alone(self) -> dict[str, int]:
        """Of each visible lesson: bytes of its files that nothing else needs."""

    def evict(self, lesson: str, now: int, forget: bool = False) -> list[str]:
        """Hide a lesson to make room, or `forget` one that is not subscribed to: the roots that are to be
        deleted next."""

    def collections(self) -> list[CollectionRow]:
        """The collections, in the release's order."""

    def drop_files(self) -> dict[str, DropStat]:
        """What was read in drop folders, by path."""

    def drop_parts(self) -> list[tuple[str, int]]:
        """Path and first block of every part of a drop file that was read."""

    def drop_leaves(self, path: str, first: int) -> bytes:
        """Leaves of one part, as they were when it was read; empty when unknown."""

    def drop_named(self, sha256: str) -> list[str]:
        """Drop files that had this SHA-256."""

    def drops_hashed(self) -> list[str]:
        """Drop files of which the whole's SHA-256 is known: they may be signed metadata."""

    def drop_archives(self) -> list[str]:
        """Drop files that are archives."""

    def unmatched_drops(self) -> list[tuple[str, int]]:
        """Parts that `name_drop_blocks` was not told of since they were read."""

    def drop_blocks_named(self, path: str, first: int) -> bytes:
        """One byte a block of that part: 1 when a package is known to hold it; it may end early."""

    def name_drop_blocks(self, parts: Sequence[tuple[str, int, bytes, frozenset[str]]]) -> None:
        """(path, first, one byte a block, roots): blocks of drop parts that packages hold, beside those known
        before."""

    def files_of_size(self, size: int, root: str | None = None) -> list[tuple[str, str, bool]]:
        """(infohash, root, whether it is an object) of files of known packages that have this length (and
        this root), at most 16, those that lack first."""

    def judge_drops(self, signed: frozenset[str]) -> DropCounts:
        """Find out anew what each drop file is good for; `signed`: SHA-256 of signed files that are here."""

    def consumed_drops(self) -> list[DropStat]:
        """Drop files, no archive's members, that are durable here in every byte, as they were judged last."""

    def foreign_drop(self, path: str) -> DropStat | None:
        """A drop file, if no release names any of it, as it was judged last."""

    def set_received(self, items: Sequence[ReceivedItem]) -> None:
        """What is on the received shelf."""

    def received(self) -> list[ReceivedItem]:
        """What is on the received shelf."""

    def count_consumed(self, number: int) -> None:
        """So many consumed files were deleted."""

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
