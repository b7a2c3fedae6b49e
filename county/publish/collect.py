"""`county collect`: deletes what no kept release names: packages, indexes, metadata of old releases, objects.

Kept are the newest releases, by count and by age, and what they name. Sources are not touched; an object
stays while a file of a source that is still as it was when it was read is that object, since publishing goes
by it. Rows go first, in one transaction, then files: a run that was killed leaves files that nothing names,
and the next run finds them by looking at the disk. A serving county goes on: what goes was named by no
release for as long as the settings say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from content_sync.adapters.files import read_capped, remove, storage_errors, sync_folder
from content_sync.core.trust import MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP
from content_sync.errors import FormatError, StorageError
from content_sync.formats.canonical import is_hex, load
from content_sync.formats.collection import (
    MAX_COLLECTION,
    MAX_SUBJECT,
    TargetRef,
    parse_collection,
    parse_subject,
)
from content_sync.settings import Settings
from county.config import CountyPaths
from county.library import Library
from county.publish.publish import alone, package_refs

_FOLDERS = ("subjects", "collections", "packages")


class Collected(Struct, frozen=True):
    """What went: files below public/ and objects/, and their bytes; `kept`: releases that stay."""

    kept: int
    metadata: int
    targets: int
    objects: int
    bytes: int


class Named(Struct):
    """What the kept releases name: files below public/metadata and public/targets, and packages."""

    metadata: set[str]
    targets: set[str]
    packages: set[str]


def collect(
    paths: CountyPaths,
    settings: Settings,
    clock: Callable[[], float],
    dry_run: bool = False,
) -> Collected:
    """Delete what no kept release names. `dry_run`: only say what would go.

    Raises BusyError while `county publish` runs, SetupError, StorageError; a release that is damaged raises
    too, and then nothing goes.
    """
    with alone(paths), Library.open(paths.library_db, write=True) as library:
        keep = _releases(library, settings, int(clock()))
        named = _named(paths.public, keep)
        _name_library(library, named)
        roots = library.roots_kept(named.packages, _as_it_was)
        stale = [
            *_unnamed(paths.public / "metadata", named.metadata, _is_version),
            *(
                path
                for folder in _FOLDERS
                for path in _unnamed(paths.public / "targets" / folder, named.targets, _is_target)
            ),
        ]
        objects = [path for path in _objects(paths.objects) if path.name not in roots]
        size = 0
        for path in (*stale, *objects):
            with storage_errors(path.name):
                size += path.stat().st_size
        if not dry_run:
            library.forget_packages(named.packages, roots)
            for path in (*stale, *objects):
                with storage_errors(path.name):
                    remove(path)
            for folder in {path.parent for path in (*stale, *objects)}:
                with storage_errors(folder.name):
                    sync_folder(folder)
        metadata = sum(path.parent.name == "metadata" for path in stale)
        return Collected(len(keep), metadata, len(stale) - metadata, len(objects), size)


def _releases(library: Library, settings: Settings, now: int) -> set[int]:
    """Numbers of the releases that stay: the newest ones, and what was the library in the last days."""
    rows = library.releases()  # newest first
    since = now - settings.number("keep_days") * 86_400
    keep = {row.number for row in rows[: settings.number("keep_releases")]}
    for newer, row in zip((None, *rows), rows, strict=False):
        if newer is None or newer.issued > since:
            keep.add(row.number)
    return keep


def _named(public: Path, releases: set[int]) -> Named:
    """Read the signed files from the top. What `timestamp.json` leads to stays whatever library.db says."""
    found = Named(set(), set(), set())
    timestamp = load(read_capped(public / "metadata" / "timestamp.json", MAX_TIMESTAMP), MAX_TIMESTAMP)
    newest = f"{_version(timestamp, 'snapshot.json')}.snapshot.json"
    snapshots = [path.name for path in (public / "metadata").glob("*.snapshot.json")]
    for name in {newest, *snapshots}:
        snapshot = load(read_capped(public / "metadata" / name, MAX_SNAPSHOT), MAX_SNAPSHOT)
        release = _version(snapshot, "targets.json")
        if name == newest or release in releases:
            found.metadata |= {name, f"{release}.targets.json"}
    for name in [name for name in found.metadata if name.endswith(".targets.json")]:
        _name_targets(public, name, found)
    return found


def _name_library(library: Library, found: Named) -> None:
    """The lessons that publishing knows: a run that was cut off may not have noted what it signed."""
    for row in library.lessons():
        package = library.package(row.infohash)
        if package is not None:
            found.packages.add(row.infohash)
            found.targets |= {ref.url_path for ref in package_refs(package)}


def _name_targets(public: Path, name: str, found: Named) -> None:
    data = load(read_capped(public / "metadata" / name, MAX_TARGETS), MAX_TARGETS)
    signed = data.get("signed")
    listed = signed.get("targets") if isinstance(signed, dict) else None
    if not isinstance(listed, dict):
        raise FormatError(f"{name} lists no targets")
    for path, entry in listed.items():
        subject_ref = TargetRef(path, int(entry["length"]), str(entry["hashes"]["sha256"]))
        if subject_ref.url_path in found.targets:
            continue
        found.targets.add(subject_ref.url_path)
        subject = parse_subject(_target(public, subject_ref, MAX_SUBJECT))
        for collection_ref in (entry.index for entry in subject.collections):
            if collection_ref.url_path in found.targets:
                continue
            found.targets.add(collection_ref.url_path)
            collection = parse_collection(_target(public, collection_ref, MAX_COLLECTION))
            for lesson in collection.lessons:
                found.targets |= {lesson.torrent.url_path, lesson.leaves.url_path}
                found.packages.add(lesson.infohash)


def _target(public: Path, ref: TargetRef, cap: int) -> bytes:
    data = read_capped(public / "targets" / ref.url_path, cap)
    if len(data) != ref.length:
        raise StorageError(f"{ref.url_path} is not what was signed")
    return data


def _version(body: dict[str, object], name: str) -> int:
    signed = body.get("signed")
    meta = signed.get("meta") if isinstance(signed, dict) else None
    entry = meta.get(name) if isinstance(meta, dict) else None
    version = entry.get("version") if isinstance(entry, dict) else None
    if type(version) is not int:
        raise FormatError(f"{name} is not named")
    return version


def _unnamed(folder: Path, named: set[str], ours: Callable[[str], bool]) -> Iterator[Path]:
    """Files of ours in a folder that are not named."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = path.name if folder.name == "metadata" else f"{folder.name}/{path.name}"
        if ours(path.name) and name not in named and path.is_file():
            yield path


def _is_version(name: str) -> bool:
    """Snapshots and targets; roots stay for ever: a box that was off for years needs each."""
    number, _, rest = name.partition(".")
    return number.isdecimal() and rest in ("snapshot.json", "targets.json")


def _is_target(name: str) -> bool:
    return is_hex(name.partition(".")[0], 64)


def _objects(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("??/*")):
        if is_hex(path.name, 64) and path.parent.name == path.name[:2]:
            yield path


def _as_it_was(path: bytes, size: int, mtime_ns: int, inode: int) -> bool:
    """Whether a source file is there as it was when it was read."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns, found.st_ino) == (size, mtime_ns, inode)
