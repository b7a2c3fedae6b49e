"""The one durable write, and the few file operations whose order matters for a power cut.

File fsync, rename, folder fsync: after `write_durable` returns, the new bytes are there after any crash;
before, the old ones are whole.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from content_sync.errors import (
    BusyError,
    DiskFullError,
    LessonBoxError,
    NotFoundError,
    StorageError,
    TooBigError,
)

_FULL = (errno.ENOSPC, errno.EDQUOT)


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


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable (fsync of the directory)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, mode: int = 0o755) -> None:
    """Make a folder and its parents durably; existing ones stay as they are."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=mode, exist_ok=True)
    sync_folder(folder.parent)


def write_durable(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `data`: all of it or nothing, still there after a power cut.

    Raises DiskFullError, StorageError.
    """
    with storage_errors(path.name):
        make_folder(path.parent)
        temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}.new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with open(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def move_durable(source: Path, target: Path, mode: int | None = None) -> None:
    """Make `source` durable and rename it to `target` (same file system), durably.

    Raises DiskFullError, NotFoundError, StorageError.
    """
    with storage_errors(target.name):
        make_folder(target.parent)
        descriptor = os.open(source, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            if mode is not None:
                os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        os.replace(source, target)
        sync_folder(target.parent)
        if source.parent != target.parent:
            sync_folder(source.parent)


def read_capped(path: Path, cap: int) -> bytes:
    """A file's bytes, at most `cap`. Raises NotFoundError, TooBigError, StorageError."""
    with storage_errors(path.name), path.open("rb") as stream:
        data = stream.read(cap + 1)
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
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(busy or f"{path} is held by another program") from None
        yield
    finally:
        os.close(descriptor)
