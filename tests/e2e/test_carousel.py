"""County publishes, the carousel goes round, a point with no line at all hears most of it: the lesson is
there, byte for byte."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from content_sync.formats.parcel import Head, read_records
from tests.e2e import library
from tests.e2e.programs import Box, County, free_port, wait_until
from tests.e2e.test_sync_sources import assert_identical

MakeCounty = Callable[[], County]
MakeBox = Callable[..., Box]


def carousel(county: County, out: Path, *words: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(county.command("carousel", "--out", str(out), "--json", *words))
    return result


def broken(data: bytes, chance: random.Random) -> bytes:
    """As a bad receiver leaves it."""
    at = chance.randrange(len(data))
    return {
        0: data[:at],
        1: data[:at] + bytes(min(3000, len(data) - at)) + data[at + 3000 :],
        2: data[:at] + data[at + chance.randrange(1, 5000) :],
    }[chance.randrange(3)]


def test_a_point_that_can_only_listen(make_county: MakeCounty, make_box: MakeBox, tmp_path: Path) -> None:
    """15% of the parcels never come, one in eight comes damaged, some twice, none in order. Metadata, policy
    and acknowledgements are in the parcels alone."""
    county = make_county()
    files = library.lesson_of_noise(tmp_path / "tree", 1, 5_000_000, files=2)
    library.lesson_of_noise(tmp_path / "tree", 2, 60_000, files=3)
    county.publish(tmp_path / "tree")
    box = make_box(county, urls=[f"http://127.0.0.1:{free_port()}"])
    made = carousel(county, tmp_path / "uplink", "--overhead", "0.4")
    parcels = sorted((tmp_path / "uplink").iterdir())
    assert made["cycle"] == 1 and made["lessons"] == 2 and made["parcels"] == len(parcels) >= 50
    assert sum(path.stat().st_size for path in parcels) == made["bytes"] < 1.6 * made["content"]
    chance = random.Random(19)
    chance.shuffle(parcels)
    heard = parcels[: len(parcels) * 85 // 100]
    heard += heard[:4]
    chance.shuffle(heard)
    box.start("sync", "web")
    for number, path in enumerate(heard):
        data = path.read_bytes()
        folder = box.data / "drop" / f"频道{number % 3}"
        folder.mkdir(exist_ok=True)
        target = folder / f"{chance.getrandbits(48):x}"
        target.write_bytes(broken(data, chance) if number % 8 == 0 else data)
    wait_until(lambda: box.complete(2), "the lessons came by satellite", 60)
    assert_identical(box, county)
    status = box.status()
    found = status["reception"]
    assert found["of"] == made["parcels"] and found["damaged"] >= 3 and found["passes_needed"] == 0
    assert found["chunks"]["decoded"] > 0 and status["release"] == 1
    assert not [problem for problem in status["problems"] if problem["code"] != "E-NETWORK"]
    assert "satellite" in box.command("status")
    box.wait_ready()
    with urllib.request.urlopen(f"{box.url}/status", timeout=30) as answer:
        assert "卫星" in answer.read().decode()
    with urllib.request.urlopen(f"{box.url}/api/v1/status", timeout=30) as answer:
        assert json.load(answer)["reception"] == found
    held = {path.read_bytes() for path in (box.data / "objects").glob("??/*")}
    assert {path.read_bytes() for path in files} <= held


@pytest.mark.slow  # in short: tests/unit/test_carousel_plan.py
def test_cycles_count_on_and_carry_what_was_asked_for(make_county: MakeCounty, tmp_path: Path) -> None:
    county = make_county()
    library.lesson_of_noise(tmp_path / "tree", 1, 400_000, files=2)
    county.publish(tmp_path / "tree")
    first = carousel(county, tmp_path / "a")
    second = carousel(county, tmp_path / "b")
    assert (first["cycle"], second["cycle"]) == (1, 2) and first["carousel"] == second["carousel"]
    library.lesson_of_noise(tmp_path / "tree", 2, 300_000, files=2)
    county.publish(tmp_path / "tree")
    both = carousel(county, tmp_path / "c")
    new = carousel(county, tmp_path / "d", "--since-release", "1", "--urgent", "*")
    assert (both["lessons"], new["lessons"], new["release"]) == (2, 1, 2)
    assert "--since-release" in county.command("carousel", "--help")
    none = carousel(county, tmp_path / "e", "--collection", "ffffffff-ffffffff")
    assert none["lessons"] == 0 and none["parcels"] == 8
    for words in (["--overhead", "9"], ["--parcel-bytes", "5"], ["--since-release", "77"]):
        county.command("carousel", "--out", str(tmp_path / "f"), *words, ok=(2,))
        assert not list((tmp_path / "f").glob("*"))


def test_a_run_that_is_killed_leaves_nothing_that_looks_complete(
    make_county: MakeCounty, tmp_path: Path
) -> None:
    county = make_county()
    library.lesson_of_noise(tmp_path / "tree", 1, 30_000_000, files=2)
    county.publish(tmp_path / "tree")
    out = tmp_path / "uplink"
    command = [sys.executable, "-m", "county", "carousel", "--data", str(county.data), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(list(out.glob(".carousel-*/*"))) > 20, "parcels are being written", 60)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == []
    made = carousel(county, out)
    assert made["cycle"] == 2 and not list(out.glob(".*"))
    heads = [
        record
        for path in sorted(out.iterdir())
        for record in read_records(path.read_bytes())
        if isinstance(record, Head)
    ]
    assert [head.number for head in heads[::2]] == list(range(made["parcels"])) and heads[::2] == heads[1::2]
