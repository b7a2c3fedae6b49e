"""How words are cut for search: what of a lesson goes into the index, and what a query asks of it.

Everything is compared squeezed: NFKC, case folded, letters, digits and marks alone. A text is found by every
run of one to three of its characters; by the initials of its pinyin, one to three in a row; by its syllables,
one or two in a row. A token's first character says which: a plain run, `:` initials, `!` a syllable, `&` two
syllables; `^` before it says that it stands in the title, `=` that it is the whole title.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence

#: Longest run that is one token; longer words are found by all their runs of this length.
RUN = 3
MAX_SYLLABLE = 6
MOST_WAYS = 16
#: After j, q, x and y there is no u but ü.
_U_ALONE = re.compile(r"(?<=[jqxy])v")
_TONE = re.compile(r"(?<=[a-z])[1-5]")


def normalise(text: str) -> str:
    """Text as it is compared: words of letters, digits and marks with single spaces between."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in folded).split())


def squeeze(text: str) -> str:
    """Text as it is compared, without gaps: “Unit 4” is found by `unit4`, 听听，秋的声音 by 听听秋."""
    return normalise(text).replace(" ", "")


@functools.cache
def _converter() -> object:
    import opencc  # 5 MB, and only needed when someone writes in Chinese

    return opencc.OpenCC("t2s")


@functools.lru_cache(4096)
def variants(word: str) -> tuple[str, ...]:
    """A squeezed word as written, and in simplified characters where these differ (OpenCC t2s)."""
    if word.isascii():
        return (word,)
    simple: str = _converter().convert(word)  # type: ignore[attr-defined]
    return (word,) if simple == word else (word, simple)


def runs(text: str) -> set[str]:
    """Every run of one to RUN characters."""
    return {text[i : i + n] for n in range(1, RUN + 1) for i in range(len(text) - n + 1)}


def long_runs(text: str) -> list[str]:
    """The runs that every text with `text` in it holds: itself, or all of RUN characters."""
    return list(dict.fromkeys(text[i : i + RUN] for i in range(max(1, len(text) - RUN + 1))))


def sound_tokens(readings: Sequence[Collection[str]]) -> set[str]:
    """Tokens of one run of characters with their readings (lower-case syllables; a digit reads as itself)."""
    firsts = [{reading[0] for reading in its} for its in readings]
    tokens = {"!" + reading for its in readings for reading in its}
    tokens.update(f"&{a}'{b}" for x, y in itertools.pairwise(readings) for a in x for b in y)
    for n in range(1, RUN + 1):
        for i in range(len(firsts) - n + 1):
            tokens.update(":" + "".join(letters) for letters in itertools.product(*firsts[i : i + n]))
    return tokens


def whole_sounds(readings: Sequence[Collection[str]]) -> set[str]:
    """Tokens of a title that is typed in full, as initials and as syllables."""
    ways = itertools.islice(itertools.product(*readings), MOST_WAYS)
    return {sound for way in ways for sound in ("=:" + "".join(s[0] for s in way), "=!" + "".join(way))}


def letters(word: str) -> str:
    """A word as pinyin is typed: without the marks of its tones, v for ü where u is another sound (lü, not
    ju). Empty when it can't be pinyin."""
    plain = unicodedata.normalize("NFD", word).replace("u\u0308", "v")
    plain = "".join(c for c in plain if unicodedata.category(c) != "Mn")
    typed = plain.isascii() and plain.isalnum() and not plain.isdigit()
    return _U_ALONE.sub("u", plain) if typed else ""


def toneless(typed: str) -> str:
    """Letters without the numbers of tones behind them: ba4ba5 -> baba, 7dcfkj as it is."""
    return _TONE.sub("", typed)


@functools.lru_cache(4)
def _begun(syllables: frozenset[str]) -> frozenset[str]:
    return frozenset(s[:n] for s in syllables for n in range(1, len(s)))


def spellings(typed: str, syllables: Collection[str]) -> tuple[list[list[str]], list[list[str]]]:
    """How letters can be read as syllables: in full, and with a last one that is not finished."""
    full: list[list[str]] = []
    part: list[list[str]] = []
    begun = _begun(frozenset(syllables))
    #: From each place where a syllable may begin: where it may end so that the rest can be read too.
    ends: dict[int, list[int]] = {len(typed): []}
    for at in reversed(range(len(typed))):
        rest = typed[at:]
        found = [
            at + n
            for n in range(min(MAX_SYLLABLE, len(rest)), 0, -1)
            if at + n in ends and (_said(rest[:n]) in syllables or (n == 1 and rest[0].isdigit()))
        ]
        if found or rest in begun:
            ends[at] = found

    def read(at: int, so_far: list[str]) -> Iterator[None]:
        if at == len(typed):
            full.append(so_far)
            yield
            return
        rest = typed[at:]
        if rest in begun and rest not in syllables:
            part.append([*so_far, rest])
            yield
        for end in ends[at]:
            yield from read(end, [*so_far, _said(typed[at:end])])

    if 0 in ends:
        for _ in itertools.islice(read(0, []), MOST_WAYS):
            pass
    return full, part


def _said(syllable: str) -> str:
    """A syllable as pinyin has it: lue is typed for lüe, and there is no other."""
    return {"lue": "lve", "nue": "nve"}.get(syllable, syllable)


def known_words(word: str, vocabulary: Iterable[str]) -> list[str]:
    """A word cut where grades, subjects and the like stand in it: 三年级数学面积 -> 三年级, 数学, 面积."""
    pieces = [word]
    for name in sorted(vocabulary, key=lambda name: (-len(name), name)):
        if len(name) < 2:
            continue
        cut: list[str] = []
        for piece in pieces:
            if name in piece and piece not in vocabulary:
                before, _, after = piece.partition(name)
                cut += [part for part in (before, name, after) if part]
            else:
                cut.append(piece)
        pieces = cut
    return pieces
