"""Root's part (`lessonbox network`): turns what box.toml asks into files below /run for networkd, systemd,
hostapd, dnsmasq and smbd, which alone read them. All is made anew at each start and each change."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from appliance.config import BoxPaths, load_settings, read_enrolment
from appliance.network import hotspot, shares, wanted
from appliance.network.lines import METERED, NET, RECEIVE, free_radio, lines, parse_uplinks
from content_sync.adapters.files import remove, write_durable
from content_sync.errors import LessonBoxError, NotFoundError, SettingError, StorageError
from content_sync.formats.enrolment import Enrolment

USER = "lessonbox"
_UPLINK = "05-lessonbox-uplink-{}.network"
#: The LAN's files, the image's own and those of the card (firstboot/network.py), and what is added to each
#: where its router is no way out (a fixed gateway firstboot leaves out): its metric comes before an uplink's.
_LANS = ("10-lessonbox-cable.network", "10-lessonbox-wifi.network", "80-lan.network")
_NO_WAY = "lessonbox-no-gateway.conf"
_NO_GATEWAY = """# Made of `lan_gateway` in box.toml.
[DHCPv4]
UseGateway=no
UseDNS=no

[IPv6AcceptRA]
UseGateway=no
UseDNS=no
"""
Run = Callable[[Sequence[str]], str]


def uplink_files(uplinks: Mapping[str, str]) -> dict[str, str]:
    """networkd's files. A line out never takes the school's own for the way to the LAN, and one that only
    receives is no way at all."""
    made = {}
    for name, kind in uplinks.items():
        text = f"# Made of `uplinks` in box.toml.\n[Match]\nName={name}\n\n[Network]\nDHCP=ipv4\n"
        text += "LinkLocalAddressing=no\nLLMNR=no\nMulticastDNS=no\nIPv6AcceptRA=no\n"
        if kind == RECEIVE:
            text += "\n[DHCPv4]\nUseGateway=no\nUseRoutes=no\nUseDNS=no\nUseNTP=no\nUseDomains=no\n"
        else:
            text += f"\n[DHCPv4]\nRouteMetric={4096 if kind == METERED else 2048}\nUseDomains=no\n"
        made[_UPLINK.format(name)] = text
    return made


class Prepare:
    """`run`: /run; `do`: carries out a command, gives what it said (helper.run_command)."""

    def __init__(self, data: Path, run: Path, do: Run) -> None:
        self._paths, self._run, self._do = BoxPaths(data), run, do
        self._settings = load_settings(data)

    @property
    def own(self) -> Path:
        """What is made for smbd and mount.cifs."""
        return self._run / "lessonbox-network"

    def all(self) -> list[str]:
        """Uplinks and shares; what could not be done, one line each."""
        troubles = []
        for step in (self._uplinks, self._receiver, self._share):
            try:
                step()
            except LessonBoxError as error:
                troubles.append(error.line())
            except OSError as error:
                troubles.append(StorageError(str(error)).line())
        return troubles

    def _lay(self, folder: Path, pattern: str, files: Mapping[str, str], mode: int = 0o644) -> bool:
        """Exactly these files of that pattern in a folder; whether anything changed."""
        if files:
            folder.mkdir(parents=True, exist_ok=True)
        changed = False
        for old in folder.glob(pattern):
            if old.name not in files:
                remove(old)
                changed = True
        for name, text in files.items():
            path = folder / name
            if not path.is_file() or path.read_text("utf-8") != text:
                write_durable(path, text.encode(), mode)
                changed = True
        return changed

    def _uplinks(self) -> None:
        files = uplink_files(parse_uplinks(self._settings.texts("uplinks")))
        folder = self._run / "systemd" / "network"
        changed = self._lay(folder, _UPLINK.format("*"), files)
        no_way = {_NO_WAY: _NO_GATEWAY} if self._settings.text("lan_gateway") == "no" else {}
        for name in _LANS:
            changed |= self._lay(folder / f"{name}.d", _NO_WAY, no_way)
        if changed:
            self._do(["networkctl", "reload"])

    def _receiver(self) -> None:
        user, secret = pwd.getpwnam(USER), self.own / "receiver.credentials"
        self.own.mkdir(mode=0o700, exist_ok=True)
        told = shares.credentials(self._settings)
        secrets_changed = self._lay(self.own, secret.name, {secret.name: told} if told else {}, 0o600)
        units = shares.mount_units(self._settings, secret, user.pw_uid, user.pw_gid)
        folder = self._run / "systemd" / "system"
        if not self._lay(folder, "run-lessonbox*receiver.*mount", units) and not secrets_changed:
            return
        unit = f"{shares.MOUNT}.automount"
        self._do(["systemctl", "daemon-reload"])
        if units:
            self._do(["systemctl", "restart", unit])
        else:
            self._do(["systemctl", "stop", unit, f"{shares.MOUNT}.mount"])

    def _share(self) -> None:
        offered = self._settings.flag("share_drop")
        own = self._run / "lessonbox-share"
        text = shares.smb_conf(self._settings, self._paths.drop, own, USER)
        changed = self._lay(self.own, "smb.conf", {"smb.conf": text} if offered else {})
        password = self._settings.text("share_password")
        told = {"share.password": f"{password}\n{password}\n"} if offered and password else {}
        changed |= self._lay(self.own, "share.password", told, 0o600)
        if changed or not offered:
            self._do(["systemctl", "--no-block", "restart" if offered else "stop", "lessonbox-share.service"])

    def hotspot(self, clients: Callable[[str], bool], net: Path = NET) -> str:
        """What hostapd and dnsmasq need, and the box's own address on the radio; which one. Raises
        NotFoundError where there is no radio, SettingError without a password."""
        found = wanted.wifi(self._settings, self._enrolment())
        if found is None:
            raise SettingError("the own Wi-Fi has no password: give hotspot_password, or enrol the box")
        radio = free_radio(lines(parse_uplinks(self._settings.texts("uplinks")), net), clients)
        if not radio:
            raise NotFoundError("there is no radio that is free for an own Wi-Fi")
        own = self._run / "lessonbox-hotspot"
        own.mkdir(mode=0o755, exist_ok=True)
        channel = hotspot.channel_of(found.name)
        text = hotspot.hostapd(radio, found.name, found.key, found.country, channel)
        write_durable(own / "hostapd.conf", text.encode(), 0o600)
        write_durable(own / "dnsmasq.conf", hotspot.dnsmasq(radio, str(own)).encode())
        self._do(["ip", "address", "flush", "dev", radio])
        self._do(["ip", "address", "add", f"{hotspot.ADDRESS}/24", "broadcast", "+", "dev", radio])
        self._do(["ip", "link", "set", radio, "up"])
        return radio

    def hotspot_ends(self) -> None:
        """Nobody shall take the box's address for a Wi-Fi that is no longer there."""
        for line in lines({}):
            if hotspot.ADDRESS in line.addresses:
                self._do(["ip", "address", "del", f"{hotspot.ADDRESS}/24", "dev", line.name])

    def _enrolment(self) -> Enrolment | None:
        try:
            return read_enrolment(self._paths)
        except LessonBoxError:
            return None


def is_client(radio: str) -> bool:
    """Whether this radio is in the school's Wi-Fi, as lessonbox-wifi@ has it, or NetworkManager's."""
    if Path("/run/NetworkManager").exists():
        return True
    return os.path.exists(f"/run/wpa_supplicant/{radio}") or _active(f"lessonbox-wifi@{radio}.service")


def _active(unit: str) -> bool:
    try:
        return subprocess.run(["systemctl", "is-active", "--quiet", unit], timeout=20).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
