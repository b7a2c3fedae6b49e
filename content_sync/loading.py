"""While a program loads, almost nothing that it makes is garbage: looking for some costs a tenth of it."""

from __future__ import annotations

import gc

#: More objects than a program makes while it loads (web: 75,000), few enough for a small machine's memory.
_MANY = 200_000
_USUAL = gc.get_threshold()


def begin() -> None:
    """The first thing that a program does: look for garbage rarely."""
    gc.set_threshold(_MANY, *_USUAL[1:])


def end() -> None:
    """Loaded. What is there stays and is never looked at again; what comes from now on is, as usual."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_USUAL)
