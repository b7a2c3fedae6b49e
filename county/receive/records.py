"""What batches say beside usage, in tables of reports.db (formats.md 7)."""

from __future__ import annotations

import json
import sqlite3
import zlib

from content_sync.errors import LessonBoxError
from content_sync.formats.records import (
    LISTS,
    ClassRecord,
    DamageRecord,
    OfferRecord,
    UpdateRecord,
    WishRecord,
)
from content_sync.formats.report import Batch, parse_batch

FUTURE_SECONDS = 2 * 86_400
LONG_SECONDS = 6 * 3_600


def store(connection: sqlite3.Connection, batch: Batch, row: int, now: int) -> bool:
    """Store the records of the batch with this row id, each of a box once; whether all were new."""
    new = 0
    for place, (_, record) in enumerate(batch.records):
        if isinstance(record, ClassRecord):
            flags = " ".join(
                word
                for word, wrong in (
                    ("future", record.start > now + FUTURE_SECONDS),
                    ("long", record.seconds > LONG_SECONDS),
                )
                if wrong
            )
            sql = "class VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            values: tuple[object, ...] = (
                batch.box, record.id, row, record.teacher, record.name, record.place, record.kind,
                record.lesson, record.start, record.uncertainty, record.clock, record.seconds, flags,
            )  # fmt: skip
        elif isinstance(record, WishRecord):
            sql = "wish VALUES (?, ?, ?, ?, ?, ?)"
            values = (batch.box, record.id, row, record.lesson, record.board, record.at)
        elif isinstance(record, DamageRecord):
            sql = "damage VALUES (?, ?, ?, ?, ?, ?)"
            values = (batch.box, record.id, row, record.file, record.times, record.at)
        elif isinstance(record, UpdateRecord):
            sql = "updated VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            values = (
                batch.box, record.id, row, record.number, record.version, int(record.well), record.why,
                record.at,
            )  # fmt: skip
        else:
            assert isinstance(record, OfferRecord)
            sql = "offer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            kinds = json.dumps(dict(record.kinds))
            values = (
                batch.box, record.id, row, place, record.lesson, record.title, record.collection, kinds,
                record.size, int(record.offered),
            )  # fmt: skip
        new += connection.execute(f"INSERT OR IGNORE INTO {sql}", values).rowcount
    return new == len(batch.records)


def bring_out(connection: sqlite3.Connection) -> None:
    """Read the records out of batches that an older program kept whole and could not read."""
    marks = tuple(f'"{name}":['.encode() for name in LISTS)
    for row, received, payload in connection.execute("SELECT id, received, payload FROM batch ORDER BY id"):
        data = zlib.decompress(payload)
        if any(mark in data for mark in marks):
            try:
                store(connection, parse_batch(data), row, received)
            except LessonBoxError:
                connection.execute("UPDATE batch SET flags = trim(flags || ' unread') WHERE id = ?", (row,))
