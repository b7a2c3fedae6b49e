"""Writing state.db: sync alone does it, one durable transaction for each change that belongs together."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from content_sync.adapters.sqlite import OWN, SCHEMA, check_schema, full
from content_sync.adapters.sqlite_drops import DropTables
from content_sync.adapters.sqlite_local import LocalTables
from content_sync.adapters.sqlite_plan import PlanTables
from content_sync.errors import DamagedDataError, DiskFullError, LessonBoxError, StorageError
from content_sync.formats.collection import Collection
from content_sync.formats.hashtree import FileId
from content_sync.formats.torrent import Torrent

_UNUSED_FILES = (
    "DELETE FROM file WHERE infohash NOT IN (SELECT wanted FROM lesson"
    " UNION SELECT present FROM lesson WHERE present IS NOT NULL)"
)
#: Problems that are kept: more than a person reads.
_MOST_PROBLEMS = 200


def _named(error: sqlite3.Error, name: str) -> LessonBoxError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return DiskFullError(f"no space left for {name}")
    if type(error) is sqlite3.DatabaseError:
        return DamagedDataError(f"{name}: {error}")
    return StorageError(f"{name}: {error}")


class State(DropTables, PlanTables, LocalTables):
    """state.db for its one writer; it is also a reader. Raises NewerDataError, DamagedDataError,
    DiskFullError, StorageError."""

    _aside = OWN

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._name = path.name
        try:
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            version = check_schema(self._db, path.name)
            if 0 < version < SCHEMA:
                raise DamagedDataError(f"{path.name} is of an older program")  # it is built again
            if not version:
                sql = Path(__file__).with_name("state.sql").read_text("utf-8")
                self._db.executescript("BEGIN IMMEDIATE;" + sql + "COMMIT;")
            if self._db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise DamagedDataError(f"{path.name} is damaged")
        except sqlite3.Error as error:
            if isinstance(error, sqlite3.OperationalError) and full(path):
                raise DiskFullError(f"no space left for {path.name}") from error
            raise _named(error, path.name) from error

    def _all(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, tuple(values)).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"{self._name}: {error}") from error

    def _same(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self._all(sql, values)  # in a transaction it sees what it has written itself

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside becomes durable together, or nothing of it."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _named(error, self._name) from error

    def _bump(self) -> None:
        self._set("generation", str(self.generation() + 1))

    def _set(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def set_meta(self, values: dict[str, str]) -> None:
        """Write facts that changed."""
        changed = {key: value for key, value in values.items() if self.meta(key) != value}
        if changed:
            with self.transaction():
                for key, value in changed.items():
                    self._set(key, value)
                self._bump()

    def apply(self, collections: Sequence[Collection], facts: dict[str, str]) -> None:
        """Make a release what the box wants, in one transaction: lessons come, change and go, `facts` into
        meta.

        A changed lesson keeps showing its old version; a lesson that no longer stands in it disappears at
        once. A lesson whose package was taken away and comes back as it was needs nothing.
        """
        with self.transaction() as db:
            ours = f"WHERE NOT ({OWN.format('collection')})"
            old = {row[0] for row in db.execute(f"SELECT id FROM lesson {ours}")}
            kept: set[str] = set()
            db.execute("PRAGMA defer_foreign_keys = 1")
            db.execute(f"DELETE FROM collection WHERE NOT ({OWN.format('id')})")
            for place, collection in enumerate(collections):
                db.execute(
                    "INSERT INTO collection VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        collection.id,
                        collection.stage,
                        collection.subject,
                        collection.edition,
                        collection.grade,
                        collection.volume,
                        place,
                    ),
                )
                for position, entry in enumerate(collection.lessons):
                    kept.add(entry.id)
                    db.execute(
                        "INSERT INTO lesson (id, collection, position, unit, unit_no, no, title, periods,"
                        " kinds, added, wanted, size, week) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                        " ON CONFLICT (id) DO UPDATE SET collection = excluded.collection,"
                        " position = excluded.position,"
                        " unit = excluded.unit, unit_no = excluded.unit_no, no = excluded.no,"
                        " title = excluded.title,"
                        " periods = excluded.periods, kinds = excluded.kinds, added = excluded.added,"
                        " week = excluded.week,"
                        " arriving = arriving AND wanted = excluded.wanted,"
                        " have_bytes = CASE wanted WHEN excluded.wanted THEN have_bytes ELSE 0 END,"
                        " size = CASE wanted WHEN excluded.wanted THEN size ELSE excluded.size END,"
                        f" wanted = excluded.wanted WHERE NOT ({OWN.format('lesson.collection')})",
                        (
                            entry.id,
                            collection.id,
                            position,
                            entry.unit,
                            entry.unit_no,
                            entry.no,
                            entry.title,
                            entry.periods,
                            json.dumps(entry.kinds),
                            entry.added,
                            entry.infohash,
                            entry.size,
                            entry.week,
                        ),
                    )
            db.executemany("DELETE FROM lesson WHERE id = ?", [(identity,) for identity in old - kept])
            db.execute(_UNUSED_FILES)
            for key, value in facts.items():
                self._set(key, value)
            self._bump()

    def set_files(self, torrent: Torrent, chosen: frozenset[str]) -> frozenset[str]:
        """See ports.State."""
        infohash = torrent.infohash
        known = frozenset(r[0] for r in self._all("SELECT path FROM file WHERE infohash = ?", (infohash,)))
        shown = known and self._one("SELECT 1 FROM lesson WHERE present = ? LIMIT 1", (infohash,))
        if known == chosen or shown:
            return known
        files = [file for file in torrent.files if file.path in chosen]
        with self.transaction() as db:
            db.execute("DELETE FROM file WHERE infohash = ?", (infohash,))
            db.executemany(
                "INSERT OR IGNORE INTO file VALUES (?, ?, ?, ?)",
                [(infohash, e.path, e.file.root, e.file.length) for e in files],
            )
            size = sum(file.file.length for file in files)
            db.execute("UPDATE lesson SET size = ? WHERE wanted = ?", (size, infohash))
        return chosen

    def add_object(self, file: FileId, now: int) -> None:
        """A verified, durable file is in objects/."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO object VALUES (?, ?, ?)", (file.root, file.length, now))

    def add_objects(self, files: Sequence[FileId], now: int) -> None:
        """Verified, durable files are in objects/."""
        if files:
            with self.transaction() as db:
                db.executemany(
                    "INSERT OR REPLACE INTO object VALUES (?, ?, ?)",
                    [(file.root, file.length, now) for file in files],
                )

    def next_object(self, after: str) -> FileId | None:
        """See ports.State."""
        row = self._one("SELECT root, size FROM object WHERE root > ? ORDER BY root LIMIT 1", (after,))
        return None if row is None else FileId(*row)

    def withhold(self, file: FileId, now: int) -> list[str]:
        """See ports.State. The lesson keeps the day on which it came."""
        found = self.packages_with(file.root)
        with self.transaction() as db:
            db.execute("DELETE FROM object WHERE root = ?", (file.root,))
            db.execute(
                "INSERT INTO repair VALUES (?, 1, 1, ?) ON CONFLICT (root) DO UPDATE SET"
                " times = times + 1, again = again + 1, last = excluded.last",
                (file.root, now),
            )
            db.execute(
                "UPDATE lesson SET present = NULL, detail = NULL, repairing = 1 WHERE present IN"
                " (SELECT infohash FROM file WHERE root = ?)",
                (file.root,),
            )
            self._bump()
        return found

    def found_whole(self, root: str) -> None:
        """See ports.State."""
        if self._one("SELECT 1 FROM repair WHERE root = ? AND again", (root,)):
            with self.transaction() as db:
                db.execute("UPDATE repair SET again = 0 WHERE root = ?", (root,))

    def forget_objects(self, roots: Iterable[str]) -> None:
        """Objects that are gone or about to be deleted: lessons that show them are being repaired."""
        gone = [(root,) for root in roots]
        if not gone:
            return
        with self.transaction() as db:
            db.executemany("DELETE FROM object WHERE root = ?", gone)
            hidden = db.execute(
                "UPDATE lesson SET present = NULL, detail = NULL, repairing = 1 WHERE present IN"
                " (SELECT infohash FROM file WHERE root NOT IN (SELECT root FROM object))"
            ).rowcount
            if hidden:
                self._bump()

    def unreferenced(self) -> list[str]:
        """Objects of no wanted and no present package."""
        return [
            row[0] for row in self._all("SELECT root FROM object WHERE root NOT IN (SELECT root FROM file)")
        ]

    def referenced(self) -> set[str]:
        """Roots of every known file of a wanted or present package."""
        return {row[0] for row in self._all("SELECT DISTINCT root FROM file")}

    def publish(self, lesson: str, infohash: str, detail: bytes, now: int) -> bool:
        """Show a package whose every file is an object: one transaction. False when no longer wanted or not
        whole."""
        with self.transaction() as db:
            lacking = db.execute(
                "SELECT count(*) FROM file f WHERE infohash = ? AND NOT EXISTS"
                " (SELECT 1 FROM object o WHERE o.root = f.root AND o.size = f.size)",
                (infohash,),
            ).fetchone()[0]
            shown = db.execute("SELECT present FROM lesson WHERE id = ?", (lesson,)).fetchone()
            changed = (
                0
                if lacking
                else db.execute(
                    "UPDATE lesson SET present = wanted, detail = ?1, arriving = 0, have_bytes = size,"
                    " arrived = CASE WHEN repairing THEN coalesce(arrived, ?2) ELSE ?2 END,"
                    " reason = '', repairing = 0 WHERE id = ?3 AND wanted = ?4"
                    " AND EXISTS (SELECT 1 FROM file WHERE infohash = wanted)",
                    (detail.decode(), now, lesson, infohash),
                ).rowcount
            )
            if changed:
                if shown[0] not in (None, infohash):
                    db.execute(_UNUSED_FILES)
                self._bump()
        return bool(changed)

    def note(self, changes: Sequence[tuple[str, bool, int, str]]) -> None:
        """(lesson, arriving, have_bytes, reason) of lessons on their way."""
        with self.transaction() as db:
            flips = 0
            for lesson, arriving, have, reason in changes:
                flips += db.execute(
                    "UPDATE lesson SET arriving = ? WHERE id = ? AND arriving != ?",
                    (arriving, lesson, arriving),
                ).rowcount
                db.execute(
                    "UPDATE lesson SET have_bytes = ?, reason = ? WHERE id = ?", (have, reason, lesson)
                )
            if flips:
                self._bump()

    def set_status(self, values: dict[str, Any]) -> None:
        """What sync is doing; only what changed is written."""
        texts = {key: json.dumps(value, ensure_ascii=False, sort_keys=True) for key, value in values.items()}
        known = dict(self._all("SELECT key, value FROM status"))
        changed = [(key, text) for key, text in texts.items() if known.get(key) != text]
        if changed:
            with self.transaction() as db:
                db.executemany("INSERT OR REPLACE INTO status VALUES (?, ?)", changed)

    def problem(self, code: str, subject: str, message: str, now: int) -> None:
        """Something needs a person. The same again changes nothing."""
        if self._one(
            "SELECT 1 FROM problem WHERE code = ? AND subject = ? AND message = ?", (code, subject, message)
        ):
            return
        with self.transaction() as db:
            # A drop that anyone may write to must not fill the list.
            db.execute(
                "DELETE FROM problem WHERE (code, subject) IN (SELECT code, subject FROM problem"
                " ORDER BY since DESC, code, subject LIMIT -1 OFFSET ?)",
                (_MOST_PROBLEMS - 1,),
            )
            db.execute(
                "INSERT INTO problem VALUES (?, ?, ?, ?) ON CONFLICT (code, subject) DO UPDATE SET message ="
                " excluded.message",
                (code, subject, message, now),
            )
            self._bump()

    def solved(self, subject: str, code: str | None = None) -> None:
        """Nothing is wrong with this subject any more (or: not this code)."""
        rows = self._all(
            "SELECT code FROM problem WHERE subject = ? AND (? IS NULL OR code = ?)", (subject, code, code)
        )
        if rows:
            with self.transaction() as db:
                db.executemany(
                    "DELETE FROM problem WHERE subject = ? AND code = ?", [(subject, row[0]) for row in rows]
                )
                self._bump()
