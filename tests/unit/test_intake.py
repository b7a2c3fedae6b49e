"""What lies in drop folders, counted, cleared and survived: archives, foreign and unreadable files, very
many, folders that come and go."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from content_sync.adapters.drops import Folders, file_system, local
from content_sync.adapters.watchdog import WatchedFolders
from content_sync.engine import source
from content_sync.errors import DropError
from content_sync.formats.hashtree import BLOCK
from tests.e2e.programs import let_others_in
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import SmallCounty

NOISE = random.Random(9)


@pytest.fixture
def county(tmp_path: Path) -> SmallCounty:
    made = SmallCounty(tmp_path / "county")
    made.noise("一", 5 * BLOCK + 7, 100)
    made.noise("二", 3 * BLOCK)
    made.publish()
    return made


def fill(folder: Path, county: SmallCounty) -> None:
    """The release and the content, under names that say nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(sorted(path for path in county.public.rglob("*") if path.is_file())):
        (folder / f"{number}.tmp").write_bytes(path.read_bytes())
    for number, data in enumerate(county.content.values()):
        (folder / f"c{number}").write_bytes(data)


class OnDisk(MemoryBox):
    """A box without network whose drop folder is a real one."""

    def __init__(self, tmp_path: Path, county: SmallCounty, **more: Any) -> None:
        super().__init__(tmp_path, county, swarm=False)
        self.folder = tmp_path / "drop"
        self.folder.mkdir(exist_ok=True)
        self.urls = ()
        self.drops: Any = Folders([self.folder], **more)
        self.start()

    def wait(self, seconds: float = 61) -> dict[str, Any]:
        """Let time pass, in steps; the drop's figures then."""
        for _ in range(3):
            self.clock.go(seconds / 3)
            self.settle()
        self.clock.go(seconds)
        self.settle()
        found: dict[str, Any] = self.state.status("sources")["drop"]
        return found


def counts(status: dict[str, Any]) -> tuple[int, ...]:
    return tuple(status[key] for key in ("seen", "useful", "foreign", "unreadable", "consumed"))


def test_files_are_counted_by_what_they_are_good_for(tmp_path: Path, county: SmallCounty) -> None:
    box = OnDisk(tmp_path, county)
    fill(box.folder, county)
    total = len(list(box.folder.iterdir()))
    (box.folder / "foreign.mp4").write_bytes(NOISE.randbytes(4 * BLOCK))
    (box.folder / "zeros").write_bytes(bytes(4 * BLOCK))
    damaged = bytearray(county.lessons["二"]["资料 0.bin"])
    damaged[BLOCK + 1] ^= 1
    (box.folder / "damaged").write_bytes(damaged)
    status = box.wait()
    assert box.shown() == set(county.lessons)
    # useful: all but the first root, which came with the enrolment; and the damaged file
    assert counts(status) == (total + 3, total, 3, 0, total - 1)
    assert len(list(box.folder.iterdir())) == total + 3, "nothing is deleted unless it is said"


def test_consumed_files_are_deleted_where_it_is_said_and_nothing_else(
    tmp_path: Path, county: SmallCounty
) -> None:
    box = OnDisk(tmp_path, county, delete=[tmp_path / "drop"])
    fill(box.folder, county)
    lesson = county.lessons["一"]["资料 0.bin"]
    keep = {
        "foreign": NOISE.randbytes(BLOCK),
        "damaged": lesson[:BLOCK] + b"!" + lesson[BLOCK + 1 :],
        "both": lesson[: 5 * BLOCK] + NOISE.randbytes(BLOCK),
        "zeros": bytes(BLOCK),
    }
    for name, data in keep.items():
        (box.folder / name).write_bytes(data)
    (box.folder / "half").write_bytes(lesson[: 2 * BLOCK] + bytes(BLOCK))
    growing = (box.folder / "growing").open("wb")
    growing.write(lesson[: 2 * BLOCK])
    growing.flush()
    box.wait()
    status = box.wait()
    left = {path.name for path in box.folder.iterdir()}
    assert {*keep, "growing"} <= left and "half" not in left
    assert not {name for name in left if name.startswith("c")}
    assert status["consumed"] >= len(county.content) and box.shown() == set(county.lessons)
    growing.close()
    box.wait()
    box.wait()
    assert not (box.folder / "growing").exists(), "no one writes to it any more"


def test_nothing_is_deleted_before_it_is_durable(tmp_path: Path, county: SmallCounty) -> None:
    box = OnDisk(tmp_path, county, delete=[tmp_path / "drop"])
    fill(box.folder, county)
    block = county.lessons["一"]["资料 0.bin"][:BLOCK]
    for path in box.folder.glob("c*"):
        if path.read_bytes()[:BLOCK] == block:
            path.write_bytes(block)
    box.wait()
    box.wait()
    assert [path for path in box.folder.glob("c*") if path.read_bytes() == block], "its file is not whole"


def test_an_archive_brings_the_release_and_is_consumed_whole(tmp_path: Path, county: SmallCounty) -> None:
    box = OnDisk(tmp_path, county, delete=[tmp_path / "drop"])
    staging = tmp_path / "staging"
    fill(staging, county)
    with zipfile.ZipFile(box.folder / "课.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in staging.iterdir():
            if path.name.startswith("c"):
                archive.write(path, "三年级/" + path.name)
    with zipfile.ZipFile(box.folder / "more.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("foreign", NOISE.randbytes(100))
        for path in staging.iterdir():
            archive.write(path, path.name)
    box.wait()
    status = box.wait()
    assert box.shown() == set(county.lessons)
    assert [path.name for path in box.folder.iterdir()] == ["more.zip"], "one member is foreign"
    assert counts(status)[:3] == (1, 1, 0)


def test_an_archive_is_read_on_after_a_restart(
    tmp_path: Path, county: SmallCounty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "AT_ONCE", 1)
    box = OnDisk(tmp_path, county)
    staging = tmp_path / "staging"
    fill(staging, county)
    with zipfile.ZipFile(box.folder / "x", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in staging.iterdir():
            archive.write(path, path.name)
    for _ in range(4):
        assert box.engine is not None
        box.engine.step(box.clock.monotonic())
    assert box.shown() != set(county.lessons)
    box.start()
    box.settle()
    assert box.shown() == set(county.lessons)


def test_parts_that_were_read_and_not_matched_are_matched_after_a_restart(
    tmp_path: Path, county: SmallCounty, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = OnDisk(tmp_path, county)
    fill(tmp_path / "all", county)
    for path in (tmp_path / "all").iterdir():
        if path.stat().st_size != 3 * BLOCK:
            shutil.copy(path, box.folder)
    box.settle()
    assert box.shown() == {"一"}
    (box.folder / "moved").write_bytes(b"x" * BLOCK + county.lessons["二"]["资料 0.bin"])
    monkeypatch.setattr(source.Source, "_match_some", lambda self: self._unmatched.clear())
    box.wait()
    assert box.shown() == {"一"}
    monkeypatch.undo()
    box.start()
    box.settle()
    assert box.shown() == set(county.lessons)


def test_space_that_comes_back_is_used(tmp_path: Path, county: SmallCounty) -> None:
    box = OnDisk(tmp_path, county)
    box.store.space = 4 * BLOCK
    fill(box.folder, county)
    box.settle()
    assert box.shown() != set(county.lessons)
    assert "E-DISK-FULL" in {problem.code for problem in box.state.problems()}
    box.store.space = 1 << 40
    box.wait()
    assert box.shown() == set(county.lessons)
    assert not box.state.problems()


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user's files")
def test_another_users_files_are_told_and_tried_again(tmp_path: Path, county: SmallCounty) -> None:
    let_others_in(tmp_path)
    box = OnDisk(tmp_path, county)
    fill(box.folder, county)
    locked = next(path for path in box.folder.glob("c*") if path.stat().st_size == 3 * BLOCK)
    locked.chmod(0o600)
    with as_nobody(), pytest.raises(DropError):
        list(Folders([box.folder]).portions(str(locked)))

    class Nobody(Folders):
        def portions(self, path: str, first: int = 0) -> Iterator[bytes]:
            with as_nobody():
                return iter(list(super().portions(path, first)))

    box.drops = Nobody([box.folder])
    box.start()
    status = box.wait()
    assert counts(status)[3] == 1 and "二" not in box.shown()
    (problem,) = box.state.problems()
    assert (problem.code, problem.subject) == ("E-DROP", str(box.folder)) and locked.name in problem.message
    locked.chmod(0o644)
    box.wait(300)
    status = box.wait()
    assert box.shown() == set(county.lessons) and status["unreadable"] == 0 and not box.state.problems()


def test_a_folder_that_is_not_there_yet_harms_nothing(tmp_path: Path, county: SmallCounty) -> None:
    box = OnDisk(tmp_path, county)
    share = tmp_path / "share"
    box.drops = Folders([box.folder, share])
    box.start()
    fill(box.folder, county)
    status = box.wait()
    assert box.shown() == set(county.lessons)
    (problem,) = box.state.problems()
    assert (problem.code, problem.subject) == ("E-DROP", str(share))
    assert [folder["problem"] for folder in status["folders"]][0] == ""
    share.mkdir()
    (share / "foreign").write_bytes(NOISE.randbytes(10))
    before = status["seen"]
    assert box.wait()["seen"] == before + 1 and not box.state.problems()
    shutil.move(share, tmp_path / "away")
    assert box.wait()["seen"] == before + 1, "what was read there is not forgotten"
    shutil.move(tmp_path / "away", share)
    assert box.wait()["seen"] == before + 1 and not box.state.problems()


def test_a_long_import_lets_the_rest_go_on(
    tmp_path: Path, county: SmallCounty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "AT_ONCE", 1)
    box = MemoryBox(tmp_path, county)
    engine = box.start()
    box.settle()
    county.noise("三", BLOCK)
    county.publish(1_760_000_100)
    stick = tmp_path / "stick"
    stick.mkdir()
    for number in range(30):
        (stick / f"{number}").write_bytes(NOISE.randbytes(100))
    job = engine.begin_import([Folders([stick])])
    steps = 0
    engine.refresh_soon()
    while not job.done:
        engine.step(box.clock.monotonic())
        box.clock.go(1)
        steps += 1
        assert steps < 100
    assert steps >= 30 and job.files == 30 and job.lessons == 1, "the network brought one meanwhile"
    assert box.state.drop_files() == {}


def test_an_import_that_ends_early_says_why(tmp_path: Path, county: SmallCounty) -> None:
    box = MemoryBox(tmp_path, county)
    engine = box.start()

    def stages() -> Iterator[Folders]:
        yield Folders([tmp_path / "absent"])
        raise DropError("the stick was pulled out")

    job = engine.begin_import(stages())
    box.settle()
    assert job.done and job.error is not None and "pulled out" in job.error.what


# Folders of every kind


def test_kinds_of_file_systems() -> None:
    assert file_system("/proc/self") == "proc" and not local("/proc")
    assert file_system("/no\0name") == ""


def test_a_watched_folder_that_comes_later_gives_hints(tmp_path: Path) -> None:
    import threading

    told = threading.Event()
    late = tmp_path / "late"
    drops = WatchedFolders([late], told.set)
    try:
        assert list(drops.scan()) == [] and drops.folders()[0].problem
        late.mkdir()
        assert list(drops.scan()) == []
        if drops.folders()[0].polled:
            pytest.skip("the temporary folder's file system is not watched")
        drops.hint()
        told.clear()
        (late / "x").write_bytes(b"x")
        assert told.wait(20) and drops.hint()
        shutil.rmtree(late)
        assert list(drops.scan()) == []
        late.mkdir()
        (late / "y").write_bytes(b"y")
        assert [Path(stat.path).name for stat in drops.scan()] == ["y"]
    finally:
        drops.close()


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A folder and a FUSE mount of it."""
    if shutil.which("bindfs") is None or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("needs bindfs and /dev/fuse")
    below, mount = tmp_path / "receiver", tmp_path / "mnt"
    below.mkdir()
    mount.mkdir()
    made = subprocess.run(["bindfs", str(below), str(mount)], capture_output=True, timeout=30)
    if made.returncode:
        pytest.skip(f"no FUSE here: {made.stderr[:200]!r}")
    try:
        yield below, mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False, timeout=30)


def test_a_fuse_folder_where_no_change_is_reported(
    tmp_path: Path, county: SmallCounty, fuse: tuple[Path, Path]
) -> None:
    """The receiver writes below the mount, as the other end of a share does: the clock finds it."""
    below, mount = fuse
    box = OnDisk(tmp_path, county)
    box.drops = WatchedFolders([mount], lambda: None)
    try:
        box.start()
        box.settle()
        assert box.drops.folders()[0].polled
        fill(below, county)
        box.wait(15)
        assert box.shown() == set(county.lessons)
        subprocess.run(["umount", "-l", str(mount)], check=True, timeout=30)
        status = box.wait()
        assert "gone" in status["folders"][0]["problem"]
        assert [problem.code for problem in box.state.problems()] == ["E-DROP"]
        assert box.state.drop_files(), "what was read is not read again when the share comes back"
    finally:
        box.drops.close()


def test_a_share_that_does_not_answer_is_passed_over(
    tmp_path: Path, county: SmallCounty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a mount whose server is gone: every call waits."""
    import threading

    free = threading.Event()
    hung = tmp_path / "hung"
    hung.mkdir()
    scandir = os.scandir

    def stuck(path: Any) -> Any:
        if str(path) == str(hung):
            free.wait(60)
        return scandir(path)

    monkeypatch.setattr("content_sync.adapters.drops.os.scandir", stuck)
    monkeypatch.setattr("content_sync.adapters.drops._PATIENCE", 0.05)
    box = OnDisk(tmp_path, county, poll=True)
    box.drops = Folders([hung, box.folder], poll=True)
    try:
        box.start()
        fill(box.folder, county)
        status = box.wait()
        assert box.shown() == set(county.lessons)
        assert [folder["problem"] for folder in status["folders"]] == ["does not answer", ""]
    finally:
        free.set()


@pytest.mark.slow
def test_a_hundred_thousand_files_at_once(tmp_path: Path, county: SmallCounty) -> None:
    """Each step is a slice, the rest of the engine goes on, memory stays bounded."""
    import resource

    box = OnDisk(tmp_path, county)
    for folder in range(100):
        (box.folder / f"{folder}").mkdir()
        (box.folder / f"{folder}" / "0").write_bytes(b"%d" % folder)
        for number in range(1, 1000):  # links: made quickly, and files like any other to who reads them
            os.link(box.folder / f"{folder}" / "0", box.folder / f"{folder}" / f"{number}")
    fill(box.folder / "99", county)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert box.engine is not None
    box.clock.go(61)
    seen = []
    for _ in range(5000):
        due = box.engine.step(box.clock.monotonic())
        seen.append(len(box.engine._intake.main.ingest.paths))
        if box.engine.settled(box.clock.monotonic(), 5):
            break
        box.clock.go(max(0.05, min(due - box.clock.monotonic(), 1.0)))
    assert len(seen) > 100 and max(b - a for a, b in zip(seen, seen[1:], strict=False)) <= 2000
    assert box.shown() == set(county.lessons)
    box.clock.go(6)  # what they are good for is found out at most so often
    box.engine.step(box.clock.monotonic())
    box.clock.go(2)
    box.engine.step(box.clock.monotonic())
    assert box.state.status("sources")["drop"]["foreign"] >= 100_000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 150 << 10, f"{grown >> 10} MB"


def test_files_that_change_while_they_are_read(tmp_path: Path, county: SmallCounty) -> None:
    """Cut off, replaced, taken away in mid-reading: nothing wrong comes of it."""
    box = OnDisk(tmp_path, county)
    fill(box.folder, county)
    victim = next(path for path in box.folder.glob("c*") if path.stat().st_size == 5 * BLOCK + 7)
    acts: list[Callable[[], object]] = [
        lambda: os.truncate(victim, 2 * BLOCK),
        lambda: victim.write_bytes(bytes(5 * BLOCK + 7)),
        victim.unlink,
    ]

    class Acting(Folders):
        def portions(self, path: str, first: int = 0) -> Iterator[bytes]:
            for data in super().portions(path, first):
                for at in range(0, len(data), BLOCK):
                    if path == str(victim) and at == BLOCK and acts:
                        acts.pop(0)()
                    yield data[at : at + BLOCK]

    box.drops = Acting([box.folder])
    box.start()
    for _ in range(4):
        box.wait()
    assert not acts and box.shown() == {"二"}
    victim.write_bytes(county.lessons["一"]["资料 0.bin"])
    box.wait()
    assert box.shown() == set(county.lessons)


def test_a_broken_archive_is_named(tmp_path: Path, county: SmallCounty) -> None:
    box = OnDisk(tmp_path, county)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(county.content.values()):
            archive.writestr(f"{number}", data)
    (box.folder / "cut.zip").write_bytes(made.getvalue()[:-30])
    fill(box.folder, county)
    for path in box.folder.glob("c?"):
        path.unlink()
    box.wait()
    assert box.shown() == set(county.lessons)
    (problem,) = box.state.problems()
    assert (problem.code, Path(problem.subject).name) == ("E-ARCHIVE", "cut.zip")
    (box.folder / "cut.zip").unlink()
    box.wait()
    assert not box.state.problems()
