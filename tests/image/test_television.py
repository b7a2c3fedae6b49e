"""The television of the amd64 image: drivers and firmware are whole; plugged in, it shows lessons by itself.

`make test-image`; LESSONBOX_IMAGE=FILE takes an image that was made before.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.image import boot, pi
from tests.image.boot import MIB, Machine, booted
from tests.image.test_image import PATIENCE

pytestmark = pytest.mark.slow
#: Picture, sound and remote of a mini-PC: Intel's, AMD's, an emulator's.
WANTED = {
    *("i915", "amdgpu", "bochs", "virtio_gpu", "cec", "rc_core"),
    *("snd_hda_intel", "snd_hda_codec_hdmi", "snd_hda_codec_realtek", "snd_hda_codec_generic"),
    "snd_hdmi_lpe_audio",
}  # fmt: skip
#: Of what a page of the television is made, as PPM has it: paper and the ledge (board.css).
PAPER, LEDGE = b"\xf4\xf0\xe5", b"\x1d\x3a\x33"
STARTED = "systemctl is-active lessonbox-tv || true"
#: What was opened on any board, as usage.db has it.
OPENED = (
    "python3 -c \"import sqlite3; db = sqlite3.connect('file:/var/lib/lessonbox/usage.db?mode=ro', uri=True);"
    " print([row[0] for row in db.execute('select type from event')].count('open'))\""
)


def test_no_driver_lacks_a_part(image: Path, tmp_path: Path) -> None:
    """What was left out of the kernel is nothing that a driver in it depends on."""
    (modules,) = pi.from_root(image, "/usr/lib/modules", tmp_path).iterdir()
    files = {it.name.split(".ko")[0].replace("-", "_"): it for it in modules.rglob("*.ko*")}
    built = {
        Path(it).name.split(".ko")[0].replace("-", "_")
        for it in (modules / "modules.builtin").read_text().split()
    }
    assert files.keys() >= WANTED - built
    lacking = {name: pi.dependencies(file) - files.keys() - built for name, file in files.items()}
    assert {name: others for name, others in lacking.items() if others} == {}


def test_firmware_is_whole_and_room_is_left(image: Path, tmp_path: Path) -> None:
    """For each chip that is kept its firmware, no name that leads nowhere; a sixth of the root is free."""
    firmware = pi.from_root(image, "/usr/lib/firmware", tmp_path)
    dangling = [str(it) for it in firmware.rglob("*") if it.is_symlink() and not it.exists()]
    assert [it for it in dangling if "/amdgpu/" in it or "/i915/" in it] == []
    names = {it.name for it in firmware.rglob("*.bin")}
    for chip in ("renoir", "green_sardine", "yellow_carp", "gc_11_0_1"):  # of mini-PCs that are sold
        assert {f"{chip}_{part}.bin" for part in ("me", "mec", "pfp", "rlc")} <= names
    assert {"adlp_guc_70.bin", "adlp_dmc.bin", "tgl_guc_70.bin"} <= names  # an N100's
    offset, size = boot.partitions(image)["root_a"]
    told = boot.run("dumpe2fs", "-h", f"{image}?offset={offset}")
    facts = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    blocks, free = int(facts["Block count"]), int(facts["Free blocks"])
    print(f"root: {(blocks - free) * 4 // 1024} of {size // MIB} MiB")
    assert free / blocks >= 0.15


class Screen:
    """The machine's display and keyboard, by QEMU's monitor."""

    def __init__(self, monitor: Path, out: Path) -> None:
        self.ask = boot.Monitor(monitor).ask
        self.out = out

    def key(self, name: str) -> None:
        """Press one, as a remote's receiver does."""
        self.ask("send-key", keys=[{"type": "qcode", "data": name}])

    def picture(self) -> bytes:
        """Its pixels now, three bytes each."""
        self.ask("screendump", filename=str(self.out))
        return self.out.read_bytes().split(b"\n", 3)[3]

    def shows_page(self) -> bool:
        """Whether it shows a page of the television: mostly paper, below it the ledge."""
        pixels = self.picture()
        found = Counter(pixels[at : at + 3] for at in range(0, len(pixels) - 2, 3 * 7))
        return found[PAPER] > found.total() / 5 and found[LEDGE] > found.total() / 50


def test_a_television_shows_lessons_by_itself_and_takes_keys(image: Path, tmp_path: Path) -> None:
    card, key = boot.lessons_card(image, tmp_path)
    monitor = tmp_path / "monitor"
    more = ["-device", "VGA,xres=1280,yres=720,edid=on", "-device", "usb-kbd"]
    more += boot.Monitor.words(monitor)
    with booted(card, key, memory=2048, more=more) as machine:
        machine.wait_until(monitor.exists, 60, "a monitor")
        screen = Screen(monitor, tmp_path / "screen.ppm")
        machine.wait_for("/", PATIENCE)
        machine.wait_until(lambda: screen.shows_page(), PATIENCE, "a page on the television")
        print(f"the television shows lessons after {machine.seconds():.0f} s")
        machine.wait_until(machine.hears_ssh, PATIENCE, "SSH")
        is_a_kiosk(machine)
        machine.wait_until(lambda: opened(machine, screen), PATIENCE, "a lesson by keys")


def is_a_kiosk(machine: Machine) -> None:
    """One browser, as nobody in particular; what it keeps is on data."""
    assert machine.command(STARTED).strip() == "active"
    user = machine.command("ps -o user= -C chromium | sort -u").split()
    assert user == ["lessonbox-tv"] or user == ["lessonb+"]
    assert "/system/tv]" in machine.command("findmnt -no SOURCE /var/lib/lessonbox-tv")
    machine.command("test -e /var/lib/lessonbox-tv/browser/Default/Cookies")
    assert machine.command("systemctl --failed --plain --no-legend") == ""


def opened(machine: Machine, screen: Screen) -> bool:
    """Press OK once, as a hand does when nothing happens; whether something of a lesson is open."""
    screen.key("ret")
    try:
        return int(machine.command(OPENED)) > 0
    except subprocess.CalledProcessError:
        return False
