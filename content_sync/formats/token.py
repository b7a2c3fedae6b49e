"""The box token: what tracker and web-seed addresses carry in their path (formats.md 8).

A token names its holder and proves it by an HMAC, so that the county looks up nothing to check one. A box
makes its own from the `token_key` of its enrolment file and the `token` number of its envelope: neither the
envelope, which anybody may read, nor an old token is of use to a thief. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import quote

#: Holders: `b-` a box, `g-` a guest (somebody with an ordinary BitTorrent client).
_HOLDER = re.compile(r"[bg]-[0-9a-f]{16}")
_TOKEN = re.compile(r"[bg][0-9a-f]{48}")
_IN_TEXT = re.compile(r"(?<![0-9a-f])[bg][0-9a-f]{48}(?![0-9a-f])")


def holder_key(secret: bytes, holder: str) -> str:
    """A holder's `token_key` (64 hex digits), made of the county's secret."""
    return hmac.new(secret, f"lessonbox-token-key/1\n{holder}".encode(), hashlib.sha256).hexdigest()


def make_token(key: str, holder: str, number: int) -> str:
    """The holder's token of that number; a higher number makes the earlier ones void."""
    if not _HOLDER.fullmatch(holder):
        raise ValueError("not a holder of a token")
    message = f"lessonbox-token/1\n{holder}\n{number}".encode()
    return holder[0] + holder[2:] + hmac.new(bytes.fromhex(key), message, hashlib.sha256).hexdigest()[:32]


def is_token(text: str) -> bool:
    """Whether a part of a path looks like a token."""
    return _TOKEN.fullmatch(text) is not None


def holder_of(token: str) -> str:
    """The holder that a token names; what looks like one, not yet proved."""
    return f"{token[0]}-{token[1:17]}"


def proves(token: str, secret: bytes, number: int) -> bool:
    """Whether the token is its holder's of that number."""
    if not is_token(token):
        return False
    holder = holder_of(token)
    return hmac.compare_digest(token, make_token(holder_key(secret, holder), holder, number))


def announce_url(county: str, token: str | None) -> str:
    """The tracker's address for the holder of a token; without one the open address."""
    return f"{county}/announce/{token}" if token else f"{county}/announce"


def seed_url(county: str, token: str | None, infohash: str) -> str:
    """The BEP 19 base of a package, with a slash at its end."""
    return f"{county}/seed/{quote(token)}/{infohash}/" if token else f"{county}/seed/{infohash}/"


def hidden(text: str) -> str:
    """The text with tokens cut short: what logs, problems and pages may show."""
    return _IN_TEXT.sub(lambda match: f"{match[0][:5]}…", text)
