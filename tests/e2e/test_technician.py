"""A technician's days, with real commands only: sticks for a point without a line, a receiver's folder where
the kernel reports no changes, a box that was off for a term."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from content_sync.formats import bag
from county.publish.signing import Repository
from tests.e2e import library
from tests.e2e.programs import Box, County, Place, free_port, wait_until
from tests.e2e.test_sync_sources import assert_identical

pytestmark = pytest.mark.slow
MakeCounty = Callable[[], County]
MakeBox = Callable[..., Box]
DIRECT = "第一单元 搬运"


def nowhere() -> dict[str, object]:
    """Settings of a box that can reach nobody."""
    return {"urls": [f"http://127.0.0.1:{free_port()}"], "sources": ["drop"]}


def said(text: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(text)
    return result


def test_a_point_with_no_line_and_one_stick_that_is_bad(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path
) -> None:
    """Reports go up, lessons come down, what is intact of a damaged stick counts, and the same stick, carried
    again, is mended by the county though its bag says that all is well."""
    county = make_county()
    for number in range(1, 7):
        library.lesson_of_noise(tmp_path / "tree", number, 600_000, files=3)
    county.publish(tmp_path / "tree")
    box = make_box(county, **nowhere())
    box.start("agent")
    wait_until(lambda: box.status()["outbox"]["unacknowledged"] > 0, "the first report is packed")
    box.programs["agent"].stop()
    stick = tmp_path / "stick"
    stick.mkdir()
    box.command("export", str(stick), "--request")
    assert said(county.command("export", str(stick), "--json"))["reports"]["stored"] == 1
    # On the way one file is bent, one cut, one lost; a leaf list is noise, a link leads out of the stick.
    objects = sorted((stick / bag.DOWN).glob("data/objects/??/*"), key=lambda path: -path.stat().st_size)
    bent = bytearray(objects[0].read_bytes())
    bent[50_000] ^= 1
    objects[0].write_bytes(bent)
    os.truncate(objects[1], 100_000)
    objects[2].unlink()
    objects[3].unlink()
    objects[3].symlink_to("/dev/zero")
    leaves = max((stick / bag.DOWN).glob("data/packages/??/*.leaves"), key=lambda path: path.stat().st_size)
    leaves.write_bytes(os.urandom(leaves.stat().st_size))
    first = said(box.command("import", str(stick), "--json", ok=(3,)))
    assert 0 < first["lessons"]["present"] < 6 == first["lessons"]["listed"]
    said_so = box.command("import", str(stick), ok=(3,))
    assert "lessonbox export" in said_so and "--request" in said_so, "what to do next"
    rows = said(box.command("status", "--lessons", "--json"))["lesson_list"]
    assert all(row["reason"] for row in rows if not row["complete"]), rows
    # The same stick again: of what lacks nothing on it is believed unread.
    asked = said(box.command("export", str(stick), "--request", "--json"))
    made = said(county.command("export", str(stick), "--json"))
    assert asked["wanted"] == 6 - first["lessons"]["present"] == made["asked"] == made["lessons"]
    assert 0 < made["written"] < 2_000_000
    assert said(box.command("import", str(stick), "--json"))["complete"]
    assert_identical(box, county)
    box.start("agent")
    wait_until(lambda: box.status()["outbox"]["unacknowledged"] == 0, "the acknowledgement counts")


@contextmanager
def fuse(source: Path, top: Path) -> Iterator[Path]:
    """`source` seen through FUSE, where inotify tells nothing of what others write."""
    for folder in (source, top):
        folder.mkdir()
    subprocess.run(["bindfs", "-n", str(source), str(top)], check=True, timeout=30)
    try:
        yield top
    finally:
        subprocess.run(["umount", "-l", str(top)], check=True, timeout=30)


def gbk_zip(path: Path, members: dict[str, bytes]) -> None:
    """As an old Chinese Windows packs it: names in GBK, and no word of it."""

    class Gbk(zipfile.ZipInfo):
        def _encodeFilenameFlags(self) -> tuple[bytes, int]:
            return self.filename.encode("gbk"), self.flag_bits & ~0x800

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(Gbk(name), data)


@pytest.mark.root
@pytest.mark.needs("bindfs")
def test_a_receiver_whose_folder_reports_nothing(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path
) -> None:
    """Parcels through FUSE, slowly, in no order, every third damaged; a zip that has a whole lesson file,
    and what is not the county's, which stays and is counted."""
    county = make_county()
    files = library.lesson_of_noise(tmp_path / "tree", 1, 4_000_000, files=2)
    library.lesson_of_noise(tmp_path / "tree", 2, 300_000, files=2)
    county.publish(tmp_path / "tree")
    made = said(county.command("carousel", "--out", str(tmp_path / "uplink"), "--overhead", "0.4", "--json"))
    chance = random.Random(11)
    parcels = sorted((tmp_path / "uplink").iterdir())
    chance.shuffle(parcels)
    with fuse(tmp_path / "disk", tmp_path / "receiver") as receiver:
        box = make_box(county, drop_folders=[str(receiver)], poll_seconds=1, **nowhere())
        box.start("sync")
        for name in ("广告.exe", "a\nb", "国家平台目录.xls"):
            (tmp_path / "disk" / name).write_bytes(chance.randbytes(70_000))
        gbk_zip(
            tmp_path / "disk" / "语文.zip", {"三年级/望天门山.mp4": files[0].read_bytes(), "说明.txt": b"x"}
        )
        third = len(parcels) // 3
        for number, path in enumerate(parcels[:third]):
            slowly(tmp_path / "disk" / f"{chance.getrandbits(40):x}.tmp", path.read_bytes(), number % 3 == 0)
        wait_until(lambda: box.status()["reception"].get("heard") == third, "a third is heard", 60)
        half = box.status()["reception"]
        assert half["of"] == made["parcels"] and half["damaged"] > 0 and half["passes"] < 0.5
        for path in parcels[third:]:
            slowly(tmp_path / "disk" / f"{chance.getrandbits(40):x}.tmp", path.read_bytes(), False)
        wait_until(lambda: box.complete(2), "the lessons came through the folder", 60)
        wait_until(lambda: box.status()["reception"]["heard"] == made["parcels"], "all are heard", 60)
        assert_identical(box, county)
        wait_until(lambda: box.status()["sources"]["drop"]["foreign"] == 3, "the foreign are counted", 60)
        status = box.status()
        assert status["reception"]["passes_needed"] == 0
        assert not [p for p in status["problems"] if p["code"] not in ("E-NETWORK",)]
        words = box.command("status")
        assert "nothing lacks" in words and "3 not the county's" in words
        assert (receiver / "a\nb").exists() and (receiver / "广告.exe").exists()


def slowly(path: Path, data: bytes, damaged: bool) -> None:
    """As a receiver writes: piece by piece, and sometimes not all of it."""
    with path.open("wb", buffering=0) as stream:
        for at in range(0, len(data) * 2 // 3 if damaged else len(data), 32_768):
            stream.write(data[at : at + 32_768])
            os.sched_yield()


def assert_all_true(box: Box, county: County) -> None:
    """Every object of the box is one of the county's, which also keeps those of older releases."""
    held = {path.name: path for path in (box.data / "objects").glob("??/*")}
    assert len(held) >= 8
    for name, path in held.items():
        assert path.read_bytes() == (county.data / "objects" / name[:2] / name).read_bytes()


IN_1970 = Place(prefix=("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", "@1970-01-03 00:00:00"))


@pytest.mark.needs("faketime")
def test_a_box_that_was_off_for_a_term(make_county: MakeCounty, make_box: MakeBox, tmp_path: Path) -> None:
    """18 releases and two changes of every key behind, its clock in 1970: it comes back by line, and its
    neighbour by stick alone; only what changed is carried."""
    county = make_county()
    for number in range(1, 5):
        library.lesson_of_noise(tmp_path / "tree", number, 500_000, files=2)
    county.publish(tmp_path / "tree")
    stick = tmp_path / "stick"
    stick.mkdir()
    county.command("export", str(stick))
    settings = nowhere()
    online, alone = (
        make_box(county, **settings | {"sources": ["drop", "webseed"]}),
        make_box(county, **settings),
    )
    for box in (online, alone):
        assert said(box.command("import", str(stick), "--json"))["complete"]
    folder = tmp_path / "tree" / library.VOLUME / DIRECT
    root_key = Path(f"{county.data}.root-key.pem")
    for number in range(2, 20):
        library.noise(folder / f"0{number % 4 + 1} 第{number % 4 + 1}包" / "资料 1.bin", 250_000, number)
        county.publish(tmp_path / "tree")
        if number in (7, 14):
            new = tmp_path / f"root-{number}.pem"
            repository = Repository(county.data / "public", county.data / "keys", 35)
            repository.rotate_root(root_key, int(time.time()), new, new_online=True)
            root_key = new
    release = county.publish(tmp_path / "tree")["release"]
    assert release >= 20
    # By stick alone: the request tells what lacks.
    shutil.rmtree(stick)
    stick.mkdir()
    alone.place = IN_1970
    alone.command("export", str(stick), "--request")
    made = said(county.command("export", str(stick), "--json"))
    assert made["bytes"] < 4 * 250_000 + 20_000
    result = said(alone.command("import", str(stick), "--json"))
    assert result["complete"] and result["release"] == release
    assert_all_true(alone, county)
    # By line.
    county.serve()
    path = online.data / "box.toml"
    path.write_text("\n".join(line for line in path.read_text("utf-8").splitlines() if "urls" not in line))
    online.place = IN_1970
    result = said(online.command("sync", "--once", "--json"))
    assert result["complete"] and result["release"] == release
    assert_all_true(online, county)
    assert {problem["code"] for problem in online.status()["problems"]} <= {"E-BOX-CLOCK"}
