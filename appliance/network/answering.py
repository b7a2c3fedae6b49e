"""Answers for the box's short name and as a device, on every LAN it stands on: names.py and ssdp.py at their
sockets. One box has a name: whoever asks first and hears nobody takes it, the next box takes `lesson-2`."""

from __future__ import annotations

import ipaddress
import logging
import secrets
import selectors
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psutil

from appliance.network import names, ssdp
from content_sync.formats.enrolment import is_private

_log = logging.getLogger("lan")
_ASKS, _BETWEEN = 3, 0.3
#: Seconds between looks whether another has the name too: soon after it was taken, for two boxes that one
#: power cut started asked at the same moment and heard nobody; then seldom.
_LOOKS = (1.0, 2.0, 5.0, 15.0, 60.0)
_PATIENCE = 3  # looks at another's claim until the name is left to whatever it is
_MOST_NAMES = 30
#: No stranger gets more out of us than this, whatever address he writes on his questions.
_MOST_A_SECOND = 60
_IP_MULTICAST_ALL = 49  # linux/in.h


class Answerer:
    """Call `step` whenever it asked to be called, `hear` in between.

    `wanted`: the name for the first box; `known`: what multicast DNS calls this one, so that both agree;
    `lan`: this machine's addresses that boards are at; `netbios`: the socket for port 137, which takes a
    privilege to open.
    """

    def __init__(
        self,
        wanted: str,
        known: Callable[[], str | None],
        lan: Callable[[], Sequence[str]],
        port: int,
        device: str,
        netbios: socket.socket | None = None,
    ) -> None:
        self._wanted, self._known, self._lan, self._device = wanted, known, lan, device
        self._tail, self._netbios = "" if port == 80 else f":{port}", netbios
        self._selector = selectors.DefaultSelector()
        self._on: tuple[str, ...] = ()
        self._opened: list[socket.socket] = []
        self._number, self._asks, self._looks, self._since = 1, 0, 0, 0
        self._at = self._alive_at = 0.0
        self._second, self._said = 0, 0
        self._other = False
        #: What boards can call this box now; empty: not known yet, or no LAN.
        self.name = ""

    # what is due

    def step(self, now: float) -> float:
        """Do what is due; when there is more."""
        on = tuple(sorted(self._lan()))
        if on != self._on:
            self._open(on)
            self._claim(1)
        if not self._on:
            return now + 5
        if now < self._at:
            return min(self._at, now + 5)
        if not self.name:
            if self._asks:
                self._asks -= 1
                self._ask(self._candidate())
                self._at = now + _BETWEEN
                return self._at
            self.name, self._alive_at = self._candidate(), 0.0
            _log.info("answers for %s on %s", self.name, ", ".join(self._on))
        if now >= self._alive_at:
            self._notify(True)
            self._alive_at = now + ssdp.ALIVE_EVERY
        known = self._of_mdns()
        if known > self._number:
            self._claim(known)
            return now
        self._looks = self._looks + 1 if self._other else 0
        self._other = False
        self._ask(self.name)
        self._at = now + _LOOKS[min(self._since, len(_LOOKS) - 1)]
        self._since += 1
        return min(self._at, now + 5)

    def close(self) -> None:
        """Say goodbye and end."""
        if self.name:
            self._notify(False)
        self._open(())
        self._selector.close()

    def _claim(self, number: int) -> None:
        self.name, self._asks, self._at, self._since = "", _ASKS, 0.0, 0
        self._number, self._looks, self._other = max(number, self._of_mdns()), 0, False

    def _candidate(self) -> str:
        return self._wanted if self._number == 1 else f"{self._wanted}-{self._number}"

    def _of_mdns(self) -> int:
        """The number of the name that multicast DNS settled on; 1 where it has none of ours."""
        known = (self._known() or "").removesuffix(".local")
        tail = known.removeprefix(self._wanted + "-")
        return min(int(tail), _MOST_NAMES) if tail != known and tail.isascii() and tail.isdigit() else 1

    # sockets

    def _open(self, on: tuple[str, ...]) -> None:
        for one in [*self._opened, *([self._netbios] if self._netbios else [])]:
            with suppress(KeyError, ValueError):
                self._selector.unregister(one)
        for one in self._opened:
            one.close()
        self._on, self._opened = on, []
        if not on:
            return
        hears: list[tuple[socket.socket, Callable[[bytes, str], Any]]] = []
        try:
            hears.append((_group(names.LLMNR_GROUP, names.LLMNR_PORT, on), self._llmnr))
            hears.append((_group(ssdp.GROUP, ssdp.PORT, on), self._ssdp))
            hears.append((_plain(), self._llmnr))  # what comes back to our own questions
        except OSError as error:
            _log.warning("cannot listen: %s", error)
            self._on = ()  # tried again by the next step
        self._opened = [one for one, _ in hears]
        if self._netbios is not None:
            hears.append((self._netbios, self._nbns))
        for one, hear in hears:
            self._selector.register(one, selectors.EVENT_READ, hear)

    def hear(self, seconds: float) -> None:
        """Answer what comes within so long, at most."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            one: socket.socket = key.fileobj  # type: ignore[assignment]
            for _ in range(50):
                try:
                    packet, sender = one.recvfrom(2048, socket.MSG_DONTWAIT)
                except OSError:
                    break
                answers = key.data(packet, sender[0])
                for answer in answers:
                    with suppress(OSError):  # it has gone
                        one.sendto(answer, sender[:2])

    def admits(self, sender: str, second: int) -> bool:
        """Whether a question is answered: from a private network, and not too many of them."""
        address = ipaddress.ip_address(sender)
        if not (is_private(address) or address.is_link_local or address.is_loopback):
            return False
        if second != self._second:
            self._second, self._said = second, 0
        self._said += 1
        return self._said <= _MOST_A_SECOND

    # what is heard

    def _llmnr(self, packet: bytes, sender: str) -> list[bytes]:
        return self._named(packet, sender, names.hear_llmnr)

    def _nbns(self, packet: bytes, sender: str) -> list[bytes]:
        return self._named(packet, sender, names.hear_netbios)

    def _named(
        self, packet: bytes, sender: str, hear: Callable[[bytes, str, str], names.Heard]
    ) -> list[bytes]:
        own = own_address(sender)
        if not own:
            return []
        heard = hear(packet, self.name or self._candidate(), own)
        if heard.claims and heard.claims not in _every_own():
            self._contested(heard.claims, sender)
        return [heard.answer] if heard.answer and self.name and self._allowed(sender) else []

    def _contested(self, other: str, sender: str) -> None:
        """Somebody else has the name. Before it is ours: his. Afterwards the lower address keeps it."""
        self._other = True
        mine = min(ipaddress.ip_address(one).packed for one in self._on)
        lower = ipaddress.ip_address(other).packed < mine
        if not self.name or lower or self._looks >= _PATIENCE:
            _log.info("%s is at %s already", self._candidate(), other)
            self._claim(min(self._number + 1, _MOST_NAMES))

    def _ssdp(self, packet: bytes, sender: str) -> list[bytes]:
        own = own_address(sender) if self.name else ""
        found = ssdp.answers(packet, self._device, self._location(own)) if own else []
        return found if found and self._allowed(sender) else []

    def _allowed(self, sender: str) -> bool:
        return self.admits(sender, int(time.monotonic()))

    def _location(self, own: str) -> str:
        return f"http://{own}{self._tail}{ssdp.DESCRIPTION}"

    # what is said

    def _ask(self, name: str) -> None:
        number = secrets.randbelow(0xFFFF) + 1
        for own in self._on:
            if self._opened:
                _send_group(self._opened[-1], own, names.LLMNR_GROUP, names.LLMNR_PORT,
                            [names.llmnr_query(name, number)])  # fmt: skip
            everyone = broadcast_of(own)
            if self._netbios is not None and everyone and len(name) <= names.NETBIOS_MOST:
                with suppress(OSError):
                    query = names.netbios_query(name, number)
                    self._netbios.sendto(query, (everyone, names.NETBIOS_PORT))

    def _notify(self, here: bool) -> None:
        for own in self._on:
            if self._opened:
                told = ssdp.notices(self._device, self._location(own) if here else "")
                _send_group(self._opened[-1], own, ssdp.GROUP, ssdp.PORT, told)


def _plain() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("0.0.0.0", 0))
    return one


def _group(group: str, port: int, on: Sequence[str]) -> socket.socket:
    """A socket that hears a multicast group on these addresses' interfaces, and what is sent to it alone."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        one.bind(("0.0.0.0", port))
        for own in on:
            with suppress(OSError):  # two addresses on one interface
                both = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton(own))
                one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, both)
    except OSError:
        one.close()
        raise
    return one


def _send_group(one: socket.socket, own: str, group: str, port: int, packets: Sequence[bytes]) -> None:
    with suppress(OSError):  # no way out by this interface now
        one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
        for packet in packets:
            one.sendto(packet, (group, port))


def own_address(other: str) -> str:
    """Our own address on the way to another machine; empty: there is no way."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # connecting it sends nothing
            probe.connect((other, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _every_own() -> set[str]:
    return {one.address for entries in psutil.net_if_addrs().values() for one in entries}


def broadcast_of(own: str) -> str:
    """Everyone in the network of this address of ours; empty where nobody else can be."""
    for entries in psutil.net_if_addrs().values():
        for one in entries:
            if one.address == own and one.netmask:
                network = ipaddress.ip_interface(f"{own}/{one.netmask}").network
                return str(network.broadcast_address) if network.num_addresses > 2 else ""
    return ""
