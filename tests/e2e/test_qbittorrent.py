"""An ordinary client, Debian's qbittorrent-nox: it gets a lesson from the county by its .torrent and token,
and a box gets the lesson from it."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from content_sync.formats import torrent
from tests.e2e import library
from tests.e2e.programs import Box, County, free_port, set_settings, wait_until

_CONFIG = """[LegalNotice]
Accepted=true
[Preferences]
WebUI\\LocalHostAuth=false
WebUI\\Address=127.0.0.1
Connection\\ResolvePeerCountries=false
[BitTorrent]
Session\\DHTEnabled=false
Session\\PeXEnabled=false
Session\\LSDEnabled=false
Session\\GlobalMaxRatio=-1
Session\\InterfaceAddress=127.0.0.1
"""


class Qbittorrent:
    """One qbittorrent-nox with a profile of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._web = folder, free_port()
        config = folder / "profile" / "qBittorrent" / "config" / "qBittorrent.conf"
        config.parent.mkdir(parents=True)
        config.write_text(_CONFIG, "utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, torrent_file: Path) -> None:
        """Start it with a torrent."""
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["qbittorrent-nox", f"--profile={self.folder / 'profile'}", f"--webui-port={self._web}",
                 f"--torrenting-port={free_port()}", f"--save-path={self.folder / 'saved'}",
                 "--skip-dialog=true", str(torrent_file)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"HOME": str(self.folder), "PATH": "/usr/bin", "LANG": "C.UTF-8"},
            )  # fmt: skip

    def torrents(self) -> list[dict[str, Any]]:
        """What its API says of its torrents."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self._web}/api/v2/torrents/info", timeout=5
            ) as answer:
                found: list[dict[str, Any]] = json.loads(answer.read())
                return found
        except OSError:
            return []

    def complete(self) -> bool:
        """Whether it has all of one torrent."""
        found = self.torrents()
        return len(found) == 1 and found[0]["progress"] == 1

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(20)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Qbittorrent]:
    made = Qbittorrent(tmp_path / "qbittorrent")
    yield made
    made.close()


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    library.lesson_of_noise(tmp_path / "tree", 1, 1_500_000, files=2)
    made = County(tmp_path / "county")
    set_settings(made.data / "county.toml", open_access="none", announce_seconds=10)
    made.publish(tmp_path / "tree")
    made.serve()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.needs("qbittorrent-nox")
def test_from_the_county_to_qbittorrent_to_a_box(county: County, client: Qbittorrent, tmp_path: Path) -> None:
    (lesson,) = [path.name for path in (county.data / "public/targets/packages").glob("*.torrent")]
    made = torrent.parse((county.data / "public/targets/packages" / lesson).read_bytes())
    file = tmp_path / "lesson.torrent"
    county.command("torrent", made.name, "--out", str(file), "--guest", "王老师")
    with pytest.raises(urllib.error.HTTPError) as refused:
        county.place.get(f"{county.url}/announce")
    assert refused.value.code == 403
    client.start(file)
    wait_until(client.complete, "qBittorrent has the lesson")
    objects = county.data / "objects"
    for entry in made.files:
        saved = client.folder / "saved" / made.name / entry.path
        assert saved.read_bytes() == (objects / entry.file.root[:2] / entry.file.root).read_bytes()

    # The county loses its objects: neither seeder nor web seed has anything to give any more.
    # (The seeder may hold them open: it is started again. The tracker, in another process, still knows who is
    # there.)
    objects.rename(tmp_path / "away")
    for process in psutil.Process(os.getpid()).children(recursive=True):
        if {"serve-part", "seeder"} <= set(process.cmdline()):
            process.kill()
    box = Box(tmp_path / "box", county.enrol(tmp_path / "e.json"), sources=["torrent"])
    try:
        box.start("sync")
        wait_until(lambda: box.complete(1), "the box has the lesson from qBittorrent")
        for entry in made.files:
            held = box.data / "objects" / entry.file.root[:2] / entry.file.root
            assert held.read_bytes() == (client.folder / "saved" / made.name / entry.path).read_bytes()
    finally:
        box.close()
