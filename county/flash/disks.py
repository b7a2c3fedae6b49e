"""The removable disks of this computer: one port, three systems. What they said is parsed by pure functions.

Wrong by nothing less than an erased computer: a disk is offered only when the system calls it removable (or
it is at USB or an SD reader) and nothing of the system lies on it.
"""

from __future__ import annotations

import json
import os
import plistlib
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol
from xml.parsers.expat import ExpatError

from msgspec import Struct

from content_sync.adapters.mountinfo import mount_point
from content_sync.errors import CardBusyError, ToolError

_SECTOR = 512
_TOOL_SECONDS = 60
#: Where desktops and people mount sticks. A disk that is mounted anywhere else is taken for the system's.
_FOR_STICKS = ("/media/", "/run/media/", "/mnt", "/Volumes/")
_NO_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd")
# Of MSFT_Disk.BusType.
_WINDOWS_BUSES = {7: "USB", 12: "SD", 13: "MMC", "USB": "USB", "SD": "SD", "MMC": "MMC"}
_POWERSHELL = (
    "[Console]::OutputEncoding=[Text.Encoding]::UTF8; Get-Disk | Select-Object Number,FriendlyName,Size,"
    "BusType,IsBoot,IsSystem,IsReadOnly | ConvertTo-Json -Compress"
)


class Card(Struct, frozen=True):
    """A removable disk. `path`: what is opened to write it. `mounted`: where the system has it now."""

    path: str
    model: str
    size: int
    locked: bool = False
    mounted: tuple[str, ...] = ()


class Disks(Protocol):
    """The removable disks of a system."""

    def cards(self) -> list[Card]:
        """Those that hold a medium now. Raises ToolError."""

    def release(self, card: Card) -> None:
        """Let the system let go of it. Raises CardBusyError, ToolError."""


Run = Callable[[Sequence[str]], bytes]


def run(command: Sequence[str]) -> bytes:
    """What a program of the system prints. Raises ToolError."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TOOL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{command[0]}: {error}") from None
    if done.returncode:
        raise ToolError(f"{command[0]}: {done.stderr.decode('utf-8', 'replace').strip()[:200]}")
    return done.stdout


class LinuxDisks:
    """By /sys/block. `sys_folder`, `proc`: those of the machine."""

    def __init__(self, sys_folder: Path = Path("/sys"), proc: Path = Path("/proc"), run: Run = run) -> None:
        self._sys, self._proc, self._run = sys_folder, proc, run

    def cards(self) -> list[Card]:
        """See Disks."""
        used = linux_mounts(_text(self._proc / "self/mountinfo"), _text(self._proc / "swaps"))
        block = self._sys / "block"
        found = (self._card(folder, used) for folder in sorted(block.iterdir())) if block.is_dir() else ()
        return [card for card in found if card is not None]

    def _card(self, folder: Path, used: dict[str, list[str]]) -> Card | None:
        if folder.name.startswith(_NO_DISKS):
            return None
        size = int(_text(folder / "size") or 0) * _SECTOR
        real = folder.resolve().as_posix()
        kind = _text(folder / "device/type")
        removable = _text(folder / "removable") == "1" or "/usb" in real or kind == "SD"
        mounted = {place for part in self._parts(folder) for place in used.get(part, ())}
        ours = any(not place.startswith(_FOR_STICKS) for place in mounted)
        if not size or not removable or ours:
            return None
        names = [_text(folder / "device" / name) for name in ("vendor", "model", "name")]
        return Card(
            f"/dev/{folder.name}",
            " ".join(name for name in names if name) or folder.name,
            size,
            _text(folder / "ro") == "1",
            tuple(sorted(mounted)),
        )

    def _parts(self, folder: Path) -> Iterable[str]:
        """Numbers and names of the disk, its partitions, and what is built upon them (RAID, LVM, LUKS)."""
        seen, todo = set(), [folder]
        while todo:
            here = todo.pop()
            if here.name in seen:
                continue
            seen.add(here.name)
            yield _text(here / "dev")
            yield f"/dev/{here.name}"
            todo += [one for one in here.iterdir() if (one / "partition").exists()] if here.is_dir() else []
            holders = here / "holders"
            todo += [self._sys / "block" / one.name for one in holders.iterdir()] if holders.is_dir() else []

    def release(self, card: Card) -> None:
        """See Disks."""
        for place in reversed(card.mounted):
            try:
                self._run(["umount", place])
            except ToolError as error:
                raise CardBusyError(f"{card.path} is in use at {place}: {error.what}") from None


def linux_mounts(mountinfo: str, swaps: str) -> dict[str, list[str]]:
    """`major:minor` and device path -> where it is used."""
    found: dict[str, list[str]] = {}
    for line in mountinfo.splitlines():
        parts = line.split(" ")
        if len(parts) < 10 or "-" not in parts:
            continue
        source = parts[parts.index("-") + 2]
        # Either is enough; btrfs shows the numbers of no disk.
        found.setdefault(parts[2], []).append(mount_point(parts[4]))
        if source.startswith("/dev/"):
            found.setdefault(os.path.realpath(source), []).append(mount_point(parts[4]))
    for line in swaps.splitlines()[1:]:
        if line.strip():
            found.setdefault(line.split()[0], []).append("swap")
    return {name: sorted(set(places)) for name, places in found.items()}


class WindowsDisks:
    """By PowerShell's storage module (Windows 8 and later)."""

    def __init__(self, run: Run = run) -> None:
        self._run = run

    def cards(self) -> list[Card]:
        """See Disks."""
        return windows_disks(
            self._run(["powershell", "-NoProfile", "-NonInteractive", "-Command", _POWERSHELL])
        )

    def release(self, card: Card) -> None:
        """Take the partitions away: Windows lets nobody write where a volume of its own lies."""
        number = card.path.removeprefix("\\\\.\\PhysicalDrive")
        command = f"Clear-Disk -Number {int(number)} -RemoveData -RemoveOEM -Confirm:$false -ErrorAction Stop"
        try:
            self._run(["powershell", "-NoProfile", "-NonInteractive", "-Command", command])
        except ToolError as error:
            if "not been initialized" not in error.what and "41005" not in error.what:
                raise CardBusyError(f"{card.path}: {error.what}") from None


def windows_disks(printed: bytes) -> list[Card]:
    """Of Get-Disk's JSON: one object, or a list. Raises ToolError."""
    text = printed.decode("utf-8-sig", "replace").strip()
    try:
        found: Any = json.loads(text) if text else []
    except ValueError:
        raise ToolError("Get-Disk printed no JSON") from None
    cards = []
    for disk in found if isinstance(found, list) else [found]:
        if not isinstance(disk, dict) or disk.get("IsBoot") or disk.get("IsSystem"):
            continue
        number, size, bus = disk.get("Number"), disk.get("Size"), disk.get("BusType")
        if type(number) is not int or type(size) is not int or size <= 0 or bus not in _WINDOWS_BUSES:
            continue
        model = str(disk.get("FriendlyName") or "").strip() or _WINDOWS_BUSES[bus]
        cards.append(Card(f"\\\\.\\PhysicalDrive{number}", model, size, bool(disk.get("IsReadOnly"))))
    return cards


class MacDisks:
    """By diskutil."""

    def __init__(self, run: Run = run) -> None:
        self._run = run

    def cards(self) -> list[Card]:
        """See Disks."""
        listed = _plist(self._run(["diskutil", "list", "-plist", "physical"]))
        names = [str(name) for name in listed.get("WholeDisks", [])]
        found = (mac_disk(self._run(["diskutil", "info", "-plist", name])) for name in names)
        return [card for card in found if card is not None]

    def release(self, card: Card) -> None:
        """See Disks."""
        try:
            self._run(["diskutil", "unmountDisk", card.path.replace("/dev/r", "/dev/")])
        except ToolError as error:
            raise CardBusyError(f"{card.path}: {error.what}") from None


def mac_disk(printed: bytes) -> Card | None:
    """Of `diskutil info -plist DISK`; None for a disk that stays in the computer. Raises ToolError."""
    info = _plist(printed)
    size = info.get("TotalSize") or info.get("Size")
    # The SD reader of a MacBook is internal with a removable medium.
    removable = info.get("Internal") is False or info.get("RemovableMedia") is True
    name = info.get("DeviceIdentifier")
    physical = info.get("VirtualOrPhysical", "Physical") != "Virtual"
    if not removable or not physical or info.get("SystemImage") or not info.get("WholeDisk", True):
        return None
    if type(size) is not int or size <= 0 or not isinstance(name, str):
        return None
    model = str(info.get("MediaName") or info.get("IORegistryEntryName") or name).strip()
    return Card(f"/dev/r{name}", model, size, info.get("WritableMedia") is False)


def _plist(printed: bytes) -> dict[str, Any]:
    try:
        found = plistlib.loads(printed)
    except (plistlib.InvalidFileException, ExpatError, ValueError):
        raise ToolError("diskutil printed no property list") from None
    if not isinstance(found, dict):
        raise ToolError("diskutil printed something else")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def disks_of_this_computer(platform: str = sys.platform) -> Disks:
    """The port for the system that this runs on."""
    if platform == "win32":
        return WindowsDisks()
    return MacDisks() if platform == "darwin" else LinuxDisks()
