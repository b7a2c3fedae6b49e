"""Reads quizzes: the part of 1EdTech QTI 3.0 that a class does together at the board.

An `qti-assessment-test` names its items by `qti-assessment-item-ref href`, in order. Items: choice (one,
several, true or false), text entry (one gap or more), order, match, and anything else as an open question
with its text. Markup is reduced to text, pictures and line ends: nothing of the file reaches the page as
HTML.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from content_sync.errors import FormatError

MAX_XML = 1 << 20
MAX_ITEMS = 200
_MAX_TEXT = 20_000
_SPACES = re.compile(r"[ \t\r\n]+")
#: Where the answer is written in: brackets with nothing between.
_BRACKETS = re.compile(r"(（[ \u3000\u2003]*）|\([ \u3000\u2003]{2,}\))")
_BLOCKS = {"p", "div", "li", "ul", "ol", "h1", "h2", "h3", "h4", "table", "tr", "blockquote", "qti-prompt"}


@dataclass
class Text:
    """A run of text with pictures: pieces in order, each (`text`|`picture`|`gap`|`blank`|`break`, value).
    `blank`: where a chosen letter is written, `gap`: where words are.
    """

    pieces: list[tuple[str, str]] = field(default_factory=list)

    @property
    def plain(self) -> str:
        """Without pictures, on one line."""
        return "".join(
            {"text": value, "gap": "（　　）", "blank": "（　　）"}.get(kind, " ")
            for kind, value in self.pieces
        ).strip()

    def __bool__(self) -> bool:
        return any(kind != "break" for kind, _ in self.pieces)


@dataclass
class Option:
    """One answer to choose; `right` in the solution. `letter` is A, B, C…"""

    letter: str
    text: Text
    right: bool


@dataclass
class Item:
    """One question. `kind`: `choice`, `multiple`, `fill`, `order`, `match`, `open`. `answer` is the solution
    in words.
    """

    kind: str
    stem: Text
    options: list[Option]
    answer: str
    why: Text
    #: match: what stands at the left, with what belongs to it
    pairs: list[tuple[Text, str]] = field(default_factory=list)


@dataclass
class Quiz:
    """A quiz: its title and its questions in order."""

    title: str
    items: list[Item]


def _name(element: Element) -> str:
    """Local tag name in QTI 3 spelling (2.x said assessmentItem, choiceInteraction…)."""
    tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
    if any(c.isupper() for c in tag):
        tag = "qti-" + "".join("-" + c.lower() if c.isupper() else c for c in tag)
    return tag


def _get(element: Element, name: str) -> str:
    """An attribute, in QTI 3 spelling or 2.x's."""
    head, *rest = name.split("-")
    return element.get(name) or element.get(head + "".join(part.title() for part in rest)) or ""


def _parse(data: bytes) -> Element:
    if len(data) > MAX_XML:
        raise FormatError("a file of the quiz is larger than 1 MiB")
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise FormatError(f"a file of the quiz is not readable: {type(error).__name__}") from None
    return root


def _all(element: Element, *names: str) -> list[Element]:
    return [child for child in element.iter() if _name(child) in names]


def _first(element: Element, *names: str) -> Element | None:
    found = _all(element, *names)
    return found[0] if found else None


def _text(element: Element, base: str, skip: tuple[str, ...] = ()) -> Text:
    """The text below an element; pictures as paths relative to the package."""
    made = Text()

    def add(kind: str, value: str) -> None:
        if kind == "text":
            value = _SPACES.sub(" ", value)  # an ideographic space is meant, a line end in the file is not
            if not made.pieces or made.pieces[-1][0] == "break":
                value = value.lstrip(" ")
            if not value:
                return
        if kind == "break" and (not made.pieces or made.pieces[-1][0] == "break"):
            return
        made.pieces.append((kind, value[:_MAX_TEXT]))

    def walk(node: Element, depth: int) -> None:
        if depth > 50:
            raise FormatError("a file of the quiz is nested too deep")
        add("text", node.text or "")
        for child in node:
            name = _name(child)
            if name in skip:
                pass
            elif name == "qti-text-entry-interaction":
                add("gap", _get(child, "response-identifier"))
            elif name == "img":
                add("picture", posixpath.normpath(posixpath.join(base, unquote(child.get("src") or ""))))
            elif name == "br":
                add("break", "")
            else:
                block = name in _BLOCKS
                if block:
                    add("break", "")
                walk(child, depth + 1)
                if block:
                    add("break", "")
            add("text", child.tail or "")

    walk(element, 0)
    while made.pieces and (made.pieces[-1][0] == "break" or not made.pieces[-1][1].strip(" ")):
        if made.pieces[-1][0] == "gap":
            break
        made.pieces.pop()
    return made


_CHOICES = (
    "qti-choice-interaction",
    "qti-order-interaction",
    "qti-match-interaction",
    "qti-extended-text-interaction",
    "qti-inline-choice-interaction",
    "qti-associate-interaction",
    "qti-gap-match-interaction",
)


def _why(root: Element, base: str) -> Text:
    """The explanation: modal or block feedback, or a rubric for the scorer or tutor."""
    for element in _all(root, "qti-modal-feedback", "qti-feedback-block"):
        found = _text(element, base)
        if found:
            return found
    for element in _all(root, "qti-rubric-block"):
        if set(_get(element, "view").split()) & {"scorer", "tutor"}:
            return _text(element, base)
    return Text()


def _item(root: Element, base: str) -> Item:
    if _name(root) != "qti-assessment-item":
        raise FormatError("an item of the quiz is not an item")
    body = _first(root, "qti-item-body")
    if body is None:
        raise FormatError("an item of the quiz has no text")
    right: dict[str, list[str]] = {}
    for declaration in _all(root, "qti-response-declaration"):
        correct = _first(declaration, "qti-correct-response")  # not its mapping, which holds values too
        if correct is not None:
            values = [(value.text or "").strip() for value in _all(correct, "qti-value")]
            right[_get(declaration, "identifier")] = values
    stem = _text(body, base, (*_CHOICES, "qti-rubric-block", "qti-feedback-block", "qti-modal-feedback"))
    why = _why(root, base)
    asked = _first(body, *_CHOICES)
    if asked is None:
        gaps = [value for kind, value in stem.pieces if kind == "gap"]
        if gaps:
            return Item("fill", stem, [], "，".join(" / ".join(right.get(gap, [])) for gap in gaps), why)
        return Item("open", stem, [], "", why)
    prompt = _first(asked, "qti-prompt")
    if prompt is not None:
        added = _text(prompt, base)
        stem.pieces = [*stem.pieces, *([("break", "")] if stem else []), *added.pieces]
    solution = right.get(_get(asked, "response-identifier"), [])
    name = _name(asked)
    if name == "qti-match-interaction":
        return _match(asked, stem, solution, base, why)
    choices = _all(asked, "qti-simple-choice", "qti-inline-choice")
    named = {_get(choice, "identifier"): _text(choice, base, ("qti-feedback-inline",)) for choice in choices}
    letters = {key: chr(ord("A") + n) if n < 26 else str(n + 1) for n, key in enumerate(named)}
    if name == "qti-order-interaction":
        options = [Option(letters[key], text, False) for key, text in named.items()]
        return Item("order", stem, options, " → ".join(letters[k] for k in solution if k in letters), why)
    if not named:
        return Item("open", stem, [], "；".join(solution), why)
    options = [Option(letters[key], text, key in solution) for key, text in named.items()]
    several = len(solution) > 1 or _get(asked, "max-choices") not in ("1", "")
    answer = "".join(option.letter for option in options if option.right)
    _open_brackets(stem)
    return Item("multiple" if several else "choice", stem, options, answer, why)


def _open_brackets(stem: Text) -> None:
    """Make each empty pair of brackets a place for the answer."""
    stem.pieces = [
        ("blank", "") if kind == "text" and _BRACKETS.fullmatch(part) else (kind, part)
        for kind, value in stem.pieces
        for part in (_BRACKETS.split(value) if kind == "text" else [value])
        if part or kind != "text"
    ]


def _match(asked: Element, stem: Text, solution: list[str], base: str, why: Text) -> Item:
    sets = _all(asked, "qti-simple-match-set")[:2]
    if len(sets) < 2:
        return Item("open", stem, [], "", why)
    left, right = (
        {
            _get(choice, "identifier"): _text(choice, base)
            for choice in _all(side, "qti-simple-associable-choice")
        }
        for side in sets
    )
    letters = {key: chr(ord("A") + n) if n < 26 else str(n + 1) for n, key in enumerate(right)}
    belongs: dict[str, list[str]] = {}
    for pair in solution:
        a, _, b = pair.partition(" ")
        if a in left and b in letters:
            belongs.setdefault(a, []).append(letters[b])
    pairs = [(text, "".join(belongs.get(key, []))) for key, text in left.items()]
    options = [Option(letters[key], text, False) for key, text in right.items()]
    answer = "  ".join(f"{n}-{letters_}" for n, (_, letters_) in enumerate(pairs, 1) if letters_)
    return Item("match", stem, options, answer, why, pairs)


def read_quiz(main: str, read: Callable[[str], bytes]) -> Quiz:
    """The quiz whose test file is at path `main`; `read(path)` gives a file of the same resource.

    A single item instead of a test is a quiz of one question. Raises FormatError, and what `read` raises.
    """
    root = _parse(read(main))
    title = (_get(root, "title") or "").strip()[:200]
    base = posixpath.dirname(main)
    if _name(root) == "qti-assessment-item":
        return Quiz(title, [_item(root, base)])
    if _name(root) != "qti-assessment-test":
        raise FormatError("this is not a QTI test")
    items = []
    for reference in _all(root, "qti-assessment-item-ref")[:MAX_ITEMS]:
        path = posixpath.normpath(posixpath.join(base, unquote(_get(reference, "href"))))
        items.append(_item(_parse(read(path)), posixpath.dirname(path)))
    if not items:
        raise FormatError("the quiz holds no question")
    return Quiz(title, items)
