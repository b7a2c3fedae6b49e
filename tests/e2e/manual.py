# ruff: noqa: E501 (rows)
"""The pictures and the terminal of docs/operations.md, taken from the real programs: `python -m tests.e2e.manual`
(`make manual`). Small PNGs in docs/operations; the terminal's text is put into both manuals.
"""

from __future__ import annotations

import contextlib
import fcntl
import lzma
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xlsxwriter
from playwright.sync_api import sync_playwright

from appliance.config import BoxPaths
from appliance.firstboot.wiring import open_state
from appliance.health.problems import keep
from appliance.setup import blank
from appliance.web.pin import set_pin
from content_sync.ports import Problem
from county.flash.labels import Label, label_page
from tests.box import SmallBox, sample
from tests.e2e.board import WebProcess
from tests.e2e.browser import Tab, launch
from tests.e2e.screens import FONTS, ROOT, save

PIN = "286401"
#: Where the pages seem to lie: as at a school.
ADDRESS = "192.168.1.10"
SHOT = {"width": 1280, "height": 720}
PLACE = ROOT / "docs" / "operations"
SCHOOLS = [
    ["学校代码", "学校名称", "地址", "网关", "联系电话"],
    ["001", "清河镇中心小学", "192.168.1.10/24", "192.168.1.1", "13800000000"],
    ["002", "东沟教学点", "", "", ""],
]
#: `county flash` with one removable disk in the computer: a file, shown as the device that it stands for.
_WITH_A_CARD = """
import sys
from county.flash import disks
card = disks.Card(sys.argv.pop(1), "Generic STORAGE DEVICE", 31914983424)
disks.disks_of_this_computer = lambda: type("Reader", (), {"cards": lambda _: [card], "release": lambda _, one: None})()
from county.cli import cli
from content_sync.terminal import run
sys.exit(run(cli, "county"))
"""


NAME = "http://lesson.local/"
LABELS = [
    Label(
        "清河镇中心小学",
        "001",
        "b-3f0a6f0c8e7b41d2",
        f"http://{ADDRESS}/",
        NAME,
        ("lesson-41d2", "0316627745"),
    ),
    Label("东沟教学点", "002", "b-9d2e54a86d2b9c1e", NAME, "", ("lesson-9c1e", "8841290667")),
    Label(
        "青川县骑马乡里坪九年一贯制学校附属溪口教学点", "003", "b-77d2e5aa11c29c04", "http://10.8.3.21/", NAME
    ),
    Label(
        "青川县乔庄镇第一幼儿园暨学前教育指导中心附属里坪村教学点", "3137000123", "b-0f54c1e90d2b3377", NAME
    ),
]


def run(*words: object, **more: Any) -> None:
    """A program, to its end."""
    subprocess.run([str(word) for word in words], cwd=ROOT, check=True, **more)


def make_image(folder: Path) -> Path:
    """A small image with a FAT partition and its block map, as `images/build` lays it out."""
    image = folder / "lessonbox-arm64.img"
    with image.open("wb") as file:
        file.truncate(48 << 20)
    table = b"label: gpt\nstart=2048,size=69632,type=uefi,name=boot\nsize=+,type=linux\n"
    run("sfdisk", "-q", image, input=table)
    run("mkfs.vfat", "-F", "32", "-s", "1", "--offset", 2048, image, 69632 // 2, stdout=subprocess.DEVNULL)
    run("bmaptool", "-q", "create", "-o", folder / "lessonbox-arm64.bmap", image)
    packed = folder / "lessonbox-arm64.img.xz"
    packed.write_bytes(lzma.compress(image.read_bytes(), preset=0))
    return packed


def make_county(folder: Path) -> Path:
    """A county with its list of schools, `学校.xlsx`, and a signed image beside it."""
    county = folder / "county"
    python = (sys.executable, "-m", "county")
    run(
        *python,
        "init",
        "--data",
        county,
        "--name",
        "清河县",
        "--url",
        "http://127.0.0.1:9",
        stdout=subprocess.DEVNULL,
    )
    with xlsxwriter.Workbook(folder / "学校.xlsx") as book:
        sheet = book.add_worksheet()
        for row, cells in enumerate(SCHOOLS):
            sheet.write_row(row, 0, cells)
    run(*python, "sign-image", make_image(folder), "--data", county, stdout=subprocess.DEVNULL)
    return county


class Terminal:
    """A program on a terminal of its own; answers are typed when a question stands there."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._main, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 40, 76, 0, 0))
        environment = os.environ | {
            "TERM": "dumb", "COLUMNS": "76", "LINES": "40", "LANG": "zh_CN.UTF-8", "LC_ALL": "zh_CN.UTF-8",
            "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1",
        }  # fmt: skip
        self.process = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        os.close(terminal)
        self.said = ""

    def until(self, words: str, seconds: float = 120) -> None:
        """Read until it says this; once it has ended, what it said is whole."""
        begin, end = len(self.said), time.monotonic() + seconds
        while words not in self.said[begin:]:
            assert time.monotonic() < end, f"never said {words!r}: {self.said}"
            if select.select([self._main], [], [], 1)[0]:
                try:
                    self.said += os.read(self._main, 65536).decode("utf-8", "replace")
                except OSError:  # EIO: it has ended
                    assert words in self.said[begin:], f"never said {words!r}: {self.said}"

    def type(self, words: str) -> None:
        """And Enter."""
        os.write(self._main, f"{words}\n".encode())

    def close(self) -> int:
        """Its exit code."""
        with contextlib.suppress(OSError):
            while part := os.read(self._main, 65536):
                self.said += part.decode("utf-8", "replace")
        os.close(self._main)
        return self.process.wait(60)


def plain(said: str) -> str:
    """What stays on the screen of a terminal: of a line that is drawn again and again the last state."""
    lines = [line.rpartition("\r")[2] for line in said.replace("\r\n", "\n").replace("\a", "").split("\n")]
    text = "\n".join(line.rstrip() for line in lines)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def flash_session(folder: Path, county: Path) -> str:
    """Two schools' cards, written by the real program on a terminal, as the technician sees it."""
    card = folder / "card"
    with card.open("wb") as file:
        file.truncate(31914983424)
    words = ["flash", "lessonbox-arm64.img.xz", "--schools", "学校.xlsx", "--data", str(county)]
    shown = Terminal([sys.executable, "-c", _WITH_A_CARD, str(card), *words], folder)
    for number in (1, 2):
        shown.until("输 y 才写")
        shown.type("y")
        if number == 2:
            shown.until("真的要盖掉它")  # the same card again, since this reader has only one
            shown.type("y")
        else:
            shown.until("换好卡")
            shown.type("")
    shown.until("门牌")
    code = shown.close()
    assert code == 0, (code, shown.said)
    text = plain(shown.said).replace(str(card), "/dev/sdb").replace(f"{folder}/", "")
    kept = [line for line in text.split("\n") if "真的要盖掉它" not in line]
    return "$ sudo county flash lessonbox-arm64.img.xz --schools 学校.xlsx\n" + "\n".join(kept)


def put(text: str) -> None:
    """Into both manuals, between their marks."""
    begin, end = "<!-- flash: made by `make manual` -->\n", "<!-- end of flash -->\n"
    for name in ("operations.md", "operations.en.md"):
        path = ROOT / "docs" / name
        before, _, rest = path.read_text("utf-8").partition(begin)
        path.write_text(f"{before}{begin}```\n{text}\n```\n{end}{rest.partition(end)[2]}", "utf-8")


def pictures(folder: Path, playwright: Any) -> None:
    """Of a box with troubles, of one that nobody has enrolled, and of the labels."""
    now = int(time.time())
    troubled, _ = sample(folder / "box", now)
    set_pin(troubled.paths.pin, PIN)
    keep(troubled.paths.health, [
        Problem("E-POWER", "power", "电源供电不够（undervoltage 7 times since the start）", now - 2 * 86400),
        Problem("E-HEAT", "temperature", "课箱有点热（78 °C）", now - 86400),
    ])  # fmt: skip
    keep(troubled.paths.firstboot, [
        Problem("E-CONFIG", "lessonbox.conf", "lessonbox.conf 第19行 地址：不是 192.168.1.10/24 这样的地址（line 19）", now)
    ])  # fmt: skip
    fresh = folder / "new"
    blank(fresh)
    open_state(BoxPaths(fresh).state_db).close()
    for box, paths in (
        (troubled, {"pin": "/pin", "help": "/help", "problems": "/school/problems", "door": "/school/door"}),
        (SmallBox(fresh), {"enrol": "/enrol"}),
    ):  # fmt: skip
        web = WebProcess(box)
        browser = launch(
            playwright, f"--host-resolver-rules=MAP {ADDRESS}:80 127.0.0.1:{web.port}", "--lang=zh-CN"
        )
        url = f"http://{ADDRESS}"
        try:
            for name, path in paths.items():
                tab = Tab(browser, viewport=SHOT)
                if name in ("problems", "enrol"):
                    tab.page.goto(f"{url}/pin")
                    enter(tab)
                tab.page.goto(url + path)
                if name == "door":  # as it comes out of the printer
                    tab.page.emulate_media(media="print")
                    tab.page.evaluate(
                        f"document.querySelector('.addr .big').textContent = 'http://{ADDRESS}/'"
                    )
                    tab.page.set_viewport_size({"width": 794, "height": 1000})
                save(tab.page.screenshot(), PLACE / f"{name}.png")
                tab.close()
        finally:
            browser.close()
            web.stop()
    browser = launch(playwright)
    paper = Tab(browser, viewport={"width": 794, "height": 760})
    paper.page.set_content(label_page(LABELS))
    save(paper.page.screenshot(), PLACE / "labels.png")
    browser.close()


def enter(tab: Tab) -> None:
    """Enter the PIN, or set the first one, whichever the page asks for."""
    for field in tab.page.query_selector_all(".pinfield"):
        field.fill(PIN)
    tab.page.click("form.pinform button[type=submit]:visible")
    tab.until("location.pathname.indexOf('/pin') < 0")


def with_fonts(folder: Path, work: Callable[[], None]) -> None:
    """Do it with a font for KaiTi."""
    fonts = folder / "fonts.conf"
    fonts.write_text(FONTS, "utf-8")
    os.environ["FONTCONFIG_FILE"] = str(fonts)
    work()


def main() -> None:
    """Take them all."""
    PLACE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lessonbox-manual-") as name:
        folder = Path(name)
        put(flash_session(folder, make_county(folder)))

        def shoot() -> None:
            with sync_playwright() as playwright:
                pictures(folder, playwright)

        with_fonts(folder, shoot)


if __name__ == "__main__":
    main()
