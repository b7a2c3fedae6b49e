"""Another flow's round trip on a line of 10 Mbit/s while a box syncs, beside aria2 -x16 on the same file.

Namespaces on one school's LAN behind the line (tests/net/rig.py: 50 ms there and back, a queue of 200 ms):
box1 fetches, box2 asks the county for an echo ten times a second. Needs root, nginx and aria2c.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measures import Row
from tests.e2e import library
from tests.e2e.programs import Box, County, wait_until
from tests.net.rig import COUNTY, Rig

RATE, DELAY = 10e6, 25.0
_PORT = 8099
_ECHO = f"""
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.bind(("{COUNTY}", 7)); print("ready", flush=True)
while True:
    data, place = one.recvfrom(2048); one.sendto(data, place)
"""
#: Ten echoes a second of 172 bytes, as a voice call; one that does not come back counts as the longest.
_ASK = f"""
import json, socket, sys, threading, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.settimeout(1)
seconds, sent, trips = float(sys.argv[1]), {{}}, {{}}
def take():
    while True:
        try: number = int.from_bytes(one.recvfrom(2048)[0][:4], "big")
        except TimeoutError: continue
        trips.setdefault(number, time.monotonic() - sent[number])
threading.Thread(target=take, daemon=True).start()
begun = time.monotonic()
for number in range(int(seconds * 10)):
    time.sleep(max(0, begun + number / 10 - time.monotonic()))
    sent[number] = time.monotonic()
    one.sendto(number.to_bytes(4, "big") + bytes(168), ("{COUNTY}", 7))
time.sleep(1)
found = list(trips.values())
print(json.dumps(found + [max(found)] * (len(sent) - len(found))))
"""


@dataclass(frozen=True)
class Felt:
    """Round trips of the other flow in seconds, and megabits a second that the fetcher took of the line."""

    trips: list[float]
    rate: float

    def rise(self, base: float, share: float) -> float:
        """ms over `base` that this share of the round trips stays below."""
        return 1000 * (sorted(self.trips)[int(share * (len(self.trips) - 1))] - base)


def echoes(rig: Rig) -> subprocess.Popen[bytes]:
    """The county's end of the other flow."""
    command = [*rig.place("county").prefix, sys.executable, "-c", _ECHO]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    return process


def feel(rig: Rig, seconds: float) -> Felt:
    """What box2's flow feels for so long."""
    before, begun = rig.counts()["to_b"]["sent_bytes"], time.monotonic()
    command = [*rig.place("box2").prefix, sys.executable, "-c", _ASK, str(seconds)]
    said = subprocess.run(command, check=True, capture_output=True, timeout=seconds + 60).stdout
    rate = (rig.counts()["to_b"]["sent_bytes"] - before) * 8 / (time.monotonic() - begun)
    return Felt(json.loads(said), rate)


@contextmanager
def syncing(rig: Rig, work: Path, enrolment: Path) -> Iterator[None]:
    """A new box that fetches; begun when its first bytes have come."""
    box = Box(work / "box", enrolment, rig.place("box1"))
    try:
        before = rig.counts()["to_b"]["sent_bytes"]
        box.start("sync")
        wait_until(lambda: rig.counts()["to_b"]["sent_bytes"] - before > 300_000, "the box fetches", 120)
        yield
    finally:
        box.close()
        shutil.rmtree(work / "box")


@contextmanager
def _aria2(rig: Rig, work: Path, name: str) -> Iterator[None]:
    out = work / "aria2"
    command = [*rig.place("box1").prefix, "aria2c", "-q", "-x16", "-s16", "-k1M", "--file-allocation=none"]
    command += ["-d", str(out), f"http://{COUNTY}:{_PORT}/{name}"]
    before = rig.counts()["to_b"]["sent_bytes"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: rig.counts()["to_b"]["sent_bytes"] - before > 300_000, "aria2 fetches", 60)
        yield
    finally:
        process.kill()
        process.wait(30)
        shutil.rmtree(out, ignore_errors=True)


def _nginx(rig: Rig, work: Path, folder: Path) -> subprocess.Popen[bytes]:
    (work / "nginx").mkdir()
    (work / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {work}/nginx/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; sendfile on; client_body_temp_path {work}/nginx;"
        f" proxy_temp_path {work}/nginx; fastcgi_temp_path {work}/nginx; uwsgi_temp_path {work}/nginx;"
        f" scgi_temp_path {work}/nginx; server {{ listen {COUNTY}:{_PORT}; root {folder}; }} }}\n"
    )
    options = ["-p", str(work), "-c", str(work / "nginx.conf"), "-g", "user root;"]
    return subprocess.Popen([*rig.place("county").prefix, "nginx", *options])


def measure(work: Path, quick: bool) -> list[Row]:
    """Five times (twice when quick), in turn: nobody fetches, the box, aria2."""
    turns, seconds = (2, 15.0) if quick else (5, 30.0)
    rig = Rig(RATE, DELAY, loss=0.0)
    county, ended = County(work / "county", rig.place("county")), []
    found: dict[str, list[Felt]] = {"ours": [], "aria2": []}
    rises: dict[tuple[str, float], list[float]] = {}
    try:
        files = library.lesson_of_noise(work / "tree", 1, 120_000_000)
        county.publish(work / "tree")
        county.serve()
        (work / "web").mkdir()
        files[0].rename(work / "web" / "file.bin")
        ended.append(_nginx(rig, work, work / "web"))
        enrolment = county.enrol(work / "enrolment.json")
        ended.append(echoes(rig))
        for _ in range(turns):
            base = statistics.median(feel(rig, 3).trips)
            with syncing(rig, work, enrolment):
                found["ours"].append(feel(rig, seconds))
            with _aria2(rig, work, "file.bin"):
                found["aria2"].append(feel(rig, seconds))
            for who, felt in found.items():
                for share in (0.5, 0.95):
                    rises.setdefault((who, share), []).append(felt[-1].rise(base, share))
            print(
                "  ".join(
                    f"{who}: {felt[-1].rise(base, 0.5):.0f} ms, 95%: {felt[-1].rise(base, 0.95):.0f} ms,"
                    f" {felt[-1].rate / 1e6:.2f} Mbit/s"
                    for who, felt in found.items()
                ),
                flush=True,
            )
    finally:
        county.close()
        for process in ended:
            process.kill()
            process.wait(30)
        rig.close()

    def middle(who: str, share: float) -> str:
        return f"{statistics.median(rises[who, share]):.0f}"

    rate = {who: statistics.median(felt.rate for felt in each) / 1e6 for who, each in found.items()}
    return [
        Row(
            "another flow's round trip on 10 Mbit/s while a box syncs: median rise (95% of echoes below)",
            f"aria2 -x16: {middle('aria2', 0.5)} ms ({middle('aria2', 0.95)})",
            "≤ 50 ms",
            f"{middle('ours', 0.5)} ms ({middle('ours', 0.95)})",
        ),
        Row(
            "what the fetcher took of that line",
            f"aria2 -x16: {rate['aria2']:.2f} Mbit/s",
            "",
            f"{rate['ours']:.2f} Mbit/s, {rate['ours'] / rate['aria2']:.2f} times",
        ),
    ]
