"""A whole system into the other slot: written, tried, confirmed, or gone back from (formats.md 18).

Each step is durable before the next begins; whichever is cut off, the start after it finds one system that
is whole and was confirmed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from appliance.setup import forgets
from appliance.update import kept
from appliance.update.history import History, Result
from appliance.update.loader import Loader
from appliance.update.machine import Machine
from appliance.update.slots import Slots, armed, cleared, confirmed, refused
from appliance.update.writing import write_system
from content_sync.errors import LessonBoxError, RollbackError
from content_sync.formats.update import Update

_log = logging.getLogger(__name__)


class System(Struct):
    """The two slots of this machine. `loader` as the firmware reads it; `history` is what people are told."""

    machine: Machine
    slots: Slots
    loader: Loader
    history: History
    now: Callable[[], float]

    @property
    def _before(self) -> Path:
        return self.machine.home / "before"

    def check_newer(self, update: Update) -> None:
        """Raises RollbackError unless it may be installed: newer than all that ran here, and not one that
        failed."""
        state = self.slots.read()
        had = max(state.floor, self.machine.running()[0])
        if update.number <= had:
            raise RollbackError(f"update {update.version} is {update.number}, this box has had {had}")
        if update.number == state.refused:
            raise RollbackError(f"update {update.version} was tried and failed here ({state.why})")

    def staged(self, update: Update) -> bool:
        """Whether the other slot holds it already, whole."""
        return self.history.staged == update.number

    def stage(self, update: Update) -> None:
        """Write it to the other slot and read it back; nothing is tried yet. Raises RollbackError,
        TargetError, DiskFullError, StorageError."""
        self.check_newer(update)
        state = self.slots.read()
        if self.loader.slot() != state.confirmed:
            self.settle()  # else the firmware would start what is written over
        if state.trial:
            self.slots.write(cleared(state))
        self.history.stage(0)
        device = self.machine.parts / f"root_{state.other}"
        write_system(self.machine.data, update.files[0], device)
        self.history.stage(update.number, update.version)

    def arm(self, update: Update) -> None:
        """The next start of the machine tries it. Raises StorageError."""
        self.check_newer(update)
        if self.machine.spins():
            self.loader.processors(one=True)
        self.slots.write(armed(self.slots.read(), update.number))

    # At a start of the machine

    def settle(self) -> bool:
        """Before the programs begin: what the last start left open is brought to its end; whether the
        machine has to start once more, to have all of its processors. Raises StorageError, DiskFullError."""
        trial, away = self.machine.trial(), forgets(self.machine.data)
        if trial is not None:
            if not away:  # else what is copied is empty, and the try is given up
                kept.keep(self.machine.data, self._before)
            return False
        state, own = self.slots.read(), self.machine.slot()
        if self._before.exists() and not away:  # the copies wait for the disk that they are of
            if state.refused and not state.trial:
                back = kept.put_back(self.machine.data, self._before, state.refused)
                for name in back:
                    _log.warning("%s is as it was before update %d", name, state.refused)
            if not state.trial:
                kept.drop(self._before)
        if state.refused:
            self.history.note(
                Result(state.refused, self._version(state.refused), False, state.why, self._at())
            )
            if self.history.staged == state.refused:
                self.history.stage(0)
        elif state.floor and state.confirmed == own:
            self.history.note(Result(state.floor, self.machine.running()[1], True, "", self._at()))
        if own == state.confirmed and self.loader.slot() != own:
            self.loader.point_to(own, self.machine.files, self.machine.partition(own))
        return not state.trial and self.loader.processors(one=False) and self.machine.alone()

    def _version(self, number: int) -> str:
        return self.history.version if self.history.version_of == number else ""

    def _at(self) -> int:
        return max(0, int(self.now()))

    def judge(self, ails: Callable[[], str]) -> str:
        """The trial's own verdict, durable; what is wrong, empty when it is confirmed. Raises StorageError
        when nothing could be written: the guard ends this start then."""
        try:
            wrong = ails()
        except Exception:  # whatever it is: a system that can't be looked at is none
            _log.exception("the new system can't be checked")
            wrong = "check"
        state = self.slots.read()
        if not state.trial:
            return "late"  # the guard was faster
        if wrong:
            self.slots.write(refused(state, wrong))
            return wrong
        number = state.number
        self.slots.write(confirmed(state))
        _tell(self.machine.guard)
        self.history.note(Result(number, self.machine.running()[1], True, "", self._at()))
        self.history.stage(0)
        kept.drop(self._before)
        try:
            own = self.machine.slot()
            self.loader.point_to(own, self.machine.files, self.machine.partition(own))
        except LessonBoxError as error:
            # It is reached by the other slot's initramfs until this succeeds at a later start.
            _log.warning("the boot partition still starts the other system: %s", error.line())
        return ""


def _tell(guard: Path) -> None:
    """The guard of the initramfs lets this start go on."""
    try:
        with guard.open("w", encoding="ascii") as pipe:
            pipe.write("confirmed\n")
    except OSError as error:
        _log.warning("the guard can't be told: %s", error)
