"""Pages of a document in a real browser: swipes, taps, clickers, strip, zoom, and ten thousand of them."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from content_sync.formats.lesson import KINDS, Lesson, Resource, ResourceFile
from tests.box import YUWEN, SmallBox, png
from tests.e2e.board import WebProcess
from tests.e2e.browser import BOARD, PHONE

pytestmark = pytest.mark.browser
Opener = Callable[..., Any]
PAGES, MANY = 12, 10_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallBox, Lesson]:
    """A lesson with a document of 12 pages and one of 10,000, and one of 10,000 of which 12 are images."""
    box = SmallBox(tmp_path_factory.mktemp("box"))
    pages = [(f"课件/{n}.png", "page", png(320, 180, (20 * n, 90, 120))) for n in range(1, PAGES + 1)]
    main = ("课件.pdf", "main", b"%PDF-1.4\n%%EOF\n" + b" " * 900)
    slides = box.resource("r1", "courseware", "课件", "application/pdf", main, *pages)
    sheet = box.store(png(320, 180, (9, 9, 9)))
    many = (
        ResourceFile("书.pdf", "main", box.store(b"%PDF-1.4\n%book\n%%EOF\n")),
        *(ResourceFile(f"书 pages/{n:05}.png", "page", sheet) for n in range(1, MANY + 1)),
    )
    book = Resource("r2", "courseware", KINDS["courseware"][1], "大书", "application/pdf", many)
    first = (
        ResourceFile("全书.pdf", "main", box.store(b"%PDF-1.4\n%whole\n%%EOF\n")),
        *(ResourceFile(f"全书 pages/{n:03}.png", "page", sheet) for n in range(1, PAGES + 1)),
    )
    whole = replace(book, id="r3", title="全书", files=first, pages=MANY)
    lesson = box.lesson(YUWEN, "第六单元 祖国河山", 17, "古诗三首", (slides, book, whole), unit_no=6)
    box.write(int(time.time()))
    return box, lesson


class Reader:
    """A tab with the document open."""

    def __init__(self, tab: Any, web: WebProcess, lesson: Lesson, query: str = "") -> None:
        self.tab, self.page, self.lesson = tab, tab.page, lesson
        self.page.goto(f"{web.url}/lesson/{lesson.id}/r1{query}")
        self.roots = [file.file.root for file in lesson.resources[0].with_role("page")]
        self.page.evaluate("window.kept = 1")

    def at(self, number: int) -> None:
        """Page `number` is shown, and its strip and links have come; nothing was loaded anew."""
        self.tab.until(f"document.getElementById('at').textContent.indexOf('第{number}页') === 0")
        self.tab.until(f"document.getElementById('sheet').getAttribute('data-page') === '{number}'")
        assert self.roots[number - 1] in self.page.get_attribute("#page", "src")
        self.tab.until("document.querySelectorAll('#screen img').length === 1")
        assert self.page.evaluate("window.kept") == 1, "turned in place"

    def finger(self, *points: tuple[float, float], second: tuple[tuple[float, float], ...] = ()) -> None:
        """Touch the page image: parts of its width and height, one after the other."""
        box = self.page.locator("#screen").bounding_box()
        session = self.page.context.new_cdp_session(self.page)

        def touch(kind: str, n: int) -> None:
            at = [points[n], *(second[n : n + 1])]
            session.send(
                "Input.dispatchTouchEvent",
                {
                    "type": kind,
                    "touchPoints": []
                    if kind == "touchEnd"
                    else [
                        {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": i}
                        for i, (x, y) in enumerate(at)
                    ],
                },
            )

        touch("touchStart", 0)
        for n in range(1, len(points)):
            touch("touchMove", n)
        touch("touchEnd", len(points) - 1)
        session.detach()


NO_POINTERS = "delete window.PointerEvent; delete window.MSPointerEvent;"


@pytest.mark.parametrize("engine", ["pointer events", "touch events"])
def test_a_swipe_turns_the_page(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener, engine: str
) -> None:
    tab = open_tab(has_touch=True)
    if engine == "touch events":  # Chrome 49 has none else
        tab.page.add_init_script(NO_POINTERS)
    reader = Reader(tab, web, made[1], "?page=2")
    reader.at(2)
    left = ((0.7, 0.5), (0.6, 0.5), (0.4, 0.5), (0.25, 0.5))
    reader.finger(*left)
    reader.at(3)
    reader.finger(*reversed(left))
    reader.at(2)
    reader.finger((0.5, 0.5), (0.48, 0.5), (0.45, 0.5), (0.49, 0.5), (0.5, 0.5))  # thought better of it
    tab.until("document.querySelectorAll('#screen img').length === 1")
    reader.at(2)
    reader.finger((0.6, 0.5))
    reader.at(3)
    reader.finger((0.1, 0.5))
    reader.at(2)
    assert not tab.errors


def test_the_page_follows_the_mouse_and_shows_its_neighbour(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    tab = open_tab()
    reader = Reader(tab, web, made[1], "?page=5")
    box = reader.page.locator("#screen").bounding_box()
    x, y = box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"]
    begin = reader.page.locator("#page").bounding_box()["x"]
    reader.page.mouse.move(x, y)
    reader.page.mouse.down()
    reader.page.mouse.move(x - 300, y, steps=4)
    tab.until(f"Math.abs(document.getElementById('page').getBoundingClientRect().left - {begin - 300}) < 3")
    beside = reader.page.locator("#screen img.next0")
    assert reader.roots[5] in beside.get_attribute("src")
    assert abs(beside.bounding_box()["x"] - (begin + box["width"] - 300)) < 3
    reader.page.mouse.up()
    reader.at(6)


def test_a_presenter_clicker_and_the_keyboard(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    tab = open_tab()
    reader = Reader(tab, web, made[1], "?page=1")
    press = reader.page.keyboard.press
    for key, number in (
        ("PageDown", 2), ("ArrowRight", 3), ("ArrowDown", 4), (" ", 5), ("PageUp", 4), ("ArrowLeft", 3),
        ("ArrowUp", 2), ("End", PAGES), ("PageDown", PAGES), ("Home", 1), ("PageUp", 1),
    ):  # fmt: skip
        press(key)
        reader.at(number)
    for _ in range(4):  # faster than the box answers
        press("PageDown")
    reader.at(5)
    press("b")
    assert reader.page.locator(".black0").is_visible()
    press("b")
    assert reader.page.locator(".black0").count() == 0
    press("b")
    press("PageDown")  # lights it again and stays
    assert reader.page.locator(".black0").count() == 0
    reader.at(5)
    assert not tab.errors


def test_zoom_by_button_and_two_fingers_and_pan(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    tab = open_tab(has_touch=True)
    reader = Reader(tab, web, made[1], "?page=2")
    reader.at(2)
    wide = reader.page.locator("#page").bounding_box()["width"]
    assert abs(wide - reader.page.locator("#screen").bounding_box()["width"]) < 2, "as large as the screen"
    reader.page.click("#zoom")
    width = "document.getElementById('page').getBoundingClientRect().width"
    tab.until(f"Math.abs({width} - {1.5 * wide}) < 3")
    before = reader.page.locator("#page").bounding_box()
    reader.finger((0.5, 0.5), (0.6, 0.6))
    tab.until(f"document.getElementById('page').getBoundingClientRect().left > {before['x'] + 50}")
    reader.at(2)  # it moved, it did not turn
    reader.page.click("[data-do=smaller]")
    tab.until(f"Math.abs({width} - {wide}) < 3")
    reader.finger((0.45, 0.5), (0.4, 0.5), (0.3, 0.5), second=((0.55, 0.5), (0.6, 0.5), (0.7, 0.5)))
    tab.until(f"{width} > {3 * wide}")
    reader.page.keyboard.press("PageDown")
    reader.at(3)
    tab.until(f"Math.abs({width} - {wide}) < 3")
    assert not tab.errors


def test_strip_and_page_number(web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener) -> None:
    tab = open_tab()
    reader = Reader(tab, web, made[1], "?page=1")
    reader.page.click("[data-k=more]")
    tab.until("document.querySelector('[data-k=t12]') !== null")
    reader.at(1)
    reader.page.click("[data-k=t9]")
    reader.at(9)
    reader.page.fill("#goto-n", "4")
    reader.page.press("#goto-n", "Enter")
    reader.at(4)
    reader.page.fill("#goto-n", "99")
    reader.page.press("#goto-n", "Enter")
    reader.at(4)
    reader.page.reload()
    assert "第4页" in reader.page.inner_text("#at")
    assert not tab.errors


def test_the_class_goes_on_where_it_stopped(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    tab = open_tab()
    reader = Reader(tab, web, made[1], "?page=1")
    reader.page.keyboard.press("PageDown")
    reader.at(2)
    reader.page.keyboard.press("PageDown")
    reader.at(3)
    where = f"{web.url}/lesson/{made[1].id}/r1"
    deadline = time.monotonic() + 30
    while True:
        reader.page.goto(web.url)
        reader.page.goto(where)
        if "第3页" in reader.page.inner_text("#at"):
            break
        assert time.monotonic() < deadline


def test_links_turn_the_pages_without_script(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    tab = open_tab(java_script_enabled=False)
    page = tab.page
    page.goto(f"{web.url}/lesson/{made[1].id}/r1?page=1")
    page.click("#sheet")
    assert "第2页" in page.inner_text("#at")
    page.click("[data-k=more]")
    assert "第2页" in page.inner_text("#at") and page.locator("[data-k=t12]").count()
    page.click("[data-k=t12]")
    assert "第12页" in page.inner_text("#at")
    page.fill("#goto-n", "7")
    page.click(".goto button")
    assert "第7页" in page.inner_text("#at")
    page.click("#zoom")
    assert "zoom" in page.get_attribute("#screen", "class")
    assert page.locator("[data-do=smaller]:visible").count() == 0


def test_ten_thousand_pages_are_windowed(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    lesson = f"{web.url}/lesson/{made[1].id}"
    for path in ("", "/r2?page=1", "/r2?page=5000", "/r2?page=10000", "/r2?page=3&from=9998", "/r1?page=1"):
        with urllib.request.urlopen(lesson + path) as answer:
            body = answer.read()
        assert len(body) < 60_000, path
        assert body.count(b"/content/") < 30, path
    tab = open_tab(viewport=PHONE)
    tab.page.goto(f"{lesson}/r2?page=5000")
    tab.page.keyboard.press("End")
    tab.until("document.getElementById('at').textContent.indexOf('第10000页') === 0")
    wide, view = tab.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= view


@pytest.mark.parametrize(
    ("language", "script", "view"),
    [("zh", True, BOARD), ("en", False, BOARD), ("en", True, PHONE), ("zh", False, PHONE)],
    ids=["board", "board without script", "phone", "phone without script"],
)
def test_pages_that_are_in_the_pdf_only_are_told(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener, language: str, script: bool, view: Any
) -> None:
    """Where the images end the page says how many more there are, and opens the PDF that has them."""
    tab = open_tab(viewport=view, java_script_enabled=script)
    tab.page.goto(f"{web.url}/lesson/{made[1].id}/r3?page=1&lang={language}")
    rest = tab.page.locator("#rest")
    line = tab.page.inner_text(".line")
    assert rest.is_hidden() and "10000" in line and "12" in line
    tab.page.click("[data-k=more]")
    rest.wait_for(state="visible")
    said = {"zh": "后面9988页在 PDF 里", "en": "9988 more pages in the PDF"}
    assert said[language] in rest.inner_text()
    box = rest.bounding_box()
    assert box["x"] + box["width"] <= view["width"] and box["height"] >= (64 if view is BOARD else 48)
    tab.page.click("[data-k=t12]")
    tab.page.locator("#at", has_text="12").wait_for()
    assert rest.is_visible()
    href = rest.get_attribute("href")
    with urllib.request.urlopen(web.url + href) as answer:
        assert answer.read().startswith(b"%PDF-1.4\n%whole")
    tab.page.goto(f"{web.url}/lesson/{made[1].id}/r1?page=12")
    assert not tab.page.locator("#rest").count(), "a document that is whole says nothing of it"


def test_a_page_image_that_fails_is_told(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    tab = open_tab()
    tab.page.route("**/content/**", lambda route: route.abort())
    tab.page.goto(f"{web.url}/lesson/{made[1].id}/r1?page=2")
    tab.until("!document.getElementById('trouble').hidden")
    assert tab.page.locator("#trouble").is_visible()
