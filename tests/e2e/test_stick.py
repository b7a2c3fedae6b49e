"""Sticks between county and boxes, as a technician carries them: no network anywhere."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from content_sync.formats import bag
from content_sync.formats.hashtree import BLOCK
from content_sync.formats.paths import check_path
from tests.e2e import library
from tests.e2e.programs import ROOT, Box, County, free_port, wait_until
from tests.e2e.test_sync_sources import assert_identical, sync_once
from tests.unit.sticks import check_bag

MakeCounty = Callable[[], County]
MakeBox = Callable[..., Box]


def nowhere() -> dict[str, object]:
    """Settings of a box that can reach nobody."""
    return {"urls": [f"http://127.0.0.1:{free_port()}"], "sources": ["drop"]}


def said(text: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(text)
    return result


def published(county: County, tmp_path: Path, lessons: int = 3, size: int = 900_000) -> dict[str, Any]:
    for number in range(1, lessons + 1):
        library.lesson_of_noise(tmp_path / "tree", number, size, files=2)
    return county.publish(tmp_path / "tree")


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


def test_a_round_from_box_to_county_and_back(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path, stick: Path
) -> None:
    """Request and reports up, lessons and acknowledgement down; the second round carries only what is new."""
    county = make_county()
    published(county, tmp_path)
    box = make_box(county, **nowhere())
    box.start("agent")
    wait_until(lambda: box.status()["outbox"]["unacknowledged"] > 0, "the first report is packed")
    asked = said(box.command("export", str(stick), "--request", "--json"))
    assert asked["batches"] == 1 and asked["wanted"] == 0, "it knows of no release yet"
    made = said(county.command("export", str(stick), "--json"))
    assert (made["lessons"], made["asked"], made["left_lessons"]) == (3, 3, 0)
    assert made["boxes"] == [asked["box"]] and made["reports"]["stored"] == 1
    check_bag(stick)
    stick.chmod(0o555)  # a disc can't be written to
    result = said(box.command("import", str(stick), "--json"))
    stick.chmod(0o755)
    assert result["complete"] and result["new_lessons"] == 3
    assert_identical(box, county)
    wait_until(lambda: box.status()["outbox"]["unacknowledged"] == 0, "the acknowledgement counts")
    # A lesson more, and one that changed by one of its two files.
    library.lesson_of_noise(tmp_path / "tree", 4, 400_000)
    library.noise(
        tmp_path / "tree" / library.VOLUME / "第一单元 搬运" / "01 第1包" / "资料 1.bin", 450_000, 7
    )
    county.publish(tmp_path / "tree")
    box.command("export", str(stick), "--request")
    made = said(county.command("export", str(stick), "--json"))
    assert (made["asked"], made["lessons"]) == (2, 2)
    assert 850_000 < made["bytes"] < 870_000 and made["written"] < 930_000
    check_bag(stick)
    result = said(box.command("import", str(stick), "--json"))
    assert result["complete"] and result["new_lessons"] == 1, (
        "the other one was there already, and is newer now"
    )
    assert result["lessons"] == {"present": 4, "listed": 4}
    assert sync_once(box, 0)["complete"]
    again = said(county.command("export", str(stick), "--json"))
    assert again["written"] < 20_000, "only what is signed anew"


def test_from_box_to_box(make_county: MakeCounty, make_box: MakeBox, tmp_path: Path, stick: Path) -> None:
    county = make_county()
    published(county, tmp_path)
    first, second = make_box(county, **nowhere()), make_box(county, **nowhere())
    county.command("export", str(stick), "--collection", "小学/语文/统编版/三年级上册", "--verify")
    assert said(first.command("import", str(stick), "--json"))["complete"]
    empty = tmp_path / "empty"
    empty.mkdir()
    said(second.command("export", str(empty), "--request", "--json"))
    made = said(first.command("export", str(empty), "--json", "--verify"))
    assert (made["lessons"], made["asked"]) == (3, 3)
    check_bag(empty)
    second.start("sync")
    wait_until(lambda: (second.data / "sync.lock").exists(), "sync runs")
    assert said(second.command("import", str(empty), "--json"))["complete"]
    assert_identical(second, county)
    whole = tmp_path / "whole"
    whole.mkdir()
    assert said(second.command("export", str(whole), "--json"))["lessons"] == 3, "without a request: all"


@pytest.mark.slow
def test_pulled_out_half_way_by_kill_9(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path, stick: Path
) -> None:
    county = make_county()
    published(county, tmp_path, 30, 600_000)
    command = [sys.executable, "-m", "county", "export", "--data", str(county.data), str(stick)]
    running = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    objects = stick / bag.DOWN / "data" / "objects"
    wait_until(lambda: len(list(objects.glob("??/*"))) > 5, "some files are on the stick")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait(30)
    assert not (stick / bag.DOWN / bag.DECLARATION).exists(), "it was not finished"
    # Half a bag is a source: a file torn in the middle gives its intact blocks.
    torn = max(objects.glob("??/*"), key=lambda path: path.stat().st_size)
    with torn.open("r+b") as stream:
        stream.truncate(torn.stat().st_size * 2 // 3)
    box = make_box(county, **nowhere())
    half = said(box.command("import", str(stick), "--json", ok=(3,)))
    assert half["bytes"] > 0 and half["release"] == 1 and not half["complete"]
    made = said(county.command("export", str(stick), "--json"))
    assert made["lessons"] == 30
    check_bag(stick)
    assert said(box.command("import", str(stick), "--json"))["complete"]
    assert_identical(box, county)


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.root
def test_three_sticks_that_are_too_small_and_one_of_them_damaged(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path
) -> None:
    """As a technician does it: fill three sticks, carry them, find one bad, bring what lacks the next day."""
    county = make_county()
    size = published(county, tmp_path, 8, 2_500_000)["bytes"]
    box = make_box(county, **nowhere())
    rest = tmp_path / "rest.json"
    with (
        mounted(tmp_path / "s1", 9 << 20) as one,
        mounted(tmp_path / "s2", 9 << 20) as two,
        mounted(tmp_path / "s3", 9 << 20) as three,
    ):
        box.command("export", str(one), "--request")
        results = []
        for number, top in enumerate((one, two, three)):
            command = ["export", str(top), "--rest", str(rest), "--json", "--verify"]
            results.append(said(county.command(*command, ok=(0, 3))))
            check_bag(top)
            assert rest.exists() == bool(results[-1]["error"]) == (number < 2)
        assert results[0]["error"].startswith("error E-DISK-FULL: the stick is full: 3 of 8 lessons")
        assert sum(made["bytes"] for made in results) == size
        # The second stick is damaged: every 40th block of it is noise now.
        chance, bad = random.Random(5), 0
        for path in sorted((two / bag.DOWN).glob("data/objects/??/*")):
            data = bytearray(path.read_bytes())
            for at in range(0, len(data), 40 * BLOCK):
                data[at : at + 100] = chance.randbytes(100)
                bad += 1
            path.write_bytes(data)
        (two / bag.DOWN / bag.MANIFEST).write_bytes(b"\0" * 100)
        found = [said(box.command("import", str(top), "--json", ok=(0, 3))) for top in (three, one, two)]
        assert not found[-1]["complete"] and 0 < size - found[-1]["bytes"] <= bad * BLOCK
    # The next day: only what lacks is carried.
    last = tmp_path / "s4"
    last.mkdir()
    asked = said(box.command("export", str(last), "--request", "--json"))
    assert 0 < asked["wanted"] < 8
    made = said(county.command("export", str(last), "--json"))
    assert made["asked"] == made["lessons"] == asked["wanted"] and made["bytes"] < size
    assert said(box.command("import", str(last), "--json"))["complete"]
    assert_identical(box, county)


def mtools(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


@pytest.mark.needs("mcopy", "mkfs.vfat")
def test_a_stick_with_fat32(make_county: MakeCounty, tmp_path: Path, stick: Path) -> None:
    """vfat can't be mounted everywhere: mtools writes the bag to a FAT32 image and reads it back."""
    county = make_county()
    published(county, tmp_path, 2, 300_000)
    county.command("export", str(stick))
    for path in (stick / bag.DOWN).rglob("*"):
        check_path(path.relative_to(stick).as_posix())
    image = tmp_path / "stick.img"
    with image.open("wb") as stream:
        stream.truncate(64 << 20)
    mtools("mkfs.vfat", "-F", "32", str(image))
    mtools("mcopy", "-s", "-i", str(image), str(stick / "lessonbox"), "::")
    assert "TIMEST" in mtools("mdir", "-/", "-i", str(image), "::").upper()
    back = tmp_path / "back"
    back.mkdir()
    mtools("mcopy", "-s", "-n", "-i", str(image), "::lessonbox", str(back))
    check_bag(back)


def test_a_bag_is_read_without_walking_what_else_lies_there(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path, stick: Path
) -> None:
    county = make_county()
    published(county, tmp_path, 2, 300_000)
    county.command("export", str(stick))
    for number in range(300):
        library.noise(stick / "照片" / f"{number}.jpg", 20_000, number)
    box = make_box(county, **nowhere())
    done = said(box.command("import", str(stick), "--json"))
    assert done["complete"] and done["files"] < 40
    # Without its bag the same stick is walked as any other; links and other file systems are not followed.
    shutil.move(stick / "lessonbox" / "down" / "data", stick / "any")
    shutil.rmtree(stick / "lessonbox")
    (stick / "any" / "loop").symlink_to(stick)
    (stick / "any" / "proc").symlink_to("/proc")
    os.mkfifo(stick / "any" / "pipe")
    other = make_box(county, **nowhere())
    done = said(other.command("import", str(stick), "--json"))
    assert done["complete"] and done["files"] > 300


def test_mistakes_are_named(make_county: MakeCounty, make_box: MakeBox, tmp_path: Path, stick: Path) -> None:
    county = make_county()
    published(county, tmp_path, 1, 50_000)
    box = make_box(county, **nowhere())
    county.command("export", str(tmp_path / "nowhere"), ok=(2,))
    county.command("export", str(stick), "--box", "b-0000000000000000", ok=(1,))
    county.command("export", str(stick), "--box", "b-x", "--collection", "*", ok=(2,))
    box.command("export", str(stick), ok=(1,))  # there is no release yet
    box.command("export", str(stick), "--request", "--verify", ok=(2,))
    stranger = stick / bag.UP / "b-0000000000000000.request.json"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(
        b'{"format":"lessonbox-request/1","box":"b-0000000000000000","release":0,"collections":["*"],'
        b'"wanted":[],"have":[]}'
    )
    (stick / bag.UP / "x.request.json").write_bytes(b"\0")
    (stick / bag.UP / "x.reports.jsonl").write_bytes(b"\0\n")
    made = said(county.command("export", str(stick), "--json", ok=(3,)))
    assert {(p["code"], p["subject"]) for p in made["problems"]} == {
        ("E-NOT-FOUND", "b-0000000000000000"),
        ("E-FORMAT", "x.request.json"),
    }
    assert made["reports"]["refused"] == 1


def test_a_national_broadcast_that_county_and_box_both_heard(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path
) -> None:
    """The box heard 90% of the files, under other names: it needs what is signed, and what it missed."""
    county = make_county()
    heard = tmp_path / "receiver" / "20260901"
    old = time.time() - 3600
    files = []
    for number in range(20):
        path = heard / library.VOLUME / "第一单元" / f"{number:02d} 第{number}课" / f"资料 {number}.bin"
        library.noise(path, 400_000 + number, seed=number)
        os.utime(path, (old, old))
        files.append(path)
    adopted = said(county.command("adopt", str(tmp_path / "receiver"), "--json"))
    assert (adopted["release"], adopted["lessons"], adopted["problems"]) == (1, 20, [])
    assert said(county.command("adopt", str(tmp_path / "receiver"), "--json"))["release"] == 1
    county.serve()
    box = make_box(county, sources=["drop", "webseed"])
    missed = files[::10]
    for number, path in enumerate(files):
        if path not in missed:
            shutil.copyfile(path, box.data / "drop" / f"{number:x}.dat")
    result = sync_once(box)
    assert result["complete"] and result["lessons"] == {"present": 20, "listed": 20}
    assert_identical(box, county)
    lacked = sum(path.stat().st_size for path in missed)
    described = sum(f.stat().st_size for f in (county.data / "objects").glob("??/*")) - sum(
        path.stat().st_size for path in files
    )
    assert lacked <= result["received"] <= lacked + described + 2 * 65_536
    assert len(missed) == 2
