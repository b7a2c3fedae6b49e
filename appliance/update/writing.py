"""Files of an update from the box's objects to where they are used, each hashed while it is written and read
back from the disk afterwards."""

from __future__ import annotations

import hashlib
import lzma
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.update.paper import open_foreign
from content_sync.adapters.files import storage_errors
from content_sync.errors import DiskFullError, StorageError, TargetError
from content_sync.formats.update import UpdateFile

_PIECE = 1 << 20
_DURABLE = 32 << 20
_MEMORY = 160 << 20
Tick = Callable[[int], None]


def object_path(data: Path, file: UpdateFile) -> Path:
    """Where sync keeps it."""
    return data / "objects" / file.root[:2] / file.root


def copy_file(data: Path, file: UpdateFile, target: Path) -> None:
    """A file as it lies, into a folder of root's. Raises TargetError, StorageError, DiskFullError."""
    with storage_errors(file.name), target.open("xb") as out:
        for piece in _packed(data, file):
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())


def write_system(data: Path, file: UpdateFile, device: Path, tick: Tick = lambda done: None) -> None:
    """Unpack a system onto a partition (or file), whole or with an error; then read it back.

    Raises TargetError when it is not what was signed, DiskFullError when it does not fit, StorageError when
    the disk does not give back what was written.
    """
    assert file.raw is not None
    size, sha256 = file.raw
    with storage_errors(device.name):
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        try:
            room = os.lseek(descriptor, 0, os.SEEK_END)
            if room < size:
                raise DiskFullError(f"{device.name} has {room} bytes, the system {size}")
            digest, at = hashlib.sha256(), 0
            for piece in _unpacked(data, file):
                if at + len(piece) > size:
                    raise TargetError(f"{file.name} is longer than what was signed")
                digest.update(piece)
                _write(descriptor, piece, at)
                if (at + len(piece)) // _DURABLE != at // _DURABLE:
                    os.fsync(descriptor)
                at += len(piece)
                tick(at)
            os.fsync(descriptor)
            if (at, digest.hexdigest()) != (size, sha256):
                raise TargetError(f"{file.name} is not what was signed")
            if read_back(descriptor, size) != sha256:
                raise StorageError(f"{device.name} does not give back what was written: the card is dying")
        finally:
            os.close(descriptor)


def read_back(descriptor: int, size: int) -> str:
    """SHA-256 of the first `size` bytes as the disk has them."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    digest, at = hashlib.sha256(), 0
    while at < size:
        data = os.pread(descriptor, min(_PIECE, size - at), at)
        if not data:
            break
        digest.update(data)
        at += len(data)
        os.posix_fadvise(descriptor, 0, at, os.POSIX_FADV_DONTNEED)
    return digest.hexdigest()


def _write(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, at)
        view, at = view[done:], at + done


def _packed(data: Path, file: UpdateFile) -> Iterator[bytes]:
    """The bytes of an object, known to be the signed ones when the last has come: use nothing before."""
    digest, left = hashlib.sha256(), file.size
    with open(open_foreign(object_path(data, file)), "rb") as stream:
        while left and (piece := stream.read(min(_PIECE, left))):
            digest.update(piece)
            left -= len(piece)
            yield piece
        more = stream.read(1)
    if left or more or digest.hexdigest() != file.sha256:
        raise TargetError(f"{file.name} is not what was signed")


def _unpacked(data: Path, file: UpdateFile) -> Iterator[bytes]:
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    try:
        for piece in _packed(data, file):
            if unpacker.eof:
                raise TargetError(f"{file.name} goes on after its end")
            made = unpacker.decompress(piece, _PIECE)
            while made:
                yield made
                if unpacker.eof or unpacker.needs_input:
                    break
                made = unpacker.decompress(b"", _PIECE)
    except lzma.LZMAError as error:
        raise TargetError(f"{file.name} can't be unpacked: {error}") from None
    if not unpacker.eof:
        raise TargetError(f"{file.name} is cut off")
