"""What people are told of the plan: on pages, by the API, by commands; and how they ask for a lesson."""

from __future__ import annotations

import datetime
import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli import cli
from appliance.web import expecting
from appliance.wishes import FULFILLED, WishBook, make_wish
from content_sync.core.calendar import WISH_COUNTS, Wishes
from content_sync.core.reason import SENTENCES
from content_sync.errors import FormatError
from content_sync.formats.wish import Wish, dump_wish, is_wish_name, parse_wish
from content_sync.ports import PlannedRow
from tests.box import sample
from tests.unit.test_school_pages import Site
from tests.unit.test_web_app import Small, StoppedClock

DAY = 86_400
LESSON = "61a01d7f-cb49a144-c67d17f3"


def row(first: int | None = None, last: int | None = None, code: str = "queued", **facts: int) -> PlannedRow:
    return PlannedRow(LESSON, 3, code, dict(facts), first, last)


def test_pages_know_every_reason() -> None:
    assert expecting.REASON_WORDS == SENTENCES
    assert expecting.why(row(ahead=7)) == "排队中，前面还有 7 课"
    assert expecting.why(None) == expecting.why(row(code="of a newer program")) == ""


def test_days_as_people_say_them() -> None:
    noon = datetime.datetime(2026, 11, 18, 12, tzinfo=datetime.UTC).timestamp()  # a Wednesday

    def clocks(at: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(at, datetime.UTC)

    def said(first: float, last: float) -> str:
        return expecting.expected(row(int(noon + first * DAY), int(noon + last * DAY)), noon, clocks)

    assert said(0, 0.1) == "预计今天到"
    assert said(-3, -2) == "预计今天到"  # it is late: nobody says a day that is over
    assert said(1, 1) == "预计明天到"
    assert said(5, 5.2) == "预计周一到"
    assert said(0, 2) == "预计今天到周五之间到"
    assert said(6, 20) == "预计周二到12月8日之间到"
    assert expecting.expected(row(), noon, clocks) == expecting.expected(None, noon, clocks) == ""


def planned(data: Path, title: str, first: int, last: int) -> str:
    """Note a forecast for a lesson of a small box; the lesson's id."""
    db = sqlite3.connect(data / "state.db")
    identity = str(db.execute("SELECT id FROM lesson WHERE title = ?", (title,)).fetchone()[0])
    facts = json.dumps({"ahead": 3})
    db.execute("INSERT INTO planned VALUES (?, 2, 'queued', ?, ?, ?, NULL)", (identity, facts, first, last))
    db.execute("INSERT INTO status VALUES ('plan', '{\"clock\": true}')")
    db.commit()
    db.close()
    return identity


def test_a_lesson_that_is_not_here_says_when(tmp_path: Path) -> None:
    small = Small(tmp_path)
    now = int(StoppedClock().wall())
    identity = planned(tmp_path, "大自然的声音", now + DAY, now + DAY + 60)
    page = small.get(f"/lesson/{identity}").get_data(as_text=True)
    assert "预计明天到" in page and "排队中，前面还有 3 课" in page
    english = small.get(f"/lesson/{identity}?lang=en").get_data(as_text=True)
    assert "Expected tomorrow" in english and "3 lessons ahead" in english
    listed = {one["id"]: one for one in small.get("/api/v1/lessons?lang=zh").get_json()["lessons"]}
    assert listed[identity]["expected"] == {"from": now + DAY, "to": now + DAY + 60}
    assert listed[identity]["reason"] == {"code": "queued", "ahead": 3, "text": "排队中，前面还有 3 课"}
    assert all("expected" not in one for one in listed.values() if one["state"] == "present")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York", "Pacific/Kiritimati"])
def test_days_are_the_countys_whatever_zone_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        now = int(datetime.datetime(2026, 11, 18, 16, 30, tzinfo=datetime.UTC).timestamp())
        site = Site(tmp_path)
        site.clock.unix = now  # Thursday, 0:30 in Beijing
        identity = planned(tmp_path, "大自然的声音", now + 23 * 3600, now + 23 * 3600)
        with closing(sqlite3.connect(tmp_path / "state.db")) as db, db:
            db.execute("INSERT INTO received VALUES (?, 3, '通知.pdf', '/drop/x', ?)", ("1" * 64, now))
            db.execute("INSERT OR REPLACE INTO meta VALUES ('issued', ?)", (str(now),))
        site.problems = [{"code": "E-STORAGE", "subject": "x", "message": "坏", "since": now}]
        for path, words in (
            (f"/lesson/{identity}", "预计今天到"),
            ("/status", "11月19日"),
            ("/received", "11月19日"),
            ("/school/problems", "11月19日起"),
            ("/school/clock", "现在是2026年11月19日 00:30"),
        ):
            assert words in site.get(path).text, path
        site.clock.unix = now - 30 * DAY  # it can't be right
        assert "2026-10-20 00:30" in site.get("/school/clock").text
    finally:
        monkeypatch.undo()
        time.tzset()


def run(data: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [*words, "--data", str(data)])
    return done.exit_code, done.output


def test_status_of_one_lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    now = int(time.time())
    sample(tmp_path, now)
    (tmp_path / "incoming").mkdir()
    identity = planned(tmp_path, "大自然的声音", now + DAY, now + 3 * DAY)
    code, text = run(tmp_path, "status", "大自然的声音")
    assert code == 0 and "in the queue, 3 lessons before it" in text and "expected between 20" in text
    assert "the teaching calendar" in text
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert "排队中，前面还有 3 课" in run(tmp_path, "status", "大自然的声音")[1]
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    code, text = run(tmp_path, "status", identity, "--json")
    assert json.loads(text)["lessons"][0]["expected"] == {"from": now + DAY, "to": now + 3 * DAY}
    assert "newest version" in run(tmp_path, "status", "古诗三首")[1]


@pytest.mark.parametrize(
    ("text", "why"),
    [("没有这一课", "no lesson"), (LESSON, "withdrawn")],
)
def test_status_of_a_lesson_that_is_not_listed(tmp_path: Path, text: str, why: str) -> None:
    sample(tmp_path, 1_790_000_000)
    (tmp_path / "incoming").mkdir()
    done = CliRunner().invoke(cli, ["status", text, "--data", str(tmp_path)])
    assert done.exit_code and done.exception is not None and why in str(done.exception)


def test_a_wish_by_command_counts_once_for_each_board(tmp_path: Path) -> None:
    sample(tmp_path, 1_790_000_000)
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    for _ in range(2):
        code, text = run(tmp_path, "wish", "大自然的声音")
        assert code == 0 and "is asked for" in text
    assert "is here already" in run(tmp_path, "wish", "古诗三首")[1]
    book = WishBook(incoming)
    found = book.read()
    assert list(found.values()) == [Wishes(1, None)]
    for board in ("a" * 16, "b" * 16, "a" * 16):
        make_wish(incoming, Wish(next(iter(found)), board, 1_790_000_000))
    assert list(book.read().values()) == [Wishes(3, 1_790_000_000)]


def test_what_is_no_wish_is_left_alone(tmp_path: Path) -> None:
    good = Wish(LESSON, "0" * 16, 5)
    make_wish(tmp_path, good)
    (tmp_path / f"wish-{'1' * 16}.json").write_bytes(dump_wish(good))  # another's name
    (tmp_path / f"wish-{'2' * 16}.json").write_bytes(b"{" * 3000)
    (tmp_path / f"wish-{'3' * 16}.json").write_bytes(b" " * 9000)
    (tmp_path / f"wish-{'4' * 16}.json").mkdir()
    os.symlink("/dev/zero", tmp_path / f"wish-{'5' * 16}.json")
    (tmp_path / "wish-x.json").write_bytes(dump_wish(good))
    assert WishBook(tmp_path).read() == {LESSON: Wishes(1, 5)}


def test_wishes_age_by_a_trusted_date_alone(tmp_path: Path) -> None:
    now = 1_790_000_000
    other = LESSON[:-1] + "4"
    make_wish(tmp_path, Wish(LESSON, None, now))
    make_wish(tmp_path, Wish(other, None, now))
    book = WishBook(tmp_path)
    here = {other: now}
    book.read()
    book.tidy(0.0, lambda: None, lambda: here)
    book.tidy(1.0, lambda: now + DAY, lambda: here)
    assert len(book.read()) == 2
    book.tidy(10.0, lambda: now + 2 * FULFILLED, lambda: here)  # not within the hour
    assert len(book.read()) == 2
    book.tidy(4000.0, lambda: now + 2 * FULFILLED, lambda: here)
    assert book.read() == {LESSON: Wishes(1, now)}
    book.tidy(8000.0, lambda: now + WISH_COUNTS + 1, lambda: here)
    assert book.read() == {} and os.listdir(tmp_path) == []


def test_the_file_of_a_wish() -> None:
    wish = Wish(LESSON, "0" * 16, None)
    assert parse_wish(dump_wish(wish)) == wish and is_wish_name(wish.file_name)
    for bad in (b'{"format":"lessonbox-wish/1","lesson":"../x"}', b'{"format":"lessonbox-wish/2"}', b"[]"):
        with pytest.raises(FormatError):
            parse_wish(bad)
    with pytest.raises(FormatError):
        dump_wish(Wish("大"))
