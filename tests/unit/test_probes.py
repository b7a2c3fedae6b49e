"""What the doctor understands of the machine: recorded outputs, and nonsense, which must be no finding."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from appliance.health import machine as machines
from appliance.health import probes
from appliance.health.faults import FIXES, NUMBERS, fault_of, heard, spoken, urgency
from appliance.health.machine import Machine
from appliance.health.probes import Found
from appliance.web import troubles
from content_sync.errors import all_errors

ATA = {
    "smart_status": {"passed": True},
    "ata_smart_attributes": {
        "table": [
            {"id": 5, "name": "Reallocated_Sector_Ct", "raw": {"value": 0, "string": "0"}},
            {"id": 194, "name": "Temperature_Celsius", "raw": {"value": 60129542183, "string": "39"}},
            {"id": 197, "name": "Current_Pending_Sector", "raw": {"value": 0, "string": "0"}},
            {"id": 198, "name": "Offline_Uncorrectable", "raw": {"value": 0, "string": "0"}},
        ]
    },
}
NVME = {
    "smart_status": {"passed": True, "nvme": {"value": 0}},
    "nvme_smart_health_information_log": {
        "critical_warning": 0,
        "temperature": 41,
        "available_spare": 100,
        "percentage_used": 3,
        "media_errors": 0,
    },
}
UNITS = """Id=lessonbox-web.service
NRestarts=0
ActiveState=active

Id=lessonbox-sync.service
NRestarts=7
ActiveState=active

Id=lessonbox-agent.service
NRestarts=20
ActiveState=failed
"""
KERNEL = """mmc0: new high speed SDHC card at address aaaa
EXT4-fs (mmcblk0p2): mounted filesystem with ordered data mode
hwmon hwmon1: Undervoltage detected!
mmc0: Timeout waiting for hardware interrupt.
mmcblk0: error -110 transferring data, sector 1214, nr 8
blk_update_request: I/O error, dev mmcblk0, sector 1214
I/O error, dev mmcblk0, sector 1222 op 0x0:(READ) flags 0x80700
EXT4-fs error (device mmcblk0p3): ext4_find_entry:1446: inode #2: comm sync: reading directory lblock 0
EXT4-fs (mmcblk0p3): Remounting filesystem read-only
"""
MOUNTS = """sysfs /sys sysfs rw,nosuid 0 0
/dev/mmcblk0p2 / ext4 ro,noatime 0 0
/dev/mmcblk0p4 /var/lib ext4 rw,noatime 0 0
/dev/mmcblk0p4 /var/lib/lesson\\040box ext4 ro,noatime 0 0
"""
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0050 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:0050 0100007F:9C42 06 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
   3: 0100007F:9C40 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0 100 0 0 10 0
   4: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000100007F:A000 01 0:0 00:0 0 0 0 5 1 0
"""
NONSENSE = (
    "",
    "\0",
    "[]",
    "null",
    '{"smart_status": 3}',
    "0x",
    "throttled=",
    "=\n=\n\n=",
    "a b",
    "99999999999999",
    "-1",
    '{"ata_smart_attributes": {"table": [7, {"id": "5", "raw": 9}]}}',
    "[" * 5000,
    "\n" * 50,
)


def with_raw(number: int, value: int) -> str:
    """The ATA disk with one other attribute."""
    told = json.loads(json.dumps(ATA))
    for row in told["ata_smart_attributes"]["table"]:
        if row["id"] == number:
            row["raw"]["value"] = value
    return json.dumps(told)


def codes(found: Sequence[Found]) -> list[str]:
    return [one.code for one in found]


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        (json.dumps(ATA), ""),
        (json.dumps(NVME), ""),
        (with_raw(5, 9), ""),
        (with_raw(5, 10), "10 sectors reallocated"),
        (with_raw(197, 1), "1 sectors pending"),
        (json.dumps({**ATA, "smart_status": {"passed": False}}), "fails"),
        (json.dumps({"nvme_smart_health_information_log": {"critical_warning": 4}}), "0x4"),
        (json.dumps({"nvme_smart_health_information_log": {"percentage_used": 103}}), "103%"),
        (json.dumps({"smartctl": {"exit_status": 2}}), ""),
    ],
)
def test_a_disk_that_dies_is_named(text: str, bad: str) -> None:
    found = probes.smart("sda", text)
    assert codes(found) == (["E-DISK-FAILING"] if bad else [])
    assert not bad or bad in found[0].english and found[0].message.endswith("）")


@pytest.mark.parametrize(
    ("life", "end", "bad"),
    [
        ("0x01 0x02\n", "0x01\n", False),
        ("0x0a 0x01\n", "0x01\n", True),
        ("0x0b 0x0b", "0x00", True),
        ("0x01 0x01", "0x03\n", True),
        ("", "", False),
        ("0x00 0x00", "0x00", False),
    ],
)
def test_an_emmc_says_how_old_it_is(life: str, end: str, bad: bool) -> None:
    assert codes(probes.emmc("mmcblk0", life, end)) == (["E-DISK-FAILING"] if bad else [])


def test_the_kernels_log_tells_of_card_files_and_power() -> None:
    assert codes(probes.kernel_log(KERNEL)) == ["E-DISK-FAILING", "E-READ-ONLY", "E-POWER"]
    one = "usb 1-1: USB disconnect\nI/O error, dev sda, sector 8\n"  # a stick that was pulled out
    assert probes.kernel_log(one) == []
    assert (
        probes.kernel_log("I/O error, dev loop0, sector 1\n" * 9 + "mmc0: new ultra high speed card\n") == []
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("throttled=0x0\n", ""),
        ("throttled=0x50005\n", "E-POWER"),
        ("throttled=0x50000", "E-POWER"),
        ("80008", "E-HEAT"),
        ("throttled=0x4", "E-HEAT"),
        ("throttled=0x20000", ""),
    ],
)
def test_throttling_is_told_apart(text: str, code: str) -> None:
    assert codes(probes.throttled(text)) == ([code] if code else [])


def test_heat_undervoltage_links_and_counters() -> None:
    assert probes.heat([40, 74.9, -3, 4000]) == [] and codes(probes.heat([40, 75])) == ["E-HEAT"]
    assert probes.heat([76])[0].chinese != probes.heat([83])[0].chinese
    assert probes.undervoltage("0\n") == [] and codes(probes.undervoltage("1\n")) == ["E-POWER"]
    assert probes.links({"eth0": "0\n", "wlan0": "1\n"}) == []
    assert codes(probes.links({"eth0": "0\n", "wlan0": ""})) == ["E-LINK"] == codes(probes.links({}))
    assert probes.ext4_errors("sda1", "0\n") == []
    assert codes(probes.ext4_errors("sda1", "3\n")) == ["E-READ-ONLY"]


def test_the_file_system_that_counts_is_the_one_that_holds_the_data() -> None:
    assert probes.mounts(MOUNTS, "/var/lib/lessonbox") == []
    assert codes(probes.mounts(MOUNTS, "/var/lib/lesson box/data")) == ["E-READ-ONLY"]
    assert codes(probes.mounts(MOUNTS, "/srv")) == ["E-READ-ONLY"]
    assert probes.mounts("/dev/sda1 / ext4 rw,errors=remount-ro 0 0\n", "/var") == []
    (found,) = probes.mounts("/dev/sda1 / ext4 rw,errors=remount-ro,emergency_ro 0 0\n", "/var")  # Linux 6.15
    assert (found.code, found.mend) == ("E-READ-ONLY", "reboot")


def test_programs_that_keep_ending_are_named() -> None:
    assert [one.subject for one in probes.units(UNITS)] == ["lessonbox-sync", "lessonbox-agent"]
    assert codes(probes.units(UNITS)) == ["E-FLAPPING"] * 2
    assert [one.mend for one in probes.units(UNITS)] == ["", "revive"], "what runs is let alone"


def test_boards_are_counted_by_their_connections() -> None:
    assert probes.connections(TCP, (80, 81)) == 2 and probes.connections(TCP, (81,)) == 0


def test_a_receiver_is_silent_only_where_it_was_heard_and_the_time_is_known() -> None:
    day = 86400
    assert probes.silence(None, 90 * day) == [] == probes.silence(80 * day, None)
    assert probes.silence(88 * day, 90 * day) == [] and codes(probes.silence(87 * day, 90 * day)) == [
        "E-SILENT"
    ]
    assert probes.silence(95 * day, 90 * day) == []


@pytest.mark.parametrize("text", NONSENSE)
@pytest.mark.parametrize(
    "probe",
    [
        lambda t: probes.smart("sda", t),
        lambda t: probes.emmc("m", t, t),
        probes.kernel_log,
        probes.throttled,
        probes.undervoltage,
        lambda t: probes.mounts(t, "/var"),
        lambda t: probes.ext4_errors("a", t[:1] and "x" + t),
        probes.units,
        lambda t: [None] * probes.connections(t, (80,)),
    ],
)
def test_nonsense_is_no_finding(probe: Callable[[str], list[Found]], text: str) -> None:
    assert probe(text) == []


def lay(root: Path, files: dict[str, str]) -> None:
    """Files below a folder that stands for /."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_the_reader_finds_each_thing_where_kernels_have_it(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "sys/block/mmcblk0/device/life_time": "0x0b 0x01\n",
            "sys/block/mmcblk0/device/pre_eol_info": "0x01\n",
            "sys/block/sda/size": "1",
            "sys/block/loop0/size": "1",
            "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
            "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
            "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n",
            "sys/class/thermal/thermal_zone0/temp": "83250\n",
            "sys/class/net/eth0/device/uevent": "",
            "sys/class/net/eth0/carrier": "0\n",
            "sys/class/net/lo/carrier": "1\n",
            "sys/fs/ext4/mmcblk0p4/errors_count": "2\n",
            "proc/self/mounts": MOUNTS,
        },
    )
    asked: list[str] = []

    def tool(command: Sequence[str]) -> str:
        asked.append(" ".join(command))
        return {"smartctl": with_raw(197, 8), "systemctl": UNITS, "journalctl": KERNEL}.get(command[0], "")

    machine = Machine(tmp_path, tool)
    assert [one.subject for one in machines.disks(machine)] == ["mmcblk0", "sda"]
    assert codes(machines.filesystems(machine, Path("/srv"))) == ["E-READ-ONLY"] * 2
    assert codes(machines.power(machine)) == ["E-POWER"] and codes(machines.heat(machine)) == ["E-HEAT"]
    assert codes(machines.links(machine)) == ["E-LINK"] and len(machines.units(machine)) == 2
    assert len(machines.log(machine)) == 3
    assert sum("smartctl" in command for command in asked) == 1


def test_a_machine_that_tells_nothing_is_well(tmp_path: Path) -> None:
    machine = Machine(tmp_path, lambda command: "")
    looks = (machines.disks, machines.log, machines.power, machines.heat, machines.units)
    assert [look(machine) for look in looks] == [[]] * 5


def test_a_tool_that_hangs_or_is_not_there_says_nothing() -> None:
    assert machines.run_tool(["no-such-tool-here"]) == "" and machines.run_tool(["echo", "yes"]) == "yes\n"


def test_every_code_has_a_number_and_only_one() -> None:
    known = {cls.code for cls in all_errors()}
    assert known == set(NUMBERS), f"give a number in appliance/health/faults.py: {known ^ set(NUMBERS)}"
    assert len(set(NUMBERS.values())) == len(NUMBERS) and all(100 < n < 999 for n in NUMBERS.values())
    assert set(FIXES) <= known


def test_a_number_that_was_misheard_is_noticed() -> None:
    for code, number in NUMBERS.items():
        digits = spoken(number).replace("-", "")
        assert heard(fault_of(code)) == code == heard(f" {digits[0]} {digits[1:]}")
        for place in range(4):
            for digit in "0123456789":
                wrong = digits[:place] + digit + digits[place + 1 :]
                assert wrong == digits or heard(wrong) is None
        for place in range(3):
            swapped = digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :]
            assert swapped == digits or heard(swapped) is None
    assert heard("１０１－0".replace("0", spoken(101)[-1])) in (None, "E-LINK")
    assert heard("") is None and heard("E-LINK") is None and heard("12345") is None


def test_what_hurts_most_is_said_first_and_has_words_of_its_own() -> None:
    ordered = sorted(["E-NETWORK", "E-LINK", "E-READ-ONLY", "E-DISK-FAILING"], key=urgency)
    assert ordered == ["E-READ-ONLY", "E-DISK-FAILING", "E-LINK", "E-NETWORK"]
    mine = (
        "E-POWER",
        "E-HEAT",
        "E-READ-ONLY",
        "E-LINK",
        "E-DNS",
        "E-SILENT",
        "E-FLAPPING",
        "E-CONFIG",
        "E-UNENROLLED",
    )
    assert len({troubles.advice(code) for code in mine}) == len(mine)
