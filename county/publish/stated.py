"""lesson.toml: what a lesson folder states about itself (formats.md 11). Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from content_sync.errors import FormatError
from content_sync.formats.lesson import KINDS, STEPS
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
}
# A kind or step by its own word, or in Chinese as teachers write it.
_CHOICES = {
    "kind": {kind: kind for kind in KINDS}
    | {word: kind for kind, (chinese, _, others) in KINDS.items() for word in (chinese, *others)},
    "step": {step: step for step in STEPS} | dict(zip("看读写练教", STEPS, strict=True)),
}


@dataclass(frozen=True)
class Stated:
    """Checked values of a lesson.toml by key, and those of each resource by its file's name."""

    lesson: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _value(key: str, value: object, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise FormatError(f"{key} is not {'a text' if kind is str else 'a whole number'}")
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
        except FormatError as error:
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
