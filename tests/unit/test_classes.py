"""Classes (课时): tables of what happened and what counts, by the rules of docs/usage.md."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag

import pytest
from msgspec.structs import replace

from appliance.school import sheets
from appliance.school.classes import MINUTE, TEACH, TRAIN, WATCH, Room, Tap, count, hold
from appliance.school.database import School
from appliance.school.rooms import check_room, save_room, set_board
from appliance.school.sheets import Score, Sheet, check_sheet
from appliance.school.tally import _TAP, Library, Tally
from appliance.school.teachers import MAX_TEACHERS, enter, remove, save, set_pin, teacher, teachers
from appliance.school.timetable import Period
from appliance.usage.outbox import Outbox
from appliance.usage.recorder import Event, Recorder
from appliance.usage.sessions import Step, Stored
from content_sync.core.timefloor import TimeFloor
from content_sync.errors import FormatError, NotFoundError, PinError, TooBigError, UsageError
from tests.usage import BOARD, TRUE, HandClock

OTHER = "c" * 16
#: 8:30 to 9:10 and 9:20 to 10:00; minute 0 of these tables is 8:00 on some day.
PERIODS = (Period(1, 510, 550), Period(2, 560, 600))
EIGHT = 480


def tap(minute: int, teacher: str = "wang", mode: str = TEACH, over: int | None = None, **more: str) -> Tap:
    made = {"place": "room", "board": BOARD, "boot": "b", **more}
    end = None if over is None else over * MINUTE
    return Tap(f"{teacher}{minute}{made['boot']}", teacher, made["place"], made["board"], mode, made["boot"],
               minute * MINUTE, end)  # fmt: skip


def use(begins: int, ends: int, lesson: str = "poem", kind: str = "video", board: str = BOARD,
        boot: str = "b") -> list[Step]:  # fmt: skip
    """Active from one minute to another, a step each minute."""
    return [
        Step(board, lesson, "r", kind, boot, minute * MINUTE, (minute + 1) * MINUTE)
        for minute in range(begins, ends)
    ]


def counted(taps: list[Tap], steps: list[Step], room: Room, known: bool) -> list[tuple[str, str, str, int]]:
    """(teacher, kind, lesson, minutes), in order. `known`: whether this boot's true time is."""
    local: Callable[[str, int], int | None] = lambda boot, mono: mono // 1000 + EIGHT * 60  # noqa: E731
    held = hold(taps, steps, room, local if known else lambda boot, mono: None)
    classes = count(held, steps, room)
    assert len({one.id for one in classes}) == len(classes)
    return [(one.teacher, one.kind, one.lesson, one.seconds // 60) for one in classes]


ROOM = Room({BOARD: "room", OTHER: "room"}, frozenset(), PERIODS)
MIXED = Room({BOARD: "room"}, frozenset({"room"}), PERIODS)
SHELF = Room({BOARD: "room"}, frozenset(), PERIODS, lambda lesson: lesson == "course")
WANG, LI = ("wang", TEACH, "poem"), ("li", TEACH, "poem")
#: what happened, taps, activity, room; what counts where a timetable and the time are known, and where not.
TABLE = [
    ("a whole period", [tap(31)], use(31, 70), ROOM, [(*WANG, 39)], [(*WANG, 39)]),
    ("19 minutes are no class", [tap(31)], use(31, 50), ROOM, [], []),
    ("20 are", [tap(31)], use(31, 51), ROOM, [(*WANG, 20)], [(*WANG, 20)]),
    ("two lessons of 15 minutes are no class", [tap(30)], use(30, 45) + use(45, 60, "song"), ROOM, [], []),
    ("in a room of several grades they are one", [tap(30)], use(30, 45) + use(45, 61, "song"), MIXED,
     [("wang", TEACH, "song", 31)], [("wang", TEACH, "song", 31)]),
    ("named in the break before", [tap(20)], use(31, 60), ROOM, [(*WANG, 29)], [(*WANG, 29)]),
    ("named at the end: back to the period's beginning; else ten minutes", [tap(65)], use(31, 70), ROOM,
     [(*WANG, 39)], []),
    ("a second period needs its own tap", [tap(31)], use(31, 120), ROOM, [(*WANG, 39)], [(*WANG, 60)]),
    ("two periods, two taps", [tap(31), tap(81)], use(31, 120), ROOM, [(*WANG, 39), (*WANG, 40)],
     [(*WANG, 60)]),
    ("tapped twice: once", [tap(31), tap(40)], use(31, 70), ROOM, [(*WANG, 39)], [(*WANG, 39)]),
    ("two teachers in one period", [tap(30), tap(42, "li")], use(30, 70), ROOM, [("li", TEACH, "poem", 28)],
     [("li", TEACH, "poem", 28)]),
    ("both long enough", [tap(30), tap(50, "li")], use(30, 70), ROOM, [(*WANG, 20), (*LI, 20)],
     [(*WANG, 20), (*LI, 20)]),
    ("下课 ends it", [tap(30, over=45)], use(30, 70), ROOM, [], []),
    ("下课, then named again: one class", [tap(30, over=40), tap(44)], use(30, 70), ROOM, [(*WANG, 40)],
     [(*WANG, 40)]),
    ("left playing over lunch", [tap(81)], use(81, 300, kind="courseware"), ROOM, [(*WANG, 39)],
     [(*WANG, 60)]),
    ("forty silent minutes end it", [tap(30)], use(30, 35) + use(76, 90), ROOM, [], []),
    ("two tabs count once", [tap(31)], use(31, 45) + use(31, 45), ROOM, [], []),
    ("two boards of a room too", [tap(31)], use(31, 52) + use(31, 52, board=OTHER), ROOM, [(*WANG, 21)],
     [(*WANG, 21)]),
    ("a reload loses nothing", [tap(31)], use(31, 41) + use(42, 55), ROOM, [(*WANG, 23)], [(*WANG, 23)]),
    ("another boot is another class", [tap(31)], use(31, 45) + use(45, 60, boot="c"), ROOM, [], []),
    ("听课: only recorded classes", [tap(31, mode=WATCH)], use(31, 55), ROOM, [], []),
    ("听课", [tap(31, mode=WATCH)], use(31, 55, kind="recorded"), ROOM, [("wang", WATCH, "poem", 24)],
     [("wang", WATCH, "poem", 24)]),
    ("a recorded class shown to children is teaching", [tap(31)], use(31, 55, kind="recorded"), ROOM,
     [(*WANG, 24)], [(*WANG, 24)]),
    ("the training shelf counts apart", [tap(31)], use(31, 55, "course"), SHELF,
     [("wang", TRAIN, "course", 24)], [("wang", TRAIN, "course", 24)]),
    ("nobody named: nothing", [], use(31, 70), ROOM, [], []),
    ("outside all periods: the hour", [tap(300)], use(300, 330), ROOM, [(*WANG, 30)], [(*WANG, 30)]),
]  # fmt: skip


@pytest.mark.parametrize("known", [True, False], ids=["timetable", "no clock"])
@pytest.mark.parametrize("case", TABLE, ids=[case[0] for case in TABLE])
def test_what_counts(
    case: tuple[str, list[Tap], list[Step], Room, list[object], list[object]], known: bool
) -> None:
    _, taps, steps, room, timetable, without = case
    assert counted(taps, steps, room, known) == (timetable if known else without)


def test_a_board_of_no_room_is_a_place_of_its_own() -> None:
    mine = tap(0, place=BOARD)
    assert counted([mine], use(0, 25) + use(0, 25, board=OTHER), Room(), False) == [(*WANG, 25)]
    assert counted([mine], use(0, 25, board=OTHER), Room(), False) == []


@pytest.mark.parametrize("known", [True, False], ids=["timetable", "no clock"])
def test_a_board_that_gets_another_room_in_a_class_counts_nothing_twice(known: bool) -> None:
    moved = Room({BOARD: "b"}, frozenset(), PERIODS)
    steps = use(30, 70)
    mine = tap(30, place="a")
    assert counted([mine, tap(42, "li", place="b")], steps, moved, known) == [("li", TEACH, "poem", 28)]
    thrice = [tap(30, place=BOARD), tap(45, place="a"), tap(55, place="b")]
    assert counted(thrice, steps, moved, known) == [("wang", TEACH, "poem", 40)]


def test_a_room_of_several_grades_that_a_board_gets_in_a_class_adds_them_up() -> None:
    steps = use(30, 45) + use(45, 61, "song")
    taps = [tap(30, place=BOARD), tap(40, place="room")]
    assert counted(taps, steps, MIXED, False) == [("wang", TEACH, "song", 31)]


@dataclass
class Desk:
    """A school's book, a recorder and a tally that a test moves through time."""

    folder: Path
    clock: HandClock
    school: School
    recorder: Recorder
    tally: Tally
    wang: str

    def teach(self, minutes: int, lesson: str = "poem", kind: str = "video") -> None:
        """A video that plays for so many minutes."""
        visit = f"v{self.clock.mono}"
        for number in range(minutes + 1):
            type, origin = ("open", "server") if number == 0 else ("ping", "page")
            self.recorder.record([Event(BOARD, lesson, "r1", kind, visit, type, None, None, origin)])
            if number == 0:
                self.recorder.record([Event(BOARD, lesson, "r1", kind, visit, "play", None, None, "page")])
            if number < minutes:
                self.clock.mono += 60

    def boot(self, name: str, offset: float = TRUE, kind: str = "ntp") -> None:
        """The box goes down and up again."""
        self.recorder.close()
        self.clock.boot, self.clock.mono, self.clock.offset, self.clock.kind = name, 100.0, offset, kind
        self.recorder = Recorder(self.folder / "usage.db", self.clock)

    def taps(self) -> list[Tap]:
        with self.school.read() as db:
            return [Tap(*tuple(row)) for row in db.execute(f"SELECT {_TAP} FROM tap ORDER BY number")]

    def rows(self, columns: str) -> list[tuple[object, ...]]:
        with self.school.read() as db:
            return [tuple(row) for row in db.execute(f"SELECT {columns} FROM class ORDER BY number")]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    clock = HandClock()
    school = School(tmp_path / "school.db")
    library = Library(
        lambda lesson: lesson.upper(), lambda lesson: lesson == "course", lambda: TimeFloor(TRUE - 86_400),
        lambda: 480,
    )  # fmt: skip
    tally = Tally(school, tmp_path / "usage.db", tmp_path / "outbox.db", clock, library)
    wang = save(school, "王秀英", "语文")
    return Desk(tmp_path, clock, school, Recorder(tmp_path / "usage.db", clock), tally, wang)


def test_a_class_counts_at_once_and_is_written_down_once(desk: Desk) -> None:
    mine = desk.tally.tap(desk.wang, BOARD, None, TEACH)
    desk.teach(12)
    now = desk.tally.now(BOARD, None)
    assert now is not None and (now.tap, now.teacher, now.seconds) == (mine, desk.wang, 0)
    desk.teach(10)
    desk.clock.mono += 20
    assert sheets.scores(desk.school, None, desk.tally.unsettled()) == {desk.wang: Score(teach=1)}
    desk.tally.settle()
    assert desk.rows("id") == []
    desk.clock.mono += 3600
    desk.tally.settle()
    desk.tally.settle()
    assert desk.rows("tap, title, kind, seconds, start, clock, told") == [
        (mine, "POEM", TEACH, 22 * 60, TRUE + 100, "ntp", 1)
    ]
    assert sheets.scores(desk.school, None, desk.tally.unsettled()) == {desk.wang: Score(teach=1)}
    assert desk.tally.now(BOARD, None) is None


def test_a_name_stays_when_its_board_gets_a_room(desk: Desk) -> None:
    mine = desk.tally.tap(desk.wang, BOARD, None, TEACH)
    desk.clock.mono += 60
    now = desk.tally.now(BOARD, "r-1")
    assert now is not None and now.tap == mine
    assert desk.tally.now(OTHER, "r-1") is None
    assert desk.tally.over(BOARD, "r-1") == mine and desk.tally.now(BOARD, "r-1") is None


def test_many_pages_at_once_count_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One counts; the others take what was known, and wait only where that is nothing or lacks a tap."""
    mine, real, begun, go_on = (
        desk.tally.tap(desk.wang, BOARD, None, TEACH),
        desk.tally._count,
        Flag(),
        Flag(),
    )
    counts: list[int] = []

    def slow(calendar: object) -> object:
        counts.append(1)
        begun.set()
        assert go_on.wait(10)
        return real(None)

    monkeypatch.setattr(desk.tally, "_count", slow)
    with ThreadPoolExecutor(12) as pool:
        first = [pool.submit(desk.tally.now, BOARD, None) for _ in range(10)]
        assert begun.wait(10)
        go_on.set()
        assert {found.tap for one in first if (found := one.result(10))} == {mine} and len(counts) == 1
        desk.clock.mono += 16
        begun.clear()
        go_on.clear()
        later = pool.submit(desk.tally.now, BOARD, None)
        assert begun.wait(10)
        known = desk.tally.now(BOARD, None)  # waits for nobody
        assert known is not None and known.tap == mine and not later.done()
        second = desk.tally.tap(desk.wang, BOARD, None, TEACH)
        waits = pool.submit(desk.tally.now, BOARD, None)
        go_on.set()
        found = waits.result(10)
        assert found is not None and found.tap == second and len(counts) == 3


def test_use_at_other_places_is_not_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    save_room(desk.school, check_room("三年级", ["三年级"], identity="r-1"))
    set_board(desk.school, OTHER, "r-1", "right")
    strange = Event("d" * 16, "poem", "r1", "video", "v", "ping", None, None, "page")
    desk.tally.tap(desk.wang, BOARD, "r-1", TEACH)
    for minute in range(25):
        mine, theirs = ("ping" if minute else "open"), [replace(strange, visit=f"v{n}") for n in range(50)]
        desk.recorder.record([replace(strange, board=OTHER, type=mine), *theirs])
        desk.clock.mono += 60
    read: list[str] = []
    monkeypatch.setattr("appliance.school.tally.Stored", lambda *row: read.append(row[1]) or Stored(*row))
    [one] = desk.tally.unsettled()
    assert (one.seconds, one.place) == (23 * 60, "r-1") and set(read) == {OTHER}


def test_one_board_cannot_fill_the_memory(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    save_room(desk.school, check_room("三年级", ["三年级"], identity="r-1"))
    for board in (BOARD, OTHER):
        set_board(desk.school, board, "r-1", "right")
    monkeypatch.setattr("appliance.school.tally._MOST_EVENTS", 100)
    desk.tally.tap(desk.wang, BOARD, "r-1", TEACH)
    flood = Event(OTHER, "poem", "r1", "video", "v", "ping", None, None, "page")
    desk.recorder.record([flood] * 1000)
    desk.teach(22)
    desk.recorder.record([flood] * 1000)
    steps = desk.tally._steps(desk.taps(), desk.tally._room())
    assert sum(step.board == OTHER for step in steps) <= 100
    [one] = desk.tally.unsettled()
    assert one.seconds == 22 * 60


def test_over_and_another_name(desk: Desk) -> None:
    li = save(desk.school, "李国强", "")
    first = desk.tally.tap(desk.wang, BOARD, None, TEACH)
    desk.clock.mono += 60
    assert desk.tally.over(BOARD, None) == first and desk.tally.now(BOARD, None) is None
    assert desk.tally.over(BOARD, None) is None
    second = desk.tally.tap(li, BOARD, None, WATCH)
    desk.clock.mono += 1
    now = desk.tally.now(BOARD, None)
    assert now is not None and (now.tap, now.teacher, now.mode) == (second, li, WATCH)
    assert desk.tally.now(OTHER, None) is None


def test_a_boot_in_1970_is_counted_then_and_dated_by_the_agent_later(desk: Desk) -> None:
    desk.boot("1970", 0, "system")
    outbox = Outbox(desk.folder / "outbox.db")
    outbox.note_present(desk.folder / "usage.db", "1970", TimeFloor(TRUE - 86_400))
    desk.tally.tap(desk.wang, BOARD, None, TEACH)
    desk.teach(30)
    desk.clock.mono += 3600
    desk.tally.settle()
    assert desk.rows("seconds, start, told") == [(1800, None, None)]
    assert sheets.scores(desk.school, TRUE, []) == {desk.wang: Score(teach=1)}
    [week] = sheets.weeks(desk.school, 480)
    assert (week.key, week.monday) == ("n1", None)
    from appliance.usage.dating import COUNTY, Anchor

    later = int(desk.clock.mono)
    outbox.note_anchor(Anchor("1970", later, TRUE + later, COUNTY, "county"), TimeFloor(TRUE - 86_400))
    desk.tally.settle()
    assert desk.rows("start, clock, told") == [(TRUE + 100, "county", 1)]
    [week] = sheets.weeks(desk.school, 480)
    assert week.monday is not None and week.monday.weekday() == 0 and week.key == week.monday.isoformat()
    outbox.close()


def test_a_boot_that_nobody_ever_dated_is_bounded_by_the_next(desk: Desk) -> None:
    desk.boot("lost", 0, "system")
    desk.tally.tap(desk.wang, BOARD, None, TEACH)
    desk.teach(21)
    desk.boot("found")
    desk.tally.settle()
    [(start, uncertainty, clock)] = desk.rows("start, uncertainty, clock")
    assert clock == "none" and isinstance(start, int) and isinstance(uncertainty, int)
    assert start <= TRUE + 100 <= start + uncertainty + 200


def test_the_timetable_counts_when_the_time_is_known(desk: Desk) -> None:
    save_room(desk.school, check_room("三年级", ["三年级"], identity="r-1"))
    set_board(desk.school, BOARD, "r-1", "right")
    minute = (TRUE + 100 + 480 * 60) % 86_400 // 60
    with desk.school.write() as db:
        db.executemany(
            "INSERT INTO period VALUES (?, ?, ?)",
            [(1, minute - 5, minute + 30), (2, minute + 30, minute + 70)],
        )
    desk.tally.tap(desk.wang, BOARD, "r-1", TEACH)
    desk.teach(60)
    desk.tally.settle()
    assert desk.rows("place, period, seconds / 60") == [("r-1", 1, 29)]
    assert desk.tally.now(BOARD, "r-1") is None  # the period is over


def test_a_new_term_counts_from_nothing(desk: Desk) -> None:
    for boot in ("one", "two"):
        desk.boot(boot)
        desk.tally.tap(desk.wang, BOARD, None, TEACH)
        desk.teach(25)
        desk.boot(boot + "x")
        desk.tally.settle()
        assert sheets.scores(desk.school, None) == {desk.wang: Score(teach=1)}
        sheets.begin_term(desk.school)
        assert sheets.scores(desk.school, None) == {}
    assert len(desk.rows("id")) == 2
    assert sheets.scores(desk.school, TRUE + 10**6) == {}


def test_power_gone_before_the_commit_counts_the_class_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class and tap settle in one transaction: whatever it dies at, the next step writes it once."""
    desk.tally.tap(desk.wang, BOARD, None, TEACH)
    desk.teach(30)
    desk.boot("next")
    real = desk.tally._write

    def cut(db: object, made: object, done: object) -> None:
        real(db, made, done)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(desk.tally, "_write", cut)
    with pytest.raises(KeyboardInterrupt):
        desk.tally.settle()
    assert desk.rows("id") == []
    monkeypatch.undo()
    desk.tally.settle()
    desk.tally.settle()
    assert len(desk.rows("id")) == 1


def test_a_sheet_is_kept_and_never_more_than_it_may_hold(desk: Desk) -> None:
    mine = desk.tally.tap(desk.wang, BOARD, None, TEACH)
    sheet = check_sheet({"fit": "1", "pupils": "2", "note": "  声音 小 "})
    assert sheet == Sheet(1, 2, 0, "声音 小")
    sheets.save_sheet(desk.school, mine, sheet)
    sheets.save_sheet(desk.school, mine, check_sheet({"tried": "10", "solved": "8"}))
    assert sheets.sheet_of(desk.school, mine) == Sheet(0, 0, 0, "", 8, 10)
    with pytest.raises(NotFoundError):
        sheets.save_sheet(desk.school, "0" * 16, sheet)


@pytest.mark.parametrize(
    "form",
    [{"fit": "4"}, {"fit": "x"}, {"note": "字" * 121}, {"note": "a\x00b"}, {"solved": "3"}, {"tried": "-1"},
     {"tried": "2", "solved": "3"}, {"tried": "٣"}],
)  # fmt: skip
def test_a_sheet_that_cannot_be(form: dict[str, str]) -> None:
    with pytest.raises(FormatError):
        check_sheet(form)


def test_teachers(desk: Desk) -> None:
    li = save(desk.school, " 李  国强 ", "数学、科学")
    save(desk.school, "王秀英", "语文、道法", desk.wang)
    assert [(one.name, one.subjects) for one in teachers(desk.school)] == [
        ("王秀英", "语文、道法"), ("李 国强", "数学、科学"),
    ]  # fmt: skip
    remove(desk.school, li)
    assert [one.id for one in teachers(desk.school)] == [desk.wang]
    gone = teacher(desk.school, li)
    assert gone is not None and gone.gone
    for name in ("", "  ", "长" * 21, "a\nb\x07"):
        with pytest.raises(FormatError):
            save(desk.school, name, "")
    with pytest.raises(NotFoundError):
        save(desk.school, "x", "", "0" * 16)
    for pin in ("123", "1234567", "12a4", "１２３４"):
        with pytest.raises(UsageError):
            set_pin(desk.school, desk.wang, pin)


def test_ten_wrong_pins_wait_longer_and_longer_and_a_restart_helps_nobody(desk: Desk) -> None:
    set_pin(desk.school, desk.wang, "2468")
    enter(desk.school, desk.wang, "2468", desk.clock)
    waits = []
    for _ in range(10):
        with pytest.raises(PinError) as wrong:
            enter(desk.school, desk.wang, "1357", desk.clock)
        wait = wrong.value.what.rpartition(" in ")[2].removesuffix(" s")
        waits.append(int(wait) if wait.isdigit() else 0)
        with pytest.raises(PinError) if waits[-1] else pytest.raises(PinError):
            enter(desk.school, desk.wang, "2468" if waits[-1] else "9999", desk.clock)
            pytest.fail("it opened too early")
        desk.clock.mono += 1000
    assert waits[-1] == 900 and waits == sorted(waits)
    enter(desk.school, desk.wang, "2468", desk.clock)
    for _ in range(4):
        with pytest.raises(PinError):
            enter(desk.school, desk.wang, "0000", desk.clock)
    desk.boot("again")  # and its clock begins anew
    desk.clock.mono = 5.0
    with pytest.raises(PinError, match="too many"):
        enter(desk.school, desk.wang, "2468", desk.clock)
    other = save(desk.school, "李国强", "")
    enter(desk.school, other, "", desk.clock)  # the tries are each teacher's own


def test_a_list_of_teachers_has_an_end(desk: Desk) -> None:
    with desk.school.write() as db:
        db.executemany(
            "INSERT INTO teacher (id, name) VALUES (?, 'x')", [(f"{n:016x}",) for n in range(MAX_TEACHERS)]
        )
    with pytest.raises(TooBigError):
        save(desk.school, "又一位", "")
