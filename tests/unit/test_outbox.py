"""The outbox: every session in one batch, every batch under one number, whatever instant the power goes."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.usage import outbox as outbox_module
from appliance.usage.dating import NTP, Anchor
from appliance.usage.outbox import Outbox, consumed_through, read_agent_status, read_batches
from appliance.usage.recorder import Recorder
from appliance.usage.sessions import Sessions, Stored
from content_sync.core.timefloor import TimeFloor
from content_sync.errors import SequenceConflictError
from content_sync.formats import dsse
from content_sync.formats.envelope import Ack
from content_sync.formats.report import MAX_BATCH
from content_sync.ports import Problem
from tests.usage import TRUE, HandClock, Ledger, event, frame, make_key, play, unwrap

FLOOR = TimeFloor(TRUE - 86_400)
Sign = Callable[[bytes], bytes]


@pytest.fixture
def sign(tmp_path: Path) -> Sign:
    key = make_key(tmp_path)
    return lambda payload: key.sign(dsse.REPORT_TYPE, payload)


def round(box: Outbox, folder: Path, clock: HandClock, sign: Sign, county: Ledger) -> None:
    """What the agent does each minute, with a county that answers at once."""
    usage = folder / "usage.db"
    box.note_present(usage, clock.boot, FLOOR)
    box.note_anchor(Anchor(clock.boot, int(clock.mono), int(clock.wall()), NTP, "ntp"), FLOOR)
    box.consume(usage, clock.boot, int(clock.mono * 1000))
    while box.pack(frame(), sign, FLOOR, int(clock.mono)):
        pass
    for seq in box.due(clock.boot, int(clock.mono)):
        county.store(box.signed(seq))
        box.mark(seq, clock.boot, int(clock.mono))
    box.forget(county.ack())


def test_the_first_batch_carries_the_key_even_without_usage(tmp_path: Path, sign: Sign) -> None:
    box = Outbox(tmp_path / "outbox.db")
    box.note_present(tmp_path / "usage.db", "b", FLOOR)
    assert box.pack(frame(("a" * 64, "b" * 64)), sign, FLOOR, 5) == 0
    assert box.pack(frame(("a" * 64, "b" * 64)), sign, FLOOR, 5) == 0
    [signed] = read_batches(tmp_path / "outbox.db")
    _, batch = unwrap(signed)
    assert (batch.seq, batch.sessions, batch.public_key, batch.proof) == (1, (), "a" * 64, "b" * 64)
    box.close()


def test_a_day_is_told_once_and_forgotten_when_acknowledged(tmp_path: Path, sign: Sign) -> None:
    clock, county = HandClock(), Ledger()
    recorder, box = Recorder(tmp_path / "usage.db", clock), Outbox(tmp_path / "outbox.db")
    for lesson in range(5):
        play(recorder, clock, f"v{lesson}", 60, f"l{lesson}")
        round(box, tmp_path, clock, sign, county)
        round(box, tmp_path, clock, sign, county)
    county.check_chain()
    told = [one for batch in county.batches.values() for one in batch.sessions]
    assert [(one.lesson, one.seconds, one.clock) for one in told] == [(f"l{n}", 60, "ntp") for n in range(5)]
    assert abs(told[0].start - (TRUE + 100)) <= 1
    assert read_agent_status(tmp_path / "outbox.db")["outbox"] == {"unacknowledged": 0, "waiting": 0}
    assert consumed_through(tmp_path / "outbox.db", tmp_path / "usage.db") == 15
    recorder.close()
    box.close()


def test_only_the_acknowledgement_of_this_stream_lets_it_forget(tmp_path: Path, sign: Sign) -> None:
    box = Outbox(tmp_path / "outbox.db")
    box.note_present(tmp_path / "usage.db", "b", FLOOR)
    box.pack(frame(), sign, FLOOR, 5)
    box.mark(1, "b", 5)
    assert box.forget(Ack("f" * 16, 9)) == 0
    assert box.forget(Ack(box.stream, 0)) == 0
    assert box.forget(Ack(box.stream, 0, ((1, 1),))) == 1
    box.close()


@pytest.mark.parametrize("ack", [(9, ()), (0, ((2, 9),))])
def test_an_acknowledgement_of_numbers_not_given_yet_deletes_nothing(
    tmp_path: Path, sign: Sign, ack: tuple[int, tuple[tuple[int, int], ...]]
) -> None:
    """A copy of an older state of this box would lose what it numbers anew."""
    box = Outbox(tmp_path / "outbox.db")
    box.note_present(tmp_path / "usage.db", "b", FLOOR)
    box.pack(frame(), sign, FLOOR, 5)
    with pytest.raises(SequenceConflictError):
        box.forget(Ack(box.stream, *ack))
    assert len(read_batches(tmp_path / "outbox.db")) == 1
    box.close()


def test_what_is_not_acknowledged_is_sent_again_after_a_day_or_a_boot(tmp_path: Path, sign: Sign) -> None:
    box = Outbox(tmp_path / "outbox.db")
    box.note_present(tmp_path / "usage.db", "b", FLOOR)
    box.pack(frame(), sign, FLOOR, 5)
    assert box.due("b", 10) == [1]
    box.mark(1, "b", 10)
    assert box.due("b", 11) == []
    assert box.due("b", 10 + outbox_module.RESEND) == [1]
    assert box.due("c", 1) == [1]
    box.close()


def test_large_days_are_several_batches_below_a_mebibyte(tmp_path: Path, sign: Sign) -> None:
    clock, county = HandClock(), Ledger()
    recorder, box = Recorder(tmp_path / "usage.db", clock), Outbox(tmp_path / "outbox.db")
    title = "第" * 150
    for part in range(3):
        titles = [f"{title}{number}" for number in range(part * 500, part * 500 + 500)]
        recorder.record([event(type, one, one) for one in titles for type in ("open", "close")])
    clock.mono += 20
    usage = tmp_path / "usage.db"
    box.note_present(usage, clock.boot, FLOOR)
    box.consume(usage, clock.boot, int(clock.mono * 1000))
    while box.pack(frame(), sign, FLOOR, int(clock.mono) + 9000):
        pass
    sizes = [len(signed) for signed in read_batches(tmp_path / "outbox.db")]
    assert len(sizes) > 1 and max(sizes) <= MAX_BATCH
    for signed in read_batches(tmp_path / "outbox.db"):
        county.store(signed)
    assert len(set(county.sessions())) == 1500
    recorder.close()
    box.close()


def test_sessions_of_an_unknown_time_wait_and_are_dated_later(tmp_path: Path, sign: Sign) -> None:
    clock, county = HandClock(offset=0, kind="system"), Ledger()
    recorder, box = Recorder(tmp_path / "usage.db", clock), Outbox(tmp_path / "outbox.db")
    usage = tmp_path / "usage.db"
    play(recorder, clock, "v1")
    box.note_present(usage, clock.boot, FLOOR)
    box.consume(usage, clock.boot, int(clock.mono * 1000))
    box.pack(frame(), sign, FLOOR, int(clock.mono))
    assert box.waiting() == 1
    box.note_anchor(Anchor(clock.boot, 1000, TRUE + 1000, 5, "county"), FLOOR)
    assert box.pack(frame(), sign, FLOOR, 1001) == 1
    for signed in read_batches(tmp_path / "outbox.db"):
        county.store(signed)
    [session] = county.batches[2].sessions
    assert (session.start, session.clock) == (TRUE + 100, "county")
    recorder.close()
    box.close()


def test_boots_are_ordered_by_their_events_even_when_the_agent_never_ran(tmp_path: Path, sign: Sign) -> None:
    usage = tmp_path / "usage.db"
    for boot in ("one", "two", "three"):
        recorder = Recorder(usage, HandClock(boot=boot))
        recorder.record([event("open", boot), event("close", boot)])
        recorder.close()
    box = Outbox(tmp_path / "outbox.db")
    box.note_present(usage, "three", FLOOR)
    box.note_present(usage, "four", FLOOR)
    assert [row[0] for row in box._all("SELECT id FROM boot ORDER BY number")] == [
        "one",
        "two",
        "three",
        "four",
    ]
    assert [row[0] for row in box._all("SELECT floor FROM boot ORDER BY number")] == [0, 0, 0, FLOOR.floor]
    box.close()


def test_a_lost_outbox_tells_the_same_sessions_under_the_same_ids(tmp_path: Path, sign: Sign) -> None:
    clock, first, second = HandClock(), Ledger(), Ledger()
    recorder, box = Recorder(tmp_path / "usage.db", clock), Outbox(tmp_path / "outbox.db")
    for lesson in range(4):
        play(recorder, clock, f"v{lesson}")
    round(box, tmp_path, clock, sign, first)
    stream = box.stream
    box.close()
    (tmp_path / "outbox.db").write_bytes(b"damaged")
    for side in ("-wal", "-shm"):
        (tmp_path / f"outbox.db{side}").unlink(missing_ok=True)
    box = Outbox(tmp_path / "outbox.db")
    assert box.moved_aside is not None and box.stream != stream
    round(box, tmp_path, clock, sign, second)
    assert sorted(first.sessions()) == sorted(second.sessions())
    recorder.close()
    box.close()


def test_a_new_usage_file_is_read_from_its_beginning(tmp_path: Path, sign: Sign) -> None:
    clock, county = HandClock(), Ledger()
    recorder, box = Recorder(tmp_path / "usage.db", clock), Outbox(tmp_path / "outbox.db")
    for number in range(3):
        play(recorder, clock, f"v{number}")
    round(box, tmp_path, clock, sign, county)
    recorder.close()
    for file in tmp_path.glob("usage.db*"):
        file.unlink()
    recorder = Recorder(tmp_path / "usage.db", clock)
    play(recorder, clock, "v9")
    round(box, tmp_path, clock, sign, county)
    assert len(set(county.sessions())) == 4
    recorder.close()
    box.close()


@pytest.mark.parametrize("part", [1, 2, 3, 7])
def test_taken_in_parts_it_is_the_same_whatever_goes_on_meanwhile(
    tmp_path: Path, sign: Sign, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """Also where one board's session holds the watermark back over many others."""
    clock, parts, whole = HandClock(), Ledger(), Ledger()
    recorder = Recorder(tmp_path / "usage.db", clock)
    recorder.record([event("open", "long", "l9", "a" * 16), event("play", "long", "l9", "a" * 16)])
    for number in range(12):
        play(recorder, clock, f"v{number}", 120, f"l{number}")
        recorder.record([event("ping", "long", "l9", "a" * 16)])
    recorder.record([event("open", f"w{number}", f"l{number}", "d" * 16) for number in range(30)])
    clock.boot, clock.mono = "boot-2", 50.0
    recorder.close()
    recorder = Recorder(tmp_path / "usage.db", clock)
    play(recorder, clock, "v99")
    for folder, county in ((tmp_path / "whole", whole), (tmp_path / "parts", parts)):
        folder.mkdir()
        (folder / "usage.db").symlink_to(tmp_path / "usage.db")
        box = Outbox(folder / "outbox.db")
        round(box, folder, clock, sign, county)
        assert box.consume(folder / "usage.db", clock.boot, int(clock.mono * 1000)) == 0
        box.close()
        monkeypatch.setattr(outbox_module, "PART", part)
    assert len(whole.sessions()) == 12 + 1 + 30 + 1
    assert told_of(parts) == told_of(whole)
    recorder.close()


def told_of(county: Ledger) -> list[tuple[str, str, int, str]]:
    """What a county was told, whatever the order."""
    sessions = [one for batch in county.batches.values() for one in batch.sessions]
    return sorted((one.id, one.lesson, one.seconds, one.ended) for one in sessions)


def test_a_flood_is_taken_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour of two hundred strange boards a minute: what is held at once is what a few minutes bring."""
    clock, box = HandClock(), Outbox(tmp_path / "outbox.db")
    monkeypatch.setattr(outbox_module, "PART", 100)
    recorder = Recorder(tmp_path / "usage.db", clock)
    for minute in range(60):
        recorder.record([event("open", "v", "l1", f"{minute:08x}{n:08x}") for n in range(200)])
        clock.mono += 60
    held: list[int] = []
    hear = Sessions.hear

    def watched(self: Sessions, heard: Stored) -> object:
        held.append(len(self._running) + len(self._spans) + len(self.ended))
        return hear(self, heard)

    monkeypatch.setattr(Sessions, "hear", watched)
    assert box.consume(tmp_path / "usage.db", clock.boot, int(clock.mono * 1000) + 10**6) == 60 * 200
    assert max(held) < 2000 and box.waiting() == 60 * 200
    recorder.close()
    box.close()


def test_status_keeps_the_beginning_of_a_problem(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.db")
    box.tell({"clock": {"trusted": True, "source": "ntp"}}, [Problem("E-NETWORK", "reports", "x", 5)])
    box.tell({"clock": {"trusted": True, "source": "ntp"}}, [Problem("E-NETWORK", "reports", "y", 9)])
    status = read_agent_status(tmp_path / "outbox.db")
    assert status["problems"] == [{"code": "E-NETWORK", "subject": "reports", "message": "y", "since": 5}]
    box.tell({}, [])
    assert read_agent_status(tmp_path / "outbox.db")["problems"] == []
    box.close()


class PowerCut(BaseException):
    """Nothing catches it: the process is gone."""


class Mains:
    """Stands for Outbox's connection; the power goes before the N-th operation."""

    def __init__(self, real: sqlite3.Connection, left: int) -> None:
        self._real, self.left = real, left

    def _spend(self) -> None:
        if self.left == 0:
            raise PowerCut
        self.left -= 1

    def execute(self, *arguments: Any) -> Any:
        self._spend()
        return self._real.execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        self._spend()
        return self._real.executemany(*arguments)

    def rollback(self) -> None:
        """The process that would roll back is gone; the file does it when it is opened."""

    def close(self) -> None:
        self._real.close()


def test_power_cut_before_every_operation(tmp_path: Path, sign: Sign) -> None:
    """N = 0, 1, 2 … until a run needs no more: exactly once at the county, no gap, nothing left behind."""
    base, clock = tmp_path / "base", HandClock()
    recorder = Recorder(base / "usage.db", clock)
    for number in range(2):
        play(recorder, clock, f"v{number}")
    recorder.record([event("open", "goes on", "l9"), event("play", "goes on", "l9")])
    recorder.close()
    (base / "usage.reserve").unlink()
    cut, finished, began = 0, False, clock.mono
    while not finished:
        folder = tmp_path / f"cut-{cut}"
        shutil.copytree(base, folder)
        county, clock.mono = Ledger(), began
        box = Outbox(folder / "outbox.db")
        mains = Mains(box._db, cut)
        box._db = mains  # type: ignore[assignment]
        try:
            round(box, folder, clock, sign, county)
            clock.mono += 400
            round(box, folder, clock, sign, county)
            finished = True
        except PowerCut:
            pass
        mains.close()
        box = Outbox(folder / "outbox.db")
        clock.mono = began + 800
        round(box, folder, clock, sign, county)
        told = county.sessions()
        county.check_chain()
        assert len(told) == len(set(told)) == 3, cut
        assert sum(one.seconds for batch in county.batches.values() for one in batch.sessions) == 120
        assert read_agent_status(folder / "outbox.db")["outbox"] == {"unacknowledged": 0, "waiting": 0}
        box.close()
        cut += 1
    assert cut > 40
