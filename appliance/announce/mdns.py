"""The box's name on the LAN: `lesson.local` and the service `_http._tcp` (contract.md), by multicast DNS.

Where avahi owns the host name, it stays avahi's: a second claim on it would drive avahi off (findings: mDNS).
The service then points to a name of our own, `<box id>.local`. Without avahi this program looks whether the
name is free, and when two boxes took it at one moment the one with the lower address keeps it.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Callable, Sequence

from zeroconf import (
    AddressResolver,
    DNSAddress,
    DNSOutgoing,
    DNSQuestion,
    RecordUpdateListener,
    ServiceInfo,
    Zeroconf,
)
from zeroconf import Error as ZeroconfError

from appliance.announce.addresses import lan_addresses as lan_addresses

SERVICE = "_http._tcp.local."
_QUERY, _IN, _A = 0, 1, 1  # RFC 1035: header flags of a question, class, type
_MOST_NAMES = 30
_LISTEN_MS = 1500
_PATIENCE = 3  # looks at another's claim on our name until we give it up to whatever it is
_NAME_BYTES = 55  # of 63, so that a number can follow
_LOG = logging.getLogger("mdns")


def own_avahi_name(name: str | None, host: str) -> bool:
    """Whether avahi has the name that the box is to have, or the next one because a neighbour has it."""
    return name is not None and re.fullmatch(rf"{re.escape(host)}(-\d+)?\.local", name) is not None


class _Neighbours(RecordUpdateListener):
    """Remembers who else says that a host name is his."""

    def __init__(self, host: str, mine: Sequence[str]) -> None:
        self._key = host.lower()
        self._mine = {ipaddress.ip_address(address).packed for address in mine}
        self.others: set[bytes] = set()

    def async_update_records(self, zc: Zeroconf, now: float, records: list) -> None:  # type: ignore[type-arg]
        """Called by zeroconf for what it hears."""
        for record in (update.new for update in records):
            if isinstance(record, DNSAddress) and record.key == self._key and record.ttl > 0:
                address = record.address
                link_local = len(address) == 16 and ipaddress.ip_address(address).is_link_local
                if address not in self._mine and not link_local:
                    self.others.add(address)

    def async_update_records_complete(self) -> None:
        """Called by zeroconf after each packet; nothing to do."""


class Announcer:
    """Announces one box. Call `step` every ten seconds or so; it may take some seconds when names change."""

    def __init__(
        self,
        box: str,
        school: str,
        host: str,
        port: int,
        addresses: Callable[[], Sequence[str]],
        avahi: Callable[[], str | None],
    ) -> None:
        self._box, self._school, self._host, self._port = box, school or "课箱", host, port
        self._addresses, self._avahi = addresses, avahi
        self._zeroconf: Zeroconf | None = None
        self._neighbours: _Neighbours | None = None
        self._now: tuple[tuple[str, ...], str | None] | None = None
        self._looks = 0
        self._first = 1  # the number of the first name to try
        self.host: str | None = None  # the name boards use now, without the last dot
        self.problem = ""

    def step(self) -> None:
        """Announce, or announce anew after addresses, avahi or a neighbour changed something."""
        avahi = self._avahi()
        now = (tuple(self._addresses()), avahi if own_avahi_name(avahi, self._host) else None)
        if now == self._now and not self._must_yield():
            return
        self.close()
        self._now = None
        if not now[0]:
            self._now, self.problem = now, ""
            return
        try:
            self._announce(*now)
        except (OSError, ZeroconfError) as error:
            self.close()
            self.problem = f"{type(error).__name__}: {error}"
            _LOG.warning("cannot announce: %s", self.problem)
            return
        self._now, self.problem = now, ""

    def close(self) -> None:
        """Say goodbye and stop."""
        self.host = None
        if self._zeroconf is not None:
            try:
                self._zeroconf.close()
            except (OSError, ZeroconfError) as error:
                _LOG.info("goodbye: %s", error)
            self._zeroconf = self._neighbours = None

    def _announce(self, addresses: tuple[str, ...], avahi: str | None) -> None:
        four = [address for address in addresses if "." in address]
        self._zeroconf = Zeroconf(interfaces=four or list(addresses))
        if avahi is not None:
            name, server = avahi, f"{self._box}.local"
        else:
            name = server = self._free_name(self._zeroconf, addresses)
        self._neighbours = _Neighbours(server + ".", addresses)
        self._looks = 0
        self._zeroconf.add_listener(self._neighbours, None)
        info = ServiceInfo(
            SERVICE,
            f"{_clip(self._school)}.{SERVICE}",
            port=self._port,
            properties={"product": "lessonbox", "id": self._box, "path": "/"},
            server=server + ".",
            parsed_addresses=list(addresses),
        )
        self._zeroconf.register_service(info, allow_name_change=True)
        self.host = name

    def _free_name(self, zeroconf: Zeroconf, mine: Sequence[str]) -> str:
        """The first of lesson.local, lesson-2.local … for which nobody else answers."""
        for number in range(self._first, self._first + _MOST_NAMES):
            name = f"{self._host}.local" if number == 1 else f"{self._host}-{number}.local"
            resolver = AddressResolver(name + ".")
            resolver.request(zeroconf, _LISTEN_MS)
            if not set(resolver.parsed_addresses()) - set(mine):
                return name
        return f"{self._box}.local"

    def _must_yield(self) -> bool:
        """Whether the name must be left to a neighbour; asks around for the next look."""
        if (
            self._zeroconf is None
            or self._neighbours is None
            or self._now is None
            or self._now[1] is not None
        ):
            return False
        others, self._neighbours.others = self._neighbours.others, set()
        if not others:
            self._looks = 0
            question = DNSOutgoing(_QUERY)
            question.add_question(DNSQuestion(f"{self.host}.", _A, _IN))
            self._zeroconf.send(question)
            return False
        self._looks += 1
        mine = min(ipaddress.ip_address(address).packed for address in self._now[0])
        return min(others) < mine or self._looks >= _PATIENCE


def _clip(text: str) -> str:
    """A school's name as an instance name: no dots at its ends, short enough for DNS."""
    clean = " ".join(text.replace(".", " ").split())
    return clean.encode()[:_NAME_BYTES].decode("utf-8", "ignore")
