"""The tables of state.db about drop folders: what lies there, and what it is good for."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from content_sync.adapters.sqlite import StateReader
from content_sync.formats.hashtree import BLOCK
from content_sync.formats.received import ReceivedItem
from content_sync.ports import DropCounts, DropPart, DropStat

_STAT = "path, size, mtime_ns, inode"
_DELETED = "drops_deleted"
#: 2 when every block is a package's and every file that it is useful for is durable, 1 when some block is.
_FATE = (
    "CASE WHEN signed THEN 2 WHEN NOT EXISTS (SELECT 1 FROM drop_use u WHERE u.path = drop_file.path) THEN 0"
    f" WHEN named * {BLOCK} < size OR EXISTS (SELECT 1 FROM drop_use u WHERE u.path = drop_file.path"
    " AND NOT EXISTS (SELECT 1 FROM object o WHERE o.root = u.root)) THEN 1 ELSE 2 END"
)
#: An archive is spent when all of it could be read and every member is, and useful when a member is.
_ARCHIVE_FATE = (
    "CASE WHEN fate = 2 THEN 2 WHEN archive = 1 AND EXISTS (SELECT 1 FROM drop_file m WHERE m.container ="
    " drop_file.path) AND NOT EXISTS (SELECT 1 FROM drop_file m WHERE m.container = drop_file.path"
    " AND m.fate < 2) THEN 2"
    " WHEN EXISTS (SELECT 1 FROM drop_file m WHERE m.container = drop_file.path AND m.fate) THEN 1"
    " ELSE fate END"
)


class DropTables(StateReader):
    """The part of ports.State that is about drops; see there."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Everything inside becomes durable together, or nothing of it."""

    def drop_files(self) -> dict[str, DropStat]:
        """What was read in drop folders, by path."""
        return {row[0]: DropStat(*row) for row in self._all(f"SELECT {_STAT} FROM drop_file")}

    def drops_hashed(self) -> list[str]:
        """Drop files of which the whole's SHA-256 is known."""
        return [row[0] for row in self._all("SELECT path FROM drop_file WHERE sha256 IS NOT NULL")]

    def drop_archives(self) -> list[str]:
        """Drop files that are archives."""
        return [row[0] for row in self._all("SELECT path FROM drop_file WHERE archive")]

    def unmatched_drops(self) -> list[tuple[str, int]]:
        """Parts that were read and not matched yet."""
        return [
            (row[0], row[1]) for row in self._all("SELECT path, first FROM drop_leaves WHERE NOT matched")
        ]

    def drop_parts(self) -> list[tuple[str, int]]:
        """Path and first block of every part of a drop file."""
        return [(row[0], row[1]) for row in self._all("SELECT path, first FROM drop_leaves ORDER BY 1, 2")]

    def drop_leaves(self, path: str, first: int) -> bytes:
        """The leaves of one part, as they were when it was read; empty when unknown."""
        row = self._one("SELECT leaves FROM drop_leaves WHERE path = ? AND first = ?", (path, first))
        return bytes(row[0]) if row else b""

    def drop_blocks_named(self, path: str, first: int) -> bytes:
        """One byte a block of one part: 1 when a package is known to hold it."""
        row = self._one("SELECT named FROM drop_leaves WHERE path = ? AND first = ?", (path, first))
        return bytes(row[0]) if row else b""

    def drop_named(self, sha256: str) -> list[str]:
        """Drop files that had this SHA-256."""
        return [row[0] for row in self._all("SELECT path FROM drop_file WHERE sha256 = ?", (sha256,))]

    def put_drop_parts(self, parts: Sequence[DropPart]) -> None:
        """Remember parts of drop files that were read; a file counts as read with its last part."""
        with self.transaction() as db:
            for part in parts:
                stat = part.stat
                path = stat.path
                db.execute("DELETE FROM drop_leaves WHERE path = ? AND first >= ?", (path, part.first))
                if not part.first:
                    db.execute("DELETE FROM drop_use WHERE path = ?", (path,))
                db.execute(
                    "INSERT INTO drop_leaves VALUES (?, ?, ?, ?, ?, 0)",
                    (path, part.first, part.leaves, part.named, sum(part.named)),
                )
                db.executemany(
                    "INSERT OR IGNORE INTO drop_use VALUES (?, ?)", [(path, root) for root in part.uses]
                )
                if part.last:
                    container = path.partition("//")[0] if "//" in path else None
                    db.execute(
                        "INSERT OR REPLACE INTO drop_file"
                        " (path, size, mtime_ns, inode, sha256, container, archive)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (path, stat.size, stat.mtime_ns, stat.inode, part.sha256, container, part.archive),
                    )
                    _count(db, path)

    def name_drop_blocks(self, parts: Sequence[tuple[str, int, bytes, frozenset[str]]]) -> None:
        """Blocks of drop parts that packages hold, beside those known before."""
        with self.transaction() as db:
            for path, first, named, roots in parts:
                row = db.execute(
                    "SELECT named FROM drop_leaves WHERE path = ? AND first = ?", (path, first)
                ).fetchone()
                if row is None:
                    continue
                before = bytes(row[0]).ljust(len(named), b"\0")
                both = (int.from_bytes(before, "big") | int.from_bytes(named, "big")).to_bytes(
                    len(before), "big"
                )
                db.execute(
                    "UPDATE drop_leaves SET named = ?, names = ?, matched = 1 WHERE path = ? AND first = ?",
                    (both, sum(both), path, first),
                )
                db.executemany(
                    "INSERT OR IGNORE INTO drop_use VALUES (?, ?)", [(path, root) for root in roots]
                )
            for path in {part[0] for part in parts if part[3]}:
                _count(db, path)

    def forget_drop_files(self, paths: Iterable[str]) -> None:
        """Drop files that are gone, archives with all their members."""
        gone = [(path,) for path in paths]
        if not gone:
            return
        with self.transaction() as db:
            for (path,) in list(gone):
                gone += db.execute("SELECT path FROM drop_file WHERE container = ?", (path,)).fetchall()
            for table in ("drop_file", "drop_leaves", "drop_use"):
                db.executemany(f"DELETE FROM {table} WHERE path = ?", gone)

    def files_of_size(self, size: int, root: str | None = None) -> list[tuple[str, str, bool]]:
        """Files of known packages that have this length (and this root), those that lack first."""
        return [
            (row[0], row[1], bool(row[2]))
            for row in self._all(
                "SELECT f.infohash, f.root, o.root IS NOT NULL AS here FROM file f LEFT JOIN object o"
                " ON o.root = f.root AND o.size = f.size WHERE f.size = ?1 AND f.root = ifnull(?2, f.root)"
                " ORDER BY here LIMIT 16",
                (size, root),
            )
        ]

    def judge_drops(self, signed: frozenset[str]) -> DropCounts:
        """See ports.State. Rows whose fate stays are not written."""
        held = [
            (row[0],)
            for row in self._all("SELECT path, sha256 FROM drop_file WHERE sha256 IS NOT NULL")
            if row[1] in signed
        ]
        with self.transaction() as db:
            db.execute("CREATE TEMP TABLE IF NOT EXISTS signed_drop (path TEXT PRIMARY KEY) WITHOUT ROWID")
            db.execute("DELETE FROM signed_drop")
            db.executemany("INSERT INTO signed_drop VALUES (?)", held)
            fate = _FATE.replace("signed", "path IN (SELECT path FROM signed_drop)")
            db.execute(f"UPDATE drop_file SET fate = {fate} WHERE NOT archive AND fate IS NOT {fate}")
            # an archive may be a file of a package itself
            db.execute(f"UPDATE drop_file SET fate = {fate} WHERE archive")
            db.execute(f"UPDATE drop_file SET fate = {_ARCHIVE_FATE} WHERE archive")
        counts = dict(self._all("SELECT fate, count(*) FROM drop_file WHERE container IS NULL GROUP BY fate"))
        deleted = int(self.meta(_DELETED) or 0)
        return DropCounts(
            sum(counts.values()), counts.get(1, 0) + counts.get(2, 0), counts.get(0, 0),
            counts.get(2, 0) + deleted,
        )  # fmt: skip

    def consumed_drops(self) -> list[DropStat]:
        """Drop files that are durable here in every byte."""
        rows = self._all(f"SELECT {_STAT} FROM drop_file WHERE fate = 2 AND container IS NULL")
        return [DropStat(*row) for row in rows]

    def foreign_drop(self, path: str) -> DropStat | None:
        """A drop file, if no release names any of it."""
        row = self._one(f"SELECT {_STAT} FROM drop_file WHERE path = ? AND fate = 0", (path,))
        return None if row is None else DropStat(*row)

    def set_received(self, items: Sequence[ReceivedItem]) -> None:
        """What is on the received shelf."""
        if set(items) == set(self.received()):
            return
        with self.transaction() as db:
            db.execute("DELETE FROM received")
            db.executemany(
                "INSERT INTO received VALUES (?, ?, ?, ?, ?)",
                [(i.file.root, i.file.length, i.name, i.origin, i.at) for i in items],
            )
            db.execute("INSERT OR REPLACE INTO meta VALUES ('generation', ?)", (str(self.generation() + 1),))

    def count_consumed(self, number: int) -> None:
        """So many consumed files were deleted."""
        with self.transaction() as db:
            total = int(self.meta(_DELETED) or 0) + number
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_DELETED, str(total)))


def _count(db: sqlite3.Connection, path: str) -> None:
    db.execute(
        "UPDATE drop_file SET named = (SELECT coalesce(sum(names), 0) FROM drop_leaves l"
        " WHERE l.path = drop_file.path) WHERE path = ?",
        (path,),
    )
