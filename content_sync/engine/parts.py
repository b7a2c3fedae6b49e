"""What wiring hands to the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from content_sync.engine.refresh import MakeTrust
from content_sync.engine.throttle import Throttle
from content_sync.ports import (
    Clock,
    Drops,
    Fec,
    Fetcher,
    LocalStore,
    ReceivedStore,
    Shelf,
    Stash,
    State,
    Store,
    Swarm,
)


class Options(Struct, frozen=True):
    """Sizes in bytes, times in seconds; `urls` are the county's, the best first. `line`: whether to say
    that they can't be reached (a point that only receives asks all the same)."""

    box: str
    urls: Sequence[str]
    active: int = 4
    reserve: int = 0
    scan_seconds: float = 60
    refresh_seconds: float = 300
    poll_seconds: float = 15
    scrub_days: float = 30
    parcel_space: int = 2 << 30
    line: bool = True
    #: The kind of update that is for this machine (formats.md 18); empty: none is.
    update_kind: str = ""


class Parts(Struct, frozen=True):
    """What wiring hands in. Without a swarm only drops bring content. `jitter` gives 0 to 1."""

    state: State
    store: Store
    shelf: Shelf
    clock: Clock
    drops: Drops
    fetcher: Fetcher
    swarm: Swarm | None
    make_trust: MakeTrust
    jitter: Callable[[], float]
    #: Both, or parcels of a carousel are files like any other.
    stash: Stash | None = None
    fec: Fec | None = None
    #: Whether a class streams now: the scrub leaves it the disk.
    busy: Callable[[], bool] = lambda: False
    #: The received shelf, where a box has one.
    received: ReceivedStore | None = None
    #: The school's own lessons, likewise.
    local: LocalStore | None = None
    throttle: Throttle | None = None
