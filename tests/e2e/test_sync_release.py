"""Releases that come, change, go back in time or are false; a disk that is full."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from content_sync.adapters.sqlite import StateReader
from content_sync.terminal import Progress
from county.config import CountyPaths, load_settings
from county.publish.publish import publish
from tests.e2e import library
from tests.e2e.programs import Box, County, free_port

MakeCounty = Callable[[], County]
MakeBox = Callable[..., Box]
Y2099 = 4_070_908_800


def stick(county: County, folder: Path) -> Path:
    """All that a county publishes, on a stick."""
    shutil.copytree(county.data / "public", folder / "public")
    for path in (county.data / "objects").glob("??/*"):
        shutil.copyfile(path, folder / path.name)
    return folder


def take(box: Box, folder: Path, *ok: int) -> dict[str, Any]:
    """`lessonbox import --json`."""
    result: dict[str, Any] = json.loads(box.command("import", str(folder), "--json", ok=ok or (0,)))
    return result


def titles(box: Box) -> dict[str, str]:
    """Title -> infohash of what teachers see."""
    reader = StateReader(box.data / "state.db")
    return {row.title: row.present for row in reader.lessons() if row.present}


def sign(county: County, tree: Path, now: int) -> None:
    """Publish by a clock that stands at `now`."""
    publish(
        CountyPaths(county.data),
        load_settings(county.data),
        (tree,),
        lambda: float(now),
        Progress,
        True,
        True,
    )


def test_releases_follow_each_other_whatever_the_clock_says(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path
) -> None:
    """A changed lesson, a release dated 2099, a true one that withdraws a lesson, then old and forged
    ones."""
    county, tree = make_county(), tmp_path / "tree"
    first = library.lesson_of_noise(tree, 1, 400_000, files=2)
    second = library.lesson_of_noise(tree, 2, 300_000)
    now = int(time.time())
    sign(county, tree, now)
    box = make_box(county, urls=[f"http://127.0.0.1:{free_port()}"], sources=["drop"])
    old = stick(county, tmp_path / "stick-1")
    assert take(box, old)["lessons"] == {"present": 2, "listed": 2}
    before = titles(box)

    library.noise(first[0], 250_000, seed=99)
    sign(county, tree, Y2099)
    metadata_alone = tmp_path / "stick-2a"
    shutil.copytree(county.data / "public", metadata_alone / "public")
    assert take(box, metadata_alone, 3)["release"] == 2
    assert titles(box) == before  # the old version goes on until the new one is whole
    assert take(box, stick(county, tmp_path / "stick-2"))["complete"]
    changed = titles(box)
    assert changed.keys() == before.keys() and changed["第1包"] != before["第1包"]
    assert changed["第2包"] == before["第2包"]
    floor = json.loads(StateReader(box.data / "state.db").meta("floor") or "{}")
    assert floor["floor"] < now + 86_400 and floor["doubted"] == Y2099

    shutil.rmtree(second[0].parent)
    sign(county, tree, now + 60)
    result = take(box, stick(county, tmp_path / "stick-3"))
    assert result["release"] == 3 and titles(box) == {"第1包": changed["第1包"]}
    floor = json.loads(StateReader(box.data / "state.db").meta("floor") or "{}")
    assert floor == {"floor": now + 60, "doubted": None}
    assert {path.name for path in (box.data / "objects").glob("??/*")} == {
        file.root
        for resource in StateReader(box.data / "state.db").lessons()
        for file in [*_files(box, resource.wanted)]
    }

    reply = take(box, old)
    assert [p["code"] for p in reply["problems"]] == ["E-ROLLBACK"]
    assert reply["release"] == 3 and titles(box) == {"第1包": changed["第1包"]}
    forger = make_county()
    for _ in range(4):
        sign(forger, tree, now + 120)
        library.noise(first[0], 250_000, seed=int(time.monotonic_ns() % 1000))
    reply = take(box, stick(forger, tmp_path / "stick-4"))
    assert "E-SIGNATURE" in [p["code"] for p in reply["problems"]]
    assert reply["release"] == 3 and titles(box) == {"第1包": changed["第1包"]}


def _files(box: Box, infohash: str) -> list[Any]:
    from content_sync.formats import torrent

    (path,) = (box.data / "trust/targets/packages").glob(f"*.{infohash}.torrent")
    return [entry.file for entry in torrent.parse(path.read_bytes()).files]


def test_a_damaged_state_is_put_aside_and_built_again(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path
) -> None:
    county, tree = make_county(), tmp_path / "tree"
    library.lesson_of_noise(tree, 1, 400_000, files=2)
    sign(county, tree, int(time.time()))
    box = make_box(county, urls=[f"http://127.0.0.1:{free_port()}"], sources=["drop"])
    take(box, stick(county, tmp_path / "stick"))
    seen = titles(box)
    state = box.data / "state.db"
    state.write_bytes(b"\xff" * 8192)
    for suffix in ("-wal", "-shm"):
        state.with_name(state.name + suffix).unlink(missing_ok=True)
    result = json.loads(box.command("sync", "--once", "--json"))
    assert result["complete"] and titles(box) == seen
    assert len(list(box.data.glob("state.db.damaged-*"))) == 1


@pytest.mark.root
def test_a_full_disk_is_named_and_loses_nothing(make_county: MakeCounty, tmp_path: Path) -> None:
    county, tree = make_county(), tmp_path / "tree"
    library.lesson_of_noise(tree, 1, 6_000_000)
    library.lesson_of_noise(tree, 2, 40_000_000)
    county.publish(tree)
    county.serve()
    disk = tmp_path / "school" / "box"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "lessonbox-test", disk], check=True)
    try:
        box = Box(tmp_path / "school", county.enrol(tmp_path / "school.json"), reserve=2)
        result = json.loads(box.command("sync", "--once", "--json", ok=(3,)))
        assert [p["code"] for p in result["problems"]] == ["E-DISK-FULL"]
        assert result["lessons"] == {"present": 1, "listed": 2}
        reasons = json.loads(box.command("status", "--lessons", "--json"))["lesson_list"]
        assert [row["state"] for row in reasons] == ["present", "wanted"]
        assert "空间不足" in reasons[1]["reason"]
        library.noise(disk / "drop" / "filler", 13_000_000, seed=3)
        assert box.command("sync", "--once", "--json", ok=(3,))
        (disk / "drop" / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=96m", disk], check=True)
        result = json.loads(box.command("sync", "--once", "--json"))
        assert result["complete"] and not result["problems"]
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
