"""From a tree of names to lessons: what will be published and what is odd, by formats.md 11. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from content_sync.errors import PathError
from content_sync.formats.lesson import KINDS, NAME, STEPS, Chapter, Lesson, Stop
from content_sync.formats.paths import Distinct, check_component, check_path, collection_id, lesson_id
from content_sync.formats.shelf import NO_EDITION, SHELVES
from county.publish import stated
from county.publish.names import (
    grade_volume,
    kind_and_title,
    kind_by_ending,
    lesson_number,
    media_type,
    natural,
    nfc,
    stem,
    suffix,
    unit_number,
)
from county.publish.tree import LESSON_TOML, Node, Problem

LEVELS = ("学段", "学科", "版本", "年级册次", "单元", "课")
_PLAYED = ("video", "recorded", "audio")
_ENTRIES = {"index.html": "interactive", "assessment.xml": "quiz"}


class PlannedFile(Struct, frozen=True):
    """A source file that goes into a package. `where`: the path that people read."""

    node: Node
    where: str
    path: str
    role: str


class PlannedResource(Struct, frozen=True):
    """One resource of a lesson; exactly one of its files is its main."""

    id: str
    name: str
    kind: str
    step: str
    title: str
    files: tuple[PlannedFile, ...]
    order: int | None = None
    language: str | None = None
    licence: str | None = None
    source: str | None = None
    chapters: tuple[Chapter, ...] = ()
    stops: tuple[Stop, ...] = ()
    same_as: str | None = None

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """By stated order, then by step of teaching, kind and name."""
        stated_order = (1, 0) if self.order is None else (0, self.order)
        return (stated_order, STEPS.index(self.step), list(KINDS).index(self.kind), natural(self.name))


class PlannedLesson(Struct, frozen=True):
    """A lesson folder as it will be published."""

    where: str
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
    resources: tuple[PlannedResource, ...]
    language: str | None = None
    licence: str | None = None
    source: str | None = None


def teaching_order(lesson: PlannedLesson | Lesson) -> tuple[Any, ...]:
    """The order of lessons within a collection."""
    far = 1 << 30
    return (
        far if lesson.unit_no is None else lesson.unit_no,
        natural(lesson.unit),
        far if lesson.no is None else lesson.no,
        natural(lesson.title),
        lesson.id,
    )


class Plan(Struct, frozen=True):
    """What a source holds. `unread`: the places (学段, 学科, …) of folders that could not be looked into."""

    lessons: tuple[PlannedLesson, ...]
    problems: tuple[Problem, ...]
    unread: tuple[tuple[str, ...], ...] = ()

    def may_hold(self, *place: str) -> bool:
        """Whether a lesson of this place (学段 to 单元) may lie in a folder that was not read."""
        return any(prefix == place[: len(prefix)] for prefix in self.unread)


class Taken(Distinct):
    """The paths of one package: safe, and distinct as every box will check them."""

    def __init__(self, paths: Sequence[str] = ()) -> None:
        super().__init__()
        for path in (NAME, *paths):
            self.claim(path)

    def claim(self, path: str) -> str:
        """Take a path and return it. Raises PathError when it is unsafe or taken."""
        return super().claim(check_path(path))


class Planner:
    """Gathers lessons and what is odd about them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lessons: dict[str, PlannedLesson] = {}
        self.unread: list[tuple[str, ...]] = []

    def odd(self, where: str, what: str) -> None:
        self.problems.append(Problem.source(where, what))

    def levels(self, node: Node, names: tuple[str, ...], where: str) -> None:
        if not node.children:
            self.odd(where or node.name, "the folder holds nothing")
        for child in node.children:
            at = f"{where}/{child.name}" if where else child.name
            level = LEVELS[len(names)]
            if child.odd:
                self.odd(at, child.odd)
                if child.folder:
                    # A lesson's folder stands for its unit: its title may be stated inside.
                    self.unread.append((*names, nfc(child.name).strip())[:5])
                continue
            if not child.folder:
                self.odd(at, f"belongs to no lesson: a {level} folder is expected here ({'/'.join(LEVELS)})")
                continue
            try:
                name = check_component(nfc(child.name).strip())
            except PathError as error:
                self.problems.append(Problem.of(at, error))
                continue
            if not names and name in SHELVES:
                self.shelf(child, (name,), at)
            elif level == "年级册次" and grade_volume(name) is None:
                self.odd(at, "is not a grade followed by 上册, 下册 or 全一册, nor 全一册 alone")
            elif level == "课":
                self.lesson(child, (*names, name), at)
            else:
                self.levels(child, (*names, name), at)

    def shelf(self, node: Node, names: tuple[str, ...], where: str) -> None:
        """A special shelf, or a folder of one: the folders that hold files are lessons."""
        if not node.children:
            self.odd(where, "the folder holds nothing")
        for child in node.children:
            at = f"{where}/{child.name}"
            if child.odd:
                self.odd(at, child.odd)
                if child.folder:
                    self.unread.append(names[:1])
                continue
            if not child.folder:
                self.odd(at, "belongs to no lesson: files of this shelf lie in a folder for each lesson")
                continue
            try:
                below = (*names, check_component(nfc(child.name).strip()))
            except PathError as error:
                self.problems.append(Problem.of(at, error))
                continue
            if not any(not held.folder or _is_resource(held) for held in child.children):
                self.shelf(child, below, at)
            elif len(below) == len(LEVELS) and grade_volume(below[3]):
                self.lesson(child, below, at)
            else:
                series = below[1] if len(below) > 2 else below[0]
                unit = " ".join(below[2:-1]) or series
                self.lesson(child, (below[0], series, NO_EDITION, "全一册", unit, below[-1]), at)

    def lesson(self, node: Node, names: tuple[str, ...], where: str) -> None:
        said = self.read_toml(node, where)
        stage, subject, edition, volume_name, unit, folder = names
        found = grade_volume(volume_name)
        assert found is not None
        grade, volume = found
        no, title = lesson_number(folder)
        title = said.lesson.get("title", title)
        collection = collection_id(stage, subject, edition, grade, volume)
        identity = said.lesson.get("id") or lesson_id(collection, unit, title)
        resources = sorted(self.resources(node, where, title, said), key=lambda r: r.sort_key)
        if not resources:
            self.odd(where, "the lesson holds no file that can be published")
        elif identity in self.lessons:
            twin = self.lessons[identity].where
            self.odd(
                where, f"has the id {identity}, as {twin} has: change its title or state an id in lesson.toml"
            )
        else:
            self.lessons[identity] = PlannedLesson(
                where,
                identity,
                collection,
                stage,
                subject,
                edition,
                grade,
                volume,
                unit,
                unit_number(unit),
                no,
                title,
                said.lesson.get("periods", 1),
                tuple(resources),
                said.lesson.get("language"),
                said.lesson.get("licence"),
                said.lesson.get("source"),
            )

    def read_toml(self, node: Node, where: str) -> stated.Stated:
        toml = next((child for child in node.children if child.name == LESSON_TOML), None)
        if toml is None or toml.odd or toml.text is None:
            return stated.Stated()  # an odd one is named with the other files
        said, complaints = stated.read(toml.text)
        names = {nfc(child.name) for child in node.children}
        complaints += [f"there is no {name!r}" for name in said.resources if name not in names]
        for what in complaints:
            self.odd(f"{where}/{LESSON_TOML}", what)
        return said

    def resources(self, node: Node, where: str, title: str, said: stated.Stated) -> Iterator[PlannedResource]:
        taken = Taken()
        made: dict[str, PlannedResource] = {}
        subtitles: list[PlannedFile] = []
        for child in node.children:
            at = f"{where}/{child.name}"
            if child.odd:
                self.odd(at, child.odd)
                continue
            if child.name == LESSON_TOML and not child.folder:
                continue
            name = nfc(child.name)
            planned = self.folder(child, at, taken) if child.folder else self.file(child, at, name, taken)
            if planned and suffix(name) == "vtt" and not child.folder:
                subtitles.append(replace(planned[0], role="subtitles"))
            elif planned:
                made[name] = _resource(child, name, tuple(planned), title, said.resources.get(name, {}))
        for entry in subtitles:
            owner = next((name for name in made if _is_subtitle(entry.path, name)), None)
            if owner is None:
                self.odd(
                    entry.where, "no video or sound here has this name, so these subtitles belong to none"
                )
            else:
                made[owner] = replace(made[owner], files=(*made[owner].files, entry))
        for name, resource in made.items():
            yield self.checked(resource, made, f"{where}/{name}")

    def checked(
        self, resource: PlannedResource, others: Mapping[str, PlannedResource], where: str
    ) -> PlannedResource:
        """The resource with what it states of itself and of another one, where that can be."""
        other = others.get(nfc(resource.same_as)) if resource.same_as else None
        if resource.same_as and (other is None or other is resource or other.same_as):
            self.odd(where, f"same_as {resource.same_as!r} is not another resource of this lesson")
            other = None
        if (resource.chapters or resource.stops) and resource.kind not in _PLAYED:
            self.odd(where, "has chapters or stops, but only videos and sound play")
            resource = replace(resource, chapters=(), stops=())
        return replace(resource, same_as=other.id if other else None)

    def file(self, node: Node, where: str, path: str, taken: Taken, role: str = "main") -> list[PlannedFile]:
        if node.size == 0:
            self.odd(where, "the file is empty")
            return []
        try:
            return [PlannedFile(node, where, taken.claim(path), role)]
        except PathError as error:
            self.problems.append(Problem.of(where, error))
            return []

    def folder(self, node: Node, where: str, taken: Taken) -> list[PlannedFile]:
        held = {child.name for child in node.children if not child.folder}
        entry = next((name for name in _ENTRIES if name in held), None)
        if entry is None:
            self.odd(
                where,
                f"the folder holds neither {' nor '.join(_ENTRIES)}: a lesson's files lie in it directly",
            )
            return []
        planned = list(self.below(node, where, nfc(node.name), entry, taken))
        if not any(file.role == "main" for file in planned):
            self.odd(where, f"{entry} can't be used, so the whole folder is left out")
            return []
        return planned

    def below(self, node: Node, where: str, path: str, entry: str, taken: Taken) -> Iterator[PlannedFile]:
        for child in node.children:
            at, inner = f"{where}/{child.name}", f"{path}/{nfc(child.name)}"
            if child.odd:
                self.odd(at, child.odd)
            elif child.folder:
                yield from self.below(child, at, inner, "", taken)
            else:
                yield from self.file(child, at, inner, taken, "main" if child.name == entry else "part")


def _is_resource(folder: Node) -> bool:
    return any(child.name in _ENTRIES for child in folder.children if not child.folder)


def _is_subtitle(path: str, video: str) -> bool:
    # `film.vtt` and, with a language, `film.zh-Hans.vtt`.
    owner = stem(video)
    return media_type(video).startswith(("video/", "audio/")) and (
        stem(path) == owner or stem(path).startswith(owner + ".")
    )


def _resource(
    node: Node, name: str, files: tuple[PlannedFile, ...], lesson_title: str, said: Mapping[str, Any]
) -> PlannedResource:
    kind, title = kind_and_title(name if node.folder else stem(name))
    if node.folder:
        main = next(file for file in files if file.role == "main")
        kind = _ENTRIES[main.path.rpartition("/")[2]]
    elif kind is None:
        kind = kind_by_ending(name)
    if kind == "interactive" and not node.folder and media_type(name) != "text/html":
        kind = "other"
    kind = said.get("kind", kind)
    if not title or title.isdecimal():
        title = f"{lesson_title} {title}".rstrip()
    return PlannedResource(
        # From the name, so that usage counts for the same resource after another one is added before it.
        id="r" + hashlib.sha256(name.encode()).hexdigest()[:12],
        name=name,
        kind=kind,
        step=said.get("step", KINDS[kind][1]),
        title=said.get("title", title),
        files=files,
        order=said.get("order"),
        language=said.get("language"),
        licence=said.get("licence"),
        source=said.get("source"),
        chapters=said.get("chapters", ()),
        stops=said.get("stops", ()),
        same_as=said.get("same_as"),
    )


def plan(roots: Sequence[Node]) -> Plan:
    """The lessons below the source folders and every oddity. A second lesson with one id is left out."""
    planner = Planner()
    for root in roots:
        if root.odd:
            planner.odd(root.path, root.odd)
            planner.unread.append(())
        else:
            planner.levels(root, (), root.name if len(roots) > 1 else "")
    return Plan(tuple(planner.lessons.values()), tuple(planner.problems), tuple(planner.unread))
