"""`county policy`: what boxes are told, one box, a school or all of them (formats.md 5.1)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from content_sync.adapters.files import read_capped
from content_sync.errors import FormatError, NotFoundError, UsageError
from content_sync.formats.budget import parse_budget
from content_sync.formats.canonical import load
from content_sync.formats.envelope import MAX_ENVELOPE
from content_sync.formats.lesson import KINDS
from content_sync.formats.policy import (
    CHOICES,
    Deadline,
    Policy,
    PolicyCard,
    Term,
    dump_policy,
    parse_policy,
)
from county.library import BoxRow, Library
from county.setup import collection_pattern

_KINDS = {word: kind for kind, (word, _, _) in KINDS.items()}


class Changes(Struct, frozen=True):
    """What is to be changed; what is None or empty stays. `deadlines`: `LESSON=TIME`, `renditions`:
    `KIND=full|light|none`, `term`: `START:WEEKS:VOLUME`; `cards` are added, those with an id of `withdrawn`
    taken away; `clear`: parts that become as by default; `file`: JSON of parts as in formats.md 5.1 and 5.2
    that are put in place, null takes one away."""

    collections: tuple[str, ...] = ()
    deadlines: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    reserve_mb: int | None = None
    renditions: tuple[str, ...] = ()
    term: str | None = None
    class_goal: int | None = None
    updates: str | None = None
    cards: tuple[PolicyCard, ...] = ()
    withdrawn: tuple[str, ...] = ()
    clear: tuple[str, ...] = ()
    file: Path | None = None


#: What `--clear` may name.
PARTS = (
    "deadlines", "pins", "reserve", "renditions", "term", "class_goal", "budget", "timetable", "cards",
)  # fmt: skip


def choose(library: Library, boxes: Sequence[str], schools: Sequence[str], everyone: bool) -> list[BoxRow]:
    """The boxes that are meant. Raises NotFoundError, UsageError."""
    if everyone == bool(boxes or schools):
        raise UsageError("give --box, --school or --all")
    known = library.boxes()
    if everyone:
        return known
    for name, found in ((box, {row.id for row in known}) for box in boxes):
        if name not in found:
            raise NotFoundError(f"box {name[:40]!r}")
    for code in schools:
        if all(row.school_code != code for row in known):
            raise NotFoundError(f"no box of school {code[:40]!r}")
    return [row for row in known if row.id in boxes or row.school_code in schools]


def change(library: Library, rows: Sequence[BoxRow], changes: Changes, zone: ZoneInfo) -> list[BoxRow]:
    """Change the policy of boxes, all or none; their rows then. The next envelope of each carries it.

    Raises UsageError, NotFoundError, FormatError; then nothing has changed.
    """
    made = []
    for row in rows:
        collections = tuple(dict.fromkeys(map(collection_pattern, changes.collections)))
        new = replace(
            row,
            collections=collections or row.collections,
            policy=_changed(library, row.policy, changes, zone),
        )
        _check(new)
        made.append(new)
    with library.transaction():
        for new in made:
            library.set_policy(new)
    return made


def _changed(library: Library, policy: Policy, changes: Changes, zone: ZoneInfo) -> Policy:
    plain = dump_policy(policy)
    for part in changes.clear:
        plain.pop("reserve_mb" if part == "reserve" else part, None)
    if changes.file is not None:
        given = load(read_capped(changes.file, MAX_ENVELOPE), MAX_ENVELOPE)
        plain = {key: value for key, value in (plain | given).items() if value is not None}
        if "collections" in plain:
            raise UsageError("collections are set by --collection")
    policy = parse_policy(plain)
    deadlines = {deadline.lesson: deadline for deadline in policy.deadlines}
    for text in changes.deadlines:
        lesson, _, when = text.rpartition("=")
        identity = find_lesson(library, lesson)
        deadlines[identity] = Deadline(identity, _time(when, zone))
    renditions = dict(policy.renditions)
    for text in changes.renditions:
        word, _, choice = text.partition("=")
        kind = _KINDS.get(word, word)
        if kind not in KINDS or choice not in CHOICES:
            raise UsageError(f"{text!r} is not KIND=full, KIND=light or KIND=none")
        renditions[kind] = choice
    pins = [
        collection_pattern(pin) if "/" in pin or "*" in pin else _pin(library, pin) for pin in changes.pins
    ]
    return replace(
        policy,
        deadlines=tuple(sorted(deadlines.values(), key=lambda one: (one.by, one.lesson))),
        renditions=tuple(sorted((kind, choice) for kind, choice in renditions.items() if choice != "full")),
        pins=tuple(dict.fromkeys([*policy.pins, *pins])),
        reserve=policy.reserve if changes.reserve_mb is None else changes.reserve_mb << 20,
        term=policy.term if changes.term is None else _term(changes.term),
        class_goal=policy.class_goal if changes.class_goal is None else changes.class_goal,
        cards=tuple(c for c in (*policy.cards, *changes.cards) if c.id not in changes.withdrawn),
        other=_updates(policy.other, changes.updates),
    )


def _updates(other: Mapping[str, Any], choice: str | None) -> dict[str, Any]:
    if choice is None:
        return dict(other)
    kept = {key: value for key, value in other.items() if key != "updates"}
    return kept if choice == "all" else {**kept, "updates": choice}


def push(
    library: Library,
    lesson: str,
    places: tuple[Sequence[str], Sequence[str]],
    note: str,
    times: tuple[str | None, str | None],
    zone: ZoneInfo,
) -> Changes:
    """The changes that let a card wait on boards: `places` are names of rooms and grades, `times` from and
    until. A lesson with a time has to be there by then. Raises NotFoundError, UsageError."""
    identity = find_lesson(library, lesson)
    begin, until = (None if text is None else _time(text, zone) for text in times)
    if begin is not None and until is not None and until < begin:
        raise UsageError("a card ends before it begins")
    card = PolicyCard(
        f"p-{secrets.token_hex(4)}", identity, note, tuple(places[0]), tuple(places[1]), begin, until
    )
    text = times[0] or times[1]
    return Changes(cards=(card,), deadlines=(f"{identity}={text}",) if text else ())


def _check(row: BoxRow) -> None:
    """What a box would refuse is refused here."""
    plain = {**dump_policy(row.policy), "collections": list(row.collections)}
    parsed = parse_policy(plain)
    parse_budget(parsed.other)
    # An envelope holds the acknowledgement too: half of it is for the policy.
    if len(json.dumps(plain, ensure_ascii=False).encode()) > MAX_ENVELOPE // 2:
        raise FormatError(f"the policy of {row.id} is too long")


def find_lesson(library: Library, text: str) -> str:
    """A published lesson's id, by id or title. Raises NotFoundError, UsageError."""
    found = [row.id for row in library.lessons() if text in (row.id, row.title)]
    if not found:
        raise NotFoundError(f"the library has no lesson {text[:80]!r}")
    if len(found) > 1:
        raise UsageError(f"{len(found)} lessons are called {text!r}; use an id, like {found[0]}")
    return found[0]


def _pin(library: Library, text: str) -> str:
    collections = {row.collection for row in library.lessons()}
    return text if text in collections else find_lesson(library, text)


def _time(text: str, zone: ZoneInfo) -> int:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time like 2026-11-23T08:00") from None
    return int((when if when.tzinfo else when.replace(tzinfo=zone)).timestamp())


def _term(text: str) -> Term:
    try:
        start, weeks, volume = text.split(":")
        return Term(date.fromisoformat(start), int(weeks), volume)
    except ValueError:
        raise UsageError(f"{text!r} is not a term like 2026-09-01:20:上册") from None


def plain(row: BoxRow) -> dict[str, Any]:
    """A box and its policy, for people and programs."""
    return {
        "box": row.id,
        "school_code": row.school_code,
        "school": row.school_name,
        "policy": {**dump_policy(row.policy), "collections": list(row.collections)},
    }
