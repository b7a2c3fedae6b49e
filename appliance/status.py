"""What `lessonbox status` and `/api/v1/status` say (contract.md)."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from appliance.config import BoxPaths, read_enrolment
from appliance.usage.outbox import read_agent_status
from content_sync.adapters.sqlite import StateReader
from content_sync.core.trust import weeks_stale
from content_sync.terminal import size_text


def read_status(data: Path, lessons: bool = False) -> dict[str, Any]:
    """The figures of the box whose data folder this is; `lessons`: with why each lesson is here or not.

    Raises SetupError when it is no box, StorageError.
    """
    paths = BoxPaths(data)
    agent = read_agent_status(paths.outbox_db)
    with closing(StateReader(paths.state_db)) as state:
        counts = {name: state.count(state=name) for name in ("present", "arriving", "wanted")}
        result: dict[str, Any] = {
            "box": state.meta("box") or read_enrolment(paths).box,
            "county": state.meta("county"),
            "release": state.release(),
            "issued": _number(state.meta("issued")),
            "weeks_stale": _stale(state, agent["clock"]),
            "lessons": counts,
            "progress": state.status("progress") or {},
            "sources": state.status("sources") or {},
            "space": state.status("space") or {},
            "outbox": agent["outbox"],
            "clock": agent["clock"],
            "address": agent["address"],
            "problems": [
                {"code": p.code, "subject": p.subject, "message": p.message, "since": p.since}
                for p in state.problems()
            ]
            + agent["problems"],
        }
        if lessons:
            result["lesson_list"] = [
                {
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


def status_text(status: dict[str, Any]) -> str:
    """The figures for people."""
    counts, space = status["lessons"], status["space"]
    lines = [
        f"box       {status['box']}  {status['county'] or ''}",
        f"release   {status['release'] or 'none yet'}"
        + (f", not renewed for {status['weeks_stale']} weeks" if status["weeks_stale"] else ""),
        f"lessons   {counts['present']} present, {counts['arriving']} arriving, {counts['wanted']} wanted",
    ]
    if space:
        lines.append(
            f"space     {size_text(space['free'])} free, {size_text(space['reserve'])} kept in reserve"
        )
    lines.append(f"reports   {status['outbox']['unacknowledged']} not acknowledged yet")
    lines.append(
        f"clock     {status['clock']['source']}"
        + (", trusted" if status["clock"]["trusted"] else ", not trusted yet")
    )
    lines += [f"problem   {p['code']} {p['subject']}: {p['message']}" for p in status["problems"]]
    for row in status.get("lesson_list", ()):
        share = f"{100 * row['have_bytes'] // row['size']}%" if row["size"] else ""
        lines.append(f"{row['state']:9} {share:>4} {row['title']}  {row['reason']}")
    return "\n".join(lines)
