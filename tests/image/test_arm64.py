"""The image for Raspberry Pi 4 and 5: `make test-image-pi`. Built twice, read as a Pi would, booted.

LESSONBOX_IMAGE_ARM64 names an image that is there already, for looking into it without building.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.programs import ROOT
from tests.image import boot, pi
from tests.image.boot import MIB, Machine, fat, partitions, run
from tests.image.devicetree import Node, needs, parse
from tests.image.pi import Config, Drivers, from_fat, from_root
from tests.image.trial import BAD, PI, PI3, bad, good

pytestmark = pytest.mark.slow
TOOLS = (
    "mmdebstrap",
    "sfdisk",
    "mcopy",
    "mke2fs",
    "bmaptool",
    "dtc",
    "fdtoverlay",
    "zstd",
    "qemu-system-aarch64",
    "ssh",
)
BOARDS = ("pi4", "pi5")
AARCH64 = b"\xb7\0"
#: The device tree that the firmware takes, and the overlay that it adds by itself: a Pi 5 has two kinds of
#: processor (C1, D0), and with the tree of the other one Linux ends at its first pin.
TREES: dict[str, dict[str, tuple[str, list[str]]]] = {
    "pi4": {"": ("bcm2711-rpi-4-b.dtb", [])},
    "pi5": {"C1": ("bcm2712-rpi-5-b.dtb", []), "D0": ("bcm2712-rpi-5-b.dtb", ["bcm2712d0"])},
}
CARD = {"pi4": "brcm,bcm2711-emmc2", "pi5": "brcm,bcm2712-sdhci"}
#: What each board must drive once its system runs, as its device tree calls it.
LATER = {
    "pi4": {
        "LAN": "brcm,bcm2711-genet-v5",
        "USB": "brcm,bcm2711-pcie",
        "Wi-Fi": "brcm,bcm4329-fmac",
        "watchdog and restart": "brcm,bcm2711-pm",
        "firmware's clocks and power": "raspberrypi,bcm2835-firmware",
        "temperature": "brcm,bcm2711-thermal",
        "television": "brcm,bcm2711-hdmi0",
        "picture": "brcm,bcm2711-vc5",
        "lamps": "gpio-leds",
        "clock on the header": "maxim,ds3231",
        "random numbers": "brcm,bcm2711-rng200",
    },
    "pi5": {
        "LAN": "raspberrypi,rp1-gem",
        "USB": "snps,dwc3",
        "Wi-Fi": "brcm,bcm4329-fmac",
        "watchdog and restart": "brcm,bcm2712-pm",
        "firmware's clocks and power": "raspberrypi,bcm2835-firmware",
        "television": "brcm,bcm2712-hdmi0",
        "picture": "brcm,bcm2712-vc6",
        "random numbers": "brcm,bcm2711-rng200",
        "clock on the header": "maxim,ds3231",
        "power button": "gpio-keys",
        "lamp": "gpio-leds",
    },
}
#: What is found by itself later, or asked for by name: the watchdog behind the power manager, RP1's USB,
#: sound over HDMI, disks and sticks, a receiver's share, LAN and 4G by USB, zram, a blinking lamp.
MODULES = {
    *(
        "bcm2835_wdt",
        "xhci_plat_hcd",
        "xhci_pci",
        "snd_soc_hdmi_codec",
        "i2c_designware_platform",
        "i2c_bcm2835",
        "raspberrypi_cpufreq",
    ),
    *(
        "usb_storage",
        "uas",
        "sd_mod",
        "vfat",
        "exfat",
        "ext4",
        "cifs",
        "r8152",
        "ax88179_178a",
        "cdc_ether",
        "rndis_host",
        "qmi_wwan",
    ),
    *(
        "option",
        "huawei_cdc_ncm",
        "zram",
        "ledtrig_timer",
        "nvme",
        "brcmfmac_wcc",
        "nf_tables",
        "bridge",
        "8021q",
    ),
}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build(out: Path) -> Path:
    """`images/build`; the image."""
    cache = os.environ.get("LESSONBOX_IMAGE_CACHE", "/var/cache/lessonbox-image")
    words = ["images/build", "--arch", "arm64", "--out", str(out), "--cache", cache, "--fast"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() or missing:
        pytest.skip(f"an image is made by root, with {missing or TOOLS} (make test-image-pi gets them)")
    ready = os.environ.get("LESSONBOX_IMAGE_ARM64")
    return Path(ready).resolve() if ready else build(tmp_path_factory.mktemp("image"))


@dataclass
class Board:
    """What the firmware of one board makes of the FAT partition."""

    name: str
    config: Config
    kernel: bytes
    initrd: dict[str, bytes]
    trees: dict[str, Node]


def merged(image: Path, config: Config, tree: str, overlays: list[str], work: Path) -> Path:
    """What the firmware hands to the kernel: a tree of the FAT partition with overlays on it."""
    base, part = work / tree, work / "overlay"
    base.write_bytes(from_fat(image, config.path(tree)))
    for overlay in overlays:
        part.write_bytes(from_fat(image, config.path(f"overlays/{overlay}.dtbo")))
        run("fdtoverlay", "-i", base, "-o", base, part)
    return base


@pytest.fixture(scope="module")
def boards(image: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Board]:
    work = tmp_path_factory.mktemp("boards")
    found = {}
    for name in BOARDS:
        config = pi.read_config(from_fat(image, "config.txt").decode(), name)
        trees = {}
        for kind, (tree, own) in TREES[name].items():
            trees[kind] = parse(merged(image, config, tree, own + config.overlays, work).read_bytes())
        kernel = pi.unpacked(from_fat(image, config.path(config.settings["kernel"])))
        initrd = pi.files_of(from_fat(image, config.path(config.initramfs)))
        found[name] = Board(name, config, kernel, initrd, trees)
    return found


@pytest.fixture(scope="module")
def modules(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The system's kernel modules."""
    (version,) = from_root(image, "/usr/lib/modules", tmp_path_factory.mktemp("modules")).iterdir()
    return version


@pytest.fixture(scope="module")
def drivers(boards: dict[str, Board], modules: Path) -> Drivers:
    board = boards["pi4"]
    early = {Path(name).name.split(".ko")[0].replace("-", "_") for name in board.initrd if ".ko" in name}
    return Drivers(board.kernel, modules, early)


def test_the_same_inputs_give_the_same_bytes(image: Path, tmp_path: Path) -> None:
    if os.environ.get("LESSONBOX_IMAGE_ARM64"):
        pytest.skip("the image was there already")
    again = build(tmp_path)
    assert again.name == image.name
    assert sha256(again) == sha256(image)
    name = f"{image.stem}.spdx.json"
    assert (tmp_path / name).read_bytes() == (image.parent / name).read_bytes()


def test_each_board_and_windows_find_the_first_partition(image: Path) -> None:
    """FAT first: in the GPT as the type that Windows shows, and in the table that old boards read."""
    table = json.loads(run("sfdisk", "--json", image))["partitiontable"]["partitions"]
    assert [it["name"] for it in table][:4] == ["boot", "root_a", "root_b", "data"]
    assert table[0]["type"] == "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
    with image.open("rb") as file:
        first = file.read(512)
        file.seek(table[0]["start"] * 512)
        begin = file.read(512)
    entries = [struct.unpack_from("<4xB3xII", first, 446 + 16 * i) for i in range(4)]
    assert entries[0] == (0x0C, table[0]["start"], table[0]["size"])
    assert entries[1][:2] == (0xEE, 1)
    assert entries[1][2] < table[0]["start"]  # else it would lie over the first
    assert entries[2:] == [(0, 0, 0)] * 2
    assert begin[82:90] == b"FAT32   " and begin[71:82] == b"LESSONBOX  "


@pytest.mark.parametrize("name", BOARDS)
def test_the_firmware_finds_what_it_asks_for(image: Path, boards: dict[str, Board], name: str) -> None:
    board = boards[name]
    listed = fat(image, "mdir", "-b", "::/").replace("::/", "").split()
    if name == "pi4":  # a Pi 5 has it on the board
        assert {"start4.elf", "fixup4.dat"} <= set(listed)
        assert from_fat(image, "start4.elf")[:4] == b"\x7fELF"
    assert "config.txt" in listed and len(from_fat(image, "config.txt")) < 2048
    settings = board.config.settings
    assert settings["upstream_kernel"] == "1" and settings["arm_64bit"] == "1"
    assert settings["os_prefix"] == "a/"  # else upstream_kernel means upstream/
    assert "README" in fat(image, "mdir", "-b", "::/a/overlays")  # else the firmware looks in /overlays
    # What the firmware starts is a kernel for 64 bits, plain or gzip, and no EFI program around one.
    assert board.kernel[56:60] == b"ARM\x64"
    assert "conf/initramfs.conf" in board.initrd
    options = from_fat(image, board.config.path("cmdline.txt")).decode()
    root = json.loads(run("sfdisk", "--json", image))["partitiontable"]["partitions"][1]["uuid"]
    assert options.count("\n") == 1 and f"root=PARTUUID={root.lower()} ro rootwait" in options
    consoles = [it for it in options.split() if it.startswith("console=")]
    assert consoles == ["console=tty0"]  # the television's: serial lines differ from board to board


def test_both_kinds_of_pi_5_get_their_tree(image: Path, modules: Path, tmp_path: Path) -> None:
    """The firmware has one name for both, and an overlay for D0: with ours it is Debian's tree of that."""
    config = pi.read_config(from_fat(image, "config.txt").decode(), "pi5")
    tree, own = TREES["pi5"]["D0"]
    made = merged(image, config, tree, own, tmp_path)
    words = ("dtc", "-q", "-s", "-I", "dtb", "-O", "dts")
    assert run(*words, made) == run(*words, modules / "dtb/broadcom/bcm2712-d-rpi-5-b.dtb")


@pytest.mark.parametrize("name", BOARDS)
def test_the_initrd_reaches_the_card(boards: dict[str, Board], drivers: Drivers, name: str) -> None:
    """What the card's controller depends on, pins, clocks, voltages, has its driver in kernel or initrd."""
    for kind, top in boards[name].trees.items():
        chain = needs(top, top.find(CARD[name]))
        assert len(chain) > 3
        lacking = [f"{it.path} {it.compatible}" for it in chain if it.enabled and not drivers.early(it)]
        assert not lacking, f"{name} {kind}: {lacking}"
    foreign = [
        file
        for file, data in boards[name].initrd.items()
        if data[:4] == b"\x7fELF" and data[18:20] != AARCH64
    ]
    assert not foreign  # a tool that images/native.sh lends
    assert "ext4" in drivers.initrd and ("mmc_block" in drivers.initrd or "mmc_block" not in drivers.files)


@pytest.mark.parametrize("name", BOARDS)
def test_all_of_the_board_has_drivers(boards: dict[str, Board], drivers: Drivers, name: str) -> None:
    for kind, top in boards[name].trees.items():
        for what, compatible in LATER[name].items():
            device = top.find(compatible)
            lacking = [
                f"{it.path} {it.compatible}" for it in needs(top, device) if it.enabled and not drivers.by(it)
            ]
            assert not lacking, f"{name} {kind}, {what}: {lacking}"


def test_no_driver_lacks_a_part(boards: dict[str, Board], modules: Path, drivers: Drivers) -> None:
    """What was left out of the kernel is nothing that a board's drivers depend on, or a box asks for."""
    built = {
        Path(it).name.split(".ko")[0].replace("-", "_")
        for it in (modules / "modules.builtin").read_text().split()
    }
    wanted = set(MODULES) - built
    for board in boards.values():
        for top in board.trees.values():
            wanted |= {name for it in top.walk() if it.enabled for name in drivers.by(it) if name}
    assert wanted <= set(drivers.files)
    seen: set[str] = set()
    while wanted - seen:
        name = (wanted - seen).pop()
        seen.add(name)
        others = pi.dependencies(drivers.files[name]) - built
        assert others <= set(drivers.files), f"{name}: {others - set(drivers.files)}"
        wanted |= others
    for name in drivers.initrd:
        assert pi.dependencies(drivers.files[name]) <= drivers.initrd | built, name


def test_what_is_in_the_system(image: Path, tmp_path: Path) -> None:
    """Radio firmware for both boards; nothing of this machine; the list of packages."""
    brcm = set(from_root(image, "/usr/lib/firmware/brcm", tmp_path).iterdir())
    names = {it.name for it in brcm}
    for model in ("4-model-b", "5-model-b"):
        assert f"brcmfmac43455-sdio.raspberrypi,{model}.bin" in names or "brcmfmac43455-sdio.bin" in names
    shadow = from_root(image, "/etc/shadow", tmp_path).read_text()
    assert {line.split(":")[1] for line in shadow.splitlines()} <= {"*", "!", "!*"}
    assert from_root(image, "/etc/machine-id", tmp_path).read_text() == ""
    document = json.loads((image.parent / f"{image.stem}.spdx.json").read_text("utf-8"))
    packages = {it["name"]: it["versionInfo"] for it in document["packages"]}
    assert {"lessonbox", "libtorrent", "systemd", "raspi-firmware", "linux-image-arm64"} <= set(packages)


@pytest.fixture(scope="module")
def card(image: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return boot.lessons_card(image, tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module", params=["virt", "raspi3b"])
def machine(request: pytest.FixtureRequest, card: tuple[Path, Path]) -> Iterator[Machine]:
    with pi.booted(*card, request.param) as machine:
        machine.wait_for("/", 1800)
        print(f"{request.param}: first page after {machine.seconds():.0f} s")
        yield machine


def test_boots_to_the_first_page_with_a_lesson_on_it(machine: Machine) -> None:
    assert "西沙群岛" in machine.get("/").decode()
    assert json.loads(machine.get("/api/v1/status"))["lessons"]["present"] == 2


def test_the_system_is_whole(machine: Machine) -> None:
    """Nothing failed; read only; data fills the card, whose old table still names the FAT partition."""
    assert machine.command("systemctl --failed --plain --no-legend") == ""
    with pytest.raises(subprocess.CalledProcessError):
        machine.command("touch /usr/written || touch /var/lib/written || touch /etc/written")
    assert int(machine.command("df --output=size -BM /data | tail -1 | tr -dc 0-9")) > 4500
    disk = "$(findmnt -no SOURCE / | sed -E 's/p?[0-9]+$//')"
    old = machine.command(f"dd if={disk} bs=1 skip=446 count=32 status=none | od -An -tx1 -v")
    assert old.split()[4] == "0c" and old.split()[20] == "ee"
    assert partitions(machine.console.parent / "card.img")["data"][1] > 4500 * MIB


def test_an_update_is_confirmed(card: tuple[Path, Path], tmp_path: Path) -> None:
    """The jump to another kernel on this processor, with the interrupts' controller of both boards."""
    print(good(card[0], tmp_path, PI))


def test_an_update_that_hangs_is_gone_back_from(card: tuple[Path, Path], tmp_path: Path) -> None:
    print(bad(card[0], tmp_path, *BAD["hangs"], PI))


def test_one_processor_jumps_and_all_go_on(card: tuple[Path, Path], tmp_path: Path) -> None:
    """A real device tree, and the spin table that a Pi 4 has too."""
    print(good(card[0], tmp_path, PI3))
