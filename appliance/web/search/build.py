"""Writes search.db. appliance/programs_search.py runs this apart from web, so that the tables of pinyin (57
MB) and the work are never in the program that serves pages.

search.db may be deleted at any time. It is written beside its place and moved in whole, so that readers
see the old one or the new one. Lessons are numbered in teaching order, in parts of PART; a token's row holds
the numbers of one part (`pack`), so that building needs no more memory for a larger library.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import re
import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.web.search.words import runs, sound_tokens, squeeze, variants, whole_sounds
from content_sync.adapters.files import storage_errors, sync_folder
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import BusyError, StorageError
from content_sync.formats.lesson import KINDS
from content_sync.ports import CollectionRow, LessonRow

SCHEMA = 2
PART = 1 << 14
_CACHED = 20_000
#: What several lessons of a part share this often is kept as bits from the start.
_SHARED = 64
_SPOKEN = re.compile(r"[0-9\u3400-\u9fff\U00020000-\U0003ffff]+")
_PLAIN = re.compile(r"[a-z]{1,6}")
_GRADE = re.compile(r"([\u4e00-\u9fff])\u5e74\u7ea7")


def _listed(name: str) -> dict[str, tuple[str, ...]]:
    """The lines of words.txt under a heading: a word, and what goes with it."""
    found: dict[str, tuple[str, ...]] = {}
    here = ""
    for line in (Path(__file__).parent / "words.txt").read_text("utf-8").splitlines():
        if line.startswith("# "):
            here = line[2:].partition(":")[0]
        elif here == name:
            for item in line.split():
                word, _, others = item.partition("=")
                found[word] = tuple(others.split(","))
    return found


_ALSO, _TAUGHT, _NUMBERS = _listed("also"), _listed("taught"), _listed("numbers")


@dataclass(frozen=True)
class Entry:
    """A lesson as it goes into the index; words as the library writes them. `fields`: all but the title."""

    id: str
    title: str
    fields: tuple[str, ...] = ()
    grade: str = ""
    subject: str = ""
    kinds: tuple[str, ...] = ()
    present: str | None = None
    resources: tuple[str, ...] = ()
    #: Words that every library has; they cut a query that was typed without spaces.
    vocabulary: tuple[str, ...] = ()


def pack(numbers: Iterable[int]) -> bytes:
    """Numbers below PART: as bits (first byte 1) or as a list of 16 bits each (0), whichever is shorter."""
    held = sorted(set(numbers))
    if 2 * len(held) <= held[-1] // 8:
        return b"\0" + array("H", held).tobytes()
    bits = bytearray(held[-1] // 8 + 1)
    for number in held:
        bits[number >> 3] |= 1 << (number & 7)
    return b"\1" + bytes(bits)


def unpack(packed: bytes) -> int:
    """The same as an int with those bits set."""
    if packed[0] == 1:
        return int.from_bytes(packed[1:], "little")
    held = array("H", packed[1:])
    bits = bytearray(held[-1] // 8 + 1)
    for number in held:
        bits[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(bits, "little")


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


class _Part:
    """The tokens of at most PART lessons."""

    def __init__(self) -> None:
        self._titles: dict[str, list[int]] = {}
        self._others: dict[str, list[int]] = {}

    def lesson(self, number: int, title: str, others: Iterable[str]) -> None:
        """Add a lesson's title and its other texts, squeezed."""
        self._titles.setdefault(title, []).append(number)
        for text in others:
            self._others.setdefault(text, []).append(number)

    def _held(self) -> Iterator[tuple[Iterable[str], list[int]]]:
        """Tokens, and the lessons that have all of them."""
        for title, numbers in self._titles.items():
            yield ["^" + token for token in tokens(title)], numbers
            yield ["=" + way for way in variants(title)], numbers
            readings = _readings(title)
            if len(readings) == 1 and len(readings[0]) == len(title):
                yield whole_sounds(readings[0]), numbers
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
PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;
CREATE TABLE lesson (number INTEGER PRIMARY KEY, id TEXT, present TEXT, title TEXT, text TEXT, sound TEXT,
  toned TEXT, resources TEXT);
CREATE TABLE token (token TEXT, part INTEGER, numbers BLOB, PRIMARY KEY (token, part)) WITHOUT ROWID;
CREATE TABLE mask (name TEXT PRIMARY KEY, bits BLOB) WITHOUT ROWID;
CREATE TABLE meta (generation INTEGER, lessons INTEGER, syllables TEXT, vocabulary TEXT);
PRAGMA user_version = {SCHEMA};
BEGIN;
"""


def build(path: Path, entries: Iterable[Entry], generation: int) -> None:
    """Write search.db anew from entries in teaching order and put it in place in one step. Raises BusyError
    when another program is at it, StorageError, DiskFullError.
    """
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
            os.ftruncate(held, 0)
            connection = sqlite3.connect(fresh, isolation_level=None)
            try:
                connection.executescript(_TABLES)
                _write(connection, entries, generation)
                connection.execute("COMMIT")
            finally:
                connection.close()
            os.fsync(held)
            os.replace(fresh, path)
            sync_folder(path.parent)
        except sqlite3.Error as error:
            raise StorageError(f"{path.name}: {error}") from error
        finally:
            os.close(held)


def _write(connection: sqlite3.Connection, entries: Iterable[Entry], generation: int) -> None:
    masks: dict[str, bytearray] = {}
    vocabulary: set[str] = set()
    part, number = _Part(), -1

    def flush(of: int) -> None:
        connection.executemany(
            "INSERT INTO token VALUES (?, ?, ?)", ((token, of, packed) for token, packed in part.rows())
        )

    for number, entry in enumerate(entries):
        if number and number % PART == 0:
            flush(number // PART - 1)
            part = _Part()
        title = _squeezed(entry.title)
        others = dict.fromkeys(filter(None, map(_squeezed, (*entry.fields, *entry.resources))))
        part.lesson(number % PART, title, others)
        known = frozenset(map(_squeezed, entry.vocabulary))
        vocabulary |= known
        own = [text for text in (title, *others) if text not in known]
        text = "\n".join(way for one in own for way in variants(one))
        sound = "\n".join(filter(None, map(_sound, own)))
        connection.execute(
            "INSERT INTO lesson VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (number, entry.id, entry.present, "\n".join(variants(title)), text, sound, toned(entry.title),
             json.dumps(entry.resources, ensure_ascii=False)),
        )  # fmt: skip
        names = [f"grade {entry.grade}", f"subject {entry.subject}", *(f"kind {k}" for k in entry.kinds)]
        for name in names + (["here"] if entry.present else []):
            bits = masks.setdefault(name, bytearray())
            bits.extend(bytes(number // 8 + 1 - len(bits)))
            bits[number >> 3] |= 1 << (number & 7)
    if number >= 0:
        flush(number // PART)
    connection.executemany(
        "INSERT INTO mask VALUES (?, ?)", ((name, bytes(bits)) for name, bits in masks.items())
    )
    said = connection.execute(
        "SELECT DISTINCT ltrim(token, '^!') FROM token WHERE token >= '!' AND token < '!~'"
        " OR token >= '^!' AND token < '^!~'"
    )
    syllables = sorted(row[0] for row in said if row[0].isalpha())
    words = sorted(vocabulary - {""})
    connection.execute(
        "INSERT INTO meta VALUES (?, ?, ?, ?)",
        (generation, number + 1, " ".join(syllables), " ".join(words)),
    )


def _place(collection: CollectionRow) -> tuple[str, ...]:
    """A collection's own words, and how else they are said: 三年级上册, 三上, 3年级上册."""
    grade, volume = collection.grade, collection.volume
    words = [collection.stage, collection.subject, collection.edition, grade, volume, grade + volume]
    words += [other for word in (collection.subject, collection.edition) for other in _ALSO.get(word, ())]
    numbered = _GRADE.fullmatch(grade)
    if numbered and numbered[1] in _NUMBERS:
        digit = _NUMBERS[numbered[1]][0] + grade[1:]
        words += [digit, digit + volume, *([grade[0] + volume[0]] if volume else [])]
    return tuple(dict.fromkeys(filter(None, words)))


def entry(collection: CollectionRow, row: LessonRow, resources: tuple[str, ...]) -> Entry:
    """A lesson's entry. `resources`: their titles, none when it is not here."""
    place = _place(collection)
    kinds = tuple(
        word
        for kind in row.kinds
        if kind in KINDS
        for word in (KINDS[kind][0], *KINDS[kind][2], *_ALSO.get(kind, ()))
    )
    return Entry(
        row.id, row.title, (row.unit, *place, *kinds), collection.grade, collection.subject, row.kinds,
        row.present, resources, place + kinds,
    )  # fmt: skip


def library(reader: StateReader, old: Path) -> Iterator[Entry]:
    """Every lesson in state.db in teaching order, a collection at a time. What the `old` index knows of a
    lesson that is as it was is taken from there instead of its package.
    """
    known: sqlite3.Connection | None = None
    try:
        known = sqlite3.connect(f"{old.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        if known.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
            raise sqlite3.DatabaseError
        known.execute(
            "CREATE TEMP TABLE was AS SELECT id, present, resources FROM lesson WHERE present != ''"
        )
        known.execute("CREATE INDEX temp.was_id ON was (id, present)")
    except sqlite3.Error:
        known = None
    for collection in reader.collections():
        for row in reader.lessons(collection.id):
            titles: tuple[str, ...] = ()
            if row.present:
                found = None
                if known is not None:
                    try:
                        found = known.execute(
                            "SELECT resources FROM was WHERE id = ? AND present = ?", (row.id, row.present)
                        ).fetchone()
                    except sqlite3.Error:
                        known = None
                lesson = None if found else reader.present_lesson(row.id)
                if found:
                    titles = tuple(json.loads(found[0]))
                elif lesson:
                    titles = tuple(dict.fromkeys(resource.title for resource in lesson.resources))
            yield entry(collection, row, titles)


def refresh(state: Path, path: Path, old: Path) -> None:
    """Write the index of state.db at `path`; `old`: the one of before. Raises LessonBoxError."""
    reader = StateReader(state)
    try:
        generation = reader.generation()  # first: what changes meanwhile is another build's
        build(path, library(reader, old), generation)
    finally:
        reader.close()
