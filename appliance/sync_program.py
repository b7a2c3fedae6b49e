"""The sync program: the loop around the engine, its signals, and what `lessonbox import` asks of it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from appliance.config import BoxPaths, load_settings
from appliance.wiring import SyncBox, open_box
from content_sync.adapters.files import lock_file, read_capped, write_durable
from content_sync.adapters.sqlite import StateReader
from content_sync.adapters.watchdog import Folders
from content_sync.errors import BusyError, LessonBoxError, NotFoundError
from content_sync.formats.canonical import is_hex, load
from content_sync.terminal import Progress

_LOOK_AGAIN = 1.0  # seconds between looks at incoming/
_PATIENCE = 20.0  # `--once` gives up when nothing came for this long
_MAX_REQUEST = 64 << 10


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGINT came: everything that counts is on the disk already, so any moment is a good one."""


def _lock(paths: BoxPaths) -> Any:
    load_settings(paths.data)  # SetupError before a lock file in a folder that is no box
    return lock_file(paths.data / "sync.lock")


@contextmanager
def _running(data: Path, watch: bool) -> Iterator[tuple[SyncBox, threading.Event]]:
    wake = threading.Event()

    def stop(number: int, frame: object) -> None:
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with _lock(BoxPaths(data)):
            box = open_box(data, wake.set, watch)
            try:
                box.engine.start()
                yield box, wake
            except LessonBoxError as error:
                box.engine.broke(error)
                raise
            finally:
                for number in before:
                    signal.signal(number, signal.SIG_IGN)
                box.close()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(data: Path) -> None:
    """Keep the box in step with the county until a signal comes. Raises BusyError, SetupError,
    StorageError."""
    with suppress(Stopped), _running(data, watch=True) as (box, wake):
        while True:
            wake.clear()
            _answer_requests(BoxPaths(data), box)
            due = box.engine.step(box.clock.monotonic())
            wake.wait(max(0.0, min(due - box.clock.monotonic(), _LOOK_AGAIN)))


def once(data: Path, show_progress: bool, patience: float = _PATIENCE) -> dict[str, Any]:
    """Sync until nothing more can be done now; what is here. Raises BusyError, SetupError, StorageError."""
    with _running(data, watch=True) as (box, wake):
        bar = _Bar(show_progress)
        try:
            while True:
                wake.clear()
                due = box.engine.step(box.clock.monotonic())
                bar.show(box.state)
                if box.engine.settled(box.clock.monotonic(), patience):
                    break
                wake.wait(max(0.0, min(due - box.clock.monotonic(), 0.5)))
        finally:
            bar.close()
        return _result(box.state, box.engine.complete)


def import_folder(data: Path, path: Path, patience: float = 24 * 3600) -> dict[str, Any]:
    """Take from a stick, disc or folder what this box wants, once; by the running sync where there is one.

    Raises NotFoundError, BusyError when the running sync does not answer, SetupError, StorageError.
    """
    path = path.absolute()
    if not path.exists():
        raise NotFoundError(f"{path} is not there")
    try:
        with _running(data, watch=False) as (box, _):
            return _import(box, path)
    except BusyError:
        return _ask_running_sync(BoxPaths(data), path, patience)


def _import(box: SyncBox, path: Path) -> dict[str, Any]:
    drops = Folders([path])
    found = box.engine.import_from(drops, box.clock.monotonic())
    return {
        **_result(box.state, box.engine.complete),
        "files": found["files"],
        "new_lessons": found["lessons"],
    }


def _result(state: StateReader, complete: bool) -> dict[str, Any]:
    rows = state.lessons()
    return {
        "complete": complete,
        "release": state.release(),
        "lessons": {"present": sum(row.present is not None for row in rows), "listed": len(rows)},
        "bytes": sum(row.size if row.complete else row.have_bytes for row in rows),
        "received": (state.status("progress") or {}).get("received", 0),
        "bytes_listed": sum(row.size for row in rows),
        "problems": [{"code": p.code, "subject": p.subject, "message": p.message} for p in state.problems()],
    }


# What the command leaves in incoming/ for the program that holds the lock: import-<hex>.json, answered by
# import-<hex>.answer.


def _ask_running_sync(paths: BoxPaths, path: Path, patience: float) -> dict[str, Any]:
    name = f"import-{secrets.token_hex(8)}"
    request, answer = paths.incoming / f"{name}.json", paths.incoming / f"{name}.answer"
    write_durable(request, json.dumps({"import": str(path)}).encode())
    deadline = time.monotonic() + patience
    try:
        while not answer.exists():
            unanswered = not request.exists() and not answer.exists()
            if unanswered or time.monotonic() > deadline:
                raise BusyError(f"the running sync did not take {path}")
            time.sleep(0.2)
        result = load(read_capped(answer, 1 << 20), 1 << 20)
    finally:
        request.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)
    if "error" in result:
        raise LessonBoxError(str(result["error"]))
    return result


def _answer_requests(paths: BoxPaths, box: SyncBox) -> None:
    hint = paths.incoming / "refresh"  # the agent's word that an acknowledgement waits at the county
    if hint.exists():
        hint.unlink(missing_ok=True)
        box.engine.refresh_soon()
    for name in sorted(os.listdir(paths.incoming)):
        if not (name.startswith("import-") and name.endswith(".json") and is_hex(name[7:-5], 16)):
            continue
        request = paths.incoming / name
        try:
            path = load(read_capped(request, _MAX_REQUEST), _MAX_REQUEST).get("import")
            result = _import(box, Path(str(path)))
        except LessonBoxError as error:
            result = {"error": error.what}
        with suppress(LessonBoxError):  # a full disk takes no answer: it must not be done again at each start
            write_durable(request.with_suffix(".answer"), json.dumps(result, ensure_ascii=False).encode())
        request.unlink(missing_ok=True)


class _Bar:
    """Progress of `--once`."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._bar: Progress | None = None
        self._total = 0

    def show(self, state: StateReader) -> None:
        """Draw what sync has written down."""
        progress = state.status("progress") if self._wanted else None
        if not progress or not progress["total"]:
            return
        if self._bar is None or progress["total"] != self._total:
            self.close()
            self._total = progress["total"]
            self._bar = Progress("lessons", self._total)
        self._bar.to(progress["done"])

    def close(self) -> None:
        """Finish."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
