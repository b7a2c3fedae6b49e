# ruff: noqa: E501 (markup and script)
"""What comes with bad intent or bad luck: each contained, with a clear message, and the rest goes on."""

from __future__ import annotations

import os
import re
import sqlite3
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from appliance.web.pin import set_pin
from content_sync.adapters.sqlite import StateReader
from content_sync.formats.lesson import parse_lesson
from tests.box import YUWEN, SmallBox, sample
from tests.e2e.board import WebProcess
from tests.e2e.programs import Box, County

PIN = "286401"
MARKUP = "<img src=x onerror=alert(1)>"
#: Courseware that tries everything it knows against the box, and says how it went.
ATTACK = """<!DOCTYPE html><html><head><meta charset="utf-8"></head><body>
<form id="f" method="post" target="hole" action="PAGES/pin/first"><input name="pin" value="730915"><input name="again" value="730915"></form>
<form id="g" method="post" target="hole" action="PAGES/pin"><input name="pin" value="000000"></form>
<iframe name="hole" id="hole"></iframe><iframe id="pinpage" src="PAGES/pin"></iframe><script src="attack.js"></script></body></html>"""
ATTACK_JS = """var said = [], left = 4;
function tell(text) { said.push(text); document.title = said.join(';'); }
function done() { left -= 1; if (!left) { var p = document.createElement('p'); p.id = 'told'; p.innerHTML = said.join(';'); document.body.appendChild(p); } }
function safely(name, run) { try { tell(name + '=' + run()); } catch (e) { tell(name + '!'); } }
safely('cookie', function () { return document.cookie; });
safely('store', function () { return localStorage.length; });
safely('parent', function () { return parent.document.cookie; });
safely('top', function () { top.location.href = 'about:blank'; return 'went'; });
safely('submit', function () { document.getElementById('f').submit(); document.getElementById('g').submit(); return 'tried'; });
function ask(name, method, path, body) {
  var http = new XMLHttpRequest();
  http.open(method, 'PAGES' + path, true);
  http.withCredentials = true;
  if (body) { http.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded'); }
  http.onload = function () { tell(name + '=read ' + http.status); done(); };
  http.onerror = function () { tell(name + '!'); done(); };
  try { http.send(body); } catch (e) { tell(name + '!!'); done(); }
}
ask('api', 'GET', '/api/v1/status');
ask('page', 'GET', '/school');
ask('first', 'POST', '/pin/first', 'pin=730915&again=730915');
ask('pin', 'POST', '/pin', 'pin=000000');"""


def place(box: SmallBox, pages: str) -> str:
    """A lesson with the hostile courseware in it; its id."""
    made = box.resource(
        "r1", "interactive", "互动", "text/html",
        ("互动/index.html", "main", ATTACK.replace("PAGES", pages).encode()),
        ("互动/attack.js", "part", ATTACK_JS.replace("PAGES", pages).encode()),
    )  # fmt: skip
    return box.lesson(YUWEN, "第八单元", 30, MARKUP, (made,), unit_no=8).id


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> SmallBox:
    made, _ = sample(tmp_path_factory.mktemp("hostile") / "box", int(time.time()))
    made.paths.incoming.mkdir()
    return made


@pytest.fixture(scope="module")
def web(box: SmallBox) -> Iterator[WebProcess]:
    process = WebProcess(box)
    place(box, process.url)  # now that its address is known
    box.write(int(time.time()), generation=2)
    yield process
    process.stop()


def hostile(box: SmallBox) -> str:
    return next(lesson.id for lesson, _, _ in box.lessons if lesson.title == MARKUP)


@pytest.mark.parametrize("pin", [None, PIN])
def test_courseware_reaches_neither_pages_nor_pin(
    web: WebProcess, box: SmallBox, open_tab: Callable[..., Any], pin: str | None
) -> None:
    """With no PIN set it may not become the one who sets it; with one it may not even guess."""
    if pin:
        set_pin(box.paths.pin, pin)
    tab = open_tab()
    tab.page.goto(f"{web.url}/lesson/{hostile(box)}/r1")
    tab.context.add_cookies([{"name": "pin", "value": "f" * 32, "url": web.url, "sameSite": "Lax"}])
    frame = next(f for f in tab.page.frames if "/c/" in f.url)
    frame.wait_for_selector("#told", state="attached")
    told = dict(re.split("[=!]", part, maxsplit=1) for part in frame.inner_text("#told").split(";"))
    assert told["cookie"] == "" and told["store"] == "" and told["parent"] == "", told
    assert all("read" not in told[name] for name in ("api", "page", "first", "pin")), told
    assert tab.page.url.endswith("/r1"), "the board's page stays"
    assert not box.paths.pin.with_name("pin-tries.json").exists(), "no try was counted"
    assert box.paths.pin.exists() == bool(pin)
    inner = tab.page.frames[-1].content() if len(tab.page.frames) > 2 else ""
    assert "管理员密码" not in inner, "the PIN's page is in nobody's frame"


def test_a_title_with_markup_is_only_text(
    web: WebProcess, box: SmallBox, open_tab: Callable[..., Any]
) -> None:
    tab = open_tab()
    dialogs: list[str] = []

    def meet(dialog: Any) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    tab.page.on("dialog", meet)
    lesson = next(made for made, _, _ in box.lessons if made.title == MARKUP)
    for path in (f"/lesson/{lesson.id}", f"/volume/{lesson.collection}", "/search?q=onerror", "/new", "/"):
        tab.page.goto(web.url + path)
        assert tab.page.locator("img[onerror]").count() == 0
    tab.page.goto(f"{web.url}/lesson/{lesson.id}")
    assert MARKUP in tab.page.inner_text("body") and not dialogs


def test_a_picture_with_script_runs_nothing(
    web: WebProcess, box: SmallBox, open_tab: Callable[..., Any]
) -> None:
    lesson = next(made for made, _, _ in box.lessons if made.title == "古诗三首")
    file = next(r for r in lesson.resources if r.id == "r7").main.file
    answer = requests.get(f"{web.url}/content/{file.root}/a.svg", timeout=20)
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_film_of_more_than_4_gib_is_sought_to_its_end(web: WebProcess, box: SmallBox) -> None:
    """Sparse: nobody waits for its bytes. Offsets beyond 32 bits are served as they are."""
    lesson = next(made for made, _, _ in box.lessons if made.title == "古诗三首")
    root, size, end = "5" * 64, (4 << 30) + 12_345, b"the very end"
    path = box.paths.objects / root[:2] / root
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size - len(end))
        file.seek(0, os.SEEK_END)
        file.write(end)
    reader = StateReader(box.paths.state_db)
    row = reader.lesson(lesson.id)
    assert row is not None
    with sqlite3.connect(box.paths.state_db) as db:
        db.execute("INSERT INTO object VALUES (?, ?, 0)", (root, size))
        db.execute("INSERT INTO file VALUES (?, '大.mp4', ?, ?)", (row.present, root, size))
    db.close()
    url = f"{web.url}/content/{root}/a.mp4"
    answer = requests.get(url, headers={"Range": f"bytes={size - 12}-"}, timeout=20)
    assert answer.status_code == 206 and answer.content == end
    assert answer.headers["Content-Range"] == f"bytes {size - 12}-{size - 1}/{size}"
    assert requests.head(url, timeout=20).headers["Content-Length"] == str(size)
    assert requests.get(url, headers={"Range": f"bytes={size}-"}, timeout=20).status_code == 416


def test_ten_wrong_pins_over_http(web: WebProcess, box: SmallBox) -> None:
    """A board's browser, then another's: the wait is the box's, not the browser's; boards go on."""
    set_pin(box.paths.pin, PIN)
    answers = [requests.post(f"{web.url}/pin", data={"pin": f"00000{n}"}, timeout=20) for n in range(10)]
    assert {answer.status_code for answer in answers} == {403}
    assert sum("密码不对" in answer.text for answer in answers) == 3, "the others were not even looked at"
    assert all(re.search(r"请过\d+秒再试", answer.text) for answer in answers[2:])
    assert "请过" in requests.post(f"{web.url}/pin", data={"pin": PIN}, timeout=20).text
    assert requests.get(web.url + "/", timeout=20).status_code == 200


# What the county publishes


def pdf(pages: int) -> bytes:
    """A real PDF of empty pages."""
    out, at = bytearray(b"%PDF-1.4\n"), list[int]()

    def put(number: int, body: bytes) -> None:
        at.append(len(out))
        out.extend(b"%d 0 obj\n%s\nendobj\n" % (number, body))

    put(1, b"<</Type/Catalog/Pages 2 0 R>>")
    put(
        2,
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (pages, b" ".join(b"%d 0 R" % (n + 3) for n in range(pages))),
    )
    for number in range(pages):
        put(number + 3, b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>")
    start = len(out)
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in at)
    tail = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(at) + 1, start)
    return bytes(out) + b"xref\n0 %d\n0000000000 65535 f \n" % (len(at) + 1) + rows + tail


def test_the_county_publishes_around_what_is_bad(
    make_county: Callable[[], County], make_box: Callable[..., Box], tmp_path: Path
) -> None:
    unit = tmp_path / "tree" / "小学/语文/统编版/三年级上册/第一单元"
    names = ("正常", "标题", "万页", "炸弹", "坏视频", "空视频", "毒图")
    folder = {name: unit / f"{number:02} {name}" for number, name in enumerate(names, 1)}
    for path in folder.values():
        path.mkdir(parents=True)
    (folder["正常"] / "教案 备课.pdf").write_bytes(pdf(1))
    (folder["标题"] / "教案 备课.pdf").write_bytes(pdf(1))
    (folder["标题"] / "lesson.toml").write_text(f"title = '{MARKUP}'\n")
    (folder["万页"] / "课件 万页.pdf").write_bytes(pdf(10_000))
    with zipfile.ZipFile(folder["炸弹"] / "互动课件 炸弹.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("index.html", "<p>hello")
        bomb.writestr("big.bin", b"\0" * (200 << 20))
    (folder["坏视频"] / "视频 坏.mp4").write_bytes(
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + os.urandom(100_000)
    )
    with (folder["空视频"] / "视频 空.mp4").open("wb") as sparse:
        sparse.truncate(64 << 20)
    (folder["毒图"] / "图片 毒.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
    )
    county = make_county()
    made = county.publish(tmp_path / "tree")
    said = {(problem["code"], Path(problem["path"]).name) for problem in made["problems"]}
    assert said >= {
        ("E-MEDIA", "课件 万页.pdf"), ("E-TOO-BIG", "互动课件 炸弹.zip"),
        ("E-MEDIA", "视频 坏.mp4"), ("E-MEDIA", "视频 空.mp4"),
    }, made["problems"]  # fmt: skip
    assert made["lessons"] == len(names), "all else is published"
    objects = [path for path in (county.data / "objects").rglob("*") if path.is_file()]
    assert len(objects) < 1000, "ten thousand pages make no ten thousand files"
    described = [path.read_bytes() for path in objects if path.stat().st_size < 1 << 20]
    lessons = [parse_lesson(text) for text in described if b'"lessonbox-lesson/1"' in text]
    stated = {
        lesson.title: (r.pages, len(r.with_role("page"))) for lesson in lessons for r in lesson.resources
    }
    assert stated["万页"] == (10_000, 100), "boards can say how many pages have no image"
    assert stated["正常"] == (None, 1)
