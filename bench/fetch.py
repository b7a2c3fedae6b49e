"""One package fetched by a box's own swarm, as a process of its own (in a namespace, where a measure wants
that).

`python -m bench.fetch COUNTY_DATA FOLDER …` prints one line of JSON when all has come and been verified.
Blocks are named by shares: `--have 0.4:7` is 40% of all blocks, chosen by the seed 7; `--have 0/5,1/5` the
pieces whose number leaves 0 or 1 when divided by 5; `--have whole` everything.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from pathlib import Path

from content_sync.adapters.libtorrent.swarm import LibtorrentSwarm, SwarmOptions
from content_sync.core.blocks import BlockMap
from content_sync.formats import torrent
from content_sync.formats.hashtree import BLOCK, block_count
from content_sync.formats.torrent import Torrent
from content_sync.ports import Job, JobFile


def package(county: Path) -> tuple[Torrent, dict[str, bytes]]:
    """The only package of a county, and its leaf lists by path."""
    (found,) = (county / "public" / "targets" / "packages").glob("*.torrent")
    (leaves,) = (county / "public" / "targets" / "packages").glob("*.leaves")
    made = torrent.parse(found.read_bytes())
    return made, torrent.split_leaves(made, leaves.read_bytes())


def chosen(made: Torrent, spec: str) -> set[tuple[int, int]]:
    """(file, block) of a share."""
    every = [(n, b) for n, e in enumerate(made.files) for b in range(block_count(e.file.length))]
    if spec == "whole":
        return set(every)
    if "/" in spec:  # pieces by their number modulo
        parts = [tuple(map(int, part.split("/"))) for part in spec.split(",")]
        per = made.piece_length // BLOCK
        return {(n, b) for n, b in every if any((b // per) % modulo == rest for rest, modulo in parts)}
    share, seed = spec.split(":")
    return set(random.Random(int(seed)).sample(every, round(len(every) * float(share))))


def write(county: Path, made: Torrent, folder: Path, blocks: set[tuple[int, int]]) -> None:
    """Put true blocks into the arriving files."""
    for number, entry in enumerate(made.files):
        source = county / "objects" / entry.file.root[:2] / entry.file.root
        with source.open("rb") as stream, (folder / entry.file.root).open("r+b") as out:
            for block in sorted(b for n, b in blocks if n == number):
                stream.seek(block * BLOCK)
                out.seek(block * BLOCK)
                out.write(stream.read(BLOCK))


def main() -> int:
    """Fetch, or hand on until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("county", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", action="append", default=[])
    parser.add_argument("--have", default="0:1")
    parser.add_argument("--fill", default="", help="blocks that come from a drop while the job runs")
    parser.add_argument("--near", default="", help="HOST:PORT of a neighbour that is given by hand")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--serve", action="store_true", help="say the port, hand on until stdin ends")
    given = parser.parse_args()
    made, leaves = package(given.county)
    given.folder.mkdir(parents=True, exist_ok=True)
    for entry in made.files:
        path = given.folder / entry.file.root
        path.touch()
        with path.open("r+b") as stream:
            stream.truncate(entry.file.length)
    have = chosen(made, given.have)
    write(given.county, made, given.folder, have)
    files = tuple(
        JobFile(
            given.folder / entry.file.root,
            bytes((number, block) in have for block in range(block_count(entry.file.length))),
            leaves[entry.path],
        )
        for number, entry in enumerate(made.files)
    )
    wake = threading.Event()
    swarm = LibtorrentSwarm(SwarmOptions(given.url, given.port, web=bool(given.url)), given.folder, wake.set)
    if given.serve:
        ended = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        swarm.add(Job(made, files))
        print(swarm.port, flush=True)
        while not ended.wait(0.1):
            swarm.step(time.monotonic())
        swarm.close()
        return 0
    began = time.monotonic()
    swarm.add(Job(made, files))
    if given.near:
        host, _, port = given.near.partition(":")
        swarm.connect(made.infohash, host, int(port))
    if given.fill:
        blocks = chosen(made, given.fill)
        write(given.county, made, given.folder, blocks)
        for number, entry in enumerate(made.files):
            flags = bytes((number, block) in blocks for block in range(block_count(entry.file.length)))
            swarm.fill(made.infohash, entry.file.root, flags)
    while not swarm.finished():
        swarm.step(time.monotonic())
        failed = swarm.failed()
        assert not failed, failed
        wake.wait(0.2)
        wake.clear()
    seconds = time.monotonic() - began
    for entry in made.files:
        with (given.folder / entry.file.root).open("rb") as stream:
            blocks_read = iter(lambda stream=stream: stream.read(BLOCK), b"")  # type: ignore[misc]
            assert BlockMap.rebuilt(entry.file, leaves[entry.path], blocks_read).whole
    print(json.dumps({"seconds": seconds, "received": swarm.received(), "afar": swarm.afar()}), flush=True)
    swarm.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
