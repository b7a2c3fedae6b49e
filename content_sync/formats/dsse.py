"""DSSE (Dead Simple Signing Envelope, v1.0.2): the wrapper of envelopes and report batches.

Pure: parsing and the bytes to sign. Keys and signatures are the adapters' work.
"""

from __future__ import annotations

import base64

from msgspec import Struct

from content_sync.errors import FormatError
from content_sync.formats.canonical import dump, load, need

ENVELOPE_TYPE = "application/vnd.lessonbox.envelope+json"
REPORT_TYPE = "application/vnd.lessonbox.report+json"
MAX_SIGNATURES = 16


class Signed(Struct, frozen=True):
    """A payload with its type and signatures (key id -> raw signature), nothing verified yet."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    def signed_bytes(self) -> bytes:
        """What the signatures are over (PAE)."""
        return pae(self.payload_type, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding of DSSE."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def dump_signed(signed: Signed) -> bytes:
    """The JSON bytes of a signed payload."""
    return dump(
        {
            "payloadType": signed.payload_type,
            "payload": base64.b64encode(signed.payload).decode(),
            "signatures": [
                {"keyid": keyid, "sig": base64.b64encode(sig).decode()} for keyid, sig in signed.signatures
            ],
        }
    )


def parse_signed(data: bytes, payload_type: str, cap: int) -> Signed:
    """Read the JSON of a signed payload of one type; nothing is verified. Raises FormatError, TooBigError."""
    obj = load(data, cap)
    if obj.get("payloadType") != payload_type:
        raise FormatError(f"payload type is {str(obj.get('payloadType'))[:80]!r}")
    entries = need(obj, "signatures", list)
    if not 0 < len(entries) <= MAX_SIGNATURES:
        raise FormatError("no signature, or too many")
    try:
        payload = base64.b64decode(need(obj, "payload", str), validate=True)
        signatures = tuple(
            (need(entry, "keyid", str), base64.b64decode(need(entry, "sig", str), validate=True))
            for entry in entries
        )
    except ValueError:
        raise FormatError("base64 is damaged") from None
    return Signed(payload_type, payload, signatures)
