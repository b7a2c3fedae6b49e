"""Baskets (备课篮): what teachers put together while they prepare, before it is shared as a local lesson."""

from __future__ import annotations

import secrets

from msgspec import Struct

from appliance.school.database import School
from content_sync.errors import LocalError
from content_sync.formats.canonical import is_hex
from content_sync.formats.local import MOST_FILES, PREFIX, clean

_MOST_BASKETS, _MOST_NAME = 200, 40
#: Boards that have a basket in hand: beyond that those that stand in no room have none any more.
_MOST_CURRENT = 2000


class Item(Struct, frozen=True):
    """A resource in a basket, and what it was called when it was put in."""

    lesson: str
    resource: str
    title: str
    kind: str
    lesson_title: str


class Basket(Struct, frozen=True):
    """A basket. `lesson`: the local lesson that it was shared as, if it was."""

    id: str
    name: str
    lesson: str | None
    items: tuple[Item, ...] = ()


def all_baskets(school: School) -> list[Basket]:
    """The newest first."""
    with school.read() as db:
        rows = db.execute("SELECT id, name, lesson FROM basket ORDER BY made DESC").fetchall()
        items = db.execute("SELECT * FROM basket_item ORDER BY basket, position").fetchall()
    held: dict[str, list[Item]] = {}
    for row in items:
        held.setdefault(row["basket"], []).append(_item(row))
    return [Basket(row["id"], row["name"], row["lesson"], tuple(held.get(row["id"], ()))) for row in rows]


def basket(school: School, identity: str) -> Basket | None:
    """One of them."""
    with school.read() as db:
        row = db.execute("SELECT id, name, lesson FROM basket WHERE id = ?", (identity,)).fetchone()
        if row is None:
            return None
        items = db.execute("SELECT * FROM basket_item WHERE basket = ? ORDER BY position", (identity,))
        return Basket(row["id"], row["name"], row["lesson"], tuple(_item(one) for one in items))


def _item(row: object) -> Item:
    return Item(*(row[key] for key in ("lesson", "resource", "title", "kind", "lesson_title")))  # type: ignore[index]


def make(school: School, name: str) -> str:
    """A new one; its id. The oldest empty one goes when there are too many. Raises LocalError when none is
    empty."""
    identity = secrets.token_hex(8)
    with school.write() as db:
        if db.execute("SELECT count(*) FROM basket").fetchone()[0] >= _MOST_BASKETS:
            gone = db.execute(
                "DELETE FROM basket WHERE id = (SELECT id FROM basket WHERE lesson IS NULL"
                " AND id NOT IN (SELECT basket FROM basket_item) ORDER BY made LIMIT 1)"
            )
            if not gone.rowcount:
                raise LocalError(f"at most {_MOST_BASKETS} baskets")
        made = db.execute("SELECT coalesce(max(made), 0) + 1 FROM basket").fetchone()[0]
        title = clean(name, _MOST_NAME) or f"备课篮{made}"
        db.execute("INSERT INTO basket VALUES (?, ?, ?, NULL)", (identity, title, made))
    return identity


def current(school: School, board: str) -> str | None:
    """The basket that this board put something into last."""
    with school.read() as db:
        row = db.execute("SELECT basket FROM current_basket WHERE board = ?", (board,)).fetchone()
    return None if row is None else str(row[0])


def put(school: School, board: str, identity: str | None, item: Item) -> str:
    """Put a resource into a basket, a new one when there is none; the basket's id. The same again changes
    nothing. Raises LocalError."""
    target = identity or current(school, board) or make(school, "")
    with school.write() as db:
        if db.execute("SELECT 1 FROM basket WHERE id = ?", (target,)).fetchone() is None:
            raise LocalError("no such basket")
        count, last = db.execute(
            "SELECT count(*), coalesce(max(position), 0) FROM basket_item WHERE basket = ?", (target,)
        ).fetchone()
        if count >= MOST_FILES:
            raise LocalError(f"a basket holds at most {MOST_FILES} resources")
        db.execute(
            "INSERT OR IGNORE INTO basket_item VALUES (?, ?, ?, ?, ?, ?, ?)",
            (target, last + 1, item.lesson, item.resource, item.title, item.kind, item.lesson_title),
        )
        if db.execute("SELECT count(*) FROM current_basket").fetchone()[0] >= _MOST_CURRENT:
            db.execute(
                "DELETE FROM current_basket WHERE board NOT IN (SELECT id FROM board WHERE room IS NOT NULL)"
            )
        db.execute("INSERT OR REPLACE INTO current_basket VALUES (?, ?)", (board, target))
    return target


def rename(school: School, identity: str, name: str) -> None:
    """Give it another name; an empty one changes nothing."""
    title = clean(name, _MOST_NAME)
    if title:
        with school.write() as db:
            db.execute("UPDATE basket SET name = ? WHERE id = ?", (title, identity))


def take_out(school: School, identity: str, lesson: str, resource: str) -> None:
    """One resource less."""
    with school.write() as db:
        db.execute(
            "DELETE FROM basket_item WHERE basket = ? AND lesson = ? AND resource = ?",
            (identity, lesson, resource),
        )


def move_up(school: School, identity: str, lesson: str, resource: str) -> None:
    """One place nearer to the beginning."""
    with school.write() as db:
        rows = db.execute(
            "SELECT lesson, resource FROM basket_item WHERE basket = ? ORDER BY position", (identity,)
        ).fetchall()
        order = [(row[0], row[1]) for row in rows]
        if (lesson, resource) in order[1:]:
            at = order.index((lesson, resource))
            order[at - 1], order[at] = order[at], order[at - 1]
            db.executemany(
                "UPDATE basket_item SET position = ? WHERE basket = ? AND lesson = ? AND resource = ?",
                [(place, identity, *pair) for place, pair in enumerate(order, 1)],
            )


def throw_away(school: School, identity: str) -> None:
    """The basket, not what was shared of it."""
    with school.write() as db:
        db.execute("DELETE FROM current_basket WHERE basket = ?", (identity,))
        db.execute("DELETE FROM basket_item WHERE basket = ?", (identity,))
        db.execute("DELETE FROM basket WHERE id = ?", (identity,))


def shared_as(school: School, identity: str) -> str:
    """The id of the local lesson that it is shared as, chosen the first time."""
    with school.write() as db:
        row = db.execute("SELECT lesson FROM basket WHERE id = ?", (identity,)).fetchone()
        if row is None:
            raise LocalError("no such basket")
        lesson: str = row[0] or PREFIX + secrets.token_hex(8)
        db.execute("UPDATE basket SET lesson = ? WHERE id = ?", (lesson, identity))
    return lesson


def is_basket_id(text: str) -> bool:
    """Whether it can be one's id."""
    return is_hex(text, 16)
