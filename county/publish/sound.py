"""Whether a received file is whole, as far as its own format tells. Pure but for reading the file.

A receiver that lost packets leaves a file of the right length with holes of zeros, or one that stops in the
middle; both must never be signed.
"""

from __future__ import annotations

import errno
import hashlib
import zipfile
from pathlib import Path

from content_sync.formats.hashtree import BLOCK, HASH
from county.publish.names import MEDIA_TYPES, suffix
from county.publish.unzip import BROKEN

_HOLE = hashlib.sha256(bytes(BLOCK)).digest()
#: So many blocks of zeros one after the other are a hole in what is compressed anyway.
_HOLE_BLOCKS = 4
_ZIPPED = frozenset(["zip", "pptx", "ppsx", "docx", "xlsx", "odp", "odt", "epub"])
_BOXED = frozenset(["mp4", "m4v", "m4a", "mov"])
_PACKED = ("video/", "audio/", "image/", "application/pdf", "application/vnd", "application/zip")
_UNPACKED = frozenset(["wav", "bmp", "svg"])
_TAIL = 2048
#: How programs call a file that they have not written to its end.
UNFINISHED = frozenset(
    (
        "part",
        "partial",
        "filepart",
        "tmp",
        "temp",
        "download",
        "downloading",
        "crdownload",
        "td",
        "!ut",
        "bc!",
    )
)


def fault(path: Path, name: str, leaves: bytes) -> str | None:
    """What is wrong with the file at `path`, called `name`, whose leaf list is `leaves`; None: nothing seen.

    Raises OSError.
    """
    ending = suffix(name)
    if ending in _ZIPPED:
        return _zip_fault(path)
    kind = MEDIA_TYPES.get(ending, "")
    if kind.startswith(_PACKED) and ending not in _UNPACKED:
        holes = _longest_hole(leaves)
        if holes >= _HOLE_BLOCKS:
            return f"{holes * BLOCK} bytes of it in one piece are zeros: it was received in part"
    if ending in _BOXED:
        return _box_fault(path)
    with path.open("rb") as stream:
        head = stream.read(8)
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _TAIL))
        tail = stream.read().rstrip(b"\0\r\n\t ")
    if ending == "pdf" and not (head.startswith(b"%PDF") and b"%%EOF" in tail):
        return "it does not begin and end as a PDF does"
    if ending in ("jpg", "jpeg") and not (head.startswith(b"\xff\xd8") and b"\xff\xd9" in tail):
        return "it does not begin and end as a JPEG picture does"
    if ending == "png" and not (head.startswith(b"\x89PNG") and b"IEND" in tail):
        return "it does not begin and end as a PNG picture does"
    return None


def _longest_hole(leaves: bytes) -> int:
    longest = run = 0
    for at in range(0, len(leaves), HASH):
        run = run + 1 if leaves[at : at + HASH] == _HOLE else 0
        longest = max(longest, run)
    return longest


def _zip_fault(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as opened:
            if any(info.flag_bits & 1 for info in opened.infolist()):
                return None  # locked: whether its members are whole can't be seen
            bad = opened.testzip()
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return "its list of members leads out of it"
    except BROKEN as error:
        return f"it can't be unpacked: {str(error)[:100]}"
    return None if bad is None else f"a member of it is damaged: {bad[:100]!r}"


def _box_fault(path: Path) -> str | None:
    """ISO 14496-12: the boxes of the top level fill the file to its last byte, and a movie box is there."""
    at, movie = 0, False
    size = path.stat().st_size
    with path.open("rb") as stream:
        while at + 8 <= size:
            stream.seek(at)
            head = stream.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            elif length == 0:
                length = size - at
            if length < 8 or not all(32 <= letter < 127 or letter == 0xA9 for letter in kind):
                return "it is not built as an MP4 file is from some place on: it was received in part"
            movie = movie or kind in (b"moov", b"moof")
            at += length
    if not movie:
        return "it has no index (moov): it is not whole"
    return f"it ends {at - size} bytes too early" if at > size else None
