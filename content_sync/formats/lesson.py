"""lesson.json: what a package is (formats.md 3.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from content_sync.errors import LessonError
from content_sync.formats.canonical import check_format, dump, load, maybe, need, need_hex
from content_sync.formats.hashtree import FileId
from content_sync.formats.paths import check_distinct, check_id, check_path

NAME = "lesson.json"
FORMAT = "lessonbox-lesson/1"
MAX_LESSON = 4 << 20

#: kind -> (Chinese word, default step of teaching, other words that a file name may begin with)
KINDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "video": ("视频", "look", ("微课",)),
    "recorded": ("课堂实录", "look", ("实录",)),
    "courseware": ("课件", "read", ("PPT", "ppt")),
    "interactive": ("互动课件", "write", ()),
    "audio": ("朗读", "read", ("音频", "录音")),
    "picture": ("图片", "look", ()),
    "quiz": ("试题", "practise", ("练习", "习题", "测试")),
    "guide": ("导学案", "practise", ("学案",)),
    "plan": ("教案", "teach", ()),
    "other": ("资料", "read", ()),
}
_RESOURCE_ID = re.compile(r"[a-z0-9-]{1,64}")
STEPS = ("look", "read", "write", "practise", "teach")
ROLES = ("main", "original", "light", "page", "subtitles", "part")
#: Where light renditions lie in a package, and nothing else does.
LIGHT = "~light/"


@dataclass(frozen=True)
class ResourceFile:
    """One file of a resource: its path in the package, what it is there for, and its identity."""

    path: str
    role: str
    file: FileId


@dataclass(frozen=True)
class Resource:
    """One video, courseware, plan, quiz… of a lesson. `seconds` is the playing time, if known."""

    id: str
    kind: str
    step: str
    title: str
    media_type: str
    files: tuple[ResourceFile, ...]
    language: str | None = None
    licence: str | None = None
    source: str | None = None
    seconds: int | None = None

    def with_role(self, role: str) -> list[ResourceFile]:
        """Its files of one role, in order."""
        return [entry for entry in self.files if entry.role == role]

    @property
    def main(self) -> ResourceFile:
        """The file that opens."""
        return self.with_role("main")[0]


@dataclass(frozen=True)
class Lesson:
    """A lesson's place and its resources in teaching order."""

    id: str
    collection: str
    stage: str
    subject: str
    edition: str
    grade: str
    volume: str
    unit: str
    unit_no: int | None
    no: int | None
    title: str
    periods: int
    resources: tuple[Resource, ...]
    language: str | None = None
    licence: str | None = None
    source: str | None = None


def _resource_json(resource: Resource) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": resource.id,
        "kind": resource.kind,
        "step": resource.step,
        "title": resource.title,
        "media_type": resource.media_type,
        "files": [
            {"path": f.path, "role": f.role, "root": f.file.root, "size": f.file.length}
            for f in resource.files
        ],
    }
    for key in ("language", "licence", "source", "seconds"):
        if getattr(resource, key) is not None:
            made[key] = getattr(resource, key)
    return made


def dump_lesson(lesson: Lesson) -> bytes:
    """The bytes of lesson.json."""
    made: dict[str, Any] = {"format": FORMAT, "resources": [_resource_json(r) for r in lesson.resources]}
    for key in Lesson.__dataclass_fields__:
        if key != "resources" and (getattr(lesson, key) is not None or key in ("unit_no", "no")):
            made[key] = getattr(lesson, key)
    return dump(made)


def _parse_resource(value: object) -> Resource:
    kind = need(value, "kind", str, LessonError)
    step = need(value, "step", str, LessonError)
    assert isinstance(value, dict)
    files = []
    for entry in need(value, "files", list, LessonError):
        role = need(entry, "role", str, LessonError)
        identity = FileId(need_hex(entry, "root", 64, LessonError), need(entry, "size", int, LessonError))
        if not identity.length:
            raise LessonError("an empty file can't be in a package")
        path = check_path(need(entry, "path", str, LessonError))
        files.append(ResourceFile(path, role if role in ROLES else "part", identity))
    identifier = need(value, "id", str, LessonError)
    if not _RESOURCE_ID.fullmatch(identifier):
        raise LessonError(f"not a resource id: {identifier[:80]!r}")
    if sum(entry.role == "main" for entry in files) != 1:
        raise LessonError("a resource has not exactly one main file")
    if sum(entry.role == "light" for entry in files) > 1:
        raise LessonError("a resource has more than one light rendition")
    return Resource(
        id=identifier,
        kind=kind if kind in KINDS else "other",
        step=step if step in STEPS else "read",
        title=need(value, "title", str, LessonError),
        media_type=need(value, "media_type", str, LessonError),
        files=tuple(files),
        language=maybe(value, "language", str, LessonError),
        licence=maybe(value, "licence", str, LessonError),
        source=maybe(value, "source", str, LessonError),
        seconds=maybe(value, "seconds", int, LessonError),
    )


def parse_lesson(data: bytes) -> Lesson:
    """Read and check lesson.json. Raises LessonError, FormatError, PathError, LengthError, TooBigError."""
    obj = load(data, MAX_LESSON)
    check_format(obj, FORMAT)
    resources = tuple(_parse_resource(value) for value in need(obj, "resources", list, LessonError))
    ids = [resource.id for resource in resources]
    if len(set(ids)) != len(ids):
        raise LessonError("two resources share an id")
    check_distinct([NAME, *(entry.path for resource in resources for entry in resource.files)])
    texts = {
        key: need(obj, key, str, LessonError)
        for key in ("stage", "subject", "edition", "grade", "volume", "unit", "title")
    }
    periods = need(obj, "periods", int, LessonError)
    if periods < 1:
        raise LessonError("periods must be at least 1")
    return Lesson(
        id=check_id(obj.get("id")),
        collection=check_id(obj.get("collection")),
        unit_no=maybe(obj, "unit_no", int, LessonError),
        no=maybe(obj, "no", int, LessonError),
        periods=periods,
        resources=resources,
        language=maybe(obj, "language", str, LessonError),
        licence=maybe(obj, "licence", str, LessonError),
        source=maybe(obj, "source", str, LessonError),
        **texts,
    )


def check_light(lesson: Lesson) -> None:
    """Raise LessonError unless just the light renditions lie where they must."""
    for resource in lesson.resources:
        if any(entry.path.startswith(LIGHT) != (entry.role == "light") for entry in resource.files):
            raise LessonError(f"only light renditions lie below {LIGHT}, and all of them do")


def check_against(lesson: Lesson, files: dict[str, FileId]) -> None:
    """Raise LessonError unless the lesson lists just the files of its package (`files`: path -> identity)."""
    check_light(lesson)
    listed = {entry.path: entry.file for resource in lesson.resources for entry in resource.files}
    if listed != {path: file for path, file in files.items() if path != NAME}:
        raise LessonError(f"lesson {lesson.id} does not list the files of its package")
