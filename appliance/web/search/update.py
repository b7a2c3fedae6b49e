"""Brings an index up to date: a copy of the one of before, in which only the lessons that changed are
written again.

A lesson keeps its number while its collection's lessons keep theirs; when lessons came or went, those of that
collection are numbered again, in the numbers that it has to spare. A new collection, or one that has grown
out of its numbers, needs an index made anew.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path

from appliance.web.search.build import (
    FAST,
    Masks,
    Texts,
    finish,
    maker,
    own_texts,
    put_lesson,
    title_tokens,
    tokens,
)
from appliance.web.search.entries import Listed
from appliance.web.search.sets import PART, SCHEMA, pack_bits, unpack

#: More changes than this and than a quarter of the library cost as much as an index made anew.
_FEW = 200


class Anew(Exception):
    """The old index can't be brought up to date."""


def update(old: Path, fresh: Path, lessons: Iterable[Listed], generation: int) -> None:
    """Write `old` with today's `lessons` into `fresh`. Raises Anew, sqlite3.Error, OSError."""
    try:
        shutil.copyfile(old, fresh)
    except OSError:
        raise Anew from None
    connection = sqlite3.connect(fresh, isolation_level=None)
    try:
        connection.executescript(FAST)
        if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
            raise Anew
        if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise Anew  # damage would be handed on from index to index
        connection.execute("BEGIN")
        _Update(connection).run(lessons, generation)
        connection.execute("COMMIT")
    except (sqlite3.Error, ValueError, TypeError, LookupError) as error:  # the old one is damaged
        raise Anew from error
    finally:
        connection.close()


class _Update:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.db = connection
        #: token -> number -> whether the lesson has it now
        self.changes: dict[str, dict[int, bool]] = {}
        lessons, self.numbers, made = connection.execute(
            "SELECT lessons, numbers, maker FROM meta"
        ).fetchone()
        if made != maker():
            raise Anew
        self.most = max(_FEW, lessons // 4)

    def run(self, lessons: Iterable[Listed], generation: int) -> None:
        masks, count, after = Masks(), 0, -1
        groups = {row[0]: row[1:] for row in self.db.execute("SELECT * FROM collection")}
        for name, its in itertools.groupby(lessons, attrgetter("collection")):
            if name not in groups or groups[name][0] <= after:
                raise Anew
            first, held, room = groups.pop(name)
            after, mine = first, list(its)
            if len(mine) > room:
                raise Anew
            for number, one in enumerate(mine, first):
                masks.add(number, one.masks)
            count += len(mine)
            self.collection(first, room, mine)
            if len(mine) != held:
                self.db.execute("UPDATE collection SET lessons = ? WHERE id = ?", (len(mine), name))
        for name, (first, _, room) in groups.items():
            self.collection(first, room, [])
            self.db.execute("DELETE FROM collection WHERE id = ?", (name,))
        self.write_tokens()
        masks.write(self.db)
        finish(self.db, generation, count, self.numbers, self.words())

    def words(self) -> set[str]:
        """What words every library has, of those lessons that are listed now."""
        used = self.db.execute("SELECT words FROM shared WHERE number IN (SELECT shared FROM lesson)")
        return {word for (words,) in used for word in json.loads(words)}

    def collection(self, first: int, room: int, lessons: list[Listed]) -> None:
        """Write what has changed of a collection."""
        was = {
            row[0]: (row[1], row[2])
            for row in self.db.execute(
                "SELECT number, id, mark FROM lesson WHERE number >= ? AND number < ?", (first, first + room)
            )
        }
        now = dict(enumerate(lessons, first))
        for number in sorted(was.keys() | now.keys()):
            one = now.get(number)
            if one is not None and was.get(number) == (one.id, one.mark):
                continue
            self.most -= 1
            if self.most < 0:
                raise Anew
            before = self.held(number) if number in was else frozenset()
            if one is None:
                for table in ("lesson", "words", "sounds", "shown"):
                    self.db.execute(f"DELETE FROM {table} WHERE number = ?", (number,))
                after: frozenset[str] = frozenset()
            else:
                entry = one.make()
                texts = Texts(entry)
                put_lesson(self.db, number, one, entry, texts)
                after = _all(texts.title, (*texts.own, *texts.shared))
            for token in before - after:
                self.changes.setdefault(token, {})[number] = False
            for token in after - before:
                self.changes.setdefault(token, {})[number] = True

    def held(self, number: int) -> frozenset[str]:
        """The tokens of a lesson as it stands in the index."""
        title, other, words = self.db.execute(
            "SELECT w.title, w.other, s.words FROM lesson l JOIN words w ON w.number = l.number"
            " JOIN shared s ON s.number = l.shared WHERE l.number = ?",
            (number,),
        ).fetchone()
        return _all(title.split("\n")[0], (*own_texts(other), *json.loads(words)))

    def write_tokens(self) -> None:
        """Write the rows of the tokens that changed."""
        for token in sorted(self.changes):
            parts: dict[int, dict[int, bool]] = {}
            for number, has in self.changes[token].items():
                parts.setdefault(number // PART, {})[number % PART] = has
            for part, numbers in parts.items():
                at = token.lstrip("^"), part
                row = self.db.execute(
                    "SELECT title, text FROM token WHERE token = ? AND part = ?", at
                ).fetchone()
                held = list(row or (None, None))
                which = 0 if token.startswith("^") else 1
                bits = unpack(held[which]) if held[which] else 0
                for number, has in numbers.items():
                    bits = bits | 1 << number if has else bits & ~(1 << number)
                held[which] = pack_bits(bits) if bits else None
                if any(held):
                    self.db.execute("INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?)", (*at, *held))
                else:
                    self.db.execute("DELETE FROM token WHERE token = ? AND part = ?", at)


def _all(title: str, others: Iterable[str]) -> frozenset[str]:
    found: set[str] = set()
    for held in title_tokens(title):
        found.update(held)
    for text in others:
        found |= tokens(text)
    return frozenset(found)
