"""Holds the swarm to the budget: windows, live classes, quotas, a class that streams, others on the line.

`step(now)` some times a second while anything is `fetching`; every change of the rules or of the line is
acted on in the next one. It may be called from two threads when it is given a lock: the loop of sync rests in
long steps, this may not.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from content_sync.core.account import MAX_ACCOUNT, carried, parse_account
from content_sync.core.budget import Budget, Known, Spent, clock_text, least
from content_sync.core.timefloor import SLACK
from content_sync.core.yielding import Yielding
from content_sync.errors import BudgetError, FormatError, LessonBoxError
from content_sync.formats.budget import BudgetPolicy, Window, parse_budget
from content_sync.formats.envelope import Envelope
from content_sync.formats.policy import BEIJING
from content_sync.ports import Fetcher, Meter, Probe, Shelf, Swarm

_log = logging.getLogger(__name__)
FILE = "account.json"
#: Where we count ourselves: headers, acknowledgements and requests beside so many bytes of content.
_OVERHEAD = 14
#: What a small file costs beside its bytes: request, headers, packets.
_REQUEST = 900
#: Seconds over which the rate that comes is measured, and between two looks at slow facts.
_SPAN, _SLOWLY = 1.0, 5.0
#: Seconds without a byte from afar after which the line is not probed: a job that waits must cost nothing.
_QUIET = 10.0
#: The account is written at the latest after so many seconds, when it changed.
_SAVE = 600.0
#: A rate is told to the swarm when it differs by more than this share.
_STEP = 0.03
#: Why the rate is what it is, for people.
WORDS = {
    "open": ("不限速", "no limit"),
    "setting": ("按本机设置限速", "limited by this box's setting"),
    "rate": ("按县里规定限速", "limited by the county's rule"),
    "window": ("按时段限速", "limited at this time of the day"),
    "clock": ("时间还没对准，先按最慢的时段", "the time is not known yet: the most careful window holds"),
    "class": ("课表上正在上直播课，下载暂停", "a live class is on the timetable: stopped"),
    "streaming": ("班里正在放视频，给课堂让路", "a class is watching: giving way"),
    "day": ("按今天的流量限速", "paced by today's data allowance"),
    "month": ("按本月的流量限速", "paced by this month's data allowance"),
    "day-used": ("今天的流量用完了，明天继续", "today's data is used up: on again tomorrow"),
    "month-used": ("本月的流量用完了，下个月继续", "this month's data is used up: on again next month"),
    "disk": ("记不下流量，先不下载", "data used can't be written down: stopped"),
    "line": ("给线路上的其他人留出余地", "leaving room for others on the line"),
    "paused": ("有人让下载先停一停，到时自动继续", "somebody paused it: on again by itself"),
}


class Local(Struct, frozen=True):
    """What box.toml says itself: it goes before the county's policy. None: the county's holds."""

    rate: int | None = None
    windows: tuple[Window, ...] | None = None
    live: tuple[Window, ...] | None = None
    day: int | None = None
    month: int | None = None


class Senses(Struct, frozen=True):
    """What the throttle perceives. `known(now)` is the true time when it is known, `streaming(now)` whether a
    class streams, `paused()` whether a person stopped it. Without a probe it does not give way to others."""

    meter: Meter
    probe: Probe | None
    known: Callable[[float], Known | None]
    streaming: Callable[[float], bool]
    paused: Callable[[], bool] = lambda: False


class Throttle:
    """See the module. `shelf` keeps the account."""

    def __init__(
        self,
        swarm: Swarm | None,
        shelf: Shelf,
        senses: Senses,
        local: Local,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._swarm, self._shelf, self._senses, self._local = swarm, shelf, senses, local
        self._lock = lock or nullcontext()
        self._envelope: int | None = None
        self._county = BudgetPolicy()
        self._offset = BEIJING * 60
        self._signed: int | None = None
        self._fetching = self._begun = False
        self._came_at = float("-inf")  # when a byte came from afar last, or something began
        self._metered = False
        self._next_slow = float("-inf")
        self._asked = 0  # bytes of small files since the last step
        self._at: float | None = None
        self._afar = swarm.afar() if swarm else 0
        self._moved: deque[tuple[float, int]] = deque()
        self._told: tuple[int | None] | None = None
        self._saved_at, self._saved = 0.0, b""
        self._act: int | None = None  # what the swarm is told; `rate` is what the rules say while it rests
        self.rate: int | None = None
        self.reason = "open"
        #: Called when something begins to be fetched.
        self.began: Callable[[], None] = lambda: None
        self._known: Known | None = None
        self._make()
        self._account, self.damage = parse_account(shelf.get(FILE, MAX_ACCOUNT), self._policy)
        self._yielding = Yielding(self._account.line)

    def _make(self) -> None:
        local = self._local
        self._policy = replace(
            self._county,
            windows=self._county.windows if local.windows is None else local.windows,
            live=self._county.live if local.live is None else local.live,
            day=self._county.day if local.day is None else local.day,
            month=self._county.month if local.month is None else local.month,
        )
        self.budget = Budget(self._policy, self._offset)

    # What others tell

    def follow(self, envelope: Envelope | None, signed: int | None, fetching: bool) -> None:
        """From the engine's steps: the accepted envelope, the newest signed time that is not doubted, and
        whether anything is being fetched."""
        with self._lock:
            began = fetching and not self._fetching
            self._signed, self._fetching = signed, fetching
            if began:
                self._begun = True
                self.began()
            if envelope is None or envelope.version == self._envelope:
                return
            self._envelope = envelope.version
            try:
                self._county = parse_budget(envelope.policy.other)
            except FormatError as error:  # the rules that held go on
                _log.warning("budget of envelope %s: %s", envelope.version, error.line())
                return
            self._offset = envelope.policy.utc_offset * 60
            self._make()
            self._next_slow = float("-inf")

    def fetcher(self, fetcher: Fetcher) -> Fetcher:
        """A fetcher whose bytes are counted. It raises BudgetError when a quota is used to its end."""
        return _CountedFetcher(fetcher, self)

    def ask(self) -> None:
        """Before a small file is asked for. Raises BudgetError."""
        with self._lock:
            if self._account.spent_up(self._quotas()):
                raise BudgetError("the data of this day or month is used up")

    def asked(self, size: int) -> None:
        """A small file came."""
        with self._lock:
            self._asked += size + _REQUEST

    # Steps

    def step(self, now: float) -> None:
        """Count, decide, and tell the swarm."""
        with self._lock:
            passed = 0.0 if self._at is None else max(0.0, now - self._at)
            self._at = now
            if now >= self._next_slow:
                self._next_slow = now + _SLOWLY
                said = self._senses.meter.metered()
                self._metered = bool(self._county.metered if said is None else said)
                self._known = self._time(now)
            elif self._known is not None:
                self._known = Known(self._known.unix + passed, self._known.uncertainty)
            self._count(now)
            self._account.go(passed, self._signed, self._offset, self._policy.month_day)
            self.rate, self.reason = self._decide(now)
            self._tell()
            if now - self._saved_at > _SAVE:
                self._save(now)

    def _time(self, now: float) -> Known | None:
        known = self._senses.known(now)
        if known is not None and self._signed is not None and known.unix < self._signed - SLACK:
            return None  # the county signed something later
        return known

    def _count(self, now: float) -> None:
        afar = self._swarm.afar() if self._swarm else 0
        came, self._afar = max(0, afar - self._afar), afar
        if came or self._begun:
            self._came_at, self._begun = now, False
        reading = self._senses.meter.read()
        if reading is None:
            self._account.spend(came + came // _OVERHEAD + self._asked)
        else:
            self._account.spend(carried(self._account.reading, reading))
        self._account.reading, self._asked = reading or self._account.reading, 0
        self._moved.append((now, came))
        while self._moved[0][0] <= now - _SPAN:
            self._moved.popleft()

    def _quotas(self) -> BudgetPolicy:
        return self._policy if self._metered else replace(self._policy, day=None, month=None)

    def _decide(self, now: float) -> tuple[int | None, str]:
        allowed = self.budget.allowed(self._known)
        caps = [(allowed.rate, allowed.reason), (self._local.rate, "setting")]
        if self._senses.streaming(now):
            caps.append((self._policy.streaming, "streaming"))
        if self._senses.paused():
            caps.append((0, "paused"))
        if least(*(cap for cap, _ in caps)) != 0:
            caps.append(self._quota(now))
        rate = least(*(cap for cap, _ in caps))
        line = self._line(now, self._fetching and rate != 0 and now - self._came_at <= _QUIET)
        self._act = least(rate, line)
        if self._fetching and line is not None and (rate is None or line < rate):
            return line, "line"
        return rate, next((why for cap, why in caps if cap == rate and cap is not None), "open")

    def _quota(self, now: float) -> tuple[int | None, str]:
        policy = self._quotas()
        if self._account.book(policy) and not self._save(now):
            self._account.ahead = 0
            return 0, "disk"
        found = self._account.rate(policy)
        if found is None:
            return None, "open"
        return found[0], found[1] if found[0] else f"{found[1]}-used"

    def _line(self, now: float, on: bool) -> int | None:
        """The rate that leaves others their round trip; what a job that begins now may have, while none
        runs."""
        probe = self._senses.probe
        if probe is None:
            return None
        probe.want(on)
        samples = probe.samples()
        if on:
            self._yielding.step(now, samples, self.moving)
            self._account.line = self._yielding.line
        else:
            self._yielding.pause()
        return int(self._yielding.rate)

    @property
    def fetching(self) -> bool:
        """Whether there are jobs, so that `step` must be called some times a second."""
        return self._fetching

    @property
    def moving(self) -> float:
        """Bytes a second that came from afar lately."""
        return float(sum(came for _, came in self._moved)) / _SPAN

    def _tell(self) -> None:
        if self._swarm is None:
            return
        rate = self._act
        if self._told is not None:
            before = self._told[0]
            if before == rate or (before and rate and abs(rate - before) < _STEP * before):
                return
        self._told = (rate,)
        self._swarm.limit(rate)

    def _save(self, now: float) -> bool:
        self._saved_at = now
        data = self._account.dump()
        if data == self._saved:
            return True
        try:
            self._shelf.put(FILE, data)
        except LessonBoxError as error:
            _log.warning("%s", error.line())
            return False
        self._saved = data
        return True

    def close(self) -> None:
        """Write the account as it is: nothing that is booked will be used."""
        with self._lock:
            self._account.ahead = 0
            self._save(0.0)
            if self._senses.probe is not None:
                self._senses.probe.close()

    # What others ask

    @property
    def spent(self) -> Spent:
        """Bytes used of this day's and this month's quota."""
        return Spent(self._account.periods["day"].used, self._account.periods["month"].used)

    @property
    def metered(self) -> bool:
        """Whether quotas count."""
        return self._metered

    def between(self, t0: float, t1: float) -> int:
        """Bytes that rules and quotas let through between two true times, over the line as it is known."""
        with self._lock:
            line = self._account.line or 1 << 40
            line = line if self._local.rate is None else min(line, self._local.rate)
            return self.budget.allows(t0, t1, line, self._metered, self.spent)

    def status(self) -> dict[str, Any]:
        """For people, rounded so that it seldom changes: bytes, bytes a second, unix seconds."""
        with self._lock:
            self._count(self._at or 0.0)
            chinese, english = WORDS[self.reason]
            policy, spent = self._quotas(), self.spent
            change = self.budget.next_change(self._known.unix) if self._known else None
            return {
                "rate": None if self.rate is None else _rounded(self.rate),
                "reason": self.reason,
                "why": {"zh": chinese, "en": english},
                "metered": self._metered,
                "day": {"used": _rounded(spent.day), "most": policy.day},
                "month": {"used": _rounded(spent.month), "most": policy.month},
                "next": None if change is None else int(change),
                "next_local": None if change is None else clock_text(change, self._offset),
                "trip_ms": None if self._yielding.base is None else round(self._yielding.base * 1000),
            }


def _rounded(number: int) -> int:
    """Two digits that count."""
    unit = 10 ** max(0, len(str(number)) - 2)
    return int(number // unit * unit)


class _CountedFetcher:
    def __init__(self, fetcher: Fetcher, throttle: Throttle) -> None:
        self._fetcher, self._throttle = fetcher, throttle

    def get(self, url: str, cap: int) -> bytes:
        """See ports.Fetcher."""
        return self._count(lambda: self._fetcher.get(url, cap))

    def part(self, url: str, first: int, count: int) -> bytes:
        """See ports.Fetcher."""
        return self._count(lambda: self._fetcher.part(url, first, count))

    def _count(self, fetch: Callable[[], bytes]) -> bytes:
        self._throttle.ask()
        size = 0
        try:
            data = fetch()
            size = len(data)
            return data
        finally:
            self._throttle.asked(size)
