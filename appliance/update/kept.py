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
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from content_sync.adapters.files import make_folder, move_durable, storage_errors, sync_folder
from content_sync.errors import StorageError

#: Databases that hold what nobody else has. The others are made anew by who finds them newer.
DATABASES = ("usage.db", "outbox.db", "school.db")
_SIDES = ("", "-wal")
_ALL_SIDES = (*_SIDES, "-shm", "-journal")
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
    since. Names of those that were put back; nobody has them open. May be cut off and run again: at each
    instant the database has its name and is whole.

    Raises StorageError, DiskFullError.
    """
    if not (place / _WHOLE).exists():
        return []
    back = []
    for name in DATABASES:
        old, new, aside = place / name, data / name, data / f"{name}.after-{number}"
        newest = next((path for path in (new, aside) if _holds(path)), None)
        if not old.is_file() or (newest == new and _version(old) >= _version(new)):
            continue
        made = place / f"{name}.made"
        with storage_errors(name):
            for side in _ALL_SIDES:
                made.with_name(made.name + side).unlink(missing_ok=True)
            for side in _SIDES:
                if (place / (name + side)).is_file():
                    shutil.copy2(place / (name + side), made.with_name(made.name + side))
        if newest is not None:
            _take_over(made, newest)
        else:
            _settle(made)
        if newest == new:
            _settle(new)
        with storage_errors(name):
            if newest == new:
                aside.unlink(missing_ok=True)
                os.link(new, aside)
            else:  # a -wal of what is not there any more would be played into what comes
                for side in _ALL_SIDES:
                    new.with_name(new.name + side).unlink(missing_ok=True)
            sync_folder(data)  # aside, and no -wal beside what comes
        _replace(made, new)
        back.append(name)
    return back


def _holds(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _replace(made: Path, path: Path) -> None:
    """The bytes of `made`, of another file system perhaps, in place of `path` at one instant: the programs
    would begin an empty database where none is."""
    new = path.with_name(f".{path.name}.new")
    with storage_errors(path.name):
        owner = path.parent.stat()
        new.unlink(missing_ok=True)  # root writes to no file that others have put there
        with made.open("rb") as source, new.open("xb") as copy:
            shutil.copyfileobj(source, copy)
            os.fchown(copy.fileno(), owner.st_uid, owner.st_gid)
    move_durable(new, path, stat.S_IMODE(made.stat().st_mode))


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
