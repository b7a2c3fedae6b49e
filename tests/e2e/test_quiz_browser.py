"""Every kind of question in a real browser, by taps, with and without JavaScript; and on paper."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from content_sync.formats.lesson import Lesson
from tests import quizzes
from tests.box import TEST, YUWEN, SmallBox
from tests.e2e.board import WebProcess

pytestmark = pytest.mark.browser
Opener = Callable[..., Any]
NUMBER = {name: n for n, name in enumerate(quizzes.KINDS, 1)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallBox, Lesson]:
    """A quiz of every kind, and one of forty questions."""
    box = SmallBox(tmp_path_factory.mktemp("box"))
    every = box.resource("r1", "quiz", "课堂练习", "application/xml", *quizzes.resource_files())
    kinds = tuple(quizzes.KINDS)
    refs = "".join(f'<qti-assessment-item-ref href="items/{kinds[n % 8]}.xml"/>' for n in range(40))
    long = {**quizzes.files(), "assessment.xml": TEST.format(refs=refs).encode()}
    listed = [
        (f"长/{path}", "main" if path == "assessment.xml" else "part", data) for path, data in long.items()
    ]
    many = box.resource("r2", "quiz", "单元练习", "application/xml", *listed)
    lesson = box.lesson(YUWEN, "第六单元 祖国河山", 17, "古诗三首", (every, many), unit_no=6)
    box.write(int(time.time()))
    return box, lesson


class Desk:
    """A quiz on the board."""

    def __init__(self, tab: Any, web: WebProcess, lesson: Lesson, scripted: bool) -> None:
        self.tab, self.page, self.scripted = tab, tab.page, scripted
        self.at = f"{web.url}/lesson/{lesson.id}/r1"

    def open(self, kind: str) -> None:
        self.page.goto(f"{self.at}?q={NUMBER[kind]}")
        if self.scripted:
            self.page.evaluate("window.kept = 1")

    def tap(self, name: str) -> None:
        """Tap what carries this name, and wait until the question looks as it says afterwards."""
        link = self.page.locator(f"[data-k='{name}']")
        href = link.get_attribute("href")
        link.click()
        self.page.wait_for_url(lambda url: url.endswith(href))
        if self.scripted:
            assert self.page.evaluate("window.kept") == 1, "nothing blinked"

    def looks(self) -> dict[str, str]:
        """How each option looks, by its name."""
        found = self.page.locator(".opt").all()
        return {
            option.get_attribute("data-k"): option.get_attribute("class").replace("opt kai", "").strip()
            for option in found
        }


#: Icons on the page that the page does not bring.
LACKING = """[].map.call(document.querySelectorAll('use'), function (use) {
  return use.getAttribute('xlink:href') || use.getAttribute('href');
}).filter(function (name) { return !document.querySelector('.sprite ' + name); })"""


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def desk(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener, request: pytest.FixtureRequest
) -> Desk:
    return Desk(open_tab(java_script_enabled=request.param), web, made[1], request.param)


def test_every_kind_by_taps(desk: Desk) -> None:
    page = desk.page
    desk.open("choice")
    assert page.locator(".ans, .why, .opt.yes").count() == 0
    desk.tap("A")
    assert desk.looks() == {"A": "picked wrong", "B": "yes", "C": "no", "D": "no"}
    assert page.locator(".opt .ic").count() == 2 and not page.evaluate(LACKING), "tick and cross are there"
    assert "（B）" in page.inner_text(".stem") and "“出”字" in page.inner_text(".why")
    desk.tap("B")
    assert page.locator(".opt.yes").count() == 0, "put away again"
    desk.tap("C")
    desk.tap("answer")
    assert page.locator(".ans, .mine, .picked").count() == 0, "the class tries again"
    page.reload()
    assert page.locator(".ans, .mine, .picked").count() == 0
    page.evaluate("window.kept = 1")
    desk.tap("answer")
    assert desk.looks()["B"] == "yes"

    desk.tap("next")
    assert "第2题" in page.inner_text("#count")
    desk.tap("B")
    desk.tap("D")
    assert desk.looks() == {"A": "", "B": "picked", "C": "", "D": "picked"}
    ink = "getComputedStyle(document.querySelector('.stem')).color"
    picked = page.locator(".stem .mine")
    assert page.locator(".stem .ans").count() == 0, "picked is not yet right"
    if picked.count():
        assert picked.evaluate("e => getComputedStyle(e).color") == page.evaluate(ink)
    desk.tap("answer")
    assert desk.looks() == {"A": "no", "B": "yes", "C": "yes", "D": "picked wrong"}

    desk.open("judge")
    desk.tap("B")
    assert desk.looks() == {"A": "no", "B": "yes"}

    desk.open("fill")
    assert "楚江" not in page.inner_text(".stem")
    desk.tap("1")
    assert page.locator(".hole .ans").all_inner_texts() == ["回"]
    desk.tap("0")
    assert page.locator(".hole .ans").all_inner_texts() == ["楚江", "回"]

    desk.open("order")
    for name in ("B", "A", "C", "D"):
        desk.tap(name)
    assert [badge.strip() for badge in page.locator(".opt .ab").all_inner_texts()] == ["2", "1", "3", "4"]
    desk.tap("C")
    assert [badge.strip() for badge in page.locator(".opt .ab").all_inner_texts()] == ["2", "1", "C", "3"]
    desk.tap("answer")
    assert list(desk.looks()) == ["B", "A", "D", "C"], "in the right order"

    desk.open("match")
    for name in ("1", "B", "C", "2", "3", "C"):
        desk.tap(name)
    assert page.locator(".wires line").count() == 3
    desk.tap("answer")
    assert page.locator(".wires line.good").count() == 3 and page.locator(".wires line.bad").count() == 1
    drawn, row = (page.locator(name).first.bounding_box() for name in (".wires", ".join ol"))
    assert abs(drawn["height"] - row["height"]) < 2 and abs(drawn["y"] - row["y"]) < 2, (
        "wires meet their rows"
    )

    desk.open("formula")
    assert page.locator(".stem .frac").count() == 2 and page.locator(".stem img.fig").count() == 1
    desk.open("open")
    assert page.locator("ruby rt").inner_text() == "gū"
    desk.tap("answer")
    assert "一只小船" in page.inner_text(".why")
    assert not desk.tab.errors


def test_keys_and_ink_over_a_question(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    desk = Desk(open_tab(), web, made[1], True)
    page = desk.page
    desk.open("choice")
    page.click("#kit-open")
    page.locator("#kit-ink").wait_for()
    page.mouse.move(500, 500)
    page.mouse.down()
    page.mouse.move(800, 500, steps=5)
    page.mouse.up()
    inked = (
        "document.getElementById('kit-ink').getContext('2d').getImageData(600, 490, 20, 20)"
        ".data.some(Boolean)"
    )
    assert page.evaluate(inked)
    page.click("#answer")
    page.locator(".opt.yes").wait_for()
    assert page.evaluate(inked), "ink stays while the answer is shown"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("PageDown")
    desk.tab.until("document.getElementById('count').textContent.indexOf('第2题') === 0")
    assert not page.evaluate(inked)
    page.keyboard.press("PageUp")
    desk.tab.until("document.getElementById('count').textContent.indexOf('第1题') === 0")
    assert page.evaluate(inked)
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    assert not desk.tab.errors


def test_forty_questions_keep_the_ledge_in_place(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    page = open_tab().page
    for number, language in ((1, "zh"), (20, "en"), (40, "en")):
        page.goto(f"{web.url}/lesson/{made[1].id}/r2?q={number}&lang={language}")
        assert "on" in page.get_attribute(f"[data-k=q{number}]", "class")
        inside = page.evaluate(
            "[].every.call(document.querySelectorAll('.ledge > a, .ledge button, .qnos a'), function (e) {"
            " var b = e.getBoundingClientRect(); return b.left >= 0 && b.right <= 1920 && b.width >= 60; })"
        )
        assert inside
    page.click(".ledge .lockform button")
    assert "/baskets/" in page.url and "单元练习" in page.inner_text(".res"), (
        "quizzes are prepared together too"
    )


def paper(tab: Any, address: str, out: Path) -> list[str]:
    """The text of each printed page."""
    tab.page.goto(address)
    tab.page.pdf(path=str(out), prefer_css_page_size=True)
    info = subprocess.run(["pdfinfo", str(out)], capture_output=True, text=True, check=True).stdout
    assert "(A4)" in info
    done = subprocess.run(["pdftotext", "-layout", str(out), "-"], capture_output=True, text=True, check=True)
    return done.stdout.split("\f")[:-1]


@pytest.mark.needs("pdftotext")
def test_on_paper(web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener, tmp_path: Path) -> None:
    tab = open_tab()
    at = f"{web.url}/lesson/{made[1].id}"
    plain = paper(tab, f"{at}/r1/print", tmp_path / "a.pdf")
    assert len(plain) == 2 and "姓名" in plain[0] and "回练习" not in "".join(plain)
    assert not re.search("答案|楚江，回|→ A", "".join(plain))
    keyed = paper(tab, f"{at}/r1/print?key", tmp_path / "b.pdf")
    assert len(keyed) == 3 and "答案（教师用）" in keyed[2] and "答案" not in keyed[0] + keyed[1]
    assert "楚江，回" in keyed[2] and "B → A → D → C" in keyed[2]
    long = paper(tab, f"{at}/r2/print", tmp_path / "c.pdf")
    assert 4 <= len(long) <= 10
    places = {}
    for n, text in enumerate(long):
        for found in re.finditer(r"^ *(\d+)\. ", text, re.MULTILINE):
            places[int(found[1])] = n
    assert sorted(places) == list(range(1, 41))
    for number in range(1, 41, 8):  # what begins on a page ends there
        assert "青山自己在移动" in long[places[number]]
    tab.page.emulate_media(media="print")
    assert not tab.page.locator(".ledge").is_visible()


def test_without_script_the_paper_says_how(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    page = open_tab(java_script_enabled=False).page
    page.goto(f"{web.url}/lesson/{made[1].id}/r1/print")
    assert page.locator(".hint-p").is_visible() and not page.locator("[data-do=print]").is_visible()
    page.click("text=题目和答案")
    assert "答案（教师用）" in page.inner_text(".key")
