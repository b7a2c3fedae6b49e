"""`/healthz` and `/api/v1/…` (contract.md, formats.md 9)."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, g, has_app_context, jsonify, request
from msgspec.structs import replace

from appliance.usage.recorder import Event, check
from appliance.web.door import Door
from appliance.web.expecting import why
from appliance.web.resume import note_events
from appliance.web.search.shown import Repairs, Shown, address, json_text, texts
from content_sync.errors import FormatError, LessonBoxError, TooBigError
from content_sync.ports import CollectionRow, LessonRow, PlannedRow

if TYPE_CHECKING:
    from appliance.web.app import Board

MAX_EVENTS_BODY = 64 << 10
_MAX_EVENTS = 500
#: Events a minute from one address, 75 for each of forty boards behind it: one that plays sends two, one
#: whose pages are turned each second sixty. What boards kept while the box was down follows within minutes.
_A_MINUTE = 3000
#: And from all: what a session holds in mind of so many must fit the agent's memory.
_IN_ALL = 12_000
#: Resources that are remembered although their lesson went.
_MOST_SEEN = 5000
_MOST = 500
_PART = 500
#: Lessons in one piece of an answer: each piece is a write of its own.
_PIECE = 50
#: Events that say that something plays, of these kinds, and for how many seconds (pages ping every 30 s).
_PLAYS, _MEDIA, _PLAYS_ON = ("play", "ping"), ("video", "recorded", "audio"), 35.0
_HEX16 = re.compile(r"[0-9a-f]{16}")


def error(status: int, code: str, message: str) -> Response:
    """The one shape of an error."""
    response = jsonify({"error": {"code": code, "message": message}})
    response.status_code = status
    return response


def repairs() -> Repairs:
    """What had to be repaired, as this request found it; nothing outside of one."""
    if not has_app_context() or "repairs" not in g:
        return {}
    if "repaired" not in g:
        g.repaired = g.repairs()
    found: Repairs = g.repaired
    return found


def file_url(root: str, path: str, repaired: Repairs | None = None) -> str:
    """Address of one file on the pages' port. A browser keeps what it got for ever, so a file that had to be
    repaired has another one than before (`repaired`: as StateReader gives it)."""
    return address(root, path, (repairs() if repaired is None else repaired).get(root, (0, 0))[0])


def lesson_text(
    collection: CollectionRow,
    row: LessonRow,
    resources: str,
    planned: PlannedRow | None = None,
) -> str:
    """A lesson as the API shows it, in JSON: `resources` with commas between; `planned`: what the plan says
    of one that is not here. Written by hand, in a third of the time: lists are long."""
    repairing = "true" if row.repairing and row.state != "present" else "false"
    return (
        f'{{"id":{json_text(row.id)},"title":{json_text(row.title)},{_place_text(collection)},'
        f'"unit":{json_text(row.unit)},"state":"{row.state}","repairing":{repairing},'
        f'"resources":[{resources}]{"" if planned is None else _planned_text(planned)}}}'
    )


@functools.lru_cache(1024)
def _place_text(collection: CollectionRow) -> str:
    return ",".join(
        [
            f'"{key}":{json_text(getattr(collection, key))}'
            for key in ("stage", "subject", "edition", "grade", "volume")
        ]
    )


def _planned_text(row: PlannedRow) -> str:
    expected = None if row.last is None else {"from": row.first, "to": row.last}
    told = {"reason": {"code": row.code, **row.facts, "text": why(row)}, "expected": expected}
    return "," + json.dumps(told, ensure_ascii=False, separators=(",", ":"))[1:-1]


def _number(name: str, default: int, most: int) -> int:
    text = request.args.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > most:
        raise FormatError(f"{name} must be a whole number, at most {most}")
    return int(text)


def _events() -> list[Event]:
    """The events of the body. Raises TooBigError, FormatError."""
    if (request.content_length or 0) > MAX_EVENTS_BODY:
        raise TooBigError("events have more than 64 KiB")
    body = request.stream.read(MAX_EVENTS_BODY + 1)
    if len(body) > MAX_EVENTS_BODY:
        raise TooBigError("events have more than 64 KiB")
    try:
        values = json.loads(body)["events"]
        if not isinstance(values, list) or len(values) > _MAX_EVENTS:
            raise ValueError
        return [_event(value) for value in values]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as wrong:
        raise FormatError("events are not as formats.md 9 says") from wrong


def _event(value: dict[str, Any]) -> Event:
    for name in ("at", "position"):
        if value.get(name) is not None and type(value[name]) is not int:
            raise FormatError(f"{name} of an event must be a whole number")
    texts = [value[name] for name in ("lesson", "resource", "visit", "type")]
    if not all(isinstance(text, str) and text for text in texts) or not _HEX16.fullmatch(texts[2]):
        raise FormatError("lesson, resource, visit or type of an event is not right")
    event = Event(
        g.board,
        texts[0],
        texts[1],
        "other",
        texts[2],
        texts[3],
        value.get("at"),
        value.get("position"),
        "page",
    )
    check(event)
    return event


def _stream(lessons: Iterable[str]) -> Iterator[str]:
    before, rest = '{"lessons":[', iter(lessons)
    while len(piece := list(itertools.islice(rest, _PIECE))) == _PIECE:
        yield before + ",".join(piece)
        before = ","
    if not piece:  # what was written ends with a lesson, or with nothing at all
        before = before.rstrip(",")
    yield before + ",".join(piece) + "]}\n"


def blueprint(board: Board) -> Blueprint:
    """The routes."""
    routes = Blueprint("api", __name__)
    reader = board.reader
    door, gate = (Door(most, 60, board.clock.monotonic) for most in (_A_MINUTE, _IN_ALL))
    seen: dict[tuple[str, str], str] = {}

    @routes.errorhandler(FormatError)
    def wrong(fault: FormatError) -> Response:
        return error(413 if isinstance(fault, TooBigError) else 400, fault.code, fault.what)

    @routes.get("/healthz")
    def healthz() -> Response:
        reader.generation()
        return jsonify({"ok": True})

    @routes.get("/api/v1/status")
    def status() -> Response:
        return jsonify(board.status())

    @routes.get("/api/v1/lessons")
    def lessons() -> Response:
        collection, state = request.args.get("collection") or None, request.args.get("state") or None
        offset, limit = _number("offset", 0, 1 << 31), _number("limit", 1 << 31, 1 << 31)

        def parts() -> Iterator[list[LessonRow]]:
            # a county's whole library is too long to hold at once
            for begin in range(offset, offset + limit, _PART):
                part = reader.lessons(collection, state, begin, min(_PART, offset + limit - begin))
                yield part
                if len(part) < _PART:
                    return

        told = _stream(_texts(parts(), {}))
        first = next(told)  # what can't be read now is told as such, before an answer has begun
        return Response(itertools.chain([first], told), mimetype="application/json")

    @routes.get("/api/v1/search")
    def search() -> Response:
        offset, limit = _number("offset", 0, 1 << 31), _number("limit", 20, _MOST)
        grade, kind = request.args.get("grade", ""), request.args.get("kind", "")
        asked = request.args.get("q", "")
        try:
            found = board.index.find(asked, grade, kind, offset, limit, counted=False)
        except LessonBoxError as fault:  # not made yet, or damaged: it is being made
            response = error(503, fault.code, fault.what)
            response.headers["Retry-After"] = "5"
            return response
        lessons = _texts([reader.rows(found.ids)], found.shown)
        return Response("".join(_stream(lessons)), mimetype="application/json")

    def _texts(parts: Iterable[list[LessonRow]], shown: Mapping[str, Shown]) -> Iterator[str]:
        collections = reader.places()
        repaired = repairs()

        def made() -> Iterator[str]:
            for rows in parts:
                rows = [row for row in rows if row.collection in collections]
                resources = texts(reader, rows, shown, repaired)
                lacking = [row.id for row in rows if not row.complete]
                planned = reader.planned(lacking) if lacking else {}
                for row in rows:
                    yield lesson_text(
                        collections[row.collection], row, resources.get(row.id, ""), planned.get(row.id)
                    )

        return made()

    def _here(event: Event) -> str | None:
        """The kind of a resource that is here, else None."""
        lesson = reader.present_lesson(event.lesson)
        return next((r.kind for r in lesson.resources if r.id == event.resource), None) if lesson else None

    def _kind(event: Event) -> str | None:
        """The same of one that is here, or was while a page of it told of its use."""
        key, kind = (event.lesson, event.resource), _here(event)
        if kind is None:
            return seen.get(key)
        if len(seen) >= _MOST_SEEN:
            seen.clear()
        seen[key] = kind
        return kind

    @routes.post("/api/v1/events")
    def events() -> Response:
        told = _events()
        door.require(max(1, len(told)))
        if not gate.admits("", max(1, len(told))):
            abort(429)
        # of what this box never had there is no use; answered like the rest, or a page would tell it for ever
        received = [replace(event, kind=kind) for event in told if (kind := _kind(event)) is not None]
        try:
            board.records.record(received)
        except LessonBoxError as fault:
            response = error(503, fault.code, fault.what)
            response.headers["Retry-After"] = "5"
            return response
        note_events([event for event in received if _here(event) is not None])
        plays = any(event.type in _PLAYS and event.kind in _MEDIA for event in received)
        if board.sign is not None and plays:
            board.sign.plays(_PLAYS_ON)
        return Response(status=204)

    return routes
