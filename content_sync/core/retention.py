"""What may be deleted to make room, in which order, and for whom. Pure.

Never: lessons of this term (with the term unknown every subscribed lesson), pinned ones, ones that somebody
waits for. Local uploads and reports are no packages and never come here. The term is told by the county's
signed policy, not by the clock: a wrong clock evicts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from msgspec import Struct

from content_sync.core.calendar import Agenda, Need


class Rule(IntEnum):
    """Why something may go; in this order it goes."""

    WITHDRAWN = 0
    OLDER = 1
    UNSUBSCRIBED = 2
    PAST_TERM = 3
    KEPT = 9


class Held(Struct, frozen=True):
    """A lesson on the disk, or (lesson '') everything that no lesson of the release needs.

    `frees`: bytes that come back when it goes, of files that no other lesson needs; `came`: when it became
    visible (unix seconds by any clock: it only orders).
    """

    lesson: str
    title: str
    frees: int
    rule: Rule
    came: int = 0


def rule_of(
    agenda: Agenda,
    lesson: str,
    volume: str,
    week: int | None,
    *,
    subscribed: bool = True,
    current: bool = True,
    pinned: bool = False,
) -> Rule:
    """By which rule a visible lesson may go. `current`: it is the version that the release names."""
    need = agenda.need(lesson, volume, week)[0]
    if pinned or need < Need.TERM:
        return Rule.KEPT
    if not subscribed:
        return Rule.UNSUBSCRIBED
    if agenda.term is None or agenda.in_term(volume):
        return Rule.KEPT
    return Rule.PAST_TERM if current else Rule.OLDER


def may_take(rule: Rule, need: Need) -> bool:
    """Whether what falls under `rule` may go for a lesson of this need. What would be fetched again
    (subscribed lessons) goes only for what is needed earlier, so that nothing comes and goes in turns."""
    if rule in (Rule.WITHDRAWN, Rule.UNSUBSCRIBED):
        return True
    return rule in (Rule.OLDER, Rule.PAST_TERM) and need <= Need.TERM


def choose(held: Sequence[Held], missing: int, need: Need) -> tuple[Held, ...]:
    """What to delete so that `missing` bytes come free: by rule, what came first first, no more than
    it takes. Nothing when even all of it would not do."""
    candidates = sorted(
        (one for one in held if one.frees > 0 and may_take(one.rule, need)),
        key=lambda one: (one.rule, one.came, -one.frees, one.lesson),
    )
    if sum(one.frees for one in candidates) < missing:
        return ()
    taken: list[Held] = []
    freed = 0
    for one in candidates:
        if freed >= missing:
            break
        taken.append(one)
        freed += one.frees
    for one in list(reversed(taken))[1:]:  # the last is needed; an earlier one may not be any more
        if freed - one.frees >= missing and one.rule is taken[-1].rule:
            taken.remove(one)
            freed -= one.frees
    return tuple(taken)
