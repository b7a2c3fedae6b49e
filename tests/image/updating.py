"""A system update on a card that remembers every write, and what must be true of the card wherever its power
was cut.

All of it is the box's own doing, in an emulated PC: sync fetches a signed update from drop/, root's program
writes it to the other slot, the machine starts again, the new system is tried, confirmed, and the firmware's
pointer set. Two updates that must not be taken come before it.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from appliance.update.history import FORMAT as HISTORY
from appliance.update.paper import OFFER, QUIET, QUIET_FORMAT
from appliance.update.slots import SECTOR, Slots, State, at_start, decode
from content_sync.formats.canonical import dump
from content_sync.formats.dsse import dump_signed, parse_signed
from content_sync.formats.update import MAX_SIGNED, UPDATE_TYPE
from tests.e2e.programs import ROOT
from tests.image import boot
from tests.image.boot import MIB, Machine, booted, partitions, run
from tests.image.logwrites import FLUSH, KINDS, Entry, copy, mounted
from tests.image.trial import PC, read_state, slot, told, wait
from tests.unit.updates import update_file

NUMBER = 4_000_000_000
OLD = 1000
SIZE = 5 * 1024 * MIB
PATIENCE = 3600.0
DATA = "/var/lib/lessonbox"
#: In shell: until root's program has ended its look.
FREE = "while [ $(systemctl show -P ActiveState lessonbox-update) = activating ]; do sleep 1; done"
SCRIPT = ROOT / "images" / "initramfs" / "lessonbox-slots"
SHELL = ["busybox", "sh"] if Path("/bin/busybox").exists() else ["dash"]


@dataclass
class Truth:
    """What is known of the card: hashes of each slot's partition and of its files on the FAT partition; where
    in the log of writes each part of the story begins."""

    roots: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def keep(self, path: Path) -> None:
        """For another process."""
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def kept(cls, path: Path) -> Truth:
        """What was kept."""
        return cls(**json.loads(path.read_text("utf-8")))


def hashed(path: Path, start: int = 0, size: int | None = None) -> str:
    """SHA-256 of a part of a file."""
    digest, left = hashlib.sha256(), path.stat().st_size - start if size is None else size
    with path.open("rb") as stream:
        stream.seek(start)
        while left and (data := stream.read(min(MIB, left))):
            digest.update(data)
            left -= len(data)
    return digest.hexdigest()


def part(card: Path, name: str, out: Path) -> Path:
    """A partition as a file of its own."""
    start, size = partitions(card)[name]
    out.unlink(missing_ok=True)
    words = ["bs=1M", f"skip={start // MIB}", f"count={size}", "iflag=count_bytes", "conv=sparse"]
    run("dd", f"if={card}", f"of={out}", *words)
    return out


# The story


def newer(image: Path, out: Path) -> str:
    """The same image as another version under a higher number; that version."""
    run("cp", "--sparse=always", image, out)
    root = f"{out}?offset={partitions(out)['root_a'][0]}"
    version = run("debugfs", "-R", "cat /etc/lessonbox-image", root).split()[1] + "-new"
    facts = out.with_suffix(".facts")
    facts.write_text(f"lessonbox {version}\nnumber {NUMBER}\n", "ascii")
    commands = out.with_suffix(".commands")
    commands.write_text(f"rm /etc/lessonbox-image\nwrite {facts} /etc/lessonbox-image\n", "utf-8")
    run("debugfs", "-w", "-f", commands, root)
    return version


def slot_files(root: Path, offset: int) -> dict[str, str]:
    """Name -> SHA-256 of what a root keeps for the firmware in /boot/slot."""
    found = {}
    for name in ("vmlinuz", "initrd"):
        words = ["debugfs", "-R", f"cat /boot/slot/{name}", f"{root}?offset={offset}"]
        data = subprocess.run(words, check=True, capture_output=True).stdout
        assert len(data) > MIB, f"{name} is not there"
        found[name] = hashlib.sha256(data).hexdigest()
    return found


class Story:
    """`folder` gets the card as it was before, the card, the log, and what is known (`truth.json`)."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder
        self.card, self.base, self.log = folder / "card.img", folder / "base.img", folder / "log"
        self.key = folder / "key"
        self.truth = Truth()

    def prepare(self) -> None:
        """A box with lessons; in its drop folder an update that is older than its system, beside the data
        folder a release with a newer one."""
        work = self.folder
        county = boot.make_county(work)
        tree = work / "data"
        tree.mkdir()
        box = boot.make_box(county).rename(tree / "lessonbox")
        old = update_file(work / "old.update", number=OLD)
        self._publish(county, old, box / "drop" / "1")
        new = work / "new.img"
        version = newer(self.image, new)
        made = work / "new.update"
        words = ["--fast", "system", new, "amd64", str(NUMBER), version, made]
        run(sys.executable, ROOT / "images/update.py", *words, timeout=3600)
        self._publish(county, made, tree / "next")
        a, b = partitions(self.image)["root_a"], partitions(new)["root_a"]
        self.truth.roots = {"a": hashed(self.image, *a), "b": hashed(new, *b)}
        self.truth.files = {"a": slot_files(self.image, a[0]), "b": slot_files(new, b[0])}
        boot.make_card(self.image, self.card, SIZE)
        number = list(partitions(self.card)).index("data") + 1
        subprocess.run(
            ["sfdisk", "-q", "-N", str(number), str(self.card)], input=", +\n", text=True, check=True
        )
        boot.put_data(self.card, tree)
        key = boot.new_key(work)
        boot.put_on_fat(self.card, key.with_suffix(".pub"), "authorized_keys")
        copy(self.card, self.base)
        for path in (new, made, old):
            path.unlink()

    def _publish(self, county: Path, file: Path, out: Path) -> None:
        run(sys.executable, "-m", "county", "system-update", "publish", "--data", county, file)
        out.mkdir(parents=True)
        run("cp", "-r", county / "public", county / "objects", out)

    def live(self) -> None:
        """Two that are refused, then one that goes well, to the firmware's pointer."""
        self.log.unlink(missing_ok=True)
        with booted(self.card, self.key, again=True, log=self.log) as machine:
            self._machine = machine
            machine.wait_for("/", PATIENCE)
            self._mark("up")
            self._until(lambda: "E-ROLLBACK" in codes(machine), "the older one is refused")
            self._mark("older")
            forge(machine)
            self._until(lambda: "E-SIGNATURE" in codes(machine), "the forged one is refused")
            self._mark("forged")
            machine.command(
                f"chown -R lessonbox: /data/next && mv /data/next /data/lessonbox/drop/2 && ls {DATA}/drop"
            )
            self._until(lambda: told(machine)["staged"] == NUMBER, "it lies in the other slot")
            self._mark("staged")
            be_quiet(machine)
            wait(self.card, machine, lambda state: state.tries == 1, PATIENCE)
            self._mark("tried")
            state = wait(self.card, machine, lambda state: bool(state.floor or state.refused), PATIENCE)
            assert state.confirmed == "b" and not state.refused, f"{state}\n{machine.console_end()}"
            self._mark("confirmed")
            self._until(lambda: PC.started(self.card) == "b", "the firmware starts the new one")
            self._until(lambda: last(told(machine)) == (NUMBER, True), "it is told")
            time.sleep(5)  # and what follows, out of the emulator
            self._mark("pointed")
        self.truth.keep(self.folder / "truth.json")

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        self._machine.wait_until(lambda: patient(holds), PATIENCE, what)

    def _mark(self, name: str) -> None:
        self.truth.marks[name] = self.log.stat().st_size
        self.truth.seconds[name] = round(self._machine.seconds())
        print(f"{self.truth.seconds[name]:.0f} s: {name}", flush=True)


def last(said: dict[str, Any]) -> tuple[int, bool]:
    """Number of the update that was tried last, and whether it went well."""
    found = said["results"][-1:]
    return (found[0]["number"], found[0]["well"]) if found else (0, False)


def patient(holds: Callable[[], bool]) -> bool:
    """Whether it holds; not while the machine can't be asked."""
    time.sleep(2)
    try:
        return holds()
    except (OSError, subprocess.SubprocessError, ValueError):
        return False


def codes(machine: Machine) -> set[str]:
    """What the box says is wrong with it."""
    return {problem["code"] for problem in json.loads(machine.get("/api/v1/status", 60))["problems"]}


def forge(machine: Machine) -> None:
    """What a sync that was broken into might offer: the signed one under another number."""
    word = forged_offer(machine.command(f"cat {DATA}/{OFFER}"), OLD, NUMBER + 7)
    machine.command(f"{FREE}; {word}; systemctl start lessonbox-update", 600)


def forged_offer(text: str, number: int, instead: int) -> str:
    """In shell: the signed offer under another number than its own."""
    offered = parse_signed(text.encode(), UPDATE_TYPE, MAX_SIGNED)
    payload = offered.payload.replace(b'"number":%d' % number, b'"number":%d' % instead)
    assert payload != offered.payload
    return f"printf %s {shlex.quote(dump_signed(replace(offered, payload=payload)).decode())} >{DATA}/{OFFER}"


def quiet_word(boot_id: str, up: int) -> str:
    """In shell: what sync says at night when nobody teaches (unit tests show when it does). `up`: seconds
    since the machine began."""
    word = dump({"format": QUIET_FORMAT, "boot": boot_id, "until": up + 600}).decode()
    return f"printf %s {shlex.quote(word)} >{DATA}/{QUIET}"


def be_quiet(machine: Machine) -> None:
    """It is quiet; then root's next look, for the one that is under way has not seen it."""
    boot_id = machine.command("cat /proc/sys/kernel/random/boot_id").strip()
    up = int(float(machine.command("cut -d' ' -f1 /proc/uptime")))
    machine.command(f"{FREE}; {quiet_word(boot_id, up)}; systemctl start --no-block lessonbox-update", 600)


# Where the power goes


def moments(entries: list[Entry], card: Path, log: Path) -> dict[str, int]:
    """Name -> the flush after which the power goes, somewhere before the next one is done."""
    parts = partitions(card)

    def within(name: str) -> list[int]:
        start, size = parts[name]
        return [n for n, one in enumerate(entries) if one.length and start <= one.offset < start + size]

    def before(number: int) -> int:
        return max(n for n in range(number) if entries[n].flags & FLUSH)

    def after(number: int) -> int:
        return next(n for n in range(number, len(entries)) if entries[n].flags & FLUSH)

    found = {}
    system = within("root_b")
    for share in (1, 50, 99):
        found[f"{share} % of the new system written"] = before(system[len(system) * share // 100])
    found["the new system written"] = after(system[-1])
    records = {
        name: number
        for number in within("state")
        for state in [_record(log, entries[number])]
        if state is not None
        for name, holds in _RECORDS.items()
        if holds(state)
    }
    assert list(records) == list(_RECORDS), records
    for name, number in records.items():
        found[f"{name}: the record"] = before(number)
        found[f"{name}: after it"] = after(number)
    fat = [number for number in within("boot") if number > records["confirmed"]]
    pointer = next(n for n in fat if b"default lessonbox-b.conf" in _bytes(log, entries[n]))
    filling = [number for number in fat if number < pointer]
    for share in (0, 25, 50, 75, 99):
        found[f"{share} % of the FAT written"] = before(filling[len(filling) * share // 100])
    found["the firmware's pointer"] = before(pointer)
    found["the firmware's pointer: after it"] = after(pointer)
    return found


_RECORDS: dict[str, Callable[[State], bool]] = {
    "armed": lambda state: state.tries == 2,
    "tried": lambda state: state.tries == 1,
    "confirmed": lambda state: state.floor == NUMBER,
}


def _bytes(log: Path, entry: Entry) -> bytes:
    with log.open("rb") as stream:
        stream.seek(entry.data)
        return stream.read(entry.length)


def _record(log: Path, entry: Entry) -> State | None:
    """The record that this request wrote; of a larger one, in the sector where a record lies."""
    return decode(_bytes(log, entry)[:SECTOR]) if entry.offset % (1 << 20) == 0 else None


# What must be true


def record_of(state: Path, work: Path) -> tuple[State, str, list[str]]:
    """The record by slots.py, the slot that it leads to from the one that the firmware starts, and what is
    wrong: the initramfs's shell must come to the same."""
    own = pointer(state)
    file = part(state, "state", work / "record")
    before = Slots(file).read()
    after, go = at_start(before, own, False)
    script = f'slots_only=yes; . {SCRIPT}; slots_choose {file} {own} ""; echo "$go:$try"'
    said = run(*SHELL, "-c", script).strip()
    wrong = []
    if said != f"{go}:{before.number if after.tries != before.tries and go != own else ''}":
        wrong.append(f"the shell goes on with {said}, slots.py with {go}")
    if Slots(file).read() != after:
        wrong.append(f"the shell leaves {Slots(file).read()}, slots.py {after}")
    return before, go, wrong


def pointer(state: Path) -> str:
    """The slot that the firmware starts."""
    found = PC.started(state)
    assert found in ("a", "b"), f"the firmware starts {found!r}"
    return found


def firmware_files(fat: Path, slot: str, wanted: dict[str, str], ids: dict[str, str]) -> list[str]:
    """What is wrong with the files that the firmware reads to start a slot."""
    wrong = []
    env = {**os.environ, "MTOOLS_SKIP_CHECK": "1"}
    entry = run("mtype", "-i", fat, f"::/loader/entries/lessonbox-{slot}.conf", env=env)
    for line in (f"linux /{slot}/vmlinuz", f"initrd /{slot}/initrd"):
        if line not in entry.splitlines():
            wrong.append(f"the entry of {slot} does not say {line}")
    if f"root=PARTUUID={ids[slot]} " not in entry:
        wrong.append(f"the entry of {slot} starts another root")
    for name, sha256 in wanted.items():
        words = ["mtype", "-i", str(fat), f"::/{slot}/{name}"]
        data = subprocess.run(words, check=True, capture_output=True, env=env).stdout
        if hashlib.sha256(data).hexdigest() != sha256:
            wrong.append(f"{slot}/{name} on the FAT partition is damaged")
    return wrong


def part_ids(card: Path) -> dict[str, str]:
    """Slot -> PARTUUID of its root."""
    table = json.loads(run("sfdisk", "--json", card))["partitiontable"]["partitions"]
    return {it["name"][-1]: it["uuid"].lower() for it in table if it["name"].startswith("root_")}


def fsck(*command: str | Path) -> tuple[int, str]:
    """Its answer."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace")
    return done.returncode, done.stdout + done.stderr


def unbootable(state: Path, work: Path, truth: Truth, notes: dict[str, int]) -> list[str]:
    """What keeps a state of the card from being proved bootable:

    - the partition table is there; the FAT partition says which slot the firmware starts, and holds that
      slot's kernel and initrd byte for byte, in its entry the PARTUUID of its root; before and after the
      `fsck` of the next start, which leaves nothing to mend;
    - one copy of the record is whole; slots.py and the shell of the initramfs read the same from it, write
      the same, and go on with the same slot;
    - that slot's root, and the root of the slot whose kernel starts (it goes on there if the jump fails), are
      byte for byte the system that was signed or flashed;
    - the data partition is mended without a question, mounts with the box's options and is clean; its
      databases are whole, and what root keeps of updates can be read.
    """
    ids = part_ids(state)
    own = pointer(state)
    record, go, wrong = record_of(state, work)
    notes[f"starts {own}, goes on with {go}"] = notes.get(f"starts {own}, goes on with {go}", 0) + 1
    fat = part(state, "boot", work / "fat")
    wrong += firmware_files(fat, own, truth.files[own], ids)
    code, said = fsck("fsck.vfat", "-n", fat)
    if code:
        notes["FAT to be mended"] = notes.get("FAT to be mended", 0) + 1
    fsck("fsck.vfat", "-y", fat)
    code, said = fsck("fsck.vfat", "-n", fat)
    if code:
        wrong.append(f"fsck.vfat: {said}")
    wrong += [f"after fsck: {one}" for one in firmware_files(fat, own, truth.files[own], ids)]
    for one in {own, go}:
        if hashed(state, *partitions(state)[f"root_{one}"]) != truth.roots[one]:
            wrong.append(f"root_{one} is not whole ({record})")
    return wrong + _data(part(state, "data", work / "data.img"), work / "mnt")


def _data(data: Path, place: Path) -> list[str]:
    wrong = []
    code, said = fsck("e2fsck", "-p", data)
    if code not in (0, 1):
        wrong.append(f"e2fsck -p: {said}")
    with mounted(data, place):
        for name in ("usage.db", "outbox.db", "school.db", "state.db"):
            path = place / "lessonbox" / name
            if not path.exists():
                wrong.append(f"{name} is gone")
                continue
            with closing(sqlite3.connect(path)) as db:
                said = db.execute("PRAGMA integrity_check").fetchone()[0]
            if said != "ok":
                wrong.append(f"{name}: {said}")
        home = place / "system" / "update"
        for name in ("history.json", "root.json"):
            if (home / name).exists():
                told = json.loads((home / name).read_bytes())
                if name == "history.json" and told["format"] != HISTORY:
                    wrong.append(f"{name}: {told}")
    code, said = fsck("e2fsck", "-fn", data)
    if code:
        wrong.append(f"e2fsck -fn: {said}")
    return wrong


def comes_up(state: Path, key: Path, truth: Truth) -> dict[str, object]:
    """Boot a state: the first page with its lessons, from a system that may be there; where one was confirmed
    the firmware starts that one afterwards, and the FAT is clean. An update that was ready to be tried is
    tried and confirmed. Figures."""
    before = read_state(state)
    trial = bool(before.trial)
    with booted(state, key, again=trial) as machine:
        page = machine.wait_for("/", PATIENCE).decode()
        assert "西沙群岛" in page, page[:2000]
        seconds = round(machine.seconds())
        if trial:
            wait(state, machine, lambda one: one.floor == NUMBER or bool(one.refused), PATIENCE)
        after = read_state(state)
        assert not after.refused and after.confirmed == ("b" if before.floor or trial else "a"), after
        machine.wait_until(lambda: patient(lambda: slot(machine) == after.confirmed), PATIENCE, "its slot")
        machine.wait_until(lambda: PC.started(state) == after.confirmed, PATIENCE, "the firmware's pointer")
        machine.wait_until(
            lambda: patient(lambda: not told(machine)["problems"]), PATIENCE, "nothing wrong with updates"
        )
        machine.command("sync")
        ran = slot(machine)
    fat = part(state, "boot", state.with_suffix(".fat"))
    code, said = fsck("fsck.vfat", "-n", fat)
    assert code == 0, said
    assert firmware_files(fat, after.confirmed, truth.files[after.confirmed], part_ids(state)) == []
    fat.unlink()
    return {"page": seconds, "slot": ran, "confirmed": after.confirmed}


def kinds(entries: list[Entry], moment: int) -> Iterator[str]:
    """The kinds of cut that differ there: with nothing written since the flush all are one."""
    window = []
    for entry in entries[moment + 1 :]:
        if entry.flags & FLUSH:
            break
        window.append(entry)
    yield from KINDS if window else KINDS[:1]


def chance(moment: str, kind: str) -> random.Random:
    """The same cut each time."""
    return random.Random(f"{moment} {kind}")
