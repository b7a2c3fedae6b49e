"""Pushed lessons and wishes: who sees a card, what becomes of it, what a wish leaves behind."""

from __future__ import annotations

import datetime
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from appliance.school import cards as book
from appliance.school.cards import Card
from appliance.school.database import School
from appliance.school.rooms import Room
from appliance.web.app import Board, create_app
from appliance.web.pin import Pin, set_pin
from appliance.web.search.index import Index, Indexer
from appliance.wishes import WishBook
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import FormatError, TooBigError
from content_sync.formats.policy import PolicyCard, dump_policy, parse_policy
from tests.box import sample
from tests.unit.test_web_app import NOW, Memory, StoppedClock

HOST = "http://lesson.local"
THIRD = Room("r-1", "三年级教室", ("三年级",))
BOTH = Room("r-2", "复式班", ("一年级", "三年级"))
FIRST = Room("r-3", "一年级教室", ("一年级",))


@pytest.mark.parametrize(
    ("card", "seen_by"),
    [
        (Card("c", "l", ""), [THIRD, BOTH, FIRST, None]),
        (Card("c", "l", "", rooms=("r-1",)), [THIRD]),
        (Card("c", "l", "", names=("复式班",)), [BOTH]),
        (Card("c", "l", "", grades=("三年级",)), [THIRD, BOTH, None]),
        (Card("c", "l", "", rooms=("r-3",), grades=("三年级",)), [THIRD, BOTH, FIRST]),
    ],
)
def test_a_card_shows_where_it_is_meant_for(card: Card, seen_by: list[Room | None]) -> None:
    assert [room for room in (THIRD, BOTH, FIRST, None) if card.meant_for(room)] == seen_by


def test_time_hides_a_card_only_where_the_time_is_known() -> None:
    card = Card("c", "l", "", begin=100, until=200)
    assert [card.counts(now) for now in (None, 50, 100, 200, 201)] == [True, False, True, True, False]
    assert Card("c", "l", "").counts(5)


def test_policy_carries_cards_and_refuses_damaged_ones() -> None:
    cards = (
        PolicyCard("p-0001", "lesson-1", "周三晚上看", ("三年级教室",), ("三年级",), NOW, NOW + 60),
        PolicyCard("p-0002", "lesson-2"),
    )
    assert "cards" not in dump_policy(parse_policy({}))
    told = {"cards": [
        {"id": "p-0001", "lesson": "lesson-1", "note": "周三晚上看", "rooms": ["三年级教室"],
         "grades": ["三年级"], "from": "2026-11-18T11:06:40Z", "until": "2026-11-18T11:07:40Z"},
        {"id": "p-0002", "lesson": "lesson-2"},
    ]}  # fmt: skip
    parsed = parse_policy(told)
    assert parsed.cards == cards and dump_policy(parsed) == told
    good = told["cards"][1]
    for bad in (
        [1],
        [{"id": "p-0001"}],
        [{**good, "note": "x" * 200}],
        [{**good, "note": "a\nb"}],
        [{**good, "rooms": [5]}],
        [{**good, "rooms": ["r"] * 60}],
        [{**good, "lesson": "../x"}],
        [{**good, "from": "soon"}],
        [good, good],
        [{**good, "id": f"p-{n:04}"} for n in range(60)],
    ):
        with pytest.raises(FormatError):
            parse_policy({"cards": bad})


def test_the_book_keeps_what_became_of_a_card(tmp_path: Path) -> None:
    school = School(tmp_path / "school.db")
    with school.write() as db:
        db.execute("INSERT INTO room (id, name) VALUES ('r-1', '三年级教室')")
    first = book.push(school, "lesson-1", " 第三节  用 ", ["r-1"], None, NOW)
    second = book.push(school, "lesson-2", "", [], NOW + 9, NOW)
    assert [card.id for card in book.cards(school)] == [second, first], "newest first"
    assert book.cards(school)[1].note == "第三节 用" and book.cards(school)[1].rooms == ("r-1",)
    for bad in (("x" * 200, []), ("", ["r-9"]), ("\x07", [])):
        with pytest.raises(FormatError):
            book.push(school, "lesson-1", *bad, None, NOW)
    book.mark(school, first, "r-1", True, False, NOW)
    book.mark(school, first, "r-1", False, True, NOW + 5)
    seen = School(tmp_path / "school.db")
    one = book.seen(seen)[first][0]
    assert (one.opened, one.away, one.at) == (True, True, NOW + 5), "opened stays opened"
    book.mark(school, "county:gone", "r-1", True, False, None)
    book.forget(school, [first, second])
    assert set(book.seen(school)) == {first}
    book.withdraw(school, first)
    assert not book.seen(school) and [card.id for card in book.cards(school)] == [second]
    for _ in range(book.MAX_CARDS - 1):
        book.push(school, "lesson-1", "", [], None, None)
    with pytest.raises(TooBigError):
        book.push(school, "lesson-1", "", [], None, None)
    book.push(school, "lesson-1", "", [], None, NOW + 40 * 86400)  # those that ended long ago make room


class MovedClock(StoppedClock):
    """The same moment until it is moved."""

    late = 0.0

    def wall(self) -> float:
        return NOW + self.late


class Office:
    """A small box with a school and a PIN; browsers on it."""

    def __init__(self, data: Path) -> None:
        self.box, self.main = sample(data, NOW)
        self.incoming = self.box.paths.incoming
        self.incoming.mkdir()
        reader, clock = StateReader(self.box.paths.state_db), MovedClock()
        self.clock = clock
        Indexer(self.box.paths.search_db, reader).step()
        set_pin(self.box.paths.pin, "271828")
        self.school = School(self.box.paths.school_db)
        board = Board(
            self.box.paths.objects,
            reader,
            Index(self.box.paths.search_db),
            Memory(),
            clock,
            dict,
            courseware_port=8101,
            school=self.school,
            pin=Pin(self.box.paths.pin, clock),
            incoming=self.incoming,
        )
        self.app = create_app(board)
        self.board, self.office = Client(self.app), Client(self.app)
        self.get("/")
        entered = self.office.post("/pin", data={"pin": "271828"}, base_url=HOST, headers={"Origin": HOST})
        assert entered.status_code == 303

    def get(self, path: str, who: Client | None = None) -> Any:
        return (who or self.board).get(path, base_url=HOST, buffered=True)

    def post(self, path: str, who: Client | None = None, origin: str = HOST, **form: str) -> Any:
        return (who or self.board).post(path, data=form, base_url=HOST, headers={"Origin": origin})

    def secret(self) -> str:
        found = re.search(r'name="secret" value="([0-9a-f]+)"', self.get("/school/cards", self.office).text)
        assert found
        return found[1]

    def county(self, *cards: dict[str, Any]) -> None:
        with closing(sqlite3.connect(self.box.paths.state_db)) as db, db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('cards', ?)", (json.dumps(cards),))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_card_with_a_time_comes_and_goes_on_a_home_that_is_kept(office: Office) -> None:
    begin, until = (
        datetime.datetime.fromtimestamp(NOW + late, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for late in (120, 1200)
    )
    office.county({"id": "p-0001", "lesson": office.main.id, "from": begin, "until": until})
    for late, there in ((0, False), (100, False), (180, True), (840, True), (1140, True), (1260, False)):
        office.clock.late = late
        assert ('class="slip card1"' in office.get("/").text) == there, late
    ended = office.post("/cards", card="county:p-0001", do="open")
    assert (ended.status_code, ended.headers["Location"]) == (303, "/"), "it stood there when it was tapped"


def test_the_office_pushes_and_sees_what_became_of_it(office: Office) -> None:
    assert office.get("/school/cards").status_code == 302, "behind the PIN"
    assert "古诗三首" in office.get("/school/cards?q=古诗", office.office).text
    secret = office.secret()
    form = {"secret": secret, "lesson": office.main.id, "note": "第三节 <b>用", "span": "week"}
    assert "请选教室" in office.post("/school/cards", office.office, **form).text
    assert (
        office.post("/school/cards", office.office, **(form | {"all": "1", "secret": "0"})).status_code == 403
    )
    assert office.post("/school/cards", office.office, all="1", **form).status_code == 303
    home = office.get("/").text
    assert 'class="slip card1"' in home and "第三节 &lt;b&gt;用" in home and "古诗三首" in home
    card = book.cards(office.school)[0]
    opened = office.post("/cards", card=card.id, do="open")
    assert opened.headers["Location"] == f"/lesson/{office.main.id}"
    assert "打开过" in office.get("/school/cards", office.office).text
    assert 'class="slip card1"' in office.get("/").text, "it waits until somebody puts it away"
    office.post("/cards", card=card.id, do="away")
    assert 'class="slip card1"' not in office.get("/").text
    assert "已收起" in office.get("/school/cards", office.office).text
    assert "拿出来" in office.get("/cards").text
    office.post("/cards", card=card.id, do="out", here="1")
    assert 'class="slip card1"' in office.get("/").text
    for origin in ("http://evil.test", "null"):
        assert office.post("/cards", origin=origin, card=card.id, do="away").status_code == 403
    assert office.post("/cards", card="c-00000000", do="away").status_code == 404
    office.post("/school/cards/withdraw", office.office, secret=secret, card=card.id)
    assert 'class="slip card1"' not in office.get("/").text


def test_a_card_of_the_county_waits_though_the_lesson_is_not_here(office: Office) -> None:
    absent = office.box.lessons[3][0]
    office.county(
        {"id": "p-0001", "lesson": absent.id, "note": "周三晚上七点"},
        {"id": "p-0002", "lesson": "not-listed"},
    )
    home = office.get("/").text
    assert "县里" in home and "大自然的声音" in home and "还没到" in home and "还有1张" in home
    assert "这一课还没有列到课箱里" in office.get("/cards").text
    office.post("/cards", card="county:p-0001", do="away")
    office.post("/cards", card="county:p-0002", do="away")
    assert 'class="slip card1"' not in office.get("/").text
    office.county({"id": "damaged"})
    assert office.get("/").status_code == 200, "a damaged list hides the cards, not the page"


def test_a_wish_is_left_for_sync_and_can_be_taken_back(office: Office) -> None:
    absent, arriving = office.box.lessons[3][0], office.box.lessons[2][0]
    volume = f"/volume/{absent.collection}"
    assert office.get(volume).text.count("我要这课") == 1, "what arrives need not be asked for"
    assert "我要这课" in office.get(f"/lesson/{arriving.id}").text
    done = office.post("/wish", lesson=absent.id, back=volume, row="u2")
    assert done.headers["Location"] == f"{volume}#u2"
    assert (
        office.post("/wish", lesson=absent.id, back="//evil.test").headers["Location"]
        == f"/lesson/{absent.id}"
    )
    found = WishBook(office.incoming).read()
    assert found[absent.id].boards == 1 and found[absent.id].first == NOW, "once a board"
    assert "已要" in office.get(volume).text and "已要" in office.get("/search?q=大自然").text
    assert "11月18日" in office.get(f"/lesson/{absent.id}").text, "since when"
    second = Client(office.app)
    office.get("/", second)
    assert "已要" not in office.get(volume, second).text
    office.post("/wish", second, lesson=absent.id)
    assert WishBook(office.incoming).read()[absent.id].boards == 2
    office.post("/wish", lesson=absent.id, undo="1")
    assert WishBook(office.incoming).read()[absent.id].boards == 1
    assert "已要" not in office.get(volume).text


def test_wishes_are_refused_from_elsewhere_for_nothing_and_without_end(office: Office) -> None:
    absent = office.box.lessons[3][0]
    for origin in ("http://evil.test", "null", "http://lesson.local:8101"):
        assert office.post("/wish", origin=origin, lesson=absent.id).status_code == 403
    assert office.post("/wish", lesson="nothing").status_code == 404
    office.post("/wish", lesson=office.main.id)
    assert not WishBook(office.incoming).read(), "what is here is not asked for"
    answers = [office.post("/wish", Client(office.app), lesson=absent.id).status_code for _ in range(45)]
    assert answers[0] == 303 and answers[-1] == 429, "though each says that it is another board"
    assert len(list(office.incoming.iterdir())) <= 40
