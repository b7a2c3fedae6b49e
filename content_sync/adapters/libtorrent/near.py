"""Which addresses are on this box's own network: what comes from there is free."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct

from content_sync.adapters.libtorrent.session import lt

_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B
#: A school's LAN is not wider; a provider's network may be.
_WIDEST = 22
Network = ipaddress.IPv4Network


def own_networks() -> dict[str, Network]:
    """This machine's IPv4 addresses, each with its network: private ones and the loopback, of at most 1024
    addresses each."""
    found: dict[str, Network] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                packed = struct.pack("256s", name.encode()[:15])
                address = fcntl.ioctl(probe, _SIOCGIFADDR, packed)[20:24]
                mask = fcntl.ioctl(probe, _SIOCGIFNETMASK, packed)[20:24]
            except OSError:  # it has no IPv4 address
                continue
            text = socket.inet_ntoa(address)
            whole = ipaddress.IPv4Interface(f"{text}/{socket.inet_ntoa(mask)}").network
            if not whole.is_private or whole.prefixlen == 32:
                continue
            if not whole.is_loopback:
                whole = ipaddress.IPv4Interface(f"{text}/{max(whole.prefixlen, _WIDEST)}").network
            found[text] = whole
    return found


def own_name(networks: dict[str, Network]) -> str:
    """The address that this box goes by among its neighbours until a connection shows a better one."""
    return min(networks, key=lambda text: (networks[text].is_loopback, text), default="")


def same_lan(networks: dict[str, Network], address: str) -> str:
    """This machine's address on the network of `address`; empty when it is not near."""
    try:
        there = ipaddress.IPv4Address(address.removeprefix("::ffff:"))
    except ValueError:
        return ""
    return next((here for here, network in networks.items() if there in network), "")


def only_near(networks: dict[str, Network]) -> lt.ip_filter:
    """A filter that lets no address through but those near."""
    made = lt.ip_filter()
    made.add_rule("0.0.0.0", "255.255.255.255", 1)
    made.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1)
    for network in networks.values():
        made.add_rule(str(network[0]), str(network[-1]), 0)
    return made


def near_free(session: lt.session, networks: dict[str, Network]) -> None:
    """Make the session's rate limits hold for every peer but those near."""
    classes = lt.ip_filter()
    far, near = 1 << lt.session.global_peer_class_id, 1 << lt.session.local_peer_class_id
    classes.add_rule("0.0.0.0", "255.255.255.255", far)
    classes.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", far)
    for network in networks.values():
        classes.add_rule(str(network[0]), str(network[-1]), near)
    session.set_peer_class_filter(classes)
