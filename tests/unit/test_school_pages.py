"""The school's pages through WSGI: PIN, the first PIN, doors, what they leave for the other programs."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from appliance import asked, digits, sticks
from appliance.disks import Disk
from appliance.school import baskets, sheets, teachers
from appliance.school.database import School
from appliance.school.tally import Tally
from appliance.web import troubles
from appliance.web.app import Board, create_app
from appliance.web.classes import counted
from appliance.web.pin import FIRST_SECONDS, Pin, set_pin
from appliance.web.search.index import Index, Indexer
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import StorageError, all_errors
from content_sync.ports import Neighbour
from content_sync.testing.fakes import ManualClock
from tests.box import sample
from tests.unit.test_web_app import Memory

PIN, OTHER = "286401", "730915"
OWN = {"Origin": "http://lesson.local"}
BEHIND = ("/school/progress", "/school/space", "/school/network", "/school/stick", "/school/restart",
          "/pin/change")  # fmt: skip
OPEN = ("/school", "/school/clock", "/school/problems", "/school/door", "/status", "/pin")


def test_names_are_tapped_only_so_often_from_one_address(tmp_path: Path) -> None:
    """Each is a row of school.db: three a board in ten minutes, where forty stand behind one address."""
    site = Site(tmp_path)
    wang = teachers.save(site.school, "王秀英", "语文")

    def tap(address: str = "127.0.0.1") -> int:
        here: Any = {
            "base_url": "http://lesson.local",
            "headers": OWN,
            "environ_base": {"REMOTE_ADDR": address},
        }
        return site.client.post("/who", data={"teacher": wang}, **here).status_code

    assert [tap() for _ in range(121)] == [303] * 120 + [429]
    assert tap("10.0.0.9") == 303


class Machine:
    """The machine, as far as pages know it."""

    def __init__(self) -> None:
        self.plugged: list[sticks.Stick] = [sticks.Stick("/media/x", "<b>盘", 8_000_000_000, 5_000_000_000)]
        self.restarts = 0
        self.helper = self.busy = False
        self.usb: list[Disk] | None = None
        self.asked: list[str] = []

    def sticks(self) -> Sequence[sticks.Stick]:
        return self.plugged

    def restart(self) -> None:
        self.restarts += 1

    def helped(self) -> bool:
        return self.helper

    def reboot(self) -> None:
        self.asked.append("reboot")

    def power_off(self) -> None:
        self.asked.append("poweroff")

    def disks(self) -> list[Disk] | None:
        return self.usb

    def make_disk(self, token: str) -> None:
        self.asked.append(f"make-disk {token}")
        if self.busy:
            raise StorageError("mkfs.ext4: no")

    def unmount(self, name: str) -> None:
        self.asked.append(f"unmount {name}")
        if self.busy:
            raise StorageError("target is busy")


class Site:
    """A box whose PIN is set, and a browser."""

    def __init__(self, data: Path, pin: str | None = PIN) -> None:
        self.box, self.main = sample(data, 1_760_000_000)
        self.paths, self.clock, self.machine = self.box.paths, ManualClock(), Machine()
        for folder in (self.paths.incoming, self.paths.received):
            folder.mkdir()
        self.reader = StateReader(self.paths.state_db)
        Indexer(self.paths.search_db, self.reader).step()
        self.problems: list[dict[str, Any]] = []
        if pin:
            set_pin(self.paths.pin, pin)
        self.pin, self.school = Pin(self.paths.pin, self.clock), School(self.paths.school_db)
        self.app = create_app(
            Board(
                self.paths.objects,
                self.reader,
                Index(self.paths.search_db),
                Memory(),
                self.clock,
                self.status,
                received=self.paths.received,
                incoming=self.paths.incoming,
                pin=self.pin,
                machine=self.machine,
                neighbours=lambda: [Neighbour("b-" + "1" * 16, "http://10.0.0.9")],
                wifi="溪口<教室>",
                school=self.school,
                tally=Tally(
                    self.school, self.paths.usage_db, self.paths.outbox_db, self.clock, counted(self.reader)
                ),
            )
        )
        self.client = Client(self.app)

    def status(self) -> dict[str, Any]:
        return {
            "box": "b-1",
            "release": 3,
            "lessons": {"present": 4, "arriving": 1, "wanted": 1},
            "outbox": {"unacknowledged": 2},
            "clock": {"trusted": False, "source": "none"},
            "address": "lesson.local",
            "sources": {"county": {"reached": True}},
            "budget": {},
            "space": {},
            "progress": {},
            "problems": self.problems,
        }

    def tell(self, key: str, value: Any) -> None:
        """As sync writes it into state.db."""
        with sqlite3.connect(self.paths.state_db) as db:
            db.execute("INSERT OR REPLACE INTO status VALUES (?, ?)", (key, json.dumps(value)))
        db.close()

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(path, base_url="http://lesson.local", buffered=True, **more)

    def post(self, to: str, headers: dict[str, str] = OWN, remote: str = "10.0.0.7", **form: str) -> Any:
        return self.client.post(
            to,
            base_url="http://lesson.local",
            data=form,
            headers=headers,
            environ_overrides={"REMOTE_ADDR": remote},
        )

    def enter(self, pin: str = PIN) -> str:
        """Type the PIN; the session's secret."""
        assert self.post("/pin", pin=pin).status_code == 303
        return self.secret()

    def secret(self) -> str:
        found = re.search('name="secret" value="([0-9a-f]{32})"', self.get("/school/restart").text)
        assert found is not None
        return found[1]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "N", 16)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "box")


def test_the_tab_opens_with_the_pin_and_shuts_by_itself(site: Site) -> None:
    for path in OPEN:
        assert site.get(path).status_code == 200
    for path in BEHIND:
        answer = site.get(path)
        assert answer.status_code == 302 and answer.headers["Location"] == f"/pin?next={path}"
    assert "锁着" in site.get("/school").text
    answer = site.post("/pin", pin=PIN, next="/school/space")
    assert answer.headers["Location"] == "/school/space"
    for path in (*BEHIND, *OPEN):
        page = site.get(path)
        assert page.status_code == 200 and PIN not in page.text
    assert "15分钟不用就锁上" in site.get("/school").text
    site.clock.go(600)
    assert "5分钟不用就锁上" in site.get("/status").text, "looking at an open page does not hold it open"
    site.clock.go(301)
    assert site.get("/school/space").status_code == 302
    assert "锁着" in site.get("/status").text


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_in_both_languages(site: Site, language: str) -> None:
    site.tell("space", {"free": 10**9, "total": 10**10, "reserve": 10**8})
    site.tell("stick", {"do": "import", "name": "x", "path": "/media/x", "going": False, "files": 7})
    site.problems += [{"code": c.code, "subject": "s", "message": "a", "since": 0} for c in all_errors()]
    site.enter()
    site.get(f"/?lang={language}")
    for path in (*BEHIND, *OPEN):
        page = site.get(path)
        assert page.status_code == 200 and "<b>盘" not in page.text and "溪口<" not in page.text
        if language == "en":
            seen = re.sub(r"<[^>]+>", " ", page.text)
            for lesson, _, _ in site.box.lessons:
                seen = seen.replace(lesson.title, "")
            seen = re.sub("溪口|教学点|教室|盘|青川县|课箱|中文|语文|数学", "", seen)
            assert not re.search("[一-鿿]", seen), (path, re.findall("[一-鿿]+", seen))


def test_problems_of_local_lessons_and_sticks_are_told_in_the_pages_language(site: Site) -> None:
    said = "本校资料没有办成，县里的课不受影响，请在“本校资料”里再试一次（nope.mp4 is not there）"
    with closing(sqlite3.connect(site.paths.state_db)) as db, db:
        db.execute("INSERT INTO problem VALUES ('E-LOCAL', 'local/x', ?, 0)", (said,))
    told = {"do": "import", "name": "USB", "path": "/m", "going": False, "error": "E-NOT-FOUND"}
    site.tell("stick", told | {"message": "USB is not plugged in any more"})
    site.enter()
    assert "本校资料没有办成" in site.get("/local/manage").text
    page = site.get("/school/stick").text
    assert "U盘拔掉了" in page and "E-NOT-FOUND" in page and "not plugged in" not in page
    page = site.get("/local/manage?lang=en").text
    assert "本校资料" not in page and "nope.mp4 is not there" in page and "Add the file again" in page


def test_ten_wrong_pins_wait_ever_longer_and_say_so(site: Site) -> None:
    waits = []
    for _ in range(10):
        answer = site.post("/pin", pin="000000")
        assert answer.status_code == 403 and "密码不对" in answer.text
        found = re.search(r'id="wait">请过(\d+)秒再试', answer.text)
        waits.append(int(found[1]) if found else 0)
        page = site.get("/pin")
        if waits[-1]:
            assert "disabled" in page.text and f"请过{waits[-1]}秒再试" in page.text, (
                "the wait is on the page itself"
            )
            assert f'content="{waits[-1] + 1}; url=/pin?next=/school"' in page.text
            early = site.post("/pin", pin=PIN)
            assert early.status_code == 403 and "密码不对" not in early.text, "the right one waits too"
        site.clock.go(waits[-1])
    assert waits == [0, 0, 10, 20, 40, 80, 160, 320, 640, 900]
    assert site.post("/pin", pin=PIN).status_code == 303


def test_no_pin_is_ever_written_to_a_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        site.enter()
        site.post("/pin", pin="918273")
        site.post("/pin", pin="x" * 70)
    assert "918273" not in caplog.text and PIN not in caplog.text


# The first PIN


def test_the_first_pin_from_a_page_while_the_box_has_just_started(tmp_path: Path) -> None:
    site = Site(tmp_path / "box", pin=None)
    assert "第一次用" in site.get("/pin", environ_overrides={"REMOTE_ADDR": "10.0.0.7"}).text
    assert site.post("/pin/first", pin=PIN, again=OTHER).status_code == 400
    assert site.post("/pin/first", pin="111222", again="111222").status_code == 400
    assert not site.pin.is_set
    answer = site.post("/pin/first", pin=PIN, again=PIN, next="/school/space")
    assert answer.status_code == 303 and answer.headers["Location"] == "/school/space"
    assert site.get("/school/space").status_code == 200, "who sets it is in"
    assert site.post("/pin/first", pin=OTHER, again=OTHER).status_code == 403, "only once"
    site.enter(PIN)


def test_the_first_pin_later_only_from_the_boxs_own_screen(tmp_path: Path) -> None:
    site = Site(tmp_path / "box", pin=None)
    site.clock.go(FIRST_SECONDS + 1)
    page = site.get("/pin", environ_overrides={"REMOTE_ADDR": "10.0.0.7"}).text
    assert "还没有设密码" in page and "开机后30分钟内" in page and "/pin/first" not in page
    assert site.post("/pin/first", pin=PIN, again=PIN).status_code == 403 and not site.pin.is_set
    assert site.post("/pin/first", pin=PIN, again=PIN, remote="127.0.0.1").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "null"}, {"Origin": "http://lesson.local:81"}, {"Referer": "http://evil.example/"}],
)
def test_the_first_pin_comes_from_our_page_only(tmp_path: Path, headers: dict[str, str]) -> None:
    site = Site(tmp_path / "box", pin=None)
    assert site.post("/pin/first", headers, pin=PIN, again=PIN).status_code == 403
    assert site.post("/pin/first", headers, "127.0.0.1", pin=PIN, again=PIN).status_code == 403
    assert not site.pin.is_set


def test_a_name_of_the_internet_for_this_address_sets_no_pin(tmp_path: Path) -> None:
    site = Site(tmp_path / "box", pin=None)
    answer = site.client.post(
        "/pin/first", base_url="http://evil.example", data={"pin": PIN, "again": PIN},
        headers={"Origin": "http://evil.example"},
    )  # fmt: skip
    assert answer.status_code == 403 and not site.pin.is_set


def test_another_pin_ends_every_session(site: Site) -> None:
    secret = site.enter()
    elsewhere = Client(site.app)
    assert site.post("/pin/change", secret=secret, pin="000000", new=OTHER, again=OTHER).status_code == 403
    assert site.post("/pin/change", secret=secret, pin=PIN, new=OTHER, again=PIN).status_code == 400
    assert site.post("/pin/change", secret=secret, pin=PIN, new="123456", again="123456").status_code == 400
    elsewhere.post("/pin", base_url="http://lesson.local", data={"pin": PIN})
    assert elsewhere.get("/school/space", base_url="http://lesson.local").status_code == 200
    assert site.post("/pin/change", secret=secret, pin=PIN, new=OTHER, again=OTHER).status_code == 303
    assert site.get("/school/space").status_code == 200, "who changed it goes on"
    assert elsewhere.get("/school/space", base_url="http://lesson.local").status_code == 302


# What is left for the other programs


def test_syncing_is_stopped_for_some_hours_and_goes_on(site: Site) -> None:
    secret = site.enter()
    assert site.post("/school/pause", secret=secret, hours="3").status_code == 303
    assert asked.pause_left(site.paths.incoming, site.clock) == 3 * 3600
    assert "3小时0分钟后自动继续" in site.get("/school/progress").text
    for bad in ("", "-1", "24", "x", "9" * 5000):
        assert site.post("/school/pause", secret=secret, hours=bad).status_code == 400
    site.clock.go(600)
    assert asked.pause_left(site.paths.incoming, site.clock) == 3 * 3600 - 600
    assert site.post("/school/pause", secret=site.secret(), hours="0").status_code == 303
    assert asked.pause_left(site.paths.incoming, site.clock) == 0


def test_no_pause_outlives_the_machines_start_or_half_a_day(tmp_path: Path) -> None:
    clock = ManualClock()
    asked.pause(tmp_path, clock, 10**9)
    assert asked.pause_left(tmp_path, clock) == asked.LONGEST
    clock.boot = "boot-2"
    assert asked.pause_left(tmp_path, clock) == 0
    for bad in (b"", b"[]", b'{"format":"lessonbox-pause/1","boot":"boot-2","until":1e99}', b"\0" * 9000):
        (tmp_path / "pause.json").write_bytes(bad)
        assert asked.pause_left(tmp_path, clock) == 0


def test_a_stick_is_used_only_where_one_is(site: Site) -> None:
    secret = site.enter()
    page = site.get("/school/stick").text
    assert "&lt;b&gt;盘" in page and page.count('name="do"') == 4
    for do, path in (("import", "/etc"), ("export", ""), ("import", "/media/x/../../etc")):
        assert site.post("/school/stick/use", secret=secret, do=do, path=path).status_code == 303
    assert site.post("/school/stick/use", secret=secret, do="format", path="/media/x").status_code == 400
    assert not list(sticks.requests(site.paths.incoming))
    for _ in range(3):  # a hand that taps thrice
        assert site.post("/school/stick/use", secret=secret, do="import", path="/media/x").status_code == 303
    (request,) = sticks.requests(site.paths.incoming)
    assert sticks.read(request) == sticks.Ask("import", "/media/x")
    page = site.get("/school/stick").text
    assert "马上开始" in page and 'http-equiv="refresh"' in page


@pytest.mark.parametrize(
    "told, words",
    [
        ({"do": "import", "going": True, "files": 12}, "读了12个文件"),
        ({"do": "import", "going": False, "files": 12, "new_lessons": 3}, "新到3课。可以拔下了"),
        ({"do": "export", "going": True, "step": 4, "of": 9}, "正在写第4课，共9课"),
        ({"do": "export", "going": False, "lessons": 9, "left_lessons": 2}, "有2课没放下"),
        ({"do": "request", "going": False, "wanted": 5, "batches": 1}, "缺5课，1份记录"),
        ({"do": "export", "going": False, "error": "E-STORAGE", "message": "<i>"}, "换一个再试"),
    ],
)
def test_how_a_stick_stands_is_told(site: Site, told: dict[str, Any], words: str) -> None:
    site.tell("stick", {"name": "盘", "path": "/media/x", **told})
    site.enter()
    page = site.get("/school/stick").text
    assert words in page and "<i>" not in page.replace("<i></i>", "")
    assert ("refresh" in page) == told["going"]


def test_restart_needs_a_button_not_a_link(site: Site) -> None:
    secret = site.enter()
    site.get("/school/restart")
    assert site.machine.restarts == 0
    page = site.post("/school/restart", secret=secret)
    assert site.machine.restarts == 1 and "正在重新启动" in page.text


def test_the_whole_machine_where_the_helper_is(site: Site) -> None:
    secret = site.enter()
    assert "关机" not in site.get("/school/restart").text, "nobody could do it"
    site.machine.helper = True
    page = site.get("/school/restart").text
    assert "整机重启" in page and "关机" in page
    assert "整机正在重新启动" in site.post("/school/restart", secret=secret, do="reboot").text
    assert "正在关机" in site.post("/school/restart", secret=secret, do="poweroff").text
    assert site.post("/school/restart", secret=secret, do="format").status_code == 400
    assert site.machine.asked == ["reboot", "poweroff"] and site.machine.restarts == 0


def test_a_stick_is_let_go(site: Site) -> None:
    secret = site.enter()
    assert "取出" not in site.get("/school/stick").text
    site.machine.helper = True
    assert "取出" in site.get("/school/stick").text
    done = site.post("/school/stick/use", secret=secret, do="unmount", path="/media/x")
    assert done.status_code == 303 and site.machine.asked == ["unmount <b>盘"]
    site.machine.busy = True
    page = site.post("/school/stick/use", secret=secret, do="unmount", path="/media/x")
    assert "还在用" in page.text
    site.post("/school/stick/use", secret=secret, do="unmount", path="/etc")
    assert len(site.machine.asked) == 2, "only what is mounted"


def test_a_disk_is_made_by_who_wrote_its_size(site: Site) -> None:
    """Behind the PIN, never by one tap, never another disk than the one that was shown."""
    secret, path = site.enter(), "/school/disk"
    site.machine.helper = True
    assert site.get(path).status_code == 404 and path not in site.get("/school/space").text
    site.machine.usb = []
    assert path in site.get("/school/space").text and "插到课箱上" in site.get(path).text
    site.machine.usb = [Disk("sda", 7, "<i>Ultra", 256_060_514_304, ("照片", "ntfs"), 12_000_000_000)]
    page = site.get(path).text
    assert "&lt;i&gt;Ultra" in page and "照片、ntfs" in page and 'value="sda-7"' in page
    for form in ({}, {"disk": "sda-7"}, {"disk": "sda-7", "number": "1"}, {"disk": "sda-6", "number": "256"}):
        assert "什么都没有动" in site.post(path, secret=secret, **form).text
    assert not site.machine.asked
    assert "硬盘做好了" in site.post(path, secret=secret, disk="sda-7", number=" 256gb ").text
    assert site.machine.asked == ["make-disk sda-7"]
    site.machine.busy = True
    assert "mkfs.ext4: no" in site.post(path, secret=secret, disk="sda-7", number="256").text
    site.machine.usb = [Disk("sda", 7, "Ultra", 256_060_514_304, ("lessonbox-disk",), None, True)]
    page = site.post(path, secret=secret, disk="sda-7", number="256").text
    assert "已经是放课的硬盘" in page and len(site.machine.asked) == 2


# What it says


def test_counts_agree_between_the_pages(site: Site) -> None:
    site.enter()
    status, hub = site.get("/status").text, site.get("/school").text
    assert "共6课，已到4课" in status and "共6课，已到4课" in hub
    rows = {row.collection: row for row in site.reader.tally()}
    assert sum(row.lessons for row in rows.values()) == 6
    assert sum(row.present for row in rows.values()) == 4 and sum(row.arriving for row in rows.values()) == 1
    page = site.get("/school/progress").text
    assert page.count("到齐</span>") == sum(not row.waiting for row in rows.values())
    assert "还差2课" in page


def test_at_most_two_problems_at_once_and_all_on_their_page(site: Site) -> None:
    site.problems += [
        {"code": "E-NETWORK", "subject": str(n), "message": f"连不上{n}：请检查（<b>why{n}</b>）", "since": 0}
        for n in range(5)
    ]
    page = site.get("/status").text
    assert page.count('class="fix"') == 2 and "还有3件要处理的事" in page
    page = site.get("/school/problems").text
    assert page.count('class="fix"') == 5 and "&lt;b&gt;why4" in page and "<b>why" not in page
    assert page.count("不影响上课。") == 5


def test_each_code_says_whether_it_hurts_and_what_to_do() -> None:
    for error in all_errors():
        it = troubles.fix({"code": error.code, "message": "坏了", "since": None})
        assert it.hurts and it.todo and it.code == error.code


def test_the_sheet_for_the_door(site: Site) -> None:
    page = site.get("/school/door").text
    assert (
        "http://lesson.local/" in page and "<svg" in page and "溪口&lt;教室&gt;" in page and "b-0000" in page
    )
    assert not re.search(r'style="', page)


def test_a_clock_that_cannot_be_right_is_not_shown_as_the_time(site: Site) -> None:
    assert "现在是" in site.get("/school/clock").text
    site.clock.unix = 100.0
    page = site.get("/school/clock").text
    assert "不知道现在几点" in page and "1970-01-01" in page and "还早" in page
    site.clock.unix = 4_076_000_000.0
    page = site.get("/school/clock").text
    assert "不知道现在几点" in page and "2099-03-01" in page and "晚了一年多" in page
    assert site.get("/status").status_code == site.get("/school").status_code == 200


def test_work_of_teachers_goes_after_a_second_page_alone(site: Site) -> None:
    school, bad = School(site.paths.school_db), "local-" + "0" * 16
    basket = baskets.put(school, "b" * 16, None, baskets.Item("l", "r", "古诗", "video", "古诗三首"))
    site.tell("local_unreadable", [bad])
    with school.write() as db:
        db.execute(
            "INSERT INTO class VALUES (1, 'c', 't', 'wang', 'p', 'teach', 'l', '古诗', 1500, NULL, 'b', 1, 1,"
            " 'ntp', NULL, NULL, NULL, NULL)"
        )
    site.post(f"/baskets/{basket}/change", away="1")
    assert baskets.basket(school, basket) is not None, "not with a form that needs no PIN"
    pages = {
        f"/baskets/{basket}/away": ("备课篮1", "1份资料"),
        f"/local/delete/{bad}": (bad, "找不回来"),
        "/school/teachers/term": ("1位老师", "上课1节"),
    }
    for path in pages:
        assert site.get(path).headers["Location"] == f"/pin?next={path}"
    secret = site.enter()
    for path, words in pages.items():
        page = site.get(path).text
        assert all(word in page for word in words) and page.count("<button") == 1 and secret in page
    assert baskets.basket(school, basket) and sheets.scores(school, None), "asking changes nothing"
    assert not list(site.paths.incoming.iterdir())
    for path in pages:
        assert site.post(path, secret=secret).status_code == 303
    assert baskets.basket(school, basket) is None and not sheets.scores(school, None)
    assert len(list(site.paths.incoming.iterdir())) == 1, "the word for sync"
