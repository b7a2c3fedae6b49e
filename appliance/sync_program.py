"""The sync program: the loop around the engine, its signals, and what `lessonbox import` asks of it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from appliance.asked import restart_asked
from appliance.config import BoxPaths, load_settings, read_enrolment
from appliance.export import export_lessons, write_request
from appliance.helped import Helper
from appliance.sticks import Desk
from appliance.wiring import SyncBox, open_box
from appliance.wishes import WishBook
from content_sync import loading
from content_sync.adapters.drops import Folders
from content_sync.adapters.files import lock_file, read_capped, write_durable
from content_sync.adapters.local_requests import requests as local_requests
from content_sync.adapters.sdnotify import Pulse
from content_sync.adapters.sqlite import StateReader
from content_sync.adapters.stick import StickFiles, bag_stages, find_bag
from content_sync.engine.local import LocalAsked
from content_sync.engine.received import Asked
from content_sync.engine.source import Import
from content_sync.errors import BusyError, LessonBoxError, NotFoundError
from content_sync.formats.canonical import is_hex, load
from content_sync.formats.local import MAX_REQUEST as MAX_LOCAL
from content_sync.formats.local import parse_request as parse_local
from content_sync.formats.received import MAX_ITEM, parse_request
from content_sync.formats.update import is_update
from content_sync.terminal import Progress

_LOOK_AGAIN = 1.0  # seconds between looks at incoming/
_PATIENCE = 20.0  # `--once` gives up when nothing came for this long
_MAX_REQUEST = 64 << 10
_PULSE = 0.25  # seconds between steps of the throttle


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGINT came: everything that counts is on the disk already, so any moment is a good one."""


class Again(Stopped):
    """Somebody asked on a page that this program begins anew."""


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
                with _pulse(box):
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


@contextmanager
def _pulse(box: SyncBox) -> Iterator[None]:
    """The throttle's own beat while something is fetched: the engine may rest in a long step, a class may not
    wait for it. Otherwise it sleeps: every step of the engine begins with one of the throttle's."""
    ended, begun = threading.Event(), threading.Event()

    def beat() -> None:
        while begun.wait() and not ended.is_set():
            if box.throttle.fetching:
                box.throttle.step(box.clock.monotonic())
                ended.wait(_PULSE)
                continue
            begun.clear()
            if box.throttle.fetching:  # it began in between
                begun.set()

    box.throttle.began = begun.set
    thread = threading.Thread(target=beat, name="throttle", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        begun.set()
        thread.join(_PATIENCE)


def serve(data: Path) -> bool:
    """Keep the box in step with the county until a signal comes, or a person asks for a new beginning (True).
    Raises BusyError, SetupError, StorageError."""
    try:
        _serve(data)
    except Again:
        return True
    except Stopped:
        pass
    return False


def _serve(data: Path) -> None:
    restart_asked(BoxPaths(data).incoming, "sync")  # before this beginning
    with _running(data, watch=True) as (box, wake):
        requests, pulse = _Requests(BoxPaths(data), box), Pulse()
        loading.end()
        while True:
            pulse.beat()
            wake.clear()
            requests.look()
            box.offering.look()
            due = box.engine.step(box.clock.monotonic())
            if due - box.clock.monotonic() > _LOOK_AGAIN:
                time.sleep(_LOOK_AGAIN)  # nothing moves: what happens meanwhile is looked at together
            while (left := due - box.clock.monotonic()) > 0 and not requests.waiting():
                if wake.wait(min(left, _LOOK_AGAIN)):
                    break


def once(data: Path, show_progress: bool, patience: float = _PATIENCE) -> dict[str, Any]:
    """Sync until nothing more can be done now; what is here. Raises BusyError, SetupError, StorageError."""
    with _running(data, watch=True) as (box, wake):
        bar = _Bar(show_progress)
        box.engine.wish(WishBook(BoxPaths(data).incoming).read())
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
            return _imported(box, box.engine.import_from(_stages(box, path), box.clock.monotonic()))
    except BusyError:
        return _ask_running_sync(BoxPaths(data), path, patience)


def _stages(box: SyncBox, path: Path) -> Iterator[Folders]:
    bag = find_bag(path)
    yield from map(StickFiles, [[path]] if bag is None else bag_stages(bag, box.state))


def _imported(box: SyncBox, job: Import) -> dict[str, Any]:
    """What an import that is done brought. Raises what made it end early."""
    if job.error is not None:
        raise job.error
    return {**_result(box.state, box.engine.complete), "files": job.files, "new_lessons": job.lessons}


def _result(state: StateReader, complete: bool) -> dict[str, Any]:
    rows = [row for row in state.lessons() if not is_update(row.collection)]
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


class _Requests:
    """What others ask of a running sync: looked for between steps, imports done in slices by them."""

    def __init__(self, paths: BoxPaths, box: SyncBox) -> None:
        self._paths, self._box = paths, box
        self._imports: dict[Path, Import] = {}
        self._asked: dict[Path, Asked | LocalAsked] = {}
        self._wishes = WishBook(paths.incoming)
        self._desk = _desk(paths, box)
        self._mark, self._again = -1, True

    def waiting(self) -> bool:
        """Whether there is something to look at: whatever comes or goes there changes the folder's time."""
        if self._again or self._imports or self._asked or self._desk.importing or self._desk.due:
            return True
        return self._paths.incoming.stat().st_mtime_ns != self._mark

    def look(self) -> None:
        """Take new requests, answer those that are done."""
        incoming, engine = self._paths.incoming, self._box.engine
        mark = incoming.stat().st_mtime_ns  # its clock ticks slowly: once more after each change
        self._mark, self._again = mark, mark != self._mark
        hint = incoming / "refresh"  # the agent's word that an acknowledgement waits at the county
        if hint.exists():
            hint.unlink(missing_ok=True)
            engine.refresh_soon()
        if restart_asked(incoming, "sync"):
            raise Again
        self._desk.look()
        for name in sorted(os.listdir(incoming)):
            path = incoming / name
            if name.startswith("check-") and is_hex(name[6:], 64):  # web could not read this object
                path.unlink(missing_ok=True)
                engine.suspect(name[6:])
            elif _is_request(name, "import") and path not in self._imports:
                self._begin_import(path)
            elif _is_request(name, "received") and path not in self._asked:
                self._ask(path, self._ask_received)
        for path in local_requests(incoming):
            if path not in self._asked:
                self._ask(path, self._ask_local)
        for request, asked in list(self._asked.items()):
            if asked.done:
                del self._asked[request]
                request.unlink(missing_ok=True)
        engine.wish(self._wishes.read())
        self._wishes.tidy(self._box.clock.monotonic(), lambda: engine.today, self._arrived)
        for request, job in list(self._imports.items()):
            if job.done:
                del self._imports[request]
                self._answer(request, job)

    def _arrived(self) -> dict[str, int]:
        return {row.id: row.arrived for row in self._box.state.lessons() if row.complete and row.arrived}

    def _begin_import(self, request: Path) -> None:
        try:
            path = Path(str(load(read_capped(request, _MAX_REQUEST), _MAX_REQUEST).get("import")))
        except LessonBoxError:
            request.unlink(missing_ok=True)
            return
        self._imports[request] = self._box.engine.begin_import(_stages(self._box, path))

    def _ask(self, path: Path, ask: Callable[[Path], Asked | LocalAsked | None]) -> None:
        try:
            asked = ask(path)
        except LessonBoxError:
            asked = None
        if asked is None:
            path.unlink(missing_ok=True)
        else:
            self._asked[path] = asked

    def _ask_received(self, path: Path) -> Asked | None:
        return self._box.engine.ask_received(parse_request(read_capped(path, MAX_ITEM)))

    def _ask_local(self, path: Path) -> LocalAsked | None:
        request = parse_local(read_capped(path, MAX_LOCAL))
        return self._box.engine.ask_local(request, path.stem.rpartition("-")[2])

    def _answer(self, request: Path, job: Import) -> None:
        try:
            result = _imported(self._box, job)
        except LessonBoxError as error:
            result = {"error": error.what}
        with suppress(LessonBoxError):  # a full disk takes no answer: it must not be done again at each start
            write_durable(request.with_suffix(".answer"), json.dumps(result, ensure_ascii=False).encode())
        request.unlink(missing_ok=True)


def _desk(paths: BoxPaths, box: SyncBox) -> Desk:
    """What pages ask to be done with sticks."""

    def export(top: Path, go: Callable[[int, int], None]) -> dict[str, Any]:
        def bar(what: str, total: int) -> Callable[[int], None]:
            return lambda done: go(done, total)

        with helper.writable(top):
            return export_lessons(paths.data, top, int(box.clock.wall()), bar=bar)

    def request(top: Path) -> dict[str, Any]:
        with helper.writable(top):
            return write_request(paths.data, top)

    def diagnosis(top: Path) -> dict[str, Any]:
        from appliance.health import bundles  # rare, and heavy

        made = bundles.newest(paths.data, int(box.clock.wall()), helper)
        with helper.writable(top):
            write_durable(top / f"lessonbox-diagnosis-{read_enrolment(paths).box}.zip", made)
        return {"bytes": len(made)}

    helper = Helper()

    return Desk(
        paths.incoming,
        load_settings(paths.data).texts("stick_folders"),
        box.clock,
        lambda top: box.engine.begin_import(_stages(box, top)),
        export,
        request,
        diagnosis,
        lambda told: box.state.set_status({"stick": told}),
        box.state.status("stick"),
    )


def _is_request(name: str, what: str) -> bool:
    return name.startswith(what + "-") and name.endswith(".json") and is_hex(name[len(what) + 1 : -5], 16)


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
