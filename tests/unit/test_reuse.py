"""A changed lesson takes from its older version what both have, block by block."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from content_sync.formats.hashtree import BLOCK
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import NOW, SmallCounty, identify

OLD = random.Random(7).randbytes(20 * BLOCK + 9)


@pytest.fixture
def county(tmp_path: Path) -> SmallCounty:
    made = SmallCounty(tmp_path / "county")
    made.lessons["一"] = {"讲义.pdf": OLD, "其他.bin": b"x" * 99}
    made.publish()
    return made


@pytest.fixture
def box(tmp_path: Path, county: SmallCounty) -> MemoryBox:
    made = MemoryBox(tmp_path, county)
    made.start()
    made.settle()
    assert made.shown() == {"一"} and made.swarm is not None
    made.swarm.moved.clear()
    return made


def change(box: MemoryBox, name: str, data: bytes) -> str:
    """A release whose file is another; its root."""
    box.county.lessons["一"] = {name: data, "其他.bin": b"x" * 99}
    box.county.publish(NOW + 60)
    box.clock.go(400)
    return identify(data)[0].root


def test_blocks_of_an_appended_and_edited_file_are_copied(box: MemoryBox) -> None:
    new = OLD[: 3 * BLOCK] + b"!" * BLOCK + OLD[4 * BLOCK :] + b"more" * BLOCK
    root = change(box, "讲义.pdf", new)
    box.settle()
    assert box.shown() == {"一"} and box.state.lessons()[0].complete and box.swarm is not None
    assert sorted(index for file, index in box.swarm.moved if file == root) == [3, 20, 21, 22, 23, 24]
    assert set(box.store.whole) == box.state.referenced()  # the old file is gone, now that the new is shown


def test_blocks_are_found_wherever_they_stood_and_whatever_the_file_is_called(box: MemoryBox) -> None:
    root = change(box, "新讲义.pdf", OLD[10 * BLOCK : 16 * BLOCK] + b"?" * BLOCK)
    box.settle()
    assert box.swarm is not None and box.shown() == {"一"}
    assert [index for file, index in box.swarm.moved if file == root] == [6]


def test_a_block_that_rotted_in_the_old_file_is_fetched(box: MemoryBox) -> None:
    old = identify(OLD)[0].root
    box.store.rot(old, 5)
    root = change(box, "讲义.pdf", OLD + b"more")
    box.settle()
    assert box.swarm is not None and box.shown() == {"一"}
    assert sorted(index for file, index in box.swarm.moved if file == root) == [5, 20]


def test_a_box_with_no_line_needs_only_the_changed_blocks_in_its_drop(
    tmp_path: Path, county: SmallCounty
) -> None:
    box = MemoryBox(tmp_path, county, swarm=False)
    box.fetcher.up = False
    box.start()

    def bring(*contents: bytes) -> None:
        for path in county.public.rglob("*.*"):
            box.drops.put(str(path.relative_to(county.public)), path.read_bytes())
        for number, data in enumerate(contents):
            box.drops.put(f"{county.repository.release}-{number}.bin", data)
        box.settle()

    bring(*county.content.values())
    assert box.shown() == {"一"}
    for path in [path for path in box.drops.files if path.endswith(".bin")]:
        box.drops.remove(path)
    before = set(county.content)
    new = OLD[: 3 * BLOCK] + b"!" * BLOCK + OLD[4 * BLOCK :]
    change(box, "讲义.pdf", new)
    described = [data for root, data in county.content.items() if root not in before and data != new]
    bring(b"!" * BLOCK, *described)
    assert box.shown() == {"一"} and box.state.lessons()[0].complete


def asked_leaves(box: MemoryBox) -> list[int]:
    """Bytes of each answer that held leaf lists."""
    return [size for url, size in box.fetcher.sent if url.endswith(".leaves")]


def test_only_the_leaf_lists_of_changed_files_are_asked_for(tmp_path: Path) -> None:
    county = SmallCounty(tmp_path / "county")
    files = {name: random.Random(name).randbytes(60 * BLOCK + 7) for name in "甲乙丙丁"}
    county.lessons["一"] = dict(files)
    county.publish()
    box = MemoryBox(tmp_path, county)
    assert box.swarm is not None
    box.swarm.speed = 1000
    box.start()
    box.settle()
    assert box.shown() == {"一"}
    box.fetcher.sent.clear()
    new = random.Random(8).randbytes(50 * BLOCK)
    county.lessons["一"] = {**files, "丙": new, "戊": files["甲"]}
    county.publish(NOW + 60)
    box.clock.go(400)
    box.settle()
    assert box.shown() == {"一"} and box.state.lessons()[0].complete
    assert asked_leaves(box) == [32 * 50]


def test_a_file_that_another_lesson_has_needs_no_leaf_list(box: MemoryBox) -> None:
    box.fetcher.sent.clear()
    box.county.lessons["二"] = {"讲义.pdf": OLD, "新.bin": b"new" * 50}
    box.county.publish(NOW + 60)
    box.clock.go(400)
    box.settle()
    assert box.shown() == {"一", "二"} and not asked_leaves(box)


@pytest.mark.parametrize("answer", [b"", b"!" * 32 * 90])
def test_a_server_that_does_ranges_wrongly_is_asked_for_the_whole(
    box: MemoryBox, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    assert box.swarm is not None
    box.swarm.speed = 1000
    monkeypatch.setattr(box.fetcher, "part", lambda url, first, count: answer[:count])
    box.fetcher.sent.clear()
    more = random.Random(9).randbytes(90 * BLOCK)
    box.county.lessons["一"] = {"讲义.pdf": OLD, "新.bin": more}
    box.county.publish(NOW + 60)
    box.clock.go(400)
    box.settle()
    assert box.shown() == {"一"} and box.state.lessons()[0].complete
    assert len(asked_leaves(box)) == 1 and asked_leaves(box)[0] > 32 * 90
