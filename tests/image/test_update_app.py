"""An update of the programs alone, on a Debian 12 where install.sh put them, booted by systemd: fetched from
drop/ like a lesson, tried, confirmed or gone back from (`make test-update`, as root)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.update.paper import OFFER
from tests.image.roots import ROOT, Machine, booted, make_root, make_wheelhouse, wheel_of
from tests.image.test_install import BOX, DATA, all_up, get, install, pids, publish, served
from tests.image.updating import FREE, forged_offer, quiet_word

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.needs("mmdebstrap", "systemd-nspawn", "nsenter"),
]
KIND = "app-amd64-311"
#: A school's box is back within so many seconds of the switch.
WITHIN = 300.0
#: What is wrong with the bad one, in the first lines of the module that every page needs.
BROKEN = b'raise RuntimeError("this version does not work")\n'


def broken(wheel: Path) -> None:
    """Let web end as soon as it begins; the verbs of the command line are as they were."""
    made = wheel.with_suffix(".new")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename == "appliance/web/app.py":
                data = data.replace(b"\nimport ", b"\n" + BROKEN + b"import ", 1)
                assert BROKEN in data
            new.writestr(entry, data)
    made.replace(wheel)


class School:
    """A machine with a box on it, and the county's desk in the same machine."""

    def __init__(self, machine: Machine, wheels: Path, work: Path) -> None:
        self.machine, self.wheels, self.work = machine, wheels, work
        self._began = time.monotonic()
        self._drops = 0

    def step(self, text: str) -> None:
        """Say how far it is."""
        print(f"{time.monotonic() - self._began:.0f} s: {text}", flush=True)

    def make(self, number: int, change: Callable[[Path], None] = lambda wheel: None) -> str:
        """The county publishes these programs as an update; their version."""
        version, folder = f"9.0.{number}", self.work / str(number)
        folder.mkdir()
        for path in self.wheels.iterdir():
            if not path.name.startswith("lessonbox-"):
                (folder / path.name).hardlink_to(path)
        change(wheel_of(version, folder))
        out = self.machine.top / "srv" / f"{number}.update"
        words = ["app", str(folder), "amd64", "3.11", str(number), str(out)]
        subprocess.run([sys.executable, str(ROOT / "images" / "update.py"), *words], check=True)
        self.county(f"system-update publish --data /srv/county /srv/{number}.update")
        return version

    def county(self, words: str) -> None:
        """One of the county's commands; what it releases goes into the box's drop folder."""
        self._drops += 1
        drop = f"{DATA}/drop/{self._drops}"
        self.machine.run(
            f"/opt/lessonbox/bin/county {words} && mkdir {drop}.new"
            f" && cp -r /srv/county/public /srv/county/objects {drop}.new && chown -R lessonbox: {drop}.new"
            f" && mv {drop}.new {drop}"
        )

    def told(self) -> dict[str, Any]:
        """What root's program tells."""
        said = self.machine.run("cat /run/lessonbox-update/status.json", check=False)
        found: dict[str, Any] = json.loads(said) if said.startswith("{") else {"staged": 0, "results": []}
        return found

    def staged(self, number: int) -> None:
        """Until its place is made."""
        self.machine.wait(lambda: self.told()["staged"] == number, 300, f"update {number} lies ready")

    def switch(self, wait: bool = True) -> None:
        """What sync says at night when nobody teaches; then root's next look."""
        sync = self.machine.show("lessonbox-sync.service", "MainPID")
        # Shut in, a program does not see the id that the container has of its own.
        read = f"nsenter -t {sync} -m cat /proc/sys/kernel/random/boot_id"
        boot_id = self.machine.run(read).strip()
        up = int(float(self.machine.run("cut -d' ' -f1 /proc/uptime")))
        start = "systemctl start" if wait else "systemctl start --no-block"
        self.machine.run(f"{FREE}; {quiet_word(boot_id, up)}; {start} lessonbox-update")

    def place(self) -> str:
        """The programs that run, and what installs the next."""
        links = self.machine.run("readlink /opt/lessonbox /opt/lessonbox-updater").split()
        assert links[0] == links[1], links
        return Path(links[0]).name

    def places(self) -> str:
        """All programs that were ever made here, and which of them run."""
        return self.place() + self.machine.run("ls /opt/lessonbox.d")

    def offers(self) -> bool:
        """Whether sync has an update for root."""
        return self.machine.run(f"cat {DATA}/{OFFER}", check=False).startswith("{")

    def problems(self) -> set[str]:
        """What the box says is wrong with it."""
        return {it["code"] for it in json.loads(get(self.machine, "/api/v1/status"))["problems"]}


@pytest.fixture
def school(tmp_path: Path) -> Any:
    base, wheels = make_root(12, tmp_path), make_wheelhouse(12, tmp_path)
    (tmp_path / "machine").mkdir()
    with booted(base, tmp_path / "machine") as machine:
        machine.run("mkdir /srv/wh")
        for wheel in wheels.iterdir():
            (machine.top / "srv/wh" / wheel.name).write_bytes(wheel.read_bytes())
        (machine.top / "srv/wh/update-number").write_text("60\n")  # below the first, above the older one
        install(machine)
        publish(machine)
        install(machine, "--enrolment /srv/school.json")
        all_up(machine)
        yield School(machine, wheels, tmp_path)


def test_the_life_of_its_programs(school: School) -> None:
    machine = school.machine
    good(school, 100)
    cut_off(school, 150)
    bad(school, 200)
    forged(school, 200)
    older(school, 50)
    served(machine)
    school.step("done")


def good(school: School, number: int) -> None:
    """Confirmed."""
    school.step("a good one")
    machine, running = school.machine, pids(school.machine)
    version = school.make(number)
    school.staged(number)
    assert pids(machine) == running, "nothing is touched before it is quiet"
    school.switch()
    assert school.place() == f"update-{number}"
    assert version in machine.run("/opt/lessonbox/bin/lessonbox --version")
    (result,) = school.told()["results"]
    assert (result["number"], result["well"]) == (number, True)
    all_up(machine, but=running)
    served(machine)
    assert "E-UPDATE" not in school.problems()


def cut_off(school: School, number: int) -> None:
    """Power goes while one is tried: the programs before it begin, and it is tried once more."""
    school.step("power goes while one is tried: back, then once more")
    machine, before = school.machine, school.place()
    school.make(number)
    school.staged(number)
    school.switch(wait=False)
    machine.wait(lambda: f"update-{number}" in machine.run("readlink /opt/lessonbox"), 120, "it is tried")
    machine.cut()
    all_up(machine)
    assert school.place() == before
    served(machine)
    school.switch()
    assert school.place() == f"update-{number}" and school.told()["results"][-1]["well"] is True
    all_up(machine)


def bad(school: School, number: int) -> None:
    """One whose pages do not come goes back by itself, is told, and is not tried again."""
    school.step("a broken one")
    machine, before = school.machine, school.place()
    version = school.make(number, broken)
    school.staged(number)
    began = time.monotonic()
    school.switch()
    served(machine)
    took = time.monotonic() - began
    school.step(f"the old programs serve again after {took:.0f} s")
    assert took < WITHIN
    assert school.place() == before
    assert school.told()["results"][-1] | {"at": 0} == {
        "number": number, "version": f"{version}-{number}", "well": False, "why": "page", "at": 0,
    }  # fmt: skip
    assert "E-UPDATE" in school.problems()
    all_up(machine)
    said = json.loads(machine.run(BOX.format("status --json"), user="lessonbox"))
    assert said["lessons"]["present"] == 1
    school.switch()
    assert school.place() == before, "it is not tried again"


def forged(school: School, number: int) -> None:
    """The signed one under another number, as a sync that was broken into might offer it."""
    school.step("a forged one")
    machine, before = school.machine, school.places()
    machine.run(forged_offer(machine.run(f"cat {DATA}/{OFFER}"), number, number + 100))
    school.switch()
    assert "E-SIGNATURE" in school.problems()
    assert school.places() == before


def older(school: School, number: int) -> None:
    """The county has taken the newest back, and publishes one that the box is past."""
    school.step("an older one")
    machine, before = school.machine, school.places()
    school.county(f"system-update withdraw --data /srv/county {KIND}")
    machine.wait(lambda: not school.offers(), 300, "it is withdrawn")
    machine.wait(lambda: "E-SIGNATURE" not in school.problems(), 120, "its problem is gone too")
    school.make(number)
    machine.wait(school.offers, 300, "it is offered")
    school.switch()
    assert "E-ROLLBACK" in school.problems()
    assert school.places() == before
