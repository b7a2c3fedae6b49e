"""`POST /api/v1/reports` (formats.md 7)."""

from __future__ import annotations

import zlib

from flask import Blueprint, Response, abort, jsonify, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected

from content_sync.errors import FormatError, TooBigError
from county.receive.door import MAX_BODY
from county.services import Services


def inflate(data: bytes, cap: int) -> bytes:
    """Gunzip at most `cap` bytes. Raises TooBigError, FormatError."""
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(data, cap + 1)
    except zlib.error:
        raise FormatError("the body is not gzip") from None
    if len(plain) > cap:
        raise TooBigError(f"more than {cap} bytes after inflation")
    if not unzip.eof or unzip.unused_data:
        raise FormatError("the gzip body is cut off or has bytes after its end")
    return plain


def blueprint(services: Services) -> Blueprint:
    """The route of reports."""
    routes = Blueprint("reports", __name__)

    @routes.post("/api/v1/reports")
    def reports() -> Response:
        if (request.content_length or 0) > MAX_BODY:
            raise TooBigError(f"a report of {request.content_length} bytes")
        try:
            body = request.stream.read(MAX_BODY + 1)
        except ParseException as error:
            raise FormatError(f"the body is not HTTP: {error}") from None
        except (ClientDisconnected, OSError):
            abort(408, "the report did not come to its end")  # a box tries again soon (formats.md 7)
        if len(body) > MAX_BODY:
            raise TooBigError(f"a report of more than {MAX_BODY} bytes")
        coding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if coding == "gzip":
            body = inflate(body, MAX_BODY)
        elif coding not in ("", "identity"):
            raise FormatError(f"content coding {coding[:40]!r}")
        receipt = services.door.receive(body, "http", int(services.clock.wall()))
        return jsonify(box=receipt.box, stream=receipt.stream, seq=receipt.seq, stored=True)

    return routes
