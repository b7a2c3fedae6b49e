"""A class that watches a video stops what is fetched from afar, and it goes on afterwards."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import library
from tests.e2e.programs import Box, County, wait_until

RATE = 250_000


def ask(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@contextmanager
def playing(url: str) -> Iterator[None]:
    """A board that plays: it fetches portion after portion."""
    stop = threading.Event()

    def play() -> None:
        while not stop.wait(0.3):
            portion = urllib.request.Request(url, headers={"Range": "bytes=0-65535"})
            with urllib.request.urlopen(portion, timeout=30) as answer:
                answer.read()

    board = threading.Thread(target=play)
    board.start()
    try:
        yield
    finally:
        stop.set()
        board.join(30)


@pytest.mark.slow  # in short: tests/unit/test_streaming.py, test_throttle.py
def test_a_stream_on_the_board_stops_the_fetch_and_it_goes_on(
    make_county: Callable[[], County], make_box: Callable[..., Box], tmp_path: Path
) -> None:
    county = make_county()
    library.video(tmp_path / "tree" / library.VOLUME / "第一单元 看" / "01 看" / "视频 看.mp4", seconds=20)
    county.publish(tmp_path / "tree")
    county.serve()
    box = make_box(county, download_rate=RATE, sources=["webseed"])  # loopback peers are near
    box.start("sync", "web")
    box.wait_ready()

    def status() -> dict[str, Any]:
        return ask(f"{box.url}/api/v1/status")

    def received() -> int:
        return int(status()["progress"]["received"])

    wait_until(lambda: status()["lessons"]["present"] == 1, "the first lesson is here")
    library.lesson_of_noise(tmp_path / "tree", 2, 60_000_000)  # minutes at this rate
    county.publish(tmp_path / "tree")
    (box.data / "incoming" / "refresh").touch()
    first = received()
    wait_until(lambda: received() > first + RATE, "the second lesson is on its way")
    wait_until(lambda: status()["budget"]["reason"] == "setting", "its rate is the setting's")
    lessons = ask(f"{box.url}/api/v1/lessons")["lessons"]
    video = next(r["url"] for found in lessons for r in found["resources"] if r["kind"] == "video")
    with playing(box.url + video):
        wait_until(lambda: status()["budget"]["reason"] == "streaming", "the fetch gives way")
        assert status()["budget"]["rate"] == 0
        assert "giving way" in box.command("status")
        rested: list[int] = []

        def rests() -> bool:  # what was under way has come, or was cut off: nothing comes any more
            rested.append(received())
            return len(rested) > 8 and len(set(rested[-8:])) == 1

        wait_until(lambda: threading.Event().wait(0.5) or rests(), "nothing comes while the class watches")
        assert rested[-1] - rested[0] <= 2 * RATE  # no more is ever under way
    wait_until(lambda: received() > rested[-1] + RATE, "it goes on when the class has ended")
    wait_until(lambda: status()["budget"]["reason"] == "setting", "its rate is the setting's again")
