"""Flash really plays: run by `make ruffle` on what it fetched; `make test` needs nothing from npm."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from content_sync.formats.lesson import Lesson
from tests.box import SmallBox
from tests.e2e.board import WebProcess
from tests.e2e.test_teach_media import make_box

Opener = Callable[..., Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallBox, Lesson]:
    return make_box(tmp_path_factory.mktemp("box"))


def test_flash_plays_in_the_sandbox(made: tuple[SmallBox, Lesson], open_tab: Opener) -> None:
    """Ruffle itself, on an animation made by hand."""
    ruffle = Path(__file__).parents[2] / "build" / "ruffle"
    link = made[0].data / "ruffle"
    link.symlink_to(ruffle)
    process = WebProcess(made[0], "threads = 24\nstreams = 16\n")
    try:
        tab = open_tab()
        tab.page.goto(f"{process.url}/lesson/{made[1].id}/r10")
        frame = tab.page.frame_locator("#frame")
        frame.locator("html[data-plays]").wait_for()
        shown = frame.locator("ruffle-player")
        deadline = time.monotonic() + 60
        while (200, 30, 30) not in colours(shown.screenshot()):
            assert time.monotonic() < deadline, "the red stage never came"
        assert not [error for error in tab.errors if "Content Security Policy" in error and "ruffle" in error]
    finally:
        process.stop()
        link.unlink()


def colours(picture: bytes) -> set[tuple[int, ...]]:
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        counted = image.convert("RGB").getcolors(1 << 24) or []
    return {colour for count, colour in counted if isinstance(colour, tuple) and count > 100}
