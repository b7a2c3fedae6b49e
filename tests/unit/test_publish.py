"""`county publish` inside one process: what is made, made again and refused, and crashes between steps."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from content_sync.adapters.tuf import Trust
from content_sync.errors import (
    BusyError,
    ClockError,
    DiskFullError,
    LessonBoxError,
    NewerDataError,
    SettingError,
    SetupError,
    SourceError,
)
from content_sync.formats import torrent
from content_sync.formats.collection import Collection, TargetRef, parse_collection, parse_subject
from content_sync.formats.hashtree import identify
from content_sync.formats.lesson import Lesson, check_against, parse_lesson
from county import setup
from county.config import CountyPaths, load_settings
from county.library import Library
from county.publish import publish as publishing
from county.publish.publish import Published, publish
from county.publish.signing import Repository
from county.publish.store import object_path
from county.publish.tools import Tools
from tests import quizzes

NOW = 1_800_000_000
PLACE = "小学/语文/统编版/三年级上册/第六单元 祖国河山"


class Bar:
    """A bar that only checks that what is done rises to its total."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self.total, self.done = total, 0

    def to(self, done: int) -> None:
        assert self.done <= done <= self.total
        self.done = done

    def close(self) -> None:
        pass


class County:
    """A county, its source folder and a clock."""

    def __init__(self, folder: Path) -> None:
        self.paths, self.source, self.now = CountyPaths(folder / "county"), folder / "src", NOW
        self.source.mkdir()
        self.seconds = 60.0

    def write(self, path: str, data: bytes, lesson: str = "17 古诗三首") -> Path:
        target = self.source / PLACE / lesson / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        os.utime(target, (NOW - 10_000, NOW - 10_000))
        return target

    def publish(self, *, path: str = "", **more: bool) -> Published:
        """Publish; `path`: where external programs are looked for (nowhere)."""
        tools = Tools(self.paths.work / "publish", seconds=self.seconds, path=path)
        settings = load_settings(self.paths.data)
        return publish(self.paths, settings, [self.source], lambda: self.now, Bar, tools=tools, **more)

    def collections(self) -> dict[str, Collection]:
        """What a box reads: from the signed targets down, every hash checked."""
        metadata = self.paths.public / "metadata"
        trust = Trust.from_root((metadata / "1.root.json").read_bytes())
        trust.update_timestamp((metadata / "timestamp.json").read_bytes())
        trust.update_snapshot((metadata / trust.snapshot_ref().path).read_bytes())
        trust.update_targets((metadata / trust.targets_ref().path).read_bytes())
        found = {}
        for ref in trust.subjects.values():
            subject = parse_subject(self.target(ref))
            for collection in subject.collections:
                found[collection.id] = parse_collection(self.target(collection.index))
        return found

    def target(self, ref: TargetRef) -> bytes:
        data = (self.paths.public / "targets" / ref.url_path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (ref.length, ref.sha256)
        return data

    def lessons(self) -> dict[str, Lesson]:
        """Every published lesson by title, its package checked byte for byte as a box would."""
        found = {}
        for collection in self.collections().values():
            for entry in collection.lessons:
                package = torrent.parse(self.target(entry.torrent), entry.infohash)
                leaves = torrent.split_leaves(package, self.target(entry.leaves))
                for held in package.files:
                    with object_path(self.paths.objects, held.file.root).open("rb") as stream:
                        assert identify(stream) == (held.file, leaves[held.path])
                files = {held.path: held.file for held in package.files}
                lesson = parse_lesson(object_path(self.paths.objects, files["lesson.json"].root).read_bytes())
                check_against(lesson, files)
                assert (lesson.id, package.size) == (entry.id, entry.size)
                found[entry.title] = lesson
        return found


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A county that was just made: made once, for its keys and password take time."""
    data = tmp_path_factory.mktemp("fresh") / "county"
    setup.init(CountyPaths(data), "测试县", ["http://127.0.0.1:8000"], NOW - 1000)
    return data


@pytest.fixture
def county(tmp_path: Path, fresh: Path) -> County:
    shutil.copytree(fresh, tmp_path / "county")
    return County(tmp_path)


def test_init_makes_a_county_once(tmp_path: Path) -> None:
    paths = CountyPaths(tmp_path / "c")
    made = setup.init(paths, " 青山县 ", ["http://a:1/", "http://a:1", "https://b"], NOW)
    settings = load_settings(paths.data)
    assert settings.text("name") == "青山县" and settings.texts("urls") == ("http://a:1", "https://b")
    assert made.root_key == tmp_path / "c.root-key.pem" and len(made.password) >= 12
    for secret in (made.root_key, paths.library_db, *paths.keys.glob("*.pem")):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    with Library.open(paths.library_db) as library:
        from werkzeug.security import check_password_hash

        stored = library.staff_password("admin")
        assert stored and stored.startswith("scrypt:") and check_password_hash(stored, made.password)
    before = {path: path.read_bytes() for path in paths.data.rglob("*") if path.is_file()}
    with pytest.raises(SetupError, match="already"):
        setup.init(paths, "别县", ["http://b"], NOW)
    assert {path: path.read_bytes() for path in paths.data.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("step", range(8))
def test_init_cut_off_anywhere_begins_anew(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power goes at the step-th durable write: the next `init` makes a whole county."""
    paths = CountyPaths(tmp_path / "c")
    cut = _cut_at(monkeypatch, step)
    with contextlib.suppress(_PowerCut):
        setup.init(paths, "县", ["http://a"], NOW)
        assert step >= cut.writes, "it was never cut off"
    monkeypatch.undo()
    if paths.config.exists():
        with pytest.raises(SetupError):
            setup.init(paths, "县", ["http://a"], NOW)
    else:
        setup.init(paths, "县", ["http://a"], NOW)
    assert Repository(paths.public, paths.keys, 365).release == 0
    with Library.open(paths.library_db) as library:
        assert library.staff_password("admin")


class _PowerCut(BaseException):
    pass


class _Cut:
    def __init__(self, step: int) -> None:
        self.step, self.writes = step, 0

    def __call__(self, real: Callable[..., None]) -> Callable[..., None]:
        def write(*args: object, **more: object) -> None:
            self.writes += 1
            if self.writes > self.step:
                raise _PowerCut
            real(*args, **more)

        return write


def _cut_at(monkeypatch: pytest.MonkeyPatch, step: int) -> _Cut:
    import county.publish.signing as signing
    import county.publish.store as store

    cut = _Cut(step)
    for module, name in (
        (setup, "write_durable"),
        (signing, "write_durable"),
        (publishing, "write_durable"),
        (store, "move_durable"),
    ):
        monkeypatch.setattr(module, name, cut(getattr(module, name)))
    return cut


def test_init_leaves_foreign_files_alone(tmp_path: Path) -> None:
    paths = CountyPaths(tmp_path / "c")
    paths.keys.mkdir(parents=True)
    with pytest.raises(SetupError):
        setup.init(paths, "县", ["http://a"], NOW)
    paths.keys.rmdir()
    (tmp_path / "c.root-key.pem").write_text("another county's")
    with pytest.raises(SetupError):
        setup.init(paths, "县", ["http://a"], NOW)
    assert (tmp_path / "c.root-key.pem").read_text() == "another county's"
    assert not paths.config.exists() and not list(paths.data.iterdir())


@pytest.mark.parametrize(
    ("name", "url", "root_key"),
    [
        ("", "http://a", None),
        ("一\n二", "http://a", None),
        ("县", "ftp://a", None),
        ("县", "http://a", "c/root.pem"),
    ],
)
def test_init_refuses_wrong_values(tmp_path: Path, name: str, url: str, root_key: str | None) -> None:
    with pytest.raises(SettingError):
        setup.init(CountyPaths(tmp_path / "c"), name, [url], NOW, tmp_path / root_key if root_key else None)
    assert not (tmp_path / "c").exists()


def test_publish_makes_whole_packages(county: County) -> None:
    county.write("视频 望天门山.bin", os.urandom(200_000))
    county.write("互动课件 笔顺/index.html", b"<h1>")
    county.write("互动课件 笔顺/js/a.js", b"x=1")
    county.write("教案.txt", "教案".encode(), "18 富饶的西沙群岛")
    done = county.publish()
    assert (done.release, done.lessons, done.resources, done.withdrawn) == (1, 2, 3, 0)
    assert done.bytes == done.new_bytes > done.read_bytes == 200_000 + 4 + 3 + 6
    lessons = county.lessons()
    assert list(lessons) == ["古诗三首", "富饶的西沙群岛"]
    assert [r.kind for r in lessons["古诗三首"].resources] == ["video", "interactive"]
    assert not list(county.paths.work.glob("*"))
    modes = {stat.S_IMODE(p.stat().st_mode) for p in county.paths.objects.rglob("*") if p.is_file()}
    assert modes == {0o444}


def _files(county: County) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for folder in (county.paths.public, county.paths.objects)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_tree_again_makes_and_reads_nothing(county: County) -> None:
    county.write("视频.bin", b"v" * 100_000)
    first = county.publish()
    files = _files(county)
    county.now += 86_400
    second = county.publish()
    assert (second.release, second.new_bytes, second.read_bytes) == (1, 0, 0)
    assert (second.bytes, second.resources) == (first.bytes, first.resources) and _files(county) == files
    with Library.open(county.paths.library_db) as library:
        newest = library.newest_release()
        assert newest and (newest.number, newest.new_bytes) == (1, first.new_bytes)


def test_one_changed_file_changes_one_package(county: County) -> None:
    county.write("视频.bin", b"v" * 100_000)
    county.write("教案.txt", b"1")
    county.write("教案.txt", b"2", "18 别的课")
    county.publish()
    before = {e.title: e for c in county.collections().values() for e in c.lessons}
    county.now += 86_400
    county.write("教案.txt", b"3")
    done = county.publish()
    after = {e.title: e for c in county.collections().values() for e in c.lessons}
    assert done.release == 2 and done.read_bytes == 1 and done.new_bytes < 3000
    assert before["别的课"] == after["别的课"]
    assert before["古诗三首"].infohash != after["古诗三首"].infohash
    assert before["古诗三首"].added == after["古诗三首"].added == NOW
    assert county.lessons()["古诗三首"].resources


def test_a_file_replaced_within_two_seconds_is_read_again(county: County) -> None:
    """Same size, same mtime, same inode, as a quick change on a coarse clock leaves it."""
    path = county.write("教案.txt", b"1")
    os.utime(path, (NOW - 1, NOW - 1))
    county.publish()
    assert county.publish().read_bytes == 1
    county.now += 10
    assert county.publish().read_bytes == 1, "the reading above could not be trusted yet"
    assert county.publish().read_bytes == 0


def test_a_change_that_keeps_size_and_mtime_is_seen(county: County) -> None:
    path = county.write("教案.txt", b"1")
    county.publish()
    with path.open("r+b") as stream:
        stream.write(b"2")
    os.utime(path, (NOW - 10_000, NOW - 10_000))
    assert county.publish().release == 2


def test_lost_objects_and_targets_are_made_again(county: County) -> None:
    county.write("视频.bin", b"v" * 100_000)
    county.publish()
    for folder in (county.paths.objects, county.paths.public / "targets"):
        for path in folder.rglob("*"):
            if path.is_file():
                path.unlink()
    assert county.publish().release == 1
    assert county.lessons()


def test_a_damaged_object_is_replaced(county: County) -> None:
    county.write("视频.bin", b"v" * 100_000)
    county.publish()
    big = max(county.paths.objects.rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    os.truncate(big, 5)
    county.publish()
    assert county.lessons()


def test_the_impostor_of_a_larger_file_is_left_out(county: County) -> None:
    data = os.urandom(32_768)
    county.write("视频.bin", data)
    impostor = hashlib.sha256(data[:16_384]).digest() + hashlib.sha256(data[16_384:]).digest()
    county.write("资料.bin", impostor)
    done = county.publish()
    assert [(p.code, p.path.rpartition("/")[2]) for p in done.problems] in (
        [("E-LENGTH", "资料.bin")],
        [("E-LENGTH", "视频.bin")],
    )
    assert len(county.lessons()["古诗三首"].resources) == 1


def test_lessons_in_a_folder_that_cannot_be_read_stay_published(
    county: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        county.write("视频.mp4", b"film %d" % number, lesson=f"{number} 课{number}号")
    first = county.publish()
    before = county.collections()
    scandir = os.scandir

    def shut(path: str) -> object:
        if str(path).endswith("2 课2号"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("county.publish.tree.os.scandir", shut)
    done = county.publish()
    assert (done.release, done.lessons, done.withdrawn) == (first.release, 3, 0)
    assert any(problem.path.endswith("2 课2号") for problem in done.problems)
    assert county.collections() == before


def test_vanished_lessons_are_withdrawn_and_come_back(county: County) -> None:
    for number in range(3):
        county.write("教案.txt", b"%d" % number, f"{number + 1} 课{number}号")
    county.publish()
    gone = county.source / PLACE / "2 课1号"
    away = county.source.parent / "away"
    gone.rename(away)
    done = county.publish()
    assert (done.release, done.lessons, done.withdrawn) == (2, 2, 1) and "课1号" not in county.lessons()
    with Library.open(county.paths.library_db) as library:
        assert [row.title for row in library.lessons(True) if row.withdrawn] == ["课1号"]
    away.rename(gone)
    county.now += 86_400
    back = county.publish()
    assert (back.release, back.lessons, back.withdrawn) == (3, 3, 0)
    assert {e.added for c in county.collections().values() for e in c.lessons} == {NOW}


def test_losing_most_of_the_library_is_refused(county: County) -> None:
    for number in range(3):
        county.write("教案.txt", b"%d" % number, f"{number + 1} 课{number}号")
    county.publish()
    files = _files(county)
    for number in range(2):
        (county.source / PLACE / f"{number + 1} 课{number}号").rename(county.source.parent / f"away{number}")
    with pytest.raises(SourceError, match="2 of 3.*--withdraw"):
        county.publish()
    assert _files(county) == files
    assert county.publish(withdraw=True).lessons == 1


def test_an_empty_source_is_refused_always(county: County) -> None:
    county.write("教案.txt", b"1")
    county.publish()
    files = _files(county)
    (county.source / "小学").rename(county.source.parent / "away")
    with pytest.raises(SourceError, match="no lesson"):
        county.publish(withdraw=True)
    (county.source / PLACE / "1 空").mkdir(parents=True)
    (county.source / PLACE / "1 空" / "a.txt").touch()
    with pytest.raises(SourceError, match="a.txt: the file is empty"):
        county.publish(withdraw=True)
    assert _files(county) == files


def test_odd_files_on_a_real_disk(county: County) -> None:
    lesson = county.write("课件.bin", b"1").parent
    (lesson / "链.txt").symlink_to("/etc/hostname")
    (lesson / "链夹").symlink_to("/etc")
    os.mkfifo(lesson / "管.txt")
    (lesson / "空.txt").touch()
    for quiet in ("~$课件.pptx", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (lesson / quiet).write_bytes(b"x")
    with open(os.fsencode(lesson) + b"/\xb2\xe2.txt", "wb") as stream:
        stream.write(b"GBK")
    done = county.publish()
    assert sorted((p.code, p.path.rpartition("/")[2]) for p in done.problems) == [
        ("E-PATH", "\\udcb2\\udce2.txt"),
        ("E-SOURCE", "空.txt"),
        ("E-SOURCE", "管.txt"),
        ("E-SOURCE", "链.txt"),
        ("E-SOURCE", "链夹"),
    ]
    assert [r.files[0].path for r in county.lessons()["古诗三首"].resources] == ["课件.bin"]


def _changing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    import county.publish.store as store

    real = store._copy

    def copy(source: int, out: int) -> object:
        made = real(source, out)
        act()
        return made

    monkeypatch.setattr(store, "_copy", copy)


def test_a_file_that_changes_while_read_is_left_out(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    county.write("教案.txt", b"1", "1 别的")
    path = county.write("视频.bin", b"v" * 1000)

    def grow() -> None:
        with path.open("ab") as stream:
            stream.write(b"more")

    _changing(monkeypatch, grow)
    done = county.publish()
    assert [(p.code, p.what) for p in done.problems if "视频" in p.path] == [
        ("E-SOURCE", "changed while it was read")
    ]
    assert list(county.lessons()) == ["别的"]
    monkeypatch.undo()
    assert county.publish().lessons == 2


def test_a_file_that_goes_between_listing_and_reading(
    county: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    county.write("教案.txt", b"1", "1 别的")
    path = county.write("视频.bin", b"v" * 1000)
    real = publishing.read_tree

    def read(source: str) -> object:
        tree = real(source)
        path.unlink()
        os.mkfifo(path)
        return tree

    monkeypatch.setattr(publishing, "read_tree", read)
    done = county.publish()
    assert [(p.code, p.what) for p in done.problems if "视频" in p.path] == [
        ("E-SOURCE", "is no longer a plain file")
    ]


def test_power_cut_at_every_write_leaves_the_old_release(
    county: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    county.write("教案.txt", b"1")
    county.publish()
    county.write("教案.txt", b"2")
    county.write("视频.bin", b"v" * 50_000, "18 新课")
    for step in range(1000):
        cut = _cut_at(monkeypatch, step)
        try:
            done = county.publish()
        except _PowerCut:
            monkeypatch.undo()
            assert list(county.lessons()) == ["古诗三首"], f"after {step} writes"
            continue
        monkeypatch.undo()
        assert cut.writes <= step and step > 0
        break
    assert done.release == 2 and list(county.lessons()) == ["古诗三首", "新课"]
    assert {e.added for c in county.collections().values() for e in c.lessons} == {NOW}


def test_a_crash_after_the_switch_is_made_good(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    county.write("教案.txt", b"1")

    def crash(*_: object) -> None:
        raise _PowerCut

    monkeypatch.setattr(Library, "put_release", crash)
    with pytest.raises(_PowerCut):
        county.publish()
    monkeypatch.undo()
    county.now += 3600
    assert county.publish().release == 1
    with Library.open(county.paths.library_db) as library:
        assert [row.title for row in library.lessons()] == ["古诗三首"]


def test_a_wrong_clock_is_refused_and_remembered_nowhere(county: County) -> None:
    county.write("教案.txt", b"1")
    county.publish()
    county.write("教案.txt", b"2", "18 新课")
    files = _files(county)
    county.now = 4_070_908_800  # 2099
    with pytest.raises(ClockError):
        county.publish()
    assert {k: v for k, v in _files(county).items() if "metadata" in k or "collections" in k} == {
        k: v for k, v in files.items() if "metadata" in k or "collections" in k
    }
    county.now = NOW + 60
    county.publish()
    assert {e.added for c in county.collections().values() for e in c.lessons} == {NOW, NOW + 60}
    county.now = 4_070_908_800
    county.write("教案.txt", b"3", "18 新课")
    assert county.publish(allow_date=True).release == 3


def test_one_publish_at_a_time(county: County) -> None:
    county.write("教案.txt", b"1")
    with publishing.alone(county.paths), pytest.raises(BusyError):
        county.publish()
    assert county.publish().release == 1


def test_source_and_data_must_be_apart(county: County) -> None:
    settings = load_settings(county.paths.data)
    for source in (county.paths.data.parent, county.paths.data / "objects"):
        with pytest.raises(SourceError, match="one another"):
            publish(county.paths, settings, [source], lambda: NOW, Bar)


def test_a_newer_database_is_refused(county: County) -> None:
    import sqlite3

    with contextlib.closing(sqlite3.connect(county.paths.library_db)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerDataError):
        county.publish()


def test_a_reader_sees_the_library_while_it_is_published(county: County) -> None:
    county.write("教案.txt", b"1")
    county.publish()
    with Library.open(county.paths.library_db) as reader:
        county.write("教案.txt", b"2", "18 新课")
        seen: list[int] = []
        worker = threading.Thread(target=lambda: seen.append(county.publish().lessons))
        worker.start()
        while worker.is_alive():
            assert len(reader.lessons()) in (1, 2)
        worker.join()
        assert seen == [2] and len(reader.lessons()) == 2
        with pytest.raises(LessonBoxError):
            reader.put_staff("x", "y")


def test_without_programs_the_originals_are_published_and_named(county: County) -> None:
    for name in ("课件.pptx", "教案.docx", "视频.mp4", "试题.pdf"):
        county.write(name, name.encode())
    done = county.publish(path="")
    assert sorted((p.code, p.path.rpartition("/")[2]) for p in done.problems) == [
        ("E-TOOL", "教案.docx"),
        ("E-TOOL", "视频.mp4"),
        ("E-TOOL", "试题.pdf"),
        ("E-TOOL", "课件.pptx"),
    ]
    assert all(
        r.files[0].role == "main" and len(r.files) == 1 for r in county.lessons()["古诗三首"].resources
    )


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Path]:
    """A folder for programs that behave badly, in the place of the real ones."""
    folder = tmp_path / "bin"
    folder.mkdir()
    yield folder


def _program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    version = f'case "$1" in --version|-v|-version) echo "{name} 1.2.3"; exit;; esac'
    # ffprobe's own -v has a level after it.
    version = version.replace("|-v|", "|-v|" if name != "ffprobe" else "|")
    path.write_text(f"#!/bin/sh\n{version}\n{body}\n")
    path.chmod(0o755)


def test_a_program_that_hangs_is_ended_and_tried_again(
    county: County, programs: Path, tmp_path: Path
) -> None:
    county.seconds = 1
    county.write("课件.pptx", b"x")
    pids = tmp_path / "pids"
    _program(programs, "soffice", f"echo $$ >> {pids}; sleep 1000 & echo $! >> {pids}; wait")
    path = f"{programs}:/usr/bin:/bin"
    done = county.publish(path=path)
    assert [(p.code, "too long" in p.what) for p in done.problems] == [("E-MEDIA", True)]
    started = pids.read_text().split()
    assert len(started) == 2
    for pid in started:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        assert state == "Z", f"process {pid} goes on"
    county.publish(path=path)
    assert len(pids.read_text().split()) == 4, "a time-out is no verdict on the file"


def test_a_broken_file_is_not_tried_again_by_the_same_program(
    county: County, programs: Path, tmp_path: Path
) -> None:
    county.write("课件.pptx", b"x")
    tries = tmp_path / "tries"
    _program(programs, "soffice", f"echo . >> {tries}; echo 'can not load' >&2")
    path = f"{programs}:/usr/bin:/bin"
    for _ in range(2):
        (problem,) = county.publish(path=path).problems
        assert problem.code == "E-MEDIA" and "can not load" in problem.what
    assert tries.read_text().split() == ["."]
    (resource,) = county.lessons()["古诗三首"].resources
    assert resource.main.path == "课件.pptx" and resource.media_type.endswith("presentation")


def test_a_full_disk_is_no_verdict_on_a_file(
    county: County, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    county.write("课件.pptx", b"x")
    tries = tmp_path / "tries"
    # LibreOffice ends with 0 when it could not write.
    _program(programs, "soffice", f"echo . >> {tries}; echo 'Io Class:Write Code:16' >&2")
    path = f"{programs}:/usr/bin:/bin"
    left = 1 << 20
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("county.publish.tools.shutil.disk_usage", lambda _path: usage._replace(free=left))
    with pytest.raises(DiskFullError):
        county.publish(path=path)
    left = 500 << 20  # it may have been full a moment ago
    for _ in range(2):
        assert [p.code for p in county.publish(path=path).problems] == ["E-MEDIA"]
    assert tries.read_text().split() == [".", ".", "."]


def test_what_a_program_made_stays_after_it_is_gone_or_newer(county: County, programs: Path) -> None:
    county.write("课件.pptx", b"x")
    body = 'while [ "$1" != --outdir ]; do shift; done; mkdir -p "$2"; echo pdf-of-$$ > "$2/input.pdf"'
    _program(programs, "soffice", body)
    first = county.publish(path=f"{programs}:/usr/bin:/bin")
    (resource,) = county.lessons()["古诗三首"].resources
    assert [(f.path, f.role) for f in resource.files] == [("课件.pdf", "main"), ("课件.pptx", "original")]
    assert resource.media_type == "application/pdf"
    _program(programs, "soffice", body.replace("pdf-of", "newer"))
    text = (programs / "soffice").read_text().replace("1.2.3", "1.2.4")
    (programs / "soffice").write_text(text)
    assert county.publish(path=f"{programs}:/usr/bin:/bin").release == first.release
    assert county.publish(path="").release == first.release


def test_a_part_of_libreoffice_that_is_missing_is_named(county: County, programs: Path) -> None:
    county.write("课件.pptx", b"x")
    county.write("教案.doc", b"y")
    body = 'while [ "$1" != --outdir ]; do shift; done; mkdir -p "$2"; echo pdf > "$2/input.pdf"'
    _program(programs, "soffice", body)
    (programs / "libsdlo.so").touch()
    path = f"{programs}:/usr/bin:/bin"
    named = [p for p in county.publish(path=path).problems if p.code == "E-TOOL"]
    assert [(p.path.rpartition("/")[2], p.what) for p in named] == [
        ("教案.doc", "libreoffice-writer is not installed")
    ]
    (programs / "libswlo.so").touch()
    assert not [p for p in county.publish(path=path).problems if p.code == "E-TOOL"]


def test_made_names_do_not_take_the_teachers(county: County, programs: Path) -> None:
    county.write("课件.pptx", b"x")
    county.write("课件.PDF", b"the teacher's own")
    body = 'while [ "$1" != --outdir ]; do shift; done; mkdir -p "$2"; echo pdf > "$2/input.pdf"'
    _program(programs, "soffice", body)
    county.publish(path=f"{programs}:/usr/bin:/bin")
    paths = {f.path for r in county.lessons()["古诗三首"].resources for f in r.files}
    assert paths == {"课件.PDF", "课件.pptx", "课件 (2).pdf"}


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("*", "*"),
        ("61a01d7f-cb49a144", "61a01d7f-cb49a144"),
        ("61a01d7f-*", "61a01d7f-*"),
        ("小学/语文", "61a01d7f-*"),
        ("小学/语文/统编版/三年级上册/", "61a01d7f-cb49a144"),
    ],
)
def test_collection_patterns(text: str, pattern: str) -> None:
    assert setup.collection_pattern(text) == pattern


@pytest.mark.parametrize("text", ["", "小学", "a/b/c", "a/b/c/三年级", "-*", "61a01d7f*", "a" * 80])
def test_wrong_collection_patterns(text: str) -> None:
    with pytest.raises(SettingError):
        setup.collection_pattern(text)


def test_enrolment(county: County, tmp_path: Path) -> None:
    from content_sync.formats.enrolment import parse_enrolment

    out, settings = tmp_path / "box.json", load_settings(county.paths.data)
    made = setup.enrol(county.paths, settings, "1001", "村小", ["小学/语文"], out, NOW)
    assert parse_enrolment(out.read_bytes()) == made and stat.S_IMODE(out.stat().st_mode) == 0o600
    assert made.urls == ("http://127.0.0.1:8000",) and made.county == "测试县"
    with pytest.raises(SetupError):
        setup.enrol(county.paths, settings, "1002", "另一所", [], out, NOW)
    with Library.open(county.paths.library_db) as library:
        (box,) = library.boxes()
        assert library.box(made.box) == box
    assert (box.school_code, box.claim, box.collections) == ("1001", made.claim, ("61a01d7f-*",))


def test_no_row_without_its_file(county: County, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises((LessonBoxError, OSError)):
        settings = load_settings(county.paths.data)
        setup.enrol(county.paths, settings, "1", "校", [], tmp_path / "file" / "box.json", NOW)
    with Library.open(county.paths.library_db) as library:
        assert library.boxes() == []


def test_a_zipped_courseware_is_unpacked_and_a_hostile_zip_left_out(county: County, tmp_path: Path) -> None:
    good, bad, plain = (tmp_path / f"{name}.zip" for name in ("good", "bad", "plain"))
    for path, names in (
        (good, ["笔顺/index.html", "笔顺/a.js"]),
        (bad, ["index.html", "../a.js"]),
        (plain, ["a.txt"]),
    ):
        with zipfile.ZipFile(path, "w") as made:
            for name in names:
                made.writestr(name, name)
    county.write("互动课件 笔顺.zip", good.read_bytes())
    county.write("互动课件 坏的.zip", bad.read_bytes())
    county.write("资料.zip", plain.read_bytes())
    done = county.publish()
    assert [(p.code, p.path.rpartition("/")[2]) for p in done.problems] == [("E-PATH", "互动课件 坏的.zip")]
    resources = {r.title: r for r in county.lessons()["古诗三首"].resources}
    assert set(resources) == {"笔顺", "古诗三首"}
    assert resources["笔顺"].kind == "interactive" and resources["笔顺"].media_type == "text/html"
    assert {(f.path, f.role) for f in resources["笔顺"].files} == {
        ("互动课件 笔顺/index.html", "main"),
        ("互动课件 笔顺/a.js", "part"),
        ("互动课件 笔顺.zip", "original"),
    }
    assert resources["古诗三首"].main.path == "资料.zip"
    again = county.publish()
    assert (again.release, again.new_bytes) == (done.release, 0)
    assert [p.code for p in again.problems] == ["E-PATH"]


def test_a_zipped_quiz_opens_by_its_manifest(county: County) -> None:
    county.write("试题 单元练习.zip", quizzes.package(2))
    assert not county.publish().problems
    (quiz,) = county.lessons()["古诗三首"].resources
    assert (quiz.kind, quiz.step, quiz.media_type) == ("quiz", "practise", "application/xml")
    assert quiz.main.path == "试题 单元练习/imsmanifest.xml"
    assert {"试题 单元练习/items/match.xml", "试题 单元练习.zip"} < {entry.path for entry in quiz.files}
