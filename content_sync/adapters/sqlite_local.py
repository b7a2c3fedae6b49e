"""The tables of state.db about the school's own lessons."""

from __future__ import annotations

import json
import sqlite3
from abc import abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager

from content_sync.adapters.sqlite import StateReader
from content_sync.formats.hashtree import FileId
from content_sync.formats.lesson import Lesson, dump_lesson
from content_sync.formats.local import LocalLesson, package_of

#: Behind every collection of the county's, by grade.
_BEHIND, _GRADES = 1 << 30, "一二三四五六七八九高"
_UNNEEDED = (
    "DELETE FROM file WHERE infohash NOT IN (SELECT wanted FROM lesson"
    " UNION SELECT present FROM lesson WHERE present IS NOT NULL)"
)
_EMPTY = (
    "DELETE FROM collection WHERE id >= 'local-' AND id < 'local.'"
    " AND id NOT IN (SELECT collection FROM lesson)"
)


class LocalTables(StateReader):
    """The part of ports.State that is about local lessons; see there."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Everything inside becomes durable together, or nothing of it."""

    @abstractmethod
    def _bump(self) -> None: ...

    def put_local(self, local: LocalLesson, shown: Lesson | None, now: int) -> None:
        """See ports.State."""
        lesson = local.lesson
        wanted, present = local.package, package_of(shown) if shown is not None else None
        sizes = {e.path: e.file.length for r in lesson.resources for e in r.files}
        lost = [] if shown is lesson else _lost(lesson, shown)
        with self.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO collection VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    lesson.collection,
                    lesson.stage,
                    lesson.subject,
                    lesson.edition,
                    lesson.grade,
                    lesson.volume,
                    _BEHIND + _GRADES.find(lesson.grade[:1]) % 99,
                ),
            )
            db.execute(
                "INSERT INTO lesson (id, collection, position, unit, unit_no, no, title, periods, kinds,"
                " added, wanted, size, present, detail, have_bytes, arrived)"
                " VALUES (?1, ?2, ?3, ?4, NULL, NULL, ?5, ?6, ?7, ?3, ?8, ?9, ?10, ?11, ?9, ?12)"
                " ON CONFLICT (id) DO UPDATE SET collection = excluded.collection, unit = excluded.unit,"
                " title = excluded.title, periods = excluded.periods, kinds = excluded.kinds,"
                " wanted = excluded.wanted, size = excluded.size, present = excluded.present,"
                " detail = excluded.detail, have_bytes = excluded.have_bytes, repairing = 0,"
                " arrived = coalesce(arrived, excluded.arrived)",
                (
                    lesson.id,
                    lesson.collection,
                    local.added,
                    lesson.unit,
                    lesson.title,
                    lesson.periods,
                    json.dumps(sorted({resource.kind for resource in lesson.resources})),
                    wanted,
                    sum(sizes.values()),
                    present,
                    None if shown is None else dump_lesson(shown).decode(),
                    now,
                ),
            )
            db.execute(
                "INSERT OR REPLACE INTO local VALUES (?, ?, ?, ?, ?)",
                (
                    lesson.id,
                    local.offered,
                    local.basket,
                    local.origin,
                    json.dumps(lost, ensure_ascii=False),
                ),
            )
            db.execute(_UNNEEDED)
            db.execute(_EMPTY)
            for package, of in ((wanted, lesson), (present, shown)):
                if of is not None:
                    db.executemany(
                        "INSERT OR IGNORE INTO file VALUES (?, ?, ?, ?)",
                        [
                            (package, e.path, e.file.root, e.file.length)
                            for r in of.resources
                            for e in r.files
                        ],
                    )
            self._bump()

    def drop_local(self, lessons: Iterable[str]) -> list[FileId]:
        """See ports.State."""
        gone = [(lesson,) for lesson in lessons]
        if not gone:
            return []
        with self.transaction() as db:
            held = {
                row
                for (lesson,) in gone
                for row in db.execute(
                    "SELECT f.root, f.size FROM lesson l JOIN file f ON f.infohash IN (l.wanted, l.present)"
                    " WHERE l.id = ?",
                    (lesson,),
                )
            }
            db.executemany("DELETE FROM lesson WHERE id = ?", gone)
            db.executemany("DELETE FROM local WHERE lesson = ?", gone)
            db.execute(_UNNEEDED)
            db.execute(_EMPTY)
            free = [
                FileId(root, size)
                for root, size in sorted(held)
                if db.execute("SELECT 1 FROM file WHERE root = ?", (root,)).fetchone() is None
            ]
            db.executemany("DELETE FROM object WHERE root = ?", [(file.root,) for file in free])
            self._bump()
        return free

    def local_lacking(self) -> dict[str, frozenset[str]]:
        """See ports.State."""
        found: dict[str, set[str]] = {row[0]: set() for row in self._all("SELECT lesson FROM local")}
        for lesson, root in self._all(
            "SELECT o.lesson, f.root FROM local o JOIN lesson l ON l.id = o.lesson"
            " JOIN file f ON f.infohash = l.wanted"
            " WHERE NOT EXISTS (SELECT 1 FROM object b WHERE b.root = f.root AND b.size = f.size)"
        ):
            found[lesson].add(root)
        return {lesson: frozenset(roots) for lesson, roots in found.items()}


def _lost(lesson: Lesson, shown: Lesson | None) -> list[str]:
    whole = {resource.id for resource in shown.resources} if shown is not None else set()
    return [resource.title for resource in lesson.resources if resource.id not in whole]
