"""Envelopes: what goes down to one box, made fresh when its content changed or an hour has passed (formats.md
5, 8).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable

from msgspec.structs import replace

from content_sync.errors import NotFoundError
from content_sync.formats.envelope import MAX_RANGES, Ack, Envelope, dump_envelope
from county.library import BoxRow
from county.receive.database import Reader, Writer

FRESH_SECONDS = 3600


def ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """Inclusive ranges of rising numbers: [1, 2, 5] -> [(1, 2), (5, 5)]."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def acknowledgement(stream: str, stored: list[int]) -> Ack:
    """What a box may forget of a stream, from the rising numbers of its stored batches."""
    found = ranges(stored)
    through = found.pop(0)[1] if found and found[0][0] == 1 else 0
    return Ack(stream, through, tuple(found[:MAX_RANGES]))


class Envelopes:
    """Makes, keeps and gives envelopes. `sign` wraps one with the county's key; `box_of` finds an enrolled
    box, `token` which of its tokens it is to use.
    """

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        box_of: Callable[[str], BoxRow | None],
        sign: Callable[[Envelope], bytes],
        token: Callable[[str], int] = lambda box: 1,
    ) -> None:
        self._writer, self._reader = writer, reader
        self._box_of, self._sign, self._token = box_of, sign, token

    def current(self, box_id: str, now: int) -> bytes:
        """The envelope of a box, as bytes of its file. `now`: unix seconds.

        A version is durable before it is given to anybody. Raises NotFoundError, StorageError.
        """
        box = self._box_of(box_id)
        if box is None:
            raise NotFoundError(f"box {box_id[:40]!r}")
        kept = self._reader.one("SELECT content, made, body FROM envelope WHERE box = ?", (box_id,))
        content = _content(self._made(box, self._reader.all))
        if kept is not None and kept[0] == content and 0 <= now - kept[1] < FRESH_SECONDS:
            return bytes(kept[2])
        return self._writer.run(lambda connection: self._renew(connection, box, now))

    def _made(
        self, box: BoxRow, rows: Callable[[str, tuple[str, ...]], list[tuple[object, ...]]]
    ) -> Envelope:
        return replace(_envelope(box, rows), token=self._token(box.id))

    def _renew(self, connection: sqlite3.Connection, box: BoxRow, now: int) -> bytes:
        """Inside the writer's transaction, so that two that ask at once get one version."""
        envelope = self._made(box, lambda sql, values: connection.execute(sql, values).fetchall())
        content = _content(envelope)
        kept = connection.execute(
            "SELECT content, made, body, version FROM envelope WHERE box = ?", (box.id,)
        ).fetchone()
        if kept is not None and kept[0] == content and 0 <= now - kept[1] < FRESH_SECONDS:
            return bytes(kept[2])
        # At least the minute, so that versions rise even after reports.db was restored from a backup.
        version = max(kept[3] + 1 if kept else 1, now // 60)
        body = self._sign(replace(envelope, version=version, time=now))
        connection.execute(
            "INSERT OR REPLACE INTO envelope VALUES (?, ?, ?, ?, ?)", (box.id, version, now, content, body)
        )
        return body


def _envelope(box: BoxRow, rows: Callable[[str, tuple[str, ...]], list[tuple[object, ...]]]) -> Envelope:
    """The envelope's content; version and time are still to come."""
    heard = rows("SELECT stream FROM heard WHERE box = ?", (box.id,))
    bound = rows("SELECT 1 FROM box_key WHERE box = ?", (box.id,))
    ack = None
    if heard:
        stream = str(heard[0][0])
        stored = rows("SELECT seq FROM batch WHERE box = ? AND stream = ? ORDER BY seq", (box.id, stream))
        ack = acknowledgement(stream, [int(str(row[0])) for row in stored])
    place = (box.school_code, box.school_name, box.collections)
    return Envelope(box.id, 1, 0, *place, ack, bool(bound), policy=box.policy)


def _content(envelope: Envelope) -> str:
    return hashlib.sha256(dump_envelope(envelope)).hexdigest()
