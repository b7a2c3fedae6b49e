"""Small files by HTTP; the only import of requests."""

from __future__ import annotations

import re
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import requests
from msgspec import Struct
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from content_sync.errors import NetworkError, NotFoundError, TooBigError
from content_sync.formats.token import hidden

CONNECT_SECONDS, READ_SECONDS = 10, 30
#: A server that drips a byte now and then must not hold the loop for ever: seconds for a file of any size,
#: plus its bytes at the slowest line that is worth waiting for.
_PATIENCE, _SLOWEST = 60, 2_000
_PORTION = 64 << 10
#: Of an error's text, what only this program's authors understand.
_INSIDES = re.compile(r"^\w+\(host=[^)]*\): |Failed to establish a new connection: |\[Errno -?\d+\] ")
#: Answers that are kept to be asked for by their ETag, and the largest of them.
_KEPT, _MOST_KEPT = 8, 64 << 10


class Answer(Struct, frozen=True):
    """What a server said, whatever it said. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpFetcher:
    """ports.Fetcher with one kept-alive connection a host. For one thread.

    `get` takes bodies as they are or gzipped, at most `cap` bytes before and after unpacking; a small one
    that may change is asked for again by its ETag (RFC 9110 13.1.2), so that looking for news costs no body.
    `ask` never unpacks. `timeout`: seconds without a byte. `proxy`: asks it instead of
    the address itself; empty: none.
    """

    def __init__(self, timeout: float = READ_SECONDS, proxy: str = "") -> None:
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or .netrc of the machine is not the box's business
        if proxy:
            self._session.proxies = {"http": proxy, "https": proxy}
        self._session.headers.update({"User-Agent": "LessonBox/1", "Accept-Encoding": "identity"})
        self._kept: dict[str, tuple[str, bytes]] = {}  # URL -> ETag and body of what may change
        self._adapter = _Cuttable()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, self._adapter)

    def get(self, url: str, cap: int) -> bytes:
        """The body; see ports.Fetcher."""
        headers = {"Accept-Encoding": "gzip"}
        kept = self._kept.pop(url, None)
        if kept is not None and len(kept[1]) <= cap:
            headers["If-None-Match"] = kept[0]
        with self._asked("GET", url, cap, headers=headers) as answer:
            if answer.status_code == 304 and kept is not None:
                self._kept[url] = kept
                return kept[1]
            if answer.status_code == 404:
                raise NotFoundError(f"{hidden(url)} is not there")
            if answer.status_code != 200:
                raise NetworkError(f"{hidden(url)} answers {answer.status_code}")
            stated = answer.headers.get("Content-Length", "")
            if stated.isdigit() and int(stated) > cap:
                raise TooBigError(f"{hidden(url)} has {stated} bytes, allowed are {cap}")
            body = _body(answer, cap)
            coding = answer.headers.get("Content-Encoding", "identity").lower()
            changing, etag = "no-cache" in answer.headers.get("Cache-Control", ""), answer.headers.get("ETag")
        if coding == "gzip" and len(body) <= cap:
            body = _unpacked(url, body, cap)
        elif coding not in ("identity", "gzip"):
            raise NetworkError(f"{hidden(url)} answers in the coding {coding[:20]}")
        if len(body) > cap:
            raise TooBigError(f"{hidden(url)} sends more than {cap} bytes")
        if changing and etag and len(body) <= _MOST_KEPT:
            if len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[url] = etag, body
        return body

    def part(self, url: str, first: int, count: int) -> bytes:
        """A byte range (RFC 9110 14); see ports.Fetcher. A server that sends the whole is read so far."""
        headers = {"Range": f"bytes={first}-{first + count - 1}"}
        with self._asked("GET", url, first + count, headers=headers) as answer:
            if answer.status_code == 404:
                raise NotFoundError(f"{hidden(url)} is not there")
            if answer.status_code not in (200, 206, 416):
                raise NetworkError(f"{hidden(url)} answers {answer.status_code}")
            if answer.status_code == 206:
                return _body(answer, count)[:count]
            return _body(answer, first + count)[first : first + count] if answer.status_code == 200 else b""

    def ask(
        self, method: str, url: str, cap: int, data: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request and its answer, of whatever status, the body cut off at `cap` bytes.

        Redirects are not followed. Raises NetworkError.
        """
        with self._asked(method, url, cap, data=data or None, headers=dict(headers or {})) as answer:
            lower = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status_code, lower, _body(answer, cap)[:cap])

    @contextmanager
    def _asked(self, method: str, url: str, cap: int, **more: Any) -> Iterator[requests.Response]:
        """An answer whose body may be read inside the block, all of it before a deadline. Raises
        NetworkError."""
        seconds = _PATIENCE + cap / _SLOWEST
        began = time.monotonic()
        timer = threading.Timer(seconds, self._adapter.cut)
        timer.daemon = True
        timer.start()
        try:
            with self._session.request(
                method,
                url,
                stream=True,
                timeout=(min(CONNECT_SECONDS, self._timeout), self._timeout),
                allow_redirects=False,
                **more,
            ) as answer:
                yield answer
        except (requests.RequestException, HTTPError) as error:
            slow = time.monotonic() - began >= seconds
            why = "is too slow" if slow else f"can't be reached: {_short(error)}"
            raise NetworkError(f"{hidden(url)} {why}") from None
        else:
            if time.monotonic() - began >= seconds:  # a body without a stated length just ends
                raise NetworkError(f"{hidden(url)} is too slow")
        finally:
            timer.cancel()
            self._adapter.tidy()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
        self._adapter.tidy()


def _unpacked(url: str, data: bytes, cap: int) -> bytes:
    """What was gzipped, one byte more than `cap` at most. Raises NetworkError when it is damaged."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(data, cap + 1)
    except zlib.error as error:
        raise NetworkError(f"{hidden(url)} sends damaged gzip: {error}") from None
    if len(body) <= cap and (not unpacker.eof or unpacker.unused_data):
        raise NetworkError(f"{hidden(url)} sends damaged gzip")
    return body


def _body(answer: requests.Response, cap: int) -> bytes:
    """As much of the body as shows whether it is longer than `cap`."""
    body = bytearray()
    for portion in answer.raw.stream(_PORTION, decode_content=False):
        body += portion
        if len(body) > cap:
            break
    return bytes(body)


class _Cuttable(HTTPAdapter):
    """Its connections can be cut off from another thread, whatever they wait for: requests' own time-outs
    begin anew with each byte."""

    def __init__(self) -> None:
        # A second handle of each socket: TLS takes the first one away.
        self._open: dict[HTTPConnection, socket.socket] = {}
        super().__init__()

    def init_poolmanager(self, *values: Any, **more: Any) -> None:
        """Called by requests once, to make the pools."""
        super().init_poolmanager(*values, **more)
        opened = self._open

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                made = super()._new_conn()
                if self in opened:  # the server closed the one before
                    opened[self].close()
                opened[self] = made.dup()
                return made

        class Secure(Plain, HTTPSConnection):
            pass

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self._pools = {"http": PlainPool, "https": SecurePool}
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """Called by requests for each request over a proxy."""
        manager = super().proxy_manager_for(proxy, **more)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def cut(self) -> None:
        """End every connection."""
        for handle in list(self._open.values()):
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    def tidy(self) -> None:
        """Let go of connections that are closed; between two calls."""
        for connection in [connection for connection in self._open if connection.sock is None]:
            self._open.pop(connection).close()


def _short(error: BaseException) -> str:
    """The innermost cause, without urllib3's nesting."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    text = " ".join(str(getattr(error, "reason", None) or error).split())
    return _INSIDES.sub("", text)[-120:]
