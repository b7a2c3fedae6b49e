"""The received shelf on a disk: `received/<root>` and `<root>.json` beside it (formats.md 10)."""

from __future__ import annotations

import os
from pathlib import Path

from content_sync.adapters.files import (
    cut,
    edited,
    make_folder,
    move_durable,
    read_capped,
    remove,
    storage_errors,
    sync_folder,
    write_at,
    write_durable,
)
from content_sync.errors import FormatError, NotFoundError
from content_sync.formats.canonical import is_hex
from content_sync.formats.received import MAX_ITEM, ReceivedItem, dump_item, parse_item

_ARRIVING = ".arriving"


class FileReceived:
    """ports.ReceivedStore over one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with storage_errors(folder.name):
            make_folder(folder)

    def items(self) -> list[ReceivedItem]:
        """What is there whole; files that no description names are remains, and go."""
        found, described = [], set()
        with storage_errors(self._folder.name):
            names = sorted(os.listdir(self._folder))
            for name in names:
                if not (name.endswith(".json") and is_hex(name[:-5], 64)):
                    continue
                try:
                    item = parse_item(read_capped(self._folder / name, MAX_ITEM))
                    size = (self._folder / name[:-5]).stat().st_size
                except (FormatError, FileNotFoundError, NotFoundError):
                    continue
                if (item.file.root, size) == (name[:-5], item.file.length):
                    found.append(item)
                    described.add(item.file.root)
            for name in names:
                if name.partition(".")[0] not in described:
                    remove(self._folder / name)
        return found

    def append(self, data: bytes, offset: int) -> None:
        """The next bytes of the file that is being copied; not durable until `keep`."""
        with storage_errors(_ARRIVING), edited(self._folder / _ARRIVING) as descriptor:
            if not offset:
                cut(descriptor, 0)
            write_at(descriptor, data, offset)

    def keep(self, item: ReceivedItem) -> None:
        """The copied file is whole: first its bytes, then its description."""
        move_durable(self._folder / _ARRIVING, self._folder / item.file.root, 0o444)
        write_durable(self._folder / f"{item.file.root}.json", dump_item(item))

    def drop(self, root: str = "") -> None:
        """Take a file away, or (without a root) what was copied of one."""
        names = [f"{root}.json", root] if root else [_ARRIVING]
        with storage_errors(self._folder.name):
            for name in names:
                if (self._folder / name).exists():
                    remove(self._folder / name)
            sync_folder(self._folder)
