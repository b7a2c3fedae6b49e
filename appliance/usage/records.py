"""What the agent reports beside usage: classes of school.db, wishes of incoming/, offers of local lessons,
files that the scrub found damaged.

Everything has an id that follows from what it is, so that taking it twice tells it once: the outbox leaves
out what it holds, the county what it has (formats.md 7).
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from appliance.config import BoxPaths
from appliance.update.history import told
from appliance.update.machine import TOLD as UPDATES_TOLD
from appliance.usage.database import sqlite_errors
from appliance.usage.outbox import Outbox
from content_sync.adapters.files import read_capped
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import LessonBoxError, SetupError
from content_sync.formats.canonical import dump
from content_sync.formats.records import (
    ClassRecord,
    DamageRecord,
    OfferRecord,
    Record,
    UpdateRecord,
    WishRecord,
    dump_record,
)
from content_sync.formats.wish import MAX_WISH, is_wish_name, parse_wish

#: Taken in one step; the rest follows in the next.
_AT_ONCE = 2_000
_TITLE = 200
_CLASS = (
    "SELECT told, class.id, teacher, place, kind, lesson, start, uncertainty, clock, seconds, name FROM class"
    " LEFT JOIN teacher ON teacher.id = teacher WHERE told > ? ORDER BY told LIMIT ?"
)


def take_records(outbox: Outbox, paths: BoxPaths, names: bool) -> None:
    """Take what is new. `names`: the county's policy asks for teachers' names. Raises StorageError,
    BusyError, NewerDataError, and what Outbox raises."""
    take_wishes(outbox, paths.incoming)
    take_offers(outbox, _offers(paths.state_db), paths.local)
    take_damage(outbox, _repairs(paths.state_db))
    take_updates(outbox, told(UPDATES_TOLD).get("results", []))
    with _reading(paths.school_db) as book:
        if book is not None:
            take_classes(outbox, book, names)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """The school's book, to be read; None before web has made it."""
    if not path.is_file():
        yield None
        return
    with sqlite_errors(path.name):
        # Not mode=ro: a reader of a WAL database must be able to make its -shm file.
        book = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10, isolation_level=None
        )
        try:
            book.row_factory = sqlite3.Row
            book.execute("PRAGMA query_only = 1")
            tables = {row[0] for row in book.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            yield book if "class" in tables else None
        finally:
            book.close()


def take_classes(outbox: Outbox, book: sqlite3.Connection, names: bool) -> None:
    """Classes that were dated since the last look."""
    book.execute("BEGIN")
    name = str(book.execute("SELECT value FROM fact WHERE key = 'book'").fetchone()[0])
    newest = book.execute("SELECT coalesce(max(told), 0) FROM class").fetchone()[0]
    taken = outbox.classes_taken(name)
    if newest < taken:
        taken = 0  # an older copy of the book was put back: what the county has already it leaves out
    rows = book.execute(_CLASS, (taken, _AT_ONCE)).fetchall()
    book.execute("COMMIT")
    found = []
    for row in rows:
        columns = tuple(row)[1:]
        record = ClassRecord(*(columns if names else columns[:-1]))
        found.append((record.id, _body(record)))
    if rows:
        outbox.take_classes(name, rows[-1]["told"], found)


def take_wishes(outbox: Outbox, incoming: Path) -> None:
    """Wishes that were made since the last look, each when its file is seen first."""
    try:
        there = sorted(filter(is_wish_name, os.listdir(incoming)))
    except FileNotFoundError:
        return
    known, found = outbox.told("wishes"), []
    for name in [name for name in there if name not in known][:_AT_ONCE]:
        try:
            wish = parse_wish(read_capped(incoming / name, MAX_WISH))
        except LessonBoxError:
            continue  # no wish, or gone at this moment
        if wish.file_name == name:
            identity = _name(f"{wish.lesson} {wish.board or ''} {wish.at or ''}")
            found.append(
                (name, identity, identity, _body(WishRecord(identity, wish.lesson, wish.board, wish.at)))
            )
    gone = sorted(known.keys() - set(there))
    if found or gone:
        outbox.take("wishes", found, gone)


def _repairs(state: Path) -> list[tuple[str, int, int]]:
    try:
        with closing(StateReader(state)) as reader:
            return reader.damage()
    except SetupError:
        return []


def take_damage(outbox: Outbox, repairs: Sequence[tuple[str, int, int]]) -> None:
    """Files found damaged since the last look: (root, how often, when last)."""
    known, found = outbox.told("damage"), []
    for root, times, at in repairs:
        identity = _name(f"{root} {times} {at}")
        if known.get(root) != identity:
            record = DamageRecord(identity, root, times, max(0, at))
            found.append((root, identity, identity, _body(record)))
    if found:
        outbox.take("damage", found[:_AT_ONCE])


def take_updates(outbox: Outbox, results: Sequence[Mapping[str, Any]]) -> None:
    """System updates that were tried since the last look, as root's program tells them."""
    known, found = outbox.told("updates"), []
    for it in results:
        key = f"{it['number']} {int(it['well'])}"
        identity = _name(f"update {key} {it['at']}")
        if key not in known:
            version, why = str(it["version"] or it["number"])[:_TITLE], str(it["why"])[:40]
            record = UpdateRecord(identity, it["number"], version, it["well"], why, max(0, it["at"]))
            found.append((key, identity, identity, _body(record)))
    if found:
        outbox.take("updates", found[:_AT_ONCE])


def _body(record: Record) -> str:
    return json.dumps(dump_record(record), ensure_ascii=False)


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _offers(state: Path) -> list[OfferRecord] | None:
    """The school's own lessons as they are now, offered or not; None before sync has made its state.db."""
    try:
        with closing(StateReader(state)) as reader:
            rows = [
                (one.row, one.offered, reader.present_lesson(one.row.id)) for one in reader.local_lessons()
            ]
    except SetupError:
        return None
    found = []
    for row, offered, lesson in rows:
        kinds = Counter(resource.kind for resource in lesson.resources) if lesson is not None else Counter()
        where = row.collection[:_TITLE]
        counts = tuple(sorted(kinds.items()))
        found.append(OfferRecord("", row.id, row.title[:_TITLE], where, counts, row.size, offered))
    return found


def take_offers(outbox: Outbox, offers: Sequence[OfferRecord] | None, local: Path) -> None:
    """Local lessons that were offered, changed or taken back since the last look. One that state.db does not
    show is gone only when its folder is: state.db is made anew at times.

    A record's id is of what it says and of the record before it, so that an offer that is made again after it
    was taken back is a new one. `told` keeps both: what it said, and its id.
    """
    if offers is None:
        return
    known, found = outbox.told("offers"), []
    there = {offer.lesson: offer for offer in offers}
    for lesson in sorted(known.keys() | {name for name, offer in there.items() if offer.offered}):
        offer = there.get(lesson)
        if offer is None and (local / lesson).exists():
            continue
        if offer is None or not offer.offered:
            offer = OfferRecord("", lesson, offer.title if offer else lesson, None, (), 0, offered=False)
        said, before = _name(dump(dump_record(offer)).decode()), known.get(lesson, "")
        if before[:16] != said:
            identity = _name(f"{before[16:]} {said}")
            found.append((lesson, said + identity, identity, _body(replace(offer, id=identity))))
    if found:
        outbox.take("offers", found[:_AT_ONCE])
