"""One search.db as one call reads it: the lessons that a word finds, as an int with a bit for each."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from appliance.web.search.sets import PART, SCHEMA, as_bits, numbers_of, unpack
from appliance.web.search.shown import Shown
from appliance.web.search.words import (
    RUN,
    known_words,
    letters,
    long_runs,
    spellings,
    toneless,
    variants,
)

_MAX_PREFIXED = 400
#: So many candidates at most are compared letter by letter; with more, the runs of three decide.
_VERIFIED = 200


class Sets(Struct, frozen=True):
    """Lessons with a word in the title, anywhere, and as the whole title."""

    title: int
    all: int
    whole: int = 0

    def __or__(self, other: Sets) -> Sets:
        return Sets(self.title | other.title, self.all | other.all, self.whole | other.whole)

    def __and__(self, other: Sets) -> Sets:
        return Sets(self.title & other.title, self.all & other.all, self.whole & other.whole)


#: The rows of a token: part -> packed sets of the lessons with it in the title, and elsewhere.
_Rows = dict[int, tuple[bytes | None, bytes | None]]


class Library:
    """One search.db, for any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error, TypeError, ValueError when it is damaged or another schema's."""
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable=1",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if self._connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
                raise sqlite3.DatabaseError("another schema")
            self.generation, self.numbers, said, self._known, initials, sounds, self._common = (
                self._connection.execute(
                    "SELECT generation, numbers, syllables, vocabulary, known_initials, known_sounds, common"
                    " FROM meta"
                ).fetchone()
            )
            self._syllables, self._vocabulary = frozenset(said.split()), tuple(self._known.split())
            #: How the words that every library has are said: no lesson's own row has them.
            self._known_sounds = {"initials": str(initials), "syllables": str(sounds)}
            self.masks = {
                name: int.from_bytes(bits, "little")
                for name, bits in self._connection.execute("SELECT name, bits FROM mask")
            }
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let it go."""
        self._connection.close()

    def check(self) -> bool:
        """Whether its pages are as SQLite wrote them; reads all of it."""
        return bool(self._connection.execute("PRAGMA quick_check").fetchone()[0] == "ok")

    def shown(self, numbers: Sequence[int]) -> list[Shown]:
        """What lists show of lessons, in their order."""
        rows = self._connection.execute(
            "SELECT * FROM shown WHERE number IN (SELECT value FROM json_each(?))", (json.dumps(numbers),)
        )
        found = {
            number: Shown(identity, present, toned, tuple(kinds.split()), resources, self._common)
            for number, identity, present, toned, kinds, resources in rows
        }
        return [found[number] for number in numbers]

    def spoken(self, collection: str, lesson: str) -> str:
        """The syllables of a lesson's title, where it is a short one."""
        row = self._connection.execute(
            "SELECT s.toned FROM collection c JOIN shown s ON s.number BETWEEN c.first"
            " AND c.first + c.room - 1 WHERE c.id = ? AND s.id = ?",
            (collection, lesson),
        ).fetchone()
        return str(row[0] or "") if row else ""

    def _rows(self, tokens: Iterable[str]) -> dict[str, _Rows]:
        """The rows of tokens, of those that any lesson has."""
        asked = list(dict.fromkeys(tokens))
        found: dict[str, _Rows] = {}
        for token, part, title, text in self._connection.execute(
            f"SELECT * FROM token WHERE token IN ({','.join('?' * len(asked))})", asked
        ):
            found.setdefault(token, {})[part] = title, text
        return found

    def _begun(self, token: str) -> tuple[int, int]:
        """Lessons with a token that begins so: in the title, anywhere."""
        titles = everywhere = 0
        for part, title, text in self._connection.execute(
            f"SELECT part, title, text FROM token WHERE token >= ? AND token < ? LIMIT {_MAX_PREFIXED}",
            (token, token + "{"),
        ):
            here = unpack(title) << part * PART if title else 0
            titles |= here
            everywhere |= here | (unpack(text) << part * PART if text else 0)
        return titles, everywhere

    def _both(self, tokens: Sequence[str], rows: dict[str, _Rows], begun: str = "") -> Sets:
        """Lessons with all tokens, and one that begins as `begun`, in the title and anywhere."""
        if not all(token in rows for token in tokens):
            return Sets(0, 0)
        titles, everywhere = self._begun(begun) if begun else (-1, -1)
        if not tokens:
            return Sets(titles, everywhere)
        all_titles = all_everywhere = 0
        for part in set.intersection(*(set(rows[token]) for token in tokens)):
            in_title = anywhere = -1
            for token in tokens:
                title, text = rows[token][part]
                here = unpack(title) if title else 0
                in_title &= here
                anywhere &= here | unpack(text) if text else here
                if not anywhere:
                    break
            if anywhere:
                all_titles |= in_title << part * PART
                all_everywhere |= anywhere << part * PART
        return Sets(titles & all_titles, everywhere & all_everywhere)

    def _one(self, token: str, rows: dict[str, _Rows]) -> int:
        """Lessons with one token."""
        found = 0
        for part, (_, text) in rows.get(token, {}).items():
            found |= unpack(text) << part * PART if text else 0
        return found

    def text(self, word: str) -> Sets:
        """Lessons with a squeezed word in their texts."""
        found = Sets(0, 0)
        for way in variants(word):
            runs = long_runs(way)
            rows = self._rows((*runs, "=" + way))
            here = self._both(runs, rows)
            if len(way) > RUN and way not in self._known:
                here = self._verified(way, here)
            found |= Sets(here.title, here.all, self._one("=" + way, rows))
        return found

    def whole_title(self, word: str) -> int:
        """Lessons whose whole title is a squeezed word, or sounds so."""
        typed = letters(word)
        tokens = ["=" + way for way in variants(word)]
        for spelled in {typed, toneless(typed)} - {""}:
            tokens += ["=:" + spelled, "=!" + spelled]
        rows, found = self._rows(tokens), 0
        for token in rows:
            found |= self._one(token, rows)
        return found

    def _verified(self, word: str, here: Sets) -> Sets:
        """Those of few lessons that have a squeezed word in their texts."""
        if not 0 < here.all.bit_count() <= _VERIFIED:
            return here
        titles, everywhere = [], []
        for number, in_title in self._connection.execute(
            "SELECT number, instr(title, ?1) FROM words WHERE number IN (SELECT value FROM json_each(?2))"
            " AND (instr(title, ?1) OR instr(other, ?1))",
            (word, json.dumps(list(numbers_of(here.all)))),
        ):
            everywhere.append(number)
            if in_title:
                titles.append(number)
        return Sets(as_bits(titles, self.numbers), as_bits(everywhere, self.numbers))

    def _heard(self, here: Sets, how: str, sound: str) -> Sets:
        """Those of few lessons that have a `sound` in their `initials` or `syllables`, or (`*`) more of these
        than are written."""
        known = self._known_sounds[how]
        if sound in known or "*" in known or not 0 < here.all.bit_count() <= _VERIFIED:
            return here
        rows = self._connection.execute(
            "SELECT number FROM sounds WHERE number IN (SELECT value FROM json_each(?1))"
            f" AND (instr({how}, ?2) OR instr({how}, '*'))",
            (json.dumps(list(numbers_of(here.all))), sound),
        )
        heard = as_bits((row[0] for row in rows), self.numbers)
        return Sets(here.title & heard, here.all & heard)

    def _initials(self, typed: str) -> Sets:
        """Lessons with a run of characters that sound so, by the first letter of each; the whole title as
        initials or as syllables."""
        runs, whole = [":" + run for run in long_runs(typed)], ("=:" + typed, "=!" + typed)
        rows = self._rows((*runs, *whole))
        here = self._both(runs, rows)
        if len(typed) > RUN:
            here = self._heard(here, "initials", typed)
        return Sets(here.title, here.all, self._one(whole[0], rows) | self._one(whole[1], rows))

    def _spelled(self, typed: str, unfinished: bool = False) -> Sets:
        """Lessons with a run of characters that are spelled so; `unfinished`: the last syllable is only
        begun."""
        full, part = spellings(typed, self._syllables)
        ways = [
            (way, ["!" + way[0]] if len(way) == 1 else [f"&{a}'{b}" for a, b in itertools.pairwise(way)])
            for way in (part + full if unfinished else full)
        ]
        if not ways:
            return Sets(0, 0)
        rows = self._rows(token for _, tokens in ways for token in tokens)
        found = Sets(0, 0)
        for way, tokens in ways:
            here = self._both(tokens[:-1], rows, tokens[-1]) if unfinished else self._both(tokens, rows)
            if len(way) > 2:
                here = self._heard(here, "syllables", "'" + "'".join(way) + ("" if unfinished else "'"))
            found |= here
        return found

    def _sounds(self, typed: str, more: bool) -> Sets:
        """Lessons that sound so; if there is none and `more`, with the numbers of tones, then with an
        unfinished last syllable."""
        found = self._initials(typed) | self._spelled(typed)
        if found.all or not more:
            return found
        plain = toneless(typed)
        ways = ((plain, False), (typed, True), (plain, True)) if plain != typed else ((typed, True),)
        for spelled, unfinished in ways:
            found = self._spelled(spelled, unfinished)
            if found.all:
                break
        return found

    def word(self, word: str) -> tuple[Sets, bool]:
        """Lessons with a word in any way, and whether it is by its sound alone."""
        found = self.text(word)
        typed = letters(word)
        if not typed:
            return found, False
        heard = self._sounds(typed, not found.all)
        return found | heard, not found.all and bool(heard.all)

    def words(self, words: Sequence[str]) -> tuple[Sets, int, list[tuple[str, int]], bool]:
        """Lessons with all words, those with some word in the title, how many each word has, and whether one
        is found by its sound alone.

        Syllables (or single letters) side by side are one word when they are found so: jing ye si.
        """
        found, title, alone, sound, at = Sets(-1, -1, -1), 0, [], False, 0
        typed = [letters(word) for word in words] if len(words) > 1 else [""]
        while at < len(words):
            end = at
            while (
                end < len(words)
                and typed[end]
                and (len(typed[end]) == 1 or spellings(typed[end], self._syllables)[0])
            ):
                end += 1
            here, by_sound = Sets(0, 0), False
            if end - at > 1:
                joined = "".join(typed[at:end])
                here = self._sounds(joined, True)
                if here.all:
                    by_sound = True
                    plain = Sets(-1, -1)
                    for word in words[at:end]:
                        plain &= self.text(word)
                    here |= plain
            if not here.all:
                end = at + 1
                here, by_sound = self.word(words[at])
            alone.append((" ".join(words[at:end]), here.all.bit_count()))
            title |= here.title
            found, sound = found & here, sound or by_sound
            at = end
        return found, title & found.all, alone, sound

    def cut(self, words: Sequence[str]) -> list[str]:
        """The words, cut where words of the library stand in them."""
        return [piece for word in words for piece in known_words(word, self._vocabulary)]
