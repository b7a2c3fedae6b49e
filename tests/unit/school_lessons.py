"""A box on a disk with uploads, for tests of local lessons."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

from content_sync.engine.local import LocalAsked
from content_sync.formats.hashtree import FileId, identify
from content_sync.formats.local import Heading, LocalRequest, Source, dump_request, parse_request
from tests.faults.disk_box import DiskBox
from tests.unit.small_county import SmallCounty

ID = "local-0123456789abcdef"
HEAD = Heading("本校的长城课", "语文", "四年级")
FILM, PAPER = os.urandom(40_000), b"%PDF-1.4\n" + b"p" * 30_000


class OwnBox(DiskBox):
    """A box that sees teachers' uploads; every byte of its own lessons is checked by `own`."""

    def __init__(self, folder: Path, county: SmallCounty, **more: Any) -> None:
        super().__init__(folder, county, **more)
        for name in ("incoming/uploads", "received", "sticks/one"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.asked = 0

    def upload(self, name: str, data: bytes) -> str:
        """As web leaves it."""
        identity = identify(io.BytesIO(name.encode()))[0].root[:16]
        (self.folder / f"incoming/uploads/{identity}.data").write_bytes(data)
        return identity

    def uploads(self) -> list[Path]:
        """What lies there still."""
        return sorted((self.folder / "incoming/uploads").iterdir())

    def ask(self, request: LocalRequest, number: int | None = None) -> LocalAsked:
        """Through the wire's form, and carried out."""
        self.asked += 1
        name = f"{self.asked if number is None else number:016x}"
        assert self.engine is not None
        asked = self.engine.ask_local(parse_request(dump_request(request)), name)
        assert asked is not None
        for _ in range(200):
            if asked.done:
                break
            self.engine.step(self.clock.monotonic())
        assert asked.done
        return asked

    def add(self, files: dict[str, bytes], identity: str = ID, head: Heading | None = HEAD) -> LocalAsked:
        """A lesson of uploads."""
        sources = tuple(Source("upload", self.upload(name, data), name) for name, data in files.items())
        return self.ask(LocalRequest("add", identity, head, files=sources))

    def own(self, identity: str = ID) -> dict[str, bytes]:
        """Title -> bytes of what opens, of everything that pages show of a lesson of the school's own."""
        lesson = self.state.present_lesson(identity)
        found: dict[str, bytes] = {}
        for resource in lesson.resources if lesson else ():
            for entry in resource.files:
                assert self.state.visible_file(entry.file.root) == entry.file
                data = self.bytes_of(entry.file.root)
                assert identify(io.BytesIO(data))[0] == entry.file
            found[resource.title] = self.bytes_of(resource.main.file.root)
        return found

    def said(self) -> set[tuple[str, str]]:
        """Code and subject of each problem."""
        return {(problem.code, problem.subject) for problem in self.state.problems()}


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def named(data: bytes) -> FileId:
    """Its identity."""
    return identify(io.BytesIO(data))[0]
