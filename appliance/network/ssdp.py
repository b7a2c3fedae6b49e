"""The box among the devices that Windows shows under Network: SSDP (UPnP Device Architecture 1.0) and the
description that it leads to. Pure."""

from __future__ import annotations

import uuid
from html import escape

PORT, GROUP = 1900, "239.255.255.250"
DESCRIPTION = "/upnp.xml"
ALIVE_EVERY = 600
_MAX_AGE = 1800
_BASIC = "urn:schemas-upnp-org:device:Basic:1"
_NAMESPACE = uuid.UUID("6d2b9c1e-54a8-5f0a-9d2e-3a6f0c8e7b41")


def device_id(machine: str) -> str:
    """This machine's id as a UPnP device, from its secret one (machine-id(5)), which it does not show."""
    return str(uuid.uuid5(_NAMESPACE, machine.strip()))


def _kinds(device: str) -> dict[str, str]:
    """What a search may name, and the unique name that goes with it."""
    own = f"uuid:{device}"
    return {"upnp:rootdevice": f"{own}::upnp:rootdevice", own: own, _BASIC: f"{own}::{_BASIC}"}


def answers(packet: bytes, device: str, location: str) -> list[bytes]:
    """What to send back to who searches; nothing to anything else."""
    if len(packet) > 1500 or not packet.startswith(b"M-SEARCH * HTTP/1.1\r\n"):
        return []
    said = {}
    for line in packet.decode("ascii", "replace").split("\r\n")[1:30]:
        key, _, value = line.partition(":")
        said[key.strip().upper()] = value.strip()
    if said.get("MAN", "").strip('"') != "ssdp:discover":
        return []
    wanted, kinds = said.get("ST", ""), _kinds(device)
    found = kinds if wanted == "ssdp:all" else {wanted: kinds[wanted]} if wanted in kinds else {}
    return [
        _message("HTTP/1.1 200 OK", {"CACHE-CONTROL": f"max-age={_MAX_AGE}", "EXT": "", "LOCATION": location,
                 "SERVER": "Linux UPnP/1.0 LessonBox/1", "ST": kind, "USN": unique})
        for kind, unique in found.items()
    ]  # fmt: skip


def notices(device: str, location: str) -> list[bytes]:
    """To be sent to the group: the box is here; without a location, it goes."""
    told = {"HOST": f"{GROUP}:{PORT}"}
    if location:
        told |= {"CACHE-CONTROL": f"max-age={_MAX_AGE}", "LOCATION": location}
        told |= {"SERVER": "Linux UPnP/1.0 LessonBox/1"}
    state = "ssdp:alive" if location else "ssdp:byebye"
    return [
        _message("NOTIFY * HTTP/1.1", told | {"NT": kind, "NTS": state, "USN": unique})
        for kind, unique in _kinds(device).items()
    ]


def _message(first: str, headers: dict[str, str]) -> bytes:
    lines = [first, *(f"{key}: {value}".rstrip() for key, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("ascii")


def description(device: str, name: str, home: str, serial: str) -> str:
    """What stands at DESCRIPTION. `name`: what Windows writes below the icon; `home`: where it leads."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor>'
        f"</specVersion><device><deviceType>{_BASIC}</deviceType>"
        f"<friendlyName>{escape(name[:63])}</friendlyName><manufacturer>Lesson Box</manufacturer>"
        "<modelName>Lesson Box</modelName><modelDescription>Lessons of the county, for the school"
        f"</modelDescription><serialNumber>{escape(serial)}</serialNumber><UDN>uuid:{device}</UDN>"
        f"<presentationURL>{escape(home)}</presentationURL></device></root>\n"
    )
