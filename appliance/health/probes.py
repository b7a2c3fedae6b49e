"""What the machine says of itself, read: pure functions over text that a reader (machine.py) brings.

Each gives findings; nothing found is an empty list. Text that is no such text is no finding: a tool that
changed its words must not cry wolf in two thousand schools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

HOT, VERY_HOT = 75, 82  # °C; a Pi slows down at 80, and at 85 for good
MANY_RESTARTS = 5  # of one unit since the machine started
SILENT_DAYS = 3
_SECTORS = {5: "reallocated", 197: "pending", 198: "uncorrectable"}  # ATA attributes
_MANY_SECTORS = 10
_WORN = 95  # % of what an NVMe's maker promises
#: Bits of vcgencmd get_throttled: what is so now, and the same since the start, 16 higher.
_UNDERVOLTAGE, _SLOWED, _HOT_LIMIT = 0x1, 0x6, 0x8
_CARD_ERROR = re.compile(
    r"mmc\d+: .*\b(?:error|timeout|timed out)\b|mmcblk\d\S*: (?:error|.*recovery failed)|"
    r"(?:I/O|critical medium) error, dev (?!loop|sr|fd|zram|dm-)\w+|\bata\d+.*\bexception\b",
    re.IGNORECASE,
)
_FS_ERROR = re.compile(r"EXT4-fs (?:error|\(.*\): .*aborted)|Remounting filesystem read-only", re.IGNORECASE)
_POWER = re.compile(r"Under-?voltage detected", re.IGNORECASE)
_FEW_CARD_ERRORS = 3  # a plug that was pulled leaves one or two


class Found(NamedTuple):
    """One thing that is wrong: its code, what it is about, a sentence in Chinese and what was seen, in
    English."""

    code: str
    subject: str
    chinese: str
    english: str
    #: What the helper may do about it unasked (mending.py); empty: nothing.
    mend: str = ""

    @property
    def message(self) -> str:
        """As problems are written everywhere: `中文（what happened）`."""
        return f"{self.chinese}（{self.english}）"


def _dying(device: str, seen: str) -> list[Found]:
    return [Found("E-DISK-FAILING", device, f"{device} 快要坏了，上面的课要尽快换地方", f"{device}: {seen}")]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def smart(device: str, text: str) -> list[Found]:
    """`smartctl --json --health --attributes` of a disk, ATA or NVMe."""
    try:
        told = _object(json.loads(text))
    except (ValueError, RecursionError):
        return []
    if _object(told.get("smart_status")).get("passed") is False:
        return _dying(device, "SMART says that it fails")
    bad = []
    table = _object(told.get("ata_smart_attributes")).get("table")
    for row in table if isinstance(table, list) else ():
        name = _SECTORS.get(_number(_object(row).get("id")))
        count = _number(_object(_object(row).get("raw")).get("value"))
        if name and count >= (_MANY_SECTORS if name == "reallocated" else 1):
            bad.append(f"{count} sectors {name}")
    nvme = _object(told.get("nvme_smart_health_information_log"))
    if _number(nvme.get("critical_warning")):
        bad.append(f"critical warning {_number(nvme.get('critical_warning')):#x}")
    if _number(nvme.get("media_errors")):
        bad.append(f"{_number(nvme.get('media_errors'))} media errors")
    if _number(nvme.get("percentage_used")) >= _WORN:
        bad.append(f"{_number(nvme.get('percentage_used'))}% worn")
    return _dying(device, ", ".join(bad)) if bad else []


def emmc(device: str, life_time: str, pre_eol: str) -> list[Found]:
    """`life_time` (two hex numbers, tenths of the life that is used; 0x0b: beyond it) and `pre_eol_info`
    (2: 80 % of the spare blocks are used, 3: 90 %) of an eMMC; an SD card has neither."""
    used = [int(word, 16) for word in re.findall(r"\b0x[0-9a-fA-F]{1,4}\b", life_time)]
    spare = re.fullmatch(r"\s*0x([0-9a-fA-F]{1,4})\s*", pre_eol)
    if spare and int(spare[1], 16) in (2, 3):
        return _dying(device, f"spare blocks nearly used up (pre_eol_info {int(spare[1], 16)})")
    if used and max(used) >= 10:
        return _dying(device, f"{'all' if max(used) > 10 else '90%'} of its life is used")
    return []


def kernel_log(text: str) -> list[Found]:
    """The kernel's own log of this start: card and disk errors, file systems, undervoltage."""
    lines = text.splitlines()
    found = []
    card = [line.strip() for line in lines if _CARD_ERROR.search(line)]
    if len(card) >= _FEW_CARD_ERRORS:
        found += _dying("disk", f"{len(card)} errors in the kernel's log, last: {card[-1][-120:]}")
    broken = [line.strip() for line in lines if _FS_ERROR.search(line)]
    if broken:
        found.append(_spoilt("disk", broken[-1][-120:]))
    power = sum(bool(_POWER.search(line)) for line in lines)
    if power:
        found.append(_weak(f"undervoltage {power} times since the start"))
    return found


def _weak(seen: str) -> Found:
    return Found("E-POWER", "power", "电源供电不够", seen)


def _spoilt(device: str, seen: str) -> Found:
    return Found("E-READ-ONLY", device, f"{device} 的文件系统出了错", f"{device}: {seen}")


def throttled(text: str) -> list[Found]:
    """`vcgencmd get_throttled`, or the firmware's own file in sysfs: a hex number of bits."""
    told = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})\s*", text)
    bits = int(told[1], 16) if told else 0
    both = bits | bits >> 16
    found = []
    if both & _UNDERVOLTAGE:
        found.append(
            _weak(f"undervoltage {'now' if bits & _UNDERVOLTAGE else 'since the start'} ({bits:#x})")
        )
    elif bits & _SLOWED or both & _HOT_LIMIT:
        found.append(Found("E-HEAT", "processor", "课箱太热，自己放慢了", f"throttled ({bits:#x})"))
    return found


def undervoltage(alarm: str) -> list[Found]:
    """`in0_lcrit_alarm` of the hwmon that is called rpi_volt."""
    return [_weak("undervoltage (rpi_volt)")] if alarm.strip() == "1" else []


def heat(celsius: Iterable[float]) -> list[Found]:
    """What the machine's sensors say."""
    most = max((value for value in celsius if 0 < value < 150), default=0)
    if most < HOT:
        return []
    words = "课箱非常热，会自己放慢或者关机" if most >= VERY_HOT else "课箱有点热"
    return [Found("E-HEAT", "processor", words, f"{most:.0f} °C")]


def mounts(text: str, wanted: str) -> list[Found]:
    """/proc/mounts: whether the file system that holds the folder `wanted` can only be read."""
    best: tuple[int, str, str] = (-1, "", "")
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        place = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[1])
        inside = place == "/" or wanted == place or wanted.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= best[0]:  # a later mount on the same place lies above
            best = (len(place), place, fields[3])
    # Linux 6.15 and later say so where an ext4 took errors=remount-ro; its `rw` stays.
    if not {"ro", "emergency_ro"} & set(best[2].split(",")):
        return []
    return [frozen(best[1])]


def frozen(place: str) -> Found:
    """The box's own file system can only be read."""
    words = "存储卡变成了只能读：课照常上，新的记录和新课存不下"
    return Found("E-READ-ONLY", place, words, f"{place} is mounted read-only", "reboot")


def ext4_errors(device: str, count: str) -> list[Found]:
    """`errors_count` of an ext4 file system: what the kernel ever noted in its superblock."""
    number = int(count) if count.strip().isdigit() and len(count) < 12 else 0
    return [_spoilt(device, f"{number} errors noted in the file system")] if number else []


def links(carriers: Mapping[str, str]) -> list[Found]:
    """`carrier` of every real interface; empty where it is switched off."""
    if not carriers:
        return [Found("E-LINK", "network", "课箱没有找到网卡", "no network interface")]
    if any(value.strip() == "1" for value in carriers.values()):
        return []
    names = ", ".join(sorted(carriers))
    return [Found("E-LINK", "network", "网线没有插好，也没有连上无线网", f"no link on {names}")]


def connections(text: str, ports: Iterable[int]) -> int:
    """`/proc/net/tcp` or `tcp6`: how many connections stand to these ports of ours."""
    wanted, count = {f"{port:04X}" for port in ports}, 0
    for line in text.splitlines()[1:]:
        fields = line.split()
        count += len(fields) > 3 and fields[3] == "01" and fields[1].rpartition(":")[2] in wanted
    return count


def units(text: str) -> list[Found]:
    """`systemctl show --property=Id,NRestarts,ActiveState` of our units."""
    found = []
    for block in re.split(r"\n\s*\n", text):
        told = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name, restarts = told.get("Id", "").removesuffix(".service"), told.get("NRestarts", "")
        times = int(restarts) if restarts.isdigit() and len(restarts) < 9 else 0
        if name and told.get("ActiveState") == "failed":
            words, seen = f"{name} 这个程序起不来，课箱会再让它试", f"{name} has failed, {times} tries"
            found.append(Found("E-FLAPPING", name, words, seen, "revive"))
        elif name and times >= MANY_RESTARTS:
            words = f"{name} 这个程序总是重来"
            found.append(Found("E-FLAPPING", name, words, f"{name} was started again {times} times"))
    return found


def silence(last: int | None, now: int | None) -> list[Found]:
    """When the receiver was `last` heard; `now` is None where the clock can't be believed."""
    if last is None or now is None:
        return []
    days = (now - last) // 86400
    if days < SILENT_DAYS:
        return []
    return [
        Found("E-SILENT", "receiver", f"{days}天没有收到卫星送来的东西", f"nothing heard for {days} days")
    ]
