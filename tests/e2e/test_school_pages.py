"""The school's pages as somebody uses them: on a board with script, on a phone without, with a real stick."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from appliance.usage.outbox import Outbox
from appliance.web.pin import set_pin
from content_sync.formats.canonical import dump
from tests.box import SmallBox, sample
from tests.e2e import library
from tests.e2e.board import WebProcess
from tests.e2e.browser import BOARD, PHONE
from tests.e2e.programs import Box, County, wait_until

PIN = "286401"
PAGES = ("/school", "/school/progress", "/school/space", "/school/clock", "/school/network",
         "/school/problems", "/school/stick", "/school/restart", "/pin/change", "/status")  # fmt: skip


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> SmallBox:
    made, _ = sample(tmp_path_factory.mktemp("school") / "box", int(time.time()))
    made.paths.incoming.mkdir()
    set_pin(made.paths.pin, PIN)
    return made


@pytest.fixture(scope="module")
def web(box: SmallBox) -> Iterator[WebProcess]:
    process = WebProcess(box)
    yield process
    process.stop()


def test_on_a_board_with_a_finger(web: WebProcess, open_tab: Callable[..., Any]) -> None:
    tab = open_tab(viewport=BOARD)
    tab.page.goto(web.url + "/school")
    tab.page.click("text=空间")
    assert tab.page.url.startswith(web.url + "/pin")
    for key in tab.page.query_selector_all(".keys button"):
        size = key.bounding_box()
        assert size["width"] >= 64 and size["height"] >= 64
    tab.page.evaluate("document.documentElement.dir = 'rtl'")
    one, two = (tab.page.locator(f"[data-key='{digit}']") for digit in "12")
    assert two.bounding_box()["x"] > one.bounding_box()["x"], "as on a telephone, whatever the script"
    tab.page.evaluate("document.documentElement.dir = ''")
    for digit in "2864010":
        tab.page.click(f"[data-key='{digit}']")
    tab.page.click("[data-key='del']")
    tab.page.click(".open")
    assert tab.page.url == web.url + "/school/space", "straight to what was tapped"
    for path in PAGES:
        tab.page.goto(web.url + path)
        high, wide = tab.page.evaluate(
            "(function (d) { return [d.scrollHeight - innerHeight, d.scrollWidth - innerWidth]; }"
            "(document.documentElement))"
        )
        assert wide <= 0 and high <= 0, (path, wide, high)
        small = tab.page.evaluate(
            "[].filter.call(document.querySelectorAll('.doors a,.ledge .tool,.btn,.pinfield'), function (e) {"
            "var b = e.getBoundingClientRect(); return b.width && (b.height < 56 || b.width < 56); }).length"
        )
        assert small == 0, path
    assert "不用就锁上" in tab.page.inner_text(".lockline")
    tab.page.goto(web.url + "/school")
    tab.page.click("button:has-text('锁上')")
    tab.page.goto(web.url + "/school/space")
    assert tab.page.url.startswith(web.url + "/pin") and not tab.errors


def test_on_a_phone_without_script(web: WebProcess, open_tab: Callable[..., Any]) -> None:
    tab = open_tab(viewport=PHONE, java_script_enabled=False)
    tab.page.goto(web.url + "/pin")
    assert not tab.page.is_visible(".keys") and tab.page.is_visible("#plainopen")
    tab.page.fill("#pin", PIN)
    tab.page.click("#plainopen")
    assert tab.page.url == web.url + "/school"
    for path in PAGES:
        tab.page.goto(web.url + path)
        assert tab.page.is_visible("h1")
    tab.page.goto(web.url + "/school/progress")
    tab.page.click("button:has-text('停3小时')")
    assert "后自动继续" in tab.page.inner_text("main")
    tab.page.click("button:has-text('现在继续')")
    assert "停1小时" in tab.page.inner_text("main")


def test_the_sheet_is_one_page_of_paper(
    web: WebProcess, open_tab: Callable[..., Any], tmp_path: Path
) -> None:
    tab = open_tab(viewport=BOARD)
    tab.page.goto(web.url + "/school/door")
    tab.page.emulate_media(media="print")
    tab.page.pdf(path=str(tmp_path / "door.pdf"), format="A4")
    told = subprocess.run(
        ["pdfinfo", tmp_path / "door.pdf"], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"Pages:\s+1\n", told)
    text = subprocess.run(
        ["pdftotext", tmp_path / "door.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert "http://" in text and "上课" in text and "溪口教学点" in text


def test_the_wait_is_counted_down(web: WebProcess, box: SmallBox, open_tab: Callable[..., Any]) -> None:
    tab = open_tab(viewport=PHONE)
    for _ in range(3):
        tab.page.goto(web.url + "/pin")
        tab.page.fill("#pin", "000000")
        tab.page.click(".open")
    first = int(re.findall(r"\d+", tab.page.inner_text("#wait"))[0])
    assert first <= 10 and tab.page.is_disabled("#pin")
    tab.until(f"parseInt(document.getElementById('wait').textContent.match(/[0-9]+/)[0], 10) < {first}")
    tab.page.wait_for_selector("#pin:not([disabled])")
    tab.page.fill("#pin", PIN)
    tab.page.click(".open")
    assert tab.page.url == web.url + "/school"


def test_web_begins_anew_when_asked(web: WebProcess, box: SmallBox) -> None:
    browser = requests.Session()
    browser.post(f"{web.url}/pin", data={"pin": PIN}, timeout=20)
    page = browser.get(f"{web.url}/school/restart", timeout=20).text
    secret = re.search('name="secret" value="([0-9a-f]+)"', page)
    assert secret is not None
    answer = browser.post(f"{web.url}/school/restart", data={"secret": secret[1]}, timeout=20)
    assert answer.status_code == 200 and "正在重新启动" in answer.text
    for program in ("sync", "agent"):
        assert (box.paths.incoming / f"restart-{program}").exists()

    def locked() -> bool:
        try:
            return (
                "/pin"
                in requests.get(f"{web.url}/school/space", cookies=browser.cookies.get_dict(), timeout=20).url
            )
        except requests.ConnectionError:
            return False

    wait_until(locked, "a new beginning, which knows no session")
    assert requests.get(web.url + "/", timeout=20).status_code == 200 and web.process.poll() is None


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Path]:
    """A medium of its own, mounted as the machine's helper does."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    place = tmp_path / "media" / "U 盘"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "stick", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_stick_from_the_page(
    make_county: Callable[[], County], make_box: Callable[..., Box], tmp_path: Path, stick: Path
) -> None:
    """In with the county's lessons, out with what the county is to know; sync does both, and begins anew."""
    county = make_county()
    library.lesson_of_noise(tmp_path / "tree", 1, 300_000, files=2)
    county.publish(tmp_path / "tree")
    county.command("export", str(stick))
    box = make_box(county, sources=["drop"], stick_folders=[str(stick.parent)])
    set_pin(box.data / "pin.json", PIN)
    box.start("web", "sync")
    box.wait_ready()
    browser = requests.Session()
    browser.post(f"{box.url}/pin", data={"pin": PIN}, timeout=20)

    def use(do: str) -> None:
        page = browser.get(f"{box.url}/school/stick", timeout=20).text
        secret, path = re.search('name="secret" value="([0-9a-f]+)"', page), f'value="{stick}"'
        assert secret is not None and path in page, page
        form = {"secret": secret[1], "do": do, "path": str(stick)}
        assert browser.post(f"{box.url}/school/stick/use", data=form, timeout=20).status_code == 200

    def said(words: str) -> Callable[[], bool]:
        return lambda: words in browser.get(f"{box.url}/school/stick", timeout=20).text

    use("import")
    wait_until(said("新到1课。可以拔下了"), "the import")
    assert box.status()["lessons"]["present"] == 1
    use("request")
    wait_until(said("写好了：缺0课"), "the request")
    assert list((stick / "lessonbox" / "up").iterdir())
    use("export")
    wait_until(said("写好了1课。可以拔下了"), "the export")
    use("diagnosis")
    wait_until(said("写好了。可以拔下，交给技术员。"), "the diagnosis")
    (made,) = stick.glob("lessonbox-diagnosis-b-*.zip")
    with zipfile.ZipFile(made) as archive:
        assert archive.testzip() is None and "summary.txt" in archive.namelist()
    sync = box.programs["sync"]
    pid, log = sync.pid, sync.words()
    (box.data / "incoming" / "restart-sync").touch()
    wait_until(lambda: not (box.data / "incoming" / "restart-sync").exists(), "the word is taken")
    use("import")
    wait_until(said("新到0课"), "and it works on")
    assert sync.pid == pid and sync.running and "Traceback" not in sync.words()[len(log) :]


@pytest.mark.parametrize("wifi", ["", 'wifi_name = "xikou-banbantong"\n'])
@pytest.mark.parametrize("own", ["", 'hotspot_password = "12345678"\n'])
def test_the_sheet_for_the_door_is_one_page(
    tmp_path: Path, open_tab: Callable[..., Any], wifi: str, own: str
) -> None:
    """In both languages, with all the addresses there are and a long name."""
    box, _ = sample(tmp_path / "box", int(time.time()))
    set_pin(box.paths.pin, PIN)
    if own:
        box.paths.lan.write_bytes(
            dump({"format": "lessonbox-lan/1", "name": "lesson-2", "hotspot": False, "why": "", "lines": []})
        )
    outbox = Outbox(box.paths.outbox_db)
    outbox.tell({"address": "lesson-2.local"}, [])
    outbox.close()
    web = WebProcess(box, "threads = 16\nstreams = 4\n" + wifi + own)
    try:
        page = open_tab(viewport=BOARD).page
        page.goto(web.url + "/pin?next=/school/door")
        page.fill("#pin", PIN)
        page.press("#pin", "Enter")
        for language in ("zh", "en"):
            for name in ("溪口教学点", "大化瑶族自治县七百弄乡弄合村民族小学教学点和附设幼儿班"):
                with closing(sqlite3.connect(box.paths.state_db)) as db, db:
                    db.execute("UPDATE meta SET value = ? WHERE key = 'school_name'", (name,))
                page.goto(f"{web.url}/school/door?lang={language}")
                assert name in page.inner_text(".sheet4") and bool(own) == page.is_visible(".ownwifi")
                assert "lesson-2.local" in page.inner_text(".addr")
                printed = page.pdf(prefer_css_page_size=True)
                assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
                page.emulate_media(media="print")
                page.set_viewport_size({"width": 657, "height": 986})  # A4 less its margins
                high = page.evaluate("document.querySelector('.sheet4').scrollHeight")
                assert high <= 940, f"{language}: {high} of 986 px leave no room to spare"
                page.emulate_media(media="null")
                page.set_viewport_size(BOARD)
    finally:
        web.stop()
