"""The recorder: durable when it returns, one commit for many, nothing lost to damage."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.usage import database, recorder
from appliance.usage.recorder import Recorder
from content_sync.errors import BusyError, DiskFullError, FormatError, NewerDataError, StorageError
from tests.usage import HandClock, event


def rows(path: Path) -> list[tuple[object, ...]]:
    reader = database.open_reader(path)
    assert reader is not None
    try:
        return reader.execute("SELECT * FROM event ORDER BY id").fetchall()
    finally:
        reader.close()


def test_recorded_with_the_clock_facts(tmp_path: Path) -> None:
    made = Recorder(tmp_path / "usage.db", HandClock(mono=12.5, offset=1000, boot="b", kind="system"))
    made.record([event("open"), event("play")])
    found = rows(tmp_path / "usage.db")
    made.close()
    assert [row[6] for row in found] == ["open", "play"]
    assert found[0][-4:] == ("b", 12_500, 1_012_500, "system")


def test_many_threads_share_commits_and_lose_nothing(tmp_path: Path) -> None:
    made = Recorder(tmp_path / "usage.db", HandClock())

    def board(number: int) -> None:
        for turn in range(50):
            made.record([event("ping", f"v{number}-{turn}")])

    threads = [threading.Thread(target=board, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = rows(tmp_path / "usage.db")
    made.close()
    assert len({row[5] for row in found}) == len(found) == 800


@pytest.mark.parametrize(
    "bad",
    [
        {"board": "nobody"},
        {"board": "B" * 16},
        {"lesson": ""},
        {"resource": "r" * 201},
        {"type": "watch"},
        {"origin": "phone"},
        {"at": -1},
        {"position": 1 << 60},
    ],
)
def test_what_no_report_can_carry_is_refused_whole(tmp_path: Path, bad: dict[str, object]) -> None:
    made = Recorder(tmp_path / "usage.db", HandClock())
    with pytest.raises(FormatError):
        made.record([event("open"), replace(event("play"), **bad)])  # type: ignore[arg-type]
    assert not rows(tmp_path / "usage.db")
    made.close()


def test_closed_means_closed(tmp_path: Path) -> None:
    made = Recorder(tmp_path / "usage.db", HandClock())
    made.close()
    made.close()
    with pytest.raises(BusyError):
        made.record([event("open")])


def test_a_full_queue_says_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_QUEUE", 1)
    monkeypatch.setattr(recorder, "_PATIENCE", 0.2)
    made = Recorder(tmp_path / "usage.db", HandClock())
    blocker = sqlite3.connect(tmp_path / "usage.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError):  # the first waits for the disk, then the queue is full
        for _ in range(4):
            made.record([event("open")])
    blocker.execute("ROLLBACK")
    blocker.close()
    made.close()


@pytest.mark.parametrize("damage", [b"not a database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_malformed_file_is_kept_aside_and_a_new_one_begun(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "usage.db"
    path.write_bytes(damage)
    made = Recorder(path, HandClock())
    made.record([event("open")])
    made.close()
    assert made.moved_aside == tmp_path / "usage.db.damaged-1"
    assert made.moved_aside.read_bytes() == damage
    assert len(rows(path)) == 1


def test_damage_while_running_costs_no_event(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    made = Recorder(path, HandClock())
    made.record([event("open")])
    assert made._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    with path.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * (path.stat().st_size - 4096))
    made._connection.execute("PRAGMA cache_size = 0")
    made._connection.execute("PRAGMA shrink_memory")
    made.record([event("play")])
    made.close()
    assert [row[6] for row in rows(path)] == ["play"]
    assert (tmp_path / "usage.db.damaged-1").exists()


def test_two_files_have_two_names(tmp_path: Path) -> None:
    names = set()
    for folder in ("a", "b"):
        Recorder(tmp_path / folder / "usage.db", HandClock()).close()
        reader = database.open_reader(tmp_path / folder / "usage.db")
        assert reader is not None
        names.add(reader.execute("SELECT value FROM meta WHERE key = 'id'").fetchone()[0])
        reader.close()
    assert len(names) == 2


def test_a_newer_file_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NewerDataError):
        Recorder(path, HandClock())
    assert path.read_bytes() == before


def test_prune_forgets_by_number_and_keeps_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "KEEP_EVENTS", 10)
    made = Recorder(tmp_path / "usage.db", HandClock())
    made.record([event("ping", f"v{number}") for number in range(50)])
    made.prune(20)
    assert [row[0] for row in rows(tmp_path / "usage.db")] == list(range(21, 51))
    made.prune(50)
    assert [row[0] for row in rows(tmp_path / "usage.db")] == list(range(41, 51))
    made.record([event("ping")])
    assert rows(tmp_path / "usage.db")[-1][0] == 51
    made.close()


def test_so_many_events_and_no_more_until_some_were_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are kept: they were acknowledged."""
    monkeypatch.setattr(recorder, "KEEP_EVENTS", 5)
    monkeypatch.setattr(recorder, "MOST_EVENTS", 40)
    clock, taken = HandClock(), [0]
    made = Recorder(tmp_path / "usage.db", clock, lambda: taken[0])
    made.record([event("ping", f"v{number}") for number in range(40)])
    with pytest.raises(DiskFullError):
        made.record([event("ping")])
    assert [row[0] for row in rows(tmp_path / "usage.db")] == list(range(1, 41))
    taken[0] = 30
    clock.mono += 61  # not an hour
    with pytest.raises(DiskFullError):  # this group prunes
        made.record([event("ping")])
    made.record([event("ping")])
    assert [row[0] for row in rows(tmp_path / "usage.db")] == list(range(31, 42))
    made.close()


def test_a_refusing_disk_is_named_and_the_next_event_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Recorder(tmp_path / "usage.db", HandClock())
    apply = made._apply
    errors = [sqlite3.OperationalError("disk I/O error") for _ in range(3)]
    for error in errors:
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

    def failing(jobs: list) -> None:  # type: ignore[type-arg]
        if errors:
            raise errors.pop()
        apply(jobs)

    monkeypatch.setattr(made, "_apply", failing)
    with pytest.raises(StorageError):
        made.record([event("open")])
    errors.clear()
    made.record([event("play")])
    made.close()
    assert [row[6] for row in rows(tmp_path / "usage.db")] == ["play"]
