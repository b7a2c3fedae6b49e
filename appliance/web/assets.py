"""Style sheets, scripts and icons: read when first asked for, lean, packed for browsers that take gzip."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

from flask import Flask, Response, abort, request
from msgspec import Struct

from appliance.web import i18n
from appliance.web.content import media_type

_FOLDER = Path(__file__).parent / "static"
_MONTH = 30 * 86400
_COMMENT = re.compile(r"^[ \t]*/\*.*?\*/[ \t]*\n", re.DOTALL | re.MULTILINE)
_BLANK = re.compile(r"^[ \t]+|^\n", re.MULTILINE)


def lean(text: str) -> str:
    """A script or sheet without comments on lines of their own, indents and empty lines. ES5 has no text
    over several lines, so nothing else can change.
    """
    return _BLANK.sub("", _COMMENT.sub("", text))


class Asset(Struct, frozen=True):
    """One file as it is sent. `packed`: the same in gzip; empty where that gains nothing."""

    mark: str
    content_type: str
    plain: bytes
    packed: bytes


def _asset(name: str, data: bytes) -> Asset:
    is_text = name.endswith((".css", ".js"))
    packed = gzip.compress(data, 9, mtime=0) if is_text else b""
    return Asset(hashlib.sha256(data).hexdigest()[:8], media_type(name), data, packed)


def _read(path: Path) -> bytes:
    return lean(path.read_text("utf-8")).encode() if path.suffix in (".css", ".js") else path.read_bytes()


def _send(found: Asset | None) -> Response:
    if found is None:
        abort(404)
    packed = found.packed and request.accept_encodings.quality("gzip") > 0
    response = Response(found.packed if packed else found.plain, content_type=found.content_type)
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    if found.packed:
        response.vary.add("Accept-Encoding")
    response.cache_control.max_age = _MONTH
    response.cache_control.public = True
    response.set_etag(found.mark + ("z" if packed else ""))
    return response.make_conditional(request.environ)  # type: ignore[return-value]


def install(app: Flask) -> None:
    """The routes, and `asset(name)`: the address of a file, which changes with its content."""
    names = {path.name for path in _FOLDER.iterdir() if path.is_file()}
    files: dict[str, Asset] = {}
    turned: dict[str, Asset] = {}

    def load(name: str) -> Asset:
        if name not in files:
            files[name] = _asset(name, _read(_FOLDER / name))
        return files[name]

    def asset(name: str) -> str:
        turns = name.endswith(".css") and i18n.right_to_left()
        return f"/{'mirrored' if turns else 'static'}/{name}?{load(name).mark}"

    @app.get("/static/<name>")
    def static(name: str) -> Response:
        return _send(load(name) if name in names else None)

    @app.get("/mirrored/<name>")
    def mirror(name: str) -> Response:
        """A sheet for a language that is written from the right."""
        from appliance.web.mirror import mirrored  # no language that the box brings

        if name in names and name.endswith(".css") and name not in turned:
            turned[name] = _asset(name, mirrored(load(name).plain.decode()).encode())
        return _send(turned.get(name))

    app.jinja_env.globals["asset"] = asset
