"""A volume as an opened book: which lessons stand on which side, and which numbers on the ledge."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from appliance.web import shelves


def _volume(*units: int) -> Any:
    return [
        SimpleNamespace(unit=f"第{n}单元 主题{n}", unit_no=n)
        for n, count in enumerate(units, 1)
        for _ in range(count)
    ]


def _sides(*units: int) -> list[list[tuple[int, int, int]]]:
    """What stands on each side: unit, part, lessons."""
    _, spreads = shelves.spreads(_volume(*units))
    return [[(u.anchor, u.part, len(u.rows)) for u in side] for spread in spreads for side in spread]


def test_a_usual_volume_has_whole_units() -> None:
    assert _sides(4, 4, 10, 14) == [[(1, 0, 4), (2, 0, 4)], [(3, 0, 10)], [(4, 0, 14)]]
    assert _sides(3, 3) == [[(1, 0, 3)], [(2, 0, 3)]]
    assert _sides(8) == [[(1, 0, 8)]]


def test_a_big_unit_goes_on_at_the_next_side() -> None:
    assert _sides(14) == [[(1, 0, 7)], [(1, 1, 7)]]  # alone in its volume
    assert _sides(4, 25, 2) == [[(1, 0, 4)], [(2, 0, 8)], [(2, 1, 8)], [(2, 2, 9)], [(3, 0, 2)]]
    rows = _volume(500)
    units, spreads = shelves.spreads(rows)
    assert [len(unit.rows) for unit in units] == [500]
    assert len(spreads) == 25
    assert [row for spread in spreads for side in spread for unit in side for row in unit.rows] == rows


@pytest.mark.parametrize(
    ("count", "about", "first", "last"),
    [(8, 1, 1, 8), (14, 9, 1, 14), (15, 1, 1, 12), (15, 15, 4, 15), (50, 7, 1, 12), (50, 13, 9, 18),
     (50, 45, 39, 50), (50, 999, 39, 50), (50, -3, 1, 12)],
)  # fmt: skip
def test_numbers_on_the_ledge(count: int, about: int, first: int, last: int) -> None:
    shown = shelves.numbers(count, about)
    assert (shown[0], shown[-1]) == (first, last)
    left_out = 2 * (shown[0] > 1) + 2 * (shown[-1] < count)
    assert len(shown) + left_out <= 14
