"""Every main page for every hand and eye: axe finds nothing serious, the keyboard reaches all, targets are
large enough, nothing scrolls sideways, the first page is small, other languages and directions fit."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from babel.messages.pofile import write_po
from werkzeug.serving import make_server

from appliance.web import catalogue, i18n
from appliance.web.app import Board, create_app
from appliance.web.search.index import Index, Indexer
from content_sync.adapters.clock import SystemClock
from content_sync.adapters.sqlite import StateReader
from content_sync.formats.lesson import Lesson
from tests.box import SmallBox, sample
from tests.e2e.board import WebProcess
from tests.e2e.browser import BOARD, LAPTOP, PHONE

pytestmark = pytest.mark.browser
Opener = Callable[..., Any]
AXE = Path(__file__).parents[1] / "vendor" / "axe-core" / "axe.min.js"
HUGE = {"width": 3840, "height": 2160}
#: What stands in the top of a page and nowhere lower. The status is behind 本校 on the ledge, the volume of
#: an opened resource behind 目录.
TOP = """rem => [].filter.call(document.querySelectorAll('header.top a, header.top button, .spine a'),
function (e) {
  var b = e.getBoundingClientRect(), at = e.getAttribute('href') || '', same = 'a[href="' + at + '"]';
  if (at === '/status' && document.querySelector('.ledge a[href="/school"]')) { return false; }
  if (at.indexOf('/volume/') === 0 && document.querySelector('.ledge a[href^="/lesson/"]')) { return false; }
  return b.height && b.top < 4 * rem && !document.querySelector('.ledge ' + same)
    && !document.querySelector('main ' + same);
}).map(function (e) { return e.outerHTML.slice(0, 90); })"""
SMALL = """least => [].filter.call(document.querySelectorAll('.ledge a, .ledge button, .btn, .sift a,'
  + ' .sorts a, .hits a, .toc a.l, .vols a, .thins a, .aisles a, .shelf a, .leaf a, .slip'), function (e) {
  var b = e.getBoundingClientRect(); return b.height && (b.height < least || b.width < least);
}).map(function (e) { var b = e.getBoundingClientRect();
  return Math.round(b.width) + 'x' + Math.round(b.height) + ' ' + e.outerHTML.slice(0, 90); })"""
OUTSIDE = """() => [].filter.call(document.querySelectorAll('body *'), function (e) {
  var b = e.getBoundingClientRect();
  return b.width && (b.left < -1 || b.right > window.innerWidth + 1) && !e.closest('.ledge');
}).slice(0, 4).map(function (e) { return e.outerHTML.slice(0, 120); })"""
#: Where the first and the last letter of an element's text stand.
FIRST_AND_LAST = """function (found) {
  var walker = document.createTreeWalker(document.querySelector(found), 4), text = walker.nextNode();
  return [0, text.length - 1].map(function (at) {
    var range = document.createRange(); range.setStart(text, at); range.setEnd(text, at + 1);
    return range.getBoundingClientRect().left;
  });
}"""
#: What of a phone's ledge is cut off or has to be scrolled to.
HIDDEN = """() => [].filter.call(document.querySelectorAll('.ledge .tool, .ledge .jump a'), function (e) {
  var b = e.getBoundingClientRect(); return b.height && (b.left < -1 || b.right > window.innerWidth + 1
    || b.top < 0 || b.bottom > window.innerHeight + 1 || b.height < 44 || b.width < 44);
}).map(function (e) { return e.textContent + ' ' + e.getBoundingClientRect().right; })"""
#: Words that stand out of what they label.
SPILT = """() => [].filter.call(document.querySelectorAll('.ledge .tool, .btn, .tag, h1, .mini, .sorts a'),
function (e) {
  var range = document.createRange(), b = e.getBoundingClientRect(), w;
  range.selectNodeContents(e);
  w = range.getBoundingClientRect();
  return b.height && w.width && e.className !== 'sr'
    && (w.right > b.right + 3 || w.left < b.left - 3 || w.bottom > b.bottom + 6);
}).map(function (e) { return e.className + ' ' + e.textContent.slice(0, 60); })"""
FOCUS = """() => { var e = document.activeElement, s = window.getComputedStyle(e);
  var b = e.getBoundingClientRect();
  return e === document.body ? null : {what: e.id || e.getAttribute('href') || e.textContent.slice(0, 20),
    seen: s.boxShadow !== 'none' || s.outlineStyle !== 'none' && s.outlineWidth !== '0px',
    inside: b.bottom > 0 && b.top < window.innerHeight && b.width > 0}; }"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallBox, Lesson]:
    box, main = sample(tmp_path_factory.mktemp("reach"), int(time.time()))
    place = "不分版本/不分年级/全一册"
    note = (box.resource("r1", "other", "资料", "text/plain", ("a.txt", "main", b"hello")),)
    box.lesson(f"专题教育/防溺水/{place}", "游泳前要知道", None, "六个不去", note)
    box.write(int(time.time()))
    Indexer(box.paths.search_db, StateReader(box.paths.state_db)).step()
    return box, main


def main_pages(main: Lesson) -> list[str]:
    lesson = f"/lesson/{main.id}"
    return [
        "/", "/browse", f"/volume/{main.collection}", f"/subject/{main.collection.partition('-')[0]}",
        "/shelf/topics", "/new", "/search?q=古诗", "/search?q=zzz", lesson, f"{lesson}/r1", f"{lesson}/r2",
        f"{lesson}/r4", f"{lesson}/r4/print", f"{lesson}/r6", "/received", "/status", "/blackboard", "/pin",
    ]  # fmt: skip


#: Pages of the school, beside the main ones.
SCHOOL = ["/school", "/classes", "/who", "/baskets", "/local", "/remote", "/help"]


def television(main: Lesson) -> list[str]:
    """Pages of the television: the last ones, since its cookie changes all others."""
    subject, lesson = main.collection.partition("-")[0], f"/tv/lesson/{main.id}"
    return [
        f"/tv/subject/{subject}",
        f"/tv/volume/{main.collection}",
        lesson,
        f"{lesson}/r2",
        f"{lesson}/r7",
        "/tv",
    ]


def grave(page: Any) -> list[str]:
    """What axe finds serious or critical on the page."""
    result = page.evaluate(
        "axe.run(document, {resultTypes: ['violations'], iframes: false,"
        " runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
    )
    return [
        f"{v['id']}: {node['html'][:160]} {node['any'][:1]}"
        for v in result["violations"]
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"][:3]
    ]


def test_every_page_suits_every_hand_and_eye(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    """Nothing scrolls sideways from a phone to 4K; on a board all targets have 64 px, and nothing must be
    touched in the top 4rem; axe finds nothing serious at board and phone size."""
    page, axe = open_tab().page, AXE.read_text("utf-8")
    wrong: list[str] = []
    for path in main_pages(made[1]) + SCHOOL + television(made[1]):
        page.set_viewport_size(BOARD)
        page.goto(web.url + path)
        page.evaluate(axe + ";undefined")
        for name, size in (("board", BOARD), ("laptop", LAPTOP), ("4K", HUGE), ("phone", PHONE)):
            page.set_viewport_size(size)
            found = grave(page) if size in (BOARD, PHONE) else []
            wide, view = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            if wide > view:
                found.append(f"scrolls sideways: {wide} > {view}")
            if size is not PHONE and not path.endswith("print"):
                rem = float(page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)"))
                assert view / rem == pytest.approx(80, rel=0.02)
                found += [f"in the top only: {one}" for one in page.evaluate(TOP, rem)]
                found += [f"too small: {one}" for one in page.evaluate(SMALL, 64 * rem / 24 - 0.5)]
            if size is PHONE:
                found += [f"not in reach: {one}" for one in page.evaluate(HIDDEN)]
            wrong += [f"{path} {name}: {one}" for one in found]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow  # in short: the one above, and that English pages say nothing in Chinese
def test_every_page_suits_them_in_english_too(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    """Labels, contrast and widths once more with the longer words: axe on the board, widths on both."""
    page, axe = open_tab(viewport=PHONE).page, AXE.read_text("utf-8")
    wrong: list[str] = []
    for path in main_pages(made[1]) + SCHOOL + television(made[1]):
        if path.endswith(("print", "zzz", "/new", "/topics", "/received", "/r6")):
            continue  # their words stand on others too
        page.goto(web.url + path + ("&" if "?" in path else "?") + "lang=en")
        for size in (PHONE, BOARD):
            page.set_viewport_size(size)
            found = [f"spilt: {one}" for one in page.evaluate(SPILT)]
            wide, view = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            if wide > view:
                found.append(f"scrolls sideways: {wide} > {view}")
            if size is PHONE:
                found += [f"not in reach: {one}" for one in page.evaluate(HIDDEN)]
            wrong += [f"{path} {size['width']}: {one}" for one in found]
        page.evaluate(axe + ";undefined")
        wrong += [f"{path}: {one}" for one in grave(page)]
        page.set_viewport_size(PHONE)
    assert not wrong, "\n".join(wrong)


def test_a_spine_and_the_shelves_fit_in_english(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    """A grade stands on one line in the middle of the spine; what is beside the books above the ledge."""
    page = open_tab().page
    page.goto(f"{web.url}/volume/{made[1].collection}?lang=en")
    found = page.evaluate(
        "[].map.call(document.querySelectorAll('.spine .flat'), function (e) {"
        " var r = document.createRange(), b, s; r.selectNodeContents(e); b = r.getBoundingClientRect();"
        " s = document.querySelector('.spine').getBoundingClientRect();"
        " return [e.textContent, Math.round(b.left + b.right - s.left - s.right),"
        " r.getClientRects().length]; })"
    )
    assert [one[0] for one in found] == ["Chinese", "Grade 3", "Book 1"]
    assert all(abs(one[1]) < 30 and one[2] == 1 for one in found), found
    page.goto(f"{web.url}/browse")
    low, ledge = page.evaluate(
        "[document.querySelector('.aisles').getBoundingClientRect().bottom,"
        " document.querySelector('.ledge').getBoundingClientRect().top]"
    )
    assert low < ledge


def test_axe_can_find_something(web: WebProcess, open_tab: Opener) -> None:
    page = open_tab().page
    page.goto(web.url + "/status")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"/static/icon.png\"><input>')")
    page.evaluate(AXE.read_text("utf-8") + ";undefined")
    impacts = page.evaluate(
        "axe.run().then(function (r) { return r.violations.map(function (v) {return v.impact}) })"
    )
    assert "critical" in impacts


def test_the_keyboard_reaches_and_opens_all(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    page = open_tab().page
    for path in (
        "/",
        "/browse",
        f"/volume/{made[1].collection}",
        "/search?q=古诗",
        f"/lesson/{made[1].id}/r2",
    ):
        page.goto(web.url + path)
        there = page.evaluate(
            "[].filter.call(document.querySelectorAll('a[href], button, input'), function (e) {"
            " return e.offsetWidth && e.tabIndex >= 0 && !e.disabled; }).length"
        )
        seen = set()
        for _ in range(there + 2):
            page.keyboard.press("Tab")
            at = page.evaluate(FOCUS)
            if at is None:
                break
            assert at["seen"] and at["inside"], f"{path}: {at}"
            seen.add(at["what"])
        assert len(seen) > 3, path
    page.goto(web.url + "/browse")
    page.focus(".vols a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/volume/**")
    page.focus(".toc a.l")
    page.keyboard.press("Enter")
    page.wait_for_url("**/lesson/**")


def test_the_first_page_is_small(web: WebProcess, open_tab: Opener) -> None:
    tab = open_tab()
    loaded: list[tuple[str, int]] = []

    def count(response: Any) -> None:
        head = sum(len(k) + len(v) + 4 for k, v in response.all_headers().items())
        loaded.append((response.url, len(response.body()) + head))

    tab.page.on("response", count)
    tab.page.goto(web.url, wait_until="networkidle")
    assert len(loaded) <= 6, loaded
    assert sum(size for _, size in loaded) <= 60_000, loaded


def test_without_script_one_walks_searches_and_sifts(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    page = open_tab(java_script_enabled=False).page
    page.goto(web.url)
    page.click('.ledge a[href="/browse"]')
    page.click(f'.vols a[href="/volume/{made[1].collection}"]')
    page.click('.ledge a[href="#u2"]')
    page.click(".sorts a >> text=朗读")
    assert page.locator(".toc a.l").count() == 2
    page.click(".toc a.l")
    assert page.inner_text("h1") == "古诗三首"
    page.goto(web.url + "/browse")
    page.click(".aisles a >> text=专题教育")
    page.click(".hits a")
    assert page.inner_text("h1") == "六个不去"
    page.goto(web.url + "/search")
    page.fill("#q", "第六单元")
    page.click(".go")
    before = page.locator(".hits a").count()
    page.click(".sift a >> text=数学")
    assert "subject=" in page.url and page.locator(".best").count() == 1 and before > 1
    found, said = page.locator("#found").bounding_box(), page.locator("#ask").bounding_box()
    assert found["y"] - said["y"] - said["height"] < 40, "an empty band"


PSEUDO = "ug"


@pytest.fixture
def pseudo(tmp_path: Path, made: tuple[SmallBox, Lesson], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The pages in a language that is written from the right, made of a catalogue dropped into locale/."""
    monkeypatch.setattr(i18n, "LOCALE", tmp_path / "locale")
    path = catalogue.po_path(PSEUDO)
    path.parent.mkdir(parents=True)
    words = catalogue.marked()
    words.locale = PSEUDO
    for message in words:
        if message.pluralizable:
            message.string = ("س %(num)s", "سس %(num)s")
        elif message.id:
            kept = re.split(r"(%\(\w+\)s|%%)", message.id)
            message.string = "".join(
                part if n % 2 else (("س" * 5 + " ") * (len(part) // 5) + "س" * (len(part) % 5))
                for n, part in enumerate(kept)
            )
            message.string = {"ltr": "rtl", "language-name": "ئۇيغۇرچە"}.get(message.id, message.string)
    with path.open("wb") as stream:
        write_po(stream, words)
    catalogue.main()
    assert list(i18n.found()) == ["zh", PSEUDO]
    monkeypatch.setitem(i18n.LANGUAGES, PSEUDO, PSEUDO)
    i18n._catalogue.cache_clear()
    box = made[0]
    reader = StateReader(box.paths.state_db)

    class Nobody:
        def record(self, events: object) -> None:
            pass

    app = create_app(
        Board(
            box.paths.objects,
            reader,
            Index(box.paths.search_db),
            Nobody(),
            SystemClock(),
            dict,
            language=PSEUDO,
        )
    )
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join(10)
    i18n._catalogue.cache_clear()


def test_a_language_from_the_right(pseudo: str, made: tuple[SmallBox, Lesson], open_tab: Opener) -> None:
    page = open_tab().page
    wrong = []
    for path in main_pages(made[1])[:-4]:
        page.goto(pseudo + path)
        assert page.evaluate("[document.documentElement.dir, document.documentElement.lang]") == [
            "rtl",
            PSEUDO,
        ]
        for size in (BOARD, PHONE):
            page.set_viewport_size(size)
            wide, view, left = page.evaluate(
                "[document.documentElement.scrollWidth, window.innerWidth,"
                " document.documentElement.scrollLeft]"
            )
            if wide > view or left:
                wrong.append(f"{path} {size['width']}: {page.evaluate(OUTSIDE)}")
    assert not wrong
    page.set_viewport_size(BOARD)
    page.goto(pseudo + "/browse")
    assert page.locator(".ledge .tool").first.bounding_box()["x"] > 960, "the ledge begins at the right"
    page.goto(pseudo + f"/volume/{made[1].collection}")
    assert page.locator(".spine").bounding_box()["x"] > 1500, "the spine stands at the right"
    assert page.locator(".toc .no").first.bounding_box()["x"] > 800
    page.goto(pseudo + "/school/door")
    order = page.evaluate(FIRST_AND_LAST, ".addr .big")
    assert order[0] < order[1], "an address begins at its left, and ends with its stroke"
    assert "س" in page.inner_text(".ledge") and page.locator("text=中文").count() == 0


def test_english_pages_say_nothing_in_chinese(tmp_path: Path, open_tab: Opener) -> None:
    """All that is not content: the lessons here have English names."""
    box = SmallBox(tmp_path)
    parts = tuple(
        box.resource(f"r{n}", kind, f"Part {n}", "text/plain", (f"{n}.txt", "main", b"x"))
        for n, kind in enumerate(
            ("video", "recorded", "courseware", "quiz", "plan", "guide", "audio", "other")
        )
    )
    for state in ("present", "arriving", "wanted"):
        box.lesson("小学/英语/人教版/三年级/上册", "Unit 1 Hello", 1, f"A {state} lesson", parts, state)
    box.lesson("小学/数学/人教版/四年级/下册", "Unit 2", 1, "Sums", parts)
    box.lesson("专题教育/Water/不分版本/不分年级/全一册", "Swim", None, "Six rules", parts)
    box.write(int(time.time()))
    program = WebProcess(box)
    try:
        page = open_tab(viewport=BOARD).page
        lesson = box.lessons[0][0]
        for path in [
            *main_pages(lesson)[:10],
            "/shelf/topics",
            "/received",
            "/status",
            "/blackboard",
            "/pin",
        ]:
            page.goto(program.url + path + ("&" if "?" in path else "?") + "lang=en")
            said = page.evaluate("document.title + '\\n' + document.body.innerText")
            said += "\n".join(
                page.evaluate(
                    "[].map.call(document.querySelectorAll('[aria-label],[placeholder],[alt]'),"
                    " function (e) { return [e.getAttribute('aria-label'), e.placeholder, e.alt].join(); })"
                )
            )
            for content in ("中文", "溪口教学点", "青川县", "县教研室", "古诗"):
                said = said.replace(content, "")
            assert not re.findall(r".*[\u4e00-\u9fff].*", said), path
        with urlopen(program.url + "/browse?lang=en") as answer:
            assert 'lang="en"' in answer.read().decode()
    finally:
        program.stop()
