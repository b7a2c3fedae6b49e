"""The object store and the shelf of signed files on a disk (formats.md 10)."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from content_sync.adapters.direct import disk_blocks
from content_sync.adapters.files import (
    clear_unfinished,
    cut,
    edited,
    give_space,
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
from content_sync.errors import NotFoundError, StorageError
from content_sync.formats.canonical import is_hex
from content_sync.formats.hashtree import BLOCK, FileId, block_length

_PORTION = 64 * BLOCK
#: The mark of an object (formats.md 10): "<length> <mtime in ns>", durable with the rename that makes it one.
_VERIFIED = "user.lessonbox.verified"


def open_regular(path: Path | str) -> io.FileIO:
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
        self._written: set[str] = set()
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
        return _blocks(self.partial_path(root), patient=True)

    def object_blocks(self, root: str) -> Iterator[bytes]:
        """Blocks of an object."""
        return _blocks(self.object_path(root))

    def prepare(self, file: FileId) -> None:
        """Length and space for the arriving file (posix_fallocate)."""
        path = self.partial_path(file.root)
        with storage_errors(file.root), edited(path) as descriptor:
            give_space(descriptor, file.length)

    def write_block(self, file: FileId, index: int, data: bytes) -> None:
        """One block at its offset; not durable until `admit`."""
        with storage_errors(file.root), edited(self.partial_path(file.root)) as descriptor:
            write_at(descriptor, data, index * BLOCK)
        self._written.add(file.root)

    def read_block(self, file: FileId, index: int) -> bytes | None:
        """One pread."""
        for path in (self.object_path(file.root), self.partial_path(file.root)):
            try:
                with open_regular(path) as stream:
                    data = os.pread(stream.fileno(), block_length(file.length, index), index * BLOCK)
            except FileNotFoundError:
                continue
            except OSError:
                return None  # it can't be read: it has to come once more
            return data or None
        return None

    def sync(self) -> None:
        """fsync of each arriving file that was written to, and of their folder."""
        for root in sorted(self._written):
            if self.partial_path(root).exists():
                with storage_errors(root), opened(self.partial_path(root)) as descriptor:
                    make_durable(descriptor)
        if self._written:
            with storage_errors("partial"):
                sync_folder(self._partial)
        self._written.clear()

    def admit(self, file: FileId) -> None:
        """fsync, rename to objects/, read-only."""
        path = self.partial_path(file.root)
        with storage_errors(file.root):
            if path.stat().st_size != file.length:
                with edited(path) as descriptor:
                    cut(descriptor, file.length)
            with opened(path) as descriptor, suppress(OSError):  # a file system may know no such marks
                os.setxattr(descriptor, _VERIFIED, _mark(os.fstat(descriptor)))
        move_durable(path, self.object_path(file.root), 0o444)

    def vouched(self, file: FileId) -> bool:
        """Whether it bears the mark of `admit` still."""
        with suppress(OSError), opened(self.object_path(file.root)) as descriptor:
            found = os.fstat(descriptor)
            return found.st_size == file.length and os.getxattr(descriptor, _VERIFIED) == _mark(found)
        return False

    def inspect(self, root: str, first: int, count: int) -> list[bytes]:
        """Past the page cache (adapters/direct.py)."""
        try:
            return disk_blocks(self.object_path(root), first, count)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{root}: {error.strerror}") from error

    def retract(self, root: str) -> None:
        """Writable (who is sending it takes that as the word to stop), then renamed to partial/."""
        path = self.object_path(root)
        with storage_errors(root):
            if path.exists():
                with opened(path) as descriptor, suppress(OSError):
                    os.removexattr(descriptor, _VERIFIED)
                move_durable(path, self.partial_path(root), 0o644)

    def remove_object(self, root: str) -> None:
        """Delete an object."""
        with storage_errors(root):
            remove(self.object_path(root))

    def remove_partial(self, root: str) -> None:
        """Delete an arriving file."""
        with storage_errors(root):
            remove(self.partial_path(root))

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


def _mark(found: os.stat_result) -> bytes:
    return f"{found.st_size} {found.st_mtime_ns}".encode()


def _blocks(path: Path, patient: bool = False) -> Iterator[bytes]:
    """`patient`: a block that can't be read comes empty."""
    done = 0
    try:
        try:
            for data in read_blocks(path):
                done += 1
                yield data
        except OSError as error:
            if not patient or isinstance(error, FileNotFoundError):
                raise
            while found := disk_blocks(path, done, _PORTION // BLOCK):
                done += len(found)
                yield from found
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path.name}: {error.strerror}") from error


class FileShelf:
    """ports.Shelf over one folder, for its one writer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        clear_unfinished(folder)

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
                remove(target)
                sync_folder(target.parent)

    def names(self, folder: str) -> list[str]:
        """Names of files, ours alone: no half-written ones."""
        try:
            return sorted(name for name in os.listdir(self._folder / folder) if not name.startswith("."))
        except FileNotFoundError:
            return []
