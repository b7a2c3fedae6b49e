"""What systemd itself says of the units, and what install.sh says without changing anything."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"


@pytest.fixture(autouse=True)
def _tools() -> None:
    for tool in ("systemd-analyze", "shellcheck"):
        assert shutil.which(tool), f"{tool} is missing: setup.sh installs it"


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("lessonbox-web", 2.0),
        ("lessonbox-sync", 2.0),
        ("lessonbox-agent", 4.0),
        ("lessonbox-county", 4.0),
        ("lessonbox-firstboot", 4.0),
        ("lessonbox-lamp", 3.0),
        ("lessonbox-doctor", 4.0),
        ("lessonbox-lan", 2.0),
        ("lessonbox-network", 4.0),
        ("lessonbox-hotspot", 4.0),
        ("lessonbox-hotspot-dhcp", 4.0),
        ("lessonbox-share", 4.0),
    ],
)
def test_a_unit_is_shut_in(name: str, most: float) -> None:
    command = ["systemd-analyze", "security", "--offline=true", str(UNITS / f"{name}.service")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found and float(found[1]) <= most, said


def test_nothing_waits_for_the_network_to_serve_lessons() -> None:
    for path in UNITS.glob("lessonbox-*.service"):
        assert "network-online" not in path.read_text("utf-8"), path.name


def test_web_always_wins_over_sync() -> None:
    def weight(name: str, key: str) -> int:
        found = re.search(rf"^{key}=(\d+)$", (UNITS / f"{name}.service").read_text("utf-8"), re.MULTILINE)
        assert found, (name, key)
        return int(found[1])

    for key in ("CPUWeight", "IOWeight"):
        assert weight("lessonbox-web", key) >= 10 * weight("lessonbox-sync", key)


@pytest.mark.parametrize("name", ["lessonbox-web", "lessonbox-sync", "lessonbox-agent", "lessonbox-county"])
def test_a_program_that_hangs_or_takes_all_is_ended(name: str) -> None:
    text = (UNITS / f"{name}.service").read_text("utf-8")
    for key in ("Type=notify", "WatchdogSec=", "MemoryMax=", "CPUWeight=", "IOWeight="):
        assert re.search(f"^{key}", text, re.MULTILINE), key


@pytest.mark.parametrize("path", sorted(UNITS.glob("*.sysusers")), ids=lambda path: path.stem)
def test_systemd_makes_its_users(path: Path) -> None:
    subprocess.run(["systemd-sysusers", "--dry-run", str(path)], check=True)


def test_shell_scripts_are_clean() -> None:
    scripts = [ROOT / "install.sh", ROOT / "setup.sh"]
    scripts += [
        p
        for p in (ROOT / "images").rglob("*")
        if p.is_file() and p.read_bytes()[:11].startswith(b"#!/bin/") | (p.suffix == ".sh")
    ]
    subprocess.run(["shellcheck", *map(str, scripts)], check=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--purge"], "--purge goes with --uninstall"),
        (["--county", "--enrolment", "/etc/passwd"], "--enrolment is for a box"),
        (["--enrolment", "/nowhere/at all"], "cannot read"),
        (["--county", "--name", "甲县"], "go together"),
        (["--wheelhouse", "/nowhere"], "cannot read /nowhere"),
    ],
)
def test_install_says_what_is_wrong_before_it_changes_anything(words: list[str], said: str) -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "install.sh"), "--dry-run", *words], capture_output=True, text=True
    )
    assert done.returncode == 1 and said in done.stderr and not done.stdout


def test_a_dry_run_lists_every_change_and_makes_none() -> None:
    done = subprocess.run(["bash", str(ROOT / "install.sh"), "--dry-run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed = [line for line in done.stdout.splitlines() if line.startswith("would run: ")]
    for change in (
        "venv",
        "pip install",
        "systemd-sysusers",
        "lessonbox-web.socket",
        "mv -T /opt/lessonbox.new",
        "ln -s /opt/lessonbox/bin/lessonbox /usr/local/bin/lessonbox",
    ):
        assert any(change in line for line in listed), change
    assert done.stdout.endswith("Nothing was changed.\n")


def test_programs_have_the_number_of_their_sources(tmp_path: Path) -> None:
    """By which older updates are told from newer ones."""

    def number(*words: str) -> str:
        command = ["bash", str(ROOT / "install.sh"), "--dry-run", *words]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"would write /opt/lessonbox.d/\S+/update-number:\n    (.*)\n", said)
        return found[1] if found else ""

    asked = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    clone = subprocess.run(asked, capture_output=True, text=True)
    assert number() == (clone.stdout.strip() or str(int((ROOT / "pyproject.toml").stat().st_mtime)))
    (tmp_path / "debs").mkdir()
    (tmp_path / "update-number").write_text("1763790000\n")
    assert number("--wheelhouse", str(tmp_path)) == "1763790000"
    (tmp_path / "update-number").unlink()
    assert number("--wheelhouse", str(tmp_path)) == ""


@pytest.mark.parametrize("here", [True, False])
def test_a_dry_run_without_internet_says_what_would_be(tmp_path: Path, here: bool) -> None:
    """What is not here is fetched from nowhere, and so refused: by the dry run too."""
    said = "" if here else "'http://deb/pool/avahi.deb' avahi.deb 5 SHA256:00"
    for name, lines in (("dpkg-query", "echo not-installed"), ("apt-get", f"echo -n {said!r}")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", str(ROOT / "install.sh"), "--dry-run", "--wheelhouse", str(tmp_path)],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert "apt-get update" not in done.stdout
    if here:
        assert done.returncode == 0 and "--no-download python3-venv avahi-daemon" in done.stdout
    else:
        assert done.returncode == 1 and "without Internet" in done.stderr and "would run" not in done.stdout


def test_the_television_has_its_policy_and_it_goes_with_it() -> None:
    """What a browser would ask over a lesson is forbidden; --uninstall takes that away again."""
    policy = json.loads((UNITS / "lessonbox-tv.policy").read_text("utf-8"))
    assert policy["TranslateEnabled"] is False and policy["PasswordManagerEnabled"] is False
    place = "/etc/chromium/policies/managed/lessonbox-tv.json"
    for words, change in (("--tv", "would run: install -D"), ("--uninstall", "would run: rm -f")):
        told = subprocess.run(
            ["bash", str(ROOT / "install.sh"), "--dry-run", words], capture_output=True, text=True, check=True
        ).stdout
        assert any(line.startswith(change) and place in line for line in told.splitlines()), words
    told = subprocess.run(
        ["bash", str(ROOT / "install.sh"), "--dry-run"], capture_output=True, text=True
    ).stdout
    assert place not in told
