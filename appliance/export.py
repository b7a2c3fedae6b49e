"""`lessonbox export`: a stick for another box, or this box's request and reports for the county."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from appliance.config import BoxPaths, load_settings, read_enrolment
from appliance.local_export import export_local
from appliance.usage.outbox import read_batches
from appliance.wiring import make_trust, open_shelf
from content_sync.adapters.files import read_capped, storage_errors, write_durable
from content_sync.adapters.sqlite import StateReader
from content_sync.adapters.stick import FolderStick, ObjectFolder, read_requests, read_rest, write_rest
from content_sync.engine import shipment
from content_sync.engine.export import Export
from content_sync.engine.shipment import Load, Release
from content_sync.errors import LessonBoxError
from content_sync.formats import bag
from content_sync.formats.canonical import dump
from content_sync.formats.request import (
    ENDING,
    MAX_REQUEST,
    SHORT,
    Request,
    dump_request,
    parse_request,
)

REPORTS = ".reports.jsonl"
Tick = Callable[[str, int], Callable[[int], None]]


def make_request(paths: BoxPaths) -> Request:
    """What this box lacks now. Raises SetupError, StorageError."""
    state = StateReader(paths.state_db)
    try:
        patterns = tuple(json.loads(state.meta("collections") or '["*"]'))
        lacking = state.lacking()
        wanted = {
            row.wanted: _short(lacking[row.wanted]) if row.wanted in lacking else None
            for row in [*state.updates(), *state.lessons()]
            if not row.complete
        }
        have = _short(state.objects())
        return Request(read_enrolment(paths).box, state.release(), patterns, wanted, have)
    finally:
        state.close()


def _short(roots: Any) -> frozenset[str]:
    return frozenset(root[:SHORT] for root in roots)


def write_request(data: Path, top: Path) -> dict[str, Any]:
    """Write this box's request, its reports that the county has not acknowledged, and the lessons of the
    school's own that the county asks for, onto a stick.

    Raises SetupError, DiskFullError, StorageError.
    """
    load_settings(data)
    paths = BoxPaths(data)
    request = make_request(paths)
    batches = read_batches(paths.outbox_db)
    up = top / bag.UP
    write_durable(up / f"{request.box}{ENDING}", dump_request(request))
    reports = up / f"{request.box}{REPORTS}"
    if batches:
        write_durable(reports, b"".join(batch + b"\n" for batch in batches))
    else:
        with storage_errors(reports.name):
            reports.unlink(missing_ok=True)
    made = export_local(data, top)
    return {
        "box": request.box,
        "wanted": len(request.wanted),
        "batches": len(batches),
        "local": made["local"],
        "problems": made["problems"],
    }


def export_lessons(
    data: Path,
    top: Path,
    now: int,
    request_file: Path | None = None,
    patterns: Sequence[str] = (),
    rest_file: Path | None = None,
    verify: bool = False,
    bar: Tick = lambda what, total: lambda done: None,
    most: int = bag.MAX_PART,
) -> dict[str, Any]:
    """Write what is here onto a stick: what the boxes lack whose requests lie on it (or in `request_file`),
    else the collections that `patterns` name, else everything. `now`: unix seconds, for the bag's date.

    Raises SetupError, NotFoundError before the first release, DiskFullError when not even the signed files
    fit, StorageError.
    """
    load_settings(data)
    paths = BoxPaths(data)
    enrolment = read_enrolment(paths)
    state = StateReader(paths.state_db)
    try:
        held = {row.wanted for row in [*state.updates(), *state.lessons()] if row.complete}
    finally:
        state.close()
    requests, odd = _requests(top, request_file, enrolment.box, bool(patterns))
    shelf = open_shelf(paths)
    release = shipment.open_release(shelf, make_trust(dump(enrolment.root)), patterns or ("*",))
    root = (bag.metadata_path(f"{enrolment.root['signed']['version']}.root.json"), dump(enrolment.root))
    release = replace(release, signed=(root, *release.signed))
    rest = read_rest(rest_file)
    loads = _loads(release, requests, held) if rest is None else shipment.for_rest(release, rest)
    export = Export(FolderStick(top), shelf, ObjectFolder(lambda name: paths.objects / name[:2] / name), most)
    boxes = tuple(request.box for request in requests) if rest is None else rest.boxes
    made = export.run(
        release.signed,
        loads,
        shipment.bag_info(release, now),
        boxes,
        bar("writing", len(loads)),
        verify,
        rest is None and bool(requests),
    )
    write_rest(rest_file, made.rest)
    return replace(made, problems=(*odd, *made.problems)).plain(release.number)


def _requests(
    top: Path, file: Path | None, own: str, whole: bool
) -> tuple[list[Request], list[tuple[str, LessonBoxError]]]:
    if file is not None:
        return [parse_request(read_capped(file, MAX_REQUEST))], []
    if whole:
        return [], []
    requests, odd = read_requests(top)
    return [request for request in requests if request.box != own], odd


def _loads(release: Release, requests: Sequence[Request], held: set[str]) -> list[Load]:
    if not requests:
        return shipment.for_all(release, held)
    return shipment.only(shipment.for_requests(release, requests), held)
