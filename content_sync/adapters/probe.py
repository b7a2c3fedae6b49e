"""The round trip to the county, by TCP handshakes: both ends' kernels answer, so that busy programs don't
count.

A connection is opened and dropped without a byte (about 230 bytes of packets for one measure, both ways
together); its round trip is what the kernel measured (TCP_INFO, linux/tcp.h), not what this thread saw.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from msgspec import Struct, field

_log = logging.getLogger(__name__)
#: Seconds between two measures, until one is given up, and between two look-ups of the county's name.
EVERY, PATIENCE, LOOK_UP = 0.2, 1.5, 60.0
_RTT_AT, _ENOUGH = 68, 72  # tcpi_rtt, microseconds, of struct tcp_info
_MOST_KEPT = 100
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: drop, so that neither side keeps anything


class _Asking(Struct):
    """Handshakes under way, by socket: when each began, and which of the places it goes to."""

    began: dict[socket.socket, tuple[float, int]] = field(default_factory=dict)


class HandshakeProbe:
    """ports.Probe to the first of the county's addresses that can be looked up and answers. `clock` gives
    monotonic seconds."""

    def __init__(self, urls: Sequence[str], clock: Callable[[], float]) -> None:
        self._places = [(u.hostname or "", u.port or (443 if u.scheme == "https" else 80)) for u in
                        map(urlsplit, urls)]  # fmt: skip
        self._clock = clock
        self._wanted, self._closed = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._samples: list[tuple[float, float | None]] = []
        self._thread: threading.Thread | None = None
        self._address: tuple[socket.AddressFamily, tuple[object, ...]] | None = None
        self._place, self._looked_up = 0, float("-inf")
        #: The address of this machine that the last handshake went out from.
        self.local: str | None = None

    def want(self, on: bool) -> None:
        """See ports.Probe."""
        if not on:
            self._wanted.clear()
        elif not self._wanted.is_set() and self._places:
            self._wanted.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="probe", daemon=True)
                self._thread.start()

    def samples(self) -> list[tuple[float, float | None]]:
        """See ports.Probe."""
        with self._lock:
            found, self._samples = self._samples, []
        return found

    def close(self) -> None:
        """See ports.Probe."""
        self._closed.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(PATIENCE + EVERY + 1)

    def _work(self) -> None:
        while not self._closed.is_set():
            self._wanted.wait()
            with selectors.DefaultSelector() as selector:
                asking = _Asking()
                try:
                    while self._wanted.is_set() and not self._closed.is_set():
                        self._turn(selector, asking)
                finally:
                    for one in asking.began:
                        one.close()

    def _turn(self, selector: selectors.BaseSelector, asking: _Asking) -> None:
        now = self._clock()
        self._look_up(now)
        if self._address is not None:
            self._begin(selector, asking, now)
        due = now + EVERY
        while (left := due - self._clock()) > 0 and not self._closed.is_set():
            if not asking.began:
                self._closed.wait(left)
                break
            for key, _ in selector.select(left):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                selector.unregister(one)
                self._finish(one, asking)
        for one, (began, _) in list(asking.began.items()):
            if self._clock() - began > PATIENCE:
                selector.unregister(one)
                self._drop(one, asking, None)

    def _look_up(self, now: float) -> None:
        if now - self._looked_up < LOOK_UP and (self._address is not None or now - self._looked_up < 5):
            return
        self._looked_up = now
        for step in range(len(self._places)):
            place = (self._place + step) % len(self._places)
            try:
                found = socket.getaddrinfo(*self._places[place], type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                _log.info("%s: %s", self._places[place][0], error)
                continue
            self._address, self._place = (found[0][0], found[0][4]), place
            return
        self._address = None

    def _begin(self, selector: selectors.BaseSelector, asking: _Asking, now: float) -> None:
        assert self._address is not None
        try:
            one = socket.socket(self._address[0], socket.SOCK_STREAM)
        except OSError as error:
            _log.warning("no probe: %s", error)
            return
        asking.began[one] = now, self._place
        try:
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            code = one.connect_ex(self._address[1])
        except OSError as error:
            code = error.errno or errno.EIO
        if code in (0, errno.EINPROGRESS):
            selector.register(one, selectors.EVENT_WRITE)
        else:
            self._elsewhere(asking.began[one][1])
            self._drop(one, asking, None)

    def _finish(self, one: socket.socket, asking: _Asking) -> None:
        trip = None
        if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            with suppress(OSError):
                info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
                if len(info) >= _ENOUGH:
                    # 0: the first SYN or its answer was lost, the kernel measures nothing then (RFC 6298, 3)
                    trip = struct.unpack_from("=I", info, _RTT_AT)[0] / 1e6 or None
                self.local = str(one.getsockname()[0])
        else:
            self._elsewhere(asking.began[one][1])
        self._drop(one, asking, trip)

    def _drop(self, one: socket.socket, asking: _Asking, trip: float | None) -> None:
        del asking.began[one]
        one.close()
        with self._lock:
            self._samples = [*self._samples, (self._clock(), trip)][-_MOST_KEPT:]

    def _elsewhere(self, place: int) -> None:
        """Nobody listens there: the county's next address, in a while."""
        if self._address is None or place != self._place:
            return
        self._place = (self._place + 1) % len(self._places)
        self._address = None
