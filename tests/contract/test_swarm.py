"""One suite for ports.Swarm: libtorrent between two sessions on the loopback, and the fake."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from content_sync.adapters.libtorrent.swarm import LibtorrentSwarm, SwarmOptions
from content_sync.adapters.objects import FileStore
from content_sync.core.blocks import BlockMap
from content_sync.formats import torrent
from content_sync.formats.hashtree import BLOCK
from content_sync.ports import Job, JobFile, Store, Swarm
from content_sync.testing.fakes import FakeSwarm, MemoryStore
from tests.unit.small_county import identify

NOISE = random.Random(8).randbytes(40 * BLOCK + 77)
FILES = {"lesson.json": b"{}" * 300, "有 空格.bin": NOISE, "z/second.bin": NOISE[::-1][: 9 * BLOCK]}
MADE = {path: identify(data) for path, data in FILES.items()}
PACKAGE = torrent.build("lesson-1", [(path, file, leaves) for path, (file, leaves) in MADE.items()])
NO_LSD = {"enable_lsd": False}


@dataclass
class Side:
    """A swarm, the store it fills, and how it finds who has the rest."""

    swarm: Swarm
    store: Store
    meet: Callable[[], None]


def put(store: Store, path: str, blocks: range | None = None) -> None:
    file, _ = MADE[path]
    for index in blocks if blocks is not None else range(-(-file.length // BLOCK)):
        store.write_block(file, index, FILES[path][index * BLOCK : (index + 1) * BLOCK])
    if blocks is None:
        store.admit(file)


def job(store: Store) -> Job:
    files = []
    for entry in PACKAGE.files:
        if store.has_object(entry.file):
            files.append(JobFile(store.object_path(entry.file.root), None))
        else:
            store.prepare(entry.file)
            made = BlockMap.rebuilt(entry.file, MADE[entry.path][1], store.partial_blocks(entry.file.root))
            path = store.partial_path(entry.file.root)
            files.append(JobFile(path, made.flags, MADE[entry.path][1]))
    return Job(PACKAGE, tuple(files))


@pytest.fixture(params=["libtorrent", "fake"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    if request.param == "fake":
        memory = MemoryStore()
        content = {MADE[path][0].root: data for path, data in FILES.items()}
        yield Side(FakeSwarm(memory, content), memory, lambda: None)
        return
    there, here = (FileStore(tmp_path / n / "objects", tmp_path / n / "partial") for n in ("there", "here"))
    for path in FILES:
        put(there, path)
    seeder = LibtorrentSwarm(SwarmOptions((), more=NO_LSD), tmp_path, lambda: None)
    swarm = LibtorrentSwarm(SwarmOptions((), web=False, more=NO_LSD), tmp_path, lambda: None)
    seeder.add(job(there))
    yield Side(swarm, here, lambda: swarm.connect(PACKAGE.infohash, "127.0.0.1", seeder.port))
    swarm.close()
    seeder.close()


def until_finished(side: Side) -> list[str]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        side.swarm.step(time.monotonic())
        found = side.swarm.finished()
        if found:
            return found
        assert side.swarm.failed() == {}
        time.sleep(0.02)
    raise AssertionError("not finished")


def test_brings_what_lacks_and_nothing_else(side: Side) -> None:
    put(side.store, "z/second.bin")
    put(side.store, "有 空格.bin", range(3, 30))
    side.swarm.add(job(side.store))
    assert side.swarm.progress().keys() == {PACKAGE.infohash}
    side.meet()
    assert until_finished(side) == [PACKAGE.infohash]
    assert side.swarm.progress() == {} and side.swarm.finished() == []
    for path in ("lesson.json", "有 空格.bin"):
        assert b"".join(side.store.partial_blocks(MADE[path][0].root)) == FILES[path]
    lacking = len(FILES["lesson.json"]) + len(NOISE) - 27 * BLOCK
    assert lacking <= side.swarm.received() <= 1.05 * lacking
    assert side.store.read_object(MADE["z/second.bin"][0], 1 << 20) == FILES["z/second.bin"]


def test_a_job_that_was_ended_writes_no_more_and_goes_on_later(side: Side) -> None:
    side.swarm.add(job(side.store))
    side.swarm.remove(PACKAGE.infohash)
    side.swarm.remove(PACKAGE.infohash)
    assert side.swarm.progress() == {}
    side.swarm.add(job(side.store))
    side.swarm.add(job(side.store))
    side.meet()
    assert until_finished(side) == [PACKAGE.infohash]


def test_a_whole_job_only_hands_on(side: Side) -> None:
    for path in FILES:
        put(side.store, path)
    side.swarm.add(job(side.store))
    side.swarm.step(time.monotonic())
    assert side.swarm.progress() == {} and side.swarm.finished() == [] and side.swarm.received() == 0
    side.swarm.remove(PACKAGE.infohash)


def test_what_others_bring_while_it_runs_is_not_fetched(side: Side) -> None:
    side.swarm.add(job(side.store))
    put(side.store, "有 空格.bin", range(8, 40))
    side.swarm.fill(PACKAGE.infohash, MADE["有 空格.bin"][0].root, bytes(8 <= n < 40 for n in range(41)))
    side.swarm.fill(PACKAGE.infohash, "0" * 64, b"")
    side.swarm.fill("00" * 32, MADE["有 空格.bin"][0].root, bytes(41))
    side.swarm.step(time.monotonic())
    side.meet()
    assert until_finished(side) == [PACKAGE.infohash]
    lacking = PACKAGE.size - 32 * BLOCK
    assert lacking <= side.swarm.received() <= 1.05 * lacking
    for path, (file, _) in MADE.items():
        assert b"".join(side.store.partial_blocks(file.root)) == FILES[path]


def test_a_limit_can_be_set_at_any_time(side: Side) -> None:
    side.swarm.limit(0)
    side.swarm.add(job(side.store))
    side.swarm.step(time.monotonic())
    side.swarm.limit(1 << 30)
    side.swarm.limit(None)
    side.meet()
    assert until_finished(side) == [PACKAGE.infohash]
    assert side.swarm.afar() <= side.swarm.received()
