"""When and how fast a box may fetch from afar: `budget` and `timetable` of a policy (formats.md 5.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from msgspec import Struct

from content_sync.errors import FormatError
from content_sync.formats.canonical import maybe, need

DAY_MINUTES = 1440
EVERY_DAY = "1234567"
MAX_WINDOWS = 100
MAX_RATE = 1 << 40
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)
_DAYS = re.compile(r"[1-7]{1,7}", re.ASCII)


class Window(Struct, frozen=True):
    """A span of local time, from minute `start` of its days up to before minute `end`; over midnight when
    `end` is not after `start`. `days`: digits, Monday is 1; or one date, `on`. `rate`: bytes a second, None:
    no limit."""

    days: str
    start: int
    end: int
    rate: int | None
    on: date | None = None


class BudgetPolicy(Struct, frozen=True):
    """The rules. Rates are bytes a second, None: no limit; `rate` is that outside every window, `streaming`
    while a class streams. `day` and `month` are bytes on metered lines, None: no limit; a month begins on its
    day `month_day`. `live` are the live classes of the timetable: nothing is fetched."""

    windows: tuple[Window, ...] = ()
    rate: int | None = None
    streaming: int = 0
    metered: bool | None = None
    day: int | None = None
    month: int | None = None
    month_day: int = 1
    live: tuple[Window, ...] = ()


def _minute(value: object) -> int:
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise FormatError(f"not a time of the day: {str(value)[:20]!r}")
    return int(value[:2]) * 60 + int(value[3:])


def _rate(obj: Mapping[str, Any], key: str) -> int | None:
    value = obj.get(key)
    if value is not None and (type(value) is not int or not 0 <= value <= MAX_RATE):
        raise FormatError(f"{key!r} of the budget is out of range")
    return value


def _window(obj: object, rate: bool) -> Window:
    start, end = _minute(need(obj, "from", str)), _minute(need(obj, "to", str))
    assert isinstance(obj, dict)
    days, on = obj.get("days", EVERY_DAY), obj.get("date")
    if not isinstance(days, str) or not _DAYS.fullmatch(days) or start in (end, DAY_MINUTES):
        raise FormatError("a window of the budget is damaged")
    day = None
    if on is not None:
        try:
            day = date.fromisoformat(on)
        except (TypeError, ValueError):
            raise FormatError(f"not a day: {str(on)[:40]!r}") from None
    return Window(days, start, end, _rate(obj, "rate") if rate else 0, day)


def _windows(values: Sequence[Any], rate: bool) -> tuple[Window, ...]:
    if len(values) > MAX_WINDOWS:
        raise FormatError("too many windows in the budget")
    return tuple(_window(value, rate) for value in values)


def parse_budget(policy: Mapping[str, Any]) -> BudgetPolicy:
    """Read `budget` and `timetable` of a policy, either may be absent. Raises FormatError."""
    whole = dict(policy)
    live = _windows(maybe(whole, "timetable", list) or [], rate=False)
    obj = maybe(whole, "budget", dict) or {}
    day, month = maybe(obj, "day_mb", int), maybe(obj, "month_mb", int)
    month_day = maybe(obj, "month_day", int)
    if any(value is not None and not 0 <= value <= MAX_RATE >> 20 for value in (day, month)):
        raise FormatError("'day_mb' or 'month_mb' is out of range")
    if month_day is not None and not 1 <= month_day <= 28:
        raise FormatError("'month_day' is out of range")
    return BudgetPolicy(
        windows=_windows(maybe(obj, "windows", list) or [], rate=True),
        rate=_rate(obj, "rate"),
        streaming=_rate(obj, "streaming") or 0,
        metered=maybe(obj, "metered", bool),
        day=None if day is None else day << 20,
        month=None if month is None else month << 20,
        month_day=month_day or 1,
        live=live,
    )


def parse_window_text(text: str, rate: bool) -> Window:
    """A window as box.toml has it: `[DAYS ]HH:MM-HH:MM[ RATE]`, DAYS `12345` or a date, RATE in bytes a
    second, absent: no limit. Raises FormatError."""
    words = text.split()
    obj: dict[str, Any] = {}
    if words and "-" in words[0] and ":" not in words[0]:
        obj["date"] = words.pop(0)
    elif words and ":" not in words[0]:
        obj["days"] = words.pop(0)
    span = words.pop(0).split("-") if words else []
    if rate and words and re.fullmatch(r"[0-9]{1,13}", words[0]):
        obj["rate"] = int(words.pop(0))
    if len(span) != 2 or words:
        raise FormatError(f"not a window of time: {text[:60]!r}")
    return _window({**obj, "from": span[0], "to": span[1]}, rate)
