"""The object store and the shelf of signed files on a disk (formats.md 10)."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from content_sync.adapters.files import (
    make_folder,
    move_durable,
    read_capped,
    storage_errors,
    sync_folder,
    write_durable,
)
from content_sync.errors import NotFoundError, StorageError
from content_sync.formats.canonical import is_hex
from content_sync.formats.hashtree import BLOCK, FileId

_PORTION = 64 * BLOCK


def open_regular(path: Path) -> io.FileIO:
    """Open a file to read, without a buffer: no link, and nothing that would wait for a writer (a pipe, a
    device), whatever a scan found there before. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return open(descriptor, "rb", buffering=0)


def read_blocks(path: Path, first: int = 0) -> Iterator[bytes]:
    """A file's bytes from block `first` on, 16 KiB at a time, the last may be short. Raises OSError."""
    with open_regular(path) as stream:
        stream.seek(first * BLOCK)
        rest = b""
        while data := stream.read(_PORTION):
            data = rest + data
            whole = len(data) - len(data) % BLOCK
            for start in range(0, whole, BLOCK):
                yield data[start : start + BLOCK]
            rest = data[whole:]
        if rest:
            yield rest


class FileStore:
    """ports.Store over two folders of one file system."""

    def __init__(self, objects: Path, partial: Path) -> None:
        self._objects, self._partial = objects, partial
        with storage_errors(objects.name):
            make_folder(objects)
            make_folder(partial)

    def object_path(self, root: str) -> Path:
        """objects/ab/<root>."""
        return self._objects / root[:2] / root

    def partial_path(self, root: str) -> Path:
        """partial/<root>."""
        return self._partial / root

    def has_object(self, file: FileId) -> bool:
        """Whether it lies there with its length."""
        try:
            return self.object_path(file.root).stat().st_size == file.length
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"{file.root}: {error.strerror}") from error

    def read_object(self, file: FileId, cap: int) -> bytes:
        """All bytes of a small object."""
        return read_capped(self.object_path(file.root), cap)

    def partial_blocks(self, root: str) -> Iterator[bytes]:
        """Blocks of the arriving file."""
        return _blocks(self.partial_path(root))

    def object_blocks(self, root: str) -> Iterator[bytes]:
        """Blocks of an object."""
        return _blocks(self.object_path(root))

    def prepare(self, file: FileId) -> None:
        """Length and space for the arriving file (posix_fallocate)."""
        path = self.partial_path(file.root)
        with storage_errors(file.root), _opened(path) as descriptor:
            if os.fstat(descriptor).st_size > file.length:
                os.ftruncate(descriptor, file.length)
            os.posix_fallocate(descriptor, 0, file.length)

    def write_block(self, file: FileId, index: int, data: bytes) -> None:
        """One block at its offset; not durable until `admit`."""
        with storage_errors(file.root), _opened(self.partial_path(file.root)) as descriptor:
            done = 0
            while done < len(data):
                done += os.pwrite(descriptor, data[done:], index * BLOCK + done)

    def admit(self, file: FileId) -> None:
        """fsync, rename to objects/, read-only."""
        path = self.partial_path(file.root)
        with storage_errors(file.root):
            if path.stat().st_size != file.length:
                os.truncate(path, file.length)
        move_durable(path, self.object_path(file.root), 0o444)

    def remove_object(self, root: str) -> None:
        """Delete an object."""
        with storage_errors(root):
            self.object_path(root).unlink(missing_ok=True)

    def remove_partial(self, root: str) -> None:
        """Delete an arriving file."""
        with storage_errors(root):
            self.partial_path(root).unlink(missing_ok=True)

    def objects(self) -> list[FileId]:
        """Every object on disk; foreign names are passed over."""
        found = []
        with storage_errors("objects"):
            for folder in os.scandir(self._objects):
                if not (is_hex(folder.name, 2) and folder.is_dir(follow_symlinks=False)):
                    continue
                for entry in os.scandir(folder.path):
                    if is_hex(entry.name, 64) and entry.name[:2] == folder.name and entry.is_file():
                        size = entry.stat(follow_symlinks=False).st_size
                        if size:
                            found.append(FileId(entry.name, size))
        return found

    def partials(self) -> dict[str, int]:
        """Root -> bytes of disk taken."""
        with storage_errors("partial"):
            return {
                entry.name: entry.stat().st_blocks * 512
                for entry in os.scandir(self._partial)
                if is_hex(entry.name, 64)
            }

    def free(self) -> int:
        """Bytes free for an ordinary user on the store's file system."""
        with storage_errors("objects"):
            found = os.statvfs(self._objects)
        return found.f_bavail * found.f_frsize

    def total(self) -> int:
        """Size of the store's file system."""
        with storage_errors("objects"):
            found = os.statvfs(self._objects)
        return found.f_blocks * found.f_frsize


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        yield from read_blocks(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path.name}: {error.strerror}") from error


class FileShelf:
    """ports.Shelf over one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, path: str, cap: int) -> bytes | None:
        """A file's bytes, or None."""
        try:
            return read_capped(self._folder / path, cap)
        except NotFoundError:
            return None

    def put(self, path: str, data: bytes) -> None:
        """Write durably."""
        write_durable(self._folder / path, data)

    def remove(self, path: str) -> None:
        """Delete."""
        with storage_errors(path):
            target = self._folder / path
            if target.exists():
                target.unlink()
                sync_folder(target.parent)

    def names(self, folder: str) -> list[str]:
        """Names of files, ours alone: no half-written ones."""
        try:
            return sorted(name for name in os.listdir(self._folder / folder) if not name.startswith("."))
        except FileNotFoundError:
            return []
