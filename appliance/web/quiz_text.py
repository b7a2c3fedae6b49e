"""Markup of quizzes as runs of text, pictures and a few marks: nothing of a file reaches a page as HTML."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from msgspec import Struct, field

from content_sync.errors import FormatError

MAX_DEPTH = 50
MAX_TEXT, MAX_PIECES = 20_000, 1_000
_SPACES = re.compile(r"[ \t\r\n]+")
_BLOCKS = {
    "p", "div", "li", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "table", "tr", "blockquote", "pre",
    "qti-prompt", "qti-simple-choice", "qti-simple-associable-choice", "qti-simple-match-set",
}  # fmt: skip
#: Element -> piece whose value is all its text.
_MARKS = {"sup": "sup", "sub": "sub", "em": "mark", "strong": "mark", "b": "mark", "i": "mark", "u": "mark"}
#: QTI 2.x words of one syllable; all others are told by their capitals.
_QTI2 = {"value": "qti-value", "prompt": "qti-prompt", "gap": "qti-gap", "mapping": "qti-mapping"}


class Text(Struct):
    """A run of text with pictures: pieces in order, each a kind and its value. `text`; `break`; `picture`: a
    path; `blank`: where a chosen letter is written; `gap`: where words are (its response's identifier);
    `sup`, `sub`, `mark` (stressed); `frac` and `ruby`: two texts with a line end between.
    """

    pieces: list[tuple[str, str]] = field(default_factory=list)

    @property
    def plain(self) -> str:
        """Without pictures, on one line."""
        return "".join(
            _PLAIN[kind](value) if kind in _PLAIN else value for kind, value in self.pieces
        ).strip()

    def __bool__(self) -> bool:
        return any(kind != "break" for kind, _ in self.pieces)


_PLAIN: dict[str, Callable[[str], str]] = {
    "gap": lambda value: "（　　）",
    "blank": lambda value: "（　　）",
    "picture": lambda value: " ",
    "break": lambda value: " ",
    "frac": lambda value: value.replace("\n", "/"),
    "ruby": lambda value: value.partition("\n")[0],
}


def name_of(element: Element) -> str:
    """Local tag name in QTI 3 spelling (2.x said assessmentItem, choiceInteraction, value…)."""
    tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
    if any(c.isupper() for c in tag):
        tag = "qti-" + "".join("-" + c.lower() if c.isupper() else c for c in tag)
    return _QTI2.get(tag, tag)


def attribute(element: Element, name: str) -> str:
    """An attribute, in QTI 3 spelling or 2.x's."""
    head, *rest = name.split("-")
    return element.get(name) or element.get(head + "".join(part.title() for part in rest)) or ""


def all_of(element: Element, *names: str) -> list[Element]:
    """Every element of these names below (and at) it, in order."""
    return [child for child in element.iter() if name_of(child) in names]


def first_of(element: Element, *names: str) -> Element | None:
    """The first of `all_of`."""
    return next((child for child in element.iter() if name_of(child) in names), None)


def beside(base: str, href: str) -> str:
    """A path of the package from a reference in a file that lies in `base`."""
    return posixpath.normpath(posixpath.join(base, unquote(href)))


class _Reader:
    def __init__(self, base: str, skip: tuple[str, ...]) -> None:
        self.base, self.skip, self.made, self.length = base, skip, Text(), 0

    def add(self, kind: str, value: str) -> None:
        pieces = self.made.pieces
        if kind == "text":
            value = _SPACES.sub(" ", value)  # an ideographic space is meant, a line end in the file is not
            if not pieces or pieces[-1][0] == "break":
                value = value.lstrip(" ")
            if not value:
                return
        if kind == "break" and (not pieces or pieces[-1][0] == "break"):
            return
        self.length += len(value)
        if self.length > MAX_TEXT or len(pieces) >= MAX_PIECES:
            raise FormatError("a question is too long")
        if kind == "text" and pieces and pieces[-1][0] == "text":
            pieces[-1] = ("text", pieces[-1][1] + value)
        else:
            pieces.append((kind, value))

    def walk(self, node: Element, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise FormatError("a file of the quiz is nested too deep")
        self.add("text", node.text or "")
        for child in node:
            name = name_of(child)
            if name not in self.skip:
                self.one(child, name, depth)
            self.add("text", child.tail or "")

    def one(self, child: Element, name: str, depth: int) -> None:
        if name == "qti-text-entry-interaction":
            self.add("gap", attribute(child, "response-identifier"))
        elif name == "qti-inline-choice-interaction":
            choices = [flat(choice, depth) for choice in all_of(child, "qti-inline-choice")]
            self.add("gap", attribute(child, "response-identifier"))
            self.add("text", "〔" + "／".join(choices) + "〕")
        elif name == "img":
            self.add("picture", beside(self.base, child.get("src") or ""))
        elif name == "br":
            self.add("break", "")
        elif name in ("td", "th"):
            self.walk(child, depth + 1)
            self.add("text", "\u2003")
        elif name in _MARKS and len(child) == 0:
            self.add(_MARKS[name], flat(child, depth))
        elif name == "ruby":
            tones = "".join(flat(rt, depth) for rt in all_of(child, "rt"))
            self.add("ruby", flat(child, depth, ("rt", "rp")) + "\n" + tones)
        elif name == "math":
            for piece in _formula(child, depth + 1):
                self.add(*piece)
        else:
            block = name in _BLOCKS
            if block:
                self.add("break", "")
            self.walk(child, depth + 1)
            if block:
                self.add("break", "")


def read_text(element: Element, base: str, skip: tuple[str, ...] = ()) -> Text:
    """The text below an element without the elements of names `skip`; pictures as paths of the package.

    Raises FormatError for what is too long or too deep.
    """
    reader = _Reader(base, skip)
    reader.walk(element, 0)
    pieces = reader.made.pieces
    while pieces and (pieces[-1][0] == "break" or pieces[-1][0] == "text" and not pieces[-1][1].strip(" ")):
        pieces.pop()
    return reader.made


def flat(element: Element, depth: int = 0, skip: tuple[str, ...] = ()) -> str:
    """All text below an element on one line."""
    if depth > MAX_DEPTH:
        raise FormatError("a file of the quiz is nested too deep")
    parts = [element.text or ""]
    for child in element:
        if name_of(child) not in skip:
            parts.append(flat(child, depth + 1, skip))
        parts.append(child.tail or "")
    return _SPACES.sub(" ", "".join(parts)).strip(" ")


def _formula(node: Element, depth: int) -> list[tuple[str, str]]:
    """MathML as pieces: rows, numbers, letters, signs, fractions, powers, indices, roots, brackets; of
    anything else its text.
    """
    if depth > MAX_DEPTH:
        raise FormatError("a file of the quiz is nested too deep")
    name, parts = name_of(node), list(node)

    def words(part: Element) -> str:
        return "".join(Text([piece]).plain for piece in _formula(part, depth + 1))

    if name in ("annotation", "annotation-xml"):
        return []
    if not parts:
        text = _SPACES.sub(" ", node.text or "").strip()
        return [("text", f" {text} " if name == "mo" and text in "+-−×÷=<>≤≥≠≈" and text else text)]
    if name == "mfrac" and len(parts) == 2:
        return [("frac", f"{words(parts[0])}\n{words(parts[1])}")]
    if name in ("msup", "msub") and len(parts) == 2:
        return [*_formula(parts[0], depth + 1), (name[1:], words(parts[1]))]
    if name == "msqrt":
        inner = "".join(map(words, parts))
        return [("text", f"√{inner}" if len(inner) == 1 or inner.isdigit() else f"√({inner})")]
    if name == "mroot" and len(parts) == 2:
        return [("sup", words(parts[1])), ("text", f"√({words(parts[0])})")]
    inside = [piece for part in parts for piece in _formula(part, depth + 1)]
    if name == "mfenced":
        return [("text", node.get("open") or "("), *inside, ("text", node.get("close") or ")")]
    return inside
