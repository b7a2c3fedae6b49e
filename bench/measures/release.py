"""A release that changes 1% of the files and renames one: bytes over the box's network interface, both ways,
requests, metadata and announces counted, beside rsync and beside plain libtorrent on the same change.

Two network namespaces joined by a veth pair (root); its counters are read in the box's namespace. Large
segments cross a veth whole, so TCP/IP headers count once per 64 KiB, for all three alike.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measures import Row
from content_sync.adapters.sqlite import StateReader
from tests.e2e.programs import ROOT, Box, County, Place, free_port, wait_until

COUNTY, BOX = "10.78.0.1", "10.78.0.2"
#: Bytes of the video and of the plan of each lesson.
VIDEO, PLAN = 4_000_000, 200_000
_VOLUMES = ("三年级上册", "三年级下册", "四年级上册", "四年级下册")


class Wire:
    """The namespaces and their one cable."""

    def __init__(self) -> None:
        self.names = {part: f"lr{os.getpid()}-{part}" for part in ("county", "box")}

    def __enter__(self) -> Wire:
        for name in self.names.values():
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        one, two = self.names["county"], self.names["box"]
        _ip("-n", one, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", two)
        for name, address in ((one, COUNTY), (two, BOX)):
            _ip("-n", name, "address", "add", f"{address}/24", "broadcast", "+", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "route", "add", "224.0.0.0/4", "dev", "eth0")
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def place(self, part: str) -> Place:
        """Where programs of the county or the box run."""
        address = {"county": COUNTY, "box": BOX}[part]
        return Place(address, ["ip", "netns", "exec", self.names[part]])

    def bytes(self) -> int:
        """What the box's interface has carried, both ways."""
        files = [f"/sys/class/net/eth0/statistics/{way}_bytes" for way in ("rx", "tx")]
        # sysfs shows the interfaces of the namespace that mounted it: `ip netns exec` mounts it anew.
        command = ["ip", "netns", "exec", self.names["box"], "cat", *files]
        return sum(map(int, subprocess.run(command, check=True, capture_output=True).stdout.split()))


def measure(work: Path, quick: bool) -> list[Row]:
    """120 lessons of two files, 504 MB (quick: 30, 126 MB), five (one) releases one after the other."""
    lessons, rounds = (30, 1) if quick else (120, 5)
    chance = random.Random(11)
    tree = work / "tree"
    places = _make_tree(tree, lessons, chance)
    found: dict[str, list[float]] = {"ours": [], "rsync": [], "libtorrent": [], "idle": []}
    with Wire() as wire, contextlib.ExitStack() as stack:
        county = County(work / "county", wire.place("county"))
        stack.callback(county.close)
        county.publish(tree)
        county.serve()
        # It looks when it is told to, not between the release and the first reading of the counters.
        enrolment = county.enrol(work / "school.json")
        box = Box(work / "school", enrolment, wire.place("box"), refresh_seconds=3600)
        box.command("sync", "--once")
        box.start("sync")
        stack.callback(box.close)
        mirror = work / "mirror"
        server = stack.enter_context(_rsync_server(work, tree, wire))
        _rsync(wire, server, mirror)
        torrents = _Plain(work, tree, wire)
        torrents.move(mirror)
        for number in range(rounds):
            changed = _change(places, number, chance)
            county.publish(tree)
            for name, run in (
                ("ours", lambda: _follow(box, wire)),
                ("rsync", lambda: _rsync(wire, server, mirror)),
                ("libtorrent", torrents.move_round),
            ):
                before = wire.bytes()
                run()
                found[name].append((wire.bytes() - before) / changed)
            before = wire.bytes()
            _follow(box, wire)  # nothing is new: what merely looking costs
            found["idle"].append(wire.bytes() - before)
    middle = {name: statistics.median(values) for name, values in found.items()}
    files = 2 * lessons
    what = f"release change of 1% of {files} files ({VIDEO // 1_000_000} MB each), one renamed"
    each = ", ".join(f"{value:.3f}" for value in found["ours"])
    return [
        Row(what, "-", "≤ 1.03 x changed bytes", f"{middle['ours']:.3f} x (each run: {each})"),
        Row(
            what,
            "rsync -a --delete",
            "less than it",
            f"{middle['rsync']:.2f} x: ours {middle['ours'] / middle['rsync']:.2f} of it",
        ),
        Row(
            what,
            "plain libtorrent, new torrent over the old files",
            "less than it",
            f"{middle['libtorrent']:.2f} x: ours {middle['ours'] / middle['libtorrent']:.2f} of it",
        ),
        Row("a look of the same box with nothing new", "-", "-", f"{middle['idle']:.0f} bytes"),
    ]


def _make_tree(tree: Path, lessons: int, chance: random.Random) -> list[Path]:
    places = []
    for number in range(lessons):
        volume = _VOLUMES[number % len(_VOLUMES)]
        folder = (
            tree
            / "小学/语文/统编版"
            / volume
            / "第一单元"
            / f"{number // len(_VOLUMES) + 1:02d} 第{number}课"
        )
        folder.mkdir(parents=True)
        (folder / "视频 课堂.bin").write_bytes(chance.randbytes(VIDEO))
        (folder / "教案.bin").write_bytes(chance.randbytes(PLAN))
        places.append(folder)
    return places


def _change(places: list[Path], number: int, chance: random.Random) -> int:
    """Other videos for 1% of all files, and a new name for the video of one more lesson; changed bytes."""
    count = max(1, 2 * len(places) // 100)
    chosen = chance.sample(places, count + 1)
    for folder in chosen[:count]:
        (path,) = folder.glob("视频*")
        path.write_bytes(chance.randbytes(VIDEO))
    (path,) = chosen[count].glob("视频*")
    path.rename(path.with_name(f"视频 改名{number}.bin"))
    return count * VIDEO


def _follow(box: Box, wire: Wire) -> None:
    """Let the running sync look at the county; until it has what that lists and the wire is quiet."""
    hint = box.data / "incoming" / "refresh"
    hint.touch()
    wait_until(lambda: not hint.exists(), "the word is taken")
    quiet, last = 0, -1
    while quiet < 8:
        time.sleep(0.5)
        now = wire.bytes()
        quiet = quiet + 1 if now - last < 2_000 else 0
        last = now
    with contextlib.closing(StateReader(box.data / "state.db")) as state:
        assert all(row.complete for row in state.lessons()), "the release is not whole"


# rsync


@contextlib.contextmanager
def _rsync_server(work: Path, tree: Path, wire: Wire) -> Iterator[int]:
    port = free_port()
    config = work / "rsyncd.conf"
    config.write_text(f"use chroot = no\n[tree]\npath = {tree}\nread only = yes\n", "utf-8")
    command = ["rsync", "--daemon", "--no-detach", f"--config={config}", f"--port={port}"]
    server = subprocess.Popen([*wire.place("county").prefix, *command])
    probe = [*wire.place("box").prefix, "rsync", f"rsync://{COUNTY}:{port}/"]
    try:
        wait_until(lambda: subprocess.run(probe, capture_output=True).returncode == 0, "rsync answers")
        yield port
    finally:
        server.terminate()
        server.wait(10)


def _rsync(wire: Wire, port: int, target: Path) -> None:
    command = ["rsync", "-a", "--delete", f"rsync://{COUNTY}:{port}/tree/", f"{target}/"]
    subprocess.run([*wire.place("box").prefix, *command], check=True)


# plain libtorrent


class _Plain:
    """The whole tree as one torrent; for each release a new one, over the files that are there."""

    def __init__(self, work: Path, tree: Path, wire: Wire) -> None:
        self._work, self._tree, self._wire = work, tree, wire
        self._mirror = work / "plain" / tree.name

    def move(self, mirror: Path) -> None:
        """Begin with what rsync has fetched."""
        shutil.copytree(mirror, self._mirror)

    def move_round(self) -> None:
        """Seed the tree as it is, fetch what the mirror lacks of it."""
        port, torrent = free_port(), self._work / "plain.torrent"
        torrent.unlink(missing_ok=True)
        module = [sys.executable, "-m", "bench.plain_torrent"]
        seed = subprocess.Popen(
            [
                *self._wire.place("county").prefix,
                *module,
                "seed",
                str(self._tree),
                str(torrent),
                f"{COUNTY}:{port}",
            ],
            cwd=ROOT,
        )
        try:
            wait_until(torrent.exists, "the plain torrent is there", 300)
            subprocess.run(
                [
                    *self._wire.place("box").prefix,
                    *module,
                    "get",
                    str(self._mirror.parent),
                    str(torrent),
                    f"{COUNTY}:{port}",
                ],
                cwd=ROOT,
                check=True,
                timeout=600,
            )
        finally:
            seed.terminate()
            seed.wait(20)
        here = {path.relative_to(self._tree) for path in self._tree.rglob("*")}
        for path in self._mirror.rglob("*"):
            if path.is_file() and path.relative_to(self._mirror) not in here:
                path.unlink()  # a client that tidies up


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=30)
