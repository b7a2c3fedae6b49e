"""The power goes at any instant: block-level log replay of a box's life (`make test-power`, as root).

Each state of the disk that a cut may leave is mounted and looked into as the next start does
(tests/image/power.py).
"""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.image.logwrites import FLUSH, KINDS, Entry, Replay, mount_alone, read_log
from tests.image.power import Life, Truth, examine, goes_on

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.needs("qemu-storage-daemon", "mke2fs", "e2fsck", "mount", "umount"),
]
SEED = 20261122
#: Of each part of the life, how many moments are looked at; each with every kind of cut.
MOMENTS = {"set up": 8, "first sync": 26, "usage": 26, "release change": 26, "usage again": 20}
WORKERS = 2
#: Its fsync, fdatasync and sync do nothing (Debian's libeatmydata1).
NO_FLUSH = "libeatmydata.so"


@dataclass(frozen=True)
class Share:
    """What one process looks at: the log, and the flushes after which the power goes."""

    base: Path
    log: Path
    folder: Path
    moments: tuple[int, ...]
    #: Those from which sync goes on to the newest release.
    to_the_end: tuple[int, ...]
    truth: Truth


def look_at(share: Share) -> tuple[int, list[str]]:
    """How many states were looked at, and what is wrong with them."""
    mount_alone()
    share.folder.mkdir()
    entries = read_log(share.log)
    replay = Replay(share.base, share.log, entries, share.folder / "now")
    count, wrong = 0, []
    for moment in share.moments:
        replay.through(moment)
        for kind in KINDS:
            state = share.folder / f"{moment} {kind}"  # another file: a loop device remembers the last one
            replay.cut(kind, random.Random(f"{moment} {kind}"), state)
            count += 1
            found = examine(state, share.folder / "mnt", share.truth, entries[moment].end)
            if moment in share.to_the_end and kind == "writes":
                found += goes_on(state, share.folder / "mnt", share.truth)
            wrong += [f"entry {moment}, {kind}: {one}" for one in found]
            state.unlink()
        print(f"{share.folder.name}: {count} states, {len(wrong)} wrong", flush=True)
    replay.close()
    return count, wrong


def chosen(entries: list[Entry], truth: Truth, counts: dict[str, int]) -> dict[str, list[int]]:
    """Part of the life -> flushes after which the power goes."""
    chance, found = random.Random(SEED), {}
    for (begin, part), (end, _) in zip(truth.parts, truth.parts[1:], strict=False):
        flushes = [
            number for number, one in enumerate(entries) if one.flags & FLUSH and begin <= one.end < end
        ]
        found[part] = sorted(chance.sample(flushes, min(counts.get(part, 0), len(flushes))))
        print(f"{part}: {len(flushes)} flushes, {end - begin >> 10} KiB of log, {len(found[part])} moments")
    return found


def cut_everywhere(folder: Path, counts: dict[str, int], preload: str = "") -> tuple[int, list[str]]:
    """A life is lived, and its power cut in so many moments of each part: how many states, what is wrong."""
    began = time.monotonic()
    life = Life(folder, preload)
    try:
        life.live()
        lived = time.monotonic()
        entries, truth = read_log(life.disk.log), life.truth
        parts = chosen(entries, truth, counts)
        moments = sorted({one for part in parts.values() for one in part})
        print(
            f"{lived - began:.0f} s of life: {len(entries)} writes and flushes,"
            f" {Counter(one.flags for one in entries)}, {len(truth.events)} uses answered,"
            f" {len(truth.visits)} visits, {len(truth.reports)} reports"
        )
        half = -(-len(moments) // WORKERS)
        shares = [
            Share(
                life.disk.base,
                life.disk.log,
                folder / f"w{n}",
                tuple(moments[n * half : (n + 1) * half]),
                tuple(moments[len(parts["set up"]) :: 12]),
                truth,
            )
            for n in range(WORKERS)
        ]
        with ProcessPoolExecutor(WORKERS, get_context("fork")) as pool:
            results = list(pool.map(look_at, shares))
        states, wrong = sum(count for count, _ in results), [one for _, told in results for one in told]
        took = time.monotonic() - lived
        print(f"{states} states in {took:.0f} s, {60 * states / took:.0f} a minute; wrong: {len(wrong)}")
        return states, wrong
    finally:
        life.close()


def test_the_power_goes_at_any_instant(memory_path: Path) -> None:
    states, wrong = cut_everywhere(memory_path, MOMENTS)
    assert not wrong, "\n".join(wrong[:40])
    assert states >= 500


def test_a_box_whose_flushes_do_nothing_is_found_out(memory_path: Path) -> None:
    """The same life without fsync (libeatmydata): what the rig is for, it finds."""
    _, wrong = cut_everywhere(memory_path, {"first sync": 2, "usage": 4, "usage again": 2}, NO_FLUSH)
    print("\n".join(wrong[:40]))
    assert any("was answered for and is there 0 times" in one for one in wrong), wrong
