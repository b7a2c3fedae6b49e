"""`lessonbox doctor`: looks at the machine and the box; each finding has a code and what to do about it."""

from __future__ import annotations

import importlib
import ipaddress
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from appliance.agent import read_floor
from appliance.announce.avahi import avahi_host_name
from appliance.announce.mdns import own_avahi_name
from appliance.config import BoxPaths, county_urls, has_line, load_settings, read_enrolment
from appliance.health import machine as machines
from appliance.health import probes
from appliance.health.faults import FIXES, fault_of
from appliance.health.machine import Machine
from appliance.health.probes import Found
from appliance.usage.dating import believable
from appliance.usage.outbox import read_agent_status
from appliance.usage.upload import Asker
from content_sync import errors
from content_sync.adapters.files import write_durable
from content_sync.adapters.keys import BoxKey
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import LessonBoxError
from content_sync.formats.canonical import load, time_text
from content_sync.ports import Clock, Problem
from content_sync.terminal import size_text

MANY_BATCHES = 50
_REMEDIES = {cls.code: cls("").remedy for cls in errors.all_errors()}


class Check(Struct, frozen=True):
    """What was looked at and what was found; `code` is empty when it is well."""

    name: str
    found: str
    code: str = ""
    #: The same for pages, in Chinese with `found` in brackets; empty: other programs tell it there.
    message: str = ""
    #: What the helper may do about it unasked (mending.py).
    mend: str = ""

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
            "fault": fault_of(self.code) if self.code else "",
            "fix": FIXES.get(self.code, ""),
            "message": self.found,
            "remedy": self.remedy,
        }


#: What a failing check is called on pages.
_CHINESE = {
    "data folder": "课箱的数据写不下去",
    "settings": "box.toml 里有不认得的设置",
    "space": "磁盘快满了",
    "county": "连不上县里的服务器",
    "county's name": "查不到县里服务器的地址",
    "libtorrent": "下载用的程序没有装好",
}


def diagnose(
    data: Path, clock: Clock, http: Callable[[str], Asker], machine: Machine = Machine()
) -> list[Check]:
    """Every check, in order of importance. Writes nothing but a small file that it deletes again.
    `http`: asks over the proxy that it is given."""
    paths = BoxPaths(data)
    parts: list[tuple[str, Callable[[], list[Found]], str]] = [
        ("disks", lambda: machines.disks(machine), "nothing says that a disk is dying"),
        ("file systems", lambda: machines.filesystems(machine, data.absolute()), "no errors noted, writable"),
        ("kernel log", lambda: machines.log(machine), "no complaints that can be read"),
        ("power", lambda: machines.power(machine), "no undervoltage that this machine would show"),
        ("temperature", lambda: machines.heat(machine), "not hot"),
        ("link", lambda: machines.links(machine), "linked"),
        ("programs", lambda: machines.units(machine), "none keeps ending"),
        ("receiver", lambda: _receiver(paths, clock), "nothing that was heard before is missing"),
    ]
    seen = [check for name, look, well in parts for check in _machine(name, look, well)]
    linked = not any(check.code == "E-LINK" for check in seen)
    checks: list[tuple[str, Callable[[], str]]] = [
        ("data folder", lambda: _writable(paths)),
        ("set up", lambda: _set_up(paths)),
        ("settings", lambda: _settings(paths)),
        ("space", lambda: _space(paths)),
        ("clock", lambda: _clock(paths, clock)),
        ("county's name", lambda: _resolved(paths, linked)),
        ("county", lambda: _county(paths, http, linked)),
        ("libtorrent", _libtorrent),
        ("name", lambda: _name(paths)),
        ("reports", lambda: _reports(paths)),
    ]
    return [*seen, *_causes([_run(name, check) for name, check in checks]), *_told(paths)]


def _causes(checks: list[Check]) -> list[Check]:
    """Without what only follows from another: a county whose name nobody knows can't be reached."""
    if not any(check.code == "E-DNS" for check in checks):
        return checks
    follows = Check("county", "not reached: its name is not known")
    return [follows if check.name == "county" and check.code == "E-NETWORK" else check for check in checks]


def told(checks: list[Check], now: int) -> list[Problem]:
    """What the pages are to show of it: what no other program tells them."""
    return [Problem(check.code, check.name, check.message, now) for check in checks if check.message]


def _machine(name: str, look: Callable[[], list[Found]], well: str) -> list[Check]:
    found = look()
    checks = [Check(name, one.english, one.code, one.message, one.mend) for one in found]
    return checks or [Check(name, well)]


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, check())
    except LessonBoxError as error:
        words = _CHINESE.get(name)
        return Check(name, error.what, error.code, f"{words}（{error.what}）" if words else "")


def _receiver(paths: BoxPaths, clock: Clock) -> list[Found]:
    """Whether a receiver that was heard before is heard still."""
    try:
        with closing(StateReader(paths.state_db)) as state:
            heard = state.status("reception") or {}
        wall = int(clock.wall())
        sure = believable(wall, read_floor(paths), clock.source())
        return probes.silence(heard.get("last"), wall if sure else None)
    except LessonBoxError:
        return []  # told by the check of the databases


def _hosts(paths: BoxPaths) -> list[str]:
    """Names among the county's addresses: what has to be looked up."""
    found = []
    for url in county_urls(load_settings(paths.data), read_enrolment(paths).urls):
        host = urlsplit(url).hostname or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            found.append(host)
    return found


def _not_asked(paths: BoxPaths, linked: bool) -> str:
    """Why the county need not be asked for: another check tells what lacks."""
    if not linked:
        return "not asked: no link"
    if not paths.enrolment.exists():
        return "not asked: this box is not enrolled"
    return "" if has_line(load_settings(paths.data)) else "not asked: this box only receives"


def _resolved(paths: BoxPaths, linked: bool) -> str:
    why_not = _not_asked(paths, linked)
    if why_not:
        return why_not
    hosts = [] if load_settings(paths.data).text("proxy") else _hosts(paths)  # a proxy looks them up itself
    for host in hosts:
        try:
            socket.getaddrinfo(host, None)
        except (OSError, UnicodeError) as error:
            raise errors.NameServiceError(f"{host}: {error}") from None
    return ", ".join(hosts) + " found" if hosts else "no name to look up"


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


def _settings(paths: BoxPaths) -> str:
    unknown = load_settings(paths.data).unknown
    if unknown:
        raise errors.SettingError(f"no such setting, passed over: {', '.join(unknown)}")
    return "all known"


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


def _county(paths: BoxPaths, http: Callable[[str], Asker], linked: bool) -> str:
    why_not = _not_asked(paths, linked)
    if why_not:
        return why_not
    urls = county_urls(load_settings(paths.data), read_enrolment(paths).urls)
    failures, asker = [], http(load_settings(paths.data).text("proxy"))
    for url in urls:
        try:
            answer = asker.ask("GET", f"{url}/healthz", 4096)
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
