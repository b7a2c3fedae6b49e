"""The rows of a table that somebody made in Excel: CSV in UTF-8, UTF-16 or GB18030, or the first sheet of an
XLSX."""

from __future__ import annotations

import csv
import io
import re
import struct
import zipfile
import zlib
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from content_sync.adapters.files import read_capped
from content_sync.errors import SourceError

MAX_FILE = 16 << 20
_MAX_PART = 64 << 20
_MAX_COLUMNS = 200
_CELL = re.compile(r"([A-Z]{1,3})[0-9]+")


def read_rows(path: Path) -> list[list[str]]:
    """Rows of text cells, without blank space around. Raises SourceError, NotFoundError, TooBigError."""
    data = read_capped(path, MAX_FILE)
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
            first = min(sheets, key=lambda part: int(re.sub(r"\D", "", part)))
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
                    rows.append(_cells(row, texts))
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


def _cells(row: Element, texts: list[str]) -> list[str]:
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
        else:
            cells[column] = re.sub(r"\.0+$", "", value.text or "")
    return [cells.get(column, "") for column in range(max(cells, default=-1) + 1)]


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1
