"""What one call at a time may use, such as a database's connection, resting between two calls.

Web answers with two hundred threads. One connection for each, with what it keeps of the file and of the
schema, would be a hundred megabytes; as many as calls really meet each other are a handful.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, Protocol, TypeVar


class _Closed(Protocol):
    def close(self) -> None: ...


_T = TypeVar("_T", bound=_Closed)


class Resting(Generic[_T]):
    """At most `most` things that wait for the next call; any thread may use them, one at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: list[tuple[Hashable, _T]] = []
        self._lock = threading.Lock()

    @contextmanager
    def lent(self, of: Hashable, opened: Callable[[], tuple[Hashable, _T]]) -> Iterator[_T]:
        """The one that rested last, if it is `of` this; those of anything else are closed. Without one, a new
        one: `opened` gives it, and of what it is. It is closed when the block raises. Raises what `opened`
        raises."""
        with self._lock:
            others = [thing for known, thing in self._things if known != of]
            self._things = [item for item in self._things if item[0] == of]
            found = self._things.pop() if self._things else None
        for other in others:
            other.close()
        known, thing = found or opened()
        try:
            yield thing
        except BaseException:
            with suppress(Exception):
                thing.close()
            raise
        with self._lock:
            if len(self._things) < self._most:
                self._things.append((known, thing))
                return
        thing.close()

    def close(self) -> None:
        """Close those that rest."""
        with self._lock:
            things, self._things = self._things, []
        for _, thing in things:
            thing.close()
