"""The word from web to sync that a class streams: it lapses by itself, whatever happened to web."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from content_sync.adapters.streaming import HOLDS, LINGER, MOST, StreamSign, streams
from content_sync.testing.fakes import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    made = ManualClock()
    made.now = 5000.0
    return made


def test_a_stream_is_seen_and_forgotten(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "streaming"
    assert not streams(path, "boot-1", clock.now)
    sign = StreamSign(path, clock)
    ended = sign.began()
    assert streams(path, "boot-1", clock.now)
    ended()
    ended()
    assert streams(path, "boot-1", clock.now + LINGER - 0.1)
    assert not streams(path, "boot-1", clock.now + LINGER + 0.1)
    sign.close()


def test_while_it_goes_on_the_word_is_said_again(
    tmp_path: Path, clock: ManualClock, wait_until: Callable[..., None]
) -> None:
    sign = StreamSign(tmp_path / "streaming", clock)
    ended = sign.began()
    clock.go(HOLDS + 0.5)
    wait_until(lambda: streams(tmp_path / "streaming", "boot-1", clock.now), 20, "the next word")
    ended()
    sign.close()


def test_a_page_that_plays_counts_without_bytes(tmp_path: Path, clock: ManualClock) -> None:
    sign = StreamSign(tmp_path / "streaming", clock)
    sign.plays(35)
    sign.plays(1)  # another board's word does not shorten it
    assert streams(tmp_path / "streaming", "boot-1", clock.now + 34)
    assert not streams(tmp_path / "streaming", "boot-1", clock.now + 36)
    sign.plays(1e9)
    assert not streams(tmp_path / "streaming", "boot-1", clock.now + MOST + 1)
    sign.close()


def test_a_web_program_that_crashed_stops_nothing_for_long(tmp_path: Path, clock: ManualClock) -> None:
    StreamSign(tmp_path / "streaming", clock).plays(MOST)
    assert streams(tmp_path / "streaming", "boot-1", clock.now)
    assert not streams(tmp_path / "streaming", "boot-1", clock.now + MOST)
    assert not streams(tmp_path / "streaming", "boot-2", clock.now)  # after a power cut
    assert not streams(tmp_path / "streaming", "boot-1", 10.0)


@pytest.mark.parametrize(
    "data",
    [b"", b"boot-1", b"boot-1 x", b"boot-1 -5", b"boot-1 " + b"9" * 80, b"\xff" * 96, b"boot-1 5001000 more"],
)
def test_nonsense_is_no_stream(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "streaming").write_bytes(data)
    assert not streams(tmp_path / "streaming", "boot-1", 5000.0)


def test_a_folder_in_its_place_stops_neither_side(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "streaming").mkdir()
    sign = StreamSign(tmp_path / "streaming", clock)
    sign.plays(5)
    assert not streams(tmp_path / "streaming", "boot-1", time.monotonic())
    sign.close()
