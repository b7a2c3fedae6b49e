"""The door for reports: each numbered batch is accepted once, in any order, by any road (formats.md 7)."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
import zlib
from collections.abc import Callable

from msgspec import Struct

from content_sync.adapters.keys import verify
from content_sync.errors import EnrolError, FormatError, LessonBoxError, SequenceConflictError, SignatureError
from content_sync.formats import dsse
from content_sync.formats.enrolment import claim_proof
from content_sync.formats.report import FIRST_PREV, MAX_BATCH, Batch, UsageSession, parse_batch
from county.library import BoxRow
from county.receive import records
from county.receive.database import Writer

#: The DSSE wrapper of the largest payload: base64, type, signatures.
MAX_BODY = MAX_BATCH * 4 // 3 + 16_384
FUTURE_SECONDS = 2 * 86_400
LONG_SECONDS = 86_400
_MOST_REFUSED = 2_000
_MOST_CONFLICTS = 200


class Receipt(Struct, frozen=True):
    """A batch that is durable at the county. `new`: it was not here before."""

    box: str
    stream: str
    seq: int
    new: bool


class Door:
    """Takes batches in. `box_of` finds an enrolled box by its id, or None."""

    def __init__(self, writer: Writer, box_of: Callable[[str], BoxRow | None]) -> None:
        self._writer = writer
        self._box_of = box_of

    def receive(self, body: bytes, road: str, now: int) -> Receipt:
        """Store one batch; when this returns it is durable, once.

        `road`: `http` or `courier`; `now`: unix seconds. Raises TooBigError, FormatError, SignatureError,
        EnrolError, SequenceConflictError; each of them leaves nothing but a line in the quarantine.
        StorageError and DiskFullError: send it again later.
        """
        signed = dsse.parse_signed(body, dsse.REPORT_TYPE, MAX_BODY)
        batch = parse_batch(signed.payload)
        box = self._box_of(batch.box)

        def store(connection: sqlite3.Connection) -> Receipt | LessonBoxError:
            # A refusal is a result here, so that its line in the quarantine is kept.
            try:
                _check_key(connection, box, batch, signed, now)
                return _store(connection, batch, signed, road, now)
            except (SignatureError, EnrolError, SequenceConflictError) as error:
                _quarantine(connection, batch, signed.payload, road, now, error)
                return error

        try:
            result = self._writer.run(store)
        except UnicodeEncodeError:
            raise FormatError("a text of the report is not Unicode") from None
        if isinstance(result, LessonBoxError):
            raise result
        return result


def _check_key(
    connection: sqlite3.Connection, box: BoxRow | None, batch: Batch, signed: dsse.Signed, now: int
) -> None:
    """Verify with the box's key; the first time bind the key that its claim vouches for.

    The bond is written in the transaction that stores the batch: a claim is never used up for nothing.
    """
    if box is None:
        raise EnrolError(f"box {batch.box} is not one of this county")
    row = connection.execute("SELECT public_key FROM box_key WHERE box = ?", (batch.box,)).fetchone()
    if row is not None:
        try:
            verify(signed, row[0])
        except SignatureError:
            if batch.public_key not in (None, row[0]):
                raise EnrolError(f"the claim of box {batch.box} was used with another key") from None
            raise
        return
    if batch.public_key is None or batch.proof is None:
        raise EnrolError(f"box {batch.box} has not shown its key yet")
    if not hmac.compare_digest(batch.proof, claim_proof(box.claim, batch.box, batch.public_key)):
        raise EnrolError(f"the proof of box {batch.box} does not fit its claim")
    try:
        verify(signed, batch.public_key)
    except ValueError:
        raise FormatError("the public key is not one of Ed25519") from None
    connection.execute("INSERT INTO box_key VALUES (?, ?, ?)", (batch.box, batch.public_key, now))


def _store(connection: sqlite3.Connection, batch: Batch, signed: dsse.Signed, road: str, now: int) -> Receipt:
    digest = hashlib.sha256(signed.payload).hexdigest()
    place = (batch.box, batch.stream, batch.seq)
    held = connection.execute(
        "SELECT payload_sha256 FROM batch WHERE box = ? AND stream = ? AND seq = ?", place
    ).fetchone()
    if held is not None and held[0] != digest:
        raise SequenceConflictError(f"box {batch.box} sent two reports with number {batch.seq}")
    if held is None:
        keys = json.dumps([[key, signature.hex()] for key, signature in signed.signatures])
        cursor = connection.execute(
            "INSERT INTO batch"
            " (box, stream, seq, payload_sha256, prev, received, road, signatures, payload, flags)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '')",
            (*place, digest, batch.prev, now, road, keys, zlib.compress(signed.payload)),
        )
        row = cursor.lastrowid or 0
        cursor.executemany(
            "INSERT OR IGNORE INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (_session_row(batch.box, row, session, now) for session in batch.sessions),
        )
        flags = [] if _chained(connection, batch, digest) else ["chain"]
        told_before = batch.sessions and cursor.rowcount != len(batch.sessions)
        if not records.store(connection, batch, row, now) or told_before:
            flags.append("repeat")
        if batch.unknown:  # kept whole in the payload, for a program that can read them
            flags.append("unknown")
        if flags:
            connection.execute("UPDATE batch SET flags = ? WHERE id = ?", (" ".join(flags), row))
    connection.execute(
        "INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?, ?, ?)",
        (batch.box, now, road, batch.stream, batch.release, batch.software),
    )
    return Receipt(*place, held is None)


def _chained(connection: sqlite3.Connection, batch: Batch, digest: str) -> bool:
    """Whether the hash chain holds on both sides, as far as the neighbours are here already."""
    query = "SELECT payload_sha256, prev FROM batch WHERE box = ? AND stream = ? AND seq = ?"
    before = connection.execute(query, (batch.box, batch.stream, batch.seq - 1)).fetchone()
    after = connection.execute(query, (batch.box, batch.stream, batch.seq + 1)).fetchone()
    first = batch.seq > 1 or batch.prev == FIRST_PREV
    return first and (before is None or before[0] == batch.prev) and (after is None or after[1] == digest)


def _session_row(box: str, batch: int, session: UsageSession, now: int) -> tuple[object, ...]:
    flags = []
    if session.start > now + FUTURE_SECONDS:
        flags.append("future")
    if session.seconds > LONG_SECONDS:
        flags.append("long")
    return (
        box, session.id, batch, session.board, session.lesson, session.resource, session.kind, session.start,
        session.uncertainty, session.clock, session.seconds, session.furthest, session.ended, " ".join(flags),
    )  # fmt: skip


def _quarantine(
    connection: sqlite3.Connection, batch: Batch, payload: bytes, road: str, now: int, error: LessonBoxError
) -> None:
    """Note what was refused, without letting anyone fill the disk: payloads only of known keys, both kinds
    bounded.
    """
    conflict = isinstance(error, SequenceConflictError)
    digest = hashlib.sha256(payload).hexdigest()
    connection.execute(
        "INSERT OR IGNORE INTO quarantine"
        " (box, stream, seq, payload_sha256, code, reason, received, road, payload)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (batch.box, batch.stream, batch.seq, digest, error.code, error.what, now, road,
         zlib.compress(payload) if conflict else None),
    )  # fmt: skip
    connection.execute(
        "DELETE FROM quarantine WHERE id IN"
        " (SELECT id FROM quarantine WHERE (code = ?) = ? AND (? OR box = ?)"
        " ORDER BY id DESC LIMIT -1 OFFSET ?)",
        (SequenceConflictError.code, conflict, not conflict, batch.box,
         _MOST_CONFLICTS if conflict else _MOST_REFUSED),
    )  # fmt: skip
