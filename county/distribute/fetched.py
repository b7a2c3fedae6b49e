"""How many bytes each box asked of the web seed, by day: for the status page and the fleet.

Bytes asked, not proved to have come: an answer that breaks off counts whole. Kept in work/, written now and
then: after a crash the last minute is missing.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from content_sync.errors import LessonBoxError
from county.distribute.figures import read_figures, write_figures

log = logging.getLogger(__name__)
#: Whom bytes without a token are counted for.
OPEN = "open"
_DAYS, _MOST_HOLDERS = 31, 20_000
_WRITE_SECONDS = 60.0


class Fetched:
    """Counts. Safe for threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._days: dict[str, dict[str, int]] = _load(path)
        self._written = 0.0

    def add(self, holder: str | None, count: int, day: str, now: float) -> None:
        """`holder` asked for `count` bytes on `day` (YYYY-MM-DD); `now`: monotonic seconds."""
        with self._lock:
            bytes_of = self._days.setdefault(day, {})
            key = holder or OPEN
            if key in bytes_of or len(bytes_of) < _MOST_HOLDERS:
                bytes_of[key] = bytes_of.get(key, 0) + count
            for old in sorted(self._days)[:-_DAYS]:
                del self._days[old]
            if now - self._written < _WRITE_SECONDS:
                return
            self._written = now
            days = {name: dict(counts) for name, counts in self._days.items()}
        try:
            write_figures(self._path, {"days": days})
        except LessonBoxError as error:
            log.warning("%s", error.line())

    def by_holder(self, since: str = "") -> dict[str, int]:
        """Bytes of each holder from the day `since` on."""
        found: dict[str, int] = {}
        with self._lock:
            for day, counts in self._days.items():
                for holder, count in counts.items() if day >= since else ():
                    found[holder] = found.get(holder, 0) + count
        return found


def _load(path: Path) -> dict[str, dict[str, int]]:
    """What was counted before; nothing when it is not readable."""
    try:
        found = read_figures(path)["days"]
        return {str(day): {str(k): int(n) for k, n in counts.items()} for day, counts in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
