"""Another flow of the school on a line of 10 Mbit/s hardly feels that a box syncs."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from bench.measures.yielding import DELAY, RATE, echoes, feel, syncing
from tests.e2e import library
from tests.e2e.programs import County
from tests.net.rig import Rig


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.needs("ip")
def test_another_flow_keeps_its_round_trip(tmp_path: Path) -> None:
    """The line's queue holds 200 ms, and whoever does not give way fills it."""
    rig = Rig(RATE, DELAY, loss=0.0)
    county = County(tmp_path / "county", rig.place("county"))
    answering = None
    try:
        library.lesson_of_noise(tmp_path / "tree", 1, 60_000_000)
        county.publish(tmp_path / "tree")
        county.serve()
        answering = echoes(rig)
        base = statistics.median(feel(rig, 2).trips)
        with syncing(rig, tmp_path, county.enrol(tmp_path / "enrolment.json")):
            felt = feel(rig, 10)
        rises = [f"{felt.rise(base, share):.0f} ms" for share in (0.5, 0.95)]
        print(f"rise {' and '.join(rises)}, {felt.rate / 1e6:.2f} Mbit/s")
        assert felt.rise(base, 0.5) < 100
        assert felt.rate > 100_000
    finally:
        county.close()
        if answering is not None:
            answering.kill()
            answering.wait(30)
        rig.close()
