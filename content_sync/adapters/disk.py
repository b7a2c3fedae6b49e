"""ports.Files on the kernel: one call each, nothing composed (adapters/files.py composes them)."""

from __future__ import annotations

import os
from pathlib import Path


class Disk:
    """See ports.Files."""

    def create(self, path: Path, mode: int) -> int:
        """O_CREAT and O_EXCL."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def edit(self, path: Path, mode: int) -> int:
        """O_CREAT."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """pwrite until all is written."""
        view = memoryview(data)
        while view:
            done = os.pwrite(descriptor, view, offset)
            view, offset = view[done:], offset + done

    def allocate(self, descriptor: int, length: int) -> None:
        """posix_fallocate."""
        os.posix_fallocate(descriptor, 0, length)

    def truncate(self, descriptor: int, length: int) -> None:
        """ftruncate."""
        os.ftruncate(descriptor, length)

    def chmod(self, descriptor: int, mode: int) -> None:
        """fchmod."""
        os.fchmod(descriptor, mode)

    def sync(self, descriptor: int) -> None:
        """fsync."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """close."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """rename(2)."""
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """unlink."""
        os.unlink(path)

    def make_folder(self, path: Path, mode: int) -> None:
        """mkdir."""
        path.mkdir(mode=mode, exist_ok=True)

    def sync_folder(self, path: Path) -> None:
        """fsync of the directory."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
