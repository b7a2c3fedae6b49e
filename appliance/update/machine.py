"""The machine that an update changes: its kind, its partitions, what it runs now (formats.md 18)."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from content_sync.errors import StorageError

#: Written when an image is made: `lessonbox VERSION`, and the number that its update would have.
IMAGE = Path("/etc/lessonbox-image")
#: In a place below /opt/lessonbox.d: the number of what was put there.
MARK = "update-number"
#: What root's program tells the others.
TOLD = Path("/run/lessonbox-update/status.json")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PATIENCE = 300.0
_TRIAL = re.compile(r"(?:^| )lessonbox\.trial=(\d{1,16})(?: |$)")


class Machine(Struct, frozen=True):
    """Where things lie. `home` is root's own folder; the rest as on every box."""

    data: Path = Path("/var/lib/lessonbox")
    home: Path = Path("/var/lib/lessonbox-update")
    told: Path = TOLD
    parts: Path = Path("/dev/lessonbox")
    fat: Path = Path("/boot/firmware")
    files: Path = Path("/boot/slot")
    guard: Path = Path("/run/lessonbox/guard")
    places: Path = Path("/opt/lessonbox.d")
    link: Path = Path("/opt/lessonbox")
    image: Path = IMAGE
    cmdline: Path = Path("/proc/cmdline")
    cpus: Path = Path("/proc/device-tree/cpus")
    base: str = "http://127.0.0.1"

    @property
    def kind(self) -> str:
        """The kind of update that is for this machine; empty where none is."""
        return update_kind(self.image, self.places)

    def running(self) -> tuple[int, str]:
        """Number and version of the image that this is, elsewhere the number of the programs; 0 where it
        does not say."""
        try:
            words = self.image.read_text("ascii").split()
        except OSError:
            return self._programs(), ""
        facts = dict(zip(words[::2], words[1::2], strict=False))
        number = facts.get("number", "")
        return int(number) if number.isdecimal() else 0, facts.get("lessonbox", "")

    def _programs(self) -> int:
        try:
            told = (self.link / MARK).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return 0
        return int(told) if told.isdecimal() else 0

    def trial(self) -> int | None:
        """The number of the update that is being tried in this start of the machine."""
        found = _TRIAL.search(self.cmdline.read_text("ascii", "replace").strip())
        return int(found[1]) if found else None

    def spins(self) -> bool:
        """Whether its other processors wait in a spin table: no jump while more than one is in use."""
        found = self.cpus.glob("cpu@*/enable-method")
        return any(path.read_bytes().startswith(b"spin-table") for path in found)

    def alone(self) -> bool:
        """Whether this start uses one processor only for a jump."""
        return " nr_cpus=1 " in f" {self.cmdline.read_text('ascii', 'replace').strip()} "

    def slot(self) -> str:
        """The slot that was booted. Raises StorageError."""
        root = os.stat("/").st_dev
        for slot in ("a", "b"):
            device = self.parts / f"root_{slot}"
            if device.exists() and os.stat(device).st_rdev == root:
                return slot
        raise StorageError("this system runs from neither of the box's two partitions for systems")

    def partition(self, slot: str) -> str:
        """The PARTUUID of a slot's root. Raises StorageError."""
        found = run(
            [
                "blkid",
                "-c",
                "/dev/null",
                "-p",
                "-s",
                "PART_ENTRY_UUID",
                "-o",
                "value",
                str(self.parts / f"root_{slot}"),
            ]
        )
        if not re.fullmatch(r"[0-9a-f-]{8,36}", found.strip()):
            raise StorageError(f"partition root_{slot} has no id")
        return found.strip()


def update_kind(image: Path = IMAGE, places: Path = Path("/opt/lessonbox.d")) -> str:
    """`system-amd64` on a card of ours, `app-amd64-311` where install.sh put the programs; empty elsewhere (a
    developer's folder), and nothing is fetched for it."""
    machine = _ARCHITECTURES.get(platform.machine())
    if machine is None:
        return ""
    if image.is_file():
        return f"system-{machine}"
    if Path(sys.prefix).resolve().parent == places:
        return f"app-{machine}-{sys.version_info[0]}{sys.version_info[1]:02d}"
    return ""


def run(command: Sequence[str], patience: float = _PATIENCE) -> str:
    """What a command of the system's said. Raises StorageError with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience, errors="replace")
    except (OSError, subprocess.SubprocessError) as error:
        raise StorageError(f"{command[0]}: {error}") from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
        raise StorageError(f"{command[0]}: {last[0]}")
    return done.stdout


@contextmanager
def writable(fat: Path) -> Iterator[None]:
    """Inside, the boot partition can be written to."""
    run(["mount", "-o", "remount,rw", str(fat)])
    try:
        yield
    finally:
        run(["sync", "-f", str(fat)])
        run(["mount", "-o", "remount,ro", str(fat)])
