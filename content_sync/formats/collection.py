"""Subject and collection indexes: what stands between the signed targets and a package (formats.md 4)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from content_sync.errors import FormatError
from content_sync.formats.canonical import (
    check_format,
    dump,
    load,
    maybe,
    need,
    need_hex,
    parse_time,
    time_text,
)
from content_sync.formats.hashtree import MAX_LENGTH
from content_sync.formats.paths import check_id, check_path
from content_sync.formats.torrent import MAX_TORRENT

SUBJECT_FORMAT = "lessonbox-subject/1"
COLLECTION_FORMAT = "lessonbox-collection/1"
MAX_SUBJECT = 4 << 20
MAX_COLLECTION = 8 << 20
#: Leaves of 2 TiB: more than any lesson, and little enough for any disk.
MAX_LEAVES = 1 << 32
#: Weeks of a term.
MAX_WEEK = 60


class TargetRef(Struct, frozen=True):
    """A target file named by path, length in bytes and SHA-256 (hex) in the level above it."""

    path: str
    length: int
    sha256: str

    @property
    def url_path(self) -> str:
        """Where it lies below `targets/`: TUF's consistent snapshot naming, `<dir>/<sha256>.<name>`."""
        folder, _, name = self.path.rpartition("/")
        return f"{folder}/{self.sha256}.{name}" if folder else f"{self.sha256}.{name}"


class LessonEntry(Struct, frozen=True):
    """One lesson of a collection as the release lists it. `added` is unix seconds; `week` is that of the
    teaching calendar."""

    id: str
    title: str
    unit: str
    unit_no: int | None
    no: int | None
    periods: int
    kinds: tuple[str, ...]
    added: int
    infohash: str
    size: int
    files: int
    torrent: TargetRef
    leaves: TargetRef
    week: int | None = None


class Collection(Struct, frozen=True):
    """A collection index: a textbook volume and its lessons in teaching order."""

    id: str
    stage: str
    subject: str
    edition: str
    grade: str
    volume: str
    lessons: tuple[LessonEntry, ...]


class CollectionRef(Struct, frozen=True):
    """A collection as its subject index lists it."""

    id: str
    edition: str
    grade: str
    volume: str
    lessons: int
    bytes: int
    index: TargetRef


class Subject(Struct, frozen=True):
    """A subject index: the collections of one subject in one stage."""

    id: str
    stage: str
    subject: str
    collections: tuple[CollectionRef, ...]


def _ref_json(ref: TargetRef) -> dict[str, Any]:
    return {"path": ref.path, "length": ref.length, "sha256": ref.sha256}


def _parse_ref(value: object, cap: int) -> TargetRef:
    length: int = need(value, "length", int)
    if not 0 < length <= cap:
        raise FormatError(f"a target of {length} bytes is not allowed here (at most {cap})")
    return TargetRef(check_path(need(value, "path", str)), length, need_hex(value, "sha256", 64))


def _texts(values: list[object]) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise FormatError("a list holds something that is no text")
    return tuple(str(value) for value in values)


def _natural(value: object, key: str) -> int:
    number: int = need(value, key, int)
    if not 0 <= number <= MAX_LENGTH:
        raise FormatError(f"{key!r} is out of range")
    return number


def dump_subject(subject: Subject) -> bytes:
    """The bytes of a subject index."""
    return dump(
        {
            "format": SUBJECT_FORMAT,
            "id": subject.id,
            "stage": subject.stage,
            "subject": subject.subject,
            "collections": [
                {
                    "id": c.id,
                    "edition": c.edition,
                    "grade": c.grade,
                    "volume": c.volume,
                    "lessons": c.lessons,
                    "bytes": c.bytes,
                    "index": _ref_json(c.index),
                }
                for c in subject.collections
            ],
        }
    )


def parse_subject(data: bytes) -> Subject:
    """Read and check a subject index. Raises FormatError."""
    obj = load(data, MAX_SUBJECT)
    check_format(obj, SUBJECT_FORMAT)
    identity = check_id(obj.get("id"))
    collections = tuple(
        CollectionRef(
            id=check_id(need(value, "id", str)),
            edition=need(value, "edition", str),
            grade=need(value, "grade", str),
            volume=need(value, "volume", str),
            lessons=_natural(value, "lessons"),
            bytes=_natural(value, "bytes"),
            index=_parse_ref(need(value, "index", dict), MAX_COLLECTION),
        )
        for value in need(obj, "collections", list)
    )
    if any(not c.id.startswith(identity + "-") for c in collections):
        raise FormatError("a collection stands in another subject's index")
    if len({c.id for c in collections}) != len(collections):
        raise FormatError("two collections share an id")
    return Subject(identity, need(obj, "stage", str), need(obj, "subject", str), collections)


def dump_collection(collection: Collection) -> bytes:
    """The bytes of a collection index."""
    lessons = []
    for entry in collection.lessons:
        made: dict[str, Any] = {
            key: getattr(entry, key)
            for key in ("id", "title", "unit", "unit_no", "no", "periods", "infohash", "size", "files")
        }
        made["kinds"] = list(entry.kinds)
        made["added"] = time_text(entry.added)
        made["torrent"] = _ref_json(entry.torrent)
        made["leaves"] = _ref_json(entry.leaves)
        if entry.week is not None:
            made["week"] = entry.week
        lessons.append(made)
    head = {key: getattr(collection, key) for key in ("id", "stage", "subject", "edition", "grade", "volume")}
    return dump({"format": COLLECTION_FORMAT, **head, "lessons": lessons})


def parse_collection(data: bytes) -> Collection:
    """Read and check a collection index. Raises FormatError."""
    obj = load(data, MAX_COLLECTION)
    check_format(obj, COLLECTION_FORMAT)
    lessons = tuple(
        LessonEntry(
            id=check_id(need(value, "id", str)),
            title=need(value, "title", str),
            unit=need(value, "unit", str),
            unit_no=maybe(value, "unit_no", int),
            no=maybe(value, "no", int),
            periods=max(1, _natural(value, "periods")),
            kinds=_texts(need(value, "kinds", list)),
            added=parse_time(value.get("added")),
            infohash=need_hex(value, "infohash", 64),
            size=_natural(value, "size"),
            files=_natural(value, "files"),
            torrent=_parse_ref(need(value, "torrent", dict), MAX_TORRENT),
            leaves=_parse_ref(need(value, "leaves", dict), MAX_LEAVES),
            week=_week(value),
        )
        for value in need(obj, "lessons", list)
    )
    if len({entry.id for entry in lessons}) != len(lessons):
        raise FormatError("two lessons share an id")
    texts = {key: need(obj, key, str) for key in ("stage", "subject", "edition", "grade", "volume")}
    return Collection(id=check_id(obj.get("id")), lessons=lessons, **texts)


def _week(value: dict[str, Any]) -> int | None:
    week: int | None = maybe(value, "week", int)
    if week is not None and not 1 <= week <= MAX_WEEK:
        raise FormatError("'week' is out of range")
    return week


def subscribes(patterns: tuple[str, ...], collection_id: str) -> bool:
    """Whether a policy's collection patterns (`*`, `<subject id>-*`, an id) name this collection."""
    return any(
        pattern == "*"
        or pattern == collection_id
        or (pattern.endswith("-*") and collection_id.startswith(pattern[:-1]))
        for pattern in patterns
    )


def touches_subject(patterns: tuple[str, ...], subject_id: str) -> bool:
    """Whether any pattern can name a collection of this subject, so that its index must be read."""
    return any(pattern == "*" or pattern.startswith(subject_id + "-") for pattern in patterns)
