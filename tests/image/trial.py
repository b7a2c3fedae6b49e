"""How a system update is tried on a machine in QEMU.
By hand: python -m tests.image.trial pc|pi|pi3 IMAGE FOLDER [good|crashes|…].

The other slot is filled here, byte for byte as root's program fills it (tests/unit/test_update_box.py);
what is shown is what no unit test can: the jump to another kernel, a system that crashes, hangs, or never
answers.
"""

from __future__ import annotations

import datetime
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from appliance.update.slots import PLACES, SECTOR, State, armed, decode, encode
from tests.image import boot, pi
from tests.image.boot import MIB, Machine, partitions, run

NUMBER = 4_000_000_000
SCRIPT = "#!/bin/sh\n"


def read_state(card: Path) -> State:
    """The record, as the card holds it now."""
    offset = partitions(card)["state"][0]
    with card.open("rb") as stream:
        found = [decode(_read(stream, offset + place)) for place in PLACES]
    return max((state for state in found if state is not None), key=lambda state: state.serial)


def _read(stream: object, place: int) -> bytes:
    stream.seek(place)  # type: ignore[attr-defined]
    return bytes(stream.read(SECTOR))  # type: ignore[attr-defined]


def write_state(card: Path, state: State) -> None:
    """Another record."""
    offset = partitions(card)["state"][0]
    with card.open("r+b") as stream:
        stream.seek(offset + PLACES[state.serial % 2])
        stream.write(encode(state))


def fill(card: Path, changes: dict[str, str], options: str = "") -> None:
    """The other slot gets the same system with a higher number, these files changed and these words for its
    kernel; it is to be tried."""
    parts, work = partitions(card), card.with_suffix(".root")
    run(
        "dd",
        f"if={card}",
        f"of={work}",
        "bs=1M",
        f"skip={parts['root_a'][0] // MIB}",
        f"count={parts['root_a'][1] // MIB}",
        "conv=sparse",
    )
    facts = run("debugfs", "-R", "cat /etc/lessonbox-image", work).split()
    changes = {"/etc/lessonbox-image": f"lessonbox {facts[1]}-new\nnumber {NUMBER}\n", **changes}
    if options:
        line = run("debugfs", "-R", "cat /boot/slot/cmdline.txt", work).strip()
        changes["/boot/slot/cmdline.txt"] = f"{line} {options}\n"
    for path, text in changes.items():
        new = card.with_suffix(".file")
        new.write_text(text, "utf-8")
        commands = f"rm {path}\nwrite {new} {path}\nsif {path} mode 0100755\n"
        new.with_suffix(".commands").write_text(commands)
        run("debugfs", "-w", "-f", new.with_suffix(".commands"), work)
    run("dd", f"if={work}", f"of={card}", "bs=1M", f"seek={parts['root_b'][0] // MIB}", "conv=notrunc,sparse")
    work.unlink()
    write_state(card, armed(read_state(card), NUMBER))


def updating(box: Path, folder: Path, changes: dict[str, str], board: Board) -> Path:
    """A copy of that card with another system to be tried."""
    folder.mkdir(exist_ok=True)
    card = folder / "card.img"
    run("cp", "--sparse=always", box, card)
    for name in ("key", "key.pub"):
        shutil.copy(box.with_name(name), folder / name)
    fill(card, changes, board.options)
    if board.alone:
        changed = folder / "cmdline.txt"
        line = boot.fat(card, "mtype", "::/a/cmdline.txt")
        changed.write_text(line.replace("lessonbox.cpus=all", "nr_cpus=1         "))
        boot.put_on_fat(card, changed, "a/cmdline.txt")
    return card


def wait(card: Path, machine: Machine, done: Callable[[State], bool], seconds: float) -> State:
    """Until the record says so."""
    deadline = time.monotonic() + seconds
    while not done(state := read_state(card)):
        if time.monotonic() > deadline or machine.process.poll() is not None:
            raise boot.BootError(f"not within {seconds} s: {state}\n{machine.console_end()}")
        time.sleep(1)
    return state


def told(machine: Machine) -> dict[str, object]:
    """What root's program tells."""
    found: dict[str, object] = json.loads(machine.command("cat /run/lessonbox-update/status.json"))
    return found


def slot(machine: Machine) -> str:
    """Which root is mounted."""
    name = machine.command("lsblk -ndo PARTLABEL $(findmnt -no SOURCE /)").strip()
    return name.removeprefix("root_")


@dataclass(frozen=True)
class Board:
    """What differs from machine to machine: how it is switched on; where its firmware finds the letter of the
    slot; whether its monitor tells the time; `options` that a new kernel gets besides, to be seen; `slow`:
    how much longer it may take; `alone`: one processor jumps to the other system; `network`:
    whether that outlives the jump."""

    booted: Callable[..., AbstractContextManager[Machine]]
    pointer: str
    word: str
    clock: bool
    options: str = ""
    slow: int = 1
    alone: bool = False
    network: bool = True

    def on(self, card: Path) -> AbstractContextManager[Machine]:
        """Switched on with this card, its key and its monitor beside it; it may start again by itself."""
        more = boot.Monitor.words(card.with_name("monitor"))
        return self.booted(card, card.with_name("key"), again=True, more=more)

    def started(self, card: Path) -> str:
        """Which slot the firmware starts, as the card holds it now."""
        text = boot.fat(card, "mtype", f"::/{self.pointer}")
        return text.partition(self.word)[2][:1]


PC = Board(boot.booted, "loader/loader.conf", "default lessonbox-", clock=True)
PI = Board(
    pi.booted, "config.txt", "os_prefix=", clock=False, options="mitigations=off console=ttyAMA0", slow=3
)
#: As a Pi 4, its other processors wait in a spin table. QEMU has no watchdog of a Pi, and so no restart; its
#: USB, where the network is, finds nothing after a jump.
PI3 = replace(
    PI,
    booted=partial(pi.booted, board="raspi3b"),
    options="console=ttyS1,115200 module_blacklist=bcm2835_wdt",
    alone=True,
    network=False,
)


def tried(board: Board, card: Path, machine: Machine) -> float:
    """Wait until the new system is started; seconds from power on to then, by the machine's own clock, or 0
    where nobody can look at that."""
    wait(card, machine, lambda state: state.tries == 1, 600 * board.slow)
    if not board.clock:
        return 0.0
    now = boot.Monitor(card.with_name("monitor")).clock()
    return (now - datetime.datetime.fromisoformat(boot.POWER_ON)).total_seconds()


def guest_seconds(machine: Machine) -> tuple[float, float]:
    """From power on to when this system was started, and to now, by the machine's own time, which does not
    hang on how busy this one is."""
    now, up = machine.command("date +%s; cut -d ' ' -f 1 /proc/uptime").split()
    then = datetime.datetime.fromisoformat(f"{boot.POWER_ON}+00:00").timestamp()
    return float(now) - float(up) - then, float(now) - then


def good(box: Path, folder: Path, board: Board = PC) -> dict[str, float]:
    """Confirmed, and the next start is its own kernel's; seconds of the machine's own from power on."""
    card = updating(box, folder, {}, board)
    with board.on(card) as machine:
        begun = tried(board, card, machine)
        state = wait(
            card, machine, lambda state: state.confirmed == "b" or bool(state.refused), 900 * board.slow
        )
        assert (state.confirmed, state.floor, state.refused) == ("b", NUMBER, 0), state
        started_at, confirmed = guest_seconds(machine) if board.network else (0.0, 0.0)
        deadline = time.monotonic() + 300 * board.slow
        while board.started(card) != "b":
            assert time.monotonic() < deadline
            time.sleep(1)
        time.sleep(2)  # and its sector out of the emulator
    with board.on(card) as machine:
        machine.wait_for("/", 900 * board.slow)
        assert slot(machine) == "b"
        line = machine.command("cat /proc/cmdline")
        assert int(machine.command("nproc")) > 1
        assert "lessonbox.trial=" not in line and "lessonbox.reached" not in line
        assert told(machine)["problems"] == []
        return {"tried": begun, "started": started_at, "confirmed": confirmed}


def bad(
    box: Path, folder: Path, changes: dict[str, str], why: set[str], board: Board = PC
) -> dict[str, float]:
    """Back on the old system, told, and not tried again; seconds of the machine's own from power on."""
    card = updating(box, folder, changes, board)
    with board.on(card) as machine:
        begun = tried(board, card, machine)
        state = wait(card, machine, lambda state: bool(state.refused), 600 * board.slow)
        assert (state.confirmed, state.refused, state.trial) == ("a", NUMBER, "") and state.why in why, state
        time.sleep(15)  # the old system's kernel has taken over then
        machine.wait_for("/", 600 * board.slow)
        assert slot(machine) == "a"
        (problem,) = told(machine)["problems"]  # type: ignore[misc]
        assert problem["code"] == "E-UPDATE" and str(NUMBER) in problem["message"]
        status = json.loads(machine.get("/api/v1/status"))
        assert "E-UPDATE" in {it["code"] for it in status["problems"]}
        back, page = guest_seconds(machine)
        return {"tried": begun, "back": back, "page": page}


INIT = "/usr/lib/systemd/systemd"
WEB = "/etc/systemd/system/lessonbox-web.service"
SILENT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
BAD = {
    "crashes": ({INIT: SCRIPT + "exit 1\n"}, {"start"}),
    "hangs": ({INIT: SCRIPT + "exec sleep 100000\n"}, {"silent"}),
    "never answers": ({WEB: SILENT}, {"page", "silent"}),
    "has no kernel": ({"/boot/slot/vmlinuz": "this is no kernel\n"}, {"jump"}),
}


def cards(words: list[str]) -> Iterator[tuple[str, dict[str, float]]]:
    """By hand, as above."""
    board = {"pc": PC, "pi": PI, "pi3": PI3}[words.pop(0)]
    folder = Path(words[1])
    folder.mkdir(exist_ok=True)
    box = folder / "card.img"
    if not box.exists():
        boot.lessons_card(Path(words[0]), folder)
    for name in words[2:]:
        if name == "good":
            yield name, good(box, folder / name, board)
        else:
            yield name, bad(box, folder / name, *BAD[name], board)


if __name__ == "__main__":
    for found in cards(sys.argv[1:]):
        print(*found, flush=True)
