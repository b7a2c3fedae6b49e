"""Files of systemd-networkd and wpa_supplicant for what a card's config says (decision 0035). Pure."""

from __future__ import annotations

from content_sync.formats.boxconfig import BoxConfig
from content_sync.formats.hotspot import psk

CABLE, WIFI = "10-lessonbox-cable.network", "10-lessonbox-wifi.network"


def networks(config: BoxConfig) -> dict[str, str]:
    """The .network files. Without an address and without Wi-Fi none: the machine's own asks by DHCP.

    Link-local addresses stay on: with an address that was mistyped the box is found by its name all the same.
    """
    made = {}
    if config.wifi_name:
        made[WIFI] = _network("wlan", config)
    elif config.address:
        made[CABLE] = _network("ether", config)
    return made


def _network(kind: str, config: BoxConfig) -> str:
    # No kind: a bridge, a container's end or a tunnel is none of the school's sockets.
    lines = ["# Made at each start of lessonbox.conf on the card.", "[Match]", f"Type={kind}", "Kind=!*", ""]
    lines += ["[Network]", "LinkLocalAddressing=yes", "LLMNR=no", "MulticastDNS=no"]
    if config.address:
        lines += ["DHCP=no", f"Address={config.address}"]
        lines += [f"Gateway={config.gateway}"] if config.gateway and config.lan_gateway != "no" else []
    else:
        lines += ["DHCP=yes"]
    lines += [f"DNS={server}" for server in config.dns]
    return "\n".join(lines) + "\n"


def wpa(config: BoxConfig) -> str:
    """wpa_supplicant.conf; empty without Wi-Fi.

    The name stands as hex digits and the key as what wpa_passphrase makes of the password, so that nothing
    that was typed can be taken for more lines.
    """
    if not config.wifi_name:
        return ""
    name = config.wifi_name.encode()
    lines = ["ctrl_interface=/run/wpa_supplicant", f"country={config.wifi_country or 'CN'}", "network={"]
    lines += [f"\tssid={name.hex()}", "\tscan_ssid=1"]
    lines += (
        [f"\tpsk={psk(config.wifi_password, config.wifi_name)}"]
        if config.wifi_password
        else ["\tkey_mgmt=NONE"]
    )
    return "\n".join([*lines, "}"]) + "\n"
