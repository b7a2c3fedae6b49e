"""`county init | publish | enrol | passwd` as a person runs them: real processes, programs, disks."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from pptx import Presentation

from content_sync.formats import torrent
from content_sync.formats.enrolment import parse_enrolment
from content_sync.formats.hashtree import identify
from content_sync.formats.lesson import Lesson, check_against, parse_lesson
from county.config import CountyPaths
from county.library import Library
from county.publish.signing import Repository
from county.publish.store import object_path

PLACE = "小学/语文/统编版/三年级上册/第六单元 祖国河山"
LIMIT = 300
ROOT = Path(__file__).resolve().parents[2]


def run(
    *command: str, data: Path, before: Sequence[str] = (), path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """A county command to its end; `before` stands before it, `path` instead of $PATH."""
    return subprocess.run(
        [*before, sys.executable, "-m", "county", *command],
        env=environment(data) | ({} if path is None else {"PATH": path}),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


def environment(data: Path) -> dict[str, str]:
    return {**os.environ, "COUNTY_DATA": str(data), "PYTHONPATH": str(ROOT)}


def write(source: Path, name: str, data: bytes, lesson: str = "17 古诗三首") -> Path:
    path = source / PLACE / lesson / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def lessons(data: Path) -> dict[str, Lesson]:
    """Published lessons by title, each byte checked against its signed package."""
    paths = CountyPaths(data)
    found = {}
    with Library.open(paths.library_db) as library:
        for row in library.lessons():
            package = library.package(row.infohash)
            assert package is not None
            name = f"{package.torrent_sha256}.{row.infohash}.torrent"
            read = torrent.parse((paths.public / "targets/packages" / name).read_bytes(), row.infohash)
            files = {held.path: held.file for held in read.files}
            for file in files.values():
                with object_path(paths.objects, file.root).open("rb") as stream:
                    assert identify(stream)[0] == file
            lesson = parse_lesson(object_path(paths.objects, files["lesson.json"].root).read_bytes())
            check_against(lesson, files)
            found[lesson.title] = lesson
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = run("init", "--name", "青山县", "--url", "http://127.0.0.1:8000", data=tmp_path / "county")
    assert made.returncode == 0, made.stderr
    return tmp_path / "county"


def test_init_publish_enrol(tmp_path: Path) -> None:
    data, source, out = tmp_path / "county", tmp_path / "src", tmp_path / "box.json"
    made = run("init", "--name", "青山县", "--url", "http://a:1", "--url", "http://b:2", "--json", data=data)
    said = json.loads(made.stdout)
    assert made.returncode == 0 and said["account"] == "admin" and len(said["password"]) >= 12
    assert Path(said["root_key"]) == tmp_path / "county.root-key.pem"
    again = run("init", "--name", "青山县", "--url", "http://a:1", data=data)
    assert again.returncode == 1 and again.stderr.startswith("error E-SETUP: ")

    write(source, "教案.txt", "教案".encode())
    write(source, "空.txt", b"")
    done = run("publish", str(source), "--json", data=data)
    result = json.loads(done.stdout)
    assert done.returncode == 0
    assert (result["release"], result["lessons"], result["resources"]) == (1, 1, 1)
    assert result["bytes"] == result["new_bytes"] > 0
    path = f"{PLACE}/17 古诗三首/空.txt"
    assert result["problems"] == [{"code": "E-SOURCE", "path": path, "what": "the file is empty"}]
    assert f"warning E-SOURCE {path}: the file is empty" in done.stderr.splitlines()
    text = run("publish", str(source), data=data)
    assert text.returncode == 0 and text.stdout.startswith("release 1: 1 lessons, 1 resources")

    given = run("enrol", "--school-code", "1001", "--name", "石桥村小学", "--out", str(out), data=data)
    assert given.returncode == 0 and stat.S_IMODE(out.stat().st_mode) == 0o600
    enrolment = parse_enrolment(out.read_bytes())
    assert enrolment.urls == ("http://a:1", "http://b:2") and enrolment.school_name == "石桥村小学"
    assert enrolment.root == Repository(data / "public", data / "keys", 365).root()
    taken = run("enrol", "--school-code", "1002", "--name", "别校", "--out", str(out), data=data)
    assert taken.returncode == 1 and parse_enrolment(out.read_bytes()) == enrolment
    changed = run("passwd", "wang", "--password", "secret secret", data=data)
    assert changed.returncode == 0 and "secret secret" in changed.stdout


def test_wrong_use(tmp_path: Path, data: Path) -> None:
    assert run("publish", data=data).returncode == 2
    assert run("publish", str(tmp_path / "nowhere"), data=data).returncode == 2
    assert run("init", "--name", "x", data=tmp_path / "b").returncode == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = run("publish", str(empty), data=data)
    assert refused.returncode == 1 and refused.stderr.splitlines()[-1].startswith("error E-SOURCE: ")
    other = run("publish", str(empty), data=tmp_path / "no-county")
    assert other.returncode == 1 and other.stderr.startswith("error E-SETUP: ")


@pytest.mark.needs("soffice", "pdftoppm", "ffmpeg", "ffprobe")
def test_real_programs_make_what_a_board_shows(tmp_path: Path, data: Path) -> None:
    source = tmp_path / "src"
    good, bad = write(source, "视频 好.mp4", b""), write(source, "视频 坏.mp4", b"")
    picture = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=d=2:s=160x120:r=5"]
    sound = ["-f", "lavfi", "-i", "sine=d=2"]
    h264 = ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-c:a", "aac"]
    subprocess.run([*picture, *sound, *h264, "-movflags", "+faststart", str(good)], check=True, timeout=LIMIT)
    subprocess.run([*picture, *sound, *h264, str(bad)], check=True, timeout=LIMIT)
    write(source, "视频 残.mp4", good.read_bytes()[:400])
    slides = Presentation()
    for title in ("一", "二", "三"):
        slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = title
    slides.save(str(write(source, "课件 一.pptx", b"")))
    write(source, "课件 残.pptx", b"PK\x03\x04 and no more")
    write(source, "试题 残.pdf", b"%PDF-1.4 and no more")
    first = run("publish", str(source), "--json", data=data)
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    named = {p["path"].rpartition("/")[2]: (p["code"], p["what"]) for p in result["problems"]}
    assert set(named) == {"视频 坏.mp4", "视频 残.mp4", "课件 残.pptx", "试题 残.pdf"}
    assert {code for code, _ in named.values()} == {"E-MEDIA"} and "moov" in named["视频 坏.mp4"][1]
    resources = {r.title: r for r in lessons(data)["古诗三首"].resources}
    assert resources["好"].seconds == 2 and resources["坏"].seconds == 2 and resources["残"].seconds is None
    shown = resources["一"]
    assert [(f.path, f.role) for f in shown.files] == [
        ("课件 一.pdf", "main"),
        ("课件 一 pages/001.jpg", "page"),
        ("课件 一 pages/002.jpg", "page"),
        ("课件 一 pages/003.jpg", "page"),
        ("课件 一.pptx", "original"),
    ]
    assert shown.media_type == "application/pdf"
    image = object_path(data / "objects", shown.with_role("page")[0].file.root)
    asked = [
        "ffprobe",
        "-v",
        "error",
        "-show_entries",
        "stream=codec_name,width",
        "-of",
        "csv=p=0",
        str(image),
    ]
    assert subprocess.run(asked, capture_output=True, text=True, timeout=LIMIT).stdout.strip() == "mjpeg,1440"
    again = json.loads(run("publish", str(source), "--json", data=data).stdout)
    assert (again["release"], again["new_bytes"]) == (1, 0) and again["problems"] == result["problems"]
    # Without the programs what they made stays.
    bare = json.loads(run("publish", str(source), "--json", data=data, path="/nonexistent").stdout)
    assert (bare["release"], bare["new_bytes"]) == (1, 0)


def test_unreadable_files_are_named_and_the_rest_published(tmp_path: Path, data: Path) -> None:
    source = tmp_path / "src"
    write(source, "教案.txt", b"1")
    write(source, "视频.bin", b"secret").chmod(0)
    shut = write(source, "a.txt", b"x", "18 关着的课").parent
    shut.chmod(0)
    try:
        # Root reads everything, unless it does without these two rights.
        plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        done = run("publish", str(source), "--json", data=data, before=plain)
    finally:
        shut.chmod(0o755)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert sorted((p["code"], p["path"].rpartition("/")[2]) for p in result["problems"]) == [
        ("E-SOURCE", "18 关着的课"),
        ("E-SOURCE", "视频.bin"),
    ]
    assert all("Permission denied" in p["what"] for p in result["problems"]) and result["lessons"] == 1


@pytest.mark.root
def test_a_full_disk_leaves_the_old_release_whole(tmp_path: Path) -> None:
    disk, source = tmp_path / "disk", tmp_path / "src"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], check=True)
    try:
        data = disk / "county"
        assert run("init", "--name", "县", "--url", "http://a", data=data).returncode == 0
        write(source, "教案.bin", os.urandom(1_000_000))
        assert run("publish", str(source), data=data).returncode == 0
        write(source, "视频.bin", os.urandom(8_000_000), "18 大课")
        full = run("publish", str(source), data=data)
        assert full.returncode == 1 and full.stderr.splitlines()[-1].startswith("error E-DISK-FULL: ")
        assert list(lessons(data)) == ["古诗三首"]
        assert Repository(data / "public", data / "keys", 365).release == 1
        subprocess.run(["mount", "-o", "remount,size=30m", str(disk)], check=True)
        assert run("publish", str(source), data=data).returncode == 0
        assert set(lessons(data)) == {"古诗三首", "大课"}
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_killed_at_any_moment_publishing_again_completes(tmp_path: Path, data: Path) -> None:
    source, chance = tmp_path / "src", random.Random(20)
    write(source, "教案.bin", chance.randbytes(100_000))
    started = time.monotonic()
    assert run("publish", str(source), data=data).returncode == 0
    usual = time.monotonic() - started
    titles = ["古诗三首"]
    for number in range(6):
        write(source, "视频.bin", chance.randbytes(3_000_000), f"{number + 20} 课文{number}")
        victim = subprocess.Popen(
            [sys.executable, "-m", "county", "publish", str(source)],
            env={
                **os.environ,
                "COUNTY_DATA": str(data),
                "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            victim.wait(timeout=usual * chance.uniform(0.3, 1.1))
        except subprocess.TimeoutExpired:
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        assert set(titles) <= set(lessons(data)), "the old release was not whole"
        done = run("publish", str(source), "--json", data=data)
        assert done.returncode == 0, done.stderr
        titles.append(f"课文{number}")
        assert json.loads(done.stdout)["lessons"] == len(titles) and set(lessons(data)) == set(titles)
        assert Repository(data / "public", data / "keys", 365).release == len(titles)
