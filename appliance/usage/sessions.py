"""Events to sessions, by the rules of docs/usage.md. Pure.

The ruler is this box's monotonic clock within one boot. The page's own clock only makes a length finer, never
longer than what the box saw. Times here are milliseconds unless a name says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Sequence

from msgspec import Struct

GAP = 300_000  # silence that ends a session
CAP = 90_000  # most that one step between two events counts; pages say something every 30 s
SPAN = 12 * 3_600_000  # a session is cut here, so that a board left on can't hold the rest back
RESUME = 15_000  # a closed page that goes on within this time was only turned or came back
OLDER = 5_000  # a page older than its last loading by more than this is the one before
SLACK = 30_000  # an event may wait this long for the disk before the agent can see it
SWEEP = 60_000  # how often, by the events' own time, sessions that fell silent are ended
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


class Sessions:
    """Makes sessions of events, heard one by one in id order, all since a former `through`.

    `ended` grows, without those in `taken`; the rest is what a few minutes bring. `name` is usage.db's own,
    so that ids differ between two files; None: nobody asks for sessions, only for steps.
    """

    def __init__(self, name: str | None = None, taken: Container[str] = ()) -> None:
        self.ended: list[Draft] = []
        self.newest: Stored | None = None
        self._name, self._taken = name, taken
        self._running: dict[tuple[str, str, str], _Open] = {}
        self._spans: list[tuple[int, int]] = []  # of all that ended, those not worth telling too
        self._heard: dict[str, int] = {}
        self._swept = 0

    def hear(self, event: Stored) -> Step | None:
        """Count one event; the active time that it adds."""
        self.newest = event
        last = self._heard.get(event.boot)
        if last is None or event.mono - self._swept > SWEEP:
            self._swept = event.mono
            self._sweep(event.boot, GAP + SLACK)
        self._heard[event.boot] = max(last or 0, event.mono)
        key, step = (event.board, event.lesson, event.resource), None
        current = self._running.get(key)
        if current is not None:
            how = _over(current, event)
            if how:
                self._end(key, how)
                current = None
        if current is None:
            if event.type in _BEGINS:
                current = self._running[key] = _Open(event, event, False)
                current.takes(event)
                current.reach = event.id
        else:
            current.reach = event.id
            mine = event.visit == current.start.visit and not _stale(current, event)
            takes = mine and not (current.closed and event.type not in _BEGINS)
            if takes and (counted := current.takes(event)):
                where = (event.board, event.lesson, event.resource, event.kind, event.boot)
                step = Step(*where, event.mono - counted, event.mono)
        return step

    def cut(self, boot: str, now: int) -> int:
        """End what can't go on at this moment of the present boot; `through` as Cut has it."""
        self._heard[boot] = max(self._heard.get(boot, 0), now)
        self._sweep(boot, RESUME)
        return self._through()

    def _end(self, key: tuple[str, str, str], how: str) -> None:
        session = self._running.pop(key)
        if self._name is None:
            return
        if session.start.id < session.reach:
            self._spans.append((session.start.id, session.reach))
        draft = _draft(session, how, self._name)
        if draft is not None and draft.id not in self._taken:
            self.ended.append(draft)

    def _sweep(self, boot: str, resume: int) -> None:
        """End what was silent for long, as its next event would: what ended need not be kept in mind."""
        for key, current in list(self._running.items()):
            silent = self._heard[current.last.boot] - current.last.mono
            if current.closed and (silent > resume or current.last.boot != boot):
                self._end(key, "closed")
            elif silent > GAP + SLACK:
                self._end(key, "left")
            elif current.last.boot != boot:
                self._end(key, "boot")
        through = self._through()
        self._spans = [span for span in self._spans if span[1] > through]

    def _through(self) -> int:
        newest = 0 if self.newest is None else self.newest.id
        return _through(newest, self._spans, [current.start.id for current in self._running.values()])


def build(events: Iterable[Stored], boot: str, now: int, name: str) -> Cut:
    """The sessions in `events` (in id order, all since a former `through`) that have ended. `boot` and `now`
    are the present."""
    sessions = Sessions(name)
    steps = [step for event in events if (step := sessions.hear(event)) is not None]
    through = sessions.cut(boot, now)
    return Cut(tuple(sessions.ended), through, tuple(steps))


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
