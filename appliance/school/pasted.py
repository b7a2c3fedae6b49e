"""A timetable (课表) as people copy it out of a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from appliance.school.timetable import EVEN, EVERY, MAX_PERIODS, ODD, Slot, check_slot
from content_sync.errors import FormatError

_DAY_NAMES: Mapping[str, int] = {name: n for n, name in enumerate("一二三四五六日", 1)} | {"天": 7}
# Compiled by `re` when a table is pasted, not at every start of the box.
_DAY = r"(?:星期|周|礼拜)([一二三四五六日天])"
_DATED = rf"[0-9年月日号./()（）-]*{_DAY}[0-9年月日号./()（）-]*"
_NUMBER = r"(?:第\s*)?([一二三四五六七八九十0-9]{1,3})\s*(?:节.*|[\s(（][0-9]{1,2}[:：].*)?"
_NO_SUBJECT = r"第?\s*[一二三四五六七八九十0-9]{1,3}\s*节?"
#: What begins a line of its own: no lesson, whatever else stands in it.
_BREAK = r"(?:大?课间|午休|午餐|午饭|早餐|早操|升旗|眼保健操|放学).*|[^0-9]*[:：].*"
#: What may be a lesson without a number, after the last that has one.
_NAMED = r"[0-9]{1,2}[:：.][0-9]{2}.*|[早晨午晚夜].{1,4}|课后.{0,4}|延时.{0,4}|社团.{0,4}"
_CELL = r"\s*[/／]\s*"
_EMPTY = frozenset({"", "-", "—", "/", "／", "无"})
_MOST_ROWS, _MOST_CELLS = 500, 64
_Row = tuple[int, Sequence[str]]


def read_grid(text: str, grade: str, known: Sequence[str] = ()) -> list[Slot]:
    """A 课表 as people copy it out of a spreadsheet: a line with the weekdays, then one line a period; or the
    weekdays down the side, one column a period. Cells are parted by tabs, commas or semicolons, and quoted
    where they hold one or a line break; `美术/音乐` is odd and even weeks. `known`: subjects by their long
    names, so that 道法 is found. Raises FormatError, which names the line, or the column where each is a
    period."""
    rows, where = _rows(text), "line"
    head, days = _header(rows)
    if not days:
        rows = list(enumerate(zip_longest(*(cells for _, cells in rows), fillvalue=""), 1))
        where, (head, days) = "column", _header(rows)
    if not days:
        raise FormatError("no line names the weekdays (星期一, 周一)")
    if len(set(days.values())) != len(days):
        raise FormatError(f"{where} {rows[head][0]}: a weekday stands there twice")
    if any(re.fullmatch(_DATED, _bare(cell)) for n, cell in enumerate(rows[head][1]) if n not in days):
        raise FormatError(f"{where} {rows[head][0]}: a weekday has a date beside it")
    slots: list[Slot] = []
    for number, period, cells in _lessons(rows[head + 1 :], days, where):
        for n, weekday in days.items():
            cell = cells[n] if n < len(cells) else ""
            try:
                slots += [
                    check_slot(Slot(weekday, period, grade, weeks, subject))
                    for weeks, subject in _subjects(cell, known)
                ]
            except FormatError:
                raise FormatError(f"{where} {number}: {cell[:20]!r} is no subject") from None
    if not slots:
        raise FormatError("no lesson stands below the weekdays")
    return slots


def _rows(text: str) -> list[_Row]:
    """Lines that are not empty, by their number, as cells. Raises FormatError."""
    if "\t" not in text:
        text = text.replace("，", ",").replace("；", ";")
    mark = max("\t,;", key=text.count)
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=mark)
    if text.count('"') % 2:  # a lone one would swallow the rest
        reader = csv.reader(lines, delimiter=mark, quoting=csv.QUOTE_NONE)
    found: list[_Row] = []
    try:
        before = 0
        for row in reader:
            cells = [cell.strip().strip('"') for cell in row[:_MOST_CELLS]]
            if any(cells):
                found.append((before + 1, cells))
            if len(found) > _MOST_ROWS:
                raise FormatError(f"line {before + 1}: more than {_MOST_ROWS} lines")
            before = reader.line_num
    except csv.Error:
        raise FormatError(f"line {reader.line_num}: not a table") from None
    return found


def _header(rows: Sequence[_Row]) -> tuple[int, dict[int, int]]:
    """Where the line with the weekdays stands, and the weekday of each of its columns; {} where none does. A
    lone weekday counts where the table has no other, and something stands below it."""
    found = []
    for at, (_, cells) in enumerate(rows):
        days = {n: _DAY_NAMES[m[1]] for n, cell in enumerate(cells) if (m := re.fullmatch(_DAY, _bare(cell)))}
        if len(days) > 1:
            return at, days
        if days:
            found.append((at, days))
    if len(found) == 1:
        at, days = found[0]
        column = min(days)
        if any(len(cells) > column and cells[column] for _, cells in rows[at + 1 :]):
            return at, days
    return 0, {}


def _lessons(
    rows: Sequence[_Row], days: Mapping[int, int], where: str
) -> Iterable[tuple[int, int, Sequence[str]]]:
    """Those lines that are lessons, as (line, period, cells). Raises FormatError."""
    side = min(days)
    told = [_told(cells[:side]) for _, cells in rows]
    last = max((n for n, period in enumerate(told) if period is not None), default=None)
    period = 0
    for n, (number, cells) in enumerate(rows):
        now = told[n]
        if now is None:
            label = _bare(next((cell for cell in cells[:side] if cell), ""))
            if not any(cell for n, cell in enumerate(cells) if n in days) or re.fullmatch(_BREAK, label):
                continue
            if last is not None and (period + 1 in told or (n > last and not re.fullmatch(_NAMED, label))):
                continue  # 早读 before the first period, a name below the last
            now = period + 1
        elif now in told[:n]:
            raise FormatError(f"{where} {number}: period {now} stands there twice")
        if not 1 <= now <= MAX_PERIODS:
            raise FormatError(f"{where} {number}: not one of {MAX_PERIODS} periods")
        period = now
        yield number, period, cells


def _told(cells: Sequence[str]) -> int | None:
    found = next((m for cell in cells if (m := re.fullmatch(_NUMBER, " ".join(cell.split())))), None)
    return _number(found[1]) if found else None


def _subjects(cell: str, known: Sequence[str]) -> Iterable[tuple[int, str]]:
    """What a cell says, as (weeks, subject). A cell of several lines names a teacher or a room too. Raises
    FormatError."""
    lines = cell.splitlines() or [""]
    cell = next((line for line in lines if _long(line.strip(), known) in known), lines[0]).strip()
    if cell in _EMPTY:
        return
    parts = re.split(_CELL, cell)
    if len(parts) > 2:
        raise FormatError("more than two subjects")
    for place, part in enumerate(parts):
        if re.fullmatch(f"{_DAY}|{_NO_SUBJECT}", _bare(part)):
            raise FormatError("a weekday or a number")
        if part:
            yield EVERY if len(parts) == 1 else (ODD, EVEN)[place], _long(part, known)


def _bare(cell: str) -> str:
    """`星 期 一` without the blanks that make it fill its cell."""
    return "".join(cell.split())


#: How teachers write subjects shortly.
_SHORT = {
    **dict.fromkeys(("道法", "品德", "思品"), "道德与法治"),
    "语": "语文",
    "数": "数学",
    "英": "英语",
    "音": "音乐",
    "美": "美术",
    "体": "体育",
    "体健": "体育与健康",
    "信息": "信息科技",
}


def _number(text: str) -> int:
    """`三`, `十二`, `3` as a number."""
    if text.isascii():
        return int(text)
    tens, _, ones = text.rpartition("十")
    digits = {name: n for n, name in enumerate("一二三四五六七八九", 1)}
    return (10 * digits.get(tens, 1) if "十" in text else 0) + digits.get(ones, 0)


def _long(name: str, known: Sequence[str]) -> str:
    return name if name in known else _SHORT.get(name, name)
