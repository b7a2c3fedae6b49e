"""One lesson by each road alone, and by several together: byte-identical, and nothing is moved that is here
already."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import library
from tests.e2e.programs import Box, County, free_port, wait_until

BLOCK = 16_384
MakeCounty = Callable[[], County]
MakeBox = Callable[..., Box]


def sync_once(box: Box, *ok: int) -> dict[str, Any]:
    """`lessonbox sync --once --json`, with one of these exit codes."""
    result: dict[str, Any] = json.loads(box.command("sync", "--once", "--json", ok=ok or (0,)))
    return result


def objects(folder: Path) -> dict[str, bytes]:
    """Every object of a county or box: name -> bytes."""
    return {path.name: path.read_bytes() for path in (folder / "objects").glob("??/*")}


def assert_identical(box: Box, county: County) -> None:
    """The box has the county's objects, byte for byte, and they can't be written to."""
    there = objects(county.data)
    assert objects(box.data) == there and there
    assert {path.stat().st_mode & 0o777 for path in (box.data / "objects").glob("??/*")} == {0o444}
    assert not list((box.data / "partial").iterdir())


def published(make_county: MakeCounty, tmp_path: Path, size: int = 6_000_000) -> tuple[County, list[Path]]:
    """A county with one lesson of two files, not serving; and the source files."""
    county = make_county()
    files = library.lesson_of_noise(tmp_path / "tree", 1, size, files=2)
    county.publish(tmp_path / "tree")
    return county, files


@pytest.mark.parametrize("source", ["torrent", "webseed"])
def test_by_one_network_road_alone(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path, source: str
) -> None:
    county, _ = published(make_county, tmp_path)
    county.serve()
    box = make_box(county, sources=[source])
    result = sync_once(box)
    assert result["complete"] and result["lessons"] == {"present": 1, "listed": 1}
    assert_identical(box, county)
    assert result["bytes"] <= result["received"] <= 1.05 * result["bytes"]
    assert sync_once(box)["received"] == 0


def test_by_drop_alone_with_no_network(make_county: MakeCounty, make_box: MakeBox, tmp_path: Path) -> None:
    """The county never serves. A copy of its public folder and its objects, all under random names, is
    enough."""
    county, _ = published(make_county, tmp_path)
    box = make_box(county, urls=[f"http://127.0.0.1:{free_port()}"])
    box.start("sync")
    chance = random.Random(7)
    sources = [path for path in (county.data / "public").rglob("*") if path.is_file()]
    sources += list((county.data / "objects").glob("??/*"))
    chance.shuffle(sources)
    for number, path in enumerate(sources):
        folder = box.data / "drop" / f"频道{chance.randrange(3)}"
        folder.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / f"{chance.getrandbits(64):x}.{number}")
    wait_until(lambda: box.complete(1), "the lesson came by drop")
    assert box.programs["sync"].stop() == 0
    assert_identical(box, county)
    assert not [p for p in box.status()["problems"] if p["code"] != "E-NETWORK"]


def test_import_from_a_stick_while_sync_runs_and_while_not(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path
) -> None:
    county, _ = published(make_county, tmp_path, 700_000)
    shutil.copytree(county.data / "public", tmp_path / "stick")
    for path in (county.data / "objects").glob("??/*"):
        shutil.copyfile(path, tmp_path / "stick" / path.name)
    nowhere = [f"http://127.0.0.1:{free_port()}"]
    idle = make_box(county, urls=nowhere, sources=["drop"])
    done = json.loads(idle.command("import", str(tmp_path / "stick"), "--json"))
    assert done["new_lessons"] == 1 and done["complete"]
    assert_identical(idle, county)
    busy = make_box(county, urls=nowhere, sources=["drop"])
    busy.start("sync")
    wait_until(lambda: (busy.data / "sync.lock").exists(), "sync runs")
    done = json.loads(busy.command("import", str(tmp_path / "stick"), "--json"))
    assert done["new_lessons"] == 1 and done["complete"]
    assert_identical(busy, county)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert json.loads(busy.command("import", str(empty), "--json"))["new_lessons"] == 0


@pytest.mark.parametrize("source", ["torrent", "webseed"])
def test_union_of_a_damaged_drop_and_the_county(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path, source: str
) -> None:
    """60% of the blocks lie in a drop, the rest of it is noise: at most 1.1 times the missing bytes are
    moved."""
    county, files = published(make_county, tmp_path, 12_000_000)
    county.serve()
    box = make_box(county, sources=["drop", source])
    chance = random.Random(9)
    missing = 0
    for number, path in enumerate(files):
        data = bytearray(path.read_bytes())
        for start in range(0, len(data), BLOCK):
            if chance.random() < 0.4:
                size = len(data[start : start + BLOCK])
                data[start : start + BLOCK] = chance.randbytes(size)
                missing += size
        (box.data / "drop" / f"damaged-{number}").write_bytes(data)
    result = sync_once(box)
    assert result["complete"]
    assert_identical(box, county)
    print(
        f"{source}: missing {missing}, moved {result['received']}, {result['received'] / missing:.3f} times"
    )
    assert missing <= result["received"] <= 1.1 * missing


@pytest.mark.slow  # in short: the two of a damaged drop above
def test_a_drop_during_a_transfer_counts(make_county: MakeCounty, make_box: MakeBox, tmp_path: Path) -> None:
    """The line is so slow that only what the drop brings can complete the lesson in time."""
    county, files = published(make_county, tmp_path, 8_000_000)
    county.serve()
    box = make_box(county, sources=["drop", "webseed"], download_rate=200_000)
    box.start("sync")
    wait_until(lambda: box.status()["lessons"]["arriving"] == 1, "the transfer began")
    wait_until(lambda: box.status()["progress"]["received"] > 300_000, "blocks came over the line")
    for number, path in enumerate(files):
        os.link(path, box.data / "drop" / f"part-{number}")
    wait_until(lambda: box.complete(1), "the lesson is whole", 20)
    assert box.status()["progress"]["received"] < 6_000_000
    assert box.programs["sync"].stop() == 0
    assert_identical(box, county)


def test_what_a_lesson_has_in_common_is_not_fetched_again(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path
) -> None:
    county, files = published(make_county, tmp_path, 4_000_000)
    county.serve()
    box = make_box(county)
    sync_once(box)
    other = tmp_path / "tree" / library.VOLUME / "第二单元 重复" / "01 又一课"
    other.mkdir(parents=True)
    shutil.copyfile(files[0], other / "资料 换了名字.bin")
    shutil.copyfile(files[1], other / "资料 也换了.bin")
    county.publish(tmp_path / "tree")
    result = sync_once(box)
    assert result["complete"] and result["lessons"]["present"] == 2
    assert result["received"] < 100_000  # lesson.json alone


def test_sync_twice_at_once_is_refused(make_county: MakeCounty, make_box: MakeBox, tmp_path: Path) -> None:
    county, _ = published(make_county, tmp_path, 100_000)
    box = make_box(county)
    box.start("sync")
    wait_until(lambda: box.status()["sources"], "sync runs")
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "sync", "--once", "--data", str(box.data)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("error E-BUSY: ")
