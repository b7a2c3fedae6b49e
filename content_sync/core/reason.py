"""Why a lesson is here, on its way or not: a code and facts, so that each page can say it in its language."""

from __future__ import annotations

from typing import NamedTuple

#: Code -> the Chinese sentence. The pages' own list (appliance/web/words.py) has the same, for translation.
SENTENCES = {
    "arriving": "正在接收",
    "queued": "排队中，前面还有 %(ahead)s 课",
    "shared": "与《%(title)s》共用文件，等它先到齐",
    "urgent": "先让更急的《%(title)s》到，随后继续",
    "space": "空间不足：还需 %(need)s MB，可用 %(free)s MB",
    "room": "正在清理旧课，腾出 %(need)s MB",
    "evicted": "空间不足，已让给要用的课；有空间后自动取回",
    "one-way": "等待接收：卫星、U盘或文件夹里还没有这一课的全部内容",
    "description": "等待课程清单：联网或收到文件后继续",
    "resting": "刚才没有成功，稍后自动再试",
    "refused": "这一课的发布内容有误（%(code)s），请县里重新发布",
    "left-out": "县里设定本机不接收这一课的资料类型",
}

#: The same in English.
ENGLISH = {
    "arriving": "on its way",
    "queued": "in the queue, %(ahead)s lessons before it",
    "shared": "shares files with %(title)s, which comes first",
    "urgent": "lets the more urgent %(title)s go first",
    "space": "not enough space: it needs %(need)s MB, %(free)s MB are free",
    "room": "old lessons are being cleared for it, %(need)s MB",
    "evicted": "it made room for lessons that are needed now; it comes back when there is space",
    "one-way": "satellite, USB stick and folders have not brought all of it yet",
    "description": "waits for its description: goes on with a line, or once that is received",
    "resting": "it failed a moment ago and is tried again by itself",
    "refused": "what was published is wrong (%(code)s): the county must publish it again",
    "left-out": "the county has set that this box does not take this kind",
}


class Reason(NamedTuple):
    """A code of SENTENCES and what stands in its sentence."""

    code: str
    facts: tuple[tuple[str, int | str], ...] = ()

    @property
    def text(self) -> str:
        """The Chinese sentence."""
        return SENTENCES[self.code] % dict(self.facts)


def megabytes(number: int) -> int:
    """Bytes as whole MB, rounded up, for sentences."""
    return max(0, -(-number // 1_000_000))
