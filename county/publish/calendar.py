"""The teaching calendar 教学进度: which lesson is taught in which week, from a table (formats.md 5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from content_sync.errors import SourceError
from content_sync.formats.collection import MAX_WEEK
from content_sync.formats.lesson import Lesson
from county.publish.names import grade_volume, lesson_number, nfc, number
from county.publish.tree import Problem

_COLUMNS = {
    "week": ("周次", "周", "教学周", "week"),
    "lesson": ("课程编号", "编号", "lesson"),
    "stage": ("学段",),
    "subject": ("学科", "科目"),
    "edition": ("版本", "教材版本"),
    "place": ("年级册次",),
    "grade": ("年级",),
    "volume": ("册次", "册别"),
    "unit": ("单元",),
    "title": ("课", "课题", "课名", "教学内容", "课文"),
}
_WEEK = re.compile(r"第?\s*(\d{1,2}|[一二三四五六七八九十]{1,3})\s*(?:周|[-—~～至到].*)?周?")
_BETWEEN = re.compile(r"[、,，;；\n]+")


class Calendar(Struct, frozen=True):
    """Lesson id -> week; the collections that the table names; what was odd, line by line."""

    weeks: dict[str, int]
    collections: frozenset[str]
    problems: tuple[Problem, ...]


def read_calendar(rows: Sequence[Sequence[str]], lessons: Sequence[Lesson], name: str) -> Calendar:
    """Match a table with the lessons of the library. Raises SourceError when it has no column of weeks, or
    nothing in it is a lesson."""
    head = next((n for n, row in enumerate(rows[:20]) if _column(row, "week") is not None), None)
    if head is None:
        raise SourceError(f"{name} has no column 周次 in its first lines")
    columns = {key: at for key in _COLUMNS if (at := _column(rows[head], key)) is not None}
    if not columns.keys() & {"lesson", "unit", "title"}:
        raise SourceError(f"{name} has none of the columns 课程编号, 单元, 课")
    weeks: dict[str, int] = {}
    problems = []
    kept: dict[str, str] = {}
    for line, row in enumerate(rows[head + 1 :], head + 2):
        found = {key: nfc(row[at]) if at < len(row) else "" for key, at in columns.items()}
        if not any(found.values()):
            continue
        # Merged cells are empty but for their first line.
        for key in ("week", "stage", "subject", "edition", "place", "grade", "volume", "unit"):
            kept[key] = found[key] = found.get(key) or kept.get(key, "")
        try:
            week = _week(found["week"])
            for lesson in _lessons(found, lessons):
                weeks.setdefault(lesson.id, week)
        except SourceError as error:
            problems.append(Problem.source(f"{name}:{line}", error.what))
    if not weeks:
        raise SourceError(f"no line of {name} names a lesson of the library" + _first(problems))
    collections = frozenset(lesson.collection for lesson in lessons if lesson.id in weeks)
    return Calendar(weeks, collections, tuple(problems))


def _first(problems: Sequence[Problem]) -> str:
    return f"; {problems[0].line()}" if problems else ""


def _column(row: Sequence[str], key: str) -> int | None:
    return next((at for at, cell in enumerate(row) if cell in _COLUMNS[key]), None)


def _week(text: str) -> int:
    found = _WEEK.fullmatch(text)
    week = number(found[1]) if found else 0
    if not 1 <= week <= MAX_WEEK:
        raise SourceError(f"not a week: {text[:40]!r}")
    return week


def _lessons(row: dict[str, str], lessons: Sequence[Lesson]) -> list[Lesson]:
    """The lessons that a line names. Raises SourceError when it names none, or another collection's too."""
    if row.get("lesson"):
        found = [lesson for lesson in lessons if lesson.id == row["lesson"]]
        if not found:
            raise SourceError(f"the library has no lesson {row['lesson']}")
        return found
    place = _place(row)
    among = [lesson for lesson in lessons if all(getattr(lesson, key) == text for key, text in place.items())]
    if not among:
        raise SourceError(f"the library has no {' '.join(place.values())}")
    if len({lesson.collection for lesson in among}) > 1:
        raise SourceError(
            f"{' '.join(place.values()) or 'this line'} fits several volumes: state 学科, 版本, 年级册次"
        )
    if row.get("unit"):
        among = [lesson for lesson in among if _same_unit(lesson, row["unit"])]
        if not among:
            raise SourceError(f"there is no unit {row['unit']}")
    if not row.get("title"):
        if not row.get("unit"):
            raise SourceError("neither a lesson nor a unit is stated")
        return among
    found = []
    for part in filter(None, (part.strip() for part in _BETWEEN.split(row["title"]))):
        matches = [lesson for lesson in among if _same_lesson(lesson, part)]
        if not matches:
            raise SourceError(f"there is no lesson {part}")
        found += matches
    return found


def _place(row: dict[str, str]) -> dict[str, str]:
    place = {key: row[key] for key in ("stage", "subject", "edition", "grade", "volume") if row.get(key)}
    if row.get("place"):
        made = grade_volume(row["place"])
        if made is None:
            raise SourceError(f"{row['place']} is not a grade followed by 上册, 下册 or 全一册")
        place["grade"], place["volume"] = made
    return place


def _same_unit(lesson: Lesson, text: str) -> bool:
    if lesson.unit == text or lesson.unit.partition(" ")[2] == text:
        return True
    found = re.fullmatch(r"第?\s*(\d{1,2}|[一二三四五六七八九十]{1,3})\s*(?:单元)?(?:\s.*)?", text)
    return found is not None and lesson.unit_no == number(found[1])


def _same_lesson(lesson: Lesson, text: str) -> bool:
    if lesson.title == text:
        return True
    no, title = lesson_number(text)
    if no is not None:
        return lesson.no == no and title in (lesson.title, text)
    return text.isdecimal() and lesson.no == int(text)
