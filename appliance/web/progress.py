"""How far the school's own box is: what has come, what is on its way, where it comes from, what it takes."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from flask import abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance import asked
from appliance.web import expecting, shelves, troubles, words
from appliance.web.guard import Guard
from appliance.web.views import Guarded
from content_sync.ports import CollectionRow, PlannedRow, TallyRow

if TYPE_CHECKING:
    from appliance.web.app import Board

#: Lessons that the page lists: those that lack something, and the newest, as far as one screen goes.
_LACKING, _FRESH = 4, 7
#: Problems that the page shows at once (look.md): the others stand on a page of their own.
_TROUBLES = 2
#: Hours for which syncing can be stopped by hand.
PAUSES = (1, 3, 12)
#: The colour of a bar's part is its subject's (look.md).
COLOURS = {
    "yw": "#b0382b", "sx": "#23588f", "yy": "#6a4a8e", "kx": "#2f7350",
    "df": "#9c5a14", "yl": "#a93566", "ms": "#12717c", "ty": "#66691c",
}  # fmt: skip


class Taken(NamedTuple):
    """What a subject's lessons take on the disk."""

    subject: str
    code: str
    lessons: int
    bytes: int


class Volume(NamedTuple):
    """A collection and how far it is. `known`: the day is known on which all of it is here."""

    place: CollectionRow
    row: TallyRow

    @property
    def known(self) -> bool:
        """Whether each lesson that waits has its day."""
        return self.row.last is not None and self.row.told == self.row.waiting


def taken(places: dict[str, CollectionRow], rows: Iterable[TallyRow]) -> list[Taken]:
    """By subject, the largest first. A file that two lessons share counts for both."""
    found: dict[str, list[int]] = {}
    for row in rows:
        one = found.setdefault(places[row.collection].subject, [0, 0])
        one[0] += row.present
        one[1] += row.shown
    made = [Taken(name, words.subject(name).code, *one) for name, one in found.items() if one[1]]
    return sorted(made, key=lambda one: (-one.bytes, one.subject))


class Progress(Guarded):
    """The status page, which everyone may see, and with the PIN each volume and the space."""

    def __init__(self, board: Board, guard: Guard) -> None:
        super().__init__(board, guard)
        self._taken_of: tuple[int, list[Taken]] = -1, []

    def status(self) -> str:
        """The school's page: a screen of what matters."""
        collections = self.reader.places()
        lacking = self.reader.lessons(state="arriving", limit=_LACKING)
        if len(lacking) < _LACKING:
            lacking += self.reader.lessons(state="wanted", limit=_LACKING - len(lacking))
        fresh = shelves.arrivals(self.reader, self.board.clock.wall())[: max(0, _FRESH - 2 * len(lacking))]
        status = self.board.status()
        problems = status["problems"]
        return render_template(
            "status.html",
            status=status,
            troubles=[troubles.fix(problem) for problem in problems[:_TROUBLES]],
            more=max(0, len(problems) - _TROUBLES),
            counts={name: self.reader.count(state=name) for name in ("present", "arriving", "wanted")},
            coming=[(collections[row.collection], row) for row in lacking if row.collection in collections],
            fresh=[(collections[row.collection], row) for row in fresh if row.collection in collections],
            school=self.reader.meta("school_name") or "",
            county=self.reader.meta("county") or "",
            taken=self._taken(),
            colours=COLOURS,
            space=self.reader.status("space"),
            sources=self.reader.status("sources"),
            issued=int(self.reader.meta("issued") or 0),
            day=datetime.datetime.fromtimestamp,
            shelf=shelves.subjects(collections.values()),
            unlocked=self.guard.minutes(),
        )

    def _taken(self) -> list[Taken]:
        """What the lessons take: counted once for each state of the library."""
        generation = self.reader.generation()
        if self._taken_of[0] != generation:
            self._taken_of = generation, taken(self.reader.places(), self.reader.tally())
        return self._taken_of[1]

    def volumes(self) -> str:
        """Each volume with its bar and day, what is fetched now, and stopping it for a while."""
        secret = self.guard.require()
        places = self.reader.places()
        rows = [Volume(places[row.collection], row) for row in self.reader.tally()]
        status = self.board.status()
        return render_template(
            "school_progress.html",
            secret=secret,
            volumes=sorted(rows, key=lambda one: not one.row.waiting),  # stable: what lacks something first
            status=status,
            sources=status.get("sources", {}),
            budget=status.get("budget", {}),
            progress=status.get("progress", {}),
            arriving=self.reader.lessons(state="arriving", limit=3),
            ready=self._ready,
            pause=self._paused(),
            pauses=PAUSES,
            waiting=sum(one.row.waiting for one in rows),
        )

    def _ready(self, one: Volume) -> str:
        """When all of a volume is here, in words."""
        if not one.known or one.row.last is None:
            return ""
        day = PlannedRow("", 0, "", {}, one.row.last, one.row.last)
        return expecting.expected(day, self.board.clock.wall())

    def _paused(self) -> int:
        """Minutes that a pause still holds."""
        incoming = self.board.incoming
        return -(-asked.pause_left(incoming, self.board.clock) // 60) if incoming is not None else 0

    def pause(self) -> Answer:
        """Stop fetching for some hours, or go on."""
        self.guard.require()
        text = request.form.get("hours", "")
        hours = int(text) if text in {str(number) for number in (0, *PAUSES)} else None
        if hours is None or self.board.incoming is None:
            abort(400)
        asked.pause(self.board.incoming, self.board.clock, hours * 3600)
        return redirect(url_for("school.progress"), 303)

    def space(self) -> str:
        """What takes how much, and what goes first when more is needed."""
        secret = self.guard.require()
        items, machine = self.reader.received(), self.board.machine
        found = self.reader.status("space") or {}
        lessons = taken(self.reader.places(), self.reader.tally())
        total, free = int(found.get("total") or 0), int(found.get("free") or 0)
        mine = sum(one.bytes for one in lessons)
        shelf = sum(item.file.length for item in items)
        gone = [row for row in self.reader.planned().values() if row.evicted is not None]
        return render_template(
            "school_space.html",
            secret=secret,
            taken=lessons,
            colours=COLOURS,
            total=total,
            free=free,
            reserve=int(found.get("reserve") or 0),
            disk=machine is not None and machine.helped() and machine.disks() is not None,
            lessons=mine,
            received=shelf,
            files=len(items),
            other=max(0, total - free - mine - shelf),
            gone=[row for one in gone[:6] if (row := self.reader.lesson(one.lesson)) is not None],
            gone_count=len(gone),
        )
