"""In CI a skip is a failure (tests/conftest.py); elsewhere it is a skip with its reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.needs("no-such-program")
def test_needs(): pass

def test_skips(): pytest.skip("not today")

def test_passes(): pass
"""


@pytest.mark.parametrize(
    ("ci", "closing"), [("", "1 passed, 2 skipped"), ("true", "1 failed, 1 passed, 1 error")]
)
def test_skips(tmp_path: Path, ci: str, closing: str) -> None:
    shutil.copyfile(Path(__file__).parents[1] / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n  needs(*commands): programs\n  root:\n  browser:\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--strict-markers", str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"CI": ci}, capture_output=True, text=True, timeout=60
    )
    assert closing in done.stdout
    assert "no-such-program" in done.stdout
