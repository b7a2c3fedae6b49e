"""What became of updates on this machine: kept by root, shown to pages, told to the county."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from content_sync.adapters.files import read_capped, write_durable
from content_sync.errors import LessonBoxError
from content_sync.formats.canonical import dump, load

FORMAT = "lessonbox-updates/1"
_MOST = 20
_CAP = 64 << 10


class Result(Struct, frozen=True):
    """An update that was tried: it went well, or `why` not. `at` by this machine's clock, unix seconds."""

    number: int
    version: str
    well: bool
    why: str
    at: int


class History:
    """history.json. `staged` is the number of the update that lies ready (0: none), `version` what it is
    called."""

    def __init__(self, path: Path) -> None:
        self._path = path
        told = _read(path)
        self.results = [Result(**it) for it in told.get("results", []) if _sound(it)]
        staged, version = told.get("staged"), told.get("version")
        self.staged = staged if isinstance(staged, int) else 0
        of = told.get("version_of")
        self.version_of = of if isinstance(of, int) else 0
        self.version = version if isinstance(version, str) else ""
        since = told.get("since")
        self.since = since if isinstance(since, int) else 0

    def stage(self, number: int, version: str = "", since: int = 0) -> None:
        """An update lies ready since `since` (0: none does). Raises StorageError, DiskFullError."""
        self.staged, self.since = number, since
        if number:
            self.version, self.version_of = version, number
        self._write()

    def note(self, result: Result) -> None:
        """Remember what became of one; saying it again changes nothing. Raises StorageError,
        DiskFullError."""
        if any((one.number, one.well) == (result.number, result.well) for one in self.results):
            return
        self.results = [*self.results, result][-_MOST:]
        self._write()

    def _write(self) -> None:
        write_durable(self._path, dump({**self.plain(), "since": self.since}), 0o600)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "format": FORMAT,
            "staged": self.staged,
            "version": self.version,
            "version_of": self.version_of,
            "results": [asdict(one) for one in self.results],
        }


def _read(path: Path) -> dict[str, Any]:
    try:
        told = load(read_capped(path, _CAP), _CAP)
    except LessonBoxError:
        return {}
    return told if told.get("format") == FORMAT and isinstance(told.get("results", []), list) else {}


def _sound(value: Any) -> bool:
    kinds = {"number": int, "version": str, "well": bool, "why": str, "at": int}
    return (
        isinstance(value, dict)
        and value.keys() == kinds.keys()
        and all(isinstance(value[key], kind) for key, kind in kinds.items())
    )


def told(path: Path) -> dict[str, Any]:
    """What root's programs last told (/run/lessonbox-update/status.json), for pages, status and reports."""
    found = _read(path)
    if not found:
        return {}
    problems = found.get("problems")
    return {
        **found,
        "results": [it for it in found.get("results", []) if _sound(it)],
        "problems": problems if isinstance(problems, list) else [],
    }
