"""A long thin line in user space: a pair of TUN devices in two network namespaces, with rate, delay and loss.

`python -m tests.net.wan NS_A NS_B ADDRESS_A ADDRESS_B --rate BIT/S --delay MS --loss SHARE` prints `ready`,
then answers each line on stdin with a line of JSON, the counts of each direction. End of stdin
ends it. Needs root. Kernels without netem have no other way to delay packets.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import random
import selectors
import struct
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
MTU = 1500


@dataclass
class Count:
    """Packets and bytes (IP headers included) of one direction."""

    offered_packets: int = 0
    offered_bytes: int = 0
    sent_packets: int = 0
    sent_bytes: int = 0  # what used the line: delivered or lost on it
    lost_packets: int = 0
    dropped_packets: int = 0  # the queue before the line was full


class Direction:
    """One direction of the line. Pure: time is an argument, packets go in with `put` and come out of `due`.

    `rate` bit/s (0: no limit), `delay` seconds one way, `loss` share of packets lost after they used the
    line, `queue` seconds of waiting before packets are dropped.
    """

    def __init__(self, rate: float, delay: float, loss: float, queue: float, seed: int) -> None:
        self.rate, self.delay, self.loss, self.queue = rate, delay, loss, queue
        self.count = Count()
        self._chance = random.Random(seed)
        self._free_at = 0.0
        self._flying: deque[tuple[float, bytes]] = deque()

    def put(self, packet: bytes, now: float) -> None:
        """A packet comes to the line."""
        self.count.offered_packets += 1
        self.count.offered_bytes += len(packet)
        start = max(now, self._free_at)
        if start - now > self.queue:
            self.count.dropped_packets += 1
            return
        self._free_at = start + (len(packet) * 8 / self.rate if self.rate else 0.0)
        self.count.sent_packets += 1
        self.count.sent_bytes += len(packet)
        if self._chance.random() < self.loss:
            self.count.lost_packets += 1
            return
        self._flying.append((self._free_at + self.delay, packet))

    def due(self, now: float) -> list[bytes]:
        """The packets that have arrived by now."""
        arrived = []
        while self._flying and self._flying[0][0] <= now:
            arrived.append(self._flying.popleft()[1])
        return arrived

    def next_at(self) -> float | None:
        """When the next packet arrives; None when none is under way."""
        return self._flying[0][0] if self._flying else None


def open_tun(namespace: str, name: str) -> int:
    """A TUN device's descriptor, the device being in that namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    here, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(there, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
        finally:
            if libc.setns(here, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(here)
        os.close(there)
    return tun


def _bring_up(namespace: str, address: str, peer: str) -> None:
    ip = ("ip", "-n", namespace)
    subprocess.run([*ip, "address", "add", address, "peer", peer, "dev", "wan"], check=True)
    subprocess.run([*ip, "link", "set", "wan", "up", "mtu", str(MTU), "txqueuelen", "1000"], check=True)


def carry(tun_a: int, tun_b: int, to_b: Direction, to_a: Direction) -> None:
    """Move packets until stdin ends; each line on stdin is answered with the counts as JSON."""
    waiting = selectors.DefaultSelector()
    waiting.register(tun_a, selectors.EVENT_READ, to_b)
    waiting.register(tun_b, selectors.EVENT_READ, to_a)
    waiting.register(sys.stdin, selectors.EVENT_READ, None)
    while True:
        for direction, out in ((to_b, tun_b), (to_a, tun_a)):
            for packet in direction.due(time.monotonic()):
                try:
                    os.write(out, packet)
                except OSError:  # its device's queue is full, or going down
                    direction.count.dropped_packets += 1
        times = [at for at in (to_b.next_at(), to_a.next_at()) if at is not None]
        rest = max(0.0, min(times) - time.monotonic()) if times else None
        for key, _ in waiting.select(rest):
            if key.data is None:
                if not os.read(sys.stdin.fileno(), 4096):
                    return
                print(json.dumps({"to_b": asdict(to_b.count), "to_a": asdict(to_a.count)}), flush=True)
                continue
            for _turn in range(64):
                try:
                    key.data.put(os.read(key.fd, 65536), time.monotonic())
                except BlockingIOError:
                    break


def main() -> int:
    """Set the line up and carry; an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("namespace_a", "namespace_b", "address_a", "address_b"):
        parser.add_argument(name)
    parser.add_argument("--rate", type=float, default=0, help="bit/s each way; 0: no limit")
    parser.add_argument("--delay", type=float, default=0, help="ms one way")
    parser.add_argument("--loss", type=float, default=0, help="share of packets lost each way, 0 to 1")
    parser.add_argument("--queue", type=float, default=200, help="ms that packets may wait for the line")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    tun_a, tun_b = open_tun(given.namespace_a, "wan"), open_tun(given.namespace_b, "wan")
    _bring_up(given.namespace_a, given.address_a, given.address_b)
    _bring_up(given.namespace_b, given.address_b, given.address_a)
    shape = (given.rate, given.delay / 1000, given.loss, given.queue / 1000)
    print("ready", flush=True)
    carry(tun_a, tun_b, Direction(*shape, given.seed), Direction(*shape, given.seed + 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
