"""When a lesson is expected and why it is not here, in the page's language."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from appliance.web.i18n import N_, gettext, language
from content_sync.errors import all_errors
from content_sync.ports import PlannedRow

#: The sentences of content_sync/core/reason.py, for translation.
REASON_WORDS = {
    "arriving": N_("正在接收"),
    "queued": N_("排队中，前面还有 %(ahead)s 课"),
    "shared": N_("与《%(title)s》共用文件，等它先到齐"),
    "urgent": N_("先让更急的《%(title)s》到，随后继续"),
    "space": N_("空间不足：还需 %(need)s MB，可用 %(free)s MB"),
    "room": N_("正在清理旧课，腾出 %(need)s MB"),
    "evicted": N_("空间不足，已让给要用的课；有空间后自动取回"),
    "one-way": N_("等待接收：卫星、U盘或文件夹里还没有这一课的全部内容"),
    "description": N_("等待课程清单：联网或收到文件后继续"),
    "resting": N_("刚才没有成功，稍后自动再试"),
    "refused": N_("这一课的发布内容有误（%(code)s），请县里重新发布"),
    "left-out": N_("县里设定本机不接收这一课的资料类型"),
}
_REMEDIES = {cls.code: cls("").remedy for cls in all_errors()}
_WEEKDAYS = (N_("周一"), N_("周二"), N_("周三"), N_("周四"), N_("周五"), N_("周六"), N_("周日"))
#: Days ahead that are told by their weekday.
_NEAR = 7


def why(row: PlannedRow | None) -> str:
    """Why it is not here; `` when nothing is known."""
    if row is None or row.code not in REASON_WORDS:
        return ""
    return gettext(REASON_WORDS[row.code]) % row.facts


class Trouble(NamedTuple):
    """A problem as people read it: what to do, and small beside it what happened."""

    words: str
    detail: str
    code: str


def trouble(problem: Mapping[str, Any]) -> Trouble:
    """A problem of the status in the page's language: sync writes `中文句子（what happened）`."""
    words, bracket, detail = str(problem["message"]).partition("（")
    detail = detail.removesuffix("）") if bracket else ""
    if language() != "zh":
        words, detail = _REMEDIES.get(problem["code"], words), detail or words
    return Trouble(words, detail, problem["code"])


def expected(row: PlannedRow | None, now: float, local: Callable[[float], datetime.datetime]) -> str:
    """`预计周三到`; `` when no day is known. `now`: unix seconds; `local`: what clocks show then."""
    if row is None or row.first is None or row.last is None:
        return ""
    today = local(now).date()
    first = max(today, local(row.first).date())
    last = max(first, local(row.last).date())
    if first == last:
        return gettext("预计%(day)s到") % {"day": _day(last, today)}
    return gettext("预计%(first)s到%(last)s之间到") % {"first": _day(first, today), "last": _day(last, today)}


def _day(day: datetime.date, today: datetime.date) -> str:
    ahead = (day - today).days
    if ahead < 2:
        return gettext(N_("明天") if ahead else N_("今天"))
    if ahead < _NEAR:
        return gettext(_WEEKDAYS[day.weekday()])
    return gettext("%(month)s月%(day)s日") % {"month": day.month, "day": day.day}
