"""Starts the board's program: ports first, so that who asks meanwhile waits and is not refused."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from appliance.config import BoxPaths, load_settings
from appliance.web.server import WSGI, Serving, open_sockets, serve
from content_sync import loading
from content_sync.settings import parse_listen

log = logging.getLogger(__name__)
_CALM = 5.0


def run(data: Path, listen: str) -> bool:
    """Serve the box's pages until told to end; whether to begin anew. Raises SetupError, SettingError,
    BusyError."""
    paths, settings = BoxPaths(data), load_settings(data)
    host, port = parse_listen(listen)
    pages, courseware = open_sockets(host, port, settings.number("courseware_port"))
    second = int(courseware.getsockname()[1])

    def unreadable(root: str) -> None:
        # The word to sync that it is to look at this object (formats.md 10).
        try:
            (paths.incoming / f"check-{root}").touch()
        except OSError as error:
            log.warning("no word about %s: %s", root, error)

    def load(again: Callable[[], None]) -> WSGI:
        from appliance.web.wiring import build

        made = build(data, settings, second, unreadable, again)
        calm = threading.Timer(_CALM, loading.end)  # not before the first page
        calm.daemon = True
        calm.start()
        return made

    shown = f"[{host}]" if ":" in host else host
    print(f"pages http://{shown}:{pages.getsockname()[1]}/", file=sys.stderr)
    print(f"courseware http://{shown}:{second}/", file=sys.stderr, flush=True)
    return serve(load, pages, courseware, Serving(threads=settings.number("threads"), unreadable=unreadable))
