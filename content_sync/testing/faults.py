"""Faults on purpose: the Nth durable operation fails, or the program ends there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from content_sync.errors import DiskFullError, StorageError

KINDS = ("full", "error", "crash before", "crash after")


class Crash(BaseException):
    """The power went: nothing catches it."""


class Fuse:
    """Counts operations; at number `at` (from 0) something of `kind` (KINDS) happens, once. `blown`: it
    did."""

    def __init__(self, at: int, kind: str) -> None:
        self.at, self.kind, self.count, self.blown = at, kind, 0, False

    def run(self, operation: Callable[..., Any], *values: Any) -> Any:
        """Do an operation, unless it is its turn to fail."""
        number, self.count = self.count, self.count + 1
        if number != self.at:
            return operation(*values)
        self.blown = True
        if self.kind == "full":
            raise DiskFullError("no space left (fault)")
        if self.kind == "error":
            raise StorageError("input/output error (fault)")
        if self.kind == "crash after":
            operation(*values)
        raise Crash


class FaultFiles:
    """A Store, Shelf or State whose durable operations (`names`) go through a fuse; all else goes straight
    on."""

    def __init__(self, real: Any, fuse: Fuse, names: tuple[str, ...]) -> None:
        self._real, self._fuse, self._names = real, fuse, names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in self._names:
            return found
        return lambda *values: self._fuse.run(found, *values)


STORE = ("prepare", "write_block", "admit", "remove_object", "remove_partial")
SHELF = ("put", "remove")
STATE = (
    "set_meta",
    "apply",
    "set_files",
    "add_object",
    "forget_objects",
    "publish",
    "note",
    "put_drop_parts",
    "forget_drop_files",
    "set_status",
    "problem",
    "solved",
)
