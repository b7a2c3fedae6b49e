"""The scrub: what rots is withheld, its good blocks are kept, and it comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from content_sync.engine import scrub
from content_sync.engine.sync import Engine
from content_sync.formats.hashtree import BLOCK
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import SmallCounty, identify

BIG = 300 * BLOCK + 7


@pytest.fixture
def county(tmp_path: Path) -> SmallCounty:
    made = SmallCounty(tmp_path / "county")
    made.noise("一", BIG, 100)
    made.noise("二", 3 * BLOCK)
    made.lessons["三"] = {"共用.bin": made.lessons["一"]["资料 0.bin"], "资料.bin": b"x" * 99}
    made.publish()
    return made


#: Seconds that a pass takes here.
PASS = 4000


@pytest.fixture
def box(tmp_path: Path, county: SmallCounty, monkeypatch: pytest.MonkeyPatch) -> MemoryBox:
    monkeypatch.setattr(scrub, "TURN", 1 << 20)
    made = MemoryBox(tmp_path, county)
    start = made.start

    def quick() -> Engine:
        engine = start()
        engine._scrub._days = PASS / 86_400
        return engine

    made.start = quick  # type: ignore[method-assign,assignment]
    assert made.swarm is not None
    made.swarm.speed = 100
    made.start()
    made.settle()
    assert made.shown() == {"一", "二", "三"}
    made.swarm.moved.clear()
    return made


def root_of(county: SmallCounty, title: str, number: int = 0) -> str:
    return identify(list(county.lessons[title].values())[number])[0].root


def run(box: MemoryBox, seconds: float, step: float = 100) -> None:
    """Let the box stand there."""
    assert box.engine is not None
    end = box.clock.now + seconds
    while box.clock.now < end:
        box.engine.step(box.clock.monotonic())
        box.clock.go(step)


def states(box: MemoryBox) -> dict[str, tuple[str, bool]]:
    return {row.title: (row.state, row.repairing) for row in box.state.lessons()}


def test_a_pass_finds_rot_and_fetches_the_bad_block_alone(box: MemoryBox, county: SmallCounty) -> None:
    root, assured = root_of(county, "一"), box.swarm
    assert assured is not None
    arrived = {row.title: row.arrived for row in box.state.lessons()}
    box.store.rot(root, 171)
    assured.speed = 0
    run(box, 2.2 * PASS)
    assert states(box) == {"一": ("arriving", True), "二": ("present", False), "三": ("arriving", True)}
    assert box.state.visible_file(root) is None and root not in box.store.whole
    assert {p.code for p in box.state.problems()} == {"E-ROT"}
    assert {p.subject for p in box.state.problems()} == {"一", "三"}
    assured.speed = 4
    box.settle()
    assert box.shown() == {"一", "二", "三"} and box.state.problems() == []
    assert set(assured.moved) == {(root, 171)} and set(assured.moved.values()) == {1}
    assert {row.title: row.arrived for row in box.state.lessons()} == arrived  # nothing new came
    assert box.state.repairs() == {root: (1, 1)}
    run(box, 2.2 * PASS)
    assert box.state.repairs() == {root: (1, 0)}  # the next pass found it whole


def test_a_pass_takes_the_days_that_are_set_and_survives_restarts(box: MemoryBox) -> None:
    """Each life of the box is too short for a pass, and for the large file."""
    reads: list[tuple[str, int]] = []
    inspect = box.store.inspect

    def counted(root: str, first: int, count: int) -> list[bytes]:
        reads.append((root, first))
        return inspect(root, first, count)

    box.store.inspect = counted  # type: ignore[method-assign]
    lives = 0
    while box.state.status("scrub") is None or box.state.status("scrub")["passes"] < 1:
        run(box, PASS / 3)
        box.engine.close()  # type: ignore[union-attr]
        box.start()
        lives += 1
        assert lives < 40
    assert lives >= 3  # never faster than it may
    assert len(reads) == len(set(reads))  # nothing was read twice


def test_it_stands_still_while_a_class_streams(box: MemoryBox, county: SmallCounty) -> None:
    assert box.engine is not None
    box.engine._busy = lambda: True
    box.store.rot(root_of(county, "二"), 1)
    run(box, 3 * PASS)
    assert states(box)["二"] == ("present", False)
    box.engine._busy = lambda: False
    box.swarm.speed = 0  # type: ignore[union-attr]
    run(box, 2.2 * PASS)
    assert states(box)["二"][1]


def test_what_a_reader_could_not_read_is_looked_at_at_once(box: MemoryBox, county: SmallCounty) -> None:
    root = root_of(county, "一")
    assert box.engine is not None and box.swarm is not None
    box.engine._busy = lambda: True  # it is the very class that saw it
    box.engine.suspect(root)
    box.engine.suspect("0" * 64)
    box.settle()
    assert states(box)["一"] == ("present", False)  # it was a false alarm
    box.store.unreadable = {(root, 5), (root, 299)}
    box.engine.suspect(root)
    box.engine.step(box.clock.monotonic())
    assert box.state.visible_file(root) is None
    box.settle()
    assert box.shown() == {"一", "二", "三"}
    assert set(box.swarm.moved) == {(root, 5), (root, 299)}


def test_what_lies_in_a_drop_repairs_without_the_network(box: MemoryBox, county: SmallCounty) -> None:
    assert box.engine is not None and box.swarm is not None
    box.drops.put("again.bin", county.lessons["一"]["资料 0.bin"])
    box.settle()
    box.swarm.content = {}
    box.store.rot(root_of(county, "一"), 0)
    box.engine.suspect(root_of(county, "一"))
    box.settle()
    assert box.shown() == {"一", "二", "三"} and not box.swarm.moved


def test_a_dying_disk_is_not_written_to_without_end(box: MemoryBox, county: SmallCounty) -> None:
    """One block goes bad again whenever it was mended: the waits grow, a person is told, restarts change
    nothing."""
    root = root_of(county, "二")
    assert box.engine is not None and box.swarm is not None
    box.engine._busy = lambda: True  # no pass finds it whole between
    for hour in range(72):
        if root in box.store.whole:
            box.store.rot(root, 1)
            box.engine.suspect(root)
        for _ in range(3):
            box.engine.step(box.clock.monotonic())
            box.clock.go(1200)
        if hour == 40:
            box.engine = box.start()
            box.engine._busy = lambda: True
    assert 4 <= box.swarm.moved[root, 1] <= 7
    assert "E-DISK-FAILING" in {p.code for p in box.state.problems()}
    assert box.state.status("scrub")["rotten"] == box.state.repairs()[root][0]


def test_a_lost_state_believes_the_marks_but_not_for_what_was_bad(
    box: MemoryBox, county: SmallCounty, tmp_path: Path
) -> None:
    assert box.swarm is not None
    box.store.rot(root_of(county, "二"), 0, marked=False)  # written to since it was admitted
    box.state.close()
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    box.reopen()
    engine = box.start()
    assert {row.title for row in box.state.lessons() if row.present} == {"一", "三"}  # at once
    engine.step(box.clock.monotonic())
    box.settle()
    assert box.shown() == {"一", "二", "三"} and set(box.swarm.moved) == {(root_of(county, "二"), 0)}
    # Withheld, and cut off before the file was moved: its mark is believed no more.
    root = root_of(county, "一")
    box.store.rot(root, 7)
    file, _ = identify(county.lessons["一"]["资料 0.bin"])
    box.state.withhold(file, 0)
    box.swarm.speed = 0
    engine = box.start()
    assert box.state.visible_file(root) is None
    engine.step(box.clock.monotonic())
    assert root in box.store.arriving and box.state.visible_file(root) is None


def test_the_words_of_the_status_are_json(box: MemoryBox) -> None:
    assert box.engine is not None
    box.engine.close()
    assert json.dumps(box.state.status("scrub"))
