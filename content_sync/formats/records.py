"""What a report batch carries beside sessions (formats.md 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from content_sync.errors import FormatError
from content_sync.formats.canonical import is_hex, maybe, need, need_hex

MAX_RECORDS = 5_000
_MAX_TEXT = 200
_MAX_KINDS = 40
_MOST = 1 << 53


class ClassRecord(Struct, frozen=True):
    """One class (课时): who (a random id of the box's own), where, what, when. `name` only where the county's
    policy asks for it. Times in seconds; `start` in unix seconds."""

    id: str
    teacher: str
    place: str
    kind: str
    lesson: str
    start: int
    uncertainty: int
    clock: str
    seconds: int
    name: str | None = None


class WishRecord(Struct, frozen=True):
    """A board asked for a lesson that was not here. `board` and `at` as in the wish's file."""

    id: str
    lesson: str
    board: str | None
    at: int | None


class OfferRecord(Struct, frozen=True):
    """A school offers a lesson of its own to the county, or takes the offer back. `kinds`: how many resources
    of each kind; `size`: bytes."""

    id: str
    lesson: str
    title: str
    collection: str | None
    kinds: tuple[tuple[str, int], ...]
    size: int
    offered: bool = True


class DamageRecord(Struct, frozen=True):
    """A file of the store was found damaged (and is fetched again): its root, how often by now, and when by
    the box's own clock, unix seconds."""

    id: str
    file: str
    times: int
    at: int


class UpdateRecord(Struct, frozen=True):
    """A system update was tried: the box runs it now (`well`), or went back (`why`). `at` by the box's own
    clock, unix seconds."""

    id: str
    number: int
    version: str
    well: bool
    why: str
    at: int


Record = ClassRecord | WishRecord | OfferRecord | DamageRecord | UpdateRecord


def text(value: object, key: str, most: int = _MAX_TEXT) -> str:
    """A text of 1 to `most` characters. Raises FormatError."""
    found: str = need(value, key, str)
    if not 0 < len(found) <= most:
        raise FormatError(f"{key!r} is empty or too long")
    return found


def number(value: object, key: str, most: int = _MOST) -> int:
    """A whole number from 0 to `most`. Raises FormatError."""
    found: int = need(value, key, int)
    if not 0 <= found <= most:
        raise FormatError(f"{key!r} is out of range")
    return found


def _class(value: dict[str, Any]) -> ClassRecord:
    return ClassRecord(
        id=need_hex(value, "id", 16),
        teacher=need_hex(value, "teacher", 16),
        place=text(value, "place"),
        kind=text(value, "kind", 40),
        lesson=text(value, "lesson"),
        start=number(value, "start", 1 << 40),
        uncertainty=number(value, "uncertainty", 1 << 40),
        clock=text(value, "clock", 40),
        seconds=number(value, "seconds", 1 << 31),
        name=None if value.get("name") is None else text(value, "name"),
    )


def _wish(value: dict[str, Any]) -> WishRecord:
    board = value.get("board")
    if board is not None and not is_hex(board, 16):
        raise FormatError("'board' is not 16 hex digits")
    return WishRecord(
        id=need_hex(value, "id", 16),
        lesson=text(value, "lesson"),
        board=board,
        at=None if value.get("at") is None else number(value, "at", 1 << 40),
    )


def _offer(value: dict[str, Any]) -> OfferRecord:
    kinds = need(value, "kinds", dict)
    if len(kinds) > _MAX_KINDS or any(len(kind) > 40 for kind in kinds):
        raise FormatError("'kinds' is too long")
    return OfferRecord(
        id=need_hex(value, "id", 16),
        lesson=text(value, "lesson"),
        title=text(value, "title"),
        collection=None if value.get("collection") is None else text(value, "collection"),
        kinds=tuple(sorted((kind, number(kinds, kind, 1 << 31)) for kind in kinds)),
        size=number(value, "size"),
        offered=need(value, "offered", bool),
    )


def _damage(value: dict[str, Any]) -> DamageRecord:
    return DamageRecord(
        id=need_hex(value, "id", 16),
        file=need_hex(value, "file", 64),
        times=number(value, "times", 1 << 31),
        at=number(value, "at", 1 << 40),
    )


def _update(value: dict[str, Any]) -> UpdateRecord:
    why: str = need(value, "why", str)
    if len(why) > 40:
        raise FormatError("'why' is too long")
    return UpdateRecord(
        id=need_hex(value, "id", 16),
        number=number(value, "number"),
        version=text(value, "version"),
        well=need(value, "well", bool),
        why=why,
        at=number(value, "at", 1 << 40),
    )


#: The lists of a batch that this program knows, and how a record of each is read. What stands for a choice (a
#: class's kind) is any short text: a newer box's choice is no reason to refuse a batch.
_READERS: Mapping[str, Callable[[dict[str, Any]], Record]] = {
    "classes": _class,
    "wishes": _wish,
    "offers": _offer,
    "damage": _damage,
    "updates": _update,
}
LISTS = tuple(_READERS)


def dump_record(record: Record) -> dict[str, Any]:
    """As JSON."""
    made = asdict(record)
    if isinstance(record, OfferRecord):
        made["kinds"] = dict(record.kinds)
    elif isinstance(record, ClassRecord) and record.name is None:
        del made["name"]
    return made


def parse_record(name: str, value: object) -> Record:
    """Read and check a record of the list `name`. Raises FormatError."""
    if not isinstance(value, dict):
        raise FormatError(f"a record of {name!r} is no object")
    return _READERS[name](value)


def parse_list(obj: dict[str, Any], name: str) -> tuple[Record, ...]:
    """The records of one list of a batch; none where it is absent. Raises FormatError."""
    values = maybe(obj, name, list) or []
    if len(values) > MAX_RECORDS:
        raise FormatError(f"too many records in {name!r}")
    return tuple(parse_record(name, value) for value in values)
