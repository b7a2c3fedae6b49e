"""Reading what really lies on a disk, past the page cache: for the scrub (formats.md 10).

A file that a class watches is in memory, and a re-hash of that would prove nothing; a store that is read
through the page cache would push the lessons of the day out of it. So: O_DIRECT (open(2)), and where a file
system has no such thing, a plain read whose pages are given back (posix_fadvise(2)) unless they were there
before (mincore(2)). Reads have idle I/O priority (ioprio_set(2)).
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from content_sync.formats.hashtree import BLOCK

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}.get(platform.machine())
_THREAD, _IDLE, _NORMAL = 1, 3 << 13, 0
_UNREADABLE = (errno.EIO, errno.EBADMSG, errno.ENODATA, errno.EUCLEAN, errno.EREMOTEIO)


def disk_blocks(path: Path, first: int, count: int) -> list[bytes]:
    """Blocks `first` to `first + count` of a file as the disk gives them, fewer at the file's end; one that
    can't be read comes empty. Raises OSError, but not for a read that fails."""
    with _opened(path) as (descriptor, direct), mmap.mmap(-1, count * BLOCK) as memory, _idle():
        size = os.fstat(descriptor).st_size

        def read(index: int, blocks: int) -> bytes | None:
            """These blocks, or None when not all of their bytes came."""
            try:
                data = _read(descriptor, direct, memory, index, blocks)
            except OSError as error:
                if error.errno not in _UNREADABLE:
                    raise
                return None
            return data if len(data) == min(blocks * BLOCK, size - index * BLOCK) else None

        last = min(first + count, -(-size // BLOCK))
        if first >= last:
            return []
        data = read(first, last - first)
        if data is not None:
            return [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
        return [read(index, 1) or b"" for index in range(first, last)]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, bool]]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor, direct = os.open(path, flags | os.O_DIRECT), True
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        descriptor, direct = os.open(path, flags), False
    try:
        yield descriptor, direct
    finally:
        os.close(descriptor)


def _read(descriptor: int, direct: bool, memory: mmap.mmap, first: int, count: int) -> bytes:
    with memoryview(memory) as whole, whole[: count * BLOCK] as room:
        if direct:
            try:
                return bytes(room[: os.preadv(descriptor, [room], first * BLOCK)])
            except OSError as error:
                if error.errno != errno.EINVAL:  # this file system says so only now
                    raise
        return _read_through_cache(descriptor, room, first * BLOCK)


def _read_through_cache(descriptor: int, room: memoryview, offset: int) -> bytes:
    again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)  # without O_DIRECT
    try:
        held = in_memory(again, offset, min(len(room), os.fstat(again).st_size - offset))
        done = os.preadv(again, [room], offset)
        if not held:
            os.posix_fadvise(again, offset, len(room), os.POSIX_FADV_DONTNEED)
        return bytes(room[:done])
    finally:
        os.close(again)


@contextmanager
def _idle() -> Iterator[None]:
    """Let every other reader go first, as far as the disk's scheduler knows how."""
    _set_priority(_IDLE)
    try:
        yield
    finally:
        _set_priority(_NORMAL)


def _set_priority(value: int) -> None:
    if _IOPRIO_SET is not None:
        _libc.syscall(_IOPRIO_SET, _THREAD, 0, value)


def in_memory(descriptor: int, offset: int, length: int) -> bool:
    """Whether all of this part of a file is in the page cache; it is not read by being asked about."""
    address = _libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, offset)
    if address in (None, ctypes.c_void_p(-1).value):
        return False
    try:
        pages = (ctypes.c_ubyte * -(-length // mmap.PAGESIZE))()
        if _libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(length), pages):
            return False
        return all(page & 1 for page in pages)
    finally:
        _libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(length))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
]
