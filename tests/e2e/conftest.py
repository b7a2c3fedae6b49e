"""Counties and boxes below the test's folder, and a browser; ended whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from content_sync.formats.lesson import Lesson
from tests.box import SmallBox
from tests.e2e.board import WebProcess
from tests.e2e.browser import chromium, open_tab
from tests.e2e.programs import Box, County

__all__ = ["chromium", "make_box", "make_county", "open_tab"]


@pytest.fixture(scope="module")
def web(made: tuple[SmallBox, Lesson]) -> Iterator[WebProcess]:
    """The pages of the box that a module's `made` makes."""
    process = WebProcess(made[0], "threads = 24\nstreams = 16\n")
    yield process
    process.stop()


@pytest.fixture
def make_county(tmp_path: Path) -> Iterator[Callable[[], County]]:
    """Make a county below the test's folder."""
    made: list[County] = []

    def make() -> County:
        made.append(County(tmp_path / f"county-{len(made)}"))
        return made[-1]

    yield make
    for county in made:
        county.close()
        print(county.words())


@pytest.fixture
def make_box(tmp_path: Path) -> Iterator[Callable[..., Box]]:
    """Make a box of a county: make(county, **settings of box.toml)."""
    made: list[Box] = []

    def make(county: County, **settings: object) -> Box:
        folder = tmp_path / f"box-{len(made)}"
        enrolment = county.enrol(tmp_path / f"school-{len(made)}.json", code=f"{len(made):03d}")
        made.append(Box(folder, enrolment, **settings))
        return made[-1]

    yield make
    for box in made:
        box.close()
        print(box.words())
