"""Rooms of the school and the boards in them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from appliance.school.database import School

HANDS = ("right", "left")


@dataclass(frozen=True)
class Room:
    """A classroom: its grades (several in a 复式 room) and the edition that it uses of each subject."""

    id: str
    name: str
    grades: tuple[str, ...] = ()
    editions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a browser stands: its room, if somebody said so, and the hand that its ledge is laid out for."""

    room: Room | None = None
    hand: str = "right"


def place_of(school: School, board: str) -> Place:
    """Where the board with this id stands. Raises BusyError, StorageError."""
    with school.read() as db:
        row = db.execute(
            "SELECT hand, room.id, name, grades, editions FROM board LEFT JOIN room ON room.id = board.room"
            " WHERE board.id = ?",
            (board,),
        ).fetchone()
    if row is None:
        return Place()
    room = None
    if row["id"] is not None:
        room = Room(row["id"], row["name"], tuple(json.loads(row["grades"])), json.loads(row["editions"]))
    return Place(room, row["hand"])


def set_board(school: School, board: str, room: str | None, hand: str) -> None:
    """Remember where a board stands. Raises DiskFullError, BusyError, StorageError."""
    assert hand in HANDS
    with school.write() as db:
        db.execute(
            "INSERT INTO board VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET room = excluded.room,"
            " hand = excluded.hand",
            (board, room, hand),
        )
