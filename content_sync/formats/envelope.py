"""The envelope's payload: policy, acknowledgement and time for one box (formats.md 5)."""

from __future__ import annotations

from msgspec import Struct, field

from content_sync.errors import FormatError
from content_sync.formats.canonical import check_format, dump, load, need, need_hex, parse_time, time_text
from content_sync.formats.enrolment import check_box_id
from content_sync.formats.policy import Policy, dump_policy, parse_policy

FORMAT = "lessonbox-envelope/1"
MAX_ENVELOPE = 64 << 10
MAX_RANGES = 1000


class Ack(Struct, frozen=True):
    """Report batches stored at the county: 1…through of the stream, and the inclusive ranges `also`."""

    stream: str
    through: int
    also: tuple[tuple[int, int], ...] = ()

    def covers(self, stream: str, seq: int) -> bool:
        """Whether that batch is acknowledged."""
        if stream != self.stream:
            return False
        return seq <= self.through or any(first <= seq <= last for first, last in self.also)


class Envelope(Struct, frozen=True):
    """A verified or to-be-signed envelope. `time` is unix seconds; `token`: which of its tokens the box is to
    use (formats/token.py)."""

    box: str
    version: int
    time: int
    school_code: str
    school_name: str
    collections: tuple[str, ...]
    ack: Ack | None
    enrolled: bool
    token: int = 1
    policy: Policy = field(default_factory=Policy)


def dump_envelope(envelope: Envelope) -> bytes:
    """The payload's bytes."""
    ack = envelope.ack
    return dump(
        {
            "format": FORMAT,
            "box": envelope.box,
            "version": envelope.version,
            "time": time_text(envelope.time),
            "school": {"code": envelope.school_code, "name": envelope.school_name},
            "policy": {**dump_policy(envelope.policy), "collections": list(envelope.collections)},
            "ack": None
            if ack is None
            else {"stream": ack.stream, "through": ack.through, "also": [list(pair) for pair in ack.also]},
            "enrolled": envelope.enrolled,
            "token": envelope.token,
        }
    )


def _parse_ack(value: object) -> Ack | None:
    if value is None:
        return None
    ranges = []
    for pair in need(value, "also", list)[: MAX_RANGES + 1]:
        whole = isinstance(pair, list) and len(pair) == 2 and all(type(n) is int for n in pair)
        if not whole or not 0 < pair[0] <= pair[1]:
            raise FormatError("a range of the acknowledgement is damaged")
        ranges.append((pair[0], pair[1]))
    if len(ranges) > MAX_RANGES:
        raise FormatError("too many ranges in the acknowledgement")
    through: int = need(value, "through", int)
    if through < 0:
        raise FormatError("'through' is out of range")
    return Ack(need_hex(value, "stream", 16), through, tuple(ranges))


def parse_envelope(payload: bytes) -> Envelope:
    """Read and check an envelope's payload. Raises FormatError."""
    obj = load(payload, MAX_ENVELOPE)
    check_format(obj, FORMAT)
    school = need(obj, "school", dict)
    policy = need(obj, "policy", dict)
    collections = need(policy, "collections", list)
    if not all(isinstance(pattern, str) and len(pattern) <= 64 for pattern in collections):
        raise FormatError("a collection of the policy is damaged")
    version: int = need(obj, "version", int)
    if not 0 < version < 1 << 53:
        raise FormatError("version is out of range")
    token: int = need(obj, "token", int) if "token" in obj else 1
    if token < 1:
        raise FormatError("'token' is out of range")
    return Envelope(
        box=check_box_id(obj.get("box")),
        version=version,
        time=parse_time(obj.get("time")),
        school_code=need(school, "code", str),
        school_name=need(school, "name", str),
        collections=tuple(collections),
        ack=_parse_ack(obj.get("ack")),
        enrolled=need(obj, "enrolled", bool),
        token=token,
        policy=parse_policy(policy),
    )
