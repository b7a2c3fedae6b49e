"""What is on in this board's room: its timetable, the week of the term and the clock put together."""

from __future__ import annotations

import datetime
import logging
from typing import TYPE_CHECKING

from flask import g
from msgspec import Struct

from appliance.school.rooms import Room
from appliance.school.timetable import Held, Period, Timetable, load, minute_of
from appliance.usage.dating import believable
from appliance.web import shelves
from appliance.web.i18n import gettext, language
from content_sync.core.calendar import week_of
from content_sync.core.timefloor import TimeFloor
from content_sync.errors import LessonBoxError

if TYPE_CHECKING:
    from appliance.web.app import Board
    from content_sync.adapters.sqlite import StateReader

log = logging.getLogger(__name__)
_HAN = "〇一二三四五六七八九十"
_WEEKDAYS = ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日")


class Moment(Struct, frozen=True):
    """`when`: local time, None without a clock; `week`: of the teaching calendar; `volume`: what the season
    teaches; `table`: the room's timetable, None where there is none or it does not hold today (holidays, no
    clock); `now`: what is on, one a grade."""

    when: datetime.datetime | None
    week: int | None
    volume: str
    table: Timetable | None = None
    now: tuple[Held, ...] = ()

    @property
    def period(self) -> Period | None:
        """The period that is on."""
        if self.table is None or self.when is None:
            return None
        return self.table.period_at(minute_of(self.when))

    @property
    def is_school_day(self) -> bool:
        """Whether anything is held today."""
        return bool(self.table and self.when and self.table.day(self.when.isoweekday(), self.week))


def local(reader: StateReader, seconds: float) -> datetime.datetime:
    """A time (unix seconds) as the county's clocks show it (formats.md 5.1), whatever the machine's zone."""
    east = datetime.timedelta(minutes=reader.term()[1])
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None) + east


def local_time(board: Board) -> datetime.datetime | None:
    """Local time, or None when the clock cannot be right, as docs/usage.md judges it; but by what the county
    signed last, doubted or not: a stick after two years gives a box that kept the time its date back."""
    now = board.clock.wall()
    signed = TimeFloor.stored(board.reader.meta("floor")).shown
    floor = TimeFloor(signed or int(board.reader.meta("issued") or 0) or None)
    if not believable(int(now), floor, board.clock.source()):
        return None
    return local(board.reader, now)


def moment(board: Board, room: Room | None) -> Moment:
    """The moment of this request in a room; a timetable that can't be read is no reason not to teach."""
    kept: dict[str, Moment] = g.setdefault("moments", {})
    name = room.id if room else ""
    if name not in kept:
        kept[name] = _moment(board, room)
    return kept[name]


def _moment(board: Board, room: Room | None) -> Moment:
    when, (term, _) = local_time(board), board.reader.term()
    day = when.date() if when else None
    week = week_of(term, day) if term and day else None
    volume = shelves.season_volume(day)
    if term is not None and (week is not None or day is None):
        volume = "" if term.volume == "全一册" else term.volume
    held_today = day is not None
    if term is not None and day is not None:
        begins = term.start - datetime.timedelta(days=term.start.weekday())
        held_today = week is not None and day >= begins
    table = None
    if held_today and board.school is not None and room is not None:
        try:
            table = load(board.school, room.id)
        except LessonBoxError as error:
            log.error("school.db: %s", error)
    if table is not None and not table.slots:
        table = None
    now = tuple(table.now(when, week)) if table is not None and when is not None else ()
    return Moment(when, week, volume, table, now)


def subjects_now(board: Board) -> tuple[str, ...]:
    """What is taught in this room now."""
    return tuple(dict.fromkeys(held.subject for held in moment(board, g.place.room).now))


def number_word(number: int) -> str:
    """`三`, `十二`; digits in other languages."""
    if language() != "zh" or not 0 < number < 100:
        return str(number)
    tens, ones = divmod(number, 10)
    return (
        (_HAN[tens] if tens > 1 else "") + ("十" if tens else "") + (_HAN[ones] if ones or not tens else "")
    )


def period_word(number: int) -> str:
    """`第三节`."""
    return gettext("第%(n)s节") % {"n": number_word(number)}


def held_word(held: Held, when: datetime.datetime | None) -> str:
    """When it is held, as short as may be: `第三节`, `明天第一节`, `星期一第一节`."""
    word = period_word(held.period.no)
    if not held.ahead or when is None:
        return word
    if held.ahead == 1:
        return gettext("明天%(period)s") % {"period": word}
    return gettext("%(day)s%(period)s") % {"day": gettext(_WEEKDAYS[held.slot.weekday - 1]), "period": word}
