"""What can't be rebuilt, kept beside while a new system is tried, and put back when it failed (formats.md
18).

A database whose schema the new programs left as it was stays as it is now: nothing of the trial is lost.
One that they changed is put back as it was before, and its rows as they are now are taken over into it, by
the columns that both know: what was acknowledged meanwhile stands there too, and no report's number is
given twice. The newer file is kept whole.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from content_sync.adapters.files import make_folder, storage_errors, sync_folder
from content_sync.errors import StorageError

#: Databases that hold what nobody else has. The others are made anew by who finds them newer.
DATABASES = ("usage.db", "outbox.db", "school.db")
_SIDES = ("", "-wal")
_WHOLE = "whole"


def keep(data: Path, place: Path) -> None:
    """Copy them to `place`, whole or not at all; nobody has them open. A copy that is there stays: it is
    older.

    Raises StorageError, DiskFullError.
    """
    if (place / _WHOLE).exists():
        return
    with storage_errors(place.name):
        shutil.rmtree(place, ignore_errors=True)
        make_folder(place, 0o700)
        for name in _files():
            if (data / name).is_file():
                shutil.copy2(data / name, place / name)
                _sync(place / name)
        (place / _WHOLE).touch()
        sync_folder(place)


def drop(place: Path) -> None:
    """The copies are not needed any more."""
    shutil.rmtree(place, ignore_errors=True)


def put_back(data: Path, place: Path, number: int) -> list[str]:
    """The trial of update `number` failed: databases that it changed as they were before, with what came
    since. Names of those that were put back; nobody has them open. May be cut off and run again.

    Raises StorageError, DiskFullError.
    """
    if not (place / _WHOLE).exists():
        return []
    back = []
    for name in DATABASES:
        old, new = place / name, data / name
        if not old.is_file() or not new.is_file() or _version(old) >= _version(new):
            continue
        made = place / f"{name}.made"
        with storage_errors(name):
            for side in _SIDES:
                made.with_name(made.name + side).unlink(missing_ok=True)
                if (place / (name + side)).is_file():
                    shutil.copy2(place / (name + side), made.with_name(made.name + side))
        _take_over(made, new)
        aside = data / f"{name}.after-{number}"
        with storage_errors(name):
            owner = new.stat()
            _settle(new)
            new.replace(aside)  # whole: it has no -wal any more
            shutil.copy2(made, new)
            shutil.chown(new, owner.st_uid, owner.st_gid)
            _sync(new)
            sync_folder(data)
        back.append(name)
    return back


def _files() -> Iterator[str]:
    for name in DATABASES:
        for side in _SIDES:
            yield name + side


def _version(path: Path) -> int:
    try:
        with closing(sqlite3.connect(path)) as db:
            return int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise StorageError(f"{path.name}: {error}") from error


def _settle(path: Path) -> None:
    """All of it in one file."""
    try:
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StorageError(f"{path.name}: {error}") from error


def _take_over(older: Path, newer: Path) -> None:
    """The rows of `newer`, by their keys, into `older`."""
    try:
        with closing(sqlite3.connect(older, isolation_level=None)) as db:
            db.execute("ATTACH ? AS newer", (str(newer),))
            tables = [
                {
                    row[0]
                    for row in db.execute(f"SELECT name FROM {scheme}.sqlite_master WHERE type = 'table'")
                }
                for scheme in ("main", "newer")
            ]
            db.execute("BEGIN IMMEDIATE")
            for table in sorted(tables[0] & tables[1]):
                if table.startswith("sqlite_"):
                    continue
                columns = [
                    [row[1] for row in db.execute(f'PRAGMA {scheme}.table_info("{table}")')]
                    for scheme in ("main", "newer")
                ]
                both = ", ".join(f'"{name}"' for name in columns[0] if name in columns[1])
                for how in ("REPLACE", "IGNORE") if both else ():
                    with suppress(sqlite3.IntegrityError):  # a column that only the older one needs
                        db.execute(
                            f'INSERT OR {how} INTO main."{table}" ({both}) SELECT {both} FROM newer."{table}"'
                        )
                        break
            if "sqlite_sequence" in tables[0] & tables[1]:  # no number is used twice
                db.execute(
                    "UPDATE main.sqlite_sequence AS m SET seq = max(m.seq, coalesce("
                    "(SELECT max(n.seq) FROM newer.sqlite_sequence n WHERE n.name = m.name), 0))"
                )
            db.execute("COMMIT")
        _settle(older)
    except sqlite3.Error as error:
        raise StorageError(f"{newer.name}: {error}") from error


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
