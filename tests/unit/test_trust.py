"""The box's verifier against every attack we know: refused by name, and nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, Root

from content_sync.adapters.tuf import Trust
from content_sync.core.trust import MAX_ROOT, check_target, metadata_kind, weeks_stale
from content_sync.errors import (
    EnvelopeError,
    FormatError,
    LessonBoxError,
    RollbackError,
    SignatureError,
    TargetError,
    TooBigError,
    TrustError,
)
from content_sync.formats import dsse
from content_sync.formats.canonical import dump
from content_sync.formats.collection import TargetRef
from tests.unit.forger import BOX, NOW, Forger, feed


@pytest.fixture
def county() -> Forger:
    return Forger()


@pytest.fixture
def trust(county: Forger) -> Trust:
    """A box that has accepted release 1."""
    made = Trust.from_root(county.root())
    feed(made, county.release())
    assert made.complete
    return made


def state(trust: Trust) -> dict[str, Any]:
    return dict(trust.__dict__)


def refused(
    trust: Trust, error: type[LessonBoxError], call: Callable[[], object], match: str | None = None
) -> None:
    before = state(trust)
    with pytest.raises(error, match=match) as caught:
        call()
    assert type(caught.value) is error
    assert state(trust) == before


def resign(data: bytes, signer: CryptoSigner, **changes: Any) -> bytes:
    """The same content with changes, signed by a key of the attacker's under its own id."""
    obj = json.loads(data)
    obj["signed"].update(changes)
    metadata: Metadata[Any] = Metadata.from_dict(obj)
    metadata.sign(signer)
    return dump(metadata.to_dict())


def test_a_release_is_accepted_level_by_level(county: Forger) -> None:
    trust = Trust.from_root(county.root())
    timestamp, snapshot, targets = county.release()
    assert (trust.root_version, trust.timestamp_version, trust.release, trust.issued) == (1, 0, 0, 0)
    assert trust.subjects == {} and not trust.complete
    assert trust.update_timestamp(timestamp) is True
    assert trust.snapshot_ref().path == "1.snapshot.json" and trust.snapshot_ref().length == len(snapshot)
    trust.update_snapshot(snapshot)
    assert trust.targets_ref().path == "1.targets.json"
    trust.update_targets(targets)
    assert (trust.release, trust.county, trust.issued) == (1, "青山县", NOW)
    ref = trust.subjects[county.subject]
    assert ref.url_path == f"subjects/{ref.sha256}.{county.subject}.json"
    check_target(ref, county.index)
    assert trust.update_timestamp(timestamp) is False


def test_levels_out_of_order(county: Forger) -> None:
    trust = Trust.from_root(county.root())
    timestamp, snapshot, targets = county.release()
    refused(trust, TrustError, lambda: trust.update_snapshot(snapshot))
    refused(trust, TrustError, lambda: trust.update_targets(targets))
    refused(trust, TrustError, lambda: trust.verify_envelope(county.envelope(), BOX, 0))
    trust.update_timestamp(timestamp)
    refused(trust, TrustError, lambda: trust.update_targets(targets))


def test_half_an_update_leaves_the_old_release(county: Forger, trust: Trust) -> None:
    candidate = trust.copy()
    timestamp, snapshot, _ = county.next_release()
    before = state(trust)
    candidate.update_timestamp(timestamp)
    assert candidate.needs_snapshot and candidate.needs_targets and not candidate.complete
    candidate.update_snapshot(snapshot)
    assert not candidate.needs_snapshot and not candidate.complete
    assert candidate.release == 1 and county.subject in candidate.subjects
    assert state(trust) == before and trust.complete
    assert trust.verify_envelope(county.envelope(), BOX, 0)


def test_a_renewed_timestamp_needs_nothing_else(county: Forger, trust: Trust) -> None:
    _, snapshot, _ = county.release()
    county.versions["timestamp"] += 1
    assert trust.update_timestamp(county.timestamp(snapshot)) is True
    assert trust.complete


class TestSignatures:
    def test_unsigned(self, county: Forger, trust: Trust) -> None:
        for role in county.versions:
            county.versions[role] += 1
        targets = county.targets()
        snapshot = county.snapshot(targets)
        bare = json.loads(county.timestamp(snapshot))
        bare["signatures"] = []
        refused(trust, SignatureError, lambda: trust.update_timestamp(dump(bare)))
        bare = json.loads(county.root())
        bare["signatures"] = []
        refused(trust, SignatureError, lambda: trust.update_root(dump(bare)))

    def test_signed_by_another_key(self, county: Forger, trust: Trust) -> None:
        thief = CryptoSigner.generate_ed25519()
        timestamp, _, _ = county.next_release()
        refused(trust, SignatureError, lambda: trust.update_timestamp(resign(timestamp, thief)))
        # … or by another role's
        refused(
            trust,
            SignatureError,
            lambda: trust.update_timestamp(resign(timestamp, county.keys["targets"])),
        )

    def test_a_changed_byte(self, county: Forger, trust: Trust) -> None:
        timestamp, _, _ = county.next_release()
        changed = timestamp.replace(b'"release":2', b'"release":3')
        assert changed != timestamp
        refused(trust, SignatureError, lambda: trust.update_timestamp(changed))

    @pytest.mark.parametrize("role", ["snapshot", "targets"])
    def test_snapshot_and_targets_of_another_key(self, county: Forger, trust: Trust, role: str) -> None:
        county.keys[role] = CryptoSigner.generate_ed25519()
        timestamp, snapshot, targets = county.next_release()
        candidate = trust.copy()
        candidate.update_timestamp(timestamp)
        if role == "targets":
            candidate.update_snapshot(snapshot)
            refused(candidate, SignatureError, lambda: candidate.update_targets(targets))
        else:
            refused(candidate, SignatureError, lambda: candidate.update_snapshot(snapshot))
        assert candidate.release == 1

    def test_one_key_under_two_ids_is_one_key(self, county: Forger) -> None:
        key = county.keys["timestamp"]
        for public in (key.public_key.keyval["public"], key.public_key.keyval["public"].upper()):
            twin = SSlibKey("f" * 64, "ed25519", "ed25519", {"public": public})
            double = CryptoSigner(key._private_key, twin)

            def two_of_two(root: Root, twin: SSlibKey = twin) -> None:
                root.add_key(twin, "timestamp")
                root.roles["timestamp"].threshold = 2

            trust = Trust.from_root(county.root(two_of_two))
            data = county.timestamp(county.snapshot(county.targets()))
            metadata: Metadata[Any] = Metadata.from_bytes(data)
            metadata.sign(double, append=True)
            assert len(metadata.signatures) == 2
            forged = dump(metadata.to_dict())
            refused(trust, SignatureError, partial(trust.update_timestamp, forged), "1 of the 2")

    def test_two_keys_are_two_keys(self, county: Forger) -> None:
        other = CryptoSigner.generate_ed25519()

        def two_of_two(root: Root) -> None:
            root.add_key(other.public_key, "timestamp")
            root.roles["timestamp"].threshold = 2

        trust = Trust.from_root(county.root(two_of_two))
        data = county.timestamp(county.snapshot(county.targets()))
        refused(trust, SignatureError, lambda: trust.update_timestamp(data))
        metadata: Metadata[Any] = Metadata.from_bytes(data)
        metadata.sign(other, append=True)
        assert trust.update_timestamp(dump(metadata.to_dict())) is True

    def test_only_ed25519_counts(self, county: Forger) -> None:
        other = CryptoSigner.generate_ecdsa()
        county.keys["timestamp"] = other
        trust = Trust.from_root(county.root())
        refused(
            trust, SignatureError, lambda: trust.update_timestamp(county.timestamp(county.snapshot(b"x")))
        )


class TestVersions:
    def test_older_release_and_replayed_timestamp(self, county: Forger, trust: Trust) -> None:
        old = county.release()
        feed(trust, county.next_release())
        assert trust.release == 2
        refused(trust, RollbackError, lambda: trust.update_timestamp(old[0]))

    def test_a_newer_timestamp_over_an_older_snapshot(self, county: Forger, trust: Trust) -> None:
        old = county.release()
        feed(trust, county.next_release())
        county.versions.update(timestamp=3, snapshot=1)
        refused(trust, RollbackError, lambda: trust.update_timestamp(county.timestamp(old[1])), "snapshot")

    def test_a_newer_timestamp_and_snapshot_over_older_targets(self, county: Forger, trust: Trust) -> None:
        old = county.release()
        feed(trust, county.next_release())
        county.versions.update(timestamp=3, snapshot=3, targets=1)
        snapshot = county.snapshot(old[2])
        refused(trust, RollbackError, lambda: trust.update_timestamp(county.timestamp(snapshot)), "release 1")

        def lie(timestamp: Any) -> None:
            timestamp.unrecognized_fields["lessonbox"]["release"] = 2

        candidate = trust.copy()
        candidate.update_timestamp(county.timestamp(snapshot, lie))
        refused(candidate, RollbackError, lambda: candidate.update_snapshot(snapshot), "release 1")

    def test_root_goes_up_by_one(self, county: Forger, trust: Trust) -> None:
        one, two = county.root(), county.next_root("root")
        three = county.next_root("root")
        refused(trust, RollbackError, lambda: trust.update_root(one))
        refused(trust, TrustError, lambda: trust.update_root(three), "root 2 must come first")
        trust.update_root(two)
        trust.update_root(three)
        assert trust.root_version == 3
        refused(trust, RollbackError, lambda: trust.update_root(two))

    def test_root_needs_the_old_and_its_own_key(self, county: Forger, trust: Trust) -> None:
        county.next_root("root")
        both = county.old_root_keys, county.keys["root"]
        county.old_root_keys = []
        refused(trust, SignatureError, lambda: trust.update_root(county.root()))  # the old key is missing
        county.old_root_keys, _ = both
        metadata: Metadata[Any] = Metadata.from_bytes(county.root())
        metadata.sign(county.old_root_keys[0])
        refused(trust, SignatureError, lambda: trust.update_root(dump(metadata.to_dict())))  # its own is
        trust.update_root(county.root())

    def test_recovery_from_a_thief_who_ran_ahead(self, county: Forger, trust: Trust) -> None:
        _, snapshot, _ = county.release()
        county.versions["timestamp"] = 1 << 50
        assert trust.update_timestamp(county.timestamp(snapshot))
        county.versions["timestamp"] = 2
        refused(trust, RollbackError, lambda: trust.update_timestamp(county.timestamp(snapshot)))

        trust.update_root(county.next_root("timestamp", "snapshot"))
        assert trust.release == 1 and county.subject in trust.subjects and not trust.complete
        refused(trust, TrustError, trust.snapshot_ref)
        feed(trust, county.next_release())
        assert (trust.release, trust.timestamp_version, trust.complete) == (2, 3, True)

    def test_new_keys_ask_for_the_snapshot_anew(self, county: Forger, trust: Trust) -> None:
        """Else a new timestamp over the old snapshot would let the old key's signature stand."""
        _, snapshot, _ = county.release()
        trust.update_root(county.next_root("snapshot"))
        county.versions["timestamp"] += 1
        trust.update_timestamp(county.timestamp(snapshot))
        assert trust.needs_snapshot and not trust.complete
        refused(trust, SignatureError, partial(trust.update_snapshot, snapshot))

    def test_a_level_says_another_version_than_the_one_above(self, county: Forger, trust: Trust) -> None:
        county.versions.update(timestamp=2, snapshot=2)
        targets = county.targets()
        snapshot = county.snapshot(targets)
        county.versions["snapshot"] = 3
        candidate = trust.copy()
        candidate.update_timestamp(county.timestamp(snapshot))
        refused(candidate, FormatError, partial(candidate.update_snapshot, snapshot), "version 2")

        county.versions["targets"] = 2
        snapshot = county.snapshot(targets)
        candidate = trust.copy()
        candidate.update_timestamp(county.timestamp(snapshot))
        candidate.update_snapshot(snapshot)
        refused(candidate, FormatError, partial(candidate.update_targets, targets), "version 1")

    def test_recovery_never_lowers_the_release(self, county: Forger, trust: Trust) -> None:
        old = county.targets()
        feed(trust, county.next_release())
        trust.update_root(county.next_root("timestamp", "snapshot", "targets"))
        county.versions.update(timestamp=9, snapshot=9, targets=1)
        snapshot = county.snapshot(old)
        refused(trust, RollbackError, lambda: trust.update_timestamp(county.timestamp(snapshot)), "release 1")

    def test_root_without_new_keys_keeps_the_versions(self, county: Forger, trust: Trust) -> None:
        old = county.release()
        feed(trust, county.next_release())
        trust.update_root(county.next_root("root"))
        assert trust.complete
        refused(trust, RollbackError, lambda: trust.update_timestamp(old[0]))

    def test_new_targets_key_asks_for_targets_anew(self, county: Forger, trust: Trust) -> None:
        _, snapshot, targets = county.release()
        trust.update_root(county.next_root("targets"))
        assert trust.needs_targets and not trust.needs_snapshot and trust.release == 1
        county.versions["timestamp"] += 1
        trust.update_timestamp(county.timestamp(snapshot))
        refused(trust, SignatureError, lambda: trust.update_targets(targets))
        feed(trust, county.next_release())
        assert trust.complete and trust.release == 2


class TestForms:
    def test_targets_longer_or_other_than_stated(self, county: Forger, trust: Trust) -> None:
        timestamp, snapshot, targets = county.next_release()
        trust.update_timestamp(timestamp)
        refused(trust, TargetError, lambda: trust.update_snapshot(snapshot + b" "), "bytes")
        refused(trust, TargetError, lambda: trust.update_snapshot(b" " + snapshot[:-1]), "hash")
        trust.update_snapshot(snapshot)
        refused(trust, TargetError, lambda: trust.update_targets(targets + b" "), "bytes")
        refused(trust, TargetError, lambda: trust.update_targets(targets[:-1] + b" "), "hash")
        trust.update_targets(targets)

    def test_a_root_that_is_targets(self, county: Forger, trust: Trust) -> None:
        with pytest.raises(FormatError, match="not root metadata"):
            Trust.from_root(county.targets())
        county.versions["targets"] = 2
        county.keys["targets"] = county.keys["root"]
        refused(trust, FormatError, lambda: trust.update_root(county.targets()))
        refused(trust, FormatError, lambda: trust.update_timestamp(county.root()))

    def test_snapshot_named_without_hashes_or_length(self, county: Forger, trust: Trust) -> None:
        _, snapshot, _ = county.next_release()

        def no_hashes(timestamp: Any) -> None:
            timestamp.snapshot_meta.hashes = None

        def no_length(timestamp: Any) -> None:
            timestamp.snapshot_meta.length = None

        def weak_hash(timestamp: Any) -> None:
            timestamp.snapshot_meta.hashes = {"md5": "0" * 32}

        def huge(timestamp: Any) -> None:
            timestamp.snapshot_meta.length = 1 << 30

        for change in (no_hashes, no_length, weak_hash, huge):
            refused(trust, FormatError, partial(trust.update_timestamp, county.timestamp(snapshot, change)))

    def test_targets_named_without_hashes(self, county: Forger, trust: Trust) -> None:
        for role in county.versions:
            county.versions[role] += 1

        def no_hashes(snapshot: Any) -> None:
            snapshot.meta["targets.json"].hashes = None

        def none(snapshot: Any) -> None:
            snapshot.meta = {}

        for change in (no_hashes, none):
            snapshot = county.snapshot(county.targets(), change)
            candidate = trust.copy()
            candidate.update_timestamp(county.timestamp(snapshot))
            refused(candidate, FormatError, partial(candidate.update_snapshot, snapshot))

    def test_subjects_with_bad_names_or_hashes(self, county: Forger, trust: Trust) -> None:
        path = f"subjects/{county.subject}.json"

        def climb(targets: Any) -> None:
            targets.targets["subjects/../x.json"] = targets.targets.pop(path)

        def weak(targets: Any) -> None:
            targets.targets[path].hashes = {"sha512": "0" * 128}

        def huge(targets: Any) -> None:
            targets.targets[path].length = 1 << 40

        for change in (climb, weak, huge):
            for role in ("timestamp", "snapshot", "targets"):
                county.versions[role] += 1
            targets = county.targets(change)
            snapshot = county.snapshot(targets)
            candidate = trust.copy()
            candidate.update_timestamp(county.timestamp(snapshot))
            candidate.update_snapshot(snapshot)
            refused(candidate, FormatError, partial(candidate.update_targets, targets))

    def test_unknown_targets_are_left_alone(self, county: Forger, trust: Trust) -> None:
        def later(targets: Any) -> None:
            targets.targets["software/1.2.img"] = targets.targets[f"subjects/{county.subject}.json"]

        for role in ("timestamp", "snapshot", "targets"):
            county.versions[role] += 1
        targets = county.targets(later)
        snapshot = county.snapshot(targets)
        feed(trust, (county.timestamp(snapshot), snapshot, targets))
        assert trust.release == 2 and set(trust.subjects) == {county.subject}

    def test_floats_twins_and_size(self, county: Forger, trust: Trust) -> None:
        timestamp, _, _ = county.next_release()
        assert b'"release":2' in timestamp
        for bad in (b'"release":2.0', b'"release":2,"release":2', b'"release":NaN', b'"release":true'):
            data = timestamp.replace(b'"release":2', bad)
            error = SignatureError if bad.endswith(b"true") else FormatError
            refused(trust, error, partial(trust.update_timestamp, data))
        version = timestamp.replace(b'"version":2}}', b'"version":true}}')
        assert version != timestamp
        refused(trust, FormatError, lambda: trust.update_timestamp(version))
        refused(trust, TooBigError, lambda: trust.update_root(b" " * (MAX_ROOT + 1)))

    @settings(derandomize=True, database=None, deadline=None)
    @given(st.binary(max_size=200))
    def test_noise(self, noise: bytes) -> None:
        with pytest.raises(LessonBoxError):
            Trust.from_root(noise)

    def test_deep_nesting(self) -> None:
        """At every depth around Python's limit: the reader, or what comes after it, gives up by name."""
        for depth in (200, *range(850, 1010, 4), 5_000, 20_000):
            for nested in (b"[" * depth + b"]" * depth, b'{"x":' * depth + b"1" + b"}" * depth):
                with pytest.raises(LessonBoxError):
                    Trust.from_root(b'{"signed":{"_type":"root","x":' + nested + b'},"signatures":[]}')

    @settings(max_examples=250, derandomize=True, database=None, deadline=None)
    @given(st.data())
    def test_damaged_metadata_is_refused_by_name(self, data: st.DataObject) -> None:
        """Every value of a valid file replaced by something else: a named error, and no change."""
        trust = Trust.from_root(_COUNTY.root())
        which = data.draw(st.sampled_from(["root", "timestamp"]))
        obj = json.loads(_NEXT_ROOT if which == "root" else _RELEASE[0])
        path = data.draw(st.sampled_from(list(_paths(obj))))
        junk: Any = data.draw(
            st.sampled_from([None, True, 0, -1, 1 << 60, "", "zz", "\ud800", [], ["x"], {}, {"x": {}}])
        )
        holder = obj
        for key in path[:-1]:
            holder = holder[key]
        if holder[path[-1]] == junk:
            return
        holder[path[-1]] = junk
        damaged = json.dumps(obj).encode()
        before = state(trust)
        with pytest.raises(LessonBoxError):
            (trust.update_root if which == "root" else trust.update_timestamp)(damaged)
        assert state(trust) == before


_COUNTY = Forger()
_RELEASE = _COUNTY.release()
_first = _COUNTY.root()
_NEXT_ROOT = _COUNTY.next_root()
_COUNTY.versions["root"] = 1


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Any:
    """The place of every value that the signature or its check covers."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from _paths(inner, (*at, key))


class TestTime:
    def test_a_frozen_release_is_accepted_and_stale(self, county: Forger) -> None:
        county.expires = datetime(2001, 1, 1, tzinfo=UTC)
        trust = Trust.from_root(county.root())
        feed(trust, county.release())
        trust.update_root(county.next_root("root"))
        feed(trust, county.next_release())
        assert trust.release == 2 and trust.complete
        assert trust.expires == 978_307_200
        assert weeks_stale(trust.expires, trust.expires) == 0
        assert weeks_stale(trust.expires, trust.expires + 1) == 1
        assert weeks_stale(trust.expires, trust.expires + 15 * 86_400) == 3
        assert weeks_stale(trust.expires, 0) == 0

    def test_a_date_of_2099_then_a_right_one(self, county: Forger, trust: Trust) -> None:
        county.issued = 4_070_908_800
        feed(trust, county.next_release())
        assert (trust.release, trust.issued) == (2, 4_070_908_800)
        county.issued = NOW + 86_400
        feed(trust, county.next_release())
        assert (trust.release, trust.issued) == (3, NOW + 86_400)


class TestReload:
    def test_offline_with_everything_expired(self, county: Forger) -> None:
        county.expires = datetime(2001, 1, 1, tzinfo=UTC)
        root, release = county.root(), county.release()
        trust = Trust.reload(root, (), *release)
        assert trust.complete and trust.release == 1
        assert not Trust.reload(root).complete

    def test_levels_signed_under_an_older_root(self, county: Forger) -> None:
        one, release = county.root(), county.release()
        two = county.next_root("root", "timestamp", "snapshot", "targets")
        three = county.next_root("root")
        trust = Trust.reload(one, (two, three), *release)
        assert (trust.root_version, trust.release, trust.timestamp_version) == (3, 1, 0)
        assert county.subject in trust.subjects and not trust.complete
        newer = county.next_release()
        assert Trust.reload(one, (two, three), *newer).complete
        with pytest.raises(SignatureError):
            Trust.reload(one, (), *newer)
        with pytest.raises(TrustError):
            Trust.reload(one, (three,), *newer)

    def test_damaged_files(self, county: Forger) -> None:
        root, (timestamp, snapshot, targets) = county.root(), county.release()
        with pytest.raises(TargetError):
            Trust.reload(root, (), timestamp, snapshot, targets + b" ")


class TestEnvelopes:
    def test_accepted(self, county: Forger, trust: Trust) -> None:
        envelope = trust.verify_envelope(county.envelope(version=4), BOX, 3)
        assert (envelope.version, envelope.school_name) == (4, "青山小学")

    def test_of_another_box(self, county: Forger, trust: Trust) -> None:
        data = county.envelope(box="b-ffffffffffffffff")
        refused(trust, EnvelopeError, lambda: trust.verify_envelope(data, BOX, 0), "is for b-ffff")

    def test_not_newer(self, county: Forger, trust: Trust) -> None:
        for version in (2, 3):
            data = county.envelope(version=version)
            refused(trust, EnvelopeError, partial(trust.verify_envelope, data, BOX, 3), "not newer")

    def test_of_another_type(self, county: Forger, trust: Trust) -> None:
        data = county.envelope(payload_type=dsse.REPORT_TYPE)
        refused(trust, EnvelopeError, lambda: trust.verify_envelope(data, BOX, 0), "payload type")
        # the type is under the signature: calling a signed report an envelope does not help
        signed = dsse.parse_signed(data, dsse.REPORT_TYPE, 1 << 16)
        renamed = dsse.dump_signed(dsse.Signed(dsse.ENVELOPE_TYPE, signed.payload, signed.signatures))
        refused(trust, SignatureError, lambda: trust.verify_envelope(renamed, BOX, 0))

    @pytest.mark.parametrize("role", ["targets", "timestamp", "root"])
    def test_signed_by_another_role(self, county: Forger, trust: Trust, role: str) -> None:
        data = county.envelope(signer=role)
        refused(trust, SignatureError, lambda: trust.verify_envelope(data, BOX, 0))
        signed = dsse.parse_signed(data, dsse.ENVELOPE_TYPE, 1 << 16)
        own = ((county.keys[role].public_key.keyid, signed.signatures[0][1]),)
        named = dsse.dump_signed(dsse.Signed(signed.payload_type, signed.payload, own))
        refused(trust, SignatureError, lambda: trust.verify_envelope(named, BOX, 0))

    def test_damaged_or_huge(self, county: Forger, trust: Trust) -> None:
        refused(trust, EnvelopeError, lambda: trust.verify_envelope(b"{}", BOX, 0))
        refused(trust, TooBigError, lambda: trust.verify_envelope(b" " * (1 << 17), BOX, 0))
        payload = b'{"format":"lessonbox-envelope/2"}'
        key = county.keys["envelopes"]
        signature = bytes.fromhex(key.sign(dsse.pae(dsse.ENVELOPE_TYPE, payload)).signature)
        signed = dsse.Signed(dsse.ENVELOPE_TYPE, payload, ((key.public_key.keyid, signature),))
        refused(trust, EnvelopeError, lambda: trust.verify_envelope(dsse.dump_signed(signed), BOX, 0))

    def test_no_delegation(self, county: Forger) -> None:
        def drop(targets: Any) -> None:
            targets.delegations = None

        targets = county.targets(drop)
        snapshot = county.snapshot(targets)
        trust = Trust.from_root(county.root())
        feed(trust, (county.timestamp(snapshot), snapshot, targets))
        refused(trust, SignatureError, lambda: trust.verify_envelope(county.envelope(), BOX, 0))

    def test_old_key_after_its_rotation(self, county: Forger, trust: Trust) -> None:
        old = county.envelope(version=9)
        county.keys["envelopes"] = CryptoSigner.generate_ed25519()
        feed(trust, county.next_release())
        refused(trust, SignatureError, lambda: trust.verify_envelope(old, BOX, 0))
        assert trust.verify_envelope(county.envelope(version=9), BOX, 0)


def test_check_target_looks_at_the_length_first() -> None:
    ref = TargetRef("a/b.json", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    check_target(ref, b"abc")
    with pytest.raises(TargetError, match="4 bytes"):
        check_target(ref, b"abcd")
    with pytest.raises(TargetError, match="hash"):
        check_target(ref, b"abd")


def test_metadata_kind(county: Forger) -> None:
    timestamp, snapshot, targets = county.next_release()
    files = (county.root(), timestamp, snapshot, targets, county.envelope(version=7))
    assert [metadata_kind(data) for data in files] == [
        ("root", 1),
        ("timestamp", 2),
        ("snapshot", 2),
        ("targets", 2),
        ("envelope", 7),
    ]
    for other in (b"", b"\xff" * 50, b"{}", b'{"signed":[]}', b'{"signed":{"_type":"mirrors","version":1}}'):
        assert metadata_kind(other) is None
