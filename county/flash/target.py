"""What is written to: a card by its device, or a file of a card's size. Each failure has its name here."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from content_sync.errors import CardBusyError, CardError, CardGoneError, CardLockedError, UsageError

#: Devices are read and written in whole units of this; every card's sector divides it.
UNIT = 4096
_BLKFLSBUF = 0x1261
# EIO is how most readers say that there is no card any more.
_GONE = (errno.ENODEV, errno.ENXIO, errno.EIO, getattr(errno, "ENOMEDIUM", 123), errno.ENOENT)
_LOCKED = (errno.EROFS,)
_DENIED = (errno.EACCES, errno.EPERM)


class Target(Protocol):
    """A card. Offsets and lengths are multiples of UNIT but at the end."""

    name: str
    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Bytes as the medium has them; fewer only at its end. Raises OSError."""

    def write(self, offset: int, data: bytes) -> int:
        """How many bytes it took. Raises OSError."""

    def flush(self) -> None:
        """All that was written is on the medium, and reading asks the medium. Raises OSError."""


class Device:
    """A block device or a file, by its descriptor."""

    def __init__(self, name: str, descriptor: int, size: int) -> None:
        self.name, self.size = name, size
        self._descriptor = descriptor

    def read(self, offset: int, length: int) -> bytes:
        """See Target."""
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        parts = []
        while length and (part := os.read(self._descriptor, length)):
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> int:
        """See Target."""
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        return os.write(self._descriptor, data)

    def flush(self) -> None:
        """See Target. What the kernel keeps of it is dropped: else the reading back would read memory."""
        with suppress_unsupported():
            os.fsync(self._descriptor)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        if stat.S_ISBLK(os.fstat(self._descriptor).st_mode):
            import fcntl  # not on Windows, which has no such devices

            with suppress(OSError):
                fcntl.ioctl(self._descriptor, _BLKFLSBUF, 0)


@contextmanager
def suppress_unsupported() -> Iterator[None]:
    """Raw disks of macOS and Windows are not cached and refuse fsync."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTTY, errno.EBADF, getattr(errno, "ENOTSUP", -1)):
            raise


@contextmanager
def card_errors(name: str) -> Iterator[None]:
    """OSError inside the block by its name for people."""
    try:
        yield
    except OSError as error:
        raise card_error(error, name) from error


def card_error(error: OSError, name: str) -> CardError:
    """The named error for an OSError of a card."""
    said = error.strerror or str(error)
    if error.errno in _GONE:
        return CardGoneError(f"{name} does not answer any more ({said})")
    if error.errno in _LOCKED:
        return CardLockedError(f"{name} can only be read ({said})")
    if error.errno == errno.EBUSY:
        return CardBusyError(f"{name} is in use ({said})")
    return CardError(f"{name}: {said}")


@contextmanager
def opened(path: str, size: int = 0) -> Iterator[Device]:
    """A card (`size` as the system told) or a file, to read and write. Raises CardError, UsageError."""
    flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        block = Path(path).is_block_device()
    except OSError:
        block = False
    # O_EXCL without O_CREAT: the kernel refuses a block device of which anything is mounted.
    try:
        descriptor = os.open(path, flags | (os.O_EXCL if block else 0))
    except OSError as error:
        if error.errno in _DENIED:
            raise UsageError(
                f"no right to write to {path}: run as administrator, with sudo, or take the lock off the card"
            ) from None
        if isinstance(error, FileNotFoundError):
            raise CardGoneError(f"{path} is not there") from None
        raise card_error(error, path) from error
    try:
        with card_errors(path):
            found = size or os.lseek(descriptor, 0, os.SEEK_END)
        yield Device(path, descriptor, found)
    finally:
        os.close(descriptor)
