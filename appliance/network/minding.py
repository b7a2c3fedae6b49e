"""What `lessonbox lan` minds besides answering: whether there is a LAN, and with it the box's own Wi-Fi.

It has no rights: the root helper starts and ends that. What it knows it leaves for the pages (lan.json,
formats.md 19)."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from appliance.config import BoxPaths, load_settings, read_enrolment
from appliance.helped import Helper
from appliance.network import hotspot, ssdp, wanted
from appliance.network.lines import Line, free_radio, lines, parse_uplinks
from content_sync.adapters.files import read_capped, write_durable
from content_sync.adapters.streaming import streams
from content_sync.errors import LessonBoxError
from content_sync.formats.canonical import dump, load
from content_sync.formats.enrolment import Enrolment
from content_sync.ports import Clock

FORMAT = "lessonbox-lan/1"
_log = logging.getLogger("lan")
_EVERY = 5.0
_ASK_AGAIN = 60.0
_MAX = 16 << 10
#: Why there is no own Wi-Fi though it is wanted.
NO_RADIO, NO_PASSWORD, NO_HELPER, FAILS = "no-radio", "no-password", "no-helper", "fails"


class Minder:
    """Call `step` often."""

    def __init__(
        self, data: Path, clock: Clock, helper: Helper | None = None, net: Path | None = None
    ) -> None:
        """Raises SetupError, SettingError."""
        self._paths, self._clock, self._helper = BoxPaths(data), clock, helper or Helper()
        self._net = net
        self._settings, self._seen = load_settings(data), self._stamp()
        self._rule = hotspot.Rule()
        self._lines: list[Line] = []
        self._due = self._ask_at = 0.0
        self._asked = self._tried = False
        self._why = ""
        self._told: dict[str, Any] = {}

    @property
    def host_name(self) -> str:
        """The name of the school's first box."""
        return self._settings.text("host_name").lower()

    def lan(self) -> list[str]:
        """Addresses that boards can be at, those that a machine gives itself too; not the own Wi-Fi's, where
        dnsmasq answers."""
        return [
            address
            for line in self._lines
            if line.up and not line.out
            for address in line.addresses
            if address != hotspot.ADDRESS
        ]

    def step(self, name: str) -> None:
        """Look again, if it is time. `name`: what boards can call the box."""
        now = self._clock.monotonic()
        if now < self._due and name == self._told.get("name", ""):
            return
        self._due = now + _EVERY
        self._read()
        uplinks = parse_uplinks(self._settings.texts("uplinks"))
        self._lines = lines(uplinks, self._net) if self._net is not None else lines(uplinks)
        self._mind(now)
        self._tell(name)

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self._paths.config.stat()
        except OSError:
            return 0, 0
        return found.st_mtime_ns, found.st_ino

    def _read(self) -> None:
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._settings = load_settings(self._paths.data)
            except LessonBoxError as error:
                _log.warning("%s; what held before goes on", error.line())

    def _mind(self, now: float) -> None:
        there = any(one for line in self._lines for one in line.lan if one != hotspot.ADDRESS)
        watched = streams(self._paths.streaming, self._clock.boot_id(), now)
        mode = self._settings.text("hotspot")
        wants = self._rule.look(mode, there, watched, now)
        self._why = self._hindrance() if wants else ""
        begin = wants and not self._why
        if begin and self._asked and not on_air():
            self._why = FAILS if self._tried else ""
            if now < self._ask_at:
                return
            self._tried = True
        elif begin == self._asked:
            self._tried = False
            return
        self._ask_at = now + _ASK_AGAIN
        try:
            self._helper.ask("hotspot-on" if begin else "hotspot-off")
            self._asked = begin
        except LessonBoxError as error:
            self._why = FAILS
            _log.warning("%s", error.line())

    def _hindrance(self) -> str:
        if wanted.wifi(self._settings, self._enrolment()) is None:
            return NO_PASSWORD
        if not on_air() and not free_radio(self._lines, lambda name: False):
            return NO_RADIO
        return "" if self._helper.there() else NO_HELPER

    def _enrolment(self) -> Enrolment | None:
        try:
            return read_enrolment(self._paths)
        except LessonBoxError:
            return None

    def _tell(self, name: str) -> None:
        told = {"format": FORMAT, "name": name, "hotspot": on_air(), "why": self._why,
                "lines": [{"name": one.name, "up": one.up, "addresses": list(one.addresses), "out": one.out}
                          for one in self._lines[:20]]}  # fmt: skip
        if told != self._told:
            try:
                write_durable(self._paths.lan, dump(told))
                self._told = told
            except LessonBoxError as error:
                _log.warning("%s", error.line())


def on_air() -> bool:
    """Whether the own Wi-Fi is there: the box has its address."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((hotspot.ADDRESS, 0))
        return True
    return False


class Told(Struct, frozen=True):
    """lan.json, as far as it can be read."""

    name: str = ""
    hotspot: bool = False
    why: str = ""
    lines: tuple[Line, ...] = ()


def read_lan(path: Path) -> Told | None:
    """What `lessonbox lan` left; None: it never ran here."""
    try:
        told = load(read_capped(path, _MAX), _MAX)
        if told.get("format") != FORMAT:
            return None
        found = tuple(
            Line(str(one["name"]), one["up"] is True, tuple(map(str, one["addresses"])), out=str(one["out"]))
            for one in told["lines"]
        )
        return Told(str(told["name"]), told["hotspot"] is True, str(told["why"]), found)
    except (LessonBoxError, LookupError, TypeError):
        return None


def device_of_machine(path: Path = Path("/etc/machine-id")) -> str:
    """See ssdp.device_id."""
    try:
        return ssdp.device_id(path.read_text("ascii"))
    except (OSError, ValueError):
        return ssdp.device_id(socket.gethostname())


def given_socket() -> socket.socket | None:
    """Port 137 as systemd hands it over (sd_listen_fds(3)), else as this program may open it itself; None: it
    may not, or somebody else has it."""
    given = os.environ.pop("LISTEN_PID", "") == str(os.getpid()) and os.environ.pop("LISTEN_FDS", "0") == "1"
    try:
        one = socket.socket(fileno=3) if given else socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if not given:
            one.bind(("0.0.0.0", 137))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    except OSError as error:
        _log.info("no NetBIOS names: %s", error)
        return None
    return one
