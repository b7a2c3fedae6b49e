"""A lesson as its TOML file tells it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .look import HERE, SUBJECTS

Spec = dict[str, Any]
LICENCE = "CC-BY-4.0"
SOURCE = "课箱示例资料库（Lesson Box sample library）"


@dataclass(frozen=True)
class Lesson:
    """Where a lesson stands and what is in it."""

    file: Path
    data: Spec

    @property
    def title(self) -> str:
        """The lesson's title, as the textbook has it."""
        return self.data["title"]

    @property
    def part(self) -> str:
        """What of the lesson is taught here, or its title."""
        return self.data.get("part") or self.title

    @property
    def places(self) -> list[str]:
        """Stage, subject, edition, volume, unit."""
        return self.data["path"].split("/")

    @property
    def subject(self) -> str:
        """语文, 数学 …"""
        return self.places[1]

    @property
    def colour(self) -> str:
        """The subject's colour."""
        return SUBJECTS[self.subject]

    @property
    def volume(self) -> str:
        """语文 三年级上册."""
        return f"{self.subject} {self.places[3]}"

    @property
    def unit(self) -> str:
        """第六单元 祖国河山."""
        return self.places[4]

    @property
    def language(self) -> str:
        """BCP 47 tag of what is spoken."""
        return self.data.get("language", "zh-Hans")

    @property
    def folder(self) -> Path:
        """The lesson's folder inside a library."""
        return Path(self.data["path"]) / f"{self.data['number']:02d} {self.title}"

    def list(self, name: str) -> list[Any]:
        """A list of the lesson's, or an empty one."""
        return self.data.get(name, [])


def load_all() -> list[Lesson]:
    """Every lesson of the library, in the order of its files."""
    found = []
    for file in sorted((HERE / "lessons").glob("*.toml")):
        found.append(Lesson(file, tomllib.loads(file.read_text("utf-8"))))
    return found


def words_of(line: str | Spec) -> str:
    """The words of a spoken line, plain or with what is to be shown."""
    return line if isinstance(line, str) else line["t"]
