"""`lessonbox run`: the three programs together, what it says, how it ends; the agent's other commands."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from appliance.run import Supervisor
from appliance.usage.outbox import read_agent_status
from appliance.usage.recorder import Recorder
from content_sync.adapters.clock import SystemClock
from content_sync.formats import dsse
from content_sync.formats.enrolment import parse_enrolment
from content_sync.formats.report import MAX_BATCH, parse_batch
from tests.e2e.library import lesson_of_noise
from tests.e2e.programs import Box, County, Program, wait_until
from tests.usage import event


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[tuple[County, Box]]:
    county = County(tmp_path)
    county.command("enrol", "--school-code", "1", "--name", "希望小学", "--out", str(tmp_path / "box.json"))
    box = Box(tmp_path, tmp_path / "box.json")
    yield county, box
    box.close()


def children(program: Program) -> dict[str, int]:
    """Name -> process id of the programs that a `run` has started."""
    assert program._process is not None
    found = {}
    for process in psutil.Process(program._process.pid).children():
        with suppress(psutil.NoSuchProcess):
            command = process.cmdline()
            if "appliance" in command:
                found[command[command.index("appliance") + 1]] = process.pid
    return found


def test_run_serves_restarts_a_dead_program_and_ends_cleanly(boxes: tuple[County, Box]) -> None:
    _, box = boxes
    box.start("run")
    box.wait_ready()
    run = box.programs["run"]
    wait_until(lambda: f"open http://127.0.0.1:{box.port}/" in run.words(), "it says where to look")
    wait_until(lambda: len(children(run)) == 3, "three programs")
    before = children(run)
    os.kill(before["agent"], signal.SIGKILL)
    wait_until(lambda: children(run).get("agent", before["agent"]) != before["agent"], "the agent is back")
    assert children(run)["web"] == before["web"]
    assert "agent | ended (SIGKILL); starts again in 1 s" in run.words()
    now = children(run)
    assert run.stop(15) == 0
    assert not any(psutil.pid_exists(pid) for pid in now.values())


def test_programs_do_not_outlive_a_killed_run(boxes: tuple[County, Box]) -> None:
    _, box = boxes
    box.start("run")
    box.wait_ready()
    wait_until(lambda: len(children(box.programs["run"])) == 3, "three programs")
    left = children(box.programs["run"])
    box.programs["run"].kill()
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in left.values()), "they ended", 30)


def test_run_without_a_box_says_what_to_do(boxes: tuple[County, Box], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "appliance", "run", "--data", str(tmp_path / "empty")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error E-SETUP:") and "\n" not in done.stderr.strip()


def test_a_port_in_use_ends_run_with_its_error(boxes: tuple[County, Box], tmp_path: Path) -> None:
    county, box = boxes
    county.serve()
    command = ["-m", "appliance", "run", "--data", str(box.data), "--listen", f"127.0.0.1:{county.port}"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=90)
    county.close()
    assert done.returncode == 1 and "error E-BUSY" in done.stderr


def supervise(code: str, wait: Callable[[list[str], int | None], bool]) -> tuple[list[str], int | None]:
    """Run one program of a few lines until `wait` is content; what was said, the exit code."""
    said: list[str] = []
    now = 0.0
    supervisor = Supervisor({"web": [sys.executable, "-c", code]}, said.append)
    result = None
    try:
        for _ in range(400):
            result = supervisor.turn(now)
            now += 0.5
            if result is not None or wait(said, result):
                break
    finally:
        supervisor.stop()
    return said, result


def test_back_off_grows_to_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.run._TURN", 0.02)
    said, _ = supervise("raise SystemExit(7)", lambda said, _: len(said) >= 7)
    waits = [line.rsplit("in ", 1)[1] for line in said]
    assert waits[:7] == ["1 s", "2 s", "4 s", "8 s", "16 s", "30 s", "30 s"]


def test_a_program_that_failed_all_night_is_still_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.run._TURN", 0.02)
    said: list[str] = []
    supervisor = Supervisor({"web": [sys.executable, "-c", "raise SystemExit(7)"]}, said.append)
    supervisor.children[0].failures = 2000
    try:
        wait_until(lambda: (supervisor.turn(0.0), said)[1], "it ended")
    finally:
        supervisor.stop()
    assert said[0].endswith("starts again in 30 s")


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("raise SystemExit(2)", 2), ("print('error E-SETUP: no box. Do.'); raise SystemExit(1)", 1)],
)
def test_what_cannot_get_better_ends_all(code: str, exit_code: int) -> None:
    assert supervise(code, lambda *_: False)[1] == exit_code


def test_a_program_that_ignores_the_signal_is_ended_by_force() -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    said, _ = supervise(code, lambda said, _: "web   | on" in said)
    assert said == ["web   | on"]


def test_doctor_names_each_problem_with_a_remedy(boxes: tuple[County, Box]) -> None:
    county, box = boxes
    result = json.loads(box.command("doctor", "--json", ok=(0, 1)))
    checks = {check["name"]: check for check in result["checks"]}
    assert checks["county"]["code"] == "E-NETWORK" and checks["county"]["remedy"]
    assert checks["data folder"]["ok"] and checks["libtorrent"]["ok"] and checks["set up"]["ok"]
    assert not result["ok"]
    county.serve()
    result = json.loads(box.command("doctor", "--json", ok=(0, 1)))
    assert {check["name"]: check for check in result["checks"]}["county"]["ok"]
    county.close()


def test_reports_export_writes_what_is_not_acknowledged(boxes: tuple[County, Box], tmp_path: Path) -> None:
    _, box = boxes
    box.start("agent")
    wait_until(lambda: (box.data / "outbox.db").exists(), "the outbox")
    out = tmp_path / "courier.jsonl"

    def exported() -> int:
        words = ["appliance", "reports", "export", str(out), "--data", str(box.data), "--json"]
        return int(json.loads(box.place.run(words))["batches"])

    wait_until(lambda: exported() == 1, "the first report")
    [line] = out.read_bytes().splitlines()
    batch = parse_batch(dsse.parse_signed(line, dsse.REPORT_TYPE, 2 * MAX_BATCH).payload)
    assert batch.seq == 1 and batch.public_key is not None


@pytest.mark.slow  # in short: test_agent.py, test_county_serve.py
def test_the_real_county_counts_once_and_its_acknowledgement_empties_the_outbox(
    boxes: tuple[County, Box], tmp_path: Path
) -> None:
    county, box = boxes
    lesson_of_noise(tmp_path / "tree", 1, 20_000)
    county.publish(tmp_path / "tree")
    county.serve()
    recorder = Recorder(box.data / "usage.db", SystemClock())
    recorder.record([event("open"), event("play"), event("close")])
    box.start("sync", "agent")

    def outbox() -> dict[str, int]:
        found: dict[str, int] = read_agent_status(box.data / "outbox.db")["outbox"]
        return found

    def claim() -> str | None:
        return parse_enrolment((box.data / "enrolment.json").read_bytes()).claim

    wait_until(lambda: claim() is None, "the claim is erased")
    wait_until(lambda: outbox() == {"unacknowledged": 0, "waiting": 0}, "all is acknowledged")
    recorder.close()
    database = sqlite3.connect(county.data / "reports.db")
    wait_until(
        lambda: (
            database.execute("SELECT board, lesson, ended FROM session").fetchall()
            == [("b" * 16, "l1", "closed")]
        ),
        "the county has the session",
        120,
    )
    database.close()
    county.close()
