"""The enrolment file: how a box learns whom to trust and proves which box it is, once (formats.md 6, 7)."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from content_sync.errors import EnrolError, FormatError
from content_sync.formats.canonical import check_format, dump, load, need, need_hex

FORMAT = "lessonbox-enrolment/1"
MAX_ENROLMENT = 256 << 10
_PRIVATE = tuple(
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
_BOX_ID = re.compile(r"b-[0-9a-f]{16}")


class Enrolment(Struct, frozen=True):
    """What an enrolment file holds. `root` is the newest root metadata as a JSON object, not yet verified.

    `token_key`: what the box makes its token of (formats/token.py); None in a file of an older county.
    """

    county: str
    urls: tuple[str, ...]
    box: str
    school_code: str
    school_name: str
    claim: str | None
    root: dict[str, Any]
    token_key: str | None = None


def new_box_id() -> str:
    """A fresh box id."""
    return "b-" + secrets.token_hex(8)


def new_claim() -> str:
    """A fresh one-time secret of 128 bits, hex."""
    return secrets.token_hex(16)


def check_box_id(text: object) -> str:
    """A box id; returns it. Raises FormatError."""
    if not isinstance(text, str) or not _BOX_ID.fullmatch(text):
        raise FormatError(f"not a box id: {str(text)[:40]!r}")
    return text


def of_one_county(one: Enrolment, other: Enrolment) -> bool:
    """Whether two files are of one county: same name, and one's root is signed by a key of the other's. Of
    roots that were verified; the newer may be a step ahead."""

    def signers(root: dict[str, Any]) -> set[Any]:
        return {signature["keyid"] for signature in root["signatures"]}

    def keys(root: dict[str, Any]) -> set[Any]:
        return set(root["signed"]["roles"]["root"]["keyids"])

    try:
        signed = keys(one.root) & signers(other.root) or keys(other.root) & signers(one.root)
    except (KeyError, TypeError):
        return False
    return one.county == other.county and bool(signed)


def check_url(text: object) -> str:
    """A county address without its closing slash. Raises FormatError."""
    if not isinstance(text, str):
        raise FormatError("an address is missing")
    try:
        # urlsplit silently drops line ends and tabs
        if not text.isprintable() or " " in text:
            raise ValueError
        parts = urlsplit(text)
        good = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise FormatError(f"not an address like http://HOST:PORT: {text[:120]!r}")
    return text.rstrip("/")


def is_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it is one of a private network (RFC 1918, RFC 4193). Not what Python calls so, which includes
    addresses for documents and tests, the loopback and more."""
    return any(address.version == network.version and address in network for network in _PRIVATE)


def lan_url(text: str) -> str | None:
    """`http://<private IP address>[:port]` without a closing slash, as a neighbour on the LAN has it; None
    for anything else: a name could lead anywhere."""
    try:
        parts = urlsplit(check_url(text))
        address = ipaddress.ip_address(parts.hostname or "")
    except (FormatError, ValueError):
        return None
    if parts.scheme != "http" or parts.path or "@" in parts.netloc or not is_private(address):
        return None
    return f"http://{parts.netloc}"


def claim_proof(claim: str, box: str, public_key: str) -> str:
    """HMAC that binds a public key (hex) to a box by its claim (hex): formats.md 7."""
    message = f"lessonbox-enrol/1\n{box}\n{public_key}".encode()
    return hmac.new(bytes.fromhex(claim), message, hashlib.sha256).hexdigest()


def dump_enrolment(enrolment: Enrolment) -> bytes:
    """The bytes of an enrolment file."""
    made = {
        "format": FORMAT,
        "county": enrolment.county,
        "urls": list(enrolment.urls),
        "box": enrolment.box,
        "school": {"code": enrolment.school_code, "name": enrolment.school_name},
        "root": enrolment.root,
    }
    if enrolment.claim is not None:
        made["claim"] = enrolment.claim
    if enrolment.token_key is not None:
        made["token_key"] = enrolment.token_key
    return dump(made)


def parse_enrolment(data: bytes) -> Enrolment:
    """Read and check an enrolment file. Raises EnrolError for what is not one, FormatError otherwise."""
    try:
        obj = load(data, MAX_ENROLMENT)
        check_format(obj, FORMAT)
    except FormatError as error:
        raise EnrolError(f"not an enrolment file: {error.what}") from None
    school = need(obj, "school", dict)
    urls = tuple(check_url(url) for url in need(obj, "urls", list))
    claim = need_hex(obj, "claim", 32) if obj.get("claim") is not None else None
    return Enrolment(
        county=need(obj, "county", str),
        urls=urls,
        box=check_box_id(obj.get("box")),
        school_code=need(school, "code", str),
        school_name=need(school, "name", str),
        claim=claim,
        root=need(obj, "root", dict),
        token_key=need_hex(obj, "token_key", 64) if obj.get("token_key") is not None else None,
    )
