"""The lazy seeder on a real libtorrent: a package is loaded when it is asked for, by the tracker or by a peer
that knocks, and let go again; what the county lost is told."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from content_sync.adapters.libtorrent.seeder import Seeder, SeederOptions
from content_sync.adapters.libtorrent.session import lt, make_session
from content_sync.formats import torrent
from content_sync.formats.hashtree import FileId
from county.config import CountyPaths
from county.distribute.asking import Asked, ask
from county.distribute.seeding import Seeding, SeedingOptions
from county.library import LessonRow, Library, PackageRow, ReleaseRow
from county.publish.store import object_path
from tests.unit.small_county import NOW, identify

Wait = Callable[..., None]


@dataclass
class Bench:
    """A county's folder with lessons 0, 1, 2 …, and its seeder."""

    paths: CountyPaths
    library: Library
    made: list[torrent.Torrent]
    seeder: Seeder
    seeding: Seeding

    def hash(self, number: int) -> bytes:
        return bytes.fromhex(self.made[number].infohash)[:20]

    def loaded(self) -> set[int]:
        return {number for number, made in enumerate(self.made) if made.infohash in self.seeder.held()}

    def rows(self, numbers: range) -> list[LessonRow]:
        place = ("小学", "语文", "统编版", "三年级", "上册", "第一单元")
        return [
            LessonRow(self.made[n].name, "c-1", f"第{n}课", *place, self.made[n].infohash) for n in numbers
        ]


def lesson(paths: CountyPaths, library: Library, number: int) -> torrent.Torrent:
    chance = random.Random(number)
    data = {"lesson.json": b"{}%d" % number, "视频.mp4": chance.randbytes(200_000 + number)}
    files: list[tuple[str, FileId, bytes]] = []
    for path, content in data.items():
        file, leaves = identify(content)
        files.append((path, file, leaves))
        place = object_path(paths.objects, file.root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(0o444)
    made = torrent.build(f"lesson-{number:04}", files)
    digest = hashlib.sha256(made.data).hexdigest()
    place = paths.public / "targets" / "packages" / f"{digest}.{made.infohash}.torrent"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(made.data)
    row = PackageRow(made.infohash, made.name, made.files[0].file.root, made.name, made.size, digest,
                     len(made.data), "0" * 64, 64, NOW)  # fmt: skip
    library.put_package(row, [(path, file) for path, file, _ in files])
    return made


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    paths = CountyPaths(tmp_path)
    (paths.work / "scratch").mkdir(parents=True)
    library = Library.create(paths.library_db)
    made = [lesson(paths, library, number) for number in range(4)]
    seeder = Seeder(SeederOptions(0), paths.work / "scratch")
    options = SeedingOptions(most=3, keep=100.0)
    found = Bench(paths, library, made, seeder, Seeding(paths, library, seeder, options, lambda: float(NOW)))
    library.put_release(ReleaseRow(1, NOW, 4, 4, 1, 1), found.rows(range(4)))
    found.seeding.step(0.0)
    yield found
    library.close()


def test_loads_what_is_asked_for_and_lets_go(bench: Bench) -> None:
    assert bench.loaded() == set() and bench.seeding.figures(0)["torrents"] == 0
    assert bench.seeding.load(bench.hash(1), 1, 0, 10.0) and bench.loaded() == {1}
    assert bench.seeding.load(bench.hash(2), 1, 0, 20.0)
    assert not bench.seeding.load(bytes(20), 1, 0, 20.0)
    bench.seeding.load(bench.hash(1), 1, 0, 90.0)
    bench.seeding.step(121.0)
    assert bench.loaded() == {1}
    bench.seeding.step(200.0)
    assert bench.loaded() == set()
    assert bench.seeding.load(bench.hash(1), 1, 0, 201.0)


def test_no_more_than_the_setting_allows_are_held(bench: Bench) -> None:
    for number in range(4):
        assert bench.seeding.load(bench.hash(number), 1, 0, float(number))
    assert bench.loaded() == {1, 2, 3}, "the one that was asked for longest ago went"


def test_a_withdrawn_lesson_is_let_go_and_not_loaded_again(bench: Bench) -> None:
    bench.seeding.load(bench.hash(0), 1, 0, 1.0)
    bench.seeding.load(bench.hash(1), 1, 0, 1.0)
    bench.library.put_release(ReleaseRow(2, NOW + 1, 3, 3, 1, 1), bench.rows(range(1, 4)))
    bench.seeding.step(3.0)
    assert bench.loaded() == {1} and not bench.seeding.load(bench.hash(0), 1, 0, 4.0)


def test_a_lost_object_is_told_and_tried_again_later(bench: Bench) -> None:
    lost = object_path(bench.paths.objects, bench.made[0].files[1].file.root)
    away = lost.with_suffix(".away")
    lost.rename(away)
    assert not bench.seeding.load(bench.hash(0), 1, 0, 1.0)
    assert "E-NOT-FOUND" in bench.seeding.figures(0)["problems"][0]
    away.rename(lost)
    assert not bench.seeding.load(bench.hash(0), 1, 0, 2.0), "not again at each announce"
    assert bench.seeding.load(bench.hash(0), 1, 0, 32.0) and bench.seeding.figures(0)["problems"] == []


def test_a_damaged_torrent_file_is_told(bench: Bench) -> None:
    (file,) = (bench.paths.public / "targets/packages").glob(f"*.{bench.made[0].infohash}.torrent")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert not bench.seeding.load(bench.hash(0), 1, 0, 1.0)
    assert "E-TORRENT" in bench.seeding.figures(0)["problems"][0]


def download(made: torrent.Torrent, folder: Path) -> tuple[lt.session, lt.torrent_handle]:
    session = make_session(0, lsd=False, more={"min_reconnect_time": 1})
    params = lt.load_torrent_buffer(made.data)
    params.save_path = str(folder)
    return session, session.add_torrent(params)


def test_a_peer_that_knocks_is_let_in(bench: Bench, tmp_path: Path, wait_until: Wait) -> None:
    """Nobody announced: it was told the seeder's address by hand, or remembers it."""
    session, handle = download(bench.made[3], tmp_path / "box")

    def complete() -> bool:
        bench.seeding.step(time.monotonic())
        session.pop_alerts()
        if bench.seeder.listening:
            handle.connect_peer(("127.0.0.1", bench.seeder.port()))
        return bool(handle.status().is_seeding)

    wait_until(complete, 60, "the peer has the lesson")
    assert bench.loaded() == {3}


def test_a_damaged_object_is_told_and_let_go(bench: Bench, tmp_path: Path, wait_until: Wait) -> None:
    bad = object_path(bench.paths.objects, bench.made[0].files[1].file.root)
    bad.chmod(0o644)
    bad.write_bytes(b"\0" * bad.stat().st_size)
    assert bench.seeding.load(bench.hash(0), 1, 0, time.monotonic())
    session, handle = download(bench.made[0], tmp_path / "box")

    def told() -> bool:
        bench.seeding.step(time.monotonic())
        session.pop_alerts()
        if bench.seeder.listening:
            handle.connect_peer(("127.0.0.1", bench.seeder.port()))
        return any("E-STORAGE" in line for line in bench.seeding.figures(0)["problems"])

    wait_until(told, 60, "the damage is told")
    assert bench.loaded() == set() and bad.read_bytes() == b"\0" * bad.stat().st_size


def test_several_at_one_line_get_a_new_lesson_by_super_seeding(bench: Bench) -> None:
    now = time.monotonic()
    bench.seeding.load(bench.hash(0), 1, 0, now)
    assert bench.seeder.super_seeding() == set(), "one alone"
    bench.seeding.load(bench.hash(0), 2, 1, now)
    assert bench.seeder.super_seeding() == set(), "somebody has it already"
    bench.seeding.load(bench.hash(0), 2, 0, now)
    assert bench.seeder.super_seeding() == {bench.made[0].infohash}
    late = Seeding(bench.paths, bench.library, bench.seeder, SeedingOptions(), lambda: NOW + 86_400.0 * 30)
    late.load(bench.hash(1), 3, 0, now)
    assert bench.made[1].infohash not in bench.seeder.super_seeding(), "an old lesson"


def test_the_line_between_web_process_and_seeder(bench: Bench) -> None:
    work, asked = bench.paths.work, []
    assert not ask(work, bytes(20), 1, 0), "no seeder: no error, and no waiting"
    line = Asked(work)

    def load(prefix: bytes, near: int, seeds: int) -> bool:
        asked.append((prefix, near, seeds))
        return prefix == b"a" * 20

    found: list[bool] = []
    box = threading.Thread(
        target=lambda: found.extend((ask(work, b"a" * 20, 3, 1), ask(work, b"b" * 20, 70_000, 0)))
    )
    box.start()
    deadline = time.monotonic() + 30
    while len(asked) < 2 and time.monotonic() < deadline:
        line.answer(0.2, load)
    box.join(30)
    assert found == [True, False] and asked == [(b"a" * 20, 3, 1), (b"b" * 20, 65535, 0)]
    line.close()
    Asked(work).close()  # what a killed seeder left is no hindrance
