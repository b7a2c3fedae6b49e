"""How a carousel is laid out: chunks, how many repair symbols each gets, which parcel carries which symbol
(formats.md 14). Pure.

A parcel is lost as a whole, and parcels are lost in bursts. So a chunk's symbols are spread evenly over as
many parcels as there are, and every parcel holds symbols of many chunks: a burst takes a little of each.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

from msgspec import Struct

#: Blocks of the largest chunk that a county makes: 4 MiB (a reader takes MAX_CHUNK of formats/parcel.py).
CHUNK = 256
#: Chunks that are spread over one stretch of the carousel: 2 GiB. More would delay the newest lessons.
WINDOW = 512
#: So many times the signed metadata, policy and acknowledgements are sent in one cycle.
CONTROL_TIMES = 8
#: A small carousel is cut into so many parcels all the same: a burst must not take most of it.
LEAST_PARCELS = 64
#: Cycles after which the same repair symbols come again.
ROUNDS = 8
_SPREAD = 2.0


def split(blocks: int, most: int = CHUNK) -> list[tuple[int, int]]:
    """(first block, number of blocks) of each chunk of a package: as few as possible, as equal as possible,
    so that none is much smaller and weaker than the others."""
    number = -(-blocks // most)
    edges = [blocks * at // number for at in range(number + 1)] if number else [0]
    return [(first, end - first) for first, end in zip(edges, edges[1:], strict=False)]


def repairs(counts: Sequence[int], overhead: float) -> list[int]:
    """Repair symbols for chunks of these sizes, `overhead` times their sum in all (a few more when there are
    very many small ones).

    What a chunk loses scatters by the square root of what it should lose, so small chunks get more.
    """
    if overhead <= 0 or not counts:
        return [0] * len(counts)
    sizes = {size: counts.count(size) for size in set(counts)}
    budget = overhead * sum(counts)
    low, high = 0.0, overhead
    for _ in range(40):
        share = (low + high) / 2
        asked = sum(times * _repair(size, share) for size, times in sizes.items())
        low, high = (share, high) if asked <= budget else (low, share)
    return [_repair(size, low) for size in counts]


def _repair(size: int, share: float) -> int:
    lost = size * share
    return max(1, round(lost + _SPREAD * math.sqrt(lost)))


def metadata_symbols(count: int, overhead: float) -> int:
    """Symbols sent of a pack of `count` that describes packages: enough to survive twice the loss that the
    content survives, and never fewer than three times a small one."""
    return count + max(math.ceil(count * 2 * overhead), 2 * min(count, 8))


def control_symbols(count: int, parcel: int, parcels: int) -> range:
    """Which symbols of the control pack's `count` a parcel carries, counted through the cycle: CONTROL_TIMES
    the pack in all, evenly; at most the whole pack in one parcel."""
    times = min(CONTROL_TIMES, parcels) * count
    return range(times * parcel // parcels, times * (parcel + 1) // parcels)


class Group(Struct, frozen=True):
    """Items that go through the same parcels, a symbol of each in every one (a few in a small carousel)."""

    items: tuple[int, ...]
    parcels: int


def groups(symbols: Sequence[int], room: int) -> list[Group]:
    """Items of so many symbols, put into groups for parcels that hold at most `room`.

    Items of a group are lost and saved together, so fewer things can fail than there are items.
    """
    order = sorted((item for item, number in enumerate(symbols) if number), key=lambda item: -symbols[item])
    number = -(-len(order) // room)
    made = []
    for at in range(number):
        items = tuple(order[len(order) * at // number : len(order) * (at + 1) // number])
        longest = symbols[items[0]]
        each = max(1, min(room // len(items), longest // LEAST_PARCELS))
        made.append(Group(items, -(-longest // each)))
    return made


def lay(symbols: Sequence[int], room: int) -> list[array[int]]:
    """For each item, the parcel of each of its symbols: as far apart as can be. Groups take turns, so that a
    burst of parcels is shared among all."""
    made = groups(symbols, room)
    order = sorted(
        ((at + 0.5) / group.parcels, number, at)
        for number, group in enumerate(made)
        for at in range(group.parcels)
    )
    names = [array("L", [0]) * group.parcels for group in made]
    for parcel, (_, number, at) in enumerate(order):
        names[number][at] = parcel
    places = [array("L") for _ in symbols]
    for number, group in enumerate(made):
        for item in group.items:
            many = symbols[item]
            places[item].extend(
                names[number][(2 * at + 1) * group.parcels // (2 * many)] for at in range(many)
            )
    return places
