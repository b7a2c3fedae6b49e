"""A county with a large library, just started: seconds, memory, and the first announce of a package that is
not loaded yet; beside libtorrent that has loaded every package.

The library is `library.db` as `publish` writes it; of a few hundred packages torrents and objects are there
too, and those are announced.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

from bench.measures import Row
from content_sync.formats import hashtree, torrent
from county.config import CountyPaths
from county.library import LessonRow, Library, PackageRow
from county.publish.store import object_path

ROOT = Path(__file__).resolve().parents[2]
_REAL = 200


def measure(work: Path, quick: bool) -> list[Row]:
    """100,000 lessons (quick: 10,000), libtorrent with 20,000 (2,000) loaded, medians of five (one)."""
    lessons, loaded, rounds = (10_000, 2_000, 1) if quick else (100_000, 20_000, 5)
    work.mkdir(parents=True, exist_ok=True)
    county, small = _county(work / "county", lessons), _county(work / "small", 1)
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    for _ in range(rounds):
        ours.append(_serve(county))
        bare.append(_serve(small))
        theirs.append(_peer(loaded))

    def middle(found: list[dict[str, float]], key: str) -> float:
        return statistics.median(one[key] for one in found)

    scale = lessons / loaded
    growth = middle(ours, "mb") - middle(bare, "mb")
    start, one = middle(ours, "seconds"), middle(bare, "seconds")
    whole = middle(ours, "mb")
    peer_mb, peer_s = middle(theirs, "mb") * scale, middle(theirs, "seconds") * scale
    return [
        Row(
            f"county, {lessons:,} lessons: start to first answer",
            f"libtorrent, {loaded:,} loaded, x {scale:g}",
            "seconds, not more than with 1 lesson + 1 s",
            f"{start:.1f} s (1 lesson: {one:.1f} s), peer {peer_s:.1f} s",
        ),
        Row(
            f"the same: memory (PSS of all processes) over a county of 1 lesson, {_REAL} lessons loaded",
            f"libtorrent, {loaded:,} loaded, x {scale:g}",
            "≤ 0.1 x",
            f"{growth:.0f} MB ({whole:.0f} in all), peer {peer_mb:.0f} MB: {growth / peer_mb:.3f} x",
        ),
        Row(
            "the same: an announce of a lesson that is not loaded, and again",
            "-",
            "≤ 50 ms",
            f"{middle(ours, 'first_ms'):.1f} ms, again {middle(ours, 'again_ms'):.1f} ms",
        ),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _county(data: Path, lessons: int) -> CountyPaths:
    paths = CountyPaths(data)
    if paths.config.is_file():
        return paths
    init = ["init", "--data", str(data), "--name", "清河县", "--url", "http://127.0.0.1:9"]
    subprocess.run([sys.executable, "-m", "county", *init], cwd=ROOT, check=True, capture_output=True)
    with paths.config.open("a", encoding="utf-8") as config:
        config.write(f"seeder_port = {_free_port()}\n")
    packages = paths.public / "targets" / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[PackageRow, list[tuple[str, hashtree.FileId]]]] = []
    for number in range(lessons):
        rows.append(_real(paths, packages, number) if number < _REAL else _row(number))
    with Library.open(paths.library_db, write=True) as library, library.transaction():
        for row, listed in rows:
            library.put_package(row, listed)
        library._put(
            "lesson",
            LessonRow,
            [
                LessonRow(
                    row.lesson,
                    "c-1",
                    f"第{n}课",
                    "小学",
                    "语文",
                    "统编版",
                    "三年级",
                    "上册",
                    "第一单元",
                    row.infohash,
                )
                for n, (row, _) in enumerate(rows)
            ],
        )
    return paths


def _package(number: int) -> tuple[torrent.Torrent, dict[str, bytes]]:
    data = {"lesson.json": b'{"n":%d}' % number, "video.mp4": b"%8d" % number * 2_000}
    files = []
    for path, content in data.items():
        file, leaves = hashtree.identify(io.BytesIO(content))
        files.append((path, file, leaves))
    return torrent.build(f"lesson-{number:06}", files), data


def _real(
    paths: CountyPaths, packages: Path, number: int
) -> tuple[PackageRow, list[tuple[str, hashtree.FileId]]]:
    made, data = _package(number)
    digest = hashlib.sha256(made.data).hexdigest()
    (packages / f"{digest}.{made.infohash}.torrent").write_bytes(made.data)
    for entry in made.files:
        path = object_path(paths.objects, entry.file.root)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[entry.path])
    return PackageRow(
        made.infohash,
        made.name,
        made.files[0].file.root,
        made.name,
        made.size,
        digest,
        len(made.data),
        "0" * 64,
        64,
        1,
    ), [(entry.path, entry.file) for entry in made.files]


def _row(number: int) -> tuple[PackageRow, list[tuple[str, hashtree.FileId]]]:
    name, key = f"lesson-{number:06}", hashlib.sha256(b"%d" % number).hexdigest()
    paths = ("lesson.json", "视频 望天门山.mp4", "课件.pdf", "试题/assessment.xml")
    roots = (hashlib.sha256(f"{key}{path}".encode()).hexdigest() for path in paths)
    listed = [(path, hashtree.FileId(root, 30_000_000)) for path, root in zip(paths, roots, strict=True)]
    return PackageRow(key, name, key, name, 120_000_000, key, 900, key, 64, 1), listed


def _serve(paths: CountyPaths) -> dict[str, float]:
    port = _free_port()
    with Library.open(paths.library_db) as library:
        known = [library.published(row.infohash) for row in library.lessons()[:_REAL]]
    hashes = [bytes.fromhex(row.infohash)[:20] for row in known if row is not None]
    began = time.monotonic()
    server = subprocess.Popen(
        [sys.executable, "-m", "county", "serve", "--data", str(paths.data), "--listen", f"127.0.0.1:{port}"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        server.stdout.readline()
        while not (paths.work / "seeder.json").is_file() or _figures(paths)["time"] < int(time.time()) - 5:
            time.sleep(0.02)
        seconds = time.monotonic() - began
        first, again = ([_announce(port, one) for one in hashes] for _ in range(2))
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        memory = sum(process.memory_full_info().pss for process in family)
        return {
            "seconds": seconds,
            "first_ms": 1000 * statistics.median(first),
            "again_ms": 1000 * statistics.median(again),
            "mb": memory / 1e6,
        }
    finally:
        server.terminate()
        server.wait(30)
        (paths.work / "seeder.json").unlink(missing_ok=True)


def _figures(paths: CountyPaths) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((paths.work / "seeder.json").read_text())
    return found


def _announce(port: int, info_hash: bytes) -> float:
    query = urlencode({"info_hash": info_hash, "peer_id": b"-BN0001-" + bytes(12), "port": 7000, "left": 1})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    began = time.perf_counter()
    connection.request("GET", f"/announce?{query}")
    body = connection.getresponse().read()
    seconds = time.perf_counter() - began
    connection.close()
    assert re.search(rb"8:intervali\d+e", body), body
    return seconds


def _peer(loaded: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.measures.county", str(loaded)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _all_loaded(count: int) -> None:
    """The peer, in a process of its own: every package loaded at the start, as a plain seeder does."""
    import libtorrent as lt

    made = [_package(number)[0].data for number in range(count)]
    session = lt.session(
        {"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
         "enable_natpmp": False, "active_limit": -1, "alert_mask": 0}
    )  # fmt: skip
    quiet = lt.torrent_flags.seed_mode | lt.torrent_flags.disable_dht | lt.torrent_flags.disable_lsd
    quiet |= lt.torrent_flags.disable_pex
    process = psutil.Process()
    before, began = process.memory_full_info().pss, time.monotonic()
    for data in made:
        params = lt.load_torrent_buffer(data)
        params.save_path, params.flags = "/nonexistent", quiet
        session.async_add_torrent(params)
    while len(session.get_torrents()) < count:
        time.sleep(0.02)
    seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds, "mb": (process.memory_full_info().pss - before) / 1e6}))


if __name__ == "__main__":
    _all_loaded(int(sys.argv[1]))
