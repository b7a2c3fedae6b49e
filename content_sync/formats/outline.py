"""What lists show of a lesson that is here, read from a lesson.json that was checked when it came.

A page of hits shows twenty lessons; parse_lesson proves every path and hash of each, which takes twenty times
as long as reading this.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from msgspec import Struct

from content_sync.formats.lesson import KINDS


class Part(NamedTuple):
    """A resource in a list: `root` and `path` are of the file that opens, `size` is of all its files."""

    id: str
    kind: str
    title: str
    media_type: str
    size: int
    root: str
    path: str
    pages: int
    seconds: int | None = None
    language: str | None = None


class Outline(Struct, frozen=True):
    """The resources of a lesson, in teaching order."""

    resources: tuple[Part, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each."""
        return tuple([part.kind for part in self.resources])


def outline(detail: str) -> Outline:
    """Read `detail`, a lesson.json that parse_lesson accepted."""
    parts = []
    for value in json.loads(detail)["resources"]:
        files = value["files"]
        roles = [entry["role"] for entry in files]
        main = files[roles.index("main")]
        size = sum([entry["size"] for entry in files])
        kind = value["kind"] if value["kind"] in KINDS else "other"
        parts.append(
            Part(
                value["id"], kind, value["title"], value["media_type"], size, main["root"], main["path"],
                roles.count("page"), value.get("seconds"), value.get("language"),
            )
        )  # fmt: skip
    return Outline(tuple(parts))
