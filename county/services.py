"""The parts that the county's web process is made of; `county.wiring` builds them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct

from content_sync.ports import Clock
from content_sync.settings import Settings
from county.config import CountyPaths
from county.distribute.fetched import Fetched
from county.distribute.tracker import Tracker
from county.distribute.visitors import Visitors
from county.library import Library
from county.receive.database import Reader, Writer
from county.receive.door import Door
from county.receive.envelopes import Envelopes

T = TypeVar("T")


class PerThread(Generic[T]):
    """One object a thread, made when the thread first asks: for connections that threads must not share."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._local = threading.local()

    def __call__(self) -> T:
        if not hasattr(self._local, "value"):
            self._local.value = self._make()
        value: T = self._local.value
        return value


class Services(Struct, frozen=True):
    """What the routes use."""

    paths: CountyPaths
    settings: Settings
    clock: Clock
    library: PerThread[Library]
    writer: Writer
    reports: Reader
    door: Door
    envelopes: Envelopes
    tracker: Tracker
    visitors: Visitors
    fetched: Fetched
    secret: bytes
