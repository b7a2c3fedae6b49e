"""The machine's clocks (Linux)."""

from __future__ import annotations

import ctypes
import functools
import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STA_UNSYNC = 0x0040  # linux/timex.h
_TIME_ERROR = 5  # clock not synchronised (adjtimex(2))


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), 64-bit Linux: the head that we read, then room for the rest."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    ]


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class SystemClock:
    """ports.Clock on this machine."""

    def monotonic(self) -> float:
        """Seconds since boot, suspension included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Unix seconds of the system clock."""
        return time.time()

    def boot_id(self) -> str:
        """The kernel's random id of this boot."""
        return _BOOT_ID.read_text("ascii").strip()

    def source(self) -> str:
        """`ntp` when adjtimex(2) says that the kernel's clock is being synchronised, else `system`."""
        timex = _Timex()  # modes 0: only read
        state = _libc().adjtimex(ctypes.byref(timex))
        return "system" if state in (-1, _TIME_ERROR) or timex.status & _STA_UNSYNC else "ntp"
