"""Rooms of the school and the boards in them."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from appliance.school.database import School
from content_sync.errors import FormatError, NotFoundError, TooBigError

HANDS = ("right", "left")
#: What one school may have: far more than any has, so that nobody fills the card through a form.
MAX_ROOMS, MAX_GRADES, MAX_BOARDS = 200, 12, 5_000
_NAME = 40
_COLUMNS = "room.id, name, grades, editions, turns"


class Room(Struct, frozen=True):
    """A classroom: its grades (several in a 复式 room) and the edition that it uses of each subject.

    `turns`: (grade, minutes), who is taught how long in each period, in this order; empty: no such plan.
    """

    id: str
    name: str
    grades: tuple[str, ...] = ()
    editions: dict[str, str] = field(default_factory=dict)
    turns: tuple[tuple[str, int], ...] = ()


class Place(Struct, frozen=True):
    """Where a browser stands: its room, if somebody said so, and the hand that its ledge is laid out for."""

    room: Room | None = None
    hand: str = "right"


def _room(row: sqlite3.Row) -> Room:
    return Room(
        row["id"],
        row["name"],
        tuple(json.loads(row["grades"])),
        json.loads(row["editions"]),
        tuple((grade, minutes) for grade, minutes in json.loads(row["turns"])),
    )


def place_of(school: School, board: str) -> Place:
    """Where the board with this id stands. Raises BusyError, StorageError."""
    found: Place = school.kept(("place", board), lambda: _read_place(school, board))
    return found


def _read_place(school: School, board: str) -> Place:
    with school.read() as db:
        row = db.execute(
            f"SELECT hand, {_COLUMNS} FROM board LEFT JOIN room ON room.id = board.room WHERE board.id = ?",
            (board,),
        ).fetchone()
    if row is None:
        return Place()
    return Place(None if row["id"] is None else _room(row), row["hand"])


def set_board(school: School, board: str, room: str | None, hand: str) -> None:
    """Remember where a board stands. Raises NotFoundError (no such room), TooBigError, DiskFullError,
    BusyError, StorageError."""
    assert hand in HANDS
    with school.write() as db:
        if room is not None and not db.execute("SELECT 1 FROM room WHERE id = ?", (room,)).fetchone():
            raise NotFoundError("there is no such room")
        if not db.execute("SELECT 1 FROM board WHERE id = ?", (board,)).fetchone():
            count = db.execute("SELECT count(*) FROM board").fetchone()[0]
            if count >= MAX_BOARDS:  # what stands in no room goes: any phone may say that it is a board
                db.execute("DELETE FROM board WHERE room IS NULL")
                count = db.execute("SELECT count(*) FROM board").fetchone()[0]
            if count >= MAX_BOARDS:
                raise TooBigError(f"{count} boards are known already")
        db.execute(
            "INSERT INTO board VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET room = excluded.room,"
            " hand = excluded.hand",
            (board, room, hand),
        )


def rooms(school: School) -> list[Room]:
    """All rooms in the school's order. Raises BusyError, StorageError."""

    def read() -> list[Room]:
        with school.read() as db:
            found = db.execute(f"SELECT {_COLUMNS} FROM room ORDER BY position, name, id").fetchall()
        return [_room(row) for row in found]

    return list(school.kept("rooms", read))


def boards(school: School) -> dict[str, list[str]]:
    """The boards of each room, by its id. Raises BusyError, StorageError."""
    found: dict[str, list[str]] = {}
    with school.read() as db:
        for room, board in db.execute("SELECT room, id FROM board WHERE room IS NOT NULL ORDER BY id"):
            found.setdefault(room, []).append(board)
    return found


def check_room(
    name: str,
    grades: Sequence[str],
    editions: Mapping[str, str] | None = None,
    turns: Sequence[tuple[str, int]] = (),
    identity: str = "",
) -> Room:
    """A room made of what somebody filled in. Raises FormatError."""
    name = " ".join(name.split())
    if not name or len(name) > _NAME or not name.isprintable():
        raise FormatError("a room needs a name of 1 to 40 characters")
    chosen = tuple(dict.fromkeys(grade for grade in grades if grade))
    if not chosen or len(chosen) > MAX_GRADES or any(len(grade) > _NAME for grade in chosen):
        raise FormatError("a room needs a grade")
    told = {subject: edition for subject, edition in (editions or {}).items() if subject and edition}
    if len(told) > 60 or any(len(text) > 60 for pair in told.items() for text in pair):
        raise FormatError("the editions of the room are damaged")
    plan = tuple((grade, minutes) for grade, minutes in turns if minutes)
    if any(grade not in chosen or not 1 <= minutes <= 120 for grade, minutes in plan):
        raise FormatError("a turn is 1 to 120 minutes")
    return Room(identity or f"r-{secrets.token_hex(4)}", name, chosen, told, plan)


def save_room(school: School, room: Room) -> None:
    """Add a room, or change the one with its id. Raises FormatError (TooBigError, or another
    has its name), DiskFullError, BusyError, StorageError."""
    with school.write() as db:
        if db.execute("SELECT 1 FROM room WHERE name = ? AND id != ?", (room.name, room.id)).fetchone():
            raise FormatError("another room has this name")
        count, last = db.execute("SELECT count(*), coalesce(max(position), 0) FROM room").fetchone()
        known = db.execute("SELECT 1 FROM room WHERE id = ?", (room.id,)).fetchone()
        if count >= MAX_ROOMS and not known:
            raise TooBigError(f"there are {count} rooms already")
        db.execute(
            "INSERT INTO room (id, name, grades, editions, position, turns) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name, grades = excluded.grades,"
            " editions = excluded.editions, turns = excluded.turns",
            (
                room.id,
                room.name,
                json.dumps(room.grades, ensure_ascii=False),
                json.dumps(room.editions, ensure_ascii=False),
                last + 1,
                json.dumps(room.turns, ensure_ascii=False),
            ),
        )


def remove_room(school: School, room: str) -> None:
    """Remove a room and its timetable; its boards stand nowhere then. Raises DiskFullError, BusyError,
    StorageError."""
    with school.write() as db:
        db.execute("DELETE FROM room WHERE id = ?", (room,))


def clear_boards(school: School, room: str) -> None:
    """No board stands in this room any more. Raises DiskFullError, BusyError, StorageError."""
    with school.write() as db:
        db.execute("UPDATE board SET room = NULL WHERE room = ?", (room,))
