"""Reads what probes.py understands: files of the kernel, and tools where they are installed.

Nothing here raises: what can't be read says nothing, since most machines lack most of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from appliance.health import probes
from appliance.health.probes import Found

UNITS = ("lessonbox-web", "lessonbox-sync", "lessonbox-agent")
PORTS = (80, 81)  # of lessonbox-web.socket
_CAP = 1 << 20
_SECONDS = 20


def run_tool(command: Sequence[str]) -> str:
    """What a tool prints; nothing where it is not installed, hangs, or says nothing."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False, env=_plain())
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout[-_CAP:].decode("utf-8", "replace")  # smartctl's exit code is bits, the JSON says more


def _plain() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}


class Machine(Struct, frozen=True):
    """Where the machine tells of itself; tests put a folder and recorded words there."""

    root: Path = Path("/")
    tool: Callable[[Sequence[str]], str] = run_tool

    def read(self, path: str) -> str:
        """A small file below the root."""
        try:
            with (self.root / path).open("rb") as stream:
                return stream.read(_CAP).decode("utf-8", "replace")
        except OSError:
            return ""

    def each(self, pattern: str) -> Iterator[Path]:
        """Paths below the root, in order."""
        try:
            yield from sorted(self.root.glob(pattern))
        except OSError:
            return


def disks(machine: Machine) -> list[Found]:
    """Disks that are dying, by what they say themselves."""
    found = []
    for block in machine.each("sys/block/*"):
        name = block.name
        if name.startswith("mmcblk") and "boot" not in name and "rpmb" not in name:
            life, end = (machine.read(f"sys/block/{name}/device/{f}") for f in ("life_time", "pre_eol_info"))
            found += probes.emmc(name, life, end)
        elif name.startswith(("sd", "nvme")):
            command = ("smartctl", "--json=c", "--health", "--attributes", f"/dev/{name}")
            found += probes.smart(name, machine.tool(command))
    return found


def filesystems(machine: Machine, data: Path) -> list[Found]:
    """What the kernel noted of file systems, and whether the box's can be written to."""
    found = probes.mounts(machine.read("proc/self/mounts"), str(data))
    for counter in machine.each("sys/fs/ext4/*/errors_count"):
        name = counter.parent.name
        found += probes.ext4_errors(name, machine.read(f"sys/fs/ext4/{name}/errors_count"))
    return found


def log(machine: Machine) -> list[Found]:
    """What the kernel complained of since the machine started."""
    return probes.kernel_log(machine.tool(("journalctl", "--dmesg", "--boot", "--output=cat", "--no-pager")))


def power(machine: Machine) -> list[Found]:
    """Undervoltage and throttling, where a kernel or a firmware shows them."""
    for name in machine.each("sys/class/hwmon/*/name"):
        if machine.read(str(name.relative_to(machine.root))).strip() == "rpi_volt":
            alarm = name.parent.relative_to(machine.root) / "in0_lcrit_alarm"
            found = probes.undervoltage(machine.read(str(alarm)))
            if found:
                return found
    firmware = machine.read("sys/devices/platform/soc/soc:firmware/get_throttled")
    return probes.throttled(firmware or machine.tool(("vcgencmd", "get_throttled")))


def heat(machine: Machine) -> list[Found]:
    """Temperatures of processor zones, in thousandths of a degree."""
    told = (machine.read(str(p.relative_to(machine.root))) for p in machine.each("sys/class/thermal/*/temp"))
    return probes.heat(int(text) / 1000 for text in told if text.strip().lstrip("-").isdigit())


def links(machine: Machine) -> list[Found]:
    """Whether any real interface has a link. `device`: what a bridge or a tunnel has not."""
    names = [path.parent.name for path in machine.each("sys/class/net/*/device")]
    return probes.links({name: machine.read(f"sys/class/net/{name}/carrier") for name in names})


def boards(machine: Machine) -> int:
    """How many connections boards have to the pages at this moment."""
    return sum(probes.connections(machine.read(f"proc/net/{name}"), PORTS) for name in ("tcp", "tcp6"))


def units(machine: Machine) -> list[Found]:
    """Programs that keep ending."""
    names = tuple(f"{name}.service" for name in UNITS)
    return probes.units(machine.tool(("systemctl", "show", "--property=Id,NRestarts,ActiveState", *names)))
