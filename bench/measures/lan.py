"""What crosses the county's line to fill boxes of one LAN; blocks that come from three sources at once."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from bench.fetch import chosen, package
from bench.measures import Row
from content_sync.formats.hashtree import block_length
from tests.e2e import library
from tests.e2e.programs import ROOT, Box, County, wait_until
from tests.net.rig import THREE, Rig

_WHOLE, _QUICK = 12_000_000, 6_000_000


def _fill(work: Path, size: int) -> tuple[float, float]:
    """Three boxes, each with its own sync, and curl for each: bytes over the line to the content."""
    library.lesson_of_noise(work / "tree", 1, size)
    rig = Rig(rate=2e6, delay_ms=25, loss=0, boxes=THREE)
    boxes: list[Box] = []
    county = None
    try:
        county = County(work / "county", rig.place("county"))
        content = county.publish(work / "tree")["bytes"]
        county.serve()
        made, _ = package(county.data)
        for number, name in enumerate(THREE):
            enrolment = county.enrol(work / f"{name}.json", f"00{number}", name)
            boxes.append(Box(work / name, enrolment, rig.place(name)))
        before = rig.counts()["to_b"]["sent_bytes"]
        for box in boxes:
            box.start("sync")
        wait_until(lambda: all(box.complete(1) for box in boxes), "three boxes hold it", 300)
        ours = rig.counts()["to_b"]["sent_bytes"] - before
        for box in boxes:
            box.close()
        big = max(made.files, key=lambda entry: entry.file.length)
        url = f"{county.url}/seed/{made.infohash}/{quote(made.name)}/{quote(big.path)}"
        before = rig.counts()["to_b"]["sent_bytes"]
        command = [*rig.place("box1").prefix, "curl", "-s", "-o", "/dev/null", url]
        subprocess.run(command, check=True, timeout=300)
        theirs = 3 * (rig.counts()["to_b"]["sent_bytes"] - before)
    finally:
        for box in boxes:
            box.close()
        if county is not None:
            county.close()
        rig.close()
    return ours / content, theirs / content


def _three_sources(work: Path, size: int) -> tuple[float, float, float]:
    """A drop with 40% that comes in while the job runs, a neighbour with another 40%, the county: how much of
    the content came over the LAN, from afar, and all that was received to all that was missing."""
    library.lesson_of_noise(work / "tree", 1, size)
    rig = Rig(rate=10e6, delay_ms=25, loss=0)
    county = neighbour = None
    try:
        county = County(work / "county", rig.place("county"))
        county.publish(work / "tree")
        county.serve()
        made, _ = package(county.data)
        command = [sys.executable, "-m", "bench.fetch", str(county.data)]
        neighbour = subprocess.Popen(
            [*rig.place("box2").prefix, *command, str(work / "two"), "--serve", "--port", "40000",
             "--have", "0/5,1/5"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert neighbour.stdin is not None and neighbour.stdout is not None
        neighbour.stdout.readline()
        done = subprocess.run(
            [*rig.place("box1").prefix, *command, str(work / "one"), "--url", county.url, "--fill", "2/5,3/5",
             "--near", f"{rig.place('box2').address}:40000"],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        told = json.loads(done.stdout)
        lacking = made.size - sum(
            block_length(made.files[n].file.length, block) for n, block in chosen(made, "2/5,3/5")
        )
        neighbour.stdin.close()
        neighbour.wait(30)
    finally:
        if neighbour is not None and neighbour.poll() is None:
            neighbour.kill()
            neighbour.wait()
        if county is not None:
            county.close()
        rig.close()
    near, afar = told["received"] - told["afar"], told["afar"]
    return near / made.size, afar / made.size, (near + afar) / lacking


def measure(work: Path, quick: bool) -> list[Row]:
    """Two rows."""
    size, runs = (_QUICK, 2) if quick else (_WHOLE, 5)
    filled, sources = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(dir=work) as place:
            filled.append(_fill(Path(place), size))
        with tempfile.TemporaryDirectory(dir=work) as place:
            sources.append(_three_sources(Path(place), size))
        print(filled[-1], sources[-1], file=sys.stderr, flush=True)
    ours, theirs = (statistics.median(column) for column in zip(*filled, strict=True))
    near, afar, all_of_it = (statistics.median(column) for column in zip(*sources, strict=True))
    return [
        Row(
            f"county bytes to fill 3 boxes on one LAN behind 2 Mbit/s, {size / 1e6:.0f} MB, headers and"
            " metadata counted",
            f"3 x curl: {theirs:.2f} x the content",
            "≤ 1.1 x the content",
            f"{ours:.3f} x the content (most {max(run[0] for run in filled):.3f})",
        ),
        Row(
            "three sources with disjoint 40% (drop, neighbour) and the county",
            "-",
            "complete, no block fetched twice",
            f"complete; {near:.1%} from the neighbour, {afar:.1%} from the county:"
            f" {all_of_it:.3f} x what the drop lacks",
        ),
    ]
