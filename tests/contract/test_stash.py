"""ports.Stash: in a file and in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from content_sync.adapters.stash import FileStash
from content_sync.ports import Stash
from content_sync.testing.fec import MemoryStash

Again = Callable[[], Stash]


@pytest.fixture(params=["file", "memory"])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Again:
    """The stash as a program finds it that was killed and started again: what was committed."""
    if request.param == "memory":
        memory = MemoryStash()

        def crash() -> Stash:
            memory.crash()
            return memory

        return crash
    made: list[FileStash] = []

    def kill() -> Stash:
        if made:
            made[-1]._db.close()  # without a commit
        made.append(FileStash(tmp_path / "parcels.db"))
        return made[-1]

    return kill


def test_shards(again: Again) -> None:
    stash = again()
    assert stash.add("a", 3, b"three") and stash.add("a", 1, b"one") and stash.add("b", 3, b"other")
    assert not stash.add("a", 3, b"three")
    assert stash.numbers("a") == {1, 3} and stash.read("a") == {1: b"one", 3: b"three"}
    assert stash.one("a", 3) == b"three" and stash.one("a", 2) is None and stash.one("c", 1) is None
    assert stash.numbers("c") == set() and stash.read("c") == {}
    groups = {shards.group: shards for shards in stash.groups()}
    assert groups["a"].held == 2 and groups["b"].held == 1 and groups["a"].latest < groups["b"].latest
    before = stash.size()
    stash.remove(["a", "c"])
    assert [shards.group for shards in stash.groups()] == ["b"]
    assert 8 < before - stash.size() < 1000


def test_papers_and_facts(again: Again) -> None:
    stash = again()
    stash.put_paper("11", "one", b"x" * 500)
    stash.put_paper("22", "two", b"")
    stash.put_paper("11", "uno", b"y")
    assert stash.papers() == [("22", "two", 0), ("11", "uno", 1)]
    assert stash.paper("11") == b"y" and stash.paper("22") == b"" and stash.paper("33") is None
    stash.remove_papers(["11", "33"])
    assert stash.papers() == [("22", "two", 0)]
    stash.set_fact("k", "v")
    stash.set_fact("k", "w")
    assert stash.fact("k") == "w"
    stash.set_fact("k", None)
    assert stash.fact("k") is None
    stash.remove_papers(["22"])
    assert stash.size() == 0


def test_what_was_committed_is_there_after_a_crash_and_nothing_else(again: Again) -> None:
    stash = again()
    stash.add("a", 1, b"one")
    stash.put_paper("11", "p", b"x")
    stash.set_fact("k", "v")
    stash.commit()
    stash.commit()
    stash.add("a", 2, b"two")
    stash.remove_papers(["11"])
    stash.set_fact("k", "w")
    stash = again()
    assert stash.numbers("a") == {1} and stash.paper("11") == b"x" and stash.fact("k") == "v"


def test_a_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "parcels.db"
    for junk in (b"not a database" * 1000, b"", b"SQLite format 3\0" + bytes(5000)):
        path.write_bytes(junk)
        stash = FileStash(path)
        assert stash.groups() == [] and stash.add("a", 1, b"x")
        stash.close()
    stash = FileStash(path)
    for number in range(200):
        stash.add("a", number, bytes(16384))
    stash.close()
    data = bytearray(path.read_bytes())
    data[4096:40960] = bytes(36864)
    path.write_bytes(data)
    stash = FileStash(path)
    assert stash.groups() == []
    stash.close()


def test_space_comes_back(tmp_path: Path) -> None:
    stash = FileStash(tmp_path / "parcels.db")
    for number in range(600):
        stash.add("a", number, bytes(16384))
    stash.commit()
    stash.remove(["a"])
    stash.commit()
    stash.close()
    assert (tmp_path / "parcels.db").stat().st_size < 1 << 20
