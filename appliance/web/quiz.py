"""Reads quizzes: the part of 1EdTech QTI (3.0, 2.2, 2.1) that a class does together at the board.

Which elements stands in docs/formats.md 3.4. A quiz is a test that names its items, a single item, or the
`imsmanifest.xml` of a content package. What an item asks in a way that is not read becomes an open question
with all its text.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from msgspec import Struct, field

from appliance.web.quiz_text import Text, all_of, attribute, beside, first_of, flat, name_of, read_text
from content_sync.errors import FormatError, NotFoundError

MAX_XML, MAX_QUIZ = 1 << 20, 4 << 20
MAX_ITEMS, MAX_OPTIONS = 200, 40
#: Where the answer is written in: brackets with nothing between.
_BRACKETS = re.compile(r"(（[ \u3000\u2003]*）|\([ \u3000\u2003]{2,}\))")
_TRUE = {"对", "正确", "√", "✓", "是", "true", "t", "right", "yes"}
_FALSE = {"错", "错误", "×", "✗", "否", "false", "f", "wrong", "no", "不对"}
_CHOICE, _ORDER, _MATCH = "qti-choice-interaction", "qti-order-interaction", "qti-match-interaction"
_GAPS = ("qti-text-entry-interaction", "qti-inline-choice-interaction")
_BESIDE = ("qti-rubric-block", "qti-feedback-block", "qti-feedback-inline", "qti-modal-feedback")


class Option(Struct):
    """One answer to choose; `right` in the solution. `letter` is A, B, C…"""

    letter: str
    text: Text
    right: bool


class Pair(Struct):
    """What stands at the left of a match, the letters that belong to it, and how many may."""

    text: Text
    letters: str
    most: int = 1


class Item(Struct):
    """One question. `kind`: `choice`, `judge` (true or false), `multiple`, `fill`, `order`, `match`, `open`,
    or `broken` (its file can't be read). `answer` is the solution in words.
    """

    kind: str
    stem: Text
    options: list[Option] = field(default_factory=list)
    answer: str = ""
    why: Text = field(default_factory=Text)
    pairs: list[Pair] = field(default_factory=list)
    #: fill: the solution of each gap by its identifier; order: the letters in the right order
    gaps: dict[str, str] = field(default_factory=dict)
    order: str = ""


class Quiz(Struct):
    """A quiz: its title and its questions in order."""

    title: str
    items: list[Item]


def letter(number: int) -> str:
    """A, B, C… and a… beyond: one character for each of MAX_OPTIONS."""
    return chr(ord("A") + number) if number < 26 else chr(ord("a") + number - 26)


def _parse(data: bytes) -> Element:
    if len(data) > MAX_XML:
        raise FormatError("a file of the quiz is larger than 1 MiB")
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise FormatError(f"a file of the quiz is not readable: {type(error).__name__}") from None
    return root


def _why(root: Element, base: str) -> Text:
    """The explanation: modal or block feedback, or a rubric for the scorer or tutor."""
    for element in all_of(root, "qti-modal-feedback", "qti-feedback-block"):
        found = read_text(element, base)
        if found:
            return found
    for element in all_of(root, "qti-rubric-block"):
        if set(attribute(element, "view").split()) & {"scorer", "tutor"}:
            return read_text(element, base)
    return Text()


def _solutions(root: Element) -> dict[str, list[str]]:
    """Correct responses by identifier; where none is stated, what its mapping values most."""
    right: dict[str, list[str]] = {}
    for declaration in all_of(root, "qti-response-declaration"):
        correct = first_of(declaration, "qti-correct-response")  # not its mapping, which holds values too
        if correct is not None:
            values = [(value.text or "").strip() for value in all_of(correct, "qti-value")]
        else:
            entries = [
                (float(worth), attribute(entry, "map-key"))
                for entry in all_of(declaration, "qti-map-entry")
                if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", worth := attribute(entry, "mapped-value"))
            ]
            values = [max(entries)[1]] if entries else []
        right[attribute(declaration, "identifier")] = values
    return right


def _item(root: Element, base: str) -> Item:
    if name_of(root) != "qti-assessment-item":
        raise FormatError("an item of the quiz is not an item")
    body = first_of(root, "qti-item-body")
    if body is None:
        raise FormatError("an item of the quiz has no text")
    right, why = _solutions(root), _why(root, base)
    asked = [element for element in body.iter() if name_of(element).endswith("-interaction")]
    if all(name_of(element) in _GAPS for element in asked):
        return _fill(body, asked, right, base, why)
    kind = name_of(asked[0]) if len(asked) == 1 else ""
    solution = right.get(attribute(asked[0], "response-identifier"), [])
    stem = read_text(body, base, (*_BESIDE, kind)) if kind else Text()
    prompt = first_of(asked[0], "qti-prompt")
    if prompt is not None:
        stem.pieces = [*stem.pieces, *([("break", "")] if stem else []), *read_text(prompt, base).pieces]
    if kind == _MATCH and len(sides := all_of(asked[0], "qti-simple-match-set")) == 2:
        return _match(sides, stem, solution, base, why)
    choices = all_of(asked[0], "qti-simple-choice") if kind in (_CHOICE, _ORDER) else []
    if not choices:
        return _open(body, asked, right, base, why)
    if len(choices) > MAX_OPTIONS:
        raise FormatError(f"a question has more than {MAX_OPTIONS} answers to choose from")
    named = {attribute(choice, "identifier"): read_text(choice, base, _BESIDE) for choice in choices}
    letters = {key: letter(n) for n, key in enumerate(named)}
    if kind == _ORDER:
        options = [Option(letters[key], text, False) for key, text in named.items()]
        order = "".join(letters[key] for key in dict.fromkeys(solution) if key in letters)
        return Item("order", stem, options, " → ".join(order), why, order=order)
    options = [Option(letters[key], text, key in solution) for key, text in named.items()]
    most = attribute(asked[0], "max-choices")
    _open_brackets(stem)
    if len(solution) > 1 or most not in ("1", ""):
        return Item("multiple", stem, options, "".join(o.letter for o in options if o.right), why)
    words = [option.text.plain.casefold().rstrip("。.") for option in options]
    if len(words) == 2 and (
        words[0] in _TRUE and words[1] in _FALSE or words[0] in _FALSE and words[1] in _TRUE
    ):
        answer = "".join(option.text.plain for option in options if option.right)
        return Item("judge", stem, options, answer, why)
    return Item("choice", stem, options, "".join(o.letter for o in options if o.right), why)


def _fill(body: Element, asked: list[Element], right: dict[str, list[str]], base: str, why: Text) -> Item:
    stem = read_text(body, base, _BESIDE)
    _gaps_into_brackets(stem)
    gaps = {}
    for element in asked:
        identifier = attribute(element, "response-identifier")
        texts = {attribute(c, "identifier"): flat(c) for c in all_of(element, "qti-inline-choice")}
        gaps[identifier] = " / ".join(texts.get(value, value) for value in right.get(identifier, []))
    if not asked:
        return Item("open", stem, why=why)
    return Item("fill", stem, [], "，".join(filter(None, gaps.values())), why, gaps=gaps)


def _open(body: Element, asked: list[Element], right: dict[str, list[str]], base: str, why: Text) -> Item:
    """An open question: all its text, and its solution with the words of what it names."""
    texts = {i: flat(c) for c in body.iter() if (i := attribute(c, "identifier"))}
    values = [v for element in asked for v in right.get(attribute(element, "response-identifier"), [])]
    answer = "；".join(
        texts[v] if v in texts else " - ".join(texts.get(part, part) for part in v.split()) for v in values
    )
    return Item("open", read_text(body, base, _BESIDE), answer=answer, why=why)


def _open_brackets(stem: Text) -> None:
    """Make each empty pair of brackets a place for the answer."""
    stem.pieces = [
        ("blank", "") if kind == "text" and _BRACKETS.fullmatch(part) else (kind, part)
        for kind, value in stem.pieces
        for part in (_BRACKETS.split(value) if kind == "text" else [value])
        if part or kind != "text"
    ]


def _gaps_into_brackets(stem: Text) -> None:
    """A sentence with empty brackets, and below it as many gaps, each on a line of its own: the brackets are
    the gaps."""
    made = Text(list(stem.pieces))
    _open_brackets(made)
    end = max((n for n, (kind, _) in enumerate(made.pieces) if kind == "blank"), default=-1) + 1
    said, below = made.pieces[:end], made.pieces[end:]
    lines = [list(its) for _, its in itertools.groupby(below, lambda piece: piece[0] == "break")]
    gaps = [line[0] for n, line in enumerate(lines) if n and line[0][0] == "gap" and len(line) == 1]
    blanks = sum(kind == "blank" for kind, _ in said)
    if not blanks or not blanks == len(gaps) == sum(kind == "gap" for kind, _ in stem.pieces):
        return
    rest = [piece for n, line in enumerate(lines) if n == 0 or line[0] not in gaps for piece in line]
    while rest and rest[-1][0] == "break":
        rest.pop()
    of = iter(gaps)
    stem.pieces = [next(of) if kind == "blank" else (kind, value) for kind, value in said] + rest


def _match(sides: list[Element], stem: Text, solution: list[str], base: str, why: Text) -> Item:
    left, right = (
        {attribute(c, "identifier"): c for c in all_of(s, "qti-simple-associable-choice")} for s in sides
    )
    if max(len(left), len(right)) > MAX_OPTIONS:
        raise FormatError(f"a question has more than {MAX_OPTIONS} things to match")
    letters = {key: letter(n) for n, key in enumerate(right)}
    belongs: dict[str, str] = {}
    for pair in solution:
        a, _, b = pair.partition(" ")
        if a in left and b in letters:
            belongs[a] = belongs.get(a, "") + letters[b]
    pairs = [
        Pair(read_text(c, base), belongs.get(key, ""), 1 if attribute(c, "match-max") == "1" else MAX_OPTIONS)
        for key, c in left.items()
    ]
    options = [Option(letters[key], read_text(c, base), False) for key, c in right.items()]
    answer = "  ".join(f"{n}-{pair.letters}" for n, pair in enumerate(pairs, 1) if pair.letters)
    return Item("match", stem, options, answer, why, pairs)


def _from_manifest(root: Element, base: str) -> tuple[list[str], bool]:
    """Paths of a content package's test (True) or else of its items (False)."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for resource in all_of(root, "resource"):
        kind = (resource.get("type") or "").lower()
        if kind.startswith(("imsqti_test", "imsqti_assessment", "imsqti_item")):
            found[not kind.startswith("imsqti_item")].append(beside(base, resource.get("href") or ""))
    if found[True]:
        return found[True][:1], True
    return found[False], False


def read_quiz(main: str, read: Callable[[str], bytes]) -> Quiz:
    """The quiz whose test, item or manifest is at path `main`; `read(path)` gives a file of the resource.

    An item that can't be read becomes a `broken` one. Raises FormatError and what `read` raises: when the
    test itself or every item can't be read.
    """
    spent = 0

    def load(path: str) -> Element:
        nonlocal spent
        data = read(path)
        spent += len(data)
        if spent > MAX_QUIZ:
            raise FormatError("the quiz is larger than 4 MiB")
        return _parse(data)

    root = load(main)
    base = posixpath.dirname(main)
    paths: list[str] | None = None
    if name_of(root) == "manifest":
        paths, is_test = _from_manifest(root, base)
        if is_test:
            base = posixpath.dirname(paths[0])
            root, paths = load(paths[0]), None
    title = attribute(root, "title").strip()[:200]
    if name_of(root) == "qti-assessment-item":
        return Quiz(title, [_item(root, base)])
    if paths is None:
        if name_of(root) != "qti-assessment-test":
            raise FormatError("this is not a QTI test")
        if all_of(root, "qti-assessment-section-ref"):
            raise FormatError("the test keeps its sections in files of their own")
        paths = [beside(base, attribute(ref, "href")) for ref in all_of(root, "qti-assessment-item-ref")]
    if len(paths) > MAX_ITEMS:
        raise FormatError(f"the quiz holds more than {MAX_ITEMS} questions")
    items, failure = [], FormatError("the quiz holds no question")
    for path in paths:
        try:
            items.append(_item(load(path), posixpath.dirname(path)))
        except (FormatError, NotFoundError) as error:
            items.append(Item("broken", Text()))
            failure = error if isinstance(error, FormatError) else FormatError(error.what)
    if all(item.kind == "broken" for item in items):
        raise failure
    return Quiz(title, items)
