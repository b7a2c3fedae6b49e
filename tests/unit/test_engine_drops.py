"""Drop folders and what is on the disk already: nobody writes to what is verified, nothing is deleted
unread, large and growing files cost little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from content_sync.engine import arrivals, ingest, matching
from content_sync.formats.hashtree import BLOCK, FileId
from content_sync.testing.fakes import MemoryDrops
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import NOW, SmallCounty, identify


@pytest.fixture
def county(tmp_path: Path) -> SmallCounty:
    made = SmallCounty(tmp_path / "county")
    made.noise("一", 5 * BLOCK + 7, 100)
    made.noise("二", 3 * BLOCK)
    made.publish()
    return made


def test_no_job_can_write_to_a_file_that_becomes_an_object(tmp_path: Path, county: SmallCounty) -> None:
    """Several lessons share a file, one of them is being fetched, and a drop brings the file for another."""
    shared = county.lessons["一"]["资料 0.bin"]
    for number in range(6):
        county.noise(f"共 {number}", 2 * BLOCK)
        county.lessons[f"共 {number}"]["共用.bin"] = shared
    county.publish()
    box = MemoryBox(tmp_path, county)
    assert box.swarm is not None
    box.swarm.speed = 0
    swarm = box.swarm

    class Watching:
        """A store that looks who could still write when a file becomes an object."""

        def __getattr__(self, name: str) -> Any:
            return getattr(box.store, name)

        def admit(self, file: FileId) -> None:
            for job, flags in swarm._jobs.values():
                assert job.whole or file.root not in flags, "a job that runs writes to this file"
            box.store.admit(file)

    engine = box.start(lambda name, part: Watching() if name == "store" else part)
    box.clock.go(1)
    engine.step(box.clock.monotonic())
    box.drops.put("drop/x", shared)
    for _ in range(5):
        box.clock.go(1)
        engine.step(box.clock.monotonic())
    assert identify(shared)[0].root in box.store.whole
    swarm.speed = 4
    box.settle()
    assert box.shown() == set(county.lessons)


def test_objects_are_kept_until_a_release_says_what_is_wanted(tmp_path: Path, county: SmallCounty) -> None:
    box = MemoryBox(tmp_path, county)
    box.store.whole = {root: data for root, data in county.content.items()}
    box.fetcher.up = False
    engine = box.start()
    for _ in range(10):
        engine.step(box.clock.monotonic())
        box.clock.go(1)
    assert box.store.whole == county.content
    assert not engine.complete, "a box without a release has not finished"
    box.fetcher.up = True
    box.clock.go(400)
    box.settle()
    assert box.shown() == {"一", "二"} and box.swarm is not None and not box.swarm.moved


class CountedDrops(MemoryDrops):
    """Counts the blocks that are read in order."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def portions(self, path: str, first: int = 0) -> Iterator[bytes]:
        for data in super().portions(path, first):
            for at in range(0, len(data), BLOCK):
                self.read += 1
                yield data[at : at + BLOCK]


def test_a_file_that_grows_all_the_time_is_not_read_all_the_time(tmp_path: Path, county: SmallCounty) -> None:
    box = MemoryBox(tmp_path, county)
    box.drops = drops = CountedDrops()
    box.start()
    box.settle()
    content = b"".join(county.content.values())
    content += bytes(200 * BLOCK - len(content))
    county.noise("三", 10)
    for size in range(BLOCK, 200 * BLOCK + 1, BLOCK):
        drops.put("drop/carousel", content[:size])
        box.engine.step(box.clock.monotonic())  # type: ignore[union-attr]
        box.clock.go(0.6)
    box.settle()
    assert 200 <= drops.read < 1500, "read again at each growth it would be 20 100"


def test_a_large_file_is_read_in_parts_and_every_part_is_matched(
    tmp_path: Path, county: SmallCounty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "PART", 2)
    monkeypatch.setattr(ingest, "MAX_NAMED", BLOCK)
    monkeypatch.setattr("content_sync.engine.source.AT_ONCE", BLOCK)
    box = MemoryBox(tmp_path, county)
    box.drops = drops = CountedDrops()
    assert box.swarm is not None
    box.swarm.speed = 0
    engine = box.start()
    box.settle()
    first, second = county.lessons["一"]["资料 0.bin"], county.lessons["二"]["资料 0.bin"]
    drops.put("drop/image", bytes(BLOCK) + second + first)
    engine.step(box.clock.monotonic())
    assert drops.read <= 3, "a step reads one part"
    box.clock.go(1)
    box.settle()
    assert drops.read <= 10 + 10 // 2
    assert {identify(first)[0].root, identify(second)[0].root} <= set(box.store.whole)
    drops.put("drop/image", bytes(BLOCK) + second + first.ljust(6 * BLOCK, b"\0") + bytes(2 * BLOCK))
    drops.read = 0
    box.settle()
    assert 0 < drops.read <= 5, "only the new part is read"
    drops.take_away("drop/image")
    box.clock.go(100)
    box.settle()
    assert box.state.drop_parts() == [] and box.state.drop_files() == {}


def test_maps_of_many_files_are_not_kept_and_their_progress_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    county = SmallCounty(tmp_path / "county")
    for number in range(6):
        county.noise(f"{number}", 4 * BLOCK)
    county.publish()
    monkeypatch.setattr(arrivals, "_MOST_KEPT", 8)
    monkeypatch.setattr(matching, "BATCH", 3)
    box = MemoryBox(tmp_path, county, swarm=False)
    mains = [files["资料 0.bin"] for files in county.lessons.values()]
    small = [path.read_bytes() for path in county.public.rglob("*") if path.is_file()]
    for number, data in enumerate([*small, *(data for data in county.content.values() if data not in mains)]):
        box.drops.put(f"drop/{number}", data)
    box.drops.put("drop/most", b"".join(data[: 3 * BLOCK] for data in mains))
    engine = box.start()
    box.settle()
    assert {row.size - row.have_bytes for row in box.state.lessons()} == {BLOCK}
    assert len(engine._arrivals._maps) <= 2
    box.drops.put("drop/rest", b"".join(data[3 * BLOCK :] for data in mains))
    box.clock.go(1)
    box.settle()
    assert box.shown() == set(county.lessons)


def test_a_drop_that_was_imported_too_is_still_known(tmp_path: Path, county: SmallCounty) -> None:
    box = MemoryBox(tmp_path, county)
    county.noise("三", 4 * BLOCK)
    box.drops.put("drop/early", county.lessons["三"]["资料 0.bin"])
    engine = box.start()
    box.settle()
    job = engine.begin_import([box.drops])
    box.settle()
    assert job.done and job.files == 1
    county.publish(NOW + 1)
    box.clock.go(400)
    box.settle()
    root = identify(county.lessons["三"]["资料 0.bin"])[0].root
    assert box.swarm is not None and "三" in box.shown()
    assert not [place for place in box.swarm.moved if place[0] == root]


def test_a_drop_of_forged_files_does_not_fill_the_list_of_problems(
    tmp_path: Path, county: SmallCounty
) -> None:
    box = MemoryBox(tmp_path, county)
    for number in range(300):
        box.state.problem("E-FORMAT", f"drop/{number}", "…", NOW + number)
    assert len(box.state.problems()) == 200
    assert box.state.problems()[-1].subject == "drop/299"
