"""A county and two boxes in network namespaces: county ─ thin line ─ router, school's LAN ─ box1, box2.

Every name carries this process's id, everything is torn down by `close`, and nothing leaves the namespaces.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.programs import Place

ROOT = Path(__file__).resolve().parents[2]
COUNTY = "10.77.0.1"
ROUTER_WAN, ROUTER_LAN = "10.77.0.2", "10.77.1.1"
BOXES = {"box1": "10.77.1.11", "box2": "10.77.1.12"}
#: One more, for those who ask for three.
THREE = {**BOXES, "box3": "10.77.1.13"}


class Rig:
    """The namespaces and the line. End what was started inside before `close`."""

    def __init__(
        self, rate: float, delay_ms: float, loss: float, seed: int = 1, boxes: dict[str, str] = BOXES
    ) -> None:
        self._boxes = boxes
        self._made: list[str] = []
        self._line: subprocess.Popen[str] | None = None
        try:
            self._build()
            command = [
                sys.executable,
                "-m",
                "tests.net.wan",
                self.name("county"),
                self.name("lan"),
                COUNTY,
                ROUTER_WAN,
            ]
            command += [
                "--rate",
                str(rate),
                "--delay",
                str(delay_ms),
                "--loss",
                str(loss),
                "--seed",
                str(seed),
            ]
            self._line = subprocess.Popen(
                command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert self._line.stdout is not None
            assert self._line.stdout.readline() == "ready\n"
            _ip("-n", self.name("county"), "route", "add", "10.77.1.0/24", "via", ROUTER_WAN)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def name(part: str) -> str:
        """The namespace of `county`, `lan` or a box."""
        return f"lb{os.getpid()}-{part}"

    def _build(self) -> None:
        for part in ("county", "lan", *self._boxes):
            _ip("netns", "add", self.name(part))
            self._made.append(self.name(part))
            _ip("-n", self.name(part), "link", "set", "lo", "up")
        lan = self.name("lan")
        # Snooping off: without a querier the bridge forgets who listens: local peer discovery goes silent.
        _ip("-n", lan, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        _ip("-n", lan, "address", "add", f"{ROUTER_LAN}/24", "dev", "br0")
        _ip("-n", lan, "link", "set", "br0", "up")
        _ip("netns", "exec", lan, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for box, address in self._boxes.items():
            there = self.name(box)
            _ip("-n", lan, "link", "add", box, "type", "veth", "peer", "name", "eth0", "netns", there)
            _ip("-n", lan, "link", "set", box, "master", "br0", "up")
            _ip("-n", there, "address", "add", f"{address}/24", "broadcast", "+", "dev", "eth0")
            _ip("-n", there, "link", "set", "eth0", "up")
            _ip("-n", there, "route", "add", "default", "via", ROUTER_LAN)
            _ip("-n", there, "route", "add", "224.0.0.0/4", "dev", "eth0")

    def place(self, part: str) -> Place:
        """Where `county` or a box runs its programs."""
        return Place({"county": COUNTY, **self._boxes}[part], ["ip", "netns", "exec", self.name(part)])

    def counts(self) -> dict[str, dict[str, int]]:
        """What the line has carried: `to_b` from the county to the school, `to_a` back (wan.Count)."""
        assert self._line is not None and self._line.stdin is not None and self._line.stdout is not None
        self._line.stdin.write("counts\n")
        self._line.stdin.flush()
        counts: dict[str, dict[str, int]] = json.loads(self._line.stdout.readline())
        return counts

    def close(self) -> None:
        """End the line and take the namespaces away."""
        if self._line is not None:
            assert self._line.stdin is not None
            self._line.stdin.close()
            self._line.wait(20)
        for namespace in self._made:
            subprocess.run(["ip", "netns", "delete", namespace], check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=30)
