"""What other boxes may read here: which blocks of a package are verified, and those blocks (formats.md 9).

Plain WSGI like content.py. Nothing that is said or sent is believed from anywhere else: a block counts once
this process has hashed it against its leaf, and each is hashed again as it is sent, so that not even sync
writing at the same moment can make it lie.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from msgspec import Struct

from content_sync.adapters.files import read_capped
from content_sync.adapters.objects import open_regular
from content_sync.adapters.sending import Streams, parse_range
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import LessonBoxError, NotFoundError
from content_sync.formats import torrent
from content_sync.formats.hashtree import BLOCK, FileId, block_count, block_length, block_ok

Environ = dict[str, Any]
#: Bytes of one answer; answers under way at once; places for boards that must be free for any answer.
MOST_BYTES, MOST_AT_ONCE, FREE_FOR_BOARDS = 1 << 20, 4, 0.25
#: Bytes that one question about a package may make this box hash, and seconds that its answer is good for.
_HASHED_AT_ONCE, _GOOD_SECONDS = 16 << 20, 1.0
_PACKAGES_KEPT, _FILES_KEPT = 16, 256
_MAX_LEAVES = 256 << 20
_HAVE = re.compile(r"/api/v1/have/([0-9a-f]{64})")
_BLOCKS = re.compile(r"/blocks/([0-9a-f]{64})")
_LISTED = re.compile(r"[0-9a-f]{64}\.([0-9a-f]{64})\.(torrent|leaves)")


class _Package(Struct, frozen=True):
    files: tuple[FileId, ...]
    leaves: dict[str, bytes]  # by root


class _Arriving:
    """Which blocks of an arriving file were seen whole; they are never taken away again by sync."""

    def __init__(self, blocks: int) -> None:
        self.seen = bytearray(blocks)
        self.next = 0  # where the next question goes on


class Sharing:
    """`GET /api/v1/have/…` and `GET /blocks/…`. `monotonic`: the clock."""

    def __init__(
        self,
        objects: Path,
        partial: Path,
        packages: Path,
        reader: StateReader,
        boards: Streams,
        monotonic: Callable[[], float],
    ) -> None:
        """`packages`: the folder of torrents and leaf lists in trust/; `boards`: what is sent to boards."""
        self._objects, self._partial, self._packages = objects, partial, packages
        self._reader, self._boards, self._monotonic = reader, boards, monotonic
        self._least_free = max(1, int(boards.free * FREE_FOR_BOARDS))
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Package] = OrderedDict()
        self._arriving: OrderedDict[str, _Arriving] = OrderedDict()
        self._answers: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._names: tuple[int, dict[str, dict[str, str]]] = 0, {}

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        """WSGI."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _answer(environ, start, 405, headers=[("Allow", "GET, HEAD")])
        if self._boards.free < self._least_free or not self._places.acquire(blocking=False):
            return _error(environ, start, 503, "E-BUSY", "boards go before other boxes")
        try:
            path: str = environ["PATH_INFO"]
            if match := _HAVE.fullmatch(path):
                body = self._have(match[1])
                return _answer(environ, start, 200, body, [("Content-Type", "application/json")])
            if match := _BLOCKS.fullmatch(path):
                return self._send(environ, start, match[1])
            return _error(environ, start, 404, "E-NOT-FOUND", "no such thing")
        except NotFoundError as error:
            return _error(environ, start, 404, error.code, error.what)
        except (LessonBoxError, OSError):
            return _error(environ, start, 503, "E-STORAGE", "this can't be read now")
        finally:
            self._places.release()

    # Which blocks are here

    def _have(self, infohash: str) -> bytes:
        now = self._monotonic()
        with self._lock:
            said, body = self._answers.get(infohash, (float("-inf"), b""))
        if now - said < _GOOD_SECONDS:
            return body
        package = self._package(infohash)
        budget, listed = _HASHED_AT_ONCE, []
        for file in package.files:
            have: str
            if self._whole(file):
                have = "all"
            else:
                seen, hashed = self._look(file, package.leaves[file.root], budget)
                budget -= hashed
                have = "none" if 1 not in seen else "all" if 0 not in seen else _hex(seen)
            listed.append({"root": file.root, "size": file.length, "have": have})
        body = json.dumps({"infohash": infohash, "files": listed}, separators=(",", ":")).encode()
        with self._lock:
            _keep(self._answers, infohash, (now, body), _PACKAGES_KEPT)
        return body

    def _whole(self, file: FileId) -> bool:
        return self._reader.has_object(file) and (self._objects / file.root[:2] / file.root).is_file()

    def _look(self, file: FileId, leaves: bytes, budget: int) -> tuple[bytes, int]:
        """One byte a block (1: seen whole), and how many bytes were read for it, at most about `budget`."""
        with self._lock:
            found = self._arriving.get(file.root) or _Arriving(block_count(file.length))
            _keep(self._arriving, file.root, found, _FILES_KEPT)
            begin = found.next
        try:
            stream = open_regular(self._partial / file.root)
        except FileNotFoundError:
            with self._lock:
                self._arriving.pop(file.root, None)
            return bytes(len(found.seen)), 0
        read, index, came = 0, begin, 0
        with stream:
            while came < len(found.seen) and read < budget:
                index %= len(found.seen)
                written = _next_written(stream.fileno(), index)
                if written > index:  # a hole: nothing was written there yet
                    step = min(written, len(found.seen)) - index
                    index, came = index + step, came + step
                    continue
                if not found.seen[index]:
                    data = os.pread(stream.fileno(), block_length(file.length, index), index * BLOCK)
                    read += len(data)
                    if block_ok(file, leaves, index, data):
                        found.seen[index] = 1
                index, came = index + 1, came + 1
        found.next = index % len(found.seen)
        return bytes(found.seen), read

    # Blocks

    def _send(self, environ: Environ, start: Callable[..., Any], root: str) -> Iterable[bytes]:
        file, leaves = self._file(root)
        wanted = parse_range(environ.get("HTTP_RANGE"), file.length)
        end = wanted[0] + wanted[1] if wanted else 0
        if (
            wanted is None
            or not 0 < wanted[1] <= MOST_BYTES
            or wanted[0] % BLOCK
            or (end % BLOCK and end != file.length)
        ):
            return _answer(environ, start, 416, headers=[("Content-Range", f"bytes */{file.length}")])
        data = self._verified(file, leaves, wanted[0], wanted[1])
        headers = [
            ("Content-Type", "application/octet-stream"),
            ("Content-Range", f"bytes {wanted[0]}-{end - 1}/{file.length}"),
            ("Cache-Control", "no-store"),
        ]
        return _answer(environ, start, 206, data, headers)

    def _verified(self, file: FileId, leaves: bytes, first: int, count: int) -> bytes:
        """These bytes, every block of them hashed. Raises NotFoundError."""
        for path in (self._objects / file.root[:2] / file.root, self._partial / file.root):
            try:
                with open_regular(path) as stream:
                    data = os.pread(stream.fileno(), count, first)
            except FileNotFoundError:
                continue
            view = memoryview(data)
            blocks = range(first // BLOCK, -(-(first + count) // BLOCK))
            if len(data) == count and all(
                block_ok(file, leaves, index, view[at : at + BLOCK])
                for at, index in zip(range(0, count, BLOCK), blocks, strict=True)
            ):
                return data
        raise NotFoundError(f"blocks of {file.root}")

    # Packages

    def _file(self, root: str) -> tuple[FileId, bytes]:
        for infohash in self._reader.packages_with(root):
            package = self._package(infohash)
            for file in package.files:
                if file.root == root:
                    return file, package.leaves[root]
        raise NotFoundError(f"file {root}")

    def _package(self, infohash: str) -> _Package:
        """A package that this box has or wants, from trust/, where it was verified. Raises NotFoundError."""
        with self._lock:
            known = self._known.get(infohash)
            names = self._listing().get(infohash, {})
        if len(names) < 2:
            raise NotFoundError(f"package {infohash}")
        if known is None:
            made = torrent.parse(
                read_capped(self._packages / names["torrent"], torrent.MAX_TORRENT), expect=infohash
            )
            lists = torrent.split_leaves(made, read_capped(self._packages / names["leaves"], _MAX_LEAVES))
            known = _Package(
                tuple(entry.file for entry in made.files),
                {entry.file.root: lists[entry.path] for entry in made.files},
            )
        with self._lock:
            _keep(self._known, infohash, known, _PACKAGES_KEPT)
        return known

    def _listing(self) -> dict[str, dict[str, str]]:
        """Infohash -> ending -> name, read again when the folder has changed."""
        try:
            changed = self._packages.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if changed != self._names[0]:
            found: dict[str, dict[str, str]] = {}
            for name in os.listdir(self._packages):
                if match := _LISTED.fullmatch(name):
                    found.setdefault(match[1], {})[match[2]] = name
            self._names = changed, found
        return self._names[1]


def _keep(kept: OrderedDict[str, Any], key: str, value: Any, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


def _next_written(descriptor: int, index: int) -> int:
    """The first block from `index` on that may hold something (SEEK_DATA: space that was only reserved is a
    hole)."""
    try:
        return os.lseek(descriptor, index * BLOCK, os.SEEK_DATA) // BLOCK
    except OSError:
        return 1 << 62  # nothing further


def _hex(seen: bytes) -> str:
    """One bit a block, the first the highest of its byte."""
    bits = seen.translate(bytes.maketrans(b"\0\1", b"01")).ljust(-(-len(seen) // 8) * 8, b"0")
    return int(bits, 2).to_bytes(len(bits) // 8, "big").hex()


def _answer(
    environ: Environ,
    start: Callable[..., Any],
    status: int,
    body: bytes = b"",
    headers: Iterable[tuple[str, str]] = (),
) -> Iterable[bytes]:
    head = [*headers, ("Content-Length", str(len(body)))]
    if not any(name == "Cache-Control" for name, _ in head):
        head.append(("Cache-Control", "no-store"))
    start(f"{status} {HTTPStatus(status).phrase}", head)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _error(environ: Environ, start: Callable[..., Any], status: int, code: str, what: str) -> Iterable[bytes]:
    body = json.dumps({"error": {"code": code, "message": what}}).encode()
    headers = [("Content-Type", "application/json")]
    if status == 503:
        headers.append(("Retry-After", "5"))
    return _answer(environ, start, status, body, headers)
