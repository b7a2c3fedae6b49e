"""The loop around the engine: what it looks at, and when the throttle beats."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance import sync_program
from appliance.config import BoxPaths
from tests.e2e.programs import wait_until


class Throttle:
    """Three beats, then nothing is fetched any more."""

    def __init__(self) -> None:
        self.fetching, self.beats = False, 0
        self.began: Any = None
        self.rests = threading.Event()

    def begin(self) -> None:
        self.rests.clear()
        self.fetching = True
        self.began()

    def step(self, now: float) -> None:
        self.beats += 1
        if self.beats % 3 == 0:
            self.fetching = False
            self.rests.set()


def test_the_throttle_beats_only_while_something_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_program, "_PULSE", 0.001)
    throttle = Throttle()
    box: Any = SimpleNamespace(throttle=throttle, clock=SimpleNamespace(monotonic=lambda: 0.0))
    with sync_program._pulse(box):
        for _ in range(3):
            throttle.begin()
            assert throttle.rests.wait(30)
    assert throttle.beats == 9


class Engine:
    """Notes what it is told."""

    today = None

    def __init__(self) -> None:
        self.refreshes, self.suspects = 0, list[str]()
        self.wishes: Any = None

    def refresh_soon(self) -> None:
        self.refreshes += 1

    def suspect(self, root: str) -> None:
        self.suspects.append(root)

    def wish(self, wishes: Any) -> None:
        self.wishes = wishes


def test_incoming_is_read_only_after_a_change(tmp_path: Path) -> None:
    paths = BoxPaths(tmp_path)
    paths.incoming.mkdir(parents=True)
    paths.config.write_text("")
    engine = Engine()
    state = SimpleNamespace(lessons=list, status=lambda _: None)
    box: Any = SimpleNamespace(engine=engine, state=state, clock=SimpleNamespace(monotonic=lambda: 0.0))
    requests = sync_program._Requests(paths, box)

    def settle() -> int:
        looks = 0
        while requests.waiting():
            requests.look()
            looks += 1
            assert looks < 10
        return looks

    assert settle() and not requests.waiting()
    (paths.incoming / "refresh").touch()
    wait_until(requests.waiting, "the change shows")
    settle()
    assert engine.refreshes == 1 and not (paths.incoming / "refresh").exists()
    # Another file within the same tick of the folder's clock is found all the same.
    root = "ab" * 32
    (paths.incoming / f"check-{'cd' * 32}").touch()
    os.utime(paths.incoming, ns=(7, 7))
    requests.look()
    (paths.incoming / f"check-{root}").touch()
    os.utime(paths.incoming, ns=(7, 7))
    settle()
    assert engine.suspects == ["cd" * 32, root] and not requests.waiting()
