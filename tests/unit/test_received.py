"""The received shelf and the PIN before it: from a foreign file in a drop to a page, and away again."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from appliance import digits
from appliance.config import BoxPaths
from appliance.web.app import Board, create_app
from appliance.web.pin import Pin, clear_pin, set_pin
from appliance.web.search.index import Index, Indexer
from content_sync.adapters.drops import Folders
from content_sync.adapters.received import FileReceived
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import FormatError, PinError, UsageError
from content_sync.formats.hashtree import BLOCK
from content_sync.formats.received import (
    ReceivedRequest,
    dump_request,
    parse_item,
    parse_request,
    shown_name,
)
from content_sync.testing.fakes import ManualClock
from tests.box import sample
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import SmallCounty, identify
from tests.unit.test_web_app import Memory

PIN = "286401"
FILM = os.urandom(3 * BLOCK + 9)


class Box(MemoryBox):
    """A box with a drop folder and a received shelf."""

    def __init__(self, tmp_path: Path, county: SmallCounty) -> None:
        super().__init__(tmp_path, county)
        self.folder = tmp_path / "drop"
        self.folder.mkdir()
        self.drops: Any = Folders([self.folder])
        self.place = tmp_path / "received"
        self.begin()

    def begin(self) -> None:
        from msgspec.structs import replace

        from content_sync.engine.sync import Engine

        engine = self.start()
        self.engine = Engine(replace(engine._p, received=FileReceived(self.place)), engine._o)
        self.engine.start()

    def ask(self, **request: str) -> Any:
        assert self.engine is not None
        asked = self.engine.ask_received(ReceivedRequest(**request))
        self.settle()
        assert asked is not None and asked.done
        return asked


@pytest.fixture
def box(tmp_path: Path) -> Box:
    county = SmallCounty(tmp_path / "county")
    county.noise("一", 2 * BLOCK)
    county.publish()
    made = Box(tmp_path, county)
    (made.folder / "科普 片.mp4").write_bytes(FILM)
    made.settle()
    made.clock.go(61)
    made.settle()
    return made


def test_a_foreign_file_is_kept_shown_apart_and_removed(box: Box) -> None:
    path = str(box.folder / "科普 片.mp4")
    assert box.state.foreign_drops() == ([(path, len(FILM))], 1)
    objects = dict(box.store.whole)
    box.ask(accept=path)
    (item,) = box.state.received()
    assert (item.file, item.name, item.origin) == (identify(FILM)[0], "科普 片.mp4", path)
    assert (box.place / item.file.root).read_bytes() == FILM
    assert box.store.whole == objects and box.shown() == {"一"}, "never among what the county signed"
    assert box.state.visible_file(item.file.root) is None
    (box.folder / "科普 片.mp4").unlink()
    box.clock.go(61)
    box.settle()
    box.state.set_received([])  # as when state.db is built anew
    box.begin()
    assert box.state.received() == [item]
    box.ask(remove=item.file.root)
    assert box.state.received() == [] and list(box.place.iterdir()) == []


def test_what_is_refused(box: Box) -> None:
    for path in ("/etc/passwd", str(box.folder / "no"), str(box.folder)):
        box.ask(accept=path)
    assert {problem.subject for problem in box.state.problems() if problem.code == "E-NOT-FOUND"} >= {
        "/etc/passwd"
    }
    box.store.space = 0
    box.ask(accept=str(box.folder / "科普 片.mp4"))
    assert "E-DISK-FULL" in {problem.code for problem in box.state.problems()}
    assert box.state.received() == [] and list(box.place.iterdir()) == []


def test_a_file_that_changes_while_it_is_copied_is_not_kept(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("content_sync.engine.received._AT_ONCE", BLOCK)
    path = box.folder / "科普 片.mp4"
    portions = Folders.portions

    def cut(self: Folders, name: str, first: int = 0) -> Any:
        for data in portions(self, name, first):
            yield data[:BLOCK]
            return

    monkeypatch.setattr(Folders, "portions", cut)
    box.ask(accept=str(path))
    assert box.state.received() == [] and list(box.place.iterdir()) == []
    assert "E-DROP" in {problem.code for problem in box.state.problems()}


def test_formats_refuse_nonsense() -> None:
    for data in (
        b"{}",
        b"[]",
        dump_request(ReceivedRequest()),
        dump_request(ReceivedRequest(remove="x" * 64)),
    ):
        with pytest.raises(FormatError):
            parse_request(data)
    for data in (b"{}", b'{"format":"lessonbox-received/1","root":1}'):
        with pytest.raises(FormatError):
            parse_item(data)
    assert parse_request(dump_request(ReceivedRequest(accept="/a//b"))) == ReceivedRequest("/a//b")
    assert shown_name("/x/a\nb") == "a?b"


# The PIN


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "N", 16)


def test_pins_that_are_no_pins(tmp_path: Path) -> None:
    for bad in ("", "12345", "1234567890123", "abcdef", "123456", "111222", "999999", "١٢٣٤٥٦"):
        with pytest.raises(UsageError):
            set_pin(tmp_path / "pin.json", bad)
    assert not list(tmp_path.iterdir())


def test_wrong_pins_cost_time_that_no_restart_shortens(tmp_path: Path, quick: None) -> None:
    path, clock = tmp_path / "pin.json", ManualClock()
    set_pin(path, PIN)
    assert PIN not in path.read_text() and path.stat().st_mode & 0o777 == 0o600
    for _ in range(3):
        with pytest.raises(PinError, match="wrong"):
            Pin(path, clock).enter("000000")
    with pytest.raises(PinError, match="too many"):
        Pin(path, clock).enter(PIN)
    clock.unix += 10_000  # a wrong clock is no help
    with pytest.raises(PinError, match="in 10 s"):
        Pin(path, clock).enter(PIN)
    clock.boot, clock.now = "boot-2", 4.0  # nor is the plug
    with pytest.raises(PinError, match="in 6 s"):
        Pin(path, clock).enter(PIN)
    clock.go(7)
    for wait in (20, 40, 80, 160, 320, 640, 900, 900):
        with pytest.raises(PinError, match=f"in {wait} s"):
            Pin(path, clock).enter("000000")
        clock.go(wait)
    assert Pin(path, clock).enter(PIN)
    with pytest.raises(PinError, match="wrong PIN$"):
        Pin(path, clock).enter("000000")
    (tmp_path / "pin-tries.json").write_bytes(b"rubbish")
    with pytest.raises(PinError, match="too many"):
        clock.now = 1.0
        Pin(path, clock).enter(PIN)


def test_many_at_once_get_no_more_tries(tmp_path: Path, quick: None) -> None:
    path, clock = tmp_path / "pin.json", ManualClock()
    set_pin(path, PIN)
    pin, answers = Pin(path, clock), list[str]()

    def guess() -> None:
        try:
            pin.enter("000000")
        except PinError as error:
            answers.append(error.what)

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(answer.startswith("wrong") for answer in answers) == 3 and len(answers) == 20


def test_sessions_end(tmp_path: Path, quick: None) -> None:
    path, clock = tmp_path / "pin.json", ManualClock()
    set_pin(path, PIN)
    pin = Pin(path, clock)
    token = pin.enter(PIN)
    assert pin.secret(token) and pin.secret("") is None and pin.secret("0" * 32) is None
    clock.go(800)
    assert pin.secret(token)
    clock.go(901)
    assert pin.secret(token) is None
    token = pin.enter(PIN)
    set_pin(path, "730915")
    assert pin.secret(token) is None, "a new PIN ends what the old one opened"
    token = pin.enter("730915")
    pin.leave(token)
    assert pin.secret(token) is None
    clear_pin(path)
    assert not pin.is_set
    with pytest.raises(PinError):
        pin.enter("730915")


# Pages


class Site:
    """The pages of a small box with foreign files in its drop."""

    def __init__(self, data: Path) -> None:
        self.paths: BoxPaths = sample(data, 1_795_000_000)[0].paths
        self.paths.incoming.mkdir(exist_ok=True)
        self.paths.received.mkdir()
        self.clock = ManualClock()
        reader = StateReader(self.paths.state_db)
        Indexer(self.paths.search_db, reader).step()
        self.foreign, self.html, self.film = "/drop/片 <b>.mp4", b"<script>alert(1)</script>", FILM
        import sqlite3

        with sqlite3.connect(self.paths.state_db) as db:
            db.execute(
                "INSERT INTO drop_file (path, size, mtime_ns, inode) VALUES (?, 9, 0, 0)", (self.foreign,)
            )
            for name, content in (("网页.html", self.html), ("片.mp4", self.film)):
                file = identify(content)[0]
                db.execute(
                    "INSERT INTO received VALUES (?, ?, ?, '/drop/x', 0)", (file.root, file.length, name)
                )
                (self.paths.received / file.root).write_bytes(content)
        db.close()
        set_pin(self.paths.pin, PIN)
        self.client = Client(
            create_app(
                Board(
                    self.paths.objects,
                    reader,
                    Index(self.paths.search_db),
                    Memory(),
                    self.clock,
                    dict,
                    received=self.paths.received,
                    incoming=self.paths.incoming,
                    pin=Pin(self.paths.pin, self.clock),
                )
            )
        )

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(path, base_url="http://lesson.local", buffered=True, **more)

    def post(self, path: str, **form: str) -> Any:
        return self.client.post(path, base_url="http://lesson.local", data=form)

    def enter(self) -> str:
        answer = self.post("/pin", pin=PIN, next="/received/manage")
        assert answer.status_code == 303 and answer.headers["Location"] == "/received/manage"
        cookie = next(c for c in answer.headers.getlist("Set-Cookie") if c.startswith("pin="))
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        found = re.search('name="secret" value="([0-9a-f]{32})"', self.get("/received/manage").text)
        assert found is not None
        return found[1]

    def requests(self) -> list[ReceivedRequest]:
        return [parse_request(path.read_bytes()) for path in self.paths.incoming.glob("received-*.json")]


@pytest.fixture
def site(tmp_path: Path, quick: None) -> Site:
    return Site(tmp_path / "box")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_pages(site: Site, language: str) -> None:
    site.get(f"/?lang={language}")
    word = "非县里签发" if language == "zh" else "Not signed by the county"
    shelf = site.get("/received")
    assert shelf.status_code == 200 and shelf.text.count(word) >= 3 and "片.mp4" in shelf.text
    assert site.get("/pin").status_code == 200
    site.enter()
    page = site.get("/received/manage")
    assert page.status_code == 200 and "片 &lt;b&gt;.mp4" in page.text and "<b>.mp4" not in page.text
    for home in ("/", "/browse", "/search?q=片", "/new"):
        assert "片.mp4" not in site.get(home).text
    if language == "en":
        assert not re.search("[一-鿿]", re.sub("片|网页|中文", "", page.text + site.get("/pin").text))


def test_nothing_changes_without_pin_and_secret(site: Site) -> None:
    root = identify(FILM)[0].root
    for path in ("/received/manage", "/pin/leave", "/received/change"):
        answer = site.get(path) if path.endswith("manage") else site.post(path, accept=site.foreign)
        assert answer.status_code == 302 and answer.headers["Location"].startswith("/pin")
    secret = site.enter()
    for wrong in ("", "0" * 32, secret[:-1], "密"):
        assert site.post("/received/change", accept=site.foreign, secret=wrong).status_code == 403
    for bad in ({"remove": "x"}, {}, {"accept": "/" * 5000}):
        assert site.post("/received/change", secret=secret, **bad).status_code == 400
    assert site.requests() == []
    for _ in range(3):
        assert site.post("/received/change", accept=site.foreign, secret=secret).status_code == 303
    assert site.requests() == [ReceivedRequest(accept=site.foreign)]
    assert "正在留下" in site.get("/received/manage").text
    site.post("/received/change", remove=root, secret=secret)
    assert ReceivedRequest(remove=root) in site.requests()
    assert site.post("/pin/leave", secret=secret).status_code == 303
    assert site.get("/received/manage").status_code == 302


def test_wrong_pins_on_the_page(site: Site) -> None:
    for _ in range(2):
        assert "密码不对" in site.post("/pin", pin="000000").text
    answer = site.post("/pin", pin="000000")
    assert answer.status_code == 403 and "请过10秒再试" in answer.text
    assert site.post("/pin", pin=PIN, next="//evil").status_code == 403
    site.clock.go(11)
    answer = site.post("/pin", pin=PIN, next="//evil")
    assert answer.headers["Location"] == "/school"


def test_files_are_sent_as_files_that_nobody_vouches_for(site: Site) -> None:
    film, html = identify(FILM)[0].root, identify(site.html)[0].root
    answer = site.get(f"/received/file/{film}/片.mp4", headers={"Range": "bytes=5-9"})
    assert (answer.status_code, answer.data) == (206, FILM[5:10])
    assert answer.headers["Content-Disposition"] == "inline" and answer.headers["Content-Type"] == "video/mp4"
    for name in ("网页.html", "x.svg", "x.js", "x.pdf", "x"):
        answer = site.get(f"/received/file/{html}/{name}")
        assert answer.status_code == 200 and answer.data == site.html
        assert answer.headers["Content-Disposition"] == "attachment"
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for path in (f"/received/file/{'0' * 64}/x", f"/received/file/{film}/", "/received/file/../x"):
        assert site.get(path).status_code == 404
    assert site.get(f"/content/{film}/片.mp4").status_code == 404
