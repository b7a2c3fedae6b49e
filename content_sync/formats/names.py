"""What a file's name says about it: its ending, media type and kind (formats.md 11). Pure."""

from __future__ import annotations

import re
import unicodedata

from content_sync.formats.lesson import KINDS

_AFTER_WORD = re.compile(r"^[\s._、:：—-]+")

#: Ending -> media type. What is not here is application/octet-stream.
MEDIA_TYPES = {
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "mov": "video/quicktime",
    "wmv": "video/x-ms-wmv",
    "flv": "video/x-flv",
    "mpg": "video/mpeg",
    "mpeg": "video/mpeg",
    "ts": "video/mp2t",
    "rmvb": "application/vnd.rn-realmedia-vbr",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "wav": "audio/wav",
    "wma": "audio/x-ms-wma",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
    "ppt": "application/vnd.ms-powerpoint",
    "pps": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "ppsx": "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "rtf": "application/rtf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "htm": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "json": "application/json",
    "xml": "application/xml",
    "vtt": "text/vtt",
    "srt": "application/x-subrip",
    "epub": "application/epub+zip",
    "zip": "application/zip",
    "rar": "application/vnd.rar",
    "7z": "application/x-7z-compressed",
    "swf": "application/x-shockwave-flash",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "ttf": "font/ttf",
}


def nfc(text: str) -> str:
    """The text in Unicode form NFC, as packages hold it."""
    return unicodedata.normalize("NFC", text)


def suffix(name: str) -> str:
    """The name's ending, lower case, without its dot."""
    return name.rpartition(".")[2].casefold() if "." in name[1:] else ""


def stem(name: str) -> str:
    """The name without its ending."""
    return name.rpartition(".")[0] if "." in name[1:] else name


def media_type(name: str) -> str:
    """The media type of a file by its ending."""
    return MEDIA_TYPES.get(suffix(name), "application/octet-stream")


_WORDS = sorted(
    ((word, kind) for kind, (chinese, _, others) in KINDS.items() for word in (chinese, *others)),
    key=lambda pair: -len(pair[0]),
)
_GUESSES = {"video": "video", "audio": "audio", "image": "picture"}


def kind_and_title(name: str) -> tuple[str | None, str]:
    """The kind whose word the name (without ending) begins with, or None, and the title that follows."""
    for word, kind in _WORDS:
        rest = name[len(word) :]
        if not name.startswith(word) or (word.isascii() and rest[:1].isascii() and rest[:1].isalnum()):
            continue
        return kind, _AFTER_WORD.sub("", rest).strip()
    return None, name.strip()


def kind_by_ending(name: str) -> str:
    """The kind of a file whose name begins with no word: by its ending, else `other`."""
    if suffix(name) in ("ppt", "pptx", "pps", "ppsx"):
        return "courseware"
    return _GUESSES.get(media_type(name).split("/")[0], "other")
