"""Updates made here, published by a real county, offered to a box whose objects lie in files."""

from __future__ import annotations

import io
import json
import lzma
import random
import tarfile
from pathlib import Path
from typing import Any

from content_sync.formats.canonical import load
from content_sync.terminal import Progress
from county.config import CountyPaths, load_settings
from county.library import Library
from county.publish.store import object_path
from county.publish.updates import Listed, publish_update
from county.setup import default_root_key, init
from tests.unit.small_county import NOW, URL

KIND = "system-amd64"


class QuietBar(Progress):
    """No bar."""

    def __init__(self, *_: Any) -> None:
        pass

    def to(self, done: int) -> None:
        """Nothing is drawn."""

    def close(self) -> None:
        """Nothing was."""


def system_bytes(seed: int = 0, size: int = 64 << 10) -> bytes:
    """What a partition is to hold."""
    return random.Random(seed).randbytes(size // 2).ljust(size, b"\0")


def update_file(
    path: Path, kind: str = KIND, number: int = 10, seed: int = 0, members: dict[str, bytes] | None = None
) -> Path:
    """A file of images/update.py; `members` instead of what a system holds."""
    facts = {"for": kind, "number": number, "version": f"0.1-{number}"}
    files = {"facts.json": json.dumps(facts).encode()}
    files |= members or {"system.img.xz": lzma.compress(system_bytes(seed))}
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


class UpdateCounty:
    """A real county in a folder; `page`, `content` and `root` as tests/unit/small_county.py has them."""

    def __init__(self, folder: Path) -> None:
        self.paths, self.now = CountyPaths(folder), NOW
        init(self.paths, "清河县", [URL], NOW, None, "geheim-geheim")
        self.key = default_root_key(folder)
        self.settings = load_settings(folder)
        self.root = (self.paths.public / "metadata" / "1.root.json").read_bytes()

    def publish(self, file: Path, pilot: bool = False) -> Listed:
        """Sign it into a release."""
        self.now += 60
        given = (self.paths, self.settings, file, self.key, lambda: self.now, QuietBar)
        return publish_update(*given, pilot)[1]

    def page(self, url: str) -> bytes | None:
        """What the county answers."""
        path = self.paths.public / url.removeprefix(URL + "/")
        return path.read_bytes() if path.is_file() else None

    @property
    def content(self) -> dict[str, bytes]:
        """Root -> bytes of all files."""
        return {p.name: p.read_bytes() for p in self.paths.objects.glob("??/*")}

    def manifest(self, listed: Listed) -> bytes:
        """The signed manifest of an update of the release."""
        with Library.open(self.paths.library_db) as library:
            row = library.lesson(listed.lesson)
            assert row is not None
            root = library.package_files(row.infohash)["update.json"].root
        return object_path(self.paths.objects, root).read_bytes()

    def offer(self, listed: Listed, data: Path) -> None:
        """As sync leaves it in a box's folder: enrolment, objects, manifest."""
        for name, content in self.content.items():
            place = data / "objects" / name[:2] / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        enrolment = {
            "format": "lessonbox-enrolment/1", "county": "清河县", "urls": [URL], "box": "b-0123456789abcdef",
            "school": {"code": "1", "name": "东沟"}, "claim": "0" * 32, "root": load(self.root, 1 << 20),
        }  # fmt: skip
        (data / "enrolment.json").write_text(json.dumps(enrolment), "utf-8")
        (data / "update").mkdir(exist_ok=True)
        (data / "update" / "offer.json").write_bytes(self.manifest(listed))
