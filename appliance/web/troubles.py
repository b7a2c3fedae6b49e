"""Problems in words: what it is, whether it hurts lessons, what to do (look.md, `fix`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from appliance.health.faults import fault_of
from appliance.web import expecting
from appliance.web.i18n import N_, gettext

_NO, _SOME = N_("不影响上课。"), N_("已到的课照常上。")
_WAIT = N_("不用做什么，课箱自己会再试。")
_COUNTY = N_("请把代号告诉县里的技术员。")
#: code -> (whether it hurts lessons, what to do)
_WORDS = {
    "E-NETWORK": (_NO, N_("看看网线和路由器的灯；别的电脑也上不了网，就找管网络的人。")),
    "E-DISK-FULL": (_SOME, N_("新课放不下了。删掉不要的收到文件和本校资料，或请技术员换大一点的盘。")),
    "E-STORAGE": (N_("可能影响上课。"), N_("关机，把存储卡或硬盘的线插紧，再开机；还这样就请技术员来。")),
    "E-DISK-FAILING": (N_("暂时不影响，拖久了会丢课。"), N_("请技术员尽快换存储卡或硬盘。")),
    "E-ROT": (N_("这一课先收起来了，别的课照常上。"), _WAIT),
    "E-DROP": (_NO, N_("看看接收机的电脑开着没有，共享文件夹还在不在。")),
    "E-ARCHIVE": (_NO, N_("少了课，就请送文件的人重新打包，不要加密码。")),
    "E-BOX-CLOCK": (_NO, N_("接上网络就会自己对准；没有网络，就导入一次县里的U盘。")),
    "E-BUDGET": (_SOME, N_("流量用完了，到时候自己继续。急用的课请用U盘带来。")),
    "E-DAMAGED": (_NO, N_("坏文件已经原样留着。请告诉技术员，并检查存储卡。")),
    "E-SEQ-CONFLICT": (_NO, N_("这个课箱像是复制出来的，请县里重新登记。")),
    "E-ENROL": (_NO, N_("请县里重新给这个课箱做一份登记文件。")),
    "E-OTHER-SCHOOL": (_SOME, N_("请技术员换上这个学校自己的硬盘，或者一块空硬盘。")),
    "E-SPARE-CLAIM": (_NO, N_("不用做什么，下次开机就不再提。")),
    "E-TOKEN": (_NO, N_("请县里的技术员查这个课箱的通行证。")),
    "E-BUSY": (_NO, _WAIT),
    "E-TOO-MANY": (_NO, _WAIT),
    "E-LOCAL": (_NO, N_("到“本校资料”里再添加一次。")),
    "E-NEWER-DATA": (N_("可能影响上课。"), N_("这些数据是更新的程序写的，请技术员更新课箱。")),
    "E-UPDATE": (_NO, N_("课箱照原来的样子用。请把代号告诉县里的技术员，这一版不会再试。")),
    "E-POWER": (N_("可能影响上课。"), N_("用课箱自己的电源和线，拔掉费电的移动硬盘；还这样就换电源。")),
    "E-HEAT": (N_("会变慢，课照常上。"), N_("把课箱放到通风、晒不到的地方，上面别压东西，清一清灰。")),
    "E-READ-ONLY": (_SOME, N_("放学后把课箱关掉再打开一次；还这样就请技术员换存储卡或硬盘。")),
    "E-LINK": (N_("白板可能打不开课箱。"),
               N_("把网线两头重新插紧，插口旁边的灯要亮；不亮就换一根线或换一个插口。")),
    "E-DNS": (_NO, N_("把学校的路由器关掉再打开；别的电脑也上不了网，就找管网络的人。")),
    "E-SILENT": (_SOME, N_("看看接收机和它的电脑开着没有，天线动过没有，共享文件夹还在不在。")),
    "E-FLAPPING": (N_("可能影响上课。"), N_("把课箱关掉再打开一次；还这样就把诊断文件交给县里的技术员。")),
    "E-CONFIG": (_SOME, N_("把卡插到电脑上，改好这一行，再用它开机；别的行都算数。")),
    "E-UNENROLLED": (_SOME,
                     N_("把县里给这个学校的登记文件交给课箱：打开“注册”页，或者放到卡上、U盘上再开机。")),
}  # fmt: skip
#: Refused from outside: nothing was changed.
_REFUSED = ("E-SIGNATURE", "E-ROLLBACK", "E-TARGET", "E-ENVELOPE", "E-TRUST", "E-FORMAT", "E-TOO-BIG",
            "E-TORRENT", "E-PATH", "E-LEAVES", "E-LENGTH", "E-LESSON")  # fmt: skip


def advice(code: str) -> tuple[str, str]:
    """Whether problems of this code hurt lessons, and what to do; in Chinese."""
    if code in _REFUSED:
        return "没有收下，原有的课照常上。", "又出现就请告诉县里的技术员。"
    return _WORDS.get(code, (_SOME, _COUNTY))


class Fix(NamedTuple):
    """A problem as the school reads it; `since`: unix seconds."""

    what: str
    hurts: str
    todo: str
    detail: str
    code: str
    since: int

    @property
    def number(self) -> str:
        """The fault code: what is read out over the telephone."""
        return fault_of(self.code)


def fix(problem: Mapping[str, Any]) -> Fix:
    """A problem of the status in the page's language."""
    said = expecting.trouble(problem)
    hurts, todo = _WORDS.get(said.code, (_SOME, _COUNTY))
    if said.code in _REFUSED:
        hurts, todo = N_("没有收下，原有的课照常上。"), N_("又出现就请告诉县里的技术员。")
    since = problem.get("since")
    # What to do stands below; a wrong line has to be said whole.
    what = said.words.partition("：")[0] if said.code in _WORDS and said.code != "E-CONFIG" else said.words
    return Fix(what, gettext(hurts), gettext(todo), said.detail, said.code, since if since else 0)
