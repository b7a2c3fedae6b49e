"""The record of the two systems: every cut of power, and the same in the initramfs's shell."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.update import slots
from appliance.update.slots import PLACES, SECTOR, Slots, State, at_start, decode, encode
from content_sync.errors import FormatError
from tests.e2e.programs import ROOT

SCRIPT = ROOT / "images" / "initramfs" / "lessonbox-slots"
SHELL = ["busybox", "sh"] if shutil.which("busybox") else ["dash"]
STATES = [
    State(),
    State(7, "b", "a", 2, 1_760_000_000, 5),
    State(8, "b", "a", 1, 1_760_000_000, 5),
    State(9, "b", "a", 0, 1_760_000_000, 5),
    State(10, "a", "", 0, 0, 9, 8, "page"),
]


def disk(path: Path, *states: State) -> Slots:
    """A partition that holds these, one in each place."""
    held = bytearray(PLACES[1] + (1 << 20))
    for state in states:
        place = PLACES[state.serial % 2]
        held[place : place + SECTOR] = encode(state)
    path.write_bytes(held)
    return Slots(path)


@pytest.mark.parametrize("state", STATES)
def test_a_state_reads_back(state: State, tmp_path: Path) -> None:
    assert decode(encode(state)) == state
    one = disk(tmp_path / "state", state)
    assert one.read() == state
    one.write(slots.cleared(state))
    assert one.read() == slots.cleared(state)


def test_a_record_cut_off_anywhere_leaves_the_one_before() -> None:
    """Each of the sector's bytes the last that was written, over a record that was there, over zeros, over
    noise: what was, or what was to be; never anything else."""
    before = State(4, "a", "b", 1, 44, 12)
    after = slots.refused(before, "web-page")
    for old in (encode(State(3, "a", "", 0, 0, 12)), bytes(SECTOR), b"\xff" * SECTOR):
        for cut in range(SECTOR + 1):
            found = decode(encode(after)[:cut] + old[cut:])
            assert found in (None, after, decode(old))
            assert found is None or found == after or found.serial < before.serial


def test_a_flipped_byte_is_no_record() -> None:
    whole = encode(STATES[1])
    for at in range(len(whole.rstrip(b"\0"))):
        assert decode(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]) is None


def test_nothing_there_is_said_by_name(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(bytes(2 << 20))
    with pytest.raises(FormatError):
        Slots(tmp_path / "state").read()


def run_shell(path: Path, words: str) -> str:
    command = f"slots_only=yes; . {SCRIPT}; {words}"
    done = subprocess.run([*SHELL, "-c", command], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("state", STATES)
def test_the_shell_reads_and_writes_the_same(state: State, tmp_path: Path) -> None:
    path = tmp_path / "state"
    one = disk(path, state)
    for own, reached in itertools.product("ab", (False, True)):
        disk(path, state)
        said = run_shell(path, f'slots_choose {path} {own} "{"yes" if reached else ""}"; echo "$go:$try"')
        wanted, go = at_start(state, own, reached)
        assert one.read() == wanted
        assert said == f"{go}:{state.number if wanted.tries != state.tries and go != own else ''}"
    disk(path, state)
    run_shell(path, f"slots_read {path}; slots_refuse silent; slots_write {path}")
    assert one.read() == slots.refused(state, "silent")


def test_the_shell_too_takes_no_record_that_was_cut_off(tmp_path: Path) -> None:
    path, state = tmp_path / "state", State(4, "a", "b", 1, 44, 12)
    after = slots.begun(state)
    for cut in (1, 20, 60, 100, 131, SECTOR):
        disk(path, state)
        held = bytearray(path.read_bytes())
        held[PLACES[1] : PLACES[1] + SECTOR] = encode(after)[:cut].ljust(SECTOR, b"\xff")[:SECTOR]
        path.write_bytes(held)
        said = run_shell(path, f'slots_read {path} && echo "$s_serial"')
        assert said == str(Slots(path).read().serial)


def test_no_order_of_good_starts_cuts_and_failures_leaves_a_box_that_does_not_start(tmp_path: Path) -> None:
    """Every sequence of six events, from installing on: the slot that is started is never the one that is
    being written, a trial is begun at most twice, and what failed is not tried again."""
    for events in itertools.product(("cut", "well", "ill", "hang", "newer"), repeat=6):
        state, whole, tried, number = State(1), {"a": 1, "b": 0}, {1: 0}, 1
        for event in events:
            state, go = at_start(state, state.confirmed, False)
            assert whole[go], f"{events}: slot {go} is not whole"
            if go != state.confirmed:
                tried[state.number] = tried.get(state.number, 0) + 1
                assert tried[state.number] <= slots.TRIES
                if event == "well":
                    state = slots.confirmed(state)
                    assert state.floor >= whole[go]
                elif event == "ill":
                    state = slots.refused(state, "page")
                continue  # hang, cut: nothing was written
            if event == "newer":
                number += 1
                if number in (state.refused, *(n for n, count in tried.items() if count > 1)):
                    continue
                state = slots.cleared(state)
                whole[state.other] = 0
                assert whole[state.confirmed]
                whole[state.other] = number
                state = slots.armed(state, number)


def test_the_boot_partition_is_mended_before_it_is_mounted() -> None:
    """FAT has no journal. A cut of power while an update is confirmed can leave an entry whose clusters are
    free: Linux makes the whole partition read-only when that entry is deleted, at every start anew."""
    for line in (ROOT / "images/files/etc/fstab").read_text("utf-8").splitlines():
        fields = line.split()
        if fields[1:3] == ["/boot/firmware", "vfat"]:
            assert fields[5] == "2"
            break
    else:
        pytest.fail("no /boot/firmware")
    assert "dosfstools" in (ROOT / "images/packages").read_text("utf-8").split()
