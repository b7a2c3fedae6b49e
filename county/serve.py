"""`county serve`: one parent that owns the listening socket, a web process and a seeder process.

The parent does nothing but watch: a child that dies is started again, and boxes that knock meanwhile wait in
the socket's queue. Children die with the parent, even when it is killed.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from content_sync.adapters.congestion import prefer_bbr
from content_sync.adapters.files import lock_file, make_folder, storage_errors
from content_sync.adapters.process import die_with_parent
from content_sync.adapters.sdnotify import Pulse
from content_sync.errors import BusyError, LessonBoxError, UsageError
from content_sync.settings import parse_listen
from content_sync.terminal import DONE, FAILED
from county.config import CountyPaths, load_settings
from county.library import Library
from county.stats.figures import zone_of

log = logging.getLogger(__name__)
_BACK_OFF = (0.5, 1, 2, 5, 10, 30)
_STEADY_SECONDS = 60
_END_SECONDS = 4.0
_POLL_SECONDS, _POLL_CLOSELY_SECONDS = 1.0, 0.1
_FIGURES_SECONDS = 4
_KEEP_SECONDS = 900.0
_LISTEN_SECONDS = 10
_HELD_SECONDS = 5.0
_RESIGN_SECONDS = 3600
#: What the service manager's watchdog is told of: an answer within this time; asked again so soon after none.
_PATIENCE_SECONDS, _AGAIN_SECONDS = 10.0, 5.0


def listen_on(host: str, port: int) -> socket.socket:
    """A listening socket that children may inherit. Raises BusyError, UsageError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise UsageError(f"--listen: {host!r} is no address of this computer: {error.strerror}") from None
    patience = time.monotonic() + _HELD_SECONDS
    while True:
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            prefer_bbr(found)
            found.listen(2048)
            return found
        except OSError as error:
            found.close()
            # The children of a server that was killed hold the port for a moment longer.
            if error.errno != errno.EADDRINUSE or time.monotonic() > patience:
                raise BusyError(f"can't listen on {host}:{port}: {error.strerror}") from None
        time.sleep(0.1)


class Child:
    """A part of the server in its own process; started again, each time a bit later, when it ends."""

    def __init__(self, part: str, data: Path, listener: int | None = None) -> None:
        self.part = part
        self._command = [sys.executable, "-m", "county", "serve-part", part, "--data", str(data)]
        self._command += ["--parent", str(os.getpid())]
        self._files: tuple[int, ...] = ()
        if listener is not None:
            self._command += ["--listener", str(listener)]
            self._files = (listener,)
        self.process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._deaths = 0
        self._due = 0.0

    def start(self, now: float) -> None:
        """Start it. Its own process group: a Ctrl-C of the terminal reaches the parent alone."""
        self._started = now
        # gunicorn would say that the server is ready before it answers anybody.
        env = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        self.process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, pass_fds=self._files, process_group=0, env=env
        )

    def watch(self, now: float) -> float | None:
        """Start it again if it is due; seconds until it will be, None while it runs."""
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return None
            steady = now - self._started > _STEADY_SECONDS
            wait = _BACK_OFF[0 if steady else min(self._deaths, len(_BACK_OFF) - 1)]
            self._deaths = 1 if steady else self._deaths + 1
            self._due = now + wait
            self.process = None
            log.warning("%s ended with code %s; it is started again in %s s", self.part, code, wait)
        if now < self._due:
            return self._due - now
        self.start(now)
        return None


def _end(children: list[Child]) -> None:
    """Ask all to end; kill what has not ended in time."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _END_SECONDS
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            # The whole group: gunicorn's worker too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(host: str, port: int, patience: float = 1.0) -> bool:
    """Whether /healthz answers in time."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=patience)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def _only_one(paths: CountyPaths) -> Iterator[None]:
    """Hold the data folder. Raises BusyError."""
    with storage_errors(paths.work.name):
        make_folder(paths.work)
    with lock_file(paths.work / "serve.lock", f"another `county serve` runs on {paths.data}"):
        yield


def serve(data: Path, listen: str, say: Callable[[str], None]) -> int:
    """Run until SIGTERM or SIGINT; an exit code. `say` gets one line when the county answers.

    Raises UsageError, SetupError, SettingError, BusyError, StorageError before anything is started.
    """
    host, port = parse_listen(listen)
    paths, settings = CountyPaths(data), load_settings(data)
    Library.open(paths.library_db).close()
    zone_of(settings.text("timezone"))
    stop, wake, pulse = threading.Event(), threading.Event(), Pulse()

    def on_signal(number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            stop.set()
        wake.set()

    with _only_one(paths), listen_on(host, port) as listener:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, on_signal)
        port = listener.getsockname()[1]
        web, seeder = Child("web", data, listener.fileno()), Child("seeder", data)
        children = [web, seeder]
        try:
            for child in children:
                child.start(time.monotonic())
            assert web.process is not None
            while not stop.is_set() and not _answers(host, port):
                if web.process.poll() is not None:
                    return FAILED  # it has said why
                wake.wait(0.1)
                wake.clear()
            if not stop.is_set():
                shown = f"[{host}]" if ":" in host else host
                pulse.beat()
                say(f"serving http://{shown}:{port}/ and BitTorrent on port {settings.number('seeder_port')}")
            while not stop.is_set():
                now = time.monotonic()
                waits = [wait for child in children if (wait := child.watch(now)) is not None]
                if (left := pulse.wait()) is not None:
                    if not left and web.process is not None and _answers(host, port, _PATIENCE_SECONDS):
                        pulse.beat()
                        left = pulse.wait()
                    waits.append(left or _AGAIN_SECONDS)
                wake.wait(min(waits, default=None))
                wake.clear()
        finally:
            _end(children)
    return DONE


def serve_part(part: str, data: Path, parent: int, listener: int | None) -> int:
    """What a child runs; an exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not die_with_parent(parent, signal.SIGTERM):
        return FAILED
    if part == "web":
        assert listener is not None
        _run_web(data, listener)
        return DONE
    return _run_seeder(data)


def _run_web(data: Path, listener: int) -> None:
    """gunicorn: one process that forks one worker of many threads."""
    from gunicorn.app.base import BaseApplication

    from county.publish.signing import Repository
    from county.wiring import build_app
    from county.worker import PatientWorker, QuietLog

    paths, settings = CountyPaths(data), load_settings(data)
    # Whatever is wrong with the keys is said here in one line, not by a worker that dies again and again.
    Repository(paths.public, paths.keys, settings.number("expire_days"))
    arbiter = os.getpid()

    def after_fork(_server: Any, _worker: Any) -> None:
        if not die_with_parent(arbiter, signal.SIGKILL):
            os._exit(FAILED)

    options = {
        "bind": f"fd://{listener}",
        "workers": 1,  # the tracker's memory is in it
        "worker_class": PatientWorker,
        "logger_class": QuietLog,
        "threads": settings.number("threads"),
        "worker_connections": 4000,
        "keepalive": 75,
        "timeout": 60,
        "graceful_timeout": 2,
        "control_socket_disable": True,
        "post_fork": after_fork,
        "loglevel": "warning",
        "proc_name": "county-web",
    }

    class Web(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return build_app(data)

    Web().run()


def _run_seeder(data: Path) -> int:
    """The seeder, and the yearly date of the release, renewed before it passes."""
    from content_sync.adapters.libtorrent.seeder import Seeder, SeederOptions
    from county.distribute.asking import Asked
    from county.distribute.figures import write_figures
    from county.distribute.pacing import seeder_share
    from county.distribute.seeding import Seeding, SeedingOptions
    from county.publish.signing import Repository

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    paths, settings = CountyPaths(data), load_settings(data)
    scratch = paths.work / "seeder"
    with storage_errors(scratch.name):
        make_folder(scratch)
    repository = Repository(paths.public, paths.keys, settings.number("expire_days"))
    port = settings.number("seeder_port")
    seeder = Seeder(
        SeederOptions(
            port,
            seeder_share(settings.number("upload_rate")),
            settings.number("lesson_upload_rate"),
            settings.number("upload_slots"),
        ),
        scratch,
    )
    options = SeedingOptions(
        settings.number("seeder_lessons"),
        max(_KEEP_SECONDS, 3.0 * settings.number("announce_seconds")),
        settings.flag("super_seeding"),
    )
    seeding = Seeding(paths, Library.open(paths.library_db), seeder, options, time.time)
    asked = Asked(paths.work)

    def load(prefix: bytes, near: int, seeds: int) -> bool:
        return seeding.load(prefix, near, seeds, time.monotonic())

    began, told, resigned = time.monotonic(), 0.0, 0.0
    while not stop.is_set():
        now, wall = time.monotonic(), int(time.time())
        seeding.step(now)
        if not seeder.listening and now - began > _LISTEN_SECONDS:
            raise BusyError(f"the seeder can't listen on port {port}")
        if now - told >= _FIGURES_SECONDS:
            told = now
            write_figures(paths.work / "seeder.json", seeding.figures(wall))
        if now - resigned >= _RESIGN_SECONDS:
            resigned = now
            try:
                repository.resign(wall)
            except LessonBoxError as error:
                log.error("%s", error.line())
        asked.answer(_POLL_CLOSELY_SECONDS if seeder.listens_closely else _POLL_SECONDS, load)
    asked.close()
    return DONE
