"""Taking in parcels of a carousel: blocks go where they belong at once; what can't be used yet waits in the
stash until enough of its chunk has come, or until the metadata that names it (formats.md 13).

Nothing that a parcel says is believed: blocks count when they fit the leaf list, small files when they are
what the county signed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from msgspec import Struct

from content_sync.core.blocks import BlockMap
from content_sync.engine.arrivals import Arrivals
from content_sync.engine.library import Library
from content_sync.engine.papers import Papers
from content_sync.engine.reception import Reception
from content_sync.engine.taking import Taking
from content_sync.engine.targets import Package
from content_sync.errors import FormatError
from content_sync.formats.hashtree import BLOCK, FileId, block_count, block_length
from content_sync.formats.parcel import MARK, Block, Head, Reader, Record, Repair
from content_sync.ports import Fec, Shards, Stash, State, Store

#: Leaves of packages that are kept at hand while parcels are read, as blocks of content: 8 GiB.
_AT_HAND = 1 << 19


class _Held(Struct, frozen=True):
    """A wanted package: its files in the torrent's order and the number of each one's first block."""

    package: Package
    files: tuple[FileId, ...]
    starts: tuple[int, ...]
    blocks: int

    def place(self, number: int) -> tuple[FileId, int]:
        """File and index of a block of the package."""
        at = bisect_right(self.starts, number) - 1
        return self.files[at], number - self.starts[at]


class Parcels:
    """`feed` what is read of any file and `end` it, `commit` when a stretch was read: then it is durable.
    After an error the stretch must be read again. `ready` then names the packages that are whole."""

    def __init__(
        self,
        stash: Stash,
        fec: Fec,
        state: State,
        store: Store,
        arrivals: Arrivals,
        library: Library,
        taking: Taking,
        papers: Papers,
        reception: Reception,
        space: int,
        reserve: int,
    ) -> None:
        self._stash, self._fec, self._state, self._store = stash, fec, state, store
        self._arrivals, self._library, self._taking = arrivals, library, taking
        self.papers, self.reception = papers, reception
        self._space, self._reserve = space, reserve
        self._reader: Reader | None = None
        self._next: tuple[str, int] = ("", -1)  # where the reader goes on: path, block
        self._head: Head | None = None
        self._held: dict[str, _Held] = {}
        self._lacking: dict[str, dict[str, int]] | None = None
        self._objects: dict[str, int] = {}
        self._owners: dict[str, list[str]] = {}
        self._described: set[str] | None = None
        self._foreign: bool | None = None
        self._dirty: set[str] = set()  # packages that got blocks or symbols
        self._ready: set[str] = set()
        self._changed = False
        self._commits, self._noted = 0, -1
        self._status: dict[str, object] = {}
        self._bytes = 0  # fed of this file since its first record
        self._counted = (0, 0)  # records and damaged bytes of the parcels before, in this file

    def begin(self) -> None:
        """Take up what an earlier run left. Raises DiskFullError, StorageError."""
        self.papers.begin()
        self.described(self._state.lacking())
        self.commit()

    # Reading

    def feed(self, path: str, block: int, data: bytes) -> bool:
        """Bytes of a file from a block on: True when all of them are records of a parcel. Raises
        DiskFullError, StorageError."""
        going_on = self._reader is not None and self._next == (path, block)
        if not going_on:
            self.end()
            if MARK not in data:
                return False
            self._reader, self._head, self._counted = Reader(), None, (0, 0)
        assert self._reader is not None
        self._next = (path, block + block_count(len(data)))
        self._bytes = len(data) + (self._bytes if going_on else 0)
        self._changed = True
        damaged = self._reader.damaged
        for record in self._reader.feed(data):
            self._take(record)
        return self._reader.damaged == damaged

    def end(self) -> bool:
        """No more of this file comes; whether it was a parcel for the most part. Raises DiskFullError,
        StorageError."""
        reader = self._reader
        if reader is None:
            return False
        for record in reader.finish():
            self._take(record)
        records, damaged = self._counted
        self.reception.read(self._head, reader.records - records, reader.damaged - damaged)
        self._reader = None
        return 2 * reader.damaged < self._bytes

    def fail(self) -> None:
        """What was fed since the last `commit` will be read again."""
        self._reader = None

    def _take(self, record: Record) -> None:
        if isinstance(record, Head):
            if self._head is not None and self._head != record and self._reader is not None:
                # Several parcels in one file.
                records, damaged = self._counted
                self._counted = (self._reader.records - 1, self._reader.damaged)
                self.reception.read(self._head, self._counted[0] - records, self._counted[1] - damaged)
            self._head = record
        elif isinstance(record, Block):
            self._take_block(record)
        elif isinstance(record, Repair):
            self._take_repair(record)
        elif self._useful(record.path):
            self.papers.take(record)

    def _take_block(self, record: Block) -> None:
        root = record.file.root
        self._look()
        if self._objects.get(root) == record.file.length:
            return
        owners = self._owners.get(root)
        if owners is None:
            if not self._for_others():
                self._stash.add(f"b {root} {record.file.length}", record.index, record.data)
            return
        held = self._package(owners[0])
        if held is not None and record.file in held.files:
            self._write(held, record.file, record.index, record.data)

    def _write(self, held: _Held, file: FileId, index: int, data: bytes) -> bool:
        """Whether the block is here now."""
        block_map = self._map(held, file)
        if block_map is None or not block_map.lacks(index):
            return True
        if not block_map.fits(index, data):
            return False
        infohash = held.package.entry.infohash
        self._taking.write(infohash, block_map, index, data)
        if self._taking.error is not None:
            error, self._taking.error = self._taking.error, None
            raise error
        self._dirty.update(self._owners.get(file.root, (infohash,)))
        return True

    def _take_repair(self, record: Repair) -> None:
        self._look()
        if record.infohash not in self._library.entries:
            if self._for_others():
                return
        elif self._lacking is not None and record.infohash in self._lacking:
            held = self._package(record.infohash)
            if held is None or record.first + record.count > held.blocks:
                return
            if not self._lacks(held, record.first, record.count)[0]:
                return
            self._dirty.add(record.infohash)
        elif record.infohash in self._known():
            return  # complete
        group = f"r {record.infohash} {record.first} {record.count}"
        self._stash.add(group, record.esi, record.data)

    def _useful(self, path: str) -> bool:
        infohash = self.papers.package_of(path)
        if infohash is None:
            return self.papers.useful(path)
        if infohash in self._library.entries:
            return infohash not in self._known()
        self._look()
        return not self._for_others()

    # What is known, looked up once a stretch

    def _look(self) -> None:
        if self._lacking is not None:
            return
        self._lacking, self._objects = self._state.lacking(), self._state.objects()
        for name, roots in self._lacking.items():
            for root in roots:
                self._owners.setdefault(root, []).append(name)

    def _known(self) -> set[str]:
        if self._described is None:
            self._described = self._state.described()
        return self._described

    def _for_others(self) -> bool:
        """Whether what no wanted package names can't be of use later: all that this carousel's release has
        for this box is known."""
        if self._foreign is None:
            self._foreign = self._library.current and not self._undescribed()
        release = int(self._state.meta("release") or 0) if self._foreign else 0
        return self._foreign and self._head is not None and self._head.release <= release

    def _forget_lookups(self) -> None:
        self._lacking = self._foreign = self._described = None
        self._owners = {}

    def _package(self, infohash: str) -> _Held | None:
        found = self._held.pop(infohash, None)
        if found is None:
            package = self._library.package(infohash)
            if package is None:
                return None
            files, starts, blocks = [], [], 0
            for entry in package.torrent.files:
                files.append(entry.file)
                starts.append(blocks)
                blocks += block_count(entry.file.length)
            found = _Held(package, tuple(files), tuple(starts), blocks)
        self._held[infohash] = found
        while len(self._held) > 1 and sum(held.blocks for held in self._held.values()) > _AT_HAND:
            del self._held[next(iter(self._held))]
        return found

    def _map(self, held: _Held, file: FileId) -> BlockMap | None:
        """None when the file is an object."""
        if self._objects.get(file.root) == file.length:
            return None
        return self._arrivals.map(file, held.package.leaves[file.root])

    def _lacks(self, held: _Held, first: int, count: int) -> tuple[list[int], set[int]]:
        """Blocks of a chunk that lack, counted from its first; and those of files that this box does not
        want and has not."""
        found, unwanted = list[int](), set[int]()
        wanted = (self._lacking or {}).get(held.package.entry.infohash, {})
        number = first
        while number < first + count:
            file, index = held.place(number)
            end = min(block_count(file.length), index + first + count - number)
            before = number - first - index
            if self._objects.get(file.root) != file.length:
                if file.root in wanted:
                    flags = self._arrivals.map(file, held.package.leaves[file.root]).flags
                    found += [before + at for at in range(index, end) if not flags[at]]
                else:
                    unwanted.update(range(before + index, before + end))
            number += end - index
        return found, unwanted

    # Using what was kept

    def described(self, infohashes: Iterable[str]) -> None:
        """These packages' files are known now: take what came before. `commit` goes on with it."""
        names = set(infohashes)
        if not names:
            return
        self._forget_lookups()
        self._look()
        groups = {shards.group for shards in self._stash.groups() if shards.group[0] == "b"}
        for infohash in names if groups else ():
            held = self._package(infohash)
            for file in held.files if held is not None else ():
                group = f"b {file.root} {file.length}"
                if held is not None and group in groups:
                    for number in sorted(self._stash.numbers(group)):
                        data = self._stash.one(group, number)
                        if data is not None and number < block_count(file.length):
                            self._write(held, file, number, data)
                    self._stash.remove([group])
                    groups.discard(group)
        self._dirty |= names
        self._changed = True

    def commit(self) -> None:
        """Decode what can be decoded, keep within the space allowed, and make all of it durable. Raises
        DiskFullError, StorageError."""
        if not self._changed:
            return
        self._look()
        if self._dirty or self._stash.size() > self._limit():
            self._decode(self._stash.groups())
        self._evict()
        self.reception.save()
        self._store.sync()  # before the stash forgets the symbols that gave these blocks
        self._stash.commit()
        self._changed = False
        self._commits += 1
        self._ready |= {name for name in self._dirty if self._whole(name)}
        self._dirty.clear()
        self._taking.done()
        self._forget_lookups()
        self._arrivals.trim()

    def _whole(self, infohash: str) -> bool:
        wanted = (self._lacking or {}).get(infohash)
        held = self._package(infohash) if wanted else None
        if held is None or not wanted:
            return False
        maps = [self._map(held, file) for file in held.files if file.root in wanted]
        return all(block_map is None or block_map.whole for block_map in maps)

    def ready(self) -> set[str]:
        """The packages that have become whole since the last call."""
        found, self._ready = self._ready, set()
        self._commits += bool(found)
        return found

    def _decode(self, groups: Iterable[Shards]) -> None:
        for shards, infohash, first, count in _chunks(groups):
            if infohash not in self._dirty or infohash not in (self._lacking or ()):
                continue
            held = self._package(infohash)
            if held is None:
                continue
            if first + count > held.blocks:
                self._stash.remove([shards.group])
                continue
            lacks, unwanted = self._lacks(held, first, count)
            if not lacks:
                self._stash.remove([shards.group])
            elif shards.held >= len(lacks) + len(unwanted):
                self._decode_chunk(held, shards.group, first, count, lacks, unwanted)

    def _decode_chunk(
        self, held: _Held, group: str, first: int, count: int, lacks: list[int], unwanted: set[int]
    ) -> None:
        symbols = self._stash.read(group)
        missing = unwanted.union(lacks)
        for at in range(count):
            if at in missing:
                continue
            file, index = held.place(first + at)
            data = self._store.read_block(file, index)
            if data is None or not BlockMap(file, held.package.leaves[file.root]).fits(index, data):
                continue  # the disk has lost it: one symbol less
            symbols[at] = data.ljust(BLOCK, b"\0")
        try:
            blocks = self._fec.decode(count, symbols)
        except FormatError:
            self._stash.remove([group])
            self.reception.spoilt += 1
            return
        if blocks is None:
            return
        good = True
        for at in lacks:
            file, index = held.place(first + at)
            good = self._write(held, file, index, blocks[at][: block_length(file.length, index)]) and good
        self._stash.remove([group])
        if good:
            self.reception.decoded += 1
        else:  # some symbol was forged; the next cycle brings others
            self.reception.spoilt += 1

    # Space

    def _limit(self) -> int:
        spare = self._store.free() - self._reserve
        return max(0, min(self._space, self._stash.size() + spare))

    def _evict(self) -> None:
        """Forget the least useful: chunks of which the smallest share is here."""
        limit = self._limit()
        if self._stash.size() <= limit:
            return
        self.papers.evict(limit // 2)
        order = sorted(self._stash.groups(), key=lambda shards: (self._worth(shards), shards.latest))
        for shards in order:
            if self._stash.size() <= limit * 9 // 10:
                break
            self._stash.remove([shards.group])
            self.reception.forgotten += shards.held

    def _worth(self, shards: Shards) -> float:
        kind, name, *_ = shards.group.split(" ")
        if kind == "f":
            return 2.0
        if kind == "b":
            return 0.5
        _, _, first, count = shards.group.split(" ")
        held = self._package(name) if name in (self._lacking or ()) else None
        if held is None:
            return 0.5 * shards.held / int(count)
        lacks, unwanted = self._lacks(held, int(first), int(count))
        return shards.held / (len(lacks) + len(unwanted)) if lacks else 0.0

    def drop_unwanted(self) -> None:
        """Forget symbols and blocks that no wanted package needs, once all of them are known."""
        self._look()
        if not self._library.current or self._undescribed():
            self._forget_lookups()
            return
        roots = {root for files in (self._lacking or {}).values() for root in files}
        gone = []
        for shards in self._stash.groups():
            kind, name, *_ = shards.group.split(" ")
            keep = name in roots if kind == "b" else name in (self._lacking or {})
            if kind != "f" and not keep and self.reception.release <= int(self._state.meta("release") or 0):
                gone.append(shards.group)
        self._forget_lookups()
        if gone:
            self._stash.remove(gone)
            self._stash.commit()

    def _undescribed(self) -> bool:
        known = self._known()
        return any(name not in known and name not in self._library.blocked for name in self._library.entries)

    def status(self) -> dict[str, object]:
        """How reception is going, for people; looked at anew when something came."""
        if self._noted != self._commits:
            self._noted, self._status = self._commits, self._make_status()
        return self._status

    def _make_status(self) -> dict[str, object]:
        self._look()
        missing = sum(
            1 for _, infohash, _, _ in _chunks(self._stash.groups()) if infohash in (self._lacking or ())
        )
        wanted = lacks = 0
        for infohash, roots in (self._lacking or {}).items():
            wanted += self._library.entries[infohash].size if infohash in self._library.entries else 0
            lacks += sum(roots.values()) - self._arrivals.have_bytes(roots)
        waits = self._undescribed() or not self._library.current
        self._forget_lookups()
        return self.reception.status(missing, self._stash.size(), lacks // BLOCK, wanted // BLOCK, waits)


def _chunks(groups: Iterable[Shards]) -> Iterator[tuple[Shards, str, int, int]]:
    """The groups of repair symbols: infohash, first block, blocks."""
    for shards in groups:
        parts = shards.group.split(" ")
        if parts[0] == "r":
            yield shards, parts[1], int(parts[2]), int(parts[3])
