"""Which disks could take the lessons: read from a made-up /sys, /run/udev and /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance import disks
from appliance.disks import LEAST, usb_disks

GB = 10**9


class Sys:
    """A machine with disks."""

    def __init__(self, root: Path) -> None:
        self.root, self.count = root, 0
        (root / "sys/block").mkdir(parents=True)
        (root / "run/udev/data").mkdir(parents=True)
        (root / "proc/self").mkdir(parents=True)
        self.mounts: list[str] = []

    def disk(
        self, name: str, size: int, *labels: str, bus: str = "usb2/2-1", read_only: bool = False
    ) -> None:
        """A disk with a partition for each label; without one a disk with nothing on it."""
        self.count += 1
        place = self.root / "sys/devices" / bus / name
        (place / "device").mkdir(parents=True)
        (self.root / "sys/block" / name).symlink_to(place)
        self.write(place, dev=f"8:{16 * self.count}", size=size // 512, ro=int(read_only), diskseq=self.count)
        self.write(place / "device", vendor="SanDisk ", model="Ultra\n")
        for number, label in enumerate(labels, 1):
            dev = f"8:{16 * self.count + number}"
            self.write(place / f"{name}{number}", dev=dev, partition=number)
            said = f"S:disk/x\nE:ID_FS_TYPE=ntfs\nE:ID_FS_LABEL_ENC={label}\n"
            (self.root / "run/udev/data" / f"b{dev}").write_text(said)

    def mount(self, dev: str, place: str) -> None:
        self.mounts.append(f"30 1 {dev} / {place} rw - ext4 /dev/x rw")
        (self.root / "proc/self/mountinfo").write_text("\n".join(self.mounts))

    def write(self, place: Path, **files: object) -> None:
        place.mkdir(exist_ok=True)
        for name, value in files.items():
            (place / name).write_text(f"{value}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Sys:
    return Sys(tmp_path)


def test_a_usb_disk_is_told_with_what_is_on_it(machine: Sys) -> None:
    machine.disk("sda", 256_060_514_304, r"\xe7\x85\xa7\xe7\x89\x87\x20\x3cb>", "")
    machine.disk("sdb", 64 * GB)
    first, second = usb_disks(machine.root)
    assert first.model == "SanDisk Ultra" and first.holds == ("照片 <b>", "ntfs") and first.used is None
    assert (first.token, first.number, first.ready) == ("sda-1", "256", False)
    assert second.holds == () and second.token == "sdb-2"


def test_what_is_nobodys_to_erase_is_not_among_them(machine: Sys) -> None:
    machine.disk("nvme0n1", 500 * GB, bus="pci0000:00/0000:00:1c.0")
    machine.disk("sda", LEAST - 512)
    machine.disk("sdb", 64 * GB, "lessonbox-data")
    machine.disk("sdc", 64 * GB, read_only=True)
    machine.disk("sdd", 64 * GB, "", "")
    machine.mount("8:82", "/")
    machine.disk("sde", 64 * GB, "lessonbox-disk")
    machine.mount("8:97", "/var/lib/lessonbox")
    machine.disk("sdf", 64 * GB, "")
    (machine.root / "sys/devices/usb2/2-1/sdf/sdf1/holders/dm-0").mkdir(parents=True)
    assert usb_disks(machine.root) == []


def test_a_stick_that_is_mounted_for_reading_can_be_made_one(
    machine: Sys, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(disks.os, "statvfs", lambda place: asked.append(place) or os.statvfs_result([1] * 10))
    machine.disk("sda", 64 * GB, "U盘")
    machine.mount("8:17", r"/media/lessonbox/U\040盘")
    machine.disk("sdb", 64 * GB, "lessonbox-disk")
    found = {disk.name: disk for disk in usb_disks(machine.root)}
    assert asked == ["/media/lessonbox/U 盘"] and found["sda"].used == 0
    assert not found["sda"].ready and found["sdb"].ready


def test_a_disk_that_goes_meanwhile_is_passed_over(machine: Sys) -> None:
    machine.disk("sda", 64 * GB)
    (machine.root / "sys/devices/usb2/2-1/sda/diskseq").unlink()
    assert usb_disks(machine.root) == []
