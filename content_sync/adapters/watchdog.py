"""Drop folders: scanned, and watched where the kernel can; the only import of watchdog."""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from content_sync.adapters.objects import open_regular, read_blocks
from content_sync.formats.hashtree import BLOCK
from content_sync.ports import DropStat

_log = logging.getLogger(__name__)
_CHANGES = ("created", "modified", "moved", "closed", "deleted")


class Folders:
    """ports.Drops over folders or single files, without watching: `hint` is true once."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [Path(os.path.abspath(folder)) for folder in folders]
        self._changed = threading.Event()
        self._changed.set()

    def hint(self) -> bool:
        """Whether anything may have changed since the last call."""
        changed = self._changed.is_set()
        self._changed.clear()
        return changed

    def scan(self) -> list[DropStat]:
        """Every regular file, links not followed; a path that is not Unicode is passed over."""
        found: list[DropStat] = []
        queue = [str(folder) for folder in self._folders]
        while queue:
            top = queue.pop()
            try:
                entries = os.scandir(top)
            except NotADirectoryError:
                found.extend(_stat(top))
                continue
            except (OSError, ValueError):  # ValueError: a name that no file can have
                continue
            with entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            queue.append(entry.path)
                        elif entry.is_file(follow_symlinks=False):
                            found.extend(_stat(entry.path))
                    except OSError:
                        continue
        return found

    def blocks(self, path: str, first: int = 0) -> Iterator[bytes]:
        """Blocks of a file for as long as it can be read."""
        try:
            yield from read_blocks(Path(path), first)
        except OSError as error:
            _log.info("drop file %s: %s", path, error.strerror)

    def block(self, path: str, index: int) -> bytes | None:
        """One block, or None."""
        try:
            with open_regular(Path(path)) as stream:
                return os.pread(stream.fileno(), BLOCK, index * BLOCK)
        except OSError:
            return None

    def small(self, path: str, cap: int) -> bytes | None:
        """All bytes of a small file, or None."""
        try:
            with open_regular(Path(path)) as stream:
                data = stream.read(cap + 1)
        except OSError:
            return None
        return data if len(data) <= cap else None

    def close(self) -> None:
        """Nothing is held."""


def _stat(path: str) -> list[DropStat]:
    try:
        path.encode("utf-8")
        found = os.lstat(path)
    except (OSError, UnicodeEncodeError):
        return []
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return []
    return [DropStat(path, found.st_size, found.st_mtime_ns, found.st_ino)]


class WatchedFolders(Folders, FileSystemEventHandler):
    """Folders with inotify hints. `wake` is called from the watcher's thread at each hint."""

    def __init__(self, folders: Sequence[Path], wake: Callable[[], None]) -> None:
        super().__init__(folders)
        self._wake = wake
        self._observer = Observer()
        for folder in self._folders:
            try:
                self._observer.schedule(self, str(folder), recursive=True)
            except OSError as error:  # gone, or no watches left: the scan goes on
                _log.warning("%s is not watched: %s", folder, error)
        self._observer.start()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """A hint: something changed somewhere."""
        if event.event_type in _CHANGES:
            self._changed.set()
            self._wake()

    def close(self) -> None:
        """Stop watching."""
        self._observer.stop()
        self._observer.join(5)
