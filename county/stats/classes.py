"""Classes by teacher, wishes by lesson, offers and damage by box, for the bulletin (formats.md 12)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from county.library import BoxRow
from county.receive.database import Reader

#: Classes (课时) that a teacher should hold a term, where the box's policy says nothing else.
GOAL = 80
KINDS = ("teach", "watch", "train")
Titles = Callable[[str], Mapping[str, str]]


def figures(
    reader: Reader, span: tuple[int, int], boxes: Mapping[str, BoxRow], titles: Titles
) -> dict[str, Any]:
    """`teachers`, `wishes`, `offers`, `damage` of the time from `span[0]` to before `span[1]`, in seconds."""
    if not reader.all("SELECT 1 FROM sqlite_master WHERE name = 'class'"):
        return {"teachers": [], "wishes": [], "offers": [], "damage": []}

    def goal(box: str) -> int:
        found = boxes.get(box)
        return found.policy.class_goal or GOAL if found else GOAL

    def school(box: str) -> dict[str, str]:
        found = boxes.get(box)
        code, name = (found.school_code, found.school_name) if found else ("", box)
        return {"school_code": code, "school": name}

    return {
        "teachers": _teachers(reader, span, school, goal),
        "wishes": _wishes(reader, span, boxes, titles),
        "offers": _offers(reader, school),
        "damage": _damage(reader, school),
    }


def _teachers(
    reader: Reader,
    span: tuple[int, int],
    school: Callable[[str], dict[str, str]],
    goal: Callable[[str], int],
) -> list[dict[str, Any]]:
    names = dict(
        ((box, teacher), name)
        for box, teacher, name in reader.all(
            "SELECT box, teacher, name FROM class WHERE name IS NOT NULL ORDER BY start"
        )
    )
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for box, teacher, kind, number, seconds in reader.all(
        "SELECT box, teacher, kind, count(*), sum(seconds) FROM class"
        " WHERE start >= ? AND start < ? AND flags = '' GROUP BY box, teacher, kind",
        span,
    ):
        row = found.setdefault(
            (box, teacher),
            {
                **school(box), "box": box, "teacher": teacher, "name": names.get((box, teacher)),
                **dict.fromkeys(KINDS, 0), "goal": goal(box), "minutes": 0,
            },
        )  # fmt: skip
        if kind in KINDS:
            row[kind] += number
            row["minutes"] += (seconds + 30) // 60
    return sorted(found.values(), key=lambda row: (row["school_code"], row["school"], row["teacher"]))


def _wishes(
    reader: Reader, span: tuple[int, int], boxes: Mapping[str, BoxRow], titles: Titles
) -> list[dict[str, Any]]:
    """A wish without a date counts when it came. A person at the box without a board counts as one board."""
    asked: dict[str, set[tuple[str, str]]] = {}
    for box, board, lesson in reader.all(
        "SELECT wish.box, coalesce(board, ''), lesson FROM wish JOIN batch ON batch.id = wish.batch"
        " WHERE coalesce(at, received) >= ? AND coalesce(at, received) < ?",
        span,
    ):
        asked.setdefault(lesson, set()).add((box, board))
    rows = [
        {
            **titles(lesson),
            "lesson": lesson,
            "boards": len(who),
            "schools": len({boxes[box].school_code if box in boxes else box for box, _ in who}),
        }
        for lesson, who in asked.items()
    ]
    return sorted(rows, key=lambda row: (-row["schools"], -row["boards"], row["lesson"]))


def _offers(reader: Reader, school: Callable[[str], dict[str, str]]) -> list[dict[str, Any]]:
    """What schools offer now, whenever they said so."""
    latest: dict[tuple[str, str], tuple[Any, ...]] = {}
    for row in reader.all(
        "SELECT o.box, o.lesson, title, collection, kinds, size, offered FROM offer o"
        " JOIN batch b ON b.id = o.batch ORDER BY (SELECT min(received) FROM batch s WHERE s.box = b.box"
        " AND s.stream = b.stream), b.stream, b.seq, o.place"
    ):
        latest[row[0], row[1]] = row
    return [
        {
            **school(box), "box": box, "lesson": lesson, "title": title, "collection": collection or "",
            "kinds": json.loads(kinds), "bytes": size,
        }
        for (box, lesson), (_, _, title, collection, kinds, size, offered) in sorted(latest.items())
        if offered
    ]  # fmt: skip


def _damage(reader: Reader, school: Callable[[str], dict[str, str]]) -> list[dict[str, Any]]:
    """Of each box how many files its scrub found damaged, and how often, in all: a card that is dying."""
    if not reader.all("SELECT 1 FROM sqlite_master WHERE name = 'damage'"):
        return []
    rows = reader.all("SELECT box, count(DISTINCT file), count(*) FROM damage GROUP BY box")
    found = [{**school(box), "box": box, "files": files, "times": times} for box, files, times in rows]
    return sorted(found, key=lambda row: (-row["times"], row["box"]))
