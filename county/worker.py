"""gunicorn's thread worker, without endless patience: a box that vanished in the middle of a report (power,
a line that died) must not hold a thread for ever, or some sixty of them silence the county."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.util import close_graceful
from gunicorn.workers.gthread import ThreadWorker

from content_sync.terminal import Tokenless

#: Seconds without a byte moved after which a client is dropped.
PATIENCE = 10


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """gthread whose sockets time out in the kernel (socket(7)), whoever reads or writes them."""

    def enqueue_req(self, conn: Any) -> None:
        """Answer a request in a thread; called for each one."""
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            conn.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", PATIENCE, 0))
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """One request. A connection that ends is closed here: gunicorn lingers up to 2 s over it in the one
        thread that accepts."""
        again = super().handle(conn)
        if again is False:
            conn.sock.setblocking(True)
            close_graceful(conn.sock)
            conn.close = lambda graceful=False: None
        return again


class QuietLog(Logger):  # type: ignore[misc]
    """gunicorn's log without a traceback for a client that stood still: that is no error of ours."""

    def setup(self, cfg: Any) -> None:
        """As Logger.setup; no token is written."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            if handler.formatter is not None:
                handler.setFormatter(Tokenless(handler.formatter))

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """As logging.Logger.exception."""
        if isinstance(sys.exc_info()[1], BlockingIOError | TimeoutError):
            self.info("a client stood still and was dropped")
        else:
            super().exception(msg, *args, **kwargs)
