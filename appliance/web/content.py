"""The bytes of files: `/content/…` beside the pages, `/c/…` on the courseware's own port. Plain WSGI:
nothing may wrap what goes to sendfile (findings.md "Serving").
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from appliance.web.flash import Flash, is_flash
from content_sync.adapters.sending import Streams, send_range
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import BusyError, LessonBoxError, SetupError
from content_sync.formats.hashtree import FileId

log = logging.getLogger(__name__)
Environ = dict[str, Any]
StartResponse = Callable[..., Any]
#: Answers below this go into the socket's buffer at once and don't hold a thread.
SMALL = 64 << 10
RETRY_AFTER = 5

_TYPES = {
    "mp4": "video/mp4", "m4v": "video/mp4", "webm": "video/webm", "mp3": "audio/mpeg", "m4a": "audio/mp4",
    "ogg": "audio/ogg", "wav": "audio/wav", "bmp": "image/bmp", "swf": "application/x-shockwave-flash",
    "aac": "audio/aac", "oga": "audio/ogg", "vtt": "text/vtt; charset=utf-8", "pdf": "application/pdf",
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
    "svg": "image/svg+xml", "html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8",
    "xhtml": "application/xhtml+xml", "xml": "application/xml", "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8", "mjs": "text/javascript; charset=utf-8",
    "json": "application/json; charset=utf-8", "txt": "text/plain; charset=utf-8", "wasm": "application/wasm",
    "woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf",
    "ppt": "application/vnd.ms-powerpoint", "doc": "application/msword", "xls": "application/vnd.ms-excel",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "zip": "application/zip",
}  # fmt: skip
#: What opens inside the page's origin without being able to run there; everything else is saved to disk.
_SHOWN = (
    "video/",
    "audio/",
    "text/vtt",
    "text/plain",
    "application/pdf",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/bmp",
)
#: What a class watches or hears: sync gives way to it.
_STREAMED = ("video/", "audio/")
#: What may be shown though no county vouches for it.
_HARMLESS = ("video/", "audio/", "image/png", "image/jpeg", "image/gif", "image/webp")
_BYTES = "application/octet-stream"
_ROOT = re.compile(r"[0-9a-f]{64}")
_SANDBOX = "allow-scripts allow-forms allow-pointer-lock"
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,260}")


def _courseware_policy(host: str) -> str:
    """What courseware may do: run, in an origin of its own, with files of this port alone."""
    # By name beside 'self': in a sandbox an old engine's 'self' is the sandbox's own origin, which is
    # nowhere.
    own = f"'self' http://{host}" if _HOST.fullmatch(host) else "'self'"
    return (
        f"sandbox {_SANDBOX}; default-src {own} 'unsafe-inline' 'unsafe-eval' data: blob:; frame-src {own};"
        f" object-src 'none'; base-uri {own}; form-action 'none'"
    )


def media_type(name: str) -> str:
    """The media type by the name's ending, from a fixed table."""
    return _TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")


Refuse = Callable[[Environ, StartResponse, int], Iterable[bytes]]


def short(environ: Environ, start: StartResponse, status: int) -> Iterable[bytes]:
    """An answer of one line, with Retry-After when it is 503."""
    body = f"{status} {HTTPStatus(status).phrase}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    if status == 503:
        headers.append(("Retry-After", str(RETRY_AFTER)))
    if status == 405:
        headers.append(("Allow", "GET, HEAD"))
    start(f"{status} {HTTPStatus(status).phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _path(environ: Environ) -> str:
    """The request's path as text (WSGI hands bytes over as latin-1)."""
    raw: str = environ["PATH_INFO"]
    return raw.encode("latin-1").decode("utf-8", "replace")


class Content:
    """WSGI: the files of present lessons, for the pages' port and the courseware's."""

    def __init__(
        self,
        objects: Path,
        reader: StateReader,
        streams: Streams,
        refuse: Refuse = short,
        stream_began: Callable[[], Callable[[], None]] = lambda: lambda: None,
        flash: Flash | None = None,
    ) -> None:
        """`stream_began` is called when a video or sound begins to be sent, what it returns when it ends;
        `flash`: the Flash player, where the box has one."""
        self._flash = flash
        self._objects, self._reader, self._streams, self._refuse = objects, reader, streams, refuse
        self._stream_began = stream_began

    def pages_origin(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """`/content/<root>/<name>`: any file that a present lesson holds."""
        _, _, root, name = (_path(environ).split("/", 3) + ["", "", ""])[:4]
        if not _ROOT.fullmatch(root) or not name or "/" in name:
            return self._refuse(environ, start, 404)
        kind = media_type(name)
        extra = [
            ("Cache-Control", "public, max-age=31536000, immutable"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if not kind.startswith(_SHOWN):
            extra += [("Content-Disposition", "attachment"), ("Content-Security-Policy", "sandbox")]
        return self._send(environ, start, lambda: self._reader.visible_file(root), kind, extra, self._refuse)

    def received_file(self, environ: Environ, start: StartResponse, folder: Path) -> Iterable[bytes]:
        """`/received/file/<root>/<name>`: what a person put on the received shelf. No county vouches for it:
        sound, film and pictures are shown, all else is saved, nothing runs."""
        _, _, _, root, name = (_path(environ).split("/", 4) + ["", "", "", ""])[:5]
        if not _ROOT.fullmatch(root) or not name or "/" in name:
            return self._refuse(environ, start, 404)
        kind = media_type(name)
        shown = kind.startswith(_HARMLESS)
        extra = [
            ("Cache-Control", "no-cache"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "sandbox; default-src 'none'; media-src 'self'; img-src 'self'"),
            ("Content-Disposition", "inline" if shown else "attachment"),
        ]

        def find() -> FileId | None:
            return next((i.file for i in self._reader.received() if i.file.root == root), None)

        return self._send(
            environ, start, find, kind if shown else _BYTES, extra, self._refuse, place=folder / root
        )

    def courseware_origin(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """`/c/<lesson>/<resource>/<path>`: the files of interactive courseware, in a sandbox of their own;
        `/flash/…` and `/ruffle/…`: Flash and its player, in the same.
        """
        if self._flash is not None and environ["PATH_INFO"].startswith(("/flash/", "/ruffle/")):
            return self._flash(environ, start, _courseware_policy(environ.get("HTTP_HOST", "")))
        parts = _path(environ).split("/", 4)
        if len(parts) != 5 or parts[1] != "c" or not parts[4]:
            return short(environ, start, 404)
        extra = [
            # The address stays when a new version of the lesson comes, so it is asked again each time (ETag).
            ("Cache-Control", "no-cache"),
            ("X-Content-Type-Options", "nosniff"),
            ("Access-Control-Allow-Origin", "*"),
            ("Content-Security-Policy", _courseware_policy(environ.get("HTTP_HOST", ""))),
            ("Referrer-Policy", "no-referrer"),
        ]
        return self._send(
            environ,
            start,
            lambda: self._part(parts[2], parts[3], parts[4]),
            media_type(parts[4]),
            extra,
            short,
            again=True,
        )

    def _part(self, lesson: str, resource: str, path: str) -> FileId | None:
        found = self._reader.present_lesson(lesson)
        if found and any(
            r.id == resource and (r.kind == "interactive" or r.main.path == path and is_flash(path))
            for r in found.resources
        ):
            return self._reader.resource_file(lesson, resource, path)
        return None

    def _repaired(self, root: str) -> str:
        times = self._reader.repairs().get(root, (0, 0))[0]
        return f"-{times}" if times else ""

    def _open(self, path: Path, streamed: bool) -> BinaryIO:
        if not streamed:
            return self._streams.open(path)[0]
        ended = self._stream_began()
        try:
            return self._streams.open(path, ended)[0]
        except BaseException:
            ended()
            raise

    def _send(
        self,
        environ: Environ,
        start: StartResponse,
        find: Callable[[], FileId | None],
        kind: str,
        extra: list[tuple[str, str]],
        refuse: Refuse,
        again: bool = False,
        place: Path | None = None,
    ) -> Iterable[bytes]:
        """`again`: browsers ask whether what they have is good still; of a file that had to be repaired it is
        not."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return refuse(environ, start, 405)
        try:
            found = find()
            if found is None:
                return refuse(environ, start, 404)
            path = place or self._objects / found.root[:2] / found.root
            stream: BinaryIO
            if found.length < SMALL:
                stream = path.open("rb", buffering=0)
            else:
                stream = self._open(path, kind.startswith(_STREAMED) and environ["REQUEST_METHOD"] == "GET")
            status, headers, body = send_range(
                environ,
                stream,
                found.length,
                etag=found.root + (self._repaired(found.root) if again else ""),
                content_type=kind,
                extra=extra,
            )
        except (BusyError, SetupError):
            return refuse(environ, start, 503)
        except (LessonBoxError, OSError) as error:
            log.warning("%s: %s", environ["PATH_INFO"], error)
            return refuse(environ, start, 500)
        start(status, headers)
        return body
