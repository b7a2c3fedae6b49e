"""Characters as strokes: the Kai outlines of hanzi-writer-data, flattened to polygons.

They serve twice: for stroke order, and as a Kai script for titles and poems that looks the same on every
machine, whatever fonts it has.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass

from .look import VENDOR

DATA = VENDOR / "hanzi-writer-data"
_PART = re.compile(r"[MLQCZ]|-?\d+(?:\.\d+)?")
_NEEDS = {"M": 2, "L": 2, "Q": 4, "C": 6}
Point = tuple[float, float]


@dataclass(frozen=True)
class Hanzi:
    """One character in a square of side 1, y downwards: outline and middle line of each stroke."""

    outlines: tuple[tuple[Point, ...], ...]
    medians: tuple[tuple[Point, ...], ...]
    paths: tuple[str, ...]


def _unit(x: float, y: float) -> Point:
    return x / 1024, (900 - y) / 1024


def _flatten(path: str) -> tuple[Point, ...]:
    """An SVG outline (M, L, Q, C, Z) as a polygon."""
    parts = _PART.findall(path)
    points: list[Point] = []
    here, at, verb = (0.0, 0.0), 0, "M"
    while at < len(parts):
        if parts[at].isalpha():
            verb, at = parts[at], at + 1
            if verb == "Z":
                continue
        need = _NEEDS[verb]
        nums = [float(n) for n in parts[at : at + need]]
        at += need
        ctrl = [here] + [(nums[i], nums[i + 1]) for i in range(0, need, 2)]
        if verb in "ML":
            points.append(ctrl[-1])
        else:
            for step in range(1, 9):
                t, row = step / 8, ctrl
                while len(row) > 1:
                    row = [
                        (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t)
                        for a, b in zip(row, row[1:], strict=False)
                    ]
                points.append(row[0])
        here = ctrl[-1]
    return tuple(_unit(*p) for p in points)


def known(text: str) -> bool:
    """Whether every character of the text (spaces aside) has strokes here."""
    return all(c == " " or (DATA / f"{c}.json").exists() for c in text)


@functools.cache
def hanzi(char: str) -> Hanzi:
    """The strokes of one character."""
    raw = json.loads((DATA / f"{char}.json").read_text("utf-8"))
    medians = tuple(tuple(_unit(*p) for p in line) for line in raw["medians"])
    return Hanzi(tuple(_flatten(s) for s in raw["strokes"]), medians, tuple(raw["strokes"]))
