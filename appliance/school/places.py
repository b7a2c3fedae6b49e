"""Where a class stopped in a lesson, for each room (of a board that stands in none, for the board).

A playing board tells its second every half minute and a turned page is one more change: an SD card is not to
be written for each. What changes is kept in memory and written when the class pauses, leaves or ends, or a
minute after the last write; a power cut costs that minute at most.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from msgspec import Struct

from appliance.school.database import School
from appliance.school.rooms import Place

EVERY = 60.0
#: Kept in all, newest first; and waiting to be written at once.
MOST, _MOST_WAITING = 20_000, 1_000
_Key = tuple[str, str, str]


class Stopped(Struct, frozen=True):
    """A resource of a lesson and where the class stopped in it: second, page or question; 0: at its end."""

    lesson: str
    resource: str
    position: int


def spots(place: Place, board: str) -> tuple[str, ...]:
    """The names under which places of this board stand: its room's, then its own."""
    return (*((place.room.id,) if place.room is not None else ()), f"board:{board}")


class Places:
    """Reads and writes them, for any number of threads of one process."""

    def __init__(self, school: School, monotonic: Callable[[], float]) -> None:
        self._school, self._monotonic = school, monotonic
        self._lock = threading.Lock()
        self._waiting: dict[_Key, int] = {}
        self._written: float | None = None
        #: Another number after everything that was noted.
        self.noted = 0

    def note(self, spot: str, lesson: str, resource: str, position: int, rest: bool) -> None:
        """The class of this spot is there now. `rest`: it paused, left or came to the end, so this is written
        at once. Raises DiskFullError, BusyError, StorageError; what waits then goes on waiting.
        """
        now = self._monotonic()
        with self._lock:
            key = (spot, lesson, resource)
            self._waiting.pop(key, None)  # the newest stands last
            self._waiting[key] = position
            self.noted += 1
            if self._written is None:
                self._written = now
            due = rest or now - self._written >= EVERY or len(self._waiting) >= _MOST_WAITING
            if due:
                self._write(now)

    def flush(self) -> None:
        """Write what waits. Raises as `note`."""
        with self._lock:
            if self._waiting:
                self._write(self._monotonic())

    def _write(self, now: float) -> None:
        with self._school.write() as db:
            last = db.execute("SELECT coalesce(max(turn), 0) FROM place_in_lesson").fetchone()[0]
            db.executemany(
                "INSERT INTO place_in_lesson VALUES (?, ?, ?, ?, ?) ON CONFLICT (spot, lesson, resource)"
                " DO UPDATE SET position = excluded.position, turn = excluded.turn",
                [(*key, at, last + n) for n, (key, at) in enumerate(self._waiting.items(), 1)],
            )
            db.execute(
                "DELETE FROM place_in_lesson WHERE turn <= (SELECT turn FROM place_in_lesson"
                " ORDER BY turn DESC LIMIT 1 OFFSET ?)",
                (MOST,),
            )
        self._waiting.clear()
        self._written = now

    def where(self, names: tuple[str, ...], lesson: str, resource: str) -> int | None:
        """Where the class of these spots stopped in a resource; None when it never opened it. Raises
        BusyError, StorageError.
        """
        found = [one for one in self._of(names, lesson, 1_000) if one.resource == resource]
        return found[0].position if found else None

    def in_lesson(self, names: tuple[str, ...], lesson: str) -> dict[str, int]:
        """Where it stopped in each resource of a lesson. Raises as `where`."""
        return {one.resource: one.position for one in reversed(self._of(names, lesson, 1_000))}

    def last(self, names: tuple[str, ...], most: int = 10) -> list[Stopped]:
        """What these spots had open, newest first, one of each lesson. Raises as `where`."""
        lessons: dict[str, Stopped] = {}
        for one in self._of(names, None, 20 * most):
            lessons.setdefault(one.lesson, one)
        return list(lessons.values())[:most]

    def _of(self, names: tuple[str, ...], lesson: str | None, most: int) -> list[Stopped]:
        """Newest first, each resource once."""
        marks = ", ".join("?" * len(names))
        of_lesson = "" if lesson is None else " AND lesson = ?"
        with self._lock:
            waiting = [(*key[1:], at) for key, at in self._waiting.items() if key[0] in names]
        with self._school.read() as db:
            rows = db.execute(
                f"SELECT lesson, resource, position FROM place_in_lesson WHERE spot IN ({marks}){of_lesson}"
                " ORDER BY turn DESC LIMIT ?",
                (*names, *(() if lesson is None else (lesson,)), most),
            ).fetchall()
        found: dict[tuple[str, str], Stopped] = {}
        for row in (*reversed(waiting), *rows):
            if lesson is None or row[0] == lesson:
                found.setdefault((row[0], row[1]), Stopped(row[0], row[1], row[2]))
        return list(found.values())
