"""A block map (bmaptool's `.bmap`, version 2.x): which ranges of an image hold anything."""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from msgspec import Struct

from content_sync.errors import FormatError
from content_sync.formats.canonical import is_hex

MAX_BMAP = 16 << 20
_MOST_RANGES = 200_000


class Range(Struct, frozen=True):
    """Bytes `begin` up to `end` of an image and their SHA-256."""

    begin: int
    end: int
    sha256: str


def parse_bmap(data: bytes, size: int) -> list[Range]:
    """The ranges of an image of `size` bytes, in order. Raises FormatError."""
    try:
        root = fromstring(data.decode("utf-8"))
        if root.tag != "bmap" or root.get("version", "").partition(".")[0] != "2":
            raise FormatError("a block map of version 2 is needed")
        if _said(root, "ChecksumType").lower() != "sha256":
            raise FormatError("the block map has no SHA-256 checksums")
        block = int(_said(root, "BlockSize"))
        if not 512 <= block <= 1 << 20 or int(_said(root, "ImageSize")) != size:
            raise FormatError("the block map belongs to an image of another size")
        found = [_range(entry, block, size) for entry in root.iterfind("BlockMap/Range")]
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise FormatError(f"the block map can't be read: {str(error)[:120]}") from None
    apart = all(one.end <= other.begin for one, other in zip(found, found[1:], strict=False))
    if not found or len(found) > _MOST_RANGES or not apart:
        raise FormatError("the block map's ranges are none, too many or overlap")
    return found


def _said(root: Element, name: str) -> str:
    return (root.findtext(name) or "").strip()


def _range(entry: Element, block: int, size: int) -> Range:
    first, _, last = (entry.text or "").strip().partition("-")
    begin, end = int(first) * block, min((int(last or first) + 1) * block, size)
    checksum = (entry.get("chksum") or "").lower()
    if not 0 <= begin < end or not is_hex(checksum, 64):
        raise FormatError(f"the block map's range {entry.text!r} is not one")
    return Range(begin, end, checksum)
