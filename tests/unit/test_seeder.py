"""The seeder on a real libtorrent: it serves from the store and never writes into it, whatever is wrong
there.
"""

from __future__ import annotations

import io
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from content_sync.adapters.libtorrent.seeder import Seeder, SeederOptions
from content_sync.adapters.libtorrent.session import lt, make_session
from content_sync.errors import NotFoundError
from content_sync.formats import hashtree, torrent

Wait = Callable[..., None]


def package(folder: Path) -> tuple[torrent.Torrent, dict[str, Path], dict[str, bytes]]:
    """A package whose objects lie read-only in `folder`."""
    chance = random.Random(3)
    data = {"lesson.json": b"{}", "视频/望天门山.mp4": chance.randbytes(500_000)}
    files, objects = [], {}
    for path, content in data.items():
        file, leaves = hashtree.identify(io.BytesIO(content))
        files.append((path, file, leaves))
        objects[path] = folder / file.root
        objects[path].write_bytes(content)
        objects[path].chmod(0o444)
    return torrent.build("lesson-aaaa", files), objects, data


def leech(made: torrent.Torrent, folder: Path) -> tuple[lt.session, lt.torrent_handle]:
    session = make_session(0, lsd=False)
    params = lt.load_torrent_buffer(made.data)
    params.save_path = str(folder)
    return session, session.add_torrent(params)


def test_serves_then_lets_go(tmp_path: Path, wait_until: Wait) -> None:
    objects_folder, scratch = tmp_path / "objects", tmp_path / "scratch"
    objects_folder.mkdir(), scratch.mkdir()
    made, objects, data = package(objects_folder)
    seeder = Seeder(SeederOptions(0), scratch)
    assert seeder.add(made.data, objects) == made.infohash
    wait_until(lambda: seeder.poll(time.monotonic()) == [] and seeder.listening, 30, "listening")
    _session, handle = leech(made, tmp_path / "box")
    handle.connect_peer(("127.0.0.1", seeder.port()))
    wait_until(lambda: seeder.poll(time.monotonic()) == [] and handle.status().is_seeding, 60, "download")
    sent = [(made.infohash, sum(map(len, data.values())))]
    wait_until(
        lambda: (
            seeder.poll(time.monotonic()) == []
            and [(s.infohash, s.uploaded) for s in seeder.served()] == sent
        ),
        30,
        "figures",
    )
    seeder.remove(made.infohash)
    assert not seeder.held() and not seeder.served()
    assert {path.read_bytes() for path in objects.values()} == set(data.values())
    assert not list(scratch.iterdir())


def test_a_damaged_object_is_told_and_never_written(tmp_path: Path, wait_until: Wait) -> None:
    """A peer that has the good bytes is connected: a seeder in plain seed mode would fetch and write them."""
    objects_folder, scratch = tmp_path / "objects", tmp_path / "scratch"
    objects_folder.mkdir(), scratch.mkdir()
    made, objects, data = package(objects_folder)
    good_folder = tmp_path / "good"
    for path, content in data.items():
        (good_folder / made.name / path).parent.mkdir(parents=True, exist_ok=True)
        (good_folder / made.name / path).write_bytes(content)
    stored = objects["视频/望天门山.mp4"]
    damaged = bytearray(data["视频/望天门山.mp4"])
    damaged[200_000] ^= 1
    stored.chmod(0o644)
    stored.write_bytes(damaged)
    stored.chmod(0o444)
    before = os.stat(stored)
    seeder = Seeder(SeederOptions(0), scratch)
    seeder.add(made.data, objects)
    wait_until(lambda: seeder.poll(time.monotonic()) == [] and seeder.listening, 30, "listening")
    good_session, good = leech(made, good_folder)
    wait_until(lambda: good.status().is_seeding, 30, "the good peer has all")
    box_session, box = leech(made, tmp_path / "box")
    box.connect_peer(("127.0.0.1", seeder.port()))
    told: list[str] = []

    def problem() -> bool:
        told.extend(seeder.poll(time.monotonic()))
        return bool(told)

    wait_until(problem, 60, "the damage is told")
    good.connect_peer(("127.0.0.1", seeder.port()))
    box.connect_peer(("127.0.0.1", good_session.listen_port()))
    wait_until(
        lambda: (seeder.poll(time.monotonic()), box.status().is_seeding)[1],
        60,
        "the box completes from the good peer",
    )
    assert stored.read_bytes() == bytes(damaged)
    assert os.stat(stored).st_mtime_ns == before.st_mtime_ns
    assert not list(scratch.iterdir())


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    made, objects, _ = package(tmp_path)
    seeder = Seeder(SeederOptions(0), tmp_path)
    objects["lesson.json"].unlink()
    with pytest.raises(NotFoundError):
        seeder.add(made.data, objects)
    objects["lesson.json"].write_bytes(b"{ }")
    with pytest.raises(NotFoundError):
        seeder.add(made.data, objects)
    assert not seeder.held()
