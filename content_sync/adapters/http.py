"""Small files by HTTP; the only import of requests."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from content_sync.errors import NetworkError, NotFoundError, TooBigError

CONNECT_SECONDS, READ_SECONDS = 10, 30
#: A server that drips a byte now and then must not hold the loop for ever: seconds for a file of any size,
#: plus its bytes at the slowest line that is worth waiting for.
_PATIENCE, _SLOWEST = 60, 2_000
_PORTION = 64 << 10


@dataclass(frozen=True)
class Answer:
    """What a server said, whatever it said. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpFetcher:
    """ports.Fetcher with one kept-alive connection a host. For one thread.

    Bodies are taken as they come, never unpacked: what is capped is what is kept.
    """

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or .netrc of the machine is not the box's business
        self._session.headers.update({"User-Agent": "LessonBox/1", "Accept-Encoding": "identity"})
        self._adapter = _Cuttable()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, self._adapter)

    def get(self, url: str, cap: int) -> bytes:
        """The body; see ports.Fetcher."""
        with self._asked("GET", url, cap) as answer:
            if answer.status_code == 404:
                raise NotFoundError(f"{url} is not there")
            if answer.status_code != 200:
                raise NetworkError(f"{url} answers {answer.status_code}")
            stated = answer.headers.get("Content-Length", "")
            if stated.isdigit() and int(stated) > cap:
                raise TooBigError(f"{url} has {stated} bytes, allowed are {cap}")
            body = _body(answer, cap)
        if len(body) > cap:
            raise TooBigError(f"{url} sends more than {cap} bytes")
        return body

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
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                **more,
            ) as answer:
                yield answer
        except (requests.RequestException, HTTPError) as error:
            slow = time.monotonic() - began >= seconds
            why = "is too slow" if slow else f"can't be reached: {_short(error)}"
            raise NetworkError(f"{url} {why}") from None
        else:
            if time.monotonic() - began >= seconds:  # a body without a stated length just ends
                raise NetworkError(f"{url} is too slow")
        finally:
            timer.cancel()
            self._adapter.tidy()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
        self._adapter.tidy()


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

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

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
    reason = getattr(error, "reason", None)
    return " ".join(str(reason or error).split())[-120:]
