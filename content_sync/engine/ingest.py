"""Reading drop folders: each file once, in slices; whole copies of wanted files are taken while they are
read (matching.py takes everything else)."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from msgspec import Struct

from content_sync.core.blocks import BlockMap
from content_sync.engine.arrivals import Arrivals
from content_sync.engine.library import Library
from content_sync.engine.offers import MAX_NAMED, DropOffer
from content_sync.engine.taking import Taking
from content_sync.engine.targets import Package
from content_sync.errors import DiskFullError, DropError, StorageError
from content_sync.formats.hashtree import BLOCK, HASH, FileId, block_count
from content_sync.ports import DropPart, Drops, DropStat, State

#: Blocks of a drop file that are read, remembered and matched as one: 32 MiB.
PART = 2048
#: What reading one file counts at least, so that a step ends among very many small ones.
_LEAST = 64 << 10
#: Files that a step of a scan looks at.
_ENTRIES = 4000
#: An unreadable file is tried again after so many seconds, then twice that, up to an hour.
_RETRY, _LONGEST = 60.0, 3600.0
#: Packages whose leaf lists are kept at hand while their files are read.
_AT_HAND = 4
ZERO_BLOCK = hashlib.sha256(bytes(BLOCK)).digest()
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
#: Instead of the SHA-256 of a file that was a parcel: all that it is good for is kept elsewhere.
TAKEN = "taken"
#: First bytes of JSON and bencode; leaf lists have a length.
_SIGNED = (b"{", b"d")


class Parcels(Protocol):
    """Who takes what parcels hold (engine/parcels.py)."""

    def feed(self, path: str, block: int, data: bytes) -> bool:
        """Bytes of a file; whether all of them are records of a parcel."""

    def end(self) -> bool:
        """The file that was fed is over; whether it was a parcel for the most part."""

    def fail(self) -> None:
        """What was fed since the last `commit` will be read again."""

    def commit(self) -> None:
        """Make it durable."""


class _Copy(Struct, frozen=True):
    """A file of a package that has the length of the drop file that is read. `map` is None when it is an
    object."""

    infohash: str
    file: FileId
    leaves: bytes
    map: BlockMap | None


class _Begun(Struct):
    """A file that was read in part."""

    stat: DropStat
    at: int
    archive: bool


class Ingest:
    """One set of drop folders, read. Files once read are remembered in state.db."""

    def __init__(
        self,
        drops: Drops,
        state: State,
        arrivals: Arrivals,
        library: Library,
        offer: DropOffer,
        taking: Taking,
        parcels: Parcels | None = None,
    ) -> None:
        self._drops, self._state, self._arrivals = drops, state, arrivals
        self._library, self._offer, self._taking, self._parcels = library, offer, taking, parcels
        self._fed: set[str] = set()  # files with records of a parcel, since these were made durable
        self._queue: deque[DropStat] = deque()
        self._begun: _Begun | None = None
        self._known: dict[str, DropStat] = {}
        self._changing: dict[str, DropStat] = {}
        self._scan: Iterator[DropStat] | None = None
        self._there: dict[str, DropStat] = {}
        self._reopen: set[str] = set()
        self._packages: dict[str, Package | None] = {}
        #: path -> (as it was found, when to try again, seconds that were waited)
        self._unreadable: dict[str, tuple[DropStat, float, float]] = {}
        #: Archive -> what was left out of it; emptied by who tells people.
        self.left_out: dict[str, str] = {}

    def begin(self) -> None:
        """Learn what was read before this start."""
        self._known = self._state.drop_files()
        self._reopen = set(self._state.drop_archives())
        for path in self._state.drops_hashed():
            self._offer.learn(path, self._known[path].size)
        self._offer.settled()

    # Looking

    def scan(self, now: float) -> list[str] | None:
        """A slice of finding new, changed and vanished files: None while there is more to look at, at the end
        the paths that vanished. `read` goes on from there."""
        if self._scan is None:
            self._scan, self._there = iter(self._drops.scan()), {}
        count = 0
        for stat in islice(self._scan, _ENTRIES):
            count += 1
            known = self._known.get(stat.path)
            self._there[stat.path] = known if known == stat else stat
        if count == _ENTRIES:
            return None
        self._scan = None
        there, self._there = self._there, {}
        return self._compare(there, now)

    def _compare(self, there: dict[str, DropStat], now: float) -> list[str]:
        """A file that was read and is being written to is read again once it stands still between two scans
        or has grown by a quarter: a receiver that writes for hours must not be read all the time."""
        silent = tuple(folder.path + "/" for folder in self._drops.folders() if folder.problem)
        gone = [
            path
            for path in self._known
            if path.partition("//")[0] not in there and not path.startswith(silent)
        ]
        self.forget(gone)
        self._unreadable = {
            path: entry for path, entry in self._unreadable.items() if there.get(path) == entry[0]
        }
        before, self._changing = self._changing, {}
        self._queue.clear()
        for path, stat in sorted(there.items()):
            known = self._known.get(path)
            if known == stat:
                if path in self._reopen:
                    self._open_archive(stat)
                continue
            if self._unreadable.get(path, (None, 0.0))[1] > now:
                continue
            if self._begun is not None and self._begun.stat.path == path:
                known = self._begun.stat
            if known is not None and known != stat and before.get(path) != stat:
                self._changing[path] = stat
                if 4 * stat.size <= 5 * known.size:
                    continue
            if known is not None and self._begun is not None and known == self._begun.stat:
                self._queue.appendleft(stat)
            else:
                self._queue.append(stat)
        return gone

    def forget(self, gone: Iterable[str]) -> None:
        """These are gone, archives with all their members."""
        paths = list(gone)
        for path in paths:
            self._known.pop(path, None)
            self._offer.forget(path)
        self._state.forget_drop_files(paths)

    @property
    def scanning(self) -> bool:
        """Whether a scan is under way."""
        return self._scan is not None

    @property
    def pending(self) -> bool:
        """Whether `read` has something to do."""
        return bool(self._queue)

    @property
    def changing(self) -> bool:
        """Whether files that were read are being written to: scan again soon."""
        return bool(self._changing)

    @property
    def unreadable(self) -> list[str]:
        """Files that are there and can't be read."""
        return list(self._unreadable)

    def unchanged(self, stat: DropStat) -> bool:
        """Whether the last scan found the file as it was read."""
        return self._known.get(stat.path) == stat and stat.path not in self._changing

    # Reading

    def read(self, most: int, now: float) -> list[DropPart]:
        """Read new files until about `most` bytes are read; what was read. A large file is read in parts, one
        a call or more."""
        parts: list[DropPart] = []
        try:
            while self._queue and most > 0:
                stat = self._queue[0]
                try:
                    part = self._read_part(stat)
                except DropError:
                    self._queue.popleft()
                    self._later(stat, now)
                    continue
                except (DiskFullError, StorageError) as error:  # a parcel's
                    self._queue.popleft()
                    self._later(stat, now)
                    self._taking.error = error
                    break
                parts.append(part)
                most -= max(len(part.leaves) // HASH * BLOCK, _LEAST)
                if part.last:
                    self._queue.popleft()
                    self._begun = None
                    self._unreadable.pop(stat.path, None)
                    if part.archive:
                        self._reopen.add(stat.path)
                else:
                    self._begun = _Begun(stat, part.first + PART, bool(part.archive))
        finally:
            parts = self._keep_parcels(parts, now)
            self._state.put_drop_parts(parts)
            for part in parts:
                if part.last:
                    self._known[part.stat.path] = part.stat
                    if part.sha256 is not None:
                        self._offer.learn(part.stat.path, part.stat.size)
                    else:
                        self._offer.forget(part.stat.path)
                    if part.archive:
                        self._open_archive(part.stat)
        return parts

    def _later(self, stat: DropStat, now: float) -> None:
        """It could not be read or used: try again after a while."""
        self._begun = None
        waited = min(2 * self._unreadable.get(stat.path, (stat, 0, _RETRY / 2))[2], _LONGEST)
        self._unreadable[stat.path] = (stat, now + waited, waited)

    def _keep_parcels(self, parts: list[DropPart], now: float) -> list[DropPart]:
        """Make durable what parcels brought, before their files count as read; the parts that do."""
        fed, self._fed = self._fed, set()
        if self._parcels is None or not fed:
            return parts
        try:
            self._parcels.commit()
            return parts
        except (DiskFullError, StorageError) as error:
            self._parcels.fail()
            self._taking.error = error
        for part in parts:
            if part.stat.path in fed:
                self._later(part.stat, now)
        return [part for part in parts if part.stat.path not in fed]

    def _open_archive(self, stat: DropStat) -> None:
        """Read what an archive holds next, and forget what it no longer does."""
        self._reopen.discard(stat.path)
        members, left_out = self._drops.members(stat)
        names = {member.path for member in members}
        inside = stat.path + "//"
        self.forget([path for path in self._known if path.startswith(inside) and path not in names])
        self._queue.extendleft(
            reversed([member for member in members if self._known.get(member.path) != member])
        )
        self.left_out[stat.path] = left_out

    def _read_part(self, stat: DropStat) -> DropPart:
        """The next part of a file: its leaves, what of it is a package's, and the file's SHA-256 when it may
        be signed metadata. Of a file that grew only the new parts are read: what matches later is read and
        checked again before it is used, so old leaves can do no harm."""
        known = self._known.get(stat.path)
        first, leaves = 0, bytearray()
        begun = self._begun
        archive = False
        if begun is not None and (begun.stat == stat or _grew(begun.stat, stat)):
            first, archive = begun.at, begun.archive
        elif known is not None and stat.size > MAX_NAMED and _grew(known, stat):
            blocks = known.size // BLOCK
            first = blocks // PART * PART
            leaves += self._state.drop_leaves(stat.path, first)[: (blocks - first) * HASH]
        before = len(leaves) // HASH
        copies = self._copies(stat)
        uses: set[str] = set()
        named = bytearray(before)
        whole: hashlib._Hash | None = None
        last = True
        for data in self._drops.portions(stat.path, first + before):
            at = first + len(leaves) // HASH
            if not at:
                archive = "//" not in stat.path and data[:4] in _ZIP
                may_be_signed = data[:1] in _SIGNED or stat.size % HASH == 0
                whole = hashlib.sha256() if stat.size <= MAX_NAMED and may_be_signed else None
            most = min(PART - len(leaves) // HASH, stat.size // BLOCK + 1 - at)
            if most <= 0:
                last = at > stat.size // BLOCK  # it grows while we read: the next scan sees the rest
                break
            data = data[: most * BLOCK]
            if whole is not None:
                whole.update(data)
            if self._parcels is not None and self._parcels.feed(stat.path, at, data):
                self._fed.add(stat.path)
                leaves += bytes(HASH * block_count(len(data)))  # nothing of it is looked for again
                named += b"\1" * block_count(len(data))
                continue
            new = _leaves(data)
            leaves += new
            named += self._take_copies(copies, at, new, data, uses)
        digest = None if whole is None else whole.hexdigest()
        if last and self._parcels is not None and self._parcels.end():
            digest = TAKEN
        return DropPart(
            stat,
            first,
            bytes(leaves),
            digest,
            last,
            bytes(named),
            frozenset(uses),
            int(archive),
        )

    def _copies(self, stat: DropStat) -> list[_Copy]:
        found: dict[str, _Copy] = {}
        alone = None
        if stat.size <= BLOCK:  # the root of a single block is its hash: many lessons have files of one size
            alone = hashlib.sha256(self._drops.block(stat.path, 0) or b"").hexdigest()
        for infohash, root, is_object in self._state.files_of_size(stat.size, alone):
            package = self._package(infohash)
            if package is not None and root not in found:
                file, leaves = FileId(root, stat.size), package.leaves[root]
                block_map = None if is_object else self._arrivals.map(file, leaves)
                found[root] = _Copy(infohash, file, leaves, block_map)
        return list(found.values())

    def _package(self, infohash: str) -> Package | None:
        if infohash not in self._packages:
            if len(self._packages) >= _AT_HAND:
                del self._packages[next(iter(self._packages))]
            self._packages[infohash] = self._library.package(infohash)
        return self._packages[infohash]

    def settled(self) -> None:
        """Let go of what is only of use while reading."""
        self._packages.clear()

    def _take_copies(
        self, copies: list[_Copy], at: int, new: bytes, data: bytes, uses: set[str]
    ) -> bytearray:
        """Compare a portion with the same place of every file of this length; one byte a block: 1 when it is
        some file's."""
        count = len(new) // HASH
        zeros = bytes(new[n * HASH : (n + 1) * HASH] == ZERO_BLOCK for n in range(count))
        named = bytearray(zeros)
        for copy in copies:
            want = copy.leaves[at * HASH : at * HASH + len(new)]
            fits = bytes(
                want == new or new[n * HASH : (n + 1) * HASH] == want[n * HASH : (n + 1) * HASH]
                for n in range(count)
            )
            if any(fit and not zero for fit, zero in zip(fits, zeros, strict=True)):
                uses.add(copy.file.root)
            for n, fit in enumerate(fits):
                named[n] |= fit
            if copy.map is not None:
                lacks = bytes(fit and copy.map.lacks(at + n) for n, fit in enumerate(fits))
                for begin, end in _runs(lacks):
                    run = data if (begin, end) == (0, count) else data[begin * BLOCK : end * BLOCK]
                    self._taking.write(copy.infohash, copy.map, at + begin, run)
        return named

    # What was read

    def forget_all(self, but: Iterable[str]) -> None:
        """Forget every file (a folder that was looked through once), `but` those."""
        self._state.forget_drop_files(set(self._known).difference(but))
        self._known.clear()

    @property
    def count(self) -> int:
        """How many files were read."""
        return len(self._known)

    @property
    def paths(self) -> list[str]:
        """Every file that was read."""
        return list(self._known)

    def parts(self) -> list[tuple[str, int]]:
        """Every part of those files."""
        return [part for part in self._state.drop_parts() if part[0] in self._known]


def _grew(before: DropStat, now: DropStat) -> bool:
    """Whether it is the same file, only longer."""
    return (before.path, before.inode) == (now.path, now.inode) and before.size < now.size


def _leaves(data: bytes) -> bytes:
    view = memoryview(data)
    return b"".join(hashlib.sha256(view[at : at + BLOCK]).digest() for at in range(0, len(data), BLOCK))


def _runs(flags: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of each run of ones."""
    begin = flags.find(1)
    while begin >= 0:
        end = flags.find(0, begin)
        end = len(flags) if end < 0 else end
        yield begin, end
        begin = flags.find(1, end)
