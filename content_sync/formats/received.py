"""The received shelf (formats.md 10): files that no release names, put there by a person."""

from __future__ import annotations

from msgspec import Struct

from content_sync.errors import FormatError
from content_sync.formats.canonical import check_format, dump, is_hex, load
from content_sync.formats.hashtree import FileId

ITEM, REQUEST = "lessonbox-received/1", "lessonbox-received-request/1"
MAX_ITEM = 16 << 10
_MOST_NAME, _MOST_PATH = 200, 4096


class ReceivedItem(Struct, frozen=True):
    """A file on the shelf: its identity, a name to show, where it came from, unix seconds (by the box's
    clock)."""

    file: FileId
    name: str
    origin: str
    at: int


class ReceivedRequest(Struct, frozen=True):
    """What a person asks for: to put the drop file `accept` there, or to take the file `remove` away."""

    accept: str = ""
    remove: str = ""


def shown_name(path: str) -> str:
    """A name for people from a drop file's path."""
    name = path.rstrip("/").rpartition("/")[2]
    return "".join(c if c.isprintable() else "?" for c in name)[-_MOST_NAME:] or "?"


def dump_item(item: ReceivedItem) -> bytes:
    """The bytes of an item's description."""
    return dump(
        {
            "format": ITEM,
            "root": item.file.root,
            "size": item.file.length,
            "name": item.name,
            "origin": item.origin,
            "at": item.at,
        }
    )


def parse_item(data: bytes) -> ReceivedItem:
    """Read an item's description. Raises FormatError, TooBigError, LengthError."""
    obj = load(data, MAX_ITEM)
    check_format(obj, ITEM)
    root, size, name = obj.get("root"), obj.get("size"), obj.get("name")
    origin, at = obj.get("origin"), obj.get("at")
    if not (isinstance(root, str) and type(size) is int and type(at) is int):
        raise FormatError("a received file is described without root, size or time")
    if not (isinstance(name, str) and isinstance(origin, str)):
        raise FormatError("a received file is described without name or origin")
    return ReceivedItem(FileId(root, size), shown_name(name), origin[:_MOST_PATH], at)


def dump_request(request: ReceivedRequest) -> bytes:
    """The bytes of a request."""
    asked = {"accept": request.accept} if request.accept else {"remove": request.remove}
    return dump({"format": REQUEST, **asked})


def parse_request(data: bytes) -> ReceivedRequest:
    """Read a request. Raises FormatError, TooBigError."""
    obj = load(data, MAX_ITEM)
    check_format(obj, REQUEST)
    accept, remove = obj.get("accept", ""), obj.get("remove", "")
    if not (isinstance(accept, str) and isinstance(remove, str)) or bool(accept) == bool(remove):
        raise FormatError("a request names either a file to accept or one to remove")
    if remove and not is_hex(remove, 64) or len(accept) > _MOST_PATH:
        raise FormatError("a request names no file")
    return ReceivedRequest(accept, remove)
