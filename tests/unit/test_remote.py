"""The phone as remote: who may hold it, what it asks, what a board that waits costs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from appliance.web.app import Board, create_app
from appliance.web.door import own_path
from appliance.web.pairing import Pairing
from appliance.web.remote import lan_address
from appliance.web.search.index import Index, Indexer
from content_sync.adapters.sqlite import StateReader
from tests.box import sample
from tests.unit.test_web_app import NOW, Memory, StoppedClock

BOARD, OTHER = "a" * 16, "b" * 16
HOST = "http://lesson.local"


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_code_serves_one_phone_and_only_for_a_while() -> None:
    time = Time()
    pairing = Pairing(time)
    first = pairing.code(BOARD)
    code = pairing.code(BOARD)
    assert pairing.pair(first) is None, "a newer code makes it void"
    phone = pairing.pair(code)
    assert phone is not None and phone.board == BOARD and pairing.count(BOARD) == 1
    assert pairing.pair(code) is None, "used up"
    late = pairing.code(BOARD)
    time.now += 601
    assert pairing.pair(late) is None, "ten minutes"
    assert pairing.phone(phone.token) is not None
    time.now += 3 * 3600 + 1
    assert pairing.phone(phone.token) is None and pairing.count(BOARD) == 0, "rested too long"


def test_the_board_takes_it_back_and_the_oldest_phone_gives_way() -> None:
    pairing = Pairing(Time())
    phones = [pairing.pair(pairing.code(BOARD)) for _ in range(5)]
    assert pairing.count(BOARD) == 4 and phones[0] and pairing.phone(phones[0].token) is None
    code = pairing.code(BOARD)
    pairing.end(BOARD)
    assert pairing.count(BOARD) == 0 and all(p and pairing.phone(p.token) is None for p in phones)
    assert pairing.pair(code) is None


def test_what_is_asked_is_done_once_in_order_and_never_late() -> None:
    time = Time()
    pairing = Pairing(time)
    pairing.pair(pairing.code(BOARD))
    pairing.ask(BOARD, "open", "/lesson/x")
    pairing.ask(BOARD, "play")
    pairing.ask(OTHER, "play")  # nobody holds that one
    assert pairing.hear(BOARD, {"title": "一"}, 0, 1)[0] == [{"do": "open", "path": "/lesson/x"}]
    assert pairing.hear(BOARD, {}, 0, 1)[0] == [{"do": "play", "path": ""}], "that is for the new page"
    assert pairing.hear(BOARD, {}, 0, 1)[0] == [] and pairing.hear(OTHER, {}, 0, 0)[0] == []
    pairing.ask(BOARD, "next")
    time.now += 9
    assert pairing.hear(BOARD, {}, 0, 1)[0] == [] and pairing.listens(BOARD)
    time.now += 13
    assert not pairing.listens(BOARD)


def test_waiting_takes_no_more_threads_than_there_are_and_ends_for_a_word() -> None:
    time = Time()
    pairing = Pairing(time, waiters=1)
    for board in (BOARD, OTHER):
        pairing.pair(pairing.code(board))
    answers: list[Any] = []
    waits = threading.Thread(target=lambda: answers.append(pairing.hear(BOARD, {}, 60, 1)))
    waits.start()
    while pairing._waiters:
        assert waits.is_alive()
    assert pairing.hear(OTHER, {}, 60, 1) == ([], False), "no thread was free: answered at once"
    pairing.ask(BOARD, "play")
    waits.join(30)
    assert answers == [([{"do": "play", "path": ""}], True)] and pairing._waiters == 1
    # a page that went leaves its question behind: only the newest is given what is asked
    old = threading.Thread(target=lambda: answers.append(pairing.hear(BOARD, {}, 60, 1)))
    old.start()
    while pairing._waiters:
        assert old.is_alive()
    pairing.hear(BOARD, {}, 0, 1)
    pairing.ask(BOARD, "next")
    old.join(30)
    assert answers[1] == ([], False) and pairing.hear(BOARD, {}, 0, 1)[0] == [{"do": "next", "path": ""}]


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"HTTP_HOST": "192.168.1.9", "SERVER_NAME": "0.0.0.0"}, "http://192.168.1.9"),
        ({"HTTP_HOST": "192.168.1.9:8080", "SERVER_NAME": "0.0.0.0"}, "http://192.168.1.9:8080"),
        ({"HTTP_HOST": "lesson.local:8080", "SERVER_NAME": "10.0.0.3"}, "http://10.0.0.3:8080"),
        ({"HTTP_HOST": "[fd00::3]:8080", "SERVER_NAME": "::"}, "http://[fd00::3]:8080"),
    ],
)
def test_the_address_is_a_number_that_phones_reach(environ: dict[str, str], address: str) -> None:
    assert lan_address(environ) == address


def test_a_name_becomes_our_number_on_the_way_to_the_board() -> None:
    told = {"HTTP_HOST": "lesson", "SERVER_NAME": "0.0.0.0", "REMOTE_ADDR": "127.0.0.1"}
    found = lan_address(told)
    assert "lesson" not in found and "127." not in found


@pytest.mark.parametrize("text", ["//evil.test", "/\\evil", "http://evil.test/", "", "/a b", "/\x00", "x"])
def test_no_way_leads_off_the_box(text: str) -> None:
    assert own_path(text, "/phone") == "/phone" and own_path("/lesson/a?page=2") == "/lesson/a?page=2"


class Two:
    """A board and a phone on a small box."""

    def __init__(self, data: Path) -> None:
        self.box, self.main = sample(data, NOW)
        reader = StateReader(self.box.paths.state_db)
        Indexer(self.box.paths.search_db, reader).step()
        index = Index(self.box.paths.search_db)
        app = create_app(
            Board(self.box.paths.objects, reader, index, Memory(), StoppedClock(), dict, courseware_port=8101)
        )
        self.board, self.phone = Client(app), Client(app)
        self.get(self.board, "/")

    def get(self, who: Client, path: str) -> Any:
        return who.get(path, base_url=HOST, buffered=True)

    def post(self, who: Client, path: str, origin: str = HOST, **form: str) -> Any:
        return who.post(path, data=form, base_url=HOST, headers={"Origin": origin})

    def hears(self, origin: str = HOST) -> Any:
        told = {"state": {"title": "古诗三首", "at": 7, "of": 30, "media": True, "evil": "<b>"}, "phones": 1}
        return self.board.post("/api/v1/remote", json=told, base_url=HOST, headers={"Origin": origin})

    def pair(self) -> str:
        page = self.get(self.board, "/remote").text
        assert "<svg" in page and "style=" not in page
        code = str(self.pairing().code(self.board.get_cookie("board", domain="lesson.local").value))
        assert self.get(self.phone, f"/r/{code}").status_code == 303
        return str(self.get(self.phone, "/phone").text.split('name="secret" value="')[1][:32])

    def pairing(self) -> Pairing:
        app: Any = self.board.application
        for cell in app.__closure__:
            if hasattr(cell.cell_contents, "view_functions"):
                view = cell.cell_contents.view_functions["remote.page"]
                found: Pairing = view.__self__.pairing
                return found
        raise AssertionError("no app")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Two:
    return Two(tmp_path_factory.mktemp("two"))


def test_a_phone_opens_lessons_and_presses_keys(two: Two) -> None:
    secret = two.pair()
    assert "remote.js" in two.get(two.board, "/").text and "remote.js" not in two.get(two.phone, "/").text
    assert two.post(two.phone, "/phone/do", secret=secret, do="open", lesson=two.main.id).status_code == 303
    assert two.hears().json["asked"] == [{"do": "open", "path": f"/lesson/{two.main.id}"}]
    done = two.post(two.phone, "/phone/do", secret=secret, do="open", lesson=two.main.id, resource="r2")
    assert done.status_code == 303
    assert two.hears().json["asked"][0]["path"] == f"/lesson/{two.main.id}/r2"
    two.post(two.phone, "/phone/do", secret=secret, do="next")
    assert two.hears().json["asked"] == [{"do": "next", "path": ""}]
    state = two.get(two.phone, "/phone/state").json
    assert state["listens"] and state["state"]["title"] == "古诗三首" and "evil" not in state["state"]
    for path in ("/phone?q=西沙", f"/phone?volume={two.main.collection}", f"/phone?lesson={two.main.id}"):
        page = two.get(two.phone, path)
        assert page.status_code == 200 and "送上去" in page.text
    absent = two.get(two.phone, "/phone?q=大自然").text
    assert "还没到" in absent and 'value="open"' not in absent
    assert two.post(two.phone, "/phone/leave", secret=secret).status_code == 200
    assert two.get(two.phone, "/phone").status_code == 403 and "remote.js" not in two.get(two.board, "/").text


def test_who_did_not_scan_or_comes_from_elsewhere_is_refused(two: Two) -> None:
    secret = two.pair()
    stranger = Client(two.board.application)
    assert two.get(stranger, "/phone").status_code == 403
    assert two.get(stranger, "/phone/state").status_code == 403
    assert two.get(stranger, f"/r/{'0' * 20}").status_code == 403
    assert two.post(stranger, "/phone/do", secret=secret, do="play").status_code == 403
    assert two.post(two.phone, "/phone/do", secret="0" * 32, do="play").status_code == 403
    for origin in ("http://evil.test", "null", "http://lesson.local:8101", "http://[bad"):
        assert two.post(two.phone, "/phone/do", origin, secret=secret, do="play").status_code == 403
        assert two.hears(origin).status_code == 403
        assert two.post(two.board, "/remote/end", origin).status_code == 403
    assert two.post(two.phone, "/phone/do", secret=secret, do="format").status_code == 400
    for lesson, resource in (("../../x", ""), (two.main.id, "r99")):
        sent = two.post(two.phone, "/phone/do", secret=secret, do="open", lesson=lesson, resource=resource)
        assert sent.status_code == 404
    assert two.hears().json["asked"] == []
    assert two.post(two.board, "/remote/end").status_code == 303
    assert two.post(two.phone, "/phone/do", secret=secret, do="play").status_code == 403


@pytest.mark.parametrize("body", ["[" * 100_000, "[", "[]", "7", ""])
def test_what_is_no_json_object_is_refused(two: Two, body: str) -> None:
    for path in ("/api/v1/remote", "/api/v1/remote/state"):
        answer = two.board.post(
            path, data=body, content_type="application/json", base_url=HOST, headers={"Origin": HOST}
        )
        assert answer.status_code == 400, path


def test_codes_and_keys_are_limited(two: Two) -> None:
    secret = two.pair()
    asked = [two.post(two.phone, "/phone/do", secret=secret, do="play").status_code for _ in range(61)]
    assert asked[0] == 303 and asked[-1] == 429
    guesses = [two.get(two.phone, f"/r/{n:020x}").status_code for n in range(30)]
    assert guesses[-1] == 429
