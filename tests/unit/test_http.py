"""Small files from servers that mean harm: slow ones, endless ones, packed ones."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from content_sync.adapters import http
from content_sync.adapters.http import HttpFetcher
from content_sync.errors import NetworkError, NotFoundError, TooBigError

Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answers each connection by a function; the address."""
    listeners: list[socket.socket] = []

    def start(answer: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def work() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65536)
                        answer(connection)
                    except OSError:
                        pass

        threading.Thread(target=work, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/x"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def drip(head: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(600):
            connection.sendall(b"a")
            time.sleep(0.05)

    return answer


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "]
)
def test_a_server_that_drips_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """Its every byte comes within the time-out of one read."""
    monkeypatch.setattr(http, "_PATIENCE", 0.5)
    url, fetcher, began = serve(drip(head)), HttpFetcher(), time.monotonic()
    for call in (lambda: fetcher.get(url, 1000), lambda: fetcher.ask("GET", url, 1000)):
        with pytest.raises(NetworkError, match="too slow"):
            call()
    assert time.monotonic() - began < 15
    fetcher.close()


def test_after_a_cut_it_goes_on(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def answer(connection: socket.socket) -> None:
        calls.append(1)
        if len(calls) == 1:
            drip(b"HTTP/1.1 200 OK\r\n\r\n")(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    monkeypatch.setattr(http, "_PATIENCE", 0.5)
    url, fetcher = serve(answer), HttpFetcher()
    with pytest.raises(NetworkError):
        fetcher.get(url, 100)
    for _ in range(3):
        assert fetcher.get(url, 100) == b"ok"
    assert fetcher._adapter._open == {}
    fetcher.close()


def test_a_packed_body_is_unpacked_to_its_cap_and_no_further(serve: Serve) -> None:
    bomb = gzip.compress(bytes(50 << 20))
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        % len(bomb)
    )
    url, fetcher = serve(lambda connection: connection.sendall(head + bomb)), HttpFetcher()
    with pytest.raises(TooBigError):
        fetcher.get(url, 1 << 20)
    assert fetcher.ask("GET", url, 100).body == bomb[:100]
    fetcher.close()


def test_what_is_too_big_elsewhere_or_not_there(serve: Serve) -> None:
    fetcher = HttpFetcher()
    endless = serve(lambda it: [it.sendall(bytes(1 << 16)) for _ in range(1000)] and None)
    with pytest.raises(NetworkError):
        fetcher.get(endless, 1000)
    for head in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1001),
    ):
        with pytest.raises(TooBigError):
            fetcher.get(serve(lambda it, head=head: it.sendall(head)), 1000)  # type: ignore[misc]
    moved = serve(lambda it: it.sendall(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"))
    with pytest.raises(NetworkError, match="302"):
        fetcher.get(moved, 1000)
    gone = serve(lambda it: it.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(NotFoundError):
        fetcher.get(gone, 1000)
    cut = serve(lambda it: it.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"))
    with pytest.raises(NetworkError):
        fetcher.get(cut, 1000)
    fetcher.close()


class _Signed(BaseHTTPRequestHandler):
    """Answers as a county does: gzip, ETag; counts what it was asked."""

    protocol_version = "HTTP/1.1"
    body = b"signed " * 1000
    packed = gzip.compress(body)
    asked: list[tuple[str | None, int]]

    def do_GET(self) -> None:
        bodies = {
            "/bomb": gzip.compress(bytes(1 << 20)),
            "/cut": self.packed[:-9],
            "/more": self.packed + b"x",
        }
        data = bodies.get(self.path, self.packed)
        tag = self.headers.get("If-None-Match")
        same = tag == '"7"'
        self.asked.append((tag, 304 if same else 200))
        self.send_response(304 if same else 200)
        self.send_header("ETag", '"7"')
        self.send_header("Cache-Control", "no-cache")
        if not same:
            self.send_header("Content-Encoding", "br" if self.path == "/br" else "gzip")
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not same:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def signed() -> Iterator[str]:
    _Signed.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Signed)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_news_are_asked_for_by_etag_and_come_gzipped(signed: str) -> None:
    fetcher = HttpFetcher()
    for _ in range(3):
        assert fetcher.get(f"{signed}/timestamp.json", 7000) == _Signed.body
    assert _Signed.asked == [(None, 200), ('"7"', 304), ('"7"', 304)]
    fetcher.close()


@pytest.mark.parametrize(
    ("path", "error"),
    [("bomb", TooBigError), ("cut", NetworkError), ("more", NetworkError), ("br", NetworkError)],
)
def test_gzip_is_no_way_round_the_cap(signed: str, path: str, error: type[Exception]) -> None:
    fetcher = HttpFetcher()
    with pytest.raises(error):
        fetcher.get(f"{signed}/{path}", 7000)
    with pytest.raises(TooBigError):
        fetcher.get(f"{signed}/x", 6999)
    fetcher.close()


def test_a_part_of_a_file_from_servers_with_and_without_ranges(serve: Serve) -> None:
    heads = {
        "ranges": (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\n3456", b"3456"),
        "none": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", b"3456"),
        "shorter": (b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n", b""),
    }
    for said, expected in heads.values():
        fetcher = HttpFetcher()
        assert fetcher.part(serve(lambda c, said=said: c.sendall(said)), 3, 4) == expected  # type: ignore[misc]
        fetcher.close()
    for status, error in ((b"404 Not Found", NotFoundError), (b"503 Busy", NetworkError)):
        fetcher = HttpFetcher()
        said = b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"
        with pytest.raises(error):
            fetcher.part(serve(lambda c, said=said: c.sendall(said)), 3, 4)  # type: ignore[misc]
        fetcher.close()
