"""What is kept of classes: the sheet that a teacher may fill in after one, weeks, and terms."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import astuple

from appliance.school.classes import KINDS, Class
from appliance.school.database import School
from content_sync.errors import FormatError, NotFoundError

_NOTE = 120
_MOST_WEEKS = 60
_ROW = (
    "class.id, class.tap, class.teacher, teacher.name, class.place, room.name AS room, kind, lesson, title,"
    " seconds, period, start, uncertainty, clock, class.number, fit, pupils, machine, note, solved, tried"
)
_FROM = (
    " FROM class LEFT JOIN teacher ON teacher.id = class.teacher LEFT JOIN room ON room.id = class.place"
    " LEFT JOIN sheet ON sheet.tap = class.tap"
)


class Sheet(Struct, frozen=True):
    """The class sheet (课堂反馈表): 1 is best, 3 worst, 0 not said. `tried`, `solved`: a training's
    self-test."""

    fit: int = 0
    pupils: int = 0
    machine: int = 0
    note: str = ""
    solved: int | None = None
    tried: int | None = None


class Kept(Struct, frozen=True):
    """A class as it is shown. `day` is local, None where nobody knows it; `number`: its place in the book."""

    id: str
    tap: str
    teacher: str
    name: str
    room: str
    kind: str
    lesson: str
    title: str
    seconds: int
    period: int | None
    day: datetime.date | None
    number: int
    sheet: Sheet | None


class Week(Struct):
    """Classes of one week. `key`: its Monday, or `n` and the number of the first of the classes of one boot
    whose days nobody knows."""

    key: str
    monday: datetime.date | None
    classes: list[Kept] = field(default_factory=list)


class Score(Struct):
    """How many classes of each kind."""

    teach: int = 0
    watch: int = 0
    train: int = 0

    def add(self, kind: str, number: int = 1) -> None:
        """Count some."""
        if kind in KINDS:
            setattr(self, kind, getattr(self, kind) + number)


def check_sheet(form: Mapping[str, str]) -> Sheet:
    """The sheet that a form holds. Raises FormatError."""

    def choice(name: str) -> int:
        text = form.get(name, "") or "0"
        if text not in ("0", "1", "2", "3"):
            raise FormatError(f"{name} is no choice")
        return int(text)

    def figure(name: str) -> int | None:
        text = form.get(name, "").strip()
        if text and (not text.isascii() or not text.isdigit() or len(text) > 3):
            raise FormatError(f"{name} is no number")
        return int(text) if text else None

    note = " ".join(form.get("note", "").split())
    if len(note) > _NOTE or not note.isprintable():
        raise FormatError(f"a note of at most {_NOTE} characters")
    solved, tried = figure("solved"), figure("tried")
    if solved is not None and (tried is None or solved > tried):
        raise FormatError("more solved than tried")
    return Sheet(choice("fit"), choice("pupils"), choice("machine"), note, solved, tried)


def save_sheet(school: School, tap: str, sheet: Sheet) -> None:
    """Keep the sheet of a tap, in place of an earlier one. Raises NotFoundError, DiskFullError, BusyError,
    StorageError."""
    with school.write() as db:
        if not db.execute("SELECT 1 FROM tap WHERE id = ?", (tap,)).fetchone():
            raise NotFoundError("there is no such class")
        db.execute("INSERT OR REPLACE INTO sheet VALUES (?, ?, ?, ?, ?, ?, ?)", (tap, *astuple(sheet)))


def sheet_of(school: School, tap: str) -> Sheet | None:
    """The sheet of a tap. Raises BusyError, StorageError."""
    with school.read() as db:
        row = db.execute(
            "SELECT fit, pupils, machine, note, solved, tried FROM sheet WHERE tap = ?", (tap,)
        ).fetchone()
    return None if row is None else Sheet(*tuple(row))


def kinds_of(school: School, tap: str) -> set[str]:
    """The kinds of class that a tap has made. Raises BusyError, StorageError."""
    with school.read() as db:
        return {row[0] for row in db.execute("SELECT kind FROM class WHERE tap = ?", (tap,))}


def tapped(school: School, tap: str) -> tuple[str, str] | None:
    """(teacher, board) of a tap. Raises BusyError, StorageError."""
    with school.read() as db:
        row = db.execute("SELECT teacher, board FROM tap WHERE id = ?", (tap,)).fetchone()
    return None if row is None else (row[0], row[1])


def weeks(school: School, offset: int) -> list[Week]:
    """The newest weeks that have classes, newest first, without their sheets being asked for one by one.
    `offset`: minutes east of UTC. Raises BusyError, StorageError."""
    with school.read() as db:
        rows = db.execute(
            f"SELECT {_ROW}, class.boot{_FROM} ORDER BY class.number DESC LIMIT 4000"
        ).fetchall()
    found: dict[str, Week] = {}
    undated: dict[str, Week] = {}
    for row in rows:
        kept = _kept(row, offset)
        if kept.day is None:
            week = undated.setdefault(row["boot"], Week("", None))
            week.key = f"n{kept.number}"
            found.setdefault(f"boot {row['boot']}", week)
        else:
            monday = kept.day - datetime.timedelta(days=kept.day.weekday())
            week = found.setdefault(monday.isoformat(), Week(monday.isoformat(), monday))
        week.classes.insert(0, kept)
    for week in found.values():
        week.classes.sort(key=lambda one: (one.day or datetime.date.min, one.period or 0, one.number))
    return list(found.values())[:_MOST_WEEKS]


def _kept(value: sqlite3.Row, offset: int) -> Kept:
    start, clock = value["start"], value["clock"]
    known = start is not None and clock != "none" and value["uncertainty"] <= 86_400 + 3600
    day = None
    if known:
        moment = datetime.datetime.fromtimestamp(start, datetime.UTC) + datetime.timedelta(minutes=offset)
        day = moment.date()
    sheet = None
    if value["fit"] is not None:
        sheet = Sheet(*(value[name] for name in ("fit", "pupils", "machine", "note", "solved", "tried")))
    return Kept(
        value["id"], value["tap"], value["teacher"], value["name"] or "", value["room"] or "", value["kind"],
        value["lesson"], value["title"], value["seconds"], value["period"], day, value["number"], sheet,
    )  # fmt: skip


def scores(school: School, since: int | None, unsettled: Iterable[Class] = ()) -> dict[str, Score]:
    """Teacher -> classes of this term: those after the marked start, and of them not those dated before
    `since` (unix seconds; None: the term's first day is not known). Raises BusyError, StorageError."""
    with school.read() as db:
        rows = db.execute(
            "SELECT teacher, kind, count(*) FROM class WHERE number > ? AND"
            " (start IS NULL OR ? IS NULL OR start >= ?) GROUP BY teacher, kind",
            (_after(school), since, since),
        ).fetchall()
    found: dict[str, Score] = {}
    for teacher, kind, number in rows:
        found.setdefault(teacher, Score()).add(kind, number)
    for one in unsettled:
        found.setdefault(one.teacher, Score()).add(one.kind)
    return found


def sum_up(classes: Sequence[Kept]) -> dict[str, Score]:
    """Teacher -> classes among these."""
    found: dict[str, Score] = {}
    for one in classes:
        found.setdefault(one.teacher, Score()).add(one.kind)
    return found


def _after(school: School) -> int:
    with school.read() as db:
        row = db.execute("SELECT value FROM fact WHERE key = 'term_after'").fetchone()
    return int(row[0]) if row else 0


def begin_term(school: School) -> None:
    """From now on classes are of a new term. Raises DiskFullError, BusyError, StorageError."""
    with school.write() as db:
        db.execute("INSERT OR REPLACE INTO fact SELECT 'term_after', coalesce(max(number), 0) FROM class")
