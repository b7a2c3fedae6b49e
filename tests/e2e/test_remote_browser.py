"""A board and a phone in real browsers: the code is read off the screenshot, keys act, cards wait."""

from __future__ import annotations

import io
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from appliance.config import BoxPaths
from content_sync.formats.lesson import Lesson
from tests.box import SmallBox, film, sample
from tests.e2e.board import WebProcess
from tests.e2e.browser import PHONE, Tab

pytestmark = [pytest.mark.browser, pytest.mark.needs("ffmpeg")]
Opener = Callable[..., Tab]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallBox, Lesson]:
    folder: Path = tmp_path_factory.mktemp("box")
    small, main = sample(folder, int(time.time()), film(folder / "film.mp4"))
    small.paths.incoming.mkdir(exist_ok=True)
    return small, main


@pytest.fixture(scope="module")
def web(made: tuple[SmallBox, Lesson]) -> Iterator[WebProcess]:
    process = WebProcess(made[0], "threads = 24\nstreams = 8\n")
    yield process
    process.stop()


def read_code(shot: bytes) -> str:
    """What a phone's camera reads on the screen."""
    from PIL import Image
    from pyzbar.pyzbar import decode

    found = decode(Image.open(io.BytesIO(shot)))
    assert len(found) == 1, "one code on the page"
    return str(found[0].data.decode())


def says(tab: Tab, expression: str) -> Any:
    """What the page says; None while it changes."""
    from playwright.sync_api import Error

    try:
        return tab.page.evaluate(expression)
    except Error:
        return None


MEDIA = "document.getElementById('media')"


def test_a_phone_chooses_plays_and_turns(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener, wait_until: Callable[..., None]
) -> None:
    board, phone = open_tab(), open_tab(viewport=PHONE, is_mobile=True, has_touch=True)
    lesson = f"/lesson/{made[1].id}"

    def at(path: str) -> None:
        wait_until(
            lambda: says(board, f"location.pathname == '{path}' && document.readyState") == "complete",
            60,
            path,
        )

    board.page.goto(web.url + lesson)
    board.page.click('.ledge a[href^="/remote"]')
    assert phone.page.goto(f"{web.url}/phone").status == 403, "without the code there is nothing"
    phone.page.goto(read_code(board.page.screenshot()))
    assert phone.page.url == f"{web.url}/phone"
    at(lesson)  # the board goes back to what it had open, by itself
    second = open_tab(viewport=PHONE)
    assert second.page.goto(f"{web.url}/phone").status == 403, "another phone has not scanned"

    phone.page.fill("#q", "gushi")
    phone.page.click(".field .go")
    phone.page.click(f'.cards a[href*="{made[1].id}"]')
    phone.page.click(".cards li >> nth=1 >> button")
    at(f"{lesson}/r1")
    wait_until(lambda: says(board, f"{MEDIA} && {MEDIA}.currentTime > 0.3"), 60, "it plays")
    phone.until("document.documentElement.className == 'playing'")
    phone.page.click("#play")
    board.until(f"{MEDIA}.paused")
    phone.until("document.documentElement.className == ''")
    was = board.page.evaluate(f"{MEDIA}.currentTime")
    phone.page.click('#keys button[value="on"]')
    board.until(f"{MEDIA}.currentTime > {was} + 8")
    loud = board.page.evaluate(f"{MEDIA}.volume")
    phone.page.click('#keys button[value="softer"]')
    board.until(f"{MEDIA}.volume < {loud}")
    phone.page.click("#play")
    board.until(f"!{MEDIA}.paused")

    phone.page.click(".cards li >> nth=2 >> button")
    at(f"{lesson}/r2")
    phone.until("document.getElementById('time').textContent == '1 / 5'")
    for number, key in ((2, "next"), (3, "next"), (2, "prev")):
        phone.page.click(f'#keys button[value="{key}"]')
        board.until(f"document.getElementById('at').textContent.indexOf('{number}') > 0")
    phone.until("document.getElementById('time').textContent == '2 / 5'")

    phone.page.click(".cards li >> nth=4 >> button")
    at(f"{lesson}/r4")
    phone.page.click('#keys button[value="answer"]')
    wait_until(lambda: says(board, "document.querySelectorAll('.opt.yes').length"), 30, "the answer shows")
    phone.page.click('#keys button[value="next"]')
    wait_until(lambda: says(board, "location.search.indexOf('q=2') >= 0"), 30, "the next question")

    phone.page.click('#keys button[value="stop"]')
    at("/")
    board.page.goto(f"{web.url}/remote")
    board.page.click("text=收回遥控")
    phone.until("document.getElementById('said').textContent == '遥控已被收回，请再扫码'")
    assert phone.page.goto(f"{web.url}/phone").status == 403
    assert not board.errors


def test_a_phone_without_script_and_a_board_without_script(web: WebProcess, open_tab: Opener) -> None:
    board, phone = open_tab(), open_tab(viewport=PHONE, java_script_enabled=False)
    board.page.goto(f"{web.url}/remote")
    phone.page.goto(read_code(board.page.screenshot()))
    board.page.wait_for_url(f"{web.url}/")
    phone.page.click(".cards button >> nth=0")
    board.page.wait_for_url("**/lesson/*")
    still = open_tab(java_script_enabled=False)
    still.page.goto(f"{web.url}/remote")
    assert "没有打开脚本" in still.page.inner_text("noscript, main")


def test_a_card_waits_and_does_not_interrupt(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    board = open_tab()
    page = board.page
    page.goto(f"{web.url}/lesson/{made[1].id}/r2")
    page.evaluate("window.kept = 1")
    absent = made[0].lessons[3][0]
    cards = [
        {"id": "p-0001", "lesson": made[1].id, "note": "周三第三节用这一课"},
        {"id": "p-0002", "lesson": absent.id},
    ]
    with closing(sqlite3.connect(made[0].paths.state_db)) as db, db:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('cards', ?)", (json.dumps(cards),))
    page.click("#next")
    board.until("document.getElementById('at').textContent.indexOf('2') > 0")
    assert page.evaluate("window.kept") == 1 and page.locator(".card1").count() == 0, "nothing interrupts"
    page.goto(web.url)
    assert "周三第三节用这一课" in page.inner_text(".card1") and "还有1张" in page.inner_text(".card1")
    high, view = page.evaluate("[document.documentElement.scrollHeight, window.innerHeight]")
    assert high <= view, "home still needs no scrolling"
    page.click(".card1 button[value=open]")
    assert page.url.endswith(f"/lesson/{made[1].id}")
    page.goto(web.url)
    page.click(".card1 button[value=away]")
    assert "大自然的声音" in page.inner_text(".card1") and "还没到" in page.inner_text(".card1")
    page.click(".card1 button[value=away]")
    assert page.locator(".card1").count() == 0
    page.set_viewport_size(PHONE)
    page.goto(f"{web.url}/cards")
    assert page.locator("form.r button:visible").count() == 4, "taken out again on a phone too"
    assert not board.errors


def test_a_card_comes_to_a_board_that_stands_on_home(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener
) -> None:
    board = open_tab()
    page = board.page

    def push(*notes: str) -> None:
        cards = [{"id": f"p-1{n:03}", "lesson": made[1].id, "note": note} for n, note in enumerate(notes)]
        with closing(sqlite3.connect(made[0].paths.state_db)) as db, db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('cards', ?)", (json.dumps(cards),))

    def minute() -> int:
        """The answer of home when it was asked for again."""
        with page.expect_response(f"{web.url}/") as answer:
            page.clock.run_for(61_000)
        answer.value.finished()
        page.wait_for_timeout(300)  # what it says is put in its place; nothing tells when
        return int(answer.value.status)

    push()
    page.clock.install()
    page.goto(web.url)
    page.evaluate("document.querySelector('#now .day').textContent = '昨天'")
    page.focus("#grades .btn")
    held = "document.activeElement.textContent"
    was = page.evaluate(held)
    push("早读用")
    assert minute() == 200 and "早读用" in page.inner_text(".card1")
    assert page.inner_text("#now .day") != "昨天" and page.evaluate(held) == was, "no reload, no focus lost"
    page.focus(".card1 [value=away]")
    push("下午用")
    assert minute() == 200 and "早读用" in page.inner_text(".card1"), "not under somebody's finger"
    page.evaluate("document.activeElement.blur()")
    assert minute() == 200 and "下午用" in page.inner_text(".card1")
    assert minute() == 304, "nothing new: not a byte of the page"
    push()
    assert minute() == 200 and page.locator(".card1").count() == 0
    assert not board.errors


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_asking_for_a_lesson_and_not_any_more(
    web: WebProcess, made: tuple[SmallBox, Lesson], open_tab: Opener, script: bool
) -> None:
    tab = open_tab(java_script_enabled=script)
    page = tab.page
    absent = made[0].lessons[3][0]
    page.goto(web.url)
    page.goto(f"{web.url}/volume/{absent.collection}")
    box = page.locator(".wish button").bounding_box()
    assert box["height"] >= 64 and box["width"] >= 64
    page.click(".wish button")
    assert page.inner_text(".wish").strip() == "已要" and "/volume/" in page.url
    assert [path.name for path in BoxPaths(made[0].data).incoming.glob("wish-*.json")]
    page.click(".wish button")
    assert page.inner_text(".wish").strip() == "我要这课"
    assert not list(BoxPaths(made[0].data).incoming.glob("wish-*.json"))
