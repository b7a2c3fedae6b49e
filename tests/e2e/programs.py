"""A real county and real boxes: each program a process of its own, started as a person or a unit starts it.

Where they run is a `Place`: this machine's loopback, or a namespace of tests/net. Logs lie beside the data.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0
_GET = "import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1], timeout=10).read())"


#: Ports that the system gives to no connection of its own (32768 and on); each worker of pytest has its part.
_FIRST_PORT, _PORTS = 21_000, 2000
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 5
_turns = itertools.count(random.randrange(_PORTS))


def free_port() -> int:
    """A TCP port that nothing uses at this moment, and that was not given a moment ago."""
    while True:
        port = _FIRST_PORT + _WORKER * _PORTS + next(_turns) % _PORTS
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def let_others_in(folder: Path) -> None:
    """Other users may pass through pytest's folders down to this one, and through none above them."""
    for part in (folder, *folder.parents):
        if any(name.startswith("pytest-of-") for name in part.parts):
            part.chmod(0o755)


def wait_until(check: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until the check holds; AssertionError when it does not within the time."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.05)


def set_settings(path: Path, **values: object) -> None:
    """Put flat settings into a TOML file, replacing those it has."""
    text = path.read_text("utf-8") if path.exists() else ""
    for name, value in values.items():
        text = re.sub(rf"(?m)^{name}\s*=.*\n?", "", text)
        text += f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
    path.write_text(text, "utf-8")


class Place:
    """Where programs run: before each command stands `prefix` (`ip netns exec …`, or nothing)."""

    def __init__(self, address: str = "127.0.0.1", prefix: Sequence[str] = ()) -> None:
        self.address, self.prefix = address, tuple(prefix)

    def run(self, command: Sequence[str], ok: Sequence[int] = (0,), timeout: float = 300) -> str:
        """Run to the end; stdout. AssertionError with the program's words unless its exit code is in `ok`."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", *command],
            cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert done.returncode in ok, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def get(self, url: str, timeout: float = 10) -> bytes:
        """The body of a URL, asked from there."""
        if not self.prefix:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                body: bytes = answer.read()
                return body
        command = [*self.prefix, sys.executable, "-c", _GET, url]
        return subprocess.run(command, check=True, capture_output=True, timeout=timeout + 20).stdout

    def answers(self, url: str) -> bool:
        """Whether a URL answers 200 now."""
        try:
            self.get(url, timeout=3)
        except (OSError, subprocess.SubprocessError):
            return False
        return True


class Program:
    """One process that can be ended, killed and started again; its words go to `log`."""

    def __init__(self, place: Place, command: Sequence[str], log: Path) -> None:
        self._command = [*place.prefix, sys.executable, "-m", *command]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, in a process group of its own."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process, which leads a group."""
        assert self._process is not None
        return self._process.pid

    def kill(self, alone: bool = False) -> None:
        """kill -9 of the program and all that it started, or of its first process `alone`."""
        assert self._process is not None
        try:
            (os.kill if alone else os.killpg)(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait(30)

    def stop(self, seconds: float = 30) -> int:
        """Ask it to end (SIGTERM); its exit code. Killed when it does not."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self._command[2:5]} did not end: {self.words()}") from None

    def words(self) -> str:
        """The end of what it has said."""
        return self._log.read_bytes()[-4000:].decode("utf-8", "replace")


class County:
    """A county: its data folder, its commands, its server."""

    def __init__(self, folder: Path, place: Place | None = None, name: str = "清河县") -> None:
        self.place = place or Place()
        self.data = folder / "county"
        self.port = free_port()
        self.url = f"http://{self.place.address}:{self.port}"
        self.server: Program | None = None
        self._log = folder / "county.log"
        folder.mkdir(parents=True, exist_ok=True)
        self.command("init", "--name", name, "--url", self.url)
        set_settings(self.data / "county.toml", seeder_port=free_port(), announce_seconds=10)

    def command(self, verb: str, *words: str, ok: Sequence[int] = (0,)) -> str:
        """Run `county VERB …` on this data; stdout."""
        return self.place.run(["county", verb, "--data", str(self.data), *words], ok=ok)

    def publish(self, tree: Path) -> dict[str, Any]:
        """Publish a source tree; what the command printed as JSON."""
        result: dict[str, Any] = json.loads(self.command("publish", str(tree), "--json"))
        return result

    def enrol(self, out: Path, code: str = "001", name: str = "东沟小学") -> Path:
        """Make an enrolment file."""
        self.command("enrol", "--school-code", code, "--name", name, "--out", str(out))
        return out

    def serve(self) -> Program:
        """Start the server and wait until it answers."""
        listen = f"{self.place.address}:{self.port}"
        self.server = Program(
            self.place, ["county", "serve", "--data", str(self.data), "--listen", listen], self._log
        )
        self.wait_ready()
        return self.server

    def wait_ready(self) -> None:
        """Wait until the server answers."""
        assert self.server is not None
        wait_until(lambda: self.place.answers(f"{self.url}/healthz"), "county serve answers")

    def stats(self) -> dict[str, Any]:
        """`county stats` over all dates, as JSON."""
        command = ("stats", "--from", "2020-01-01", "--to", "2099-12-31", "--format", "json")
        result: dict[str, Any] = json.loads(self.command(*command))
        return result

    def words(self) -> str:
        """What the server has said last."""
        return self.server.words() if self.server is not None else ""

    def close(self) -> None:
        """End the server."""
        if self.server is not None and self.server.running:
            self.server.stop()


class Box:
    """A box: its data folder, its commands, its three programs."""

    def __init__(self, folder: Path, enrolment: Path, place: Place | None = None, **settings: object) -> None:
        self.place = place or Place()
        self.data = folder / "box"
        self.port = free_port()
        self.url = f"http://{self.place.address}:{self.port}"
        self.programs: dict[str, Program] = {}
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.command("init", "--enrolment", str(enrolment))
        quick = {"refresh_seconds": 5, "report_seconds": 1, "scan_seconds": 1, "reserve": 64}
        ports = {"torrent_port": free_port(), "courseware_port": free_port()}
        set_settings(self.data / "box.toml", **quick | ports | settings)

    def command(self, verb: str, *words: str, ok: Sequence[int] = (0,)) -> str:
        """Run `lessonbox VERB …` on this data; stdout."""
        return self.place.run(["appliance", verb, "--data", str(self.data), *words], ok=ok)

    def start(self, *names: str) -> None:
        """Start some of web, sync, agent (as units do) or `run` (all in one)."""
        for name in names:
            listen = [] if name == "sync" else ["--listen", f"{self.place.address}:{self.port}"]
            command = ["appliance", name, "--data", str(self.data), *listen]
            self.programs[name] = Program(self.place, command, self._folder / f"{name}.log")

    def wait_ready(self) -> None:
        """Wait until the pages answer."""
        wait_until(lambda: self.place.answers(f"{self.url}/healthz"), "the box's pages answer")

    def status(self) -> dict[str, Any]:
        """`lessonbox status --json`."""
        result: dict[str, Any] = json.loads(self.command("status", "--json"))
        return result

    def complete(self, lessons: int) -> bool:
        """Whether so many lessons are present and nothing is wanted any more."""
        counts = self.status()["lessons"]
        return bool(counts["present"] == lessons and not counts["arriving"] and not counts["wanted"])

    def words(self) -> str:
        """What the programs have said last."""
        return "\n".join(f"{name}:\n{program.words()}" for name, program in self.programs.items())

    def close(self) -> None:
        """End the programs."""
        for program in self.programs.values():
            if program.running:
                program.stop()
