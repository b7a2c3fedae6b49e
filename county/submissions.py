"""Lessons of the schools' own that come on a stick: laid aside for people to look at (formats.md 15)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from content_sync.adapters.files import read_capped, storage_errors, write_durable
from content_sync.adapters.local import stick_parts
from content_sync.errors import FormatError, LessonBoxError, LocalError, NotFoundError
from content_sync.formats import bag
from content_sync.formats.enrolment import check_box_id
from content_sync.formats.hashtree import FileId, Hasher
from content_sync.formats.lesson import MAX_LESSON, NAME
from content_sync.formats.local import LocalLesson, parse_local

_MOST = 1000


def collect(submissions: Path, top: Path) -> dict[str, Any]:
    """Copy every whole local lesson at `top` to `submissions/<box>/<id>/`, its files by their names, its
    lesson.json last. Raises NotFoundError when none lies there, DiskFullError, StorageError."""
    folder = top / bag.LOCAL
    try:
        places = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        raise NotFoundError(f"no lesson of a school's own lies at {folder}") from None
    taken: list[dict[str, str]] = []
    problems: list[dict[str, str]] = []
    for place in places[:_MOST]:
        try:
            data = read_capped(place / NAME, MAX_LESSON)
            local = parse_local(data)
            target = submissions / _box(local) / local.lesson.id
            _copy(local, place, target)
            write_durable(target / NAME, data)
        except (FormatError, LocalError, NotFoundError) as error:
            problems.append({"code": error.code, "subject": place.name, "message": error.what})
            continue
        taken.append({"id": local.lesson.id, "title": local.lesson.title, "folder": str(target)})
    return {"lessons": taken, "problems": problems}


def _box(local: LocalLesson) -> str:
    try:
        return check_box_id(local.origin)
    except LessonBoxError:
        return "unknown"


def _copy(local: LocalLesson, place: Path, target: Path) -> None:
    """Every file, checked against its root as it is copied."""
    for resource in local.lesson.resources:
        for entry in resource.files:
            path = target / entry.path  # parse_lesson has checked that it is a safe one
            with storage_errors(entry.path):
                path.parent.mkdir(parents=True, exist_ok=True)
                new = path.with_name(f".{entry.file.root[:16]}.new")
                try:
                    with new.open("wb") as out:
                        for data in _checked(place, entry.file):
                            out.write(data)
                        out.flush()
                        os.fsync(out.fileno())
                    new.replace(path)
                finally:
                    new.unlink(missing_ok=True)


def _checked(place: Path, file: FileId) -> Iterator[bytes]:
    hasher, size = Hasher(), 0
    for data in stick_parts(place, file):
        size += len(data)
        if size > file.length:
            break
        hasher.update(data)
        yield data
    if size != file.length or hasher.finish()[0] != file:
        raise LocalError(f"{file.root[:16]} is damaged on the stick")
