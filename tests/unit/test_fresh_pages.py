"""What is kept in memory of state.db and school.db never outlives a change: the very next page has it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from appliance.school.database import School
from appliance.school.rooms import Room, check_room, rooms, save_room, set_board
from appliance.school.timetable import EVERY, Slot, load, save_slots
from appliance.web.today import Today
from content_sync.adapters.kept import Kept
from content_sync.adapters.sqlite import StateReader
from tests.three_grades import DAY
from tests.unit.test_web_today import FRIDAY, THREE, Point


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Point:
    return Point(tmp_path_factory.mktemp("fresh"))


@pytest.fixture
def point(built: Point) -> Iterator[Point]:
    """A box whose home was asked for, and its tables as they were before each test."""
    built.get()
    with closing(sqlite3.connect(built.box.paths.state_db)) as db:
        before = db.serialize()
    built.get()
    yield built
    with (
        closing(sqlite3.connect(":memory:")) as kept,
        closing(sqlite3.connect(built.box.paths.state_db, isolation_level=None)) as db,
    ):
        kept.deserialize(before.replace(b"\x02\x02", b"\x01\x01", 1))  # a WAL file has no log in memory
        kept.backup(db)


def change(point: Point, sql: str, *values: object) -> None:
    """As sync writes: by a connection of its own, and without a word to web."""
    with closing(sqlite3.connect(point.box.paths.state_db)) as db, db:
        db.execute(sql, values)


def test_home_is_made_once_and_shows_the_next_change(point: Point, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = StateReader._all

    def counted(self: StateReader, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        asked.append(sql)
        return real(self, sql, values)

    monkeypatch.setattr(StateReader, "_all", counted)
    page = point.get().text
    asked.clear()
    assert point.get().text == page and not asked, "nothing changed, so nothing is read"
    title = point.titles()[0]
    change(point, "UPDATE lesson SET title = '刚改的题目' WHERE title = ?", title)
    assert "刚改的题目" in point.titles() and title not in point.titles()


def test_problems_and_names_are_on_the_next_page(point: Point) -> None:
    assert "要看一看" not in point.get().text
    change(point, "INSERT INTO problem VALUES ('E-X', 's', 'm', 1)")
    assert "有1件事要看一看" in point.get().text
    change(point, "DELETE FROM problem")
    change(point, "UPDATE meta SET value = '新名字小学' WHERE key = 'school_name'")
    page = point.get().text
    assert "要看一看" not in page and "新名字小学" in page


def test_a_lesson_that_went_is_on_no_next_page(point: Point) -> None:
    with closing(sqlite3.connect(point.box.paths.state_db)) as db:
        identity, collection = db.execute(
            "SELECT id, collection FROM lesson WHERE present IS NOT NULL LIMIT 1"
        ).fetchone()
    pages = (f"/volume/{collection}", f"/lesson/{identity}")
    assert all(point.get(path).status_code == 200 for path in pages)
    assert identity in point.get(pages[0]).text
    change(point, "DELETE FROM lesson WHERE id = ?", identity)
    assert identity not in point.get(pages[0]).text and point.get(pages[1]).status_code == 404


def test_a_change_by_another_process_of_the_school_is_seen(point: Point) -> None:
    point.stand_in(THREE)
    assert "二号教室" in point.get().text
    other = School(point.school.path)
    save_room(other, check_room("五号教室", list(DAY), identity=THREE.id))
    assert "五号教室" in point.get().text
    save_slots(other, THREE.id, [Slot(5, 3, "三年级", EVERY, "英语")])
    assert point.titles() == ["Unit 4 We love animals"]
    set_board(other, point.board, None, "left")
    page = point.get().text
    assert "五号教室" not in page and "hand-left" in page


def test_where_the_class_stopped_is_on_the_next_home(point: Point) -> None:
    with closing(sqlite3.connect(point.box.paths.state_db)) as db:
        identity = db.execute("SELECT id FROM lesson WHERE present IS NOT NULL LIMIT 1").fetchone()[0]
    assert "接着<br>上次" not in point.get().text
    found = StateReader(point.box.paths.state_db).present_lesson(identity)
    assert found is not None
    assert point.get(f"/lesson/{identity}/{found.resources[0].id}").status_code == 200
    assert "接着<br>上次" in point.get().text, "memory alone knows it, the book is written later"


def test_the_minute_and_the_language_are_those_of_the_request(point: Point) -> None:
    point.stand_in(THREE)
    assert "10:42" in point.get().text
    point.clock.now += 60
    assert "10:43" in point.get().text and "10:42" not in point.get().text
    assert 'lang="en"' in point.get("/?lang=en").text
    point.get("/?lang=zh")
    assert 'lang="zh-CN"' in point.get().text


def test_who_has_home_gets_it_no_second_time(point: Point, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[float] = []
    real = Today._make
    monkeypatch.setattr(Today, "_make", lambda self: made.append(point.clock.now) or real(self))  # type: ignore[func-returns-value]
    quarter = point.clock.now // 900 * 900

    def ask(after: int, mark: str = "") -> Any:
        point.clock.now = quarter + after
        return point.client.get("/", base_url="http://lesson.local", headers={"If-None-Match": mark})

    set_board(point.school, point.board, None, "right")
    mark = ask(0).headers["ETag"]
    for after in (60, 120, 899):
        answer = ask(after, mark)
        assert answer.status_code == 304 and not answer.data
    assert len(made) == 1, "without a timetable nothing changes by the minute"
    day = quarter + 8 * 3600
    end = quarter + 86400 - day % 86400
    assert "11月20日" in point.get().text
    point.clock.now = end
    assert "11月21日" in point.get().text, "at once when the day ends"
    point.clock.now = quarter
    point.stand_in(THREE)
    mark = ask(0).headers["ETag"]
    assert ask(30, mark).status_code == 304 and ask(60, mark).status_code == 200, "with one it tells the time"
    point.clock.now = FRIDAY


def test_state_made_anew_is_another_state(tmp_path: Path) -> None:
    point = Point(tmp_path)
    reader = StateReader(point.box.paths.state_db)
    before, names = reader.version(), reader.places()
    assert reader.version() == before and reader.places() is names
    for number in range(2):  # the number of its file may be that of the one before
        point.box.write(1_700_000_000 + number)
        now = reader.version()
        assert (
            now != before
            and reader.places() is not names
            and reader.meta("issued") == str(1_700_000_000 + number - 86400)
        )
        before, names = now, reader.places()


def test_a_book_that_could_not_be_read_is_asked_again(tmp_path: Path) -> None:
    school = School(tmp_path / "school.db")
    before = school.version()
    with pytest.raises(Exception, match="school.db"), school.read() as db:
        db.execute("SELECT * FROM nothing")
    assert school.version() != before, "a page that was made without it does not stay"


def test_rooms_are_read_once_and_nobody_can_change_what_is_kept(tmp_path: Path) -> None:
    school = School(tmp_path / "school.db")
    save_room(school, Room("r-1", "一号", ("一年级",)))
    rooms(school).clear()
    assert [room.name for room in rooms(school)] == ["一号"]
    assert load(school, "r-1") is load(school, "r-1")
    save_room(school, Room("r-1", "二号", ("一年级",)))
    assert [room.name for room in rooms(school)] == ["二号"]


def test_what_is_kept_is_bounded_and_of_one_version() -> None:
    kept = Kept(10, len)
    assert kept.get(1, "a", lambda: "1234") == "1234" and kept.get(1, "a", lambda: "new") == "1234"
    assert kept.get(1, "large", lambda: "x" * 50) and kept.get(1, "large", lambda: "y") == "y", "too large"
    kept.get(1, "b", lambda: "123456")
    assert kept.get(1, "a", lambda: "again") == "again", "what was first made room"
    assert kept.get(2, "a", lambda: "of 2") == "of 2"


def test_a_slow_reader_leaves_nothing_old_behind() -> None:
    """It read in the first version, and comes back in the second."""
    kept, began, go = Kept(10), threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        assert go.wait(10)
        return "old"

    thread = threading.Thread(target=lambda: kept.get(1, "a", slow))
    thread.start()
    assert began.wait(10)
    assert kept.get(2, "b", lambda: "new") == "new"
    go.set()
    thread.join(10)
    assert kept.get(2, "a", lambda: "new") == "new"


def test_events_of_boards_are_not_mixed(point: Point) -> None:
    """Two boards without a room each go on with their own."""
    with closing(sqlite3.connect(point.box.paths.state_db)) as db:
        first, second = (
            row[0] for row in db.execute("SELECT id FROM lesson WHERE present IS NOT NULL LIMIT 2")
        )
    homes = []
    for identity in (first, second):
        client = Client(point.app)
        client.get("/", base_url="http://lesson.local")
        client.get(f"/lesson/{identity}/r1", base_url="http://lesson.local")
        homes.append(client.get("/", base_url="http://lesson.local").text)
    assert f"/lesson/{first}/r1" in homes[0] and f"/lesson/{second}/r1" in homes[1]
    assert f"/lesson/{first}/r1" not in homes[1]
