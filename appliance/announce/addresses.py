"""The machine's addresses on its LAN."""

from __future__ import annotations

import ipaddress
import re
import socket

_VIRTUAL = re.compile(r"(docker|veth|virbr|br-|lxc|tap|tun)")


def lan_addresses(listen: str) -> tuple[str, ...]:
    """The addresses at which boards reach a server that listens on `listen`; nothing for the loopback."""
    try:
        host = ipaddress.ip_address(socket.getaddrinfo(listen, None)[0][4][0])
    except (OSError, ValueError):
        return ()
    if not host.is_unspecified:
        return () if host.is_loopback else (str(host),)
    import psutil  # every start of web would load it for one page

    families = {socket.AF_INET: 4} if host.version == 4 else {socket.AF_INET: 4, socket.AF_INET6: 6}
    up = psutil.net_if_stats()
    found = []
    for name, addresses in psutil.net_if_addrs().items():
        if _VIRTUAL.match(name) or name not in up or not up[name].isup:
            continue
        for address in addresses:
            if address.family in families:
                one = ipaddress.ip_address(address.address.split("%")[0])
                if not one.is_loopback and not (one.version == 6 and one.is_link_local):
                    found.append(str(one))
    return tuple(sorted(found))
