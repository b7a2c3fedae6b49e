"""The root helper: does one of a fixed list of things that the box's programs may not do (formats.md 10).

Started by systemd for one request each: a line on a connection of lessonbox-helper.socket, `VERB` or `VERB
NAME`, answered by `ok` or `CODE what is wrong`. Nothing that it does takes a word from the network: NAME is
looked for among the sticks that are mounted, the time comes from a file of the agent's and is held against a
rule of its own. Whatever needs more than the right to set the clock it asks of systemd, with fixed words.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from appliance.disks import LABEL, Disk, can_move, usb_disks
from appliance.helped import CLOCK_FORMAT, MEDIA
from appliance.sticks import mount_sources
from appliance.usage.dating import believable
from content_sync.adapters.clock import SystemClock
from content_sync.adapters.files import storage_errors
from content_sync.core.timefloor import TimeFloor
from content_sync.errors import ClockError, FormatError, LessonBoxError, NotFoundError, StorageError
from content_sync.formats.canonical import check_format, load
from content_sync.ports import Clock

PROGRAMS = ("lessonbox-web.service", "lessonbox-sync.service", "lessonbox-agent.service")
_USER = "lessonbox"
_MAX = 4096
_PATIENCE = 60.0
#: File systems without owners of their own: everything on them is the box's user's. In each, names are UTF-8.
_OWNERLESS = {
    "vfat": "utf8,shortname=mixed",
    "exfat": "iocharset=utf8",
    "ntfs": "iocharset=utf8",
    "udf": "iocharset=utf8",
    "iso9660": "iocharset=utf8",
}
_OWNED = ("ext2", "ext3", "ext4")
#: What the kernel calls the driver, where that is not what the file system is called.
_DRIVERS = {"ntfs": "ntfs3"}
_SAFE = "nosuid,nodev,noexec"


class Machine(Struct, frozen=True):
    """The machine, as far as the helper changes it. `run` gives what a command said; `mounts`: what is
    mounted in MEDIA and which device each is; `disks`: those on USB that the machine does not live on."""

    run: Callable[[Sequence[str]], str]
    set_time: Callable[[float], None]
    clock: Clock
    data: Path
    mounts: Callable[[], dict[str, str]]
    disks: Callable[[], list[Disk]] = usb_disks


def obey(line: bytes, machine: Machine) -> str:
    """Do what a request asks for; the answer."""
    try:
        verb, _, name = line.decode("utf-8").strip("\n").partition(" ")
        deed = _VERBS.get(verb)
        if deed is None:
            raise FormatError("the helper knows no such verb")
        deed(machine, name)
        return "ok"
    except UnicodeDecodeError:
        return f"{FormatError.code} the request is not UTF-8"
    except LessonBoxError as error:
        return f"{error.code} {error.what}"


def _reboot(machine: Machine, name: str) -> None:
    machine.run(["systemctl", "--no-block", "reboot"])


def _power_off(machine: Machine, name: str) -> None:
    machine.run(["systemctl", "--no-block", "poweroff"])


def _restart(machine: Machine, name: str) -> None:
    machine.run(["systemctl", "--no-block", "restart", *PROGRAMS])


def _revive(machine: Machine, name: str) -> None:
    # The port too: systemd closes it when web ends too often.
    machine.run(["systemctl", "reset-failed", "lessonbox-*"])
    machine.run(["systemctl", "--no-block", "start", "lessonbox-web.socket", *PROGRAMS])


def _diagnose(machine: Machine, name: str) -> None:
    machine.run(["systemctl", "start", "lessonbox-doctor.service"])


def _unit(do: str, unit: str) -> Callable[[Machine, str], None]:
    def deed(machine: Machine, name: str) -> None:
        # What the unit does is in box.toml, which root's own programs read and check.
        machine.run(["systemctl", "--no-block", do, unit])

    return deed


def _set_clock(machine: Machine, name: str) -> None:
    said = load(_read(machine.data / "clock.json"), _MAX)
    unix = time_to_set(said, machine.clock.boot_id(), machine.clock.monotonic())
    if machine.clock.source() != "ntp":  # the kernel knows better
        machine.set_time(unix)


def _read(path: Path) -> bytes:
    """A plain file of somebody who is not root: no link is followed, no pipe waited for."""
    with storage_errors(path.name):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StorageError(f"{path.name} is no file")
            data = stream.read(_MAX + 1)
    return data


def time_to_set(said: dict[str, Any], boot: str, now: float) -> float:
    """What a clock.json says that it is now. Raises ClockError, FormatError.

    Never before the time floor, never more than 400 days past it; without a floor not at all.
    """
    check_format(said, CLOCK_FORMAT)
    at, unix, floor = (said.get(key) for key in ("at", "unix", "floor"))
    if type(at) is not int or type(unix) is not int or type(floor) is not int:
        raise FormatError("clock.json names whole seconds")
    if said.get("boot") != boot or not 0 <= at <= now:
        raise ClockError("clock.json is of another boot")
    found = unix + (now - at)
    if not believable(int(found), TimeFloor(floor), "system"):
        raise ClockError("the time in clock.json cannot be true")
    return found


def _device(machine: Machine, name: str) -> str:
    device = machine.mounts().get(str(MEDIA / name)) if name and "/" not in name else None
    if device is None:
        raise NotFoundError("no such stick is mounted")
    return device


def _unmount(machine: Machine, name: str) -> None:
    _device(machine, name)
    machine.run(["systemd-mount", "--umount", str(MEDIA / name)])


def _remount(mode: str) -> Callable[[Machine, str], None]:
    # A change of options would not reach the programs, each in its own mount namespace; a new mount does.
    def deed(machine: Machine, name: str) -> None:
        device = _device(machine, name)
        if not re.fullmatch(r"/dev/[a-z0-9]+", device):
            raise NotFoundError("no stick of the helper's")
        machine.run(["systemd-mount", "--umount", str(MEDIA / name)])
        _mount(machine, device, name, mode)

    return deed


def _make_disk(machine: Machine, name: str) -> None:
    disk = _disk(machine, name)
    for place, device in machine.mounts().items():
        if re.fullmatch(rf"/dev/{disk.name}p?[0-9]*", device):
            machine.run(["systemd-mount", "--umount", place])
    machine.run(["systemctl", "start", f"lessonbox-disk@{disk.token}.service"])


def _disk(machine: Machine, token: str) -> Disk:
    if not can_move():
        raise NotFoundError("this machine does not move its lessons to a disk")
    for disk in machine.disks():
        if disk.token == token and not disk.ready:
            return disk
    raise NotFoundError("no such disk is plugged in")


def format_disk(token: str, machine: Machine) -> None:
    """Make this disk one for lessons (lessonbox-disk@.service): all that is on it is gone. Raises
    NotFoundError, and StorageError also for a disk that is in use."""
    device = f"/dev/{_disk(machine, token).name}"
    _claim(device)
    machine.run(["wipefs", "--all", "--force", "--quiet", device])
    options = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    machine.run(["mkfs.ext4", "-q", "-F", "-E", options, "-L", LABEL, device])
    for _ in range(100):  # until udev has read the label, the page would call it what it was
        if not any(disk.token == token and not disk.ready for disk in machine.disks()):
            return
        time.sleep(0.2)


def _claim(device: str) -> None:
    """The kernel knows what is in use also where this unit's own view of the mounts does not (/home, btrfs,
    swap)."""
    with storage_errors(device):
        os.close(os.open(device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC))


_VERBS: dict[str, Callable[[Machine, str], None]] = {
    "reboot": _reboot,
    "poweroff": _power_off,
    "restart": _restart,
    "revive": _revive,
    "diagnose": _diagnose,
    "set-clock": _set_clock,
    "hotspot-on": _unit("start", "lessonbox-hotspot.service"),
    "hotspot-off": _unit("stop", "lessonbox-hotspot.service"),
    "network": _unit("restart", "lessonbox-network.service"),
    "make-disk": _make_disk,
    "unmount": _unmount,
    "writable": _remount("rw"),
    "readonly": _remount("ro"),
}


def plugged(kernel_name: str, machine: Machine) -> str:
    """A stick was plugged in (lessonbox-stick@.service): mount it read-only; under which name.

    Raises FormatError, StorageError, and NotFoundError for a part of a disk that the machine itself uses: a
    box may have been started from a stick.
    """
    if not re.fullmatch(r"[a-z]{2,8}[0-9a-z]{0,16}", kernel_name):
        raise FormatError("that is no name of a block device")
    if _in_use(machine, kernel_name):
        raise NotFoundError(f"{kernel_name} is on a disk that the machine itself uses")
    device, mounts = f"/dev/{kernel_name}", machine.mounts()
    for place, held in mounts.items():
        if held == device:
            return Path(place).name
    label = _probe(machine, device).get("label")
    wanted = safe_name(label if isinstance(label, str) else "") or kernel_name
    name, number = wanted, 1
    while str(MEDIA / name) in mounts:
        number += 1
        name = f"{wanted}-{number}"
    _mount(machine, device, name, "ro")
    return name


def safe_name(label: str) -> str:
    """A label as the name of a folder: letters and digits of any script, space, `-`, `_`; at most 40."""
    kept = "".join(c if c.isalnum() or c in " -_" else "_" for c in label)
    return kept.encode("utf-8", "replace").decode().strip(" _")[:40]


def _in_use(machine: Machine, kernel_name: str) -> bool:
    """Whether anything of this device's disk is mounted elsewhere than sticks are, or swapped to."""
    said = _lsblk(machine, "--output", "NAME,MOUNTPOINTS")
    for disk in said:
        parts = list(_family(disk))
        if any(part.get("name") == kernel_name for part in parts):
            places = [place for part in parts for place in part.get("mountpoints") or () if place]
            return any(Path(place).parent != MEDIA for place in places)
    return False


def _family(disk: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield disk
    for part in disk.get("children", ()):
        yield from _family(part)


def _lsblk(machine: Machine, *words: str) -> list[dict[str, Any]]:
    said = machine.run(["lsblk", "--json", *words])
    try:
        found: list[dict[str, Any]] = json.loads(said)["blockdevices"]
    except (ValueError, LookupError, TypeError):
        return []
    return found


def _probe(machine: Machine, device: str) -> dict[str, Any]:
    found = _lsblk(machine, "--nodeps", "--output", "FSTYPE,LABEL", device)
    if not found:
        raise StorageError(f"{device} does not say what is on it")
    return found[0]


def _mount(machine: Machine, device: str, name: str, mode: str) -> None:
    kind = _probe(machine, device).get("fstype")
    options = f"{mode},{_SAFE}"
    if kind in _OWNERLESS:
        user = pwd.getpwnam(_USER)
        options += f",{_OWNERLESS[kind]},uid={user.pw_uid},gid={user.pw_gid}"
    elif kind not in _OWNED:
        raise StorageError("this stick is formatted in a way that the box does not read")
    machine.run(
        ["systemd-mount", "--quiet", "--collect", "--fsck=no", "--automount=no",
         f"--type={_DRIVERS.get(kind, kind)}", f"--options={options}", device, str(MEDIA / name)]
    )  # fmt: skip


def run_command(command: Sequence[str]) -> str:
    """Run a command of the system's; what it said. Raises StorageError with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, errors="replace")
    except (OSError, subprocess.SubprocessError) as error:
        raise StorageError(f"{command[0]}: {error}") from error
    if done.returncode == -signal.SIGTERM:
        return done.stdout  # the system goes down because of what was asked, and this command with it
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
        raise StorageError(f"{command[0]}: {last[0]}")
    return done.stdout


def set_time(unix: float) -> None:
    """Set the kernel's clock. Raises ClockError."""
    try:
        time.clock_settime(time.CLOCK_REALTIME, unix)
    except OSError as error:
        raise ClockError(f"the clock can't be set: {error.strerror}") from error


def main(words: Sequence[str]) -> int:
    """One request on standard input, or `stick KERNELNAME`, or `disk TOKEN`."""
    data = Path(os.environ.get("LESSONBOX_DATA", "/var/lib/lessonbox"))
    machine = Machine(run_command, set_time, SystemClock(), data, lambda: mount_sources(MEDIA))
    if words:
        name = words[1] if len(words) == 2 else ""
        try:
            if words[0] == "disk":
                format_disk(name, machine)
                print("a disk for lessons")
            else:
                print(f"mounted as {plugged(name if words[0] == 'stick' else '', machine)}")
        except LessonBoxError as error:
            print(error.line(), file=sys.stderr)
            return 1
        return 0
    # The system may go down because of what is asked: who asked hears that it was done all the same.
    signal.signal(signal.SIGTERM, lambda *_: None)
    answer = obey(sys.stdin.buffer.readline(_MAX), machine)
    sys.stdout.write(answer.replace("\n", " ") + "\n")
    sys.stderr.write(f"answered: {answer}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
