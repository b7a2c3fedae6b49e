"""Boots an amd64 image in QEMU as a board would find it: python -m tests.image.boot IMAGE.

The image is copied onto a larger card first; its data partition gets a box that a county filled here.
"""

from __future__ import annotations

import argparse
import datetime
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e import library
from tests.e2e.programs import ROOT, free_port

MIB = 1024 * 1024
#: Two emulators at once would measure each other.
LOCK = Path(tempfile.gettempdir()) / "qemu.lock"
#: Not an old Intel one: against Meltdown Linux changes page tables at each system call there, which takes an
#: emulator many times as long (no first page in five minutes).
CPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt"
FIRMWARE = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd")


class BootError(Exception):
    """The machine did not do what was waited for; the message holds the end of its console."""


def run(*command: str | Path, env: dict[str, str] | None = None, timeout: float = 600) -> str:
    """Run a command to its end; what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, check=True, capture_output=True, text=True, cwd=ROOT, env=env, timeout=timeout
    )
    return done.stdout


def partitions(image: Path) -> dict[str, tuple[int, int]]:
    """Offset and size in bytes of each partition by its name."""
    table = json.loads(run("sfdisk", "--json", image))["partitiontable"]
    return {it["name"]: (it["start"] * 512, it["size"] * 512) for it in table["partitions"]}


def make_county(folder: Path) -> Path:
    """A county of two lessons; its data folder."""
    county = folder / "county"
    library.two_lessons(folder / "tree")
    words: list[str | Path] = ["--name", "清河县", "--url", "http://county.invalid"]
    run(sys.executable, "-m", "county", "init", "--data", county, *words)
    run(sys.executable, "-m", "county", "publish", "--data", county, folder / "tree")
    return county


def enrolment(county: Path, code: str, school: str) -> Path:
    """The enrolment file of a school's next box."""
    out = county.parent / f"school-{code}.json"
    words: list[str | Path] = ["--school-code", code, "--name", school, "--out", out]
    run(sys.executable, "-m", "county", "enrol", "--data", county, *words)
    return out


def make_box(county: Path) -> Path:
    """A box's data folder as a stick from its county leaves it: two lessons, whole and verified."""
    box, stick = county.parent / "lessonbox", county.parent / "stick"
    file = enrolment(county, "001", "东沟小学")
    run(sys.executable, "-m", "appliance", "init", "--data", box, "--enrolment", file)
    stick.mkdir()
    run(sys.executable, "-m", "county", "export", "--data", county, stick)
    run(sys.executable, "-m", "appliance", "import", "--data", box, stick)
    return box


def put_data(card: Path, tree: Path) -> None:
    """Give the card's data partition the folders of `tree`, under the label and ids that it has."""
    offset, size = partitions(card)["data"]
    new = card.with_suffix(".data")
    with new.open("wb") as file:
        file.truncate(size)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-L", "lessonbox-data", "-d", tree, new)
    run("dd", f"if={new}", f"of={card}", "bs=1M", f"seek={offset // MIB}", "conv=notrunc,sparse")
    new.unlink()


def fat(card: Path, *words: str | Path) -> str:
    """One of mtools on the card's FAT partition, as a technician would change it; what it said."""
    offset = partitions(card)["boot"][0]
    env = {**os.environ, "MTOOLS_SKIP_CHECK": "1"}
    return run(words[0], "-i", f"{card}@@{offset}", *words[1:], env=env)


def put_on_fat(card: Path, file: Path, name: str) -> None:
    """Copy a file onto the FAT partition."""
    fat(card, "mcopy", "-o", file, f"::/{name}")


def make_disk(path: Path, label: str, size: int = 256 * MIB) -> Path:
    """A USB disk with an empty file system."""
    with path.open("wb") as file:
        file.truncate(size)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-L", label, path)
    return path


STICK_AT = MIB


def make_stick(path: Path, label: str, *files: Path, size: int = 256 * MIB) -> Path:
    """A stick as it is bought: one partition with FAT; these files and folders are on it."""
    with path.open("wb") as file:
        file.truncate(size)
    run("sh", "-c", f"echo 'start={STICK_AT // 512}, type=c' | sfdisk --quiet '{path}'")
    blocks = str((size - STICK_AT) // 1024)
    run("mkfs.vfat", "-F", "32", "-n", label, "--offset", str(STICK_AT // 512), path, blocks)
    for one in files:
        run("mcopy", "-s", "-i", f"{path}@@{STICK_AT}", one, "::/")
    return path


def make_card(image: Path, card: Path, size: int) -> None:
    """A card of `size` bytes, flashed with the image."""
    run("cp", "--sparse=always", image, card)
    os.truncate(card, size)


class Monitor:
    """QEMU's own door to a machine (QMP), opened where `booted` was given `more` of `Monitor.words`."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._answers = self._socket.makefile("r", encoding="utf-8")
        json.loads(self._answers.readline())
        self.ask("qmp_capabilities")

    @staticmethod
    def words(path: Path) -> list[str]:
        """What makes QEMU open it there."""
        return ["-qmp", f"unix:{path},server=on,wait=off"]

    def ask(self, command: str, **arguments: object) -> Any:
        """What it answers. Raises BootError."""
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while "return" not in (told := json.loads(self._answers.readline())):
            if "error" in told:
                raise BootError(str(told["error"]))
        return told["return"]

    def clock(self) -> datetime.datetime:
        """What the machine's clock says now."""
        now = self.ask("qom-get", path="/machine", property="rtc-time")
        return datetime.datetime(
            now["tm_year"] + 1900,
            now["tm_mon"] + 1,
            now["tm_mday"],
            now["tm_hour"],
            now["tm_min"],
            now["tm_sec"],
        )


def lessons_card(image: Path, work: Path) -> tuple[Path, Path]:
    """A card of 8 GB with a box and its lessons on it, and the key for SSH, which may come in."""
    tree = work / "data"
    tree.mkdir()
    make_box(make_county(work)).rename(tree / "lessonbox")
    card, key = work / "card.img", new_key(work)
    make_card(image, card, 8 * 1024 * MIB)
    put_data(card, tree)
    put_on_fat(card, key.with_suffix(".pub"), "authorized_keys")
    return card, key


@dataclass
class Machine:
    """A running virtual machine; ports are this machine's."""

    process: subprocess.Popen[bytes]
    http: int
    ssh: int
    key: Path
    console: Path
    started: float

    def seconds(self) -> float:
        """Since power was switched on."""
        return time.monotonic() - self.started

    def get(self, path: str, timeout: float = 10) -> bytes:
        """A page of the box. Raises OSError."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=timeout) as answer:
            body: bytes = answer.read()
            return body

    def wait_for(self, path: str, timeout: float) -> bytes:
        """The page once it answers with 200. Raises BootError."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                return self.get(path, timeout=60)  # emulated and cold, a page takes long
            except OSError:
                time.sleep(0.5)
        raise BootError(f"no {path} after {self.seconds():.0f} s\n{self.console_end()}")

    def console_end(self) -> str:
        """The last lines of the serial console."""
        return self.console.read_text("utf-8", "replace")[-4000:] if self.console.exists() else ""

    def wait_until(self, holds: Callable[[], bool], timeout: float, what: str) -> None:
        """Ask until it holds. Raises BootError."""
        deadline = time.monotonic() + timeout
        while not holds():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise BootError(f"not {what} after {self.seconds():.0f} s\n{self.console_end()}")
            time.sleep(0.5)

    def hears_ssh(self) -> bool:
        """Whether an SSH server answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.ssh), timeout=10) as one:
                return one.recv(4) == b"SSH-"
        except OSError:
            return False

    def command(self, words: str, timeout: float = 120) -> str:
        """Run a shell command inside, over SSH. Raises CalledProcessError."""
        options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
        ]
        ssh = ["ssh", "-i", str(self.key), "-p", str(self.ssh), "-o", "ConnectTimeout=30"]
        for option in options:
            ssh += ["-o", option]
        return run(*ssh, "root@127.0.0.1", words, timeout=timeout)


#: When power is switched on, by the machine's own clock, where that is to count its own seconds: tomorrow, so
#: that no clock saved before is later.
POWER_ON = time.strftime("%Y-%m-%dT08:00:00", time.gmtime(time.time() + 86400))


def _clock(date: str, again: bool) -> list[str]:
    if again:
        return ["-rtc", f"base={date or POWER_ON},clock=vm"]
    return ["-rtc", f"base={date}"] if date else []


#: Where time goes by them, each takes 2 ns: 500 million a second, fewer than one core of a Pi 4 does.
INSTRUCTIONS = "shift=1"


@contextmanager
def booted(
    card: Path,
    key: Path,
    *disks: Path,
    date: str = "",
    again: bool = False,
    log: Path | None = None,
    memory: int = 1024,
    more: Sequence[str] = (),
) -> Iterator[Machine]:
    """A PC with 2 cores, `memory` MB and a watchdog that boots `card` by UEFI, `disks` in its USB. `date`:
    what its clock says, like 2000-01-01. `again`: it may start again by itself, and its time goes by what it
    computes, not by how busy this machine is. `log`: where each write to the card is written down
    (logwrites.py). `more`: QEMU's own words for what else it has. Ends by a power cut. One at a time on this
    machine."""
    work = card.parent
    variables = work / "uefi-variables.fd"
    shutil.copy(FIRMWARE[1], variables)
    http, ssh = free_port(), free_port()
    console = work / "console.log"
    console.unlink(missing_ok=True)
    words = ["qemu-system-x86_64", "-M", "q35", "-cpu", CPU, "-accel", "tcg,thread=multi", "-smp", "2"]
    words += ["-m", str(memory), "-nographic", "-nodefaults", "-serial", f"file:{console}"]
    if again:
        words[words.index("tcg,thread=multi")] = "tcg,thread=single"
        words += ["-icount", INSTRUCTIONS]
    else:
        words.append("-no-reboot")
    words += ["-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE[0]}"]
    words += ["-drive", f"if=pflash,format=raw,file={variables}"]
    if log is None:
        words += ["-drive", f"if=none,id=card,format=raw,file={card},discard=unmap"]
        words += ["-device", "virtio-blk-pci,drive=card"]
    else:
        log.touch()
        for name, file in (("now", card), ("log", log)):
            words += ["-blockdev", f"driver=file,node-name={name},filename={file}"]
        words += ["-blockdev", "driver=blklogwrites,node-name=card,file=now,log=log,log-sector-size=512"]
        words += ["-device", "virtio-blk-pci,drive=card,discard=off,write-zeroes=off,request-merging=off"]
    words += ["-device", "virtio-rng-pci", "-device", "qemu-xhci"]
    words += ["-device", "i6300esb", *_clock(date, again)]
    for number, disk in enumerate(disks):
        words += ["-drive", f"if=none,id=usb{number},format=raw,file={disk}"]
        words += ["-device", f"usb-storage,drive=usb{number},removable=on"]
    words += more
    forwards = f"hostfwd=tcp:127.0.0.1:{http}-:80,hostfwd=tcp:127.0.0.1:{ssh}-:22"
    words += ["-netdev", f"user,id=lan,{forwards}", "-device", "virtio-net-pci,netdev=lan,romfile="]
    with LOCK.open("a") as lock, (work / "qemu.log").open("wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            yield Machine(process, http, ssh, key, console, time.monotonic())
        finally:
            process.kill()
            process.wait()


MEMORY = (
    "cd /sys/fs/cgroup/system.slice; "
    "for u in web sync agent; do t=0; for p in $(cat lessonbox-$u.service/cgroup.procs); do "
    "k=$(sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$p/smaps_rollup); t=$((t+k)); done; echo $u $t; done; "
    "sed -n 's/^\\(MemTotal\\|MemAvailable\\): *\\([0-9]*\\) kB/\\1 \\2/p' /proc/meminfo"
)


def new_key(folder: Path) -> Path:
    """A key pair for SSH; the private file."""
    key = folder / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    return key


def measure(image: Path, work: Path, timeout: float = 600) -> dict[str, Any]:
    """Boot a fresh card once; the figures. Raises BootError when a page lacks what it must hold."""
    card, key = lessons_card(image, work)
    with booted(card, key) as machine:
        page = machine.wait_for("/", timeout).decode()
        first = machine.seconds()
        if "西沙群岛" not in page:
            raise BootError(f"the first page has no lesson:\n{page[:3000]}")
        memory = dict(line.split() for line in machine.command(MEMORY).splitlines())
        return {
            "seconds_to_first_page": round(first, 1),
            "pss_mb": {name: round(int(memory[name]) / 1024, 1) for name in ("web", "sync", "agent")},
            "used_mb": round((int(memory["MemTotal"]) - int(memory["MemAvailable"])) / 1024),
            "image_mb": round(image.stat().st_blocks * 512 / MIB),
        }


def main() -> int:
    """Parse, boot, print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Boot an image of a box in QEMU to its first page.")
    parser.add_argument("image", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="image-boot-") as work:
        print(json.dumps(measure(given.image.resolve(), Path(work)), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
