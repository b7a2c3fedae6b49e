"""A style sheet for pages that are written from the right: left and right change places.

Flexible boxes turn by themselves with `dir="rtl"`; what a style sheet says of left and right does not, and
the logical properties that would are too new for a board's browser.
"""

from __future__ import annotations

import re

_SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])")
_FOUR = re.compile(
    r"(?<![a-z-])((?:padding|margin|border-(?:width|color|style)):)"
    r"([^\s;{}]+) ([^\s;{}]+) ([^\s;{}]+) ([^\s;{}]+)(?=[;}]| !)"
)
_ROUND = re.compile(r"(border-radius:)([^\s;{}/]+) ([^\s;{}/]+) ([^\s;{}/]+) ([^\s;{}/]+)(?=[;}])")
_SHADOW = re.compile(r"(box-shadow:)([^;}]+)")
_OFFSET = re.compile(r"(^|,)(\s*(?:inset )?)(-?[\d.]+\w*)(?= )")
#: Declarations; not the selectors before them, nor what stands round them.
_BLOCK = re.compile(r"\{[^{}]*\}")
_HELD = re.compile(r'url\("[^"]*"\)|/\*.*?\*/', re.DOTALL)


def _offset(match: re.Match[str]) -> str:
    x = match[3]
    turned = x if x.strip("-0.") in ("", "rem", "px") else x[1:] if x.startswith("-") else "-" + x
    return match[1] + match[2] + turned


def _block(match: re.Match[str]) -> str:
    turned = _SIDE.sub(lambda m: "right" if m[1] == "left" else "left", match[0])
    turned = _FOUR.sub(r"\1\2 \5 \4 \3", turned)
    turned = _ROUND.sub(r"\1\3 \2 \5 \4", turned)
    return _SHADOW.sub(lambda m: m[1] + _OFFSET.sub(_offset, m[2]), turned)


def mirrored(style: str) -> str:
    """The style sheet turned round. Pictures in it stay as they are."""
    held: list[str] = []

    def keep(match: re.Match[str]) -> str:
        held.append(match[0])
        return f"\0{len(held) - 1}\0"

    turned = _BLOCK.sub(_block, _HELD.sub(keep, style))
    return re.sub("\0(\\d+)\0", lambda m: held[int(m[1])], turned)
