"""Root's program for updates, run by systemd: `settle` before the programs of each start, `install` when
sync offers one and from time to time, `trial` in a start that tries a new system.

Nothing that it does takes a word from the network: what it installs is signed with the county's root key,
whatever stands in the data folder.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from appliance.update import check
from appliance.update.history import History
from appliance.update.loader import Loader
from appliance.update.machine import Machine, run, writable
from appliance.update.paper import QUIET, QUIET_FORMAT, read_foreign, read_offer
from appliance.update.programs import Programs
from appliance.update.slots import Slots
from appliance.update.system import System
from content_sync.adapters.clock import SystemClock
from content_sync.adapters.files import lock_file, make_folder, write_durable
from content_sync.errors import LessonBoxError, NotFoundError, RollbackError, UpdateError
from content_sync.formats.canonical import dump, load
from content_sync.formats.update import Update

_log = logging.getLogger(__name__)
#: A new system has to be well after so many seconds of its start, new programs after their switch. The
#: guard of the initramfs waits somewhat longer.
SYSTEM_DEADLINE, PROGRAMS_DEADLINE = 160.0, 180.0


def is_quiet(data: Path, boot: str, now: float) -> bool:
    """Whether sync says so."""
    try:
        told = load(read_foreign(data / QUIET, 4096), 4096)
    except LessonBoxError:
        return False
    until = told.get("until")
    named = told.get("format") == QUIET_FORMAT and told.get("boot") == boot
    return named and isinstance(until, int) and now < until <= now + 3600


def open_system(machine: Machine) -> System:
    """The two slots of this machine."""
    slots = Slots(machine.parts / "state")
    return System(
        machine, slots, Loader(machine.fat, writable), History(machine.home / "history.json"), time.time
    )


def open_programs(machine: Machine) -> Programs:
    """The places of install.sh."""
    look = partial(check.ails, machine.base, machine.data, run)

    def ails() -> str:
        return _well(look, PROGRAMS_DEADLINE)

    return Programs(machine, History(machine.home / "history.json"), run, ails)


def _well(look: Callable[[], str], seconds: float) -> str:
    begun = partial(check.restarts, run)
    return check.well(look, begun, time.monotonic() + seconds, time.monotonic, time.sleep)


def settle(machine: Machine, reboot: Callable[[], None]) -> None:
    """Before the programs. Raises what the parts raise."""
    if machine.kind.startswith("system-"):
        if open_system(machine).settle():
            reboot()
    elif machine.kind:
        open_programs(machine).settle()


def install(machine: Machine, quiet: Callable[[], bool], reboot: Callable[[], None]) -> str:
    """Take what sync offers one step further; in a word, what was done.

    Raises SignatureError, RollbackError, TargetError, DiskFullError, StorageError.
    """
    if machine.kind.startswith("app-"):
        open_programs(machine).resume()
    update = read_offer(machine.home, machine.data) if machine.kind and machine.trial() is None else None
    if update is None or update.kind != machine.kind:
        return "nothing"
    target = open_system(machine) if update.is_system else open_programs(machine)
    try:
        target.check_newer(update)
    except RollbackError as error:
        if _known(target, update):
            return "nothing"
        raise error
    if not target.staged(update):
        target.stage(update)
        return "staged"
    if not quiet():
        return "waits"
    if isinstance(target, System):
        target.arm(update)
        reboot()
        return "armed"
    return target.switch(update) or "confirmed"


def _known(target: System | Programs, update: Update) -> bool:
    """Whether this very update was tried here: nothing new to say."""
    return update.number == target.machine.running()[0] or any(
        one.number == update.number for one in target.history.results
    )


def tell(machine: Machine, problem: LessonBoxError | None = None) -> None:
    """What became of updates, for the other programs to read."""
    history = History(machine.home / "history.json")
    plain = history.plain()
    last = history.results[-1] if history.results else None
    problems = []
    if last is not None and not last.well:
        said = f"系统更新 {last.version} 没有成功，已退回原来的系统（update {last.number}: {last.why}）"
        problems.append({"code": UpdateError.code, "subject": "update", "message": said, "since": last.at})
    if problem is not None:
        said = f"系统更新没有装（{problem.what}）"
        problems.append(
            {"code": problem.code, "subject": "update", "message": said, "since": int(time.time())}
        )
    number, version = machine.running()
    running = {"kind": machine.kind, "number": number, "version": version}
    make_folder(machine.told.parent)
    write_durable(machine.told, dump({**plain, "running": running, "problems": problems}), 0o644)


def trial(machine: Machine, reboot: Callable[[], None]) -> int:
    """Judge the system that runs now, and act on it."""
    look = partial(check.ails, machine.base, machine.data, run)
    left = max(0.0, SYSTEM_DEADLINE - time.clock_gettime(time.CLOCK_BOOTTIME))
    wrong = open_system(machine).judge(lambda: _well(look, left))
    if not wrong:
        _log.warning("the new system is confirmed")
        return 0
    _log.warning("the new system is given up: %s", wrong)
    reboot()
    return 1


def _reboot() -> None:
    run(["systemctl", "--no-block", "reboot"])


def main(words: Sequence[str]) -> int:
    """One of `settle`, `install`, `trial`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    image = Path("/data/system").is_dir()
    machine = Machine(
        data=Path(os.environ.get("LESSONBOX_DATA", "/var/lib/lessonbox")),
        home=Path("/data/system/update" if image else "/var/lib/lessonbox-update"),
    )
    clock = SystemClock()
    make_folder(machine.home, 0o700)
    problem: LessonBoxError | None = None
    code = 0
    try:
        with lock_file(machine.home / "lock", "another update is at work"):
            if words == ["settle"]:
                settle(machine, _reboot)
            elif words == ["trial"]:
                code = trial(machine, _reboot)
            elif words == ["install"]:
                quiet = partial(is_quiet, machine.data, clock.boot_id(), clock.monotonic())
                _log.info("update: %s", install(machine, quiet, _reboot))
            else:
                print("usage: settle, install or trial", file=sys.stderr)
                return 2
    except NotFoundError as error:
        _log.info("%s", error.line())
    except LessonBoxError as error:
        _log.warning("%s", error.line())
        problem = error
    tell(machine, problem)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
