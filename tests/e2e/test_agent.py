"""The agent and the recorder as processes, against a county's door that forgets, repeats, and lies."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from appliance.agent import Agent
from appliance.config import BOX_SETTINGS, BoxPaths
from appliance.usage import database
from appliance.usage.dating import Anchor
from appliance.usage.outbox import read_agent_status
from appliance.usage.recorder import Recorder
from content_sync.adapters.files import write_durable
from content_sync.adapters.http import HttpFetcher
from content_sync.adapters.keys import BoxKey
from content_sync.core.timefloor import TimeFloor
from content_sync.errors import DiskFullError
from content_sync.formats import dsse
from content_sync.formats.enrolment import Enrolment, claim_proof, dump_enrolment, parse_enrolment
from content_sync.formats.envelope import Ack, Envelope, dump_envelope
from content_sync.formats.report import MAX_BATCH, Batch, parse_batch
from content_sync.settings import Settings
from tests.usage import BOX, TRUE, HandClock, Ledger, play

ROOT = Path(__file__).resolve().parents[2]
CLAIM = "c" * 32


class Door:
    """A county's reports door. `answer` decides what to say.

    `store`, `lose` (store, then break the connection), `portal` (a hotspot's page), `busy`, `refuse`.
    """

    def __init__(self) -> None:
        self.county = Ledger()
        self.seen: list[int] = []
        self.answer: Callable[[int], str] = lambda _: "store"
        self.date = TRUE
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(200, {"ok": True})

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Encoding"] == "gzip"
                signed = gzip.decompress(data)
                batch = parse_batch(dsse.parse_signed(signed, dsse.REPORT_TYPE, 2 * MAX_BATCH).payload)
                door.seen.append(batch.seq)
                how = door.answer(batch.seq)
                if how in ("store", "lose"):
                    door.county.store(signed)
                if how == "lose":
                    self.close_connection = True
                    self.connection.close()
                elif how == "portal":
                    self._send(200, b"<html>please log in</html>", "text/html")
                elif how == "busy":
                    self._say(503, {"error": {"code": "E-BUSY", "message": ""}})
                elif how == "refuse":
                    self._say(400, {"error": {"code": "E-FORMAT", "message": ""}})
                else:
                    self._say(
                        200, {"box": batch.box, "stream": batch.stream, "seq": batch.seq, "stored": True}
                    )

            def _say(self, status: int, value: object) -> None:
                self._send(status, json.dumps(value).encode(), "application/json")

            def _send(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(door.date)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.close()


class Box:
    """A box's data folder and its agent."""

    def __init__(self, folder: Path, *urls: str) -> None:
        self.paths, self.clock = BoxPaths(folder), HandClock()
        self.key = BoxKey.make(self.paths.key)
        write_durable(
            self.paths.enrolment, dump_enrolment(Enrolment("清河县", urls, BOX, "1", "希望小学", CLAIM, {}))
        )
        self.recorder = Recorder(self.paths.usage_db, self.clock)
        self.settings = Settings(BOX_SETTINGS, {"report_seconds": 10})
        self.start()

    def start(self) -> None:
        self.agent = Agent(self.paths, self.settings, self.clock, HttpFetcher(), lambda: 0.5, "0.1.0")

    def cycle(self, seconds: float = 10) -> None:
        self.clock.mono += seconds
        self.agent.step()

    def envelope(self, ack: Ack | None, enrolled: bool = True, version: int = 1) -> None:
        """What sync leaves after it verified the county's envelope."""
        payload = dump_envelope(Envelope(BOX, version, TRUE, "1", "希望小学", ("*",), ack, enrolled))
        signed = dsse.Signed(dsse.ENVELOPE_TYPE, payload, (("k", b"s"),))
        write_durable(self.paths.trust / "envelope.json", dsse.dump_signed(signed))

    def status(self) -> dict[str, object]:
        return read_agent_status(self.paths.outbox_db)

    def close(self) -> None:
        self.recorder.close()
        self.agent.close()


@pytest.fixture
def box(tmp_path: Path, door: Door) -> Iterator[Box]:
    made = Box(tmp_path / "box", door.url)
    yield made
    made.close()


def test_hello_enrols_then_usage_comes_and_the_claim_goes(box: Box, door: Door) -> None:
    box.cycle()
    hello: Batch = door.county.batches[1]
    public = box.key.public_hex
    assert (hello.public_key, hello.proof) == (public, claim_proof(CLAIM, BOX, public))
    assert (box.paths.incoming / "refresh").exists()
    assert box.status()["outbox"] == {"unacknowledged": 1, "waiting": 0}
    box.envelope(door.county.ack())
    box.agent.step()
    assert box.status()["outbox"] == {"unacknowledged": 0, "waiting": 0}
    assert parse_enrolment(box.paths.enrolment.read_bytes()).claim is None
    assert CLAIM.encode() not in box.paths.enrolment.read_bytes()
    play(box.recorder, box.clock, "v1", 180)
    box.cycle()
    told = door.county.batches[2]
    assert told.public_key is None
    assert [(one.lesson, one.seconds, one.clock) for one in told.sessions] == [("l1", 180, "ntp")]


def test_whatever_the_line_does_each_session_is_stored_once(box: Box, door: Door) -> None:
    chance = random.Random(7)
    door.answer = lambda _: chance.choice(["store", "lose", "portal", "busy"])
    for number in range(25):
        play(box.recorder, box.clock, f"v{number}")
        box.cycle(chance.choice([10, 600, 4000]))
        if chance.random() < 0.3 and door.county.batches:
            box.envelope(door.county.ack(), version=number + 1)
        if chance.random() < 0.2:
            box.agent.close()
            box.start()
    door.answer = lambda _: "store"
    for _ in range(6):
        box.cycle(4000)
    door.county.check_chain()
    told = door.county.sessions()
    assert len(told) == len(set(told)) == 25
    assert len(door.seen) > len(door.county.batches)
    box.envelope(door.county.ack(), version=99)
    box.cycle()
    assert box.status()["outbox"] == {"unacknowledged": 0, "waiting": 0}


def test_stored_is_not_forgotten_before_the_acknowledgement(box: Box, door: Door) -> None:
    play(box.recorder, box.clock, "v1")
    for _ in range(5):
        box.cycle()
    assert box.status()["outbox"]["unacknowledged"] == len(door.county.batches) > 0  # type: ignore[index]
    seen = len(door.seen)
    box.cycle(90_000)
    assert len(door.seen) == seen + len(door.county.batches)


def test_refused_is_kept_shown_and_tried_again_next_day(box: Box, door: Door) -> None:
    door.answer = lambda seq: "refuse" if seq == 1 else "store"
    play(box.recorder, box.clock, "v1")
    for _ in range(4):
        box.cycle()
    assert door.seen.count(1) == 1
    assert [problem["code"] for problem in box.status()["problems"]] == ["E-FORMAT"]  # type: ignore[attr-defined]
    door.answer = lambda _: "store"
    box.cycle(90_000)
    assert door.seen.count(1) == 2
    assert box.status()["problems"] == []


def test_back_off_grows_to_an_hour_and_ends_with_success(box: Box, door: Door) -> None:
    door.answer = lambda _: "busy"
    box.cycle()
    uploader, waits = box.agent._uploader, []
    for turn in range(1, 15):
        assert len(door.seen) == turn
        waits.append(uploader.not_before - box.clock.mono)
        box.clock.mono = uploader.not_before - 1
        box.agent.step()
        assert len(door.seen) == turn
        box.cycle(11)
    assert waits[:3] == pytest.approx([3.75, 7.5, 15]) and waits[-1] == pytest.approx(2700)
    assert [problem["code"] for problem in box.status()["problems"]] == ["E-NETWORK"]  # type: ignore[attr-defined]
    door.answer = lambda _: "store"
    box.cycle(3600)
    assert box.status()["problems"] == []


def test_a_point_that_only_receives_is_not_told_that_nothing_can_be_sent(tmp_path: Path, door: Door) -> None:
    made = Box(tmp_path / "point", "http://127.0.0.1:9")
    made.settings = Settings(BOX_SETTINGS, {"report_seconds": 10, "sources": ("drop",)})
    made.start()
    play(made.recorder, made.clock, "v1")
    for _ in range(4):
        made.cycle(600)
    assert made.status()["outbox"]["unacknowledged"] > 0  # type: ignore[index]
    assert made.status()["problems"] == []


def test_a_second_address_is_used_when_the_first_is_silent(tmp_path: Path, door: Door) -> None:
    made = Box(tmp_path / "second", "http://127.0.0.1:9", door.url)
    made.cycle()
    assert 1 in door.county.batches
    made.close()


def test_a_box_that_booted_in_1970_is_dated_by_the_countys_answer(box: Box, door: Door) -> None:
    box.clock.offset, box.clock.kind = 0, "system"
    box.clock.mono = 1000
    play(box.recorder, box.clock, "v1")
    door.date = TRUE + int(box.clock.mono) + 10
    box.cycle()
    box.cycle()
    [session] = [one for batch in door.county.batches.values() for one in batch.sessions]
    assert session.clock == "county" and abs(session.start - (TRUE + 1000)) <= session.uncertainty
    assert box.status()["clock"] == {"trusted": True, "source": "county"}


def test_a_2099_county_dates_nothing_and_a_right_one_then_does(box: Box, door: Door) -> None:
    from content_sync.adapters.sqlite_writer import State

    state = State(box.paths.state_db)
    state.set_meta({"floor": json.dumps({"floor": TRUE - 86_400, "doubted": TRUE + 73 * 365 * 86_400})})
    state.close()
    box.clock.offset, box.clock.kind = 0, "system"
    door.date = TRUE + 73 * 365 * 86_400
    play(box.recorder, box.clock, "v1")
    began = box.clock.mono - 80
    for _ in range(3):
        box.cycle()
    assert not any(batch.sessions for batch in door.county.batches.values())
    assert [problem["code"] for problem in box.status()["problems"]] == ["E-BOX-CLOCK"]  # type: ignore[attr-defined]
    door.date = TRUE + int(box.clock.mono) + 10
    for _ in range(3):
        box.cycle()
    [session] = [one for batch in door.county.batches.values() for one in batch.sessions]
    assert abs(session.start - (TRUE + began)) <= session.uncertainty


def test_a_box_that_is_an_older_copy_keeps_its_usage_and_says_so(box: Box, door: Door) -> None:
    play(box.recorder, box.clock, "v1")
    door.answer = lambda _: "busy"
    box.cycle()
    box.envelope(Ack(box.agent._outbox.stream, 40))
    for _ in range(3):
        box.cycle(30)
    status = box.status()
    assert status["outbox"] == {"unacknowledged": 1, "waiting": 0}
    assert "E-SEQ-CONFLICT" in [problem["code"] for problem in status["problems"]]  # type: ignore[attr-defined]


def test_trouble_is_written_to_the_log_once(
    box: Box, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> int:
        raise DiskFullError("no space left")

    monkeypatch.setattr(box.agent._outbox, "consume", full)
    for _ in range(20):
        box.cycle(100)
    assert [record.name for record in caplog.records].count("agent") == 1


def test_a_date_without_a_zone_is_utc(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    noted: list[Anchor] = []
    monkeypatch.setattr(box.agent._outbox, "note_anchor", lambda anchor, _: noted.append(anchor))
    try:
        box.agent._uploader._note_time(box.agent._outbox, TimeFloor(), "Sat, 21 Nov 2026 08:00:00", 1, 1)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [anchor.unix for anchor in noted] == [1_795_248_000]


def test_a_damaged_envelope_stops_nothing(box: Box, door: Door) -> None:
    write_durable(box.paths.trust / "envelope.json", b"{broken")
    box.cycle()
    assert 1 in door.county.batches


_RECORD = """
import sys
from pathlib import Path
from appliance.usage.recorder import Event, Recorder
from content_sync.adapters.clock import SystemClock
recorder = Recorder(Path(sys.argv[1]), SystemClock())
number = 0
while True:
    number += 1
    visit = f"v{sys.argv[2]}-{number}"
    recorder.record([Event("b" * 16, "l1", "r1", "video", visit, "ping", None, None, "page")])
    print(visit, flush=True)
"""


def test_kill_9_loses_no_event_that_was_answered(tmp_path: Path) -> None:
    path, answered = tmp_path / "usage.db", []
    chance = random.Random(3)
    for turn in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", _RECORD, str(path), str(turn)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(chance.randint(1, 60)):
            answered.append(process.stdout.readline().strip())
        os.kill(process.pid, signal.SIGKILL)
        answered += [line for line in process.communicate()[0].split("\n")[:-1] if line]
    reader = database.open_reader(path)
    assert reader is not None
    found = [row[0] for row in reader.execute("SELECT visit FROM event")]
    reader.close()
    assert answered and not set(answered) - set(found)
    assert len(found) == len(set(found))
