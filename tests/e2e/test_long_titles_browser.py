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
from tests.e2e.browser import LAPTOP, PHONE

pytestmark = pytest.mark.browser
Opener = Callable[..., Any]
TITLES = [
    "两位数乘两位数的笔算乘法和它在生活里的用处",
    "口语交际：我们来编童话",
    "Part A Let's learn and Let's chant",
    "习作：那次玩得真高兴",
    "用百分数解决问题（二）求比一个数多（少）百分之几的数是多少",
    "Unit 2 My days of the week Part B Let's learn and Let's talk",
    "Unit 10 If you go to the party, you'll have a great time! Section A 1a-2d",
    "IMG_20231115_093211_edited_final_version_0001",
]
#: The last four, and the grades that begin with one of them each.
LONG, ROOM = TITLES[-4:], ("四年级", "五年级", "六年级", "七年级")
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


#: Words that lie over other words, or leave the cover or the header that they stand in. The air of a line
#: may touch: six pixels of a board do. A list that scrolls has its own window.
LAPS = """() => {
  var slack = 0.25 * parseFloat(getComputedStyle(document.documentElement).fontSize), wrong = [], boxes = [];
  [].forEach.call(document.querySelectorAll('main *, header *'), function (e) {
    var own = [].some.call(e.childNodes, function (n) { return n.nodeType === 3 && n.data.trim(); });
    var range = document.createRange(), at, frame, edge;
    if (!own || !e.getClientRects().length || e.closest('.sr, ruby, svg, .pad, .track, .cue')) { return; }
    range.selectNodeContents(e);
    at = range.getBoundingClientRect();
    frame = e.closest('.hits');
    edge = frame && frame.getBoundingClientRect();
    if (at.width < 2 || frame && at.bottom > edge.bottom) { return; }
    boxes.push({ e: e, at: at });
    frame = e.closest('.cover, .top, .slip, .leaf li, .hits li');
    edge = frame && frame.getBoundingClientRect();
    if (edge && (at.top < edge.top - slack || at.bottom > edge.bottom + slack || at.left < edge.left - 1
      || at.right > edge.right + 1)) { wrong.push('out of its frame: ' + e.className + ' ' + e.textContent); }
  });
  boxes.forEach(function (one, n) {
    boxes.slice(n + 1).forEach(function (two) {
      var wide = Math.min(one.at.right, two.at.right) - Math.max(one.at.left, two.at.left);
      var high = Math.min(one.at.bottom, two.at.bottom) - Math.max(one.at.top, two.at.top);
      if (wide > 2 && high > slack && !one.e.contains(two.e) && !two.e.contains(one.e)) {
        wrong.push(one.e.textContent + ' lies over ' + two.e.textContent);
      }
    });
  });
  return wrong;
}"""


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
            for no, title in enumerate(TITLES, len(TITLES) + 1):
                box.lesson(place, "第二单元 还没到的", no, title, (), "wanted")
    for at, grade in enumerate(ROOM):  # their first lessons stand on home's covers
        place = f"小学/{('英语', '数学')[at % 2]}/人教版/{grade}/上册"
        for no in range(1, 5):
            box.lesson(place, "第一单元 很长的名字", no, LONG[(at + no - 1) % 4], (paper,))
    box.write(int(time.time()))
    school = School(box.paths.school_db)
    save_room(school, check_room("二号教室", list(grades), {}, [], "r-1"))
    for n in (3, 4):
        save_room(school, check_room(f"{n}个年级", list(ROOM[:n]), {}, [], f"r-{n}"))
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


@pytest.mark.parametrize("size", [None, LAPTOP, PHONE], ids=["board", "laptop", "phone"])
def test_no_words_lie_over_others(web: WebProcess, open_tab: Opener, size: Any) -> None:
    tab = open_tab(**({"viewport": size} if size else {}), has_touch=True, is_mobile=size == PHONE)
    page, wrong = tab.page, []

    def look(path: str) -> None:
        page.goto(web.url + path)
        wrong.extend(f"{path}: {one}" for one in page.evaluate(LAPS))
        wide, view = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        if wide > view or size and view > size["width"]:
            wrong.append(f"{path}: {wide} px wide")

    for n in (3, 4):
        page.goto(f"{web.url}/school/board")
        page.click(f'.door:has-text("{n}个年级")')
        look("/")
        if size != PHONE:  # all grades' buttons at one height
            row = page.evaluate("""() => [].map.call(document.querySelectorAll('.act .btn'),
              b => b.getBoundingClientRect().top)""")
            assert len(row) == n and max(row) - min(row) < 2, row
    for title, word in zip(LONG, ("百分数", "days", "party", "IMG"), strict=True):
        look(f"/search?q={word}")
        assert title in page.inner_text(".best")
        address = page.get_attribute("a.best", "href")
        look(address)
        assert title in page.inner_text("h1")
        look(f"{address}/r1")
    assert not wrong, json.dumps(wrong, ensure_ascii=False, indent=1)
    assert not tab.errors
