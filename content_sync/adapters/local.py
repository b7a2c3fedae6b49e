"""Local lessons on a disk: `local/<id>/lesson.json`, and files on their way (formats.md 15)."""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from content_sync.adapters.archives import Cursor, Member, list_members
from content_sync.adapters.files import (
    clear_unfinished,
    cut,
    edited,
    make_durable,
    make_folder,
    move_durable,
    opened,
    read_capped,
    remove,
    storage_errors,
    sync_folder,
    write_at,
    write_durable,
)
from content_sync.adapters.local_requests import upload_path
from content_sync.adapters.objects import open_regular
from content_sync.errors import LessonBoxError, LocalError, NotFoundError
from content_sync.formats import bag
from content_sync.formats.canonical import is_hex
from content_sync.formats.hashtree import BLOCK, FileId, block_count
from content_sync.formats.lesson import MAX_LESSON, NAME
from content_sync.formats.local import check_local_id, is_local

_PORTION = 1 << 20
_ARRIVING = ".arriving"
_COPY = re.compile(r"[a-z0-9-]{1,80}")
#: Files of a courseware that are unpacked.
_MOST_MEMBERS = 5000


def _size(path: Path) -> int | None:
    with suppress(OSError, ValueError):
        found = os.lstat(path)
        return found.st_size if stat.S_ISREG(found.st_mode) else None
    return None


def _portions(path: Path) -> Iterator[bytes]:
    with storage_errors(path.name), open_regular(path) as stream:
        while data := stream.read(_PORTION):
            yield data


def stick_parts(place: Path, file: FileId) -> Iterator[bytes]:
    """A file of a local lesson on a stick: `<root>`, or parts of it one after the other. Not checked. Raises
    NotFoundError, StorageError."""
    if _size(place / file.root) is not None:
        yield from _portions(place / file.root)
        return
    first = 0
    while first < block_count(file.length):
        part = place / bag.part_name(file.root, first)
        size = _size(part)
        if not size or size % BLOCK and first * BLOCK + size != file.length:
            raise NotFoundError(f"{file.root[:16]} is not whole on the stick")
        yield from _portions(part)
        first += block_count(size)


class FileLocal:
    """ports.LocalStore. `folder` is local/, `uploads` where web leaves what is whole; `partial` is the
    store's; `received` the shelf's; below `sticks` media are mounted."""

    def __init__(
        self, folder: Path, uploads: Path, partial: Path, received: Path, sticks: Sequence[Path] = ()
    ) -> None:
        self._folder, self._uploads, self._partial, self._received = folder, uploads, partial, received
        self._sticks = tuple(sticks)
        self._zip: tuple[str, dict[str, Member]] = ("", {})
        with storage_errors(folder.name):
            make_folder(folder)
        clear_unfinished(folder)

    # Records

    def records(self) -> dict[str, bytes | None]:
        """What `local/<id>/lesson.json` hold; a folder without one is a remain, and goes."""
        found: dict[str, bytes | None] = {}
        with storage_errors(self._folder.name):
            for name in sorted(os.listdir(self._folder)):
                place = self._folder / name
                if not is_local(name) or not place.is_dir():
                    continue
                try:
                    found[name] = read_capped(place / NAME, 2 * MAX_LESSON)
                except NotFoundError:
                    self._tidy_record(place)
                except LessonBoxError:
                    found[name] = None
        return found

    def write(self, lesson: str, data: bytes) -> None:
        """Durably, all or nothing."""
        write_durable(self._folder / check_local_id(lesson) / NAME, data)

    def remove(self, lesson: str) -> None:
        """The record first; then its folder."""
        place = self._folder / check_local_id(lesson)
        with storage_errors(lesson):
            if place.is_dir():
                remove(place / NAME)
                sync_folder(place)
                self._tidy_record(place)

    def _tidy_record(self, place: Path) -> None:
        for path in place.iterdir():
            remove(path)
        with suppress(OSError):
            place.rmdir()
        sync_folder(self._folder)

    # Places

    def uploaded(self, upload: str) -> str:
        """incoming/uploads/<id>.data"""
        if not is_hex(upload, 16):
            raise NotFoundError("no such upload")
        return str(upload_path(self._uploads, upload))

    def copied(self, name: str) -> str:
        """local/.arriving/<name>"""
        assert _COPY.fullmatch(name), name
        return str(self._folder / _ARRIVING / name)

    def found(self, source: str, where: str) -> str:
        """A received file by its root, or a file below a medium's mount point, no link on the way."""
        if source == "received" and is_hex(where, 64):
            return str(self._received / where)
        if source == "stick" and self._on_stick(Path(where)):
            return where
        raise NotFoundError(f"{where[:200]} is not to be had")

    def _on_stick(self, path: Path) -> bool:
        with suppress(OSError, ValueError):
            real = path.resolve(strict=True)
            return real == path and any(real.is_relative_to(top.resolve()) for top in self._sticks)
        return False

    def _own(self, place: str) -> Path | None:
        """The place as a path when it is an upload or copy of ours; what a record says is not believed."""
        path = Path(place)
        upload = path.parent == self._uploads and path.suffix == ".data" and is_hex(path.stem, 16)
        copy = path.parent == self._folder / _ARRIVING and _COPY.fullmatch(path.name) is not None
        return path if upload or copy else None

    def size(self, place: str) -> int | None:
        """Of a regular file, links not followed."""
        return _size(Path(place))

    def portions(self, place: str) -> Iterator[bytes]:
        """1 MiB at a time."""
        return _portions(Path(place))

    def append(self, name: str, data: bytes, offset: int) -> None:
        """See ports.LocalStore."""
        path = Path(self.copied(name))
        with storage_errors(name):
            make_folder(path.parent)
            with edited(path) as descriptor:
                if not offset:
                    cut(descriptor, 0)
                write_at(descriptor, data, offset)

    def settle(self, name: str) -> None:
        """fsync of the file and of its folder."""
        path = Path(self.copied(name))
        with storage_errors(name):
            with opened(path) as descriptor:
                make_durable(descriptor)
            sync_folder(path.parent)

    def arrive(self, place: str, file: FileId) -> None:
        """Durable, and by its root in the store's folder of arriving files."""
        path = self._own(place)
        if path is None:
            raise NotFoundError(f"{place[:200]} is no upload")
        move_durable(path, self._partial / file.root)

    def drop(self, place: str) -> None:
        """Ours alone."""
        path = self._own(place)
        if path is not None and path.parent.is_dir():
            with storage_errors(path.name):
                remove(path)
                sync_folder(path.parent)

    def tidy(self, keep: Iterable[str]) -> None:
        """Copies that were cut off."""
        kept = set(keep)
        with storage_errors(_ARRIVING), suppress(FileNotFoundError):
            for path in (self._folder / _ARRIVING).iterdir():
                if str(path) not in kept:
                    remove(path)

    # Archives

    def members(self, place: str) -> list[str]:
        """Of a zip that can be read whole and within its bounds (adapters/archives.py)."""
        self._zip = ("", {})
        with storage_errors(Path(place).name), open_regular(place) as stream:
            if stream.read(4) != b"PK\x03\x04":
                return []
            found, left_out = list_members(stream.fileno(), os.fstat(stream.fileno()).st_size)
        if left_out or len(found) > _MOST_MEMBERS:
            return []
        self._zip = (place, {member.name: member for member in found})
        return list(self._zip[1])

    def member(self, place: str, name: str) -> Iterator[bytes]:
        """A member of the archive that `members` looked at last."""
        member = self._zip[1].get(name) if self._zip[0] == place else None
        if member is None:
            raise LocalError(f"{name[:80]} is not in the zip")
        done = crc = 0
        with storage_errors(name[:80]), open_regular(place) as stream:
            cursor = Cursor(os.dup(stream.fileno()), member)
            try:
                while data := cursor.blocks(block_count(done), _PORTION // BLOCK):
                    done += len(data)
                    crc = zlib.crc32(data, crc)
                    yield data
            finally:
                cursor.close()
        if (done, crc) != (member.size, member.crc):
            raise LocalError(f"{name[:80]} in the zip is damaged")

    # From another box

    def package(self, folder: str) -> tuple[str, bytes]:
        """`<stick>/lessonbox/local/<id>`"""
        if not self._on_stick(Path(folder)):
            raise NotFoundError(f"{folder[:200]} is not to be had")
        return folder, read_capped(Path(folder) / NAME, 2 * MAX_LESSON)

    def parts(self, place: str, file: FileId) -> Iterator[bytes]:
        """See `stick_parts`."""
        return stick_parts(Path(place), file)
