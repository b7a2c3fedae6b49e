"""No title of a lesson is cut anywhere: on a board, a laptop and a television it wraps and its row grows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from appliance.school import cards
from appliance.school.database import School
from appliance.school.rooms import check_room, save_room
from appliance.school.timetable import EVERY, Period, Slot, save_periods, save_slots
from tests.box import SmallBox, png
from tests.e2e.board import WebProcess
from tests.e2e.browser import LAPTOP

pytestmark = pytest.mark.browser
Opener = Callable[..., Any]
TITLES = [
    "两位数乘两位数的笔算乘法和它在生活里的用处",
    "口语交际：我们来编童话",
    "Part A Let's learn and Let's chant",
    "习作：那次玩得真高兴",
]
#: What shows a title and is narrower or lower than its words.
CUT = """titles => [].filter.call(document.querySelectorAll('body *'), function (e) {
  var range = document.createRange(), words, box = e.getBoundingClientRect(), row = e, at;
  if (e.children.length || titles.indexOf(e.textContent) < 0 || !box.width) { return false; }
  range.selectNodeContents(e);
  words = range.getBoundingClientRect();
  if (e.clientWidth && e.scrollWidth > e.clientWidth) { return true; }
  while (!/^(LI|FORM|HEADER|SECTION|BODY)$/.test(row.nodeName)) { row = row.parentNode; }
  at = row.getBoundingClientRect();
  return words.right > at.right || words.bottom > at.bottom + 1 || words.top < at.top - 1
    || window.getComputedStyle(e).textOverflow === 'ellipsis';
}).map(function (e) { return e.parentNode.className + ' ' + e.className + ' ' + e.textContent; })"""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    """A room of three grades that have such lessons all day; some are still to come, one was pushed."""
    box, grades = SmallBox(tmp_path_factory.mktemp("long")), ("一年级", "二年级", "三年级")
    paper = box.resource("r1", "picture", "图", "image/png", ("图.png", "main", png(320, 180, (40, 90, 120))))
    for grade in grades:
        for subject in ("语文", "数学", "英语"):
            place = f"小学/{subject}/人教版/{grade}/上册"
            for no, title in enumerate(TITLES, 1):
                box.lesson(place, "第一单元 很长的名字", no, title, (paper,))
            for no, title in enumerate(TITLES, 5):
                box.lesson(place, "第二单元 还没到的", no, title, (), "wanted")
    box.write(int(time.time()))
    school = School(box.paths.school_db)
    save_room(school, check_room("二号教室", list(grades), {}, [], "r-1"))
    save_periods(school, [Period(n, 200 * n, 200 * n + 190) for n in range(1, 7)])
    subjects = ("语文", "数学", "英语")
    every = [
        Slot(day, no, grade, EVERY, subjects[(no + at) % 3])
        for day in range(1, 8)
        for no in range(1, 7)
        for at, grade in enumerate(grades)
    ]
    save_slots(school, "r-1", every)
    cards.push(school, box.lessons[0][0].id, "", [], None, None)
    process = WebProcess(box, "threads = 16\nstreams = 4\n")
    process.lesson = box.lessons[0][0]  # type: ignore[attr-defined]
    yield process
    process.stop()


@pytest.mark.parametrize("size", [None, LAPTOP], ids=["board", "laptop"])
def test_no_title_is_cut(web: WebProcess, open_tab: Opener, size: Any) -> None:
    tab = open_tab(**({"viewport": size} if size else {}))
    page, lesson = tab.page, web.lesson  # type: ignore[attr-defined]
    page.goto(f"{web.url}/school/board")
    page.click('.door:has-text("二号教室")')
    page.goto(f"{web.url}/lesson/{lesson.id}/r1")  # home shows it as the last one
    volume, wrong, seen = lesson.collection, [], 0
    paths = ["/", "/cards", f"/volume/{volume}", f"/lesson/{lesson.id}", "/search?q=口语交际", "/browse"]
    for path in [*paths, "/tv", f"/tv/volume/{volume}", f"/tv/lesson/{lesson.id}"]:
        page.goto(web.url + path)
        wrong += [f"{path}: {one}" for one in page.evaluate(CUT, TITLES)]
        text = page.inner_text("body")
        seen += sum(title in text for title in TITLES)
        wide, view = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= view, path
    assert not wrong, json.dumps(wrong, ensure_ascii=False, indent=1)
    assert seen > 12
    assert not tab.errors
