"""Uploads on their way in: `incoming/uploads/<id>.part` grows, `<id>.data` is whole and sync's to take
(formats.md 15). Web alone writes here; a piece that was answered is durable."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from content_sync.adapters.files import (
    cut,
    edited,
    make_durable,
    make_folder,
    move_durable,
    remove,
    storage_errors,
    write_at,
    write_durable,
)
from content_sync.adapters.local_requests import requests, upload_path
from content_sync.errors import BusyError, DiskFullError, LocalError, NotFoundError
from content_sync.formats.canonical import is_hex
from content_sync.formats.local import LocalRequest, dump_request, parse_request

#: Bytes of one piece, of the largest file, and between looks at the space that is left.
PIECE, MOST, _LOOK = 8 << 20, 64 << 30, 8 << 20
#: At the same time, and lying there in all; seconds of running after which one that stands still goes.
_MOST_BUSY, _MOST_THERE, _PATIENCE = 6, 400, 6 * 3600.0
_MOST_WAITING = 200
_READ = 256 << 10


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Uploads:
    """For any number of threads of one process. `reserve`: bytes of the disk that stay free."""

    def __init__(self, folder: Path, reserve: int, monotonic: Callable[[], float]) -> None:
        self._folder, self._reserve, self._monotonic = folder, reserve, monotonic
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._seen: dict[str, float] = {}

    def _part(self, upload: str) -> Path:
        return self._folder / f"{upload}.part"

    def at(self, upload: str) -> tuple[int, bool]:
        """Bytes that are here, and whether that is all of it."""
        if not is_hex(upload, 16):
            raise NotFoundError("no such upload")
        for path, whole in ((upload_path(self._folder, upload), True), (self._part(upload), False)):
            with suppress(FileNotFoundError):
                return path.stat().st_size, whole
        return 0, False

    def check_space(self, more: int) -> None:
        """Raise DiskFullError unless so many bytes may still come."""
        with storage_errors("uploads"):
            make_folder(self._folder)
            found = os.statvfs(self._folder)
        if found.f_bavail * found.f_frsize - more <= self._reserve:
            raise DiskFullError(f"no space for an upload of {more} bytes")

    @contextmanager
    def _alone(self, upload: str) -> Iterator[None]:
        with self._lock:
            if upload in self._busy or len(self._busy) >= _MOST_BUSY:
                raise BusyError("this file is being sent already, or several others are")
            self._busy.add(upload)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(upload)
                self._seen[upload] = self._monotonic()

    def append(self, upload: str, offset: int, size: int, stream: _Readable) -> tuple[int, bool]:
        """Take a piece of a file of `size` bytes from `offset` on, as far as it comes; what `at` says then.
        A piece that does not follow what is here changes nothing. Raises LocalError, BusyError,
        DiskFullError, StorageError."""
        if not 0 < size <= MOST:
            raise LocalError("the file is empty" if not size else "the file is too large")
        with self._alone(upload):
            here, whole = self.at(upload)
            if whole or not 0 <= offset <= here or offset >= size:
                return here, whole
            self.check_space(size - offset)
            with storage_errors(upload), edited(self._part(upload)) as descriptor:
                cut(descriptor, offset)
                done, end = offset, min(size, offset + PIECE)
                try:
                    while done < end and (data := _pull(stream, min(_READ, end - done))):
                        write_at(descriptor, data, done)
                        done += len(data)
                finally:
                    make_durable(descriptor)
            if done == size:
                move_durable(self._part(upload), upload_path(self._folder, upload))
            return done, done == size

    def receive(self) -> Receiving:
        """A file of a form, as it comes."""
        return Receiving(self, self._folder)

    def sweep(self, waited_for: Collection[str]) -> None:
        """Delete what stood still for hours of running and no request names. Raises BusyError when too many
        lie there still."""
        with storage_errors("uploads"):
            make_folder(self._folder)
            there = {path.stem: path for path in self._folder.iterdir()}
        now = self._monotonic()
        with self._lock:
            for upload, path in list(there.items()):
                idle = now - self._seen.setdefault(upload, now)
                if upload not in self._busy and upload not in waited_for and idle > _PATIENCE:
                    with storage_errors(upload):
                        remove(path)
                    del there[upload]
            self._seen = {upload: at for upload, at in self._seen.items() if upload in there}
        if len(there) > _MOST_THERE:
            raise BusyError("too many uploads wait")


def _pull(stream: _Readable, most: int) -> bytes:
    try:
        return stream.read(most)
    except OSError as error:  # of the line, not of the disk
        raise BusyError("the sender vanished; it may go on") from error


class Receiving:
    """A file that a form brings; werkzeug writes it, then seeks to its beginning."""

    def __init__(self, uploads: Uploads, folder: Path) -> None:
        self.upload, self.size = secrets.token_hex(8), 0
        self._uploads, self._path = uploads, folder / f"{self.upload}.part"
        self._whole = upload_path(folder, self.upload)
        uploads.check_space(0)
        self._file: BinaryIO | None = self._path.open("xb")
        self._unlooked = 0

    def write(self, data: bytes) -> int:
        """The next bytes. Raises DiskFullError, LocalError."""
        assert self._file is not None
        self._unlooked += len(data)
        if self._unlooked >= _LOOK:
            self._unlooked = 0
            self._uploads.check_space(_LOOK)
        self.size += len(data)
        if self.size > MOST:
            raise LocalError("the file is too large")
        with storage_errors("upload"):
            return self._file.write(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """It is whole."""
        return 0

    def keep(self) -> str:
        """Make it durable and sync's to take; its id."""
        self._close()
        move_durable(self._path, self._whole)
        return self.upload

    def close(self) -> None:
        """Forget it, unless it was kept."""
        self._close()
        with suppress(OSError):
            remove(self._path)

    def _close(self) -> None:
        if self._file is not None:
            with storage_errors("upload"):
                file, self._file = self._file, None
                file.close()


def waiting(incoming: Path) -> list[LocalRequest]:
    """Requests that sync has not carried out yet, the first first."""
    found = []
    for path in requests(incoming)[:_MOST_WAITING]:
        with suppress(Exception):  # being written, done meanwhile, or nonsense: sync says so
            found.append(parse_request(path.read_bytes()))
    return found


def leave(incoming: Path, request: LocalRequest) -> None:
    """Ask sync. Raises FormatError, LocalError for what it would refuse, BusyError, DiskFullError,
    StorageError."""
    data = dump_request(request)
    parse_request(data)
    if len(requests(incoming)) >= _MOST_WAITING:
        raise BusyError("too many requests wait")
    write_durable(incoming / f"local-{secrets.token_hex(8)}.json", data)
