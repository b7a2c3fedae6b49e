"""The signed files below targets: indexes, and each package's torrent and leaf lists."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from itertools import chain
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from content_sync.core.order import teaching_order
from content_sync.core.trust import check_target
from content_sync.engine.offers import Offer
from content_sync.engine.problems import Problems
from content_sync.errors import (
    FormatError,
    LessonError,
    NetworkError,
    StorageError,
    TargetError,
    TorrentError,
)
from content_sync.formats import lesson, torrent
from content_sync.formats.canonical import is_hex
from content_sync.formats.collection import (
    MAX_LEAVES,
    Collection,
    LessonEntry,
    Subject,
    TargetRef,
    parse_collection,
    parse_subject,
    subscribes,
    touches_subject,
)
from content_sync.formats.hashtree import HASH, FileId, Hasher, block_count
from content_sync.formats.torrent import Torrent, TorrentFile
from content_sync.formats.update import is_update
from content_sync.ports import Shelf, State, Store

_T = TypeVar("_T", Collection, Subject)
#: What a request costs beside its bytes; what parts must spare; how much is read at once to spare asking.
_ASKING, _WORTH, _READ_MOST = 700, 100, 128 << 20


class Catalogue(Struct, frozen=True):
    """What a release lists for this box: the collections that it subscribes to, and the indexes they came
    from."""

    release: int
    collections: tuple[Collection, ...]
    indexes: tuple[TargetRef, ...]
    #: Ids of those that are not subscribed to any more and hold just what is here.
    kept: frozenset[str] = frozenset()


class Package(Struct, frozen=True):
    """A lesson's package, described: its checked torrent and the checked leaf list of each root."""

    entry: LessonEntry
    torrent: Torrent
    leaves: dict[str, bytes]
    #: Paths of the files that this box fetches; None: all.
    chosen: frozenset[str] | None = None

    @property
    def files(self) -> tuple[TorrentFile, ...]:
        """The files that this box fetches, in the torrent's order."""
        if self.chosen is None:
            return self.torrent.files
        return tuple(file for file in self.torrent.files if file.path in self.chosen)

    @property
    def description(self) -> FileId | None:
        """The identity of lesson.json; None when the package has none."""
        return next((file.file for file in self.torrent.files if file.path == lesson.NAME), None)


class Targets:
    """Reads targets from trust/, else from offers, and keeps there what was checked."""

    def __init__(self, shelf: Shelf, state: State, problems: Problems, store: Store) -> None:
        self._shelf, self._state, self._problems, self._store = shelf, state, problems, store

    def named(self, folder: str, ref: TargetRef, offers: Sequence[Offer]) -> bytes | None:
        """The first offer's bytes that are what was signed; None when nobody has them now."""
        for offer in offers:
            found = None
            with self._problems.refusal(ref.path) as refusal:
                try:
                    found = offer.named(folder, ref)
                except NetworkError:
                    continue
                if found is not None:
                    check_target(ref, found[1])
            if refusal.error is None and found is not None:
                self._problems.solved(ref.path)
                return found[1]
        return None

    def get(self, ref: TargetRef, offers: Sequence[Offer]) -> bytes | None:
        """A target's bytes as signed, or None when they are not to be had now."""
        path = f"targets/{ref.url_path}"
        data = self._shelf.get(path, ref.length)
        if data is not None and _is(ref, data):
            return data
        data = self.named("targets", ref, offers)
        if data is not None:
            self._shelf.put(path, data)
        return data

    def _parsed(
        self, ref: TargetRef, offers: Sequence[Offer], parse: Callable[[bytes], _T], identity: str
    ) -> _T | None:
        data = self.get(ref, offers)
        if data is None:
            return None
        with self._problems.refusal(ref.path):
            made = parse(data)
            if made.id != identity:
                raise FormatError(f"{ref.path} says it is {made.id}")
            return made
        return None

    def catalogue(
        self, release: int, subjects: dict[str, TargetRef], patterns: tuple[str, ...], offers: Sequence[Offer]
    ) -> Catalogue | None:
        """Everything that a release lists for these patterns; None while an index lacks. What is here of
        other collections and still stands in the release stays until its room is needed."""
        here = {row.collection: row.id for row in self._state.lessons() if row.present is not None}
        found: list[tuple[Collection, TargetRef]] = []
        kept: set[str] = set()
        for identity, ref in subjects.items():
            old = any(name.partition("-")[0] == identity for name in here)
            if not old and not touches_subject(patterns, identity):
                continue
            subject = self._parsed(ref, offers, parse_subject, identity)
            if subject is None:
                return None
            for entry in subject.collections:
                wanted = _subscribed(patterns, entry.id)
                if not wanted and entry.id not in here:
                    continue
                collection = self._parsed(entry.index, offers, parse_collection, entry.id)
                if collection is None:
                    return None
                if not wanted:
                    collection = self._held(collection)
                    kept.add(collection.id)
                found.append((collection, entry.index))
        found.sort(key=lambda pair: teaching_order(pair[0]))
        collections = tuple(pair[0] for pair in found)
        return Catalogue(release, collections, tuple(pair[1] for pair in found), frozenset(kept))

    def _held(self, collection: Collection) -> Collection:
        """With those of its lessons alone that are here as the release has them."""
        shown = {row.present for row in self._state.lessons()}
        return replace(collection, lessons=tuple(e for e in collection.lessons if e.infohash in shown))

    def applied(self) -> Catalogue | None:
        """The catalogue that was applied last, from its stored indexes; None when there is none or it is
        damaged."""
        stored = json.loads(self._state.meta("applied") or "null")
        if stored is None:
            return None
        refs = tuple(TargetRef(*entry[:3]) for entry in stored)
        kept = frozenset(_collection_of(entry[0]) for entry in stored if entry[3:])
        found = [self._parsed(ref, (), parse_collection, _collection_of(ref.path)) for ref in refs]
        collections = tuple(
            self._held(collection) if collection.id in kept else collection
            for collection in found
            if collection is not None
        )
        if len(collections) != len(refs):
            return None
        return Catalogue(int(self._state.meta("release") or 0), collections, refs, kept)

    def apply(self, catalogue: Catalogue, subjects: dict[str, TargetRef]) -> bool:
        """Make a catalogue what the box wants, if it is not yet; whether lessons may have changed."""
        digest = json.dumps(
            [
                [
                    ref.path,
                    ref.length,
                    ref.sha256,
                    *(["kept"] if _collection_of(ref.path) in catalogue.kept else []),
                ]
                for ref in catalogue.indexes
            ]
        )
        facts = {"release": str(catalogue.release), "applied": digest}
        if self._state.meta("applied") == digest:
            self._state.set_meta(facts)
            return False
        self._state.apply(catalogue.collections, facts)
        keep = {ref.url_path for ref in [*catalogue.indexes, *subjects.values()]}
        for folder in ("subjects", "collections"):
            for name in self._shelf.names(f"targets/{folder}"):
                if f"{folder}/{name}" not in keep:
                    self._shelf.remove(f"targets/{folder}/{name}")
        self.clear_packages()
        return True

    def clear_packages(self) -> None:
        """Delete torrents and leaves of packages that are neither wanted nor present."""
        rows = self._state.lessons()
        needed = {row.wanted for row in rows} | {row.present for row in rows}
        for name in self._shelf.names("targets/packages"):
            parts = name.split(".")
            if len(parts) > 1 and is_hex(parts[1], 64) and parts[1] not in needed:
                self._shelf.remove(f"targets/packages/{name}")

    def package(self, entry: LessonEntry, offers: Sequence[Offer]) -> Package | None:
        """A lesson's package, described; None when its files are not to be had now.

        Raises TorrentError, LeavesError, LessonError, PathError…: what the county signed is no package.
        """
        data = self.get(entry.torrent, offers)
        if data is None:
            return None
        made = torrent.parse(data, entry.infohash)
        if made.name != entry.id:
            raise TorrentError(f"package {entry.infohash} is named {made.name}, not {entry.id}")
        if made.size != entry.size or len(made.files) != entry.files:
            raise LessonError(f"package {entry.infohash} has another size than its index says")
        leaves = self._parts_of_leaves(entry, made, offers) or self.get(entry.leaves, offers)
        if leaves is None:
            return None
        lists = torrent.split_leaves(made, leaves)
        return Package(entry, made, {file.file.root: lists[file.path] for file in made.files})

    def _parts_of_leaves(self, entry: LessonEntry, made: Torrent, offers: Sequence[Offer]) -> bytes | None:
        """A leaves file of which only the lists that lack were asked for; None when it is had whole. What is
        here already: the lists of the lesson's older version, of files that are objects, of single blocks."""
        path, lengths = f"targets/{entry.leaves.url_path}", torrent.leaves_lengths(made)
        if sum(lengths) != entry.leaves.length or self._shelf.get(path, entry.leaves.length) is not None:
            return None
        if self._state.drop_named(entry.leaves.sha256):
            return None  # a drop gives it whole, for nothing
        known = self._known_leaves(entry.infohash, made)
        parts = [
            known.get(file.file.root, bytes(size)) for file, size in zip(made.files, lengths, strict=True)
        ]
        found, at = bytearray(), 0
        lacking: list[tuple[int, int]] = []
        for file, part in zip(made.files, parts, strict=True):
            found += part
            if file.file.root not in known:
                if lacking and at - lacking[-1][1] < _ASKING:
                    lacking[-1] = lacking[-1][0], len(found)
                else:
                    lacking.append((at, len(found)))
            at = len(found)
        if sum(end - start + _ASKING for start, end in lacking) > entry.leaves.length + _ASKING - _WORTH:
            return None  # one request for all of it costs hardly more
        for start, end in lacking:
            data = self._part(entry.leaves, start, end - start, offers)
            if data is None:
                return None
            found[start:end] = data
        if not _is(entry.leaves, bytes(found)):
            return None
        self._shelf.put(path, bytes(found))
        return bytes(found)

    def _part(self, ref: TargetRef, first: int, count: int, offers: Sequence[Offer]) -> bytes | None:
        for offer in offers:
            with suppress(NetworkError):
                data = offer.part(ref, first, count)
                if data is not None and len(data) == count:
                    return data
        return None

    def _known_leaves(self, infohash: str, made: Torrent) -> dict[str, bytes]:
        known: dict[str, bytes] = {}
        for old in self._state.previous(infohash):
            known |= self.stored(old)
        read = 0
        for entry in made.files:
            file = entry.file
            if block_count(file.length) == 1:
                known[file.root] = bytes.fromhex(file.root)
            elif file.root not in known and self._store.has_object(file):
                read += file.length
                if read > _READ_MOST:
                    break
                hasher = Hasher()
                with suppress(StorageError):
                    for data in self._store.object_blocks(file.root):
                        hasher.update(data)
                if (made_of := hasher.finish())[0] == file:
                    known[file.root] = made_of[1]
        return known

    def stored(self, infohash: str) -> dict[str, bytes]:
        """The checked leaf list of each root of a package that was described here once, whatever release
        named it; nothing when it is not whole."""
        kept: dict[str, bytes] = {}
        for name in self._shelf.names("targets/packages"):
            parts = name.split(".")
            if len(parts) == 3 and parts[1] == infohash:
                kept[parts[2]] = self._shelf.get(f"targets/packages/{name}", MAX_LEAVES) or b""
        try:
            made = torrent.parse(kept.get("torrent", b""), infohash)
            lists = torrent.split_leaves(made, kept.get("leaves", b""))
        except FormatError:
            return {}
        return {file.file.root: lists[file.path] for file in made.files}

    def lists_any(self, entry: LessonEntry, leaves: Set[bytes]) -> bool:
        """Whether one of these leaves stands in a package's leaf lists, if those are here. Verifies nothing:
        it only tells which packages are worth the work."""
        data = self._shelf.get(f"targets/{entry.leaves.url_path}", entry.leaves.length) or b""
        whole = memoryview(data)[: len(data) // HASH * HASH]
        return not leaves.isdisjoint(chain.from_iterable(struct.iter_unpack(f"{HASH}s", whole)))


def _subscribed(patterns: tuple[str, ...], collection: str) -> bool:
    """Updates are for the machines that name them: `*` is every lesson, and no update."""
    return collection in patterns if is_update(collection) else subscribes(patterns, collection)


def _collection_of(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".json")


def _is(ref: TargetRef, data: bytes) -> bool:
    try:
        check_target(ref, data)
    except TargetError:
        return False
    return True
