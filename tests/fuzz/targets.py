"""One fuzz target a parser of bytes from outside: `target(data)` returns when the bytes are refused by name
or are right, and raises when they crash the parser or pass for something that they are not.

Everything signed here is made of fixed keys, so that a corpus means the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from appliance.update import slots
from content_sync.adapters.tuf import Trust
from content_sync.errors import LessonBoxError
from content_sync.formats import dsse, hashtree, lesson, parcel, report, torrent, update
from content_sync.formats.collection import dump_collection, dump_subject, parse_collection, parse_subject
from content_sync.formats.enrolment import dump_enrolment, parse_enrolment
from content_sync.formats.hashtree import BLOCK, Hasher
from content_sync.formats.paths import check_path
from tests.unit import test_formats as samples
from tests.unit.forger import BOX, LETTER, Forger

Target = Callable[[bytes], None]


@dataclass(frozen=True)
class Fuzzed:
    """A parser with the check of what it accepts, and inputs that it accepts: the fuzzer begins there."""

    parse: Target
    seeds: tuple[bytes, ...]

    def run(self, data: bytes) -> None:
        """Let the parser refuse by name: any other exception is a crash or a forgery."""
        try:
            self.parse(data)
        except LessonBoxError:
            return


def _made(*sizes: int) -> tuple[torrent.Torrent, bytes, list[bytes]]:
    """A package of noise: its torrent, its leaves file, its files' bytes."""
    chance = random.Random(7)
    files, all_leaves, contents = [], b"", []
    for number, size in enumerate(sizes):
        data = chance.randbytes(size)
        hasher = Hasher()
        hasher.update(data)
        file, leaves = hasher.finish()
        files.append((f"资料 {number}.bin", file, leaves))
        all_leaves += leaves
        contents.append(data)
    return torrent.build("lesson", files), all_leaves, contents


_TORRENT, _LEAVES, _CONTENTS = _made(5 * BLOCK + 3, 40)


def _torrent(data: bytes) -> None:
    made = torrent.parse(data)
    assert torrent.bencode(torrent.bdecode(data)) == data, "two texts for one torrent"
    assert made.infohash == hashlib.sha256(torrent.bencode(torrent.bdecode(data)[b"info"])).hexdigest()
    for entry in made.files:
        assert check_path(entry.path) == entry.path and 0 < entry.file.length <= hashtree.MAX_LENGTH
    if made.infohash == _TORRENT.infohash:
        assert made.files == _TORRENT.files and data == _TORRENT.data, "forged piece layers"


def _bencode(data: bytes) -> None:
    assert torrent.bencode(torrent.bdecode(data)) == data


def _leaves(data: bytes) -> None:
    torrent.split_leaves(_TORRENT, data)
    assert data == _LEAVES, "forged leaves"


def _block(data: bytes) -> None:
    file, size = _TORRENT.files[0].file, hashtree.HASH * hashtree.block_count(_TORRENT.files[0].file.length)
    for index in range(hashtree.block_count(file.length)):
        if hashtree.block_ok(file, _LEAVES[:size], index, data):
            assert data == _CONTENTS[0][index * BLOCK : (index + 1) * BLOCK], "forged block"


def _lesson(data: bytes) -> None:
    made = lesson.parse_lesson(data)
    assert lesson.parse_lesson(lesson.dump_lesson(made)) == made


def _collection(data: bytes) -> None:
    made = parse_collection(data)
    assert parse_collection(dump_collection(made)) == made


def _subject(data: bytes) -> None:
    made = parse_subject(data)
    assert parse_subject(dump_subject(made)) == made


def _enrolment(data: bytes) -> None:
    made = parse_enrolment(data)
    assert parse_enrolment(dump_enrolment(made)) == made


def _report(data: bytes) -> None:
    signed = dsse.parse_signed(data, dsse.REPORT_TYPE, report.MAX_BATCH * 2)
    made = report.parse_batch(signed.payload)
    assert report.parse_batch(report.dump_batch(made)) == made


def _key(name: str) -> CryptoSigner:
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


_FORGER = Forger()
_FORGER.keys = {role: _key(role) for role in _FORGER.keys}
_ROOT = _FORGER.root()
_TIMESTAMP, _SNAPSHOT, _TARGETS = _FORGER.release()
_STAGES = [Trust.from_root(_ROOT) for _ in range(4)]
for _stage in _STAGES[1:]:
    _stage.update_timestamp(_TIMESTAMP)
for _stage in _STAGES[2:]:
    _stage.update_snapshot(_SNAPSHOT)
_STAGES[3].update_targets(_TARGETS)
_ENVELOPE = _FORGER.envelope()
_ROTATED = Forger()
_ROTATED.keys = {role: _key(role) for role in _ROTATED.keys}
_ROTATED.old_root_keys, _ROTATED.keys["root"] = [_key("root")], _key("second root")
_ROTATED.versions["root"] = 2
_ROOT_2 = _ROTATED.root()


def _metadata(data: bytes) -> None:
    """The first byte chooses which metadata the rest is offered as."""
    which, offered = data[:1], data[1:]
    if which == b"r":
        _STAGES[0].copy().update_root(offered)
        genuine = _ROOT_2
    elif which == b"t":
        _STAGES[0].copy().update_timestamp(offered)
        genuine = _TIMESTAMP
    elif which == b"s":
        _STAGES[1].copy().update_snapshot(offered)
        genuine = _SNAPSHOT
    else:
        _STAGES[2].copy().update_targets(offered)
        genuine = _TARGETS
    assert json.loads(offered)["signed"] == json.loads(genuine)["signed"], "forged metadata"


def _envelope(data: bytes) -> None:
    assert _STAGES[3].verify_envelope(data, BOX, 0) == LETTER, "forged envelope"


_REPORT = dsse.dump_signed(
    dsse.Signed(dsse.REPORT_TYPE, report.dump_batch(samples.BATCH), (("1" * 64, b"s" * 64),))
)

_UPDATE = update.Update(
    "system-amd64", 7, "0.2", (update.UpdateFile(update.SYSTEM, "1" * 64, 5, "2" * 64, (8192, "3" * 64)),)
)
_SLOTS = slots.State(7, "b", "a", 2, 1_760_000_000, 5, 3, "page")


def _update(data: bytes) -> None:
    made = update.parse_update(data)
    assert update.parse_update(update.dump_update(made)) == made, "not what it says"
    assert all("/" not in file.name and file.name not in (".", "..") for file in made.files)


def _slots(data: bytes) -> None:
    made = slots.decode(data)
    if made is not None:
        assert slots.decode(slots.encode(made)) == made, "not what it says"
        assert made.confirmed in ("a", "b") and made.trial in ("", slots.other(made.confirmed))


_RECORDS = (
    parcel.Head(b"countyid", 3, 7, 9, 12, 5, 1_760_000_000),
    parcel.Block(hashtree.FileId("ab" * 32, BLOCK + 5), 1, b"short"),
    parcel.Repair("ab" * 32, 0, 4, 5, bytes(BLOCK)),
    *parcel.file_symbols("packs/0", b"pack"),
)


def _parcel(data: bytes) -> None:
    """Whatever is found in noise lies in it byte for byte; and whatever a record with a right check holds, it
    is one that would be written so."""
    for record in parcel.read_records(data):
        assert parcel.dump_record(record) in data, "forged record"
    if len(data) > 3:
        cut = int.from_bytes(data[1:3], "big") % (len(data) - 2)
        made = parcel._record(data[0], data[3 : 3 + cut][:1066], data[3 + cut :][:BLOCK])
        for record in parcel.read_records(made):
            assert parcel.dump_record(record) == made, "a record that is not what it says"


def _manifest(data: bytes) -> None:
    manifest = parcel.parse_manifest(data)
    assert parcel.parse_manifest(parcel.dump_manifest(manifest)) == manifest


TARGETS: dict[str, Fuzzed] = {
    "torrent": Fuzzed(_torrent, (_TORRENT.data,)),
    "bencode": Fuzzed(_bencode, (_TORRENT.data, b"d1:ai-1e1:bl0:d0:i0eeee")),
    "leaves": Fuzzed(_leaves, (_LEAVES,)),
    "block": Fuzzed(_block, (_CONTENTS[0][-3:], _CONTENTS[0][:BLOCK])),
    "lesson": Fuzzed(_lesson, (lesson.dump_lesson(samples.LESSON),)),
    "collection": Fuzzed(_collection, (dump_collection(samples.COLLECTION),)),
    "subject": Fuzzed(_subject, (dump_subject(samples.SUBJECT),)),
    "enrolment": Fuzzed(_enrolment, (dump_enrolment(samples.ENROLMENT),)),
    "report": Fuzzed(_report, (_REPORT,)),
    "metadata": Fuzzed(_metadata, (b"r" + _ROOT_2, b"t" + _TIMESTAMP, b"s" + _SNAPSHOT, b"g" + _TARGETS)),
    "envelope": Fuzzed(_envelope, (_ENVELOPE,)),
    "update": Fuzzed(_update, (update.dump_update(_UPDATE),)),
    "slots": Fuzzed(_slots, (slots.encode(_SLOTS), slots.encode(slots.State()))),
    "parcel": Fuzzed(_parcel, tuple(map(parcel.dump_record, _RECORDS))),
    "manifest": Fuzzed(
        _manifest,
        (parcel.dump_manifest(parcel.Manifest("县", "ab" * 8, 3, 12, 1130, 150, {"cd" * 32: 5})),),
    ),
}
