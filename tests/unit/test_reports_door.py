"""The reports door: each batch once, in any order, by any road; one key a box; what is acknowledged."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from content_sync.adapters.keys import BoxKey
from content_sync.errors import (
    EnrolError,
    FormatError,
    NewerDataError,
    NotFoundError,
    SequenceConflictError,
    SignatureError,
    TooBigError,
)
from content_sync.formats import dsse
from content_sync.formats.enrolment import claim_proof
from content_sync.formats.envelope import MAX_RANGES, Envelope, dump_envelope, parse_envelope
from content_sync.formats.report import FIRST_PREV, Batch, UsageSession, dump_batch, payload_hash
from county.library import BoxRow
from county.receive import door as door_module
from county.receive.courier import import_files
from county.receive.database import Reader, Writer, create
from county.receive.door import Door
from county.receive.envelopes import Envelopes, acknowledgement, ranges

NOW = 1_795_000_000
BOX, OTHER = "b-0123456789abcdef", "b-fedcba9876543210"
CLAIM = "c" * 32
STREAM = "a" * 16


@dataclass
class County:
    """The receiving half of a county over real databases; signatures of envelopes left out."""

    path: Path
    writer: Writer
    reader: Reader
    door: Door
    envelopes: Envelopes

    def count(self, table: str) -> int:
        return int(self.reader.all(f"SELECT count(*) FROM {table}")[0][0])


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    boxes = {box: BoxRow(box, "2133", "石桥小学", CLAIM, ("*",), NOW) for box in (BOX, OTHER)}
    path = tmp_path / "reports.db"
    writer, reader = Writer(path), Reader(path)
    yield County(
        path, writer, reader, Door(writer, boxes.get), Envelopes(writer, reader, boxes.get, dump_envelope)
    )
    writer.close()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> BoxKey:
    return BoxKey.make(tmp_path_factory.mktemp("key") / "box.pem")


def session(number: int, **changes: object) -> UsageSession:
    made = UsageSession(
        f"{number:016x}",
        "b" * 16,
        "lesson",
        "r1",
        "video",
        NOW - 600,
        2,
        "ntp",
        540,
        512,
        "closed",
        "boot",
        number,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def chain(key: BoxKey, count: int, box: str = BOX, stream: str = STREAM, enrol: bool = True) -> list[bytes]:
    """`count` good batches of one session each."""
    bodies, prev = [], FIRST_PREV
    for seq in range(1, count + 1):
        batch = Batch(box, stream, seq, prev, "0.1.0", 3, (session(seq),))
        if enrol:
            proof = claim_proof(CLAIM, box, key.public_hex)
            batch = replace(batch, public_key=key.public_hex, proof=proof)
        payload = dump_batch(batch)
        prev = payload_hash(payload)
        bodies.append(key.sign(dsse.REPORT_TYPE, payload))
    return bodies


def send(county: County, key: BoxKey, batch: Batch, now: int = NOW) -> bool:
    return county.door.receive(key.sign(dsse.REPORT_TYPE, dump_batch(batch)), "http", now).new


def bound(key: BoxKey, **changes: object) -> Batch:
    batch = Batch(
        BOX, STREAM, 1, FIRST_PREV, "0.1.0", 3, (), key.public_hex, claim_proof(CLAIM, BOX, key.public_hex)
    )
    return replace(batch, **changes)  # type: ignore[arg-type]


def test_once_whatever_is_repeated_or_reordered(county: County, key: BoxKey) -> None:
    bodies = chain(key, 12)
    chance = random.Random(5)
    sent = bodies * 3
    chance.shuffle(sent)
    new = [county.door.receive(body, "http", NOW).new for body in sent]
    assert sum(new) == 12
    assert (county.count("batch"), county.count("session"), county.count("quarantine")) == (12, 12, 0)
    assert county.reader.all("SELECT DISTINCT flags FROM batch") == [("",)]


def test_many_threads_at_once(county: County, key: BoxKey) -> None:
    bodies = chain(key, 40)
    results: list[bool] = []

    def work(seed: int) -> None:
        mine = bodies.copy()
        random.Random(seed).shuffle(mine)
        results.extend(county.door.receive(body, "http", NOW).new for body in mine)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 240 and sum(results) == 40 == county.count("batch") == county.count("session")


def test_stored_means_on_disk(county: County, key: BoxKey) -> None:
    """Another connection, as after a crash of this process, sees what was answered."""
    county.door.receive(chain(key, 1)[0], "courier", NOW)
    with sqlite3.connect(county.path) as other:
        assert other.execute("SELECT seq, road FROM batch").fetchall() == [(1, "courier")]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_another_payload_under_one_number(county: County, key: BoxKey) -> None:
    first = bound(key, sessions=(session(1),))
    assert send(county, key, first)
    forged = replace(first, sessions=(session(1), session(2)))
    for _ in range(3):
        with pytest.raises(SequenceConflictError):
            send(county, key, forged)
    assert (county.count("batch"), county.count("session"), county.count("quarantine")) == (1, 1, 1)
    assert county.reader.all("SELECT code, payload IS NOT NULL FROM quarantine") == [("E-SEQ-CONFLICT", 1)]
    assert not send(county, key, first)


def test_enrolment_binds_one_key_once(county: County, key: BoxKey, tmp_path: Path) -> None:
    thief = BoxKey.make(tmp_path / "thief.pem")
    with pytest.raises(EnrolError):
        send(county, key, bound(key, box="b-0000000000000000"))
    with pytest.raises(EnrolError):
        send(county, key, bound(key, public_key=None, proof=None))
    with pytest.raises(EnrolError):
        send(county, key, bound(key, proof="0" * 64))
    with pytest.raises(SignatureError):
        send(county, thief, bound(key))
    assert county.count("box_key") == county.count("batch") == 0
    assert county.count("quarantine") == 4
    assert send(county, key, bound(key))
    with pytest.raises(EnrolError):
        send(county, thief, bound(thief, seq=2, proof=claim_proof(CLAIM, BOX, thief.public_hex)))
    with pytest.raises(SignatureError):
        send(county, thief, bound(key, seq=2))
    with pytest.raises(EnrolError):
        send(county, key, bound(key, box=OTHER, public_key=None, proof=None))
    assert send(county, key, bound(key, seq=2, public_key=None, proof=None))
    assert county.reader.all("SELECT box, public_key FROM box_key") == [(BOX, key.public_hex)]


def test_a_claim_is_not_used_up_by_what_is_not_stored(
    county: County, key: BoxKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(door_module, "_store", full)
        with pytest.raises(Exception, match="disk is full"):
            send(county, key, bound(key))
    assert county.count("box_key") == 0
    assert send(county, key, bound(key))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", FormatError),
        (b"[]", FormatError),
        (
            b'{"payloadType":"application/vnd.lessonbox.envelope+json","payload":"","signatures":[]}',
            FormatError,
        ),
        (b"x" * (door_module.MAX_BODY + 1), TooBigError),
    ],
)
def test_garbage(county: County, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        county.door.receive(body, "http", NOW)
    assert county.count("batch") == 0


def test_what_cannot_be_true_is_flagged_and_kept(county: County, key: BoxKey) -> None:
    future = session(1, start=NOW + 3 * 86_400)
    almost = session(2, start=NOW + 86_400)
    send(
        county,
        key,
        bound(key, sessions=(future, almost, session(3, seconds=90_000), session(4, start=0, clock="none"))),
    )
    flags = dict(county.reader.all("SELECT id, flags FROM session"))
    assert [flags[f"{n:016x}"] for n in (1, 2, 3, 4)] == ["future", "", "long", ""]
    send(county, key, bound(key, seq=2, prev="f" * 64, sessions=(session(1),)))
    assert county.reader.all("SELECT flags FROM batch WHERE seq = 2") == [("chain repeat",)]
    assert county.count("session") == 4


def test_text_that_is_not_unicode(county: County, key: BoxKey) -> None:
    payload = dump_batch(bound(key)).replace(b'"0.1.0"', b'"\\ud800"')
    with pytest.raises(FormatError):
        county.door.receive(key.sign(dsse.REPORT_TYPE, payload), "http", NOW)
    assert county.count("batch") == county.count("box_key") == 0


def test_quarantine_is_bounded(county: County, key: BoxKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_MOST_REFUSED", 5)
    monkeypatch.setattr(door_module, "_MOST_CONFLICTS", 3)
    send(county, key, bound(key))
    for number in range(10):
        with pytest.raises(EnrolError):
            send(county, key, bound(key, box="b-0000000000000000", release=number))
        with pytest.raises(SequenceConflictError):
            send(county, key, bound(key, release=100 + number))
    assert dict(county.reader.all("SELECT code, count(*) FROM quarantine GROUP BY code")) == {
        "E-ENROL": 5,
        "E-SEQ-CONFLICT": 3,
    }


def test_ranges() -> None:
    assert ranges([]) == [] and ranges([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)]
    assert acknowledgement(STREAM, []).through == 0
    ack = acknowledgement(STREAM, [2, 3, 5])
    assert (ack.through, ack.also) == (0, ((2, 3), (5, 5)))
    ack = acknowledgement(STREAM, [1, 2, 4])
    assert (ack.through, ack.also) == (2, ((4, 4),))
    assert len(acknowledgement(STREAM, list(range(1, 5000, 2))).also) == MAX_RANGES


def current(county: County, now: int, box: str = BOX) -> Envelope:
    return parse_envelope(county.envelopes.current(box, now))


def test_envelopes_follow_what_is_stored(county: County, key: BoxKey) -> None:
    empty = current(county, NOW)
    assert (empty.ack, empty.enrolled, empty.collections) == (None, False, ("*",))
    assert current(county, NOW + 3599) == empty
    hourly = current(county, NOW + 3600)
    assert hourly.version > empty.version and hourly.time == NOW + 3600
    first, second, third = chain(key, 3)
    county.door.receive(third, "http", NOW)
    after = current(county, NOW + 3601)
    assert after.enrolled and after.version > hourly.version and after.ack is not None
    assert (after.ack.through, after.ack.also) == (0, ((3, 3),))
    county.door.receive(third, "http", NOW + 1)
    assert current(county, NOW + 3602) == after
    county.door.receive(first, "http", NOW)
    county.door.receive(second, "http", NOW)
    ack = current(county, NOW + 3603).ack
    assert ack is not None and (ack.through, ack.also) == (3, ())
    with pytest.raises(NotFoundError):
        current(county, NOW, "b-0000000000000000")


def test_versions_rise_when_the_clock_falls_and_under_many_askers(county: County) -> None:
    versions = [
        current(county, now).version for now in (NOW, NOW + 9000, NOW, NOW - 10**8, NOW - 10**8 + 4000)
    ]
    assert versions == sorted(set(versions))
    found: list[Envelope] = []
    threads = [threading.Thread(target=lambda: found.append(current(county, NOW + 10**6))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len({envelope.version for envelope in found}) == 1


def test_the_newest_contact_decides_the_stream(county: County, key: BoxKey) -> None:
    new = Batch(BOX, "d" * 16, 1, FIRST_PREV, "0.1.0", 3, ())
    county.door.receive(chain(key, 1)[0], "http", NOW)
    send(county, key, new)
    ack = current(county, NOW).ack
    assert ack is not None and ack.covers("d" * 16, 1)
    county.door.receive(chain(key, 1)[0], "courier", NOW)
    send(county, key, new)
    ack = current(county, NOW + 1).ack
    assert ack is not None and ack.stream == "d" * 16


def test_courier(county: County, key: BoxKey, tmp_path: Path) -> None:
    first, second, third = chain(key, 3)
    single, several, broken = (tmp_path / name for name in ("one.json", "several.json", "broken.json"))
    single.write_bytes(b"\xef\xbb\xbf" + json.dumps(json.loads(first), indent=2).encode())
    several.write_bytes(first + b"\n\n" + third + b"\r\n")
    broken.write_bytes(b"nonsense\n" + second)
    result = import_files([single, several, broken, tmp_path / "absent"], county.door, county.envelopes, NOW)
    assert (result.stored, result.repeated) == (3, 1)
    assert [(where, error.code) for where, error in result.refused] == [
        (f"{broken}, line 1", "E-FORMAT"),
        (str(tmp_path / "absent"), "E-NOT-FOUND"),
    ]
    assert result.written == [tmp_path / f"{BOX}.envelope.json"]
    ack = parse_envelope(result.written[0].read_bytes()).ack
    assert ack is not None and (ack.through, ack.also) == (3, ())


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "reports.db"
    create(path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    with pytest.raises(NewerDataError):
        Writer(path)
    assert path.read_bytes() == before


def test_one_bad_job_does_not_undo_its_neighbours(county: County) -> None:
    """Jobs share a transaction; each fails for itself."""
    ready, results = threading.Barrier(3), []

    def insert(name: str) -> Callable[[sqlite3.Connection], None]:
        def job(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO box_key VALUES (?, '', 0)", (name,))
            if name == "bad":
                raise FormatError("no")

        return job

    def work(name: str) -> None:
        ready.wait()
        try:
            county.writer.run(insert(name))
            results.append(name)
        except FormatError:
            results.append(f"{name} failed")

    threads = [threading.Thread(target=work, args=(name,)) for name in ("good", "bad", "fine")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["bad failed", "fine", "good"]
    assert county.reader.all("SELECT box FROM box_key ORDER BY box") == [("fine",), ("good",)]
