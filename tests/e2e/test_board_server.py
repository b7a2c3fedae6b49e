"""The real server: bytes are right, pages live on while clients stall, ports and signals behave."""

from __future__ import annotations

import http.client
import json
import os
import random
import resource
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from content_sync.formats.lesson import Lesson
from tests.box import SmallBox, sample
from tests.e2e.board import WebProcess
from tests.e2e.programs import wait_until

VIDEO = random.Random(7).randbytes(24 << 20)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallBox, Lesson]:
    return sample(tmp_path_factory.mktemp("box"), int(time.time()), VIDEO)


@pytest.fixture(scope="module")
def web(made: tuple[SmallBox, Lesson]) -> Iterator[WebProcess]:
    process = WebProcess(made[0], "threads = 16\nstreams = 8\n")
    yield process
    process.stop()


def video_path(lesson: Lesson) -> str:
    file = lesson.resources[0].main.file
    return f"/content/{file.root}/a.mp4"


def get(url: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_every_range_is_the_files_own_bytes(web: WebProcess, made: tuple[SmallBox, Lesson]) -> None:
    """gunicorn 20.1 sent a file's beginning for every range (findings.md): never again."""
    chance = random.Random(1)
    with closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)) as connection:
        for _ in range(60):  # one connection: a length that is wrong by one would break the next answer
            start = chance.randrange(len(VIDEO))
            end = min(len(VIDEO), start + chance.choice([1, 999, 70_000, 1 << 20, 30 << 20]))
            connection.request("GET", video_path(made[1]), headers={"Range": f"bytes={start}-{end - 1}"})
            answer = connection.getresponse()
            assert answer.status == 206 and answer.read() == VIDEO[start:end]
    assert get(web.url + video_path(made[1])) == (200, VIDEO)
    status, body = get(web.url + video_path(made[1]), Range="bytes=-10")
    assert (status, body) == (206, VIDEO[-10:])


def stall(port: int, path: str) -> socket.socket:
    """A client that asks for a video and never reads it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


def test_stalled_clients_cost_streams_not_pages(
    web: WebProcess, made: tuple[SmallBox, Lesson], wait_until: Callable[..., None]
) -> None:
    path = video_path(made[1])
    stalled = [stall(web.port, path) for _ in range(40)]
    wait_until(lambda: get(web.url + path, Range="bytes=0-99999")[0] == 503, 20, "the cap")
    began = time.monotonic()
    for _ in range(5):
        assert get(web.url + "/")[0] == 200
    assert time.monotonic() - began < 8
    # 10 s of patience, then their places are free though they still hold on
    wait_until(lambda: get(web.url + path, Range="bytes=0-99999")[0] == 206, 60, "places free again")
    for client in stalled:
        client.close()


def test_silent_and_slow_requests_hold_nobody_up(web: WebProcess) -> None:
    silent = [socket.create_connection(("127.0.0.1", web.port)) for _ in range(20)]
    half = [socket.create_connection(("127.0.0.1", web.port)) for _ in range(6)]
    for client in half:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    assert get(web.url + "/healthz")[0] == 200
    for client in half:  # dropped within the time-out, not kept for ever
        client.settimeout(60)
        try:
            assert not client.recv(1000)
        except ConnectionResetError:
            pass
    for client in silent + half:
        client.close()


def test_thousands_of_idle_connections_hold_nobody_up(web: WebProcess) -> None:
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = []
    try:
        for number in range(2300):
            client = socket.create_connection(("127.0.0.1", web.port))
            if number % 2:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            held.append(client)
        for _ in range(3):
            began = time.monotonic()
            assert get(web.url + "/")[0] == 200
            assert time.monotonic() - began < 8, "72 s when each held a thread or a place"
    finally:
        for client in held:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))


def test_one_address_cannot_hold_every_thread(web: WebProcess) -> None:
    half = [
        socket.create_connection(("127.0.0.1", web.port), source_address=("127.0.0.2", 0)) for _ in range(60)
    ]
    for client in half:
        client.sendall(b"GET / HTTP/1.1\r\nHo")
    time.sleep(1)
    began = time.monotonic()
    assert get(web.url + "/healthz")[0] == 200
    assert time.monotonic() - began < 5, "sixteen threads, sixty halves of requests of ten seconds each"
    for client in half:
        client.close()


def test_a_vanished_client_gives_its_place_back(
    web: WebProcess, made: tuple[SmallBox, Lesson], wait_until: Callable[..., None]
) -> None:
    path = video_path(made[1])
    for _ in range(3):
        for client in [stall(web.port, path) for _ in range(8)]:
            client.close()
        wait_until(lambda: get(web.url + path, Range="bytes=0-99999")[0] == 206, 8, "at once")


def test_usage_is_on_disk_before_the_answer(web: WebProcess, made: tuple[SmallBox, Lesson]) -> None:
    event = {
        "lesson": made[1].id,
        "resource": "r1",
        "visit": "ab" * 8,
        "type": "play",
        "at": 5,
        "position": 2,
    }
    request = urllib.request.Request(
        web.url + "/api/v1/events", json.dumps({"events": [event]}).encode(), {"Cookie": "board=" + "cd" * 8}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 204
    with closing(sqlite3.connect(made[0].paths.usage_db)) as db:
        found = db.execute(
            "SELECT board, kind, type, origin FROM event WHERE visit = ?", ("ab" * 8,)
        ).fetchall()
    assert found == [("cd" * 8, "video", "play", "page")]


def test_two_ports(web: WebProcess, made: tuple[SmallBox, Lesson]) -> None:
    page = quote(f"/c/{made[1].id}/r3/互动课件/index.html")
    assert get(web.courseware + page)[0] == 200
    assert get(web.url + page)[0] == 404
    for path in ("/", "/healthz", video_path(made[1]), "/api/v1/lessons"):
        assert get(web.courseware + path)[0] == 404
    # the port is the socket's, whatever the request says
    assert get(web.url + page, Host=web.courseware[7:])[0] == 404


def test_ends_quickly_with_streams_open(made: tuple[SmallBox, Lesson]) -> None:
    web = WebProcess(made[0])
    clients = [stall(web.port, video_path(made[1])) for _ in range(3)]
    assert get(web.url + "/")[0] == 200
    assert web.stop() < 15 and web.process.returncode == 0
    for client in clients:
        client.close()


def test_takes_the_sockets_of_systemd(made: tuple[SmallBox, Lesson]) -> None:
    """sd_listen_fds(3): a restart under the same sockets refuses nobody."""
    with socket.create_server(("127.0.0.1", 0)) as pages, socket.create_server(("127.0.0.1", 0)) as second:
        ports = pages.getsockname()[1], second.getsockname()[1]
        high = [os.dup(s.fileno()) for s in (pages, second)]

        def hand_over() -> None:
            # in the child, after the fork
            spare = [os.dup(fd) for fd in high]
            for number, fd in enumerate(spare):
                os.dup2(fd, 3 + number, inheritable=True)

        code = (
            "import os,sys; os.environ['LISTEN_PID']=str(os.getpid()); os.environ['LISTEN_FDS']='2';"
            "from appliance.__main__ import main; sys.exit(main())"
        )
        answers: list[int] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answers.append(get(f"http://127.0.0.1:{ports[0]}/healthz")[0])

        asking = threading.Thread(target=ask)
        for turn in range(2):
            child = subprocess.Popen(
                [sys.executable, "-c", code, "web", "--data", str(made[0].data)],
                cwd=Path(__file__).parents[2],
                preexec_fn=hand_over,
                close_fds=False,
                stderr=subprocess.DEVNULL,
            )
            assert get(f"http://127.0.0.1:{ports[0]}/healthz")[0] == 200
            if not turn:
                asking.start()
            page = quote(f"/c/{made[1].id}/r3/互动课件/index.html")
            assert get(f"http://127.0.0.1:{ports[1]}{page}")[0] == 200
            least = len(answers) + 1 + turn  # one more before the restart, two after it
            wait_until(lambda least=least: len(answers) >= least, "answers while it runs")
            if turn:
                stop.set()
                asking.join()
            child.terminate()
            child.wait(30)
        assert set(answers) == {200} and len(answers) > 2
        for fd in high:
            os.close(fd)


def test_lessons_are_shown_where_usage_cannot_be_kept(tmp_path: Path) -> None:
    box, lesson = sample(tmp_path / "box", int(time.time()), VIDEO[:100_000])
    with closing(sqlite3.connect(box.paths.usage_db)) as newer:
        newer.execute("PRAGMA user_version = 99")
        newer.commit()
    process = WebProcess(box)
    try:
        resource = lesson.resources[0]
        status, page = get(f"{process.url}/lesson/{lesson.id}/{resource.id}")
        assert status == 200 and resource.title.encode() in page
        event = {"lesson": lesson.id, "resource": resource.id, "visit": "ab" * 8, "type": "open", "at": 1}
        told = urllib.request.Request(
            f"{process.url}/api/v1/events",
            json.dumps({"events": [{**event, "position": 0}]}).encode(),
            {"Content-Type": "application/json"},
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(told, timeout=30)
        with refused.value as answer:
            assert answer.code == 503 and json.load(answer)["error"]["code"] == "E-NEWER-DATA"
        with closing(sqlite3.connect(box.paths.usage_db)) as newer:
            assert newer.execute("PRAGMA user_version").fetchone() == (99,)
    finally:
        process.stop()


def test_a_damaged_chunk_is_a_bad_request(web: WebProcess) -> None:
    with closing(socket.create_connection(("127.0.0.1", web.port), timeout=30)) as raw:
        raw.sendall(
            b"POST /api/v1/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/json\r\nConnection: close\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
        )
        assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")
