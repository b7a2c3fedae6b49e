"""Writing sticks: whole, in parts, full, again, damaged, pulled out, and made by somebody who means harm."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from content_sync.adapters.objects import FileShelf
from content_sync.adapters.stick import FolderStick, StickFiles, find_bag, read_requests
from content_sync.engine import shipment
from content_sync.engine.export import Export
from content_sync.errors import DiskFullError, LessonBoxError, NotFoundError, StorageError
from content_sync.formats import bag
from content_sync.formats.hashtree import BLOCK, FileId, block_count, root_of
from content_sync.formats.request import SHORT, Request, Rest, dump_request
from tests.unit.small_county import COLLECTION, NOW, SmallCounty
from tests.unit.sticks import Carrier, SmallStick, carried, check_bag, in_memory, missing

SIZES = {"一": (5 * BLOCK + 7, 100), "二": (9 * BLOCK,), "三": (3 * BLOCK, 4 * BLOCK + 1)}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory, for speed."""
    with in_memory() as folder:
        yield folder


@pytest.fixture
def county(tmp_path: Path) -> SmallCounty:
    made = SmallCounty(tmp_path / "county")
    for title, sizes in SIZES.items():
        made.noise(title, *sizes)
    made.publish()
    return made


@pytest.fixture
def carrier(county: SmallCounty, tmp_path: Path) -> Carrier:
    return Carrier(county, tmp_path / "objects")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


def infohash(carrier: Carrier, title: str) -> str:
    listed = {e.title: e.infohash for c in carrier.release().collections for e in c.lessons}
    return listed[title]


def test_a_whole_library_is_a_valid_bag_and_is_not_written_twice(carrier: Carrier, top: Path) -> None:
    made = carrier.export(FolderStick(top), verify=True)
    assert (made.lessons, made.rest.lessons, made.problems) == (3, (), ())
    assert made.bytes == sum(map(len, carrier.county.content.values())) < made.written
    info = check_bag(top)
    assert info["Lessonbox-Format"] == bag.FORMAT and info["Source-Organization"] == "清河县"
    assert not missing([top], carrier.county.content) and find_bag(top) == top / bag.DOWN
    assert not (top / bag.DOWN / bag.WRITING).exists()
    before = {path: path.stat().st_mtime_ns for path in (top / bag.DOWN / "data").rglob("*")}
    again = carrier.export(FolderStick(top))
    assert again.written == 0 and (again.lessons, again.bytes) == (3, made.bytes)
    assert before == {path: path.stat().st_mtime_ns for path in (top / bag.DOWN / "data").rglob("*")}
    check_bag(top)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_file_larger_than_the_file_system_takes_lies_in_parts(
    carrier: Carrier, top: Path, blocks: int
) -> None:
    made = carrier.export(FolderStick(top), most=blocks * BLOCK)
    assert made.lessons == 3 and not missing([top], carrier.county.content)
    largest = max(path.stat().st_size for path in (top / bag.DOWN).glob("data/objects/??/*"))
    assert largest <= blocks * BLOCK
    check_bag(top)
    assert carrier.export(FolderStick(top), most=blocks * BLOCK).written == 0
    # Another limit than the last time: what lies there in parts is whole too.
    assert carrier.export(FolderStick(top)).written == 0


def test_only_what_a_box_lacks(carrier: Carrier, top: Path) -> None:
    first, second = infohash(carrier, "一"), infohash(carrier, "二")
    roots = {title: [root for root, data in carrier.county.content.items() if data in files.values()]
             for title, files in carrier.county.lessons.items()}  # fmt: skip
    lacking = frozenset({roots["一"][0][:SHORT]})
    have = frozenset(root[:SHORT] for root in carrier.county.content)
    requests = [
        Request("b-0123456789abcdef", 1, (COLLECTION,), {first: lacking}, have),
        Request("b-1123456789abcdef", 0, ("*",), {second: None}, have - {roots["二"][0][:SHORT]}),
        Request("b-2123456789abcdef", 0, ("00000000-*",), {}, frozenset()),
    ]
    loads = shipment.for_requests(carrier.release(), requests)
    made = carrier.export(FolderStick(top), loads)
    assert set(carried(top)) == {roots["一"][0], roots["二"][0]}
    assert (made.files, made.asked, made.lessons) == (2, 2, 2)
    assert sorted(path.stem for path in (top / bag.DOWN).glob("data/packages/??/*.torrent")) == sorted(
        [first, second]
    )
    check_bag(top)


def test_the_most_urgent_come_first_and_the_rest_goes_onto_the_next_sticks(
    carrier: Carrier, tmp_path: Path
) -> None:
    order = {infohash(carrier, title): None for title in ("三", "一")}
    wish = Request("b-0123456789abcdef", 0, ("*",), order, frozenset())
    loads = shipment.for_requests(carrier.release(), [wish])
    assert [load.entry.title for load in loads] == ["三", "一", "二"]
    tops, rest, whole = [], Rest(), []
    for number in range(12):
        top = tmp_path / f"stick-{number}"
        top.mkdir()
        made = carrier.export(SmallStick(top, 800_000), loads)
        check_bag(top)
        tops.append(top)
        whole.append(made.lessons)
        again = carrier.export(SmallStick(top, 800_000), loads)
        assert again.written == 0 and again.rest == made.rest
        rest = made.rest
        if not rest.lessons:
            break
        assert made.left_bytes > 0 and isinstance(made.full(), DiskFullError)
        if number == 0:
            assert [name for name, _ in rest.lessons][-1] == infohash(carrier, "二")
        loads = shipment.for_rest(carrier.release(), rest)
    assert not rest.lessons and len(tops) > 1
    assert not missing(tops, carrier.county.content)
    total = sum(len(data) for found in map(carried, tops) for b in found.values() for data in b.values())
    assert total == sum(map(len, carrier.county.content.values())), "nothing was carried twice"


def test_a_stick_that_is_smaller_than_it_says(carrier: Carrier, top: Path) -> None:
    """Space is believed until a write fails: what fitted is kept and named, the bag is valid."""
    made = carrier.export(SmallStick(top, 330_000, lies=10_000_000))
    assert made.rest.lessons and made.left_bytes > 0 and made.bytes > 0
    check_bag(top)
    left = sum(
        len(carrier.county.content[root]) - begin * BLOCK
        for _, files in made.rest.lessons
        for root, begin in files.items()
    )
    assert left == made.left_bytes
    assert missing([top], carrier.county.content)
    assert carrier.export(SmallStick(top, 10_000_000)).lessons == 3
    assert not missing([top], carrier.county.content)


def test_what_nobody_asked_for_gives_way(carrier: Carrier, top: Path) -> None:
    carrier.export(FolderStick(top), shipment.for_all(carrier.release(), {infohash(carrier, "二")}))
    one = shipment.for_all(carrier.release(), {infohash(carrier, "一")})
    assert carrier.export(SmallStick(top, 10_000_000), one).lessons == 1
    assert len(carried(top)) == 5, "as long as there is room both stay"
    check_bag(top)
    three = shipment.for_all(carrier.release(), {infohash(carrier, "三")})
    room = SmallStick(top, 0).used() + 560_000
    made = carrier.export(SmallStick(top, room), three)
    assert made.lessons == 1 and len(carried(top)) == 3
    check_bag(top)


def test_an_unfinished_bag_is_believed_only_as_far_as_it_is_noted(carrier: Carrier, top: Path) -> None:
    """A file of the right name and size may hold nothing: the power went before its bytes were durable."""
    carrier.export(FolderStick(top))
    down = top / bag.DOWN
    large = max((down / "data").rglob("*"), key=lambda path: path.stat().st_size)
    digests = bag.parse_manifest((down / bag.MANIFEST).read_bytes())
    path = large.relative_to(down).as_posix()
    del digests[path]
    (down / bag.WRITING).write_bytes(bag.dump_manifest(digests) + b"torn li")
    for name in (bag.DECLARATION, bag.MANIFEST, bag.TAGS, bag.INFO):
        (down / name).unlink()
    assert find_bag(top) == down, "unfinished, and a source all the same"
    good = large.read_bytes()
    assert carrier.export(FolderStick(top)).written == 0 and large.read_bytes() == good
    (down / bag.DECLARATION).unlink()
    (down / bag.WRITING).write_bytes(bag.dump_manifest(digests))
    large.write_bytes(bytes(len(good)))
    assert carrier.export(FolderStick(top)).written == len(good) == large.stat().st_size
    assert large.read_bytes() == good
    check_bag(top)


def test_reading_back_finds_and_mends_what_the_medium_lost(carrier: Carrier, top: Path) -> None:
    carrier.export(FolderStick(top))
    large = max((top / bag.DOWN / "data").rglob("*"), key=lambda path: path.stat().st_size)
    good = large.read_bytes()
    large.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert carrier.export(FolderStick(top)).written == 0, "believed, unless asked to look"
    assert carrier.export(FolderStick(top), verify=True).written == len(good)
    assert large.read_bytes() == good
    check_bag(top)


def test_what_is_asked_for_again_is_read_before_it_is_believed(carrier: Carrier, top: Path) -> None:
    """A box that was given this bag says what it still lacks: the manifest's word on it is worth nothing."""
    carrier.export(FolderStick(top))
    data = top / bag.DOWN / "data"
    large = max(data.glob("objects/??/*"), key=lambda path: path.stat().st_size)
    leaves = max(data.glob("packages/??/*.leaves"), key=lambda path: path.stat().st_size)
    snapshot = data / "metadata" / "1.snapshot.json"
    spoilt = {path: path.read_bytes() for path in (large, leaves, snapshot)}
    for path, good in spoilt.items():
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    manifest = top / bag.DOWN / bag.MANIFEST  # even one that agrees with the damage
    bad = hashlib.sha256(large.read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text().replace(hashlib.sha256(spoilt[large]).hexdigest(), bad))
    made = carrier.export(FolderStick(top), asked=True)
    assert made.written == sum(map(len, spoilt.values())) and made.lessons == 3
    assert all(path.read_bytes() == good for path, good in spoilt.items())
    check_bag(top)
    assert carrier.export(FolderStick(top), asked=True).written == 0


class Forgetful(FolderStick):
    """A stick that gives back other bytes than were written."""

    def flush(self, paths: list[str]) -> None:  # type: ignore[override]
        super().flush(paths)
        for path in paths:
            if "objects" in path:
                place = self._folder / path
                place.write_bytes(bytes(place.stat().st_size))


def test_a_stick_that_forgets_is_refused(carrier: Carrier, top: Path) -> None:
    with pytest.raises(StorageError, match="do not use this stick"):
        carrier.export(Forgetful(top), verify=True)
    assert not (top / bag.DOWN / bag.DECLARATION).exists()


def test_what_is_damaged_or_gone_here_is_named_and_the_others_go(carrier: Carrier, top: Path) -> None:
    roots = {title: [root for root, data in carrier.county.content.items() if data in files.values()]
             for title, files in carrier.county.lessons.items()}  # fmt: skip
    damaged = carrier.objects / roots["一"][0]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    (carrier.objects / roots["二"][0]).unlink()
    made = carrier.export(FolderStick(top))
    assert made.lessons == 1 and not made.rest.lessons
    assert {subject: error.code for subject, error in made.problems} == {
        "一": "E-DAMAGED",
        "二": "E-NOT-FOUND",
    }
    assert missing([top], {root: carrier.county.content[root] for root in roots["三"]}) == 0
    check_bag(top)


def test_a_new_release_takes_the_place_of_the_old(carrier: Carrier, top: Path) -> None:
    carrier.export(FolderStick(top))
    carrier.county.noise("一", 2 * BLOCK, seed=1)
    carrier.county.publish(NOW + 60)
    carrier.renew()
    made = carrier.export(FolderStick(top))
    assert made.lessons == 3 and 2 * BLOCK < made.written < 2 * BLOCK + 40_000
    check_bag(top)
    data = top / bag.DOWN / "data/metadata"
    assert (data / "timestamp.json").read_bytes() == (
        carrier.county.public / "metadata/timestamp.json"
    ).read_bytes()


def test_links_on_a_stick_lead_nowhere(carrier: Carrier, top: Path, tmp_path: Path) -> None:
    """Who prepares a stick must not make the county's program write elsewhere."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "passwd").write_text("root")
    (top / "lessonbox").symlink_to(victim)
    with pytest.raises(StorageError, match="link"):
        carrier.export(FolderStick(top))
    (top / "lessonbox").unlink()
    data = top / bag.DOWN / "data"
    data.mkdir(parents=True)
    (data / "objects").symlink_to(victim)
    with pytest.raises(StorageError, match="link"):
        carrier.export(FolderStick(top))
    assert os.listdir(victim) == ["passwd"]
    (data / "objects").unlink()
    metadata = data / "metadata"
    metadata.mkdir(exist_ok=True)
    (metadata / "timestamp.json").unlink(missing_ok=True)
    (metadata / "timestamp.json").symlink_to(victim / "passwd")
    os.mkfifo(top / bag.DOWN / "data" / "pipe")
    (top / bag.UP).mkdir()
    (top / bag.UP / "x.request.json").symlink_to(victim / "passwd")
    os.mkfifo(top / bag.UP / "y.request.json")
    assert carrier.export(FolderStick(top)).lessons == 3
    assert (victim / "passwd").read_text() == "root" and not (metadata / "timestamp.json").is_symlink()
    assert read_requests(top) == ([], [])


def test_what_others_keep_on_the_stick_stays(carrier: Carrier, top: Path) -> None:
    (top / "照片").mkdir()
    (top / "照片" / "a.jpg").write_bytes(b"x")
    foreign = top / bag.DOWN / "data" / "notes.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    carrier.export(SmallStick(top, 1_000_000))
    assert foreign.read_text() == "mine" and (top / "照片" / "a.jpg").exists()
    check_bag(top)


class Pulled(FolderStick):
    """A stick that is gone after some files."""

    left = 3

    def write(self, path: str, blocks: object) -> None:
        self.left -= 1
        if not self.left:
            shutil.rmtree(self._top)
            self._top.mkdir()  # an empty mount point, on another file system
            self._device = -1
        super().write(path, blocks)  # type: ignore[arg-type]


def test_nothing_is_written_to_an_empty_mount_point(carrier: Carrier, top: Path) -> None:
    with pytest.raises(StorageError, match="pulled out"):
        carrier.export(Pulled(top))
    assert os.listdir(top) == []


def test_requests_on_a_stick(top: Path) -> None:
    up = top / bag.UP
    up.mkdir(parents=True)
    good = Request("b-0123456789abcdef", 1, ("*",), {}, frozenset())
    (up / f"{good.box}.request.json").write_bytes(dump_request(good))
    (up / "b-bad.request.json").write_bytes(b"{}")
    (up / "other.txt").write_bytes(b"x")
    found, odd = read_requests(top)
    assert found == [good] and [(name, error.code) for name, error in odd] == [
        ("b-bad.request.json", "E-FORMAT")
    ]


def test_before_the_first_release_there_is_nothing_to_carry(tmp_path: Path, top: Path) -> None:
    county = SmallCounty(tmp_path / "c")
    with pytest.raises(NotFoundError):
        Carrier(county, tmp_path / "o").release()
    assert issubclass(NotFoundError, LessonBoxError)


class Endless:
    """Objects that are all zeros, however long."""

    def blocks(self, root: str, first: int) -> Iterator[bytes]:
        while True:
            yield bytes(BLOCK)


class Sparse(FolderStick):
    """A stick on which large files take no space: they get their length, and their bytes are dropped."""

    def write(self, path: str, blocks: Iterable[bytes]) -> None:
        if "objects" not in path:
            return super().write(path, blocks)
        size = sum(map(len, blocks))
        super().write(path, [b""])
        os.truncate(self._folder / path, size)


@pytest.mark.slow
def test_a_file_beyond_4_gib_lies_in_two_parts_that_fat32_takes(tmp_path: Path, top: Path) -> None:
    length = (1 << 32) + 5 * BLOCK
    leaf = hashlib.sha256(bytes(BLOCK)).digest()
    leaves = leaf * block_count(length)
    file = FileId(root_of(leaves), length)
    county = SmallCounty(tmp_path / "county")
    county.noise("一", 10)
    county.publish()
    entry = next(e for c in Carrier(county, tmp_path / "o").release().collections for e in c.lessons)
    export = Export(Sparse(top), FileShelf(county.public), Endless())
    export._describe = lambda load: [(file, leaves, 0)]  # type: ignore[method-assign]
    made = export.run([], [shipment.Load(entry, lambda root: 0)], {})
    assert (made.lessons, made.bytes) == (1, length)
    sizes = {
        bag.part_of(path.relative_to(top / bag.DOWN).as_posix()): path.stat().st_size
        for path in (top / bag.DOWN).glob("data/objects/??/*")
    }
    assert sizes == {
        (file.root, 0): (1 << 32) - BLOCK,
        (file.root, (1 << 18) - 1): 6 * BLOCK,
    }
    assert max(sizes.values()) <= (1 << 32) - 1 and sum(sizes.values()) == length


def test_what_an_import_looks_through(tmp_path: Path) -> None:
    """Regular files as named and below; no links, no pipes, nothing endless."""
    deep = tmp_path / "a"
    for _ in range(80):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "too deep").write_bytes(b"x")
    (tmp_path / "a" / "d" / "x").write_bytes(b"xy")
    (tmp_path / "a" / "empty").write_bytes(b"")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "d" / "x")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").write_bytes(b"z")
    (tmp_path / "a" / "\udcff").write_bytes(b"no name that a database takes")
    os.mkfifo(tmp_path / "a" / "pipe")
    files = StickFiles([tmp_path / "a", tmp_path / "b", tmp_path / "nowhere"])
    found = {os.path.relpath(stat.path, tmp_path): stat.size for stat in files.scan()}
    assert found == {"a/d/x": 2, "b": 1}
    files.close()


@pytest.mark.root
@pytest.mark.needs("mount")
def test_an_import_stays_on_the_stick(tmp_path: Path) -> None:
    inner = tmp_path / "stick" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "stick" / "x").write_bytes(b"x")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(inner)], check=True)
    try:
        (inner / "y").write_bytes(b"y")
        found = [os.path.basename(stat.path) for stat in StickFiles([tmp_path / "stick"]).scan()]
        assert found == ["x"]
        with pytest.raises(StorageError, match="another file system"):
            (inner / "lessonbox").mkdir()
            (tmp_path / "stick" / "lessonbox").symlink_to(inner / "lessonbox")
            FolderStick(tmp_path / "stick").put("x", b"")
    finally:
        subprocess.run(["umount", "-l", str(inner)], check=True)
