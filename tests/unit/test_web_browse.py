"""Walking through the library by grade, subject, edition, kind, special shelf; what the search page says."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup
from msgspec.structs import replace
from werkzeug.test import Client

from appliance.school.database import School
from appliance.web import browse
from appliance.web.app import Board, create_app
from appliance.web.find import lit
from appliance.web.pin import Pin, set_pin
from appliance.web.search.index import Index, Indexer
from content_sync.adapters.sqlite import StateReader
from content_sync.formats.local import Heading, lesson_of
from content_sync.formats.paths import collection_id, subject_id
from tests.box import SmallBox
from tests.unit.test_web_app import NOW, Memory, StoppedClock

ANY = "不分版本/不分年级/全一册"


class Library:
    """A box with two editions, three grades, special shelves."""

    def __init__(self, data: Path) -> None:
        self.box = box = SmallBox(data)
        film = box.resource("r1", "video", "微课", "video/mp4", ("视频.mp4", "main", b"v"), seconds=600)
        quiz = box.resource("r2", "quiz", "练习", "application/xml", ("q.xml", "main", b"q"))
        class_ = box.resource("r3", "recorded", "实录", "video/mp4", ("实录.mp4", "main", b"r"), seconds=2400)
        for edition in ("人教版", "北师大版"):
            for grade in ("一年级", "二年级", "三年级"):
                for volume in ("上册", "下册"):
                    place = f"小学/数学/{edition}/{grade}/{volume}"
                    box.lesson(place, "第一单元 数", 1, f"{grade}数数", (film, quiz))
                    box.lesson(place, "第一单元 数", 2, f"{grade}比<b>大小", (film,))
                    box.lesson(place, "第二单元 图形", 1, f"{grade}认图形", (), "wanted")
        box.lesson("小学/语文/统编版/三年级/上册", "第一单元", 1, "秋天的雨", (class_, quiz))
        box.lesson(f"专题教育/防溺水/{ANY}", "游泳前要知道", None, "救生圈怎么用", (film,))
        box.lesson(f"教师培训/电子白板/{ANY}", "第一期", None, "怎样批注", (film, quiz))
        box.lesson(f"农民实用技术/核桃栽培/{ANY}", "核桃栽培", None, "冬季修剪", (), "wanted")
        ours = tuple(replace(one, language=None) for one in (film, quiz))
        own = lesson_of("local-" + "a" * 16, Heading("我们的校园", "语文", "三年级"), ours)
        box.lessons.append((own, "present", 0))
        box.write(NOW)
        with closing(sqlite3.connect(box.paths.state_db)) as db, db:
            db.execute("INSERT INTO local VALUES (?, 0, 0, '', '[]')", (own.id,))
        reader = StateReader(box.paths.state_db)
        Indexer(box.paths.search_db, reader).step()
        self.school = School(data / "school.db")
        box.paths.incoming.mkdir()
        set_pin(box.paths.pin, "271828")
        board = Board(
            box.paths.objects, reader, Index(box.paths.search_db), Memory(), StoppedClock(), dict,
            school=self.school, pin=Pin(box.paths.pin, StoppedClock()), incoming=box.paths.incoming,
        )  # fmt: skip
        self.app = create_app(board)
        self.client = Client(self.app)

    def get(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path, base_url="http://lesson.local", follow_redirects=True)
        assert answer.status_code == status, path
        return answer.text

    def stand(self, room: str) -> None:
        """Put this browser's board into a room."""
        self.get("/")
        cookie = self.client.get_cookie("board", "lesson.local")
        assert cookie is not None
        with self.school.write() as db:
            db.execute("INSERT INTO board (id, room, hand) VALUES (?, ?, 'right')", (cookie.value, room))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("browse"))


@pytest.fixture
def room(library: Library) -> Iterator[Library]:
    with library.school.write() as db:
        db.execute(
            "INSERT INTO room (id, name, grades, editions) VALUES ('r-1', '二三复式', ?, ?)",
            ('["二年级", "三年级"]', '{"数学": "北师大版"}'),
        )
    library.client = Client(library.app)
    library.stand("r-1")
    yield library
    library.client = Client(library.app)
    with library.school.write() as db:
        db.execute("DELETE FROM room")
        db.execute("DELETE FROM board")


def volumes(page: str) -> list[str]:
    return re.findall(r'href="/volume/([0-9a-f-]+)"', page)


def volume(edition: str, grade: str, name: str = "上册") -> str:
    return collection_id("小学", "数学", edition, grade, name)


def test_a_grade_at_a_time_with_this_seasons_volumes_first(library: Library) -> None:
    page = library.get("/browse")
    assert page.count('class="row-v"') == 1 and "一年级" in page and "三年级" in page
    page = library.get("/browse?grade=三年级")
    covers, others = page.split('class="thins"')
    assert volume("人教版", "三年级") in covers and volume("人教版", "三年级", "下册") not in covers
    assert volume("北师大版", "三年级", "下册") in others
    assert not [v for v in volumes(page) if v == volume("人教版", "一年级")]
    assert "3课，已到2课" in page
    page = library.get("/browse")  # the board remembers
    assert volume("人教版", "三年级") in page
    assert library.get("/browse?grade=没有").count('class="row-v"') == 1


def test_a_room_sees_its_grades_in_its_edition(room: Library) -> None:
    page = room.get("/browse")
    assert page.count('class="row-v"') == 2
    assert {volume("北师大版", "二年级"), volume("北师大版", "三年级")} <= set(volumes(page))
    assert volume("人教版", "三年级") not in page
    assert collection_id("小学", "语文", "统编版", "三年级", "上册") in page
    subject = room.get(f"/subject/{subject_id('小学', '数学')}")
    assert subject.index(volume("北师大版", "一年级")) < subject.index(volume("人教版", "一年级"))
    first = re.search(
        r'class="cover best.*?href="/lesson/([0-9a-f-]+)-[0-9a-f]+"', room.get("/search?q=数数")
    )
    assert first and first[1] == volume("北师大版", "二年级")


def test_few_volumes_stand_on_one_page(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse, "_FEW", 50)
    page = Library.get(library, "/browse")
    assert page.count('class="row-v"') == 3 and 'class="lb"' not in page


def test_kinds_of_a_volume_and_of_a_subject(library: Library) -> None:
    address = f"/volume/{volume('人教版', '一年级')}"
    page = library.get(address)
    assert "一年级认图形" in page and "比&lt;b&gt;大小" in page and "?kind=quiz" in page
    page = library.get(f"{address}?kind=quiz")
    assert "一年级数数" in page and "大小" not in page
    assert "大小" in library.get(f"{address}?kind=nothing")
    subject = f"/subject/{subject_id('小学', '数学')}"
    page = library.get(f"{subject}?kind=quiz")
    assert "一年级数数" in page and "大小" not in page and "/lesson/" in page
    assert len(set(volumes(library.get(subject)))) == 12
    assert library.get(f"{subject}?kind=quiz&page=99")
    library.get("/subject/00000000", 404)
    library.get("/volume/00000000-00000000", 404)


def test_special_shelves_stand_apart(library: Library) -> None:
    page = library.get("/browse")
    for shelf in ("recorded", "topics", "training", "community"):
        assert f'href="/shelf/{shelf}"' in page
    assert 'href="/new"' in page and 'href="/received"' in page
    for other in (page, library.get("/")):
        assert "防溺水" not in other and "不分年级" not in other
    page = library.get("/shelf/topics")
    assert "防溺水" in page and "救生圈怎么用" in page and "怎样批注" not in page
    page = library.get("/shelf/community")
    assert "核桃栽培" in page and "还没到" in page
    page = library.get("/shelf/recorded")
    assert "秋天的雨" in page and "数数" not in page
    library.get("/shelf/nothing", 404)
    page = library.get(f"/volume/{collection_id('专题教育', '防溺水', '不分版本', '不分年级', '全一册')}")
    assert "救生圈怎么用" in page and "全一册" not in page and 'href="/shelf/topics"' in page
    assert "专题教育" in library.get("/search?q=救生圈")


def test_a_series_is_called_once(library: Library) -> None:
    series = collection_id("教师培训", "电子白板", "不分版本", "不分年级", "全一册")
    lesson = re.search(r'/lesson/([0-9a-f-]+)"', library.get(f"/volume/{series}"))
    assert lesson
    board, film, there = f"/lesson/{lesson[1]}", f"/tv/lesson/{lesson[1]}", "<h1"
    for path in (board, film, f"/tv/volume/{series}", f"/volume/{series}"):
        page = library.get(path)
        assert "电子白板 电子白板" not in page and there in page, path
        assert "教师培训 电子白板" in page, path
    library.client = Client(library.app)  # a board again


def test_the_field_names_what_can_be_found(library: Library) -> None:
    assert 'placeholder="课文、单元、拼音"' in library.get("/search")
    for asked in ("秋天的雨", "第一单元 秋天", "qiu tian", "qtdy"):
        assert "秋天的雨" in library.get(f"/search?q={asked}"), asked


def test_one_lesson_is_one(library: Library) -> None:
    assert "1 lesson<" in library.get("/browse?grade=三年级&lang=en")
    library.client = Client(library.app)


def test_a_series_is_no_subject_of_the_schools_own(library: Library) -> None:
    office, host = Client(library.app), "http://lesson.local"
    office.post("/pin", data={"pin": "271828"}, base_url=host, headers={"Origin": host})
    page = office.get("/local/new", base_url=host).text
    assert '"数学"' in page and "电子白板" not in page and "防溺水" not in page


def test_search_filters_and_marks(library: Library) -> None:
    page = library.get("/search?q=数数")
    assert "<u>数数</u>" in page and "subject=" not in page.replace("subject=%E6%95%B0%E5%AD%A6", "")
    page = library.get("/search?q=一&kind=quiz&grade=三年级")
    assert "grade=%E4%B8%89%E5%B9%B4%E7%BA%A7" in page and "三年级数数" in page and "大小" not in page
    page = library.get("/search?q=第一单元")
    assert "subject=%E8%AF%AD%E6%96%87" in page
    page = library.get("/search?q=第一单元&subject=语文")
    assert "秋天的雨" in page and "数数" not in page
    assert "<b>大小" not in library.get("/search?q=大小")
    assert library.get("/search?q=数数&grade=没有的&kind=no&subject=no")


def test_what_was_asked_for_is_marked() -> None:
    assert lit("古诗三首", ["诗"]) == Markup("古<u>诗</u>三首")
    assert lit("Unit 4 <b>", ["unit", "b"]) == Markup("<u>Unit</u> 4 &lt;<u>b</u>&gt;")
    assert lit("长江", ["長江"]) == Markup("<u>长江</u>")
    assert lit("Straße", ["strasse"]) == "Straße" and lit("静夜思", ["jys"]) == "静夜思"


def test_what_is_new_comes_first_and_in_pages(tmp_path: Path) -> None:
    box = SmallBox(tmp_path)
    text = box.resource("r1", "other", "资料", "text/plain", ("a.txt", "main", b"x"))
    for n in range(45):
        box.lesson("小学/数学/人教版/一年级/上册", "第一单元", n, f"第{n}节", (text,))
    box.write(NOW)
    import sqlite3

    with sqlite3.connect(box.paths.state_db) as db:
        db.execute("UPDATE lesson SET arrived = ? + no WHERE no > 2", (NOW - 1000,))
    board: Any = Board(
        box.paths.objects,
        StateReader(box.paths.state_db),
        Index(tmp_path / "s"),
        Memory(),
        StoppedClock(),
        dict,
    )
    client = Client(create_app(board))
    first, second = (client.get(f"/new?page={n}").text for n in (1, 2))
    assert first.index("第44节") < first.index("第43节") and "第4节<" not in first
    assert "第3节<" in second and "第2节<" not in second and "42课" in first


def test_a_local_lesson_in_english(library: Library) -> None:
    lesson = "local-" + "a" * 16
    page = library.get(f"/lesson/{lesson}?lang=en")
    assert "本校资料" not in page and "Local material" in page
    assert 'lang="None"' not in page and 'lang="zh"' in page
    for path in (
        f"/lesson/{lesson}/r1",
        f"/tv/lesson/{lesson}",
        "/search?q=校园",
        f"/lesson/{lesson}/r1/print",
    ):
        answer = library.client.get(path, base_url="http://lesson.local", follow_redirects=True)
        assert "本校资料" not in answer.text and 'lang="None"' not in answer.text, path
