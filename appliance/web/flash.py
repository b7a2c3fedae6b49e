"""Legacy Flash through Ruffle (decision 0026), on the courseware's origin: a page that holds the player, and
the player's own files. Plain WSGI, as all of that port.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
VERSION = "0.6.0"
#: What the npm package must hold.
PACKAGE, ENTRY = "package.json", "ruffle.js"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,80}\.(js|wasm)")
_TYPES = {"js": "text/javascript; charset=utf-8", "wasm": "application/wasm"}
#: Words of the page; the pages' own catalogue is not there on this port.
_WORDS = {
    "zh": (
        "正在装载动画，第一次要等半分钟。",
        "这块白板的浏览器太旧，放不了 Flash 动画。换一块白板或电脑打开，或者下载下来。",
        "这个 Flash 动画放不出来：文件可能坏了，或者播放器还不认识它。",
    ),
    "en": (
        "Loading the animation; the first time takes half a minute.",
        "This board's browser is too old to play Flash. Open it elsewhere, or download it.",
        "This Flash animation does not play: the file may be damaged, or the player does not know it yet.",
    ),
}
_PAGE = Markup("""<!DOCTYPE html>
<html lang="{language}"><head><meta charset="utf-8"><title>Flash</title>
<style>html,body{{margin:0;height:100%;background:#101514;color:#f3f0e3}}
html{{font:5vmin/1.5 "Microsoft YaHei","Noto Sans CJK SC",sans-serif}}
#said{{position:absolute;left:8%;right:8%;top:40%;margin:0;text-align:center}}
ruffle-player{{width:100%;height:100%;display:block}}</style></head>
<body><p id="said">{old}</p><div id="place" style="height:100%"></div>
<script>
(function () {{
  var said = document.getElementById('said'), words = {words}, made = false;
  function say(n) {{ said.textContent = n < 0 ? '' : words[n]; }}
  /* what Ruffle is built for: engines since 2021 or so; others must not even read its code */
  if (!window.WebAssembly || !window.customElements || !window.BigInt) {{ return; }}
  if (!window.globalThis || !WebAssembly.instantiateStreaming) {{ return; }}
  say(0);
  window.RufflePlayer = window.RufflePlayer || {{}};
  window.RufflePlayer.config = {{
    publicPath: {folder}, autoplay: 'on', unmuteOverlay: 'hidden', letterbox: 'on', polyfills: false,
    allowScriptAccess: false, allowNetworking: 'none', openUrlMode: 'deny', splashScreen: false,
    warnOnUnsupportedContent: false, contextMenu: 'off', showSwfDownload: false, logLevel: 'error'
  }};
  var script = document.createElement('script');
  script.src = {folder} + 'ruffle.js';
  script.onerror = function () {{ say(2); }};
  script.onload = function () {{
    var player = window.RufflePlayer.newest().createPlayer();
    document.getElementById('place').appendChild(player);
    player.addEventListener('loadeddata', function () {{
      made = true;
      document.documentElement.setAttribute('data-plays', '1');
      say(-1);
    }});
    (player.ruffle ? player.ruffle() : player).load({{ url: {swf}, allowScriptAccess: false }}).then(
      function () {{ say(-1); }}, function () {{ if (!made) {{ say(2); }} }});
  }};
  document.body.appendChild(script);
}}());
</script></body></html>
""")


def is_flash(path: str) -> bool:
    """Whether a file is a Flash animation by its ending."""
    return path.lower().endswith(".swf")


def find_ruffle(*folders: Path) -> Path | None:
    """The first folder that holds Ruffle whole: the npm package of the version that was tried."""
    for folder in folders:
        try:
            stated = json.loads((folder / PACKAGE).read_bytes())
            held = {path.name.removesuffix(".gz") for path in folder.iterdir() if path.is_file()}
            whole = ENTRY in held and sum(name.endswith(".wasm") for name in held) >= 2
        except (OSError, ValueError):
            continue
        if whole and isinstance(stated, dict) and stated.get("version") == VERSION:
            return folder
    return None


class Flash:
    """WSGI: `/flash/<language>/<lesson>/<resource>/<path>` a page, `/ruffle/<version>/<file>` the player."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, environ: Environ, start: StartResponse, policy: str) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return self._end(environ, start, 405)
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        common = [
            ("X-Content-Type-Options", "nosniff"),
            ("Access-Control-Allow-Origin", "*"),
            ("Content-Security-Policy", policy),
            ("Referrer-Policy", "no-referrer"),
        ]
        if path.startswith("/flash/"):
            return self._page(environ, start, path, common)
        return self._file(environ, start, path, common)

    def _page(
        self, environ: Environ, start: StartResponse, path: str, common: list[tuple[str, str]]
    ) -> Iterable[bytes]:
        parts = path.split("/", 5)
        if len(parts) != 6 or parts[2] not in _WORDS or not all(parts[3:]) or not is_flash(parts[5]):
            return self._end(environ, start, 404)
        _, _, language, lesson, resource, file = parts
        words = _WORDS[language]
        address = f"/c/{quote(lesson, safe='')}/{quote(resource, safe='')}/{quote(file)}"
        body = _PAGE.format(
            language=language,
            old=words[1],
            words=_script(list(words)),
            folder=_script(f"/ruffle/{VERSION}/"),
            swf=_script(address),
        ).encode()
        headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
        start("200 OK", [*headers, ("Cache-Control", "no-cache"), *common])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _file(
        self, environ: Environ, start: StartResponse, path: str, common: list[tuple[str, str]]
    ) -> Iterable[bytes]:
        parts = path.split("/")
        match = _NAME.fullmatch(parts[3]) if len(parts) == 4 and parts[2] == VERSION else None
        if match is None:
            return self._end(environ, start, 404)
        packed = "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
        # packed where whoever put it there packed it: a third of the bytes for the board's Wi-Fi
        for name, more in ((f"{match[0]}.gz", [("Content-Encoding", "gzip")]), (match[0], [])):
            place = self._folder / name
            if (more and not packed) or not place.is_file():
                continue
            headers = [
                ("Content-Type", _TYPES[match[1]]),
                ("Content-Length", str(place.stat().st_size)),
                ("Vary", "Accept-Encoding"),
                ("Cache-Control", "public, max-age=31536000, immutable"),
            ]
            stream = place.open("rb")
            start("200 OK", [*headers, *more, *common])
            if environ["REQUEST_METHOD"] == "HEAD":
                stream.close()
                return []
            body: Iterable[bytes] = environ.get("wsgi.file_wrapper", _Pieces)(stream, 1 << 16)
            return body
        return self._end(environ, start, 404)

    def _end(self, environ: Environ, start: StartResponse, status: int) -> Iterable[bytes]:
        phrase = f"{status} {HTTPStatus(status).phrase}"
        body = f"{phrase}\n".encode()
        start(
            phrase,
            [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
            + ([("Allow", "GET, HEAD")] if status == 405 else []),
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


class _Pieces:
    """A file in pieces, for a server without a wrapper of its own."""

    def __init__(self, stream: Any, size: int) -> None:
        self._stream, self._size = stream, size

    def __iter__(self) -> Any:
        return iter(lambda: self._stream.read(self._size), b"")

    def close(self) -> None:
        self._stream.close()


def _script(value: object) -> Markup:
    """A value as JavaScript inside a page: no tag can end the script."""
    text = json.dumps(value, ensure_ascii=True).replace("<", "\\u003c").replace("&", "\\u0026")
    return Markup(text.replace(">", "\\u003e"))
