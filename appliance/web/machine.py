"""What the school's pages do with the machine: sticks, and programs that begin anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from flask import abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance import sticks
from appliance.disks import Disk
from appliance.web.views import Guarded
from content_sync.errors import LessonBoxError


class Machine(Protocol):
    """What the pages need of the machine."""

    def sticks(self) -> Sequence[sticks.Stick]:
        """What is mounted where people plug sticks in."""

    def restart(self) -> None:
        """All three programs begin anew; what is being sent has a few seconds. Raises StorageError."""

    def helped(self) -> bool:
        """Whether the root helper is there, for what follows; each of it raises BusyError, StorageError."""

    def reboot(self) -> None:
        """The whole machine starts again."""

    def power_off(self) -> None:
        """The whole machine goes off."""

    def unmount(self, name: str) -> None:
        """Let go of the stick of this name, so that it can be pulled out."""

    def disks(self) -> Sequence[Disk] | None:
        """USB disks that could take the lessons; None where no start of this machine would move them."""

    def make_disk(self, token: str) -> None:
        """Erase that disk and make it one for lessons."""


class Desk(Guarded):
    """Pages behind the PIN."""

    def stick(self, held: bool = False) -> str:
        """Sticks that are plugged in, what can be done with them, how far it is; `held`: one is in use."""
        secret = self.guard.require()
        told: dict[str, Any] = self.reader.status("stick") or {}
        waiting = self._waiting()
        return render_template(
            "school_stick.html",
            secret=secret,
            sticks=self.board.machine.sticks() if self.board.machine is not None else (),
            told=told,
            going=bool(told.get("going")) or waiting,
            waiting=waiting,
            in_use=held,
            helped=self.board.machine is not None and self.board.machine.helped(),
        )

    def _waiting(self) -> bool:
        incoming = self.board.incoming
        return incoming is not None and any(sticks.requests(incoming))

    def use(self) -> str | Answer:
        """Leave word for sync what to do with a stick; or let go of it."""
        self.guard.require()
        do, path = request.form.get("do", ""), request.form.get("path", "")
        machine, incoming = self.board.machine, self.board.incoming
        if do not in (*sticks.DEEDS, "unmount") or machine is None or incoming is None:
            abort(400)
        chosen = next((stick for stick in machine.sticks() if stick.path == path), None)
        if chosen is not None and do == "unmount":
            try:
                machine.unmount(chosen.name)
            except LessonBoxError:
                return self.stick(held=True)
        elif chosen is not None and not self._waiting():
            sticks.leave(incoming, sticks.Ask(do, path))
        return redirect(url_for("school.stick"), 303)  # which says what is plugged in now

    def disk(self) -> str:
        """Make a USB disk the one for lessons. Whoever asks for it writes down its size: that disk, and no
        other, was looked at."""
        secret, machine, said = self.guard.require(), self.board.machine, ""
        found = machine.disks() if machine is not None and machine.helped() else None
        if machine is None or found is None:
            abort(404)
        if request.method == "POST":
            token, number = request.form.get("disk", ""), request.form.get("number", "").strip()
            chosen = next((disk for disk in found if disk.token == token and not disk.ready), None)
            if chosen is None:
                said = "gone"
            elif number.upper().removesuffix("GB").strip() != chosen.number:
                said = "number"
            else:
                said = self._made(machine, chosen)
                found = machine.disks() or ()
        return render_template("school_disk.html", secret=secret, disks=found, said=said)

    def _made(self, machine: Machine, disk: Disk) -> str:
        try:
            machine.make_disk(disk.token)
        except LessonBoxError as error:
            return error.what
        return "made"

    def restart(self) -> str | Answer:
        """Let the programs, or where the helper is the whole machine, begin anew or end."""
        secret, machine, done = self.guard.require(), self.board.machine, ""
        helped = machine is not None and machine.helped()
        if request.method == "POST":
            done = request.form.get("do", "programs")
            if machine is None or done not in ("programs", "reboot", "poweroff"):
                abort(400)
            {"programs": machine.restart, "reboot": machine.reboot, "poweroff": machine.power_off}[done]()
        return render_template("school_restart.html", secret=secret, done=done, helped=helped)
