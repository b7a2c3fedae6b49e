"""What lies where on a stick, and the tag files of a BagIt bag (RFC 8493; formats.md 14). Pure.

Every name is lower-case hex, digits or a fixed word, so that it is safe on FAT, exFAT, NTFS and ISO 9660 with
Joliet alike: nothing to escape, no two that differ in case alone, no device name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from content_sync.errors import FormatError
from content_sync.formats.canonical import is_hex
from content_sync.formats.hashtree import BLOCK, block_count

FORMAT = "lessonbox-bag/1"
#: Below the stick's top: the bag that goes down to boxes, and what boxes send up.
DOWN, UP = "lessonbox/down", "lessonbox/up"
#: Lessons of a school's own, for another box or the county (formats.md 15).
LOCAL = "lessonbox/local"
DECLARATION, INFO = "bagit.txt", "bag-info.txt"
MANIFEST, TAGS = "manifest-sha256.txt", "tagmanifest-sha256.txt"
#: The manifest of a bag that is being written: what is durable so far. Gone once bagit.txt stands.
WRITING = "writing-sha256.txt"
DECLARED = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
DATA = "data/"
#: FAT32 holds files of up to 2^32 - 1 bytes; larger ones lie on a stick in parts of whole blocks.
MAX_PART = (1 << 32) - BLOCK
MAX_MANIFEST = 256 << 20
_ESCAPES = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))


def metadata_path(name: str) -> str:
    """A file of `metadata/`, as the county names it (`timestamp.json`, `envelopes/<box>.json`)."""
    return f"{DATA}metadata/{name}"


def index_path(sha256: str) -> str:
    """A subject or collection index, by its SHA-256."""
    return f"{DATA}indexes/{sha256}"


def package_path(infohash: str, kind: str) -> str:
    """A package's `torrent` or `leaves`."""
    return f"{DATA}packages/{infohash[:2]}/{infohash}.{kind}"


def object_path(root: str, first: int | None = None) -> str:
    """A whole file, or the part of it that begins at block `first`."""
    return f"{DATA}objects/{root[:2]}/{part_name(root, first)}"


def part_name(root: str, first: int | None = None) -> str:
    """The name of a whole file, or of the part of it that begins at block `first`."""
    return root if first is None else f"{root}.{first:010d}"


def part_of(path: str) -> tuple[str, int | None] | None:
    """Root and first block (None: the whole file) of an object's path; None for any other path."""
    name = path.rpartition("/")[2]
    root, dot, first = name.partition(".")
    if not is_hex(root, 64) or (dot and not (len(first) == 10 and first.isascii() and first.isdigit())):
        return None
    number = int(first) if dot else None
    return (root, number) if path == object_path(root, number) else None


def is_ours(path: str) -> bool:
    """Whether an exporter may have written this path of a bag, so that it may remove it again."""
    folder, _, name = path.removeprefix(DATA).partition("/")
    if not path.startswith(DATA):
        return False
    if folder == "metadata":
        return name.endswith(".json")
    if folder == "indexes":
        return is_hex(name, 64)
    if folder == "packages":
        infohash, _, kind = name.rpartition("/")[2].partition(".")
        return is_hex(infohash, 64) and kind in ("torrent", "leaves") and path == package_path(infohash, kind)
    return part_of(path) is not None


def parts(length: int, begin: int, most: int) -> list[tuple[int, int]]:
    """(first block, blocks) of each part of a file of `length` bytes from block `begin` on, none longer than
    `most` bytes."""
    per, count = most // BLOCK, block_count(length)
    return [(first, min(per, count - first)) for first in range(begin, count, per)]


def dump_manifest(digests: Mapping[str, str]) -> bytes:
    """A manifest: `<sha256>  <path>`, a line each, by path."""
    lines = (f"{digests[path]}  {_escaped(path)}\n" for path in sorted(digests))
    return "".join(lines).encode()


def _escaped(path: str) -> str:
    for sign, escape in _ESCAPES:
        path = path.replace(sign, escape)
    return path


def parse_manifest(data: bytes) -> dict[str, str]:
    """Path -> SHA-256 of each line that is whole. A torn, foreign or unsafe line is passed over: what it
    named is read again."""
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").split("\n")[:-1]:
        digest, _, path = line.rstrip("\r").partition(" ")
        path = path.lstrip(" *")
        for sign, escape in reversed(_ESCAPES):
            path = path.replace(escape, sign)
        if is_hex(digest, 64) and _safe(path):
            found[path] = digest
    return found


def _safe(path: str) -> bool:
    names = path.split("/")
    return path.startswith(DATA) and "\0" not in path and not {"", ".", ".."} & set(names)


def dump_info(fields: Iterable[tuple[str, str]]) -> bytes:
    """bag-info.txt: `Label: value`, a line each."""
    lines = [("Lessonbox-Format", FORMAT), *fields]
    return "".join(f"{label}: {' '.join(value.split())}\n" for label, value in lines).encode()


def check_info(data: bytes) -> None:
    """Raise FormatError unless a bag-info.txt says that the bag is one of ours."""
    for line in data.decode("utf-8", "replace").splitlines():
        label, _, value = line.partition(":")
        if label.strip().casefold() == "lessonbox-format":
            if value.strip() != FORMAT:
                raise FormatError(f"a bag of format {value.strip()[:40]!r}, expected {FORMAT}")
            return
    raise FormatError("a bag of another program")


def dump_tags(files: Mapping[str, bytes]) -> bytes:
    """The tag manifest of these tag files."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "".join(lines).encode()
