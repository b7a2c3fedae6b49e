"""Keeping the signed metadata up to date: roots, release, envelope. What is refused changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from content_sync.core.timefloor import TimeFloor
from content_sync.core.trust import MAX_ROOT, MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP
from content_sync.engine.offers import Offer
from content_sync.engine.problems import Problems
from content_sync.engine.targets import Targets
from content_sync.errors import FormatError, RollbackError, TrustError
from content_sync.formats import dsse
from content_sync.formats.canonical import load
from content_sync.formats.envelope import MAX_ENVELOPE, Envelope, parse_envelope
from content_sync.formats.policy import dump_policy
from content_sync.ports import Clock, Shelf, State, Trust

#: Makes a verifier from stored bytes: later roots, timestamp, snapshot, targets (adapters/tuf.py
#: `Trust.reload`).
MakeTrust = Callable[[Sequence[bytes], bytes | None, bytes | None, bytes | None], Trust]
ENVELOPE = "envelope.json"
#: What of the policy the pages of days and classes need.
_OF_TERM = ("term", "utc_offset", "class_goal")


class Refresh:
    """Owns trust/: the verifier, the envelope, and the files that were accepted."""

    def __init__(
        self,
        shelf: Shelf,
        state: State,
        clock: Clock,
        make: MakeTrust,
        box: str,
        targets: Targets,
        problems: Problems,
    ) -> None:
        self._shelf, self._state, self._clock, self._box = shelf, state, clock, box
        self._targets, self._problems = targets, problems
        self.trust = self._load(make)
        self.envelope: Envelope | None = self._load_envelope()

    # What is stored

    def _load(self, make: MakeTrust) -> Trust:
        names = self._shelf.names("metadata")
        numbers = sorted(
            int(name.split(".")[0])
            for name in names
            if name.endswith(".root.json") and name.split(".")[0].isdigit()
        )
        roots: list[bytes] = []
        try:
            roots += [self._shelf.get(f"metadata/{number}.root.json", MAX_ROOT) or b"" for number in numbers]
            timestamp = self._shelf.get("metadata/timestamp.json", MAX_TIMESTAMP)
            if timestamp is None:
                return make(roots, None, None, None)
            version = named_version(timestamp, "snapshot.json", MAX_TIMESTAMP)
            snapshot = self._shelf.get(f"metadata/{version}.snapshot.json", MAX_SNAPSHOT)
            version = named_version(snapshot or b"", "targets.json", MAX_SNAPSHOT)
            targets = self._shelf.get(f"metadata/{version}.targets.json", MAX_TARGETS)
            return make(roots, timestamp, snapshot, targets)
        except (TrustError, FormatError) as error:
            # The disk lost some of it. The release is fetched again; state.db's release number still refuses
            # what is older (`_take_timestamp`). Roots stay, else keys that were replaced would count again.
            self._problems.note("trust", error)
        try:
            return make(roots, None, None, None)
        except (TrustError, FormatError):
            return make((), None, None, None)

    def _load_envelope(self) -> Envelope | None:
        data = self._shelf.get(ENVELOPE, MAX_ENVELOPE)
        try:
            return None if data is None else self.trust.verify_envelope(data, self._box, 0)
        except (TrustError, FormatError):
            pass
        try:  # the county has changed its key since: it was verified when it came
            assert data is not None
            return parse_envelope(dsse.parse_signed(data, dsse.ENVELOPE_TYPE, MAX_ENVELOPE).payload)
        except FormatError:
            return None

    # What comes

    def take(self, offer: Offer) -> bool:
        """Accept what is newer in an offer, level by level; False when what it has for a timestamp is none of
        this county's, as a hotspot's login page. Raises NetworkError."""
        self._take_roots(offer)
        held = self._take_release(offer)
        self._take_envelope(offer)
        return held

    def _take_roots(self, offer: Offer) -> None:
        advanced = True
        while advanced:
            advanced = False
            for subject, data in offer.roots(self.trust.root_version + 1):
                trial = self.trust.copy()
                with self._problems.refusal(subject) as refusal:
                    trial.update_root(data)
                if refusal.error is None:
                    self._shelf.put(f"metadata/{trial.root_version}.root.json", data)
                    self.trust = trial
                    advanced = True
                    break

    def _take_release(self, offer: Offer) -> bool:
        above = 0 if self.trust.needs_targets else self.trust.timestamp_version
        held = True
        for subject, data in offer.timestamps(above):
            with self._problems.refusal(subject) as refusal:
                if self._take_timestamp(offer, subject, data):
                    return True
            held = refusal.error is None
            if held:
                self._state.solved(subject)
        return held

    def _take_timestamp(self, offer: Offer, subject: str, timestamp: bytes) -> bool:
        trial = self.trust.copy()
        if not trial.update_timestamp(timestamp) and not trial.needs_targets:
            return False
        files: list[tuple[str, bytes]] = []
        if trial.needs_snapshot:
            found = self._targets.named("metadata", trial.snapshot_ref(), (offer,))
            if found is None:
                return False
            trial.update_snapshot(found)
            files.append((trial.snapshot_ref().path, found))
        if trial.needs_targets:
            found = self._targets.named("metadata", trial.targets_ref(), (offer,))
            if found is None:
                return False
            trial.update_targets(found)
            files.append((trial.targets_ref().path, found))
        applied = int(self._state.meta("release") or 0)
        if trial.release < applied:
            raise RollbackError(f"release {trial.release} is older than release {applied}")
        # The timestamp last: it is what makes the others count.
        for path, found in [*reversed(files), ("timestamp.json", timestamp)]:
            self._shelf.put(f"metadata/{path}", found)
        keep = {trial.snapshot_ref().path, trial.targets_ref().path, "timestamp.json"}
        for name in self._shelf.names("metadata"):
            if name not in keep and not name.endswith(".root.json"):
                self._shelf.remove(f"metadata/{name}")
        self.trust = trial
        self.note_release()
        self._state.solved(subject)
        return True

    def note_release(self) -> None:
        """Write what the accepted timestamp says to where the other programs read it; once for each."""
        trust = self.trust
        if not trust.release or self._state.meta("timestamp") == str(trust.timestamp_version):
            return
        self._state.set_meta(
            {
                "timestamp": str(trust.timestamp_version),
                "issued": str(trust.issued),
                "expires": str(trust.expires),
                "county": trust.county,
                "floor": self._floor(trust.issued),
            }
        )

    def _take_envelope(self, offer: Offer) -> None:
        if not self.trust.release:
            return
        above = self.envelope.version if self.envelope else 0
        for subject, data in offer.envelopes(self._box, above):
            with self._problems.refusal(subject) as refusal:
                envelope = self.trust.verify_envelope(data, self._box, above)
            if refusal.error is None:
                self._shelf.put(ENVELOPE, data)
                self.envelope = envelope
                self.note_envelope()
                return

    def note_envelope(self) -> None:
        """Write what the envelope says to where the other programs read it."""
        envelope = self.envelope
        if envelope is None or self._state.meta("envelope") == str(envelope.version):
            return
        ack, told = envelope.ack, dump_policy(envelope.policy)
        self._state.set_meta(
            {
                "collect_local": json.dumps(told.get("collect_local", [])),
                "cards": json.dumps(told.get("cards", [])),
                "term": json.dumps({key: told[key] for key in _OF_TERM if key in told}),
                "envelope": str(envelope.version),
                "envelope_time": str(envelope.time),
                "enrolled": str(int(envelope.enrolled)),
                "token": str(envelope.token),
                "ack": json.dumps(
                    None
                    if ack is None
                    else {"stream": ack.stream, "through": ack.through, "also": [list(r) for r in ack.also]}
                ),
                "collections": json.dumps(envelope.collections),
                "school_code": envelope.school_code,
                "school_name": envelope.school_name,
                "floor": self._floor(envelope.time),
            }
        )

    def _floor(self, accepted: int | None = None) -> str:
        stored = json.loads(self._state.meta("floor") or "{}")
        floor = TimeFloor(stored.get("floor"), stored.get("doubted"))
        if accepted is not None:
            floor = floor.accept(accepted)
        floor = floor.with_clock(int(self._clock.wall()), self._clock.source() == "ntp")
        return json.dumps({"floor": floor.floor, "doubted": floor.doubted})

    @property
    def signed(self) -> int | None:
        """The newest signed time that is not doubted, unix seconds."""
        found: int | None = json.loads(self._state.meta("floor") or "{}").get("floor")
        return found

    def look_at_clock(self) -> None:
        """A doubted time counts once a synchronised clock has reached it."""
        self._state.set_meta({"floor": self._floor()})


def named_version(data: bytes, name: str, cap: int) -> int:
    """The version of the file that a timestamp or snapshot names. Raises FormatError, TooBigError."""
    body = load(data, cap).get("signed")
    meta = body.get("meta") if isinstance(body, dict) else None
    entry = meta.get(name) if isinstance(meta, dict) else None
    version = entry.get("version") if isinstance(entry, dict) else None
    if type(version) is not int:
        raise FormatError(f"{name} is not named")
    return version
