"""The box's short name on the wire, for boards that know no mDNS: LLMNR (RFC 4795) and NetBIOS name service
(RFC 1002, by broadcast, or to the box alone from another network). Pure; never raises on what it hears."""

from __future__ import annotations

import ipaddress
import struct

from msgspec import Struct

LLMNR_PORT, LLMNR_GROUP = 5355, "224.0.0.252"
NETBIOS_PORT = 137
#: A NetBIOS name has 15 letters and a kind: 00 a workstation, 20 a file server. Browsers ask for 00.
NETBIOS_MOST = 15
_KINDS = (0x00, 0x20)
_A, _AAAA, _ANY, _IN = 1, 28, 255, 1
_NB, _NBSTAT = 0x20, 0x21
_LLMNR_TTL, _NETBIOS_TTL = 30, 300
_ACTIVE = 0x0400
_REGISTER, _ACTIVE_ERROR = 5, 6


class Heard(Struct, frozen=True):
    """A packet that was understood. `answer`: what to send back to its sender; `claims`: the address of
    somebody who says that the name is his."""

    answer: bytes = b""
    claims: str = ""


NOTHING = Heard()


def llmnr_query(name: str, number: int) -> bytes:
    """Who is called so?"""
    return struct.pack(">6H", number, 0, 1, 0, 0, 0) + _label(name) + struct.pack(">2H", _A, _IN)


def hear_llmnr(packet: bytes, name: str, address: str) -> Heard:
    """What an LLMNR packet means to the box `name`, whose address towards the sender is `address`."""
    if not 12 < len(packet) <= 512:
        return NOTHING
    number, flags, questions, answers, authorities, _ = struct.unpack_from(">6H", packet)
    end = 13 + packet[12]
    if flags & 0x7800 or questions != 1 or packet[12] > 63 or len(packet) < end + 5 or packet[end] != 0:
        return NOTHING
    if packet[13:end].decode("utf-8", "replace").lower() != name.lower():
        return NOTHING
    end += 1
    kind, group = struct.unpack_from(">2H", packet, end)
    question = packet[12 : end + 4]
    if flags & 0x8000:
        return Heard(claims=_first_address(packet, end + 4)) if answers else NOTHING
    if answers or authorities or group != _IN:
        return NOTHING
    own = ipaddress.ip_address(address)
    record = b""
    if kind == _ANY or kind == (_A if own.version == 4 else _AAAA):
        of = _A if own.version == 4 else _AAAA
        record = b"\xc0\x0c" + struct.pack(">2HIH", of, _IN, _LLMNR_TTL, len(own.packed)) + own.packed
    head = struct.pack(">6H", number, 0x8000, 1, 1 if record else 0, 0, 0)
    return Heard(head + question + record)


def _first_address(packet: bytes, at: int) -> str:
    """The address in the first answer, whose name is a pointer or the name once more."""
    while at < len(packet) and packet[at] and packet[at] < 0xC0:
        at += 1 + packet[at]
    at += 2 if at < len(packet) and packet[at] >= 0xC0 else 1
    if len(packet) < at + 10:
        return ""
    kind, _, _, length = struct.unpack_from(">2HIH", packet, at)
    data = packet[at + 10 : at + 10 + length]
    return str(ipaddress.IPv4Address(data)) if kind == _A and len(data) == 4 else ""


def _label(name: str) -> bytes:
    encoded = name.encode()
    return bytes([len(encoded)]) + encoded + b"\0"


def netbios_query(name: str, number: int) -> bytes:
    """Who is called so? To be broadcast."""
    question = _netbios_name(name, _KINDS[0]) + struct.pack(">2H", _NB, _IN)
    return struct.pack(">6H", number, 0x0110, 1, 0, 0, 0) + question


def hear_netbios(packet: bytes, name: str, address: str) -> Heard:
    """What a NetBIOS packet means to the box `name`; a name that is too long for it has none here."""
    if not 50 <= len(packet) <= 576 or len(name) > NETBIOS_MOST:
        return NOTHING
    number, flags, questions, answers = struct.unpack_from(">4H", packet)
    kind = struct.unpack_from(">H", packet, 46)[0]
    asked, code = packet[12:46], flags >> 11 & 15
    own = {_netbios_name(name, suffix) for suffix in _KINDS}
    if flags & 0x8000:
        if code == 0 and answers and kind == _NB and asked in own and len(packet) >= 62 and not flags & 15:
            return Heard(claims=str(ipaddress.IPv4Address(packet[58:62])))
        return NOTHING
    if questions != 1 or ":" in address:
        return NOTHING
    body = struct.pack(">HI", _IN, _NETBIOS_TTL)
    four = ipaddress.IPv4Address(address).packed
    if code == 0 and kind == _NB and asked in own:
        record = asked + struct.pack(">H", _NB) + body + struct.pack(">2H", 6, 0) + four
        return Heard(struct.pack(">6H", number, 0x8500, 0, 1, 0, 0) + record)
    if code == 0 and kind == _NBSTAT and (asked in own or asked == _netbios_name("*", 0, b"\0")):
        names = b"".join(_padded(name) + struct.pack(">BH", suffix, _ACTIVE) for suffix in _KINDS)
        data = bytes([len(_KINDS)]) + names + bytes(46)
        record = asked + struct.pack(">H", _NBSTAT) + struct.pack(">HI", _IN, 0)
        head = struct.pack(">6H", number, 0x8400, 0, 1, 0, 0)
        return Heard(head + record + struct.pack(">H", len(data)) + data)
    if code == _REGISTER and kind == _NB and asked in own and packet[-4:] != four:
        # Somebody new wants the name: it is taken.
        record = asked + struct.pack(">H", _NB) + body + struct.pack(">2H", 6, 0) + four
        return Heard(struct.pack(">6H", number, 0xAD80 | _ACTIVE_ERROR, 0, 1, 0, 0) + record)
    return NOTHING


def _padded(name: str, fill: bytes = b" ") -> bytes:
    return name.upper().encode("ascii", "replace")[:NETBIOS_MOST].ljust(NETBIOS_MOST, fill)


def _netbios_name(name: str, kind: int, fill: bytes = b" ") -> bytes:
    """Each half of each byte as a letter from A on, without a scope."""
    raw = _padded(name, fill) + bytes([kind])
    return b"\x20" + b"".join(bytes([0x41 + (b >> 4), 0x41 + (b & 15)]) for b in raw) + b"\0"
