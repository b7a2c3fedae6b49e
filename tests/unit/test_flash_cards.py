"""`county flash` on files of a card's size: whole, or named and not bootable (formats.md 16, 17)."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import lzma
import os
import pty
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import xlsxwriter

from content_sync.errors import (
    BusyError,
    CardError,
    CardGoneError,
    CardLockedError,
    CardSmallError,
    CardWrongError,
    DiskFullError,
    FormatError,
    LessonBoxError,
    NotFoundError,
    SetupError,
    SignatureError,
    SourceError,
    TargetError,
)
from content_sync.formats.boxconfig import BoxConfig, parse_boxconfig
from content_sync.formats.enrolment import parse_enrolment
from content_sync.formats.hotspot import hotspot_name, hotspot_password
from content_sync.terminal import run as run_command
from county import setup
from county.cli import cli
from county.config import CountyPaths, load_settings
from county.flash.batch import Batch, address
from county.flash.bmap import parse_bmap
from county.flash.fat import open_fat
from county.flash.image import Image, manifest_path, open_image, sign_image
from county.flash.labels import Label, label_page
from county.flash.schools import read_schools, schools_of
from county.flash.target import Device, opened
from county.flash.write import HEAD, write_image
from county.library import Library
from county.publish.signing import Repository
from county.receive.database import create

pytestmark = pytest.mark.needs("sfdisk", "mkfs.vfat", "fsck.fat", "mtype", "bmaptool")

NOW = 1_790_000_000
MB = 1 << 20
FAT_AT, SIZE = 1 * MB, 48 * MB
ROOT = Path(__file__).resolve().parents[2]
LIST = """学校代码,学校名称,地址,网关
001,清河镇中心小学,,
002,东沟教学点,192.168.1.10/24,192.168.1.1
003,三小,,
"""


def run(*command: object, **more: object) -> bytes:
    done = subprocess.run(
        [str(part) for part in command], check=True, capture_output=True, timeout=120, **more
    )  # type: ignore[call-overload]
    made: bytes = done.stdout
    return made


@dataclass
class Works:
    """A county, and an image made on the spot: packed with its block map, and plain without."""

    paths: CountyPaths
    root: dict[str, object]
    packed: Path
    plain: Path

    def open(self, path: Path) -> Image:
        return open_image(path, self.root)

    @contextlib.contextmanager
    def batch(self) -> Iterator[Batch]:
        with Batch.open(self.paths, load_settings(self.paths.data)) as batch:
            yield batch


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Works:
    folder = tmp_path_factory.mktemp("flash")
    paths = CountyPaths(folder / "county")
    setup.init(paths, "清河县", ["http://county.test"], NOW)
    repository = Repository(paths.public, paths.keys, 365)
    image = folder / "box.img"
    with image.open("wb") as file:
        file.truncate(SIZE)
    table = f"label: gpt\nstart={FAT_AT // 512},size=69632,type=uefi,name=boot\nsize=+,type=linux\n"
    run("sfdisk", "-q", image, input=table.encode())
    run("mkfs.vfat", "-F", "32", "-s", "1", "--offset", FAT_AT // 512, image, 69632 // 2)
    old = folder / "old.conf"
    old.write_bytes(b"# as the image has it\n" * 100)
    run("mcopy", "-i", f"{image}@@{FAT_AT}", old, "::/lessonbox.conf")
    with image.open("r+b") as file:
        file.seek(40 * MB + 4096)
        file.write(random.Random(1).randbytes(3 * MB + 777))
        file.seek(SIZE - 512)
        file.write(b"end!" * 128)
    run("bmaptool", "-q", "create", "-o", folder / "box.bmap", image)
    packed = folder / "box.img.xz"
    packed.write_bytes(lzma.compress(image.read_bytes(), preset=0))
    sign_image(packed, repository)
    plain = folder / "plain.img"
    plain.write_bytes(image.read_bytes())
    sign_image(plain, repository)
    return Works(paths, repository.root(), packed, plain)


def blank(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def silent(what: str, done: int, total: int) -> None:
    pass


class Faulty:
    """A card that does what `at` says at its n-th call of write, read or flush."""

    def __init__(self, card: Device, at: Callable[[str, int, bytes], bytes | int | None]) -> None:
        self.name, self.size = card.name, card.size
        self.calls = {"write": 0, "read": 0, "flush": 0}
        self._card, self._at = card, at

    def _count(self, what: str, data: bytes = b"") -> bytes | int | None:
        self.calls[what] += 1
        return self._at(what, self.calls[what], data)

    def write(self, offset: int, data: bytes) -> int:
        said = self._count("write", data)
        if isinstance(said, int):
            return self._card.write(offset, data[:said]) if said else 0
        return self._card.write(offset, data)

    def read(self, offset: int, length: int) -> bytes:
        data = self._card.read(offset, length)
        said = self._count("read", data)
        return said if isinstance(said, bytes) else data

    def flush(self) -> None:
        self._count("flush")
        self._card.flush()


def boots(path: Path) -> bool:
    with path.open("rb") as file:
        return any(file.read(HEAD))


def differing(path: Path, image: Path) -> int:
    with path.open("rb") as one, image.open("rb") as other:
        return sum(one.read(MB) != other.read(MB) for _ in range(SIZE // MB))


@pytest.mark.parametrize("gb", [1, 8, 64])
def test_whole_and_by_block_map(works: Works, tmp_path: Path, gb: int) -> None:
    """Both give the image byte for byte, and the block map writes less; at most what the image has."""
    for path in (works.plain, works.packed):
        card, image = blank(tmp_path / "card", gb << 30), works.open(path)
        seen: list[tuple[str, int, int]] = []
        with opened(str(card)) as target:
            write_image(image, target, {}, lambda *said, seen=seen: seen.append(said))
        assert differing(card, works.plain) == 0
        assert card.stat().st_size == gb << 30 and card.stat().st_blocks * 512 < 2 * SIZE
        assert {what for what, _, _ in seen} == {"writing", "reading back"}
        assert seen[-1][1] == seen[-1][2] == image.to_write
    assert works.open(works.packed).to_write < SIZE // 4 < works.open(works.plain).to_write == SIZE


def test_settings_on_the_card(works: Works, tmp_path: Path) -> None:
    card = blank(tmp_path / "card", 1 << 30)
    files = {"lessonbox.conf": b"school_code = 1\r\n" * 90, "enrolment.json": b'{"a":1}', "empty.txt": b""}
    with opened(str(card)) as target:
        write_image(works.open(works.packed), target, files, silent)
    for name, data in files.items():
        assert run("mtype", "-i", f"{card}@@{FAT_AT}", f"::/{name}") == data
    with card.open("rb") as file:
        file.seek(FAT_AT)
        (tmp_path / "fat").write_bytes(file.read(69632 * 512))
    checked = subprocess.run(["fsck.fat", "-n", str(tmp_path / "fat")], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    assert b"GPT" in run("sfdisk", "-l", card) or b"gpt" in run("sfdisk", "-l", card)


def test_a_card_that_takes_less_at_a_time(works: Works, tmp_path: Path) -> None:
    card = blank(tmp_path / "card", 1 << 30)
    with opened(str(card)) as device:
        target = Faulty(device, lambda what, n, data: len(data) // 2 // 512 * 512 or None)
        write_image(works.open(works.packed), target, {}, silent)
    assert differing(card, works.plain) == 0


def fails(number: int) -> Callable[[], bytes | int | None]:
    def fail() -> bytes | int | None:
        raise OSError(number, os.strerror(number))

    return fail


FAULTS = [
    ("write", 1, fails(errno.EROFS), CardLockedError),
    ("write", 2, fails(errno.EIO), CardGoneError),
    ("write", 4, fails(errno.ENODEV), CardGoneError),
    ("write", 4, lambda: 0, CardError),
    ("write", 4, fails(errno.ENOSPC), CardError),
    ("flush", 2, fails(errno.EIO), CardGoneError),
    ("read", 2, fails(errno.ENXIO), CardGoneError),
    ("read", 2, lambda: b"\0" * MB, CardWrongError),
    ("flush", 3, fails(errno.ENODEV), CardGoneError),
]


@pytest.mark.parametrize(("what", "call", "does", "error"), FAULTS)
def test_a_card_that_fails_does_not_boot(
    works: Works, tmp_path: Path, what: str, call: int, does: Callable[[], bytes | int | None], error: type
) -> None:
    card = tmp_path / "card"
    card.write_bytes(b"an older system" * 100)
    with card.open("r+b") as file:
        file.truncate(1 << 30)

    def at(called: str, number: int, data: bytes) -> bytes | int | None:
        return does() if (called, number) == (what, call) else None

    with opened(str(card)) as device:
        target = Faulty(device, at)
        with pytest.raises(error) as raised:
            write_image(works.open(works.packed), target, {"lessonbox.conf": b"x"}, silent)
    assert isinstance(raised.value, CardError) and type(raised.value) is error and target.calls[what] == call
    line = raised.value.line()
    assert line.startswith(f"error {raised.value.code}: ") and "\n" not in line
    assert error is CardLockedError or not boots(card)


def test_read_back_finds_one_bit_anywhere(works: Works, tmp_path: Path) -> None:
    """Whichever read it is that gives another bit, the card is refused."""
    card, image = blank(tmp_path / "card", 1 << 30), works.open(works.packed)
    counted: list[Faulty] = []
    with opened(str(card)) as device:
        counted.append(Faulty(device, lambda what, n, data: None))
        write_image(image, counted[0], {"lessonbox.conf": b"x" * 5000}, silent)
    reads = counted[0].calls["read"]
    for wrong in (1, 2, reads):  # the last: the head

        def at(what: str, number: int, data: bytes, wrong: int = wrong) -> bytes | None:
            flip = what == "read" and number == wrong
            return bytes([data[0] ^ 1]) + data[1:] if flip else None

        with opened(str(card)) as device, pytest.raises(CardWrongError):
            write_image(image, Faulty(device, at), {"lessonbox.conf": b"x" * 5000}, silent)


def test_too_small(works: Works, tmp_path: Path) -> None:
    card = blank(tmp_path / "card", SIZE - 512)
    with opened(str(card)) as target, pytest.raises(CardSmallError):
        write_image(works.open(works.packed), target, {}, silent)
    assert not boots(card)


def copied(works: Works, folder: Path, name: str = "box.img.xz") -> Path:
    for one in (name, f"{name}.json", "box.bmap"):
        (folder / one).write_bytes((works.packed.parent / one).read_bytes())
    return folder / name


def test_wrong_checksums(works: Works, tmp_path: Path) -> None:
    path = copied(works, tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(TargetError):
        works.open(path)
    path.write_bytes(data[:-1])
    with pytest.raises(TargetError):
        works.open(path)
    path = copied(works, tmp_path)
    (tmp_path / "box.bmap").write_bytes((tmp_path / "box.bmap").read_bytes() + b"\n")
    with pytest.raises(TargetError):
        works.open(path)


@pytest.mark.parametrize("name", ["box.img.xz", "plain.img"])
def test_an_image_that_changes_while_it_is_written(works: Works, tmp_path: Path, name: str) -> None:
    path, card = copied(works, tmp_path, name), blank(tmp_path / "card", 1 << 30)
    image = works.open(path)
    data = bytearray(path.read_bytes())
    data[-2 * MB] ^= 1
    path.write_bytes(data)
    with opened(str(card)) as target, pytest.raises(TargetError):
        write_image(image, target, {}, silent)
    assert not boots(card)


def test_only_this_countys_image(works: Works, tmp_path: Path) -> None:
    other = CountyPaths(tmp_path / "other")
    setup.init(other, "别县", ["http://other.test"], NOW)
    repository = Repository(other.public, other.keys, 365)
    with pytest.raises(SignatureError):
        open_image(works.packed, repository.root())
    path = copied(works, tmp_path)
    manifest = json.loads(manifest_path(path).read_bytes())
    manifest["signatures"][0]["sig"] = "A" * 86 + "=="
    manifest_path(path).write_text(json.dumps(manifest))
    with pytest.raises(SignatureError):
        works.open(path)
    manifest_path(path).unlink()
    with pytest.raises(SignatureError):
        works.open(path)
    sign_image(path, repository)
    with pytest.raises(SignatureError):
        works.open(path)


def test_a_batch_that_is_cut_off_goes_on(works: Works, tmp_path: Path) -> None:
    """The box id that was begun goes onto the next card; finished schools are not begun again."""
    schools = schools_of([line.split(",") for line in LIST.splitlines()], "list").schools
    image, card = works.open(works.packed), blank(tmp_path / "card", 1 << 30)

    class Off(BaseException):
        pass

    def cut(what: str, number: int, data: bytes) -> None:
        if (what, number) == ("write", 5):
            raise Off

    with works.batch() as batch, opened(str(card)) as device:
        assert [one.code for one in batch.left(schools)] == ["001", "002", "003"]
        first = batch.flash(image, schools[0], device, "file", NOW, silent, ())
        assert batch.lying_in(device) == batch.cards[0]
        with pytest.raises(Off):
            batch.flash(image, schools[2], Faulty(device, cut), "file", NOW, silent, ())
        with pytest.raises(BusyError), works.batch():
            pass
    assert not boots(card)
    with works.batch() as batch, opened(str(card)) as device:
        assert [one.code for one in batch.left(schools)] == ["003", "002"]
        assert batch.lying_in(device) is None
        begun = batch.enrolment(schools[2], NOW)
        made = batch.flash(image, schools[2], device, "file", NOW, silent, ())
        assert made == begun and made.box != first.box
        assert [one.code for one in batch.left(schools)] == ["002"]
        assert [(one.school, one.box) for one in batch.cards] == [("001", first.box), ("003", made.box)]
    on_card = parse_enrolment(run("mtype", "-i", f"{card}@@{FAT_AT}", "::/enrolment.json"))
    assert on_card == made and on_card.school_name == "三小"
    told = parse_boxconfig(run("mtype", "-i", f"{card}@@{FAT_AT}", "::/lessonbox.conf"))
    assert told.config == BoxConfig(school_code="003", school_name="三小") and not told.problems
    with Library.open(works.paths.library_db) as library:
        assert [box.id for box in library.boxes() if box.school_code in ("001", "003")] == [
            first.box,
            made.box,
        ]
    assert not list((works.paths.data / "flash").glob("*.enrolment.json"))


def test_a_corrected_list_reaches_a_card_that_was_begun(works: Works, tmp_path: Path) -> None:
    """A broken card, then name and collections are put right: the next card of this box says the new ones."""
    wrong = schools_of([["学校代码", "学校名称"], ["c1", "清合小学"]], "list").schools[0]
    right = schools_of(
        [["学校代码", "学校名称", "收录"], ["c1", "清河小学", "小学/语文/统编版/三年级上册"]], "list"
    ).schools[0]
    image, card = works.open(works.packed), blank(tmp_path / "card", 1 << 30)
    with works.batch() as batch, opened(str(card)) as device:
        begun = batch.enrolment(wrong, NOW)
        made = batch.flash(image, right, device, "file", NOW, silent, ())
    assert (made.box, made.claim, made.school_name) == (begun.box, begun.claim, "清河小学")
    on_card = parse_enrolment(run("mtype", "-i", f"{card}@@{FAT_AT}", "::/enrolment.json"))
    assert on_card == made
    with Library.open(works.paths.library_db) as library:
        row = library.box(made.box)
    assert (
        row is not None and row.school_name == "清河小学" and row.collections == right.collections != ("*",)
    )


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("学校,名称\n1,一\n", "headings"),
        ("学校代码,学校名称\n", "no school"),
        ("学校代码,学校名称\n1,\n", "line 2"),
        ("学校代码,学校名称\n1,一\n1,二\n", "stands twice"),
        ("学校代码,学校名称,地址\n1,一,192.168.1.10\n", "line 2, 地址"),
    ],
)
def test_a_wrong_list_is_refused(rows: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        schools_of([line.split(",") for line in rows.splitlines()], "list.csv")


def test_the_list() -> None:
    rows = [
        ["名单"],
        ["学校代码", "学校名称", "收录", "IP地址", "备注"],
        [],
        ["1", "一", "小学/语文；*", "10.0.0.2/8", "x"],
    ]
    made = schools_of(rows, "list.csv")
    assert made.ignored == ("备注",) and len(made.schools) == 1
    assert made.schools[0].collections[1] == "*" and made.schools[0].collections[0].endswith("-*")
    assert address(made.schools[0].config) == "http://10.0.0.2/"
    assert address(BoxConfig()) == "http://lesson.local/"
    assert address(BoxConfig(host_name="box-2")) == "http://box-2.local/"


def test_the_list_as_excel_writes_it(tmp_path: Path) -> None:
    """Numbers that look like codes, a title above, a hidden sheet before, headings as people write them."""
    path = tmp_path / "学校.xlsx"
    with xlsxwriter.Workbook(path) as book:
        hidden, list_ = book.add_worksheet("旧表"), book.add_worksheet("名单")
        hidden.write_row(0, 0, ["学校代码", "学校名称"])
        hidden.hide()
        list_.activate()
        list_.merge_range(0, 0, 0, 3, "清河县2026年课箱安装名单")
        list_.write_row(2, 0, ["学校标识码", "学校名称（全称）*", "WiFi名称", "WiFi密码", "备注"])
        list_.write_number(3, 0, 1, book.add_format({"num_format": "000"}))
        list_.write_row(3, 1, ["清河镇中心小学", "qinghe", 88888888])
        list_.write_row(5, 0, [3137000123, "  东沟教学点\n"])
    made = read_schools(path)
    assert [(one.code, one.name) for one in made.schools] == [
        ("001", "清河镇中心小学"),
        ("3137000123", "东沟教学点"),
    ]
    assert made.schools[0].config.wifi_password == "88888888" and made.ignored == ("备注",)
    path.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(3000))
    with pytest.raises(SourceError, match="另存为 .xlsx"):
        read_schools(path)


def test_wrong_lines_are_said_in_chinese_to_who_reads_it() -> None:
    rows = [["学校代码", "学校名称", "地址"], ["1", "一", "192.168.1.10"], ["", "二", ""], ["1", "三", ""]]
    with pytest.raises(SourceError) as raised:
        schools_of(rows, "名单.csv", zh=True)
    said = raised.value.what
    assert (
        said.startswith("名单.csv: 第2行，地址：没有子网掩码") and "第3行，学校代码和学校名称都要填" in said
    )
    assert "第4行，代码 1 出现了两次" in said and not re.search("[a-z]{3}", said.replace("csv", ""))


def test_the_label_tells_the_boxes_own_wifi(works: Works, tmp_path: Path) -> None:
    """As the box will find it itself, of its enrolment."""
    schools = schools_of(
        [["学校代码", "学校名称", "热点"], ["w1", "一", ""], ["w2", "二", "关"]], "list"
    ).schools
    card = blank(tmp_path / "card", 1 << 30)
    with works.batch() as batch, opened(str(card)) as device:
        for one in schools:
            batch.flash(works.open(works.packed), one, device, "file", NOW, silent, ())
        on_card = parse_enrolment(run("mtype", "-i", f"{card}@@{FAT_AT}", "::/enrolment.json"))
    with works.batch() as batch:
        (first,), (second,) = batch.done("w1"), batch.done("w2")
    assert first.wifi is not None and first.wifi[0] == hotspot_name(first.box) and len(first.wifi[1]) == 10
    assert second.wifi is None and hotspot_password(on_card)
    page = label_page([Label("一", "w1", first.box, "http://lesson.local/", "", first.wifi)])
    assert first.wifi[0] in page and first.wifi[1] in page


def test_labels_escape_what_they_say() -> None:
    page = label_page([Label("<b>一小</b>", "00&1", "b-0123456789abcdef", "http://lesson.local/")])
    assert "&lt;b&gt;一小&lt;/b&gt;" in page and "00&amp;1" in page and page.count("<svg") == 1


def test_block_maps_that_lie(works: Works) -> None:
    text = (works.packed.parent / "box.bmap").read_text()
    ranges = parse_bmap(text.encode(), SIZE)
    assert ranges[0].begin == 0 and ranges[-1].end == SIZE
    plain = works.plain.read_bytes()
    assert all(hashlib.sha256(plain[one.begin : one.end]).hexdigest() == one.sha256 for one in ranges)
    entity = '<!DOCTYPE bmap [<!ENTITY a "b">]>'
    lies = [
        text.replace('version="2.0"', 'version="9.0"'),
        text.replace("sha256", "md5"),
        text.replace(f"<ImageSize> {SIZE}", "<ImageSize> 1"),
        text.replace("<Range chksum=", "<Range sum="),
        text.replace('<?xml version="1.0" ?>', f'<?xml version="1.0" ?>{entity}'),
        text[:-20],
        "",
    ]
    for lie in lies:
        assert lie != text
        with pytest.raises(FormatError):
            parse_bmap(lie.encode(), SIZE)


class Memory:
    """A disk in memory, for the FAT."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        if offset + len(data) > len(self.data):
            raise FormatError("beyond the card")
        self.data[offset : offset + len(data)] = data


@pytest.mark.parametrize("kind", [["-F", "16"], ["-F", "32", "-s", "1"], ["-F", "16", "-s", "8", "-r", "64"]])
def test_fat_as_others_read_it(tmp_path: Path, kind: list[str]) -> None:
    path = blank(tmp_path / "fat", 36 * MB)
    run("mkfs.vfat", *kind, path)
    for number in range(12):
        run("mcopy", "-i", path, "/dev/null", f"::/a file of a long name {number}.txt")
    disk, files = Memory(path.read_bytes()), {f"name {n} 名.json": os.urandom(n * 3000) for n in range(8)}
    for name, data in files.items():
        open_fat(disk).write(name, b"before" * 5000)
        open_fat(disk).write(name, data)
    path.write_bytes(disk.data)
    checked = subprocess.run(["fsck.fat", "-n", str(path)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    listed = os.environ | {"LC_ALL": "C.UTF-8"}
    for name, data in files.items():
        assert open_fat(disk).read(name.upper()) == data
        assert run("mtype", "-i", path, f"::/{name}", env=listed) == data
    assert open_fat(disk).read("a file of a long name 11.txt") == b"" and open_fat(disk).read("none") is None
    with pytest.raises(DiskFullError):
        open_fat(disk).write("big", bytes(37 * MB))


def test_a_broken_fat_is_named(tmp_path: Path) -> None:
    path = blank(tmp_path / "fat", 34 * MB)
    run("mkfs.vfat", "-F", "32", "-s", "8", path)
    whole, chance = path.read_bytes()[: 2 * MB], random.Random(7)
    outcomes = set()
    for _ in range(40):
        disk = Memory(whole)
        for _ in range(3):
            disk.data[chance.randrange(11, 90)] = chance.randrange(256)
        try:
            fat = open_fat(disk)
            fat.write("lessonbox.conf", b"x" * 600)
            outcomes.add("written")
        except LessonBoxError as error:
            outcomes.add(error.code)
    assert {"written", "E-FORMAT"} <= outcomes


@pytest.fixture
def county(
    works: Works, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs `county WORDS`: its exit code, what it printed, and its errors."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["county", *map(str, words), "--data", str(works.paths.data)])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        monkeypatch.setenv("LC_ALL", "C.UTF-8")
        code = run_command(cli, "county")
        return code, *capfd.readouterr()

    return call


def test_the_command(works: Works, tmp_path: Path, county: Callable[..., tuple[int, str, str]]) -> None:
    rows = "学校代码,学校名称\r\n101,一百零一小\r\n102,一百零二小\r\n"
    (tmp_path / "list.csv").write_bytes(rows.encode("gbk"))
    card = blank(tmp_path / "card", 1 << 30)
    asked = ("flash", works.packed, "--schools", tmp_path / "list.csv", "--device", card)
    _, printed, _ = county(*asked, "--dry-run", "--json")
    assert [one["code"] for one in json.loads(printed)["schools"]] == ["101", "102"] and not boots(card)
    code, _, errors = county(*asked)
    assert code == 2 and "error E-USAGE: nobody is here to ask" in errors
    code, printed, errors = county(*asked, "--yes", "--json")
    assert code == 3, errors
    made = json.loads(printed)
    assert made["left"] == 1 and made["cards"][0]["school"] == "101" and boots(card)
    page = (tmp_path / "list.labels.html").read_text("utf-8")
    assert "一百零一小" in page and made["cards"][0]["box"] in page and "一百零二小" not in page
    code, _, errors = county(*asked, "--yes")
    assert code == 2 and "was just written for 101" in errors
    code, _, errors = county(*asked, "--yes", "--school", "101")
    assert code == 2 and "has its card already" in errors
    code, printed, _ = county(*asked, "--yes", "--school", "101", "--again", "--json")
    assert code == 0 and json.loads(printed)["cards"][0]["box"] != made["cards"][0]["box"]
    code, _, errors = county(*asked[:-1], "/dev/null", "--yes")
    assert code == 2 and "no removable disk" in errors
    code, _, errors = county(*asked[:-1], tmp_path / "none", "--yes")
    assert code == 2 and "no removable disk" in errors


def test_an_enrolment_that_no_box_used_is_forgotten(
    works: Works, county: Callable[..., tuple[int, str, str]]
) -> None:
    """A card beside an old disk leaves a box that never reports; one that has reported is not forgotten."""
    school = schools_of([["学校代码", "学校名称"], ["f1", "一小"]], "list").schools[0]
    with works.batch() as batch:
        box = batch.enrolment(school, NOW).box
        assert setup.forget(works.paths, box).school_name == "一小"
        with pytest.raises(NotFoundError):
            setup.forget(works.paths, box)
        assert batch.enrolment(school, NOW).box == box, "a card that was begun gets its row again"
    create(works.paths.reports_db)
    connection = sqlite3.connect(works.paths.reports_db)
    connection.execute("INSERT INTO box_key VALUES (?, 'ab', ?)", (box, NOW))
    connection.commit()
    with pytest.raises(SetupError):
        setup.forget(works.paths, box)
    connection.execute("DELETE FROM box_key")
    connection.commit()
    connection.close()
    assert county("forget", box)[0] == 0
    with Library.open(works.paths.library_db) as library:
        assert library.box(box) is None


def test_it_asks(works: Works, tmp_path: Path) -> None:
    """On a terminal: size and school before erasing; no is the default; Ctrl-C and no leave all as it was."""
    (tmp_path / "list.csv").write_text("学校代码,学校名称\n201,二百零一小\n202,二百零二小\n", "utf-8")
    card = blank(tmp_path / "card", 1 << 30)

    def answer(*answers: str, language: str = "C.UTF-8") -> tuple[int, str]:
        main, terminal = pty.openpty()
        words = ["flash", works.packed, "--schools", tmp_path / "list.csv", "--device", card]
        command = [sys.executable, "-m", "county", *map(str, words), "--data", str(works.paths.data)]
        env = os.environ | {"TERM": "dumb", "COLUMNS": "80", "LC_ALL": language}
        child = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=ROOT,
            env=env,
            start_new_session=True,
        )
        os.close(terminal)
        os.write(main, "".join(f"{text}\n" for text in answers).encode())
        said = b""
        with contextlib.suppress(OSError):  # EIO: the terminal's end
            while part := os.read(main, 65536):
                said += part
        os.close(main)
        return child.wait(60), said.decode()

    code, said = answer("")
    assert code == 130 and not boots(card)
    assert "Erase file card, 1.1 GB and make it the box of 201 二百零一小?" in said
    code, said = answer("", language="zh_CN.UTF-8")
    assert code == 130 and not boots(card)
    assert "卡：文件 card，1.1 GB" in said and "学校：201 二百零一小" in said and "输 y 才写" in said
    code, said = answer("y", "y", "y", "n")
    assert code == 130 and boots(card), said
    assert "Next: 202 二百零二小" in said and "was just written for 201" in said
    with works.batch() as batch:
        assert len(batch.done("201")) == 1 and not batch.done("202")


WINDOWS = """
import os, sqlite3, subprocess, sys, types
import click, segno, tqdm, werkzeug.security, tuf.api.metadata, defusedxml.ElementTree
import securesystemslib.signer
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=lambda *what: None)
sys.modules["fcntl"] = None
for name in ("pwrite", "O_CLOEXEC", "O_DIRECTORY", "posix_fadvise", "posix_fallocate", "fchmod"):
    delattr(os, name)
sys.platform = "win32"
from county.cli import cli
from content_sync.terminal import run
sys.exit(run(cli, "county"))
"""


def test_without_what_windows_lacks(works: Works, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("学校代码,学校名称\n301,三百零一小\n", "utf-8")
    card = blank(tmp_path / "card", 1 << 30)
    words = ["flash", works.packed, "--schools", tmp_path / "list.csv", "--device", card, "--yes"]
    command = [sys.executable, "-c", WINDOWS, *map(str, words), "--data", str(works.paths.data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert boots(card) and "1 cards written, 0 schools left" in done.stdout
