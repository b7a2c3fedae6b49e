"""Builds the board's program from a box's data folder."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from appliance.config import BoxPaths, load_settings
from appliance.school.database import School
from appliance.status import read_status
from appliance.usage.outbox import consumed_through
from appliance.usage.recorder import PatientRecorder, Recorder
from appliance.web.app import Board, create_app
from appliance.web.pin import Pin
from appliance.web.search.index import Index, Indexer
from appliance.web.server import WSGI, Serving, open_sockets, serve
from content_sync.adapters.clock import SystemClock
from content_sync.adapters.sqlite import StateReader
from content_sync.adapters.streaming import StreamSign
from content_sync.settings import parse_listen

log = logging.getLogger(__name__)
#: Threads that are never given to streams, so that pages always have some.
_RESERVE = 8


def run(data: Path, listen: str) -> None:
    """Serve the box's pages until told to end. Raises SetupError, SettingError, BusyError."""
    paths, settings = BoxPaths(data), load_settings(data)
    host, port = parse_listen(listen)
    pages, courseware = open_sockets(host, port, settings.number("courseware_port"))
    threads = settings.number("threads")
    second = int(courseware.getsockname()[1])

    def load() -> WSGI:
        # in the process that serves: threads don't survive a fork
        reader, clock, index = StateReader(paths.state_db), SystemClock(), Index(paths.search_db)
        Indexer(paths.search_db, reader, index).start()

        def records() -> Recorder:
            return Recorder(paths.usage_db, clock, lambda: consumed_through(paths.outbox_db, paths.usage_db))

        def status() -> dict[str, Any]:
            return read_status(data)

        return create_app(
            Board(
                objects=paths.objects,
                reader=reader,
                index=index,
                records=PatientRecorder(records, clock),
                clock=clock,
                status=status,
                streams=max(1, min(settings.number("streams"), threads - _RESERVE, threads * 3 // 4)),
                language=settings.text("language"),
                courseware_port=second,
                partial=paths.partial,
                packages=paths.trust / "targets" / "packages",
                unreadable=unreadable,
                sign=StreamSign(paths.streaming, clock),
                received=paths.received,
                incoming=paths.incoming,
                pin=Pin(paths.pin, clock),
                school=School(paths.school_db),
            )
        )

    def unreadable(root: str) -> None:
        # The word to sync that it is to look at this object (formats.md 10).
        try:
            (paths.incoming / f"check-{root}").touch()
        except OSError as error:
            log.warning("no word about %s: %s", root, error)

    shown = f"[{host}]" if ":" in host else host
    print(f"pages http://{shown}:{pages.getsockname()[1]}/", file=sys.stderr)
    print(f"courseware http://{shown}:{second}/", file=sys.stderr, flush=True)
    serve(load, pages, courseware, Serving(threads=threads, unreadable=unreadable))
