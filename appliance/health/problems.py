"""Problems that one program keeps for the pages in a small file: health.json of the doctor, firstboot.json of
the first boot (formats.md 10). Written only when something changes: an SD card wears out by writing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from content_sync.adapters.files import read_capped, write_durable
from content_sync.errors import LessonBoxError
from content_sync.formats.canonical import dump, load
from content_sync.ports import Problem

FORMAT = "lessonbox-health/1"
_CAP, _MOST = 256 << 10, 100


def keep(path: Path, problems: Iterable[Problem]) -> None:
    """Keep these instead of what was kept. Raises DiskFullError, StorageError.

    A problem that was there before keeps its day; its details too, so that a count that rises is no news.
    """
    before = {(p["code"], _words(p["message"])): p for p in kept(path)}
    listed = [
        before.get((problem.code, _words(problem.message)))
        or {
            "code": problem.code,
            "subject": problem.subject,
            "message": problem.message,
            "since": problem.since,
        }
        for problem in problems
    ]
    wanted = dump({"format": FORMAT, "problems": listed[:_MOST]})
    try:
        if read_capped(path, _CAP) == wanted:
            return
    except LessonBoxError:
        if not listed:
            return
    write_durable(path, wanted)


def kept(path: Path) -> list[dict[str, Any]]:
    """The problems that were kept; none where nobody looked, or where the file is no such file."""
    try:
        told = load(read_capped(path, _CAP), _CAP)
    except LessonBoxError:
        return []
    found = told.get("problems") if told.get("format") == FORMAT else None
    return [p for p in found if _sound(p)] if isinstance(found, list) else []


def _words(message: str) -> str:
    return message.partition("（")[0]


def _sound(problem: Any) -> bool:
    kinds = {"code": str, "subject": str, "message": str, "since": int}
    return (
        isinstance(problem, dict)
        and problem.keys() == kinds.keys()
        and all(isinstance(problem[key], kind) for key, kind in kinds.items())
    )
