"""The page with the fault code and the page of a box that nobody has enrolled, on a board and on a phone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from appliance.config import BoxPaths
from appliance.firstboot.wiring import open_state
from appliance.health.problems import keep
from appliance.setup import blank
from appliance.web.pin import set_pin
from content_sync.formats.enrolment import Enrolment, dump_enrolment
from content_sync.ports import Problem
from tests.box import SmallBox, sample
from tests.e2e.board import WebProcess
from tests.e2e.browser import BOARD, PHONE
from tests.unit.small_county import SmallCounty

PIN = "286401"
SHOTS = os.environ.get("SHOTS")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    made, _ = sample(tmp_path_factory.mktemp("help") / "box", int(time.time()))
    set_pin(made.paths.pin, PIN)
    now = int(time.time()) - 5 * 86400
    keep(made.paths.health, [
        Problem("E-HEAT", "temperature", "课箱有点热（78 °C）", now),
        Problem("E-POWER", "power", "电源供电不够（undervoltage 7 times since the start）", now),
        Problem("E-SILENT", "receiver", "4天没有收到卫星送来的东西（nothing heard for 4 days）", now),
    ])  # fmt: skip
    process = WebProcess(made)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WebProcess, BoxPaths]]:
    """A box that nobody has enrolled."""
    data = tmp_path_factory.mktemp("new") / "box"
    blank(data)
    open_state(BoxPaths(data).state_db).close()
    set_pin(BoxPaths(data).pin, PIN)
    process = WebProcess(SmallBox(data))
    yield process, BoxPaths(data)
    process.stop()


def fits(tab: Any, name: str) -> None:
    """Nothing overflows; what is touched is large enough."""
    if SHOTS:
        tab.page.screenshot(path=f"{SHOTS}/{name}.png")
    high, wide, small = tab.page.evaluate(
        "(function (d) { return [d.scrollHeight - innerHeight, d.scrollWidth - innerWidth,"
        "[].filter.call(document.querySelectorAll('.ledge .tool,.btn'), function (e) {"
        "var b = e.getBoundingClientRect(); return b.width && b.height < 56; }).length]; }"
        "(document.documentElement))"
    )
    assert wide <= 0 and small == 0, (name, wide, small)
    assert high <= 0 or "phone" in name, (name, high)


@pytest.mark.parametrize(("name", "view"), [("board", BOARD), ("phone", PHONE)])
def test_the_worst_is_a_number_that_can_be_read_out(
    web: WebProcess, open_tab: Callable[..., Any], name: str, view: dict[str, int]
) -> None:
    tab = open_tab(viewport=view)
    tab.page.goto(web.url + "/help")
    assert tab.page.inner_text(".fault") == "301-4"
    assert "电源" in tab.page.inner_text(".say") and "302-" in tab.page.inner_text(".src")
    assert tab.page.is_visible(".faultqr svg.qr") and not tab.errors
    fits(tab, f"help-{name}")
    tab.page.goto(web.url + "/help?lang=en")
    fits(tab, f"help-{name}-en")


def test_the_diagnosis_wants_the_pin(web: WebProcess, open_tab: Callable[..., Any]) -> None:
    tab = open_tab(viewport=BOARD)
    tab.page.goto(web.url + "/help")
    tab.page.click("text=诊断文件")
    assert "/pin" in tab.page.url
    tab.page.fill("#pin", PIN)
    with tab.page.expect_download() as got:
        tab.page.click(".keys .open")
    assert got.value.suggested_filename == "lessonbox-diagnosis.zip"
    assert Path(got.value.path()).read_bytes()[:2] == b"PK"


def test_a_new_box_is_enrolled_from_its_page(
    new: tuple[WebProcess, BoxPaths], open_tab: Callable[..., Any], tmp_path: Path
) -> None:
    web, paths = new
    root = json.loads(SmallCounty(tmp_path / "county").root)
    paper = Enrolment("清河县", ("http://c.test",), f"b-{7:016x}", "001", "溪口教学点", "ab" * 16, root)
    (tmp_path / "school.json").write_bytes(dump_enrolment(paper))
    (tmp_path / "holiday.json").write_bytes(b"{}")
    tab = open_tab(viewport=BOARD)
    tab.page.goto(web.url + "/")
    assert tab.page.url == web.url + "/enrol"
    fits(tab, "enrol-board")
    assert requests.post(web.url + "/enrol", files={"file": dump_enrolment(paper)}, timeout=10).url.endswith(
        "/pin"
    )
    assert not paths.enrolment.exists(), "not without the PIN"
    tab.page.goto(web.url + "/help")
    assert tab.page.inner_text(".fault").startswith("401-")
    tab.page.goto(web.url + "/enrol")
    tab.page.click("text=输入密码")
    tab.page.fill("#pin", PIN)
    tab.page.click(".keys .open")
    assert tab.page.url == web.url + "/enrol"
    fits(tab, "enrol-open-board")
    tab.page.set_viewport_size(PHONE)
    fits(tab, "enrol-open-phone")
    tab.page.set_viewport_size(BOARD)
    tab.page.set_input_files("#file", str(tmp_path / "holiday.json"))
    tab.page.click("text=交给课箱")
    assert "没有注册成" in tab.page.inner_text("main") and not paths.enrolment.exists()
    tab.page.set_input_files("#file", str(tmp_path / "school.json"))
    tab.page.click("text=交给课箱")
    assert "溪口教学点" in tab.page.inner_text("main")
    fits(tab, "enrolled-board")
    assert b"b-0000000000000007" in paths.enrolment.read_bytes() and paths.key.exists()
    deadline = time.monotonic() + 60
    while True:  # the page's program begins anew
        try:
            if requests.get(web.url + "/enrol", timeout=5).ok:
                break
        except requests.RequestException:
            assert time.monotonic() < deadline
        time.sleep(0.2)
    tab.page.goto(web.url + "/")
    assert tab.page.url == web.url + "/", "home is home again"


def test_the_doctor_writes_what_the_page_shows(tmp_path: Path) -> None:
    blank(tmp_path)
    open_state(BoxPaths(tmp_path).state_db).close()
    command = [sys.executable, "-m", "appliance", "doctor", "--keep", "--json", "--data", str(tmp_path)]
    done = subprocess.run(
        [*command, "--bundle", str(tmp_path / "d.zip")], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["set up"]["fault"].startswith("401-") and (tmp_path / "d.zip").exists()
