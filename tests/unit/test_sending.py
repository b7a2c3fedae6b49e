"""Byte ranges: the parser, the conditions, every byte over a real gunicorn (an old one sent wrong ones)."""

from __future__ import annotations

import http.client
import io
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from content_sync.adapters.sending import Streams, parse_range, send_range
from content_sync.errors import BusyError, LengthError, NotFoundError

SIZE = 300_007
DATA = random.Random(7).randbytes(SIZE)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-", (10, 90)),
        ("bytes=-10", (90, 10)),
        ("bytes=-1000", (0, 100)),
        ("bytes=50-1000", (50, 50)),
        ("Bytes = 1 - 2", (1, 2)),
        ("bytes=99-99", (99, 1)),
        ("bytes=100-", (100, 0)),
        ("bytes=100-200", (100, 0)),
        ("bytes=-0", (100, 0)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=1-2,5-6", None),
        ("items=1-2", None),
        ("bytes=१-२", None),
        ("bytes=" + "9" * 5000 + "-", None),
        ("bytes=-1-2", None),
    ],
)
def test_parse_range(header: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == expected


def send(stream: object, **environ: str) -> tuple[str, dict[str, str], bytes]:
    status, headers, body = send_range(
        {"REQUEST_METHOD": "GET", **environ}, stream, 100, etag="e", content_type="text/plain"
    )  # type: ignore[arg-type]
    data = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return status[:3], dict(headers), data


def test_conditions() -> None:
    hundred = bytes(range(100))
    assert send(io.BytesIO(hundred))[::2] == ("200", hundred)
    status, headers, data = send(io.BytesIO(hundred), HTTP_RANGE="bytes=5-9")
    assert (status, data, headers["Content-Range"]) == ("206", hundred[5:10], "bytes 5-9/100")
    assert send(io.BytesIO(hundred), HTTP_RANGE="bytes=5-9", HTTP_IF_RANGE='"e"')[0] == "206"
    assert send(io.BytesIO(hundred), HTTP_RANGE="bytes=5-9", HTTP_IF_RANGE='W/"e"')[0] == "200"
    assert (
        send(io.BytesIO(hundred), HTTP_RANGE="bytes=5-9", HTTP_IF_RANGE="Sat, 21 Nov 2026 08:00:00 GMT")[0]
        == "200"
    )
    assert send(io.BytesIO(hundred), HTTP_IF_NONE_MATCH='"x", W/"e"')[::2] == ("304", b"")
    assert send(io.BytesIO(hundred), HTTP_IF_NONE_MATCH='"x"')[0] == "200"
    status, headers, data = send(io.BytesIO(hundred), HTTP_RANGE="bytes=100-")
    assert (status, headers["Content-Range"], headers["Content-Length"], data) == (
        "416",
        "bytes */100",
        "0",
        b"",
    )
    status, headers, data = send(io.BytesIO(hundred), REQUEST_METHOD="HEAD", HTTP_RANGE="bytes=-7")
    assert (status, headers["Content-Length"], data) == ("206", "7", b"")


def test_streams_that_were_read_or_buffered_start_where_they_must(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes(range(100)))
    stream = file.open("rb")
    assert stream.read(3) == bytes(range(3))
    assert send(stream, HTTP_RANGE="bytes=2-4")[::2] == ("206", bytes([2, 3, 4]))


def test_a_file_of_another_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"short")
    with pytest.raises(LengthError):
        send((tmp_path / "f").open("rb"))


def test_places_come_back(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100)
    streams = Streams(2)
    first, length = streams.open(tmp_path / "f")
    second, _ = streams.open(tmp_path / "f")
    assert length == 100
    with pytest.raises(BusyError):
        streams.open(tmp_path / "f")
    second.close()
    second.close()
    with pytest.raises(NotFoundError):
        streams.open(tmp_path / "absent")
    third, _ = streams.open(tmp_path / "f")
    with pytest.raises(BusyError):
        streams.open(tmp_path / "f")
    send(first)
    streams.open(tmp_path / "f")[0].close()
    third.close()


APP = """
from pathlib import Path
from content_sync.adapters.sending import Streams, limit_stall, send_range
streams, path = Streams(4), Path({path!r})
def app(environ, start_response):
    limit_stall(environ, 10)
    stream, length = streams.open(path)
    status, headers, body = send_range(environ, stream, length, etag="e", content_type="video/mp4")
    if status[:3] in ("200", "206") and environ["REQUEST_METHOD"] != "HEAD":
        assert type(body) is environ["wsgi.file_wrapper"]  # what gunicorn sends by sendfile
    start_response(status, headers)
    return body
"""


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("gunicorn")
    (folder / "video").write_bytes(DATA)
    (folder / "sendapp.py").write_text(APP.format(path=str(folder / "video")))
    paths = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-k", "gthread", "--threads", "4", "--keep-alive", "20",
         "-b", "127.0.0.1:0", "--no-control-socket", "sendapp:app"],
        env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    port = 0
    deadline = time.monotonic() + 30
    while not port and time.monotonic() < deadline and (line := process.stderr.readline()):
        if "Listening at: http://127.0.0.1:" in line:
            port = int(line.rsplit("http://127.0.0.1:", 1)[1].split()[0])
    try:
        assert port, "gunicorn did not start"
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_every_byte_over_gunicorn(gunicorn: int) -> None:
    """On one kept-alive connection, so that a wrong length would also spoil the next answer."""
    connection = http.client.HTTPConnection("127.0.0.1", gunicorn, timeout=30)
    chance = random.Random(1)
    cases = [(0, SIZE - 1), (0, 0), (SIZE - 1, SIZE - 1), (65_536, 131_071)]
    cases += [tuple(sorted(chance.choices(range(SIZE), k=2))) for _ in range(40)]  # type: ignore[misc]
    for first, last in cases:
        connection.request("GET", "/", headers={"Range": f"bytes={first}-{last}"})
        answer = connection.getresponse()
        assert answer.status == 206
        assert answer.read() == DATA[first : last + 1], (first, last)
    connection.request("HEAD", "/")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Length"], answer.read()) == (200, str(SIZE), b"")
    connection.request("GET", "/", headers={"Range": f"bytes={SIZE}-"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (416, b"")
    connection.request("GET", "/", headers={"If-None-Match": '"e"'})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (304, b"")
    connection.request("GET", "/")
    assert connection.getresponse().read() == DATA
    connection.close()
