"""How things are said and drawn: subjects and their colours, kinds, grades, titles, sizes, units."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from appliance.web.i18n import N_, gettext
from content_sync.formats.lesson import Lesson, Resource

#: subject -> (colour and ruling of look.md, short name)
_SUBJECTS = {
    N_("语文"): ("yw", N_("语文")),
    N_("数学"): ("sx", N_("数学")),
    N_("英语"): ("yy", N_("英语")),
    N_("科学"): ("kx", N_("科学")),
    N_("道德与法治"): ("df", N_("道法")),
    N_("音乐"): ("yl", N_("音乐")),
    N_("美术"): ("ms", N_("美术")),
    N_("体育"): ("ty", N_("体育")),
    N_("体育与健康"): ("ty", N_("体育")),
    N_("物理"): ("sx", N_("物理")),
    N_("化学"): ("kx", N_("化学")),
    N_("生物"): ("kx", N_("生物")),
    N_("历史"): ("df", N_("历史")),
    N_("地理"): ("ms", N_("地理")),
    N_("信息科技"): ("yy", N_("信息")),
    N_("劳动"): ("ty", N_("劳动")),
}
_CODES = ("df", "ms", "ty", "yl")
#: kind -> (word on pages, icon)
KIND_WORDS = {
    "video": (N_("视频"), "play"),
    "recorded": (N_("课堂实录"), "play"),
    "courseware": (N_("课件"), "pages"),
    "interactive": (N_("互动课件"), "hand"),
    "audio": (N_("朗读"), "audio"),
    "picture": (N_("图片"), "board"),
    "quiz": (N_("练习"), "quiz"),
    "guide": (N_("导学案"), "doc"),
    "plan": (N_("教案"), "doc"),
    "other": (N_("资料"), "doc"),
}
STEP_WORDS = {"look": N_("看"), "read": N_("读"), "write": N_("写"), "practise": N_("练"), "teach": N_("教")}
#: Words of the library that everybody uses: translated by `known`.
KNOWN = (
    N_("小学"), N_("初中"), N_("高中"), N_("上册"), N_("下册"), N_("全一册"), N_("统编版"), N_("人教版"),
    N_("一年级"), N_("二年级"), N_("三年级"), N_("四年级"), N_("五年级"), N_("六年级"),
    N_("七年级"), N_("八年级"), N_("九年级"), N_("高一"), N_("高二"), N_("高三"),
    N_("不分年级"),
)  # fmt: skip
_GRADES = "一二三四五六七八九"
_UNIT = re.compile(
    r"(第[一二三四五六七八九十百\d]+(?:单元|章|课|组)|Unit\s+\d+|Module\s+\d+)\s*[:：]?\s*(.*)", re.IGNORECASE
)
_HAN = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]+")


@dataclass(frozen=True)
class Subject:
    """A subject as pages show it: its colour code (`s-`, `c-`, `rule-`), its name and a shorter one."""

    code: str
    name: str
    short: str


def subject(name: str) -> Subject:
    """The look of a subject; one that look.md doesn't name gets a colour of its own, always the same."""
    code, short = _SUBJECTS.get(name, (_CODES[zlib.crc32(name.encode()) % len(_CODES)], name[:2]))
    return Subject(code, gettext(name), gettext(short))


def known(text: str) -> str:
    """A stage, grade, volume or edition in the page's language, if it is one that everybody uses."""
    return gettext(text) if text in KNOWN else text


def grade_order(grade: str) -> tuple[int, str]:
    """Sort key: 一年级 before 十年级, what is no grade last."""
    if grade and grade[0] in _GRADES:
        return _GRADES.index(grade[0]) + 1, grade
    return (
        (10 + "一二三".index(grade[1]), grade)
        if grade[:1] == "高" and grade[1:2] in "一二三" and grade[1:]
        else (99, grade)
    )


def unit_parts(unit: str) -> tuple[str, str]:
    """`第六单元 祖国河山` -> (`第六单元`, `祖国河山`); a unit without a number has an empty first part."""
    match = _UNIT.fullmatch(unit.strip())
    return (match[1], match[2]) if match else ("", unit)


def _width(title: str) -> float:
    return sum(1.0 if ord(c) > 0x2E7F else 0.52 for c in title)


def title_class(title: str, code: str) -> str:
    """Classes of a cover's title: how large it may be, and on which ruling (look.md, ruled title)."""
    width = _width(title)
    latin = " en" if title.isascii() else ""
    if width > 7.4:
        return "long" + latin
    if code == "yw" and _HAN.fullmatch(title) and len(title) <= 4:
        return f"rule-{code} tian"
    return f"rule-{code}{' wide' if width > 5.6 else ''}{' lines' if code == 'df' else ''}{latin}"


def plain_title(resource: Resource, lesson: Lesson) -> bool:
    """Whether a resource's title says nothing that the lesson and its other resources don't: its kind says
    more.
    """
    alike = sum(other.title == resource.title for other in lesson.resources)
    return alike > 1 or resource.title == lesson.title


def minutes(seconds: int | None) -> str:
    """A playing time for people, `` when it is not known."""
    if not seconds:
        return ""
    if seconds < 60:
        return gettext("%(n)s秒") % {"n": seconds}
    return gettext("%(n)s分钟") % {"n": max(1, round(seconds / 60))}


def size(number: int) -> str:
    """Bytes for people: `1.5 MB`."""
    value, units = float(number), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError
