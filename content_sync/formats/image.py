"""The manifest of an image that is written to cards: what it is, signed (formats.md 17)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from content_sync.errors import FormatError
from content_sync.formats.canonical import check_format, dump, load, need, need_hex
from content_sync.formats.paths import check_component

FORMAT = "lessonbox-image/1"
IMAGE_TYPE = "application/vnd.lessonbox.image+json"
MAX_MANIFEST = 16 << 10
MAX_IMAGE = 1 << 40


class SignedFile(Struct, frozen=True):
    """A file by its name, length and SHA-256."""

    name: str
    size: int
    sha256: str


class ImageManifest(Struct, frozen=True):
    """The image as it lies, what it is unpacked (`raw`, of no own name), and its block map."""

    file: SignedFile
    raw: SignedFile
    bmap: SignedFile | None = None


def _plain(file: SignedFile) -> dict[str, Any]:
    return {"size": file.size, "sha256": file.sha256} | ({"name": file.name} if file.name else {})


def dump_manifest(manifest: ImageManifest) -> bytes:
    """The payload that is signed."""
    bmap = None if manifest.bmap is None else _plain(manifest.bmap)
    return dump({"format": FORMAT, **_plain(manifest.file), "raw": _plain(manifest.raw), "bmap": bmap})


def parse_manifest(data: bytes) -> ImageManifest:
    """Read a payload whose signature holds. Raises FormatError, PathError."""
    obj = load(data, MAX_MANIFEST)
    check_format(obj, FORMAT)
    bmap = obj.get("bmap")
    return ImageManifest(
        _file(obj),
        _file(need(obj, "raw", dict), False),
        None if bmap is None else _file(need(obj, "bmap", dict)),
    )


def _file(obj: dict[str, Any], named: bool = True) -> SignedFile:
    size = need(obj, "size", int)
    if not 0 < size <= MAX_IMAGE:
        raise FormatError(f"an image of {size} bytes")
    name = check_component(need(obj, "name", str)) if named else ""
    return SignedFile(name, size, need_hex(obj, "sha256", 64))
