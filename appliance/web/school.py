"""The school's pages: doors to all that somebody with the PIN looks after, and what is wrong, in words."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import current_app, render_template, request

from appliance.announce.addresses import lan_addresses
from appliance.web import troubles
from appliance.web.i18n import N_
from appliance.web.views import Guarded


class Opening(NamedTuple):
    """A door of the hub: where to, its icon, its name and what is behind it; whether it asks for the PIN."""

    endpoint: str
    icon: str
    name: str
    about: str
    locked: bool = True


DOORS = (
    Opening("rooms.timetables", "table", N_("课表"), N_("每节上什么")),
    Opening("rooms.every", "board", N_("教室"), N_("每间有哪些年级")),
    Opening("rooms.board", "hand", N_("这块白板"), N_("在哪间，用哪只手"), False),
    Opening("classes.teachers", "people", N_("老师"), N_("名单和密码")),
    Opening("classes.overview", "check", N_("课时"), N_("每人多少课时"), False),
    Opening("cards.office", "send", N_("推送到班级"), N_("让一课在白板上等老师")),
    Opening("local.manage", "plus", N_("本校资料"), N_("老师自己的课件")),
    Opening("school.progress", "down", N_("到了多少"), N_("每册何时到齐")),
    Opening("school.stick", "usb", N_("U盘"), N_("导入和导出")),
    Opening("received.manage", "sat", N_("收到的文件"), N_("留下或拿走")),
    Opening("school.space", "disk", N_("空间"), N_("什么占了多少")),
    Opening("school.clock", "timer", N_("时钟"), N_("几点，准不准"), False),
    Opening("school.network", "lan", N_("网络"), N_("地址、邻校、县里")),
    Opening("school.door", "print", N_("门牌"), N_("打印了贴在门上"), False),
    Opening("school.restart", "again", N_("重新启动"), N_("程序重来一次")),
    Opening("guard.change", "lock", N_("换密码"), N_("管理员的密码")),
)


class SchoolPages(Guarded):
    """The hub and what only looks."""

    def home(self) -> str:
        """The doors; nothing here needs the PIN."""
        status = self.board.status()
        counts = {name: self.reader.count(state=name) for name in ("present", "arriving", "wanted")}
        return render_template(
            "school.html",
            doors=[door for door in DOORS if door.endpoint in current_app.view_functions],
            troubles=[troubles.fix(problem) for problem in status["problems"][:1]],
            problems=len(status["problems"]),
            counts=counts,
            school=self.reader.meta("school_name") or "",
            **self._lock(),
        )

    def _lock(self) -> dict[str, Any]:
        return {"unlocked": self.guard.minutes(), "secret": self.guard.secret() or ""}

    def problems(self) -> str:
        """Everything that is wrong, with what to do."""
        return render_template(
            "school_problems.html",
            troubles=[troubles.fix(problem) for problem in self.board.status()["problems"]],
            day=self.local,
            sure=self.today() is not None,
            **self._lock(),
        )

    def clock(self) -> str:
        """What time the box has, and who says so."""
        status = self.board.status()
        return render_template(
            "school_clock.html",
            clock=status["clock"],
            now=self.today(),
            raw=self.local(self.board.clock.wall()),
            late=self.board.clock.wall() > int(self.reader.meta("issued") or 0),
            day=self.local,
            running=int(self.board.clock.monotonic()),
            **self._lock(),
        )

    def network(self) -> str:
        """Addresses, other boxes near, whether the county is reached."""
        secret = self.guard.require()
        port = request.environ.get("SERVER_PORT", "80")
        status = self.board.status()
        return render_template(
            "school_network.html",
            secret=secret,
            addresses=lan_addresses(str(request.environ.get("SERVER_NAME", ""))),
            tail="" if port == "80" else f":{port}",
            name=status.get("address") or "",
            near=self.board.neighbours(),
            lan=self.board.network.told() if self.board.network is not None else None,
            wifi=self.board.network.wifi() if self.board.network is not None else None,
            sources=status.get("sources") or {},
            budget=status.get("budget") or {},
            status=status,
            county=self.reader.meta("county") or "",
        )
