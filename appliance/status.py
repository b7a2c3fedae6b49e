"""What `lessonbox status` and `/api/v1/status` say (contract.md)."""

from __future__ import annotations

import json
import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from appliance.config import BoxPaths, read_enrolment
from appliance.health.checks import disk_problems
from appliance.health.problems import kept
from appliance.update.history import told as tried
from appliance.update.machine import TOLD as UPDATES_TOLD
from appliance.usage.outbox import read_agent_status
from content_sync.adapters.sqlite import StateReader
from content_sync.core.trust import weeks_stale
from content_sync.errors import LessonBoxError
from content_sync.formats.enrolment import Enrolment
from content_sync.ports import PlannedRow


def read_status(data: Path, lessons: bool = False, reader: StateReader | None = None) -> dict[str, Any]:
    """The figures of the box whose data folder this is; `lessons`: with why each lesson is here or not;
    `reader`: one of its state.db that is open already.

    Raises SetupError when it is no box, StorageError.
    """
    paths = BoxPaths(data)
    agent = read_agent_status(paths.outbox_db)
    try:
        enrolment: Enrolment | None = read_enrolment(paths)
    except LessonBoxError:
        enrolment = None  # one of its problems says so
    with closing(StateReader(paths.state_db)) if reader is None else nullcontext(reader) as state:
        counts = {name: state.count(state=name) for name in ("present", "arriving", "wanted")}
        result: dict[str, Any] = {
            "box": state.meta("box") or (enrolment.box if enrolment else ""),
            "county": state.meta("county") or (enrolment.county if enrolment else ""),
            "release": state.release(),
            "issued": _number(state.meta("issued")),
            "weeks_stale": _stale(state, agent["clock"]),
            "lessons": counts,
            "progress": state.status("progress") or {},
            "sources": state.status("sources") or {},
            "plan": state.status("plan") or {},
            "budget": state.status("budget") or {},
            "reception": state.status("reception") or {},
            "space": state.status("space") or {},
            "disk": _disk(state),
            "received": {
                "files": len(shelf := state.received()),
                "bytes": sum(item.file.length for item in shelf),
            },
            "outbox": agent["outbox"],
            "clock": agent["clock"],
            "address": agent["address"],
            "problems": [
                {"code": p.code, "subject": p.subject, "message": p.message, "since": p.since}
                for p in [*state.problems(), *disk_problems(data)]
            ]
            + agent["problems"]
            + kept(paths.health)
            + kept(paths.firstboot)
            + tried(UPDATES_TOLD).get("problems", [])
            + _unenrolled(enrolment, state),
        }
        if lessons:
            planned = state.planned()
            result["lesson_list"] = [
                {
                    **_expected(planned.get(row.id)),
                    "id": row.id,
                    "title": row.title,
                    "unit": row.unit,
                    "state": row.state,
                    "complete": row.complete,
                    "size": row.size,
                    "have_bytes": row.size if row.complete else row.have_bytes,
                    "reason": row.reason,
                }
                for row in state.lessons()
            ]
    return result


def _unenrolled(enrolment: Enrolment | None, state: StateReader) -> list[dict[str, Any]]:
    """A box that nobody has enrolled says so itself, also when no program of its own runs but web."""
    if enrolment is not None or state.meta("box"):
        return []
    message = "这个课箱还没有注册，收不到县里的课（no enrolment yet）"
    return [{"code": "E-UNENROLLED", "subject": "enrolment", "message": message, "since": 0}]


def _expected(row: PlannedRow | None) -> dict[str, Any]:
    """Why a lesson is not here and when it is expected, as the plan says."""
    if row is None:
        return {"code": None, "facts": {}, "expected": None}
    expected = None if row.last is None else {"from": row.first, "to": row.last}
    return {"code": row.code, "facts": dict(row.facts), "expected": expected}


def _disk(state: StateReader) -> dict[str, int]:
    """What the scrub found on the disk, for whoever has to say when a card is to be replaced."""
    stand = state.status("scrub") or {}
    found = {key: stand.get(key, 0) for key in ("passes", "rotten", "unreadable")}
    return {**found, "recently": sum(stand.get("found", ())), "repairing": state.count(state="repairing")}


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _stale(state: StateReader, clock: dict[str, Any]) -> int:
    """Weeks past the release's expiry, by a clock that is trusted, else by what the county signed last."""
    expires = _number(state.meta("expires"))
    if expires is None:
        return 0
    floor = json.loads(state.meta("floor") or "{}").get("floor")
    now = int(time.time()) if clock.get("trusted") else floor
    return 0 if now is None else weeks_stale(expires, now)
