"""Writes search.db. appliance/programs_search.py runs this apart from web, so that the tables of pinyin (57
MB) and the work are never in the program that serves pages.

search.db may be deleted at any time. It is written beside its place and moved in whole, so that readers
see the old one or the new one. Lessons are numbered in teaching order, in parts of PART (sets.py); a token's
row holds the numbers of one part, so that building needs no more memory for a larger library. Each
collection has a few numbers to spare, so that an index can be brought up to date instead of made anew
(update.py).
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import re
import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path

from appliance.web.search.entries import Entry, Listed, library, listed, word_list
from appliance.web.search.sets import PART, SCHEMA, pack, unpack
from appliance.web.search.words import runs, sound_tokens, squeeze, variants, whole_sounds
from content_sync.adapters.files import storage_errors, sync_folder
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import BusyError, StorageError

_CACHED = 20_000
#: What several lessons of a part share this often is kept as bits from the start.
_SHARED = 64
_SPOKEN = re.compile(r"[0-9\u3400-\u9fff\U00020000-\U0003ffff]+")
_PLAIN = re.compile(r"[a-z]{1,6}")
_TAUGHT = word_list("taught")


_squeezed = functools.lru_cache(_CACHED)(squeeze)


@functools.lru_cache(_CACHED)
def _readings(text: str) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Readings of each character, by runs: that of the word it stands in, if pypinyin knows it, else its
    first one and those that schools teach (words.txt).
    """
    from pypinyin import Style, pinyin

    found = []
    for simple in variants(text)[-1:]:
        for run in _SPOKEN.findall(simple):
            its: list[tuple[str, ...]] = []
            for han in re.findall(r"[0-9]|[^0-9]+", run):
                if han.isdigit():
                    its.append((han,))
                    continue
                for one, ways in zip(han, pinyin(han, style=Style.NORMAL, heteronym=True), strict=True):
                    taught = [way for way in _TAUGHT.get(one, ()) if way in ways and len(ways) > 1]
                    kept = [way for way in dict.fromkeys([ways[0], *taught]) if _PLAIN.fullmatch(way)]
                    its.append(tuple(kept) or ("?",))
            found.append(tuple(its))
    return tuple(found)


@functools.lru_cache(_CACHED)
def tokens(text: str) -> frozenset[str]:
    """What a squeezed text is found by."""
    held = {run for way in variants(text) for run in runs(way)}
    for readings in _readings(text):
        held |= sound_tokens(readings)
    return frozenset(held)


def title_tokens(title: str) -> Iterator[Iterable[str]]:
    """What a squeezed title is found by."""
    yield ["^" + token for token in tokens(title)]
    yield ["=" + way for way in variants(title)]
    readings = _readings(title)
    if len(readings) == 1 and len(readings[0]) == len(title):
        yield whole_sounds(readings[0])


@functools.lru_cache(_CACHED)
def _sound(text: str) -> str:
    """Readings of a text for the eye of a regular expression: ` chang|zhang da` a run."""
    return "\n".join("".join(" " + "|".join(its) for its in run) for run in _readings(text))


@functools.lru_cache(_CACHED)
def toned(title: str) -> str:
    """Syllables with their tones, one a character, for a short title in Chinese characters alone."""
    from pypinyin import Style, pinyin

    if not 1 <= len(title) <= 5 or not all("\u3400" <= c <= "\u9fff" for c in title):
        return ""
    ways = [way[0] for way in pinyin(title, style=Style.TONE)]
    return " ".join(ways) if len(ways) == len(title) else ""


class Texts:
    """What is found of an entry, squeezed: its title, its own other texts, and words that libraries share."""

    def __init__(self, entry: Entry) -> None:
        self.title = _squeezed(entry.title)
        others = dict.fromkeys(filter(None, map(_squeezed, (*entry.fields, *entry.resources))))
        known = frozenset(map(_squeezed, entry.vocabulary))
        self.own = tuple(text for text in others if text not in known)
        self.shared = tuple(text for text in others if text in known)
        self.row = (
            "\n".join(variants(self.title)),
            "\n".join(way for one in (self.title, *self.own) if one not in known for way in variants(one)),
            "\n".join(filter(None, map(_sound, (t for t in (self.title, *self.own) if t not in known)))),
            toned(entry.title),
        )


class _Part:
    """The tokens of at most PART lessons."""

    def __init__(self) -> None:
        self._titles: dict[str, list[int]] = {}
        self._others: dict[str, list[int]] = {}

    def lesson(self, number: int, texts: Texts) -> None:
        """Add a lesson's title and its other texts."""
        self._titles.setdefault(texts.title, []).append(number)
        for text in (*texts.own, *texts.shared):
            self._others.setdefault(text, []).append(number)

    def _held(self) -> Iterator[tuple[Iterable[str], list[int]]]:
        """Tokens, and the lessons that have all of them."""
        for title, numbers in self._titles.items():
            for held in title_tokens(title):
                yield held, numbers
        for text, numbers in self._others.items():
            yield tokens(text), numbers

    def rows(self) -> Iterator[tuple[str, bytes]]:
        """Tokens and their packed numbers, in order."""
        few: dict[str, array[int]] = {}
        dense: dict[str, int] = {}
        for held, numbers in self._held():
            if len(numbers) >= _SHARED:
                bits = unpack(pack(numbers))
                for token in held:
                    dense[token] = dense.get(token, 0) | bits
                continue
            for token in held:
                if token in few:
                    few[token].extend(numbers)
                else:
                    few[token] = array("H", numbers)
        for token in sorted(few.keys() | dense.keys()):
            packed = pack(few.pop(token)) if token in few else b""
            if token in dense:
                bits = dense.pop(token) | (unpack(packed) if packed else 0)
                packed = b"\1" + bits.to_bytes(bits.bit_length() // 8 + 1, "little")
            yield token, packed


_TABLES = f"""
CREATE TABLE lesson (number INTEGER PRIMARY KEY, id TEXT, mark BLOB, present TEXT, title TEXT, text TEXT,
  sound TEXT, toned TEXT, own TEXT, shared INTEGER);
CREATE TABLE shared (number INTEGER PRIMARY KEY, words TEXT UNIQUE);
CREATE TABLE collection (id TEXT PRIMARY KEY, first INTEGER, lessons INTEGER, room INTEGER) WITHOUT ROWID;
CREATE TABLE token (token TEXT, part INTEGER, numbers BLOB, PRIMARY KEY (token, part)) WITHOUT ROWID;
CREATE TABLE mask (name TEXT PRIMARY KEY, bits BLOB) WITHOUT ROWID;
CREATE TABLE meta (generation INTEGER, lessons INTEGER, numbers INTEGER, syllables TEXT, vocabulary TEXT,
  maker TEXT);
PRAGMA user_version = {SCHEMA};
"""
#: Nothing in a file that is not in its place yet needs to survive a crash.
FAST = (
    "PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;"
)


def spare(lessons: int) -> int:
    """How many more lessons a collection has numbers for."""
    return 2 + lessons // 8


class Masks:
    """Sets of lessons by name, gathered lesson by lesson."""

    def __init__(self) -> None:
        self._bits: dict[str, bytearray] = {}

    def add(self, number: int, names: Iterable[str]) -> None:
        """A lesson belongs to these."""
        for name in names:
            bits = self._bits.setdefault(name, bytearray())
            if len(bits) <= number >> 3:
                bits.extend(bytes((number >> 3) + 1 - len(bits)))
            bits[number >> 3] |= 1 << (number & 7)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write them in place of those that stand there."""
        connection.execute("DELETE FROM mask")
        connection.executemany(
            "INSERT INTO mask VALUES (?, ?)", ((name, bytes(bits)) for name, bits in self._bits.items())
        )


def put_lesson(connection: sqlite3.Connection, number: int, one: Listed, entry: Entry, texts: Texts) -> None:
    """Write the row of a lesson."""
    words = json.dumps(texts.shared, ensure_ascii=False)
    connection.execute("INSERT OR IGNORE INTO shared (words) VALUES (?)", (words,))
    connection.execute(
        "INSERT OR REPLACE INTO lesson VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " (SELECT number FROM shared WHERE words = ?))",
        (
            number,
            one.id,
            one.mark,
            entry.present,
            *texts.row,
            json.dumps(texts.own, ensure_ascii=False),
            words,
        ),
    )


def finish(
    connection: sqlite3.Connection, generation: int, lessons: int, numbers: int, words: set[str]
) -> None:
    """Write what is known of all lessons together."""
    said = connection.execute(
        "SELECT DISTINCT ltrim(token, '^!') FROM token WHERE token >= '!' AND token < '!~'"
        " OR token >= '^!' AND token < '^!~'"
    )
    syllables = sorted(row[0] for row in said if row[0].isalpha())
    connection.execute("DELETE FROM meta")
    connection.execute(
        "INSERT INTO meta VALUES (?, ?, ?, ?, ?, ?)",
        (generation, lessons, numbers, " ".join(syllables), " ".join(sorted(words)), maker()),
    )


def build(path: Path, entries: Iterable[Entry], generation: int) -> None:
    """Write search.db anew from entries in teaching order and put it in place in one step. Raises BusyError
    when another program is at it, StorageError, DiskFullError.
    """
    replace(path, lambda fresh: write(fresh, map(listed, entries), generation))


def replace(path: Path, make: Callable[[Path], None]) -> None:
    """Let `make` write the file beside search.db, and put it in place. Raises as `build`."""
    fresh = path.with_name(path.name + ".new")
    with storage_errors(path.name):
        held = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(f"{path.name} is being written already") from None
            if not fresh.exists() or os.fstat(held).st_ino != fresh.stat().st_ino:
                raise BusyError(f"{path.name} was written just now")
            make(fresh)
            os.fsync(held)
            os.replace(fresh, path)
            sync_folder(path.parent)
        except sqlite3.Error as error:
            raise StorageError(f"{path.name}: {error}") from error
        finally:
            os.close(held)


def write(fresh: Path, lessons: Iterable[Listed], generation: int) -> None:
    """Write all of an index into a file. Raises sqlite3.Error, OSError."""
    os.truncate(fresh, 0)
    connection = sqlite3.connect(fresh, isolation_level=None)
    try:
        connection.executescript(FAST + _TABLES + "BEGIN;")
        _write(connection, lessons, generation)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _write(connection: sqlite3.Connection, lessons: Iterable[Listed], generation: int) -> None:
    masks, vocabulary = Masks(), set[str]()
    part, at, count, number = _Part(), 0, 0, 0
    group, first, held = "", 0, 0

    def flush() -> None:
        connection.executemany(
            "INSERT INTO token VALUES (?, ?, ?)", ((token, at, packed) for token, packed in part.rows())
        )

    def close() -> None:
        if held:
            connection.execute(
                "INSERT OR IGNORE INTO collection VALUES (?, ?, ?, ?)", (group, first, held, number - first)
            )

    for one in lessons:
        if held and one.collection != group:
            number += spare(held)
            close()
            first, held = number, 0
        group = one.collection
        if number // PART != at:
            flush()
            part, at = _Part(), number // PART
        entry = one.make()
        texts = Texts(entry)
        vocabulary.update(texts.shared)
        part.lesson(number % PART, texts)
        put_lesson(connection, number, one, entry, texts)
        masks.add(number, one.masks)
        number, held, count = number + 1, held + 1, count + 1
    number += spare(held)
    close()
    flush()
    masks.write(connection)
    finish(connection, generation, count, number, vocabulary)


@functools.cache
def maker() -> str:
    """A name for the way that an index is made: one made another way can't be brought up to date."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*")):
        if path.suffix in (".py", ".txt"):
            sha.update(path.read_bytes())
    for name in ("pypinyin", "opencc"):
        sha.update(metadata.version(name).encode())
    return sha.hexdigest()[:16]


def refresh(state: Path, path: Path, old: Path | None = None) -> None:
    """Write the index of state.db at `path`: from the one of before (`old`) where that can be brought up to
    date, else anew. Raises LessonBoxError."""
    from appliance.web.search.update import Anew, update

    reader = StateReader(state)
    try:
        generation = reader.generation()  # first: what changes meanwhile is another build's

        def make(fresh: Path) -> None:
            try:
                if old is None:
                    raise Anew
                update(old, fresh, library(reader), generation)
            except Anew:
                write(fresh, library(reader), generation)

        replace(path, make)
    finally:
        reader.close()
