"""What `lessonbox status` prints for people: Chinese where the locale is, else English."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from content_sync.core.reason import ENGLISH, SENTENCES
from content_sync.errors import LessonBoxError, all_errors
from content_sync.terminal import size_text

_REMEDIES = {cls.code: cls("").remedy for cls in all_errors()}
_LABELS = {
    "box": "课箱", "release": "资料", "lessons": "课程", "space": "空间", "fetching": "下载",
    "metered": "流量", "satellite": "卫星", "drop": "文件夹", "received": "自留", "reports": "报告",
    "clock": "时钟", "problem": "问题", "present": "已到", "arriving": "正在到", "wanted": "等着",
    "withdrawn": "已撤",
}  # fmt: skip


def day_text(unix: int) -> str:
    """A time for people, in this machine's time zone."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix))


def reason_text(code: str, facts: Mapping[str, int | str], zh: bool) -> str:
    """Why a lesson is not here (core/reason.py)."""
    return (SENTENCES if zh else ENGLISH)[code] % facts


def problem_text(problem: Mapping[str, Any], zh: bool) -> str:
    """A problem on one line: code, what it is about, what to do, and what happened in brackets. Sync writes
    `中文句子（what happened）`."""
    words, _, detail = str(problem["message"]).partition("（")
    detail = detail.removesuffix("）")
    if not zh:
        words, detail = _REMEDIES.get(problem["code"], LessonBoxError("").remedy), detail or words
    return f"{problem['code']} {problem['subject']}: {words}" + (f" ({detail})" if detail else "")


def _line(label: str, text: str, zh: bool) -> str:
    word = _LABELS[label] if zh else label
    return word + " " * max(1, 10 - len(word) * (2 if zh else 1)) + text


def _budget(budget: Mapping[str, Any], zh: bool) -> list[str]:
    if not budget:
        return []
    why = budget["why"]["zh" if zh else "en"]
    if budget["rate"] is not None:
        why = f"{size_text(budget['rate'])}/s{'，' if zh else ', '}{why}"
    if budget["next_local"]:
        why += f"，{budget['next_local']}起会变" if zh else f", changes at {budget['next_local']}"
    lines = [_line("fetching", why, zh)]
    if budget["metered"]:
        used = []
        for span, words in (("day", "今天"), ("month", "本月")):
            text = size_text(budget[span]["used"])
            if budget[span]["most"] is not None:
                text += f"{'，共' if zh else ' of '}{size_text(budget[span]['most'])}"
            used.append(f"{words}用了{text}" if zh else f"{text} this {span}")
        lines.append(_line("metered", ("；" if zh else ", ").join(used), zh))
    return lines


def reception_text(heard: Mapping[str, Any], zh: bool = False) -> str:
    """How a carousel is heard, on one line."""
    chunks, needed = heard["chunks"], heard["passes_needed"]
    if zh:
        text = (
            f"第{heard['cycle']}轮收到{heard['heard']}包，共{heard['of']}包；前后共{heard['parcels']}包，{heard['damaged']}包有损坏；"
            f"已补全{chunks['decoded']}段，{chunks['missing']}段没收齐；共听了{heard['passes']:.1f}轮"
        )
        more = "" if needed is None else f"，约还要{needed}轮" if needed else "，都收齐了"
        return f"{text}{more}；最后收到：{day_text(heard['last'])}"
    text = (
        f"{heard['heard']} of {heard['of']} parcels of cycle {heard['cycle']}, {heard['parcels']} in all,"
        f" {heard['damaged']} damaged; {chunks['decoded']} chunks repaired,"
        f" {chunks['missing']} incomplete; {heard['passes']:.1f} passes heard"
    )
    more = "" if needed is None else f", about {needed} more needed" if needed else ", nothing lacks"
    return f"{text}{more}; last heard {day_text(heard['last'])}"


def _lesson(row: Mapping[str, Any], zh: bool) -> str:
    share = f"{100 * row['have_bytes'] // row['size']}%" if row["size"] else ""
    text = f"{share:>4} {row['title']}"
    if not row["complete"]:
        unknown = "还没看过" if zh else "not looked at yet"
        text += "  " + (
            reason_text(row["code"], row["facts"], zh) if row["code"] else row["reason"] or unknown
        )
        if row["expected"]:
            first, last = day_text(row["expected"]["from"]), day_text(row["expected"]["to"])
            text += f"；预计{first}到{last}之间" if zh else f"; expected between {first} and {last}"
    return _line(row["state"], text, zh)


def status_text(status: Mapping[str, Any], zh: bool = False) -> str:
    """The figures for people."""
    counts, space, shelf = status["lessons"], status["space"], status["received"]
    stale, unacknowledged = status["weeks_stale"], status["outbox"]["unacknowledged"]
    number = status["release"]
    release = (f"第{number}版" if zh else str(number)) if number else "还没有收到" if zh else "none yet"
    if stale:
        release += f"，{stale}周没有更新" if zh else f", not renewed for {stale} weeks"
    lines = [
        _line("box", f"{status['box']}  {status['county'] or ''}", zh),
        _line("release", release, zh),
        _line(
            "lessons",
            f"已到{counts['present']}课，正在到{counts['arriving']}课，等着{counts['wanted']}课"
            if zh
            else f"{counts['present']} present, {counts['arriving']} arriving, {counts['wanted']} wanted",
            zh,
        ),
    ]
    if space:
        free, reserve = size_text(space["free"]), size_text(space["reserve"])
        lines.append(
            _line(
                "space", f"还空{free}，留出{reserve}" if zh else f"{free} free, {reserve} kept in reserve", zh
            )
        )
    lines += _budget(status["budget"], zh)
    if status["reception"]:
        lines.append(_line("satellite", reception_text(status["reception"], zh), zh))
    drop = status["sources"].get("drop") or {}
    if drop.get("seen"):
        lines.append(
            _line(
                "drop",
                f"{drop['seen']}个文件，{drop['useful']}个有用，{drop['consumed']}个已全部收下，"
                f"{drop['foreign']}个不是县里发布的，{drop['unreadable']}个读不出"
                if zh
                else f"{drop['seen']} files, {drop['useful']} useful, {drop['consumed']} taken in whole,"
                f" {drop['foreign']} not the county's, {drop['unreadable']} unreadable",
                zh,
            )
        )
    if shelf["files"]:
        size = size_text(shelf["bytes"])
        lines.append(
            _line(
                "received",
                f"{shelf['files']}个县里没有签发的文件，{size}"
                if zh
                else f"{shelf['files']} files not signed by the county, {size}",
                zh,
            )
        )
    lines.append(
        _line(
            "reports",
            f"{unacknowledged}份县里还没收到" if zh else f"{unacknowledged} not acknowledged yet",
            zh,
        )
    )
    trusted, source = status["clock"]["trusted"], status["clock"]["source"]
    word = ("可信" if trusted else "还没对过") if zh else ("trusted" if trusted else "not trusted yet")
    lines.append(_line("clock", f"{source}, {word}", zh))
    lines += [_line("problem", problem_text(problem, zh), zh) for problem in status["problems"]]
    lines += [_lesson(row, zh) for row in status.get("lesson_list", ())]
    return "\n".join(lines)
