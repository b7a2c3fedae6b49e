"""The rows of a table that somebody made in Excel: CSV in UTF-8, UTF-16 or GB18030, or the first sheet of an
XLSX."""

from __future__ import annotations

import csv
import io
import re
import struct
import zipfile
import zlib
from decimal import Decimal
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from content_sync.adapters.files import read_capped
from content_sync.errors import SourceError

MAX_FILE = 16 << 20
_MAX_PART = 64 << 20
_MAX_COLUMNS = 200
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_CELL = re.compile(r"([A-Z]{1,3})[0-9]+")


def read_rows(path: Path) -> list[list[str]]:
    """Rows of text cells, without blank space around. Raises SourceError, NotFoundError, TooBigError."""
    data = read_capped(path, MAX_FILE)
    if data.startswith(_OLD_OFFICE):
        raise SourceError(
            f"{path.name} is an old or locked workbook (.xls, .et, with a password): save it as .xlsx"
            "（请打开它，另存为 .xlsx，不加密码）"
        )
    rows = _xlsx(data, path.name) if data[:4] == b"PK\3\4" else _csv(data, path.name)
    return [[cell.strip() for cell in row[:_MAX_COLUMNS]] for row in rows]


def _csv(data: bytes, name: str) -> list[list[str]]:
    unicode = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(unicode)
    except UnicodeDecodeError:
        try:
            text = data.decode("gb18030")
        except UnicodeDecodeError:
            raise SourceError(f"{name} is neither UTF-8 nor GB18030 text") from None
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=mark))
    except csv.Error as error:
        raise SourceError(f"{name}: {error}") from None


def _xlsx(data: bytes, name: str) -> list[list[str]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            parts = {info.filename: info for info in book.infolist()}
            sheets = [part for part in parts if re.fullmatch(r"xl/worksheets/sheet[0-9]+\.xml", part)]
            if not sheets:
                raise SourceError(f"{name} holds no sheet")
            first = _first(book, parts, name) or min(sheets, key=lambda part: int(re.sub(r"\D", "", part)))
            widths = _widths(_part(book, parts[_STYLES], name)) if _STYLES in parts else []
            texts = []
            if "xl/sharedStrings.xml" in parts:
                shared = _part(book, parts["xl/sharedStrings.xml"], name)
                texts = [_text(item) for item in shared if _tag(item) == "si"]
            rows: list[list[str]] = []
            for row in _part(book, parts[first], name).iter():
                if _tag(row) == "row":
                    number = row.get("r", "")
                    empty = int(number) - len(rows) - 1 if number.isdecimal() and len(number) < 8 else 0
                    rows += [[] for _ in range(empty)]  # lines without a cell are not written
                    rows.append(_cells(row, texts, widths))
            return rows
    except (
        zipfile.BadZipFile,
        zlib.error,
        ParseError,
        DefusedXmlException,
        ValueError,
        RuntimeError,
        EOFError,
        struct.error,
    ) as e:
        raise SourceError(f"{name} is no workbook that can be read: {str(e)[:120]}") from None


def _part(book: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Element:
    with book.open(info) as stream:
        data = stream.read(_MAX_PART + 1)
    if len(data) > _MAX_PART:
        raise SourceError(f"{name} is too large")
    root: Element = fromstring(data)
    return root


_BOOK, _LINKS, _STYLES = "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml"


def _first(book: zipfile.ZipFile, parts: dict[str, zipfile.ZipInfo], name: str) -> str | None:
    """The part of the leftmost sheet that is not hidden; a person may have moved it there."""
    if _BOOK not in parts or _LINKS not in parts:
        return None
    links = {link.get("Id"): link.get("Target", "") for link in _part(book, parts[_LINKS], name)}
    for sheet in _part(book, parts[_BOOK], name).iter():
        if _tag(sheet) == "sheet" and sheet.get("state", "visible") == "visible":
            named = next((value for key, value in sheet.attrib.items() if key.endswith("}id")), "")
            target = links.get(named, "").lstrip("/")
            part = target if target.startswith("xl/") else f"xl/{target}"
            return part if part in parts else None
    return None


def _widths(styles: Element) -> list[int]:
    """For each cell style how many digits its format `000` shows: a code 001 that Excel keeps as 1."""
    codes = {one.get("numFmtId"): one.get("formatCode", "") for one in styles.iter() if _tag(one) == "numFmt"}
    formats = next((one for one in styles if _tag(one) == "cellXfs"), ())
    shown = (codes.get(one.get("numFmtId"), "").strip('"') for one in formats)
    return [len(code) if re.fullmatch("0{2,20}", code) else 0 for code in shown]


def _number(text: str, width: int) -> str:
    """A number as its cell shows it: whole, without exponent, with the zeros before it."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?[Ee]\+?[0-9]{1,2}", text):
        value = Decimal(text)
        text = str(int(value)) if value == int(value) else text
    text = re.sub(r"\.0+$", "", text)
    return text.zfill(width) if text else ""


def _tag(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _text(element: Element) -> str:
    """The text of a shared string or inline string; readings above it (rPh) are left out."""
    return "".join(
        part.text or ""
        for child in element
        if _tag(child) in ("t", "r")
        for part in ([child] if _tag(child) == "t" else child)
        if _tag(part) == "t"
    )


def _cells(row: Element, texts: list[str], widths: list[int]) -> list[str]:
    cells: dict[int, str] = {}
    for cell in row:
        if _tag(cell) != "c":
            continue
        place = _CELL.fullmatch(cell.get("r", ""))
        column = _column(place[1]) if place else max(cells, default=-1) + 1
        value = next((part for part in cell if _tag(part) in ("v", "is")), None)
        if value is None or column >= _MAX_COLUMNS:
            continue
        kind = cell.get("t")
        if kind == "inlineStr":
            cells[column] = _text(value)
        elif kind == "s":
            number = int(value.text or "-1")
            cells[column] = texts[number] if 0 <= number < len(texts) else ""
        elif kind in (None, "n"):
            style = cell.get("s", "")
            number = int(style) if style.isdecimal() else 0
            cells[column] = _number(value.text or "", widths[number] if number < len(widths) else 0)
        else:
            cells[column] = value.text or ""
    return [cells.get(column, "") for column in range(max(cells, default=-1) + 1)]


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1
