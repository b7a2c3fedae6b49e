"""outbox.db: from recorded events to numbered, signed batches that are kept until the county has them.

Each step is one transaction: sessions and the watermark move together, a batch's number and its bytes too.
Whatever instant the power goes, the next step finds the same work and gives the same sessions the same ids.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from appliance.usage import database
from appliance.usage.dating import HELD_BOOTS, NTP, SYSTEM, Anchor, Boot, Calendar, believable
from appliance.usage.sessions import Sessions, Stored
from content_sync.core.timefloor import TimeFloor
from content_sync.errors import FormatError, SequenceConflictError
from content_sync.formats.canonical import dump
from content_sync.formats.envelope import Ack
from content_sync.formats.records import MAX_RECORDS, Record, parse_record
from content_sync.formats.report import (
    FIRST_PREV,
    MAX_SESSIONS,
    Batch,
    UsageSession,
    dump_batch,
    parse_batch,
    payload_hash,
)
from content_sync.ports import Problem

ROOM = 700_000  # bytes of sessions in one batch: signed and in base64 it stays below 1 MiB
RESEND = 86_400  # seconds after which a batch that was stored or refused, but not acknowledged, is sent again
ANCHOR_EVERY = 3_600
PART = 10_000  # sessions taken in one transaction: so many that a flood of them still fits the memory
_DRAFT = "id, board, lesson, resource, kind, seconds, furthest, ended, boot, mono, wall, source"
_STORED = "id, board, lesson, resource, kind, visit, type, at, position, origin, boot, mono, wall, source"


class Frame(Struct, frozen=True):
    """What a batch says beside its sessions. `enrol`: (public key, proof) until the county has the key."""

    box: str
    software: str
    release: int
    enrol: tuple[str, str] | None


class Outbox:
    """The one writer of outbox.db. Raises DiskFullError, BusyError, StorageError, NewerDataError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.unfit = 0  # sessions that no report may carry, found when the last batch was made
        self._db, self.moved_aside = database.open_writer(path, "outbox.sql", _begin)
        with self._transaction():
            for statement in Path(__file__).with_name("records.sql").read_text("utf-8").split(";\n"):
                self._db.execute(statement)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @property
    def stream(self) -> str:
        """This outbox's random name."""
        return self._meta("stream")

    @property
    def seq(self) -> int:
        """The number of the last batch; 0 before the first."""
        return int(self._meta("seq"))

    def note_present(self, usage: Path, boot: str, floor: TimeFloor) -> None:
        """Give the present boot its place after all that left events, and remember the newest signed time.

        A boot's own floor is what was known before it began; what came later says nothing of its beginning.
        """
        signed = floor.floor or 0
        known = self._all("SELECT id FROM boot ORDER BY number DESC LIMIT 1")
        if known == [(boot,)] and int(self._meta("floor")) == signed:
            return
        unseen = [other for other in self._boots_with_events(usage) if other != boot]
        with self._transaction():
            for other in unseen:
                self._add_boot(other, "coalesce((SELECT max(floor) FROM boot), 0)")
            self._add_boot(boot, "(SELECT cast(value AS INTEGER) FROM meta WHERE key = 'floor')")
            self._db.execute(
                "UPDATE boot SET number = (SELECT max(number) + 1 FROM boot) WHERE id = ?"
                " AND number < (SELECT max(number) FROM boot)",
                (boot,),
            )
            self._set("floor", str(signed))
            self._db.execute(
                "DELETE FROM anchor WHERE boot NOT IN (SELECT boot FROM session) AND boot IN"
                " (SELECT id FROM boot WHERE number < (SELECT max(number) FROM boot) - ?)",
                (2 * HELD_BOOTS,),
            )

    def note_anchor(self, anchor: Anchor, floor: TimeFloor) -> None:
        """Remember a time that can be true: the first and then one an hour of each boot and source."""
        if not believable(anchor.unix, floor, anchor.source):
            return
        last = self._all(
            "SELECT max(mono) FROM anchor WHERE boot = ? AND source = ?", anchor.boot, anchor.source
        )[0][0]
        if last is None or anchor.mono - last >= ANCHOR_EVERY:
            with self._transaction():
                self._db.execute(
                    "INSERT INTO anchor (boot, source, mono, unix, uncertainty) VALUES (?, ?, ?, ?, ?)",
                    (anchor.boot, anchor.source, anchor.mono, anchor.unix, anchor.uncertainty),
                )

    def consume(self, usage: Path, boot: str, now: int) -> int:
        """Take the sessions that ended from usage.db; how many. `now`: milliseconds of the present boot."""
        total = 0
        while taken := self._consume(usage, boot, now):
            total += taken
            if taken < PART:
                break
        return total

    def _consume(self, usage: Path, boot: str, now: int) -> int:
        """A part of them, at least PART if there are more: as if it had been looked at that moment."""
        reader = database.open_reader(usage)
        if reader is None:
            return 0
        with closing(reader), database.sqlite_errors(usage.name):
            reader.execute("BEGIN")
            name = reader.execute("SELECT value FROM meta WHERE key = 'id'").fetchone()[0]
            same = name == self._meta("usage")
            watermark = int(self._meta("watermark")) if same else 0
            sessions = Sessions(
                name, {row[0] for row in self._all("SELECT id FROM taken")} if same else set()
            )
            rows = reader.execute(f"SELECT {_STORED} FROM event WHERE id > ? ORDER BY id", (watermark,))
            for event in (Stored(*row) for row in rows):
                sessions.hear(event)
                if len(sessions.ended) >= PART:
                    boot, now = event.boot, event.mono
                    break
        through, fresh = max(sessions.cut(boot, now), watermark), sessions.ended
        if same and not fresh and through == watermark:
            return 0
        with self._transaction():
            if not same:
                self._db.execute("DELETE FROM taken")
            self._db.executemany(
                f"INSERT OR IGNORE INTO session ({_DRAFT}) VALUES ({', '.join('?' * 12)})",
                [tuple(getattr(draft, column) for column in _DRAFT.split(", ")) for draft in fresh],
            )
            self._db.executemany(
                "INSERT INTO taken (id, last) VALUES (?, ?)", [(draft.id, draft.last) for draft in fresh]
            )
            self._db.execute("DELETE FROM taken WHERE last <= ?", (through,))
            self._set("usage", name)
            self._set("watermark", str(through))
        return len(fresh)

    def classes_taken(self, book: str) -> int:
        """The number of the last class that was taken from this school.db."""
        return int(self._meta("classes")) if self._meta("book") == book else 0

    def take_classes(self, book: str, through: int, found: Sequence[tuple[str, str]]) -> None:
        """Take (id, body) of classes, up to the one numbered `through`, in one transaction."""
        with self._transaction():
            self._add("classes", found)
            self._set("book", book)
            self._set("classes", str(through))

    def told(self, name: str) -> dict[str, str]:
        """Key -> mark of what was last taken into a list."""
        return dict(self._all("SELECT key, mark FROM told WHERE list = ?", name))

    def take(self, name: str, found: Sequence[tuple[str, str, str, str]], gone: Sequence[str] = ()) -> None:
        """Take (key, mark, id, body) of records, and forget keys that are `gone`, in one transaction."""
        with self._transaction():
            self._add(name, [(identity, body) for _, _, identity, body in found])
            self._db.executemany(
                "INSERT INTO told VALUES (?, ?, ?)"
                " ON CONFLICT (list, key) DO UPDATE SET mark = excluded.mark",
                [(name, key, mark) for key, mark, _, _ in found],
            )
            self._db.executemany("DELETE FROM told WHERE list = ? AND key = ?", [(name, key) for key in gone])

    def _add(self, name: str, found: Sequence[tuple[str, str]]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO record (list, id, body) VALUES (?, ?, ?)",
            [(name, identity, body) for identity, body in found],
        )

    def calendar(self, floor: TimeFloor) -> Calendar:
        """All that is known of this box's boots; the clocks of waiting sessions count as witnesses."""
        with database.sqlite_errors(self._path.name):
            return Calendar(*_facts(self._db), floor)

    def pack(self, frame: Frame, sign: Callable[[bytes], bytes], floor: TimeFloor, now: int) -> int:
        """Put the sessions that can be dated, and records, into the next batch; how many of both. `now`:
        seconds of this boot.

        The first batch is made even without sessions: it carries the box's key to the county.
        """
        sessions, room = self._dated(self.calendar(floor), now)
        records = self._records(room)
        if not sessions and not records and self.seq:
            return 0
        batch = Batch(
            box=frame.box,
            stream=self.stream,
            seq=self.seq + 1,
            prev=self._meta("prev"),
            software=frame.software,
            release=frame.release,
            sessions=tuple(sessions),
            public_key=frame.enrol[0] if frame.enrol else None,
            proof=frame.enrol[1] if frame.enrol else None,
            records=tuple(records.values()),
        )
        payload = dump_batch(batch)
        signed = sign(payload)
        with self._transaction():
            self._db.execute(
                "INSERT INTO batch (seq, signed, sessions) VALUES (?, ?, ?)",
                (batch.seq, signed, len(sessions)),
            )
            self._db.executemany("DELETE FROM session WHERE id = ?", [(one.id,) for one in sessions])
            self._db.executemany("DELETE FROM record WHERE number = ?", [(number,) for number in records])
            self._set("seq", str(batch.seq))
            self._set("prev", payload_hash(payload))
        return len(sessions) + len(records)

    def waiting(self) -> int:
        """Sessions that stand in no batch yet."""
        return int(self._all("SELECT count(*) FROM session")[0][0])

    def unsent(self) -> int:
        """Batches that no county has taken yet."""
        return int(self._all("SELECT count(*) FROM batch WHERE sent_boot = ''")[0][0])

    def due(self, boot: str, now: int) -> list[int]:
        """Batches to send now, in order: never sent, or not acknowledged for a day or since the last boot."""
        return [
            row[0]
            for row in self._all(
                "SELECT seq FROM batch WHERE sent_boot != ? OR ? - sent_mono >= ? ORDER BY seq",
                boot,
                now,
                RESEND,
            )
        ]

    def signed(self, seq: int) -> bytes:
        """The signed bytes of a batch that is still here."""
        return bytes(self._all("SELECT signed FROM batch WHERE seq = ?", seq)[0][0])

    def mark(self, seq: int, boot: str, now: int, refused: str = "") -> None:
        """The county stored the batch, or refused it with a code. It is kept either way."""
        with self._transaction():
            self._db.execute(
                "UPDATE batch SET sent_boot = ?, sent_mono = ?, refused = ? WHERE seq = ?",
                (boot, now, refused, seq),
            )

    def refusals(self) -> list[tuple[int, str]]:
        """Batches that the county refused the last time: number, code."""
        return [
            (row[0], row[1])
            for row in self._all("SELECT seq, refused FROM batch WHERE refused != '' ORDER BY seq")
        ]

    def forget(self, ack: Ack) -> int:
        """Delete the batches that the county acknowledged; how many.

        Raises SequenceConflictError, and deletes nothing, when it acknowledges numbers not given yet:
        this outbox is a copy of an older state, and what it numbers now is not what the county has.
        """
        if ack.stream == self.stream and max([ack.through, *(last for _, last in ack.also)]) > self.seq:
            raise SequenceConflictError(f"the county has reports beyond {self.seq}, the last one of this box")
        covered = [seq for (seq,) in self._all("SELECT seq FROM batch") if ack.covers(self.stream, seq)]
        if covered:
            with self._transaction():
                self._db.executemany("DELETE FROM batch WHERE seq = ?", [(seq,) for seq in covered])
        return len(covered)

    def tell(self, status: Mapping[str, object], problems: Sequence[Problem]) -> None:
        """Write what `lessonbox status` shows, if it changed; a problem that goes on keeps its beginning."""
        new = {key: json.dumps(value, ensure_ascii=False, sort_keys=True) for key, value in status.items()}
        old = dict(self._all("SELECT key, value FROM status"))
        before = {
            (row[0], row[1]): row for row in self._all("SELECT code, subject, message, since FROM problem")
        }
        now = {(one.code, one.subject): one for one in problems}
        same = before.keys() == now.keys() and all(before[key][2] == one.message for key, one in now.items())
        if same and old == new:
            return
        with self._transaction():
            self._db.execute("DELETE FROM status")
            self._db.executemany("INSERT INTO status (key, value) VALUES (?, ?)", new.items())
            self._db.execute("DELETE FROM problem")
            self._db.executemany(
                "INSERT INTO problem (code, subject, message, since) VALUES (?, ?, ?, ?)",
                [
                    (*key, one.message, before[key][3] if key in before else one.since)
                    for key, one in now.items()
                ],
            )

    def _records(self, room: int) -> dict[int, tuple[str, Record]]:
        """As many records as `room` bytes hold, oldest first, by their numbers here."""
        made: dict[int, tuple[str, Record]] = {}
        for number, name, body in self._all("SELECT number, list, body FROM record ORDER BY number"):
            room -= len(body.encode()) + 1
            if room < 0 or len(made) == MAX_RECORDS:
                break
            try:
                made[number] = name, parse_record(name, json.loads(body))
            except (FormatError, ValueError, KeyError):
                self.unfit += 1
        return made

    def _dated(self, calendar: Calendar, now: int) -> tuple[list[UsageSession], int]:
        """As many dated sessions as one batch holds, oldest first, and the bytes that are left in it."""
        made: list[UsageSession] = []
        room = ROOM
        self.unfit = 0
        for row in self._each(
            f"SELECT {', '.join('s.' + name for name in _DRAFT.split(', '))} FROM session s"
            " JOIN boot b ON b.id = s.boot ORDER BY b.number, s.mono, s.id"
        ):
            identity, board, lesson, resource, kind, seconds, furthest, ended, boot, mono, _, _ = row
            dated = calendar.date(boot, mono // 1000, now)
            if dated is None:
                continue
            session = UsageSession(
                id=identity,
                board=board,
                lesson=lesson,
                resource=resource,
                kind=kind,
                start=dated.start,
                uncertainty=dated.uncertainty,
                clock=dated.clock,
                seconds=seconds,
                furthest=furthest,
                ended=ended,
                boot=boot,
                mono=mono // 1000,
            )
            if not _fits(session):
                self.unfit += 1
                continue
            size = len(dump(asdict(session))) + 1
            if size > room or len(made) == MAX_SESSIONS:
                return made, 0
            room -= size
            made.append(session)
        return made, room

    def _boots_with_events(self, usage: Path) -> list[str]:
        reader = database.open_reader(usage)
        if reader is None:
            return []
        with closing(reader), database.sqlite_errors(usage.name):
            return [row[0] for row in reader.execute("SELECT boot FROM event GROUP BY boot ORDER BY min(id)")]

    def _add_boot(self, boot: str, floor: str) -> None:
        self._db.execute(
            f"INSERT OR IGNORE INTO boot (id, floor) VALUES (?, {floor})",  # floor: SQL of this file
            (boot,),
        )

    def _all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with database.sqlite_errors(self._path.name):
            return self._db.execute(sql, values).fetchall()

    def _each(self, sql: str) -> Iterator[tuple[Any, ...]]:
        with database.sqlite_errors(self._path.name):
            yield from self._db.execute(sql)

    def _meta(self, key: str) -> str:
        return str(self._all("SELECT value FROM meta WHERE key = ?", key)[0][0])

    def _set(self, key: str, value: str) -> None:
        self._db.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with database.sqlite_errors(self._path.name):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.rollback()
                raise


def _begin(connection: sqlite3.Connection) -> None:
    connection.executemany(
        "INSERT INTO meta (key, value) VALUES (?, ?)",
        [
            ("stream", secrets.token_hex(8)),
            ("seq", "0"),
            ("prev", FIRST_PREV),
            ("usage", ""),
            ("watermark", "0"),
            ("floor", "0"),
        ],
    )


def _fits(session: UsageSession) -> bool:
    """Whether a report may carry this session; one that may not stays here and must not spoil a batch."""
    alone = Batch("b-" + "0" * 16, "0" * 16, 1, FIRST_PREV, "0", 0, (session,))
    try:
        parse_batch(dump_batch(alone))
    except FormatError:
        return False
    return True


def consumed_through(outbox: Path, usage: Path) -> int:
    """The event id up to which the agent needs usage.db no more, for Recorder.prune; 0 when not known."""
    sql = (
        "SELECT (SELECT value FROM meta WHERE key = 'watermark') FROM meta WHERE key = 'usage' AND value = ?"
    )
    return int(str(_peek(outbox, sql, _usage_name(usage)) or 0))


def witness(boot: str, mono: int, wall: int, source: str) -> Anchor:
    """What the clock of an event says of its boot. Milliseconds."""
    return Anchor(boot, mono // 1000, wall // 1000, NTP if source == "ntp" else SYSTEM, source)


def _facts(db: sqlite3.Connection) -> tuple[list[Boot], list[Anchor]]:
    boots = [Boot(*row) for row in db.execute("SELECT id, floor FROM boot ORDER BY number")]
    anchors = [Anchor(*row) for row in db.execute("SELECT boot, mono, unix, uncertainty, source FROM anchor")]
    # of each second the first will do: a calendar keeps no more
    waiting = db.execute(
        "SELECT boot, min(mono), wall, source FROM session GROUP BY boot, source, mono / 1000, wall / 1000"
    )
    anchors += [witness(*row) for row in waiting]
    return boots, anchors


def read_boots(outbox: Path) -> tuple[list[Boot], list[Anchor]]:
    """What the agent knows of this box's boots, oldest first, and of their times. Raises NewerDataError,
    StorageError."""
    reader = database.open_reader(outbox)
    if reader is None:
        return [], []
    with closing(reader), database.sqlite_errors(outbox.name):
        reader.execute("BEGIN")
        return _facts(reader)


def _usage_name(usage: Path) -> str:
    return str(_peek(usage, "SELECT value FROM meta WHERE key = 'id'") or "-")


def _peek(path: Path, sql: str, *values: object) -> object:
    reader = database.open_reader(path)
    if reader is None:
        return None
    with closing(reader), database.sqlite_errors(path.name):
        row = reader.execute(sql, values).fetchone()
    return None if row is None else row[0]


def read_batches(outbox: Path) -> list[bytes]:
    """The signed bytes of every unacknowledged batch, in order."""
    reader = database.open_reader(outbox)
    if reader is None:
        return []
    with closing(reader), database.sqlite_errors(outbox.name):
        return [bytes(row[0]) for row in reader.execute("SELECT signed FROM batch ORDER BY seq")]


def read_agent_status(outbox: Path) -> dict[str, Any]:
    """What the agent last said, for `lessonbox status`; before it has run, the same with nothing in it.

    `outbox` (unacknowledged batches, waiting sessions), `clock` (trusted, source), `address`, `problems`.
    Raises NewerDataError, StorageError.
    """
    result: dict[str, Any] = {
        "outbox": {"unacknowledged": 0, "waiting": 0},
        "clock": {"trusted": False, "source": "unknown"},
        "address": None,
        "problems": [],
    }
    reader = database.open_reader(outbox)
    if reader is None:
        return result
    with closing(reader), database.sqlite_errors(outbox.name):
        reader.execute("BEGIN")
        for key, value in reader.execute("SELECT key, value FROM status"):
            result[key] = json.loads(value)
        result["outbox"] = {
            "unacknowledged": reader.execute("SELECT count(*) FROM batch").fetchone()[0],
            "waiting": reader.execute("SELECT count(*) FROM session").fetchone()[0],
        }
        result["problems"] = [
            {"code": code, "subject": subject, "message": message, "since": since}
            for code, subject, message, since in reader.execute(
                "SELECT code, subject, message, since FROM problem ORDER BY since, code, subject"
            )
        ]
    return result
