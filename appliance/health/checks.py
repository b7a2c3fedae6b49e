"""Facts about this box as problems: what is wrong, by code, in a sentence for people. Changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from appliance.config import BoxPaths
from appliance.health.probes import frozen
from content_sync.adapters.sqlite import read_only
from content_sync.ports import Problem
from content_sync.terminal import size_text

#: Where less is free, not even the problems can be kept.
_NO_ROOM = 1 << 20


def data_problems(paths: BoxPaths, now: int) -> list[Problem]:
    """What is wrong with the two files that can't be rebuilt."""
    found = []
    for path in (paths.usage_db, paths.outbox_db):
        for aside in sorted(path.parent.glob(f"{path.name}.damaged-*")):
            if not aside.name.endswith(("-wal", "-shm")):
                text = (
                    f"{path.name} 曾经损坏，原文件保存为 {aside.name}，请交给县里的技术员，并检查硬盘或存储卡"
                )
                found.append(Problem("E-DAMAGED", aside.name, text, now))
    if paths.usage_db.exists() and not paths.usage_db.with_name("usage.reserve").exists():
        found.append(
            Problem("E-DISK-FULL", "usage.db", "磁盘已满，正在用预留的空间保存使用记录，请尽快清理", now)
        )
    return found


def disk_problems(data: Path) -> list[Problem]:
    """What no program could write down: its disk takes nothing, or has no room left."""
    if read_only(data):
        found = frozen(str(data))
        return [Problem(found.code, "data", found.message, 0)]
    free = shutil.disk_usage(data).free
    if free < _NO_ROOM:
        return [Problem("E-DISK-FULL", "data", f"磁盘满了，什么也存不下（{size_text(free)} free）", 0)]
    return []


def clock_problems(believable: bool, trusted: bool, now: int) -> list[Problem]:
    """A clock that can't be right and that nothing has put right."""
    if believable or trusted:
        return []
    return [Problem("E-BOX-CLOCK", "clock", "盒子的时钟不准，使用记录先保存，等知道时间后再补上日期", now)]


def report_problems(refused: Iterable[tuple[int, str]], unfit: int, now: int) -> list[Problem]:
    """Reports that the county won't take, one problem a code."""
    by_code: dict[str, list[int]] = {}
    for seq, code in refused:
        by_code.setdefault(code, []).append(seq)
    found = [
        Problem(
            code, "reports", f"县里不接收第 {numbers[0]} 号等 {len(numbers)} 份使用记录，都保存在盒子里", now
        )
        for code, numbers in sorted(by_code.items())
    ]
    if unfit:
        found.append(Problem("E-FORMAT", "sessions", f"有 {unfit} 条使用记录已损坏，没有上报", now))
    return found
