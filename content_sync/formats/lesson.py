"""lesson.json: what a package is (formats.md 3.1)."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

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
MOST_CHAPTERS = 100
MOST_SECOND = 86_400
MOST_WORDS = 120
MOST_MINUTES = 60


class ResourceFile(Struct, frozen=True):
    """One file of a resource: its path in the package, what it is there for, and its identity."""

    path: str
    role: str
    file: FileId


class Chapter(Struct, frozen=True):
    """A part of a video or sound that begins at a second."""

    at: int
    title: str


class Stop(Struct, frozen=True):
    """Where a recording for two teachers (双师) pauses, what the one in the room does then, and for how many
    minutes.
    """

    at: int
    do: str
    minutes: int | None = None


def check_chapters(chapters: tuple[Chapter, ...], stops: tuple[Stop, ...]) -> None:
    """Raise LessonError unless both run forward and say something that a board can show."""
    for what, marks in (("chapters", chapters), ("stops", stops)):
        times = [mark.at for mark in marks]
        if len(marks) > MOST_CHAPTERS:
            raise LessonError(f"more than {MOST_CHAPTERS} {what}")
        if not all(0 <= at <= MOST_SECOND for at in times) or sorted(set(times)) != times:
            raise LessonError(f"{what} do not run forward in seconds of 0 to {MOST_SECOND}")
    if any(stop.at == 0 for stop in stops):
        raise LessonError("a stop is at second 0, before anything was seen")
    for words in (*(c.title for c in chapters), *(s.do for s in stops)):
        if not words.strip() or len(words) > MOST_WORDS or not words.isprintable():
            raise LessonError(f"a chapter or stop says nothing, or more than {MOST_WORDS} characters")
    if any(stop.minutes is not None and not 1 <= stop.minutes <= MOST_MINUTES for stop in stops):
        raise LessonError(f"minutes of a stop are not 1 to {MOST_MINUTES}")


class Resource(Struct, frozen=True):
    """One video, courseware, plan, quiz… of a lesson. `seconds` is the playing time, if known; `same_as` the
    resource of this lesson that it is in another language; `pages` how many a document has, where not all are
    images.
    """

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
    chapters: tuple[Chapter, ...] = ()
    stops: tuple[Stop, ...] = ()
    same_as: str | None = None
    pages: int | None = None

    def with_role(self, role: str) -> list[ResourceFile]:
        """Its files of one role, in order."""
        return [entry for entry in self.files if entry.role == role]

    @property
    def main(self) -> ResourceFile:
        """The file that opens."""
        return self.with_role("main")[0]


class Lesson(Struct, frozen=True):
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

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of its resources, once each, in order; what states none is in the lesson's."""
        stated = (resource.language or self.language for resource in self.resources)
        return tuple(dict.fromkeys(language for language in stated if language))

    def variants(self, resource: Resource) -> list[Resource]:
        """This resource and what is the same in other languages, in order."""
        first = resource.same_as or resource.id
        return [r for r in self.resources if r.id == first or r.same_as == first]


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
    for key in ("language", "licence", "source", "seconds", "same_as", "pages"):
        if getattr(resource, key) is not None:
            made[key] = getattr(resource, key)
    if resource.chapters:
        made["chapters"] = [{"at": chapter.at, "title": chapter.title} for chapter in resource.chapters]
    if resource.stops:
        made["stops"] = [
            {"at": stop.at, "do": stop.do} | ({} if stop.minutes is None else {"minutes": stop.minutes})
            for stop in resource.stops
        ]
    return made


def dump_lesson(lesson: Lesson) -> bytes:
    """The bytes of lesson.json."""
    made: dict[str, Any] = {"format": FORMAT, "resources": [_resource_json(r) for r in lesson.resources]}
    for key in Lesson.__struct_fields__:
        if key != "resources" and (getattr(lesson, key) is not None or key in ("unit_no", "no")):
            made[key] = getattr(lesson, key)
    return dump(made)


def _parse_marks(value: object) -> tuple[tuple[Chapter, ...], tuple[Stop, ...]]:
    assert isinstance(value, dict)
    chapters = tuple(
        Chapter(need(entry, "at", int, LessonError), need(entry, "title", str, LessonError))
        for entry in maybe(value, "chapters", list, LessonError) or ()
    )
    stops = tuple(
        Stop(
            need(entry, "at", int, LessonError),
            need(entry, "do", str, LessonError),
            maybe(entry, "minutes", int, LessonError),
        )
        for entry in maybe(value, "stops", list, LessonError) or ()
    )
    check_chapters(chapters, stops)
    return chapters, stops


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
    chapters, stops = _parse_marks(value)
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
        chapters=chapters,
        stops=stops,
        same_as=maybe(value, "same_as", str, LessonError),
        pages=maybe(value, "pages", int, LessonError),
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
