"""What was read of a database, kept in memory for exactly as long as nobody has written to it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any


class Watch:
    """Numbers the states of a database: another number after every commit, whoever made it.

    It holds a connection of its own: PRAGMA data_version tells of commits by all others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: Hashable = None
        self._connection: sqlite3.Connection | None = None
        self._told: int | None = None
        self._number = 0

    def version(self, which: Hashable, opened: Callable[[], sqlite3.Connection]) -> int:
        """The number of the state that the file `which` has now; `opened` gives a connection to it that any
        thread may use. Raises what `opened` raises, sqlite3.Error."""
        with self._lock:
            if self._connection is None or which != self._of:
                self._close()
                self._connection, self._of = opened(), which
            try:
                told: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            except BaseException:
                self._close()
                raise
            if told != self._told:
                self._told = told
                self._number += 1
            return self._number

    def forget(self) -> None:
        """The next number is another one, whatever the file says: something could not be read."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection, self._told = self._connection, None, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


class Kept:
    """What was read of one state of a database, until the next one; at most `most` of it, by `weigh`.

    What it gives is shared by all threads: nobody may change it.
    """

    def __init__(self, most: int, weigh: Callable[[Any], int] = lambda value: 1) -> None:
        self._most, self._weigh = most, weigh
        self._version: Hashable = None
        self._values: dict[Hashable, Any] = {}
        self._weight = 0
        self._lock = threading.Lock()

    def get(self, version: Hashable, key: Hashable, read: Callable[[], Any]) -> Any:
        """What `read` gave for this key in this version or since. The version must have been asked for
        before this call, so that what is kept under it is at least as new."""
        with self._lock:
            if version != self._version:
                self._version, self._values, self._weight = version, {}, 0
            values = self._values
            if key in values:
                return values[key]
        value = read()
        weight = 1 + self._weigh(value)
        with self._lock:
            if values is self._values and weight <= self._most:
                if self._weight + weight > self._most:
                    values.clear()
                    self._weight = 0
                values[key] = value
                self._weight += weight
        return value
