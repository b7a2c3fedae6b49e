"""Events to sessions, by the rules of docs/usage.md. Pure.

The ruler is this box's monotonic clock within one boot. The page's own clock only makes a length finer, never
longer than what the box saw. Times here are milliseconds unless a name says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from msgspec import Struct

GAP = 300_000  # silence that ends a session
CAP = 90_000  # most that one step between two events counts; pages say something every 30 s
SPAN = 12 * 3_600_000  # a session is cut here, so that a board left on can't hold the rest back
RESUME = 15_000  # a closed page that goes on within this time was only turned or came back
OLDER = 5_000  # a page older than its last loading by more than this is the one before
SLACK = 30_000  # an event may wait this long for the disk before the agent can see it
_PLAYED = ("video", "recorded", "audio")
_BEGINS = ("open", "play", "ping")


class Stored(Struct, frozen=True):
    """A row of usage.db."""

    id: int
    board: str
    lesson: str
    resource: str
    kind: str
    visit: str
    type: str
    at: int | None
    position: int | None
    origin: str
    boot: str
    mono: int
    wall: int
    source: str


class Draft(Struct, frozen=True):
    """A session that can't change any more, not yet dated. `first` and `last`: ids of the events it met."""

    id: str
    board: str
    lesson: str
    resource: str
    kind: str
    seconds: int
    furthest: int | None
    ended: str
    boot: str
    mono: int
    wall: int
    source: str
    first: int
    last: int


class Step(Struct, frozen=True):
    """Active time between two events of a session, ended or not."""

    board: str
    lesson: str
    resource: str
    kind: str
    boot: str
    begins: int
    ends: int


class Cut(Struct, frozen=True):
    """Sessions that ended, and the greatest event id that no open or ended session reaches across. `steps`:
    all active time, in the order in which it was heard of."""

    ended: tuple[Draft, ...]
    through: int
    steps: tuple[Step, ...] = ()


class _Open(Struct):
    """A session that still goes on."""

    start: Stored
    last: Stored
    active: bool
    reach: int = 0  # the last event that met this session, counted or not
    loaded: int | None = None  # when the box last gave out a page of this visit
    closed: bool = False
    counted: int = 0
    furthest: int | None = None
    opened: bool = False

    def takes(self, event: Stored) -> int:
        """Count the step from the last event to this one, of the same visit; what it counted."""
        before = self.counted
        if event.origin == "server":
            self.loaded = event.mono
        if self.active and (event.origin == "page" or event.type == "ping"):  # a page turned is a sign of use
            step = event.mono - self.last.mono
            if event.at is not None and self.last.at is not None:
                step = event.at - self.last.at
            seen = max(0, event.mono - self.start.mono)
            self.counted = max(self.counted, min(self.counted + min(step, CAP), seen))
        if event.position is not None:
            self.furthest = max(self.furthest or 0, min(event.position, (1 << 31) - 1))
        self.opened = self.opened or event.type == "open"
        self.closed = event.type == "close"
        played = event.kind in _PLAYED
        if event.type in ("pause", "ended", "close"):
            self.active = False
        elif event.type in ("play", "ping") or not played:
            self.active = True  # a document counts from being opened, once its page's script is heard
        self.last = event
        return self.counted - before


def build(events: Iterable[Stored], boot: str, now: int, name: str) -> Cut:
    """The sessions in `events` (in id order, all since a former `through`) that have ended.

    `boot` and `now` are the present; `name` is usage.db's own, so that ids differ between two files.
    """
    running: dict[tuple[str, str, str], _Open] = {}
    ended: list[Draft] = []
    steps: list[Step] = []
    spans: list[tuple[int, int]] = []  # of all that ended, those not worth telling too
    newest = 0
    heard: dict[str, int] = {boot: now}

    def end(key: tuple[str, str, str], how: str) -> None:
        session = running.pop(key)
        spans.append((session.start.id, session.reach))
        draft = _draft(session, how, name)
        if draft is not None:
            ended.append(draft)

    for event in events:
        newest = event.id
        heard[event.boot] = max(heard.get(event.boot, 0), event.mono)
        key = (event.board, event.lesson, event.resource)
        current = running.get(key)
        if current is not None:
            how = _over(current, event)
            if how:
                end(key, how)
                current = None
        if current is None:
            if event.type in _BEGINS:
                current = running[key] = _Open(event, event, False)
                current.takes(event)
                current.reach = event.id
        else:
            current.reach = event.id
            mine = event.visit == current.start.visit and not _stale(current, event)
            takes = mine and not (current.closed and event.type not in _BEGINS)
            if takes and (counted := current.takes(event)):
                where = (event.board, event.lesson, event.resource, event.kind, event.boot)
                steps.append(Step(*where, event.mono - counted, event.mono))
    for key, current in list(running.items()):
        silent = heard[current.last.boot] - current.last.mono
        if current.closed and (silent > RESUME or current.last.boot != boot):
            end(key, "closed")
        elif silent > GAP + SLACK:
            end(key, "left")
        elif current.last.boot != boot:
            end(key, "boot")
    through = _through(newest, spans, [current.start.id for current in running.values()])
    return Cut(tuple(ended), through, tuple(steps))


def _over(current: _Open, event: Stored) -> str:
    """How the session ended before this event of the same board and resource; empty when it goes on."""
    if current.closed:
        other = event.visit != current.start.visit and event.type in _BEGINS
        late = event.boot != current.last.boot or event.mono - current.last.mono > RESUME
        return "closed" if other or late else ""
    if event.boot != current.last.boot:
        return "boot"
    if event.mono - current.last.mono > GAP or event.mono - current.start.mono > SPAN:
        return "left"
    if event.type == "open" and event.visit != current.start.visit:
        return "reopened"
    return ""


def _stale(current: _Open, event: Stored) -> bool:
    """Whether the page had said something later already, or a newer page of its visit was loaded."""
    if event.at is None:
        return False
    if current.last.at is not None and event.at < current.last.at:
        return True
    return current.loaded is not None and event.at > event.mono - current.loaded + OLDER


def _draft(session: _Open, how: str, name: str) -> Draft | None:
    start = session.start
    if not session.opened and session.counted < 1000:
        return None  # a straggler of a page that was closed: nobody opened anything
    identity = hashlib.sha256(f"{name}\n{start.id}".encode()).hexdigest()[:16]
    return Draft(
        id=identity,
        board=start.board,
        lesson=start.lesson,
        resource=start.resource,
        kind=start.kind,
        seconds=session.counted // 1000,
        furthest=session.furthest,
        ended=how,
        boot=start.boot,
        mono=start.mono,
        wall=start.wall,
        source=start.source,
        first=start.id,
        last=session.reach,
    )


def _through(newest: int, spans: Sequence[tuple[int, int]], going_on: Sequence[int]) -> int:
    """The greatest id that is in no session that goes on, and inside no ended one."""
    through = min([newest, *(first - 1 for first in going_on)])
    for first, last in sorted(spans, reverse=True):
        if first <= through < last:
            through = first - 1
    return through
