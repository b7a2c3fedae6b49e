"""What the names in a source tree say (formats.md 11), and media types by ending. Pure."""

from __future__ import annotations

import re
import unicodedata

from content_sync.formats.lesson import KINDS

_DIGITS = "零一二三四五六七八九"
_NUMBER = r"(\d{1,4}|[一二三四五六七八九十百两]{1,7})"
_UNIT = re.compile(rf"第\s*{_NUMBER}\s*单元")
_LESSON_WORD = re.compile(rf"第\s*{_NUMBER}\s*课(?:[\s._、:：—-]*)(.*)", re.DOTALL)
_LESSON_NUMBER = re.compile(r"(\d{1,4})(?:\s*[.．](?!\d)|\s*[、_—-]|\s)\s*(.+)", re.DOTALL)
_VOLUME = re.compile(r"(.+?)\s*(上册|下册|全一册)")
#: The grade of what is for no grade in particular: teacher training, community lessons.
ANY_GRADE = "不分年级"
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
#: Endings that LibreOffice turns into PDF -> the part of it (Debian package) that reads them.
OFFICE = {ending: "libreoffice-impress" for ending in ("ppt", "pptx", "pps", "ppsx", "odp")} | {
    ending: "libreoffice-writer" for ending in ("doc", "docx", "odt", "rtf")
}


def nfc(text: str) -> str:
    """The text in Unicode form NFC, as packages hold it."""
    return unicodedata.normalize("NFC", text)


def visible(path: str) -> str:
    """A path for a message: what is not Unicode or would break the line is escaped."""
    text = path.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def suffix(name: str) -> str:
    """The name's ending, lower case, without its dot."""
    return name.rpartition(".")[2].casefold() if "." in name[1:] else ""


def stem(name: str) -> str:
    """The name without its ending."""
    return name.rpartition(".")[0] if "." in name[1:] else name


def media_type(name: str) -> str:
    """The media type of a file by its ending."""
    return MEDIA_TYPES.get(suffix(name), "application/octet-stream")


def number(text: str) -> int:
    """The value of a number in digits or in Chinese up to 999: 17, 十七, 二十."""
    if text.isdecimal():
        return int(text)
    total = digit = 0
    for sign in text.replace("两", "二"):
        if sign in "十百":
            total += max(digit, 1) * (10 if sign == "十" else 100)
            digit = 0
        else:
            digit = _DIGITS.index(sign)
    return total + digit


def unit_number(unit: str) -> int | None:
    """N of a unit that begins with 第N单元."""
    found = _UNIT.match(unit)
    return number(found[1]) if found else None


def lesson_number(name: str) -> tuple[int | None, str]:
    """The number of a lesson and its title: `17 古诗三首`, `17.古诗三首`, `第17课 古诗三首`."""
    name = name.strip()
    found = _LESSON_WORD.fullmatch(name)
    if found:
        return number(found[1]), found[2].strip() or name
    found = _LESSON_NUMBER.fullmatch(name)
    if found:
        return int(found[1]), found[2].strip()
    return None, name


def grade_volume(name: str) -> tuple[str, str] | None:
    """`三年级上册` -> grade and volume; None when it is not a grade followed by 上册, 下册 or 全一册.

    `3年级上册` is the same volume, so it has the same name.
    """
    if name.strip() == "全一册":
        return ANY_GRADE, "全一册"
    found = _VOLUME.fullmatch(name.strip())
    if not found:
        return None
    digit = re.fullmatch(r"(\d)年级", found[1])
    grade = f"{'零一二三四五六七八九'[int(digit[1])]}年级" if digit and int(digit[1]) else found[1]
    return grade, found[2]


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


def natural(text: str) -> list[tuple[int, int, str]]:
    """A sort key that puts 2 before 10, and 一 before 二 in 第一单元 or 三年级."""
    parts = re.split(r"(\d+|[一二三四五六七八九十]+(?=年级|单元|课|册))", text.casefold())
    return [(0, number(part), "") if i % 2 else (1, 0, part) for i, part in enumerate(parts) if part or i % 2]
