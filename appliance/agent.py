"""The agent: takes usage into the outbox, dates it, sends it, forgets what is acknowledged (design.md 6).

`step` does what is due and says when to come back; the loop is the program's. Alone reads the box's key.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from appliance.config import BoxPaths, county_urls, has_line, read_enrolment
from appliance.health import checks
from appliance.helped import ClockSetter
from appliance.usage.dating import NTP, Anchor, Dated, believable
from appliance.usage.outbox import Frame, Outbox
from appliance.usage.records import take_records
from appliance.usage.upload import Asker, Uploader
from content_sync.adapters.files import read_capped, write_durable
from content_sync.adapters.keys import BoxKey
from content_sync.adapters.sqlite import StateReader
from content_sync.core.timefloor import TimeFloor
from content_sync.errors import (
    FormatError,
    LessonBoxError,
    NotFoundError,
    SequenceConflictError,
    SetupError,
)
from content_sync.formats import dsse
from content_sync.formats.enrolment import Enrolment, claim_proof, dump_enrolment
from content_sync.formats.envelope import MAX_ENVELOPE, Envelope, parse_envelope
from content_sync.ports import Clock, Problem
from content_sync.settings import Settings

TICK = 2.0  # how often the envelope is looked at
AFTER_ERROR = 30.0
MANY_WAIT = 1_000  # sessions that make a batch even while others are unsent
PACK_EVERY = 3_600  # while the county does not answer: few and larger batches
_LOG = logging.getLogger("agent")


def read_floor(paths: BoxPaths) -> TimeFloor:
    """The time floor as sync last wrote it; an empty one before that. Raises StorageError, NewerDataError."""
    try:
        with closing(StateReader(paths.state_db)) as state:
            return TimeFloor.stored(state.meta("floor"))
    except SetupError:
        return TimeFloor()


def read_release(paths: BoxPaths) -> int:
    """The number of the release that is applied; 0 before the first. Raises StorageError, NewerDataError."""
    try:
        with closing(StateReader(paths.state_db)) as state:
            return state.release()
    except SetupError:
        return 0


class Agent:
    """One box's agent. `chance` gives numbers from 0 to 1; `software` is this program's version."""

    def __init__(
        self,
        paths: BoxPaths,
        settings: Settings,
        clock: Clock,
        http: Asker,
        chance: Callable[[], float],
        software: str,
        setter: ClockSetter | None = None,
    ) -> None:
        """Open the outbox. Raises SetupError, FormatError, NewerDataError, DiskFullError, StorageError."""
        self._paths, self._clock, self._software, self._setter = paths, clock, software, setter
        self._every = settings.number("report_seconds")
        self._line = has_line(settings)
        self._enrolment = read_enrolment(paths)
        try:
            self._key = BoxKey.load(paths.key)
        except NotFoundError:
            raise SetupError(f"{paths.data} has no key") from None
        self._outbox = Outbox(paths.outbox_db)
        self._uploader = Uploader(http, county_urls(settings, self._enrolment.urls), clock, chance)
        self._envelope_seen: tuple[int, int, int] | None = None
        self._enrolled = self._names = False
        self._untaken: LessonBoxError | None = None
        self._next_cycle = self._last_pack = float("-inf")
        self._trouble: LessonBoxError | None = None
        self._copied: SequenceConflictError | None = None
        self._address: str | None = None
        self._announce_problem = ""
        self._told_time: dict[str, Any] | None = None
        self._changed = False

    @property
    def enrolment(self) -> Enrolment:
        """This box's enrolment."""
        return self._enrolment

    def close(self) -> None:
        """Close the outbox."""
        self._outbox.close()

    def announced(self, address: str | None, problem: str) -> None:
        """What the announcer did: shown by `lessonbox status`."""
        if (address, problem) != (self._address, self._announce_problem):
            self._address, self._announce_problem = address, problem
            self._changed = True

    def step(self) -> float:
        """Do what is due; seconds until there may be more. An error is kept as a problem and tried again."""
        try:
            changed = self._look_at_envelope() or self._changed
            now = self._clock.monotonic()
            if now >= self._next_cycle:
                self._next_cycle = now + self._every
                self._cycle()
                self._trouble, changed = None, True
            if changed:
                self._tell()
                self._changed = False
        except LessonBoxError as error:
            if self._trouble is None or self._trouble.line() != error.line():  # once, not every two seconds
                _LOG.warning("%s", error.line())
            self._trouble = error
            self._next_cycle = self._clock.monotonic() + min(AFTER_ERROR, self._every)
            with suppress(LessonBoxError):  # it has been logged
                self._tell()
        return min(TICK, self._every)

    def _cycle(self) -> None:
        """Usage to sessions, sessions to batches, batches to the county."""
        boot, now, floor = self._clock.boot_id(), self._clock.monotonic(), read_floor(self._paths)
        self._outbox.note_present(self._paths.usage_db, boot, floor)
        wall = int(self._clock.wall())
        if self._clock.source() == "ntp":
            self._outbox.note_anchor(Anchor(boot, int(now), wall, NTP, "ntp"), floor)
        self._outbox.consume(self._paths.usage_db, boot, int(now * 1000))
        self._take_records()
        self._pack(floor)
        anchored = self._outbox.calendar(floor).anchored(boot)
        if self._uploader.work(self._outbox, floor, want_time=not anchored):
            self._ask_for_envelope()
        if not anchored:
            self._pack(floor)  # the county's answer may have brought the time
        if self._uploader.not_before > now:
            self._next_cycle = min(self._next_cycle, self._uploader.not_before)

    def _take_records(self) -> None:
        """Classes, wishes, offers into the outbox. That they can't be read holds no usage back."""
        try:
            take_records(self._outbox, self._paths, self._names)
            self._untaken = None
        except LessonBoxError as error:
            if self._untaken is None or self._untaken.line() != error.line():
                _LOG.warning("%s", error.line())
            self._untaken = error

    def _pack(self, floor: TimeFloor) -> None:
        now = self._clock.monotonic()
        patient = self._outbox.unsent() and now - self._last_pack < PACK_EVERY
        if self._outbox.seq and (patient and self._outbox.waiting() < MANY_WAIT):
            return
        frame = Frame(self._enrolment.box, self._software, read_release(self._paths), self._enrol())
        while self._outbox.pack(frame, self._sign, floor, int(now)):
            self._last_pack = now

    def _sign(self, payload: bytes) -> bytes:
        return self._key.sign(dsse.REPORT_TYPE, payload)

    def _enrol(self) -> tuple[str, str] | None:
        claim, public = self._enrolment.claim, self._key.public_hex
        if self._enrolled or claim is None:
            return None
        return public, claim_proof(claim, self._enrolment.box, public)

    def _look_at_envelope(self) -> bool:
        """Read the envelope that sync verified, if it changed: forget what it acknowledges; the claim too."""
        path = self._paths.trust / "envelope.json"
        try:
            found = os.stat(path)
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            if seen == self._envelope_seen:
                return False
            envelope = read_envelope(path)
        except (FileNotFoundError, NotFoundError):
            return False
        except FormatError as error:
            _LOG.warning("envelope: %s", error.line())  # sync will replace it; usage goes on meanwhile
            return False
        if envelope.box == self._enrolment.box:
            self._obey(envelope)
        self._envelope_seen = seen
        return True

    def _obey(self, envelope: Envelope) -> None:
        self._copied = None
        try:
            if envelope.ack is not None:
                self._outbox.forget(envelope.ack)
        except SequenceConflictError as error:
            _LOG.warning("%s", error.line())
            self._copied = error
        self._enrolled = envelope.enrolled
        self._names = envelope.policy.other.get("teacher_names") is True
        if envelope.enrolled and self._enrolment.claim is not None:
            without = replace(self._enrolment, claim=None)
            write_durable(self._paths.enrolment, dump_enrolment(without), 0o600)
            self._enrolment = without

    def _ask_for_envelope(self) -> None:
        """Leave sync the hint that the county has something new for this box: its acknowledgement."""
        hint = self._paths.incoming / "refresh"
        try:
            hint.parent.mkdir(exist_ok=True)
            hint.touch()
        except OSError as error:
            _LOG.warning("%s: %s", hint.name, error)  # sync asks every few minutes anyway

    def _tell(self) -> None:
        floor, boot = read_floor(self._paths), self._clock.boot_id()
        now, wall, source = self._clock.monotonic(), int(self._clock.wall()), self._clock.source()
        known = self._outbox.calendar(floor).at(boot, int(now))
        trusted = known is not None and known.clock != "system"
        if known is not None and trusted and self._setter is not None:
            try:
                self._setter.look(known.start, known.uncertainty, floor)
            except LessonBoxError as error:
                _LOG.warning("%s", error.line())
        status = {
            "clock": {
                "trusted": trusted,
                "source": known.clock if known is not None else _claimed(wall, floor, source),
            },
            "address": self._address,
            "time": self._time(boot, known, int(now)) if trusted else None,
        }
        since = wall if known is None else known.start
        problems = [
            *checks.data_problems(self._paths, since),
            *checks.clock_problems(believable(wall, floor, source), trusted, since),
            *checks.report_problems(self._outbox.refusals(), self._outbox.unfit, since),
        ]
        if self._line and self._uploader.failure and self._outbox.unsent():
            message = f"使用记录暂时送不到县里，都保存在盒子里：{self._uploader.failure}"
            problems.append(Problem("E-NETWORK", "reports", message, since))
        if self._copied is not None:
            message = f"县里已有本机编号更大的报告，本机的数据像是旧的副本，请重新注册：{self._copied.what}"
            problems.append(Problem(self._copied.code, "outbox", message, since))
        if self._untaken is not None:
            message = f"课时和心愿暂时没有放进报告：{self._untaken.what}"
            problems.append(Problem(self._untaken.code, "records", message, since))
        if self._announce_problem:
            message = f"局域网里暂时找不到盒子的名字：{self._announce_problem}"
            problems.append(Problem("E-NETWORK", "mdns", message, since))
        if self._trouble is not None:
            problems.append(Problem(self._trouble.code, "agent", self._trouble.what, since))
        self._outbox.tell(status, problems)

    def _time(self, boot: str, known: Dated | None, now: int) -> dict[str, Any] | None:
        """For sync: when this boot began. The same words again while only their rounding differs."""
        if known is None:
            return None
        told = {"boot": boot, "began": known.start - now, "uncertainty": known.uncertainty + 2}
        before = self._told_time
        same = before is not None and before["boot"] == boot and abs(before["began"] - told["began"]) <= 1
        if before is None or not same or told["uncertainty"] < before["uncertainty"]:
            self._told_time = told
        return self._told_time


def _claimed(wall: int, floor: TimeFloor, source: str) -> str:
    return source if believable(wall, floor, source) else "none"


def read_envelope(path: Path) -> Envelope:
    """The payload of an envelope that sync has verified and kept. Raises NotFoundError, FormatError."""
    signed = dsse.parse_signed(read_capped(path, MAX_ENVELOPE), dsse.ENVELOPE_TYPE, MAX_ENVELOPE)
    return parse_envelope(signed.payload)
