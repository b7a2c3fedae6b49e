"""What a county sets for one box: the `policy` of its envelope (formats.md 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from msgspec import Struct, field

from content_sync.errors import FormatError
from content_sync.formats.canonical import maybe, need, parse_time, time_text
from content_sync.formats.lesson import KINDS
from content_sync.formats.paths import check_id

MAX_DEADLINES = 300
MAX_PINS = 300
MAX_POLICY_CARDS = 50
MAX_NOTE = 120
CHOICES = ("full", "light", "none")
VOLUMES = ("上册", "下册", "全一册")
#: All of China keeps Beijing time; minutes east of UTC.
BEIJING = 480
_OURS = (
    "cards", "class_goal", "collections", "deadlines", "pins", "reserve_mb", "renditions", "term",
    "utc_offset",
)  # fmt: skip
_MOST_RESERVE = 1 << 20
MOST_CLASSES = 1000


class Deadline(Struct, frozen=True):
    """A lesson that has to be here by a time (unix seconds)."""

    lesson: str
    by: int


class Term(Struct, frozen=True):
    """The school term: a day of its first teaching week, how many weeks it has, and which volumes it
    teaches (`上册` or `下册`; `全一册` is taught in every term)."""

    start: date
    weeks: int
    volume: str


class PolicyCard(Struct, frozen=True):
    """A lesson that waits on boards until a teacher opens it or puts it away: in the rooms of these names and
    grades, everywhere when none is named; from `begin` until `until` (unix seconds), always when None."""

    id: str
    lesson: str
    note: str = ""
    rooms: tuple[str, ...] = ()
    grades: tuple[str, ...] = ()
    begin: int | None = None
    until: int | None = None


class Policy(Struct, frozen=True):
    """Everything of a policy but its collections. `reserve` is bytes, `class_goal` classes (课时) a teacher
    and term; None when the box's own setting holds;
    `renditions` are (kind, choice) for kinds that are not `full`; `other` are the parts that are read by
    their own modules (`budget`, `timetable`), as JSON values."""

    deadlines: tuple[Deadline, ...] = ()
    pins: tuple[str, ...] = ()
    reserve: int | None = None
    renditions: tuple[tuple[str, str], ...] = ()
    term: Term | None = None
    utc_offset: int = BEIJING
    cards: tuple[PolicyCard, ...] = ()
    class_goal: int | None = None
    other: Mapping[str, Any] = field(default_factory=dict)

    def choice(self, kind: str) -> str:
        """`full`, `light` or `none` for resources of a kind."""
        return dict(self.renditions).get(kind, "full")


def dump_policy(policy: Policy) -> dict[str, Any]:
    """The policy as a JSON object; what is as by default is left out."""
    made: dict[str, Any] = dict(policy.other)
    if policy.deadlines:
        made["deadlines"] = [{"lesson": d.lesson, "by": time_text(d.by)} for d in policy.deadlines]
    if policy.pins:
        made["pins"] = list(policy.pins)
    if policy.reserve is not None:
        made["reserve_mb"] = policy.reserve >> 20
    if policy.renditions:
        made["renditions"] = dict(policy.renditions)
    if policy.term is not None:
        term = policy.term
        made["term"] = {"start": term.start.isoformat(), "weeks": term.weeks, "volume": term.volume}
    if policy.cards:
        made["cards"] = [_dump_card(card) for card in policy.cards]
    if policy.class_goal is not None:
        made["class_goal"] = policy.class_goal
    if policy.utc_offset != BEIJING:
        made["utc_offset"] = policy.utc_offset
    return made


def parse_policy(obj: dict[str, Any]) -> Policy:
    """Read and check a policy. Raises FormatError."""
    deadlines = maybe(obj, "deadlines", list) or []
    pins = maybe(obj, "pins", list) or []
    if len(deadlines) > MAX_DEADLINES or len(pins) > MAX_PINS:
        raise FormatError("a list of the policy is too long")
    if not all(isinstance(pin, str) and 0 < len(pin) <= 64 for pin in pins):
        raise FormatError("a pin of the policy is damaged")
    reserve = maybe(obj, "reserve_mb", int)
    if reserve is not None and not 0 <= reserve <= _MOST_RESERVE:
        raise FormatError("'reserve_mb' is out of range")
    renditions = maybe(obj, "renditions", dict) or {}
    goal = maybe(obj, "class_goal", int)
    if goal is not None and not 1 <= goal <= MOST_CLASSES:
        raise FormatError("'class_goal' is out of range")
    offset = maybe(obj, "utc_offset", int)
    if offset is not None and not -14 * 60 <= offset <= 14 * 60:
        raise FormatError("'utc_offset' is out of range")
    return Policy(
        deadlines=tuple(
            Deadline(check_id(need(value, "lesson", str)), parse_time(value.get("by"))) for value in deadlines
        ),
        pins=tuple(pins),
        reserve=None if reserve is None else reserve << 20,
        renditions=tuple(
            sorted(
                (kind, choice)
                for kind, choice in renditions.items()
                if kind in KINDS and choice in CHOICES and choice != "full"
            )
        ),
        term=_parse_term(maybe(obj, "term", dict)),
        utc_offset=BEIJING if offset is None else offset,
        cards=parse_cards(maybe(obj, "cards", list) or []),
        class_goal=goal,
        other={key: value for key, value in obj.items() if key not in _OURS},
    )


def _parse_term(value: dict[str, Any] | None) -> Term | None:
    if value is None:
        return None
    start, weeks, volume = need(value, "start", str), need(value, "weeks", int), need(value, "volume", str)
    try:
        day = date.fromisoformat(start)
    except ValueError:
        raise FormatError(f"not a day: {start[:40]!r}") from None
    if not 1 <= weeks <= 60 or volume not in VOLUMES:
        raise FormatError("the term of the policy is damaged")
    return Term(day, weeks, volume)


def _dump_card(card: PolicyCard) -> dict[str, Any]:
    made: dict[str, Any] = {"id": card.id, "lesson": card.lesson}
    for key, value in (("note", card.note), ("rooms", list(card.rooms)), ("grades", list(card.grades))):
        if value:
            made[key] = value
    for key, when in (("from", card.begin), ("until", card.until)):
        if when is not None:
            made[key] = time_text(when)
    return made


def parse_cards(values: list[Any]) -> tuple[PolicyCard, ...]:
    """Read and check the cards of a policy. Raises FormatError."""
    if len(values) > MAX_POLICY_CARDS:
        raise FormatError("the policy has too many cards")
    made = tuple(map(_parse_card, values))
    if len({card.id for card in made}) < len(made):
        raise FormatError("two cards of the policy have one id")
    return made


def _parse_card(value: Any) -> PolicyCard:
    if not isinstance(value, dict):
        raise FormatError("a card of the policy is damaged")
    note = maybe(value, "note", str) or ""
    names = {key: maybe(value, key, list) or [] for key in ("rooms", "grades")}
    words = [note, *names["rooms"], *names["grades"]]
    if not all(isinstance(word, str) and len(word) <= MAX_NOTE and word.isprintable() for word in words):
        raise FormatError("a card of the policy is damaged")
    if max(map(len, names.values())) > MAX_POLICY_CARDS:
        raise FormatError("a card of the policy names too many rooms")
    begin, until = (None if value.get(key) is None else parse_time(value[key]) for key in ("from", "until"))
    return PolicyCard(
        check_id(need(value, "id", str)),
        check_id(need(value, "lesson", str)),
        note,
        tuple(names["rooms"]),
        tuple(names["grades"]),
        begin,
        until,
    )
