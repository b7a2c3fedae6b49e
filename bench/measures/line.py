"""Goodput on a long thin line (10 Mbit/s, 300 ms, 1% lost each way, BBR sender) beside aria2, curl, rsync."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from bench.fetch import package
from bench.measures import Row
from tests.e2e import library
from tests.e2e.programs import ROOT, County, free_port
from tests.net.rig import COUNTY, Rig

RATE = 10e6
_WHOLE, _QUICK = 12_000_000, 6_000_000


def _run(rig: Rig, *command: str) -> str:
    done = subprocess.run(
        [*rig.place("box1").prefix, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.returncode} {done.stderr[-400:]}")
    return done.stdout


def _block_bittorrent(rig: Rig, port: int, blocked: bool) -> None:
    rules = "flush ruleset\n"
    if blocked:
        rules += "add table inet firewall\n"
        rules += "add chain inet firewall out { type filter hook output priority 0; }\n"
        rules += f"add rule inet firewall out tcp dport {port} drop\n"
        rules += "add rule inet firewall out udp dport 6771 drop\n"
    command = [*rig.place("box1").prefix, "nft", "-f", "-"]
    subprocess.run(command, input=rules, text=True, check=True, timeout=30)


def measure(work: Path, quick: bool) -> list[Row]:
    """Three rows: beside aria2 -x16 (as it is, and with BitTorrent blocked), and the others."""
    library.lesson_of_noise(work / "tree", 1, _QUICK if quick else _WHOLE)
    rig = Rig(rate=RATE, delay_ms=150, loss=0.01)
    county = daemon = None
    try:
        county = County(work / "county", rig.place("county"))
        county.publish(work / "tree")
        county.serve()
        made, _ = package(county.data)
        big = max(made.files, key=lambda entry: entry.file.length)
        url = f"{county.url}/seed/{made.infohash}/{quote(made.name)}/{quote(big.path)}"
        port = free_port()
        config = work / "rsyncd.conf"
        objects = county.data / "objects" / big.file.root[:2]
        config.write_text(f"use chroot = no\n[objects]\npath = {objects}\nread only = yes\n")
        daemon = subprocess.Popen(
            [*rig.place("county").prefix, "rsync", "--daemon", "--no-detach", f"--port={port}",
             f"--config={config}", f"--address={COUNTY}"]
        )  # fmt: skip
        seeder = int(next(
            line.split("=")[1]
            for line in (county.data / "county.toml").read_text("utf-8").splitlines()
            if line.startswith("seeder_port")
        ))  # fmt: skip
        out = work / "out"

        def ours() -> float:
            command = [sys.executable, "-m", "bench.fetch", str(county.data), str(out), "--url", county.url]
            return float(json.loads(_run(rig, *command))["seconds"])

        def timed(*command: str) -> Callable[[], float]:
            def run() -> float:
                began = time.monotonic()
                _run(rig, *command)
                return time.monotonic() - began

            return run

        aria = ("aria2c", "-q", "-x16", "-s16", "-k1M", "--file-allocation=none", "-d", str(out), url)
        clients: dict[str, Callable[[], float]] = {
            "Lesson Box": ours,
            "aria2 -x16": timed(*aria),
            "Lesson Box, BitTorrent blocked": ours,
            "curl": timed("curl", "-s", "-o", str(out / "x"), url),
            "rsync": timed("rsync", f"rsync://{COUNTY}:{port}/objects/{big.file.root}", str(out / "x")),
        }
        shares: dict[str, list[float]] = {name: [] for name in clients}
        wires: dict[str, list[float]] = {name: [] for name in clients}
        for _ in range(3 if quick else 5):
            for name, client in clients.items():
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                _block_bittorrent(rig, seeder, "blocked" in name)
                before = rig.counts()["to_b"]["sent_bytes"]
                seconds = client()
                wire = rig.counts()["to_b"]["sent_bytes"] - before
                shares[name].append(big.file.length * 8 / seconds / RATE)
                wires[name].append(wire / big.file.length)
                print(
                    f"{name}: {seconds:.1f} s, wire {wire / big.file.length:.3f}", file=sys.stderr, flush=True
                )
    finally:
        if daemon is not None:
            daemon.terminate()
            daemon.wait(20)
        if county is not None:
            county.close()
        rig.close()

    def ratio(name: str) -> float:
        pairs = zip(shares[name], shares["aria2 -x16"], strict=True)
        return statistics.median(mine / other for mine, other in pairs)

    def share(name: str) -> str:
        wire = statistics.median(wires[name])
        return f"{statistics.median(shares[name]):.0%} of the line (wire/payload {wire:.3f})"

    what = f"goodput on 10 Mbit/s, 300 ms, 1% loss, BBR sender, {big.file.length / 1e6:.0f} MB"
    return [
        Row(
            what,
            f"aria2 -x16: {share('aria2 -x16')}",
            "≥ 0.97 x, wire/payload ≤ 1.12",
            f"{ratio('Lesson Box'):.2f} x, {share('Lesson Box')}",
        ),
        Row(
            "the same with BitTorrent blocked",
            "aria2 -x16",
            "≥ 0.9 x",
            f"{ratio('Lesson Box, BitTorrent blocked'):.2f} x, {share('Lesson Box, BitTorrent blocked')}",
        ),
        Row(
            what,
            f"curl: {share('curl')}; rsync: {share('rsync')}",
            "-",
            f"{ratio('Lesson Box') / ratio('curl'):.2f} x curl,"
            f" {ratio('Lesson Box') / ratio('rsync'):.2f} x rsync",
        ),
    ]
