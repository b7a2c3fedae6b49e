"""Measures of bench/sync.py, one module each: `measure(work: Path, quick: bool) -> list[Row]`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, beside what, what was aimed at, what came out."""

    what: str
    peer: str
    goal: str
    measured: str
