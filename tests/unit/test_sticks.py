"""Sticks that are mounted, and the desk in sync that does what pages ask with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance import sticks
from appliance.sticks import Ask, Desk, leave, mounted, requests
from content_sync.errors import BusyError, DiskFullError, FormatError, LessonBoxError
from content_sync.testing.fakes import ManualClock

MOUNTS = """22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 8:17 / {top}/SD\\040卡 rw,nosuid shared:5 - vfat /dev/sdb1 rw
31 22 8:18 / {top}/SD\\040卡/inner rw - vfat /dev/sdb2 rw
32 22 8:19 / {top}else/x rw - vfat /dev/sdc1 rw
33 22 0:9 / /proc rw - proc proc rw
nonsense
"""


def test_only_what_is_mounted_in_these_folders_is_a_stick(tmp_path: Path) -> None:
    top = tmp_path / "media"
    (top / "SD 卡").mkdir(parents=True)
    (top / "left behind").mkdir()
    table = tmp_path / "mountinfo"
    table.write_bytes(
        MOUNTS.format(top=top).encode() + b"34 22 8:20 / " + str(top).encode() + b"/\xff\xfe rw\n"
    )
    (found,) = mounted([str(top)], table)
    assert found.name == "SD 卡" and found.path == str(top / "SD 卡")
    assert found.total and found.free is not None
    (top / "SD 卡").rmdir()
    (gone,) = mounted([str(top) + "/"], table)
    assert gone.total is None, "a medium that died is shown, without figures"
    assert mounted([str(top)], tmp_path / "none") == [] and mounted([], table) == []


def test_a_request_is_read_or_refused(tmp_path: Path) -> None:
    for number in range(4):
        leave(tmp_path, Ask("import", f"/media/{number}"))
    with pytest.raises(BusyError):
        leave(tmp_path, Ask("import", "/media/5"))
    assert {sticks.read(path).path for path in requests(tmp_path)} == {f"/media/{n}" for n in range(4)}
    bad = tmp_path / "stick-0123456789abcdef.json"
    for data in (b"", b"{}", b'{"format":"lessonbox-stick/1","do":"rm","path":"/"}',
                 b'{"format":"lessonbox-stick/1","do":"import","path":""}', b"x" * 20_000):  # fmt: skip
        bad.write_bytes(data)
        with pytest.raises(FormatError):
            sticks.read(bad)


@dataclass
class Job:
    """An import as the engine does it, in slices by hand."""

    done: bool = False
    files: int = 0
    lessons: int = 0
    error: LessonBoxError | None = None


class Office:
    """A desk, what it tells, and the jobs that it began."""

    def __init__(self, folder: Path, before: dict[str, Any] | None = None) -> None:
        self.incoming, self.clock, self.told = folder, ManualClock(), list[dict[str, Any]]()
        self.jobs: list[Job] = []
        self.go, self.at = threading.Event(), threading.Event()
        self.end: Exception | None = None
        self.desk = Desk(
            folder, ("/media",), self.clock, self.take, self.export, lambda top: {"wanted": 3, "batches": 1},
            lambda top: {"bytes": 7}, self.told.append, before,
        )  # fmt: skip

    def take(self, path: Path) -> Job:
        self.jobs.append(Job())
        return self.jobs[-1]

    def export(self, top: Path, step: Callable[[int, int], None]) -> dict[str, Any]:
        step(2, 5)
        self.at.set()
        assert self.go.wait(30)
        if self.end is not None:
            raise self.end
        return {"lessons": 5, "left_lessons": 1, "problems": ["not for people"]}

    def look(self, seconds: float = 2) -> dict[str, Any]:
        self.clock.go(seconds)
        self.desk.look()
        return self.told[-1]

    def finish(self) -> dict[str, Any]:
        """Let the writing end; what is told then."""
        self.go.set()
        for _ in range(3000):
            if not self.look()["going"]:
                return self.told[-1]
            threading.Event().wait(0.01)
        raise AssertionError("it does not end")


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    there = [sticks.Stick(path, "盘", 1, 1) for path in ("/media/a", "/media/b")]
    monkeypatch.setattr(sticks, "mounted", lambda folders: there)
    return Office(tmp_path)


def test_an_import_is_begun_told_and_ended(office: Office) -> None:
    office.desk.look()
    assert office.told == [] and not office.desk.due and not office.desk.importing
    leave(office.incoming, Ask("import", "/media/a"))
    assert office.look()["going"]
    leave(office.incoming, Ask("import", "/media/b"))
    office.look()
    assert len(office.jobs) == 1, "one stick at a time"
    assert len(list(requests(office.incoming))) == 1, "gone before it is done"
    office.jobs[0].files = 7
    assert not office.desk.due and office.desk.importing
    assert office.look() == {
        "do": "import",
        "name": "a",
        "path": "/media/a",
        "going": True,
        "files": 7,
        "new_lessons": 0,
    }
    office.jobs[0].done, office.jobs[0].lessons = True, 2
    assert office.desk.due
    assert office.look()["new_lessons"] == 2 and not office.told[-1]["going"]
    assert office.look()["path"] == "/media/b" and len(office.jobs) == 2


def test_an_export_is_told_while_it_is_written(office: Office) -> None:
    leave(office.incoming, Ask("export", "/media/a"))
    office.look()
    assert office.at.wait(30) and not office.desk.importing, "the engine need not hurry"
    assert office.look() | {"step": 2, "of": 5} == office.told[-1]
    end = office.finish()
    assert end["lessons"] == 5 and end["left_lessons"] == 1 and "problems" not in end and "error" not in end


@pytest.mark.parametrize(
    "fault, code", [(DiskFullError("the stick is full"), "E-DISK-FULL"), (OSError("io"), "E-INTERNAL")]
)
def test_what_ends_badly_is_never_told_as_done(office: Office, fault: Exception, code: str) -> None:
    office.end = fault
    leave(office.incoming, Ask("export", "/media/a"))
    office.look()
    end = office.finish()
    assert end["error"] == code and end["message"]


def test_a_request_for_the_county_and_one_for_what_is_no_stick(office: Office) -> None:
    leave(office.incoming, Ask("export", "/etc"))
    assert office.look()["error"] == "E-NOT-FOUND" and not office.told[-1]["going"]
    leave(office.incoming, Ask("request", "/media/b"))
    office.look()
    assert office.finish()["wanted"] == 3


def test_what_a_power_cut_ended_does_not_go_on_for_ever(tmp_path: Path) -> None:
    office = Office(tmp_path, {"do": "export", "name": "a", "path": "/media/a", "going": True})
    assert office.told[-1]["going"] is False and office.told[-1]["error"]
    assert Office(tmp_path, {"do": "export", "going": False}).told == []
