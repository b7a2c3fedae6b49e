"""The figures of bench/pages.py are of pages that are made, not of one that is kept."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench import pages
from tests.box import sample
from tests.e2e.board import WebProcess


def test_each_row_asks_for_pages_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_PAGES", 8)
    box, main = sample(tmp_path / "box", int(time.time()))
    web = WebProcess(box)
    try:
        found = pages.anew(web.url)
        assert tuple(found) == pages.ANEW and all(found.values())
        assert len(set(found["home made anew"])) == 8 and f"{web.url}/lesson/{main.id}" in found["a lesson"]
        for row, addresses in found.items():
            assert pages.cost(web.process.pid, addresses) >= 0, row
        with pytest.raises(SystemExit):
            pages.cost(web.process.pid, [f"{web.url}/lesson/none"])
    finally:
        web.stop()
