"""The one durable write, and the few file operations whose order matters for a power cut.

File fsync, rename, folder fsync: after `write_durable` returns, the new bytes are there after any crash;
before, the old ones are whole.
"""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from content_sync.adapters.disk import CLOSE_ON_EXEC, Disk
from content_sync.errors import (
    BusyError,
    DiskFullError,
    LessonBoxError,
    NotFoundError,
    StorageError,
    TooBigError,
)
from content_sync.ports import Files

if sys.platform == "win32":  # where `county flash` runs too
    import msvcrt
else:
    import fcntl

_disk: Files = Disk()
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PIECE = 1 << 16


def storage_error(error: OSError, what: str) -> LessonBoxError:
    """The named error for an OSError on our own data."""
    if error.errno in _FULL:
        return DiskFullError(f"no space left for {what}")
    if isinstance(error, FileNotFoundError):
        return NotFoundError(f"{what} is not there")
    return StorageError(f"{what}: {error.strerror or error}")


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn OSError inside the block into DiskFullError, NotFoundError or StorageError."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, what) from error


@contextmanager
def on_disk(disk: Files) -> Iterator[None]:
    """Let every change of files inside the block go through `disk` (tests that fail or cut off each)."""
    global _disk
    before, _disk = _disk, disk
    try:
        yield
    finally:
        _disk = before


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable (fsync of the directory). Raises OSError."""
    _disk.sync_folder(folder)


def make_folder(folder: Path, mode: int = 0o755) -> None:
    """Make a folder and its parents durably; existing ones stay as they are. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    _disk.make_folder(folder, mode)
    _disk.sync_folder(folder.parent)


def write_durable(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `data`: all of it or nothing, still there after a power cut.

    Raises DiskFullError, StorageError.
    """
    with storage_errors(path.name):
        make_folder(path.parent)
        temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}.new")
        try:
            descriptor = _disk.create(temporary, mode)
            try:
                _disk.write(descriptor, data, 0)
                _disk.sync(descriptor)
            finally:
                _disk.close(descriptor)
            _disk.rename(temporary, path)
        except BaseException:
            with suppress(OSError):
                _disk.remove(temporary)
            raise
        _disk.sync_folder(path.parent)


def clear_unfinished(folder: Path) -> None:
    """Remove what killed `write_durable`s left below a folder that no other program writes to.

    Raises StorageError.
    """
    with storage_errors(folder.name):
        for path in folder.rglob(".*.new"):
            remove(path)


def move_durable(source: Path, target: Path, mode: int | None = None) -> None:
    """Make `source` durable and rename it to `target` (same file system), durably.

    Raises DiskFullError, NotFoundError, StorageError.
    """
    with storage_errors(target.name):
        make_folder(target.parent)
        with opened(source) as descriptor:
            _disk.sync(descriptor)
            if mode is not None:
                _disk.chmod(descriptor, mode)
        _disk.rename(source, target)
        _disk.sync_folder(target.parent)
        if source.parent != target.parent:
            _disk.sync_folder(source.parent)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The descriptor of a file that exists, to sync it, whoever may write to it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | CLOSE_ON_EXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def edited(path: Path, mode: int = 0o644) -> Iterator[int]:
    """The descriptor of a file to change in place (made when absent), for `write_at` and the two below.
    Raises OSError."""
    descriptor = _disk.edit(path, mode)
    try:
        yield descriptor
    finally:
        _disk.close(descriptor)


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """All of `data` at `offset`; not durable. Raises OSError."""
    _disk.write(descriptor, data, offset)


def give_space(descriptor: int, length: int) -> None:
    """Exactly this length, and all of its space. Raises OSError."""
    if os.fstat(descriptor).st_size > length:
        _disk.truncate(descriptor, length)
    _disk.allocate(descriptor, length)


def cut(descriptor: int, length: int) -> None:
    """Give a file this length. Raises OSError."""
    _disk.truncate(descriptor, length)


def make_durable(descriptor: int) -> None:
    """fsync. Raises OSError."""
    _disk.sync(descriptor)


def remove(path: Path) -> None:
    """Take a file away if it is there; durable with the next `sync_folder`. Raises OSError."""
    with suppress(FileNotFoundError):
        _disk.remove(path)


def read_capped(path: Path, cap: int) -> bytes:
    """A file's bytes, at most `cap`. Raises NotFoundError, TooBigError, StorageError."""
    with storage_errors(path.name), path.open("rb") as stream:
        # Python allocates what is asked for, and a cap may be more than the machine has.
        data = stream.read(min(cap, max(os.fstat(stream.fileno()).st_size, _PIECE)) + 1)
        while len(data) <= cap and (more := stream.read(_PIECE)):  # it grows, or does not say its length
            data += more
    if len(data) > cap:
        raise TooBigError(f"{path.name} has more than {cap} bytes")
    return data


@contextmanager
def lock_file(path: Path, busy: str = "") -> Iterator[None]:
    """Be the only program that holds `path` (made when absent); the kernel lets go when this one ends.

    `busy`: what is said when another one holds it.

    Raises BusyError, DiskFullError, StorageError.
    """
    with storage_errors(path.name):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | CLOSE_ON_EXEC, 0o600)
    try:
        try:
            if sys.platform == "win32":
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise BusyError(busy or f"{path} is held by another program") from None
        yield
    finally:
        os.close(descriptor)
