"""Local lessons (本校资料): their lasting record, and what pages ask sync to do with them (formats.md 15)."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from content_sync.errors import FormatError, LocalError, PathError
from content_sync.formats.canonical import check_format, dump, is_hex, load, maybe, need
from content_sync.formats.lesson import KINDS, MAX_LESSON, Lesson, dump_lesson, parse_lesson
from content_sync.formats.names import kind_and_title, kind_by_ending, nfc, stem, suffix
from content_sync.formats.paths import MAX_COMPONENT_BYTES, check_component

REQUEST = "lessonbox-local-request/1"
MAX_REQUEST = 256 << 10
#: What ids of local lessons and of their collections begin with; no county's does (formats.md 2).
PREFIX = "local-"
EDITION, UNIT, ANY_GRADE = "本校", "本校资料", "不分年级"
MAX_TITLE, MOST_FILES, MOST_LESSONS = 80, 200, 2000
DOING = ("add", "edit", "offer", "delete", "basket", "import")
SOURCES = ("upload", "drop", "received", "stick")
_MAX_PATH = 4096
_STAGES = {"一": "小学", "二": "小学", "三": "小学", "四": "小学", "五": "小学", "六": "小学", "高": "高中"}
_STAGES |= dict.fromkeys("七八九", "初中")


class LocalLesson(Struct, frozen=True):
    """A local lesson as it is kept. `offered`: the school would give it to the county. `basket`: a set of
    resources of other lessons. `origin`: the box that it came from on a stick, empty: made here. `uploads`:
    root -> where the bytes of a file lie that is not taken yet. `taken`: resource -> (lesson, resource) that
    a basket has it from."""

    lesson: Lesson
    added: int
    offered: bool = False
    basket: bool = False
    origin: str = ""
    uploads: dict[str, str] = field(default_factory=dict)
    taken: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def package(self) -> str:
        """What stands for an infohash: changes with whatever pages show."""
        return package_of(self.lesson)


class Source(Struct, frozen=True):
    """A file that a person puts into a lesson: an `upload` by its id, a `drop` or `stick` file by its path, a
    file of the `received` shelf by its root; the name, kind and title to give it."""

    kind_of_source: str
    where: str
    name: str
    kind: str = ""
    title: str = ""


class Heading(Struct, frozen=True):
    """What a local lesson is called and where it belongs."""

    title: str
    subject: str
    grade: str


class LocalRequest(Struct, frozen=True):
    """What web leaves for sync about one lesson; which fields count depends on `do`."""

    do: str
    lesson: str
    heading: Heading | None = None
    files: tuple[Source, ...] = ()
    order: tuple[tuple[str, str, str], ...] = ()  # resource, kind, title
    removed: tuple[str, ...] = ()
    items: tuple[tuple[str, str], ...] = ()  # lesson, resource
    offered: bool = False
    path: str = ""


def is_local(identity: str) -> bool:
    """Whether a lesson or collection is the school's own."""
    return identity.startswith(PREFIX)


def check_local_id(text: object) -> str:
    """The id of a local lesson: `local-` and 16 hex digits. Raises FormatError."""
    if not (isinstance(text, str) and text.startswith(PREFIX) and is_hex(text[len(PREFIX) :], 16)):
        raise FormatError(f"not the id of a local lesson: {str(text)[:60]!r}")
    return text


def package_of(lesson: Lesson) -> str:
    """The id of a local package."""
    return hashlib.sha256(dump_lesson(lesson)).hexdigest()


def stage_of(grade: str) -> str:
    """小学, 初中 or 高中; empty for no grade in particular."""
    return _STAGES.get(grade[:1], "") if grade != ANY_GRADE else ""


def collection_of(subject: str, grade: str) -> str:
    """The id of the collection that a school's own lessons of a subject and grade stand in."""
    return PREFIX + hashlib.sha256(f"{subject}/{grade}".encode()).hexdigest()[:8]


def clean(text: str, most: int = MAX_TITLE) -> str:
    """A title from a form or file name: one line, nothing invisible, nothing that turns the text around."""
    kept = "".join(" " if c.isspace() else c for c in nfc(text))
    kept = "".join(c for c in kept if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return " ".join(kept.split())[:most].strip()


def safe_name(name: str) -> str:
    """A name for a package from a file's own: the same where that is safe (formats.md 2)."""
    last = clean(name.replace("\\", "/").rpartition("/")[2], 400)
    last = "".join("_" if c in '\\/:*?"<>|' else c for c in last).strip(". ")
    end = f".{suffix(last)}" if 0 < len(suffix(last)) <= 8 else ""
    head = last[: -len(end)] if end else last
    while len(head.encode()) > MAX_COMPONENT_BYTES - 60:
        head = head[:-1]
    made = (head.strip(". ") or "file") + end
    try:
        return check_component(made)
    except PathError:  # a device's name
        return check_component(f"_{made}")


def guess(name: str) -> tuple[str, str]:
    """Kind and title that a file's name says."""
    kind, title = kind_and_title(clean(stem(name.replace("\\", "/").rpartition("/")[2])))
    if kind is None:
        kind = kind_by_ending(name)
    return kind, title or KINDS[kind][0]


def heading(title: str, subject: str, grade: str) -> Heading:
    """A checked heading. Raises LocalError when there is no title."""
    made = Heading(clean(title), clean(subject, 20) or "综合", clean(grade, 20) or ANY_GRADE)
    if not made.title:
        raise LocalError("a local lesson needs a title")
    return made


def lesson_of(identity: str, head: Heading, resources: tuple[Any, ...] = ()) -> Lesson:
    """A local lesson with this heading."""
    return Lesson(
        id=identity,
        collection=collection_of(head.subject, head.grade),
        stage=stage_of(head.grade),
        subject=head.subject,
        edition=EDITION,
        grade=head.grade,
        volume="",
        unit=UNIT,
        unit_no=None,
        no=None,
        title=head.title,
        periods=1,
        resources=resources,
    )


def with_heading(lesson: Lesson, head: Heading) -> Lesson:
    """The lesson under another heading."""
    return replace(lesson_of(lesson.id, head, lesson.resources), source=lesson.source)


def dump_local(local: LocalLesson) -> bytes:
    """The bytes of local/<id>/lesson.json: a lesson.json (formats.md 3.1) with the key `local`."""
    made = load(dump_lesson(local.lesson), 2 * MAX_LESSON)
    made["local"] = {
        "added": local.added,
        "offered": local.offered,
        "basket": local.basket,
        "origin": local.origin,
        "uploads": local.uploads,
        "taken": {resource: list(pair) for resource, pair in local.taken.items()},
    }
    return dump(made)


def parse_local(data: bytes) -> LocalLesson:
    """Read and check a record. Raises FormatError and its kinds."""
    lesson = parse_lesson(data)
    check_local_id(lesson.id)
    if not is_local(lesson.collection):
        raise FormatError(f"{lesson.id} stands in a county's collection")
    mark = need(load(data, MAX_LESSON), "local", dict)
    uploads, taken = maybe(mark, "uploads", dict) or {}, maybe(mark, "taken", dict) or {}
    if not all(is_hex(root, 64) and isinstance(where, str) for root, where in uploads.items()):
        raise FormatError("an upload of the record is damaged")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in taken.values()):
        raise FormatError("a basket's record is damaged")
    return LocalLesson(
        lesson,
        need(mark, "added", int),
        bool(mark.get("offered")),
        bool(mark.get("basket")),
        str(mark.get("origin") or "")[:64],
        dict(uploads),
        {resource: (str(pair[0]), str(pair[1])) for resource, pair in taken.items()},
    )


def dump_request(request: LocalRequest) -> bytes:
    """The bytes of incoming/local-<16 hex>.json."""
    made: dict[str, Any] = {"format": REQUEST, "do": request.do, "lesson": request.lesson}
    if request.heading is not None:
        made["heading"] = asdict(request.heading)
    if request.files:
        made["files"] = [
            {"from": f.kind_of_source, "where": f.where, "name": f.name, "kind": f.kind, "title": f.title}
            for f in request.files
        ]
    if request.order:
        made["order"] = [list(entry) for entry in request.order]
    if request.removed:
        made["removed"] = list(request.removed)
    if request.items:
        made["items"] = [list(pair) for pair in request.items]
    if request.do == "offer":
        made["offered"] = request.offered
    if request.path:
        made["path"] = request.path
    return dump(made)


def parse_request(data: bytes) -> LocalRequest:
    """Read and check a request. Raises FormatError, TooBigError, LocalError."""
    obj = load(data, MAX_REQUEST)
    check_format(obj, REQUEST)
    do = need(obj, "do", str)
    if do not in DOING:
        raise FormatError(f"nothing is known of {do[:20]!r}")
    head = maybe(obj, "heading", dict)
    path = maybe(obj, "path", str) or ""
    if len(path) > _MAX_PATH or "\0" in path:
        raise FormatError("a path of the request is too long")
    request = LocalRequest(
        do,
        check_local_id(obj.get("lesson")),
        None
        if head is None
        else heading(need(head, "title", str), need(head, "subject", str), need(head, "grade", str)),
        tuple(_source(value) for value in _list(obj, "files")),
        tuple(_texts(value, 3) for value in _list(obj, "order")),  # type: ignore[misc]
        tuple(_texts([value], 1)[0] for value in _list(obj, "removed")),
        tuple(_texts(value, 2) for value in _list(obj, "items")),  # type: ignore[misc]
        obj.get("offered") is True,
        path,
    )
    if do in ("basket", "edit") and request.heading is None:
        raise FormatError("the request lacks a heading")
    return request


def _list(obj: dict[str, Any], key: str) -> list[Any]:
    found: list[Any] = maybe(obj, key, list) or []
    if len(found) > MOST_FILES:
        raise LocalError(f"{len(found)} files, allowed in one lesson are {MOST_FILES}")
    return found


def _texts(value: object, count: int) -> tuple[str, ...]:
    if not (isinstance(value, list) and len(value) == count and all(isinstance(one, str) for one in value)):
        raise FormatError("a list of the request is damaged")
    return tuple(one[:_MAX_PATH] for one in value)


def _source(value: object) -> Source:
    of, where = need(value, "from", str), need(value, "where", str)
    if of not in SOURCES or not where or len(where) > _MAX_PATH or "\0" in where:
        raise FormatError("a file of the request is damaged")
    if of == "upload" and not is_hex(where, 16) or of == "received" and not is_hex(where, 64):
        raise FormatError("a file of the request is damaged")
    assert isinstance(value, dict)
    kind, title = maybe(value, "kind", str) or "", maybe(value, "title", str) or ""
    return Source(
        of, where, need(value, "name", str)[:_MAX_PATH], kind if kind in KINDS else "", clean(title)
    )
