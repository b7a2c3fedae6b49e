"""Text files as schools have them: UTF-8, or GBK from an old Windows; shown large, a part at a time."""

from __future__ import annotations

import re
from pathlib import Path

from content_sync.adapters.files import read_capped
from content_sync.formats.lesson import Lesson, Resource

MAX_TEXT = 1 << 20
_PART = 1_500
_ENDINGS = (".txt", ".md", ".text")
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*")


def is_text(resource: Resource) -> bool:
    """Whether it is plain text that a page can show."""
    return resource.main.path.lower().endswith(_ENDINGS) and 0 < resource.main.file.length <= MAX_TEXT


def decode(data: bytes) -> str:
    """Text of an unknown encoding; what is no character becomes �, never an error."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("gb18030", "replace")


def paragraphs(text: str) -> list[tuple[bool, str]]:
    """(is a heading, words) of each line that says something; of Markdown only its headings are known."""
    found = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").split("\n"):
        shown = "".join(c for c in line.replace("\t", "    ") if c.isprintable() or c == "\u3000").strip()
        heading = _HEADING.fullmatch(shown)
        if shown:
            found.append((True, heading[1]) if heading and heading[1] else (False, shown))
    return found


def in_parts(lines: list[tuple[bool, str]]) -> list[list[tuple[bool, str]]]:
    """The text in parts that a board shows well; a line of its own length is cut where it must be."""
    parts: list[list[tuple[bool, str]]] = [[]]
    room = _PART
    for heading, words in lines:
        for begin in range(0, len(words), _PART):
            piece = words[begin : begin + _PART]
            if parts[-1] and len(piece) > room:
                parts.append([])
                room = _PART
            parts[-1].append((heading, piece))
            room -= len(piece)
    return parts


def read_text(objects: Path, resource: Resource) -> list[tuple[bool, str]]:
    """The lines of a text resource. Raises StorageError."""
    root = resource.main.file.root
    return paragraphs(decode(read_capped(objects / root[:2] / root, MAX_TEXT)))


def text_beside(lesson: Lesson, sound: Resource) -> Resource | None:
    """The text that goes with a sound: of the same title, else the lesson's only one."""
    texts = [resource for resource in lesson.resources if is_text(resource)]
    same = [resource for resource in texts if resource.title == sound.title]
    return (same or texts)[0] if same or len(texts) == 1 else None
