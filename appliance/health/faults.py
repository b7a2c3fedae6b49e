"""Fault codes: a number for each error code, short enough to be read over the telephone.

Three digits that never change their meaning and a check digit (Damm, 2004: every single wrong digit and every
swap of neighbours shows). Written 101-0; digits alone, since letters are heard wrongly.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

#: The number of every code of content_sync/errors.py; 1 network, 2 disks, 3 power, heat and time, 4 the
#: box and its county, 5 what a person gave it, 6 what came from outside, 7 writing cards. Never reuse one.
NUMBERS: dict[str, int] = {
    "E-LINK": 101, "E-DNS": 102, "E-NETWORK": 103, "E-SILENT": 104, "E-DROP": 105, "E-BUDGET": 106,
    "E-TOO-MANY": 107,
    "E-DISK-FAILING": 201, "E-READ-ONLY": 202, "E-DISK-FULL": 203, "E-STORAGE": 204, "E-ROT": 205,
    "E-DAMAGED": 206,
    "E-POWER": 301, "E-HEAT": 302, "E-BOX-CLOCK": 303, "E-CLOCK": 304,
    "E-UNENROLLED": 401, "E-SETUP": 402, "E-ENROL": 403, "E-TOKEN": 404, "E-SEQ-CONFLICT": 405,
    "E-FLAPPING": 406, "E-BUSY": 407, "E-TOOL": 408, "E-NEWER-DATA": 409, "E-INTERNAL": 410,
    "E-UPDATE": 411, "E-OTHER-SCHOOL": 412, "E-SPARE-CLAIM": 413,
    "E-CONFIG": 501, "E-SETTING": 502, "E-USAGE": 503, "E-PIN": 504, "E-NOT-FOUND": 505, "E-SOURCE": 506,
    "E-MEDIA": 507, "E-LOCAL": 508,
    "E-FORMAT": 601, "E-TOO-BIG": 602, "E-LENGTH": 603, "E-PATH": 604, "E-TORRENT": 605, "E-LEAVES": 606,
    "E-LESSON": 607, "E-TRUST": 608, "E-SIGNATURE": 609, "E-ROLLBACK": 610, "E-TARGET": 611,
    "E-ENVELOPE": 612, "E-ARCHIVE": 613,
    "E-CARD": 701, "E-CARD-LOCKED": 702, "E-CARD-BUSY": 703, "E-CARD-SMALL": 704, "E-CARD-WRONG": 705,
    "E-CARD-GONE": 706,
}  # fmt: skip
#: What the root helper (helper.py) does about one at a person's word, safe to do at any time.
FIXES = {"E-READ-ONLY": "reboot", "E-FLAPPING": "restart", "E-BOX-CLOCK": "set-clock"}
#: Said when all is well, and of a code that has no number.
WELL, OTHER = 0, 999
#: Codes that end lessons or are about to come first; then those of the machine, then the rest.
_FIRST = ("E-READ-ONLY", "E-STORAGE", "E-DISK-FAILING", "E-POWER", "E-FLAPPING", "E-UNENROLLED",
          "E-NEWER-DATA", "E-DISK-FULL", "E-HEAT", "E-LINK", "E-DNS", "E-CONFIG")  # fmt: skip
_DAMM = (
    "0317598642", "7092154863", "4206871359", "1750983426", "6123045978",
    "3674209581", "5869720134", "8945362017", "9438617205", "2581436790",
)  # fmt: skip


def spoken(number: int) -> str:
    """A number as it stands on pages: with its check digit."""
    digits, state = f"{number:03d}", 0
    for digit in digits:
        state = int(_DAMM[state][int(digit)])
    return f"{digits}-{state}"


def fault_of(code: str) -> str:
    """The fault code of an error code."""
    return spoken(NUMBERS.get(code, OTHER))


def heard(text: str) -> str | None:
    """The error code of a fault code as somebody wrote it down; None: misheard, or none of ours."""
    digits = "".join(c for c in unicodedata.normalize("NFKC", text) if c in "0123456789")
    if len(digits) != 4:
        return None
    codes = [code for code, number in NUMBERS.items() if spoken(number).replace("-", "") == digits]
    return codes[0] if codes else None


def urgency(code: str) -> int:
    """For sorting: what a technician has to know first."""
    return _FIRST.index(code) if code in _FIRST else len(_FIRST)


def fault_codes(codes: Iterable[str]) -> list[str]:
    """The fault codes of error codes, each once, what a technician has to know first before the others."""
    return list(dict.fromkeys(map(fault_of, sorted(codes, key=urgency))))
