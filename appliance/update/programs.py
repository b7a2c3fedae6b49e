"""The programs alone, on a machine where install.sh put them: a new place beside the old one, tried and
gone back from in the same way (formats.md 18).

What decides is never run from what is being tried: the unit runs `/opt/lessonbox-updater`, which is the
place that was confirmed last.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from appliance.update import kept
from appliance.update.check import PROGRAMS
from appliance.update.history import History, Result
from appliance.update.machine import MARK, Machine
from appliance.update.writing import copy_file
from content_sync.adapters.files import make_folder, read_capped, storage_errors, sync_folder, write_durable
from content_sync.errors import LessonBoxError, NotFoundError, RollbackError, StorageError
from content_sync.formats.canonical import dump, load
from content_sync.formats.update import PINS, Update

_log = logging.getLogger(__name__)
FORMAT = "lessonbox-programs/1"
#: A trial that a cut of power ended is begun once more.
TRIES = 2
#: It holds web's port and would start web again at the next question, while its databases are copied.
_SOCKET = "lessonbox-web.socket"
_OWN = "lessonbox-"
_PATIENCE = 1800.0


class Switch(Struct, frozen=True):
    """programs.json: the number confirmed last, the last that failed and why; while one is tried its
    number, how often it was begun, and the place to go back to."""

    floor: int = 0
    refused: int = 0
    why: str = ""
    trying: int = 0
    begun: int = 0
    back: str = ""


class Programs(Struct):
    """`run` runs a command; `ails` says what is wrong with the programs after a switch, empty when nothing
    is."""

    machine: Machine
    history: History
    run: Callable[[Sequence[str], float], str]
    ails: Callable[[], str]
    now: Callable[[], float] = time.time

    @property
    def _journal(self) -> Path:
        return self.machine.home / "programs.json"

    @property
    def _before(self) -> Path:
        return self.machine.home / "before"

    @property
    def updater(self) -> Path:
        """The link that the update's own unit runs."""
        return self.machine.link.with_name(self.machine.link.name + "-updater")

    def read(self) -> Switch:
        """Raises StorageError, FormatError."""
        try:
            told = load(read_capped(self._journal, 4096), 4096)
        except NotFoundError:
            return Switch()
        if told.pop("format", None) != FORMAT:
            raise StorageError(f"{self._journal.name} is damaged")
        return Switch(**told)

    def _write(self, switch: Switch) -> None:
        write_durable(self._journal, dump({"format": FORMAT, **asdict(switch)}), 0o600)

    def check_newer(self, update: Update) -> None:
        """Raises RollbackError unless it may be installed: newer than what an update brought and what
        install.sh has put here since, and not one that failed."""
        switch = self.read()
        had = max(switch.floor, self.machine.running()[0])
        if update.number <= had:
            raise RollbackError(f"update {update.version} has number {update.number}, this box has {had}")
        if update.number == switch.refused:
            raise RollbackError(f"update {update.version} was tried and failed here ({switch.why})")

    def staged(self, update: Update) -> bool:
        """Whether its place is made, whole."""
        return self.history.staged == update.number and (self._place(update.number) / MARK).is_file()

    def _place(self, number: int) -> Path:
        return self.machine.places / f"update-{number}"

    def stage(self, update: Update) -> None:
        """Make its place from the wheels; it shows its own help. Raises RollbackError, TargetError,
        DiskFullError, StorageError."""
        self.check_newer(update)
        place, wheels = self._place(update.number), self.machine.home / "wheels"
        with storage_errors(place.name):
            for folder in (place, wheels):
                shutil.rmtree(folder, ignore_errors=True)
            make_folder(wheels, 0o700)
        try:
            for file in update.files:
                copy_file(self.machine.data, file, wheels / file.name)
            own = [str(wheels / f.name) for f in update.files if f.name.startswith(_OWN)]
            if len(own) != 1:
                raise StorageError(f"update {update.version} holds no wheel of Lesson Box itself")
            self.run(["/usr/bin/python3", "-m", "venv", str(place)], _PATIENCE)
            pip = [
                str(place / "bin/python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ]
            pip += ["--no-index", "--find-links", str(wheels), "--only-binary=:all:"]
            self.run([*pip, "--require-hashes", "-r", str(wheels / PINS)], _PATIENCE)
            self.run([*pip, "--no-deps", *own], _PATIENCE)
            self.run([str(place / "bin/lessonbox"), "--help"], _PATIENCE)
            self.run(["sync", "-f", str(place)], _PATIENCE)
            write_durable(place / MARK, f"{update.number}\n".encode())
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(wheels, ignore_errors=True)
        self.history.stage(update.number, update.version)

    def switch(self, update: Update) -> str:
        """Let the machine run it, and see; what was wrong, empty when it stays. Raises StorageError."""
        self.check_newer(update)
        before = self.read()
        back = str(self.machine.link.resolve())
        self._write(Switch(before.floor, before.refused, before.why, update.number, before.begun + 1, back))
        self._stop()
        kept.keep(self.machine.data, self._before)
        self._point(self.machine.link, self._place(update.number))
        self._start()
        wrong = self.ails()
        if wrong:
            self._go_back(wrong)
        else:
            self._point(self.updater, self._place(update.number))
            self._write(Switch(floor=update.number))
            kept.drop(self._before)
            self.history.note(Result(update.number, update.version, True, "", self._at()))
            self.history.stage(0)
            self._tidy({str(self._place(update.number)), back})
        return wrong

    def settle(self) -> None:
        """At a start of the machine, before the programs: power went while one was tried. Raises
        StorageError."""
        switch = self.read()
        if switch.trying and self.machine.link.resolve() == self._place(switch.trying).resolve():
            self._return(switch, "start" if switch.begun >= TRIES else "")
        elif switch.trying:  # it had not begun, or somebody has installed other programs since
            kept.drop(self._before)
            self._write(Switch(switch.floor, switch.refused, switch.why, begun=switch.begun))
        elif not self.updater.exists() and self.machine.link.exists():
            self._point(self.updater, self.machine.link.resolve())

    def resume(self) -> None:
        """This program was ended while it tried one, and the machine runs on: back, before anything else.
        Raises StorageError."""
        if self.read().trying:
            self._stop()
            self.settle()
            self._start()

    def _go_back(self, wrong: str) -> None:
        self._stop()
        self._return(self.read(), wrong)
        self._start()

    def _return(self, switch: Switch, wrong: str) -> None:
        """The place before again; `wrong`: it is not tried again. May be cut off and run again."""
        self._point(self.machine.link, Path(switch.back))
        kept.put_back(self.machine.data, self._before, switch.trying)
        kept.drop(self._before)
        number = switch.trying
        if wrong:
            version = self.history.version if self.history.version_of == number else ""
            self.history.note(Result(number, version, False, wrong, self._at()))
            self.history.stage(0)
            self._write(Switch(switch.floor, number, wrong))
            shutil.rmtree(self._place(number), ignore_errors=True)
        else:
            self._write(Switch(switch.floor, switch.refused, switch.why, begun=switch.begun))

    def _at(self) -> int:
        return max(0, int(self.now()))

    def _stop(self) -> None:
        self.run(["systemctl", "stop", _SOCKET, *PROGRAMS], _PATIENCE)

    def _start(self) -> None:
        for program in (_SOCKET, *PROGRAMS):
            with suppress(LessonBoxError):  # what does not start is found by the look that follows
                self.run(["systemctl", "reset-failed", program], _PATIENCE)
            with suppress(LessonBoxError):
                self.run(["systemctl", "start", "--no-block", program], _PATIENCE)

    def _point(self, link: Path, place: Path) -> None:
        """A link, replaced at one instant."""
        new = link.with_name(f"{link.name}.new")
        with storage_errors(link.name):
            new.unlink(missing_ok=True)
            new.symlink_to(place)
            os.replace(new, link)
            sync_folder(link.parent)

    def _tidy(self, needed: set[str]) -> None:
        for place in self.machine.places.iterdir():
            if str(place) not in needed and place.is_dir() and not place.is_symlink():
                shutil.rmtree(place, ignore_errors=True)
