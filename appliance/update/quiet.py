"""When a box may start again for an update: while nobody teaches. Pure."""

from __future__ import annotations

from content_sync.core.budget import Budget, Known, day_number

_NIGHT = (22 * 60, 5 * 60)
#: Seconds without use before a start by night; without a clock; and after which an update waits for no night.
IDLE, ALONE, LONG = 1800.0, 3 * 3600.0, 7 * 86_400.0
#: A live class that begins within so many seconds, or an hour of one that just was, is left alone.
_NEAR = 1800
_VAGUE = 1800.0


def quiet(budget: Budget, known: Known | None, idle: float, waited: float) -> bool:
    """`idle`: seconds since a board or phone used the box; `waited`: seconds that the update has been ready.

    At night by the county's time, and no live class near. Where nobody knows the time: after three hours
    without use. After a week half an hour without use is enough.
    """
    if idle < IDLE:
        return False
    if known is None or known.uncertainty > _VAGUE:
        return idle >= ALONE
    for at in (known.unix, known.unix + _NEAR):
        if budget.allowed(Known(at, known.uncertainty)).reason == "class":
            return False
    return waited >= LONG or _night(known.unix + budget.offset)


def _night(local: float) -> bool:
    minute = int(local // 60) - day_number(local, 0) * 1440
    return minute >= _NIGHT[0] or minute < _NIGHT[1]
