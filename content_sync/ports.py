"""The Protocols that the engine needs. Each has a real adapter, a fake in testing/, and one contract suite for both.

Errors: an adapter raises LessonBoxError subclasses only; `retryable` tells whether to try again.
"""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time as facts: never read deep inside, always handed in."""

    def monotonic(self) -> float:
        """Seconds since this boot, suspension included (CLOCK_BOOTTIME)."""

    def wall(self) -> float:
        """Unix seconds of the system clock, right or wrong."""

    def boot_id(self) -> str:
        """The kernel's id of this boot."""

    def source(self) -> str:
        """`ntp` when the kernel says that the clock is synchronised, else `system`."""
