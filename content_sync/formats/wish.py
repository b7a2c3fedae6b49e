"""A wish: a teacher asks for a lesson that is not here. A file in incoming/ (formats.md 5.1)."""

from __future__ import annotations

import hashlib

from msgspec import Struct

from content_sync.errors import FormatError
from content_sync.formats.canonical import check_format, dump, is_hex, load, maybe, need, need_hex
from content_sync.formats.paths import check_id

FORMAT = "lessonbox-wish/1"
MAX_WISH = 4096


class Wish(Struct, frozen=True):
    """Lesson id, the board that asked (16 hex digits; None: a person at the box), and when (unix seconds;
    None: the clock was not trusted)."""

    lesson: str
    board: str | None = None
    at: int | None = None

    @property
    def file_name(self) -> str:
        """Its name: a board that asks again for the same leaves the same file."""
        text = f"{self.lesson} {self.board or ''}"
        return f"wish-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def is_wish_name(name: str) -> bool:
    """Whether a file in incoming/ is named as a wish."""
    return name.startswith("wish-") and name.endswith(".json") and is_hex(name[5:-5], 16)


def dump_wish(wish: Wish) -> bytes:
    """The bytes of the file. Raises FormatError when the lesson is no id."""
    check_id(wish.lesson)
    return dump({"format": FORMAT, "lesson": wish.lesson, "board": wish.board, "at": wish.at})


def parse_wish(data: bytes) -> Wish:
    """Read and check the file. Raises FormatError, TooBigError."""
    obj = load(data, MAX_WISH)
    check_format(obj, FORMAT)
    board = None if obj.get("board") is None else need_hex(obj, "board", 16)
    at = maybe(obj, "at", int)
    if at is not None and at < 0:
        raise FormatError("'at' is out of range")
    return Wish(check_id(need(obj, "lesson", str)), board, at)
