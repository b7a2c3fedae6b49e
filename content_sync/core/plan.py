"""What to fetch next, and for every lesson why it is not here yet. Pure (design.md 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Want:
    """A lesson that lacks something. Wants are given in teaching order.

    `lacking`: bytes still to come, at most; `roots`: the files that lack, None while the package's
    description is not here; `blocked`: why it can't be had whatever the plan (a sentence), or ''.
    """

    lesson: str
    infohash: str
    title: str
    lacking: int
    roots: frozenset[str] | None
    blocked: str = ""


@dataclass(frozen=True)
class Decision:
    """What happens with one lesson now, and the sentence that says why."""

    lesson: str
    infohash: str
    fetch: bool
    reason: str


@dataclass(frozen=True)
class Plan:
    """Decisions in the order of the wants; `short` is how many bytes of space the first lesson that
    does not fit lacks (0: all fit)."""

    decisions: tuple[Decision, ...]
    short: int

    @property
    def fetching(self) -> tuple[str, ...]:
        """Infohashes to fetch now."""
        return tuple(decision.infohash for decision in self.decisions if decision.fetch)


def make(wants: Sequence[Want], running: frozenset[str], limit: int, space: int) -> Plan:
    """Choose up to `limit` lessons to fetch at once.

    `running` are the infohashes being fetched already: they go on, their space is already taken. `space` is
    what may still be written, the reserve left aside. A lesson that needs a file which a running one brings
    waits for it, so that nothing is fetched twice. A lesson that does not fit is passed over: a smaller one
    behind it may fit.
    """
    slots = limit - sum(want.infohash in running for want in wants)
    coming = {root: want.title for want in wants if want.infohash in running for root in want.roots or ()}
    decisions: list[Decision] = []
    short = 0
    for ahead, want in enumerate(wants):
        fetch = False
        sharer = next((coming[root] for root in sorted(want.roots or ()) if root in coming), None)
        if want.blocked:
            reason = want.blocked
        elif want.infohash in running:
            fetch, reason = True, "正在接收"
        elif sharer is not None:
            reason = f"与《{sharer}》共用文件，等它先到齐"
        elif want.lacking > space:
            short = short or want.lacking - space
            reason = f"空间不足：还需 {_megabytes(want.lacking)} MB，可用 {_megabytes(space)} MB"
        elif slots <= 0:
            reason = f"排队中，前面还有 {ahead} 课"
        else:
            fetch, reason = True, "正在接收"
            slots -= 1
            space -= want.lacking
            coming.update(dict.fromkeys(want.roots or (), want.title))
        decisions.append(Decision(want.lesson, want.infohash, fetch, reason))
    return Plan(tuple(decisions), short)


def _megabytes(number: int) -> int:
    return max(0, -(-number // 1_000_000))
