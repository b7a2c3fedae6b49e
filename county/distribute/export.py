"""`county export`: the county's end of a stick's round. What boxes sent up on it is taken in, what they lack
goes down on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from content_sync.adapters.stick import (
    FolderStick,
    ObjectFolder,
    read_requests,
    read_rest,
    upward,
    write_rest,
)
from content_sync.adapters.tuf import Trust
from content_sync.engine import shipment
from content_sync.engine.export import Export
from content_sync.engine.shipment import Load, Release, Signed
from content_sync.errors import LessonBoxError, NotFoundError
from content_sync.formats import bag
from content_sync.formats.request import Request, Rest
from content_sync.ports import Shelf
from county.publish.store import object_path
from county.receive.courier import Imported, import_files
from county.services import Services

REPORTS = ".reports.jsonl"
Tick = Callable[[str, int], Callable[[int], None]]


class Asked(Struct, frozen=True):
    """What the person asked for: boxes by id, or collections by pattern, or neither (then what lies on the
    stick tells, and without requests on it the whole library goes). `rest`: the file of what is left over."""

    boxes: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    rest: Path | None = None
    verify: bool = False
    most: int = bag.MAX_PART


def export(
    services: Services,
    shelf: Shelf,
    top: Path,
    asked: Asked,
    now: int,
    bar: Tick = lambda what, total: lambda done: None,
) -> tuple[dict[str, Any], Imported]:
    """Take in the reports on the stick, then write the bag: what it holds as JSON, what became of reports.

    Raises NotFoundError for a box that is none of this county's or before the first release, DiskFullError
    when not even the signed files fit, StorageError when the stick fails.
    """
    imported = import_files(upward(top, REPORTS), services.door, services.envelopes, now)
    rest = read_rest(asked.rest)
    requests, odd = ([], []) if rest is not None or asked.collections else _requests(services, top, asked)
    patterns = asked.collections or {p for request in requests for p in request.collections} or ("*",)
    release = shipment.open_release(shelf, _trust, tuple(patterns if rest is None else ("*",)))
    boxes = rest.boxes if rest is not None else tuple(request.box for request in requests)
    loads = _loads(release, requests, rest)
    made = Export(
        FolderStick(top),
        shelf,
        ObjectFolder(lambda root: object_path(services.paths.objects, root)),
        asked.most,
    ).run(
        [*_envelopes(services, boxes, now), *release.signed],
        loads,
        shipment.bag_info(release, now),
        boxes,
        bar("writing", len(loads)),
        asked.verify,
        bool(requests),
    )
    write_rest(asked.rest, made.rest)
    made = replace(made, problems=(*odd, *made.problems))
    return made.plain(release.number), imported


def _trust(roots: Sequence[bytes], timestamp: bytes | None, *levels: bytes | None) -> Trust:
    return Trust.reload(roots[0], roots[1:], timestamp, *levels)


def _requests(
    services: Services, top: Path, asked: Asked
) -> tuple[list[Request], list[tuple[str, LessonBoxError]]]:
    """A request of each box that is meant; what it is subscribed to is for the county to say."""
    written, odd = read_requests(top)
    found = {request.box: request for request in written}
    requests = []
    for box in asked.boxes or found:
        row = services.library().box(box)
        if row is not None:
            request = found.get(box) or Request(box, 0, (), {}, frozenset())
            requests.append(replace(request, collections=row.collections))
        elif asked.boxes:
            raise NotFoundError(f"box {box} is not one of this county")
        else:
            odd.append((box, NotFoundError("is not a box of this county")))
    return requests, odd


def _loads(release: Release, requests: Sequence[Request], rest: Rest | None) -> list[Load]:
    if rest is not None:
        return shipment.for_rest(release, rest)
    return shipment.for_requests(release, requests) if requests else shipment.for_all(release)


def _envelopes(services: Services, boxes: Sequence[str], now: int) -> list[Signed]:
    paths = ((box, bag.metadata_path(f"envelopes/{box}.json")) for box in boxes)
    return [(path, services.envelopes.current(box, now)) for box, path in paths]
