"""The box's own Wi-Fi where there is no LAN: when, and what hostapd and dnsmasq are told. Pure.

Every name leads to the box, so that a telephone's own test of the network ends on the page /captive
(web/captive.py). Nothing is forwarded: who is in this network reaches the box and nobody else.
"""

from __future__ import annotations

import ipaddress

from msgspec import Struct

from content_sync.errors import SettingError

#: The box in its own network: short to type, and no school's network.
ADDRESS = "10.77.77.1"
NETWORK = ipaddress.ip_network("10.77.77.0/24")
_FIRST, _LAST, _LEASE = "10.77.77.20", "10.77.77.250", "2h"
OFF, AUTO, ON = "off", "auto", "on"
MODES = (AUTO, ON, OFF)
#: Seconds without a LAN until it begins; seconds with one until it ends, and not while a class watches.
WITHOUT, WITH = 60.0, 60.0
_MOST_STATIONS = 60
#: What Windows asks DNS besides, and the only answers it takes (NCSI).
_NCSI = ("131.107.255.255", "fd3e:4f5a:5b81::1")


class Rule(Struct):
    """Whether the hotspot shall be there, looked at again and again."""

    wanted: bool = False
    _since: float | None = None  # since when the LAN is not as `wanted` has it

    def look(self, mode: str, lan: bool, watched: bool, now: float) -> bool:
        """`lan`: boards can be on one; `watched`: a class streams now."""
        if mode != AUTO:
            self.wanted, self._since = mode == ON, None
            return self.wanted
        if lan != self.wanted:
            self._since = None
            return self.wanted
        self._since = now if self._since is None else self._since
        if now - self._since >= (WITH if self.wanted else WITHOUT) and not (self.wanted and watched):
            self.wanted, self._since = not self.wanted, None
        return self.wanted


def hostapd(radio: str, name: str, key: str, country: str, channel: int) -> str:
    """hostapd.conf. `key`: 64 hex digits (IEEE 802.11i), empty for an open one. The name stands as hex
    digits, so that nothing that was typed can be taken for more lines. Raises SettingError."""
    encoded = name.encode()
    if not 1 <= len(encoded) <= 32:
        raise SettingError("hotspot_name has 1 to 32 bytes")
    locked = ("wpa=2", "wpa_key_mgmt=WPA-PSK", "rsn_pairwise=CCMP", f"wpa_psk={key}")
    return "".join(
        f"{line}\n"
        for line in (
            f"interface={radio}",
            "driver=nl80211",
            f"ssid2={encoded.hex()}",
            "utf8_ssid=1",
            f"country_code={country}",
            "ieee80211d=1",
            "hw_mode=g",
            f"channel={channel}",
            "ieee80211n=1",
            "wmm_enabled=1",
            "auth_algs=1",
            *(locked if key else ()),
            f"max_num_sta={_MOST_STATIONS}",
            "ap_isolate=1",  # telephones do not see one another
            "disassoc_low_ack=1",
        )
    )


def channel_of(box: str) -> int:
    """1, 6 or 11, so that two boxes near each other seldom share one."""
    return (1, 6, 11)[sum(box.encode()) % 3]


def dnsmasq(radio: str, folder: str) -> str:
    """dnsmasq.conf: leases and names for that network alone."""
    return "".join(
        f"{line}\n"
        for line in (
            f"interface={radio}",
            "except-interface=lo",
            "bind-dynamic",
            "no-resolv",
            "no-hosts",
            "no-poll",
            f"address=/#/{ADDRESS}",
            *(f"address=/dns.msftncsi.com/{answer}" for answer in _NCSI),
            "domain=lan",
            f"dhcp-range={_FIRST},{_LAST},255.255.255.0,{_LEASE}",
            "dhcp-authoritative",
            f"dhcp-option=option:router,{ADDRESS}",
            f"dhcp-option=option:dns-server,{ADDRESS}",
            f"dhcp-leasefile={folder}/leases",
            "dhcp-lease-max=230",
            f"pid-file={folder}/dnsmasq.pid",
        )
    )
