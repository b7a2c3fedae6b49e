"""The school's own lessons onto a stick: for another school, or because the county asks (formats.md 15)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from appliance.config import BoxPaths, load_settings, read_enrolment
from content_sync.adapters.files import read_capped
from content_sync.adapters.sqlite import StateReader
from content_sync.adapters.stick import FolderStick, ObjectFolder
from content_sync.errors import DamagedDataError, LessonBoxError, LocalError, StorageError
from content_sync.formats import bag
from content_sync.formats.canonical import load
from content_sync.formats.hashtree import BLOCK, FileId, Hasher, block_count
from content_sync.formats.lesson import MAX_LESSON, NAME
from content_sync.formats.local import LocalLesson, dump_local, is_local, parse_local

Tick = Callable[[str, int], Callable[[int], None]]


def asked_for(state: StateReader) -> list[str]:
    """Offered lessons of this school that the county's policy asks for."""
    asked = load(b'{"ids":' + (state.meta("collect_local") or "[]").encode() + b"}", MAX_LESSON)["ids"]
    wanted = {one for one in asked if isinstance(one, str)} if isinstance(asked, list) else set()
    return [one.row.id for one in state.local_lessons() if one.offered and one.row.id in wanted]


def export_local(
    data: Path,
    top: Path,
    lessons: Sequence[str] = (),
    bar: Tick = lambda what, total: lambda done: None,
    most: int = bag.MAX_PART,
) -> dict[str, Any]:
    """Write local lessons (ids, or `all`; none: those that the county asks for) onto the stick at `top`. One
    that is there already as it is now costs nothing. Raises LocalError for an unknown id, DiskFullError,
    StorageError."""
    load_settings(data)
    paths = BoxPaths(data)
    box = read_enrolment(paths).box
    state = StateReader(paths.state_db)
    try:
        known = [one.row.id for one in state.local_lessons()]
        chosen = known if "all" in lessons else list(lessons) or asked_for(state)
    finally:
        state.close()
    for identity in chosen:
        if not is_local(identity) or identity not in known:
            raise LocalError(f"{identity} is no lesson of this school")
    stick, objects = FolderStick(top, bag.LOCAL), ObjectFolder(lambda name: paths.objects / name[:2] / name)
    tick, written, problems = bar("writing", len(chosen)), 0, list[dict[str, str]]()
    for number, identity in enumerate(chosen, 1):
        local = parse_local(read_capped(paths.local / identity / NAME, MAX_LESSON))
        try:
            written += _write(stick, objects, replace(local, origin=local.origin or box), most)
        except DamagedDataError as error:  # ours, not the stick's: the others go
            problems.append({"code": error.code, "subject": local.lesson.title, "message": error.what})
        tick(number)
    return {"local": len(chosen) - len(problems), "written": written, "problems": problems}


def _write(stick: FolderStick, objects: ObjectFolder, local: LocalLesson, most: int) -> int:
    """The files, then the record that makes them a lesson; bytes that were written."""
    identity, data = local.lesson.id, dump_local(replace(local, uploads={}, offered=False))
    there, written = stick.files(), 0
    if _same(stick, identity, data):
        return 0
    stick.remove([f"{identity}/{NAME}"] if f"{identity}/{NAME}" in there else [])
    paths = []
    for file in sorted({entry.file for r in local.lesson.resources for entry in r.files}):
        for first, blocks in bag.parts(file.length, 0, most):
            whole = block_count(file.length) == blocks
            path = f"{identity}/{bag.part_name(file.root, None if whole else first)}"
            paths.append(path)
            size = min(file.length - first * BLOCK, blocks * BLOCK)
            if there.get(path) != size:  # a reader checks the bytes of what lies there
                stick.write(path, _checked(objects, file, first, blocks))
                written += size
    stick.flush(paths)
    stick.put(f"{identity}/{NAME}", data)
    return written + len(data)


def _same(stick: FolderStick, identity: str, data: bytes) -> bool:
    try:
        return stick.read(f"{identity}/{NAME}", MAX_LESSON) == data
    except LessonBoxError:
        return False


def _checked(objects: ObjectFolder, file: FileId, first: int, count: int) -> Iterator[bytes]:
    """Blocks of an object; the whole of one that goes at once is checked as it goes."""
    hasher, blocks = Hasher(), objects.blocks(file.root, first)
    for _ in range(count):
        try:
            data = next(blocks, b"")
        except StorageError as error:
            raise DamagedDataError(error.what) from None
        if not data:
            raise DamagedDataError(f"{file.root[:16]} is not whole here")
        hasher.update(data)
        yield data
    if first == 0 and count == block_count(file.length) and hasher.finish()[0] != file:
        raise DamagedDataError(f"{file.root[:16]} is damaged here")
