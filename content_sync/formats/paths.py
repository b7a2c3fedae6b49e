"""Safe names: what a path inside a package may look like, and how ids are made (formats.md 2)."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from content_sync.errors import FormatError, PathError

MAX_COMPONENTS = 16
MAX_PATH_BYTES = 1024
MAX_COMPONENT_BYTES = 255
_FORBIDDEN = set('\\:*?"<>|')
_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9¹²³]", re.IGNORECASE)
_ID = re.compile(r"[a-z0-9][a-z0-9-]{2,62}[a-z0-9]")


def check_component(name: str) -> str:
    """One name of a path; returns it. Raises PathError."""
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        raise PathError(f"name is not Unicode: {name[:40]!a}") from None
    if not 1 <= size <= MAX_COMPONENT_BYTES:
        raise PathError(f"name has {size} bytes, allowed are 1 to {MAX_COMPONENT_BYTES}: {name[:40]!r}")
    if name in (".", "..") or "/" in name:
        raise PathError(f"name is not allowed: {name!r}")
    if unicodedata.normalize("NFC", name) != name:
        raise PathError(f"name is not in Unicode form NFC: {name!r}")
    if any(c in _FORBIDDEN or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
        raise PathError(f"name holds a character that is not allowed: {name!r}")
    if name[-1] in " .":
        raise PathError(f"name ends in a space or dot: {name!r}")
    if _DEVICE.fullmatch(name.split(".")[0].strip()):
        raise PathError(f"name is a device on Windows: {name!r}")
    return name


def check_path(path: str) -> str:
    """A relative path inside a package; returns it unchanged. Raises PathError."""
    if path.startswith("/"):
        raise PathError(f"path is absolute: {path[:80]!r}")
    parts = path.split("/")
    if len(parts) > MAX_COMPONENTS:
        raise PathError(f"path has {len(parts)} levels, allowed are {MAX_COMPONENTS}: {path[:80]!r}")
    for part in parts:
        check_component(part)
    if len(path.encode("utf-8")) > MAX_PATH_BYTES:
        raise PathError(f"path is longer than {MAX_PATH_BYTES} bytes: {path[:80]!r}")
    return path


class Distinct:
    """Paths, no two of which may be one file, or file and folder, on a case-folding file system."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def claim(self, path: str) -> str:
        """Take a path and return it. Raises PathError when it is taken."""
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
        parents = {folded[:at] for at, sign in enumerate(folded) if sign == "/"}
        if folded in self._files or folded in self._folders or parents & self._files:
            raise PathError(f"another file of the package has this name (case does not count): {path!r}")
        self._files.add(folded)
        self._folders |= parents
        return path


def check_distinct(paths: Iterable[str]) -> None:
    """Raise PathError when two of the paths are one (see Distinct)."""
    distinct = Distinct()
    for path in paths:
        distinct.claim(path)


def check_id(text: object) -> str:
    """An id (formats.md 2); returns it. Raises FormatError."""
    if not isinstance(text, str) or not _ID.fullmatch(text):
        raise FormatError(f"not an id: {str(text)[:80]!r}")
    return text


def _short(*parts: str) -> str:
    text = unicodedata.normalize("NFC", "/".join(parts))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def subject_id(stage: str, subject: str) -> str:
    """Id of a subject within a stage."""
    return _short(stage, subject)


def collection_id(stage: str, subject: str, edition: str, grade: str, volume: str) -> str:
    """Id of a collection; begins with its subject's id."""
    return f"{subject_id(stage, subject)}-{_short(stage, subject, edition, f'{grade} {volume}')}"


def lesson_id(collection: str, unit: str, title: str) -> str:
    """Id of a lesson; begins with its collection's id. Stable while unit and title stay."""
    return f"{collection}-{_short(unit, title)}"
