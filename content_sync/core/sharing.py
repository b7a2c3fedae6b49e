"""Which neighbour fetches which piece from afar, so that boxes on one LAN divide a package between them and
each byte crosses their line once.

Rendezvous hashing: everybody who knows the same members comes to the same answer without a word, and when a
member leaves, only its pieces change hands (Thaler, Ravishankar, "Using name-based mappings to increase hit
rates", 1998). A box asks for the pieces first for which its own score is highest: while it does not know its
neighbours yet, these are the likeliest to be its own whoever they turn out to be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

#: A neighbour whose share does not move for so many seconds is passed over; more when a piece takes long
#: here.
SILENT_SECONDS = 12.0


def score(infohash: str, piece: int, member: str) -> int:
    """A member's bid for a piece; the highest wins it."""
    return int.from_bytes(hashlib.sha256(f"{infohash}\n{piece}\n{member}".encode()).digest()[:8], "big")


def owner(infohash: str, piece: int, members: Collection[str]) -> str:
    """The member whose turn this piece is. Raises ValueError without members."""
    return max(members, key=lambda member: (score(infohash, piece, member), member))


def mine(infohash: str, pieces: int, me: str, others: Collection[str]) -> list[bool]:
    """For each of `pieces` pieces whether it is for `me` to fetch first; all are when there are no others."""
    members = {me, *others}
    return [owner(infohash, piece, members) == me for piece in range(pieces)]


class _Other(Struct):
    moved: float  # when its share last moved
    ready: int = 0  # pieces of its share that it has and this box lacks
    silent: bool = False


class Turns:
    """The division of one package, followed as neighbours come, work, fall silent and go."""

    def __init__(self, infohash: str, pieces: int) -> None:
        self._infohash, self._pieces = infohash, pieces
        self._bids: dict[str, list[int]] = {}
        self._others: dict[str, _Other] = {}
        self._lacking: set[int] = set()

    def _bid(self, member: str) -> list[int]:
        if member not in self._bids:
            self._bids[member] = [score(self._infohash, piece, member) for piece in range(self._pieces)]
        return self._bids[member]

    def _owner(self, piece: int, members: Collection[str]) -> str:
        return max(members, key=lambda member: (self._bid(member)[piece], member))

    def look(
        self,
        now: float,
        me: str,
        lacking: Collection[int],
        asked: Collection[int],
        others: Mapping[str, Sequence[bool]],
        patience: float = SILENT_SECONDS,
    ) -> list[int]:
        """The pieces of `lacking` that fall to `me`, in the order to ask for them.

        `asked`: those that this box has asked for itself. `others`: which pieces each neighbour has that
        fetches the same package. One whose share has not moved for `patience` seconds is silent: its pieces
        fall to the next in rank, until it moves again.
        """
        for name in self._others.keys() - others.keys():
            del self._others[name]
        members = {me} | {name for name in others if not self._silent(name)}
        came = self._lacking.difference(lacking, asked)
        for name, has in others.items():
            known = self._others.setdefault(name, _Other(now))
            group = members | {name}
            share = [piece for piece in lacking if self._owner(piece, group) == name]
            ready = sum(has[piece] for piece in share)
            moved = ready > known.ready or any(self._owner(piece, group) == name for piece in came)
            if moved or len(share) == ready:
                known.moved, known.silent = now, False
            elif now - known.moved > patience:
                known.silent = True
            known.ready = ready
        self._lacking = set(lacking)
        members = {me} | {name for name in others if not self._silent(name)}
        bids = self._bid(me)
        own = [piece for piece in lacking if self._owner(piece, members) == me]
        return sorted(own, key=bids.__getitem__, reverse=True)

    def _silent(self, name: str) -> bool:
        return name in self._others and self._others[name].silent

    @property
    def silent(self) -> set[str]:
        """The neighbours that are passed over now."""
        return {name for name, other in self._others.items() if other.silent}

    def spare(self, me: str, lacking: Collection[int]) -> list[int]:
        """Pieces of slow neighbours for which `me` is the next in rank, first the one that its owner would
        ask for last: for a box whose own share is long done."""
        others = self._others.keys() - self.silent
        found = []
        for piece in lacking:
            ranked = sorted(others | {me}, key=lambda member: self._bid(member)[piece], reverse=True)
            if len(ranked) > 1 and ranked[1] == me:
                found.append((self._bid(ranked[0])[piece], piece))
        return [piece for _, piece in sorted(found)]
