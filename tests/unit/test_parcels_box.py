"""A box that hears a carousel: whatever the order, the damage and the moment of a crash, the lessons come,
and nothing unverified does."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from content_sync.formats.hashtree import BLOCK, FileId
from content_sync.formats.parcel import Block, Head, Repair, Symbol, dump_record, read_records
from tests.unit.box_in_memory import MemoryBox
from tests.unit.parcels_of import parcels_of
from tests.unit.small_county import NOW, SmallCounty


@pytest.fixture
def county(tmp_path: Path) -> SmallCounty:
    made = SmallCounty(tmp_path / "county")
    for number in range(5):
        made.noise(f"课 {number}", 40 * BLOCK + 7, 100, 3 * BLOCK)
    made.publish()
    return made


def deaf(folder: Path, county: SmallCounty) -> MemoryBox:
    """A box with no network at all."""
    box = MemoryBox(folder, county, swarm=False)
    box.fetcher.up = False
    return box


def hear(box: MemoryBox, parcels: list[bytes], name: str = "p") -> None:
    for number, data in enumerate(parcels):
        box.drops.put(f"drop/{name}{number}", data)
    box.clock.go(1)
    box.settle()


def reception(box: MemoryBox) -> dict[str, object]:
    found = box.state.status("reception")
    assert isinstance(found, dict)
    return found


def test_everything_comes_out_of_the_parcels_alone(tmp_path: Path, county: SmallCounty) -> None:
    parcels = parcels_of(county, tmp_path / "out")
    chance = random.Random(3)
    chance.shuffle(parcels)
    heard = parcels[: len(parcels) * 85 // 100]
    heard += chance.sample(heard, 5)  # twice
    chance.shuffle(heard)
    box = deaf(tmp_path, county)
    box.start()
    hear(box, heard)
    assert box.shown() == set(county.lessons)
    found = reception(box)
    assert found["passes_needed"] == 0 and found["of"] == len(parcels) and found["damaged"] == 0
    assert found["heard"] == found["parcels"] == len(set(heard)) and found["last"]
    assert found["chunks"]["decoded"] > 0 and found["chunks"]["missing"] == 0  # type: ignore[index]
    assert not [s for s in box.stash.groups() if s.group[0] != "f"], "nothing waits any more"


def test_two_bad_passes_add_up_because_their_repair_symbols_differ(
    tmp_path: Path, county: SmallCounty
) -> None:
    """Half of each pass is lost: with the same symbols again a quarter of all would lack after two."""
    box = deaf(tmp_path, county)
    box.start()
    chance = random.Random(5)
    first = parcels_of(county, tmp_path / "out", 0.4)
    hear(box, chance.sample(first, len(first) // 2), "a")
    assert not box.shown()
    needed = reception(box)["passes_needed"]
    assert isinstance(needed, int) and 1 <= needed <= 3
    second = parcels_of(county, tmp_path / "out", 0.4)
    hear(box, chance.sample(second, len(second) // 2), "b")
    assert box.shown() == set(county.lessons)
    assert 0.9 < float(str(reception(box)["passes"])) < 1.1


def test_content_before_its_metadata_is_kept(tmp_path: Path, county: SmallCounty) -> None:
    parcels = parcels_of(county, tmp_path / "out", 0.2)
    records = [record for data in parcels for record in read_records(data)]
    content = b"".join(dump_record(r) for r in records if isinstance(r, Block | Repair))
    papers = b"".join(dump_record(r) for r in records if isinstance(r, Symbol | Head))
    box = deaf(tmp_path, county)
    box.start()
    hear(box, [content], "content")
    box.drops.remove("drop/content0")
    box.clock.go(100)
    box.settle()
    assert box.state.lessons() == []
    box.start()
    hear(box, [papers], "papers")
    assert box.shown() == set(county.lessons)


def test_damage_costs_only_the_records_it_hits(tmp_path: Path, county: SmallCounty) -> None:
    chance = random.Random(11)
    parcels = []
    for data in parcels_of(county, tmp_path / "out", 1.0):
        damaged = bytearray(data)
        kind = chance.randrange(4)
        at = chance.randrange(len(damaged))
        if kind == 0:
            damaged[at] ^= 1
        elif kind == 1:
            del damaged[at : at + chance.randrange(1, 9000)]
        elif kind == 2:
            damaged[at : at + 5000] = bytes(len(damaged[at : at + 5000]))
        else:
            damaged[at:at] = chance.randbytes(3000)
        parcels.append(bytes(damaged))
    box = deaf(tmp_path, county)
    box.start()
    hear(box, parcels)
    assert box.shown() == set(county.lessons)
    assert reception(box)["damaged"] == len(parcels)


def test_forged_records_cost_time_and_nothing_else(tmp_path: Path, county: SmallCounty) -> None:
    """Somebody writes well-formed records with wrong bytes into the drop folder."""
    parcels = parcels_of(county, tmp_path / "out", 0.3)
    records = [record for data in parcels for record in read_records(data)]
    chance = random.Random(13)
    forged = []
    for record in records:
        if isinstance(record, Block):
            forged.append(Block(record.file, record.index, chance.randbytes(len(record.data))))
            forged.append(Block(FileId("ab" * 32, 1 << 40), record.index, chance.randbytes(BLOCK)))
        elif isinstance(record, Repair):
            forged.append(
                Repair(record.infohash, record.first, record.count, record.esi, chance.randbytes(BLOCK))
            )
            forged.append(Repair(record.infohash, 1 << 31, 512, 600, chance.randbytes(BLOCK)))
        elif isinstance(record, Symbol):
            fake = chance.randbytes(len(record.data))
            forged.append(Symbol(record.sha256, record.length, record.part, record.esi, record.path, fake))
    box = deaf(tmp_path, county)
    box.start()
    hear(box, [b"".join(map(dump_record, forged))], "forged")
    assert box.shown() == set()
    hear(box, parcels)
    again = parcels_of(county, tmp_path / "out", 0.3)
    hear(box, again, "again")
    assert box.shown() == set(county.lessons)


def test_the_space_for_what_waits_is_bounded(tmp_path: Path, county: SmallCounty) -> None:
    box = deaf(tmp_path, county)
    box.parcel_space = 20 * (BLOCK + 100)
    box.start()
    parcels = parcels_of(county, tmp_path / "out")
    records = [record for data in parcels for record in read_records(data)]
    content = [dump_record(r) for r in records if isinstance(r, Block | Repair)]
    hear(box, [b"".join(content)], "content")
    assert 0 < box.stash.size() <= box.parcel_space
    hear(box, parcels)
    assert box.stash.size() <= box.parcel_space
    hear(box, parcels, "again")
    assert box.shown() == set(county.lessons), "what had to be forgotten came again"


def test_a_box_that_is_killed_again_and_again_gets_there(tmp_path: Path, county: SmallCounty) -> None:
    parcels = parcels_of(county, tmp_path / "out", 0.4)
    chance = random.Random(17)
    chance.shuffle(parcels)
    box = deaf(tmp_path, county)
    for number, data in enumerate(parcels[: len(parcels) * 4 // 5]):
        if number % 7 == 0:
            box.stash.crash()
            box.start()
        box.drops.put(f"drop/{number}", data)
        box.clock.go(1)
        assert box.engine is not None
        box.engine.step(box.clock.monotonic())
        box.drops.remove(f"drop/{number}") if number % 2 else None
    box.settle()
    assert box.shown() == set(county.lessons)


def test_what_is_for_others_is_not_kept(tmp_path: Path, county: SmallCounty) -> None:
    parcels = parcels_of(county, tmp_path / "out")
    box = MemoryBox(tmp_path, county)
    assert box.swarm is not None
    box.swarm.speed = 100
    box.start()
    box.settle()
    assert box.shown() == set(county.lessons)
    records = [record for data in parcels for record in read_records(data)]
    head = next(record for record in records if isinstance(record, Head))
    foreign = [Block(FileId("cd" * 32, 8 * BLOCK), at, bytes(BLOCK)) for at in range(8)]
    hear(box, [b"".join(map(dump_record, [head, *foreign])), *parcels])
    assert box.stash.groups() == []
    newer = Head(head.carousel, head.cycle, 1, head.parcels, head.release + 1, 8, NOW)
    hear(box, [b"".join(map(dump_record, [newer, *foreign]))], "newer")
    assert [shards.held for shards in box.stash.groups()] == [8]


def test_parcels_help_a_transfer_that_runs(tmp_path: Path, county: SmallCounty) -> None:
    box = MemoryBox(tmp_path, county)
    assert box.swarm is not None
    box.swarm.speed = 1
    engine = box.start()
    for _ in range(5):
        engine.step(box.clock.monotonic())
        box.clock.go(1)
    moved = sum(box.swarm.moved.values())
    assert moved
    parcels = parcels_of(county, tmp_path / "out", 0.3)
    hear(box, parcels[: len(parcels) * 85 // 100])
    assert box.shown() == set(county.lessons)
    assert sum(box.swarm.moved.values()) < moved + 30
