"""What a box's own Wi-Fi is called and its password, where nobody chose others (formats.md 19): of what the
enrolment says, so that the county's door label and the box agree without a word between them."""

from __future__ import annotations

import hashlib

from content_sync.formats.enrolment import Enrolment

_DIGITS = 10


def hotspot_name(box: str) -> str:
    """Like `lesson-3f2a`: ASCII, for old Windows garbles all else; the end of the box's id, so that two boxes
    of a school are two networks."""
    return f"lesson-{box[-4:]}"


def hotspot_password(enrolment: Enrolment) -> str:
    """Ten digits, which every telephone can type; empty for an enrolment of an older county."""
    if enrolment.token_key is None:
        return ""
    told = hashlib.sha256(f"lessonbox hotspot {enrolment.token_key}".encode()).digest()
    return f"{int.from_bytes(told) % 10**_DIGITS:0{_DIGITS}d}"


def psk(password: str, name: str) -> str:
    """The key of a Wi-Fi as 64 hex digits (IEEE 802.11i, H.4), so that nothing that was typed can be taken
    for more lines of a configuration; 64 hex digits are the key already."""
    if len(password) == 64:
        return password.lower()
    return hashlib.pbkdf2_hmac("sha1", password.encode(), name.encode(), 4096, 32).hex()
