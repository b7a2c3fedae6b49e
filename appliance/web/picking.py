"""What a class has tapped in a question, as it stands in the page's address; nothing of it is kept.

`pick`: the letter of a choice, letters of several, letters in the order tapped, or for a match `1B.2A.3`:
what stands at the left with the letters tapped for it; a number or letter alone waits for its other half.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from appliance.web.quiz import Item, Option, Pair

_PICK = re.compile(r"[A-Za-z0-9.]{1,200}")
_HALF = re.compile(r"(\d{0,2})([A-Za-z]*)")


class Tap(Struct, frozen=True):
    """Something to tap: how it looks (`yes`, `no`, `picked`, `wrong`, or nothing), what stands before it, and
    what is picked, and whether the answer is shown, after a tap on it.
    """

    option: Option | Pair
    name: str
    look: str
    badge: str
    pick: str
    shows: bool = False


def clean(item: Item, text: str) -> str:
    """What was picked, as far as it makes sense for this question."""
    if not _PICK.fullmatch(text):
        return ""
    letters = [option.letter for option in item.options]
    if item.kind == "match":
        return _written(*_match(item, text))
    known = "".join(dict.fromkeys(c for c in text if c in letters))
    return known[:1] if item.kind in ("choice", "judge") else known


def taps(item: Item, pick: str, shown: bool) -> list[Tap]:
    """The options of a question other than a match."""
    if item.kind == "order":
        return _order(item, pick, shown)
    made = []
    solved = any(option.right for option in item.options)
    for option in item.options:
        letter, picked = option.letter, option.letter in pick
        if shown and not solved:
            made.append(Tap(option, letter, "picked" if picked else "", letter, ""))
        elif shown:
            look = "yes" if option.right else "wrong" if picked else "no"
            made.append(Tap(option, letter, look, letter, "" if item.kind != "multiple" else pick))
        elif item.kind == "multiple":
            after = "".join(sorted(pick.replace(letter, "") if picked else pick + letter))
            made.append(Tap(option, letter, "picked" if picked else "", letter, after))
        else:
            made.append(Tap(option, letter, "", letter, letter, True))
    return made


def _order(item: Item, pick: str, shown: bool) -> list[Tap]:
    options = {option.letter: option for option in item.options}
    if shown:
        rest = [letter for letter in options if letter not in item.order]
        return [
            Tap(options[letter], letter, "yes" if letter in item.order else "no", str(n), pick)
            for n, letter in enumerate([*item.order, *rest], 1)
        ]
    return [
        Tap(option, letter, "picked", str(pick.index(letter) + 1), pick.replace(letter, ""))
        if letter in pick
        else Tap(option, letter, "", letter, pick + letter)
        for letter, option in options.items()
    ]


def _match(item: Item, text: str) -> tuple[dict[int, str], str]:
    """Letters by number at the left, and the half that waits."""
    letters = {option.letter for option in item.options}
    joined: dict[int, str] = {}
    waits = ""
    for token in text.split("."):
        half = _HALF.fullmatch(token)
        if half is None or not token:
            continue
        number = int(half[1] or 0)
        known = "".join(dict.fromkeys(c for c in half[2] if c in letters))
        if half[1] and not 1 <= number <= len(item.pairs):
            continue
        if number and known:
            joined[number] = known[: item.pairs[number - 1].most]
        elif number or known:
            waits = str(number) if number else known[0]
    return joined, waits


def _written(joined: dict[int, str], waits: str) -> str:
    return ".".join(
        [*(f"{n}{letters}" for n, letters in sorted(joined.items())), *([waits] if waits else [])]
    )


def _join(item: Item, joined: dict[int, str], number: int, letter: str) -> str:
    after, had = dict(joined), joined.get(number, "")
    if letter in had:
        left = had.replace(letter, "")
        after.pop(number)
        if left:
            after[number] = left
    else:
        after[number] = had + letter if item.pairs[number - 1].most > 1 else letter
    return _written(after, "")


def sides(item: Item, pick: str, shown: bool) -> tuple[list[Tap], list[Tap]]:
    """What stands at the left and at the right of a match."""
    joined, waits = _match(item, pick)
    left, right = [], []
    for n, pair in enumerate(item.pairs, 1):
        if waits.isdigit() or not waits or shown:
            after = pick if shown else _written(joined, "" if waits == str(n) else str(n))
        else:
            after = _join(item, joined, n, waits)
        look = "yes" if shown and pair.letters else "picked" if waits == str(n) and not shown else ""
        left.append(Tap(pair, str(n), look, str(n), after))
    used = {c for pair in item.pairs for c in pair.letters}
    for option in item.options:
        letter = option.letter
        if shown:
            right.append(Tap(option, letter, "yes" if letter in used else "no", letter, pick))
            continue
        if waits.isdigit():
            after = _join(item, joined, int(waits), letter)
        else:
            after = _written(joined, "" if waits == letter else letter)
        right.append(Tap(option, letter, "picked" if waits == letter else "", letter, after))
    return left, right


def lines(item: Item, pick: str, shown: bool) -> list[tuple[float, float, bool]]:
    """Lines to draw from left to right, ends in parts of the height; whether each is right. With the answer
    shown: the right ones, and those that were tapped wrongly.
    """
    letters = [option.letter for option in item.options]

    def line(number: int, letter: str, right: bool) -> tuple[float, float, bool]:
        a = (number - 0.5) / len(item.pairs)
        return round(a, 4), round((letters.index(letter) + 0.5) / len(letters), 4), right

    joined, _ = _match(item, pick)
    solution = {(n, c) for n, pair in enumerate(item.pairs, 1) for c in pair.letters}
    tried = {(n, c) for n, word in joined.items() for c in word}
    if not shown:
        return [line(n, c, True) for n, c in sorted(tried)]
    wrong = [line(n, c, False) for n, c in sorted(tried - solution)]
    return wrong + [line(n, c, True) for n, c in sorted(solution)]


def solved(item: Item, pick: str) -> bool | None:
    """Whether what was picked is the answer; None for a question that a machine can't judge."""
    if item.kind == "match":
        solution = {(n, c) for n, pair in enumerate(item.pairs, 1) for c in pair.letters}
        joined, _ = _match(item, pick)
        return {(n, c) for n, word in joined.items() for c in word} == solution if solution else None
    if item.kind == "order":
        return pick == item.order if item.order else None
    right = {option.letter for option in item.options if option.right}
    return set(pick) == right if right else None


def gaps(item: Item, text: str) -> set[str]:
    """The gaps that were tapped open: `0.2` are the first and the third."""
    names = list(item.gaps)
    tokens = text.split(".") if _PICK.fullmatch(text) else []
    return {names[int(t)] for t in tokens if t.isdigit() and len(t) < 4 and int(t) < len(names)}
