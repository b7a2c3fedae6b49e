"""What calls use one at a time: as many as meet, none of another file, none after an error."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.school.database import School
from appliance.web.search.index import Index, Indexer
from content_sync.adapters.resting import Resting
from content_sync.adapters.sqlite import StateReader
from tests.box import SmallBox

NOW = 1_760_000_000


class Thing:
    def __init__(self, of: str) -> None:
        self.of, self.closed = of, False

    def close(self) -> None:
        self.closed = True


class Store:
    """A Resting, and all things that it ever opened."""

    def __init__(self, most: int = 2) -> None:
        self.resting, self.made = Resting[Thing](most), list[Thing]()

    def new(self, of: str) -> tuple[str, Thing]:
        self.made.append(Thing(of))
        return of, self.made[-1]

    def open(self) -> list[str]:
        return [thing.of for thing in self.made if not thing.closed]


def test_one_call_after_the_other_uses_the_same() -> None:
    store = Store()
    for _ in range(5):
        with store.resting.lent("a", lambda: store.new("a")) as thing:
            assert thing.of == "a" and not thing.closed
    assert len(store.made) == 1


def test_calls_that_meet_have_one_each_and_few_rest() -> None:
    store, meet = Store(most=2), threading.Barrier(6)

    def call() -> int:
        with store.resting.lent("a", lambda: store.new("a")) as thing:
            meet.wait(30)
            return id(thing)

    with ThreadPoolExecutor(6) as threads:
        used = [one.result() for one in [threads.submit(call) for _ in range(6)]]
    assert len(set(used)) == 6 and store.open() == ["a", "a"]


def test_those_of_another_file_are_closed_also_when_they_come_back_late() -> None:
    store = Store(most=4)
    with store.resting.lent("old", lambda: store.new("old")):
        with store.resting.lent("new", lambda: store.new("new")):
            pass
    assert store.open() == ["old", "new"]
    with store.resting.lent("new", lambda: store.new("new")) as thing:
        assert thing.of == "new" and store.open() == ["new"]
    assert len(store.made) == 2


def test_what_is_opened_says_what_it_is_of() -> None:
    store = Store()
    with store.resting.lent("asked", lambda: store.new("other")):
        pass
    with store.resting.lent("asked", lambda: store.new("asked")) as thing:
        assert thing.of == "asked" and store.open() == ["asked"]


def test_none_rests_after_an_error_nor_after_close() -> None:
    store = Store()
    with pytest.raises(ValueError, match="broken"), store.resting.lent("a", lambda: store.new("a")):
        raise ValueError("broken")
    assert store.open() == []
    with store.resting.lent("a", lambda: store.new("a")):
        pass
    store.resting.close()
    assert store.open() == []


def _descriptors(path: Path) -> int:
    """How often this process has a file open."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += entry.readlink() == path
        except FileNotFoundError:
            continue
    return found


def test_two_hundred_threads_leave_few_connections(tmp_path: Path) -> None:
    box = SmallBox(tmp_path / "box")
    box.lesson("小学/语文/统编版/一年级/上册", "第一单元", 1, "静夜思", ())
    box.write(NOW)
    index = Index(box.paths.search_db)
    Indexer(box.paths.search_db, StateReader(box.paths.state_db), index).step()
    school = School(tmp_path / "school.db")
    turn = threading.Barrier(100)

    def ask() -> int:
        turn.wait(60)  # so that the pool needs a thread for each
        with school.read() as db:
            db.execute("SELECT count(*) FROM room").fetchone()
        return index.find("静夜思").total

    with ThreadPoolExecutor(100) as threads:
        answers = [one.result() for one in [threads.submit(ask) for _ in range(200)]]
        assert answers == [1] * 200
        # SQLite keeps descriptors of the file itself for later, not those of its log.
        assert 1 <= _descriptors(school.path.with_name("school.db-wal")) <= 8 + 1  # one writes
        assert 1 <= _descriptors(box.paths.search_db) <= 4
