"""The machine's network interfaces: which lead to boards, which only out, which is a radio (Linux, /sys)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from content_sync.adapters.metering import is_modem
from content_sync.errors import SettingError

NET = Path("/sys/class/net")
#: Made by software: containers, bridges, tunnels. None of them is the school's.
_VIRTUAL = re.compile(r"(lo$|docker|veth|virbr|br-|lxc|tap|tun|wg|dummy)")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
METERED, FREE, RECEIVE = "metered", "free", "receive"
KINDS = (METERED, FREE, RECEIVE)


def parse_uplinks(texts: Sequence[str]) -> dict[str, str]:
    """`uplinks` of box.toml, such as `usb0 metered`: interfaces that only lead out, and how. Raises
    SettingError."""
    found = {}
    for text in texts:
        name, _, kind = " ".join(text.split()).partition(" ")
        if not _INTERFACE.fullmatch(name) or kind not in KINDS:
            raise SettingError(f"uplinks: {text[:40]!r} is not like `usb0 metered`; or: {', '.join(KINDS)}")
        found[name] = kind
    return found


def only_receives(uplinks: Mapping[str, str]) -> bool:
    """Whether whatever leads out can answer nothing: a satellite receiver's LAN and no other line."""
    return set(uplinks.values()) == {RECEIVE}


class Line(Struct, frozen=True):
    """One interface. `up`: it has a carrier; `addresses`: its IPv4 addresses; `out`: why it is no LAN:
    `metered`, `free`, `receive` as box.toml says, `modem` as the kernel shows; empty: boards are on it."""

    name: str
    up: bool
    addresses: tuple[str, ...]
    radio: bool = False
    out: str = ""

    @property
    def lan(self) -> tuple[str, ...]:
        """Addresses at which boards can be: not those that a machine gives itself."""
        given = (one for one in self.addresses if not ipaddress.ip_address(one).is_link_local)
        return tuple(given) if self.up and not self.out else ()


def lines(uplinks: Mapping[str, str], net: Path = NET) -> list[Line]:
    """The machine's interfaces, by name."""
    four = _addresses()
    found = []
    for folder in sorted(net.iterdir()) if net.is_dir() else ():
        name = folder.name
        if _VIRTUAL.match(name) and name not in uplinks:
            continue
        out = uplinks.get(name) or ("modem" if is_modem(name, net) else "")
        radio = (folder / "wireless").is_dir() or (folder / "phy80211").exists()
        found.append(Line(name, _carrier(folder), four.get(name, ()), radio, out))
    return found


def _addresses() -> dict[str, tuple[str, ...]]:
    import psutil  # every program reads this module's settings, few its interfaces

    return {
        name: tuple(one.address for one in entries if one.family.name == "AF_INET")
        for name, entries in psutil.net_if_addrs().items()
    }


def _carrier(folder: Path) -> bool:
    try:
        return (folder / "carrier").read_text("ascii").strip() == "1"
    except (OSError, ValueError):  # it is down: the kernel says EINVAL
        return False


def free_radio(found: Sequence[Line], client: Callable[[str], bool]) -> str:
    """The radio for an own Wi-Fi: the first that is no client of the school's; empty: there is none."""
    return next((line.name for line in found if line.radio and not line.out and not client(line.name)), "")
