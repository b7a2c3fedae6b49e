"""An afternoon of the technician's: from the county's list of schools to three boxes that teach, no key
pressed on any of them; and a card of nonsense. `make test-image`; LESSONBOX_IMAGE=FILE takes an image that
was built before."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import xlsxwriter

from tests.e2e import library
from tests.e2e.manual import Terminal
from tests.e2e.programs import ROOT, free_port
from tests.image import boot
from tests.image.boot import MIB, Machine, booted, fat, run

pytestmark = pytest.mark.slow
#: The emulator's own network: the county's server is 10.0.2.2 in it, a box 10.0.2.15.
SCHOOLS = [
    ["学校代码", "学校名称", "地址", "网关", "主机名", "联系人"],
    ["001", "清河镇中心小学", "", "", "", "李老师"],
    ["002", "东沟教学点", "10.0.2.15/24", "10.0.2.2", "", ""],
    ["003", "溪口小学", "", "", "xikou", ""],
]
PATIENCE = 900


@dataclass
class Office:
    """The county's side: its data, the image it signed, the list, where its cards are written."""

    folder: Path
    data: Path
    image: Path
    key: Path

    def card(self, code: str) -> Path:
        """The card of a school, in a folder of its own (the emulator keeps its files beside it)."""
        place = self.folder / f"card-{code}"
        place.mkdir(exist_ok=True)
        card = place / "card.img"
        if not card.exists():
            with card.open("wb") as file:
                file.truncate(8 * 1024 * MIB)
        return card


@pytest.fixture(scope="module")
def office(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    signed = folder / "lessonbox-amd64.img"
    run("cp", "--sparse=always", image, signed)
    shutil.copy(image.with_suffix(".bmap"), folder / "lessonbox-amd64.bmap")
    port, data, python = free_port(), folder / "county", sys.executable
    words = ["--data", str(data), "--name", "清河县", "--url", f"http://10.0.2.2:{port}"]
    run(python, "-m", "county", "init", *words)
    library.two_lessons(folder / "tree")
    run(python, "-m", "county", "publish", "--data", data, folder / "tree")
    run(python, "-m", "county", "sign-image", signed, "--data", data)
    with xlsxwriter.Workbook(folder / "学校.xlsx") as book:
        sheet = book.add_worksheet("名单")
        for row, cells in enumerate(SCHOOLS):
            sheet.write_row(row, 0, cells)
    words = [python, "-m", "county", "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}"]
    with (folder / "serve.log").open("wb") as log:
        server = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield Office(folder, data, signed, boot.new_key(folder))
    finally:
        server.terminate()
        server.wait(60)


def flashed(office: Office, code: str, name: str) -> None:
    """Write the next card as at a desk: look, `y`, wait; then leave the batch."""
    words = ["flash", office.image.name, "--schools", "学校.xlsx", "--device", str(office.card(code))]
    words += ["--data", str(office.data)]
    desk = Terminal([sys.executable, "-m", "county", *words], office.folder)
    desk.until("输 y 才写", 300)
    assert f"学校：{code} {name}" in desk.said, desk.said
    desk.type("y")
    desk.until("可以拔卡", PATIENCE)
    if code != "003":
        desk.until("换好卡")
        desk.type("n")
    assert desk.close() == (0 if code == "003" else 3), desk.said


def test_from_the_list_to_three_cards(office: Office) -> None:
    for code, name, *_ in SCHOOLS[1:]:
        flashed(office, code, name)
    labels = (office.folder / "学校.labels.html").read_text("utf-8")
    assert all(row[1] in labels for row in SCHOOLS[1:]) and "http://10.0.2.15/" in labels
    assert "http://xikou.local/" in labels


def page(machine: Machine, path: str) -> str:
    """A page's text; empty while it can't be had."""
    try:
        return machine.get(path, timeout=60).decode()
    except (OSError, urllib.request.HTTPError):
        return ""


@pytest.mark.parametrize("row", SCHOOLS[1:], ids=lambda row: str(row[0]))
def test_it_comes_up_as_the_schools_box_and_teaches(office: Office, row: list[str]) -> None:
    """Plugged in, left alone: the first page, the school's name, its box id, and the county's lessons."""
    code, name, address, _, host, _ = row
    card = office.card(code)
    cards = json.loads((office.data / "flash" / "cards.json").read_text("utf-8"))["cards"]
    box = next(one["box"] for one in cards if one["school"] == code)
    with booted(card, office.key) as machine:
        machine.wait_until(lambda: name in page(machine, "/enrol"), PATIENCE, f"the box of {name}")
        assert json.loads(machine.get("/api/v1/status", 60))["box"] == box
        machine.wait_until(lambda: "西沙群岛" in page(machine, "/"), PATIENCE, "teaching")
        status = json.loads(machine.get("/api/v1/status", 60))
        codes = {problem["code"] for problem in status["problems"]}
        assert not codes & {"E-CONFIG", "E-ENROL", "E-UNENROLLED", "E-READ-ONLY"}, status["problems"]
        assert "000-0" in page(machine, "/help") or codes
        named = f"http://{host or 'lesson'}.local/"
        machine.wait_until(lambda: named in machine.console_end(), PATIENCE, "the console says its name")
        assert f"  {code} " in machine.console_end(), machine.console_end()
    left = fat(card, "mdir", "-b").lower()
    assert "lessonbox.conf" in left and "enrolment.json" not in left, "the claim was used and is erased"
    conf = fat(card, "mtype", "::/lessonbox.conf")
    assert name in conf and (not address or address in conf)


def test_a_card_of_nonsense(office: Office, tmp_path: Path) -> None:
    """Typed by hand, all of it wrong: it comes up, and says so on its pages and at HDMI."""
    card, conf = tmp_path / "card.img", tmp_path / "lessonbox.conf"
    boot.make_card(office.image, card, 4 * 1024 * MIB)
    conf.write_bytes("主机名 = 不是名字\r\n地址 = 300.1.1.1\r\n这不是设置\r\n".encode("gb18030"))
    boot.put_on_fat(card, conf, "lessonbox.conf")
    with booted(card, office.key) as machine:
        machine.wait_until(lambda: "faultqr" in page(machine, "/help"), PATIENCE, "up")
        said = page(machine, "/help")
        assert "501-2" in said and "401-7" in said, said
        assert "注册" in page(machine, "/"), "home leads to where it is enrolled"
        machine.wait_until(lambda: "501-2 E-CONFIG" in machine.console_end(), PATIENCE, "the console says it")
        assert "http://lesson.local/" in machine.console_end()
