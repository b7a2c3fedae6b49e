"""Asking the root helper (helper.py). Where a box was not installed with it, there is none to ask."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from content_sync.adapters.files import write_durable
from content_sync.core.timefloor import TimeFloor
from content_sync.errors import BusyError, ClockError, LessonBoxError, StorageError
from content_sync.formats.canonical import dump
from content_sync.ports import Clock

SOCKET = Path("/run/lessonbox/helper.sock")
#: Where the helper mounts sticks; what a clock.json says that it is.
MEDIA = Path("/media/lessonbox")
CLOCK_FORMAT = "lessonbox-clock/1"
_PATIENCE = 90.0
#: The system's clock is left alone while it is right by so many seconds beside its uncertainty.
_NEAR = 30
#: Seconds between two attempts to have it set.
_AGAIN = 600.0


class Helper:
    """The helper behind this socket."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = path

    def there(self) -> bool:
        """Whether there is one to ask."""
        return self._path.is_socket() and os.access(self._path, os.W_OK)

    def ask(self, verb: str, name: str = "") -> None:
        """Let it do something. Raises BusyError when it does not answer, StorageError with what it says."""
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(_PATIENCE)
                one.connect(str(self._path))
                one.sendall(f"{verb} {name}".strip().encode() + b"\n")
                answer = one.makefile("rb").readline(4096).decode("utf-8", "replace").strip()
        except OSError as error:
            raise BusyError(f"the box's helper does not answer: {error}") from error
        if answer != "ok":
            raise StorageError(answer or "the box's helper ended without a word")

    @contextmanager
    def writable(self, top: Path) -> Iterator[None]:
        """Meanwhile the stick at `top` can be written; the helper mounts them read-only. Raises BusyError,
        StorageError."""
        if top.parent != MEDIA or not self.there() or not _read_only(top):
            yield
            return
        self.ask("writable", top.name)
        try:
            yield
        finally:
            with suppress(LessonBoxError):  # the stick was pulled out: what is on it is well
                self.ask("readonly", top.name)


def _read_only(top: Path) -> bool:
    try:
        return bool(os.statvfs(top).f_flag & os.ST_RDONLY)
    except OSError:
        return False  # whoever writes there says it better


class ClockSetter:
    """Has the system's clock set to what the agent learnt, where nothing else keeps it."""

    def __init__(self, data: Path, clock: Clock, helper: Helper) -> None:
        self._path, self._clock, self._helper = data / "clock.json", clock, helper
        self._next = float("-inf")

    def look(self, unix: int, uncertainty: int, floor: TimeFloor) -> bool:
        """It is `unix`, within `uncertainty` seconds; whether the clock was set. Raises StorageError,
        DiskFullError."""
        now, wrong = self._clock.monotonic(), abs(self._clock.wall() - unix)
        if self._clock.source() == "ntp" or wrong <= _NEAR + uncertainty or floor.floor is None:
            return False
        if now < self._next or not self._helper.there():
            return False
        self._next = now + _AGAIN
        told = {"format": CLOCK_FORMAT, "boot": self._clock.boot_id(), "at": int(now), "unix": unix}
        write_durable(self._path, dump(told | {"floor": floor.floor}))
        try:
            self._helper.ask("set-clock")
        except LessonBoxError as error:
            raise ClockError(error.what) from error
        return True
