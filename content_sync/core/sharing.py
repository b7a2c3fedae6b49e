"""Which neighbour fetches which piece from afar: rendezvous hashing, so that boxes on one LAN divide it.

Everybody who knows the same members comes to the same answer without a word, and when a member leaves, only
its pieces change hands (Thaler, Ravishankar, "Using name-based mappings to increase hit rates", 1998).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection


def owner(infohash: str, piece: int, members: Collection[str]) -> str:
    """The member whose turn this piece is. Raises ValueError without members."""
    return max(members, key=lambda member: hashlib.sha256(f"{infohash}\n{piece}\n{member}".encode()).digest())


def mine(infohash: str, pieces: int, me: str, others: Collection[str]) -> list[bool]:
    """For each of `pieces` pieces whether it is for `me` to fetch first; all are when there are no others."""
    members = {me, *others}
    return [owner(infohash, piece, members) == me for piece in range(pieces)]
