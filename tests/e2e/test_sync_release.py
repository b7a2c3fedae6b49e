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
from county.publish.signing import Repository
from tests.e2e import library
from tests.e2e.programs import Box, County, free_port, wait_until

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
    assert take(box, old)["problems"] == []  # it can only receive: an unreachable county is nothing to mend
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


def test_a_box_that_was_off_for_a_term_takes_seven_releases_from_one_stick(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path
) -> None:
    """With two new roots between; only what changed is on the stick besides the metadata."""
    county, tree = make_county(), tmp_path / "tree"
    lessons = [library.lesson_of_noise(tree, number, 300_000, files=2) for number in (1, 2, 3)]
    now = int(time.time())
    sign(county, tree, now)
    box = make_box(county, urls=[f"http://127.0.0.1:{free_port()}"], sources=["drop"])
    first = stick(county, tmp_path / "first")
    assert take(box, first)["complete"]
    repository = Repository(county.data / "public", county.data / "keys", 365)
    for number in range(2, 9):
        library.noise(lessons[0][0], 150_000, seed=900 + number)
        if number == 4:
            shutil.rmtree(lessons[1][0].parent)
        if number in (3, 6):
            repository.rotate_root(
                county.data.with_name("county.root-key.pem"), now + number, allow_date=True
            )
        sign(county, tree, now + 100 * number)
    before = {path.name for path in first.iterdir() if path.is_file()}
    (tmp_path / "last").mkdir()
    last = stick(county, tmp_path / "last")
    for name in before & {path.name for path in last.iterdir()}:
        (last / name).unlink()
    result = take(box, last)
    assert result["complete"] and result["release"] == 8
    assert set(titles(box)) == {"第1包", "第3包"} and not result["problems"]
    kept = {path.name for path in (box.data / "objects").glob("??/*")}
    assert kept == {file.root for infohash in titles(box).values() for file in _files(box, infohash)}
    assert not any((box.data / "partial").iterdir())


def test_a_file_that_rots_is_withheld_and_mended_with_its_bad_block_alone(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path
) -> None:
    """Web, sync and county as they run; the word that web leaves is left by hand."""
    county, tree = make_county(), tmp_path / "tree"
    (path,) = library.lesson_of_noise(tree, 1, 3_000_000)
    county.publish(tree)
    county.serve()
    box = make_box(county)
    box.command("sync", "--once")
    (rotten,) = [p for p in (box.data / "objects").glob("??/*") if p.stat().st_size == path.stat().st_size]
    rotten.chmod(0o644)
    with rotten.open("r+b") as stream:
        stream.seek(2_000_000)
        stream.write(b"rot")
    rotten.chmod(0o444)
    box.start("web", "sync")
    box.wait_ready()
    reader = StateReader(box.data / "state.db")
    (box.data / "incoming" / f"check-{rotten.name}").touch()
    wait_until(lambda: reader.repairs().get(rotten.name) == (1, 1), "it is found")
    wait_until(lambda: reader.lessons()[0].complete, "it is back")
    assert rotten.read_bytes() == path.read_bytes() and not reader.lessons()[0].repairing
    assert (reader.status("progress") or {})["received"] <= 4 * 16_384
    (shown,) = json.loads(box.place.get(f"{box.url}/api/v1/lessons"))["lessons"]
    assert shown["resources"][0]["url"].endswith("?again=1") and not shown["repairing"]
    assert box.place.get(box.url + shown["resources"][0]["url"]) == path.read_bytes()
    assert box.status()["disk"] | {"passes": 0} == {
        "passes": 0, "rotten": 1, "unreadable": 0, "recently": 1, "repairing": 0
    }  # fmt: skip
    assert not [p for p in reader.problems() if p.code == "E-ROT"]
