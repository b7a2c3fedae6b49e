"""What a box trusts: a release, verified through the `tuf` package's metadata API (formats.md 4, 5).

After the idea of python-tuf's TrustedMetadataSet: its caller feeds bytes in order; no files, no network,
no clock here. Unlike `tuf.ngclient`, a date never refuses anything: only signatures and versions do.

    candidate = trust.copy()
    candidate.update_root(...)                  # N+1, N+2, … while there are any
    if candidate.update_timestamp(...):
        if candidate.needs_snapshot:
            candidate.update_snapshot(...)      # bytes of candidate.snapshot_ref()
        if candidate.needs_targets:
            candidate.update_targets(...)       # bytes of candidate.targets_ref()
    # keep the files, then: trust = candidate

Each update changes all it changes or, when it raises, nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Signature
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from content_sync.core.trust import MAX_ROOT, MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP, check_target
from content_sync.errors import (
    EnvelopeError,
    FormatError,
    RollbackError,
    SignatureError,
    TooBigError,
    TrustError,
)
from content_sync.formats import dsse
from content_sync.formats.canonical import is_hex, load, need, parse_time
from content_sync.formats.collection import MAX_SUBJECT, TargetRef
from content_sync.formats.envelope import MAX_ENVELOPE, Envelope, parse_envelope
from content_sync.formats.paths import check_id

ENVELOPES = "envelopes"
#: Key of our own fields in the signed part of root, timestamp and targets.
FIELDS = "lessonbox"
_S = TypeVar("_S", Root, Timestamp, Snapshot, Targets)


def signers(
    delegator: Root | Targets, role: str, payload: bytes, signatures: Iterable[tuple[str, str]]
) -> int:
    """How many different Ed25519 keys of `role` signed `payload`; `signatures`: (key id, hex).

    Counted by key material: one key listed under two ids is one key (tuf counts ids).
    """
    allowed = set(delegator.get_delegated_role(role).keyids)
    found: set[bytes] = set()
    for keyid, text in signatures:
        if keyid not in allowed:
            continue
        try:
            key = delegator.get_key(keyid)
            if (key.keytype, key.scheme) != ("ed25519", "ed25519"):
                continue
            key.verify_signature(Signature(keyid, text), payload)
            found.add(bytes.fromhex(key.keyval["public"]))
        except (UnverifiedSignatureError, ValueError, KeyError, TypeError):
            continue
    return len(found)


class _File(Struct, Generic[_S], frozen=True):
    """A parsed metadata file: what it says, and what its signatures are over."""

    signed: _S
    payload: bytes
    signatures: tuple[tuple[str, str], ...]

    def check(self, delegator: Root, role: str) -> None:
        """Raise SignatureError unless enough of the role's keys signed it."""
        count = signers(delegator, role, self.payload, self.signatures)
        threshold = delegator.get_delegated_role(role).threshold
        if count < threshold:
            raise SignatureError(f"{role} metadata is signed by {count} of the {threshold} keys needed")


def _parse(kind: type[_S], data: bytes, cap: int) -> _File[_S]:
    """Metadata of one type; nothing verified. Raises FormatError, TooBigError."""
    obj = load(data, cap)  # the library's own reader takes floats, twin keys and any size
    try:
        # over what came, not over what the library understood: it puts defaults where null stands
        payload = (encode_canonical(obj.get("signed")) or "").encode()
        metadata: Metadata[_S] = Metadata.from_bytes(data)
    except (DeserializationError, RecursionError) as error:
        raise FormatError(f"not {kind.type} metadata: {error.__cause__ or error}") from None
    # Metadata[Root].from_bytes gladly gives Targets
    if not isinstance(metadata.signed, kind) or type(metadata.signed.version) is not int:
        raise FormatError(f"not {kind.type} metadata: {metadata.signed.type}")
    signatures = tuple((s.keyid, s.signature) for s in metadata.signatures.values())
    return _File(metadata.signed, payload, signatures)


def _fields(signed: Signed) -> dict[str, Any]:
    made: dict[str, Any] = need(signed.unrecognized_fields, FIELDS, dict)
    return made


def _ref(path: str, length: object, hashes: object, cap: int) -> TargetRef:
    """A file named by length and SHA-256; without both it would accept anything. Raises FormatError."""
    sha256 = hashes.get("sha256") if isinstance(hashes, Mapping) else None
    if type(length) is not int or not isinstance(sha256, str) or not is_hex(sha256, 64):
        raise FormatError(f"{path} is not named by length and SHA-256")
    if not 0 < length <= cap:
        raise FormatError(f"{path} would have {length} bytes, allowed are {cap}")
    return TargetRef(path, length, sha256)


def _same_keys(old: Root, new: Root, role: str) -> bool:
    def keys(root: Root) -> tuple[int, set[str]]:
        listed = root.roles[role]
        return listed.threshold, {str(root.keys[k].keyval) for k in listed.keyids if k in root.keys}

    return keys(old) == keys(new)


class Trust:
    """What a box has accepted of one county. Copy it, feed the copy, keep the copy when it is complete."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._snapshot_ref: TargetRef | None = None
        self._targets_ref: TargetRef | None = None
        self._held: dict[str, TargetRef] = {}  # role -> ref of the accepted file
        self._targets: Targets | None = None
        self._snapshot_version = 0
        self.timestamp_version = 0
        self.issued = 0
        self.expires = 0
        self.county = ""
        self.subjects: dict[str, TargetRef] = {}

    @classmethod
    def from_root(cls, data: bytes) -> Trust:
        """Begin with a root that is trusted already (enrolment file); it must be signed by itself.

        Raises FormatError, SignatureError, TooBigError.
        """
        file = _parse(Root, data, MAX_ROOT)
        file.check(file.signed, "root")
        return cls(file.signed)

    @classmethod
    def reload(
        cls,
        root: bytes,
        later_roots: Sequence[bytes] = (),
        timestamp: bytes | None = None,
        snapshot: bytes | None = None,
        targets: bytes | None = None,
    ) -> Trust:
        """Rebuild from accepted files: the root of `from_root`, each later root, the last three levels.

        The three may be signed under an older root than the newest. Raises what the updates raise.
        """
        trust = cls.from_root(root)
        problem = trust._try_release(timestamp, snapshot, targets)
        for data in later_roots:
            trust.update_root(data)
            if problem is not None:
                problem = trust._try_release(timestamp, snapshot, targets)
        if problem is not None:
            raise problem
        return trust

    def _try_release(
        self, timestamp: bytes | None, snapshot: bytes | None, targets: bytes | None
    ) -> SignatureError | None:
        if timestamp is None or snapshot is None or targets is None:
            return None
        candidate = self.copy()
        try:
            candidate.update_timestamp(timestamp)
            candidate.update_snapshot(snapshot)
            candidate.update_targets(targets)
        except SignatureError as error:
            return error
        self.__dict__.update(candidate.__dict__)
        return None

    def copy(self) -> Trust:
        """An independent copy to try an update on."""
        made = copy.copy(self)
        made._held = dict(self._held)
        return made

    @property
    def root_version(self) -> int:
        """Version of the newest accepted root."""
        return self._root.version

    @property
    def release(self) -> int:
        """The release number (version of targets), 0 before any."""
        return 0 if self._targets is None else self._targets.version

    @property
    def needs_snapshot(self) -> bool:
        """Whether the accepted timestamp names a snapshot that is not here, or none was accepted."""
        return self._snapshot_ref is None or self._held.get("snapshot") != self._snapshot_ref

    @property
    def needs_targets(self) -> bool:
        """Whether the accepted snapshot names targets that are not here, or none was accepted."""
        return self.needs_snapshot or self._held.get("targets") != self._targets_ref

    @property
    def complete(self) -> bool:
        """Whether all levels belong together, so that this may replace what was trusted before."""
        return not self.needs_targets

    def update_root(self, data: bytes) -> None:
        """Accept root N+1: signed by root N and by itself. Later roots need every one between.

        New keys for timestamp or snapshot drop the versions of both (recovery from a thief who signed a huge
        version); the release number never falls. A copy that only gained roots may be kept at once.
        Raises FormatError, SignatureError, RollbackError, TooBigError; TrustError when one is left out.
        """
        file = _parse(Root, data, MAX_ROOT)
        new = file.signed
        if new.version <= self._root.version:
            raise RollbackError(f"root {new.version} is not newer than root {self._root.version}")
        if new.version > self._root.version + 1:
            raise TrustError(f"root {new.version} came, but root {self._root.version + 1} must come first")
        file.check(self._root, "root")
        file.check(new, "root")
        if not (_same_keys(self._root, new, "timestamp") and _same_keys(self._root, new, "snapshot")):
            self.timestamp_version = self._snapshot_version = 0
            self._snapshot_ref = self._targets_ref = None
            self._held.pop("snapshot", None)
        if not _same_keys(self._root, new, "targets"):
            self._held.pop("targets", None)
        self._root = new

    def update_timestamp(self, data: bytes) -> bool:
        """Accept a timestamp: True when it is newer, False (and no change) when it is the version here.

        Raises FormatError, SignatureError, RollbackError, TooBigError.
        """
        file = _parse(Timestamp, data, MAX_TIMESTAMP)
        file.check(self._root, "timestamp")
        new = file.signed
        if new.version < self.timestamp_version:
            raise RollbackError(f"timestamp {new.version} is older than timestamp {self.timestamp_version}")
        if new.version == self.timestamp_version:
            return False
        meta = new.snapshot_meta
        if type(meta.version) is not int:
            raise FormatError("version of the snapshot is not a number")
        ref = _ref(f"{meta.version}.snapshot.json", meta.length, meta.hashes, MAX_SNAPSHOT)
        if meta.version < self._snapshot_version:
            raise RollbackError(f"snapshot {meta.version} is older than snapshot {self._snapshot_version}")
        fields = _fields(new)
        issued, release = parse_time(fields.get("issued")), need(fields, "release", int)
        if release < self.release:
            raise RollbackError(f"release {release} is older than release {self.release}")
        self.timestamp_version, self._snapshot_version = new.version, meta.version
        self._snapshot_ref = ref
        self.issued, self.expires = issued, int(new.expires.timestamp())
        return True

    def snapshot_ref(self) -> TargetRef:
        """The snapshot that the timestamp names; `path` is its name below `metadata/`. Raises TrustError."""
        if self._snapshot_ref is None:
            raise TrustError("a timestamp must come before the snapshot")
        return self._snapshot_ref

    def update_snapshot(self, data: bytes) -> None:
        """Accept the snapshot of `snapshot_ref()`.

        Raises TargetError, FormatError, SignatureError, RollbackError.
        """
        ref = self.snapshot_ref()
        check_target(ref, data)
        file = _parse(Snapshot, data, MAX_SNAPSHOT)
        file.check(self._root, "snapshot")
        new = file.signed
        if new.version != self._snapshot_version:
            raise FormatError(f"snapshot says version {new.version}, the timestamp {self._snapshot_version}")
        meta = new.meta.get("targets.json")
        if meta is None or type(meta.version) is not int:
            raise FormatError("the snapshot names no targets")
        targets = _ref(f"{meta.version}.targets.json", meta.length, meta.hashes, MAX_TARGETS)
        if meta.version < self.release:
            raise RollbackError(f"release {meta.version} is older than release {self.release}")
        self._targets_ref = targets
        self._held["snapshot"] = ref

    def targets_ref(self) -> TargetRef:
        """The targets that the snapshot names; `path` is its name below `metadata/`. Raises TrustError."""
        if self.needs_snapshot or self._targets_ref is None:
            raise TrustError("the snapshot must come before the targets")
        return self._targets_ref

    def update_targets(self, data: bytes) -> None:
        """Accept the targets of `targets_ref()`: from now on this is the release.

        Raises TargetError, FormatError, SignatureError.
        """
        ref = self.targets_ref()
        check_target(ref, data)
        file = _parse(Targets, data, MAX_TARGETS)
        file.check(self._root, "targets")
        new = file.signed
        if f"{new.version}.targets.json" != ref.path:
            raise FormatError(f"targets say version {new.version}, the snapshot {ref.path}")
        county = need(_fields(new), "county", str)
        subjects = {}
        for path, entry in new.targets.items():
            folder, _, name = path.partition("/")
            if folder == "subjects" and name.endswith(".json"):
                identity = check_id(name.removesuffix(".json"))
                subjects[identity] = _ref(path, entry.length, entry.hashes, MAX_SUBJECT)
        self._targets, self.county, self.subjects = new, county, subjects
        self._held["targets"] = ref

    def verify_signed(self, data: bytes, payload_type: str, cap: int, role: str = "targets") -> bytes:
        """The payload of a DSSE file that the keys of a role (`targets`, `root`) signed, as the root has
        them.

        Raises FormatError, TooBigError, SignatureError.
        """
        signed = dsse.parse_signed(data, payload_type, cap)
        signatures = [(keyid, signature.hex()) for keyid, signature in signed.signatures]
        count = signers(self._root, role, signed.signed_bytes(), signatures)
        needed = self._root.get_delegated_role(role).threshold
        if count < needed:
            raise SignatureError(f"signed by {count} of the {needed} keys needed")
        return signed.payload

    def verify_envelope(self, data: bytes, box: str, above: int) -> Envelope:
        """The envelope in `data`, for `box`, of a version above `above`, signed by the role `envelopes`.

        Raises EnvelopeError, SignatureError, TooBigError; TrustError before the first release.
        """
        if self._targets is None:
            raise TrustError("no release has been accepted yet, so no envelope can be verified")
        try:
            signed = dsse.parse_signed(data, dsse.ENVELOPE_TYPE, MAX_ENVELOPE)
        except TooBigError:
            raise
        except FormatError as error:
            raise EnvelopeError(error.what) from None
        try:
            threshold = self._targets.get_delegated_role(ENVELOPES).threshold
        except ValueError:
            raise SignatureError("this county signs no envelopes") from None
        signatures = [(keyid, signature.hex()) for keyid, signature in signed.signatures]
        if signers(self._targets, ENVELOPES, signed.signed_bytes(), signatures) < threshold:
            raise SignatureError("the envelope is not signed by the county's key for envelopes")
        try:
            envelope = parse_envelope(signed.payload)
        except FormatError as error:
            raise EnvelopeError(error.what) from None
        if envelope.box != box:
            raise EnvelopeError(f"envelope is for {envelope.box}, this is {box}")
        if envelope.version <= above:
            raise EnvelopeError(f"envelope {envelope.version} is not newer than envelope {above}")
        return envelope
