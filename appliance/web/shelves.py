"""What the pages show of the library: covers for home, volumes of a subject, the sides of a contents page."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from appliance.web import words
from appliance.web.texts import is_text
from content_sync.adapters.sqlite import StateReader
from content_sync.formats.lesson import STEPS, Lesson, Resource
from content_sync.formats.local import is_local
from content_sync.formats.shelf import LOCAL, shelf_of
from content_sync.ports import CollectionRow, LessonRow

#: A side of an opened book holds so many lines of a board (look.md, spread); a unit's heading takes 1.6 of
#: them.
_SIDE = 12.0
_HEADING = 1.6
#: A unit that takes more than so many sides goes on to the next; a smaller one stays together.
_BIG = 1.5
#: So many numbers of units fit on the ledge.
_FITS = 14
_NEW_DAYS, _NEWEST = 7, 200


class Unit(Struct):
    """A unit of a volume: its number as text, its theme, its lessons in order. `part`: of one that fills
    several sides, which of them this is.
    """

    number: str
    theme: str
    rows: list[LessonRow] = field(default_factory=list)
    anchor: int = 0
    part: int = 0


class Step(Struct, frozen=True):
    """One step of a lesson (看 读 写 练 教) and the resource that stands for it."""

    name: str
    resource: Resource


def season_volume(day: datetime.date | None) -> str:
    """The volume that is taught on that day: 上册 from August to January; empty when the day is not known."""
    return "" if day is None else ("上册" if day.month >= 8 or day.month == 1 else "下册")


def in_order(collections: Iterable[CollectionRow]) -> list[CollectionRow]:
    """Collections by grade, then as the release has them."""
    return sorted(collections, key=lambda c: (words.grade_order(c.grade), c.position))


def by_grade(
    collections: Iterable[CollectionRow], volume: str, wanted: Sequence[str] = ()
) -> dict[str, list[CollectionRow]]:
    """Collections that hold a lesson, by grade in order; this season's volumes first. Of the grades `wanted`
    also those that are still to come, where nothing of the grade is here."""
    grades: dict[str, list[CollectionRow]] = {}
    for collection in sorted(
        collections, key=lambda c: (words.grade_order(c.grade), c.volume != volume, c.position)
    ):
        if (collection.present or collection.grade in wanted) and is_textbook(collection):
            grades.setdefault(collection.grade, []).append(collection)
    return {grade: [c for c in its if c.present] or its for grade, its in grades.items()}


def subjects(collections: Iterable[CollectionRow]) -> list[CollectionRow]:
    """One collection a subject, in the order of the release: what stands on the shelf."""
    found: dict[str, CollectionRow] = {}
    for collection in collections:
        if is_textbook(collection):
            found.setdefault(subject_of(collection), collection)
    return list(found.values())


def is_textbook(collection: CollectionRow) -> bool:
    """Whether it is a textbook volume: neither of a special shelf nor the school's own."""
    return not shelf_of(collection.stage) and not collection.id.startswith(LOCAL)


def subject_of(collection: CollectionRow) -> str:
    """The subject id: what a collection's id begins with (formats.md 2)."""
    return collection.id.partition("-")[0]


def arrivals(reader: StateReader, now: float) -> list[LessonRow]:
    """Lessons that came in the last days, newest first."""
    return reader.arrived(now - _NEW_DAYS * 86400, _NEWEST)


def spreads(rows: Sequence[LessonRow]) -> tuple[list[Unit], list[list[list[Unit]]]]:
    """The units of a volume, and the same as an opened book: spreads of at most two sides of whole units. A
    unit that fills much more than a side, or one alone that fills a side, goes on to the next.
    """
    units: list[Unit] = []
    for row in rows:
        number, theme = words.unit_parts(row.unit)
        if not units or (units[-1].number, units[-1].theme) != (number, theme):
            units.append(Unit(number, theme, anchor=len(units) + 1))
        units[-1].rows.append(row)
    sides: list[list[Unit]] = []
    room = 0.0
    for unit in (part for whole in units for part in _parts(whole, alone=len(units) == 1)):
        need = _HEADING + len(unit.rows)
        if not sides or need > room:
            sides.append([])
            room = _SIDE
        sides[-1].append(unit)
        room -= need
    if len(sides) == 1 and len(sides[0]) > 1:  # a thin volume still opens on two sides
        half = (len(sides[0]) + 1) // 2
        sides = [sides[0][:half], sides[0][half:]]
    return units, [sides[n : n + 2] for n in range(0, len(sides), 2)]


def _parts(unit: Unit, *, alone: bool) -> list[Unit]:
    """A unit as it stands on the sides of a book: whole, or in even parts of at most a side each."""
    if _HEADING + len(unit.rows) <= _SIDE * (1 if alone else _BIG):
        return [unit]
    count = -(-len(unit.rows) // int(_SIDE - _HEADING))
    ends = [len(unit.rows) * n // count for n in range(count + 1)]
    return [
        Unit(unit.number, unit.theme, unit.rows[ends[n] : ends[n + 1]], unit.anchor, n) for n in range(count)
    ]


def numbers(count: int, about: int) -> range:
    """The units whose numbers are on the ledge: all, or those around one; at an end that they leave out stand
    two more, `…` and its last number.
    """
    if count <= _FITS:
        return range(1, count + 1)
    near = _FITS - 4
    first = max(1, about - near // 2 + 1)
    if first <= 3:
        return range(1, _FITS - 1)
    return range(first, first + near) if first + near <= count - 1 else range(count - _FITS + 3, count + 1)


def lay_out(lesson: Lesson) -> tuple[list[Step], list[Resource]]:
    """The steps of a lesson, one resource each in teaching order, and the resources beside them. What is the
    same in other languages stands once, in the page's language where it can; its page leads to the others.
    """
    if is_local(lesson.id):  # as its teachers ordered it
        return [Step(resource.step, resource) for resource in lesson.resources], []
    steps: list[Step] = []
    beside: list[Resource] = []
    once = [
        resource for resource in lesson.resources if words.preferred(lesson.variants(resource)) is resource
    ]
    for name in STEPS:
        of_step = [resource for resource in once if resource.step == name]
        of_step.sort(key=lambda r: r.kind in ("picture", "audio", "other", "guide"))
        if of_step:
            steps.append(Step(name, of_step[0]))
            beside += of_step[1:]
    return steps, beside


def view_of(resource: Resource) -> str:
    """How a resource is shown: `video`, `audio`, `pages`, `document`, `frame`, `picture`, `quiz`, `text`,
    `flash`, `file`.
    """
    kind, path = resource.media_type.partition(";")[0].strip().lower(), resource.main.path.lower()
    if resource.kind == "quiz" and path.endswith(".xml"):
        return "quiz"
    if resource.kind == "interactive" and path.endswith((".html", ".htm", ".xhtml")):
        return "frame"
    if resource.with_role("page"):
        return "pages"
    for head, view in (("video/", "video"), ("audio/", "audio"), ("image/", "picture")):
        if kind.startswith(head):
            return view
    if is_text(resource):
        return "text"
    if path.endswith(".swf"):
        return "flash"
    return "document" if kind == "application/pdf" or path.endswith(".pdf") else "file"
