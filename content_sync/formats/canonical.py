"""JSON as this project writes and reads it: canonical out, capped and strict in (formats.md, at its top)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from content_sync.errors import FormatError, TooBigError

MAX_WHOLE = (1 << 53) - 1
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def dump(value: object) -> bytes:
    """Canonical bytes of a JSON value without floats."""
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def _no_float(text: str) -> Any:
    raise FormatError(f"number is not whole: {text[:40]}")


def _whole(text: str) -> int:
    # beyond 2^53 other readers of JSON round, and SQLite overflows beyond 2^63
    if len(text) > 17 or not -MAX_WHOLE <= (number := int(text)) <= MAX_WHOLE:
        raise FormatError(f"number is out of range: {text[:40]}")
    return number


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise FormatError("a key stands twice")
    return made


def load(data: bytes, cap: int) -> dict[str, Any]:
    """One JSON object of at most `cap` bytes. Raises FormatError, TooBigError."""
    if len(data) > cap:
        raise TooBigError(f"{len(data)} bytes, allowed are {cap}")
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_int=_whole,
            parse_float=_no_float,
            parse_constant=_no_float,
            object_pairs_hook=_no_twins,
        )
        if _HALF.search(data):
            dump(value)  # half a surrogate pair is no Unicode text: it could never be written again
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {str(error)[:120]}") from None
    if not isinstance(value, dict):
        raise FormatError("not a JSON object")
    return value


def need(obj: object, key: str, kind: type, error: type[FormatError] = FormatError) -> Any:
    """`obj[key]`, checked to be of `kind` (bool is no int). Raises `error`."""
    value = obj.get(key) if isinstance(obj, dict) else None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise error(f"{key!r} is missing or not {kind.__name__}")
    return value


def maybe(obj: dict[str, Any], key: str, kind: type, error: type[FormatError] = FormatError) -> Any:
    """Like `need`, but None when the key is absent or null."""
    return None if obj.get(key) is None else need(obj, key, kind, error)


def check_format(obj: dict[str, Any], name: str) -> None:
    """Raise FormatError unless the object says it is of this format."""
    if obj.get("format") != name:
        raise FormatError(f"expected {name}, found {str(obj.get('format'))[:60]!r}")


def is_hex(text: object, digits: int) -> bool:
    """Whether `text` is exactly that many lower-case hex digits."""
    return isinstance(text, str) and len(text) == digits and not set(text) - set("0123456789abcdef")


def need_hex(obj: object, key: str, digits: int, error: type[FormatError] = FormatError) -> str:
    """`obj[key]`, lower-case hex of `digits` digits."""
    value: str = need(obj, key, str, error)
    if not is_hex(value, digits):
        raise error(f"{key!r} is not {digits} hex digits")
    return value


def time_text(seconds: float) -> str:
    """Unix seconds as RFC 3339 UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: object) -> int:
    """RFC 3339 UTC (`…Z`) to unix seconds. Raises FormatError."""
    if not isinstance(text, str):
        raise FormatError("a time is missing")
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise FormatError(f"not a time: {text[:40]!r}") from None
