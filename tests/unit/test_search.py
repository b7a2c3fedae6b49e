"""Search finds every part of every word: against brute force, with one character as with ten."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.web.search import Index, Indexer, build, normalise
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import NotFoundError
from tests.box import SHUXUE, SmallBox, sample

TITLES = [
    "古诗三首",
    "望天门山",
    "大青树下的小学",
    "心中的“110”",
    "Unit 4 We love animals",
    "7的乘法口诀",
    "富饶的西沙群岛",
    "ＡＢＣ 全角",
    "认识钟表",
    "静夜思",
    "听听，秋的声音",
    "𠮷野家",
    "Pi 3.14 与圆",
    "习作：这儿真美",
    "a",
    "数学",
    "学数",
    "Straße",
    "小小的船",
    "Ⅳ级",
]


def rows(titles: list[str]) -> list[tuple[str, str, str, str, str]]:
    return [(f"l{n:04}", "三年级", "video", normalise(t), normalise(t)) for n, t in enumerate(titles)]


def brute(titles: list[str], query: str) -> set[str]:
    words = normalise(query).split()
    return {
        f"l{n:04}" for n, title in enumerate(titles) if words and all(w in normalise(title) for w in words)
    }


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    path = tmp_path_factory.mktemp("search") / "search.db"
    build(path, rows(TITLES), 1)
    return Index(path)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_substring_is_found(index: Index, data: st.DataObject) -> None:
    title = data.draw(st.sampled_from(TITLES))
    start = data.draw(st.integers(0, len(title) - 1))
    query = title[start : data.draw(st.integers(start + 1, len(title)))]
    found = index.find(query, limit=100)
    assert set(found.ids) == brute(TITLES, query)
    assert found.total == len(found.ids)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_no_query_breaks_it(index: Index, query: str) -> None:
    assert set(index.find(query, limit=100).ids) == brute(TITLES, query)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=20), st.data())
def test_any_titles(tmp_path_factory: pytest.TempPathFactory, titles: list[str], data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("any") / "search.db"
    build(path, rows(titles), 1)
    index = Index(path)
    for _ in range(5):
        title = data.draw(st.sampled_from(titles))
        start = data.draw(st.integers(0, len(title) - 1))
        query = title[start : data.draw(st.integers(start + 1, len(title)))]
        assert set(index.find(query, limit=100).ids) == brute(titles, query)


def test_words_are_anded_and_folded(index: Index) -> None:
    def titles(query: str) -> list[str]:
        return [TITLES[int(i[1:])] for i in index.find(query).ids]

    assert titles("unit ANIMALS") == ["Unit 4 We love animals"]
    assert titles("ｕｎｉｔ　４") == ["Unit 4 We love animals"]
    assert titles("abc") == ["ＡＢＣ 全角"]
    assert titles("strasse") == ["Straße"]
    assert titles("数 学") == ["数学", "学数"]
    assert titles("数学") == ["数学"]
    assert titles('" OR * NEAR( -的') == []
    assert index.find("").total == 0 == index.find("，。").total


def test_titles_come_first_then_display_order(tmp_path: Path) -> None:
    data = [
        ("a", "一年级", "quiz", "认识钟表", "认识钟表\n数学"),
        ("b", "二年级", "video quiz", "数学乐园", "数学乐园\n数学"),
        ("c", "二年级", "video", "加法", "加法\n数学"),
    ]
    build(tmp_path / "search.db", data, 1)
    index = Index(tmp_path / "search.db")
    found = index.find("数学")
    assert found.ids == ("b", "a", "c")
    assert found.grades == {"一年级": 1, "二年级": 2} and found.kinds == {"video": 2, "quiz": 2}
    narrowed = index.find("数学", kind="quiz")
    assert narrowed.ids == ("b", "a") and narrowed.grades == {"一年级": 1, "二年级": 1}
    assert index.find("数学", grade="二年级", kind="video", offset=1, limit=1).ids == ("c",)


def test_follows_state_db(tmp_path: Path) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    reader, index = StateReader(box.paths.state_db), Index(box.paths.search_db)
    indexer = Indexer(box.paths.search_db, reader)
    with pytest.raises(NotFoundError):
        index.find("古诗")
    assert indexer.step() and not indexer.step()
    assert index.find("笔顺").ids == (main.id,)  # a resource's title
    assert set(index.find("第六单元").ids) == {
        lesson.id for lesson, _, _ in box.lessons if lesson.unit_no == 6
    }
    assert index.find("大自然").total == 1  # not here yet, and still found
    assert index.find("三年级上册 统编版 语文 课件").ids[0] == main.id
    more = SmallBox(tmp_path)
    more.lessons = list(box.lessons)
    more.lesson(SHUXUE, "第七单元", 1, "认识周长")
    assert index.find("周长").total == 0
    more.write(1_780_000_000, generation=2)
    assert indexer.step()
    assert index.find("周长").total == 1


def test_a_damaged_index_is_made_again(tmp_path: Path) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    box.paths.search_db.write_bytes(b"SQLite format 3\0" + random.Random(1).randbytes(5000))
    assert Indexer(box.paths.search_db, StateReader(box.paths.state_db)).step()
    assert Index(box.paths.search_db).find("古诗").ids == (main.id,)
