"""The root helper: what it does for whom, what it refuses; and those who ask it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance import helper
from appliance.disks import Disk
from appliance.health.mending import LONG_UP, mend
from appliance.helped import ClockSetter, Helper
from content_sync.core.timefloor import DOUBT, SLACK, TimeFloor
from content_sync.errors import BusyError, ClockError, FormatError, NotFoundError, StorageError
from content_sync.testing.fakes import ManualClock

NOW, STICK = 1_790_000_000, "/media/lessonbox/课"


@dataclass
class Mounted:
    """A machine with one stick; what it was asked to run, which time was set."""

    data: Path
    kind: str = "ext4"
    label: str = "课"
    mounts: dict[str, str] = field(default_factory=lambda: {STICK: "/dev/sda1"})
    disks: list[dict[str, object]] = field(default_factory=list)
    usb: list[Disk] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)

    def run(self, command: Sequence[str]) -> str:
        if command[-1] == "NAME,MOUNTPOINTS":
            return json.dumps({"blockdevices": self.disks})
        if command[0] == "lsblk":
            return json.dumps({"blockdevices": [{"fstype": self.kind, "label": self.label}]})
        self.ran.append(" ".join(command))
        return ""

    def ask(self, line: bytes) -> str:
        return helper.obey(line, self.machine)

    @property
    def machine(self) -> helper.Machine:
        return helper.Machine(
            self.run, self.times.append, self.clock, self.data, lambda: self.mounts, lambda: self.usb
        )

    def tell(self, **changed: object) -> None:
        said = {
            "format": helper.CLOCK_FORMAT,
            "boot": self.clock.boot_id(),
            "at": 0,
            "unix": NOW,
            "floor": NOW,
        }
        (self.data / "clock.json").write_text(json.dumps(said | changed))


@pytest.fixture
def box(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path)


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("hotspot-on", "start lessonbox-hotspot.service"),
        ("hotspot-off", "stop lessonbox-hotspot.service"),
        ("network", "restart lessonbox-network.service"),
    ],
)
def test_the_network_is_one_of_three_fixed_words(tmp_path: Path, verb: str, told: str) -> None:
    box = Mounted(tmp_path)
    assert box.ask(f"{verb} anything at all".encode()) == "ok"
    assert box.ran == [f"systemctl --no-block {told}"]


def test_its_verbs_are_these_and_no_more(box: Mounted) -> None:
    assert box.ask(b"reboot\n") == box.ask(b"poweroff\n") == box.ask(b"restart\n") == "ok"
    assert [line.split()[:3] for line in box.ran] == [
        ["systemctl", "--no-block", verb] for verb in ("reboot", "poweroff", "restart")
    ]
    for line in (b"", b"\n", b"REBOOT\n", b"sh -c id\n", b"\xff\n", b"restart-all\n", b"x" * 4096):
        assert box.ask(line).startswith("E-FORMAT")
    assert len(box.ran) == 3


def test_what_gave_up_is_started_with_its_port(box: Mounted) -> None:
    assert box.ask(b"revive\n") == box.ask(b"diagnose\n") == "ok"
    forget, start, doctor = (line.split() for line in box.ran)
    assert forget == ["systemctl", "reset-failed", "lessonbox-*"]
    assert start[:3] == ["systemctl", "--no-block", "start"]
    assert set(start[3:]) == {"lessonbox-web.socket", *helper.PROGRAMS}
    assert doctor == ["systemctl", "start", "lessonbox-doctor.service"]


@pytest.mark.parametrize("name", ["", "..", "../etc", "/etc", "课/x", "另一个", "课\0", "课 "])
def test_only_a_stick_that_is_mounted_is_let_go(box: Mounted, name: str) -> None:
    for verb in ("unmount", "writable", "readonly"):
        assert box.ask(f"{verb} {name}\n".encode()).startswith("E-NOT-FOUND")
    assert not box.ran
    assert box.ask("unmount 课\n".encode()) == "ok" and box.ran == [f"systemd-mount --umount {STICK}"]


def test_a_stick_is_mounted_anew_to_be_written(box: Mounted) -> None:
    assert box.ask("writable 课\n".encode()) == "ok"
    assert box.ran[0] == f"systemd-mount --umount {STICK}"
    assert "--type=ext4 --options=rw,nosuid,nodev,noexec /dev/sda1 " + STICK in box.ran[1]
    assert box.ask("readonly 课\n".encode()) == "ok" and "--options=ro,nosuid" in box.ran[3]
    box.mounts[STICK] = "tmpfs"  # mounted by somebody else
    assert box.ask("writable 课\n".encode()).startswith("E-NOT-FOUND")


def test_a_stick_gets_a_name_of_its_own(box: Mounted) -> None:
    assert helper.plugged("sda1", box.machine) == "课", "it is mounted already"
    assert not box.ran
    assert helper.plugged("sdb1", box.machine) == "课-2"
    assert box.ran[0].endswith("/dev/sdb1 /media/lessonbox/课-2") and "--options=ro," in box.ran[0]
    box.label = ""
    assert helper.plugged("sdc", box.machine) == "sdc"
    for name in ("", "../sda", "sda1 -o suid", "SDA", "sda1\n", "-rf"):
        with pytest.raises(FormatError):
            helper.plugged(name, box.machine)
    box.kind = "zfs_member"
    with pytest.raises(StorageError):
        helper.plugged("sdd1", box.machine)


def test_a_disk_that_the_machine_uses_is_no_stick(box: Mounted) -> None:
    """A box that was started from USB: none of its own partitions is offered as a stick."""
    root, spare, boot = (
        {"name": name, "mountpoints": [place]}
        for name, place in (("sda2", "/"), ("sda3", None), ("sda1", "/boot/firmware"))
    )
    stick = {"name": "sdb", "mountpoints": [None], "children": [{"name": "sdb1", "mountpoints": [STICK]}]}
    box.disks = [{"name": "sda", "mountpoints": [None], "children": [boot, root, spare]}, stick]
    box.mounts = {STICK: "/dev/sdb1"}
    for name in ("sda", "sda1", "sda3"):
        with pytest.raises(NotFoundError):
            helper.plugged(name, box.machine)
    assert not box.ran
    assert helper.plugged("sdb1", box.machine) == "课", "as it is mounted already"
    assert helper.plugged("sdc1", box.machine) == "课-2"


def test_a_disk_is_made_only_where_it_is_the_very_one(box: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed: list[str] = []
    monkeypatch.setattr(helper, "_claim", claimed.append)
    monkeypatch.setattr(helper, "can_move", lambda: True)
    box.usb = [Disk("sda", 7, "Ultra", 256 * 10**9), Disk("sdb", 8, "Own", 64 * 10**9, ready=True)]
    for name in ("", "sda", "sda-6", "sdb-8", "sda-7 x", "../sda-7", "sdaa-7"):
        assert box.ask(f"make-disk {name}\n".encode()).startswith("E-NOT-FOUND"), name
        with pytest.raises(NotFoundError):
            helper.format_disk(name, box.machine)
    assert not box.ran
    assert box.ask(b"make-disk sda-7\n") == "ok"
    assert box.ran == [f"systemd-mount --umount {STICK}", "systemctl start lessonbox-disk@sda-7.service"]
    made = Disk("sda", 7, "Ultra", 256 * 10**9, ready=True)
    monkeypatch.setattr(helper.time, "sleep", lambda seconds: box.usb.__setitem__(0, made))  # udev has looked
    helper.format_disk("sda-7", box.machine)
    assert box.usb[0].ready, "it waited for that"
    assert claimed == ["/dev/sda"]
    assert box.ran[2].startswith("wipefs --all") and box.ran[3].startswith("mkfs.ext4 ")
    assert box.ran[2].endswith(" /dev/sda") and box.ran[3].endswith(" -L lessonbox-disk /dev/sda")


def test_no_disk_is_made_where_none_is_moved_to_or_while_it_is_in_use(
    box: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.usb = [Disk("sda", 7, "Ultra", 256 * 10**9)]
    assert box.ask(b"make-disk sda-7\n").startswith("E-NOT-FOUND"), "a Debian box"
    monkeypatch.setattr(helper, "can_move", lambda: True)
    box.usb = [Disk(".", 7, "Ultra", 256 * 10**9)]
    with pytest.raises(StorageError):
        helper.format_disk(".-7", box.machine)  # a folder can't be claimed either
    assert not box.ran


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("U 盘", "U 盘"),
        ("../..", ""),
        ("a/b", "a_b"),
        ("\n\x1b[1m", "1m"),
        ("x" * 90, "x" * 40),
        ("\ud800", ""),
    ],
)
def test_a_label_cannot_lead_elsewhere(label: str, name: str) -> None:
    assert helper.safe_name(label).lstrip("_[") == name


def test_the_clock_is_set_by_rule(box: Mounted) -> None:
    assert box.ask(b"set-clock\n").startswith("E-NOT-FOUND"), "nobody has told the time"
    box.clock.go(100)
    box.tell(unix=NOW + 5)
    assert box.ask(b"set-clock\n") == "ok" and box.times == [NOW + 105]
    for wrong in (
        {"unix": NOW - SLACK - 200},
        {"unix": NOW + DOUBT + 200},
        {"boot": "another"},
        {"at": 10_000},
        {"at": -1},
        {"floor": None},
        {"floor": True},
        {"unix": 1e9},
        {"unix": 0, "floor": 0},
        {"format": "lessonbox-clock/9"},
    ):
        box.tell(**wrong)
        assert box.ask(b"set-clock\n").startswith("E-"), wrong
    true = box.data / "true.json"
    box.tell()
    (box.data / "clock.json").rename(true)
    (box.data / "clock.json").symlink_to(true)
    assert box.ask(b"set-clock\n").startswith("E-STORAGE"), "not through a link"
    (box.data / "clock.json").unlink()
    os.mkfifo(box.data / "clock.json")
    assert box.ask(b"set-clock\n").startswith("E-STORAGE"), "nor from a pipe"
    assert box.times == [NOW + 105]


def test_a_clock_that_ntp_keeps_is_left_alone(box: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    box.tell()
    monkeypatch.setattr(box.clock, "source", lambda: "ntp")
    assert box.ask(b"set-clock\n") == "ok" and not box.times


@dataclass
class Door:
    """A socket that answers as the helper would; `asked`: what came."""

    path: Path
    answer: bytes = b"ok\n"
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path / "helper.sock")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(made.path))
    listening.listen()

    def serve() -> None:
        while True:
            try:
                one, _ = listening.accept()
            except OSError:
                return
            with one:
                made.asked.append(one.makefile("rb").readline().decode().strip())
                one.sendall(made.answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield made
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)


def test_asking(door: Door, tmp_path: Path) -> None:
    helper_there = Helper(door.path)
    assert helper_there.there() and not Helper(tmp_path / "none").there()
    helper_there.ask("unmount", "课")
    assert door.asked == ["unmount 课"]
    door.answer = b"E-STORAGE target is busy\n"
    with pytest.raises(StorageError, match="target is busy"):
        helper_there.ask("reboot")
    door.answer = b""
    with pytest.raises(StorageError, match="without a word"):
        helper_there.ask("reboot")
    with pytest.raises(BusyError):
        Helper(tmp_path / "none").ask("reboot")


def test_the_agent_has_a_wrong_clock_set_and_no_right_one(door: Door, tmp_path: Path) -> None:
    clock, floor = ManualClock(), TimeFloor(NOW)
    setter = ClockSetter(tmp_path, clock, Helper(door.path))
    wall = int(clock.wall())
    assert not setter.look(wall + 20, 5, floor), "near enough"
    assert not setter.look(wall + 9_000, 5, TimeFloor()), "the county has signed nothing yet"
    assert setter.look(wall + 9_000, 5, floor) and door.asked == ["set-clock"]
    said = json.loads((tmp_path / "clock.json").read_bytes())
    assert said["unix"] == wall + 9_000 and said["floor"] == NOW and said["boot"] == clock.boot_id()
    assert not setter.look(wall + 9_000, 5, floor), "not again at once"
    clock.go(601)
    door.answer = b"E-CLOCK the clock can't be set\n"
    with pytest.raises(ClockError):
        setter.look(wall + 9_999, 5, floor)


def test_the_doctor_mends_what_is_safe_and_not_again_and_again(door: Door, tmp_path: Path) -> None:
    there = Helper(door.path)
    assert mend(["revive", "revive"], 60.0, 3, there) == ["revive"] == door.asked
    assert mend(["reboot"], LONG_UP - 1, 0, there) == [], "it was started not long ago"
    assert mend(["reboot"], LONG_UP, 1, there) == [], "a board is served"
    assert mend(["reboot", "revive"], LONG_UP, 0, there) == ["reboot", "revive"]
    door.answer = b"E-STORAGE no\n"
    assert mend(["revive"], 60.0, 0, there) == [], "refused: the next look asks again"
    assert mend(["revive"], 60.0, 0, Helper(tmp_path / "none")) == []


def test_a_folder_that_the_helper_did_not_mount_is_written_without_it(door: Door, tmp_path: Path) -> None:
    with Helper(door.path).writable(tmp_path):
        pass
    assert not door.asked


def test_who_asks_for_a_restart_is_answered_though_the_helper_is_told_to_end(tmp_path: Path) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\nkill -TERM $PPID\n")
    systemctl.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "appliance.helper"],
        input="reboot\n",
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n")


def test_a_command_that_goes_down_with_the_system_has_done_its_work() -> None:
    """`systemctl reboot` may be ended by the shutdown that it asked for."""
    assert helper.run_command(["sh", "-c", "echo asked; kill -TERM $$"]) == "asked\n"
    for ended in ("kill -KILL $$", "exit 3"):
        with pytest.raises(StorageError):
            helper.run_command(["sh", "-c", ended])
