"""A real county that lets in nobody without a token: tracker, web seed, neighbours, and how tokens change."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from content_sync.adapters.libtorrent.session import lt, make_session
from content_sync.formats import dsse, torrent
from content_sync.formats.enrolment import Enrolment, parse_enrolment
from content_sync.formats.envelope import parse_envelope
from content_sync.formats.token import make_token
from tests.e2e import library
from tests.e2e.programs import County, set_settings, wait_until


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[County]:
    folder = tmp_path_factory.mktemp("access")
    library.lesson_of_noise(folder / "tree", 1, 600_000, files=2)
    made = County(folder / "county")
    set_settings(made.data / "county.toml", open_access="none", upload_rate=50_000_000)
    made.publish(folder / "tree")
    made.serve()
    yield made
    made.close()


def enrolled(county: County, file: Path) -> Enrolment:
    return parse_enrolment(county.enrol(file).read_bytes())


def token(box: Enrolment, number: int = 1) -> str:
    assert box.token_key is not None
    return make_token(box.token_key, box.box, number)


def package(county: County) -> torrent.Torrent:
    (path,) = (county.data / "public/targets/packages").glob("*.torrent")
    return torrent.parse(path.read_bytes())


def ask(county: County, path: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(county.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def announce(county: County, carried: str, **more: object) -> tuple[int, bytes]:
    asked = {"info_hash": bytes.fromhex(package(county).infohash)[:20], "peer_id": b"-XX0000-abcdefghijkl"}
    return ask(county, f"/announce{carried}?{urlencode({**asked, 'port': 7001, 'left': 5, **more})}")


def refused(answer: tuple[int, bytes]) -> bool:
    return answer[0] == 403 and json.loads(answer[1])["error"]["code"] == "E-TOKEN"


def test_only_with_a_token_that_holds(county: County, tmp_path: Path) -> None:
    box, made = enrolled(county, tmp_path / "e.json"), package(county)
    good = token(box)
    entry = made.files[-1]
    place = f"{made.infohash}/{quote(made.name)}/{quote(entry.path)}"
    for wrong in ("", f"/{good[:-1]}{'0' if good[-1] != '0' else '1'}", f"/{token(box, 2)}", f"/b{'0' * 48}"):
        assert refused(announce(county, wrong)), wrong
        assert refused(ask(county, f"/seed{wrong}/{place}")), wrong
    assert refused(ask(county, f"/neighbours/{token(box, 2)}"))
    status, body = announce(county, f"/{good}")
    assert status == 200 and torrent.bdecode(body)[b"complete"] == 1
    status, body = ask(county, f"/seed/{good}/{place}", Range="bytes=16384-32767")
    stored = county.data / "objects" / entry.file.root[:2] / entry.file.root
    assert (status, body) == (206, stored.read_bytes()[16384:32768])
    assert ask(county, f"/seed/{good}/{'0' * 64}/x/y")[0] == 404 and ask(county, f"/seed/{good}/x")[0] == 404
    fetched = json.loads((county.data / "work/fetched.json").read_text())
    assert [counts[box.box] for counts in fetched["days"].values()] == [16384]
    assert good not in county.words() and "/announce" not in county.words()


def test_a_renewed_token_reaches_the_box_and_a_shut_out_box_is_out(county: County, tmp_path: Path) -> None:
    box = enrolled(county, tmp_path / "e.json")

    def number() -> int:
        body = ask(county, f"/metadata/envelopes/{box.box}.json")[1]
        return parse_envelope(dsse.parse_signed(body, dsse.ENVELOPE_TYPE, 1 << 16).payload).token

    assert number() == 1 and announce(county, f"/{token(box)}")[0] == 200
    county.command("token", box.box, "--renew")
    assert number() == 2
    assert refused(announce(county, f"/{token(box)}")) and announce(county, f"/{token(box, 2)}")[0] == 200
    county.command("token", box.box, "--shut-out")
    assert refused(announce(county, f"/{token(box, 2)}"))
    for wrong in (
        ("token", "b-" + "0" * 16, "--renew"),
        ("torrent", "nothing", "--out", str(tmp_path / "t")),
    ):
        county.command(*wrong, ok=(1,))
    county.command("token", box.box, ok=(2,))


def test_boxes_of_one_line_are_told_of_each_other(county: County, tmp_path: Path) -> None:
    one, two = (enrolled(county, tmp_path / f"{n}.json") for n in range(2))

    def near(box: Enrolment, *urls: str) -> list[dict[str, str]]:
        status, body = ask(county, f"/neighbours/{token(box)}?{urlencode([('url', url) for url in urls])}")
        assert status == 200
        found: list[dict[str, str]] = json.loads(body)["neighbours"]
        return found

    assert near(one, "http://192.168.1.7:8080", "http://evil.example") == []
    assert near(two, "http://192.168.1.8:8080") == [{"box": one.box, "url": "http://192.168.1.7:8080"}]
    assert near(one) == [{"box": two.box, "url": "http://192.168.1.8:8080"}]


def test_the_seeder_lets_in_who_knocks_without_an_announce(county: County, tmp_path: Path) -> None:
    made = package(county)
    session = make_session(0, lsd=False, more={"min_reconnect_time": 1})
    params = lt.load_torrent_buffer(made.data)
    params.save_path = str(tmp_path)
    handle = session.add_torrent(params)
    port = int((county.data / "county.toml").read_text().split("seeder_port = ")[1].split()[0])

    def complete() -> bool:
        session.pop_alerts()
        handle.connect_peer(("127.0.0.1", port))
        return bool(handle.status().is_seeding)

    wait_until(complete, "the seeder has loaded the lesson for the peer")


def test_listeners_prefer_bbr(county: County) -> None:
    with open("/proc/sys/net/ipv4/tcp_allowed_congestion_control", encoding="ascii") as kernel:
        expected = "bbr" if "bbr" in kernel.read().split() else None
    from content_sync.adapters.congestion import prefer_bbr_on
    from county.serve import listen_on

    with listen_on("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = listener.accept()
            with accepted:
                used = (
                    accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
                )
        assert expected is None or used == expected
        with socket.create_server(("127.0.0.1", 0)) as library_made:
            assert prefer_bbr_on(library_made.getsockname()[1]) == (expected is not None)
        listener.getsockname()  # still open: only second descriptors were closed
