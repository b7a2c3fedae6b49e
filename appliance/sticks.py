"""Sticks that are mounted, and what a page asks to be done with one: the running sync does it and says in
state.db how far it is (formats.md 10)."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from content_sync.adapters.files import read_capped, write_durable
from content_sync.errors import BusyError, FormatError, LessonBoxError, NotFoundError
from content_sync.formats.canonical import check_format, dump, is_hex, load
from content_sync.ports import Clock

FORMAT = "lessonbox-stick/1"
_log = logging.getLogger(__name__)
#: What can be done: take lessons from it; write lessons for other boxes; write what this box lacks and its
#: reports, for the county; write the diagnosis, for the technician.
DEEDS = ("import", "export", "request", "diagnosis")
_MAX, _MOST_PATH, _MOST_SHOWN, _MOST_WAITING = 16 << 10, 4096, 20, 4
_TELL_EVERY = 1.0
#: Of what an export says, what people are told.
_TOLD = ("wanted", "batches", "lessons", "asked", "left_lessons", "left_bytes", "bytes")
_MOUNTS = Path("/proc/self/mountinfo")


class Stick(Struct, frozen=True):
    """A medium that is mounted. `free`: bytes, None when it can't be asked."""

    path: str
    name: str
    total: int | None
    free: int | None


class Ask(Struct, frozen=True):
    """What is to be done with the stick at `path`."""

    do: str
    path: str


def mounted(folders: Sequence[str], mounts: Path = _MOUNTS) -> list[Stick]:
    """What is mounted in one of these folders. A folder that is no mount is a place on the box's own disk,
    whoever left it there."""
    places = {str(Path(folder)) for folder in folders}
    found = {
        place for place in _mount_points(mounts) if place.rpartition("/")[0] in places or place in places
    }
    return [_stick(place) for place in sorted(found)[:_MOST_SHOWN]]


def mount_sources(folder: Path, mounts: Path = _MOUNTS) -> dict[str, str]:
    """What is mounted in this folder, and which device each is."""
    return {place: device for place, device in _mounts(mounts) if place.rpartition("/")[0] == str(folder)}


def _mount_points(mounts: Path) -> Iterator[str]:
    return (place for place, _ in _mounts(mounts))


def _mounts(mounts: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if len(fields) > 4:  # proc_pid_mountinfo(5): the fifth, with space, tab, line end and \ in octal
            tail = line.rpartition(b" - ")[2].split()
            with suppress(UnicodeDecodeError):  # a name that no form could send back
                place = fields[4].decode("unicode_escape").encode("latin-1").decode("utf-8")
                yield place, tail[1].decode("ascii") if len(tail) > 1 else ""


def _stick(place: str) -> Stick:
    name = Path(place).name
    try:
        found = os.statvfs(place)
    except OSError:
        return Stick(place, name, None, None)
    return Stick(place, name, found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def leave(incoming: Path, ask: Ask) -> None:
    """Leave a request for the running sync. Raises BusyError when several wait, StorageError,
    DiskFullError."""
    if len(list(requests(incoming))) >= _MOST_WAITING:
        raise BusyError("several sticks wait already")
    data = dump({"format": FORMAT, "do": ask.do, "path": ask.path})
    write_durable(incoming / f"stick-{secrets.token_hex(8)}.json", data)


def requests(incoming: Path) -> Iterator[Path]:
    """The requests that wait, as they lie there."""
    for name in sorted(os.listdir(incoming)):
        if name.startswith("stick-") and name.endswith(".json") and is_hex(name[6:-5], 16):
            yield incoming / name


def read(path: Path) -> Ask:
    """Read a request. Raises FormatError, NotFoundError."""
    said = load(read_capped(path, _MAX), _MAX)
    check_format(said, FORMAT)
    do, place = said.get("do"), said.get("path")
    if do not in DEEDS or not isinstance(place, str) or not 0 < len(place) <= _MOST_PATH:
        raise FormatError("a request names what to do and where")
    return Ask(do, place)


class Import(Protocol):
    """What is needed of content_sync.engine.source.Import."""

    done: bool
    files: int
    lessons: int
    error: LessonBoxError | None


class _Writing:
    """An export in a thread of its own: a slow or dying stick holds up nothing else. Every moment is a good
    one to end it."""

    def __init__(self, run: Callable[[Callable[[int, int], None]], dict[str, Any]]) -> None:
        self.done, self.step, self.of = False, 0, 0
        self.result: dict[str, Any] = {}
        self.error: LessonBoxError | None = None
        self._run = run
        threading.Thread(target=self._work, name="stick", daemon=True).start()

    def _work(self) -> None:
        try:
            self.result = self._run(self._go)
        except LessonBoxError as error:
            self.error = error
        except Exception as error:  # whatever it is, nobody may read that it went well
            _log.exception("stick")
            self.error = LessonBoxError(f"{type(error).__name__}: {error}")
        finally:
            self.done = True

    def _go(self, step: int, of: int) -> None:
        self.step, self.of = step, of


class Desk:
    """Sync's side: one stick at a time. `tell` writes down how it stands, for people.

    `take(path)` begins an import; `export`, `request` and `diagnosis` write onto a stick and may be called in
    a thread.
    """

    def __init__(
        self,
        incoming: Path,
        folders: Sequence[str],
        clock: Clock,
        take: Callable[[Path], Import],
        export: Callable[[Path, Callable[[int, int], None]], dict[str, Any]],
        request: Callable[[Path], dict[str, Any]],
        diagnosis: Callable[[Path], dict[str, Any]],
        tell: Callable[[dict[str, Any]], None],
        before: dict[str, Any] | None = None,
    ) -> None:
        """`before`: what was told last, by this program or the one before it."""
        self._incoming, self._folders, self._clock = incoming, folders, clock
        self._take, self._export, self._tell = take, export, tell
        self._write = {"request": request, "diagnosis": diagnosis}
        self._ask: Ask | None = None
        self._job: Import | _Writing | None = None
        self._told: dict[str, Any] = before or {}
        self._at = float("-inf")
        if self._told.get("going"):
            self._say({**self._told, "going": False, "error": "E-BUSY", "message": "课箱重新启动，没有做完"})

    @property
    def due(self) -> bool:
        """Whether there is something to begin or to tell."""
        job = self._job
        if job is None:
            return False  # a request changes the folder's time, which is looked at anyway
        return job.done or self._clock.monotonic() - self._at >= _TELL_EVERY

    @property
    def importing(self) -> bool:
        """Whether the engine has slices of an import to do."""
        return self._job is not None and not isinstance(self._job, _Writing)

    def look(self) -> None:
        """Begin what waits, tell how what goes on stands."""
        if self._job is None:
            self._begin()
        if self._job is None or not self.due:
            return
        self._say(self._stand())
        if self._job.done:
            self._ask = self._job = None

    def _begin(self) -> None:
        for path in requests(self._incoming):
            try:
                ask = read(path)
            except LessonBoxError:
                path.unlink(missing_ok=True)
                continue
            path.unlink(missing_ok=True)  # before it is done: what ends this program is not tried for ever
            self._ask = ask
            self._say({"do": ask.do, "name": Path(ask.path).name, "path": ask.path, "going": True})
            try:
                self._job = self._start(ask)
            except LessonBoxError as error:
                self._say({**self._told, "going": False, "error": error.code, "message": error.what})
                continue
            return

    def _start(self, ask: Ask) -> Import | _Writing:
        if ask.path not in {stick.path for stick in mounted(self._folders)}:
            raise NotFoundError(f"{Path(ask.path).name} is not plugged in any more")
        top = Path(ask.path)
        if ask.do == "import":
            return self._take(top)
        if write := self._write.get(ask.do):
            return _Writing(lambda go: write(top))
        return _Writing(lambda go: self._export(top, go))

    def _stand(self) -> dict[str, Any]:
        job, ask = self._job, self._ask
        assert job is not None and ask is not None
        told: dict[str, Any] = {"do": ask.do, "name": Path(ask.path).name, "path": ask.path}
        told["going"] = not job.done
        if isinstance(job, _Writing):
            told |= {"step": job.step, "of": job.of}
            told |= {key: job.result[key] for key in _TOLD if key in job.result}
        else:
            told |= {"files": job.files, "new_lessons": job.lessons}
        if job.error is not None:
            told |= {"error": job.error.code, "message": job.error.what}
        return told

    def _say(self, told: dict[str, Any]) -> None:
        self._told, self._at = told, self._clock.monotonic()
        self._tell(told)
