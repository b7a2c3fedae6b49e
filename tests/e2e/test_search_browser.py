"""Search on a board and a phone, with and without script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.box import SmallBox, sample
from tests.e2e.board import WebProcess
from tests.e2e.browser import PHONE

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WebProcess, SmallBox]]:
    from appliance.web.search.index import Indexer
    from content_sync.adapters.sqlite import StateReader

    box, _ = sample(tmp_path_factory.mktemp("find"), 1_780_000_000)
    Indexer(box.paths.search_db, StateReader(box.paths.state_db)).step()
    program = WebProcess(box)
    yield program, box
    program.stop()


def test_letters_on_the_board_find_at_once(web: Any, open_tab: Callable[..., Any]) -> None:
    tab = open_tab()
    page = tab.page
    page.goto(web[0].url + "/search")
    page.evaluate("window.same = true")
    for key in "jys":
        page.click(f'#pad [data-k="{key}"]')
    tab.until("location.search === '?q=jys' && !!document.querySelector('.best')")
    assert [e.text_content() for e in page.query_selector_all(".best ruby")] == ["静jìng", "夜yè", "思sī"]
    assert page.evaluate("window.same") and page.url.endswith("/search?q=jys")
    sizes = page.evaluate(
        "[].map.call(document.querySelectorAll('#pad button'), function (b) {"
        " var r = b.getBoundingClientRect(); return Math.min(r.width, r.height); })"
    )
    assert min(sizes) >= 64
    page.click('#pad [data-k="-"]')
    page.click('#pad [data-k="0"]')
    tab.until("!document.querySelector('.best')")
    page.fill("#q", "西沙")
    tab.until("(document.querySelector('.best') || document.body).textContent.indexOf('富饶的西沙群岛') >= 0")
    page.click("#by-keys")
    assert not page.is_visible("#pad") and page.evaluate("document.activeElement.id") == "q"
    page.click("#by-letters")
    assert page.is_visible("#pad")
    page.fill("#q", "西沙 乘法")
    tab.until("!!document.querySelector('.help')")
    assert "西沙 1" in page.inner_text(".help") and "数学" in page.inner_text(".help")
    page.click(".help a >> text=乘法")
    assert "笔算乘法" in page.inner_text(".best")
    assert not tab.errors


@pytest.mark.parametrize(
    "more", [{"java_script_enabled": False}, {"viewport": PHONE}], ids=["plain", "phone"]
)
def test_the_form_works_alone(web: Any, open_tab: Callable[..., Any], more: dict[str, Any]) -> None:
    tab = open_tab(**more)
    page = tab.page
    page.goto(web[0].url + "/search")
    assert not page.is_visible("#pad") and not page.is_visible("#by-letters")
    assert "语文" in page.inner_text(".help")
    page.fill("#q", "jing ye si")
    page.click(".go")
    assert "静" in page.text_content(".best") and page.url.endswith("?q=jing+ye+si")
    if "viewport" in more:
        wide, view = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= view
    assert not tab.errors


def test_an_index_damaged_under_a_running_web_is_made_again(
    tmp_path: Path, open_tab: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    import requests

    box, main = sample(tmp_path, 1_780_000_000)
    program = WebProcess(box)

    def found() -> bool:
        answer = requests.get(f"{program.url}/api/v1/search?q=gsss", timeout=20)
        return answer.status_code == 200 and [o["id"] for o in answer.json()["lessons"]] == [main.id]

    try:
        wait_until(found, 60, "the first index")
        size = box.paths.search_db.stat().st_size
        fresh = box.paths.search_db.with_name("bad")
        fresh.write_bytes(box.paths.search_db.read_bytes()[:4096] + b"\xff" * (size - 4096))
        fresh.replace(box.paths.search_db)
        wait_until(found, 60, "another index")
    finally:
        program.stop()
