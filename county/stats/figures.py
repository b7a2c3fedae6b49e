"""Who used what, from reports.db and library.db (formats.md 12)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from content_sync.adapters.files import read_capped
from content_sync.errors import LessonBoxError, SettingError, UsageError
from content_sync.formats.canonical import time_text
from content_sync.formats.lesson import MAX_LESSON, parse_lesson
from county.config import CountyPaths
from county.library import BoxRow, Library
from county.publish.store import object_path
from county.receive.database import Reader
from county.receive.envelopes import ranges
from county.stats import classes

FORMAT = "lessonbox-stats/1"
#: With a larger ± the day itself is in doubt.
UNCERTAIN_SECONDS = 43_200
_MOST_GAPS = 100


class Use(Struct):
    """Sessions summed up. `first` and `last` are unix seconds; `uncertainty` is the largest ±, in seconds."""

    sessions: int = 0
    seconds: int = 0
    first: int | None = None
    last: int | None = None
    uncertain: int = 0
    uncertainty: int = 0

    def add(self, other: Use) -> None:
        """Sum another in."""
        self.sessions += other.sessions
        self.seconds += other.seconds
        self.first = min((x for x in (self.first, other.first) if x is not None), default=None)
        self.last = max((x for x in (self.last, other.last) if x is not None), default=None)
        self.uncertain += other.uncertain
        self.uncertainty = max(self.uncertainty, other.uncertainty)

    def fields(self, zone: ZoneInfo) -> dict[str, Any]:
        """As formats.md 12 spells it."""
        return {
            "sessions": self.sessions,
            "seconds": self.seconds,
            "minutes": (self.seconds + 30) // 60,
            "first": _day(self.first, zone),
            "last": _day(self.last, zone),
            "uncertain": self.uncertain,
            "uncertainty": self.uncertainty,
        }


def zone_of(name: str) -> ZoneInfo:
    """A time zone. Raises SettingError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingError(f"timezone: there is none named {name!r}") from None


def _day(moment: int | None, zone: ZoneInfo) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, zone).date().isoformat()


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).timestamp())


class _Titles:
    """What lessons and resources are called; an id that the library does not know stands for itself."""

    def __init__(self, paths: CountyPaths, library: Library) -> None:
        self._paths, self._library = paths, library
        self._lessons: dict[str, dict[str, str]] = {}
        self._resources: dict[str, dict[str, str]] = {}

    def lesson(self, identity: str) -> dict[str, str]:
        """Where a lesson stands, and its title."""
        if identity not in self._lessons:
            row = self._library.lesson(identity)
            keys = ("collection", "stage", "subject", "edition", "grade", "volume", "unit", "title")
            found = {key: getattr(row, key) if row else "" for key in keys}
            self._lessons[identity] = {**found, "title": found["title"] or identity}
        return self._lessons[identity]

    def resource(self, lesson: str, resource: str) -> str:
        """A resource's title."""
        if lesson not in self._resources:
            self._resources[lesson] = self._read(lesson)
        return self._resources[lesson].get(resource, resource)

    def _read(self, lesson: str) -> dict[str, str]:
        row = self._library.lesson(lesson)
        file = self._library.package_files(row.infohash).get("lesson.json") if row else None
        if file is None:
            return {}
        try:
            parsed = parse_lesson(read_capped(object_path(self._paths.objects, file.root), MAX_LESSON))
        except LessonBoxError:
            return {}  # the ids are enough to count by
        return {resource.id: resource.title for resource in parsed.resources}


def compute(
    paths: CountyPaths, library: Library, county: str, zone: ZoneInfo, first: date, last: date, now: int
) -> dict[str, Any]:
    """The figures for the days `first` to `last`, both included, in `zone`. `now`: unix seconds.

    A session counts on the day of its best estimate; flagged ones are not counted, only told. Raises
    SettingError, StorageError.
    """
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}")
    span = (_midnight(first, zone), _midnight(last + timedelta(days=1), zone))
    boxes = {box.id: box for box in library.boxes()}
    titles = _Titles(paths, library)
    reader = Reader(paths.reports_db)
    rows = _rows(reader, span) if paths.reports_db.is_file() else []
    total = Use()
    listed = []
    schools: dict[tuple[str, str], _School] = {}
    for box in boxes.values():
        schools.setdefault((box.school_code, box.school_name), _School()).boxes.add(box.id)
    for box_id, board, lesson, resource, kind, *sums in rows:
        code, name = _school(boxes, box_id)
        use = Use(*sums)
        total.add(use)
        schools.setdefault((code, name), _School()).add(box_id, board, lesson, use)
        listed.append(
            {
                "school_code": code,
                "school": name,
                "box": box_id,
                "board": board,
                **titles.lesson(lesson),
                "lesson": lesson,
                "resource": resource,
                "resource_title": titles.resource(lesson, resource),
                "kind": kind,
                **use.fields(zone),
            }
        )
    listed.sort(
        key=lambda row: (row["school_code"], row["school"], row["board"], row["lesson"], row["resource"])
    )
    return {
        "format": FORMAT,
        "county": county,
        "from": first.isoformat(),
        "to": last.isoformat(),
        "timezone": zone.key,
        "made": time_text(now),
        "total": {
            "schools": len(schools),
            "schools_using": sum(bool(school.use.sessions) for school in schools.values()),
            **total.fields(zone),
        },
        "schools": [
            {"school_code": code, "school": name, **school.fields(zone)}
            for (code, name), school in sorted(schools.items(), key=lambda item: item[0])
        ],
        "rows": listed,
        "not_counted": _not_counted(reader, span) if paths.reports_db.is_file() else {"future": 0, "long": 0},
        "missing": list(_missing(reader, boxes)) if paths.reports_db.is_file() else [],
        **(
            classes.figures(reader, span, boxes, titles.lesson)
            if paths.reports_db.is_file()
            else {"teachers": [], "wishes": [], "offers": [], "damage": []}
        ),
    }


class _School:
    def __init__(self) -> None:
        self.boxes: set[str] = set()
        self.boards: set[tuple[str, str]] = set()
        self.lessons: set[str] = set()
        self.use = Use()

    def add(self, box: str, board: str, lesson: str, use: Use) -> None:
        self.boxes.add(box)
        self.boards.add((box, board))
        self.lessons.add(lesson)
        self.use.add(use)

    def fields(self, zone: ZoneInfo) -> dict[str, Any]:
        counts = {"boxes": len(self.boxes), "boards": len(self.boards), "lessons": len(self.lessons)}
        return {**counts, **self.use.fields(zone)}


def _school(boxes: dict[str, BoxRow], box: str) -> tuple[str, str]:
    found = boxes.get(box)
    return (found.school_code, found.school_name) if found else ("", box)


def _rows(reader: Reader, span: tuple[int, int]) -> list[tuple[Any, ...]]:
    return reader.all(
        "SELECT box, board, lesson, resource, kind, count(*), sum(seconds), min(start), max(start),"
        " sum(uncertainty > ? OR clock = 'none'), max(uncertainty) FROM session"
        " WHERE start >= ? AND start < ? AND flags = '' GROUP BY box, board, lesson, resource, kind",
        (UNCERTAIN_SECONDS, *span),
    )


def _not_counted(reader: Reader, span: tuple[int, int]) -> dict[str, int]:
    """Flagged sessions: of any day those that begin in the future, of these days those too long."""
    future = reader.all("SELECT count(*) FROM session WHERE flags LIKE '%future%'")
    long = reader.all("SELECT count(*) FROM session WHERE flags = 'long' AND start >= ? AND start < ?", span)
    return {"future": future[0][0], "long": long[0][0]}


def _missing(reader: Reader, boxes: dict[str, BoxRow]) -> Iterable[dict[str, Any]]:
    """Batches that must exist, since later ones of the same stream came, but have not come yet."""
    for box, stream in reader.all(
        "SELECT box, stream FROM batch GROUP BY box, stream HAVING count(*) < max(seq) ORDER BY 1, 2"
    ):
        rows = reader.all("SELECT seq FROM batch WHERE box = ? AND stream = ? ORDER BY seq", (box, stream))
        held = [(0, 0), *ranges([row[0] for row in rows])]
        gaps = [[before[1] + 1, after[0] - 1] for before, after in zip(held, held[1:], strict=False)]
        code, name = _school(boxes, box)
        wanted = [gap for gap in gaps if gap[0] <= gap[1]][:_MOST_GAPS]
        yield {"school_code": code, "school": name, "box": box, "stream": stream, "batches": wanted}
