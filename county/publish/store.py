"""objects/: every file of the library once, under its root, read-only, durable before anything names it."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from content_sync.adapters.files import make_folder, move_durable, read_capped, storage_error, storage_errors
from content_sync.errors import LengthError, SourceError
from content_sync.formats.hashtree import FileId, Hasher, identify

_PORTION = 1 << 20
_FICLONE = 0x40049409  # linux/fs.h: let two files share their blocks until one changes


def object_path(objects: Path, root: str) -> Path:
    """Where the file with this root lies."""
    return objects / root[:2] / root


class Store:
    """Admits files into objects/. Its methods may be called from several threads."""

    def __init__(self, objects: Path, work: Path) -> None:
        self._objects, self._work = objects, work

    def path(self, root: str) -> Path:
        """Where the file with this root lies."""
        return object_path(self._objects, root)

    def holds(self, file: FileId) -> bool:
        """Whether the file is here, by its length."""
        try:
            return self.path(file.root).stat().st_size == file.length
        except OSError:
            return False

    def read(self, root: str, cap: int) -> bytes:
        """A small file's bytes. Raises NotFoundError, TooBigError, StorageError."""
        return read_capped(self.path(root), cap)

    def admit(self, path: str) -> tuple[FileId, bytes, os.stat_result]:
        """Copy a source file in, reading it once; its identity, leaf list, and what it was when read.

        Raises SourceError for what is wrong with the source, DiskFullError or StorageError for our own disk.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"can't be read: {error.strerror or error}") from None
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise SourceError("is no longer a plain file")
            with self._partial() as (partial, out):
                file, leaves = _copy(descriptor, out)
                after = os.fstat(descriptor)
                if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns) or (
                    file.length != after.st_size
                ):
                    raise SourceError("changed while it was read")
                if not file.length:
                    raise SourceError("the file is empty")
                self._keep(partial, file)
            return file, leaves, before
        finally:
            os.close(descriptor)

    def admit_made(self, path: Path) -> tuple[FileId, bytes]:
        """Take over a file that a program made. Raises as `admit`."""
        file, leaves, _ = self.admit(str(path))
        return file, leaves

    def admit_bytes(self, data: bytes) -> tuple[FileId, bytes]:
        """Keep a small file, given whole. Raises DiskFullError, StorageError."""
        hasher = Hasher()
        hasher.update(data)
        file, leaves = hasher.finish()
        if not self.holds(file):
            with self._partial() as (partial, out), storage_errors("a file of the library"):
                _write(out, data)
                self._keep(partial, file)
        return file, leaves

    @contextmanager
    def _partial(self) -> Iterator[tuple[Path, int]]:
        partial = self._work / f"{secrets.token_hex(8)}.part"
        with storage_errors("the library"):
            make_folder(self._work)
            out = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            yield partial, out
        finally:
            os.close(out)
            partial.unlink(missing_ok=True)

    def _keep(self, partial: Path, file: FileId) -> None:
        target = self.path(file.root)
        if self.holds(file):
            return
        with storage_errors("the library"):
            if target.exists():
                with target.open("rb") as stream:
                    found, _ = identify(stream)
                if found.root == file.root:
                    # BEP 52 lets a small file share the root of a larger one (formats.md 1).
                    raise LengthError("has the root of another file in the library, but another length")
        move_durable(partial, target, 0o444)


def _copy(source: int, out: int) -> tuple[FileId, bytes]:
    try:
        fcntl.ioctl(out, _FICLONE, source)
        cloned = True
    except OSError:
        cloned = False  # another file system, or one that can't: copy the bytes
    hasher = Hasher()
    reader = out if cloned else source
    while True:
        try:
            data = os.read(reader, _PORTION)
        except OSError as error:
            if cloned:
                raise storage_error(error, "the library") from error
            raise SourceError(f"can't be read: {error.strerror or error}") from None
        if not data:
            return hasher.finish()
        hasher.update(data)
        if not cloned:
            with storage_errors("the library"):
                _write(out, data)


def _write(out: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]
