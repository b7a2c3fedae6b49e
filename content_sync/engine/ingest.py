"""Taking blocks out of drop folders: read each file once, match what it holds against whatever is wanted."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from content_sync.core.blocks import BlockMap
from content_sync.engine.offers import MAX_NAMED, DropOffer
from content_sync.engine.targets import Package
from content_sync.errors import DiskFullError
from content_sync.formats.hashtree import BLOCK, HASH
from content_sync.ports import DropPart, Drops, DropStat, State, Store

#: Blocks of a drop file that are read, remembered and matched as one: 128 MiB.
PART = 8192
#: Blocks looked for at once: bounds the memory of a match (about 300 bytes each).
_BATCH = 1 << 16
#: Blocks whose maps are kept between matches (33 bytes each); others are made again from the disk.
_MOST_KEPT = 1 << 20
#: What reading one file counts at least, so that a step ends among very many small ones.
_LEAST = 64 << 10
_SPACE_EVERY = 256


class Arrivals:
    """Block maps of the files that are arriving; those of the last ones are kept while there are bytes of
    them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._maps: dict[str, BlockMap] = {}  # the last used last
        self._counted: dict[str, int] = {}  # verified bytes of files whose map was dropped

    def maps(self, package: Package, objects: dict[str, int]) -> dict[str, BlockMap]:
        """Root -> map of each file of the package that is no object yet."""
        found = {}
        for entry in package.torrent.files:
            root = entry.file.root
            if objects.get(root) == entry.file.length:
                continue
            self._counted.pop(root, None)
            made = self._maps.pop(root, None)
            if made is None:
                blocks = self._store.partial_blocks(root)
                made = BlockMap.rebuilt(entry.file, package.leaves[root], blocks)
            found[root] = self._maps[root] = made
        return found

    def trim(self) -> None:
        """Drop the maps of files of which nothing is here, and of those that were not used for long."""
        kept: dict[str, BlockMap] = {}
        blocks = 0
        for root, made in reversed(self._maps.items()):
            blocks += len(made.leaves) // HASH if made.have_bytes else 0
            if made.have_bytes and blocks <= _MOST_KEPT:
                kept[root] = made
            elif made.have_bytes:
                self._counted[root] = made.have_bytes
        self._maps = dict(reversed(kept.items()))

    def reread(self, roots: Iterable[str]) -> None:
        """Others wrote into these: look at their bytes again."""
        for root in roots:
            known = self._maps.get(root)
            if known is not None:
                known.reload(self._store.partial_blocks(root))

    def forget(self, roots: Iterable[str]) -> None:
        """These are objects now, or no longer wanted."""
        for root in roots:
            self._maps.pop(root, None)
            self._counted.pop(root, None)

    def have_bytes(self, roots: Iterable[str]) -> int:
        """Verified bytes of these files."""
        return sum(
            self._maps[root].have_bytes if root in self._maps else self._counted.get(root, 0)
            for root in roots
        )


class Ingest:
    """One set of drop folders."""

    def __init__(
        self, drops: Drops, state: State, store: Store, arrivals: Arrivals, offer: DropOffer, reserve: int
    ) -> None:
        self._drops, self._state, self._store = drops, state, store
        self._arrivals, self._offer, self._reserve = arrivals, offer, reserve
        self._queue: deque[DropStat] = deque()
        self._begun: tuple[DropStat, int] | None = None  # a file read in part, and the block to go on at
        self._known: dict[str, DropStat] = {}
        self._changing: dict[str, DropStat] = {}

    def begin(self) -> None:
        """Learn what was read before this start."""
        self._known = self._state.drop_files()
        for stat in self._known.values():
            self._offer.learn(stat.path, stat.size)
        self._offer.settled()

    def scan(self) -> list[str]:
        """Find new, changed and vanished files; the paths that vanished. `read` goes on from there.

        A file that was read and is being written to is read again once it stands still between two scans or
        has grown by a quarter: a receiver that writes for hours must not be read all the time.
        """
        there = {stat.path: stat for stat in self._drops.scan()}
        gone = [path for path in self._known if path not in there]
        for path in gone:
            del self._known[path]
            self._offer.forget(path)
        self._state.forget_drop_files(gone)
        before, self._changing = self._changing, {}
        self._queue.clear()
        for path, stat in sorted(there.items()):
            known = self._known.get(path)
            if known == stat:
                continue
            if self._begun is not None and self._begun[0].path == path:
                known = self._begun[0]
            if known is not None and known != stat and before.get(path) != stat:
                self._changing[path] = stat
                if 4 * stat.size <= 5 * known.size:
                    continue
            self._queue.append(stat)
        return gone

    @property
    def pending(self) -> bool:
        """Whether `read` has something to do."""
        return bool(self._queue)

    @property
    def changing(self) -> bool:
        """Whether files that were read are being written to: scan again soon."""
        return bool(self._changing)

    def read(self, most: int) -> list[tuple[str, int]]:
        """Read new files until about `most` bytes are read: path and first block of each part that was read.

        A large file is read in parts, one a call or more.
        """
        parts: list[DropPart] = []
        while self._queue and most > 0:
            part = self._read_part(self._queue[0])
            parts.append(part)
            most -= max(len(part.leaves) // HASH * BLOCK, _LEAST)
            self._begun = None if part.last else (part.stat, part.first + PART)
            if part.last:
                self._queue.popleft()
        self._state.put_drop_parts(parts)
        for stat in (part.stat for part in parts if part.last):
            self._known[stat.path] = stat
            self._offer.learn(stat.path, stat.size)
        return [(part.stat.path, part.first) for part in parts]

    def _read_part(self, stat: DropStat) -> DropPart:
        """Leaves of the next part of a file, and the file's SHA-256 when it is small. Of a file that grew
        only the new parts are read: what matches is read and checked again before it is used, so old leaves
        can do no harm."""
        known = self._known.get(stat.path)
        first, leaves = 0, bytearray()
        whole = hashlib.sha256() if stat.size <= MAX_NAMED else None
        begun, at = self._begun or (None, 0)
        if begun is not None and (begun == stat or _grew(begun, stat)):
            first = at
        elif whole is None and known is not None and _grew(known, stat):
            blocks = known.size // BLOCK
            first = blocks // PART * PART
            leaves += self._state.drop_leaves(stat.path, first)[: (blocks - first) * HASH]
        last = True
        for data in self._drops.blocks(stat.path, first + len(leaves) // HASH):
            if first + len(leaves) // HASH > stat.size // BLOCK:
                break  # it grows while we read: the next scan sees the rest
            if len(leaves) == PART * HASH:
                last = False
                break
            leaves += hashlib.sha256(data).digest()
            if whole is not None:
                whole.update(data)
        return DropPart(stat, first, bytes(leaves), None if whole is None else whole.hexdigest(), last)

    def forget_all(self, but: Iterable[str]) -> None:
        """Forget every file (a folder that was looked through once), `but` those."""
        self._state.forget_drop_files(set(self._known).difference(but))
        self._known.clear()

    @property
    def paths(self) -> list[str]:
        """Every file that was read."""
        return list(self._known)

    def parts(self) -> list[tuple[str, int]]:
        """Every part of those files."""
        return [part for part in self._state.drop_parts() if part[0] in self._known]

    def leaves(self, parts: Iterable[tuple[str, int]]) -> set[bytes]:
        """What these parts hold."""
        found: set[bytes] = set()
        for part in parts:
            found.update(_split(self._state.drop_leaves(*part)))
        return found

    def match(
        self,
        packages: Iterable[Package],
        parts: Sequence[tuple[str, int]],
        hold: Callable[[str], None],
        touched: set[str],
    ) -> None:
        """Take every block of these parts that a package lacks; infohashes that got some are added to
        `touched`.

        `hold(root)` is called before the first block of a file is written: no one else may write to it
        from then on. Raises DiskFullError when the reserve is reached, StorageError.
        """
        objects = self._state.objects()
        held: set[str] = set()
        wanted: dict[bytes, list[tuple[str, BlockMap, int]]] = {}

        def look() -> None:
            for path, first in parts if wanted else ():
                for number, leaf in enumerate(_split(self._state.drop_leaves(path, first)), first):
                    if leaf in wanted:
                        self._take(path, number, wanted[leaf], touched, held, hold)
            wanted.clear()
            self._arrivals.trim()

        count = 0
        for package in packages:
            for block_map in self._arrivals.maps(package, objects).values():
                for index, leaf in block_map.missing():
                    wanted.setdefault(leaf, []).append((package.entry.infohash, block_map, index))
                    count += 1
                    if count % _BATCH == 0:
                        look()
        look()

    def _take(
        self,
        path: str,
        number: int,
        hits: list[tuple[str, BlockMap, int]],
        touched: set[str],
        held: set[str],
        hold: Callable[[str], None],
    ) -> None:
        data: bytes | None = None
        for infohash, block_map, index in hits:
            if not block_map.lacks(index):
                continue
            data = self._drops.block(path, number) if data is None else data
            if data is None or not block_map.fits(index, data):
                continue
            root = block_map.file.root
            look = root not in held or index % _SPACE_EVERY == 0
            if look and self._store.free() <= self._reserve:
                raise DiskFullError(f"the reserve is reached, the rest of {path} is not taken")
            if root not in held:
                hold(root)
                held.add(root)
                if not block_map.lacks(index):
                    continue
            touched.add(infohash)
            self._store.write_block(block_map.file, index, data)
            block_map.mark(index)


def _grew(before: DropStat, now: DropStat) -> bool:
    """Whether it is the same file, only longer."""
    return (before.path, before.inode) == (now.path, now.inode) and before.size < now.size


def _split(leaves: bytes) -> Iterable[bytes]:
    return (leaves[at : at + HASH] for at in range(0, len(leaves), HASH))
