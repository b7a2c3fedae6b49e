"""The interface to the county: what it has carried, and whether its bytes cost money (Linux).

A modem's interface (mobile, PPP) carries nothing but the way out, so its own counters are the truth: other
programs' bytes too. A school's Ethernet or Wi-Fi also carries lessons to boards and neighbours; there the
caller counts its own bytes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from content_sync.core.account import Reading


_log = logging.getLogger(__name__)
_ROUTES, _ROUTES6, _NET = Path("/proc/net/route"), Path("/proc/net/ipv6_route"), Path("/sys/class/net")
_UP = 0x1  # RTF_UP, linux/route.h
_PPP, _RAW_IP = 512, 519  # ARPHRD_PPP, ARPHRD_RAWIP, linux/if_arp.h
#: Sticks and telephones that look like a network card: by their driver, and where that serves other cards
#: too by who made them (Huawei, ZTE, Alcatel, Quectel, SIMCom, Qualcomm, MeiG, Unisoc, Fibocom).
_MODEM_DRIVERS = ("rndis_host", "huawei_cdc_ncm", "qmi_wwan", "cdc_mbim", "ipheth")
_NET_DRIVERS = ("cdc_ether", "cdc_ncm")
_MODEM_MAKERS = ("12d1", "19d2", "1bbb", "2c7c", "1e0e", "05c6", "2dee", "1782", "2cb7")
_MAX_HINT = 4096


def default_interface() -> str | None:
    """The interface of the best default route, IPv4 before IPv6; None when there is none."""
    found: list[tuple[int, str]] = []
    try:
        for line in _ROUTES.read_text("ascii").splitlines()[1:]:
            words = line.split()
            if len(words) > 7 and words[1] == words[7] == "00000000" and int(words[3], 16) & _UP:
                found.append((int(words[6]), words[0]))
        if not found and _ROUTES6.exists():
            for line in _ROUTES6.read_text("ascii").splitlines():
                words = line.split()
                unreachable = len(words) > 9 and words[9] == "lo"
                if len(words) > 9 and int(words[0], 16) == 0 == int(words[1], 16) and not unreachable:
                    found.append((int(words[5], 16), words[9]))
    except (OSError, ValueError) as error:
        _log.info("routes: %s", error)
    return min(found)[1] if found else None


def interface_of(address: str) -> str | None:
    """The interface that has this address of the machine."""
    import psutil  # here and below: whoever only asks for is_modem does without

    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address.partition("%")[0] == address for entry in entries):
            return name
    return None


def is_modem(interface: str, net: Path = _NET) -> bool:
    """Whether an interface is a mobile modem's or a point-to-point line: nothing of the LAN goes over it."""
    try:
        uevent = (net / interface / "uevent").read_text("ascii", "replace")
        kind = int((net / interface / "type").read_text("ascii"))
    except (OSError, ValueError):
        return False
    return "DEVTYPE=wwan" in uevent.split() or kind in (_PPP, _RAW_IP) or _stick(net / interface / "device")


def _stick(device: Path) -> bool:
    try:
        driver = (device / "driver").resolve(strict=True).name
        maker = (device.resolve(strict=True).parent / "idVendor").read_text("ascii").strip()
    except (OSError, ValueError):
        return False
    return driver in _MODEM_DRIVERS or driver in _NET_DRIVERS and maker in _MODEM_MAKERS


class InterfaceMeter:
    """ports.Meter.

    `own`: interfaces that only lead out, beside modems; `free`: whose bytes cost nothing all the same.
    `setting`: `yes`, `no` or `auto` (then the file `hint` says it, formats.md 10, else a modem is metered).
    `local` gives the address that the county was reached from last, None before.
    """

    def __init__(
        self,
        own: Sequence[str],
        setting: str,
        hint: Path,
        boot_id: Callable[[], str],
        local: Callable[[], str | None],
        free: Sequence[str] = (),
    ) -> None:
        self._free = frozenset(free)
        self._own, self._setting, self._hint = frozenset(own), setting, hint
        self._boot, self._local = boot_id(), local

    def interface(self) -> str | None:
        """The interface to the county."""
        address = self._local()
        return (interface_of(address) if address else None) or default_interface()

    def _only_out(self, interface: str | None) -> bool:
        return interface is not None and (interface in self._own or is_modem(interface))

    def metered(self) -> bool | None:
        """See ports.Meter."""
        if self._setting != "auto":
            return self._setting == "yes"
        try:
            said = json.loads(self._hint.read_bytes()[:_MAX_HINT])
            if isinstance(said, dict) and isinstance(said.get("metered"), bool):
                return bool(said["metered"])
        except (OSError, ValueError):
            pass
        interface = self.interface()
        if interface in self._free:
            return False
        return True if self._only_out(interface) else None

    def read(self) -> Reading | None:
        """See ports.Meter."""
        interface = self.interface()
        if interface is None or not self._only_out(interface):
            return None
        import psutil

        from content_sync.core.account import Reading

        counters = psutil.net_io_counters(pernic=True, nowrap=False).get(interface)
        if counters is None:
            return None
        return Reading(self._boot, interface, counters.bytes_recv + counters.bytes_sent)
