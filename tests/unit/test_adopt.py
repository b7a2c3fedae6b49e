"""`county adopt`: any layout, byte for byte, again and again; broken, growing and hostile files stay out."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import random
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from content_sync.errors import FormatError, MediaError, NotFoundError, SourceError
from content_sync.formats.hashtree import BLOCK, identify
from content_sync.formats.lesson import Lesson, parse_lesson
from county import setup
from county.config import CountyPaths, load_settings
from county.library import Library
from county.publish import adopt as adopting
from county.publish import sound
from county.publish.placing import NO_UNIT
from county.publish.publish import Published, publish
from county.publish.sheet import read_rows
from county.publish.store import object_path
from county.publish.unzip import unpack
from tests.e2e import library as media
from tests.unit.sticks import in_memory

NOW = 1_800_000_000
VOLUME = "小学/语文/统编版/三年级上册"


class Bar:
    """No bar."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        pass

    def to(self, done: int) -> None:
        pass

    def close(self) -> None:
        pass


class County:
    """A county, what its receiver wrote, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.paths, self.got, self.own = CountyPaths(folder / "county"), folder / "got", folder / "own"
        setup.init(self.paths, "青山县", ("http://127.0.0.1:8000",), NOW, None, "password")
        self.now = NOW
        for place in (self.got, self.own):
            place.mkdir()

    def receive(self, path: str, data: bytes | None = None, age: int = 3600) -> Path:
        """A file of the broadcast, last written to `age` seconds ago."""
        place = self.got / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.encode() * 400 if data is None else data)
        os.utime(place, (self.now - age, self.now - age))
        return place

    def adopt(self, collection: str | None = None, table: Path | None = None) -> Published:
        self.now += 100
        known = load_settings(self.paths.data)
        return adopting.adopt(self.paths, known, self.got, lambda: self.now, Bar, collection, table)

    def publish(self, withdraw: bool = False) -> Published:
        self.now += 100
        known = load_settings(self.paths.data)
        return publish(self.paths, known, [self.own], lambda: self.now, Bar, False, withdraw)

    def take_out(self, *lessons: str) -> Published:
        self.now += 100
        known = load_settings(self.paths.data)
        return adopting.take_out(self.paths, known, lessons, lambda: self.now, Bar)

    def lessons(self) -> dict[str, Lesson]:
        """Title -> lesson of the newest release; every file of it is an object with the bytes it names."""
        found = {}
        with Library.open(self.paths.library_db) as library:
            for row in library.lessons():
                for path, file in library.package_files(row.infohash).items():
                    place = object_path(self.paths.objects, file.root)
                    with place.open("rb") as stream:
                        assert identify(stream)[0] == file
                    if path == "lesson.json":
                        lesson = parse_lesson(place.read_bytes())
                found[lesson.title] = lesson
        return found

    def packages(self) -> set[str]:
        with Library.open(self.paths.library_db) as library:
            return {row.infohash for row in library.lessons()}

    def roots(self) -> set[str]:
        with Library.open(self.paths.library_db) as library:
            return library.published_roots()


def root_of(data: bytes) -> str:
    return identify(io.BytesIO(data))[0].root


def odd(done: Published) -> dict[str, str]:
    return {problem.path: problem.what for problem in done.problems}


@pytest.fixture
def county() -> Iterator[County]:
    with in_memory() as folder:
        yield County(folder)


def test_every_received_file_is_signed_byte_for_byte_and_nothing_is_made_of_it(county: County) -> None:
    files = {
        f"2026春/{VOLUME}/第一单元 童年/01 我们的学校/课件 我们的学校.pptx": pptx(),
        f"2026春/{VOLUME}/第一单元 童年/01 我们的学校/教案.pdf": b"%PDF-1.4\nx\n%%EOF\n",
        f"2026春/{VOLUME}/02 花的学校/朗读.bin": b"q" * 40_000,
    }
    received = {path: county.receive(path, data).read_bytes() for path, data in files.items()}
    done = county.adopt()
    assert not done.problems and (done.lessons, done.resources) == (2, 3)
    assert {lesson.unit for lesson in county.lessons().values()} == {"第一单元 童年", NO_UNIT}
    lesson = county.lessons()["我们的学校"]
    assert {(f.path, f.role) for r in lesson.resources for f in r.files} == {
        ("课件 我们的学校.pptx", "main"),
        ("教案.pdf", "main"),
    }
    assert county.roots() >= {root_of(data) for data in received.values()}
    assert len(county.roots()) == 3 + 2, "the files and two lesson.json: no PDF, no page images"


def test_the_same_broadcast_again_and_under_other_names_brings_no_package(county: County) -> None:
    for number in range(3):
        county.receive(f"{VOLUME}/第一单元/{number:02d} 第{number}课/视频.bin", bytes([number]) * 50_000)
    first = county.adopt()
    packages = county.packages()
    assert (first.release, first.lessons) == (1, 3)
    again = county.adopt()
    assert (again.release, again.new_bytes, again.read_bytes) == (1, 0, 0)
    shutil.move(county.got / VOLUME, county.got / "别处")
    county.receive("别处/第一单元/00 第0课/别名.bin", bytes([0]) * 50_000)
    moved = county.adopt("小学/数学/人教版/一年级上册")
    assert (moved.release, moved.lessons) == (1, 3) and county.packages() == packages
    # What the receiver deleted stays; a lesson that grew is one new package.
    shutil.rmtree(county.got)
    county.got.mkdir()
    assert county.adopt().lessons == 3 and county.packages() == packages
    county.receive(f"{VOLUME}/第一单元/01 第1课/练习.bin", b"new" * 20_000)
    grown = county.adopt()
    assert grown.release == 2 and len(county.packages() - packages) == 1
    lesson = county.lessons()["第1课"]
    assert {f.path for r in lesson.resources for f in r.files} == {"视频.bin", "练习.bin"}
    county.receive(f"{VOLUME}/第一单元/01 第1课/练习.bin", b"mended" * 20_000)
    assert county.adopt().release == 3
    assert root_of(b"mended" * 20_000) in county.roots() and root_of(b"new" * 20_000) not in county.roots()


def test_published_and_adopted_lessons_live_side_by_side(county: County) -> None:
    own = county.own / VOLUME / "第一单元" / "01 自己的课" / "教案.txt"
    own.parent.mkdir(parents=True)
    own.write_text("自己的")
    county.publish()
    county.receive(f"{VOLUME}/第一单元/02 广播的课/视频.bin")
    county.receive(f"{VOLUME}/第一单元/01 自己的课/视频.bin")
    done = county.adopt()
    assert set(county.lessons()) == {"自己的课", "广播的课"} and done.withdrawn == 0
    assert list(odd(done).values()) == ["is a lesson that the county publishes itself: left as it is"]
    assert len(county.lessons()["自己的课"].resources) == 1
    for _ in range(2):
        assert county.publish().lessons == 2, "publishing withdraws nothing that was adopted"
    adopted = county.lessons()["广播的课"].id
    with pytest.raises(NotFoundError):
        county.take_out("no-such-lesson")
    gone = county.take_out(adopted)
    assert (gone.lessons, gone.withdrawn) == (1, 1) and set(county.lessons()) == {"自己的课"}
    again = county.adopt()
    assert set(county.lessons()) == {"自己的课"} and "was taken out by hand: left out" in odd(again).values()
    assert county.publish().lessons == 1


def test_where_nothing_says_where_it_belongs(county: County) -> None:
    county.receive("春/课堂实录/古诗.bin")
    county.receive("春/习作/一/写.bin")
    county.receive("散.bin")
    county.receive("散.vtt", b"WEBVTT\n\n")
    with pytest.raises(SourceError, match="belongs to no collection"):
        county.adopt()
    with pytest.raises(SourceError, match="no name of a volume|is not a grade"):
        county.adopt("小学/语文/统编版/春天")
    with pytest.raises(SourceError, match="has no collection"):
        county.adopt("01234567-01234567")
    done = county.adopt(VOLUME)
    lessons = county.lessons()
    assert {(lesson.unit, title) for title, lesson in lessons.items()} == {
        ("春", "课堂实录"),
        ("习作", "一"),
        (NO_UNIT, "散"),
    }
    assert list(odd(done)) == ["散/散.vtt"], "subtitles of no video"
    identity = next(iter(lessons.values())).collection
    county.receive("再/来/新.bin")
    assert county.adopt(identity).lessons == 4


def test_a_lesson_toml_says_where_it_belongs(county: County) -> None:
    county.receive("x/y/视频.bin")
    text = f'stage = "初中"\nsubject = "物理"\nedition = "人教版"\nvolume = "八年级上册"\ntitle = "{"测"}"\n'
    county.receive("x/y/lesson.toml", text.encode())
    county.adopt()
    lesson = county.lessons()["测"]
    assert (lesson.stage, lesson.grade, lesson.volume, lesson.unit) == ("初中", "八年级", "上册", NO_UNIT)


HEADINGS = ["文件", "学段", "学科", "版本", "年级册次", "单元", "课", "标题", "类型", "课时"]
LINES = [
    [
        "a/0001.bin",
        "小学",
        "语文",
        "统编版",
        "三年级上册",
        "第一单元",
        "1 大青树下的小学",
        "望天",
        "视频",
        "2",
    ],
    ["0002.bin", "小学", "语文", "统编版", "三年级上册", "第一单元", "1 大青树下的小学", "", "", ""],
    ["b\\有 空格.bin", "", "", "", "", "", "花", "", "朗读", ""],
    ["nowhere.bin", "小学", "语文", "统编版", "三年级上册", "第一单元", "花", "", "", ""],
    ["0002.bin", "小学", "语文", "统编版", "三年级上册", "第一单元", "花", "", "", ""],
    ["twin.bin", "小学", "语文", "统编版", "三年级上册", "第一单元", "花", "", "", ""],
    ["c/3.bin", "小学", "语文", "统编版", "春", "第一单元", "花", "", "", ""],
    ["", "小学", "语文", "统编版", "三年级上册", "第一单元", "花", "", "", ""],
]


def as_csv(encoding: str) -> bytes:
    made = io.StringIO()
    csv.writer(made).writerows([HEADINGS, [""] * 3, *LINES])
    return made.getvalue().encode(encoding)


def as_xlsx() -> bytes:
    made = io.BytesIO()
    with xlsxwriter.Workbook(made, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for at, line in enumerate([HEADINGS, [], *LINES]):
            for column, text in enumerate(line):
                if text:
                    sheet.write(at, column, int(text) if text.isdecimal() else text)
    return made.getvalue()


@pytest.mark.parametrize("kind", ["utf-8-sig", "gb18030", "utf-16", "xlsx"])
def test_a_table_says_where_files_belong(county: County, kind: str) -> None:
    for path in ("a/0001.bin", "a/0002.bin", "b/有 空格.bin", "a/twin.bin", "b/twin.bin", "c/3.bin"):
        county.receive(path)
    table = county.receive(
        f"目录.{'xlsx' if kind == 'xlsx' else 'csv'}", as_xlsx() if kind == "xlsx" else as_csv(kind)
    )
    done = county.adopt("小学/语文/统编版/三年级上册")
    name = table.name
    assert {path.rpartition(":")[2] for path in odd(done) if path.startswith(name)} == {
        "6",
        "7",
        "8",
        "9",
        "10",
    }
    lesson = county.lessons()["大青树下的小学"]
    assert (lesson.unit, lesson.no, lesson.periods) == ("第一单元", 1, 2)
    assert {(r.title, r.kind) for r in lesson.resources} == {
        ("望天", "video"),
        ("大青树下的小学 0002", "other"),
    }
    flower = county.lessons()["花"]
    assert (flower.unit, [r.kind for r in flower.resources]) == (NO_UNIT, ["audio"])


def zipped(names: dict[str, bytes], encoding: str = "utf-8") -> bytes:
    """A zip; in another encoding its names are bytes without the UTF-8 flag, as old Windows programs do."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number, (name, data) in enumerate(names.items()):
            length = len(name.encode(encoding))
            archive.writestr(name if encoding == "utf-8" else chr(65 + number) * length, data)
    data = made.getvalue()
    for number, name in enumerate(names if encoding != "utf-8" else ()):
        raw = name.encode(encoding)
        data = data.replace(bytes([65 + number]) * len(raw), raw)
    return data


def pptx() -> bytes:
    return zipped({"[Content_Types].xml": b"<x/>", "ppt/presentation.xml": b"<x/>"})


def test_an_archive_of_lessons_in_gbk_is_read_as_folders(county: County) -> None:
    video = b"v" * 60_000
    county.receive("0315.zip", zipped({f"{VOLUME}/第二单元/03 听听，秋的声音/朗读.bin": video}, "gbk"))
    done = county.adopt()
    assert not done.problems and set(county.lessons()) == {"听听，秋的声音"}
    assert root_of(video) in county.roots()
    assert county.adopt().release == 1


def test_a_courseware_stays_the_zip_that_was_received_beside_its_parts(county: County) -> None:
    data = zipped({"动画/index.html": b"<p>x", "动画/a.js": b"1"})
    county.receive(f"{VOLUME}/第二单元/03 秋/互动课件 秋.zip", data)
    county.receive(f"{VOLUME}/第二单元/03 秋/教案.bin")
    county.adopt()
    files = [f for r in county.lessons()["秋"].resources for f in r.files if r.kind == "interactive"]
    assert {(f.path.rpartition("/")[2], f.role) for f in files} == {
        ("index.html", "main"),
        ("a.js", "part"),
        ("互动课件 秋.zip", "original"),
    }
    assert root_of(data) in county.roots()


def test_hostile_archives_and_links_stay_out(county: County) -> None:
    county.receive(f"{VOLUME}/一/1 好/好.bin")
    county.receive("a.zip", zipped({"../../etc/x": b"1"}))
    county.receive("b.zip", b"PK\x03\x04 torn")
    big = io.BytesIO()
    with zipfile.ZipFile(big, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("x/y.bin", bytes(80 << 20))
    county.receive("c.zip", big.getvalue())
    (county.got / VOLUME / "一" / "1 好" / "link.bin").symlink_to("/etc/passwd")
    done = county.adopt(VOLUME)
    assert set(county.lessons()) == {"好"} and len(done.problems) == 4
    whole = " ".join(odd(done).values())
    for part in ("not allowed", "damaged or not whole", "would unpack to", "link"):
        assert part in whole


def test_what_is_still_arriving_or_broken_is_named_and_left_out(county: County) -> None:
    folder = county.got / VOLUME / "一" / "1 好"
    media.video(folder / "视频 好.mp4", 2)
    good = (folder / "视频 好.mp4").read_bytes()
    chance = random.Random(3).randbytes(8 * BLOCK)
    at = f"{VOLUME}/一/1 好"
    county.receive(f"{at}/视频 好.mp4", good)
    county.receive(f"{at}/视频 短.mp4", good[: len(good) // 2])
    county.receive(f"{at}/视频 洞.mp4", good + b"\0\0\0\0" * 8 + chance)
    county.receive(f"{at}/音频 洞.mp3", chance + bytes(5 * BLOCK) + chance)
    county.receive(f"{at}/音频 假.mp3", chance)
    county.receive(f"{at}/教案.pdf", b"%PDF-1.4\n" + chance)
    county.receive(f"{at}/图.jpg", b"\xff\xd8" + chance)
    county.receive(f"{at}/图.png", b"\x89PNG" + chance)
    county.receive(f"{at}/课件.pptx", pptx()[:-9])
    county.receive(f"{at}/资料.bin", bytes(10 * BLOCK))
    county.receive(f"{at}/长大.bin", age=-95)
    county.receive(f"{at}/半.mp4.part")
    county.receive(f"{at}/空.bin", b"")
    done = county.adopt()
    lesson = county.lessons()["好"]
    assert {f.path for r in lesson.resources for f in r.files} == {"视频 好.mp4", "资料.bin"}
    assert next(r for r in lesson.resources if r.kind == "video").seconds == 2
    names = {path.rpartition("/")[2] for path in odd(done)}
    assert names == {
        "视频 短.mp4",
        "视频 洞.mp4",
        "音频 洞.mp3",
        "音频 假.mp3",
        "教案.pdf",
        "图.jpg",
        "图.png",
        "课件.pptx",
        "长大.bin",
        "半.mp4.part",
        "空.bin",
    }
    # Once they are whole they come.
    county.receive(f"{at}/视频 短.mp4", good[:-1] + b"x")
    county.now += 100
    assert county.adopt().resources == 4


def test_holes_are_told_from_pictures_of_black(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(10 * BLOCK))
    leaves = identify(io.BytesIO(path.read_bytes()))[1]
    assert sound.fault(path, "x.bmp", leaves) is None and sound.fault(path, "x.bin", leaves) is None
    assert "zeros" in (sound.fault(path, "x.mp3", leaves) or "")


def test_folders_that_can_not_be_adopted(county: County) -> None:
    known = load_settings(county.paths.data)
    with pytest.raises(SourceError, match="lie in one another"):
        adopting.adopt(county.paths, known, county.paths.data, lambda: NOW, Bar)
    with pytest.raises(SourceError, match="no lesson to publish"):
        county.adopt()


def test_a_crash_before_the_signature_leaves_the_old_release_whole(
    county: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    county.receive(f"{VOLUME}/一/1 好/好.bin")
    county.adopt()
    county.receive(f"{VOLUME}/一/2 更好/好.bin", b"better" * 9000)

    class Power(BaseException):
        pass

    def cut(*_: object, **__: object) -> int:
        raise Power

    with monkeypatch.context() as patch:
        patch.setattr("county.publish.signing.Repository.publish", cut)
        with pytest.raises(Power):
            county.adopt()
    assert set(county.lessons()) == {"好"}
    with monkeypatch.context() as patch:
        patch.setattr("county.library.Library.put_release", cut)
        with pytest.raises(Power):
            county.adopt()
    done = county.adopt()
    assert (done.release, set(county.lessons())) == (2, {"好", "更好"})
    own = county.own / VOLUME / "一" / "3 自己" / "教案.txt"
    own.parent.mkdir(parents=True)
    own.write_text("自己的")
    assert county.publish().lessons == 3


ARCHIVES = (as_xlsx(), pptx(), zipped({"a/index.html": b"x" * 300}))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_archives_and_tables_never_stop_the_others(tmp_path: Path, data: st.DataObject) -> None:
    """A flipped byte in a list of members sends a reader before the file's start: OSError, not BadZipFile."""
    made = bytearray(data.draw(st.sampled_from(ARCHIVES)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(made) - 1))
        made[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = tmp_path / "x.zip"
    path.write_bytes(made)
    with contextlib.suppress(SourceError):
        read_rows(path)
    sound.fault(path, "x.zip", b"")
    sound.fault(path, "x.mp4", b"")
    with contextlib.suppress(FormatError, MediaError):
        unpack(path, tmp_path)
