"""The engine's rules, without network or libtorrent."""

from __future__ import annotations

from pathlib import Path

import pytest

from content_sync.formats.hashtree import BLOCK
from content_sync.testing.fakes import FakeFetcher
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import NOW, URL, SmallCounty, identify


@pytest.fixture
def county(tmp_path: Path) -> SmallCounty:
    made = SmallCounty(tmp_path / "county")
    made.noise("一", 5 * BLOCK + 7, 100)
    made.noise("二", 3 * BLOCK)
    made.publish()
    return made


@pytest.fixture
def box(tmp_path: Path, county: SmallCounty) -> MemoryBox:
    return MemoryBox(tmp_path, county)


def test_everything_comes_once_and_is_handed_on(box: MemoryBox) -> None:
    engine = box.start()
    box.settle()
    assert engine.complete and box.shown() == {"一", "二"}
    assert box.swarm is not None and set(box.swarm.moved.values()) == {1}
    assert list(box.swarm.jobs.values()) == [True, True] and not box.store.arriving
    assert box.state.problems() == []


def test_a_restart_fetches_nothing_that_is_verified(box: MemoryBox) -> None:
    assert box.swarm is not None
    box.swarm.speed = 1
    for _ in range(20):
        engine = box.start()
        for _ in range(2):
            engine.step(box.clock.monotonic())
            box.clock.go(1)
    box.start()
    box.settle()
    assert box.shown() == {"一", "二"} and set(box.swarm.moved.values()) == {1}


def test_a_block_that_came_wrong_is_found_and_fetched_again_alone(
    box: MemoryBox, county: SmallCounty
) -> None:
    assert box.swarm is not None
    file, _ = identify(county.lessons["一"]["资料 0.bin"])
    box.swarm.spoil = {(file.root, 2)}
    box.start()
    for _ in range(100):
        box.engine.step(box.clock.monotonic())  # type: ignore[union-attr]
        box.clock.go(5)
    assert box.shown() == {"一", "二"}
    assert {place for place, count in box.swarm.moved.items() if count > 1} == {(file.root, 2)}


def test_no_network_at_all_and_a_drop_in_any_order(tmp_path: Path, county: SmallCounty) -> None:
    box = MemoryBox(tmp_path, county, swarm=False)
    box.fetcher.up = False
    box.start()
    files = {path.name: path.read_bytes() for path in county.public.rglob("*") if path.is_file()}
    files |= dict(county.content)
    for number, data in enumerate(sorted(files.values(), key=lambda data: identify(data)[0].root)):
        box.drops.put(f"drop/{number}", data)
        box.engine.step(box.clock.monotonic())  # type: ignore[union-attr]
        box.clock.go(1)
    box.settle()
    assert box.shown() == {"一", "二"}
    assert [problem.code for problem in box.state.problems()] == ["E-NETWORK"]


def test_a_drop_that_came_before_its_lesson_was_wanted(box: MemoryBox, county: SmallCounty) -> None:
    county.noise("三", 4 * BLOCK)
    box.start()
    box.drops.put("drop/early", b"\0" * BLOCK * 3 + county.lessons["三"]["资料 0.bin"])
    box.settle()
    county.publish()
    box.clock.go(400)
    box.settle()
    file, _ = identify(county.lessons["三"]["资料 0.bin"])
    assert box.swarm is not None and "三" in box.shown()
    assert not [place for place in box.swarm.moved if place[0] == file.root]


def test_a_changed_lesson_shows_its_old_version_until_the_new_one_is_whole(
    box: MemoryBox, county: SmallCounty
) -> None:
    box.start()
    box.settle()
    assert box.swarm is not None
    old = box.state.lessons()[0]
    box.swarm.speed = 0
    county.noise("一", 6 * BLOCK, seed=1)
    del county.lessons["二"]
    county.publish(NOW + 1)
    box.clock.go(400)
    box.settle()
    assert box.state.lessons()[0].present == old.present and len(box.state.lessons()) == 1
    assert box.state.lessons()[0].state == "present" and not box.state.lessons()[0].complete
    box.swarm.speed = 4
    box.clock.go(5)
    box.engine.step(box.clock.monotonic())  # type: ignore[union-attr]
    box.settle()
    assert box.state.lessons()[0].complete
    assert set(box.store.whole) == {identify(data)[0].root for data in county.lessons["一"].values()} | {
        root for root in box.state.referenced() if root in county.content
    }


def test_a_file_that_moved_to_another_lesson_is_not_fetched_again(
    box: MemoryBox, county: SmallCounty
) -> None:
    box.start()
    box.settle()
    assert box.swarm is not None
    county.lessons["新"] = {"换了名字.bin": county.lessons.pop("一")["资料 0.bin"]}
    county.publish(NOW + 1)
    box.clock.go(400)
    box.settle()
    assert box.shown() == {"新", "二"} and set(box.swarm.moved.values()) == {1}


def test_a_full_disk_is_named_and_the_smaller_lesson_comes(tmp_path: Path, county: SmallCounty) -> None:
    box = MemoryBox(tmp_path, county, space=4 * BLOCK)
    box.start()
    box.settle()
    assert box.shown() == {"二"}
    assert [problem.code for problem in box.state.problems()] == ["E-DISK-FULL"]
    assert "空间不足" in box.state.lessons()[0].reason
    box.store.space = 1 << 30
    box.clock.go(400)
    box.settle()
    assert box.shown() == {"一", "二"} and box.state.problems() == []


def test_a_lost_object_is_noticed_at_the_start_and_comes_again(box: MemoryBox, county: SmallCounty) -> None:
    box.start()
    box.settle()
    file, _ = identify(county.lessons["一"]["资料 0.bin"])
    del box.store.whole[file.root]
    box.start()
    assert box.shown() == {"二"}
    box.settle()
    assert box.shown() == {"一", "二"}


def test_a_county_that_serves_other_bytes_than_it_signed(box: MemoryBox, county: SmallCounty) -> None:
    box.start()
    box.settle()
    before = box.shown()
    county.noise("三", BLOCK)
    county.publish(NOW + 1)
    for path in (county.public / "targets" / "collections").iterdir():
        path.write_bytes(path.read_bytes().replace("三".encode(), "四".encode()))
    box.clock.go(400)
    box.settle()
    assert box.shown() == before and len(box.state.lessons()) == 2
    assert "E-TARGET" in {problem.code for problem in box.state.problems()}


def test_a_hint_makes_it_look_at_the_county_at_once(box: MemoryBox, county: SmallCounty) -> None:
    engine = box.start()
    box.settle()
    county.noise("三", BLOCK)
    county.publish()
    box.settle()
    assert box.shown() == {"一", "二"}
    engine.refresh_soon()
    box.settle()
    assert box.shown() == {"一", "二", "三"}


def test_a_box_that_never_saw_a_release_is_not_complete(box: MemoryBox) -> None:
    box.fetcher.up = False
    engine = box.start()
    box.settle()
    assert not engine.complete and [problem.code for problem in box.state.problems()] == ["E-NETWORK"]


def test_a_login_page_at_the_first_address_does_not_hide_the_second(
    tmp_path: Path, county: SmallCounty
) -> None:
    """A hotspot answers everything with 200 and HTML."""
    box = MemoryBox(tmp_path, county)
    box.urls = ("http://portal.test", URL)
    box.fetcher = FakeFetcher(lambda url: b"<html>" if "portal" in url else county.page(url))
    engine = box.start()
    box.settle()
    assert engine.complete and box.shown() == {"一", "二"}
    assert box.state.status("sources")["county"]["url"] == URL
    assert [(p.code, p.subject) for p in box.state.problems()] == [("E-FORMAT", "http://portal.test")]


def test_an_answer_that_is_no_countys_is_asked_again_soon(tmp_path: Path, county: SmallCounty) -> None:
    box = MemoryBox(tmp_path, county)
    box.fetcher = FakeFetcher(lambda url: b"<html>")
    engine = box.start()
    assert engine.step(box.clock.monotonic()) < 10
    box.clock.go(2)
    engine.step(box.clock.monotonic())
    assert box.state.status("sources")["county"]["reached"] is False


def test_what_a_crash_left_unsaid_about_the_release_is_said_at_the_start(
    box: MemoryBox, county: SmallCounty
) -> None:
    box.start()
    box.settle()
    said = {key: box.state.meta(key) for key in ("issued", "expires", "county", "floor", "timestamp")}
    with box.state.transaction() as db:
        db.execute("DELETE FROM meta WHERE key IN ('issued', 'expires', 'county', 'floor', 'timestamp')")
    box.fetcher.up = False
    box.start()
    assert {key: box.state.meta(key) for key in said} == said and None not in said.values()


def test_a_damaged_timestamp_does_not_bring_replaced_keys_back(box: MemoryBox, county: SmallCounty) -> None:
    box.start()
    box.settle()
    county.repository.rotate_root(county.folder / "root.pem", NOW + 5)
    county.publish(NOW + 10)
    box.clock.go(400)
    box.settle()
    box.shelf.files["metadata/timestamp.json"] = b"damaged"
    box.fetcher.up = False
    engine = box.start()
    assert engine._refresh.trust.root_version == 2
