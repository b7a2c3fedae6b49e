"""What must not stand in the repository: paths and hosts of one machine, unfinished code, heavy files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = 3_000_000
# Written with a class of one letter, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile(r"(?<![A-Za-z0-9_.:/-])/(?:w[o]rk|r[o]ot|h[o]me/[a-z]\w*)/[a-z.]")
UNFINISHED = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X|H[A]CK)\b|NotImplemented[E]rror")
SWALLOWS = re.compile(
    r"^\s*except(?:\s+(?:Base)?Exception)?(?:\s+as\s+\w+)?\s*:\s*(?:#.*)?\n?\s*pass\b", re.M
)
SHELL = re.compile(r"shell\s*=\s*[T]rue")
CODE = (".py", ".sh", ".js", ".html", ".sql", ".toml", ".service", ".css")


def tracked() -> list[Path]:
    """Files that git tracks or would track."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def registry_hosts() -> set[str]:
    """Hosts of the package registries that this machine is set to use (its own mirrors, if any)."""
    said = ""
    for command in ([sys.executable, "-m", "pip", "config", "list"], ["npm", "config", "get", "registry"]):
        if shutil.which(command[0]):
            said += subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    for source in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        said += source.read_text("utf-8", "replace") if source.is_file() else ""
    hosts = {urlsplit(url).hostname or "" for url in re.findall(r"https?://[^\s'\"]+", said)}
    return hosts - {"", "localhost", "127.0.0.1", "deb.debian.org", "security.debian.org"}


def faults(name: str, text: str, hosts: set[str]) -> list[str]:
    """What is wrong in a text file, one line each."""
    found = [f"{name}: names the registry {host}" for host in hosts if host in text]
    found += [f"{name}: path of a machine: {match[0]}" for match in MACHINE_PATH.finditer(text)]
    if name.endswith(CODE):
        found += [f"{name}: unfinished: {match[0]}" for match in UNFINISHED.finditer(text)]
    if name.endswith(".py"):
        found += [f"{name}: swallows every error: {match[0].strip()}" for match in SWALLOWS.finditer(text)]
        found += [f"{name}: {match[0]}" for match in SHELL.finditer(text)]
    return found


def test_repository_is_clean() -> None:
    hosts, found = registry_hosts(), []
    for path in tracked():
        name = str(path.relative_to(ROOT))
        data = path.read_bytes()
        if len(data) > HEAVY:
            found.append(f"{name}: {len(data)} bytes")
        if b"\0" in data[:4096] or name.startswith("samples/vendor/"):
            continue
        found += faults(name, data.decode("utf-8", "replace"), hosts)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",  # ~ stands for nothing
    [
        "data = '/w~ork/main/x'",
        "see /h~ome/li/lessons",
        "# T~ODO later",
        "raise NotImplemented~Error",
        "try:\n    x()\nexcept Exception:\n    ~pass\n",
        "try:\n    x()\nexcept:\n    ~pass\n",
        "run(x, shell=T~rue)",
        "index = 'https://mirror.example/simple'",
    ],
)
def test_each_fault_is_seen(text: str) -> None:
    assert faults("a.py", text.replace("~", ""), {"mirror.example"})


def test_innocent_text_passes() -> None:
    text = "try:\n    x()\nexcept KeyError:\n    pass\nurl = 'http://county/w~ork/x'\n"
    assert not faults("a.py", text.replace("~", ""), {"mirror.example"})


def test_sources_are_utf8_and_end_with_a_newline() -> None:
    for path in tracked():
        if path.suffix in CODE + (".md",) and path.stat().st_size and "vendor" not in path.parts:
            assert path.read_bytes().decode("utf-8").endswith("\n"), path


def test_json_in_the_repository_parses() -> None:
    for path in tracked():
        if path.suffix == ".json":
            json.loads(path.read_bytes())
