"""The line between web process and seeder process: "load this package", a Unix socket in work/.

The web process asks inside the announce handler, before the box is told where the seeder is; a seeder that
is down or busy must not hold an announce up, so waiting is short and a failure is no error: the box comes
back, and a peer that knocks at the seeder itself is noticed too (Seeder.knocks).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from content_sync.adapters.files import storage_errors

_NAME = "seeder.sock"
_WAIT_SECONDS = 0.5
_HASH_BYTES = 20
_SIZE = _HASH_BYTES + 4  # the hash's first 20 bytes, two counts of 16 bits


@contextlib.contextmanager
def _address(work: Path) -> Iterator[str]:
    """The socket's path, short whatever the folder's is: sun_path holds 107 bytes (unix(7))."""
    folder = os.open(work, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{_NAME}"
    finally:
        os.close(folder)


def ask(work: Path, info_hash: bytes, near: int, seeds: int) -> bool:
    """Let the seeder load the package of these 20 bytes; whether it says that it serves it now.

    `near`: how many at one public address lack something, `seeds`: how many boxes have all.
    """
    asked = info_hash + min(near, 65535).to_bytes(2, "big") + min(seeds, 65535).to_bytes(2, "big")
    try:
        with _address(work) as path, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
            line.settimeout(_WAIT_SECONDS)
            line.connect(path)
            line.send(asked)
            return line.recv(1) == b"1"
    except OSError:
        return False


class Asked:
    """The seeder's end."""

    def __init__(self, work: Path) -> None:
        """Listen. Raises StorageError."""
        self._work = work
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with storage_errors(_NAME), _address(work) as path:
            (work / _NAME).unlink(missing_ok=True)
            self._listener.bind(path)
            os.chmod(path, 0o600)
        self._listener.listen(128)
        self._listener.setblocking(False)
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(self._listener, selectors.EVENT_READ)

    def answer(self, seconds: float, load: Callable[[bytes, int, int], bool]) -> None:
        """Wait for at most `seconds`, then answer all who ask: `load(20 bytes, near, seeds)`."""
        try:
            if not self._waiting.select(seconds):
                return
        except InterruptedError:
            return
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line, contextlib.suppress(OSError):
                line.settimeout(_WAIT_SECONDS)
                asked = line.recv(_SIZE + 1)
                if len(asked) == _SIZE:
                    near, seeds = int.from_bytes(asked[20:22], "big"), int.from_bytes(asked[22:], "big")
                    line.send(b"1" if load(asked[:_HASH_BYTES], near, seeds) else b"0")

    def close(self) -> None:
        """Stop."""
        self._waiting.close()
        self._listener.close()
