"""When a session was: raw clock facts to `start`, `uncertainty`, `clock` (formats.md 7, docs/usage.md). Pure.

A boot is anchored when the true time is known at one of its moments; every other moment of it follows by the
monotonic clock. Seconds, unix and since boot; nothing is ever dated later than the present is known to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from content_sync.core.timefloor import DOUBT, SLACK, TimeFloor

NTP = 16  # the kernel calls a clock synchronised while its error is at most 16 s
COUNTY = 5  # HTTP's Date has whole seconds; the agent adds the time its question took
SYSTEM = 86_400  # a clock nobody checked: without a battery it wakes at its last shutdown
DRIFT = 10_000  # one second in so many that a free-running clock may be wrong
PATIENCE = 900  # how long a clock nobody checked waits for an anchor in its boot
_BEST = ("ntp", "county", "system")
HELD_BOOTS = 30  # after so many later boots without an anchor, none will come
EARLIEST = 1_735_689_600  # 2025-01-01: this program did not exist before


class Anchor(Struct, frozen=True):
    """In `boot`, at `mono` seconds, it was `unix`, within `uncertainty` seconds.

    `source`: ntp or county; or system, a clock nobody checked, which counts only where nothing better is.
    """

    boot: str
    mono: int
    unix: int
    uncertainty: int
    source: str


class Boot(Struct, frozen=True):
    """A boot in its place in time. `floor`: signed time accepted before it began, 0 when unknown."""

    id: str
    floor: int


class Dated(Struct, frozen=True):
    """`start` in unix seconds, ± `uncertainty`; `clock` as in formats.md 7."""

    start: int
    uncertainty: int
    clock: str


def believable(wall: int, floor: TimeFloor, source: str) -> bool:
    """Whether a time can be true: not before what the county signed; without NTP not far past it either.

    A doubted time of the county is not used at all.
    """
    if wall < EARLIEST or floor.contradicts(wall):
        return False
    return source == "ntp" or floor.floor is None or wall <= floor.floor + DOUBT


class Calendar:
    """What is known of this box's boots, oldest first; the last is the present one."""

    def __init__(self, boots: Sequence[Boot], anchors: Iterable[Anchor], floor: TimeFloor) -> None:
        self._order = {boot.id: number for number, boot in enumerate(boots)}
        self._boots, self._floor = boots, floor
        found: dict[tuple[str, str], list[Anchor]] = {}
        for anchor in anchors:
            if believable(anchor.unix, floor, anchor.source):
                found.setdefault((anchor.boot, anchor.source), []).append(anchor)
        self._anchors: dict[str, list[Anchor]] = {}  # best source only
        for boot in boots:
            best = next((mine for source in _BEST if (mine := found.get((boot.id, source)))), [])
            self._anchors[boot.id] = _rising(sorted(best, key=lambda anchor: anchor.mono))

    def anchored(self, boot: str) -> bool:
        """Whether the true time of this boot is known, from NTP or the county."""
        anchors = self._anchors.get(boot)
        return anchors is not None and len(anchors) > 0 and anchors[0].source != "system"

    def at(self, boot: str, mono: int) -> Dated | None:
        """The best estimate for a moment of a boot; None when nothing is known."""
        anchors = self._anchors.get(boot)
        if not anchors:
            return None
        after = next((anchor for anchor in anchors if anchor.mono >= mono), None)
        before = next((anchor for anchor in reversed(anchors) if anchor.mono <= mono), None)
        near = min((a for a in (before, after) if a is not None), key=lambda a: abs(a.mono - mono))
        unix = near.unix + mono - near.mono
        if before is not None and after is not None and after.mono > before.mono:
            span = after.unix - before.unix
            unix = before.unix + span * (mono - before.mono) // (after.mono - before.mono)
        drift = -(-abs(mono - near.mono) // DRIFT)
        return Dated(unix, near.uncertainty + drift, near.source)

    def date(self, boot: str, mono: int, now: int) -> Dated | None:
        """When the moment was; None while it is better to wait. `now`: seconds of the present boot."""
        number = self._order[boot]
        present = number == len(self._boots) - 1
        latest = self._latest(number, now)
        known = self.at(boot, mono)
        if known is not None:
            if known.clock == "system" and present and now - mono < PATIENCE:
                return None
            return _not_after(known, latest)
        if present:
            return None
        least = self._least(number)
        if latest is not None:
            # Where neighbours contradict each other the greatest time that can be true is all we know.
            return Dated(min(least, latest), max(0, latest - least), "none")
        if len(self._boots) - 1 - number > HELD_BOOTS:
            return Dated(least, DOUBT, "none")
        return None

    def _latest(self, number: int, now: int) -> int | None:
        """The earliest time known after this boot (in the present one: now); None when none is known."""
        if number == len(self._boots) - 1:
            known = self.at(self._boots[number].id, now)
            return None if known is None else known.start
        for boot in self._boots[number + 1 :]:
            if self.anchored(boot.id) and (began := self.at(boot.id, 0)):
                return began.start + began.uncertainty
        return None

    def _least(self, number: int) -> int:
        """The latest time known before this boot: a signed one, or the last anchor of an earlier boot."""
        least = max(self._boots[number].floor, EARLIEST)
        if self._floor.floor is not None and self._boots[number].floor > self._floor.floor + SLACK:
            least = EARLIEST  # the county took that time back
        for boot in reversed(self._boots[:number]):
            if self.anchored(boot.id):
                last = self._anchors[boot.id][-1]
                return max(least, last.unix - last.uncertainty)
        return least


def _rising(anchors: list[Anchor]) -> list[Anchor]:
    """The anchors, from the last one back, whose times rise with the monotonic clock."""
    kept: list[Anchor] = []
    for anchor in reversed(anchors):
        if not kept or (anchor.mono < kept[-1].mono and anchor.unix <= kept[-1].unix):
            kept.append(anchor)
    return kept[::-1]


def _not_after(dated: Dated, latest: int | None) -> Dated:
    if latest is None or dated.start <= latest:
        return dated
    return Dated(latest, max(dated.uncertainty, dated.start - latest), dated.clock)
