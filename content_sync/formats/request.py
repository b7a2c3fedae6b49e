"""What a box asks for on a stick, and what a full stick left over (formats.md 14). Not signed: both only name
public hashes, and who forges one gets a stick that is of less use to him."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from content_sync.errors import FormatError
from content_sync.formats.canonical import check_format, dump, is_hex, load, need, need_hex
from content_sync.formats.enrolment import check_box_id

FORMAT = "lessonbox-request/1"
REST_FORMAT = "lessonbox-rest/1"
MAX_REQUEST = 32 << 20
#: Digits of a root that tell it from another: 64 bits.
SHORT = 16
ENDING = ".request.json"


class Request(Struct, frozen=True):
    """What one box lacks. `wanted`: infohash -> short roots of the files that lack (None: not known yet, so
    all), the most urgent first; `have`: short roots of what is here, for packages the box has not heard of.
    """

    box: str
    release: int
    collections: tuple[str, ...]
    wanted: Mapping[str, frozenset[str] | None]
    have: frozenset[str]

    def lacks(self, infohash: str, root: str) -> bool:
        """Whether this file of that package is lacking."""
        lacking = self.wanted.get(infohash)
        return root[:SHORT] in lacking if lacking is not None else root[:SHORT] not in self.have


def dump_request(request: Request) -> bytes:
    """The bytes of a request."""
    return dump(
        {
            "format": FORMAT,
            "box": request.box,
            "release": request.release,
            "collections": list(request.collections),
            "wanted": [
                {"infohash": infohash, "lacking": None if roots is None else sorted(roots)}
                for infohash, roots in request.wanted.items()
            ],
            "have": sorted(request.have),
        }
    )


def parse_request(data: bytes) -> Request:
    """Read and check a request. Raises FormatError, TooBigError."""
    obj = load(data, MAX_REQUEST)
    check_format(obj, FORMAT)
    collections = need(obj, "collections", list)
    if not all(isinstance(pattern, str) and len(pattern) <= 64 for pattern in collections):
        raise FormatError("a collection of the request is damaged")
    wanted: dict[str, frozenset[str] | None] = {}
    for entry in need(obj, "wanted", list):
        lacking = entry.get("lacking") if isinstance(entry, dict) else []
        roots = None if lacking is None else _shorts(entry, "lacking")
        wanted[need_hex(entry, "infohash", 64)] = roots
    return Request(
        check_box_id(obj.get("box")),
        need(obj, "release", int),
        tuple(collections),
        wanted,
        _shorts(obj, "have"),
    )


def _shorts(obj: object, key: str) -> frozenset[str]:
    roots = need(obj, key, list)
    if not all(is_hex(root, SHORT) for root in roots):
        raise FormatError(f"{key!r} holds something that is no root")
    return frozenset(roots)


class Rest(Struct, frozen=True):
    """What did not go onto a stick: (infohash, root -> first block that lacks) in order; envelopes of `boxes`
    go onto the next one too."""

    boxes: tuple[str, ...] = ()
    lessons: tuple[tuple[str, Mapping[str, int]], ...] = field(default=())


def dump_rest(rest: Rest) -> bytes:
    """The bytes of a rest file."""
    lessons = [
        {"infohash": infohash, "files": [[root, first] for root, first in sorted(files.items())]}
        for infohash, files in rest.lessons
    ]
    return dump({"format": REST_FORMAT, "boxes": list(rest.boxes), "lessons": lessons})


def parse_rest(data: bytes) -> Rest:
    """Read and check a rest file. Raises FormatError, TooBigError."""
    obj = load(data, 8 * MAX_REQUEST)
    check_format(obj, REST_FORMAT)
    lessons = []
    for entry in need(obj, "lessons", list):
        files: dict[str, int] = {}
        for pair in need(entry, "files", list):
            good = isinstance(pair, list) and len(pair) == 2 and is_hex(pair[0], 64)
            if not good or type(pair[1]) is not int or pair[1] < 0:
                raise FormatError("a file of the rest is damaged")
            files[pair[0]] = pair[1]
        lessons.append((need_hex(entry, "infohash", 64), files))
    return Rest(tuple(check_box_id(box) for box in need(obj, "boxes", list)), tuple(lessons))
