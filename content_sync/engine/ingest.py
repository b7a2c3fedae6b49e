"""Taking blocks out of drop folders: read each file once, match what it holds against whatever is wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from content_sync.core.blocks import BlockMap
from content_sync.engine.offers import MAX_NAMED, DropOffer
from content_sync.engine.targets import Package
from content_sync.errors import DiskFullError
from content_sync.formats.hashtree import BLOCK, HASH
from content_sync.ports import Drops, DropStat, State, Store

#: Leaves looked for at once: bounds the memory of a match (about 150 bytes each).
_BATCH = 1 << 18
_SPACE_EVERY = 256


class Arrivals:
    """Block maps of the files that are arriving; kept while there are bytes of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._maps: dict[str, BlockMap] = {}

    def maps(self, package: Package, objects: dict[str, int]) -> dict[str, BlockMap]:
        """Root -> map of each file of the package that is no object yet."""
        found = {}
        for entry in package.torrent.files:
            root = entry.file.root
            if objects.get(root) == entry.file.length:
                continue
            if root not in self._maps:
                self._maps[root] = BlockMap.rebuilt(
                    entry.file, package.leaves[root], self._store.partial_blocks(root)
                )
            found[root] = self._maps[root]
        return found

    def trim(self) -> None:
        """Drop the maps of files of which nothing is here: they cost memory and are made again from
        nothing."""
        self._maps = {root: made for root, made in self._maps.items() if made.have_bytes}

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

    def have_bytes(self, roots: Iterable[str]) -> int:
        """Verified bytes of these files."""
        return sum(self._maps[root].have_bytes for root in roots if root in self._maps)


class Ingest:
    """One set of drop folders."""

    def __init__(
        self, drops: Drops, state: State, store: Store, arrivals: Arrivals, offer: DropOffer, reserve: int
    ) -> None:
        self._drops, self._state, self._store = drops, state, store
        self._arrivals, self._offer, self._reserve = arrivals, offer, reserve
        self._queue: list[DropStat] = []
        self._known: dict[str, DropStat] = {}

    def begin(self) -> None:
        """Learn what was read before this start."""
        self._known = self._state.drop_files()
        for stat in self._known.values():
            self._offer.learn(stat.path, stat.size)
        self._offer.settled()

    def scan(self) -> list[str]:
        """Find new, changed and vanished files; the paths that vanished. `read` goes on from there."""
        there = {stat.path: stat for stat in self._drops.scan()}
        gone = [path for path in self._known if path not in there]
        for path in gone:
            del self._known[path]
            self._offer.forget(path)
        self._state.forget_drop_files(gone)
        self._queue = [stat for path, stat in sorted(there.items()) if self._known.get(path) != stat]
        return gone

    @property
    def pending(self) -> bool:
        """Whether `read` has something to do."""
        return bool(self._queue)

    def read(self, most: int) -> list[str]:
        """Read new files until `most` bytes are read; their paths."""
        paths: list[str] = []
        while self._queue and most > 0:
            stat = self._queue.pop(0)
            leaves, sha256 = self._hash(stat)
            most -= stat.size
            self._state.put_drop_file(stat, sha256, leaves)
            self._known[stat.path] = stat
            paths.append(stat.path)
            self._offer.learn(stat.path, stat.size)
        return paths

    def _hash(self, stat: DropStat) -> tuple[bytes, str | None]:
        """Leaves of the file, and its SHA-256 when it is small. Of a file that grew only the new part is
        read: what matches is read and checked again before it is used, so old leaves can do no harm."""
        known = self._known.get(stat.path)
        kept = b""
        if known is not None and known.inode == stat.inode and known.size < stat.size:
            kept = self._state.drop_leaves(stat.path)[: known.size // BLOCK * HASH]
        leaves = bytearray(kept)
        whole = hashlib.sha256() if stat.size <= MAX_NAMED else None
        if whole is not None:
            leaves.clear()
        for data in self._drops.blocks(stat.path, len(leaves) // HASH):
            leaves += hashlib.sha256(data).digest()
            if whole is not None:
                whole.update(data)
            if len(leaves) > (stat.size // BLOCK + 1) * HASH:
                break  # it grows while we read: the next scan sees the rest
        return bytes(leaves), None if whole is None else whole.hexdigest()

    def forget_all(self) -> None:
        """Forget every file (a folder that was looked through once)."""
        self._state.forget_drop_files(list(self._known))
        self._known.clear()

    @property
    def paths(self) -> list[str]:
        """Every file that was read."""
        return list(self._known)

    def match(
        self,
        packages: Iterable[Package],
        paths: Sequence[str],
        hold: Callable[[str], None],
        touched: set[str],
    ) -> None:
        """Take every block of these files that a package lacks; infohashes that got some are added to
        `touched`.

        `hold(infohash)` is called before the first block of a package is written: no one else may write to
        its files from then on. Raises DiskFullError when the reserve is reached, StorageError.
        """
        objects = self._state.objects()
        for batch in _batches(packages):
            wanted: dict[bytes, list[tuple[str, BlockMap, int]]] = {}
            for package in batch:
                for block_map in self._arrivals.maps(package, objects).values():
                    for index, leaf in block_map.missing():
                        wanted.setdefault(leaf, []).append((package.entry.infohash, block_map, index))
            for path in paths if wanted else ():
                leaves = self._state.drop_leaves(path)
                for start in range(0, len(leaves), HASH):
                    hits = wanted.get(leaves[start : start + HASH])
                    if hits:
                        self._take(path, start // HASH, hits, touched, hold)
            self._arrivals.trim()

    def _take(
        self,
        path: str,
        number: int,
        hits: list[tuple[str, BlockMap, int]],
        touched: set[str],
        hold: Callable[[str], None],
    ) -> None:
        data: bytes | None = None
        for infohash, block_map, index in hits:
            if not block_map.lacks(index):
                continue
            data = self._drops.block(path, number) if data is None else data
            if data is None or not block_map.fits(index, data):
                continue
            if infohash not in touched:
                if self._store.free() <= self._reserve:
                    raise DiskFullError(f"the reserve is reached, {path} is not taken")
                hold(infohash)
                touched.add(infohash)
                if not block_map.lacks(index):
                    continue
            if index % _SPACE_EVERY == 0 and self._store.free() <= self._reserve:
                raise DiskFullError(f"the reserve is reached, the rest of {path} is not taken")
            self._store.write_block(block_map.file, index, data)
            block_map.mark(index)


def _batches(packages: Iterable[Package]) -> Iterator[list[Package]]:
    batch: list[Package] = []
    count = 0
    for package in packages:
        batch.append(package)
        count += sum(len(leaves) for leaves in package.leaves.values()) // HASH
        if count >= _BATCH:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch
