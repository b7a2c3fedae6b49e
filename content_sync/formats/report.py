"""A report batch's payload: what happened on a box (formats.md 7)."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from content_sync.errors import FormatError
from content_sync.formats.canonical import check_format, dump, load, maybe, need, need_hex
from content_sync.formats.enrolment import check_box_id
from content_sync.formats.records import LISTS, Record, dump_record, parse_list
from content_sync.formats.records import number as _number
from content_sync.formats.records import text as _text

FORMAT = "lessonbox-report/1"
MAX_BATCH = 1 << 20
MAX_SESSIONS = 5_000
FIRST_PREV = "0" * 64
CLOCKS = ("ntp", "system", "county", "none")
ENDINGS = ("closed", "left", "reopened", "boot")
_MAX_SECONDS = 7 * 86_400
_KNOWN = ("sessions", *LISTS)


class UsageSession(Struct, frozen=True):
    """One use of one resource at one board. Times in seconds; `start` in unix seconds."""

    id: str
    board: str
    lesson: str
    resource: str
    kind: str
    start: int
    uncertainty: int
    clock: str
    seconds: int
    furthest: int | None
    ended: str
    boot: str
    mono: int


class Batch(Struct, frozen=True):
    """A numbered batch. `public_key` and `proof` stand in it until the county has the key. `records`: (list,
    record) of what it says beside usage; `unknown`: names of lists that this program can't read."""

    box: str
    stream: str
    seq: int
    prev: str
    software: str
    release: int
    sessions: tuple[UsageSession, ...]
    public_key: str | None = None
    proof: str | None = None
    records: tuple[tuple[str, Record], ...] = ()
    unknown: tuple[str, ...] = ()

    def of(self, name: str) -> tuple[Record, ...]:
        """The records of one list."""
        return tuple(record for where, record in self.records if where == name)


def payload_hash(payload: bytes) -> str:
    """What the next batch names as `prev`."""
    return hashlib.sha256(payload).hexdigest()


def dump_batch(batch: Batch) -> bytes:
    """The payload's bytes."""
    made: dict[str, Any] = {
        "format": FORMAT,
        "box": batch.box,
        "stream": batch.stream,
        "seq": batch.seq,
        "prev": batch.prev,
        "software": batch.software,
        "release": batch.release,
        "sessions": [asdict(session) for session in batch.sessions],
    }
    for name, record in batch.records:
        made.setdefault(name, []).append(dump_record(record))
    if batch.public_key is not None and batch.proof is not None:
        made["enrol"] = {"public_key": batch.public_key, "proof": batch.proof}
    return dump(made)


def _parse_session(value: object) -> UsageSession:
    clock, ended = _text(value, "clock"), _text(value, "ended")
    if clock not in CLOCKS or ended not in ENDINGS:
        raise FormatError("unknown clock or ending")
    assert isinstance(value, dict)
    furthest = maybe(value, "furthest", int)
    return UsageSession(
        id=need_hex(value, "id", 16),
        board=need_hex(value, "board", 16),
        lesson=_text(value, "lesson"),
        resource=_text(value, "resource"),
        kind=_text(value, "kind"),
        start=_number(value, "start", 1 << 40),
        uncertainty=_number(value, "uncertainty", 1 << 40),
        clock=clock,
        seconds=_number(value, "seconds", _MAX_SECONDS),
        furthest=None if furthest is None else _number(value, "furthest", 1 << 31),
        ended=ended,
        boot=_text(value, "boot"),
        mono=_number(value, "mono", 1 << 40),
    )


def parse_batch(payload: bytes) -> Batch:
    """Read and check a batch's payload. Raises FormatError, TooBigError."""
    obj = load(payload, MAX_BATCH)
    check_format(obj, FORMAT)
    entries = need(obj, "sessions", list)
    if len(entries) > MAX_SESSIONS:
        raise FormatError("too many sessions in one batch")
    seq = need(obj, "seq", int)
    if not 0 < seq < 1 << 53:
        raise FormatError("'seq' is out of range")
    enrol = maybe(obj, "enrol", dict)
    return Batch(
        box=check_box_id(obj.get("box")),
        stream=need_hex(obj, "stream", 16),
        seq=seq,
        prev=need_hex(obj, "prev", 64),
        software=_text(obj, "software"),
        release=_number(obj, "release", 1 << 53),
        sessions=tuple(_parse_session(value) for value in entries),
        public_key=None if enrol is None else need_hex(enrol, "public_key", 64),
        proof=None if enrol is None else need_hex(enrol, "proof", 64),
        records=tuple((name, record) for name in LISTS for record in parse_list(obj, name)),
        unknown=tuple(
            sorted(key for key, value in obj.items() if isinstance(value, list) and key not in _KNOWN)
        ),
    )
