"""From names tapped and what boards did to classes (课时), by the rules of docs/usage.md. Pure.

The ruler is the monotonic clock of one boot, in milliseconds; a timetable counts where the true time of
that boot is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct, field

from appliance.school.timetable import Period
from appliance.usage.sessions import Step

TEACH, WATCH, TRAIN = "teach", "watch", "train"
MODES = (TEACH, WATCH)
KINDS = (TEACH, WATCH, TRAIN)
MINUTE = 60_000
ENOUGH = 20 * MINUTE  # of activity that make a class
WINDOW = 60 * MINUTE  # what a name holds for where no period says it
BACK = 10 * MINUTE  # and how far back it reaches there
SILENCE = 40 * MINUTE  # after which a name does not hold any more
EARLY = 15  # minutes before a period at which a name is for that period
_DAY = 86_400


class Tap(Struct, frozen=True):
    """A name tapped at a board. `over`: when somebody said that the class is over."""

    id: str
    teacher: str
    place: str
    board: str
    mode: str
    boot: str
    mono: int
    over: int | None = None


class Room(Struct, frozen=True):
    """What counting knows of the school. `places`: board -> room; `mixed`: rooms of several grades;
    `periods`: empty where nobody has set them; `training`: whether a lesson is of the training shelf."""

    places: Mapping[str, str] = field(default_factory=dict)
    mixed: frozenset[str] = frozenset()
    periods: tuple[Period, ...] = ()
    training: Callable[[str], bool] = lambda lesson: False


class Class(Struct, frozen=True):
    """A class that counts. `id` follows from the first of its taps; `mono`: when its first activity began."""

    id: str
    tap: str
    teacher: str
    place: str
    kind: str
    lesson: str
    seconds: int
    boot: str
    mono: int
    period: int | None


class Holding(Struct, frozen=True):
    """How long a tap holds. `slot`: taps of one slot make one class; `until`: after that no tap can join."""

    tap: Tap
    begins: int
    ends: int
    until: int
    slot: str
    period: int | None


def hold(
    taps: Sequence[Tap], steps: Sequence[Step], room: Room, local: Callable[[str, int], int | None]
) -> list[Holding]:
    """What each tap holds. `taps` in order; `local`: seconds of local time at a moment of a boot, None where
    it is not known."""
    found: list[Holding] = []
    for number, tap in enumerate(taps):
        before = [held for held in found if _meet(held.tap, tap)]
        since = max((held.ends for held in before), default=0)
        since = min(since, tap.mono)  # the next name ends the one before, whatever that could have held
        following = next((other.mono for other in taps[number + 1 :] if _meet(other, tap)), None)
        now = local(tap.boot, tap.mono) if room.periods else None
        period = None if now is None else _period(room.periods, now % _DAY // 60)
        if period is not None and now is not None:
            midnight = tap.mono - now % _DAY * 1000
            begins, until = midnight + period.begins * MINUTE, midnight + period.ends * MINUTE
            slot = f"{tap.teacher} {tap.place} {now // _DAY} {period.no}"
        else:
            begins, until = tap.mono - BACK, tap.mono + WINDOW
            slot = f"{tap.teacher} {tap.place} {tap.id}"
        no = None if period is None else period.no
        joined = next((h for h in before if h.period == no and _joins(h, tap)), None)
        if joined is not None:
            until, slot = joined.until, joined.slot
        ends = min(t for t in (until, tap.over, following, _silent(tap, steps, room)) if t is not None)
        found.append(Holding(tap, max(begins, since), ends, until, slot, no))
    return found


def _meet(one: Tap, other: Tap) -> bool:
    """Whether a name ends the other: at one place, or at one board, which may have got another room since."""
    return one.boot == other.boot and (one.place == other.place or one.board == other.board)


def _period(periods: Iterable[Period], minute: int) -> Period | None:
    """The period that is on, or else the one that begins soon."""
    near = [p for p in periods if p.begins - EARLY <= minute < p.ends]
    return max(near, key=lambda p: p.begins <= minute, default=None)


def _joins(held: Holding, tap: Tap) -> bool:
    return held.tap.teacher == tap.teacher and tap.mono < held.until


def _here(step: Step, tap: Tap, room: Room) -> bool:
    same = step.board == tap.board or room.places.get(step.board, step.board) == tap.place
    return same and step.boot == tap.boot


def _silent(tap: Tap, steps: Sequence[Step], room: Room) -> int | None:
    """When the name ceased to hold because nothing happened; None: something did, as far as is known."""
    last = tap.mono
    for step in steps:
        if step.ends > tap.mono and _here(step, tap, room):
            if step.begins - last > SILENCE:
                break
            last = max(last, step.ends)
    return last + SILENCE


def _kind(tap: Tap, step: Step, room: Room) -> str | None:
    if room.training(step.lesson):
        return TRAIN
    if tap.mode == WATCH:
        return WATCH if step.kind == "recorded" else None
    return TEACH


def count(held: Sequence[Holding], steps: Sequence[Step], room: Room) -> list[Class]:
    """The classes in what the taps hold: of each slot at most one of each kind."""
    slots: dict[tuple[str, str], dict[str, list[tuple[int, int]]]] = {}
    first: dict[str, Holding] = {}
    places: dict[str, set[str]] = {}
    for one in held:
        first.setdefault(one.slot, one)
        places.setdefault(one.slot, set()).add(one.tap.place)
        for step in steps:
            begins, ends = max(step.begins, one.begins), min(step.ends, one.ends)
            kind = _kind(one.tap, step, room) if begins < ends and _here(step, one.tap, room) else None
            if kind is not None:
                of = slots.setdefault((one.slot, kind), {})
                of.setdefault(step.lesson, []).append((begins, ends))
    found = []
    for (slot, kind), lessons in slots.items():
        tap = first[slot].tap
        times = {lesson: _length(parts) for lesson, parts in lessons.items()}
        lesson = max(times, key=lambda name: (times[name], name))
        together = not room.mixed.isdisjoint(places[slot])
        length = (
            _length([part for parts in lessons.values() for part in parts]) if together else times[lesson]
        )
        if length >= ENOUGH:
            begins = min(begin for parts in lessons.values() for begin, _ in parts)
            identity = hashlib.sha256(f"{tap.id}\n{kind}".encode()).hexdigest()[:16]
            found.append(
                Class(
                    identity, tap.id, tap.teacher, tap.place, kind, lesson, length // 1000, tap.boot,
                    max(0, begins), first[slot].period,
                )
            )  # fmt: skip
    return found


def _length(parts: Sequence[tuple[int, int]]) -> int:
    """How long at least one of them lasted: two boards, two tabs count once."""
    total, reached = 0, None
    for begins, ends in sorted(parts):
        begins = begins if reached is None else max(begins, reached)
        if ends > begins:
            total += ends - begins
            reached = ends
    return total
