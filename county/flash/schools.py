"""The county's list of schools that get a box: a CSV or XLSX, a line a school (formats.md 17)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from content_sync.errors import SourceError
from content_sync.formats.boxconfig import BoxConfig, key_of, read_values
from county.publish.names import nfc
from county.publish.sheet import read_rows
from county.setup import collection_pattern

_COLLECTIONS = ("收录", "collections")
_MOST_NAMED = 5


@dataclass(frozen=True)
class School:
    """One line: what its card says, and what its box mirrors."""

    config: BoxConfig
    collections: tuple[str, ...] = field(default=("*",))

    @property
    def code(self) -> str:
        """The school's code."""
        return self.config.school_code

    @property
    def name(self) -> str:
        """The school's name."""
        return self.config.school_name


@dataclass(frozen=True)
class SchoolList:
    """The schools in the list's order, and headings that nobody reads."""

    schools: tuple[School, ...]
    ignored: tuple[str, ...] = ()


def read_schools(path: Path) -> SchoolList:
    """The list. Raises SourceError that names the wrong lines, NotFoundError, TooBigError: a wrong address is
    better found here than at the school."""
    return schools_of(read_rows(path), path.name)


def schools_of(rows: Sequence[Sequence[str]], name: str) -> SchoolList:
    """Of rows of cells; the first one that has a 学校代码 holds the headings. Raises SourceError."""
    found: dict[str, School] = {}
    wrong: list[str] = []
    headings: list[str] = []
    for number, row in enumerate(rows, 1):
        cells = [nfc(cell).strip() for cell in row]
        if not headings:
            if "school_code" in map(key_of, cells):
                headings = cells
            continue
        if not any(cells):
            continue
        pairs = [(heading, cell) for heading, cell in zip(headings, cells, strict=False) if cell]
        read = read_values([(number, heading, cell) for heading, cell in pairs if key_of(heading)])
        asked = [cell for heading, cell in pairs if heading.lower() in _COLLECTIONS]
        school = School(read.config, _patterns(asked))
        problems = [f"{one.key}: {one.english}" for one in read.problems]
        if not school.code or not school.name:
            problems.append("学校代码 and 学校名称 are needed")
        if school.code in found:
            problems.append(f"the code {school.code} stands twice")
        wrong += [f"line {number}, {problem}" for problem in problems]
        found[school.code] = school
    if not headings:
        raise SourceError(f"{name} has no line of headings with 学校代码 and 学校名称")
    if wrong:
        more = f"; and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
        raise SourceError(f"{name}: {'; '.join(wrong[:_MOST_NAMED])}{more}")
    if not found:
        raise SourceError(f"{name} names no school")
    known = {heading for heading in headings if not heading or key_of(heading)}
    ignored = [one for one in headings if one not in known and one.lower() not in _COLLECTIONS]
    return SchoolList(tuple(found.values()), tuple(ignored))


def _patterns(cells: Sequence[str]) -> tuple[str, ...]:
    texts = [text for cell in cells for text in re.split(r"[;；、\n]+", cell) if text.strip()]
    return tuple(dict.fromkeys(collection_pattern(text) for text in texts)) or ("*",)
