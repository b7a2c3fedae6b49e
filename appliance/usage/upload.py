"""Reports to the county by HTTP, and the county's time with them (formats.md 7)."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from appliance.usage.dating import COUNTY, Anchor
from appliance.usage.outbox import Outbox
from content_sync.adapters.http import Answer
from content_sync.core.timefloor import TimeFloor
from content_sync.errors import FormatError, NetworkError
from content_sync.formats.canonical import load
from content_sync.ports import Clock

FIRST_WAIT, MOST_WAIT, REFUSED_WAIT = 5.0, 3600.0, 86_400.0
AT_ONCE = 20  # batches sent in one step, so that the agent goes on doing other things
_CAP = 64 << 10
_RETRY = (408, 429)
_WHOLE_BOX = ("E-ENROL", "E-SIGNATURE")


class Asker(Protocol):
    """content_sync.adapters.http.HttpFetcher, or what a test puts in its place."""

    def ask(
        self, method: str, url: str, cap: int, data: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request and its answer. Raises NetworkError."""


class Uploader:
    """Sends what is due, in order, and waits longer after each failure: 5 s to 1 h, with chance in it.

    `chance` gives numbers from 0 to 1. `reached` (seconds of this boot) tells when the county last answered,
    `failure` what went wrong since.
    """

    def __init__(self, http: Asker, urls: Sequence[str], clock: Clock, chance: Callable[[], float]) -> None:
        self._http, self._urls, self._clock, self._chance = http, tuple(urls), clock, chance
        self._failures = 0
        self.not_before = 0.0
        self.reached: float | None = None
        self.failure = ""

    def work(self, outbox: Outbox, floor: TimeFloor, want_time: bool) -> int:
        """Send what is due, or only ask the time if `want_time` and nothing is due; batches stored now.

        Does nothing before `not_before`. Network trouble is kept in `failure`, not raised.
        Raises what Outbox raises.
        """
        boot, now = self._clock.boot_id(), self._clock.monotonic()
        if now < self.not_before:
            return 0
        stored = 0
        try:
            due = outbox.due(boot, int(now))[:AT_ONCE]
            for seq in due:
                refused = self._send(outbox, seq, floor)
                outbox.mark(seq, boot, int(self._clock.monotonic()), refused)
                stored += not refused
                self._success()
                if refused in _WHOLE_BOX:
                    self.not_before = now + REFUSED_WAIT
                    break
            if not due and want_time:
                self._ask("GET", "/healthz", lambda answer, said: said.get("ok") is True, outbox, floor)
                self._success()
        except NetworkError as error:
            self.failure = error.what
            wait = min(MOST_WAIT, FIRST_WAIT * 2**self._failures)
            self._failures = min(self._failures + 1, 20)
            self.not_before = self._clock.monotonic() + wait * (0.5 + self._chance() / 2)
        return stored

    def _success(self) -> None:
        self._failures, self.failure, self.reached = 0, "", self._clock.monotonic()

    def _send(self, outbox: Outbox, seq: int, floor: TimeFloor) -> str:
        """Empty when the county stored it, or the code with which it was refused. Raises NetworkError."""
        refused = ""

        def judge(answer: Answer, said: dict[str, Any]) -> bool:
            nonlocal refused
            if 200 <= answer.status < 300:
                return said.get("stored") is True and (said.get("stream"), said.get("seq")) == (
                    outbox.stream,
                    seq,
                )
            error = said.get("error")
            code = error.get("code") if isinstance(error, dict) else None
            if 400 <= answer.status < 500 and answer.status not in _RETRY and isinstance(code, str):
                refused = code[:40]
            return bool(refused)

        data = gzip.compress(outbox.signed(seq), mtime=0)
        self._ask("POST", "/api/v1/reports", judge, outbox, floor, data)
        return refused

    def _ask(
        self,
        method: str,
        path: str,
        judge: Callable[[Answer, dict[str, Any]], bool],
        outbox: Outbox,
        floor: TimeFloor,
        data: bytes = b"",
    ) -> None:
        """Ask address after address until `judge` finds an answer that only a county gives; note its time."""
        failure = "no address of the county is known"
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"} if data else {}
        for url in self._urls:
            before = self._clock.monotonic()
            try:
                answer = self._http.ask(method, url + path, _CAP, data, headers)
            except NetworkError as error:
                failure = error.what
                continue
            after = self._clock.monotonic()
            try:
                said = load(answer.body, _CAP)
            except FormatError:
                said = {}
            if judge(answer, said):  # a login page of some hotspot is not the county
                self._note_time(outbox, floor, answer.headers.get("date", ""), before, after)
                return
            failure = f"{url} answers {answer.status}"
        raise NetworkError(failure)

    def _note_time(self, outbox: Outbox, floor: TimeFloor, date: str, before: float, after: float) -> None:
        try:
            told = parsedate_to_datetime(date)
            # HTTP's time is UTC (RFC 9110 5.6.7); without a zone it would be read as this machine's own
            unix = int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp())
        except (ValueError, TypeError, OverflowError):
            return
        middle, half = int((before + after) / 2), int((after - before) / 2) + 1
        outbox.note_anchor(Anchor(self._clock.boot_id(), middle, unix, COUNTY + half, "county"), floor)
