"""gunicorn's thread worker around the board: one process of many threads, two ports, and no patience with
clients that stand still.

Decision 0006 says why: gthread, sendfile, a time-out on every socket, no recycling of the only worker, and no
second process that watches it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import selectors
import socket
import struct
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.util import close_graceful
from gunicorn.workers.gthread import TConn, ThreadWorker
from msgspec import Struct

from content_sync.adapters.sdnotify import Pulse
from content_sync.errors import BusyError, SetupError
from content_sync.formats.canonical import is_hex

WSGI = Callable[..., Any]
#: Between two calls a stream looks whether its file was withheld meanwhile.
_SEND_AT_MOST = 16 << 20
#: Connections that wait between two requests of a board, beside those being answered; with so few left, those
#: that have waited longest are closed for those that come.
_KEPT_ALIVE, _LEFT = 2000, 100
#: Of the threads, the part that one address may hold (forty boards behind one router need less), and how many
#: of its connections wait for one.
_ONE_ADDRESS, _MOST_WAITING = 0.75, 300
_M_ARENA_MAX = -8  # mallopt(3)
#: The open sockets of a program that begins anew: its process, and their descriptors.
_HELD = "LESSONBOX_SOCKETS"
_BYTES_ACKED = 120  # where tcpi_bytes_acked stands in struct tcp_info (linux/tcp.h)


class Serving(Struct, frozen=True):
    """How the board is served. `patience`: seconds without a byte moved after which a client is dropped.
    `unreadable(root)` is told of an object that the disk does not give."""

    threads: int = 200
    patience: int = 10
    keep_alive: int = 75
    grace: int = 3
    unreadable: Callable[[str], None] = lambda root: None


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BusyError(f"port {port} of {host} is in use") from error
        raise SetupError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def open_sockets(host: str, port: int, courseware_port: int) -> tuple[socket.socket, socket.socket]:
    """The listening sockets of pages and courseware: those that this process held before it began anew, or
    that systemd hands over (sd_listen_fds(3), in this order), else new ones. Courseware 0 means the next
    port, or any if the pages have any.

    Raises BusyError, SetupError.
    """
    process, *held = os.environ.pop(_HELD, "").split() or [""]
    if process == str(os.getpid()):
        for descriptor in held:
            os.set_inheritable(int(descriptor), False)
        return socket.socket(fileno=int(held[0])), socket.socket(fileno=int(held[1]))
    given: list[socket.socket] = []
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        given = [socket.socket(fileno=3 + n) for n in range(int(os.environ.get("LISTEN_FDS", "0")))]
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    pages = given[0] if given else _bind(host, port)
    if len(given) > 1:
        return pages, given[1]
    number = pages.getsockname()[1]
    wanted = courseware_port or (number + 1 if given or port else 0)
    return pages, _bind(pages.getsockname()[0], wanted)


class _Socket(socket.socket):
    """A client's socket that sends a file in few blocking calls, under the kernel's own time-out."""

    unreadable: Callable[[str], None]
    patience: float = 10
    dropped = False

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As socket.sendfile, for a regular file and a blocking socket. Raises OSError; BlockingIOError when
        `patience` passed without a byte that the client took; EIO when the disk does not give the file, or
        sync has withheld it since: it has another name then (formats.md 10). One that was deleted is sent on.
        """
        assert count is not None
        path = Path(str(getattr(file, "name", "")))
        is_object = is_hex(path.name, 64) and path.parent.name == path.name[:2]
        sent, came, moved = 0, -1, time.monotonic()
        self.wait(socket.SO_SNDTIMEO, self.patience / 5)  # how often it is looked whether it took some
        try:
            while sent < count:
                if is_object and _renamed(path, file.fileno()):
                    raise OSError(errno.EIO, "the file was withheld")
                most = min(count - sent, _SEND_AT_MOST)
                try:
                    done = os.sendfile(self.fileno(), file.fileno(), offset + sent, most)
                    if not done:
                        raise OSError(errno.EIO, "the file is shorter than it was")
                except BlockingIOError:
                    done = 0
                sent += done
                if done == most:
                    moved = time.monotonic()
                elif (acked := self._acked()) != came:
                    came, moved = acked, time.monotonic()
                elif time.monotonic() - moved >= self.patience:
                    self.dropped = True
                    raise BlockingIOError(errno.EAGAIN, "the client stands still")
        except OSError as error:
            if is_object and error.errno == errno.EIO:
                self.unreadable(path.name)
            raise
        self.wait(socket.SO_SNDTIMEO, self.patience / 2)
        return sent

    def wait(self, option: int, seconds: float) -> None:
        """Set one of the kernel's time-outs."""
        self.setsockopt(
            socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
        )

    def _acked(self) -> int:
        """Bytes that the client has taken; what its kernel and ours hold for it does not count."""
        told = self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
        return int.from_bytes(told[_BYTES_ACKED:], sys.byteorder)


def _renamed(path: Path, descriptor: int) -> bool:
    """Whether an open file that has a name has another one than `path` now."""
    held = os.fstat(descriptor)
    try:
        return held.st_nlink > 0 and not os.path.samestat(held, path.stat())
    except FileNotFoundError:
        return held.st_nlink > 0


class _Connection(TConn):  # type: ignore[misc]
    def close(self, graceful: bool = False) -> None:
        # gunicorn lingers up to 2 s here, in the thread that accepts: _Worker.handle did it already, in its
        # own.
        super().close()


class _Worker(ThreadWorker):  # type: ignore[misc]
    """gthread whose sockets time out, whoever reads or writes them."""

    patience = 10
    unreadable: Callable[[str], None]
    again = False
    _pulse = Pulse()
    _threads_work: Future[None] | None = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._busy = Counter[str]()
        self._waiting = defaultdict[str, deque[Any]](deque)

    def handle_quit(self, sig: int, frame: object) -> None:
        """SIGINT and SIGQUIT: end as by SIGTERM, for no arbiter hears them first."""
        self.handle_exit(sig, frame)

    def begin_anew(self) -> None:
        """End as by SIGTERM, and let `serve` say that it is to begin anew. From any thread."""
        self.again = True
        self.handle_exit(0, None)

    def is_parent_alive(self) -> bool:
        """There is no arbiter to outlive: who started this program says when it ends."""
        return True

    def notify(self) -> None:
        """This loop has come round (once a second). The service manager hears of it while the threads work
        too: a program whose threads all stand still serves nobody, and shall be started anew."""
        super().notify()
        if self._threads_work is None or self._threads_work.done():
            self._pulse.beat()
            self._threads_work = self.tpool.submit(lambda: None)

    def accept(self, listener: Any) -> None:
        """Take a connection (as ThreadWorker.accept) and set the kernel's time-outs on it."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EMFILE, errno.ENFILE):
                return
            raise
        client = _Socket(fileno=accepted.detach())
        client.unreadable, client.patience = self.unreadable, self.patience
        # What was sent and is not taken for so long ends the connection in the kernel (RFC 5482).
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self.patience * 1000))
        client.wait(socket.SO_RCVTIMEO, self.patience)
        client.wait(socket.SO_SNDTIMEO, self.patience / 2)
        self._make_room()
        self.nr_conns += 1
        connection = _Connection(self.cfg, client, address, listener.getsockname())
        connection.timeout = time.monotonic() + self.patience
        # No thread waits for the first byte: who opens a thousand connections and is silent would hold all.
        self.pending_conns.append(connection)
        readable = partial(self.on_pending_socket_readable, connection)
        self.poller.register(connection.sock, selectors.EVENT_READ, readable)

    def _make_room(self) -> None:
        """Close what has been idle longest where there are too many connections: first who has not said a
        word, then who had an answer."""
        for idle in (self.pending_conns, self.keepalived_conns):
            if self.nr_conns > self.worker_connections - _LEFT and idle:
                oldest = idle.popleft()
                self.poller.unregister(oldest.sock)
                self.nr_conns -= 1
                oldest.close()

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection that said something to a thread. What is more than its address may hold waits
        until one of that address is done; where far too many do, the oldest is closed."""
        address = str(conn.client[0])
        if self._busy[address] < self.cfg.threads * _ONE_ADDRESS:
            self._busy[address] += 1
            super().enqueue_req(conn)
            return
        waiting = self._waiting[address]
        waiting.append(conn)
        if len(waiting) > _MOST_WAITING:
            self.nr_conns -= 1
            waiting.popleft().close()

    def finish_request(self, conn: Any, fs: Any) -> None:
        """A thread has done with a connection (called in the main loop)."""
        address = str(conn.client[0])
        self._busy[address] -= 1
        super().finish_request(conn, fs)
        if waiting := self._waiting[address]:
            self.enqueue_req(waiting.popleft())
        elif not self._busy[address]:
            del self._busy[address], self._waiting[address]

    def handle(self, conn: Any) -> Any:
        """One request; a connection that ends is closed here, where waiting for it harms nobody."""
        again = super().handle(conn)
        if again is False:
            if getattr(conn.sock, "dropped", False):
                conn.sock.close()  # nobody is there to hear the last of it
            else:
                conn.sock.setblocking(True)
                close_graceful(conn.sock)
        return again


class _Log(Logger):  # type: ignore[misc]
    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """A client that stood still is no error of ours: no traceback for it."""
        if isinstance(sys.exc_info()[1], BlockingIOError | TimeoutError):
            self.info("a client stood still and was dropped")
        else:
            super().exception(msg, *args, **kwargs)


def serve(
    load: Callable[[Callable[[], None]], WSGI],
    pages: socket.socket,
    courseware: socket.socket,
    how: Serving = Serving(),
) -> bool:
    """Serve what `load` gives on both sockets until SIGTERM or SIGINT, or until the function that `load` is
    given is called; then True: it is to begin anew, and `open_sockets` of the program that takes this
    process over (exec) finds the sockets as they are."""
    options: dict[str, Any] = {
        "threads": how.threads,
        "worker_connections": how.threads + _KEPT_ALIVE,
        "keepalive": how.keep_alive,
        "graceful_timeout": how.grace,
        "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,
        "loglevel": os.environ.get("LESSONBOX_LOG", "WARNING").lower(),
        "forwarded_allow_ips": "",
        "limit_request_line": 8190,
    }
    config = Config()
    for name, value in options.items():
        config.set(name, value)
    # Two hundred threads would each get a heap that keeps what one large answer needed once.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    # Threads hold databases and files, boards hold idle connections: the usual limit of 1024 is too few.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loaded = SimpleNamespace(wsgi=lambda: load(worker.begin_anew))
    worker: _Worker = _Worker(0, 0, [pages.dup(), courseware.dup()], loaded, 0, config, _Log(config))
    worker.patience, worker.unreadable = how.patience, how.unreadable
    worker.pid = os.getpid()
    worker.init_process()
    if worker.again:
        held = pages.detach(), courseware.detach()
        for descriptor in held:
            os.set_inheritable(descriptor, True)
        os.environ[_HELD] = " ".join(map(str, (os.getpid(), *held)))
        return True
    if worker.nr_conns:  # the grace is over: Python would wait for the threads of those who still read
        os._exit(0)
    return False
