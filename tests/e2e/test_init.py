"""`lessonbox init`: once, again with the same enrolment, never over another box."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.programs import ROOT, County


def init(data: Path, enrolment: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "appliance", "init", "--enrolment", enrolment, "--data", data, "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_init_is_repeatable_and_refuses_another_box(tmp_path: Path) -> None:
    county = County(tmp_path / "county")
    mine, other = county.enrol(tmp_path / "mine.json"), county.enrol(tmp_path / "other.json", code="002")
    done = init(tmp_path / "box", mine)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    files = {path: path.read_bytes() for path in (tmp_path / "box").rglob("*") if path.is_file()}
    assert (tmp_path / "box/keys/box.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "box/enrolment.json").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in (tmp_path / "box").iterdir()} >= {"drop", "incoming", "objects", "partial"}
    assert json.loads(init(tmp_path / "box", mine).stdout) == made
    refused = init(tmp_path / "box", other)
    assert refused.returncode == 1 and refused.stderr.startswith("error E-ENROL: ")
    assert {path: path.read_bytes() for path in files} == files
    (tmp_path / "no.json").write_text("{}")
    assert init(tmp_path / "new", tmp_path / "no.json").stderr.startswith("error E-ENROL: ")
    assert not (tmp_path / "new").exists()
