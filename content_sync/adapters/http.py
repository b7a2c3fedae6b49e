"""Small files by HTTP; the only import of requests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import requests

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
    """ports.Fetcher with one kept-alive connection a host."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or .netrc of the machine is not the box's business
        self._session.headers["User-Agent"] = "LessonBox/1"

    def get(self, url: str, cap: int) -> bytes:
        """The body; see ports.Fetcher."""
        deadline = time.monotonic() + _PATIENCE + cap / _SLOWEST
        try:
            with self._session.get(
                url, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS), allow_redirects=False
            ) as answer:
                if answer.status_code == 404:
                    raise NotFoundError(f"{url} is not there")
                if answer.status_code != 200:
                    raise NetworkError(f"{url} answers {answer.status_code}")
                _check_length(answer.headers, cap, url)
                data = bytearray()
                for portion in answer.iter_content(_PORTION):
                    data += portion
                    if len(data) > cap:
                        raise TooBigError(f"{url} sends more than {cap} bytes")
                    if time.monotonic() > deadline:
                        raise NetworkError(f"{url} is too slow")
                return bytes(data)
        except requests.RequestException as error:
            raise NetworkError(f"{url} can't be reached: {_short(error)}") from None

    def ask(
        self, method: str, url: str, cap: int, data: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request and its answer, of whatever status, the body cut off at `cap` bytes.

        Redirects are not followed. Raises NetworkError.
        """
        deadline = time.monotonic() + _PATIENCE + cap / _SLOWEST
        try:
            with self._session.request(
                method,
                url,
                data=data or None,
                headers=dict(headers or {}),
                stream=True,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
            ) as answer:
                body = bytearray()
                for portion in answer.iter_content(_PORTION):
                    body += portion
                    if len(body) >= cap or time.monotonic() > deadline:
                        break
                lower = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(answer.status_code, lower, bytes(body[:cap]))
        except requests.RequestException as error:
            raise NetworkError(f"{url} can't be reached: {_short(error)}") from None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _check_length(headers: Mapping[str, str], cap: int, url: str) -> None:
    stated = headers.get("Content-Length", "")
    if stated.isdigit() and int(stated) > cap:
        raise TooBigError(f"{url} has {stated} bytes, allowed are {cap}")


def _short(error: BaseException) -> str:
    """The innermost cause, without urllib3's nesting."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    reason = getattr(error, "reason", None)
    return " ".join(str(reason or error).split())[-120:]
