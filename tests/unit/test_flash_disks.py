"""Which disks `county flash` offers: never one that the computer lives on. From what the systems printed."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from content_sync.errors import CardBusyError, ToolError
from county.flash.disks import (
    Card,
    LinuxDisks,
    MacDisks,
    WindowsDisks,
    disks_of_this_computer,
    mac_disk,
    windows_disks,
)

MOUNTS = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
35 22 8:17 / /media/li/BOOT\\040ONE rw,nosuid - vfat /dev/sdb1 rw
36 22 8:33 / /srv/backup rw - ext4 /dev/sdc1 rw
37 22 0:41 / /home rw - btrfs /dev/mapper/home rw
38 22 254:0 / /var rw - ext4 /dev/mapper/var rw
39 22 0:5 / /proc rw - proc proc rw
"""
SWAPS = "Filename\tType\tSize\tUsed\tPriority\n/dev/sdf1\tpartition\t1\t0\t-2\n"


def make_disk(
    sys: Path, name: str, at: str, size: int, removable: str = "0", kind: str = "", parts: Sequence[str] = ()
) -> Path:
    """A disk as /sys shows it: a link in block/ to where it hangs."""
    real = sys / "devices" / at / "block" / name
    (real / "device").mkdir(parents=True)
    (sys / "block").mkdir(exist_ok=True)
    (sys / "block" / name).symlink_to(real)
    facts = {"size": str(size // 512), "removable": removable, "ro": "0", "dev": "0:0"}
    facts |= {"device/vendor": "Generic ", "device/model": f"{name} reader"} | (
        {"device/type": kind} if kind else {}
    )
    for fact, text in facts.items():
        (real / fact).write_text(text + "\n")
    for number, dev in enumerate(parts, 1):
        part = real / f"{name}{number}"
        (part / "holders").mkdir(parents=True)
        (part / "partition").write_text(f"{number}\n")
        (part / "dev").write_text(dev + "\n")
    return real


@pytest.fixture
def linux(tmp_path: Path) -> tuple[Path, Path]:
    sys, proc = tmp_path / "sys", tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self/mountinfo").write_text(MOUNTS)
    (proc / "swaps").write_text(SWAPS)
    gb = 1 << 30
    make_disk(sys, "nvme0n1", "pci0/nvme", 512 * gb, parts=["259:1", "259:2"])
    make_disk(sys, "sda", "pci0/ata1", 2000 * gb)
    make_disk(sys, "sdb", "pci0/usb1/1-2", 32 * gb, "1", parts=["8:17"])
    make_disk(sys, "sdc", "pci0/usb1/1-3", 64 * gb, parts=["8:33"])
    make_disk(sys, "sdd", "pci0/usb1/1-4", 0, "1")
    locked = make_disk(sys, "mmcblk0", "platform/mmc_host/mmc0", 16 * gb, kind="SD")
    (locked / "ro").write_text("1\n")
    make_disk(sys, "mmcblk1", "platform/mmc_host/mmc1", 8 * gb, kind="MMC")
    make_disk(sys, "loop0", "virtual", gb, "1")
    crypted = make_disk(sys, "sde", "pci0/usb1/1-5", 64 * gb, "1", parts=["8:65"])
    holder = make_disk(sys, "dm-0", "virtual", 60 * gb)
    (holder / "dev").write_text("254:0\n")
    (crypted / "sde1/holders/dm-0").symlink_to(holder)
    make_disk(sys, "sdf", "pci0/usb1/1-6", 64 * gb, "1", parts=["8:81"])
    return sys, proc


def test_linux(linux: tuple[Path, Path]) -> None:
    ran: list[Sequence[str]] = []
    disks = LinuxDisks(*linux, run=lambda command: ran.append(command) or b"")
    cards = {card.path: card for card in disks.cards()}
    # not: fixed disks, eMMC, loops, empty readers, a backup at /srv, /var on LUKS of a USB disk, swap
    assert sorted(cards) == ["/dev/mmcblk0", "/dev/sdb"]
    assert cards["/dev/mmcblk0"].locked and not cards["/dev/sdb"].locked
    assert cards["/dev/sdb"] == Card(
        "/dev/sdb", "Generic sdb reader", 32 << 30, False, ("/media/li/BOOT ONE",)
    )
    disks.release(cards["/dev/sdb"])
    assert ran == [["umount", "/media/li/BOOT ONE"]]


def test_linux_mounted_and_busy(linux: tuple[Path, Path]) -> None:
    def refuse(command: Sequence[str]) -> bytes:
        raise ToolError("umount: target is busy")

    card = next(card for card in LinuxDisks(*linux).cards() if card.mounted)
    with pytest.raises(CardBusyError, match="busy"):
        LinuxDisks(*linux, run=refuse).release(card)


def test_this_machine_offers_nothing_it_lives_on() -> None:
    used = Path("/proc/self/mountinfo").read_text().split()
    for card in disks_of_this_computer("linux").cards():
        assert not any(word.startswith(card.path) for word in used)


WINDOWS = """\ufeff[{"Number":0,"FriendlyName":"SAMSUNG MZVL2512","Size":512110190592,"BusType":"NVMe",
"IsBoot":true,"IsSystem":true,"IsReadOnly":false},
{"Number":1,"FriendlyName":"WD Elements","Size":2000398934016,"BusType":"USB","IsBoot":false,"IsSystem":false,
"IsReadOnly":false},
{"Number":2,"FriendlyName":"Generic STORAGE DEVICE","Size":0,"BusType":"USB","IsBoot":false,"IsSystem":false,
"IsReadOnly":false},
{"Number":3,"FriendlyName":"清华紫光 SD","Size":31914983424,"BusType":12,"IsBoot":false,"IsSystem":false,
"IsReadOnly":true},
{"Number":4,"FriendlyName":"Windows To Go","Size":64000000000,"BusType":"USB","IsBoot":true,"IsSystem":true,
"IsReadOnly":false},
{"Number":5,"FriendlyName":"ST2000","Size":2000398934016,"BusType":"SATA","IsBoot":false,"IsSystem":false,
"IsReadOnly":false}]"""


def test_windows() -> None:
    assert windows_disks(WINDOWS.encode()) == [
        Card("\\\\.\\PhysicalDrive1", "WD Elements", 2000398934016),
        Card("\\\\.\\PhysicalDrive3", "清华紫光 SD", 31914983424, True),
    ]
    one = b'{"Number":7,"FriendlyName":null,"Size":8000000000,"BusType":"USB","IsBoot":false}\r\n'
    assert windows_disks(one) == [Card("\\\\.\\PhysicalDrive7", "USB", 8000000000)]
    assert windows_disks(b"") == []
    for broken in (b"Get-Disk : Access denied", b'[1,"x",null]', b'{"Number":"0","Size":1,"BusType":"USB"}'):
        try:
            assert windows_disks(broken) == []
        except ToolError as error:
            assert error.code == "E-TOOL"


def test_windows_lets_go() -> None:
    ran: list[Sequence[str]] = []
    WindowsDisks(lambda command: ran.append(command) or b"").release(Card("\\\\.\\PhysicalDrive3", "SD", 1))
    assert "Clear-Disk -Number 3 " in ran[0][-1]

    def refuse(command: Sequence[str]) -> bytes:
        raise ToolError("powershell: Access denied")

    with pytest.raises(CardBusyError):
        WindowsDisks(refuse).release(Card("\\\\.\\PhysicalDrive3", "SD", 1))


def info(**facts: object) -> bytes:
    return plistlib.dumps(
        {
            "DeviceIdentifier": "disk4",
            "MediaName": "SD Card Reader",
            "TotalSize": 31914983424,
            "Internal": True,
        }
        | {"RemovableMedia": True, "WritableMedia": True, "VirtualOrPhysical": "Physical", "WholeDisk": True}
        | facts
    )


def test_mac() -> None:
    said = {
        "list": plistlib.dumps({"WholeDisks": ["disk0", "disk4"], "AllDisks": ["disk0", "disk0s1", "disk4"]}),
        "disk0": info(DeviceIdentifier="disk0", MediaName="APPLE SSD", RemovableMedia=False),
        "disk4": info(),
    }
    ran: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> bytes:
        ran.append(command)
        return said.get(command[-1], said["list"])

    disks = MacDisks(run)
    assert disks.cards() == [Card("/dev/rdisk4", "SD Card Reader", 31914983424)]
    disks.release(disks.cards()[0])
    assert ran[-1] == ["diskutil", "unmountDisk", "/dev/disk4"]
    assert mac_disk(info(Internal=False, RemovableMedia=False)) is not None
    assert mac_disk(info(WritableMedia=False)) == Card("/dev/rdisk4", "SD Card Reader", 31914983424, True)
    for other in (
        {"SystemImage": True},
        {"VirtualOrPhysical": "Virtual"},
        {"TotalSize": 0},
        {"WholeDisk": False},
    ):
        assert mac_disk(info(**other)) is None
    with pytest.raises(ToolError):
        mac_disk(b"Could not find disk: disk9")
