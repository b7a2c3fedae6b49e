"""Reading a source tree as it stands: names, sizes, times; nothing opened but lesson.toml."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from msgspec import Struct

from content_sync.errors import LessonBoxError, SourceError
from county.publish.names import visible

LESSON_TOML = "lesson.toml"
MAX_TOML = 1 << 20
MAX_DEPTH = 24
_SILENT = frozenset({"thumbs.db", "desktop.ini"})


class Problem(Struct, frozen=True):
    """One thing that is odd in a source: an error code, the path as people read it, and what."""

    code: str
    path: str
    what: str

    def line(self) -> str:
        """`E-CODE path: what`, one line."""
        return f"{self.code} {self.path}: {' '.join(visible(self.what).split())}"

    @classmethod
    def of(cls, path: str, error: LessonBoxError) -> Problem:
        """A named error about a path."""
        return cls(error.code, visible(path), error.what)

    @classmethod
    def source(cls, path: str, what: str) -> Problem:
        """Something in the source that a person should correct (E-SOURCE)."""
        return cls(SourceError.code, visible(path), what)


class Node(Struct, frozen=True):
    """A file or folder. `path` as the system spells it (os.fsdecode); `odd`: why it can't be used."""

    name: str
    path: str
    folder: bool = False
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    odd: str | None = None
    children: Sequence[Node] = ()
    text: bytes | None = None


def silent(name: str) -> bool:
    """Whether a name is left out without a word (formats.md 11)."""
    return name.startswith((".", "~$")) or name.casefold() in _SILENT


_KINDS = (
    (stat.S_ISLNK, "is a link; links are not followed"),
    (stat.S_ISFIFO, "is a pipe, not a file"),
    (stat.S_ISSOCK, "is a socket, not a file"),
    (stat.S_ISCHR, "is a device, not a file"),
    (stat.S_ISBLK, "is a device, not a file"),
)


def read_tree(path: str, depth: int = 0) -> Node:
    """The folder at `path` and all below it. Raises no OSError: what can't be read has its `odd`."""
    name = os.path.basename(path)
    if depth > MAX_DEPTH:
        return Node(name, path, True, odd=f"lies more than {MAX_DEPTH} folders deep")
    children = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not silent(entry.name):
                    children.append(_read_entry(entry, depth))
    except OSError as error:
        return Node(name, path, True, odd=f"can't be read: {error.strerror or error}")
    # By NFC and bytes, so that twins are met in the same order wherever the tree lies.
    children.sort(key=lambda node: os.fsencode(node.name))
    return Node(name, path, True, children=children)


def _read_entry(entry: os.DirEntry[str], depth: int) -> Node:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError as error:
        return Node(entry.name, entry.path, odd=f"can't be read: {error.strerror or error}")
    if stat.S_ISDIR(found.st_mode):
        return read_tree(entry.path, depth + 1)
    odd = next((what for check, what in _KINDS if check(found.st_mode)), None)
    text = None
    if odd is None and entry.name == LESSON_TOML:
        text, odd = _read_toml(entry.path)
    return Node(
        entry.name,
        entry.path,
        False,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_ino,
        odd,
        (),
        text,
    )


def _read_toml(path: str) -> tuple[bytes | None, str | None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            text = stream.read(MAX_TOML + 1)
    except OSError as error:
        return None, f"can't be read: {error.strerror or error}"
    return (text, None) if len(text) <= MAX_TOML else (None, f"has more than {MAX_TOML} bytes")
