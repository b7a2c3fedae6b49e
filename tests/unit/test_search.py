"""Search finds every part of every word and every sound: against brute force, one character as ten."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.web.search import build as search_build
from appliance.web.search.build import build
from appliance.web.search.entries import Entry
from appliance.web.search.index import Index, Indexer
from appliance.web.search.sets import PART, pack, unpack
from appliance.web.search.shown import Repairs, held, resources_text, texts
from appliance.web.search.words import known_words, letters, normalise, spellings, squeeze, toneless
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import BusyError, NotFoundError, StorageError
from tests.box import SHUXUE, SmallBox, sample
from tests.search_library import Oracle, library, queries

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
    "绿",
    "長江",
    "快乐读书吧",
    "音乐会",
    "重庆的山",
]


def entries(titles: list[str]) -> list[Entry]:
    return [Entry(f"l{n:04}", title, (), "三年级", "语文", ("video",), "x") for n, title in enumerate(titles)]


def brute(titles: list[str], query: str) -> set[str]:
    words = normalise(query).split()
    return {f"l{n:04}" for n, title in enumerate(titles) if words and all(w in squeeze(title) for w in words)}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    path = tmp_path_factory.mktemp("search") / "search.db"
    build(path, entries(TITLES), 1)
    return Index(path)


@pytest.fixture
def titles(index: Index) -> Callable[[str], list[str]]:
    return lambda query: [TITLES[int(i[1:])] for i in index.find(query).ids]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_substring_is_found(index: Index, data: st.DataObject) -> None:
    title = data.draw(st.sampled_from(TITLES))
    start = data.draw(st.integers(0, len(title) - 1))
    query = title[start : data.draw(st.integers(start + 1, len(title)))]
    found = index.find(query, limit=100)
    assert set(found.ids) >= brute(TITLES, query)
    if not any(c.isascii() and c.isalpha() for c in normalise(query)):
        assert set(found.ids) == brute(TITLES, query)
    assert found.total == len(found.ids)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_no_query_breaks_it(index: Index, query: str) -> None:
    assert set(index.find(query, limit=100).ids) >= brute(TITLES, query)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=20), st.data())
def test_any_titles(tmp_path_factory: pytest.TempPathFactory, titles: list[str], data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("any") / "search.db"
    build(path, entries(titles), 1)
    index = Index(path)
    for _ in range(5):
        title = data.draw(st.sampled_from(titles))
        start = data.draw(st.integers(0, len(title) - 1))
        query = title[start : data.draw(st.integers(start + 1, len(title)))]
        assert set(index.find(query, limit=100).ids) >= brute(titles, query)


@given(st.sets(st.integers(0, PART - 1), min_size=1, max_size=300))
def test_numbers_are_packed_and_unpacked(numbers: set[int]) -> None:
    bits = unpack(pack(numbers))
    assert {n for n in range(bits.bit_length()) if bits >> n & 1} == numbers


def test_words_are_anded_and_folded(index: Index, titles: Callable[[str], list[str]]) -> None:
    assert titles("unit ANIMALS") == titles("unit4") == titles("ｕｎｉｔ　４") == ["Unit 4 We love animals"]
    assert titles("abc") == ["ＡＢＣ 全角"]
    assert titles("strasse") == ["Straße"]
    assert titles("数 学") == ["数学", "学数"]
    assert titles("数学") == ["数学"]
    assert titles("心中的110") == titles("心中的“110”") == ["心中的“110”"]
    assert titles("听听秋") == ["听听，秋的声音"]
    assert titles('" OR * NEAR( -的') == []
    assert index.find("").total == 0 == index.find("，。").total


def test_traditional_and_simplified_find_each_other(titles: Callable[[str], list[str]]) -> None:
    assert titles("靜夜思") == titles("靜") == ["静夜思"]
    assert titles("認識鐘錶") == ["认识钟表"]
    assert titles("长江") == titles("長江") == ["長江"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("jys", "静夜思"),
        ("JYS", "静夜思"),
        ("j y s", "静夜思"),
        ("ys", "静夜思"),
        ("jingyesi", "静夜思"),
        ("jing ye si", "静夜思"),
        ("jìng yè sī", "静夜思"),
        ("yesi", "静夜思"),
        ("jingy", "静夜思"),
        ("xishaqund", "富饶的西沙群岛"),
        ("frdxsqd", "富饶的西沙群岛"),
        ("7dcfkj", "7的乘法口诀"),
        ("ttqdsy", "听听，秋的声音"),
        ("lv", "绿"),
        ("lü", "绿"),
        ("lǜ", "绿"),
        ("kuaile", "快乐读书吧"),
        ("yinyue", "音乐会"),
        ("chongqing", "重庆的山"),
        ("cqds", "重庆的山"),
        ("changjiang", "長江"),
        ("jing4ye4si1", "静夜思"),
        ("Jing4 Ye4 Si1", "静夜思"),
        ("jing4yesi", "静夜思"),
        ("jing4ye4s", "静夜思"),
        ("jìng4yè4sī1", "静夜思"),
        ("ｊｉｎｇ４ｙｅ４", "静夜思"),
        ("lü4", "绿"),
        ("lv4", "绿"),
        ("yīnyuè", "音乐会"),
        ("yin1yve4", "音乐会"),
        ("kuài lè dú shū", "快乐读书吧"),
        ("xi1sha1qun2dao3", "富饶的西沙群岛"),
        ("7de5cheng2", "7的乘法口诀"),
    ],
)
def test_by_sound(index: Index, query: str, found: str) -> None:
    answer = index.find(query)
    assert [TITLES[int(i[1:])] for i in answer.ids] == [found] and answer.sound


def test_what_sounds_otherwise_is_not_found(index: Index) -> None:
    for query in ("yinle", "zqds", "jingshi", "jsy", "kuaiyue"):
        assert index.find(query).total == 0, query
    assert index.find("jys").shown["l0009"].toned == "jìng yè sī"


def test_numbers_that_are_no_tones(tmp_path: Path) -> None:
    names = ["爸爸吧", "A4纸", "爱4", "unit 4", "八4", "略", "战略", "CO2"]
    build(tmp_path / "search.db", entries(names), 1)
    index = Index(tmp_path / "search.db")

    def found(query: str) -> list[str]:
        return [names[int(i[1:])] for i in index.find(query).ids]

    assert found("ba4ba5") == found("bà ba") == ["爸爸吧"]
    assert set(found("a4")) == {"A4纸", "爱4"}  # as it is written, and as it begins
    assert found("unit4") == ["unit 4"] and found("co2") == ["CO2"]
    assert found("ai4") == ["爱4"] and found("ba4") == ["八4"]  # the number stands there
    assert found("lue") == found("lüè") == found("lve4") == ["略", "战略"]
    assert found("zhan4lue4") == ["战略"] and found("ba9ba") == []


def test_letters_read_as_syllables() -> None:
    known = {"xi", "an", "xian", "jing", "ye", "si"}
    assert sorted(spellings("xian", known)[0]) == [["xi", "an"], ["xian"]]
    assert spellings("jingy", known) == ([], [["jing", "y"]])
    assert spellings("jq", known) == ([], [])
    assert len(spellings("xian" * 16, known)[0]) <= 16  # no query takes long
    assert spellings("xian" * 15 + "q", known) == ([], [])
    assert [toneless(typed) for typed in ("ba4ba5", "7dcfkj", "c60", "lv4")] == [
        "baba",
        "7dcfkj",
        "c60",
        "lv",
    ]
    assert [letters(word) for word in ("jǔ", "jü", "qv", "lǜ", "nü3", "4")] == [
        "ju",
        "ju",
        "qu",
        "lv",
        "nv3",
        "",
    ]


def test_words_of_all_lessons_are_found_by_sound(tmp_path: Path) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    Indexer(box.paths.search_db, StateReader(box.paths.state_db)).step()
    index = Index(box.paths.search_db)
    for query in ("sannianji", "snjsc", "sannianjishangce", "tong3bian1ban3", "hudongkejian"):
        assert main.id in index.find(query).ids, query
    assert index.find("sannianjixiace").total == 0


def test_what_lists_show_is_of_what_teachers_see(tmp_path: Path) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    reader, index = StateReader(box.paths.state_db), Index(box.paths.search_db)
    Indexer(box.paths.search_db, reader).step()
    found = index.find("语文")
    rows = reader.rows(found.ids)
    outlines = reader.outlines(rows)
    assert main.id in outlines and len(outlines) == 3

    def same(repaired: Repairs) -> None:
        wanted = {identity: resources_text(one, repaired) for identity, one in outlines.items()}
        assert texts(reader, rows, found.shown, repaired) == wanted

    same({})
    root = outlines[main.id].resources[1].root
    same({root: (2, 1)})
    assert (
        f'/content/{root}/%E8%AF%BE%E4%BB%B6.pdf?again=2"'
        in texts(reader, rows, found.shown, {root: (2, 1)})[main.id]
    )
    assert all(held(reader, rows, found.shown)[name] is found.shown[name] for name in outlines)
    kinds = {name: one.kinds for name, one in outlines.items()}
    assert {name: one.kinds for name, one in held(reader, rows, found.shown).items()} == kinds
    shown = dict(found.shown)
    shown[main.id] = shown[main.id]._replace(resources=b"damaged")
    assert texts(reader, rows, shown, {}) == texts(reader, rows, found.shown, {})
    shown[main.id] = shown[main.id]._replace(present="another package")
    assert held(reader, rows, shown)[main.id] == outlines[main.id]
    same({})


def test_words_without_spaces_are_cut() -> None:
    known = ("三年级", "数学", "三年级上册", "上册")
    assert known_words("三年级上册数学面积", known) == ["三年级上册", "数学", "面积"]
    assert known_words("面积", known) == ["面积"]


def test_best_first(tmp_path: Path) -> None:
    data = [
        Entry("a", "认识钟表", ("数学",), "一年级", "数学", ("quiz",), "x"),
        Entry("b", "数学乐园", (), "二年级", "数学", ("video", "quiz"), None),
        Entry("c", "数学乐园", (), "二年级", "数学", ("video", "quiz"), "x"),
        Entry("d", "加法", ("数学", "加一加"), "二年级", "数学", ("video",), "x"),
        Entry("e", "数学", ("语文",), "四年级", "语文", (), None),
        Entry("f", "有趣的数学", (), "三年级", "综合", ("plan",), "x"),
    ]
    build(tmp_path / "search.db", data, 1)
    index = Index(tmp_path / "search.db")
    found = index.find("数学")
    assert found.ids == ("e", "c", "f", "b", "a", "d")  # the whole title; in the title, here first; the rest
    assert found.grades == {"一年级": 1, "二年级": 3, "三年级": 1, "四年级": 1}
    assert found.kinds == {"video": 3, "quiz": 3, "plan": 1}
    narrowed = index.find("数学", kind="quiz")
    assert narrowed.ids == ("c", "b", "a") and narrowed.grades == {"一年级": 1, "二年级": 2}
    assert index.find("数学", grade="二年级", kind="video", offset=1, limit=1).ids == ("b",)
    assert index.find("数学", subject="语文").ids == ("e",)
    assert index.find("数学").subjects == {"数学": 4, "语文": 1, "综合": 1}
    assert index.find("数学", room=(("三年级",), ())).ids == ("e", "f", "c", "b", "a", "d")
    assert index.find("数学", room=(("二年级",), ("数学",))).ids == ("e", "c", "b", "f", "d", "a")
    pages = [index.find("数学", offset=n, limit=2).ids for n in (0, 2, 4, 6)]
    assert sum(pages, ()) == found.ids
    assert index.find("加一 数学").ids == ("d",)
    nothing = index.find("加法 语文")
    assert nothing.total == 0 and nothing.alone == (("加法", 1), ("语文", 1))


def test_follows_state_db(tmp_path: Path) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    reader, index = StateReader(box.paths.state_db), Index(box.paths.search_db)
    indexer = Indexer(box.paths.search_db, reader)
    with pytest.raises(NotFoundError):
        index.find("古诗")
    assert indexer.step() and not indexer.step()
    assert index.find("笔顺").ids == (main.id,)  # a resource's title
    assert index.find("shengzibs").total == 0 and index.find("szbs").ids == (main.id,)
    assert set(index.find("第六单元").ids) == {
        lesson.id for lesson, _, _ in box.lessons if lesson.unit_no == 6
    }
    assert index.find("大自然").total == 1  # not here yet, and still found
    assert index.find("三年级上册 统编版 语文 课件").ids[0] == main.id
    for query in ("三上语文互动课件", "3年级 部编版 语文 互动", "语文 yuwen 三上 互动 hudong"):
        assert main.id in index.find(query).ids, query
    more = SmallBox(tmp_path)
    more.lessons = list(box.lessons)
    more.lesson(SHUXUE, "第七单元", 1, "认识周长")
    assert index.find("周长").total == 0
    more.write(1_780_000_000, generation=2)
    assert indexer.step()
    assert index.find("周长").total == 1 and index.find("笔顺").ids == (main.id,)


def test_what_is_as_it_was_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    search_build.refresh(box.paths.state_db, box.paths.search_db)
    box.write(1_780_000_000, generation=2)
    monkeypatch.setattr(StateReader, "detail", lambda *_: pytest.fail("read again"))
    search_build.refresh(box.paths.state_db, box.paths.search_db, box.paths.search_db)
    assert Index(box.paths.search_db).generation() == 2
    assert Index(box.paths.search_db).find("生字笔顺").ids == (main.id,)


@pytest.mark.parametrize("damage", ["head", "middle", "short", "schema"])
def test_a_damaged_index_is_made_again(tmp_path: Path, damage: str) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    path, reader = box.paths.search_db, StateReader(box.paths.state_db)
    assert Indexer(path, reader).step()
    whole = bytearray(path.read_bytes())
    if damage == "head":
        whole = bytearray(b"SQLite format 3\0" + random.Random(1).randbytes(5000))
    elif damage == "middle":
        whole[4096:] = random.Random(2).randbytes(len(whole) - 4096)
    elif damage == "short":
        del whole[len(whole) // 2 :]
    path.write_bytes(whole)
    if damage == "schema":
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
    index = Index(path)
    indexer = Indexer(path, reader, index)
    if index.generation() is not None:  # it opens: reading it shows the damage
        with pytest.raises(StorageError):
            index.find("古诗")
    assert index.generation() is None and indexer.step()
    assert index.find("古诗").ids == (main.id,)


def test_the_indexer_reads_all_of_an_old_index_at_its_start(
    tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    path, reader = box.paths.search_db, StateReader(box.paths.state_db)
    assert Indexer(path, reader).step()
    with path.open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(b"\xff" * 4096)
    index = Index(path)
    indexer = Indexer(path, reader, index)
    indexer.start()

    def found() -> bool:
        try:
            return index.find("古诗").ids == (main.id,)
        except StorageError:
            return False

    try:
        wait_until(found, 60, "made again")
    finally:
        indexer.stop()


def test_the_old_index_serves_while_a_program_apart_builds(tmp_path: Path) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    reader, index = StateReader(box.paths.state_db), Index(box.paths.search_db)
    indexer = Indexer(box.paths.search_db, reader, index)
    assert indexer.step(apart=True)
    box.write(1_780_000_000, generation=5)
    done = threading.Event()

    def build_again() -> None:
        Indexer(box.paths.search_db, StateReader(box.paths.state_db)).step(apart=True)
        done.set()

    thread = threading.Thread(target=build_again)
    thread.start()
    while not done.is_set():
        assert index.find("古诗").ids == (main.id,)
        done.wait(0.02)
    thread.join()
    assert index.generation() == 5


def test_killed_at_any_moment_it_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    path = box.paths.search_db
    Indexer(path, StateReader(box.paths.state_db)).step()
    before = path.read_bytes()
    box.write(1_780_000_000, generation=2)
    command = [sys.executable, "-m", "appliance.programs_search", box.paths.state_db, path, path]
    fresh = path.with_name("search.db.new")
    child = subprocess.Popen(list(map(str, command)))
    deadline = time.monotonic() + 60
    while not fresh.exists() and child.poll() is None and time.monotonic() < deadline:
        pass
    child.kill()
    child.wait()
    assert Index(path).generation() in (1, 2) and Index(path).find("古诗").ids == (main.id,)
    if Index(path).generation() == 1:
        assert path.read_bytes() == before
    Indexer(path, StateReader(box.paths.state_db)).step()
    assert Index(path).generation() == 2 and not fresh.exists()


def test_one_builds_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "search.db"

    def meanwhile() -> list[Entry]:
        with pytest.raises(BusyError):
            build(path, entries(["b"]), 2)
        return entries(["古诗"])

    def lazily() -> object:
        yield from meanwhile()

    build(path, lazily(), 1)  # type: ignore[arg-type]
    assert Index(path).generation() == 1


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    box, _ = sample(tmp_path, 1_780_000_000)
    (tmp_path / "search.db.new").mkdir()
    indexer = Indexer(box.paths.search_db, StateReader(box.paths.state_db))
    with pytest.raises(StorageError, match="search.db"):
        indexer.step(apart=True)
    with pytest.raises(NotFoundError):
        Indexer(tmp_path / "not there" / "search.db", StateReader(box.paths.state_db)).step()


def test_a_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box, main = sample(tmp_path, 1_780_000_000)
    monkeypatch.setattr("appliance.web.search.index.read_only", lambda _: True)
    index = Index(box.paths.search_db)
    indexer = Indexer(box.paths.search_db, StateReader(box.paths.state_db), index)
    assert indexer.step() and not indexer.step()
    assert index.find("古诗").ids == (main.id,) and not box.paths.search_db.exists()
    monkeypatch.undo()
    box.write(1_780_000_000, generation=2)
    assert indexer.step() and index.path == box.paths.search_db and box.paths.search_db.exists()


@pytest.mark.slow
def test_a_county_of_lessons(tmp_path: Path) -> None:
    """300 labelled queries over 50,000 lessons: all that is meant is found, and hardly anything else."""
    lessons, asked = library(50_000), queries()
    build(tmp_path / "search.db", lessons, 1)
    index, oracle = Index(tmp_path / "search.db"), Oracle(lessons)
    numbers = {lesson.id: number for number, lesson in enumerate(lessons)}
    assert len(asked) >= 300
    precisions = []
    for query in asked:
        found = {numbers[identity] for identity in index.find(query.text, limit=len(lessons)).ids}
        meant = oracle.meant(query)
        assert meant and meant <= found, query
        precisions.append(len(found & oracle.right(query)) / len(found))
    assert sum(precisions) / len(precisions) >= 0.99 and min(precisions) > 0.9
