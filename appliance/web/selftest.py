"""The self-test of a training: what was tapped in its quizzes, counted by the browser until the class sheet.

One entry a quiz, in a cookie: the tap of who is trained, lesson and resource, and as hexadecimal numbers
which questions were tried and which of them solved at the first try.
"""

from __future__ import annotations

import re

from flask import request
from werkzeug.wrappers import Response

COOKIE = "selftest"
_MOST = 4
_DAY = 86_400
_ENTRY = re.compile(r"([0-9a-f]{16})-([0-9a-f]{1,64})-([0-9a-f]{1,64})-([A-Za-z0-9._-]{1,160})")
#: Names in a cookie: those of lessons and resources are made of these.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,160}")


def _entries() -> list[tuple[str, int, int, str]]:
    """(tap, tried, solved, quiz), the newest last."""
    found = (_ENTRY.fullmatch(part) for part in request.cookies.get(COOKIE, "")[:2000].split("~"))
    return [(one[1], int(one[2], 16), int(one[3], 16), one[4]) for one in found if one]


def answered(response: Response, tap: str, quiz: str, number: int, right: bool) -> None:
    """Question `number` of a quiz was answered, or its answer looked up; only the first time counts."""
    if not _NAME.fullmatch(quiz):
        return
    known = _entries()
    tried, solved = next((one[1:3] for one in known if (one[0], one[3]) == (tap, quiz)), (0, 0))
    if tried >> number & 1:
        return
    rest = [one for one in known if (one[0], one[3]) != (tap, quiz)]
    rest.append((tap, tried | 1 << number, solved | right << number, quiz))
    text = "~".join(f"{tap}-{tried:x}-{solved:x}-{quiz}" for tap, tried, solved, quiz in rest[-_MOST:])
    response.set_cookie(COOKIE, text, max_age=_DAY, httponly=True, samesite="Lax")


def figures(tap: str) -> tuple[int, int]:
    """How many questions were tried under a tap, and how many of them solved."""
    mine = [one for one in _entries() if one[0] == tap]
    return sum(one[1].bit_count() for one in mine), sum((one[1] & one[2]).bit_count() for one in mine)
