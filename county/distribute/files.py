"""Files over HTTP: `/metadata/…`, `/targets/…`, and the BEP 19 web seed `/seed/<token>/…` (formats.md 8)."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import stat
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from flask import Blueprint, Response, request

from content_sync.adapters.sending import Streams, limit_stall, send_range
from content_sync.errors import NotFoundError
from content_sync.formats.hashtree import FileId
from content_sync.formats.token import is_token
from county.distribute.figures import read_figures
from county.distribute.pacing import Pace
from county.distribute.visitors import Places, Visitor
from county.library import Library
from county.publish.store import object_path
from county.services import PerThread, Services
from county.stats.figures import zone_of

#: A box on a lossy link may be slow; one that takes no byte for so long is gone.
STALL_SECONDS = 60
_FOREVER = "public, max-age=31536000, immutable"
_VERSIONED = re.compile(r"[0-9]+\.[a-z]+\.json|[0-9a-f]{64}\..+")
_TYPES = {".json": "application/json", ".torrent": "application/x-bittorrent"}
_MOST_CACHED = 500
#: Bytes of a file that is worth gzipping, and of the largest that is gzipped in memory.
_WORTH, _MOST_PACKED = 400, 16 << 20


def answer(stream: BinaryIO, length: int, **about: Any) -> Response:
    """A Flask answer of a whole file or a range of it, sent by sendfile."""
    limit_stall(request.environ, STALL_SECONDS)
    status, headers, body = send_range(request.environ, stream, length, **about)
    return Response(body, status=status, headers=headers, direct_passthrough=True)


class Packages:
    """Which object a web-seed path means. What an infohash names never changes, so it is remembered."""

    def __init__(self, library: PerThread[Library]) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, dict[str, FileId]]] = {}

    def find(self, infohash: str, name: str, path: str) -> FileId:
        """The identity of a package's file. Raises NotFoundError."""
        with self._lock:
            known = self._known.get(infohash)
        if known is None:
            row = self._library().package(infohash)
            if row is None:
                raise NotFoundError(f"package {infohash[:64]!r}")
            known = (row.name, self._library().package_files(infohash))
            with self._lock:
                if len(self._known) >= _MOST_CACHED:
                    self._known.pop(next(iter(self._known)))
                self._known[infohash] = known
        if known[0] != name or path not in known[1]:
            raise NotFoundError(f"file {path[:80]!r} of package {infohash}")
        return known[1][path]


def _public_path(folder: Path, name: str) -> Path:
    """A file below a public folder; what begins with a dot is being written. Raises NotFoundError."""
    parts = name.split("/")
    if any(not part or part.startswith(".") or "\\" in part or "\0" in part for part in parts):
        raise NotFoundError(f"file {name[:80]!r}")
    path = folder.joinpath(*parts)
    try:
        mode = path.stat().st_mode
    except OSError:  # is_file() would raise for a name that is too long
        mode = 0
    if not stat.S_ISREG(mode):
        raise NotFoundError(f"file {name[:80]!r}")
    return path


class Packed:
    """gzipped forms of the signed files, each made once: they are asked for by every box. At most so many
    bytes of them are kept. For any thread."""

    def __init__(self, most: int = 64 << 20) -> None:
        self._most, self._lock = most, threading.Lock()
        self._kept: dict[str, bytes] = {}
        self._bytes = 0

    def of(self, etag: str, stream: BinaryIO, length: int) -> bytes | None:
        """The file in fewer bytes, or None where that is not worth it. `etag` names its content."""
        if not _WORTH <= length <= _MOST_PACKED:
            return None
        with self._lock:
            packed = self._kept.get(etag)
        if packed is None:
            packed = gzip.compress(stream.read(), 9, mtime=0)
            stream.seek(0)
            if len(packed) > 0.95 * length:
                packed = b""
            with self._lock:
                self._bytes += len(packed) - len(self._kept.get(etag, b""))
                self._kept[etag] = packed
                while self._bytes > self._most:
                    self._bytes -= len(self._kept.pop(next(iter(self._kept))))
        return packed or None


def blueprint(services: Services) -> Blueprint:
    """The routes of files."""
    routes = Blueprint("files", __name__)
    streams = Streams(max(2, services.settings.number("threads") - 8))
    packages, packed = Packages(services.library), Packed()
    objects, public = services.paths.objects, services.paths.public

    def public_file(folder: str, name: str) -> Response:
        path = _public_path(public / folder, name)
        stream, length = streams.open(path)
        fixed = _VERSIONED.fullmatch(path.name) is not None
        found = path.stat()
        # A version is written once, and what replaces another file is another inode.
        etag = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{length:x}"
        extra = [("Cache-Control", _FOREVER if fixed else "no-cache")]
        packable = path.suffix != ".leaves"  # nothing but hashes
        if packable:
            extra.append(("Vary", "Accept-Encoding"))
        if packable and "Range" not in request.headers and request.accept_encodings.quality("gzip") > 0:
            small = packed.of(etag, stream, length)
            if small is not None:
                stream.close()
                stream, length, etag = io.BytesIO(small), len(small), f"{etag}-gzip"
                extra.append(("Content-Encoding", "gzip"))
        return answer(
            stream,
            length,
            etag=etag,
            content_type=_TYPES.get(path.suffix, "application/octet-stream"),
            extra=extra,
        )

    @routes.get("/metadata/envelopes/<box>.json")
    def envelope(box: str) -> Response:
        body = services.envelopes.current(box, int(services.clock.wall()))
        etag = hashlib.sha256(body).hexdigest()[:32]
        return answer(
            io.BytesIO(body),
            len(body),
            etag=etag,
            content_type="application/json",
            extra=[("Cache-Control", "no-cache")],
        )

    @routes.get("/metadata/<path:name>")
    def metadata(name: str) -> Response:
        return public_file("metadata", name)

    @routes.get("/targets/<path:name>")
    def targets(name: str) -> Response:
        return public_file("targets", name)

    zone = zone_of(services.settings.text("timezone"))
    places = Places(max(2, services.settings.number("threads") // 4))
    seeder_rate = Recent(lambda: _rate(services.paths.work / "seeder.json"))
    pace = Pace(services.settings.number("upload_rate"), seeder_rate, places.total)

    @routes.get("/seed/<first>/<path:rest>")
    def seed(first: str, rest: str) -> Response:
        now = services.clock.monotonic()
        token = first if is_token(first) else None
        visitor = services.visitors.admit(request.environ, token, now)
        parts = (rest if token else f"{first}/{rest}").split("/", 2)
        if len(parts) != 3:
            raise NotFoundError("web seed without a file")
        return _send(packages.find(*parts), visitor, now)

    def _send(file: FileId, visitor: Visitor, now: float) -> Response:
        places.take(visitor.key)
        try:
            stream, _ = streams.open(object_path(objects, file.root), lambda: places.give_back(visitor.key))
        except BaseException:
            places.give_back(visitor.key)
            raise
        pace.hold(request.environ, now)
        made = answer(
            stream,
            file.length,
            etag=file.root,
            content_type="application/octet-stream",
            extra=[("Cache-Control", _FOREVER), ("X-Content-Type-Options", "nosniff")],
        )
        day = datetime.fromtimestamp(services.clock.wall(), zone).strftime("%Y-%m-%d")
        if request.method == "GET":
            services.fetched.add(visitor.holder, made.content_length or 0, day, now)
        return made

    return routes


def _rate(path: Path) -> int:
    """Bytes a second that the seeder says it sends."""
    rate = read_figures(path).get("rate")
    return rate if isinstance(rate, int) else 0


class Recent:
    """A figure, looked up anew when it is two seconds old. Safe for threads."""

    def __init__(self, look: Callable[[], int]) -> None:
        self._look = look
        self._value, self._at = 0, float("-inf")

    def __call__(self, now: float) -> int:
        """The figure; `now`: monotonic seconds."""
        if now - self._at >= 2:
            self._at = now
            self._value = self._look()
        return self._value
