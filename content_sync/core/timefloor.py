"""The time floor: what a box knows of the date from what the county signed (formats.md 4).

Pure. All times are unix seconds. On a box nothing is refused because of a time.
"""

from __future__ import annotations

import json

from msgspec import Struct

from content_sync.errors import ClockError
from content_sync.formats.canonical import time_text

DOUBT = 400 * 86_400
#: A wrong time zone on either side is no wrong clock.
SLACK = 86_400
#: `publish` allows a clock that was put right by this much between two releases.
STEP_BACK = 3_600


class TimeFloor(Struct, frozen=True):
    """`floor`: newest signed time that is used, None before the first. `doubted`: a newer one, only shown."""

    floor: int | None = None
    doubted: int | None = None

    @classmethod
    def stored(cls, text: str | None) -> TimeFloor:
        """As sync has written it into state.db; an empty one before that, or where it is damaged."""
        try:
            return cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            return cls()

    def accept(self, time: int) -> TimeFloor:
        """After a newer version (of a timestamp or of the envelope) that carries `time` was accepted.

        It follows versions, so an earlier time lowers the floor; one more than 400 days past it is doubted.
        """
        if self.floor is not None and time > self.floor + DOUBT:
            return TimeFloor(self.floor, time)
        return TimeFloor(time)

    def with_clock(self, wall: int, synchronised: bool) -> TimeFloor:
        """After a look at the clock: a doubted time that an NTP-synchronised one has reached is used."""
        if synchronised and self.doubted is not None and wall >= self.doubted - SLACK:
            return TimeFloor(self.doubted)
        return self

    @property
    def shown(self) -> int | None:
        """The time of the newest accepted version, doubted or not, for people."""
        return self.floor if self.doubted is None else self.doubted

    def contradicts(self, wall: int) -> bool:
        """Whether a clock that stands at `wall` must be wrong: the county signed something later."""
        return self.floor is not None and wall < self.floor - SLACK


def check_signing_time(now: int, last: int | None, allow_date: bool) -> None:
    """Raise ClockError when `now` is no plausible time to sign after `last`, the last signed one.

    `allow_date`: a person has said that the date is right (`--allow-date`).
    """
    if allow_date or last is None:
        return
    if now < last - STEP_BACK:
        raise ClockError(f"it is {time_text(now)} here, but the last release is of {time_text(last)}")
    if now > last + DOUBT:
        days = DOUBT // 86_400
        raise ClockError(
            f"it is {time_text(now)} here, over {days} days past the last release of {time_text(last)}"
        )
