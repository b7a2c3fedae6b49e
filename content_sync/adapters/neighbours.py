"""ports.Neighbours over `neighbours.json`, in which the agent tells sync whom it heard of (formats.md 10).

Worth nothing after a restart of the machine or a while of silence, so it is never made durable."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from content_sync.adapters.files import read_capped, storage_errors
from content_sync.errors import FormatError, LessonBoxError
from content_sync.formats.canonical import load
from content_sync.formats.enrolment import check_box_id, lan_url
from content_sync.ports import Clock, Neighbour

#: Seconds that the agent's word holds, and how many boxes are believed.
HOLDS, MOST = 900.0, 64
_MAX_FILE = 64 << 10


def checked(box: object, url: object, own: str) -> Neighbour | None:
    """A neighbour somebody names, if it can be one: another box, at a private address."""
    try:
        name = check_box_id(box)
    except FormatError:
        return None
    good = lan_url(url) if isinstance(url, str) else None
    return None if good is None or name == own else Neighbour(name, good)


def write_neighbours(path: Path, found: Iterable[Neighbour], clock: Clock) -> None:
    """The agent's side: replace the file. Raises StorageError, DiskFullError."""
    listed = [{"box": one.box, "url": one.url} for one in list(found)[:MOST]]
    text = json.dumps({"boot": clock.boot_id(), "at": int(clock.monotonic()), "neighbours": listed})
    with storage_errors(path.name):
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text, "utf-8")
        os.replace(temporary, path)


class FileNeighbours:
    """Sync's side. `own`: this box's id."""

    def __init__(self, path: Path, own: str, clock: Clock) -> None:
        self._path, self._own, self._clock = path, own, clock

    def near(self) -> list[Neighbour]:
        """See ports.Neighbours."""
        try:
            told = load(read_capped(self._path, _MAX_FILE), _MAX_FILE)
        except LessonBoxError:
            return []
        at, listed = told.get("at"), told.get("neighbours")
        if told.get("boot") != self._clock.boot_id() or type(at) is not int or not isinstance(listed, list):
            return []
        if not 0 <= self._clock.monotonic() - at + 1 <= HOLDS:
            return []
        by_box: dict[str, Neighbour] = {}
        for entry in listed[:MOST]:
            if isinstance(entry, dict) and (one := checked(entry.get("box"), entry.get("url"), self._own)):
                by_box.setdefault(one.box, one)
        return list(by_box.values())
