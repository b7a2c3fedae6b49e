"""What the pages show of the library: covers for home, volumes of a subject, the sides of a contents page."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from appliance.web import words
from content_sync.adapters.sqlite import StateReader
from content_sync.formats.lesson import STEPS, Lesson, Resource
from content_sync.ports import CollectionRow, LessonRow

COVERS = 3
#: A side of an opened book holds so many lines of a board (look.md, spread); a unit's heading takes 1.6 of
#: them.
_SIDE = 12.0
_HEADING = 1.6
_NEW_DAYS = 7


@dataclass(frozen=True)
class Cover:
    """A lesson that can start now; `again` when this board had it open before. `after`: what comes next."""

    collection: CollectionRow
    row: LessonRow
    lesson: Lesson
    again: bool
    after: list[tuple[CollectionRow, LessonRow]]

    @property
    def seconds(self) -> int:
        """Playing time of its videos."""
        return sum(r.seconds or 0 for r in self.lesson.resources if r.kind in ("video", "recorded"))


@dataclass
class Unit:
    """A unit of a volume: its number as text, its theme, its lessons in order."""

    number: str
    theme: str
    rows: list[LessonRow] = field(default_factory=list)
    anchor: int = 0


@dataclass(frozen=True)
class Step:
    """One step of a lesson (看 读 写 练 教) and the resource that stands for it."""

    name: str
    resource: Resource


def season_volume(day: datetime.date | None) -> str:
    """The volume that is taught on that day: 上册 from August to January; empty when the day is not known."""
    return "" if day is None else ("上册" if day.month >= 8 or day.month == 1 else "下册")


def in_order(collections: Iterable[CollectionRow]) -> list[CollectionRow]:
    """Collections by grade, then as the release has them."""
    return sorted(collections, key=lambda c: (words.grade_order(c.grade), c.position))


def by_grade(collections: Iterable[CollectionRow], volume: str) -> dict[str, list[CollectionRow]]:
    """Collections that hold a lesson, by grade in order; this season's volumes first."""
    grades: dict[str, list[CollectionRow]] = {}
    for collection in sorted(
        collections, key=lambda c: (words.grade_order(c.grade), c.volume != volume, c.position)
    ):
        if collection.present:
            grades.setdefault(collection.grade, []).append(collection)
    return grades


def covers(
    reader: StateReader,
    recent: Sequence[str],
    grades: dict[str, list[CollectionRow]],
    first: str,
    volume: str,
) -> list[Cover]:
    """At most COVERS lessons to start with: one a grade (grade `first`, then those this board had open, then
    the others in order), and with fewer grades more subjects of the same, this season's `volume` before
    others.

    In a collection that this board had open it is the lesson it had open last, else the first one that is
    here.
    """
    opened: dict[str, str] = {}
    for identity in recent:
        row = reader.lesson(identity)
        if row is not None and row.present:
            opened.setdefault(row.collection, row.id)
    order = {collection: n for n, collection in enumerate(opened)}

    def rank(collection: CollectionRow) -> tuple[int, bool]:
        return order.get(collection.id, len(order)), collection.volume != volume

    chosen = sorted(grades, key=lambda g: (g != first, min(map(rank, grades[g]))))[:COVERS]
    picked = [min(grades[grade], key=rank) for grade in chosen]
    others = sorted((c for grade in chosen for c in grades[grade] if c not in picked), key=rank)
    picked = sorted([*picked, *others][:COVERS], key=lambda c: words.grade_order(c.grade))
    return [cover for c in picked if (cover := _cover(reader, c, opened.get(c.id), grades[c.grade], picked))]


def _cover(
    reader: StateReader,
    collection: CollectionRow,
    opened: str | None,
    neighbours: list[CollectionRow],
    taken: list[CollectionRow],
) -> Cover | None:
    rows = reader.lessons(collection.id, "present")
    row = next((row for row in rows if row.id == opened), rows[0] if rows else None)
    lesson = reader.present_lesson(row.id) if row else None
    if row is None or lesson is None:
        return None
    after = [(collection, later) for later in rows if later.position > row.position][:2]
    for other in neighbours:
        if len(after) >= 2:
            break
        if other not in taken:
            after += [(other, its) for its in reader.lessons(other.id, "present", limit=1)]
    return Cover(collection, row, lesson, opened is not None, after[:2])


def subjects(collections: Iterable[CollectionRow]) -> list[CollectionRow]:
    """One collection a subject, in the order of the release: what stands on the shelf."""
    found: dict[str, CollectionRow] = {}
    for collection in collections:
        found.setdefault(subject_of(collection), collection)
    return list(found.values())


def subject_of(collection: CollectionRow) -> str:
    """The subject id: what a collection's id begins with (formats.md 2)."""
    return collection.id.partition("-")[0]


def arrivals(reader: StateReader, now: float) -> list[LessonRow]:
    """Lessons that came in the last days, newest first."""
    rows = [
        row
        for row in reader.lessons(state="present")
        if row.arrived and row.arrived > now - _NEW_DAYS * 86400
    ]
    return sorted(rows, key=lambda row: -(row.arrived or 0))


def spreads(rows: Sequence[LessonRow]) -> tuple[list[Unit], list[list[list[Unit]]]]:
    """The units of a volume, and the same as an opened book: spreads of at most two sides of whole units."""
    units: list[Unit] = []
    for row in rows:
        number, theme = words.unit_parts(row.unit)
        if not units or (units[-1].number, units[-1].theme) != (number, theme):
            units.append(Unit(number, theme, anchor=len(units) + 1))
        units[-1].rows.append(row)
    sides: list[list[Unit]] = []
    room = 0.0
    for unit in units:
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


def lay_out(lesson: Lesson) -> tuple[list[Step], list[Resource]]:
    """The steps of a lesson, one resource each in teaching order, and the resources beside them."""
    steps: list[Step] = []
    beside: list[Resource] = []
    for name in STEPS:
        of_step = [resource for resource in lesson.resources if resource.step == name]
        of_step.sort(key=lambda r: r.kind in ("picture", "audio", "other", "guide"))
        if of_step:
            steps.append(Step(name, of_step[0]))
            beside += of_step[1:]
    return steps, beside


def view_of(resource: Resource) -> str:
    """How a resource is shown: `video`, `audio`, `pages`, `document`, `frame`, `picture`, `quiz`, `file`."""
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
    return "document" if kind == "application/pdf" or path.endswith(".pdf") else "file"
