"""The county's list of schools that get a box: a CSV or XLSX, a line a school (formats.md 17)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field

from content_sync.errors import SourceError
from content_sync.formats.boxconfig import BoxConfig, key_of, read_values
from county.publish.names import nfc
from county.publish.sheet import read_rows
from county.setup import collection_pattern

_COLLECTIONS = ("收录", "collections")
_MOST_NAMED = 5


class School(Struct, frozen=True):
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


class SchoolList(Struct, frozen=True):
    """The schools in the list's order, and headings that nobody reads."""

    schools: tuple[School, ...]
    ignored: tuple[str, ...] = ()


def read_schools(path: Path, zh: bool = False) -> SchoolList:
    """The list. Raises SourceError that names the wrong lines, in Chinese or English, NotFoundError,
    TooBigError: a wrong address is better found here than at the school."""
    return schools_of(read_rows(path), path.name, zh)


def schools_of(rows: Sequence[Sequence[str]], name: str, zh: bool = False) -> SchoolList:
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
        problems = [
            f"{one.key}{'：' if zh else ': '}{one.chinese if zh else one.english}" for one in read.problems
        ]
        if not school.code or not school.name:
            problems.append("学校代码和学校名称都要填" if zh else "学校代码 and 学校名称 are needed")
        elif school.code in found:
            code = school.code
            problems.append(f"代码 {code} 出现了两次" if zh else f"the code {code} stands twice")
        wrong += [f"第{number}行，{problem}" if zh else f"line {number}, {problem}" for problem in problems]
        found.setdefault(school.code, school)
    if not headings:
        lacks = (
            "没有表头，要有一行写着 学校代码 和 学校名称"
            if zh
            else "has no line of headings with 学校代码 and 学校名称"
        )
        raise SourceError(f"{name} {lacks}")
    if wrong:
        over = len(wrong) - _MOST_NAMED
        more = (f"；还有 {over} 处" if zh else f"; and {over} more") if over > 0 else ""
        raise SourceError(f"{name}: {('；' if zh else '; ').join(wrong[:_MOST_NAMED])}{more}")
    if not found:
        raise SourceError(f"{name} {'里一个学校也没有' if zh else 'names no school'}")
    known = {heading for heading in headings if not heading or key_of(heading)}
    ignored = [one for one in headings if one not in known and one.lower() not in _COLLECTIONS]
    return SchoolList(tuple(found.values()), tuple(ignored))


def _patterns(cells: Sequence[str]) -> tuple[str, ...]:
    texts = [text for cell in cells for text in re.split(r"[;；、\n]+", cell) if text.strip()]
    return tuple(dict.fromkeys(collection_pattern(text) for text in texts)) or ("*",)
