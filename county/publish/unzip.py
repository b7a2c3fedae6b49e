"""An HTML5 courseware that comes as a zip: its files, each checked before anything is written.

A zip is somebody's: names that lead out of it, links, bombs and broken entries are refused by name.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from msgspec import Struct

from content_sync.errors import MediaError, PathError, TooBigError
from content_sync.formats.paths import check_distinct, check_path
from county.publish.names import nfc

ENTRY, MANIFEST = "index.html", "imsmanifest.xml"
#: What the manifest of a quiz names among its resources' types; SCORM's and others' do not.
_QTI, _MOST_MANIFEST, _MANIFESTS = b"imsqti_", 1 << 20, 3
MOST_FILES = 5_000
MOST_BYTES = 2 << 30
#: Unpacked to packed: beyond this, and beyond what any page needs, it is a bomb.
MOST_RATIO, ALWAYS_FINE = 200, 64 << 20
#: What zipfile raises for what is no zip or a damaged one; and OSError (EINVAL) for offsets that can't be.
BROKEN = (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, zlib.error, struct.error)
_FOLDER = "x" * 255 + "/"
_UTF8 = 0x800
_ENCRYPTED = 0x1


class Unpacked(Struct, frozen=True):
    """The files of a courseware or quiz by path; its entry is among them. `left_out`: empty files."""

    files: dict[str, Path]
    left_out: tuple[str, ...]


def unpack(archive: Path, folder: Path) -> Unpacked | None:
    """Unpack a zip that holds an `index.html` or the `imsmanifest.xml` of a quiz into `folder`; None when it
    holds neither.

    The folder of the topmost entry is the root. Names are UTF-8 where the zip says so,
    else UTF-8 or GB18030, whichever fits.
    Raises PathError for an unsafe name anywhere in it, TooBigError, MediaError.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            return _unpack(opened, archive.stat().st_size, folder)
    except BROKEN as error:
        raise MediaError(f"the zip is damaged or of a kind that can't be read: {str(error)[:120]}") from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise MediaError("the zip is damaged: its list leads out of it") from None  # a seek before its start


def entries_of(opened: zipfile.ZipFile, most: int = MOST_FILES) -> dict[str, zipfile.ZipInfo]:
    """The files of an open zip by their safe, distinct paths. Raises PathError, TooBigError."""
    listed = opened.infolist()
    if len(listed) > most:
        raise TooBigError(f"the zip holds {len(listed)} files, allowed are {most}")
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in listed:
        name = _name(info)
        if name.startswith("/"):
            raise PathError(f"the zip holds an absolute path: {name[:80]!r}")
        check_path(_FOLDER + name.rstrip("/"))  # it will lie in a folder of the package
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise PathError(f"the zip holds a link or device: {name!r}")
        if not name.endswith("/"):
            if name in entries:
                raise PathError(f"the zip holds {name!r} twice")
            entries[name] = info
    check_distinct(entries)
    return entries


def entry_of(opened: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> str | None:
    """What opens: the topmost `index.html`, or above all of these the manifest of a QTI content package."""
    tops = [name for name in entries if name.rpartition("/")[2] in (ENTRY, MANIFEST)]
    manifests = [name for name in tops if name.rpartition("/")[2] == MANIFEST]
    quizzes = [name for name in sorted(manifests, key=_depth)[:_MANIFESTS] if _is_quiz(opened, entries[name])]
    pages = [name for name in tops if name.rpartition("/")[2] == ENTRY]
    return min((*pages, *quizzes), key=_depth, default=None)


def _depth(name: str) -> tuple[int, bool, str]:
    return name.count("/"), name.rpartition("/")[2] == MANIFEST, name


def _is_quiz(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    if info.file_size > _MOST_MANIFEST or info.flag_bits & _ENCRYPTED:
        return False
    with opened.open(info) as manifest:
        return _QTI in manifest.read(_MOST_MANIFEST)


def _unpack(opened: zipfile.ZipFile, packed: int, folder: Path) -> Unpacked | None:
    entries = entries_of(opened)
    top = entry_of(opened, entries)
    if top is None:
        return None
    root, _, entry = top.rpartition("/")
    root += "/" if root else ""
    inside = {name[len(root) :]: info for name, info in entries.items() if name.startswith(root)}
    total = sum(info.file_size for info in inside.values())
    if total > MOST_BYTES or (total > ALWAYS_FINE and total > MOST_RATIO * packed):
        raise TooBigError(f"the zip would unpack to {total} bytes from {packed}")
    if any(info.flag_bits & _ENCRYPTED for info in inside.values()):
        raise MediaError("the zip is locked with a password")
    files = {}
    for number, (name, info) in enumerate(sorted(inside.items())):
        if info.file_size:
            files[name] = folder / str(number)  # no name from the zip ever reaches the file system
            with opened.open(info) as source, files[name].open("wb") as out:
                shutil.copyfileobj(source, out)  # zipfile stops at the size that the directory states
    if entry not in files:
        raise MediaError(f"{entry} in the zip is empty")
    return Unpacked(files, tuple(sorted(set(inside) - set(files))))


def _name(info: zipfile.ZipInfo) -> str:
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        readings = []
        for encoding in ("utf-8", "gb18030"):
            with contextlib.suppress(UnicodeDecodeError):
                readings.append(name.encode("cp437").decode(encoding))  # zipfile read the bytes as cp437
        # Two Chinese characters in GBK can be valid UTF-8 for letters that no file is named by.
        name = next((text for text in readings if all(map(_usual, text))), (readings or [name])[0])
    return nfc(name.replace("\\", "/"))  # some Windows programs write backslashes


def _usual(character: str) -> bool:
    return character.isascii() or "\u2e80" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef"
