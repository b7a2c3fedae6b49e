"""Which lesson a class has now: by timetable and teaching calendar, else where this room stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from appliance.school.rooms import Room
from appliance.school.timetable import Held, Turn
from appliance.web import words
from content_sync.adapters.sqlite import StateReader
from content_sync.formats.lesson import Lesson
from content_sync.ports import CollectionRow, LessonRow

#: Columns of home, and rows below each; covers of a room that has more grades.
COVERS, AFTER = 3, 2
MOST = 6


class Taught(Struct, frozen=True):
    """A lesson that this room had open, and whether the class is through with it."""

    lesson: str
    over: bool = False


class Later(Struct, frozen=True):
    """A row below a cover: what comes then. Without `row` the box has no lesson of this subject."""

    subject: str
    row: LessonRow | None
    held: Held | None = None


class Cover(Struct, frozen=True):
    """A column of home: what a grade has now or next. `again`: this room had the lesson open before; `held`:
    the period of the timetable; `on`: it is held now."""

    grade: str
    subject: str
    collection: CollectionRow | None
    row: LessonRow | None
    lesson: Lesson | None
    again: bool = False
    after: list[Later] = field(default_factory=list)
    held: Held | None = None
    on: bool = False
    turn: Turn | None = None

    @property
    def seconds(self) -> int:
        """Playing time of its videos."""
        kinds = ("video", "recorded")
        return sum(r.seconds or 0 for r in self.lesson.resources if r.kind in kinds) if self.lesson else 0


class Choosing:
    """Chooses lessons for one request. `volume`: that of the season; `week`: of the teaching calendar, None
    when it is not known; `taught`: what this room had open, newest first."""

    def __init__(
        self,
        reader: StateReader,
        collections: Iterable[CollectionRow],
        room: Room | None,
        volume: str,
        week: int | None,
        taught: Sequence[Taught],
    ) -> None:
        self._reader, self._volume, self._week = reader, volume, week
        self._editions: Mapping[str, str] = room.editions if room else {}
        self._collections = list(collections)
        #: collection -> what was taught of it last; in the order of teaching, newest first.
        self._last: dict[str, Taught] = {}
        for one in taught:
            row = reader.lesson(one.lesson)
            if row is not None:
                self._last.setdefault(row.collection, one)
        self._recent = {collection: n for n, collection in enumerate(self._last)}
        self._rows: dict[str, list[LessonRow]] = {}

    def rank(self, collection: CollectionRow) -> tuple[bool, bool, bool, int, int]:
        """What orders collections of a grade that could be meant: the room's edition, this season's volume,
        one that can be taught from, the one taught from last."""
        edition = self._editions.get(collection.subject)
        return (
            edition is not None and collection.edition != edition,
            bool(self._volume) and collection.volume not in (self._volume, "全一册"),
            not collection.present,
            self._recent.get(collection.id, len(self._recent)),
            collection.position,
        )

    def collection(self, grade: str, subject: str) -> CollectionRow | None:
        """The volume that a grade uses for a subject as the timetable names it."""
        name = words.subject(subject).short
        fits = [c for c in self._collections if c.grade == grade and words.subject(c.subject).short == name]
        return min(fits, key=self.rank, default=None)

    def rows(self, collection: CollectionRow) -> list[LessonRow]:
        """Its lessons in teaching order."""
        if collection.id not in self._rows:
            self._rows[collection.id] = self._reader.lessons(collection.id)
        return self._rows[collection.id]

    def begin(self, collection: CollectionRow) -> int | None:
        """The place among `rows` of the lesson that is on in this collection: the calendar's of this week, of
        several the one where this room stopped; without a calendar where it stopped, else the first that is
        here. None: it has no lessons."""
        rows = self.rows(collection)
        last = self._last.get(collection.id)
        stopped = next((n for n, row in enumerate(rows) if last and row.id == last.lesson), None)
        if stopped is not None and last is not None and last.over and stopped + 1 < len(rows):
            stopped += 1
        due = self._due(rows)
        if due:
            if stopped is not None and due[0] <= stopped <= due[-1]:
                return stopped
            return next((n for n in due if rows[n].present), due[0])
        if stopped is not None and (rows[stopped].present or not any(row.present for row in rows)):
            return stopped
        here = (n for n, row in enumerate(rows) if row.present and n >= (stopped or 0))
        return next(here, next((n for n, row in enumerate(rows) if row.present), 0 if rows else None))

    def _due(self, rows: Sequence[LessonRow]) -> list[int]:
        """Places of the lessons of this week; of the last week that has some, where this one has none."""
        if self._week is None:
            return []
        weeks = [row.week for row in rows if row.week is not None and row.week <= self._week]
        return [n for n, row in enumerate(rows) if weeks and row.week == max(weeks)]

    def lesson(self, collection: CollectionRow, skip: int = 0) -> LessonRow | None:
        """The lesson of the next period of this collection, or of a later one: `skip` periods are before
        it."""
        begin, rows = self.begin(collection), self.rows(collection)
        if begin is None:
            return None
        for row in rows[begin:]:
            if skip < max(1, row.periods):
                return row
            skip -= max(1, row.periods)
        return rows[-1]

    def again(self, row: LessonRow) -> bool:
        """Whether this room has had it open, and goes on with it."""
        last = self._last.get(row.collection)
        return last is not None and last.lesson == row.id

    # By the timetable

    def by_timetable(self, coming: Mapping[str, Sequence[Held]]) -> list[Cover]:
        """A cover a grade, what follows below it; with one grade its next periods side by side."""
        grades = list(coming)[:MOST]
        if len(grades) == 1:
            laters = self._laters(grades[0], coming[grades[0]])
            heads, rest = laters[:COVERS], laters[COVERS:]
            shares = [rest[n :: len(heads)][:AFTER] for n in range(len(heads))]
            return [self._held(grades[0], head, after) for head, after in zip(heads, shares, strict=True)]
        made = []
        for grade in grades:
            laters = self._laters(grade, coming[grade])
            if laters:
                made.append(self._held(grade, laters[0], laters[1 : 1 + AFTER]))
        return made

    def _laters(self, grade: str, held: Sequence[Held]) -> list[Later]:
        found, before = [], dict[str, int]()
        for one in held:
            collection = self.collection(grade, one.subject)
            row = None
            if collection is not None:
                row = self.lesson(collection, before.get(collection.id, 0))
                before[collection.id] = before.get(collection.id, 0) + 1
            found.append(Later(collection.subject if collection else one.subject, row, one))
        return found

    def _held(self, grade: str, head: Later, after: list[Later]) -> Cover:
        row = head.row
        collection = next((c for c in self._collections if row and c.id == row.collection), None)
        lesson = self._reader.present_lesson(row.id) if row else None
        again = row is not None and self.again(row)
        return Cover(grade, head.subject, collection, row, lesson, again, after, head.held)

    # Without one

    def by_grade(
        self, grades: Mapping[str, Sequence[CollectionRow]], first: str, most: int = COVERS
    ) -> list[Cover]:
        """At most `most` lessons to start with: one a grade (grade `first`, then those this room had open,
        then the others in order); with a single grade COVERS of its subjects."""

        def rank(collection: CollectionRow) -> tuple[int, bool]:
            other = bool(self._volume) and collection.volume not in (self._volume, "全一册")
            return self._recent.get(collection.id, len(self._recent)), other

        grades = {grade: self._of_editions(found) for grade, found in grades.items()}
        chosen = sorted(grades, key=lambda g: (g != first, min(map(rank, grades[g]))))[:most]
        picked = [min(grades[grade], key=rank) for grade in chosen]
        if len(chosen) == 1:
            picked = sorted(grades[chosen[0]], key=rank)[:COVERS]
        picked = sorted(picked, key=lambda c: words.grade_order(c.grade))
        return [cover for c in picked if (cover := self._free(c, grades[c.grade], picked))]

    def _of_editions(self, collections: Sequence[CollectionRow]) -> list[CollectionRow]:
        """Without the editions that the room does not use, where its own is here."""
        own = {c.subject for c in collections if self._editions.get(c.subject) == c.edition}
        return [c for c in collections if c.subject not in own or self._editions[c.subject] == c.edition]

    def _free(
        self, collection: CollectionRow, neighbours: Sequence[CollectionRow], taken: Sequence[CollectionRow]
    ) -> Cover | None:
        begin, rows = self.begin(collection), self.rows(collection)
        if begin is None:
            return None
        row = rows[begin]
        after = [Later(collection.subject, later) for later in rows[begin + 1 :] if later.present][:AFTER]
        for other in neighbours:
            if len(after) >= AFTER:
                break
            its = self.lesson(other) if other not in taken else None
            if its is not None and its.present:
                after.append(Later(other.subject, its))
        lesson, again = self._reader.present_lesson(row.id), self.again(row)
        return Cover(collection.grade, collection.subject, collection, row, lesson, again, after)
