"""The true time as sync may know it: the kernel's clock where NTP keeps it, else what the agent learnt from
the county in this boot. A clock that nobody checked is not asked."""

from __future__ import annotations

from pathlib import Path

from appliance.usage.dating import NTP
from appliance.usage.outbox import read_agent_status
from content_sync.core.budget import Known
from content_sync.errors import LessonBoxError
from content_sync.ports import Clock


class TrueTime:
    """`known(now)`: the true time at `now` seconds of this boot, None when nobody has said it."""

    def __init__(self, clock: Clock, outbox: Path) -> None:
        self._clock, self._outbox, self._boot = clock, outbox, clock.boot_id()

    def known(self, now: float) -> Known | None:
        """See the class."""
        if self._clock.source() == "ntp":
            return Known(self._clock.wall(), NTP)
        try:
            said = read_agent_status(self._outbox).get("time")
            if not said or said["boot"] != self._boot:
                return None
            return Known(float(said["began"]) + now, float(said["uncertainty"]))
        except (LessonBoxError, KeyError, TypeError, ValueError):
            return None
