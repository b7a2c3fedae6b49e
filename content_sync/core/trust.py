"""Pure rules of trust: a file is what was signed, byte for byte; how stale a release is (formats.md 4).

Signatures and versions are checked in adapters/tuf.py.
"""

from __future__ import annotations

import hashlib

from content_sync.errors import FormatError, TargetError
from content_sync.formats import dsse
from content_sync.formats.canonical import load
from content_sync.formats.collection import TargetRef
from content_sync.formats.envelope import MAX_ENVELOPE, parse_envelope

MAX_ROOT = 64 << 10
MAX_TIMESTAMP = 16 << 10
MAX_SNAPSHOT = 64 << 10
MAX_TARGETS = 1 << 20
ROLES = ("root", "timestamp", "snapshot", "targets")
_WEEK = 7 * 86_400


def check_target(ref: TargetRef, data: bytes) -> None:
    """Raise TargetError unless `data` is what `ref` names: length first, then SHA-256."""
    if len(data) != ref.length:
        raise TargetError(f"{ref.path} has {len(data)} bytes, signed were {ref.length}")
    if hashlib.sha256(data).hexdigest() != ref.sha256:
        raise TargetError(f"{ref.path} does not have the hash that was signed")


def weeks_stale(expires: int, now: int) -> int:
    """For how many begun weeks a release is past its `expires` (unix seconds); 0 while it is fresh."""
    return max(0, -(-(now - expires) // _WEEK))


def metadata_kind(data: bytes) -> tuple[str, int] | None:
    """What a file from a drop says it is: (`root`, `timestamp`, `snapshot`, `targets`, `envelope`; version).

    None when it is none of them. Nothing is verified: it only tells where to feed the bytes.
    """
    try:
        obj = load(data, MAX_TARGETS)
        if "payloadType" in obj:
            signed = dsse.parse_signed(data, dsse.ENVELOPE_TYPE, MAX_ENVELOPE)
            return "envelope", parse_envelope(signed.payload).version
    except FormatError:
        return None
    body = obj.get("signed")
    if not isinstance(body, dict):
        return None
    role, version = body.get("_type"), body.get("version")
    return (role, version) if role in ROLES and type(version) is int and version > 0 else None
