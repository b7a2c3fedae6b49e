"""Public files over HTTP: `/metadata/…`, `/targets/…` and the BEP 19 web seed `/seed/…` (formats.md 8)."""

from __future__ import annotations

import hashlib
import io
import re
import stat
import threading
from pathlib import Path
from typing import Any, BinaryIO

from flask import Blueprint, Response, request

from content_sync.adapters.sending import Streams, limit_stall, send_range
from content_sync.errors import NotFoundError
from content_sync.formats.hashtree import FileId
from county.library import Library
from county.publish.store import object_path
from county.services import PerThread, Services

#: A box on a lossy link may be slow; one that takes no byte for so long is gone.
STALL_SECONDS = 60
_FOREVER = "public, max-age=31536000, immutable"
_VERSIONED = re.compile(r"[0-9]+\.[a-z]+\.json|[0-9a-f]{64}\..+")
_TYPES = {".json": "application/json", ".torrent": "application/x-bittorrent"}
_MOST_CACHED = 500


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


def blueprint(services: Services) -> Blueprint:
    """The routes of files."""
    routes = Blueprint("files", __name__)
    streams = Streams(max(2, services.settings.number("threads") - 8))
    packages = Packages(services.library)
    objects, public = services.paths.objects, services.paths.public

    def public_file(folder: str, name: str) -> Response:
        path = _public_path(public / folder, name)
        stream, length = streams.open(path)
        fixed = _VERSIONED.fullmatch(path.name) is not None
        found = path.stat()
        return answer(
            stream,
            length,
            # A version is written once, and what replaces another file is another inode.
            etag=f"{found.st_ino:x}-{found.st_mtime_ns:x}-{length:x}",
            content_type=_TYPES.get(path.suffix, "application/octet-stream"),
            extra=[("Cache-Control", _FOREVER if fixed else "no-cache")],
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

    @routes.get("/seed/<infohash>/<name>/<path:path>")
    def seed(infohash: str, name: str, path: str) -> Response:
        file = packages.find(infohash, name, path)
        stream, _ = streams.open(object_path(objects, file.root))
        return answer(
            stream,
            file.length,
            etag=file.root,
            content_type="application/octet-stream",
            extra=[("Cache-Control", _FOREVER), ("X-Content-Type-Options", "nosniff")],
        )

    return routes
