"""The tests' own line keeps its word: rate, delay, loss. Without that the other figures mean nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.net.rig import COUNTY, Rig
from tests.net.wan import Direction

ECHO = f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("{COUNTY}", 7))
print("ready", flush=True)
while True:
    d, a = s.recvfrom(2048); s.sendto(d, a)
"""
ASK = f"""
import json, socket, statistics, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)
times = []
for turn in range(20):
    start = time.monotonic(); s.sendto(turn.to_bytes(2, "big"), ("{COUNTY}", 7))
    try:
        while s.recvfrom(2048)[0] != turn.to_bytes(2, "big"): pass
        times.append(time.monotonic() - start)
    except TimeoutError: pass
print(json.dumps({{"answers": len(times), "rtt": statistics.median(times)}}))
"""


def test_rate_and_delay() -> None:
    line = Direction(rate=8e6, delay=0.1, loss=0, queue=10, seed=1)  # 1 MB/s
    for _ in range(1000):
        line.put(bytes(1000), now=0.0)
    assert line.due(0.1009) == [] and len(line.due(0.1011)) == 1
    assert len(line.due(0.6001)) == 499
    assert len(line.due(1.1001)) == 500 and line.next_at() is None
    assert line.count.sent_bytes == 1_000_000


def test_loss_uses_the_line() -> None:
    line = Direction(rate=0, delay=0, loss=0.01, queue=1, seed=1)
    for _ in range(100_000):
        line.put(b"x", now=0.0)
    assert 800 < line.count.lost_packets < 1200
    assert line.count.sent_bytes == 100_000
    assert len(line.due(0.0)) == 100_000 - line.count.lost_packets


def test_full_queue_drops() -> None:
    line = Direction(rate=8000, delay=0, loss=0, queue=0.5, seed=1)
    for _ in range(10):
        line.put(bytes(250), now=0.0)  # a quarter of a second each
    assert (line.count.sent_packets, line.count.dropped_packets) == (3, 7)


@pytest.mark.root
@pytest.mark.needs("ip")
def test_round_trip_through_namespaces() -> None:
    rig = Rig(rate=10e6, delay_ms=150, loss=0.01)
    try:
        command = [*rig.place("county").prefix, sys.executable, "-c", ECHO]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as echo:
            assert echo.stdout is not None and echo.stdout.readline() == b"ready\n"
            command = [*rig.place("box1").prefix, sys.executable, "-c", ASK]
            answer = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)
            echo.kill()
        assert answer["answers"] >= 15
        assert 0.300 <= answer["rtt"] < 0.340
        assert rig.counts()["to_b"]["sent_packets"] >= answer["answers"]
    finally:
        rig.close()
