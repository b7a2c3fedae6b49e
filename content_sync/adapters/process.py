"""Child processes that never outlive their parent (Linux)."""

from __future__ import annotations

import ctypes
import os

from content_sync.errors import StorageError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
#: Loaded before any fork: in a child of a program with threads nothing may be loaded.
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int, signal_number: int) -> bool:
    """Ask the kernel for a signal when the parent dies, whatever kills it; False when it is dead already.

    Call it first in the child; `parent` is the process id that started it. Holds for this process only, not
    for its own children (prctl(2)).
    """
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0):
        raise StorageError(f"prctl: {os.strerror(ctypes.get_errno())}")
    return os.getppid() == parent
