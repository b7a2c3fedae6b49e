"""Repair of 5% bad blocks in a large video: what our block map moves, beside libtorrent's recheck."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from bench.fetch import chosen, package
from bench.measures import Row
from content_sync.formats.hashtree import block_length
from tests.e2e import library
from tests.e2e.programs import ROOT, County
from tests.net.rig import Rig

_WHOLE, _QUICK = 96_000_000, 24_000_000
_SHARE = 0.05
_PEER = """
import json, sys, time
import libtorrent as lt
county, folder, url = sys.argv[1:]
from pathlib import Path
from bench.fetch import chosen, package, write
made, _ = package(Path(county))
folder = Path(folder); folder.mkdir(parents=True)
for entry in made.files:
    (folder / entry.file.root).touch()
    with (folder / entry.file.root).open("r+b") as stream: stream.truncate(entry.file.length)
write(Path(county), made, folder, chosen(made, sys.stdin.read()))
params = lt.add_torrent_params()
params.ti = lt.torrent_info(lt.bdecode(made.data))
layout = params.ti.layout()
real = [i for i in range(layout.num_files()) if not layout.file_flags(i) & lt.file_flags_t.flag_pad_file]
params.renamed_files = {i: str((folder / e.file.root).absolute()) for i, e in zip(real, made.files)}
params.save_path = str(folder)
params.trackers = [url + "/announce"]
session = lt.session({"listen_interfaces": "0.0.0.0:0", "enable_dht": False, "enable_lsd": False})
params.flags &= ~lt.torrent_flags.auto_managed & ~lt.torrent_flags.paused
handle = session.add_torrent(params)
handle.force_recheck()
while handle.status().state in (lt.torrent_status.checking_files, lt.torrent_status.checking_resume_data):
    time.sleep(0.05)
handle.force_reannounce()
while not handle.status().is_seeding:
    time.sleep(0.1)
print(json.dumps({"received": handle.status().total_payload_download}))
"""


def measure(work: Path, quick: bool) -> list[Row]:
    """One row."""
    library.lesson_of_noise(work / "tree", 1, _QUICK if quick else _WHOLE)
    rig = Rig(rate=0, delay_ms=2, loss=0)
    county = None
    ours, theirs, wires = [], [], []
    try:
        county = County(work / "county", rig.place("county"))
        county.publish(work / "tree")
        county.serve()
        made, _ = package(county.data)
        prefix = rig.place("box1").prefix
        for run in range(1 if quick else 5):
            spec, out = f"{1 - _SHARE}:{run}", work / "out"
            good = chosen(made, spec)
            bad = made.size - sum(block_length(made.files[n].file.length, block) for n, block in good)
            command = [sys.executable, "-m", "bench.fetch", str(county.data), str(out), "--url", county.url]
            before = rig.counts()["to_b"]["sent_bytes"]
            done = subprocess.run(
                [*prefix, *command, "--have", spec],
                cwd=ROOT, capture_output=True, text=True, timeout=300, check=True,
            )  # fmt: skip
            wires.append((rig.counts()["to_b"]["sent_bytes"] - before) / bad)
            ours.append(json.loads(done.stdout)["received"] / bad)
            shutil.rmtree(out)
            done = subprocess.run(
                [*prefix, sys.executable, "-c", _PEER, str(county.data), str(out), county.url],
                cwd=ROOT, input=spec, capture_output=True, text=True, timeout=300, check=True,
            )  # fmt: skip
            theirs.append(json.loads(done.stdout)["received"] / bad)
            shutil.rmtree(out)
            print(ours[-1], wires[-1], theirs[-1], file=sys.stderr, flush=True)
    finally:
        if county is not None:
            county.close()
        rig.close()
    return [
        Row(
            f"repair of 5% bad blocks in a video of {made.size / 1e6:.0f} MB,"
            f" {made.piece_length >> 10} KiB pieces",
            f"libtorrent recheck: {statistics.median(theirs):.2f} x the bad bytes",
            "≤ 1.1 x the bad bytes",
            f"{statistics.median(ours):.3f} x (with headers on the wire {statistics.median(wires):.3f} x)",
        )
    ]
