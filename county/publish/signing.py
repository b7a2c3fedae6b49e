"""The county's signed release: keys, The Update Framework metadata, envelopes (formats.md 4, 5).

What is signed is fed to the box's own verifier before a byte of it is written. `timestamp.json` is the
switch: it is written last, so a crash at any point leaves the old release whole.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
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

from content_sync.adapters.files import make_folder, read_capped, storage_errors, write_durable
from content_sync.adapters.tuf import ENVELOPES, FIELDS, Trust
from content_sync.core.timefloor import check_signing_time
from content_sync.core.trust import MAX_ROOT, MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP
from content_sync.errors import FormatError, SetupError, SignatureError, TooBigError
from content_sync.formats import dsse
from content_sync.formats.canonical import dump, load, need, parse_time, time_text
from content_sync.formats.collection import Subject, TargetRef, parse_subject
from content_sync.formats.envelope import MAX_ENVELOPE, Envelope, dump_envelope, parse_envelope

if sys.platform != "win32":
    import fcntl

#: Only the timestamp is signed anew each year; what is below it lasts, so that a box need not fetch it again.
LONG = 10
_KEY_NAMES = ("timestamp", "targets", ENVELOPES)
_ROLE_KEYS = {"timestamp": "timestamp", "snapshot": "timestamp", "targets": "targets"}


def _make_key(path: Path) -> CryptoSigner:
    signer = CryptoSigner.generate_ed25519()
    write_durable(path, signer.private_bytes, 0o600)
    return signer


def _load_key(path: Path) -> CryptoSigner:
    try:
        return CryptoSigner(load_pem_private_key(read_capped(path, 4096), None))
    except ValueError as error:
        raise FormatError(f"{path.name} is not a key: {error}") from None


def _key_path(keys: Path, name: str, keyid: str) -> Path:
    return keys / f"{name}-{keyid[:16]}.pem"


def _make_online_keys(keys: Path) -> dict[str, CryptoSigner]:
    """Fresh keys by name, in files named by key id, so that a crash never leaves a root without its keys."""
    made = {}
    for name in _KEY_NAMES:
        signer = CryptoSigner.generate_ed25519()
        write_durable(_key_path(keys, name, signer.public_key.keyid), signer.private_bytes, 0o600)
        made[name] = signer
    return made


def _expires(now: int, days: int) -> datetime:
    return datetime.fromtimestamp(now, UTC) + timedelta(days=days)


def _bytes(metadata: Metadata[Any], cap: int) -> bytes:
    data = dump(metadata.to_dict())
    if len(data) > cap:
        raise TooBigError(f"{metadata.signed.type} metadata would have {len(data)} bytes, allowed are {cap}")
    return data


def _named_version(data: bytes, name: str) -> int:
    meta = need(need(load(data, MAX_SNAPSHOT), "signed", dict), "meta", dict)
    version: int = need(need(meta, name, dict), "version", int)
    return version


def _set_online_keys(root: Root, online: Mapping[str, CryptoSigner]) -> None:
    for role, name in _ROLE_KEYS.items():
        for keyid in list(root.roles[role].keyids):
            root.revoke_key(keyid, role)
        root.add_key(online[name].public_key, role)
    root.unrecognized_fields[FIELDS]["envelopes"] = online[ENVELOPES].public_key.keyid


class Repository:
    """A county's `public/metadata` and `public/targets`, and the keys that sign them.

    Reading needs no private key; each is loaded when it signs, so that `county serve` works with the one for
    envelopes alone. Several processes may hold one: writing is under a lock and begins by reading anew.
    """

    def __init__(self, public: Path, keys: Path, expire_days: int) -> None:
        """Open what `create` made. Raises SetupError, TrustError, FormatError, StorageError."""
        self._public, self._keys, self._days = public, keys, expire_days
        self._signers: dict[str, CryptoSigner] = {}
        self.refresh()

    @classmethod
    def create(
        cls, public: Path, keys: Path, root_key: Path, county: str, now: int, expire_days: int
    ) -> Repository:
        """Make keys and `1.root.json`. There is no release (number 0) until the first `publish`.

        `root_key` is written for its owner only and belongs on a stick in a safe. Raises SetupError when
        there is a root or root key already, DiskFullError, StorageError.
        """
        if (public / "metadata" / "1.root.json").exists() or root_key.exists():
            raise SetupError(
                f"{public} or {root_key.name} holds a county's root already; nothing was changed"
            )
        with storage_errors(keys.name):
            make_folder(keys, 0o700)
        signer = _make_key(root_key)
        online = _make_online_keys(keys)
        root = Root(
            expires=_expires(now, LONG * expire_days),
            unrecognized_fields={FIELDS: {"county": county, "issued": time_text(now)}},
        )
        root.add_key(signer.public_key, "root")
        _set_online_keys(root, online)
        metadata = Metadata(root)
        metadata.sign(signer)
        data = _bytes(metadata, MAX_ROOT)
        Trust.from_root(data)
        write_durable(public / "metadata" / "1.root.json", data)
        return cls(public, keys, expire_days)

    def refresh(self) -> None:
        """Read the newest state from the files. Raises what the constructor raises."""
        metadata = self._public / "metadata"
        self._seen = self._state()
        versions = sorted(
            int(number)
            for path in metadata.glob("*.root.json")
            if (number := path.name.removesuffix(".root.json")).isdecimal()
        )
        if not versions:
            raise SetupError(f"{self._public} holds no county's metadata")
        roots = [read_capped(metadata / f"{version}.root.json", MAX_ROOT) for version in versions]
        timestamp = snapshot = targets = None
        if (metadata / "timestamp.json").exists():
            timestamp = read_capped(metadata / "timestamp.json", MAX_TIMESTAMP)
            named = _named_version(timestamp, "snapshot.json")
            snapshot = read_capped(metadata / f"{named}.snapshot.json", MAX_SNAPSHOT)
            named = _named_version(snapshot, "targets.json")
            targets = read_capped(metadata / f"{named}.targets.json", MAX_TARGETS)
        self._trust = Trust.reload(roots[0], roots[1:], timestamp, snapshot, targets)
        self._root_bytes = roots[-1]
        self._root = Metadata[Root].from_bytes(roots[-1])
        self._timestamp = None if timestamp is None else Metadata[Timestamp].from_bytes(timestamp)
        self._snapshot = None if snapshot is None else Metadata[Snapshot].from_bytes(snapshot)
        self._targets = None if targets is None else Metadata[Targets].from_bytes(targets)

    @property
    def release(self) -> int:
        """The release number, 0 before the first `publish`."""
        return self._trust.release

    @property
    def issued(self) -> int:
        """When the release was last signed (before the first: when the root was made), unix seconds."""
        return self._trust.issued or parse_time(self._root.signed.unrecognized_fields[FIELDS]["issued"])

    @property
    def county(self) -> str:
        """The county's name as the root states it."""
        return str(self._root.signed.unrecognized_fields[FIELDS]["county"])

    def _state(self) -> tuple[int, int] | None:
        """Changes whenever a release or key became current; None before the first release."""
        try:
            found = (self._public / "metadata" / "timestamp.json").stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def root(self) -> dict[str, Any]:
        """The newest root metadata as a JSON object, for an enrolment file."""
        made: dict[str, Any] = json.loads(self._root_bytes)
        return made

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time: `publish` and the renewing of `serve` may run in two processes."""
        with storage_errors("the lock of the keys"), open(self._keys / "lock", "a", encoding="ascii") as lock:
            if sys.platform == "win32":
                raise SetupError("a county publishes on Linux")
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.refresh()
            yield

    def _key(self, name: str, keyid: str) -> CryptoSigner:
        """A private key by its id. Raises SetupError, FormatError."""
        if keyid not in self._signers:
            path = _key_path(self._keys, name, keyid)
            if not path.exists():
                raise SetupError(f"the key {path.name} is not in {self._keys}")
            self._signers[keyid] = _load_key(path)
        return self._signers[keyid]

    def publish(
        self, subjects: Mapping[str, tuple[Subject, bytes]], now: int, allow_date: bool = False
    ) -> int:
        """Sign these subject indexes (by subject id: the index and its bytes) as the release; its number.

        Everything below them must be durable already. The same subjects give the same number and write
        nothing. Raises FormatError, TooBigError, ClockError (`allow_date`: the date is right), SetupError,
        DiskFullError, StorageError; then the old release is whole.
        """
        with self._alone():
            files: dict[str, TargetFile] = {}
            blobs: dict[str, bytes] = {}
            for identity, (subject, data) in subjects.items():
                if identity != subject.id or parse_subject(data) != subject:
                    raise FormatError(f"the index of subject {identity} is not what it should be")
                ref = TargetRef(f"subjects/{identity}.json", len(data), hashlib.sha256(data).hexdigest())
                custom = {"custom": {"stage": subject.stage, "subject": subject.subject}}
                files[ref.path] = TargetFile(ref.length, {"sha256": ref.sha256}, ref.path, custom)
                blobs[ref.url_path] = data
            same = (
                self._targets is not None and self._targets.signed.targets == files and self._trust.complete
            )
            if not same:
                check_signing_time(now, self.issued, allow_date)
            for name, data in blobs.items():
                path = self._public / "targets" / name
                with storage_errors(path.name):
                    present = path.is_file() and path.read_bytes() == data
                if not present:
                    write_durable(path, data)
            if not same:
                self._sign(now, files)
            return self.release

    def resign(self, now: int, allow_date: bool = False) -> bool:
        """Renew what expires within a third of its time (`expire_days`; what lasts longer, ten times that).

        Also finishes a `rotate_root` that was cut off. Whether anything was signed. Raises as `publish`.
        """
        with self._alone():
            if self._timestamp is None or self._snapshot is None or self._targets is None:
                return False
            third = timedelta(days=self._days) / 3
            here = datetime.fromtimestamp(now, UTC)
            lasting = min(self._snapshot.signed.expires, self._targets.signed.expires)
            below = not self._trust.complete or lasting - here < LONG * third
            if not below and self._timestamp.signed.expires - here >= third:
                return False
            check_signing_time(now, self.issued, allow_date)
            self._sign(now, self._targets.signed.targets if below else None)
            return True

    def sign_envelope(self, envelope: Envelope) -> bytes:
        """A DSSE envelope by the key that the current release names. Raises FormatError, SetupError."""
        if self._state() != self._seen:
            self.refresh()
        payload = dump_envelope(envelope)
        parse_envelope(payload)
        if self._targets is None:
            keyid = self._root.signed.unrecognized_fields[FIELDS]["envelopes"]
        else:
            keyid = self._targets.signed.get_delegated_role(ENVELOPES).keyids[0]
        signature = self._key(ENVELOPES, keyid).sign(dsse.pae(dsse.ENVELOPE_TYPE, payload))
        signatures = ((keyid, bytes.fromhex(signature.signature)),)
        data = dsse.dump_signed(dsse.Signed(dsse.ENVELOPE_TYPE, payload, signatures))
        if len(data) > MAX_ENVELOPE:
            raise TooBigError(f"envelope for {envelope.box} would have {len(data)} bytes")
        return data

    def sign_payload(self, payload_type: str, payload: bytes) -> bytes:
        """A DSSE file by the key of the role `targets`. Raises SetupError, FormatError."""
        keyid = self._root.signed.roles["targets"].keyids[0]
        signature = self._key("targets", keyid).sign(dsse.pae(payload_type, payload))
        signatures = ((keyid, bytes.fromhex(signature.signature)),)
        return dsse.dump_signed(dsse.Signed(payload_type, payload, signatures))

    def sign_with_root(self, root_key: Path, payload_type: str, payload: bytes) -> bytes:
        """A DSSE file by the root key. Raises SignatureError when it is not this county's, NotFoundError,
        FormatError."""
        signer = _load_key(root_key)
        keyid = signer.public_key.keyid
        if keyid not in self._root.signed.roles["root"].keyids:
            raise SignatureError(f"{root_key.name} is not this county's root key")
        signature = bytes.fromhex(signer.sign(dsse.pae(payload_type, payload)).signature)
        return dsse.dump_signed(dsse.Signed(payload_type, payload, ((keyid, signature),)))

    def rotate_root(
        self,
        root_key: Path,
        now: int,
        new_root_key: Path | None = None,
        new_online: bool = False,
        allow_date: bool = False,
    ) -> int:
        """Sign the next root with `root_key`, with a new root key and new online keys if asked; its version.

        New online keys sign the same subjects anew, as the next release. Cut off half-way, `resign` or
        `publish` finishes it. Raises SignatureError when `root_key` is not this county's, SetupError when
        `new_root_key` exists, and as `publish`.
        """
        with self._alone():
            old = _load_key(root_key)
            metadata = Metadata[Root].from_bytes(self._root_bytes)
            root = metadata.signed
            if old.public_key.keyid not in root.roles["root"].keyids:
                raise SignatureError(f"{root_key.name} is not this county's root key")
            if new_root_key is not None and new_root_key.exists():
                raise SetupError(f"{new_root_key} exists already; nothing was changed")
            if new_online:
                check_signing_time(now, self.issued, allow_date)
            root.version += 1
            root.expires = _expires(now, LONG * self._days)
            root.unrecognized_fields[FIELDS]["issued"] = time_text(now)
            signers = [old]
            if new_root_key is not None:
                signers.append(_make_key(new_root_key))
                root.revoke_key(old.public_key.keyid, "root")
                root.add_key(signers[1].public_key, "root")
            if new_online:
                _set_online_keys(root, _make_online_keys(self._keys))
            metadata.signatures.clear()
            for signer in signers:
                metadata.sign(signer, append=True)
            if new_online and self._targets is not None:
                self._sign(now, self._targets.signed.targets, metadata)
            else:
                data = _bytes(metadata, MAX_ROOT)
                self._trust.copy().update_root(data)
                write_durable(self._public / "metadata" / f"{root.version}.root.json", data)
                self.refresh()
            return root.version

    def _sign(
        self, now: int, files: Mapping[str, TargetFile] | None, new_root: Metadata[Root] | None = None
    ) -> None:
        """Sign and write a timestamp over a new release of `files`, or over the old release (None)."""
        root = self._root.signed if new_root is None else new_root.signed
        trust = self._trust.copy()
        writes: list[tuple[str, bytes]] = []
        online = {role: self._key(name, root.roles[role].keyids[0]) for role, name in _ROLE_KEYS.items()}

        if files is None:
            assert self._timestamp is not None and self._targets is not None
            release, snapshot_meta = self.release, self._timestamp.signed.snapshot_meta
        else:
            release = self.release + 1
            targets = self._targets_of(root, files, release, now)
            targets.sign(online["targets"])
            targets_data = _bytes(targets, MAX_TARGETS)
            version = 1 if self._snapshot is None else self._snapshot.signed.version + 1
            snapshot = Metadata(
                Snapshot(
                    version,
                    expires=_expires(now, LONG * self._days),
                    meta={"targets.json": MetaFile.from_data(release, targets_data, ["sha256"])},
                )
            )
            snapshot.sign(online["snapshot"])
            snapshot_data = _bytes(snapshot, MAX_SNAPSHOT)
            snapshot_meta = MetaFile.from_data(version, snapshot_data, ["sha256"])
            writes += [
                (f"{release}.targets.json", targets_data),
                (f"{version}.snapshot.json", snapshot_data),
            ]
        timestamp = Metadata(
            Timestamp(
                1 if self._timestamp is None else self._timestamp.signed.version + 1,
                expires=_expires(now, self._days),
                snapshot_meta=snapshot_meta,
                unrecognized_fields={FIELDS: {"issued": time_text(now), "release": release}},
            )
        )
        timestamp.sign(online["timestamp"])
        timestamp_data = _bytes(timestamp, MAX_TIMESTAMP)

        if new_root is not None:
            root_data = _bytes(new_root, MAX_ROOT)
            trust.update_root(root_data)
            writes.append((f"{root.version}.root.json", root_data))
        trust.update_timestamp(timestamp_data)
        if files is not None:
            trust.update_snapshot(snapshot_data)
            trust.update_targets(targets_data)
        assert trust.complete and trust.release == release
        for name, data in [*writes, ("timestamp.json", timestamp_data)]:
            write_durable(self._public / "metadata" / name, data)
        self.refresh()

    def _targets_of(
        self, root: Root, files: Mapping[str, TargetFile], release: int, now: int
    ) -> Metadata[Targets]:
        """Unsigned targets; the role `envelopes` is delegated to the key that the root names for it."""
        key = self._key(ENVELOPES, root.unrecognized_fields[FIELDS]["envelopes"]).public_key
        role = DelegatedRole(ENVELOPES, [key.keyid], 1, terminating=True, paths=["envelopes/*.json"])
        return Metadata(
            Targets(
                release,
                expires=_expires(now, LONG * self._days),
                targets=dict(files),
                delegations=Delegations({key.keyid: key}, {ENVELOPES: role}),
                unrecognized_fields={FIELDS: {"county": self.county, "issued": time_text(now)}},
            )
        )
