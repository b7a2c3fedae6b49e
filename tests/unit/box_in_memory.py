"""The real engine over a real state.db, everything else in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.wiring import make_trust
from content_sync.adapters.fec import RaptorQ
from content_sync.adapters.sqlite_writer import State
from content_sync.engine.parts import Options, Parts
from content_sync.engine.sync import Engine
from content_sync.engine.throttle import Throttle
from content_sync.ports import LocalStore
from content_sync.testing.fakes import (
    FakeFetcher,
    FakeSwarm,
    ManualClock,
    MemoryDrops,
    MemoryShelf,
    MemoryStore,
)
from content_sync.testing.fec import MemoryStash
from tests.unit.small_county import URL, SmallCounty

BOX = "b-0123456789abcdef"


class MemoryBox:
    """What lasts (state.db, store, shelf, drops) and an engine over it that can be started anew."""

    def __init__(
        self, folder: Path, county: SmallCounty, swarm: bool = True, space: int = 1 << 40, box: str = BOX
    ) -> None:
        self.box = box
        self.county, self.path = county, folder / "state.db"
        self.clock, self.store, self.shelf = ManualClock(), MemoryStore(space), MemoryShelf()
        self.drops, self.fetcher = MemoryDrops(), FakeFetcher(county.page)
        self.swarm = FakeSwarm(self.store, county.content) if swarm else None
        self.state = State(self.path)
        self.reserve, self.active = 0, 4
        self.urls: tuple[str, ...] = (URL,)
        self.engine: Engine | None = None
        self.throttle: Throttle | None = None
        self.stash, self.parcel_space = MemoryStash(), 1 << 30
        self.local: LocalStore | None = None

    def start(self, wrap: Callable[[str, Any], Any] = lambda name, part: part) -> Engine:
        """A new engine, as after a restart; `wrap(name, part)` may put something between."""
        if self.swarm is not None:
            self.swarm.close()
            self.swarm._finished.clear()
        engine = Engine(
            Parts(
                state=wrap("state", self.state),
                store=wrap("store", self.store),
                shelf=wrap("shelf", self.shelf),
                clock=self.clock,
                drops=self.drops,
                fetcher=self.fetcher,
                swarm=self.swarm,
                make_trust=make_trust(self.county.root),
                jitter=lambda: 0.5,
                throttle=self.throttle,
                stash=wrap("stash", self.stash),
                fec=RaptorQ(),
                local=self.local,
            ),
            Options(self.box, self.urls, self.active, self.reserve, 60, 300, parcel_space=self.parcel_space),
        )
        engine.start()
        self.engine = engine
        return engine

    def settle(self, most: int = 400) -> int:
        """Step until nothing more can be done; how many steps it took."""
        assert self.engine is not None
        for number in range(most):
            due = self.engine.step(self.clock.monotonic())
            if self.engine.settled(self.clock.monotonic(), 5):
                return number
            self.clock.go(max(0.0, min(due - self.clock.monotonic(), 1.0)))
        raise AssertionError(f"not settled after {most} steps: {self.state.lessons()}")

    def shown(self) -> set[str]:
        """Titles that teachers see; every byte of them is checked here."""
        found = set()
        for row in self.state.lessons():
            lesson = self.state.present_lesson(row.id)
            if lesson is None:
                continue
            found.add(row.title)
            for resource in lesson.resources:
                for part in resource.files:
                    assert self.state.visible_file(part.file.root) == part.file
                    assert self.bytes_of(part.file.root) == self.county.content[part.file.root]
        return found

    def bytes_of(self, root: str) -> bytes:
        """An object's bytes."""
        return self.store.whole[root]

    def reopen(self) -> None:
        """state.db as the next start finds it."""
        self.state.close()
        self.state = State(self.path)
