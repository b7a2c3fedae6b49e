"""The PIN of the box: who may change something on it from a page. What it is worth over plain HTTP stands in
docs/threats.md.

Wrong tries are counted on the disk before they are answered, and the wait that they cost is measured in
seconds of this boot: neither a restart nor a wrong clock makes it shorter.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import threading
from pathlib import Path

from msgspec import Struct

from appliance.digits import FREE, N, P, R, digest, wait_after
from content_sync.adapters.files import read_capped, write_durable
from content_sync.errors import FormatError, LessonBoxError, NotFoundError, PinError, UsageError
from content_sync.formats.canonical import check_format, dump, is_hex, load
from content_sync.ports import Clock

FORMAT, TRIES = "lessonbox-pin/1", "lessonbox-pin-tries/1"
_PIN = re.compile(r"[0-9]{6,12}")
_MAX = 4096
#: A session that is not used for so long is over.
_IDLE, _SESSIONS = 900.0, 50
#: So long after the machine's start the first PIN may be set from a page of the LAN.
FIRST_SECONDS = 1800.0


def set_pin(path: Path, pin: str) -> None:
    """Store a PIN of 6 to 12 digits, salted and hashed, for the owner of the folder. Raises UsageError,
    StorageError."""
    if not _PIN.fullmatch(pin):
        raise UsageError("a PIN is 6 to 12 digits")
    if len(set(pin)) < 3 or pin in "01234567890123456789 98765432109876543210":
        raise UsageError("this PIN is too easy to guess")
    salt = secrets.token_bytes(16)
    made = {"salt": salt.hex(), "n": N, "r": R, "p": P, "hash": digest(pin, salt).hex()}
    write_durable(path, dump({"format": FORMAT, **made}), 0o600)
    _give_to_owner(path)
    clear_tries(path)


def clear_pin(path: Path) -> None:
    """Take the PIN away: nothing can be changed from pages then."""
    path.unlink(missing_ok=True)
    clear_tries(path)


def clear_tries(path: Path) -> None:
    """Forget wrong tries."""
    _tries(path).unlink(missing_ok=True)


def _tries(path: Path) -> Path:
    return path.with_name("pin-tries.json")


def _give_to_owner(path: Path) -> None:
    """The command may be run by root; web is not."""
    owner = path.parent.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.chown(path, owner.st_uid, owner.st_gid)


class _Session(Struct):
    used: float
    secret: str
    #: The PIN that it was opened with.
    of: str


class Pin:
    """Checks PINs and keeps sessions; for any number of threads."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}

    def _stored(self) -> dict[str, object] | None:
        try:
            stored = load(read_capped(self._path, _MAX), _MAX)
            check_format(stored, FORMAT)
        except NotFoundError:
            return None
        numbers = [stored.get(name) for name in ("n", "r", "p")]
        if numbers != [N, R, P] or not (is_hex(stored.get("salt"), 32) and is_hex(stored.get("hash"), 64)):
            raise FormatError("pin.json is damaged: set the PIN again")
        return stored

    @property
    def is_set(self) -> bool:
        """Whether there is a PIN."""
        return self._path.exists()

    def enter(self, pin: str) -> str:
        """The token of a new session. Raises PinError: there is none, it is wrong, or it is too early."""
        with self._lock:
            stored = self._stored()
            if stored is None:
                raise PinError("no PIN is set")
            wrong, wait = self._wrong()
            if wait > 0:
                raise PinError(f"too many wrong PINs, try again in {wait} s")
            self._count(wrong + 1)  # before it is checked: pulling the plug saves no try
            salt = bytes.fromhex(str(stored["salt"]))
            made = digest(pin[:64], salt)
            if not hmac.compare_digest(made, bytes.fromhex(str(stored["hash"]))):
                wait = wait_after(wrong + 1)
                raise PinError("wrong PIN" + (f", try again in {wait} s" if wait else ""))
            clear_tries(self._path)
            while len(self._sessions) >= _SESSIONS:
                del self._sessions[min(self._sessions, key=lambda name: self._sessions[name].used)]
            token = secrets.token_hex(16)
            self._sessions[token] = _Session(
                self._clock.monotonic(), secrets.token_hex(16), str(stored["hash"])
            )
            return token

    def waits(self) -> int:
        """Seconds until the next try is allowed."""
        with self._lock:
            return self._wrong()[1]

    def left(self, token: str) -> int:
        """Seconds until a session ends by itself, looking does not make it longer; 0: there is none."""
        with self._lock:
            session = self._sessions.get(token)
            return 0 if session is None else max(0, int(session.used + _IDLE - self._clock.monotonic()))

    def first_for(self) -> int:
        """Seconds for which the first PIN may still be set from a page of the LAN (docs/threats.md)."""
        return 0 if self.is_set else max(0, int(FIRST_SECONDS - self._clock.monotonic()))

    def set_first(self, pin: str) -> None:
        """Set the first PIN. Raises PinError when there is one, UsageError, StorageError."""
        with self._lock:
            if self.is_set:
                raise PinError("a PIN is set already")
            set_pin(self._path, pin)

    def change(self, old: str, new: str) -> str:
        """Set another PIN, which ends every session; the token of a new one. Raises PinError: `old` is not
        right, or it is too early; UsageError, StorageError."""
        self.leave(self.enter(old))
        set_pin(self._path, new)
        return self.enter(new)

    def _wrong(self) -> tuple[int, int]:
        """Wrong tries in a row, and seconds until the next is allowed."""
        try:
            found = load(read_capped(_tries(self._path), _MAX), _MAX)
            check_format(found, TRIES)
            wrong, at, boot = found.get("wrong"), found.get("at"), found.get("boot")
            if type(wrong) is not int or type(at) is not int or wrong < 0:
                raise FormatError("pin-tries.json is damaged")
        except NotFoundError:
            return 0, 0
        except FormatError:
            wrong, at, boot = FREE + 1, 0, None  # a damaged count is no free pass
        began = at if boot == self._clock.boot_id() else 0
        return wrong, max(0, began + wait_after(wrong) - int(self._clock.monotonic()))

    def _count(self, wrong: int) -> None:
        at = {"at": int(self._clock.monotonic()), "boot": self._clock.boot_id()}
        write_durable(_tries(self._path), dump({"format": TRIES, "wrong": min(wrong, 1000), **at}), 0o600)

    def secret(self, token: str) -> str | None:
        """What forms of a session carry; None when the session is over or never was."""
        with self._lock:
            session = self._sessions.get(token)
            if session is None:
                return None
            try:
                stored = self._stored()
            except LessonBoxError:
                stored = None
            now = self._clock.monotonic()
            if stored is None or session.of != stored["hash"] or now - session.used > _IDLE:
                del self._sessions[token]
                return None
            session.used = now
            return session.secret

    def leave(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(token, None)
