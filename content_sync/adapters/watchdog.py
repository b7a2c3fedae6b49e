"""Drop folders, watched where the kernel reports changes; the only import of watchdog."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

from content_sync.adapters.drops import Folders, local
from content_sync.ports import DropStat

_log = logging.getLogger(__name__)
#: Not each write: a file that is never closed is found by the scan.
_CHANGES: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
]


class WatchedFolders(Folders, FileSystemEventHandler):
    """Folders with inotify hints. `wake` is called from the watcher's thread at each hint.

    A folder that comes later, or as another one, is watched from the scan on that finds it.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        wake: Callable[[], None],
        delete: Sequence[Path] = (),
        poll: bool = False,
    ) -> None:
        super().__init__(folders, delete, poll)
        self._wake = wake
        self._watches: dict[str, tuple[tuple[int, int], ObservedWatch | None]] = {}
        self._observer = Observer()
        self._observer.start()
        self._watch()

    def scan(self) -> Iterator[DropStat]:
        """As Folders.scan; folders are watched before they are looked through."""
        self._watch()
        yield from super().scan()

    def _watch(self) -> None:
        for folder in self._folders:
            known, watch = self._watches.get(folder.path, (None, None))
            now = None if folder.probe is not None else self._watchable(folder.path)
            if now == known:
                continue
            if watch is not None:
                try:
                    self._observer.unschedule(watch)
                except (OSError, KeyError) as error:
                    _log.info("%s: %s", folder.path, error)
            self._watches.pop(folder.path, None)
            if now is not None:
                self._watches[folder.path] = (now, self._schedule(folder.path))

    def _watchable(self, path: str) -> tuple[int, int] | None:
        """Device and inode of a folder that can be watched."""
        if self._poll or not local(path):
            return None
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino

    def _schedule(self, path: str) -> ObservedWatch | None:
        try:
            return self._observer.schedule(self, path, recursive=True, event_filter=_CHANGES)
        except OSError as error:  # gone again, or no watches left: the scan goes on
            _log.warning("%s is not watched: %s", path, error)
            return None

    def on_any_event(self, event: FileSystemEvent) -> None:
        """A hint: something changed somewhere."""
        self._changed.set()
        self._wake()

    def close(self) -> None:
        """Stop watching."""
        super().close()
        self._observer.stop()
        self._observer.join(5)
