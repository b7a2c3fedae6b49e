"""From a planned lesson and the files held of it to a package (formats.md 3). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from msgspec import Struct

from content_sync.errors import LessonError, PathError
from content_sync.formats import torrent
from content_sync.formats.hashtree import FileId
from content_sync.formats.lesson import (
    KINDS,
    LIGHT,
    MAX_LESSON,
    NAME,
    Lesson,
    Resource,
    ResourceFile,
    check_light,
    dump_lesson,
    parse_lesson,
)
from county.publish.derive import Made
from county.publish.names import media_type, stem, suffix
from county.publish.scan import PlannedLesson, PlannedResource, Taken
from county.publish.unzip import ENTRY, MANIFEST

_STEM_BYTES = 230


class Package(Struct, frozen=True):
    """A package to be: its torrent and its leaves file."""

    torrent: torrent.Torrent
    leaves: bytes


def describe(
    planned: PlannedLesson, held: Mapping[str, FileId], made: Mapping[tuple[FileId, str], Made]
) -> Lesson | None:
    """The lesson of the files that are held (by source path); None when no resource has its main file."""
    usable = [resource for resource in planned.resources if _usable(resource, held, made)]
    taken = Taken([f.path for r in usable for f in r.files if f.node.path in held])
    published = {resource.id for resource in usable}
    resources = tuple(_resource(resource, held, made, taken, published) for resource in usable)
    if not resources:
        return None
    return Lesson(
        id=planned.id,
        collection=planned.collection,
        stage=planned.stage,
        subject=planned.subject,
        edition=planned.edition,
        grade=planned.grade,
        volume=planned.volume,
        unit=planned.unit,
        unit_no=planned.unit_no,
        no=planned.no,
        title=planned.title,
        periods=planned.periods,
        resources=resources,
        language=planned.language,
        licence=planned.licence,
        source=planned.source,
    )


def _usable(
    planned: PlannedResource, held: Mapping[str, FileId], made: Mapping[tuple[FileId, str], Made]
) -> bool:
    mains = [file for file in planned.files if file.role == "main"]
    return all(file.node.path in held for file in mains) and not any(
        made.get((held[file.node.path], suffix(file.path)), Made()).refused for file in mains
    )


def _resource(
    planned: PlannedResource,
    held: Mapping[str, FileId],
    made: Mapping[tuple[FileId, str], Made],
    taken: Taken,
    published: Set[str],
) -> Resource:
    files = [ResourceFile(f.path, f.role, held[f.node.path]) for f in planned.files if f.node.path in held]
    main = next(entry for entry in files if entry.role == "main")
    derived = made.get((main.file, suffix(main.path)), Made())
    base = _short(stem(main.path))
    if derived.pdf is not None:
        pdf = ResourceFile(_free(taken, base, ".pdf"), "main", derived.pdf)
        original = ResourceFile(main.path, "original", main.file)
        files = [pdf, original, *(entry for entry in files if entry is not main)]
        main = pdf
    if derived.light is not None:
        files.append(ResourceFile(_free(taken, LIGHT + base, ".mp4"), "light", derived.light))
    if derived.pages:
        digits = max(3, len(str(len(derived.pages))))
        folder = _free(taken, f"{base} pages", "", f"/{1:0{digits}}.jpg")
        files[1:1] = [
            ResourceFile(f"{folder}/{number:0{digits}}.jpg", "page", file)
            for number, file in enumerate(derived.pages, 1)
        ]
    kind, step = planned.kind, planned.step
    if derived.parts:
        opening = ENTRY if any(path == ENTRY for path, _ in derived.parts) else MANIFEST
        folder = _free(taken, base, "", f"/{opening}")
        roles = {opening: "main"}
        original = ResourceFile(main.path, "original", main.file)
        files = [ResourceFile(f"{folder}/{path}", roles.get(path, "part"), f) for path, f in derived.parts]
        files.append(original)
        main = next(entry for entry in files if entry.role == "main")
        made_kind = "interactive" if opening == ENTRY else "quiz"
        kind, step = made_kind, KINDS[made_kind][1] if step == KINDS[kind][1] else step
    return Resource(
        id=planned.id,
        kind=kind,
        step=step,
        title=planned.title,
        media_type=media_type(main.path),
        files=tuple(files),
        language=planned.language,
        licence=planned.licence,
        source=planned.source,
        seconds=derived.seconds,
        chapters=planned.chapters,
        stops=planned.stops,
        same_as=planned.same_as if planned.same_as in published else None,
        pages=derived.count,
    )


def _short(text: str) -> str:
    return text.encode()[:_STEM_BYTES].decode("utf-8", "ignore").rstrip(" .") or "file"


def _free(taken: Taken, base: str, ending: str, inner: str = "") -> str:
    """A path for a made file or folder beside the lesson's own, with ` (2)` and on when it is taken."""
    for number in range(1, 1000):
        path = f"{base}{'' if number == 1 else f' ({number})'}{ending}"
        try:
            taken.claim(path + inner)
        except PathError:
            continue
        return path
    raise PathError(f"no free name beside {base!r}")


def lesson_bytes(lesson: Lesson) -> bytes:
    """lesson.json as a box will accept it. Raises LessonError, PathError."""
    data = dump_lesson(lesson)
    if len(data) > MAX_LESSON:
        raise LessonError(f"lesson.json would have {len(data)} bytes, allowed are {MAX_LESSON}")
    check_light(lesson)
    if parse_lesson(data) != lesson:
        raise LessonError("lesson.json does not read back as it was written")
    return data


def pack(lesson: Lesson, described: tuple[FileId, bytes], leaves_of: Callable[[str], bytes]) -> Package:
    """The package of a lesson. `described`: identity and leaf list of its lesson.json; `leaves_of`: by root.

    Raises TorrentError, PathError, LeavesError.
    """
    leaves = {NAME: described[1]}
    listed = [(NAME, *described)]
    for resource in lesson.resources:
        for entry in resource.files:
            leaves[entry.path] = leaves_of(entry.file.root)
            listed.append((entry.path, entry.file, leaves[entry.path]))
    made = torrent.build(lesson.id, listed)
    return Package(made, b"".join(leaves[entry.path] for entry in made.files))
