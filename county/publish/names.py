"""What the names in a source tree say (formats.md 11), and media types by ending. Pure."""

from __future__ import annotations

import re

from content_sync.formats.names import MEDIA_TYPES as MEDIA_TYPES
from content_sync.formats.names import kind_and_title as kind_and_title
from content_sync.formats.names import kind_by_ending as kind_by_ending
from content_sync.formats.names import media_type as media_type
from content_sync.formats.names import nfc as nfc
from content_sync.formats.names import stem as stem
from content_sync.formats.names import suffix as suffix

_DIGITS = "零一二三四五六七八九"
_NUMBER = r"(\d{1,4}|[一二三四五六七八九十百两]{1,7})"
_UNIT = re.compile(rf"第\s*{_NUMBER}\s*单元")
_LESSON_WORD = re.compile(rf"第\s*{_NUMBER}\s*课(?:[\s._、:：—-]*)(.*)", re.DOTALL)
_LESSON_NUMBER = re.compile(r"(\d{1,4})(?:\s*[.．](?!\d)|\s*[、_—-]|\s)\s*(.+)", re.DOTALL)
_VOLUME = re.compile(r"(.+?)\s*(上册|下册|全一册)")
#: The grade of what is for no grade in particular: teacher training, community lessons.
ANY_GRADE = "不分年级"

#: Endings that LibreOffice turns into PDF -> the part of it (Debian package) that reads them.
OFFICE = {ending: "libreoffice-impress" for ending in ("ppt", "pptx", "pps", "ppsx", "odp")} | {
    ending: "libreoffice-writer" for ending in ("doc", "docx", "odt", "rtf")
}


def visible(path: str) -> str:
    """A path for a message: what is not Unicode or would break the line is escaped."""
    text = path.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


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


def natural(text: str) -> list[tuple[int, int, str]]:
    """A sort key that puts 2 before 10, and 一 before 二 in 第一单元 or 三年级."""
    parts = re.split(r"(\d+|[一二三四五六七八九十]+(?=年级|单元|课|册))", text.casefold())
    return [(0, number(part), "") if i % 2 else (1, 0, part) for i, part in enumerate(parts) if part or i % 2]
