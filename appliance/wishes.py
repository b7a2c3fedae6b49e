"""What teachers ask for: files that web and `lessonbox wish` leave in incoming/, and sync counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from content_sync.adapters.files import read_capped, storage_errors, sync_folder, write_durable
from content_sync.core.calendar import WISH_COUNTS, Wishes
from content_sync.errors import LessonBoxError, NotFoundError
from content_sync.formats.wish import MAX_WISH, Wish, dump_wish, is_wish_name, parse_wish

#: More files than any school wishes: what lies beyond is not read.
MOST = 2000
#: A wish that came true is kept so long, for the county's figures.
FULFILLED = 14 * 86_400
_TIDY = 3600.0


def make_wish(incoming: Path, wish: Wish) -> None:
    """Leave a wish; the first time that a board asked counts. Raises StorageError, DiskFullError,
    FormatError."""
    path = incoming / wish.file_name
    if not path.exists():
        write_durable(path, dump_wish(wish))


def own_wish(incoming: Path, wish: Wish) -> Wish | None:
    """What stands in the file of a board's wish for a lesson, None when there is none. Raises FormatError,
    TooBigError, StorageError."""
    try:
        return parse_wish(read_capped(incoming / wish.file_name, MAX_WISH))
    except NotFoundError:
        return None


def take_back(incoming: Path, wish: Wish) -> None:
    """A board no longer asks. Raises StorageError."""
    path = incoming / wish.file_name
    with storage_errors(path.name):
        path.unlink(missing_ok=True)
        sync_folder(incoming)


class WishBook:
    """The wishes of a folder, read again when one came or went."""

    def __init__(self, incoming: Path) -> None:
        self._incoming = incoming
        self._known: dict[str, tuple[tuple[int, int], Wish | None]] = {}
        self._tidied = float("-inf")

    def read(self) -> dict[str, Wishes]:
        """Lesson -> how many boards ask for it, and since when. What is no wish is left alone."""
        seen: dict[str, tuple[tuple[int, int], Wish | None]] = {}
        for name in sorted(filter(is_wish_name, os.listdir(self._incoming)))[:MOST]:
            with suppress(OSError):
                found = os.lstat(self._incoming / name)
                mark = found.st_mtime_ns, found.st_size
                known = self._known.get(name)
                seen[name] = known if known and known[0] == mark else (mark, self._parse(name))
        self._known = seen
        counted: dict[str, Wishes] = {}
        for _, wish in seen.values():
            if wish is not None:
                before = counted.get(wish.lesson, Wishes(0, None))
                times = [at for at in (before.first, wish.at) if at is not None]
                counted[wish.lesson] = Wishes(before.boards + 1, min(times, default=None))
        return counted

    def _parse(self, name: str) -> Wish | None:
        try:
            wish = parse_wish(read_capped(self._incoming / name, MAX_WISH))
        except LessonBoxError:
            return None
        return wish if wish.file_name == name else None

    def tidy(
        self, now: float, date: Callable[[], int | None], arrived: Callable[[], Mapping[str, int]]
    ) -> None:
        """Once an hour, and only by a trusted date (`date`: it, or None): delete wishes that are too old, and
        those that came true some time ago (`arrived`: lesson -> unix seconds, of complete lessons)."""
        if now - self._tidied < _TIDY or not self._known or (today := date()) is None:
            return
        self._tidied = now
        here = arrived()
        for name, (mark, wish) in list(self._known.items()):
            asked = mark[0] // 10**9 if wish is None or wish.at is None else wish.at
            old = today - asked > WISH_COUNTS
            if old or (wish is not None and wish.lesson in here and today - here[wish.lesson] > FULFILLED):
                (self._incoming / name).unlink(missing_ok=True)
