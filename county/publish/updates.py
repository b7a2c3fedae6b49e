"""`county system-update`: a file of programs becomes a lesson of the release, signed with the root key
(formats.md 18).

The root key and no other: whoever may change what boxes trust may change their programs. The online keys lie
on a server that the Internet reaches.
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

from content_sync.adapters.files import make_folder, storage_errors
from content_sync.errors import FormatError, NotFoundError, RollbackError, SourceError, TargetError
from content_sync.formats import dsse
from content_sync.formats.canonical import load, need
from content_sync.formats.hashtree import FileId
from content_sync.formats.lesson import MAX_LESSON, ResourceFile, parse_lesson
from content_sync.formats.paths import check_component
from content_sync.formats.update import (
    MANIFEST,
    MAX_FILE,
    MAX_FILES,
    MAX_SIGNED,
    MAX_UPDATE,
    SYSTEM,
    UPDATE_TYPE,
    Update,
    UpdateFile,
    check_kind,
    dump_update,
    is_update,
    parse_update,
    update_collection,
    update_lesson,
)
from content_sync.settings import Settings
from county.config import CountyPaths
from county.library import LessonRow, Library
from county.publish.derive import NewBar
from county.publish.publish import Published, Run, alone
from county.publish.scan import teaching_order
from county.publish.signing import Repository
from county.publish.store import Store

#: What stands first in an update's file: for which machines it is, its number, its version.
FACTS = "facts.json"
_PIECE = 1 << 20


class Listed(Struct, frozen=True):
    """An update that the release holds, and whether only the boxes that try first are to take it."""

    update: Update
    pilot: bool
    lesson: str
    size: int


def publish_update(
    paths: CountyPaths,
    settings: Settings,
    file: Path,
    root_key: Path,
    clock: Callable[[], float],
    new_bar: NewBar,
    pilot: bool = False,
    allow_date: bool = False,
) -> tuple[Published, Listed]:
    """Sign `file` (images/update.py made it) and put it into the release beside all that is there.

    Raises SignatureError when `root_key` is not this county's, RollbackError when it is no newer than what is
    published for these machines, FormatError, SourceError, BusyError, ClockError, DiskFullError; then the old
    release stands.
    """
    with alone(paths), Library.open(paths.library_db, write=True) as library:
        run = _run(paths, settings, library, clock, new_bar)
        work = paths.work / "update"
        shutil.rmtree(work, ignore_errors=True)
        try:
            update, held = _read(file, work, run)
            _check_newer(update, pilot, listed(run))
            manifest = run.repository.sign_with_root(root_key, UPDATE_TYPE, dump_update(update))
            identity, leaves = run.store.admit_bytes(manifest)
            with library.transaction():
                library.put_objects([(identity, leaves), *held])
            files = (
                ResourceFile(MANIFEST, "main", identity),
                *(ResourceFile(f.name, "part", FileId(f.root, f.size)) for f in update.files),
            )
            lesson = update_lesson(update, files, pilot)
            made = run.pack_one(lesson, int(clock()))
            kept = [run.kept(row) for row in library.lessons() if row.id != lesson.id]
            kept.append(made)
            kept.sort(key=lambda entry: teaching_order(entry.lesson))
            # Adopted: `county publish` leaves it as it is.
            done = run.release(kept, int(clock()), allow_date, 0, [lesson.id])
            return done, Listed(update, pilot, lesson.id, made.package.size)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def withdraw_update(
    paths: CountyPaths,
    settings: Settings,
    kind: str,
    clock: Callable[[], float],
    new_bar: NewBar,
    pilot: bool = False,
    allow_date: bool = False,
) -> Published:
    """Take an update out of the release. Boxes that have it keep it. Raises NotFoundError, and as above."""
    wanted = update_collection(check_kind(kind), pilot)
    with alone(paths), Library.open(paths.library_db, write=True) as library:
        run = _run(paths, settings, library, clock, new_bar)
        rows = library.lessons()
        gone = [row.id for row in rows if row.collection == wanted]
        if not gone:
            raise NotFoundError(f"an update for {kind}")
        with library.transaction():
            library.mark_adopted(gone, False)
        kept = [run.kept(row) for row in rows if row.id not in gone]
        return run.release(kept, int(clock()), allow_date, 0)


def list_updates(
    paths: CountyPaths, settings: Settings, clock: Callable[[], float], new_bar: NewBar
) -> list[Listed]:
    """The updates of the newest release."""
    with Library.open(paths.library_db) as library:
        return listed(_run(paths, settings, library, clock, new_bar))


def listed(run: Run) -> list[Listed]:
    """The updates of the library that `run` is of."""
    found = []
    for row in run.library.lessons():
        if is_update(row.collection):
            found.append(_listed(run, row))
    return found


def _listed(run: Run, row: LessonRow) -> Listed:
    package = run.library.package(row.infohash)
    if package is None:
        raise FormatError(f"library.db does not know the package of {row.title}")
    files = run.library.package_files(row.infohash)
    lesson = parse_lesson(run.store.read(package.lesson_root, MAX_LESSON))
    data = run.store.read(files[MANIFEST].root, MAX_SIGNED)
    update = parse_update(dsse.parse_signed(data, UPDATE_TYPE, MAX_SIGNED).payload)
    return Listed(update, lesson.collection == update_collection(update.kind, True), row.id, package.size)


def _run(
    paths: CountyPaths, settings: Settings, library: Library, clock: Callable[[], float], new_bar: NewBar
) -> Run:
    repository = Repository(paths.public, paths.keys, settings.number("expire_days"))
    return Run(paths, library, repository, Store(paths.objects, paths.work / "update"), clock, new_bar)


def _check_newer(update: Update, pilot: bool, here: list[Listed]) -> None:
    for one in here:
        same = one.update.kind == update.kind
        if same and one.pilot == pilot and one.update.number > update.number:
            raise RollbackError(
                f"{update.kind} {update.version} has number {update.number}; {one.update.version} with number"
                f" {one.update.number} is published already, and no box goes back"
            )


def _read(file: Path, work: Path, run: Run) -> tuple[Update, list[tuple[FileId, bytes]]]:
    """What is in an update's file, admitted to the library. Raises FormatError, SourceError, PathError."""
    held: list[tuple[FileId, bytes]] = []
    files: list[UpdateFile] = []
    facts: dict[str, Any] | None = None
    try:
        make_folder(work)
        with storage_errors(file.name), tarfile.open(file, "r:") as archive:
            for member in archive:
                name = check_component(member.name)
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is None or not 0 < member.size <= MAX_FILE or len(files) > MAX_FILES:
                    raise FormatError(f"{name} can't be in an update")
                if facts is None:
                    if name != FACTS:
                        raise FormatError(f"{file.name} does not begin with {FACTS}")
                    facts = load(stream.read(MAX_UPDATE), MAX_UPDATE)
                    continue
                place = work / "member"
                with storage_errors(name), place.open("wb") as out:
                    shutil.copyfileobj(stream, out, _PIECE)
                identity, leaves = run.store.admit_made(place)
                held.append((identity, leaves))
                files.append(_measure(name, place, identity))
                place.unlink()
    except tarfile.TarError as error:
        raise FormatError(f"{file.name} is no file of an update: {error}") from None
    if facts is None or not files:
        raise SourceError(f"{file.name} holds no update")
    update = Update(
        need(facts, "for", str), need(facts, "number", int), need(facts, "version", str), tuple(files)
    )
    return parse_update(dump_update(update)), held


def _measure(name: str, place: Path, identity: FileId) -> UpdateFile:
    with place.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    raw = None
    if name == SYSTEM:
        try:
            with lzma.open(place, "rb") as unpacked:
                raw = _digest(unpacked)
        except (lzma.LZMAError, EOFError) as error:
            raise TargetError(f"{name} can't be unpacked: {error}") from None
    return UpdateFile(name, identity.root, identity.length, sha256, raw)


def _digest(stream: IO[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while data := stream.read(_PIECE):
        digest.update(data)
        size += len(data)
        if size > MAX_FILE:
            raise FormatError(f"a system of more than {MAX_FILE} bytes")
    return size, digest.hexdigest()
