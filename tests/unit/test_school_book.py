"""school.db: durable, migrated forward with a copy kept, never lost to damage or to an older program."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from appliance.school import database
from appliance.school.database import School
from appliance.school.rooms import Place, place_of, set_board
from content_sync.errors import LessonBoxError, NewerDataError

BOARD = "a" * 16


def add_room(school: School) -> None:
    with school.write() as db:
        db.execute("INSERT INTO room (id, name, grades) VALUES ('r-1', '二年级教室', '[\"二年级\"]')")


def test_a_board_remembers_its_room_and_hand(tmp_path: Path) -> None:
    school = School(tmp_path / "school.db")
    assert place_of(school, BOARD) == Place()
    add_room(school)
    set_board(school, BOARD, "r-1", "left")
    again = place_of(School(tmp_path / "school.db"), BOARD)
    assert again.room is not None and again.room.name == "二年级教室" and again.room.grades == ("二年级",)
    assert again.hand == "left"
    with school.write() as db:
        db.execute("DELETE FROM room")
    assert place_of(school, BOARD) == Place(None, "left")


def test_what_fails_is_undone_whole(tmp_path: Path) -> None:
    school = School(tmp_path / "school.db")
    with pytest.raises(LessonBoxError), school.write() as db:
        db.execute("INSERT INTO room (id, name) VALUES ('r-1', 'a')")
        db.execute("INSERT INTO room (id, name) VALUES ('r-1', 'b')")
    with school.read() as db:
        assert db.execute("SELECT COUNT(*) FROM room").fetchone()[0] == 0


def test_many_threads_write(tmp_path: Path) -> None:
    school = School(tmp_path / "school.db")

    def work(number: int) -> None:
        for turn in range(20):
            set_board(school, f"{number:08x}{turn:08x}", None, "right")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with school.read() as db:
        assert db.execute("SELECT COUNT(*) FROM board").fetchone()[0] == 160


def test_an_older_file_is_migrated_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = database._steps()
    monkeypatch.setattr(database, "_steps", lambda: steps[:1])
    old = School(tmp_path / "school.db")
    add_room(old)
    monkeypatch.setattr(database, "_steps", lambda: [*steps[:1], "CREATE TABLE more (a);"])
    new = School(tmp_path / "school.db")
    with new.write() as db:
        db.execute("INSERT INTO more VALUES (1)")
        assert db.execute("SELECT name FROM room").fetchone()[0] == "二年级教室"
    with closing(sqlite3.connect(tmp_path / "school.db.before-2")) as kept:
        assert kept.execute("SELECT name FROM room").fetchone()[0] == "二年级教室"
    monkeypatch.setattr(database, "_steps", lambda: steps[:1])
    with pytest.raises(NewerDataError):
        School(tmp_path / "school.db")


def test_a_migration_that_breaks_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = database._steps()
    monkeypatch.setattr(database, "_steps", lambda: steps[:1])
    add_room(School(tmp_path / "school.db"))
    monkeypatch.setattr(database, "_steps", lambda: [*steps[:1], "CREATE TABLE more (a); nonsense;"])
    with pytest.raises(LessonBoxError):
        School(tmp_path / "school.db")
    monkeypatch.setattr(database, "_steps", lambda: steps[:1])
    with School(tmp_path / "school.db").read() as db:
        assert db.execute("SELECT COUNT(*) FROM room").fetchone()[0] == 1


def test_a_damaged_file_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "school.db"
    path.write_bytes(b"no database at all" * 1000)
    school = School(path)
    add_room(school)
    assert school.aside is not None and school.aside.read_bytes().startswith(b"no database")
