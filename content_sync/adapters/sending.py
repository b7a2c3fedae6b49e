"""Sending a file, or one byte range of it, from any WSGI app: what a video player and a web seed ask for.

Standard library only: box and county share it. gunicorn's sendfile starts at the descriptor's own offset and
sends Content-Length bytes, so the file is sought first and the length is exact; a player's jump to the end of
1 GB then costs nothing (Flask's own `send_file` reads up to it: findings, "Serving"). RFC 9110: 13
(conditions), 14 (ranges).
"""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from content_sync.adapters.files import storage_errors
from content_sync.errors import BusyError, LengthError

Headers = list[tuple[str, str]]
_RANGE = re.compile(r"bytes\s*=\s*([0-9]{0,40})\s*-\s*([0-9]{0,40})\s*", re.IGNORECASE)
_PORTION = 1 << 16


def parse_range(header: str | None, length: int) -> tuple[int, int] | None:
    """First byte and count that a Range header asks of a file of `length` bytes; None: send it whole.

    Several ranges, other units and nonsense are ignored, as RFC 9110 14.2 allows. A count of 0 means that the
    range lies outside the file (416).
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        if not last:
            return None
        count = min(int(last), length)
        return length - count, count
    start, end = int(first), int(last) if last else length - 1
    if last and end < start:
        return None
    return (start, min(end, length - 1) - start + 1) if start < length else (start, 0)


def _names_etag(header: str | None, etag: str, weak: bool) -> bool:
    """Whether a list of entity tags names ours. If-None-Match compares weakly, If-Range strongly (RFC 9110
    8.8.3.2)."""
    for item in (header or "").split(","):
        tag = item.strip()
        if weak and tag.startswith("W/"):
            tag = tag[2:]
        if tag == f'"{etag}"' or (weak and tag == "*"):
            return True
    return False


class _Portions:
    """Exactly `count` bytes from where a stream stands; for servers without a file wrapper."""

    def __init__(self, stream: BinaryIO, count: int) -> None:
        self._stream, self._left = stream, count

    def __iter__(self) -> Iterator[bytes]:
        while self._left and (data := self._stream.read(min(_PORTION, self._left))):
            self._left -= len(data)
            yield data

    def close(self) -> None:
        """Called by the server when the answer is sent or given up (PEP 3333)."""
        self._stream.close()


def send_range(
    environ: dict[str, Any],
    stream: BinaryIO,
    length: int,
    *,
    etag: str,
    content_type: str,
    extra: Sequence[tuple[str, str]] = (),
) -> tuple[str, Headers, Iterable[bytes]]:
    """Answer a GET or HEAD for `stream`, whose whole length is `length` bytes: status line, headers, body.

    `stream` is a fresh binary file; it is closed with the body. `etag` stands without quotes and must be
    strong (equal only for equal bytes). Hand the body to the server unwrapped (Flask:
    `direct_passthrough=True`), else sendfile is lost. Answers 200, 206, 304 or 416. Raises LengthError when
    the file on disk is not `length` bytes long: a short body would leave the connection out of step.
    """
    raw: BinaryIO = stream.detach() if isinstance(stream, io.BufferedReader) else stream  # type: ignore[assignment]
    try:
        descriptor: int | None = raw.fileno()
    except (OSError, AttributeError):
        descriptor = None
    if descriptor is not None and os.fstat(descriptor).st_size != length:
        raw.close()
        raise LengthError(f"a file is not {length} bytes long")
    headers: Headers = [("Accept-Ranges", "bytes"), ("ETag", f'"{etag}"'), *extra]
    if _names_etag(environ.get("HTTP_IF_NONE_MATCH"), etag, weak=True):
        raw.close()
        return "304 Not Modified", headers, []
    wanted = None
    if "HTTP_IF_RANGE" not in environ or _names_etag(environ["HTTP_IF_RANGE"], etag, weak=False):
        wanted = parse_range(environ.get("HTTP_RANGE"), length)
    if wanted is not None and not wanted[1]:
        raw.close()
        headers += [("Content-Range", f"bytes */{length}"), ("Content-Length", "0")]
        return "416 Range Not Satisfiable", headers, []
    start, count = wanted or (0, length)
    headers += [("Content-Type", content_type), ("Content-Length", str(count))]
    if wanted is not None:
        headers.append(("Content-Range", f"bytes {start}-{start + count - 1}/{length}"))
    status = "200 OK" if wanted is None else "206 Partial Content"
    if environ.get("REQUEST_METHOD") == "HEAD":
        raw.close()
        return status, headers, []
    raw.seek(start)
    wrapper = environ.get("wsgi.file_wrapper") if descriptor is not None else None
    return status, headers, wrapper(raw, _PORTION) if wrapper else _Portions(raw, count)


def limit_stall(environ: dict[str, Any], seconds: float) -> None:
    """Give up on a client that takes no byte for `seconds`: it must not hold a thread for ever. Only gunicorn
    shows its socket."""
    sock = environ.get("gunicorn.socket")
    if sock is not None:
        sock.settimeout(seconds)


class _Counted(io.FileIO):
    """A file whose closing is told, once."""

    def __init__(self, path: Path, closed: Callable[[], None]) -> None:
        self._closed: Callable[[], None] | None = None
        super().__init__(path, "rb")
        self._closed = closed

    def close(self) -> None:
        closed, self._closed = self._closed, None
        super().close()
        if closed is not None:
            closed()


class Streams:
    """Opens files for sending, at most `most` at once, so that threads stay free for pages."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._open = 0

    @property
    def free(self) -> int:
        """How many more may be opened now."""
        return self._most - self._open

    def open(self, path: Path, closed: Callable[[], None] = lambda: None) -> tuple[BinaryIO, int]:
        """The open file and its length; `closed` is called when it is closed, and only then. Raises BusyError
        (answer 503), NotFoundError, StorageError."""
        with self._lock:
            if self._open >= self._most:
                raise BusyError("too many files are being sent at this moment")
            self._open += 1

        def done() -> None:
            with self._lock:
                self._open -= 1
            closed()

        try:
            with storage_errors(path.name):
                stream = _Counted(path, done)
        except BaseException:
            with self._lock:
                self._open -= 1
            raise
        return stream, os.fstat(stream.fileno()).st_size
