"""`lessonbox run`: web, sync and agent in one terminal; each is started again when it ends (contract.md)."""

from __future__ import annotations

import http.client
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from msgspec import Struct, field
from tqdm import tqdm

from appliance.announce.mdns import lan_addresses
from appliance.config import BoxPaths
from appliance.usage.outbox import read_agent_status
from content_sync.adapters.process import die_with_parent
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import LessonBoxError, SetupError
from content_sync.terminal import DONE, FAILED, USAGE, Progress

PROGRAMS = ("sync", "web", "agent")
GRACE = 8.0  # seconds that a program has to end; `run` itself ends within ten
_FIRST_WAIT, _MOST_WAIT, _STEADY = 1.0, 30.0, 60.0
_HOPELESS = ("E-SETUP", "E-UNENROLLED", "E-SETTING", "E-NEWER-DATA")  # starting again helps nothing
_PERHAPS = "E-BUSY"  # something else is still ending, or it is there to stay
_TRIES = 4
_TURN = 0.25


class Child(Struct):
    """One program. `process` is None while it waits to be started again at `start_at`."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    start_at: float = 0.0
    failures: int = 0
    rest: bytes = b""
    error: str = ""


class Supervisor(Struct):
    """Starts the programs, passes on what they print, starts them again. `say` prints a line."""

    commands: dict[str, Sequence[str]]
    say: Callable[[str], None]
    children: list[Child] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def __post_init__(self) -> None:
        self.children = [Child(name, command) for name, command in self.commands.items()]

    def turn(self, now: float) -> int | None:
        """Pass on output for a moment; start what is due. An exit code when there is no sense in going on."""
        for child in self.children:
            if child.process is None and now >= child.start_at:
                self._start(child, now)
        for key, _ in self._selector.select(_TURN):
            self._read(key.data)
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                code = self._ended(child, now)
                if code is not None:
                    return code
        return None

    def stop(self, clock: Callable[[], float] = time.monotonic) -> None:
        """End all programs, at the latest by force."""
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = clock() + GRACE
        while any(process.poll() is None for process in running) and clock() < deadline:
            for key, _ in self._selector.select(_TURN):
                self._read(key.data)
        for child in self.children:
            if child.process is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.process.pid, signal.SIGKILL)  # its own children too
                child.process.wait()
                self._drain(child)
        self._selector.close()

    def _start(self, child: Child, now: float) -> None:
        parent = os.getpid()

        def tie() -> None:  # runs in the child
            if not die_with_parent(parent, signal.SIGTERM):
                os._exit(FAILED)

        child.process = subprocess.Popen(
            child.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends them in order
            preexec_fn=tie,
        )
        child.started, child.error, child.rest = now, "", b""
        assert child.process.stdout is not None
        os.set_blocking(child.process.stdout.fileno(), False)
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _read(self, child: Child) -> bool:
        """Print the whole lines that came; False at the end."""
        assert child.process is not None and child.process.stdout is not None
        try:
            data = os.read(child.process.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return True
        lines = (child.rest + data).split(b"\n")
        child.rest = lines.pop() if data else b""
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip()
            if text.startswith("error E-"):
                child.error = text.split(":")[0].removeprefix("error ")
            if text:
                self.say(f"{child.name:5} | {text}")
        if not data:
            with suppress(KeyError):
                self._selector.unregister(child.process.stdout)
        return bool(data)

    def _drain(self, child: Child) -> None:
        assert child.process is not None and child.process.stdout is not None
        if not child.process.stdout.closed:
            for _ in range(64):
                before = child.rest
                if not self._read(child) or child.rest == before:
                    break
            with suppress(KeyError):
                self._selector.unregister(child.process.stdout)
            child.process.stdout.close()

    def _ended(self, child: Child, now: float) -> int | None:
        assert child.process is not None
        self._drain(child)
        code, lived = child.process.returncode, now - child.started
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)  # what it may have left behind
        child.process = None
        if code == USAGE or child.error in _HOPELESS:
            return int(code) or FAILED
        child.failures = 1 if lived > _STEADY else child.failures + 1
        if child.error == _PERHAPS and child.failures >= _TRIES:
            return int(code) or FAILED
        wait = min(_MOST_WAIT, _FIRST_WAIT * 2 ** min(child.failures - 1, 10))  # 2 ** 1024 is no float
        child.start_at = now + wait
        self.say(f"{child.name:5} | ended ({_how(code)}); starts again in {wait:.0f} s")
        return None


class Watch:
    """What is worth saying about the box once in a while: its addresses, what has arrived."""

    def __init__(self, paths: BoxPaths, host: str, port: int, say: Callable[[str], None]) -> None:
        self._paths, self._host, self._port, self._say = paths, host, port, say
        self._ready = False
        self._address: str | None = None
        self._bar: Progress | None = None
        self._next = 0.0

    def look(self, now: float) -> None:
        """Every second: say that the pages answer, then what name the box has, then how far sync is."""
        if now < self._next:
            return
        self._next = now + 1
        if not self._ready:
            self._ready = self._answers()
            if self._ready:
                for address in lan_addresses(self._host) or ("127.0.0.1",):
                    shown = f"[{address}]" if ":" in address else address
                    self._say(f"open http://{shown}{self._suffix()}")
            return
        with suppress(LessonBoxError):  # the programs themselves say what is wrong
            address = read_agent_status(self._paths.outbox_db)["address"]
            if address and address != self._address:
                self._say(f"open http://{address}{self._suffix()}")
            self._address = address
        with suppress(LessonBoxError):
            self._progress()

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _suffix(self) -> str:
        return "/" if self._port == 80 else f":{self._port}/"

    def _answers(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        connection = http.client.HTTPConnection(host, self._port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _progress(self) -> None:
        with closing(StateReader(self._paths.state_db)) as state:
            progress = state.status("progress") or {}
            lessons = state.count()
        total, done = progress.get("total", 0), progress.get("done", 0)
        if self._bar is not None and self._bar.total != total:
            self.close()
        if self._bar is None and done < total:
            self._bar = Progress("lessons", total)
        if self._bar is not None and done > self._bar.done:
            self._bar.to(done)
            if done >= total:
                self.close()
                self._say(f"all {lessons} lessons are here")


def check_setup(paths: BoxPaths) -> None:
    """Raise SetupError unless `lessonbox init` has been done here."""
    for path in (paths.config, paths.enrolment, paths.key):
        if not path.is_file():
            raise SetupError(f"{paths.data} is no box yet: there is no {path.name}")


def run(data: Path, listen: str, host: str, port: int) -> int:
    """Run the box whose data folder this is until SIGINT or SIGTERM; an exit code. Raises SetupError."""
    paths = BoxPaths(data)
    check_setup(paths)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: stopping.append(got))

    def say(line: str) -> None:
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()

    def command(name: str) -> list[str]:
        where = [] if name == "sync" else ["--listen", listen]
        return [sys.executable, "-m", "appliance", name, "--data", str(data.absolute()), *where]

    supervisor = Supervisor({name: command(name) for name in PROGRAMS}, say)
    watch = Watch(paths, host, port, say)
    code: int | None = None
    try:
        while code is None and not stopping:
            code = supervisor.turn(time.monotonic())
            watch.look(time.monotonic())
    finally:
        watch.close()
        supervisor.stop()
    return DONE if code is None else code


def _how(code: int) -> str:
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name
