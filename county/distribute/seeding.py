"""Keeps the seeder in step with the library: new packages are served, withdrawn ones are let go."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from content_sync.adapters.files import read_capped, storage_errors
from content_sync.adapters.libtorrent.seeder import Seeder
from content_sync.errors import LessonBoxError, NotFoundError
from content_sync.formats import torrent
from county.config import CountyPaths
from county.library import Library
from county.publish.store import object_path

_AT_ONCE = 200
_RETRY_SECONDS = 30
_MOST_SHOWN = 5


class Seeding:
    """Call `step` every second or two."""

    def __init__(self, paths: CountyPaths, library: Library, seeder: Seeder) -> None:
        self._paths, self._library, self._seeder = paths, library, seeder
        self._state: object = None
        self._missing: list[str] = []
        self._failed: dict[str, str] = {}
        self._retry = 0.0
        self._problems: list[str] = []

    def step(self, now: float) -> bool:
        """Do a bit of what is left; False when nothing is left to do now. `now`: monotonic seconds."""
        state = self._release()
        if state != self._state:
            wanted = {row.infohash for row in self._library.lessons()}
            for infohash in self._seeder.held() - wanted:
                self._seeder.remove(infohash)
            self._missing = sorted(wanted - self._seeder.held())
            self._failed.clear()
            self._state = state
        elif self._failed and now >= self._retry:
            self._missing = sorted({*self._missing, *self._failed})
            self._failed.clear()
        now_due, self._missing = self._missing[:_AT_ONCE], self._missing[_AT_ONCE:]
        for infohash in now_due:
            try:
                self._add(infohash)
            except LessonBoxError as error:
                self._failed[infohash] = f"{error.code} {infohash[:16]}: {error.what}"
                self._retry = now + _RETRY_SECONDS
        self._problems = [*self._problems, *self._seeder.poll()][-_MOST_SHOWN:]
        return bool(self._missing)

    def figures(self, wall: int) -> dict[str, Any]:
        """For the status page and for whoever looks at work/seeder.json."""
        served = sorted(self._seeder.served(), key=lambda entry: -entry.uploaded)
        return {
            "time": wall,
            "port": self._seeder.port(),
            "torrents": len(self._seeder.held()),
            "peers": sum(entry.peers for entry in served),
            "uploaded": sum(entry.uploaded for entry in served),
            "packages": [vars(entry) for entry in served[:100]],
            "problems": [*list(self._failed.values())[:_MOST_SHOWN], *self._problems],
        }

    def _release(self) -> object:
        """Changes with every release."""
        try:
            found = (self._paths.public / "metadata" / "timestamp.json").stat()
        except OSError:
            return self._library.newest_release(), None
        return self._library.newest_release(), (found.st_mtime_ns, found.st_ino)

    def _add(self, infohash: str) -> None:
        package = self._library.package(infohash)
        if package is None:
            raise NotFoundError(f"package {infohash}")
        name = f"{package.torrent_sha256}.{infohash}.torrent"
        data = read_capped(self._paths.public / "targets" / "packages" / name, torrent.MAX_TORRENT)
        checked = torrent.parse(data, expect=infohash)
        objects = {entry.path: object_path(self._paths.objects, entry.file.root) for entry in checked.files}
        self._seeder.add(data, objects)


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """Replace the file of figures. Not made durable: after a crash they are stale anyway. Raises
    StorageError.
    """
    with storage_errors(path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(json.dumps(figures), "utf-8")
        os.replace(temporary, path)
