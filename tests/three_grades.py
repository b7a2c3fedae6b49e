"""A box of a point with three grades in one room (复式), as look/home.html shows it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from content_sync.formats.lesson import Lesson
from tests.box import SmallBox, png

#: What each grade has from the first period to the seventh, every day.
DAY = {
    "一年级": ("语文", "语文", "数学", "语文", "道德与法治", "体育", "音乐"),
    "二年级": ("语文", "数学", "道德与法治", "数学", "语文", "美术", "体育"),
    "三年级": ("英语", "数学", "语文", "数学", "英语", "科学", "体育"),
}
_LESSONS = (
    ("一年级", "语文", "统编版", "第六单元", 5, "江南"),
    ("一年级", "语文", "统编版", "第六单元", 6, "四季"),
    ("一年级", "数学", "人教版", "第七单元", 1, "认识钟表"),
    ("一年级", "数学", "人教版", "第七单元", 2, "练习课"),
    ("一年级", "道德与法治", "统编版", "第三单元", 11, "早睡早起"),
    ("二年级", "语文", "统编版", "第五单元", 12, "古诗二首"),
    ("二年级", "数学", "人教版", "第六单元", 2, "7的乘法口诀"),
    ("二年级", "道德与法治", "统编版", "第四单元", 13, "我爱家乡山和水"),
    ("三年级", "语文", "统编版", "第六单元 祖国河山", 17, "古诗三首"),
    ("三年级", "语文", "统编版", "第六单元 祖国河山", 18, "富饶的西沙群岛"),
    ("三年级", "数学", "人教版", "第六单元 多位数乘一位数", 2, "笔算乘法"),
    ("三年级", "英语", "人教版", "Unit 4", 1, "Unit 4 We love animals"),
    ("三年级", "科学", "教科版", "第一单元", 1, "水到哪里去了"),
    ("三年级", "语文", "北师大版", "第六单元", 1, "别的版本"),
)


def three_grades(
    data: Path, now: int, video: bytes = b"not a film" * 3000
) -> tuple[SmallBox, dict[str, Lesson]]:
    """The box, and its lessons by title."""
    box = SmallBox(data)
    film = box.resource("r1", "video", "微课", "video/mp4", ("视频.mp4", "main", video), seconds=480)
    paper = box.resource("r2", "picture", "图", "image/png", ("图.png", "main", png(320, 180, (40, 90, 120))))
    made = {}
    for grade, subject, edition, unit, no, title in _LESSONS:
        made[title] = box.lesson(f"小学/{subject}/{edition}/{grade}/上册", unit, no, title, (film, paper))
    late = ("四年级", "数学", "人教版", "第五单元", 1, "还没到的课")
    made[late[-1]] = box.lesson("小学/数学/人教版/四年级/上册", late[3], 1, late[-1], (), "arriving", 1000)
    box.write(now)
    return box, made


def set_calendar(box: SmallBox, term: dict[str, object] | None, weeks: dict[str, int]) -> None:
    """What the county would have set: the term, and the week of lessons by id."""
    with closing(sqlite3.connect(box.paths.state_db)) as db, db:
        told = {"term": term} if term else {}
        db.execute("INSERT OR REPLACE INTO meta VALUES ('term', ?)", (json.dumps(told),))
        db.execute("UPDATE lesson SET week = NULL")
        db.executemany(
            "UPDATE lesson SET week = ? WHERE id = ?", [(week, name) for name, week in weeks.items()]
        )
