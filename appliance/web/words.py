"""How things are said and drawn: subjects and their colours, kinds, grades, titles, sizes, units."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

from msgspec import Struct

from appliance.web.i18n import N_, gettext, language, right_to_left
from content_sync.formats.lesson import Lesson, Resource
from content_sync.formats.shelf import LOCAL, shelf_of
from content_sync.ports import CollectionRow

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
SUBJECT_NAMES = tuple(_SUBJECTS)
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
#: The languages of schools here, by the first part of their tag; another one is shown by its tag.
LANGUAGE_WORDS = {
    "zh": N_("中文"), "en": N_("英语"), "bo": N_("藏语"), "ug": N_("维吾尔语"), "mn": N_("蒙古语"),
    "ii": N_("彝语"), "za": N_("壮语"), "kk": N_("哈萨克语"), "ko": N_("朝鲜语"), "ky": N_("柯尔克孜语"),
    "dai": N_("傣语"), "tdd": N_("傣语"), "khb": N_("傣语"), "jiu": N_("景颇语"), "lis": N_("傈僳语"),
    "lhu": N_("拉祜语"), "hmn": N_("苗语"), "yue": N_("粤语"), "fr": N_("法语"), "ja": N_("日语"),
    "ru": N_("俄语"), "de": N_("德语"), "es": N_("西班牙语"),
}  # fmt: skip
_RIGHT_TO_LEFT = ("ug", "ar", "kk-arab", "ky-arab", "fa", "ur")
STEP_WORDS = {"look": N_("看"), "read": N_("读"), "write": N_("写"), "practise": N_("练"), "teach": N_("教")}
OWN_SHELF = N_("本校资料")
#: Words of the library that everybody uses: translated by `known`.
KNOWN = (
    N_("小学"), N_("初中"), N_("高中"), N_("上册"), N_("下册"), N_("全一册"), N_("统编版"), N_("人教版"),
    N_("一年级"), N_("二年级"), N_("三年级"), N_("四年级"), N_("五年级"), N_("六年级"),
    N_("七年级"), N_("八年级"), N_("九年级"), N_("高一"), N_("高二"), N_("高三"),
    N_("不分年级"), N_("不分版本"), N_("专递课堂"), N_("名师课堂"), N_("名校网络课堂"), N_("专题教育"),
    N_("教师培训"), N_("社区教育"), N_("农民实用技术"), N_("党员教育"), OWN_SHELF,
)  # fmt: skip
_GRADES = "一二三四五六七八九"
_UNIT = re.compile(r"(第[一二三四五六七八九十百\d]+(?:单元|章|课|组)|(?i:Unit|Module)\s+\d+)\s*[:：]?\s*(.*)")


class Subject(Struct, frozen=True):
    """A subject as pages show it: its colour code (`s-`, `c-`, `rule-`), its name and a shorter one."""

    code: str
    name: str
    short: str


def subject(name: str) -> Subject:
    """The look of a subject; one that look.md doesn't name gets a colour of its own, always the same."""
    called = gettext(name)
    own = (_CODES[zlib.crc32(name.encode()) % len(_CODES)], name[:2] if called == name else called)
    code, short = _SUBJECTS.get(name, own)
    return Subject(code, called, gettext(short))


def known(text: str) -> str:
    """A stage, grade, volume or edition in the page's language, if it is one that everybody uses."""
    return gettext(text) if text in KNOWN else text


def where(collection: CollectionRow) -> str:
    """Where a collection stands: its grade and volume, else the series of its shelf."""
    if collection.id.startswith(LOCAL):
        return gettext(OWN_SHELF)
    if shelf_of(collection.stage):
        return gettext(collection.subject)
    gap = "" if language() == "zh" else " "
    return gap.join(filter(None, (known(collection.grade), known(collection.volume))))


def called(collection: CollectionRow) -> str:
    """A collection by itself: `语文 三年级上册`, `教师培训 课箱怎么用`, `语文 本校资料`."""
    first = gettext(collection.stage if shelf_of(collection.stage) else collection.subject)
    return " ".join(dict.fromkeys((first, where(collection))))


def tag(collection: CollectionRow) -> Subject:
    """What stands at the end of a line that shows a lesson: its subject, else its shelf."""
    its = subject(collection.subject)
    if collection.id.startswith(LOCAL):
        return Subject(its.code, its.name, gettext(OWN_SHELF))
    return Subject(its.code, its.name, gettext(collection.stage)) if shelf_of(collection.stage) else its


def grade_order(grade: str) -> tuple[int, str]:
    """Sort key: 一年级 before 十年级, what is no grade last."""
    if grade and grade[0] in _GRADES:
        return _GRADES.index(grade[0]) + 1, grade
    return (
        (10 + "一二三".index(grade[1]), grade)
        if grade[:1] == "高" and grade[1:2] in "一二三" and grade[1:]
        else (99, grade)
    )


def number_mark(number: int) -> str:
    """A number on a small button: 六, or 6 where people don't read Chinese."""
    return "一二三四五六七八九十"[number - 1] if 0 < number <= 10 and language() == "zh" else str(number)


def grade_mark(grade: str) -> str:
    """A grade on a small button: 六, 高一."""
    order = grade_order(grade)[0]
    if order > 9:
        return known(grade)[:2] if language() == "zh" else known(grade)
    return number_mark(order)


def unit_parts(unit: str) -> tuple[str, str]:
    """`第六单元 祖国河山` -> (`第六单元`, `祖国河山`); a unit without a number has an empty first part."""
    match = _UNIT.fullmatch(unit.strip())
    return (match[1], match[2]) if match else ("", known(unit))


def _width(title: str) -> float:
    return sum(1.0 if ord(c) > 0x2E7F else 0.52 for c in title)


def _is_han(letter: str) -> bool:
    return "\u3400" <= letter <= "\u9fff" or "\U00020000" <= letter <= "\U0003ffff"


def title_class(title: str, code: str) -> str:
    """Classes of a cover's title: how large it may be, and on which ruling (look.md, ruled title)."""
    width = _width(title)
    latin = " en" if title.isascii() else ""
    if width > 7.4:
        fits = (13, ""), (17, " mid"), (22, " mid more")
        return "long" + next((size for most, size in fits if width <= most), " longer") + latin
    if code == "yw" and 0 < len(title) <= 4 and all(map(_is_han, title)):
        return f"rule-{code} tian"
    return f"rule-{code}{' wide' if width > 5.6 else ''}{' lines' if code == 'df' else ''}{latin}"


def plain_title(resource: Resource, lesson: Lesson) -> bool:
    """Whether a resource's title says nothing that the lesson and its other resources don't: its kind says
    more.
    """
    alike = sum(other.title == resource.title for other in lesson.resources)
    return alike > 1 or resource.title == lesson.title


def language_name(tag: str) -> str:
    """`bo` as people say it: 藏语."""
    word = LANGUAGE_WORDS.get(tag.partition("-")[0].lower())
    return gettext(word) if word else tag[:20]


def other_language(tag: str | None) -> str:
    """The name of a resource's language where it is not that of the page; else ``."""
    spoken = (tag or "zh").partition("-")[0].lower()
    return "" if spoken == language() else language_name(tag or "zh")


def preferred(variants: Sequence[Resource]) -> Resource:
    """Of one resource in several languages that of the page's, else the one that the others stand for."""
    return next((r for r in variants if not other_language(r.language)), variants[0])


def direction(tag: str | None) -> str:
    """`rtl` for a language that is written from the right, else ``."""
    return "rtl" if tag and tag.lower().startswith(_RIGHT_TO_LEFT) else ""


def minutes(seconds: int | None) -> str:
    """A playing time for people, `` when it is not known."""
    if not seconds:
        return ""
    if seconds < 60:
        return gettext("%(n)s秒") % {"n": seconds}
    return gettext("%(n)s分钟") % {"n": max(1, round(seconds / 60))}


def size(number: int) -> str:
    """Bytes for people: `1.5 MB`."""
    mark = "\u200e" if right_to_left() else ""  # the unit stays behind its number
    value, units = float(number), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            return mark + (f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}")
        value /= 1000
    raise AssertionError
