"""What `lessonbox status LESSON` says: why one lesson is here or not, and when it is expected."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from appliance.config import BoxPaths
from appliance.status_text import day_text, reason_text
from appliance.wishes import WishBook, make_wish
from content_sync.adapters.clock import SystemClock
from content_sync.adapters.sqlite import StateReader
from content_sync.core.calendar import Need
from content_sync.core.reason import Reason
from content_sync.errors import FormatError, NotFoundError
from content_sync.formats.collection import subscribes
from content_sync.formats.paths import check_id
from content_sync.formats.wish import Wish
from content_sync.ports import LessonRow

NEEDS = {
    Need.DEADLINE: ("the county's deadline", "县里定的时间"),
    Need.WISH: ("a teacher's wish", "老师要的"),
    Need.CALENDAR: ("the teaching calendar of these weeks", "这几周的教学进度"),
    Need.TERM: ("this term", "本学期"),
    Need.REST: ("the rest of the subscription", "其余课程"),
}


def find_lessons(state: StateReader, text: str) -> list[LessonRow]:
    """Lessons of this id or title. Raises NotFoundError, which tells why none is known."""
    row = state.lesson(text)
    if row is not None:
        return [row]
    found = [row for row in state.lessons() if row.title == text]
    if found:
        return found
    try:
        collection = "-".join(check_id(text).split("-")[:2])
    except FormatError:
        raise NotFoundError(f"no lesson that the county publishes for this box is called {text!r}") from None
    patterns = tuple(json.loads(state.meta("collections") or '["*"]'))
    if not subscribes(patterns, collection):
        raise NotFoundError(f"{text}: the county has not given its collection {collection} to this box")
    raise NotFoundError(f"{text}: the county has withdrawn it, or never published it")


def read_lessons(data: Path, text: str) -> dict[str, Any]:
    """Everything about the lessons of this id or title. Raises NotFoundError, SetupError, StorageError."""
    paths = BoxPaths(data)
    with closing(StateReader(paths.state_db)) as state:
        wishes = WishBook(paths.incoming).read()
        plan = state.status("plan") or {}
        made = []
        for row in find_lessons(state, text):
            planned = state.planned(row.id).get(row.id)
            reason = (
                None
                if row.complete or planned is None
                else Reason(planned.code, tuple(planned.facts.items()))
            )
            made.append(
                {
                    "id": row.id,
                    "title": row.title,
                    "unit": row.unit,
                    "state": row.state,
                    "complete": row.complete,
                    "size": row.size,
                    "have_bytes": row.size if row.complete else row.have_bytes,
                    "arrived": row.arrived,
                    "need": planned.need if planned and not row.complete else None,
                    "needed": NEEDS[Need(planned.need)][0] if planned and not row.complete else None,
                    "code": reason.code if reason else None,
                    "facts": dict(reason.facts) if reason else {},
                    "reason": reason.text if reason else row.reason,
                    "expected": {"from": planned.first, "to": planned.last}
                    if planned and planned.last is not None and not row.complete
                    else None,
                    "wishes": wishes[row.id].boards if row.id in wishes else 0,
                    "repairing": row.repairing,
                }
            )
    return {"lessons": made, "clock": bool(plan.get("clock"))}


def lessons_text(found: dict[str, Any], zh: bool = False) -> str:
    """The same for people, in Chinese or English."""
    lines = []
    for it in found["lessons"]:
        share = 100 * it["have_bytes"] // it["size"] if it["size"] else 0
        lines.append(f"{it['title']}  {it['unit']}  {it['id']}")
        if it["complete"]:
            when = f"{'，' if zh else ', since '}{day_text(it['arrived'])}" if it["arrived"] else ""
            lines.append(f"  最新版已到{when}" if zh else f"  here in its newest version{when}")
            continue
        if it["state"] == "present":
            lines.append(
                "  有旧版，新版还没到齐" if zh else "  an older version is here; the newer one lacks parts"
            )
        why = reason_text(it["code"], it["facts"], zh) if it["code"] else it["reason"]
        why = why or ("还没看过" if zh else "not looked at yet")
        lines.append(f"  已到{share}%：{why}" if zh else f"  {it['state']}, {share}% here: {why}")
        if it["needed"] is not None:
            need = NEEDS[Need(it["need"])]
            lines.append(f"  用途：{need[1]}" if zh else f"  wanted for {need[0]}")
        if it["wishes"]:
            lines.append(f"  {it['wishes']}块白板要过" if zh else f"  asked for by {it['wishes']}")
        lines.append("  " + _when(it["expected"], it["code"], found["clock"], zh))
    return "\n".join(lines)


def _when(expected: dict[str, int] | None, code: str | None, clock: bool, zh: bool) -> str:
    if expected:
        first, last = day_text(expected["from"]), day_text(expected["to"])
        return f"预计{first}到{last}之间到齐" if zh else f"expected between {first} and {last}"
    if code == "one-way":
        return "什么时候到，要看卫星或U盘" if zh else "no day can be said: it comes by satellite or stick"
    if not clock:
        return "说不出日子：本机时钟还没对过" if zh else "no day can be said: the box's clock is not trusted"
    if zh:
        return "还说不出日子：来的还太少，看不出快慢，或要等别的事"
    return "no day can be said yet: too little has come to tell, or it waits for something else"


def wish(data: Path, text: str) -> dict[str, Any]:
    """Ask for a lesson by id or title: sync takes it before what the calendar says.

    Raises NotFoundError (also when several have the title), SetupError, StorageError, DiskFullError.
    """
    paths = BoxPaths(data)
    with closing(StateReader(paths.state_db)) as state:
        found = find_lessons(state, text)
        if len(found) > 1:
            raise NotFoundError(f"{len(found)} lessons are called {text!r}; use an id: {found[0].id}, …")
        row = found[0]
        trusted = bool((state.status("plan") or {}).get("clock"))
    at = int(SystemClock().wall()) if trusted else None
    if not row.complete:
        make_wish(paths.incoming, Wish(row.id, None, at))
    return {"lesson": row.id, "title": row.title, "present": row.complete}
