"""A term of a county and its boxes: outages, power cuts, wrong clocks, forgeries, a release a week. What
design.md promises is checked at every step. The seed is printed: PYTHONHASHSEED=0 SEED=n runs the term again;
BOXES=200 makes it as large as a county (docs/benchmarks.md).
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.sim.box import ROADS, SimBox
from tests.sim.county import SimCounty
from tests.unit.small_county import NOW

DAY = 86_400
WEEKS = 18
TERM = int(os.environ.get("BOXES", "20"))


def live(folder: Path, boxes: int, weeks: int, seed: int) -> tuple[SimCounty, list[SimBox]]:
    """The term of `boxes` boxes, to its last day, when the weather has cleared."""
    chance = random.Random(seed)
    names = [f"b-{number:016x}" for number in range(boxes)]
    county = SimCounty(folder / "county")
    county.open(names, chance)
    made = [
        SimBox(folder / name, county, name, ROADS[number % len(ROADS)], random.Random(f"{seed}{name}"))
        for number, name in enumerate(names)
    ]
    for day in range(weeks * 7):
        county.now = NOW + (day + 1) * DAY
        if day % 7 == 6:
            county.change(day // 7 + 1)
        for box in made:
            box.day()
    for box in made:
        box.clear_up()
    return county, made


@pytest.mark.parametrize(
    ("boxes", "weeks"), [(10, 4), pytest.param(TERM, WEEKS, marks=pytest.mark.slow)], ids=["month", "term"]
)
def test_a_term(memory_path: Path, boxes: int, weeks: int) -> None:
    seed = int(os.environ.get("SEED", "20261121"))
    begun = time.process_time()
    county, made = live(memory_path, boxes, weeks, seed)
    for box in made:
        assert box.shown() == set(county.lessons), f"{box.box} by {box.road}, seed {seed}"
        assert all(row.complete for row in box.state.lessons())
        assert set(box.store.whole) == box.state.referenced() and not box.store.arriving
        assert box.told() == box.played == len(county.sessions(box.box)), f"{box.box}, seed {seed}"
    cuts, boots = sum(box.faults for box in made), sum(box.boots for box in made)
    checks, played = sum(box.checks for box in made), sum(box.played for box in made)
    forged = sum(box.forged for box in made)
    rotten, streamed = sum(box.repaired for box in made), sum(box.streamed for box in made)
    dated, unchecked = map(sum, zip(*(box.check_dates() for box in made), strict=True))
    print(
        f"seed {seed}: {boxes} boxes, {weeks} weeks, {boots} starts, {cuts} power cuts, {forged} forgeries,"
        f" {rotten} rotten files found, {streamed} days with a class at work,"
        f" {checks} states checked, {played} classes told once ({dated} to the hour, {unchecked} by a clock"
        f" that nobody checked), {time.process_time() - begun:.0f} CPU seconds"
    )
    assert (
        cuts > boxes // 2
        and forged
        and rotten
        and streamed
        and played > boxes // 2
        and checks > boxes * weeks
    )
