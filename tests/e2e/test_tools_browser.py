"""Teaching tools in a real browser: ink is really on the canvas, under every kind of finger."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from content_sync.formats.lesson import Lesson
from tests.box import SmallBox, sample
from tests.e2e.board import WebProcess
from tests.e2e.browser import PHONE

pytestmark = pytest.mark.browser
Opener = Callable[..., Any]
#: How many pixels of a canvas are painted; with a box in parts of its size, only there.
PAINTED = """([name, x0, y0, x1, y1]) => {
  const c = document.getElementById(name), w = c.width, h = c.height;
  const box = [w * x0, h * y0, Math.max(1, w * (x1 - x0)), Math.max(1, h * (y1 - y0))];
  const d = c.getContext('2d').getImageData(...box).data;
  let n = 0;
  for (let i = 3; i < d.length; i += 4) n += d[i] > 40;
  return n;
}"""
COLOUR = """([x, y]) => {
  const c = document.getElementById('kit-ink');
  return Array.from(c.getContext('2d').getImageData(c.width * x, c.height * y, 1, 1).data);
}"""
WHOLE = (0, 0, 1, 1)
#: What of these lies outside of the screen, or under something else.
HIDDEN = """(these) => [].filter.call(document.querySelectorAll(these), function (e) {
  var b = e.getBoundingClientRect(), there;
  if (!b.width) { return !e.closest('.js-only,.bare') && !e.hidden && e.offsetParent !== null; }
  there = document.elementFromPoint(b.left + b.width / 2, b.top + b.height / 2);
  return b.left < -1 || b.right > window.innerWidth + 1 || b.bottom > window.innerHeight + 1
    || !there || !(e.contains(there) || there.contains(e));
}).map(function (e) { return e.outerHTML.slice(0, 90); })"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallBox, Lesson]:
    return sample(tmp_path_factory.mktemp("box"), int(time.time()))


class Kit:
    """A tab with the tools out."""

    def __init__(self, tab: Any, address: str, opened: bool = True) -> None:
        self.tab, self.page = tab, tab.page
        self.page.goto(address)
        if opened:
            assert self.page.locator("#kit").count() == 0, "a page is light until a tool is wanted"
            self.page.click("#kit-open")
        self.page.locator("#kit-ink").wait_for()

    def painted(self, where: tuple[float, float, float, float] = WHOLE, canvas: str = "kit-ink") -> int:
        found: int = self.page.evaluate(PAINTED, [canvas, *where])
        return found

    def take(self, act: str) -> None:
        self.page.click(f".disc[data-kit={act}]")

    def line(self, *points: tuple[float, float]) -> None:
        """Draw with the mouse: parts of the canvas."""
        box = self.page.locator("#kit-ink").bounding_box()
        for n, (x, y) in enumerate(points):
            self.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
            if not n:
                self.page.mouse.down()
        self.page.mouse.up()

    def fingers(self, *fingers: list[tuple[float, float]]) -> None:
        """Draw with several fingers at once."""
        box = self.page.locator("#kit-ink").bounding_box()
        session = self.page.context.new_cdp_session(self.page)
        for n in range(len(fingers[0])):
            points = [
                {"x": box["x"] + f[n][0] * box["width"], "y": box["y"] + f[n][1] * box["height"], "id": i}
                for i, f in enumerate(fingers)
            ]
            kind = "touchMove" if n else "touchStart"
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        session.detach()


def test_pens_eraser_and_clear_by_mouse(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    kit = Kit(open_tab(), f"{web.url}/lesson/{made[1].id}/r2?page=1")
    assert kit.painted() == 0
    kit.line((0.3, 0.5), (0.7, 0.5))
    first = kit.painted()
    assert first > 1000 and kit.painted((0.29, 0.45, 0.71, 0.55)) == first, "where the hand went, only there"
    assert kit.page.evaluate(COLOUR, [0.5, 0.5])[:3] == [0xD9, 0x29, 0x1C]
    kit.take("pen1")
    kit.line((0.3, 0.3), (0.7, 0.3))
    assert kit.page.evaluate(COLOUR, [0.5, 0.3])[:3] == [0x1C, 0x5F, 0xD2]
    kit.take("rub")
    kit.line((0.45, 0.5), (0.55, 0.5))
    assert kit.painted((0.46, 0.45, 0.54, 0.55)) == 0, "rubbed out"
    assert kit.painted((0.3, 0.45, 0.4, 0.55)) > 0 and kit.page.evaluate(COLOUR, [0.5, 0.3])[3] == 255
    kit.take("hand")  # the hand reaches the content
    kit.line((0.3, 0.7), (0.7, 0.7))
    assert kit.painted((0, 0.6, 1, 0.8)) == 0
    kit.take("clear")
    assert kit.painted() == 0
    assert not kit.tab.errors


@pytest.mark.parametrize("engine", ["pointer events", "touch events"])
def test_two_fingers_draw_at_once(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener, engine: str
) -> None:
    tab = open_tab(has_touch=True)
    if engine == "touch events":  # Chrome 49 has none else
        tab.page.add_init_script("delete window.PointerEvent; delete window.MSPointerEvent;")
    kit = Kit(tab, f"{web.url}/blackboard", opened=False)
    steps = [0.2 + 0.05 * n for n in range(10)]
    kit.fingers([(x, 0.2) for x in steps], [(x, 0.7) for x in steps])
    above, below = kit.painted((0.15, 0.15, 0.7, 0.25)), kit.painted((0.15, 0.65, 0.7, 0.75))
    assert min(above, below) > 1000 and abs(above - below) < 0.1 * above
    assert kit.painted() == above + below, "no line between the two"
    kit.line((0.3, 0.45), (0.6, 0.45))  # and the mouse beside them
    assert kit.painted((0.25, 0.4, 0.65, 0.5)) > 1000
    assert not tab.errors


def test_ink_stays_with_its_page_and_through_a_resize(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    kit = Kit(open_tab(), f"{web.url}/lesson/{made[1].id}/r2?page=1")
    kit.line((0.4, 0.5), (0.6, 0.5))
    kit.page.click("#next")
    kit.tab.until("document.getElementById('at').textContent.indexOf('第2页') === 0")
    assert kit.painted() == 0
    kit.page.click("#prev")
    kit.tab.until("document.getElementById('at').textContent.indexOf('第1页') === 0")
    assert kit.painted((0.39, 0.45, 0.61, 0.55)) > 500
    kit.page.set_viewport_size({"width": 1366, "height": 768})
    kit.tab.until("document.getElementById('kit-ink').width === 1366")
    box, page = (kit.page.locator(name).bounding_box() for name in ("#kit-ink", "#page"))
    assert abs(page["y"] + page["height"] / 2 - box["height"] / 2) < 2
    assert kit.painted((0.39, 0.45, 0.61, 0.55)) == kit.painted() > 200, "still in the middle of the page"
    kit.take("close")
    assert not kit.page.locator("#kit-ink").is_visible()
    assert kit.page.evaluate("document.activeElement.id") == "kit-open"
    kit.page.click("#kit-open")
    assert kit.painted() > 200
    kit.page.keyboard.press("Escape")
    assert not kit.page.locator("#kit-ink").is_visible()


def test_spotlight_and_curtain(web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener) -> None:
    kit = Kit(open_tab(), f"{web.url}/lesson/{made[1].id}/r2?page=1")
    kit.take("spot")
    assert kit.painted((0.49, 0.49, 0.51, 0.51), "kit-spot") == 0, "light in the middle"
    assert kit.painted((0, 0, 0.05, 0.05), "kit-spot") > 500
    box = kit.page.locator("#kit-spot").bounding_box()
    kit.page.mouse.move(box["width"] / 2, box["height"] / 2)
    kit.page.mouse.down()
    kit.page.mouse.move(0.2 * box["width"], 0.5 * box["height"], steps=5)
    kit.page.mouse.up()
    lit = "document.getElementById('kit-spot').getContext('2d').getImageData({}, 1, 1).data[3]"
    x, y = int(0.2 * box["width"]), int(0.5 * box["height"])
    kit.tab.until(lit.format(f"{x}, {y}") + " === 0")
    assert kit.painted((0.49, 0.49, 0.51, 0.51), "kit-spot") > 0
    kit.take("curtain")
    assert not kit.page.locator("#kit-spot").is_visible()
    begin = kit.page.locator("#kit-curtain").bounding_box()
    kit.page.mouse.move(600, 300)
    kit.page.mouse.down()
    kit.page.mouse.move(600, 500, steps=4)
    kit.page.mouse.up()
    assert kit.page.locator("#kit-curtain").bounding_box()["y"] == begin["y"] + 200
    kit.take("curtain")
    assert not kit.page.locator("#kit-curtain").is_visible()


def test_the_blackboard_and_its_rulings(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    kit = Kit(open_tab(), f"{web.url}/lesson/{made[1].id}/r2?page=2")
    kit.line((0.4, 0.3), (0.6, 0.3))
    kit.take("board")
    assert kit.painted() == 0 and kit.page.locator("#kit-chalk").is_visible()
    kit.line((0.4, 0.6), (0.6, 0.6))
    assert kit.page.evaluate(COLOUR, [0.5, 0.6])[:3] == [0xFF, 0xFD, 0xF8], "white chalk"
    for name in ("pen1", "rub", "rub"):  # tapped again: there is nothing below a blackboard to point at
        kit.take(name)
    assert kit.page.get_attribute("[data-kit=pen1]", "aria-pressed") == "true"
    kit.take("pen1")
    assert kit.page.get_attribute("[data-kit=pen1]", "aria-pressed") == "true"
    for name in ("tian", "square", "four", "staff"):
        kit.page.click(f"[data-kit=rule][data-n={name}]")
        drawn = kit.page.evaluate("getComputedStyle(document.getElementById('kit-chalk')).backgroundImage")
        assert drawn.startswith("url(")
    kit.page.click("[data-kit=leaf][data-n='1']")
    assert kit.painted() == 0
    kit.page.click("[data-kit=leaf][data-n='-1']")
    assert kit.painted() > 500
    kit.page.evaluate("document.activeElement.blur()")
    kit.page.keyboard.press("PageDown")  # what is behind the board stays where it is
    kit.take("board")
    assert "第2页" in kit.page.inner_text("#at")
    assert kit.painted((0.35, 0.25, 0.65, 0.35)) == kit.painted() > 500, "the page's own ink is back"


def test_the_countdown_rings_and_outlives_a_page(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    tab = open_tab()
    tab.page.add_init_script(
        "window.rung = 0; HTMLMediaElement.prototype.play = function () {"
        " window.rung += this.src.indexOf('bell') > 0 ? 1 : 0; return Promise.resolve(); };"
    )
    tab.page.clock.install(time=time.time())
    kit = Kit(tab, f"{web.url}/blackboard#timer", opened=False)
    page = kit.page
    page.click("[data-kit=minutes][data-n='3']")
    page.click("[data-kit=less]")
    assert page.inner_text("#kit-left") == "2:00"
    page.click("#kit-run")
    page.clock.run_for(61_000)
    page.click("#kit-run")  # halted
    left = page.inner_text("#kit-left")
    assert left.startswith("0:") and 10 < int(left[2:]) < 60
    page.clock.run_for(30_000)
    assert page.inner_text("#kit-left") == left
    page.click("#kit-run")
    page.goto(f"{web.url}/lesson/{made[1].id}/r4")
    page.locator("#kit").wait_for(state="attached")
    tab.until("window.kitReady === true")
    page.clock.run_for(10_000)
    said = page.inner_text("#kit-said")
    assert said.startswith("0:") and 0 < int(said[2:]) <= int(left[2:]) - 10, "it goes on, on the ledge"
    assert not page.locator("#kit-timer").is_visible()
    page.clock.run_for(60_000)
    assert page.locator("#kit-timer").is_visible() and page.inner_text("#kit-over") == "时间到"
    page.goto(f"{web.url}/blackboard#timer")
    page.click("[data-kit=minutes][data-n='1']")
    page.click("#kit-run")
    page.clock.run_for(61_000)
    assert page.evaluate("window.rung") == 1 and page.inner_text("#kit-left") == "0:00"
    assert not tab.errors


def test_random_pick_calls_each_number_once(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    tab = open_tab()
    tab.page.clock.install(time=time.time())
    kit = Kit(tab, f"{web.url}/blackboard#pick", opened=False)
    page = kit.page
    for _ in range(2):
        page.click("[data-kit=fewer][data-n='10']")
    for _ in range(4):
        page.click("[data-kit=fewer][data-n='1']")
    assert page.inner_text("#kit-most") == "6"

    def draw() -> int:
        page.click("[data-kit=draw]")
        page.clock.run_for(2_000)
        return int(page.inner_text("#kit-drawn"))

    assert sorted(draw() for _ in range(6)) == [1, 2, 3, 4, 5, 6]
    assert 1 <= draw() <= 6, "then it begins anew"
    page.click("[data-kit=fewer][data-n='10']")
    assert page.inner_text("#kit-most") == "2", "there are always two"
    page.goto(f"{web.url}/blackboard#pick")
    assert page.inner_text("#kit-most") == "2", "the class is as large tomorrow"


def test_tools_over_courseware_swallow_touches_only_while_one_is_in_hand(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    kit = Kit(open_tab(), f"{web.url}/lesson/{made[1].id}/r3")
    under = "document.elementFromPoint(600, 300).id"
    assert kit.page.evaluate(under) == "kit-ink"
    kit.take("hand")
    assert kit.page.evaluate(under) == "frame"
    kit.take("pen2")
    kit.line((0.3, 0.3), (0.5, 0.5))
    assert kit.painted() > 1000


@pytest.mark.parametrize("size", [None, PHONE], ids=["board", "phone"])
def test_targets_are_large_and_reached_by_keyboard(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener, size: Any
) -> None:
    kit = Kit(open_tab(**({"viewport": size} if size else {})), f"{web.url}/lesson/{made[1].id}/r2?page=1")
    for selector in (".disc", ".kit-rules button", ".kit-card button"):
        if selector == ".kit-rules button":
            kit.take("board")
        if selector == ".kit-card button":
            kit.take("timer")
        for button in kit.page.locator(selector).all():
            box = button.bounding_box()
            if box is not None:
                assert min(box["width"], box["height"]) >= (64 if size is None else 44), button.inner_text()
    wide, view = kit.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= view
    kit.page.keyboard.press("Escape")
    assert not kit.page.locator("#kit-timer").is_visible()
    assert kit.page.evaluate(HIDDEN, ".disc, .kit-rules button, .ledge .tool") == [], "all within reach"
    kit.page.focus(".disc[data-kit=pen2]")
    kit.page.keyboard.press("Enter")
    assert kit.page.get_attribute(".disc[data-kit=pen2]", "aria-pressed") == "true"
    assert not kit.tab.errors
