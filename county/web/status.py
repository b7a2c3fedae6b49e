"""The figures of the status page."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from content_sync.adapters.files import read_capped
from content_sync.errors import LessonBoxError
from content_sync.terminal import size_text
from county.services import Services
from county.stats.figures import zone_of

SILENT_SECONDS = 3 * 86_400
_SEEDER_STALE = 60
_ROADS = {"http": "网络", "courier": "带来的"}
KINDS = {
    "video": "视频",
    "recorded": "课堂实录",
    "courseware": "课件",
    "interactive": "互动课件",
    "plan": "教案",
    "quiz": "试题",
    "guide": "导学案",
    "audio": "音频",
    "picture": "图片",
}


class BoxLine(Struct, frozen=True):
    """A box in the table. Times are texts; `silent` marks one that has sent no report
    for three days."""

    school: str
    id: str
    heard: str
    road: str
    asked: str
    release: int | None
    sessions: int
    last: str
    missing: int
    silent: bool


def ago(seconds: float) -> str:
    """How long ago, in words."""
    if seconds < 0:
        return "时钟不准"
    for unit, size in (("天", 86_400), ("小时", 3600), ("分钟", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}前"
    return "刚才"


def gather(services: Services) -> dict[str, Any]:
    """All that the page shows."""
    now = int(services.clock.wall())
    zone = zone_of(services.settings.text("timezone"))
    library = services.library()
    boxes = _boxes(services, now)
    release = library.newest_release()
    return {
        "now": _when(now, zone),
        "release": release,
        "issued": _when(release.issued, zone) if release else "",
        "size": size_text(release.bytes) if release else "",
        "new_size": size_text(release.new_bytes) if release else "",
        "boxes": boxes,
        "schools": len({box.school for box in boxes}),
        "silent": sum(box.silent for box in boxes),
        "sessions": _sessions(services, zone),
        "refused": _refused(services, zone),
        "tracker": services.tracker.figures(),
        "seeder": seeder_figures(services, now),
        "fetched": _fetched(services, now, zone),
    }


def _fetched(services: Services, now: int, zone: ZoneInfo) -> dict[str, str]:
    """What the web seed gave in two weeks: in all, and to whom the most."""
    since = datetime.fromtimestamp(now - 14 * 86_400, zone).strftime("%Y-%m-%d")
    counts = services.fetched.by_holder(since)
    most = max(counts, key=lambda holder: counts[holder], default="")
    box = services.library().box(most)
    return {
        "total": size_text(sum(counts.values())),
        "most": box.school_name if box else most,
        "bytes": size_text(counts.get(most, 0)),
    }


def _when(moment: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(moment, zone).strftime("%Y-%m-%d %H:%M")


def _boxes(services: Services, now: int) -> list[BoxLine]:
    rows = services.reports.all
    heard = {row[0]: row[1:] for row in rows("SELECT box, at, road, release, stream FROM heard")}
    asked = dict(rows("SELECT box, made FROM envelope"))
    used = {
        row[0]: row[1:]
        for row in rows(
            "SELECT box, count(*), max(start) FROM session"
            " WHERE flags = '' AND start >= ? AND start <= ? GROUP BY box",
            (now - 14 * 86_400, now + 3600),
        )
    }
    lines = []
    for box in services.library().boxes():
        at, road, release, stream = heard.get(box.id, (None, "", None, ""))
        count, last = used.get(box.id, (0, None))
        lines.append(
            (
                at or 0,
                BoxLine(
                    school=box.school_name,
                    id=box.id,
                    heard=ago(now - at) if at else "还没有",
                    road=_ROADS.get(road, road),
                    asked=ago(now - asked[box.id]) if box.id in asked else "还没有",
                    release=release,
                    sessions=count,
                    last=ago(now - last) if last else "",
                    missing=_missing(services, box.id, stream) if at else 0,
                    silent=now - (at or box.enrolled) > SILENT_SECONDS,
                ),
            )
        )
    return [line for _, line in sorted(lines, key=lambda pair: pair[0])]


def _missing(services: Services, box: str, stream: str) -> int:
    """How many numbers below the highest of a stream have not come yet."""
    count, most = services.reports.all(
        "SELECT count(*), max(seq) FROM batch WHERE box = ? AND stream = ?", (box, stream)
    )[0]
    return int(most or 0) - int(count)


def _sessions(services: Services, zone: ZoneInfo) -> list[dict[str, Any]]:
    schools = {box.id: box.school_name for box in services.library().boxes()}
    rows = services.reports.all(
        "SELECT box, lesson, kind, start, uncertainty, seconds FROM session WHERE flags = ''"
        " ORDER BY start DESC LIMIT 15"
    )
    found = []
    for box, lesson, kind, start, uncertainty, seconds in rows:
        row = services.library().lesson(lesson)
        found.append(
            {
                "when": _when(start, zone),
                "uncertain": f"±{max(1, uncertainty // 3600)}小时" if uncertainty >= 3600 else "",
                "school": schools.get(box, box),
                "lesson": row.title if row else lesson,
                "subject": row.subject if row else "",
                "kind": KINDS.get(kind, "资料"),
                "minutes": (seconds + 30) // 60,
            }
        )
    return found


def _refused(services: Services, zone: ZoneInfo) -> list[dict[str, Any]]:
    rows = services.reports.all(
        "SELECT box, code, reason, received FROM quarantine ORDER BY id DESC LIMIT 10"
    )
    return [
        {"box": box, "code": code, "reason": reason, "when": _when(at, zone)}
        for box, code, reason, at in rows
    ]


def seeder_figures(services: Services, now: int) -> dict[str, Any] | None:
    """What the seeder wrote last (county.serve); None when that is old or absent."""
    try:
        found = json.loads(read_capped(services.paths.work / "seeder.json", 1 << 20))
        if not 0 <= now - found["time"] < _SEEDER_STALE:
            return None
        return {**found, "sent": size_text(found["uploaded"])}
    except (LessonBoxError, ValueError, KeyError, TypeError):
        return None
