"""The tables of state.db about the plan: why a lesson is not here, when it is expected, what made room."""

from __future__ import annotations

import json
import sqlite3
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from content_sync.adapters.sqlite import StateReader
from content_sync.ports import PlannedRow

#: Of each file of a visible lesson that is an object and that no other package needs: once.
_ALONE = (
    "SELECT DISTINCT l.id, f.root, o.size FROM lesson l JOIN file f ON f.infohash = l.present"
    " JOIN object o ON o.root = f.root WHERE NOT EXISTS"
    " (SELECT 1 FROM file g WHERE g.root = f.root AND g.infohash != f.infohash)"
)


class PlanTables(StateReader):
    """The part of ports.State that is about the plan; see there."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Everything inside becomes durable together, or nothing of it."""

    @abstractmethod
    def _bump(self) -> None: ...

    def note_planned(self, rows: Sequence[PlannedRow], gone: Iterable[str]) -> None:
        """Write what changed; lessons of `gone` are planned no more. What is expected shows on pages."""
        with self.transaction() as db:
            db.executemany("DELETE FROM planned WHERE lesson = ?", [(lesson,) for lesson in gone])
            db.executemany(
                "INSERT OR REPLACE INTO planned VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        row.lesson,
                        row.need,
                        row.code,
                        json.dumps(row.facts, ensure_ascii=False, sort_keys=True),
                        row.first,
                        row.last,
                        row.evicted,
                    )
                    for row in rows
                ],
            )

    def alone(self) -> dict[str, int]:
        """Of each visible lesson: bytes of its files that nothing else needs."""
        found: dict[str, int] = {}
        for lesson, _, size in self._all(_ALONE):
            found[lesson] = found.get(lesson, 0) + size
        return found

    def evict(self, lesson: str, now: int, forget: bool = False) -> list[str]:
        """Hide a lesson to make room, or `forget` one that is not subscribed to; the roots that nothing needs
        now, no objects any more: delete them next. A crash before that leaves unknown files, which the start
        finds."""
        with self.transaction() as db:
            gone = [row[0] for row in db.execute(f"SELECT root FROM ({_ALONE}) WHERE id = ?", (lesson,))]
            db.executemany("DELETE FROM object WHERE root = ?", [(root,) for root in gone])
            db.execute(
                "UPDATE lesson SET present = NULL, detail = NULL, arrived = NULL, arriving = 0,"
                " have_bytes = 0 WHERE id = ?",
                (lesson,),
            )
            if forget:
                db.execute("DELETE FROM lesson WHERE id = ?", (lesson,))
                db.execute(
                    "DELETE FROM file WHERE infohash NOT IN (SELECT wanted FROM lesson)"
                    " AND infohash NOT IN (SELECT present FROM lesson WHERE present IS NOT NULL)"
                )
                self._bump()
                return gone
            db.execute(
                "INSERT INTO planned VALUES (?, 4, 'evicted', '{}', NULL, NULL, ?)"
                " ON CONFLICT (lesson) DO UPDATE SET code = 'evicted', evicted = excluded.evicted",
                (lesson, now),
            )
            self._bump()
        return gone
