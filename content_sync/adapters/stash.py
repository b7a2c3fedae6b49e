"""parcels.db: symbols and blocks that can't be used yet, in one file with transactions (parcels.sql)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from content_sync.errors import DiskFullError, LessonBoxError, StorageError
from content_sync.ports import Shards

_SCHEMA = 1
_VACUUM_PAGES = 4096


def _named(error: sqlite3.Error) -> LessonBoxError:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
        return DiskFullError("no space left for parcels.db")
    return StorageError(f"parcels.db: {error}")


class FileStash:
    """ports.Stash in one SQLite file. A damaged one, or one of another program, is begun anew: nothing in it
    is needed for ever."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = self._open()
        except sqlite3.DatabaseError:
            self._anew()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                sql = Path(__file__).with_name("parcels.sql").read_text("utf-8")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.executescript("BEGIN IMMEDIATE;" + sql + "COMMIT;")
            elif version != _SCHEMA:
                raise sqlite3.DatabaseError(f"schema {version}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("SELECT bytes FROM total").fetchone()
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("damaged")
        except BaseException:
            connection.close()
            raise
        return connection

    def _anew(self) -> None:
        for suffix in ("-wal", "-shm", ""):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        try:
            self._db = self._open()
        except sqlite3.Error as error:
            raise _named(error) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _named(error) from error

    def _write(self, sql: str, values: tuple[Any, ...]) -> int:
        with self._errors():
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            return self._db.execute(sql, values).rowcount

    def _all(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._errors(), closing(self._db.execute(sql, values)) as cursor:
            return cursor.fetchall()

    def add(self, group: str, number: int, data: bytes) -> bool:
        """Keep one."""
        return (
            self._write(
                "INSERT OR IGNORE INTO shard (grp, number, data) VALUES (?, ?, ?)", (group, number, data)
            )
            > 0
        )

    def numbers(self, group: str) -> set[int]:
        """Numbers of a group."""
        return {row[0] for row in self._all("SELECT number FROM shard WHERE grp = ?", (group,))}

    def read(self, group: str) -> dict[int, bytes]:
        """A group's data."""
        return {row[0]: row[1] for row in self._all("SELECT number, data FROM shard WHERE grp = ?", (group,))}

    def one(self, group: str, number: int) -> bytes | None:
        """One of a group."""
        rows = self._all("SELECT data FROM shard WHERE grp = ? AND number = ?", (group, number))
        return bytes(rows[0][0]) if rows else None

    def groups(self) -> list[Shards]:
        """Every group."""
        rows = self._all("SELECT grp, count(*), max(id) FROM shard GROUP BY grp")
        return [Shards(*row) for row in rows]

    def remove(self, groups: Iterable[str]) -> None:
        """Forget these."""
        for group in groups:
            self._write("DELETE FROM shard WHERE grp = ?", (group,))

    def size(self) -> int:
        """Bytes, with what a row costs."""
        return int(self._all("SELECT bytes FROM total")[0][0])

    def put_paper(self, sha256: str, path: str, data: bytes) -> None:
        """Keep a small file."""
        self._write("DELETE FROM paper WHERE sha256 = ?", (sha256,))
        self._write("INSERT INTO paper (sha256, path, data) VALUES (?, ?, ?)", (sha256, path, data))

    def paper(self, sha256: str) -> bytes | None:
        """A small file."""
        rows = self._all("SELECT data FROM paper WHERE sha256 = ?", (sha256,))
        return bytes(rows[0][0]) if rows else None

    def papers(self) -> list[tuple[str, str, int]]:
        """The oldest first."""
        rows = self._all("SELECT sha256, path, length(data) FROM paper ORDER BY id")
        return [(row[0], row[1], row[2]) for row in rows]

    def remove_papers(self, digests: Iterable[str]) -> None:
        """Forget these."""
        for digest in digests:
            self._write("DELETE FROM paper WHERE sha256 = ?", (digest,))

    def fact(self, key: str) -> str | None:
        """A fact."""
        rows = self._all("SELECT value FROM fact WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def set_fact(self, key: str, value: str | None) -> None:
        """Write or forget it."""
        if value is None:
            self._write("DELETE FROM fact WHERE key = ?", (key,))
        else:
            self._write("INSERT OR REPLACE INTO fact VALUES (?, ?)", (key, value))

    def commit(self) -> None:
        """One transaction; space that came free goes back to the disk a little at a time."""
        with self._errors():
            if self._db.in_transaction:
                self._db.execute("COMMIT")
                self._db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        self._db.close()
