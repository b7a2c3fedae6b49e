"""The machine for boot.py: its users, mounts, names, lamps and services. Linux, as root."""

from __future__ import annotations

import logging
import os
import pwd
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.firstboot.boot import NOT_ENROLLED, TROUBLE
from appliance.sticks import mounted

_log = logging.getLogger(__name__)
_SECONDS = 30
_UNITS = (
    "lessonbox-web.socket",
    "lessonbox-web.service",
    "lessonbox-sync.service",
    "lessonbox-agent.service",
)
#: On and off in ms: a short flash each second for trouble, slow for a box that nobody has enrolled.
_BLINKS = {TROUBLE: ("100", "900"), NOT_ENROLLED: ("1000", "1000")}
#: What the green or activity lamp is called: on a Pi 4 and 5, on older kernels, elsewhere.
_LAMPS = ("ACT", "led0", "*:act", "*:activity", "*:status", "PWR")


class SystemHost:
    """boot.Host."""

    def __init__(
        self,
        user: str,
        folders: Sequence[str],
        sys: Path = Path("/sys"),
        own: Path = Path("/run/lessonbox-firstboot"),
    ) -> None:
        self._user, self._folders, self._sys, self._lamp = user, folders, sys, own / "lamp"

    @contextmanager
    def as_user(self) -> Iterator[None]:
        """By effective ids, so that no file in the user's folder is ever made, or followed, as root."""
        if os.geteuid() != 0:
            yield
            return
        found = pwd.getpwnam(self._user)
        groups = os.getgroups()
        os.setgroups([found.pw_gid])
        os.setegid(found.pw_gid)
        os.seteuid(found.pw_uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)

    @contextmanager
    def writable(self, folder: Path) -> Iterator[None]:
        """A partition that is mounted read-only is so again afterwards."""
        locked = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
        if locked:
            _do("mount", "-o", "remount,rw", str(folder))
        try:
            yield
        finally:
            if locked:
                _do("mount", "-o", "remount,ro", str(folder))

    def sticks(self) -> list[Path]:
        """See Host."""
        return [Path(stick.path) for stick in mounted(self._folders)]

    def host_name(self, name: str) -> None:
        """See Host; sethostname(2)."""
        if socket.gethostname() != name:
            socket.sethostname(name)

    def configured(self, wifi: bool, ssh: bool) -> None:
        """networkd reads its files again; Wi-Fi and ssh start only where the card asks for them."""
        _do("networkctl", "reload")
        if wifi:
            radios = sorted(path.parent.name for path in self._sys.glob("class/net/*/wireless"))
            for name in radios[:1]:
                _do("systemctl", "--no-block", "restart", f"lessonbox-wifi@{name}.service")
        if ssh:
            _do("systemctl", "--no-block", "start", "ssh.service")

    def show(self, state: str) -> None:
        """A lamp of the board's; where all is well it does what it did before it was made to blink."""
        leds = self._sys / "class" / "leds"
        lamp = next((path for name in _LAMPS for path in sorted(leds.glob(name))), None)
        if lamp is None:
            return
        with suppress(OSError):
            if state not in _BLINKS:
                if self._lamp.exists():
                    (lamp / "trigger").write_text(self._lamp.read_text())
                return
            found = re.search(r"\[(.+?)\]", (lamp / "trigger").read_text())
            if found and found[1] != "timer":
                self._lamp.parent.mkdir(exist_ok=True)
                self._lamp.write_text(found[1])  # for one start: nothing that has to last
            (lamp / "trigger").write_text("timer")
            for name, value in zip(("delay_on", "delay_off"), _BLINKS[state], strict=True):
                (lamp / name).write_text(value)

    def begin(self) -> None:
        """The programs, some of which had nothing to start on before."""
        _do("systemctl", "--no-block", "start", *_UNITS)


def _do(*command: str) -> None:
    """A tool of the machine's; what it can't do is logged, and no reason to stop."""
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("%s: %s", " ".join(command), error)
