"""Keeps the catalogues of translated words in step: `python -m appliance.web.catalogue` (needs Babel, a test
tool).

Reads every Chinese text that pages and programs mark, updates locale/*/LC_MESSAGES/messages.po, compiles the
.mo beside it and writes what the language calls itself into name.txt. All are committed, so that a box needs
no compiler of words. tests/unit/test_web_words.py
fails when they are behind.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from appliance.web import i18n

_HERE = Path(__file__).parent
_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]

#: Lines that differ from day to day.
_CHANGING = (
    b'"POT-Creation-Date',
    b'"PO-Revision-Date',
    b'"Generated-By',
    b'"Last-Translator',
    b"#",
)


def marked() -> Catalog:
    """Every text that is marked for translation."""
    catalogue = Catalog(project="lessonbox", charset="utf-8")
    for name, _line, text, comments, context in extract_from_dir(
        str(_HERE),
        _METHODS,
        {"**.html": {"trimmed": "true", "newstyle_gettext": "true"}},
        keywords={"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)},
    ):
        catalogue.add(text, None, [(name, 0)], auto_comments=comments, context=context)
    return catalogue


def po_path(language: str) -> Path:
    """Where a language's words lie."""
    return i18n.LOCALE / language / "LC_MESSAGES" / "messages.po"


def refresh(language: str) -> tuple[bytes, bytes, str]:
    """The catalogue of a language with today's texts: bytes of .po and .mo, and the language's name."""
    path = po_path(language)
    catalogue = Catalog(locale=language)
    if path.exists():
        with path.open("rb") as stream:
            catalogue = read_po(stream, locale=language)
    catalogue.update(marked(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.fuzzy = False
    po, mo = io.BytesIO(), io.BytesIO()
    write_po(po, catalogue, width=0, no_location=True, omit_header=False, sort_output=True)
    head = b"".join(
        line for line in po.getvalue().splitlines(keepends=True) if not line.startswith(_CHANGING)
    )
    compiled = read_po(io.BytesIO(head), locale=language)
    compiled.creation_date = compiled.revision_date = datetime(2026, 1, 1, tzinfo=UTC)  # equal on every day
    write_mo(mo, compiled)
    message = compiled.get("language-name")
    return head, mo.getvalue(), str(message.string) if message else ""


def main() -> None:
    """Write the catalogue of every language that has one: a .po dropped into its place is enough."""
    for path in sorted(i18n.LOCALE.glob("*/LC_MESSAGES/messages.po")):
        po, mo, name = refresh(path.parts[-3])
        path.write_bytes(po)
        path.with_suffix(".mo").write_bytes(mo)
        (path.parent / "name.txt").write_text(name + "\n", "utf-8")


if __name__ == "__main__":
    main()
