"""Lessons pushed to rooms, by the school's office or by the county: cards that wait on boards."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence

from msgspec import Struct

from appliance.school.database import School
from appliance.school.rooms import Room
from content_sync.errors import FormatError, TooBigError
from content_sync.formats.paths import check_id
from content_sync.formats.policy import MAX_NOTE, PolicyCard

MAX_CARDS = 200
#: Spots are as many as boards; of cards that nobody knows any more nothing is kept.
_MAX_SEEN = 20_000
_COUNTY = "county:"


class Card(Struct, frozen=True):
    """A lesson that somebody wants taught. `rooms`: ids; `names`, `grades`: what the county named rooms by;
    all empty: every board. Times are unix seconds, None where none is set or known."""

    id: str
    lesson: str
    note: str
    rooms: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    grades: tuple[str, ...] = ()
    begin: int | None = None
    until: int | None = None
    made: int | None = None

    @property
    def of_county(self) -> bool:
        """Whether the county pushed it, not the school."""
        return self.id.startswith(_COUNTY)

    def meant_for(self, room: Room | None) -> bool:
        """Whether a board in this room shows it. Where no room is known, all shows but what is meant for a
        room by its name: better once too often than never."""
        if room is None:
            return not self.rooms and not self.names
        if not (self.rooms or self.names or self.grades):
            return True
        return room.id in self.rooms or room.name in self.names or bool(set(self.grades) & set(room.grades))

    def counts(self, now: int | None) -> bool:
        """Whether its time is now; without a date every card's is."""
        return now is None or (self.begin or now) <= now <= (self.until or now)


class Seen(Struct, frozen=True):
    """What became of a card in a spot."""

    spot: str
    opened: bool
    away: bool
    at: int | None


def spot_of(room: Room | None, board: str) -> str:
    """Where a card was seen: the room, or a board that stands in none."""
    return room.id if room is not None else f"board:{board}"


def of_policy(cards: Iterable[PolicyCard]) -> list[Card]:
    """The county's cards."""
    return [
        Card(_COUNTY + c.id, c.lesson, c.note, (), c.rooms, c.grades, c.begin, c.until, c.begin)
        for c in cards
    ]


def cards(school: School) -> list[Card]:
    """The school's own cards, newest first. Raises BusyError, StorageError."""
    with school.read() as db:
        rows = db.execute("SELECT * FROM card ORDER BY number DESC").fetchall()
    return [
        Card(
            row["id"],
            row["lesson"],
            row["note"],
            tuple(json.loads(row["rooms"])),
            until=row["until"],
            made=row["made"],
        )
        for row in rows
    ]


def push(
    school: School, lesson: str, note: str, rooms: Sequence[str], until: int | None, now: int | None
) -> str:
    """Let a card wait in these rooms, in all when none is named; its id. Raises FormatError, TooBigError,
    DiskFullError, BusyError, StorageError."""
    note = " ".join(note.split())
    if len(note) > MAX_NOTE or not note.isprintable():
        raise FormatError(f"a note has at most {MAX_NOTE} characters")
    identity = f"c-{secrets.token_hex(4)}"
    with school.write() as db:
        known = {row[0] for row in db.execute("SELECT id FROM room")}
        if not set(rooms) <= known:
            raise FormatError("there is no such room")
        if now is not None:
            db.execute("DELETE FROM card WHERE until < ?", (now - 30 * 86400,))
        if db.execute("SELECT count(*) FROM card").fetchone()[0] >= MAX_CARDS:
            raise TooBigError(f"{MAX_CARDS} cards wait already")
        number = db.execute("SELECT ifnull(max(number), 0) + 1 FROM card").fetchone()[0]
        named = json.dumps(list(dict.fromkeys(rooms)))
        db.execute(
            "INSERT INTO card VALUES (?, ?, ?, ?, ?, ?, ?)",
            (identity, number, check_id(lesson), note, named, until, now),
        )
    return identity


def withdraw(school: School, card: str) -> None:
    """Take one of the school's cards back. Raises DiskFullError, BusyError, StorageError."""
    with school.write() as db:
        db.execute("DELETE FROM card WHERE id = ?", (card,))
        db.execute("DELETE FROM card_seen WHERE card = ?", (card,))


def mark(school: School, card: str, spot: str, opened: bool, away: bool, now: int | None) -> None:
    """Keep that a card was opened, put away, or (neither) taken out again. What was opened stays opened.
    Raises TooBigError, DiskFullError, BusyError, StorageError."""
    with school.write() as db:
        if db.execute("SELECT count(*) FROM card_seen").fetchone()[0] >= _MAX_SEEN:
            raise TooBigError("too much is kept about cards")
        db.execute(
            "INSERT INTO card_seen VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (card, spot) DO UPDATE SET"
            " opened = max(opened, excluded.opened), away = excluded.away, at = excluded.at",
            (card, spot, int(opened), int(away), now),
        )


def forget(school: School, known: Iterable[str]) -> None:
    """Keep nothing about cards that are gone. Raises DiskFullError, BusyError, StorageError."""
    with school.write() as db:
        gone = {row[0] for row in db.execute("SELECT DISTINCT card FROM card_seen")} - set(known)
        db.executemany("DELETE FROM card_seen WHERE card = ?", [(card,) for card in gone])


def seen(school: School) -> dict[str, list[Seen]]:
    """What became of each card. Raises BusyError, StorageError."""
    found: dict[str, list[Seen]] = {}
    with school.read() as db:
        for row in db.execute("SELECT card, spot, opened, away, at FROM card_seen ORDER BY card, spot"):
            one = Seen(row["spot"], bool(row["opened"]), bool(row["away"]), row["at"])
            found.setdefault(row["card"], []).append(one)
    return found


def seen_in(school: School, spot: str) -> dict[str, Seen]:
    """What became of cards in one spot. Raises BusyError, StorageError."""
    with school.read() as db:
        rows = db.execute(
            "SELECT card, spot, opened, away, at FROM card_seen WHERE spot = ?", (spot,)
        ).fetchall()
    return {r["card"]: Seen(spot, bool(r["opened"]), bool(r["away"]), r["at"]) for r in rows}
