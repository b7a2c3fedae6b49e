"""Ingest of a drop of 2 GB on tmpfs, warm, beside sha256sum and a copy of the same files: CPU and memory."""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measures import Row

_FILES = 8
_QUICK, _WHOLE = 256 << 20, 2 << 30
_NEEDED = 4  # times the size, on tmpfs
_COUNTY, _BOX = (sys.executable, "-m", "county"), (sys.executable, "-m", "appliance")


def _run(*command: str, ok: tuple[int, ...] = (0,)) -> tuple[float, int]:
    """CPU seconds (user and system) and largest resident set in bytes of a command."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in ok:
            said.seek(0)
            raise RuntimeError(f"{command[:4]}: exit {process.returncode}: {said.read(2000)!r}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss << 10


def _publish(work: Path, size: int) -> Path:
    """A county with one lesson of noise, and a drop that holds its release and files under other names."""
    county, tree, drop = work / "county", work / "tree", work / "drop"
    lesson = tree / "小学" / "语文" / "统编版" / "三年级上册" / "第一单元" / "01 一课"
    lesson.mkdir(parents=True)
    chance = random.Random(1)
    for number in range(_FILES):
        with (lesson / f"资料 {number}.bin").open("wb") as stream:
            for _ in range(size // _FILES >> 20):
                stream.write(chance.randbytes(1 << 20))
    _run(*_COUNTY, "init", "--data", str(county), "--name", "测", "--url", "http://127.0.0.1:9")
    _run(*_COUNTY, "publish", str(tree), "--data", str(county))
    _run(
        *(*_COUNTY, "enrol", "--data", str(county), "--school-code", "1", "--name", "校"),
        *("--out", str(work / "enrolment.json")),
    )
    shutil.rmtree(tree)
    shutil.copytree(county / "public", drop / "release")
    for number, path in enumerate(sorted((county / "objects").glob("??/*"))):
        os.link(path, drop / f"received-{number}")
    return drop


def _ingest(work: Path, drop: Path) -> tuple[float, int]:
    box = work / "box"
    _run(*_BOX, "init", "--enrolment", str(work / "enrolment.json"), "--data", str(box))
    settings = {"sources": ["drop"], "drop_folders": [str(drop)], "reserve": 0}
    (box / "box.toml").write_text(
        "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()), "utf-8"
    )
    used = _run(*_BOX, "sync", "--once", "--json", "--data", str(box))  # exit 0: all of it is here
    shutil.rmtree(box)
    return used


def _peer(work: Path, drop: Path) -> float:
    files = [str(path) for path in sorted(drop.glob("received-*"))]
    copies = work / "copies"
    copies.mkdir()
    spent = _run("sha256sum", *files)[0] + _run("cp", *files, str(copies))[0]
    shutil.rmtree(copies)
    return spent


def measure(work: Path, quick: bool) -> list[Row]:
    """One row. Works on tmpfs (/dev/shm) where there is room, else below `work`."""
    size = _QUICK if quick else _WHOLE
    shared = Path("/dev/shm")
    room = shared.is_dir() and shutil.disk_usage(shared).free > _NEEDED * size
    with tempfile.TemporaryDirectory(dir=shared if room else work) as place:
        drop = _publish(Path(place), size)
        ours, theirs, resident = [], [], []
        for _ in range(3 if quick else 5):
            cpu, most = _ingest(Path(place), drop)
            ours.append(cpu)
            resident.append(most)
            theirs.append(_peer(Path(place), drop))
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return [
        Row(
            f"ingest of a drop of {size >> 20} MiB in {_FILES} files{'' if room else ' (not on tmpfs)'}",
            "sha256sum and cp",
            "≤ 1.6 x their CPU, RSS ≤ 120 MB",
            f"{ratio:.2f} x ({statistics.median(ours):.1f} s against {statistics.median(theirs):.1f} s),"
            f" RSS {max(resident) / 1e6:.0f} MB",
        )
    ]
