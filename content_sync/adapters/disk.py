"""ports.Files on the kernel: one call each, nothing composed (adapters/files.py composes them)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

#: Of every file that is opened; Windows has other words: bytes as they are, never given to child processes.
CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)


class Disk:
    """See ports.Files."""

    def create(self, path: Path, mode: int) -> int:
        """O_CREAT and O_EXCL."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | CLOSE_ON_EXEC, mode)

    def edit(self, path: Path, mode: int) -> int:
        """O_CREAT."""
        return os.open(path, os.O_RDWR | os.O_CREAT | CLOSE_ON_EXEC, mode)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """pwrite until all is written."""
        view = memoryview(data)
        while view:
            if sys.platform == "win32":  # without pwrite
                os.lseek(descriptor, offset, os.SEEK_SET)
                done = os.write(descriptor, view)
            else:
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
        """fsync of the directory; NTFS keeps the order of its own log."""
        if sys.platform == "win32":
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
