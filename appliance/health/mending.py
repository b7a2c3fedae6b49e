"""What the doctor lets the root helper do unasked: safe at any moment, and it can't go round in circles."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from appliance.helped import Helper
from content_sync.errors import LessonBoxError

#: A machine that runs so long is started again because of its disk: where that does not help, two starts a
#: day, and a box that is switched off each evening never does it by itself.
LONG_UP = 12 * 3600
_log = logging.getLogger("doctor")


def mend(wanted: Iterable[str], up: float, boards: int, helper: Helper) -> list[str]:
    """Ask for those of the `wanted` deeds (probes.Found.mend) that may be done now; which were. `up`: seconds
    since the machine started; `boards`: connections of boards, none of which is cut off by a new start."""
    deeds = [deed for deed in dict.fromkeys(wanted) if deed != "reboot" or (up >= LONG_UP and not boards)]
    done = []
    for deed in deeds if helper.there() else ():
        try:
            helper.ask(deed)
            done.append(deed)
        except LessonBoxError as error:  # the next look tries again
            _log.warning("%s: %s", deed, error.line())
    return done
