"""A system update on its way: published, fetched like a lesson, installed by root, confirmed or gone back
from."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import force_setattr, replace

from appliance.config import BoxPaths
from appliance.update import check, kept
from appliance.update.history import History
from appliance.update.loader import Loader
from appliance.update.machine import Machine
from appliance.update.offering import Offering
from appliance.update.paper import OFFER, read_offer
from appliance.update.program import _known, install, is_quiet, tell
from appliance.update.programs import Programs, Switch
from appliance.update.quiet import quiet
from appliance.update.slots import Slots, State, armed, refused
from appliance.update.system import System
from appliance.usage.outbox import Outbox
from appliance.usage.records import take_updates
from content_sync.adapters import files
from content_sync.adapters.sqlite import StateReader
from content_sync.core.budget import Budget, Known
from content_sync.errors import (
    FormatError,
    RollbackError,
    SignatureError,
    SourceError,
    StorageError,
    TargetError,
)
from content_sync.formats import dsse
from content_sync.formats.budget import BudgetPolicy, Window
from content_sync.formats.policy import Policy
from content_sync.formats.records import UpdateRecord, parse_record
from content_sync.formats.update import (
    UPDATE_TYPE,
    Update,
    UpdateFile,
    dump_update,
    is_update,
    parse_update,
    update_collection,
    update_patterns,
)
from content_sync.testing.fakes import ManualClock
from county.receive import database
from county.receive.records import store
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import SmallCounty
from tests.unit.test_update_slots import disk
from tests.unit.updates import KIND, UpdateCounty, system_bytes, update_file

FILE = UpdateFile("system.img.xz", "1" * 64, 5, "2" * 64, (8192, "3" * 64))
UPDATE = Update(KIND, 7, "0.2", (FILE,))


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> UpdateCounty:
    return UpdateCounty(tmp_path_factory.mktemp("county") / "data")


# The manifest


def test_a_manifest_reads_back() -> None:
    assert parse_update(dump_update(UPDATE)) == UPDATE
    wheels = (replace(FILE, name="x-1.whl", raw=None), replace(FILE, name="requirements.txt", raw=None))
    programs = Update("app-arm64-313", 9, "0.3", wheels)
    assert parse_update(dump_update(programs)) == programs


@pytest.mark.parametrize(
    "change",
    [
        {"for": "system-mips"},
        {"for": "system-amd64 "},
        {"number": 0},
        {"number": 1.5},
        {"version": ""},
        {"version": "a\nb"},
        {"files": []},
        {"files": [json.loads(dump_update(UPDATE))["files"][0]] * 2},
        {"files": [{"name": "../x", "root": "1" * 64, "size": 1, "sha256": "2" * 64}]},
        {"files": [{"name": "system.img.xz", "root": "1" * 64, "size": 1, "sha256": "2" * 64}]},
        {"format": "lessonbox-update/2"},
    ],
)
def test_a_manifest_that_is_none_is_refused(change: dict[str, Any]) -> None:
    plain = json.loads(dump_update(UPDATE)) | change
    with pytest.raises(FormatError):
        parse_update(json.dumps(plain).encode())


def test_who_takes_which_updates() -> None:
    all_, pilot = update_collection(KIND), update_collection(KIND, True)
    assert update_patterns(KIND, Policy()) == (all_,)
    assert set(update_patterns(KIND, Policy(other={"updates": "pilot"}))) == {all_, pilot}
    assert update_patterns(KIND, Policy(other={"updates": "hold"})) == ()
    assert update_patterns("", Policy()) == ()
    assert is_update(all_) and is_update(pilot) and not is_update("local-12345678")


# By the release


class Box(MemoryBox):
    """A box in memory whose machine takes updates of a kind."""

    kind = KIND

    def start(self, *given: Any) -> Any:
        engine = super().start(*given)
        engine._library.updates = lambda policy: update_patterns(self.kind, policy)
        engine._library.follow(())
        return engine


class Empty:
    """A box's state without any update."""

    def updates(self) -> list[Any]:
        return []


def test_a_box_fetches_its_own_update_as_it_fetches_lessons(county: UpdateCounty, tmp_path: Path) -> None:
    listed = county.publish(update_file(tmp_path / "10.update", number=10))
    county.publish(update_file(tmp_path / "arm.update", kind="system-arm64", number=10, seed=2))
    county.publish(update_file(tmp_path / "11.update", number=11, seed=3), pilot=True)
    box = Box(tmp_path, county)  # type: ignore[arg-type]
    assert box.swarm is not None
    box.swarm.speed = 64
    box.start()
    box.settle()
    with closing(StateReader(box.path)) as pages:
        (row,) = pages.updates()
        assert row.id == listed.lesson and row.complete
        # Nobody's lesson: no page, count or search shows it.
        assert pages.lessons() == [] and pages.count() == 0 and pages.collections(local=True) == []
        paths, clock = BoxPaths(tmp_path / "box"), ManualClock()
        budget = Budget(BudgetPolicy(), 0)
        offering = Offering(paths, pages, box.store, clock, lambda: budget, lambda now: None, KIND)
        offering.look()
        again = Offering(paths, Empty(), box.store, clock, lambda: budget, lambda now: None, KIND)  # type: ignore[arg-type]
        held = (paths.data / OFFER).read_bytes()
        again.look()  # withdrawn while sync was not running
        assert not (paths.data / OFFER).exists()
    assert held == county.manifest(listed)
    assert not is_quiet(paths.data, clock.boot_id(), clock.monotonic())


def test_publishing_is_for_who_has_the_root_key_and_goes_up_only(
    county: UpdateCounty, tmp_path: Path
) -> None:
    county.publish(update_file(tmp_path / "30.update", number=30))
    with pytest.raises(RollbackError):
        county.publish(update_file(tmp_path / "29.update", number=29))
    mine = county.key
    county.key = next(county.paths.keys.glob("targets-*.pem"))
    try:
        with pytest.raises(SignatureError):
            county.publish(update_file(tmp_path / "31.update", number=31))
    finally:
        county.key = mine
    for bad in ({"facts.json": b"{}"}, {"other.bin": b"x"}, {"system.img.xz": b"no xz at all"}):
        with pytest.raises((FormatError, SourceError, TargetError)):
            county.publish(update_file(tmp_path / "bad.update", number=40, members=bad))


# Root's part


class Rig:
    """A machine in a folder: partitions are files, the boot partition a folder."""

    def __init__(self, folder: Path, county: UpdateCounty) -> None:
        self.folder, self.county = folder, county
        for name in ("data", "parts", "fat/loader/entries", "fat/a", "slot"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "fat/loader/loader.conf").write_text("timeout 0\ndefault lessonbox-a.conf\neditor no\n")
        (folder / "slot/vmlinuz").write_bytes(b"kernel")
        (folder / "slot/overlays").mkdir(exist_ok=True)
        (folder / "slot/overlays/x.dtbo").write_bytes(b"overlay")
        (folder / "slot/cmdline.txt").write_text("root=PARTUUID=0123-4567 ro rootwait console=tty0\n")
        (folder / "cmdline").write_text("root=x ro\n")
        (folder / "image").write_text("lessonbox 0.1\nnumber 5\n")
        self.slots = disk(folder / "parts/state", State(), State(1))
        for slot in "ab":
            (folder / f"parts/root_{slot}").write_bytes(bytes(128 << 10))
        self.machine = FolderMachine(
            data=folder / "data", home=folder / "home", told=folder / "told.json", parts=folder / "parts",
            fat=folder / "fat", files=folder / "slot", guard=folder / "guard", image=folder / "image",
            cmdline=folder / "cmdline",
        )  # fmt: skip
        self.booted = "a"
        self.rebooted = 0

    @contextmanager
    def _free(self, fat: Path) -> Iterator[None]:
        yield

    def system(self) -> System:
        """Root's program as it begins."""
        force_setattr(self.machine, "own", self.booted)
        home = self.machine.home
        return System(self.machine, Slots(self.machine.parts / "state"), Loader(self.machine.fat, self._free),
                      History(home / "history.json"), lambda: 1_760_000_000.0)  # fmt: skip

    def boot(self) -> None:
        """As the loader and the initramfs do."""
        from appliance.update.slots import at_start

        own = Loader(self.machine.fat, self._free).slot()
        state = self.slots.read()
        new, go = at_start(state, own, False)
        if new != state:
            self.slots.write(new)
        if go != own and go == new.trial:
            (self.folder / "cmdline").write_text(f"root=x ro lessonbox.trial={new.number}\n")
        else:
            (self.folder / "cmdline").write_text("root=x ro\n")
        self.booted = go
        self.system().settle()

    def held(self, slot: str) -> bytes:
        """What a partition holds."""
        return (self.machine.parts / f"root_{slot}").read_bytes()


class FolderMachine(Machine, frozen=True):
    """`own`: the slot that was booted."""

    own: str = "a"

    @property
    def kind(self) -> str:
        return KIND

    def slot(self) -> str:
        return self.own

    def partition(self, slot: str) -> str:
        return {"a": "aaaa-01", "b": "bbbb-02"}[slot]


@pytest.fixture
def rig(county: UpdateCounty, tmp_path: Path) -> Rig:
    return Rig(tmp_path, county)


def offered(rig: Rig, number: int) -> Update:
    """Publish an update and let sync offer it."""
    listed = rig.county.publish(update_file(rig.folder / f"{number}.update", number=number, seed=number))
    rig.county.offer(listed, rig.machine.data)
    return listed.update


@pytest.fixture(autouse=True)
def _open(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "rig" in request.fixturenames:
        made = request.getfixturevalue("rig")
        monkeypatch.setattr("appliance.update.program.open_system", lambda machine: made.system())


def step(rig: Rig, quiet_now: bool = True) -> str:
    """One run of lessonbox-update.service."""

    def reboot() -> None:
        rig.rebooted += 1

    return install(rig.machine, lambda: quiet_now, reboot)


def test_a_good_update_is_confirmed_and_the_next_start_is_its_own(rig: Rig) -> None:
    offered(rig, 100)
    assert step(rig) == "staged"
    assert rig.held("b")[: 64 << 10] == system_bytes(100)
    assert rig.held("a") == bytes(128 << 10)
    assert step(rig, quiet_now=False) == "waits"
    assert rig.slots.read().trial == ""
    assert step(rig) == "armed" and rig.rebooted == 1
    rig.boot()
    assert rig.booted == "b" and rig.slots.read().tries == 1
    assert rig.system().judge(lambda: "") == ""
    state = rig.slots.read()
    assert (state.confirmed, state.trial, state.floor) == ("b", "", 100)
    loader = (rig.machine.fat / "loader/loader.conf").read_text()
    assert loader == "timeout 0\ndefault lessonbox-b.conf\neditor no\n"
    assert (rig.machine.fat / "b/vmlinuz").read_bytes() == b"kernel"
    assert (rig.machine.fat / "b/overlays/x.dtbo").read_bytes() == b"overlay"
    assert (
        "options root=PARTUUID=bbbb-02 ro"
        in (rig.machine.fat / "loader/entries/lessonbox-b.conf").read_text()
    )
    rig.boot()
    assert rig.booted == "b"
    tell(rig.machine)
    told = json.loads(rig.machine.told.read_bytes())
    assert told["problems"] == [] and told["results"][-1]["well"] is True
    assert step(rig) == "nothing"  # it is what runs


def test_one_that_is_ill_goes_back_is_told_and_is_not_tried_again(rig: Rig) -> None:
    offered(rig, 200)
    assert (step(rig), step(rig)) == ("staged", "armed")
    rig.boot()
    assert rig.system().judge(lambda: "page") == "page"
    rig.boot()
    state = rig.slots.read()
    assert rig.booted == "a" and (state.refused, state.why, state.floor) == (200, "page", 0)
    tell(rig.machine)
    (problem,) = json.loads(rig.machine.told.read_bytes())["problems"]
    assert problem["code"] == "E-UPDATE" and "200" in problem["message"]
    assert step(rig) == "nothing"
    offered(rig, 201)
    assert step(rig) == "staged"


def test_one_that_never_says_anything_is_begun_twice(rig: Rig) -> None:
    offered(rig, 250)
    assert (step(rig), step(rig)) == ("staged", "armed")
    for _ in range(2):
        rig.boot()
        assert rig.booted == "b"
    rig.boot()
    assert rig.booted == "a" and rig.slots.read().why == "start"


def test_a_pi_4_jumps_from_one_processor_and_has_all_of_them_afterwards(rig: Rig) -> None:
    (rig.machine.fat / "loader/loader.conf").unlink()
    (rig.machine.fat / "config.txt").write_text("[all]\nos_prefix=a/\nkernel=vmlinuz\n")
    line = rig.machine.fat / "a/cmdline.txt"
    line.write_text("root=PARTUUID=01 ro lessonbox.cpus=all console=tty0\n")
    (rig.folder / "cpus/cpu@1").mkdir(parents=True)
    (rig.folder / "cpus/cpu@1/enable-method").write_bytes(b"spin-table\0")
    force_setattr(rig.machine, "cpus", rig.folder / "cpus")
    offered(rig, 252)
    assert (step(rig), step(rig)) == ("staged", "armed")
    assert line.read_text() == "root=PARTUUID=01 ro nr_cpus=1          console=tty0\n"
    rig.boot()
    assert rig.system().judge(lambda: "page") == "page"
    (rig.folder / "cmdline").write_text("root=x ro nr_cpus=1 console=tty0\n")
    rig.booted = "a"
    assert rig.system().settle()  # once more, with all of them
    assert line.read_text() == "root=PARTUUID=01 ro lessonbox.cpus=all console=tty0\n"
    assert not rig.system().settle()
    offered(rig, 253)
    assert (step(rig), step(rig)) == ("staged", "armed")
    rig.boot()
    assert rig.system().judge(lambda: "") == ""
    assert (rig.machine.fat / "config.txt").read_text() == "[all]\nos_prefix=b/\nkernel=vmlinuz\n"
    assert "root=PARTUUID=bbbb-02" in (rig.machine.fat / "b/cmdline.txt").read_text()


def test_a_check_that_breaks_is_a_system_that_is_ill(rig: Rig) -> None:
    offered(rig, 260)
    assert (step(rig), step(rig)) == ("staged", "armed")
    rig.boot()

    def broken() -> str:
        raise RuntimeError("no such module")

    assert rig.system().judge(broken) == "check"
    assert rig.slots.read().refused == 260


def test_forged_older_and_spoilt_updates_change_nothing(rig: Rig) -> None:
    offered(rig, 300)
    offer = rig.machine.data / OFFER
    good = offer.read_bytes()
    signed = dsse.parse_signed(good, UPDATE_TYPE, 1 << 20)
    forged = replace(signed, payload=signed.payload.replace(b'"number":300', b'"number":301'))
    offer.write_bytes(dsse.dump_signed(forged))
    with pytest.raises(SignatureError):
        step(rig)
    # Another county's root in the data folder: root keeps to the one that it saw first.
    other = SmallCounty(rig.folder / "other")
    enrolment = json.loads((rig.machine.data / "enrolment.json").read_text("utf-8"))
    enrolment["root"] = json.loads(other.root)
    (rig.machine.data / "enrolment.json").write_text(json.dumps(enrolment), "utf-8")
    theirs = other.repository.sign_with_root(rig.folder / "other" / "root.pem", UPDATE_TYPE, signed.payload)
    offer.write_bytes(theirs)
    with pytest.raises(SignatureError):
        read_offer(rig.machine.home, rig.machine.data)
    # Older than the image that runs.
    offer.write_bytes(good)
    (rig.folder / "image").write_text("lessonbox 0.9\nnumber 301\n")
    with pytest.raises(RollbackError):
        step(rig)
    (rig.folder / "image").write_text("lessonbox 0.1\nnumber 5\n")
    # Its bytes are others than those signed.
    file = parse_update(signed.payload).files[0]
    path = rig.machine.data / "objects" / file.root[:2] / file.root
    whole = path.read_bytes()
    for spoilt in (whole[:-1], whole + b"x", whole[:100] + b"?" + whole[101:], b""):
        path.write_bytes(spoilt)
        with pytest.raises(TargetError):
            step(rig)
        assert rig.system().history.staged == 0
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(StorageError):
        step(rig)
    assert rig.slots.read() == State(1) and Loader(rig.machine.fat, rig._free).slot() == "a"


def test_whatever_write_is_the_last_before_the_power_goes_the_box_starts(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the durable steps of install, trial and confirmation cut off: the next starts come to a
    system that is whole, and the update goes through in the end."""

    class Cut(BaseException):
        pass

    offered(rig, 400)
    real, count = os.fsync, 0
    limit: list[int | None] = [None]

    def fsync(descriptor: int) -> None:
        nonlocal count
        count += 1
        if limit[0] is not None and count > limit[0]:
            raise Cut
        real(descriptor)

    def through() -> None:
        for _ in range(12):
            state = rig.slots.read()
            if state.floor == 400 and Loader(rig.machine.fat, rig._free).slot() == "b":
                return
            rig.boot()
            if rig.machine.trial() is not None:
                rig.system().judge(lambda: "")
                continue
            for _ in range(3):
                if step(rig) == "armed":
                    break

    saved = rig.folder.with_name("saved")
    shutil.copytree(rig.folder, saved)
    monkeypatch.setattr(os, "fsync", fsync)
    through()
    total = count
    assert total > 20
    for cut in range(total):
        shutil.rmtree(rig.folder)
        shutil.copytree(saved, rig.folder)
        count, limit[0] = 0, cut
        try:
            through()
        except Cut:
            pass
        limit[0] = None
        state = rig.slots.read()
        started = Loader(rig.machine.fat, rig._free).slot()
        # What the firmware starts has its kernel, and what it leads to is whole.
        assert started == "a" or (rig.machine.fat / "b/vmlinuz").read_bytes() == b"kernel"
        if "b" in (state.confirmed, state.trial):
            assert rig.held("b")[: 64 << 10] == system_bytes(400)
        through()
        assert rig.slots.read().floor == 400, f"cut at {cut}"


# What can't be rebuilt


def table(path: Path, version: int, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(";".join([*statements, f"PRAGMA user_version = {version}"]))


def test_a_rollback_keeps_every_record_that_was_acknowledged_meanwhile(tmp_path: Path) -> None:
    data, place = tmp_path / "data", tmp_path / "before"
    data.mkdir()
    made = "CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL)"
    table(data / "usage.db", 1, made, "INSERT INTO event (what) VALUES ('one')")
    table(data / "outbox.db", 1, "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)",
          "INSERT INTO meta VALUES ('seq', '7')")  # fmt: skip
    kept.keep(data, place)
    # The new programs change one schema and leave the other.
    table(data / "usage.db", 2, "ALTER TABLE event ADD COLUMN more TEXT",
          "INSERT INTO event (what, more) VALUES ('two', 'x'), ('three', 'y')",
          "DELETE FROM event WHERE what = 'three'", "CREATE TABLE fresh (x)")  # fmt: skip
    table(data / "outbox.db", 1, "UPDATE meta SET value = '8'")
    assert kept.put_back(data, place, 9) == ["usage.db"]
    with closing(sqlite3.connect(data / "usage.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT * FROM event ORDER BY id").fetchall() == [(1, "one"), (2, "two")]
        db.execute("INSERT INTO event (what) VALUES ('four')")
        assert db.execute("SELECT max(id) FROM event").fetchone() == (4,)  # 3 was used
    with closing(sqlite3.connect(data / "outbox.db")) as db:
        assert db.execute("SELECT value FROM meta").fetchone() == ("8",)
    assert (data / "usage.db.after-9").is_file()
    assert kept.put_back(data, place, 9) == []  # run again


def ended(act: Callable[[], object]) -> int:
    """What a process that does only this, and cleans up nothing behind itself, ends with."""
    child = os.fork()
    if not child:
        try:
            act()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_wherever_a_rollback_is_cut_off_no_database_is_lost(tmp_path: Path) -> None:
    """Ended at every line of it, those that copy bytes too: the databases are there and
    whole, and the next run comes to what one run would have come to."""
    data, place, saved = tmp_path / "data", tmp_path / "before", tmp_path / "saved"
    data.mkdir()
    made = "CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL)"
    for name in kept.DATABASES:
        table(data / name, 1, "PRAGMA journal_mode = WAL", made, "INSERT INTO event (what) VALUES ('one')")
    kept.keep(data, place)

    def tried() -> None:  # power goes while they are open: what the trial wrote lies in -wal
        for name in kept.DATABASES[:1]:
            db = sqlite3.connect(data / name)
            db.executescript(
                "ALTER TABLE event ADD COLUMN more TEXT; PRAGMA user_version = 2;"
                "INSERT INTO event (what, more) VALUES ('two', 'x')"
            )
        os._exit(0)

    assert ended(tried) == 0 and (data / "usage.db-wal").stat().st_size
    shutil.copytree(tmp_path, saved)
    followed = {kept.__file__, files.__file__}

    def cut_at(line: int) -> bool:
        """Whether it came to that line of all that are run, and ended there."""
        left = line

        def follow(frame: Any, event: str, _: Any) -> Any:
            nonlocal left
            code = frame.f_code
            if code.co_filename not in followed and code.co_name != "copyfileobj":
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os._exit(9)
            return follow

        def act() -> None:
            sys.settrace(follow)
            kept.put_back(data, place, 9)

        code = ended(act)
        assert code in (0, 9)
        return code == 9

    line = 0
    while True:
        for folder in (data, place):
            shutil.rmtree(folder)
            shutil.copytree(saved / folder.name, folder)
        cut = cut_at(line)
        for name in kept.DATABASES:
            assert (data / name).stat().st_size, f"{name}, cut at {line}"
        kept.put_back(data, place, 9)
        for name in kept.DATABASES:
            with closing(sqlite3.connect(data / name)) as db:
                assert db.execute("PRAGMA user_version").fetchone() == (1,), (name, line)
                told = [what for (what,) in db.execute("SELECT what FROM event ORDER BY id")]
            assert told == (["one", "two"] if name == "usage.db" else ["one"]), (name, line)
        with closing(sqlite3.connect(data / "usage.db.after-9")) as db:
            assert db.execute("SELECT more FROM event WHERE what = 'two'").fetchone() == ("x",), line
        line += 1
        if not cut:
            break
    assert line > 100


@pytest.mark.parametrize("aside", [True, False])
@pytest.mark.parametrize("empty", [True, False])
def test_a_database_that_a_trial_lost_is_put_back(tmp_path: Path, aside: bool, empty: bool) -> None:
    """Gone, or without a byte: from the newer file that was put aside, else as it was before."""
    data, place = tmp_path / "data", tmp_path / "before"
    data.mkdir()
    table(
        data / "usage.db", 1, "CREATE TABLE event (what TEXT PRIMARY KEY)", "INSERT INTO event VALUES ('one')"
    )
    kept.keep(data, place)
    table(data / "usage.db", 2, "INSERT INTO event VALUES ('two')")
    (data / "usage.db").rename(data / ("usage.db.after-9" if aside else "gone"))
    if empty:
        (data / "usage.db").touch()
    assert kept.put_back(data, place, 9) == ["usage.db"]
    with closing(sqlite3.connect(data / "usage.db")) as db:
        assert db.execute("SELECT count(*) FROM event").fetchone() == (2 if aside else 1,)


def test_copies_wait_for_the_disk_that_they_are_of(rig: Rig) -> None:
    """A trial raised a schema on the lessons disk, and the start that goes back does not see that disk."""
    data, before = rig.machine.data, rig.machine.home / "before"
    disk, memory = data.with_name("disk"), data.with_name("memory")
    table(data / "usage.db", 1, "CREATE TABLE event (what TEXT PRIMARY KEY)")
    rig.slots.write(armed(rig.slots.read(), 9))
    rig.boot()
    assert (before / "usage.db").exists()
    table(data / "usage.db", 2)
    rig.slots.write(refused(rig.slots.read(), "page"))
    data.rename(disk)
    memory.mkdir()
    (memory / "not-kept").touch()
    memory.rename(data)
    rig.boot()
    assert (before / "usage.db").exists() and not (data / "usage.db").exists()
    data.rename(memory)
    disk.rename(data)
    rig.boot()
    assert not before.exists()
    with closing(sqlite3.connect(data / "usage.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_try_without_the_disk_copies_nothing(rig: Rig) -> None:
    (rig.machine.data / "not-kept").touch()
    rig.slots.write(armed(rig.slots.read(), 9))
    rig.boot()
    assert not (rig.machine.home / "before").exists()


# When


def test_quiet_is_night_without_a_class_or_long_without_use() -> None:
    night, day = (
        1_760_000_000 - 1_760_000_000 % 86_400 + 23 * 3600,
        1_760_000_000 // 86_400 * 86_400 + 10 * 3600,
    )
    free = Budget(BudgetPolicy(), 0)
    sure = Known(float(night), 2)
    assert quiet(free, sure, 3600, 0)
    assert not quiet(free, sure, 60, 1e9)
    assert not quiet(free, Known(float(day), 2), 3600, 0)
    assert quiet(free, Known(float(day), 2), 3600, 8 * 86_400)
    assert not quiet(free, None, 3600, 1e9) and quiet(free, None, 4 * 3600, 0)
    live = Budget(BudgetPolicy(live=(Window("1234567", 23 * 60 + 20, 24 * 60, 0),)), 0)
    assert not quiet(live, sure, 3600, 0)


# The programs alone


class Commands:
    """What systemctl and pip would do, to folders."""

    def __init__(self, places: Path) -> None:
        self.places, self.said = places, list[str]()

    def __call__(self, words: Any, patience: float = 0) -> str:
        self.said.append(" ".join(words))
        if words[1:3] == ["-m", "venv"]:
            (Path(words[3]) / "bin").mkdir(parents=True)
        return ""


@pytest.fixture
def programs(county: UpdateCounty, tmp_path: Path) -> Programs:
    places = tmp_path / "opt/lessonbox.d"
    (places / "old").mkdir(parents=True)
    (tmp_path / "opt/lessonbox").symlink_to(places / "old")
    (tmp_path / "data").mkdir()
    machine = Machine(
        data=tmp_path / "data", home=tmp_path / "home", places=places, link=tmp_path / "opt/lessonbox"
    )
    machine.home.mkdir()
    made = Programs(machine, History(machine.home / "h.json"), Commands(places), lambda: "")
    made.settle()
    return made


def wheels(county: UpdateCounty, programs: Programs, number: int) -> Update:
    members = {f"lessonbox-0.{number}-py3-none-any.whl": b"wheel", "requirements.txt": b"# none\n"}
    folder = programs.machine.home
    file = update_file(folder / f"{number}.update", "app-amd64-311", number, members=members)
    listed = county.publish(file)
    county.offer(listed, programs.machine.data)
    return listed.update


def test_new_programs_take_the_place_of_the_old_ones_only_when_they_are_well(
    county: UpdateCounty, programs: Programs
) -> None:
    old = programs.machine.link.resolve()
    first = wheels(county, programs, 10)
    programs.stage(first)
    assert programs.staged(first) and programs.machine.link.resolve() == old
    assert programs.switch(first) == ""
    assert programs.machine.link.resolve().name == programs.updater.resolve().name == "update-10"
    second = wheels(county, programs, 11)
    programs.stage(second)
    programs.ails = lambda: "page"
    assert programs.switch(second) == "page"
    assert programs.machine.link.resolve().name == "update-10"
    assert programs.read() == Switch(10, 11, "page")
    with pytest.raises(RollbackError):
        programs.check_newer(second)
    with pytest.raises(RollbackError):
        programs.check_newer(first)


def test_what_install_has_put_there_since_is_not_taken_back(county: UpdateCounty, programs: Programs) -> None:
    (programs.machine.link / "update-number").write_text("13\n")
    older, newer = wheels(county, programs, 12), wheels(county, programs, 14)
    with pytest.raises(RollbackError, match="this box has 13"):
        programs.stage(older)
    programs.stage(newer)
    assert programs.switch(newer) == "" and programs.machine.running() == (14, "")
    # install.sh again, from what the county will publish too: nothing to say.
    (programs.machine.places / "by-hand").mkdir()
    (programs.machine.places / "by-hand/update-number").write_text("15\n")
    programs.machine.link.unlink()
    programs.machine.link.symlink_to(programs.machine.places / "by-hand")
    same = wheels(county, programs, 15)
    with pytest.raises(RollbackError):
        programs.check_newer(same)
    assert _known(programs, same) and not _known(programs, older)


def test_power_that_goes_while_new_programs_are_tried_brings_back_the_old_ones(
    county: UpdateCounty, programs: Programs
) -> None:
    update = wheels(county, programs, 20)
    old = programs.machine.link.resolve()

    class Cut(BaseException):
        pass

    def cut() -> str:
        raise Cut

    programs.ails = cut
    for begun in (1, 2):
        programs.stage(update)
        with pytest.raises(Cut):
            programs.switch(update)
        assert programs.machine.link.resolve().name == "update-20"
        assert programs.updater.resolve() == old  # what decides is not what is tried
        programs.settle()
        assert programs.machine.link.resolve() == old
        assert programs.read().refused == (20 if begun == 2 else 0)
    with pytest.raises(RollbackError):
        programs.check_newer(update)


def test_what_tried_new_programs_was_ended_and_the_machine_runs_on(
    county: UpdateCounty, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it waits for the verdict: its next run first goes back, with web, sync and agent stopped,
    and only then tries again, with the old place to go back to."""
    update, old = wheels(county, programs, 22), programs.machine.link.resolve()
    said, offered = programs.run.said, "app-amd64-311"  # type: ignore[attr-defined]
    monkeypatch.setattr(Machine, "kind", offered)
    monkeypatch.setattr(Machine, "trial", lambda machine: None)
    monkeypatch.setattr("appliance.update.program.open_programs", lambda machine: programs)

    class Killed(BaseException):
        pass

    def killed() -> str:
        raise Killed

    programs.ails = killed
    programs.stage(update)
    with pytest.raises(Killed):
        programs.switch(update)
    said.clear()
    assert install(programs.machine, lambda: False, lambda: None) == "waits"
    assert programs.machine.link.resolve() == old and not programs.read().trying
    stopped = "systemctl stop lessonbox-web.socket lessonbox-web.service"
    assert said[0].startswith(stopped) and "systemctl start --no-block lessonbox-agent.service" in said
    programs.ails = lambda: "page"
    assert install(programs.machine, lambda: True, lambda: None) == "page"
    assert programs.machine.link.resolve() == old


# Its verdict, and what the county hears of it


class Looks:
    """What a system under trial shows, look by look."""

    def __init__(self, *wrong: str) -> None:
        self.wrong, self.now = list(wrong), 0.0

    def look(self) -> str:
        return self.wrong.pop(0) if len(self.wrong) > 1 else self.wrong[0]

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def verdict(self, begun: Callable[[], tuple[str, ...]] = lambda: ("0",)) -> str:
        return check.well(self.look, begun, 100, lambda: self.now, self.wait)


def test_well_is_what_stays_well() -> None:
    assert Looks("page", "page", "sync", "").verdict() == ""
    assert Looks("page").verdict() == "page"
    assert Looks("", "lesson").verdict() == "lesson"
    restarts = iter(range(1000))
    assert Looks("").verdict(lambda: (str(next(restarts)),)) == "restless"


def test_what_is_looked_at(tmp_path: Path) -> None:
    page, lessons = b"x" * 500, {"lessons": [{"resources": [{"url": "/content/ab/x.mp4"}]}]}
    pages = {"/": page, "/api/v1/lessons?state=present&limit=1": json.dumps(lessons).encode()}
    units = {"lessonbox-sync.service": "active", "lessonbox-agent.service": "active"}

    def get(url: str, header: str) -> tuple[int, bytes]:
        path = url.removeprefix("http://box")
        if path not in pages:
            raise OSError("refused")
        return 206 if header else 200, pages[path]

    def ails() -> str:
        return check.ails("http://box", tmp_path, lambda words: units[words[-1]] + "\n", get)

    assert ails() == "lesson"
    pages["/content/ab/x.mp4"] = b"film"
    assert ails() == ""
    (tmp_path / "enrolment.json").touch()
    assert ails() == ""
    units["lessonbox-agent.service"] = "activating"
    assert ails() == "agent"
    units["lessonbox-sync.service"] = "failed"
    assert ails() == "sync"
    for name in units:
        units[name] = "active"
    (tmp_path / "not-kept").touch()
    assert ails() == "data", "a blank box in memory, its disk is not there"
    (tmp_path / "not-kept").unlink()
    pages["/"] = b""
    assert ails() == "page"


def test_the_county_hears_once_of_each_update_that_was_tried(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    first = {"number": 7, "version": "0.2", "well": False, "why": "page", "at": 1_760_000_000}
    results: list[dict[str, Any]] = [first]
    take_updates(outbox, results)
    take_updates(outbox, results)
    results.append({"number": 8, "version": "0.3", "well": True, "why": "", "at": 1_760_000_900})
    take_updates(outbox, results)
    rows = outbox._db.execute("SELECT list, body FROM record ORDER BY number").fetchall()
    outbox.close()
    records = [parse_record(row[0], json.loads(row[1])) for row in rows]
    assert [(r.number, r.well, r.why) for r in records if isinstance(r, UpdateRecord)] == [
        (7, False, "page"),
        (8, True, ""),
    ]
    reports = tmp_path / "reports.db"
    database.create(reports)
    with closing(sqlite3.connect(reports)) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        batch = SimpleNamespace(box="b-1", records=[("updates", record) for record in records])
        assert store(db, batch, 1, 1_760_001_000)  # type: ignore[arg-type]
        assert not store(db, batch, 2, 1_760_001_000)  # type: ignore[arg-type]
        assert db.execute("SELECT number, well, why FROM updated ORDER BY number").fetchall() == [
            (7, 0, "page"), (8, 1, ""),
        ]  # fmt: skip
