"""What to fetch next, what to delete for it, and for every lesson why it is not here yet. Pure (design.md
6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from content_sync.core.calendar import Agenda, Need
from content_sync.core.reason import Reason, megabytes
from content_sync.core.retention import Held, choose, may_take

_ARRIVING = Reason("arriving")
_EVICTED = Reason("evicted")


class Want(NamedTuple):
    """A lesson that lacks something. Wants are given in teaching order.

    `lacking`: bytes still to be written, at most; `roots`: the files that lack, None while the package's
    description is not here; `blocked`: why it can't be had whatever the plan; `week`: of the teaching
    calendar; `evicted`: it was here and made room.
    """

    lesson: str
    infohash: str
    title: str
    lacking: int
    roots: frozenset[str] | None
    blocked: Reason | None = None
    volume: str = ""
    week: int | None = None
    evicted: bool = False


class Decision(NamedTuple):
    """What happens with one lesson now, and why. `waits`: nothing but its turn is in its way."""

    lesson: str
    infohash: str
    fetch: bool
    reason: Reason
    need: Need
    waits: bool
    lacking: int


class Plan(Struct, frozen=True):
    """Decisions, the most urgent lesson first; `short` is how many bytes of space the first lesson that
    does not fit lacks (0: all fit); `evict` is to be deleted now, and then the plan made again."""

    decisions: tuple[Decision, ...]
    short: int
    evict: tuple[Held, ...] = ()

    @property
    def fetching(self) -> tuple[str, ...]:
        """Infohashes to fetch now."""
        return tuple(decision.infohash for decision in self.decisions if decision.fetch)


def make(
    wants: Sequence[Want],
    running: frozenset[str],
    limit: int,
    space: int,
    agenda: Agenda | None = None,
    held: Sequence[Held] = (),
    flowing: frozenset[str] = frozenset(),
    margin: int = 0,
) -> Plan:
    """Choose up to `limit` lessons to fetch at once, the most urgent first.

    `running` are the infohashes being fetched already: they go on (their space is already taken) unless a
    lesson of a more urgent need takes their place; `flowing` are those of them whose bytes come at all:
    while one with a deadline is among them, the line is left to lessons with deadlines. `space` is what may
    still be written, the reserve left aside; `margin`: what must stay free beside it before a lesson that
    was evicted is fetched again without need. A lesson that needs a file which another one brings waits for
    it, so that nothing is fetched twice. A lesson that does not fit is passed over: a smaller one behind it
    may fit; `held` may go for it (retention.py).
    """
    agenda = agenda or Agenda()
    ranked = []
    for place, want in enumerate(wants):
        need, first, second = agenda.need(want.lesson, want.volume, want.week)
        # Within a need what is begun is finished first.
        ranked.append((need, want.infohash not in running, first, second, place))
    ranked.sort()
    urgent = ""
    if ranked and ranked[0][0] is Need.DEADLINE and flowing:
        titles = (
            wants[e[4]].title for e in ranked if e[0] is Need.DEADLINE and wants[e[4]].infohash in flowing
        )
        urgent = next(titles, "")
    decisions: list[Decision] = []
    coming: dict[str, str] = {}
    slots, short = limit, 0
    evict: tuple[Held, ...] = ()
    room = {need: sum(one.frees for one in held if may_take(one.rule, need)) for need in Need} if held else {}
    for ahead, (need, fresh, _, _, place) in enumerate(ranked):
        want, fetch, waits = wants[place], False, True
        roots = want.roots or frozenset()
        missing = want.lacking - space if fresh and want.lacking else 0
        if want.blocked is not None:
            waits, reason = False, want.blocked
        elif roots and not coming.keys().isdisjoint(roots):
            reason = Reason("shared", (("title", coming[min(coming.keys() & roots)]),))
        elif missing > 0 and slots > 0 and not evict and missing <= room.get(need, 0):
            evict = choose(held, missing, need)
            reason = Reason("room", (("need", megabytes(missing)),))
        elif missing > 0:
            waits, short = False, short or missing
            facts = (("need", megabytes(want.lacking)), ("free", max(0, space) // 1_000_000))
            reason = Reason("space", facts)
        elif want.evicted and fresh and need >= Need.TERM and missing > -margin:
            waits, reason = False, _EVICTED
        elif urgent and need is not Need.DEADLINE:
            reason = Reason("urgent", (("title", urgent),))
        elif slots <= 0:
            reason = Reason("queued", (("ahead", ahead),))
        else:
            fetch, reason = True, _ARRIVING
            slots -= 1
            if fresh:
                space -= want.lacking
            coming.update(dict.fromkeys(roots, want.title))
        decisions.append(Decision(want.lesson, want.infohash, fetch, reason, need, waits, want.lacking))
    return Plan(tuple(decisions), short, evict)
