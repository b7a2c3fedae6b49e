"""kill -9 of any program at twenty random moments: nothing verified is fetched again, nothing wrong is served
and no use that was answered with 2xx is lost.

In namespaces, so that the bytes between county and box are counted by the line itself, which nobody kills.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e import library
from tests.e2e.programs import ROOT, Box, County, Program, wait_until
from tests.net.rig import Rig

SEED = 20261121
KILLS = 20
LESSONS, SIZE = 6, 5_000_000
PIECE = 65_536
# What a kill of sync or of the county's server may cost: what was under way and not yet on the disk.
UNDER_WAY = 12 * PIECE
# Headers, metadata of each start, acknowledgements of reports, on top of each byte of lessons.
OVERHEAD = 1.08


def sessions(county: County) -> Counter[tuple[str, ...]]:
    """(board, lesson, resource) of each session that the county has."""
    with closing(sqlite3.connect(f"file:{county.data / 'reports.db'}?mode=ro", uri=True)) as reports:
        return Counter(reports.execute("SELECT board, lesson, resource FROM session").fetchall())


def revive(programs: dict[str, Program]) -> None:
    """Start what does not run, as systemd would: a dying child of the one before may still hold the port."""
    for program in programs.values():
        if not program.running:
            program.start()


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.needs("ip")
def test_kill_any_program_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    tree = tmp_path / "tree"
    for number in range(1, LESSONS + 1):
        library.lesson_of_noise(tree, number, SIZE, files=2)
    rig = Rig(rate=16e6, delay_ms=5, loss=0)
    county = box = teacher = None
    try:
        county = County(tmp_path / "c", rig.place("county"))
        size = county.publish(tree)["bytes"]
        server = county.serve()
        box = Box(tmp_path / "b", county.enrol(tmp_path / "school.json"), rig.place("box1"))
        box.start("web", "sync", "agent")
        box.wait_ready()
        command = [
            *box.place.prefix,
            sys.executable,
            "-m",
            "tests.e2e.teacher",
            box.url,
            str(tree),
            str(SEED),
        ]
        teacher = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        programs: dict[str, Program] = {"county": server, **box.programs}
        killed: Counter[str] = Counter()
        names = [name for _ in range(KILLS // 4) for name in programs]
        chance.shuffle(names)
        for name in names:
            time.sleep(chance.uniform(0.2, 1.6))  # the random moment itself: nothing is waited for here
            programs[name].kill(alone=chance.random() < 0.5)
            killed[name] += 1
            revive(programs)
        wait_until(lambda: revive(programs) or box.complete(LESSONS), "all lessons are there", 240)
        assert all(program.running for program in programs.values())
        fetched = rig.counts()["to_b"]["sent_bytes"]
        told, _ = teacher.communicate(timeout=60)
        seen = json.loads(told)
        print(f"killed {dict(killed)}, library {size}, over the line {fetched}, {fetched / size:.3f} times")
        print(
            {name: value for name, value in seen.items() if name != "visits"}, len(seen["visits"]), "visits"
        )
        assert not seen["wrong"]
        assert seen["ranges"] > 50 and len(seen["visits"]) > 20 and seen["failed"] > 0
        allowed = size * OVERHEAD + (killed["sync"] + killed["county"]) * UNDER_WAY
        assert fetched <= allowed, f"{fetched} bytes for {size}: more than {allowed:.0f}"
        visits = {tuple(visit) for visit in seen["visits"]}
        wait_until(lambda: visits <= set(sessions(county)), "every answered visit is at the county", 240)
        assert all(sessions(county)[visit] == 1 for visit in visits)
        wait_until(
            lambda: box.status()["outbox"]["unacknowledged"] == 0, "the acknowledgement came down", 120
        )
    finally:
        if teacher is not None and teacher.poll() is None:
            teacher.kill()
        for side in (box, county):
            if side is not None:
                side.close()
                print(side.words())
        rig.close()
