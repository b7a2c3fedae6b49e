"""Zipped HTML5 courseware: unpacked when it is good, refused by name when it is not."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from content_sync.errors import LessonBoxError, MediaError, PathError, TooBigError
from county.publish import unzip
from county.publish.unzip import unpack


def make(path: Path, entries: dict[str, bytes], pack: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", pack) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return path


def texts(found: unzip.Unpacked | None) -> dict[str, bytes]:
    assert found is not None
    return {name: path.read_bytes() for name, path in found.files.items()}


def test_the_topmost_index_is_the_root(tmp_path: Path) -> None:
    entries = {"笔顺/index.html": b"<p>", "笔顺/js/a.js": b"1", "笔顺/old/index.html": b"2", "读我.txt": b"3"}
    (tmp_path / "out").mkdir()
    found = unpack(make(tmp_path / "a.zip", entries), tmp_path / "out")
    assert texts(found) == {"index.html": b"<p>", "js/a.js": b"1", "old/index.html": b"2"}


def test_names_in_gbk_and_backslashes(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"index.html": b"1", "XXXX.png": b"2", "a^b.js": b"3"})
    data = path.read_bytes().replace(b"XXXX", "图片".encode("gbk")).replace(b"a^b", b"a\\b")
    path.write_bytes(data)
    (tmp_path / "out").mkdir()
    assert set(texts(unpack(path, tmp_path / "out"))) == {"index.html", "图片.png", "a/b.js"}
    path = make(tmp_path / "b.zip", {"index.html": b"1", "XXXXXX.png": b"2"})
    path.write_bytes(path.read_bytes().replace(b"XXXXXX", "图片".encode()))
    assert "图片.png" in texts(unpack(path, tmp_path / "out"))


def test_a_quiz_is_told_by_its_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    qti = b'<manifest><resource type="imsqti_item_xmlv2p2" href="a.xml"/></manifest>'
    held = {"练习/imsmanifest.xml": qti, "练习/a.xml": b"<a/>", "练习/图/index.html": b"1", "读我.txt": b"2"}
    found = texts(unpack(make(tmp_path / "a.zip", held), folder))
    assert set(found) == {"imsmanifest.xml", "a.xml", "图/index.html"}
    scorm = {"imsmanifest.xml": b"<manifest/>", "a/index.html": b"1", "a/b.js": b"2"}
    assert set(texts(unpack(make(tmp_path / "b.zip", scorm), folder))) == {"index.html", "b.js"}
    assert unpack(make(tmp_path / "c.zip", {"imsmanifest.xml": b"<manifest/>"}), folder) is None
    huge = {"imsmanifest.xml": qti + b" " * (1 << 20)}
    assert unpack(make(tmp_path / "d.zip", huge), folder) is None
    many = {f"{n}/imsmanifest.xml": b"x" for n in range(9)} | {"9/imsmanifest.xml": qti}
    assert unpack(make(tmp_path / "e.zip", many), folder) is None


def test_without_an_index_it_is_no_courseware(tmp_path: Path) -> None:
    assert unpack(make(tmp_path / "a.zip", {"a.txt": b"1"}), tmp_path) is None


@pytest.mark.parametrize(
    "name",
    [
        "../a.js",
        "a/../../b",
        "/etc/passwd",
        "C:\\a.js",
        "..\\a.js",
        "con.txt",
        "a" * 300,
        "a/\x01.js",
        "index.html ",
    ],
)
def test_unsafe_names_are_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "a.zip", {"index.html": b"1", name: b"2"})
    (tmp_path / "out").mkdir()
    with pytest.raises(PathError):
        unpack(path, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "out"]


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for mode in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
            made.writestr("index.html", b"1")
            info = zipfile.ZipInfo("b")
            info.external_attr = (mode | 0o777) << 16
            made.writestr(info, b"/etc/passwd")
        with pytest.raises(PathError):
            unpack(tmp_path / "a.zip", tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"index.html": b"1", "a.bin": bytes(unzip.ALWAYS_FINE + 1)})
    (tmp_path / "out").mkdir()
    with pytest.raises(TooBigError):
        unpack(path, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_twins_damage_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(PathError):
        unpack(make(tmp_path / "a.zip", {"index.html": b"1", "INDEX.html": b"2"}), tmp_path)
    with pytest.raises(MediaError):
        unpack(make(tmp_path / "b.zip", {"index.html": b""}), tmp_path)
    good = make(tmp_path / "c.zip", {"index.html": b"<p>" * 999, "empty.js": b""}, zipfile.ZIP_STORED)
    found = unpack(good, tmp_path)
    assert found is not None and found.left_out == ("empty.js",)
    data = good.read_bytes()
    for at in range(0, len(data), 37):
        spoiled = tmp_path / "d.zip"
        spoiled.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        try:
            unpack(spoiled, tmp_path)
        except LessonBoxError:
            continue
    (tmp_path / "e.zip").write_bytes(b"PK" + bytes(100))
    with pytest.raises(MediaError):
        unpack(tmp_path / "e.zip", tmp_path)
