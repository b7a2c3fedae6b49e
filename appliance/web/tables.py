"""The timetable's pages (课表): the grid, the periods' times, a table pasted in, the sheet for the wall."""

from __future__ import annotations

import codecs
import re
from typing import Any
from urllib.parse import urlencode

from flask import abort, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from appliance.school.pasted import read_grid
from appliance.school.rooms import Room, rooms
from appliance.school.teachers import teachers
from appliance.school.timetable import (
    EVEN,
    EVERY,
    MAX_PERIODS,
    ODD,
    Slot,
    Timetable,
    check_periods,
    load,
    save_periods,
    save_slots,
    time_text,
)
from appliance.web.i18n import N_, gettext
from appliance.web.views import OfSchool
from content_sync.errors import FormatError
from content_sync.formats.shelf import shelf_of

#: What stands on timetables beside the subjects of the library.
_USUAL = (
    "语文", "数学", "英语", "道德与法治", "科学", "音乐", "美术", "体育", "劳动", "信息科技", N_("综合实践"),
    N_("书法"), N_("阅读"), N_("心理健康"), N_("地方课程"), N_("班会"), N_("自习"),
)  # fmt: skip
#: Characters of a table: it travels with the page that asks whether it was read well.
_MOST_PASTED = 40_000
_PLACE = re.compile(r"(line|column) (\d+)")
_WORKBOOKS = (b"PK\3\4", b"\xd0\xcf\x11\xe0")  # .xlsx; .xls, .et


class OfRooms(OfSchool):
    """Views of the school's rooms."""

    def room(self, identity: str) -> Room:
        """The room with this id. Ends the request with 404."""
        found = next((room for room in rooms(self.school) if room.id == identity), None)
        if found is None:
            abort(404)
        return found


class Tables(OfRooms):
    """The pages."""

    def first(self) -> Answer:
        """The timetable of the first room; without rooms, the page that makes one."""
        self.guard.require()
        every = rooms(self.school)
        if not every:
            return redirect(url_for("rooms.new"))
        return redirect(url_for("rooms.timetable", room=every[0].id))

    def subjects(self) -> list[str]:
        """Subjects to choose from: the library's, then the usual ones."""
        taught = (c.subject for c in self.reader.collections() if not shelf_of(c.stage))
        return list(dict.fromkeys([*taught, *_USUAL]))

    def teachers(self) -> dict[str, str]:
        """Teachers of the school by id, in its order."""
        return {teacher.id: teacher.name for teacher in teachers(self.school)}

    def grid(self, room: str) -> Answer:
        """The 课表 of a room: shown, and saved."""
        secret = self.guard.require()
        found, table = self.room(room), load(self.school, room)
        modes = {
            "weeks": bool(_odd_even(table)),
            "teachers": bool(_taught(table)),
            "weekend": _weekend(table),
        }
        modes = {name: on or request.values.get(name) == "1" for name, on in modes.items()}
        days = range(1, 8) if modes["weekend"] else range(1, 6)
        if request.method == "POST":
            try:
                save_slots(self.school, found.id, self._filled(found, table))
            except FormatError:
                abort(400)
            again = urlencode({"saved": 1} | {name: 1 for name in modes if request.form.get(name) == "1"})
            return redirect(f"{url_for('rooms.timetable', room=found.id)}?{again}", 303)
        page = render_template(
            "timetable.html",
            secret=secret,
            room=found,
            rooms=rooms(self.school),
            table=table,
            days=days,
            modes=modes,
            has={slot.key: slot for slot in table.slots},
            subjects=self.subjects(),
            teachers=self.teachers(),
            saved=request.args.get("saved") == "1",
            silent=_silent(table),
        )
        return make_response(page)

    def _filled(self, room: Room, table: Timetable) -> list[Slot]:
        """The slots of the form; what it did not show stays as it was."""
        form, kept = request.form, {slot.key: slot for slot in table.slots}
        for weekday in range(1, 8):
            for period in table.periods:
                for number, grade in enumerate(room.grades):
                    place = (weekday, period.no, grade)
                    cells = {weeks: f"{weekday}-{period.no}-{number}-{weeks}" for weeks in (EVERY, ODD, EVEN)}
                    told = {
                        weeks: form[f"s-{cell}"].strip()
                        for weeks, cell in cells.items()
                        if f"s-{cell}" in form
                    }
                    if not told:
                        continue
                    was = {weeks: kept.pop((*place, weeks), None) for weeks in cells}
                    for weeks, subject in told.items():
                        old = was[weeks] or was[EVERY]
                        teacher = form.get(f"t-{cells[weeks]}", old.teacher if old else None) or None
                        if subject:
                            kept[*place, weeks] = Slot(*place, weeks, subject, teacher)
                    odd, even = kept.get((*place, ODD)), kept.get((*place, EVEN))
                    if odd and even and (odd.subject, odd.teacher) == (even.subject, even.teacher):
                        del kept[*place, ODD], kept[*place, EVEN]
                        kept[*place, EVERY] = Slot(*place, EVERY, odd.subject, odd.teacher)
        return list(kept.values())

    def periods(self) -> Answer:
        """When the periods of the school's day begin and end."""
        secret = self.guard.require()
        said, status = "", 200
        times: list[tuple[str, str]] = []
        if request.method == "POST":
            begins, ends = request.form.getlist("begin"), request.form.getlist("end")
            times = list(zip(begins, ends, strict=False))[:MAX_PERIODS]
            try:
                save_periods(self.school, check_periods(times))
            except FormatError as error:
                said, status = error.what, 400
            else:
                return redirect(request.form.get("then") == "rooms" and url_for("rooms.every")
                                or url_for("rooms.timetables"), 303)  # fmt: skip
        if not times:
            times = [(time_text(p.begins), time_text(p.ends)) for p in load(self.school, "").periods]
        times += [("", "")] * max(0, min(MAX_PERIODS, len(times) + 2) - len(times))
        return make_response(render_template("periods.html", secret=secret, times=times, said=said), status)

    def paste(self, room: str) -> Answer:
        """A 课表 copied out of a spreadsheet, or a CSV file: shown as it was read, then saved by a second
        tap, as nothing brings the old one back."""
        secret = self.guard.require()
        found, said, text = self.room(room), "", ""
        grade = request.values.get("grade", found.grades[0])
        if request.method == "POST":
            if grade not in found.grades:
                abort(400)
            sure, table = request.form.get("sure"), load(self.school, found.id)
            try:
                text = self._pasted()
                slots = read_grid(text, grade, self.subjects())
                if sure == "1":
                    kept = [slot for slot in table.slots if slot.grade != grade]
                    save_slots(self.school, found.id, [*kept, *slots])
                    return redirect(url_for("rooms.timetable", room=found.id, saved=1), 303)
                if sure is None:
                    read = Timetable(table.periods, tuple(slots))
                    return self._read(secret, found, grade, read, text)
            except FormatError as error:
                said = _said(error)
        page = render_template(
            "timetable_paste.html", secret=secret, room=found, grade=grade, said=said, text=text
        )
        return make_response(page, 400 if said else 200)

    @staticmethod
    def _read(secret: str, room: Room, grade: str, table: Timetable, text: str) -> Answer:
        """What would be saved."""
        page = render_template(
            "timetable_read.html",
            secret=secret,
            room=room,
            grade=grade,
            text=text,
            days=range(1, 8) if _weekend(table) else range(1, 6),
            periods=range(1, max(slot.period for slot in table.slots) + 1),
            has={slot.key: slot for slot in table.slots},
            silent=_silent(table),
        )
        return make_response(page)

    @staticmethod
    def _pasted() -> str:
        """The text of the form: its file in UTF-8, UTF-16 or GB18030, else what was pasted. Raises
        FormatError."""
        file = request.files.get("file")
        data = file.read(4 * _MOST_PASTED + 1) if file is not None and file.filename else b""
        if data.startswith(_WORKBOOKS):
            raise FormatError("a workbook")
        if not data:
            text = request.form.get("text", "")
        elif data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = data.decode("utf-16", "replace")
        else:
            try:
                text = data.decode("utf-8-sig")
            except UnicodeDecodeError:
                text = data.decode("gb18030", "replace")
        if len(text) > _MOST_PASTED:
            raise FormatError(f"longer than {_MOST_PASTED} characters")
        return text

    def paper(self, room: str) -> str:
        """The sheet for the wall; it asks for no PIN, as the wall does not."""
        found, table = self.room(room), load(self.school, room)
        values: dict[str, Any] = {
            "has": {slot.key: slot for slot in table.slots},
            "teachers": self.teachers(),
        }
        days = range(1, 8) if _weekend(table) else range(1, 6)
        school = self.reader.meta("school_name") or ""
        return render_template(
            "timetable_print.html", room=found, table=table, days=days, school=school, **values
        )


def _said(error: FormatError) -> str:
    """What is wrong with a pasted table, in the page's language."""
    if "workbook" in error.what:
        return gettext("这是Excel文件：请在Excel里另存为CSV，再选它；或者复制表格，粘在下面。")
    place = _PLACE.match(error.what)
    if place is not None:
        said = gettext("第%(n)s行没有读懂。") if place[1] == "line" else gettext("第%(n)s列没有读懂。")
        said %= {"n": place[2]}
    elif "longer" in error.what:
        said = gettext("这张表太大了，只要课表那一块。")
    elif "weekdays (" in error.what:
        said = gettext("没有找到写着星期的那一行。")
    else:
        said = gettext("星期下面没有找到课。")
    return said + gettext("请看看再试。")


def _silent(table: Timetable) -> list[int]:
    """Periods that have lessons and no bell times, so that no page shows them."""
    return sorted({slot.period for slot in table.slots} - {period.no for period in table.periods})


def _odd_even(table: Timetable) -> bool:
    return any(slot.weeks != EVERY for slot in table.slots)


def _taught(table: Timetable) -> bool:
    return any(slot.teacher for slot in table.slots)


def _weekend(table: Timetable) -> bool:
    return any(slot.weekday > 5 for slot in table.slots)
