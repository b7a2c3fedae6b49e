"""Who may use tracker and web seed: tokens, their holders, proxies, limits; no token is written down."""

from __future__ import annotations

import logging
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from content_sync.errors import BusyError, FormatError, NotFoundError, TokenError, TooManyError
from content_sync.formats import token as tokens
from content_sync.formats.enrolment import lan_url
from content_sync.terminal import Tokenless
from county.config import CountyPaths
from county.distribute.fetched import Fetched
from county.distribute.neighbours import KEEP_SECONDS, MOST_NEAR, Neighbourhood
from county.distribute.pacing import Pace, seeder_share
from county.distribute.tokens import Tokens, token_secret
from county.distribute.visitors import Buckets, Places, Proxied, Visitors, parse_address, parse_networks

BOX = "b-00112233445566ff"
SECRET = bytes(range(32))
KEY = tokens.holder_key(SECRET, BOX)


def test_a_token_as_the_spec_says() -> None:
    """Computed by hand from formats.md 8; another implementation must come to the same."""
    import hashlib
    import hmac

    key = hmac.new(SECRET, b"lessonbox-token-key/1\n" + BOX.encode(), hashlib.sha256).hexdigest()
    proof = hmac.new(bytes.fromhex(key), f"lessonbox-token/1\n{BOX}\n7".encode(), hashlib.sha256).hexdigest()
    made = tokens.make_token(KEY, BOX, 7)
    assert (KEY, made) == (key, "b00112233445566ff" + proof[:32])
    assert tokens.is_token(made) and tokens.holder_of(made) == BOX and tokens.proves(made, SECRET, 7)
    assert tokens.announce_url("http://c", made) == f"http://c/announce/{made}"
    assert tokens.seed_url("http://c", None, "ab") == "http://c/seed/ab/"


def test_only_the_right_token_proves() -> None:
    made = tokens.make_token(KEY, BOX, 1)
    other = tokens.make_token(tokens.holder_key(SECRET, "b-" + "0" * 16), "b-" + "0" * 16, 1)
    forged = other[:17] + made[17:]
    for wrong in (tokens.make_token(KEY, BOX, 2), made[:-1] + ("0" if made[-1] != "0" else "1"), made.upper(),
                  made + "0", "", "g" + made[1:], forged):  # fmt: skip
        assert not tokens.proves(wrong, SECRET, 1), wrong
    assert not tokens.proves(made, b"x" * 32, 1)
    with pytest.raises(ValueError):
        tokens.make_token(KEY, "b-../../etc", 1)


def test_lines_hide_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    made = tokens.make_token(KEY, BOX, 1)
    shown = tokens.hidden(f"http://c/announce/{made}?x=1 and /seed/{made}/{'a' * 64}/n")
    assert made not in shown and made[:6] not in shown and "a" * 64 in shown
    handler = logging.StreamHandler()
    handler.setFormatter(Tokenless(logging.Formatter("%(message)s")))
    log = logging.getLogger("test-tokens")
    log.propagate = False
    log.addHandler(handler)
    try:
        raise OSError(f"/announce/{made}")
    except OSError:
        log.exception("failed at %s", made)
    log.removeHandler(handler)
    said = capsys.readouterr().err
    assert "failed at" in said and "OSError" in said and made not in said


def held(tmp_path: Path) -> tuple[CountyPaths, Tokens]:
    paths = CountyPaths(tmp_path)
    return paths, Tokens(paths, lambda box: box == BOX)


def test_tokens_are_renewed_and_shut_out(tmp_path: Path) -> None:
    paths, found = held(tmp_path)
    _, server = held(tmp_path)  # a running `serve` beside the commands
    first = found.give(BOX)
    assert server.holder(first) == BOX and server.number(BOX) == 1
    assert found.renew(BOX) == 2
    second = found.give(BOX)
    assert server.holder(first) is None and server.holder(second) == BOX
    found.shut_out(BOX)
    assert server.holder(second) is None
    assert found.renew(BOX) == 3
    assert [server.holder(each) for each in (first, second, found.give(BOX))] == [None, None, BOX]
    assert server.holder(found.give("b-" + "1" * 16)) is None, "a box that nobody enrolled"
    assert server.holder("nonsense") is None
    assert (paths.keys / "token.secret").stat().st_mode & 0o777 == 0o600
    assert token_secret(paths) == token_secret(paths)


def test_guests(tmp_path: Path) -> None:
    _, found = held(tmp_path)
    one, two = found.guest("王老师"), found.guest("李老师")
    assert found.guest("王老师") == one != two and found.guests() == {one: "王老师", two: "李老师"}
    assert found.holder(found.give(one)) == one
    found.shut_out(one)
    assert found.holder(found.give(one)) is None and found.holder(found.give(two)) == two
    assert found.holder(found.give("g-" + "1" * 16)) is None


def test_a_damaged_file_lets_nobody_in(tmp_path: Path) -> None:
    paths, found = held(tmp_path)
    made = found.give(BOX)
    for wrong in ('{"format":"lessonbox-tokens/1"}', "[]", '{"format":"lessonbox-tokens/1","numbers":{"b":0},'
                  '"shut":[],"guests":{}}', '{"format":"lessonbox-tokens/9"}'):  # fmt: skip
        (paths.data / "tokens.json").write_text(wrong)
        with pytest.raises(FormatError):
            held(tmp_path)[1].holder(made)


def through(environ: dict[str, Any], *proxies: str) -> dict[str, Any]:
    Proxied(lambda environ, start: [], parse_networks(proxies))(environ, None)
    return environ


@pytest.mark.parametrize(
    ("peer", "stated", "proxies", "client"),
    [
        ("10.0.0.1", "203.0.113.9", ("10.0.0.1",), "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9", ("10.0.0.1",), "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", ("10.0.0.0/24",), "203.0.113.9"),
        ("198.51.100.7", "203.0.113.9", ("10.0.0.1",), "198.51.100.7"),
        ("10.0.0.1", "unknown", ("10.0.0.1",), "10.0.0.1"),
        ("10.0.0.1", "", ("10.0.0.1",), "10.0.0.1"),
        ("::ffff:10.0.0.1", "fd00::9", ("10.0.0.1",), "fd00::9"),
    ],
)
def test_only_listed_proxies_are_believed(
    peer: str, stated: str, proxies: tuple[str, ...], client: str
) -> None:
    assert through({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": stated}, *proxies)["REMOTE_ADDR"] == client


def visitors(open_access: str, rate: float = 100, burst: float = 100) -> Visitors:
    return Visitors(lambda token: BOX if token == "good" else None, open_access, Buckets(rate, burst))


def test_who_is_let_in_without_a_token() -> None:
    def asks(open_access: str, address: str, **more: str) -> bool:
        try:
            visitors(open_access).admit(through({"REMOTE_ADDR": address, **more}), None, 0.0)
        except TokenError:
            return False
        return True

    assert asks("private", "127.0.0.1") and asks("private", "10.3.4.5") and asks("private", "fd00::1")
    assert not asks("private", "203.0.113.9") and not asks("private", "8.8.8.8") and not asks("private", "")
    assert not asks("private", "127.0.0.1", HTTP_X_FORWARDED_FOR="10.0.0.1"), "a proxy that nobody listed"
    assert not asks("private", "127.0.0.1", HTTP_VIA="1.1 x")
    assert asks("all", "8.8.8.8") and not asks("none", "127.0.0.1")
    found = visitors("none").admit({"REMOTE_ADDR": "8.8.8.8"}, "good", 0.0)
    assert found.holder == BOX == found.key
    with pytest.raises(TokenError):
        visitors("all").admit({"REMOTE_ADDR": "127.0.0.1"}, "bad", 0.0)


def test_one_box_that_runs_wild_is_held_and_others_are_not() -> None:
    found = visitors("all", rate=2, burst=3)
    wild, other = {"REMOTE_ADDR": "10.0.0.1"}, {"REMOTE_ADDR": "10.0.0.2"}
    for _ in range(3):
        found.admit(wild, "good", 0.0)
    with pytest.raises(TooManyError):
        found.admit(other, "good", 0.0)  # by holder, whatever the address
    found.admit(other, None, 0.0)
    found.admit(wild, "good", 0.5)
    with pytest.raises(TooManyError):
        found.admit(wild, "good", 0.5)
    places = Places(2)
    places.take("a"), places.take("a"), places.take("b")
    with pytest.raises(BusyError):
        places.take("a")
    places.give_back("a")
    places.take("a")
    assert places.total() == 3


def test_boxes_behind_one_address_learn_of_each_other() -> None:
    near = Neighbourhood()
    line, elsewhere = parse_address("203.0.113.9"), parse_address("203.0.113.10")
    assert (
        near.tell("b-1", line, ["http://192.168.1.7:8080", "http://evil.example/", "http://8.8.8.8"], 0) == []
    )
    assert near.tell("b-2", line, ["http://192.168.1.8:8080/"], 1) == [("b-1", "http://192.168.1.7:8080")]
    assert near.tell("b-3", elsewhere, [], 1) == []
    assert near.tell("b-1", line, [], 2) == [("b-2", "http://192.168.1.8:8080")]
    assert near.tell("b-2", line, [], 3) == [], "what no longer says its address is told no more"
    near.tell("b-2", line, ["http://192.168.1.8"], 4)
    assert near.tell("b-1", line, [], 5 + KEEP_SECONDS) == []
    near.tell("b-1", parse_address("10.77.1.11"), ["http://10.77.1.11"], 4)
    assert near.tell("b-2", parse_address("10.77.1.12"), [], 4) == [("b-1", "http://10.77.1.11")], "no NAT"
    assert near.tell("b-2", parse_address("10.77.2.12"), [], 4) == []
    for number in range(2 * MOST_NEAR):
        near.tell(f"b-{number}", line, ["http://10.0.0.1"], 10_000)
    assert len(near.tell("b-x", line, [], 10_000)) == MOST_NEAR


def test_what_is_an_address_on_a_lan() -> None:
    assert lan_url("http://192.168.1.7:8080/") == "http://192.168.1.7:8080"
    assert lan_url("http://[fd00::1]:80") == "http://[fd00::1]:80"
    for wrong in ("https://192.168.1.7", "http://192.168.1.7/x", "http://lesson.local", "http://8.8.8.8",
                  "http://127.0.0.1:80", "http://u@192.168.1.7", "ftp://192.168.1.7", "x"):  # fmt: skip
        assert lan_url(wrong) is None, wrong


def test_the_total_rate_is_shared() -> None:
    assert seeder_share(0) == 0 and seeder_share(1000) == 750
    for seeder in (0, 300, 750):
        for answers in (0, 1, 4):
            pace = Pace(1000, lambda now, rate=seeder: rate, lambda n=answers: n)  # type: ignore[misc]
            assert seeder + pace.share(0.0) * max(1, answers) <= 1000
            assert pace.share(0.0) * max(1, answers) >= 240
    assert Pace(0, lambda now: 5, lambda: 3).share(0.0) == 0


def test_the_kernel_is_told_the_rate_and_told_again_that_there_is_none() -> None:
    pace = Pace(0, lambda now: 0, lambda: 1)
    with socket.socket() as sock:
        for said, rate in (("rtp=800", 100_000), ("", 0xFFFFFFFF), ("rtp=100", 12_500)):
            pace.hold({"gunicorn.socket": sock, "HTTP_CMCD_REQUEST": said}, 0.0)
            told = sock.getsockopt(socket.SOL_SOCKET, 47, 4)  # SO_MAX_PACING_RATE
            assert int.from_bytes(told, sys.byteorder) == rate


@pytest.mark.parametrize(
    ("said", "total", "rate"),
    [
        ("rtp=800", 0, 100_000),
        ("bl=2100,rtp=800,su", 0, 100_000),
        ("rtp=800", 30_000, 30_000),
        ("", 30_000, 30_000),
        ("", 0, 0),
        ("rtp=0", 0, 0),
        ("rtp=-5, xrtp=3, rtp=1.5, rtp=" + "9" * 99, 0, 0),
    ],
)
def test_an_answer_comes_no_faster_than_was_wished(said: str, total: int, rate: int) -> None:
    pace = Pace(total, lambda now: 0, lambda: 1)
    assert pace.rate({"HTTP_CMCD_REQUEST": said} if said else {}, 0.0) == rate


def test_bytes_are_counted_by_box_and_day(tmp_path: Path) -> None:
    path = tmp_path / "work" / "fetched.json"
    counts = Fetched(path)
    counts.add(BOX, 10, "2026-11-20", 100)
    counts.add(BOX, 5, "2026-11-21", 101)
    counts.add(None, 7, "2026-11-21", 200)
    assert counts.by_holder() == {BOX: 15, "open": 7} and counts.by_holder("2026-11-21") == {
        BOX: 5,
        "open": 7,
    }
    assert Fetched(path).by_holder() == {BOX: 15, "open": 7}
    for day in range(1, 60):
        counts.add(BOX, 1, f"2027-{1 + day // 28:02}-{1 + day % 28:02}", 1000)
    assert sum(counts.by_holder().values()) == 31
    path.write_text("damaged")
    assert Fetched(path).by_holder() == {}


def test_a_missing_lesson_has_no_torrent(tmp_path: Path) -> None:
    from content_sync.settings import Settings
    from county.config import COUNTY_SETTINGS
    from county.distribute.outsiders import lesson_torrent
    from county.library import Library

    paths = CountyPaths(tmp_path)
    settings = Settings(COUNTY_SETTINGS, {"urls": ("http://c",)})
    with Library.create(tmp_path / "library.db") as library, pytest.raises(NotFoundError):
        lesson_torrent(paths, settings, library, "nothing", tokens.make_token(KEY, BOX, 1), False)
