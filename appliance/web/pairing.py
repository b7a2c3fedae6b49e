"""Which phones hold the remote of which board, and what they ask of it. All in memory: a restart of the box
ends every remote, and scanning again takes seconds (decision 0028)."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

#: A code that nobody scanned is void after this; a phone that rests so long has to scan again.
_CODE_SECONDS, _IDLE_SECONDS = 600.0, 3 * 3600.0
#: What a board did not fetch within this is forgotten: nothing acts late.
_STALE_SECONDS = 8.0
_PHONES, _BOARDS, _CODES, _WAITING = 4, 500, 500, 20
#: A board that was not heard for so long shows no page that listens.
_SILENT_SECONDS = 12.0

#: What a phone may ask, beside `open` with a path.
DEEDS = ("play", "back", "on", "prev", "next", "answer", "louder", "softer", "full", "stop",
         "up", "down", "left", "right", "ok", "exit")  # fmt: skip

#: Deeds that lead to another page.
LEAVING = ("open", "stop")


class Phone(Struct):
    """A phone that holds a board's remote. `secret`: what its forms carry."""

    token: str
    board: str
    secret: str
    used: float


class _Board(Struct):
    phones: list[str] = field(default_factory=list)
    waiting: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=_WAITING))
    state: dict[str, Any] = field(default_factory=dict)
    heard: float = float("-inf")
    #: Counts its polls: only the newest is given what is asked, an older one's page may be gone.
    poll: int = 0


class Pairing:
    """For any number of threads. `waiters`: how many boards may wait for a word at the same time; the others
    are answered at once and ask again a little later."""

    def __init__(self, monotonic: Callable[[], float], waiters: int = 0) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._waiters = waiters
        self._codes: dict[str, tuple[str, float]] = {}
        self._phones: dict[str, Phone] = {}
        self._boards: dict[str, _Board] = {}

    def code(self, board: str) -> str:
        """A code that pairs one phone with this board; the board's earlier one is void."""
        now = self._monotonic()
        with self._changed:
            self._codes = {
                code: (whose, at)
                for code, (whose, at) in self._codes.items()
                if whose != board and now - at < _CODE_SECONDS
            }
            while len(self._codes) >= _CODES:
                del self._codes[next(iter(self._codes))]
            made = secrets.token_hex(10)
            self._codes[made] = board, now
            return made

    def pair(self, code: str) -> Phone | None:
        """The phone that a code makes; the code is used up. None: it is void."""
        now = self._monotonic()
        with self._changed:
            board, at = self._codes.pop(code, ("", float("-inf")))
            if now - at >= _CODE_SECONDS:
                return None
            if board not in self._boards and len(self._boards) >= _BOARDS:
                self._end(min(self._boards, key=lambda name: self._boards[name].heard))
            known = self._boards.setdefault(board, _Board())
            if not known.phones:
                known.waiting.clear()
            while len(known.phones) >= _PHONES:
                del self._phones[known.phones.pop(0)]
            phone = Phone(secrets.token_hex(16), board, secrets.token_hex(16), now)
            self._phones[phone.token] = phone
            known.phones.append(phone.token)
            self._changed.notify_all()
            return phone

    def phone(self, token: str) -> Phone | None:
        """The phone with this cookie, while it holds a remote."""
        now = self._monotonic()
        with self._changed:
            found = self._phones.get(token)
            if found is None:
                return None
            if now - found.used > _IDLE_SECONDS:
                self._drop(found)
                return None
            found.used = now
            return found

    def leave(self, phone: Phone) -> None:
        """A phone puts the remote away."""
        with self._changed:
            self._drop(phone)
            self._changed.notify_all()

    def _drop(self, phone: Phone) -> None:
        self._phones.pop(phone.token, None)
        board = self._boards.get(phone.board)
        if board is not None and phone.token in board.phones:
            board.phones.remove(phone.token)

    def _end(self, board: str) -> None:
        known = self._boards.pop(board, None)
        for token in known.phones if known else ():
            self._phones.pop(token, None)

    def end(self, board: str) -> None:
        """Take the remote of this board from every phone, and make its code void."""
        with self._changed:
            self._end(board)
            self._codes = {code: made for code, made in self._codes.items() if made[0] != board}
            self._changed.notify_all()

    def count(self, board: str) -> int:
        """How many phones hold this board's remote."""
        now = self._monotonic()
        with self._changed:
            known = self._boards.get(board)
            for token in list(known.phones) if known else ():
                if now - self._phones[token].used > _IDLE_SECONDS:
                    self._drop(self._phones[token])
            return len(known.phones) if known else 0

    def ask(self, board: str, deed: str, path: str = "") -> None:
        """Ask something of the board; what it does not fetch soon is forgotten."""
        with self._changed:
            known = self._boards.get(board)
            if known is not None:
                known.waiting.append((self._monotonic(), deed, path))
                self._changed.notify_all()

    def listens(self, board: str) -> bool:
        """Whether the board was heard lately."""
        with self._changed:
            known = self._boards.get(board)
            return known is not None and self._monotonic() - known.heard < _SILENT_SECONDS

    def state(self, board: str) -> dict[str, Any]:
        """What the board last said about itself."""
        with self._changed:
            known = self._boards.get(board)
            return dict(known.state) if known else {}

    def tell(self, board: str, state: dict[str, Any]) -> None:
        """Keep how a paired board stands."""
        with self._changed:
            known = self._boards.get(board)
            if known is not None:
                known.state, known.heard = state, self._monotonic()

    def hear(
        self, board: str, state: dict[str, Any], seconds: float, phones: int
    ) -> tuple[list[dict[str, str]], bool]:
        """What is asked of a board, each thing once, and whether it was waited for: until something is asked,
        the number of phones is no more `phones`, or `seconds` have passed."""
        with self._changed:
            known = self._boards.get(board)
            if known is None:
                known = _Board()  # not paired yet: nothing is kept of it
            known.state, known.heard = state, self._monotonic()
            known.poll += 1
            poll = known.poll
            waits = seconds > 0 and self._waiters > 0 and not known.waiting and len(known.phones) == phones
            if waits:
                self._waiters -= 1
                try:
                    self._changed.wait_for(lambda: self._is_told(board, known, poll, phones), seconds)
                finally:
                    self._waiters += 1
            if known.poll != poll:
                return [], False
            known.heard = now = self._monotonic()
            asked: list[dict[str, str]] = []
            # What comes after a new page was asked for is for that page.
            while known.waiting and not (asked and asked[-1]["do"] in LEAVING):
                at, deed, path = known.waiting.popleft()
                if now - at < _STALE_SECONDS:
                    asked.append({"do": deed, "path": path})
            return asked, waits

    def _is_told(self, board: str, known: _Board, poll: int, phones: int) -> bool:
        paired = self._boards.get(board)
        ended_or_new = paired is not known and (paired is not None or phones > 0)
        return bool(known.waiting) or known.poll != poll or ended_or_new or len(known.phones) != phones
