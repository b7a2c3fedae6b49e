"""What a screen at HDMI shows: agetty's issue (agetty(8), /run/issue.d), few lines, for a telephone call.

A kernel's console has no Chinese: names stand in pinyin, everything else is a number or an address. Written
at each start, and again by the doctor when the faults have changed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from appliance.config import BoxPaths, load_settings, read_enrolment
from appliance.health.faults import WELL, fault_codes, fault_of, spoken, urgency
from content_sync.adapters.files import storage_errors

ISSUE = Path("issue.d/lessonbox.issue")
#: What the card says of the school of a box that is not enrolled, in firstboot's folder of /run.
SCHOOL = "school"
_OWN = "lessonbox-firstboot"
_WIDTH, _MOST, _LINES = 76, 6, 2


class Trouble(Struct, frozen=True):
    """A problem as a console says it: its code, and what happened, in English."""

    code: str
    english: str

    @classmethod
    def of(cls, code: str, message: str) -> Trouble:
        """Of a problem's `中文（what happened）`."""
        return cls(code, message.rpartition("（")[2].removesuffix("）"))


def issue(school: str, host_name: str, enrolled: bool, troubles: Iterable[Trouble]) -> str:
    """The text. ASCII; without backslashes and @, which agetty would replace, but for the address.

    `school`: code and name, as far as they are known; `host_name`: empty for the default.
    """
    listed = sorted(troubles, key=lambda one: urgency(one.code))
    codes = fault_codes(one.code for one in listed)
    line = "=" * _WIDTH
    said = ["", line, "  LESSON BOX   Ke Xiang"]
    if school.strip():
        said += [f"  {pinyin(school)[: _WIDTH - 4]}"]
    said += [line, "", f"  Board, phone:  http://\\4/    or    http://{host_name or 'lesson'}.local/", ""]
    if not enrolled:
        said += ["  Not enrolled:  http://\\4/enrol", ""]
    said += [f"  Fault code:    {'   '.join(codes[:_MOST]) or spoken(WELL)}", ""]
    for one in listed[:_MOST]:
        words = textwrap.wrap(f"{fault_of(one.code)} {one.code}: {_latin(one.english)}", _WIDTH - 6)
        said += [f"      {text}" for text in words[:_LINES]]
    said += ["", "  Help, with a code to scan:  http://\\4/help", line, "", ""]
    return "\n".join(said)


def pinyin(text: str) -> str:
    """Chinese as it is typed: `001 溪口教学点` -> `001 Xi Kou Jiao Xue Dian`."""
    return " ".join(f"{word[:1].upper()}{word[1:]}" for word in _latin(text).split())


def _latin(text: str) -> str:
    if text.isascii():
        return _plain(text)
    from pypinyin import lazy_pinyin  # its tables are large, and few starts need them

    words = [word if word.isascii() else "" for word in lazy_pinyin(text, errors=lambda other: f" {other} ")]
    return _plain(" ".join(" ".join(words).split())).replace(" :", ":")


def _plain(text: str) -> str:
    return "".join(letter if " " <= letter <= "~" and letter not in "\\@" else "?" for letter in text)


def tell(run: Path, text: str) -> bool:
    """Write it below `run` (/run) where it differs; whether it did. Raises StorageError.

    In place: the doctor, who may not make files there, changes it too.
    """
    path = run / ISSUE
    with storage_errors(path.name):
        path.parent.mkdir(exist_ok=True)
        if path.exists() and path.read_bytes() == text.encode():
            return False
        path.write_text(text, "ascii")
    return True


def troubles_of(problems: Iterable[Mapping[str, Any]]) -> list[Trouble]:
    """Of a status's problems."""
    return [Trouble.of(str(one["code"]), str(one["message"])) for one in problems]


def refresh(data: Path, run: Path) -> bool:
    """The text anew with what the box knows of itself now; whether it changed. Where no start wrote one
    (`install.sh` on a machine of somebody's own) none is made. Raises StorageError, SetupError."""
    from appliance.status import read_status  # the databases' readers, which a start of the machine needs not

    if not (run / ISSUE).exists() or not (run / ISSUE).stat().st_size:
        return False
    status, settings, paths = read_status(data), load_settings(data), BoxPaths(data)
    enrolled = paths.enrolment.exists()
    if enrolled:
        found = read_enrolment(paths)
        school = f"{found.school_code} {found.school_name}"
    else:
        kept = run / _OWN / SCHOOL
        school = kept.read_text("utf-8") if kept.exists() else ""
    return tell(run, issue(school, settings.text("host_name"), enrolled, troubles_of(status["problems"])))
