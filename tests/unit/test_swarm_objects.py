"""A box's swarm on a real libtorrent never writes to objects/, whatever is wrong there and whoever has better
bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from content_sync.adapters.libtorrent.swarm import LibtorrentSwarm, SwarmOptions
from content_sync.adapters.objects import FileStore
from content_sync.formats.hashtree import BLOCK
from tests.contract.test_swarm import FILES, MADE, NO_LSD, PACKAGE, job, put

Wait = Callable[..., None]
OBJECT, ARRIVING = "有 空格.bin", "z/second.bin"


def swarm(folder: Path) -> LibtorrentSwarm:
    return LibtorrentSwarm(SwarmOptions((), web=False, more=NO_LSD), folder, lambda: None)


@pytest.mark.parametrize("whole", [True, False], ids=["seeding", "arriving"])
def test_a_damaged_object_is_never_written(tmp_path: Path, wait_until: Wait, whole: bool) -> None:
    """A neighbour asks for the damaged piece, and a peer that has the good bytes is connected too."""
    stores = {
        name: FileStore(tmp_path / name / "objects", tmp_path / name / "partial")
        for name in ("good", "box", "asks")
    }
    for path in FILES:
        put(stores["good"], path)
        if whole or path != ARRIVING:
            put(stores["box"], path)
    damaged = stores["box"].object_path(MADE[OBJECT][0].root)
    damaged.chmod(0o644)
    with damaged.open("r+b") as stream:
        stream.seek(20 * BLOCK)
        stream.write(b"damage")
    damaged.chmod(0o444)
    before, state = damaged.read_bytes(), os.stat(damaged)
    swarms = {name: swarm(tmp_path / name) for name in stores}
    for name, one in swarms.items():
        one.add(job(stores[name]))
    box = swarms["box"]
    swarms["asks"].connect(PACKAGE.infohash, "127.0.0.1", box.port)
    done: dict[str, list[str]] = {name: [] for name in swarms}
    bad = 0

    def turn() -> None:
        nonlocal bad
        for name, one in swarms.items():
            one.step(time.monotonic())
            done[name] += one.finished()
            assert one.failed() == {}
        progress = swarms["asks"].progress().get(PACKAGE.infohash)
        bad = max(bad, progress.bad if progress else 0)

    try:
        wait_until(lambda: (turn(), bad)[1], 60, "the damaged piece was sent")
        for name in ("box", "asks"):
            swarms[name].connect(PACKAGE.infohash, "127.0.0.1", swarms["good"].port)
        wait_until(lambda: (turn(), done["asks"])[1], 60, "the neighbour has all")
        if not whole:
            wait_until(lambda: (turn(), done["box"])[1], 60, "the box has all")
            came = b"".join(stores["box"].partial_blocks(MADE[ARRIVING][0].root))
            assert came == FILES[ARRIVING]
        assert damaged.read_bytes() == before
        after = os.stat(damaged)
        assert (after.st_ino, after.st_mtime_ns) == (state.st_ino, state.st_mtime_ns)
        assert len(stores["box"].objects()) == (3 if whole else 2)
        assert {path.name for path in (tmp_path / "box").iterdir()} == {"objects", "partial"}
    finally:
        for one in swarms.values():
            one.close()


def test_files_that_are_here_whole_but_no_objects_yet_finish_at_once(
    tmp_path: Path, wait_until: Wait
) -> None:
    """As after a disk that was full when they were to be admitted."""
    store = FileStore(tmp_path / "objects", tmp_path / "partial")
    for path in FILES:
        put(store, path, range(-(-MADE[path][0].length // BLOCK)))
    one = swarm(tmp_path)
    try:
        one.add(job(store))
        wait_until(lambda: (one.step(time.monotonic()), one.finished())[1], 30, "finished")
        assert one.received() == 0
    finally:
        one.close()
