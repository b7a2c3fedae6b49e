"""Ed25519 keys of a box, and the signatures of its reports (RFC 8032, DSSE)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from content_sync.adapters.files import read_capped, write_durable
from content_sync.errors import FormatError, SignatureError
from content_sync.formats import dsse


class BoxKey:
    """A box's private key. Only the agent holds one."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @classmethod
    def make(cls, path: Path) -> BoxKey:
        """Make a key and keep it at `path` (PEM, PKCS#8, readable by its owner only)."""
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_durable(path, pem, 0o600)
        return cls(private)

    @classmethod
    def load(cls, path: Path) -> BoxKey:
        """Read a key. Raises NotFoundError, FormatError."""
        try:
            private = serialization.load_pem_private_key(read_capped(path, 4096), None)
        except ValueError as error:
            raise FormatError(f"{path.name} is not a key: {error}") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise FormatError(f"{path.name} is not an Ed25519 key")
        return cls(private)

    @property
    def public_hex(self) -> str:
        """The raw public key, 64 hex digits."""
        return self._private.public_key().public_bytes_raw().hex()

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """A DSSE envelope over `payload` as JSON bytes."""
        signature = self._private.sign(dsse.pae(payload_type, payload))
        return dsse.dump_signed(dsse.Signed(payload_type, payload, ((key_id(self.public_hex), signature),)))


def key_id(public_hex: str) -> str:
    """SHA-256 of the raw public key, hex."""
    return hashlib.sha256(bytes.fromhex(public_hex)).hexdigest()


def verify(signed: dsse.Signed, public_hex: str) -> bytes:
    """The payload, if one of the signatures is this key's. Raises SignatureError."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex))
    for _, signature in signed.signatures:
        try:
            key.verify(signature, signed.signed_bytes())
        except InvalidSignature:
            continue
        return signed.payload
    raise SignatureError("the signature is not this key's")
