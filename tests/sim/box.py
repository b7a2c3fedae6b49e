"""A box of the simulation: the real engine, recorder and outbox, under whatever weather comes."""

from __future__ import annotations

import json
import random
from pathlib import Path

from appliance.usage.dating import NTP, Anchor
from appliance.usage.outbox import Frame, Outbox
from appliance.usage.recorder import Event, Recorder
from content_sync.adapters.keys import BoxKey
from content_sync.core.timefloor import TimeFloor
from content_sync.engine.throttle import Local, Senses, Throttle
from content_sync.errors import LessonBoxError
from content_sync.formats import dsse
from content_sync.formats.enrolment import claim_proof
from content_sync.formats.envelope import Ack
from content_sync.testing.fakes import MemoryDrops
from content_sync.testing.faults import STATE, Crash, FaultState, Fuse
from tests.sim.county import CLAIM, SimCounty
from tests.unit.box_in_memory import MemoryBox
from tests.unit.small_county import NOW

ROADS = ("line", "line", "line", "satellite", "stick")
_BOARD = "b" * 16


class SimBox(MemoryBox):
    """`road`: how bytes come to it (ROADS). All chance comes from `chance`."""

    county: SimCounty

    def __init__(self, folder: Path, county: SimCounty, box: str, road: str, chance: random.Random) -> None:
        folder.mkdir()
        super().__init__(folder, county, swarm=road == "line", box=box)
        self.folder, self.road, self.chance = folder, road, chance
        self.key = BoxKey.make(folder / "box.pem")
        self.fetcher.up = road == "line"
        self.boots, self.played, self.forged = 0, 0, 0
        self.faults = self.checks = 0
        self.begun: dict[str, float] = {}  # boot -> true seconds of the term
        self.rotten: dict[str, int] = {}  # object whose disk forgot a bit -> days without a start since
        self.repaired = self.streamed = 0
        self.streams = False
        self._generation = -1
        self._fuse = Fuse(-1, "killed")
        self.outbox = Outbox(folder / "outbox.db")
        self.switch_on()

    # What happens to it

    def switch_on(self) -> None:
        """A start: after a power cut or a night. The clock may have forgotten the time."""
        self.boots += 1
        self.clock.boot = f"{self.box}-{self.boots}"
        truth = NOW + self.elapsed
        self.clock.now = 0.0
        self.clock.unix = self.chance.choice((truth, truth, 0.0, 4_070_908_800.0, truth - 86_400 * 300))
        self.clock.origin = "system"
        if self.fetcher.up and self.chance.random() < 0.5:
            self.clock.unix, self.clock.origin = truth, "ntp"
        self.begun[self.clock.boot] = self.elapsed
        self._fuse = Fuse(self.chance.randrange(200), "killed")
        if self.chance.random() < 0.4:
            self._fuse = Fuse(-1, "killed")
        senses = Senses(self, None, lambda now: None, lambda now: self.streams)
        self.throttle = Throttle(self.swarm, self.shelf, senses, Local())
        try:
            self.start(lambda name, part: FaultState(part, self._fuse, STATE) if name == "state" else part)
        except (Crash, LessonBoxError):
            self.cut()

    def metered(self) -> bool | None:
        """ports.Meter: nothing tells."""
        return None

    def read(self) -> None:
        """ports.Meter: the line is the LAN's too."""

    @property
    def elapsed(self) -> float:
        """True seconds since the term began."""
        return float(self.county.now - NOW)

    def cut(self) -> None:
        """The power goes: what was not synced is lost, as blocks of zeros."""
        self.faults += 1
        for data in self.store.arriving.values():
            start = self.chance.randrange(len(data) + 1)
            data[start:] = bytes(len(data) - start)
        self.reopen()
        self._generation = -1
        self.switch_on()

    def day(self) -> None:
        """A day: weather, what arrives, a lesson taught, and the agent's work."""
        chance, boots = self.chance, self.boots
        self.clock.go(max(0.0, self.elapsed - self.begun[self.clock.boot] - self.clock.now))
        if self.road == "line":
            self.fetcher.up = chance.random() < 0.7
            if self.swarm is not None:
                self.swarm.content = self.county.content if self.fetcher.up else {}
                self.swarm.speed = chance.choice((1, 3, 20))
        if chance.random() < 0.1:
            self.switch_on()
        if self.road == "satellite" and chance.random() < 0.2:
            self._hear()
        try:
            if self.road == "stick" and chance.random() < 0.08:
                self._stick()
            self.streams = chance.random() < 0.2
            before = self.swarm.afar() if self.swarm else 0
            self._run(chance.choice((3, 10, 60)))
            if self.streams and self.swarm is not None:
                self.streamed += 1
                assert self.swarm.afar() == before, "fetched from afar while a class streamed"
        except (Crash, LessonBoxError):
            self.cut()
        self.streams = False
        if self.boots == boots:  # a start begins the scrub's account anew
            self.rotten = {root: days + 1 for root, days in self.rotten.items()}
        self.check()
        if self.store.whole and chance.random() < 0.02:
            self._rot()
        if chance.random() < 0.06:
            self._teach()
        if chance.random() < 0.2:
            self._report()

    def _run(self, steps: int) -> None:
        assert self.engine is not None
        for _ in range(steps):
            due = self.engine.step(self.clock.monotonic())
            if self.engine.settled(self.clock.monotonic(), 5):
                break
            self.clock.go(max(0.0, min(due - self.clock.monotonic(), 1.0)))

    def _rot(self) -> None:
        root = self.chance.choice(sorted(self.store.whole))
        data = bytearray(self.store.whole[root])
        data[self.chance.randrange(len(data))] ^= 0x40
        self.store.whole[root] = bytes(data)
        self.rotten.setdefault(root, 0)

    def bytes_of(self, root: str) -> bytes:
        """An object's bytes; what rotted less than a few days of running ago may not have been found yet."""
        return self.county.content[root] if self.rotten.get(root, 9) < 3 else super().bytes_of(root)

    def _hear(self) -> None:
        """A pass of the carousel: each file may be missed or damaged; some lies are on the air."""
        for path in list(self.drops.files):
            self.drops.take_away(path)
        for path, data in self.county.carried(self.box).items():
            luck = self.chance.random()
            if luck < 0.2:
                continue
            if luck < 0.3:
                start = self.chance.randrange(len(data))
                data = data[:start] + bytes(len(data) - start)
            self.drops.put(path, data)
        if self.chance.random() < 0.3:
            self.forged += 1
            forged = bytearray(self.chance.choice(list(self.county.carried(self.box).values())))
            forged[self.chance.randrange(len(forged))] ^= 1
            self.drops.put("rx/forged", bytes(forged))

    def _stick(self) -> None:
        assert self.engine is not None
        stick = MemoryDrops()
        for path, data in self.county.carried(self.box).items():
            stick.put(path, data)
        self.engine.import_from([stick], self.clock.monotonic())

    def _teach(self) -> None:
        recorder = Recorder(self.folder / "usage.db", self.clock)
        self.played += 1
        visit = f"v{self.played}"
        for kind in ("open", "play", "close"):
            recorder.record([Event(_BOARD, "lesson", "r1", "video", visit, kind, None, None, "page")])
            self.clock.go(30)
        recorder.close()

    def _report(self) -> None:
        """The agent's work over a bad line, or a courier's: answers are lost, reports come twice."""
        floor = TimeFloor(int(self.state.meta("envelope_time") or 0) or None)
        usage, boot, box = self.folder / "usage.db", self.clock.boot_id(), self.outbox
        box.note_present(usage, boot, floor)
        if self.clock.source() == "ntp":
            anchor = Anchor(boot, int(self.clock.monotonic()), int(self.clock.wall()), NTP, "ntp")
            box.note_anchor(anchor, floor)
        box.consume(usage, boot, int(self.clock.monotonic() * 1000))
        frame = Frame(
            self.box, "0.1.0", 1, (self.key.public_hex, claim_proof(CLAIM, self.box, self.key.public_hex))
        )
        while box.pack(
            frame, lambda payload: self.key.sign(dsse.REPORT_TYPE, payload), floor, int(self.clock.now)
        ):
            pass
        if self.fetcher.up or self.chance.random() < 0.5:
            for seq in box.due(boot, int(self.clock.monotonic())):
                if self.chance.random() < 0.8:
                    self.county.door.receive(box.signed(seq), "http", self.county.now)
                if self.chance.random() < 0.5:
                    box.mark(seq, boot, int(self.clock.monotonic()))
        said = json.loads(self.state.meta("ack") or "null")
        if said:
            box.forget(Ack(said["stream"], said["through"], tuple(map(tuple, said["also"]))))

    def clear_up(self) -> None:
        """The last days of the term: good weather, until everything is here and told."""
        assert self.engine is not None
        self._fuse.at = -1
        self.chance = random.Random("calm")
        if self.road == "line":
            self.fetcher.up = True
            assert self.swarm is not None
            self.swarm.content = self.county.content
        elif self.road == "satellite":
            for path, data in self.county.carried(self.box).items():
                self.drops.put(path, data)
        else:
            self._stick()
        for _ in range(3):  # rests after failures end
            self.clock.go(86_400)
            self.settle(2_000)
        self.check()
        self.clock.unix = NOW + self.begun[self.clock.boot] + self.clock.now
        self.clock.origin = "ntp"
        for _ in range(60):
            if not self.outbox.waiting() and self.played == self.told():
                break
            self.clock.go(2 * 86_400)
            self._report()
            body = self.county.envelopes.current(self.box, self.county.now)
            self.drops.put("rx/envelope", body)
            self.clock.go(600)
            self.settle(2_000)

    def told(self) -> int:
        """Sessions of this box that the county counts."""
        return self.county.count(self.box)

    def check_dates(self) -> tuple[int, int]:
        """Every class is told within its own uncertainty of when it was, whatever the clock showed, or says
        that nobody checked the clock: how many were known to the hour, how many say so."""
        known = unchecked = 0
        for session in self.county.sessions(self.box):
            wrong = abs(session.start - (NOW + self.begun[session.boot] + session.mono))
            if session.clock == "system":
                unchecked += 1
                continue
            assert wrong <= session.uncertainty + 60, f"{self.box}: {wrong:.0f} s off by {session.clock}"
            known += session.uncertainty < 3_600
        return known, unchecked

    # What must hold

    def check(self) -> None:
        """What teachers see is whole, signed, and of one release each; whatever the clock says."""
        for root in [root for root in self.rotten if root not in self.store.whole]:
            del self.rotten[root]
            self.repaired += 1
        generation = self.state.generation()
        if generation == self._generation:
            return
        self._generation = generation
        self.checks += 1
        for title in self.shown():  # every byte is compared there
            assert any(title in released for released in self.county.released), f"unsigned {title}"
        before = self.state.meta("release")
        assert int(before or 0) <= self.county.repository.release
