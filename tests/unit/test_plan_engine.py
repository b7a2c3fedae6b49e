"""The plan in the engine: order, room, wishes, forecasts, and what a changed release costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
from msgspec.structs import replace

from content_sync.core.calendar import Need, Wishes
from content_sync.engine.sync import Engine
from content_sync.errors import DiskFullError, StorageError
from content_sync.formats.collection import (
    Collection,
    CollectionRef,
    LessonEntry,
    Subject,
    dump_collection,
    dump_subject,
)
from content_sync.formats.envelope import Envelope
from content_sync.formats.hashtree import BLOCK
from content_sync.formats.paths import collection_id, lesson_id, subject_id
from content_sync.formats.policy import Deadline, Policy, Term
from content_sync.testing.faults import KINDS, Crash, FaultState, Fuse
from tests.unit.box_in_memory import BOX, MemoryBox
from tests.unit.small_county import COLLECTION, NOW, PLACE, SmallCounty

AUTUMN = Term(date(2025, 9, 29), 20, "上册")  # NOW is in the second week


def identity(title: str) -> str:
    return lesson_id(COLLECTION, "第一单元", title)


@dataclass
class TermCounty(SmallCounty):
    """Lessons in two volumes and of weeks; policies for the one box."""

    volumes: dict[str, str] = field(default_factory=dict)  # title -> volume, 上册 where none is stated
    weeks: dict[str, int] = field(default_factory=dict)
    version: int = 0

    def publish(self, now: int = NOW) -> int:
        """Sign a release of a collection a volume."""
        found: dict[str, list[LessonEntry]] = {}
        for title, files in self.lessons.items():
            entry = replace(self._package(title, files), week=self.weeks.get(title))
            found.setdefault(self.volumes.get(title, "上册"), []).append(entry)
        stage, subject, edition, grade, _ = PLACE
        refs = []
        for volume in sorted(found):
            place = (stage, subject, edition, grade, volume)
            name, entries = collection_id(*place), tuple(found[volume])
            data = dump_collection(Collection(name, *place, lessons=entries))
            ref = self._target(f"collections/{name}.json", data)
            refs.append(
                CollectionRef(name, edition, grade, volume, len(entries), sum(e.size for e in entries), ref)
            )
        made = Subject(subject_id(stage, subject), stage, subject, tuple(refs))
        return self.repository.publish({made.id: (made, dump_subject(made))}, now, True)

    def policy(self, policy: Policy, now: int = NOW, patterns: tuple[str, ...] = ("*",)) -> None:
        """Sign an envelope."""
        self.version += 1
        envelope = Envelope(BOX, self.version, now, "1", "小学", patterns, None, True, policy=policy)
        path = self.public / "metadata" / "envelopes" / f"{BOX}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.repository.sign_envelope(envelope))


@pytest.fixture
def county(tmp_path: Path) -> TermCounty:
    return TermCounty(tmp_path / "county")


def box_of(tmp_path: Path, county: TermCounty, space: int = 1 << 40, active: int = 1) -> MemoryBox:
    box = MemoryBox(tmp_path, county, space=space)
    box.clock.unix, box.clock.origin, box.active = float(NOW + 60), "ntp", active
    assert box.swarm is not None
    box.swarm.speed = 20
    return box


def arrivals(box: MemoryBox, most: int = 400) -> list[str]:
    """Titles in the order in which they became visible."""
    assert box.engine is not None
    seen: list[str] = []
    for _ in range(most):
        box.engine.step(box.clock.monotonic())
        seen += [row.title for row in box.state.lessons() if row.present and row.title not in seen]
        if box.engine.settled(box.clock.monotonic(), 60):
            return seen
        box.clock.go(1.0)
    raise AssertionError(seen)


def test_deadline_wish_calendar_then_the_rest(tmp_path: Path, county: TermCounty) -> None:
    for title in "一二三四五六":
        county.noise(title, 3 * BLOCK)
    county.weeks = {"一": 12, "二": 3, "三": 2}
    county.volumes["五"] = "下册"
    county.publish()
    county.policy(Policy(deadlines=(Deadline(identity("六"), NOW + 9_000),), term=AUTUMN))
    box = box_of(tmp_path, county)
    box.start().wish({identity("四"): Wishes(1, NOW)})
    assert arrivals(box) == list("六四三二一五")


def test_a_clock_that_is_wrong_orders_nothing(tmp_path: Path, county: TermCounty) -> None:
    for title in "一二三":
        county.noise(title, 3 * BLOCK)
    county.weeks = {"三": 2}
    county.publish()
    county.policy(Policy(term=AUTUMN))
    box = box_of(tmp_path, county)
    box.clock.unix, box.clock.origin = 0.0, "system"
    box.start()
    assert arrivals(box) == list("一二三")
    assert box.state.status("plan")["clock"] is False
    assert all(row.first is None for row in box.state.planned().values())


def test_an_urgent_lesson_stops_the_others_and_they_go_on_after_it(
    tmp_path: Path, county: TermCounty
) -> None:
    for title in "一二三":
        county.noise(title, 40 * BLOCK)
    county.publish()
    box = box_of(tmp_path, county, active=1)
    assert box.swarm is not None
    box.swarm.speed = 6
    engine = box.start()
    for _ in range(3):
        engine.step(box.clock.monotonic())
        box.clock.go(1.0)
    assert len(box.swarm.jobs) == 1
    engine.wish({identity("三"): Wishes(2, NOW)})
    assert arrivals(box)[0] == "三"
    assert box.shown() == set("一二三")
    assert set(box.swarm.moved.values()) == {1}  # stopped and gone on with, nothing came twice


def test_every_lesson_that_lacks_says_why_and_when(tmp_path: Path, county: TermCounty) -> None:
    for title in "一二三四":
        county.noise(title, 500 * BLOCK)
    county.publish()
    county.policy(Policy(deadlines=(Deadline(identity("四"), NOW + 9_000),)))
    box = box_of(tmp_path, county)
    assert box.swarm is not None
    box.swarm.speed = 4
    engine = box.start()
    for _ in range(80):
        engine.step(box.clock.monotonic())
        box.clock.go(10.0)
    planned = {row.lesson: row for row in box.state.planned().values()}
    rows = {row.title: planned[row.id] for row in box.state.lessons() if row.id in planned}
    assert rows["四"].code == "arriving" and rows["四"].need == Need.DEADLINE
    assert rows["一"].code in ("queued", "urgent")
    for title in "四一二三":
        first, last = rows[title].first, rows[title].last
        assert first is not None and last is not None and NOW < first <= last
    assert (rows["三"].last or 0) > (rows["四"].last or 0)
    assert {row.reason for row in box.state.lessons() if row.title == "四"} == {"正在接收"}
    # the memory of the line outlives the program
    box.clock.go(3 * 3600.0)
    engine.step(box.clock.monotonic())
    assert box.state.status("line")["hours"]


def library(county: TermCounty) -> None:
    """Two volumes: three lessons each, of about ten blocks."""
    for title in "甲乙丙":
        county.noise(title, 10 * BLOCK)
        county.volumes[title] = "下册"
    for title in "子丑寅":
        county.noise(title, 10 * BLOCK)


def fill_then_change_term(tmp_path: Path, county: TermCounty) -> MemoryBox:
    """A disk with room for four lessons, full of spring's; then autumn comes."""
    library(county)
    autumn = {title: county.lessons.pop(title) for title in "子丑寅"}
    county.publish()
    county.policy(Policy(term=replace(AUTUMN, volume="下册")))
    box = box_of(tmp_path, county, space=42 * BLOCK, active=2)
    box.start()
    box.settle()
    assert box.shown() == set("甲乙丙")
    county.lessons |= autumn
    county.publish(NOW + 60)
    county.policy(Policy(term=AUTUMN, pins=(identity("乙"),)))
    box.clock.go(400)
    return box


def test_past_terms_make_room_for_this_one_and_it_is_quiet_then(tmp_path: Path, county: TermCounty) -> None:
    box = fill_then_change_term(tmp_path, county)
    box.settle()
    assert box.shown() == set("乙子丑寅")
    swarm = box.swarm
    assert swarm is not None
    moved = dict(swarm.moved)
    planned = {row.lesson: row for row in box.state.planned().values()}
    assert {planned[identity(title)].code for title in "甲丙"} <= {"evicted", "space"}
    assert all(planned[identity(title)].evicted for title in "甲丙")
    for _ in range(50):
        box.engine.step(box.clock.monotonic())  # type: ignore[union-attr]
        box.clock.go(120.0)
    assert box.shown() == set("乙子丑寅") and swarm.moved == moved
    box.start()
    box.settle()
    assert box.shown() == set("乙子丑寅") and swarm.moved == moved


def send(county: TermCounty, box: MemoryBox, known: set[str]) -> None:
    """Into the drop: all that is signed, and the content but what is known."""
    for path in sorted(path for path in county.public.rglob("*") if path.is_file()):
        box.drops.put(f"drop/{path.relative_to(county.public)}", path.read_bytes())
    for root in sorted(county.content.keys() - known):
        box.drops.put(f"drop/{root}", county.content[root])


def test_a_point_that_only_receives_makes_room_for_what_has_come(tmp_path: Path, county: TermCounty) -> None:
    library(county)
    autumn = {title: county.lessons.pop(title) for title in "子丑寅"}
    county.publish()
    county.policy(Policy(term=replace(AUTUMN, volume="下册")))
    box = MemoryBox(tmp_path, county, swarm=False, space=42 * BLOCK)
    box.clock.unix, box.clock.origin = float(NOW + 60), "ntp"
    box.urls = ()
    box.start()
    send(county, box, set())
    box.settle()
    assert box.shown() == set("甲乙丙")
    before = set(county.content)
    county.lessons |= autumn
    county.publish(NOW + 60)
    county.policy(Policy(term=AUTUMN, pins=(identity("乙"),)))
    send(county, box, set(county.content))
    box.clock.go(400)
    box.settle()
    assert box.shown() == set("甲乙丙")  # nothing goes before something has come
    send(county, box, before)
    box.settle()
    assert box.shown() == set("乙子丑寅")


def test_what_is_not_subscribed_to_any_more_stays_until_its_room_is_needed(
    tmp_path: Path, county: TermCounty
) -> None:
    library(county)
    autumn = {title: county.lessons.pop(title) for title in "子丑寅"}
    county.publish()
    county.policy(Policy())
    box = box_of(tmp_path, county, space=42 * BLOCK, active=2)
    box.start()
    box.settle()
    assert box.shown() == set("甲乙丙")
    only = (collection_id(*PLACE),)
    county.policy(Policy(), patterns=only)
    box.clock.go(400)
    box.settle()
    assert box.shown() == set("甲乙丙") and box.engine is not None and box.engine.complete
    county.lessons |= autumn
    del county.lessons["甲"]  # and what the county withdraws is gone at once, kept or not
    county.publish(NOW + 60)
    box.clock.go(400)
    box.engine.step(box.clock.monotonic())
    assert box.shown() <= set("乙丙子丑寅")
    box.settle()
    assert box.shown() >= set("子丑寅") and len(box.shown()) == 4 and box.engine.complete
    moved = dict(box.swarm.moved)  # type: ignore[union-attr]
    box.start()
    box.settle()
    assert len(box.shown()) == 4 and box.engine.complete
    assert box.swarm is not None and box.swarm.moved == moved
    county.policy(Policy())  # subscribed to again: what is here needs nothing
    box.clock.go(400)
    box.settle()
    assert len(box.shown()) == 4


def test_without_a_term_nothing_makes_room(tmp_path: Path, county: TermCounty) -> None:
    library(county)
    county.publish()
    county.policy(Policy())
    box = box_of(tmp_path, county, space=42 * BLOCK)
    box.clock.unix = 4e9  # a clock far in the future evicts nothing either
    box.start()
    box.settle()
    assert len(box.shown()) == 4
    assert "E-DISK-FULL" in {problem.code for problem in box.state.problems()}


def test_the_countys_reserve_stays_free(tmp_path: Path, county: TermCounty) -> None:
    for title in "一二三":
        county.noise(title, 60 * BLOCK)
    county.publish()
    county.policy(Policy(reserve=1 << 20))
    box = box_of(tmp_path, county, space=200 * BLOCK)
    box.start()
    box.settle()
    assert box.shown() == set("一二") and box.store.free() >= 1 << 20


@pytest.mark.parametrize("kind", KINDS[:3])
def test_power_may_go_while_room_is_made(tmp_path: Path, county: TermCounty, kind: str) -> None:
    faults = 0
    for at in range(12):
        folder = tmp_path / str(at)
        folder.mkdir()
        box = fill_then_change_term(folder, TermCounty(folder / "county"))
        fuse = Fuse(at, kind)

        def through(name: str, part: object, fuse: Fuse = fuse) -> object:
            return FaultState(part, fuse, ("evict", "forget_objects")) if name == "state" else part

        try:
            box.start(through)
            box.settle()
        except (Crash, StorageError, DiskFullError):
            pass
        except AssertionError:
            assert kind in ("full", "error")
        faults += fuse.blown
        box.start()
        box.settle()
        assert box.shown() == set("乙子丑寅")
        if not fuse.blown:
            break
    assert faults >= 2


def test_withdrawn_is_gone_at_once_and_its_space_comes_back(tmp_path: Path, county: TermCounty) -> None:
    county.noise("一", 30 * BLOCK)
    county.noise("二", 5 * BLOCK)
    county.publish()
    box = box_of(tmp_path, county)
    box.start()
    box.settle()
    free = box.store.free()
    del county.lessons["一"]
    county.publish(NOW + 60)
    box.clock.go(400)
    assert box.engine is not None
    box.engine.step(box.clock.monotonic())
    assert box.shown() == {"二"}
    box.settle()
    assert box.store.free() >= free + 30 * BLOCK


def test_a_withdrawn_lesson_makes_room_even_while_others_are_not_described(
    tmp_path: Path, county: TermCounty
) -> None:
    county.noise("一", 30 * BLOCK)
    county.publish()
    box = box_of(tmp_path, county, space=40 * BLOCK)
    box.start()
    box.settle()
    county.lessons.clear()
    for title in "二三":
        county.noise(title, 30 * BLOCK)
    county.publish(NOW + 60)
    box.clock.go(400)
    box.settle()
    assert len(box.shown()) == 1 and box.shown() <= set("二三")


@pytest.mark.parametrize("change", [lambda c: rename(c), lambda c: move(c)])
def test_a_renamed_or_moved_lesson_costs_nothing(
    tmp_path: Path, county: TermCounty, change: Callable[[TermCounty], str]
) -> None:
    for title in "一二三":
        county.noise(title, 20 * BLOCK, 7)
    county.publish()
    box = box_of(tmp_path, county)
    box.start()
    box.settle()
    assert box.swarm is not None
    before = box.swarm.received()
    title = change(county)
    county.publish(NOW + 60)
    box.clock.go(400)
    box.settle()
    assert box.shown() == {title, "二", "三"}
    assert box.swarm.received() - before < 2 * BLOCK  # its description alone
    assert box.engine is not None and box.engine.complete


def rename(county: TermCounty) -> str:
    county.lessons = {"新": county.lessons.pop("一"), **county.lessons}
    return "新"


def move(county: TermCounty) -> str:
    county.volumes["一"] = "下册"
    return "一"


def test_nothing_is_planned_while_nothing_changes(tmp_path: Path, county: TermCounty) -> None:
    county.noise("一", 3000 * BLOCK)
    county.publish()
    box = box_of(tmp_path, county)
    engine: Engine = box.start()
    for _ in range(5):
        engine.step(box.clock.monotonic())
        box.clock.go(1.0)
    made = engine._planning._made
    for _ in range(20):
        engine.step(box.clock.monotonic())
        box.clock.go(1.0)
    assert engine._planning._made is made
