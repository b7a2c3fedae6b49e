"""`lessonbox doctor`: looks at the machine and the box; each finding has a code and what to do about it."""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.agent import read_floor
from appliance.announce.avahi import avahi_host_name
from appliance.announce.mdns import own_avahi_name
from appliance.config import BoxPaths, county_urls, load_settings, read_enrolment
from appliance.usage.dating import believable
from appliance.usage.outbox import read_agent_status
from appliance.usage.upload import Asker
from content_sync import errors
from content_sync.adapters.files import write_durable
from content_sync.adapters.keys import BoxKey
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import LessonBoxError
from content_sync.formats.canonical import load, time_text
from content_sync.ports import Clock
from content_sync.terminal import size_text

MANY_BATCHES = 50
_REMEDIES = {cls.code: cls("").remedy for cls in errors.all_errors()}


@dataclass(frozen=True)
class Check:
    """What was looked at and what was found; `code` is empty when it is well."""

    name: str
    found: str
    code: str = ""

    @property
    def remedy(self) -> str:
        """What to do about it; empty when it is well."""
        return _REMEDIES.get(self.code, "") if self.code else ""

    def plain(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "name": self.name,
            "ok": not self.code,
            "code": self.code,
            "message": self.found,
            "remedy": self.remedy,
        }


def diagnose(data: Path, clock: Clock, http: Asker) -> list[Check]:
    """Every check, in order of importance. Writes nothing but a small file that it deletes again."""
    paths = BoxPaths(data)
    checks: list[tuple[str, Callable[[], str]]] = [
        ("data folder", lambda: _writable(paths)),
        ("set up", lambda: _set_up(paths)),
        ("space", lambda: _space(paths)),
        ("clock", lambda: _clock(paths, clock)),
        ("county", lambda: _county(paths, http)),
        ("libtorrent", _libtorrent),
        ("name", lambda: _name(paths)),
        ("reports", lambda: _reports(paths)),
    ]
    return [*(_run(name, check) for name, check in checks), *_told(paths)]


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, check())
    except LessonBoxError as error:
        return Check(name, error.what, error.code)


def _writable(paths: BoxPaths) -> str:
    if not paths.data.is_dir():
        raise errors.SetupError(f"{paths.data} is not there")
    probe = paths.data / f".doctor-{secrets.token_hex(4)}"
    write_durable(probe, b"x")
    probe.unlink()
    return f"{paths.data} can be written"


def _set_up(paths: BoxPaths) -> str:
    load_settings(paths.data)
    enrolment = read_enrolment(paths)
    BoxKey.load(paths.key)
    return f"{enrolment.box}, {enrolment.school_name}, county {enrolment.county}"


def _space(paths: BoxPaths) -> str:
    free = shutil.disk_usage(paths.data if paths.data.is_dir() else paths.data.parent).free
    reserve = load_settings(paths.data).number("reserve") * 1_000_000
    if free < reserve:
        raise errors.DiskFullError(f"{size_text(free)} free, {size_text(reserve)} should stay free")
    nodes = os.statvfs(paths.data)
    if nodes.f_files and nodes.f_favail < 1000:
        raise errors.DiskFullError(f"only {nodes.f_favail} files can still be made")
    return f"{size_text(free)} free"


def _clock(paths: BoxPaths, clock: Clock) -> str:
    wall, source, floor = int(clock.wall()), clock.source(), read_floor(paths)
    agent = read_agent_status(paths.outbox_db)["clock"]
    found = f"{time_text(wall)}, {'NTP' if source == 'ntp' else 'not synchronised'}"
    if not believable(wall, floor, source):
        if agent["trusted"]:
            return f"{found}; wrong, but usage is dated by {agent['source']}"
        known = f", the county signed something on {time_text(floor.floor)}" if floor.floor else ""
        raise errors.BoxClockError(found + known)
    return found


def _county(paths: BoxPaths, http: Asker) -> str:
    urls = county_urls(load_settings(paths.data), read_enrolment(paths).urls)
    failures = []
    for url in urls:
        try:
            answer = http.ask("GET", f"{url}/healthz", 4096)
            if answer.status == 200 and load(answer.body, 4096).get("ok") is True:
                return f"{url} answers"
            failures.append(f"{url} answers {answer.status}, but not as a county")
        except LessonBoxError as error:
            failures.append(error.what)
    raise errors.NetworkError("; ".join(failures) or "no address is known")


def _libtorrent() -> str:
    try:
        importlib.import_module("content_sync.adapters.libtorrent")
    except ImportError as error:
        raise errors.ToolError(f"libtorrent can't be loaded: {error}") from None
    return "can be loaded"


def _name(paths: BoxPaths) -> str:
    host = load_settings(paths.data).text("host_name")
    address = read_agent_status(paths.outbox_db)["address"]
    avahi = avahi_host_name()
    by = "avahi" if own_avahi_name(avahi, host) else "this program"
    if address is None:
        return f"not announced now (agent not running, or no LAN); {by} would hold the name"
    note = "" if address == f"{host}.local" else f"; another machine is {host}.local"
    return f"http://{address}/, held by {by}{note}"


def _reports(paths: BoxPaths) -> str:
    outbox = read_agent_status(paths.outbox_db)["outbox"]
    waiting = f"{outbox['unacknowledged']} reports not acknowledged, {outbox['waiting']} sessions waiting"
    if outbox["unacknowledged"] > MANY_BATCHES:
        raise errors.NetworkError(waiting)
    return waiting


def _told(paths: BoxPaths) -> Iterator[Check]:
    """What sync and agent themselves have found."""
    try:
        for problem in read_agent_status(paths.outbox_db)["problems"]:
            yield Check(f"agent: {problem['subject']}", problem["message"], problem["code"])
        with closing(StateReader(paths.state_db)) as state:
            for found in state.problems():
                yield Check(f"sync: {found.subject}", found.message, found.code)
    except errors.SetupError:
        yield Check("sync", "has not run yet")
    except LessonBoxError as error:
        yield Check("databases", error.what, error.code)
