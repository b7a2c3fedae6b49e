"""The signed files below targets: indexes, and each package's torrent and leaf lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from content_sync.core.order import teaching_order
from content_sync.core.trust import check_target
from content_sync.engine.offers import Offer
from content_sync.engine.problems import Problems
from content_sync.errors import FormatError, LessonError, NetworkError, TargetError, TorrentError
from content_sync.formats import torrent
from content_sync.formats.canonical import is_hex
from content_sync.formats.collection import (
    Collection,
    LessonEntry,
    Subject,
    TargetRef,
    parse_collection,
    parse_subject,
    subscribes,
    touches_subject,
)
from content_sync.formats.hashtree import HASH
from content_sync.formats.torrent import Torrent
from content_sync.ports import Shelf, State

_T = TypeVar("_T", Collection, Subject)


@dataclass(frozen=True)
class Catalogue:
    """What a release lists for this box: the collections that it subscribes to, and the indexes they came
    from."""

    release: int
    collections: tuple[Collection, ...]
    indexes: tuple[TargetRef, ...]


@dataclass(frozen=True)
class Package:
    """A lesson's package, described: its checked torrent and the checked leaf list of each root."""

    entry: LessonEntry
    torrent: Torrent
    leaves: dict[str, bytes]


class Targets:
    """Reads targets from trust/, else from offers, and keeps there what was checked."""

    def __init__(self, shelf: Shelf, state: State, problems: Problems) -> None:
        self._shelf, self._state, self._problems = shelf, state, problems

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
        """Everything that a release lists for these patterns; None while an index lacks."""
        found: list[tuple[Collection, TargetRef]] = []
        for identity, ref in subjects.items():
            if not touches_subject(patterns, identity):
                continue
            subject = self._parsed(ref, offers, parse_subject, identity)
            if subject is None:
                return None
            for entry in subject.collections:
                if subscribes(patterns, entry.id):
                    collection = self._parsed(entry.index, offers, parse_collection, entry.id)
                    if collection is None:
                        return None
                    found.append((collection, entry.index))
        found.sort(key=lambda pair: teaching_order(pair[0]))
        return Catalogue(release, tuple(pair[0] for pair in found), tuple(pair[1] for pair in found))

    def applied(self) -> Catalogue | None:
        """The catalogue that was applied last, from its stored indexes; None when there is none or it is
        damaged."""
        stored = json.loads(self._state.meta("applied") or "null")
        if stored is None:
            return None
        refs = tuple(TargetRef(*entry) for entry in stored)
        found = [
            self._parsed(ref, (), parse_collection, ref.path.split("/")[-1].removesuffix(".json"))
            for ref in refs
        ]
        collections = tuple(collection for collection in found if collection is not None)
        if len(collections) != len(refs):
            return None
        return Catalogue(int(self._state.meta("release") or 0), collections, refs)

    def apply(self, catalogue: Catalogue, subjects: dict[str, TargetRef]) -> bool:
        """Make a catalogue what the box wants, if it is not yet; whether lessons may have changed."""
        digest = json.dumps([[ref.path, ref.length, ref.sha256] for ref in catalogue.indexes])
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
        leaves = None if data is None else self.get(entry.leaves, offers)
        if data is None or leaves is None:
            return None
        made = torrent.parse(data, entry.infohash)
        if made.name != entry.id:
            raise TorrentError(f"package {entry.infohash} is named {made.name}, not {entry.id}")
        if made.size != entry.size or len(made.files) != entry.files:
            raise LessonError(f"package {entry.infohash} has another size than its index says")
        lists = torrent.split_leaves(made, leaves)
        return Package(entry, made, {file.file.root: lists[file.path] for file in made.files})

    def lists_any(self, entry: LessonEntry, leaves: set[bytes]) -> bool:
        """Whether one of these leaves stands in a package's leaf lists, if those are here. Verifies nothing:
        it only tells which packages are worth the work."""
        data = self._shelf.get(f"targets/{entry.leaves.url_path}", entry.leaves.length) or b""
        return any(data[at : at + HASH] in leaves for at in range(0, len(data), HASH))


def _is(ref: TargetRef, data: bytes) -> bool:
    try:
        check_target(ref, data)
    except TargetError:
        return False
    return True
