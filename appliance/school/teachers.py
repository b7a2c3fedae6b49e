"""Teachers of the school: a name, what they teach, and if they like a PIN of their own.

A wrong PIN is counted on the disk before it is answered, and the wait that it costs is measured in seconds of
this boot, as with the box's own PIN (appliance/web/pin.py).
"""

from __future__ import annotations

import hmac
import re
import secrets
import sqlite3

from msgspec import Struct

from appliance.digits import digest, wait_after
from appliance.school.database import School
from content_sync.errors import FormatError, NotFoundError, PinError, TooBigError, UsageError
from content_sync.ports import Clock

#: More than any school has.
MAX_TEACHERS = 300
_NAME, _SUBJECTS = 20, 40
_PIN = re.compile(r"[0-9]{4,6}")
_COLUMNS = "id, name, subjects, pin IS NOT NULL AS locked, gone"


class Teacher(Struct, frozen=True):
    """`id` is random and says nothing of the person; `locked`: there is a PIN; `gone`: off the list."""

    id: str
    name: str
    subjects: str = ""
    locked: bool = False
    gone: bool = False


def _teacher(row: sqlite3.Row) -> Teacher:
    return Teacher(row["id"], row["name"], row["subjects"], bool(row["locked"]), bool(row["gone"]))


def teachers(school: School, gone: bool = False) -> list[Teacher]:
    """The teachers in the list's order; those who are `gone` too. Raises BusyError, StorageError."""
    with school.read() as db:
        rows = db.execute(
            f"SELECT {_COLUMNS} FROM teacher WHERE NOT gone OR ? ORDER BY position, id", (gone,)
        ).fetchall()
    return [_teacher(row) for row in rows]


def teacher(school: School, identity: str) -> Teacher | None:
    """The teacher with this id, also one who is gone. Raises BusyError, StorageError."""
    with school.read() as db:
        row = db.execute(f"SELECT {_COLUMNS} FROM teacher WHERE id = ?", (identity,)).fetchone()
    return None if row is None else _teacher(row)


def _text(text: str, most: int, what: str) -> str:
    text = " ".join(text.split())
    if len(text) > most or not text.isprintable():
        raise FormatError(f"{what}: at most {most} characters")
    return text


def save(school: School, name: str, subjects: str, identity: str = "") -> str:
    """Add a teacher, or change the one with `identity`; the id. Raises FormatError (also where another
    one on the list has the name), NotFoundError, TooBigError, DiskFullError, BusyError, StorageError."""
    name, subjects = _text(name, _NAME, "name"), _text(subjects, _SUBJECTS, "subjects")
    if not name:
        raise FormatError("a teacher needs a name")
    with school.write() as db:
        same = "SELECT 1 FROM teacher WHERE name = ? AND id != ? AND NOT gone"
        if db.execute(same, (name, identity)).fetchone():
            raise FormatError("another teacher has this name")
        if identity:
            changed = db.execute(
                "UPDATE teacher SET name = ?, subjects = ? WHERE id = ?", (name, subjects, identity)
            ).rowcount
            if not changed:
                raise NotFoundError("there is no such teacher")
            return identity
        count, last = db.execute("SELECT count(*), coalesce(max(position), 0) FROM teacher").fetchone()
        if count >= MAX_TEACHERS:
            raise TooBigError(f"there are {count} teachers already")
        made = secrets.token_hex(8)
        db.execute(
            "INSERT INTO teacher (id, name, subjects, position) VALUES (?, ?, ?, ?)",
            (made, name, subjects, last + 1),
        )
    return made


def remove(school: School, identity: str, gone: bool = True) -> None:
    """Take a teacher off the list, or put one back; the classes stay. Raises DiskFullError, BusyError,
    StorageError."""
    with school.write() as db:
        db.execute("UPDATE teacher SET gone = ?, pin = NULL WHERE id = ?", (int(gone), identity))


def check_pin(pin: str) -> None:
    """Raises UsageError unless it is none or 4 to 6 digits."""
    if pin and not _PIN.fullmatch(pin):
        raise UsageError("a teacher's PIN is 4 to 6 digits")


def set_pin(school: School, identity: str, pin: str) -> None:
    """Give a teacher a PIN of 4 to 6 digits, or with `` take it away. Raises UsageError, DiskFullError,
    BusyError, StorageError."""
    check_pin(pin)
    kept = None
    if pin:
        salt = secrets.token_bytes(16)
        kept = f"{salt.hex()} {digest(pin, salt).hex()}"
    with school.write() as db:
        db.execute("UPDATE teacher SET pin = ?, wrong = 0 WHERE id = ?", (kept, identity))


def enter(school: School, identity: str, pin: str, clock: Clock) -> None:
    """Return when this teacher may go on. Raises PinError (wrong, or too early; `try again in N s`),
    NotFoundError, DiskFullError, BusyError, StorageError."""
    now, boot = int(clock.monotonic()), clock.boot_id()
    with school.write() as db:
        row = db.execute(
            "SELECT pin, wrong, wrong_at, wrong_boot FROM teacher WHERE id = ? AND NOT gone", (identity,)
        ).fetchone()
        if row is None:
            raise NotFoundError("there is no such teacher")
        kept, wrong, at, of = row
        if kept is None:
            return
        wait = (at if of == boot else 0) + wait_after(wrong) - now
        if wait > 0:
            raise PinError(f"too many wrong PINs, try again in {wait} s")
        # before it is checked: pulling the plug saves no try
        db.execute(
            "UPDATE teacher SET wrong = ?, wrong_at = ?, wrong_boot = ? WHERE id = ?",
            (min(wrong + 1, 1000), now, boot, identity),
        )
    salt, right = (bytes.fromhex(part) for part in kept.split(" "))
    if not hmac.compare_digest(digest(pin[:16], salt), right):
        wait = wait_after(wrong + 1)
        raise PinError("wrong PIN" + (f", try again in {wait} s" if wait else ""))
    with school.write() as db:
        db.execute("UPDATE teacher SET wrong = 0 WHERE id = ?", (identity,))
