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
import itertools
import json
import os
import re
import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path

from appliance.web.search.entries import Entry, Listed, library, listed, word_list
from appliance.web.search.sets import PART, SCHEMA, as_bits, pack, pack_bits
from appliance.web.search.shown import COMMON, packed
from appliance.web.search.words import MOST_WAYS, runs, sound_tokens, squeeze, variants, whole_sounds
from content_sync.adapters.files import storage_errors, sync_folder
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import BusyError, StorageError
from content_sync.formats import lesson, outline

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
def _sounds(text: str) -> tuple[str, str]:
    """How a text is said, to compare a query with: initials (jys) and syllables ('jing'ye'si'), a line for
    each way of each run; `*` for a run with more ways than are written."""
    initials, syllables = dict[str, None](), dict[str, None]()
    for run in _readings(text):
        ways = list(itertools.islice(itertools.product(*run), MOST_WAYS + 1))
        if len(ways) > MOST_WAYS:
            ways = [("*",)]
        initials.update(("".join(said[0] for said in way), None) for way in ways)
        syllables.update(("'" + "'".join(way) + "'", None) for way in ways)
    return "\n".join(initials), "\n".join(syllables)


def _said(texts: Iterable[str]) -> tuple[str, str]:
    """The same of several texts."""
    both = [_sounds(text) for text in texts]
    return "\n".join(one for one, _ in both if one), "\n".join(one for _, one in both if one)


@functools.lru_cache(_CACHED)
def toned(title: str) -> str:
    """Syllables with their tones, one a character, for a short title in Chinese characters alone."""
    from pypinyin import Style, pinyin

    if not 1 <= len(title) <= 5 or not all("\u3400" <= c <= "\u9fff" for c in title):
        return ""
    ways = [way[0] for way in pinyin(title, style=Style.TONE)]
    return " ".join(ways) if len(ways) == len(title) else ""


#: Between the texts as they are written and the same in simplified characters.
_EMPTY = "\n\n"


def own_texts(words: str) -> tuple[str, ...]:
    """`Texts.own` from what `put_lesson` wrote."""
    own = words.partition(_EMPTY)[0]
    return tuple(own.split("\n")) if own else ()


class Texts:
    """What is found of an entry, squeezed: its title, its own other texts, and words that libraries share."""

    def __init__(self, entry: Entry) -> None:
        self.title = _squeezed(entry.title)
        others = dict.fromkeys(filter(None, map(_squeezed, (*entry.fields, *entry.resources))))
        known = frozenset(map(_squeezed, entry.vocabulary))
        self.own = tuple(text for text in others if text not in known)
        self.shared = tuple(text for text in others if text in known)
        #: What a query is compared with: the title; the others, then how else these are written; the sounds.
        self.words = (
            "\n".join(variants(self.title)),
            _EMPTY.join(
                ("\n".join(self.own), "\n".join(way for one in self.own for way in variants(one)[1:]))
            ),
        )
        self.sounds = _said((self.title, *self.own))


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

    def rows(self) -> Iterator[tuple[str, bytes | None, bytes | None]]:
        """Tokens and their packed numbers, in the title and elsewhere, in order."""
        for token, both in itertools.groupby(self._packed(), lambda row: row[0].lstrip("^")):
            held = dict(both)
            yield token, held.get("^" + token), held.get(token)

    def _packed(self) -> Iterator[tuple[str, bytes]]:
        """Tokens and their packed numbers; those with `^` stand beside those without."""
        few: dict[str, array[int]] = {}
        dense: dict[str, int] = {}
        none = array("H")
        for held, numbers in self._held():
            if len(numbers) >= _SHARED:
                bits = as_bits(numbers)
                for token in held:
                    dense[token] = dense.get(token, 0) | bits
                continue
            for token in held:
                if token in few:
                    few[token].extend(numbers)
                else:
                    few[token] = array("H", numbers)
        for token in sorted(few.keys() | dense.keys(), key=lambda token: token.lstrip("^")):
            rest = few.pop(token, none)
            yield token, pack_bits(dense.pop(token) | as_bits(rest)) if token in dense else pack(rest)


_TABLES = f"""
CREATE TABLE lesson (number INTEGER PRIMARY KEY, id TEXT, mark BLOB, shared INTEGER);
CREATE TABLE words (number INTEGER PRIMARY KEY, title TEXT, other TEXT);
CREATE TABLE sounds (number INTEGER PRIMARY KEY, initials TEXT, syllables TEXT);
CREATE TABLE shown (number INTEGER PRIMARY KEY, id TEXT, present TEXT, toned TEXT, kinds TEXT,
  resources BLOB);
CREATE TABLE shared (number INTEGER PRIMARY KEY, words TEXT UNIQUE);
CREATE TABLE collection (id TEXT PRIMARY KEY, first INTEGER, lessons INTEGER, room INTEGER) WITHOUT ROWID;
CREATE TABLE token (token TEXT, part INTEGER, title BLOB, text BLOB, PRIMARY KEY (token, part)) WITHOUT ROWID;
CREATE TABLE mask (name TEXT PRIMARY KEY, bits BLOB) WITHOUT ROWID;
CREATE TABLE meta (generation INTEGER, lessons INTEGER, numbers INTEGER, syllables TEXT, vocabulary TEXT,
  known_initials TEXT, known_sounds TEXT, common BLOB, maker TEXT);
PRAGMA user_version = {SCHEMA};
"""
#: Nothing in a file that is not in its place yet needs to survive a crash.
FAST = (
    "PRAGMA page_size = 16384; PRAGMA cache_size = -8000;"
    " PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
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
    """Write the rows of a lesson."""
    words = json.dumps(texts.shared, ensure_ascii=False)
    connection.execute("INSERT OR IGNORE INTO shared (words) VALUES (?)", (words,))
    connection.execute(
        "INSERT OR REPLACE INTO lesson VALUES (?, ?, ?, (SELECT number FROM shared WHERE words = ?))",
        (number, one.id, one.mark, words),
    )
    connection.execute("INSERT OR REPLACE INTO words VALUES (?, ?, ?)", (number, *texts.words))
    connection.execute("INSERT OR REPLACE INTO sounds VALUES (?, ?, ?)", (number, *texts.sounds))
    its = entry.outline
    held = (" ".join(its.kinds), packed(its)) if its else ("", b"")
    connection.execute(
        "INSERT OR REPLACE INTO shown VALUES (?, ?, ?, ?, ?, ?)",
        (number, one.id, entry.present, toned(entry.title), *held),
    )


def finish(
    connection: sqlite3.Connection, generation: int, lessons: int, numbers: int, words: set[str]
) -> None:
    """Write what is known of all lessons together."""
    said = connection.execute(
        "SELECT DISTINCT ltrim(token, '!') FROM token WHERE token >= '!' AND token < '!~'"
    )
    syllables = sorted(row[0] for row in said if row[0].isalpha())
    connection.execute("DELETE FROM meta")
    connection.execute(
        "INSERT INTO meta VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            generation,
            lessons,
            numbers,
            " ".join(syllables),
            " ".join(sorted(words)),
            *_said(sorted(words)),
            COMMON,
            maker(),
        ),
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
            "INSERT INTO token VALUES (?, ?, ?, ?)", ((token, at, *packed) for token, *packed in part.rows())
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
    for path in (*sorted(Path(__file__).parent.glob("*")), Path(outline.__file__), Path(lesson.__file__)):
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
