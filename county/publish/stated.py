"""lesson.toml: what a lesson folder states about itself (formats.md 11). Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from content_sync.errors import FormatError, LessonBoxError
from content_sync.formats.lesson import KINDS, STEPS, Chapter, Stop, check_chapters
from content_sync.formats.paths import check_id
from county.publish.names import nfc

MAX_TEXT = 300
MAX_PERIODS = 100
_LESSON = {"id": str, "title": str, "periods": int, "licence": str, "source": str, "language": str}
#: Where the lesson belongs, for `county adopt` (placing.py); elsewhere the folders tell.
_PLACE = {"stage": str, "subject": str, "edition": str, "volume": str, "unit": str}
_RESOURCE = {
    "title": str,
    "kind": str,
    "step": str,
    "order": int,
    "licence": str,
    "source": str,
    "language": str,
    "same_as": str,
    "chapters": list,
    "stops": list,
}
_MARKS = {"chapters": "title", "stops": "do"}
_TIME = re.compile(r"(?:(\d{1,2}):)?(\d{1,4}):(\d{2})")
# A kind or step by its own word, or in Chinese as teachers write it.
_CHOICES = {
    "kind": {kind: kind for kind in KINDS}
    | {word: kind for kind, (chinese, _, others) in KINDS.items() for word in (chinese, *others)},
    "step": {step: step for step in STEPS} | dict(zip("看读写练教", STEPS, strict=True)),
}


class Stated(Struct, frozen=True):
    """Checked values of a lesson.toml by key, and those of each resource by its file's name."""

    lesson: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _value(key: str, value: object, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        expected = {str: "a text", int: "a whole number", list: "a list"}[kind]
        raise FormatError(f"{key} is not {expected}")
    if key in _MARKS:
        return _marks(key, value)
    if isinstance(value, str):
        text = nfc(value).strip()
        if not text or len(text) > MAX_TEXT or not text.isprintable():
            raise FormatError(f"{key} is empty, longer than {MAX_TEXT} characters or not plain text")
        if key == "id":
            return check_id(text)
        if key in _CHOICES:
            if text not in _CHOICES[key]:
                raise FormatError(f"{key} {text!r} is not one of {', '.join(_CHOICES[key])}")
            return _CHOICES[key][text]
        return text
    if key == "periods" and not 1 <= int(str(value)) <= MAX_PERIODS:
        raise FormatError(f"periods is not 1 to {MAX_PERIODS}")
    return value


def _second(value: object) -> int:
    """Where something is in a recording: seconds, or `M:SS` or `H:MM:SS` as players show it."""
    if type(value) is int:
        return value
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not found or int(found[3]) > 59 or found[1] and int(found[2]) > 59:
        raise FormatError(f'at {value!r} is neither a number of seconds nor a time such as "3:05"')
    return (int(found[1] or 0) * 60 + int(found[2])) * 60 + int(found[3])


def _marks(key: str, value: object) -> tuple[Chapter, ...] | tuple[Stop, ...]:
    """Chapters or stops, each a table; the whole list is refused for one that is wrong, and it is named."""
    made: list[Any] = []
    assert isinstance(value, list)
    for number, entry in enumerate(value, 1):
        try:
            if not isinstance(entry, dict) or not {"at", _MARKS[key]} <= set(entry):
                raise FormatError(f"it needs at and {_MARKS[key]}")
            words, minutes = entry[_MARKS[key]], entry.get("minutes")
            more = set(entry) - {"at", _MARKS[key]} - ({"minutes"} if key == "stops" else set())
            if more:
                raise FormatError(f"no such key: {', '.join(sorted(more))}")
            if not isinstance(words, str) or minutes is not None and type(minutes) is not int:
                raise FormatError(f"{_MARKS[key]} is not a text, or minutes not a whole number")
            at, text = _second(entry["at"]), nfc(words).strip()
            mark = Chapter(at, text) if key == "chapters" else Stop(at, text, minutes)
            check_chapters(*(((mark,), ()) if isinstance(mark, Chapter) else ((), (mark,))))
            if made and made[-1].at >= at:
                raise FormatError("it is not after the one before it")
        except LessonBoxError as error:
            raise FormatError(f"{key}, number {number}: {error.what}") from error
        made.append(mark)
    check_chapters(*((tuple(made), ()) if key == "chapters" else ((), tuple(made))))
    return tuple(made)


def _table(
    table: Mapping[str, Any], known: Mapping[str, type], where: str
) -> tuple[dict[str, Any], list[str]]:
    good: dict[str, Any] = {}
    odd: list[str] = []
    for key, value in table.items():
        if key not in known:
            odd.append(f"{where}no such key: {key}")
            continue
        try:
            good[key] = _value(key, value, known[key])
        except LessonBoxError as error:
            odd.append(where + error.what)
    return good, odd


def read(text: bytes) -> tuple[Stated, list[str]]:
    """The stated values that are right, and what is wrong with the others, one line each."""
    try:
        try:
            decoded = text.decode("utf-8-sig")
        except UnicodeDecodeError:
            decoded = text.decode("gb18030")  # as Notepad on a Chinese Windows may save it
        values = tomllib.loads(decoded.replace("\r\n", "\n"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        return Stated(), [f"not TOML: {error}"]
    tables = values.pop("resource", {})
    lesson, odd = _table(values, _LESSON | _PLACE, "")
    resources: dict[str, Mapping[str, Any]] = {}
    if not isinstance(tables, dict):
        return Stated(lesson), [*odd, "resource is not a table"]
    for name, table in tables.items():
        if not isinstance(table, dict):
            odd.append(f"resource {name!r} is not a table")
            continue
        resources[nfc(name)], more = _table(table, _RESOURCE, f"resource {name!r}: ")
        odd += more
    return Stated(lesson, resources), odd
