"""What a board's old browser can't do: Chrome 49 and IE 11.

Reads scripts (esprima) and style sheets (tinycss2) and names what one of the two lacks, with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import esprima
import tinycss2

#: Syntax that is not ECMAScript 5.
ES6 = {
    "ArrowFunctionExpression", "ClassDeclaration", "ClassExpression", "TemplateLiteral", "SpreadElement",
    "RestElement", "ForOfStatement", "AssignmentPattern", "ObjectPattern", "ArrayPattern", "YieldExpression",
    "AwaitExpression", "ImportDeclaration", "ExportNamedDeclaration", "Super", "MetaProperty",
    "TaggedTemplateExpression",
}  # fmt: skip
#: Names that IE 11 (or Chrome 49) does not know; allowed where the script asks for them first.
GLOBALS = {
    "Promise", "fetch", "Symbol", "Proxy", "Reflect", "WeakSet", "URLSearchParams", "URL", "AbortController",
    "IntersectionObserver", "ResizeObserver", "requestIdleCallback", "queueMicrotask", "structuredClone",
    "globalThis", "BigInt", "PointerEvent", "AudioContext", "BroadcastChannel", "TextDecoder", "TextEncoder",
    "EventSource",
}  # fmt: skip
#: Methods that the two lack, whatever they are called on.
METHODS = {
    "closest", "includes", "startsWith", "endsWith", "padStart", "padEnd", "repeat", "find", "findIndex",
    "flat",
    "flatMap", "at", "replaceAll", "matchAll", "prepend", "replaceWith", "before", "after", "replaceChildren",
    "toggleAttribute", "append", "matches", "finally", "sendBeacon", "requestFullscreen", "getAnimations",
    "animate", "composedPath", "trimStart", "trimEnd", "codePointAt", "normalize", "isConnected", "scrollTo",
    "setPointerCapture", "decode", "share", "vibrate",
}  # fmt: skip
#: `Object.assign` and the like.
STATICS = {
    "Object": {"assign", "values", "entries", "fromEntries", "is", "getOwnPropertySymbols"},
    "Array": {"from", "of"},
    "Number": {"isInteger", "isFinite", "isNaN", "parseFloat", "parseInt", "isSafeInteger", "EPSILON"},
    "Math": {"trunc", "sign", "log2", "log10", "hypot", "cbrt", "fround"},
    "String": {"raw", "fromCodePoint"},
    "CSS": {"supports", "escape"},
}
#: Constructors that IE 11 has as objects only.
CONSTRUCTED = {"Event", "CustomEvent", "MouseEvent", "KeyboardEvent", "File"}
#: Things on which a method of METHODS is another one that all have.
_OWN = {"append": ("form", "data", "body", "sent", "FormData"), "find": ("window",)}


def _nodes(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item, above)
    elif hasattr(value, "type") and not isinstance(value, str):
        yield value, above
        for name, item in vars(value).items():
            if isinstance(item, list) or hasattr(item, "type"):
                yield from _nodes(item, (*above, (value, name)))


def _name(node: Any) -> str:
    if node.type == "Identifier":
        return str(node.name)
    if node.type == "MemberExpression":
        return str(node.property.name or node.property.value) if node.property else ""
    return str(node.value) if node.type == "Literal" else ""


def _asked(tree: Any) -> set[str]:
    """Names that the script asks for before it uses them: `if (a.b)`, `a.b &&`, `typeof b`, `'b' in a`."""
    found = set()
    for node, above in _nodes(tree):
        for parent, at in above[-3:]:
            if (at == "test" or at == "left" and parent.type == "LogicalExpression") or (
                parent.type == "UnaryExpression" and parent.operator in ("typeof", "!")
            ):
                found.add(_name(node))
        if node.type in ("BinaryExpression", "LogicalExpression") and node.operator in ("in", "||"):
            found |= {_name(node.left), _name(node.right)}
    return found


def script(text: str) -> list[str]:
    """What the two lack of a script."""
    tree = esprima.parseScript(text, {"loc": True})
    asked = _asked(tree)
    found = []
    for node, above in _nodes(tree):
        parent, at = above[-1] if above else (None, "")
        wrong = ""
        if node.type in ES6 or getattr(node, "kind", None) in ("let", "const"):
            wrong = getattr(node, "kind", None) or node.type
        elif node.type == "Property" and (node.shorthand or node.method or node.computed):
            wrong = "a short property"
        elif node.type == "Literal" and getattr(node, "regex", None):
            if set(node.regex.flags) - set("gim") or "(?<" in node.regex.pattern:
                wrong = f"/{node.regex.pattern}/{node.regex.flags}"
        elif node.type == "Identifier" and node.name in GLOBALS - asked:
            if parent is None or not (parent.type == "MemberExpression" and at == "property") and at != "key":
                wrong = node.name
        elif node.type == "NewExpression" and _name(node.callee) in CONSTRUCTED - asked:
            wrong = f"new {_name(node.callee)}"
        elif node.type == "CallExpression":
            wrong = _call(node, asked)
        if wrong:
            found.append(f"{node.loc.start.line}: {wrong}")
    return found


def _call(node: Any, asked: set[str]) -> str:
    callee = node.callee
    if callee.type != "MemberExpression":
        return ""
    name, of = (
        _name(callee),
        _name(callee.object) if callee.object.type in ("Identifier", "MemberExpression") else "",
    )
    if name in STATICS.get(of, ()) and name not in asked:
        return f"{of}.{name}"
    if name in METHODS - asked and of not in _OWN.get(name, ()):
        return f".{name}()"
    if of == "classList" and len(node.arguments) > 1:
        return "classList with two arguments"
    if (
        name == "forEach"
        and callee.object.type == "CallExpression"
        and "querySelectorAll" in _name(callee.object.callee)
    ):
        return "NodeList.forEach"
    options = node.arguments[2:] if name == "addEventListener" else node.arguments if "scroll" in name else []
    if any(argument.type == "ObjectExpression" for argument in options):
        return f"{name} with options"
    return ".remove() of an element" if name == "remove" and not node.arguments and of != "classList" else ""


_PROPERTIES = re.compile(
    r"--|(row-|column-)?gap$|grid|inset|aspect-ratio|object-(fit|position)|place-|.*-(inline|block)(-|$)|"
    r"backdrop-filter|clip-path|filter$|mix-blend-mode|contain$|isolation|scroll-|overscroll-|mask|accent-color|"
    r"text-underline-offset|content-visibility|line-clamp|translate$|rotate$|scale$|shape-|font-size-adjust"
)
#: Properties that need another name before them in the same rule.
_PREFIXED = {
    "user-select": "-ms-user-select", "touch-action": "-ms-touch-action", "appearance": "-webkit-appearance",
    "overflow-wrap": "word-wrap", "hyphens": "-ms-hyphens",
}  # fmt: skip
_VALUES = re.compile(
    r"\b(sticky|flow-root|contents|unset|revert|fit-content|min-content|max-content|stretch-to|break-spaces)\b|"
    r"\b(var|min|max|clamp|env|color-mix|conic-gradient)\(|\d(d|s|l)v[hw]\b|\dvmax\b|\dlh\b|"
    r"#([0-9a-f]{4}|[0-9a-f]{8})\b|\brgba?\([^,)]*\)|\bhsla?\([^,)]*\)"
)
_ALLOWED_VALUES = {("flex", "max-content"), ("align-items", "contents")}
_SELECTORS = re.compile(
    r":(is|where|has|dir|lang)\(|:focus-(visible|within)|:any-link|:not\([^)]*,|:placeholder-shown| i\]|"
    r"::marker"
)
#: A selector that another engine does not know makes it drop the whole rule: it must stand alone.
_ALONE = re.compile(r":-(webkit|moz|ms)-|::-|:fullscreen|::placeholder|::selection|::backdrop")
_MEDIA = re.compile(
    r"print|screen|all|and|\(\s*(min|max)-(width|height)\s*:[^)]*\)|\(\s*orientation\s*:[^)]*\)|[\s,]"
)


def sheet(text: str) -> list[str]:
    """What the two lack of a style sheet."""
    return list(_rules(tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True)))


def _rules(rules: Any) -> Iterator[str]:
    for rule in rules:
        line = rule.source_line
        if rule.type == "error":
            yield f"{line}: {rule.message}"
        elif rule.type == "at-rule":
            prelude = tinycss2.serialize(rule.prelude)
            if rule.at_keyword == "media":
                if _MEDIA.sub("", prelude) and "prefers-" not in prelude:
                    yield f"{line}: @media {prelude.strip()}"
                yield from _rules(tinycss2.parse_rule_list(rule.content, True, True))
            elif rule.at_keyword not in ("page", "font-face", "keyframes", "-webkit-keyframes", "charset"):
                yield f"{line}: @{rule.at_keyword}"
        else:
            yield from _rule(rule)


def _rule(rule: Any) -> Iterator[str]:
    selector = tinycss2.serialize(rule.prelude).strip()
    if _SELECTORS.search(selector):
        yield f"{rule.source_line}: {selector}"
    if "," in selector and _ALONE.search(selector):
        yield f"{rule.source_line}: {selector} must stand alone"
    before: dict[str, str] = {}
    declared = tinycss2.parse_declaration_list(rule.content, True, True)
    names = {one.lower_name for one in declared if one.type == "declaration"}
    for one in declared:
        if one.type != "declaration":
            yield f"{one.source_line}: {getattr(one, 'message', one.type)} in {selector}"
            continue
        value = tinycss2.serialize(one.value).strip()
        wrong = _declaration(one.lower_name, re.sub(r'url\("[^"]*"\)', "", value).lower(), names)
        if wrong and not (one.lower_name in before and "flex" not in one.lower_name):
            yield f"{one.source_line}: {wrong} in {selector}"
        if not wrong:
            before[one.lower_name] = value
    if (
        before.get("flex-direction") == "column"
        and "min-height" in before
        and (before.get("justify-content") == "center" or before.get("align-items") == "center")
    ):
        yield f"{rule.source_line}: IE 11 centres nothing in a column with min-height: {selector}"


def _declaration(name: str, value: str, names: set[str]) -> str:
    said = f"{name}:{value}"
    if name.startswith(("-webkit-", "-ms-", "-moz-")):
        return ""
    if _PROPERTIES.match(name):
        return said
    if name in _PREFIXED and _PREFIXED[name] not in names:
        return f"{said} without {_PREFIXED[name]} beside it"
    if name == "display" and "grid" in value:
        return said
    if name == "flex" and re.fullmatch(r"\d+ \d+ (0|calc\(.*\))", value):
        return f"{said} (IE 11 wants a unit, and no calc)"
    if name == "text-align" and value in ("start", "end") or name.startswith("overflow") and value == "clip":
        return said
    if name == "word-break" and value == "break-word":
        return said
    return said if _VALUES.search(value) and (name, value) not in _ALLOWED_VALUES else ""
