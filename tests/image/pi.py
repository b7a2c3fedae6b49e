"""The image for Raspberry Pi, read and booted: python -m tests.image.pi IMAGE [--board raspi3b].

QEMU has no Pi 4 with a network and no Pi 5. `virt` has the same processor; `raspi3b` a Pi's device tree, SD
card and USB network, with the kernel and initrd that a Pi 4 and 5 get. The firmware's part is read, not run.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import lzma
import os
import re
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.programs import free_port
from tests.image import boot
from tests.image.boot import LOCK, MIB, BootError, Machine, fat, partitions, run
from tests.image.devicetree import Node

#: What QEMU's Pi 3 is; its device tree comes from the image's own kernel package.
PI3 = "bcm2837-rpi-3-b.dtb"
#: Modules that drive what none of their aliases names.
INSIDE = {
    **{f"brcm,bcm{chip}-hdmi{port}": "vc4" for chip in (2711, 2712) for port in (0, 1)},
    **{f"brcm,bcm{chip}-hvs": "vc4" for chip in (2711, 2712)},
    "brcm,bcm4329-fmac": "brcmfmac",
}


def from_fat(card: Path, name: str) -> bytes:
    """A file of the FAT partition."""
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "file"
        fat(card, "mcopy", "-n", f"::/{name}", out)
        return out.read_bytes()


def from_root(image: Path, name: str, out: Path) -> Path:
    """A file or folder of the system, copied into the folder `out`; where it is now."""
    where = f"{image}?offset={partitions(image)['root_a'][0]}"
    run("debugfs", "-R", f"rdump {name} {out}", where)
    return out / Path(name).name


@dataclass
class Config:
    """config.txt as one board understands it."""

    settings: dict[str, str] = field(default_factory=dict)
    overlays: list[str] = field(default_factory=list)
    initramfs: str = ""

    def path(self, name: str) -> str:
        """Where the firmware finds a file of the system."""
        return self.settings.get("os_prefix", "") + name


def read_config(text: str, board: str) -> Config:
    """`board`: pi4 or pi5. Raises ValueError for a line that the firmware would not read whole."""
    config, applies = Config(), True
    for line in text.splitlines():
        line = line.strip()
        if len(line) > 98:
            raise ValueError(f"longer than the firmware reads: {line}")
        if not line or line.startswith("#"):
            continue
        if section := re.fullmatch(r"\[(\w+)\]", line):
            applies = section[1] in ("all", board)
        elif applies and line.startswith("initramfs "):
            config.initramfs = line.split()[1]
        elif applies:
            key, value = line.split("=", 1)
            if key == "dtoverlay":
                config.overlays.append(value)
            else:
                config.settings[key] = value
    return config


class Drivers:
    """What a kernel can drive: by itself, with the modules of its initrd, with all of them."""

    def __init__(self, kernel: bytes, modules: Path, initrd: set[str]) -> None:
        """`kernel`: unpacked; `modules`: /usr/lib/modules/VERSION; `initrd`: names of the modules in it."""
        self._kernel, self.initrd = kernel, initrd
        self._aliases: dict[str, set[str]] = {}
        for line in (modules / "modules.alias").read_text().splitlines():
            if found := re.match(r"alias of:N\*T\*C(.+?)(?:C\*)? (\S+)$", line):
                self._aliases.setdefault(found[1], set()).add(found[2])
            elif found := re.match(r"alias pci:v0000(\w{4})d0000(\w{4})\S* (\S+)$", line):
                name = f"pci{int(found[1], 16):x},{int(found[2], 16):x}"
                self._aliases.setdefault(name, set()).add(found[3])
        self.files = {it.name.split(".ko")[0].replace("-", "_"): it for it in modules.rglob("*.ko*")}

    def by(self, device: Node) -> set[str]:
        """Modules that drive it; {""} where the kernel does by itself."""
        for name in device.compatible:
            if b"\0" + name.encode() + b"\0" in self._kernel:
                return {""}
        found = {module for name in device.compatible for module in self._aliases.get(name, ())}
        for name in device.compatible:  # what no alias names: a part of a driver, and what its bus finds
            module = INSIDE.get(name, "")
            if module in self.files and name.encode() in unpacked_module(self.files[module]):
                found.add(module)
        return found

    def early(self, device: Node) -> bool:
        """Whether the initrd can drive it."""
        return bool(self.by(device) & (self.initrd | {""}))


def unpacked(kernel: bytes) -> bytes:
    """A kernel as the processor runs it, of what the firmware takes: plain or gzip."""
    return zlib.decompress(kernel, 31) if kernel[:2] == b"\x1f\x8b" else kernel


def files_of(initrd: bytes) -> dict[str, bytes]:
    """Names in an initrd and their bytes: archives one after the other, the last one packed (zstd)."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(initrd):
        if initrd[at : at + 4] == b"\x28\xb5\x2f\xfd":
            rest = initrd[at:]
            initrd = subprocess.run(["zstd", "-dcq"], input=rest, stdout=subprocess.PIPE, check=True).stdout
            at = 0
        name = b""
        while name != b"TRAILER!!!":
            if initrd[at : at + 6] != b"070701":
                raise ValueError(f"no cpio at {at}")
            numbers = [int(initrd[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
            name = initrd[at + 110 : at + 109 + numbers[11]]
            body = (at + 110 + numbers[11] + 3) & ~3
            found[name.decode()] = initrd[body : body + numbers[6]]
            at = (body + numbers[6] + 3) & ~3
        while initrd[at : at + 1] == b"\0":
            at += 1
    del found["TRAILER!!!"]
    return found


def unpacked_module(file: Path) -> bytes:
    """A .ko or .ko.xz as the kernel takes it."""
    data = file.read_bytes()
    return lzma.decompress(data) if data[:6] == b"\xfd7zXZ\0" else data


def dependencies(file: Path) -> set[str]:
    """What a module says it depends on."""
    told = re.search(rb"\0depends=([^\0]*)\0", unpacked_module(file))
    return {it.decode().replace("-", "_") for it in told[1].split(b",") if it} if told else set()


@contextmanager
def booted(
    card: Path, key: Path, board: str = "virt", again: bool = False, more: Sequence[str] = ()
) -> Iterator[Machine]:
    """A machine with the processor of a Pi that boots `card` as the firmware would. `again`: it may start
    again by itself, from what the firmware read now, and its time goes by what it computes. `more`: QEMU's
    own words. Ends by a power cut."""
    work = card.parent
    config = read_config(from_fat(card, "config.txt").decode(), "pi4")
    for name in (config.settings["kernel"], config.initramfs):
        (work / name).write_bytes(from_fat(card, config.path(name)))
    options = from_fat(card, config.path("cmdline.txt")).decode().strip()
    http, ssh = free_port(), free_port()
    console = work / "console.log"
    console.unlink(missing_ok=True)
    words: list[str | Path] = ["qemu-system-aarch64", "-nographic", "-nodefaults", "-m", "1024", *more]
    if again:
        words += ["-accel", "tcg,thread=single", "-icount", boot.INSTRUCTIONS]
        words += ["-rtc", f"base={boot.POWER_ON},clock=vm"]
    else:
        words += ["-accel", "tcg,thread=multi", "-no-reboot"]
    words += ["-kernel", work / config.settings["kernel"], "-initrd", work / config.initramfs]
    net = f"user,id=lan,hostfwd=tcp:127.0.0.1:{http}-:80,hostfwd=tcp:127.0.0.1:{ssh}-:22"
    drive = f"format=raw,file={card},discard=unmap"
    if board == "virt":
        # No random addresses: with them Linux changes page tables at each system call, which is slow here.
        words += ["-M", "virt,gic-version=2,dtb-randomness=off", "-cpu", "cortex-a72", "-smp", "2"]
        words += ["-append", f"{options} mitigations=off console=ttyAMA0", "-serial", f"file:{console}"]
        words += ["-drive", f"if=none,id=card,{drive}", "-device", "virtio-blk-pci,drive=card"]
        words += ["-device", "virtio-rng-pci", "-netdev", net]
        words += ["-device", "virtio-net-pci,netdev=lan,romfile="]
    else:
        tree = from_root(card, f"/usr/lib/modules/{kernel_version(card)}/dtb/broadcom/{PI3}", work)
        # QEMU has no watchdog of a Pi: what starts it is at once a restart.
        options += " module_blacklist=bcm2835_wdt console=ttyS1,115200"
        words += ["-M", board, "-dtb", tree, "-append", options]
        words += ["-serial", "null", "-serial", f"file:{console}"]  # the second is where a Pi's console is
        words += ["-drive", f"if=sd,{drive}", "-netdev", net, "-device", "usb-net,netdev=lan"]
    with LOCK.open("a") as lock, (work / "qemu.log").open("wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            yield Machine(process, http, ssh, key, console, time.monotonic())
        finally:
            process.kill()
            process.wait()


def kernel_version(image: Path) -> str:
    """Of the system's only kernel."""
    where = f"{image}?offset={partitions(image)['root_a'][0]}"
    lines = run("debugfs", "-R", "ls -p /usr/lib/modules", where).split()  # /inode/mode/user/group/NAME/size/
    (version,) = (name for name in (line.split("/")[5] for line in lines) if not name.startswith("."))
    return version


def measure(image: Path, work: Path, board: str, timeout: float = 900) -> dict[str, Any]:
    """Boot a fresh card once; the figures. Raises BootError when a page lacks what it must hold."""
    card, key = boot.lessons_card(image, work)
    with booted(card, key, board) as machine:
        page = machine.wait_for("/", timeout).decode()
        first = machine.seconds()
        if "西沙群岛" not in page:
            raise BootError(f"the first page has no lesson:\n{page[:3000]}")
        memory = dict(line.split() for line in machine.command(boot.MEMORY).splitlines())
        return {
            "seconds_to_first_page": round(first, 1),
            "pss_mb": {name: round(int(memory[name]) / 1024, 1) for name in ("web", "sync", "agent")},
            "used_mb": round((int(memory["MemTotal"]) - int(memory["MemAvailable"])) / 1024),
            "image_mb": round(image.stat().st_blocks * 512 / MIB),
        }


def main() -> int:
    """Parse, boot, print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Boot the image for Raspberry Pi in QEMU to its first page.")
    parser.add_argument("image", type=Path)
    parser.add_argument("--board", choices=("virt", "raspi3b"), default="virt")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="image-pi-") as work:
        print(json.dumps(measure(given.image.resolve(), Path(work), given.board), indent=1))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    sys.exit(main())
