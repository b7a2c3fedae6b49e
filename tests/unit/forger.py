"""A county in memory that can be made to sign anything: the counterpart of county/publish/signing.py."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from content_sync.adapters.tuf import Trust
from content_sync.formats import dsse
from content_sync.formats.canonical import dump, time_text
from content_sync.formats.collection import Subject, dump_subject
from content_sync.formats.envelope import Envelope, dump_envelope
from content_sync.formats.paths import subject_id

NOW = 1_763_712_000
FAR = datetime(2030, 1, 1, tzinfo=UTC)
BOX = "b-0123456789abcdef"
LETTER = Envelope(BOX, 1, NOW, "S1", "青山小学", ("*",), None, False)

Change = Callable[[Any], None]


def nothing(_signed: Any) -> None:
    """Change nothing."""


class Forger:
    """Keys and versions of one county; each method gives the bytes of one file, after a change if asked."""

    def __init__(self) -> None:
        self.keys = {
            role: CryptoSigner.generate_ed25519()
            for role in ("root", "timestamp", "snapshot", "targets", "envelopes")
        }
        self.old_root_keys: list[CryptoSigner] = []
        self.versions = {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}
        self.issued = NOW
        self.expires = FAR
        subject = Subject(subject_id("小学", "语文"), "小学", "语文", ())
        self.subject, self.index = subject.id, dump_subject(subject)

    def sign(self, signed: Any, *signers: CryptoSigner) -> bytes:
        """Any metadata signed by any keys."""
        metadata = Metadata(signed)
        for signer in signers:
            metadata.sign(signer, append=True)
        return dump(metadata.to_dict())

    def root(self, change: Change = nothing) -> bytes:
        """The root of this version, signed by its key and by the keys before a rotation."""
        root = Root(self.versions["root"], expires=self.expires)
        for role in ("root", "timestamp", "snapshot", "targets"):
            root.add_key(self.keys[role].public_key, role)
        change(root)
        return self.sign(root, *self.old_root_keys, self.keys["root"])

    def next_root(self, *new_keys: str) -> bytes:
        """Rotate the keys of these roles and give the next root."""
        self.old_root_keys = [self.keys["root"]] if "root" in new_keys else []
        for role in new_keys:
            self.keys[role] = CryptoSigner.generate_ed25519()
        self.versions["root"] += 1
        return self.root()

    def targets(self, change: Change = nothing) -> bytes:
        """The targets of this version: one subject, and the delegation of envelopes."""
        sha256 = hashlib.sha256(self.index).hexdigest()
        path = f"subjects/{self.subject}.json"
        key = self.keys["envelopes"].public_key
        role = DelegatedRole("envelopes", [key.keyid], 1, True, ["envelopes/*.json"])
        targets = Targets(
            self.versions["targets"],
            expires=self.expires,
            targets={path: TargetFile(len(self.index), {"sha256": sha256}, path)},
            delegations=Delegations({key.keyid: key}, {"envelopes": role}),
            unrecognized_fields={"lessonbox": {"county": "青山县", "issued": time_text(self.issued)}},
        )
        change(targets)
        return self.sign(targets, self.keys["targets"])

    def snapshot(self, targets: bytes, change: Change = nothing) -> bytes:
        """A snapshot that names these targets."""
        meta = MetaFile.from_data(self.versions["targets"], targets, ["sha256"])
        snapshot = Snapshot(self.versions["snapshot"], expires=self.expires, meta={"targets.json": meta})
        change(snapshot)
        return self.sign(snapshot, self.keys["snapshot"])

    def timestamp(self, snapshot: bytes, change: Change = nothing) -> bytes:
        """A timestamp that names this snapshot."""
        timestamp = Timestamp(
            self.versions["timestamp"],
            expires=self.expires,
            snapshot_meta=MetaFile.from_data(self.versions["snapshot"], snapshot, ["sha256"]),
            unrecognized_fields={
                "lessonbox": {"issued": time_text(self.issued), "release": self.versions["targets"]}
            },
        )
        change(timestamp)
        return self.sign(timestamp, self.keys["timestamp"])

    def release(self) -> tuple[bytes, bytes, bytes]:
        """Timestamp, snapshot and targets of the present versions."""
        targets = self.targets()
        snapshot = self.snapshot(targets)
        return self.timestamp(snapshot), snapshot, targets

    def next_release(self) -> tuple[bytes, bytes, bytes]:
        """The same after raising all three versions."""
        for role in ("timestamp", "snapshot", "targets"):
            self.versions[role] += 1
        return self.release()

    def envelope(
        self, signer: str = "envelopes", payload_type: str = dsse.ENVELOPE_TYPE, **change: Any
    ) -> bytes:
        """An envelope for BOX signed by the key of a role."""
        payload = dump_envelope(replace(LETTER, **change))
        key = self.keys[signer]
        signature = bytes.fromhex(key.sign(dsse.pae(payload_type, payload)).signature)
        # under the id of the envelopes key, so that only the signature itself can refuse it
        keyid = self.keys["envelopes"].public_key.keyid
        return dsse.dump_signed(dsse.Signed(payload_type, payload, ((keyid, signature),)))


def feed(trust: Trust, release: tuple[bytes, bytes, bytes]) -> None:
    """Feed what a box would: the timestamp, and the rest as far as it is needed."""
    timestamp, snapshot, targets = release
    if trust.update_timestamp(timestamp):
        if trust.needs_snapshot:
            trust.update_snapshot(snapshot)
        if trust.needs_targets:
            trust.update_targets(targets)
