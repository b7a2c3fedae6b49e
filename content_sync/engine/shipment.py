"""What is to be carried on a stick: the signed files of a release, and of which packages what."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence

from msgspec import Struct

from content_sync.core.order import teaching_order
from content_sync.core.trust import MAX_ROOT, MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP, check_target
from content_sync.engine.refresh import MakeTrust, named_version
from content_sync.errors import NotFoundError
from content_sync.formats import bag
from content_sync.formats.canonical import time_text
from content_sync.formats.collection import (
    Collection,
    LessonEntry,
    TargetRef,
    parse_collection,
    parse_subject,
    subscribes,
)
from content_sync.formats.request import Request, Rest
from content_sync.formats.update import is_update
from content_sync.ports import Shelf, Trust

#: Path in the bag and bytes.
Signed = tuple[str, bytes]


class Load(Struct, frozen=True):
    """A package to carry. `begin(root)`: the block from which on a file of it is to go, None: not at all."""

    entry: LessonEntry
    begin: Callable[[str], int | None]


class Release(Struct, frozen=True):
    """A stored release: its number and county, its signed files in the order to write them (the timestamp
    last), its collections in teaching order."""

    number: int
    county: str
    signed: tuple[Signed, ...]
    collections: tuple[Collection, ...]


def open_release(shelf: Shelf, make: MakeTrust, patterns: Sequence[str]) -> Release:
    """The release that lies on a shelf, verified; of its indexes those that `patterns` name and that are
    here. Raises NotFoundError before the first release, TrustError, FormatError, StorageError."""
    timestamp = shelf.get("metadata/timestamp.json", MAX_TIMESTAMP)
    if timestamp is None:
        raise NotFoundError("there is no release yet")
    snapshot_name = f"{named_version(timestamp, 'snapshot.json', MAX_TIMESTAMP)}.snapshot.json"
    snapshot = _metadata(shelf, snapshot_name, MAX_SNAPSHOT)
    targets_name = f"{named_version(snapshot, 'targets.json', MAX_SNAPSHOT)}.targets.json"
    targets = _metadata(shelf, targets_name, MAX_TARGETS)
    numbers = sorted(
        int(number)
        for name in shelf.names("metadata")
        if name.endswith(".root.json") and (number := name.removesuffix(".root.json")).isdecimal()
    )
    roots = [(f"{number}.root.json", _metadata(shelf, f"{number}.root.json", MAX_ROOT)) for number in numbers]
    trust = make([data for _, data in roots], timestamp, snapshot, targets)
    indexes, collections = _indexes(shelf, trust, tuple(patterns))
    levels = [*roots, (targets_name, targets), (snapshot_name, snapshot)]
    signed = [*indexes, *((bag.metadata_path(name), data) for name, data in levels)]
    signed.append((bag.metadata_path("timestamp.json"), timestamp))
    return Release(trust.release, trust.county, tuple(signed), tuple(sorted(collections, key=teaching_order)))


def bag_info(release: Release, now: int) -> dict[str, str]:
    """What bag-info.txt says; `now` is unix seconds."""
    return {
        "Source-Organization": release.county,
        "Bagging-Date": time_text(now)[:10],
        "External-Description": f"课箱 Lesson Box, release {release.number}",
    }


def _metadata(shelf: Shelf, name: str, cap: int) -> bytes:
    data = shelf.get(f"metadata/{name}", cap)
    if data is None:
        raise NotFoundError(f"{name} of the release is not there")
    return data


def _indexes(shelf: Shelf, trust: Trust, patterns: tuple[str, ...]) -> tuple[list[Signed], list[Collection]]:
    signed: list[Signed] = []
    collections = []
    for ref in trust.subjects.values():
        data = _target(shelf, ref)
        if data is None:
            continue  # a box keeps only what it subscribes to
        signed.append((bag.index_path(ref.sha256), data))
        for listed in parse_subject(data).collections:
            named = subscribes(patterns, listed.id) or is_update(listed.id)
            data = _target(shelf, listed.index) if named else None
            if data is not None:
                signed.append((bag.index_path(listed.index.sha256), data))
                collections.append(parse_collection(data))
    return signed, collections


def _target(shelf: Shelf, ref: TargetRef) -> bytes | None:
    data = shelf.get(f"targets/{ref.url_path}", ref.length)
    if data is not None:
        check_target(ref, data)
    return data


def for_requests(release: Release, requests: Sequence[Request]) -> list[Load]:
    """What these boxes lack, each package once, in the order in which boxes want it first of all."""
    found: list[tuple[int, int, Load]] = []
    ranks = [{infohash: rank for rank, infohash in enumerate(request.wanted)} for request in requests]
    place = 0
    for collection in release.collections:
        if is_update(collection.id):  # each is for some machines only: who wants it says so
            loads = [
                (min(r[e.infohash] for r in ranks if e.infohash in r), e)
                for e in collection.lessons
                if any(e.infohash in r for r in ranks)
            ]
            found += [(rank, 0, Load(e, _lacking(requests, e.infohash))) for rank, e in loads]
            continue
        asking = [i for i, request in enumerate(requests) if subscribes(request.collections, collection.id)]
        for entry in collection.lessons if asking else ():
            place += 1
            rank = min(ranks[i].get(entry.infohash, 1 << 30) for i in asking)
            found.append((rank, place, Load(entry, _lacking([requests[i] for i in asking], entry.infohash))))
    return [load for _, _, load in sorted(found, key=lambda item: item[:2])]


def _lacking(requests: Sequence[Request], infohash: str) -> Callable[[str], int | None]:
    return lambda root: 0 if any(request.lacks(infohash, root) for request in requests) else None


def for_all(release: Release, held: Container[str] | None = None) -> list[Load]:
    """Every package of the release's collections (or those `held`), whole."""
    entries = (entry for collection in release.collections for entry in collection.lessons)
    return [Load(entry, lambda root: 0) for entry in entries if held is None or entry.infohash in held]


def for_rest(release: Release, rest: Rest) -> list[Load]:
    """What a full stick left over, as far as the release still lists it."""
    entries = {entry.infohash: entry for collection in release.collections for entry in collection.lessons}
    return [Load(entries[name], files.get) for name, files in rest.lessons if name in entries]


def only(loads: Iterable[Load], held: Container[str]) -> list[Load]:
    """Those loads whose package is `held`."""
    return [load for load in loads if load.entry.infohash in held]
