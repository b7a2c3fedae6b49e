"""What the tests of usage share: a clock set by hand, events, a county that stores each batch once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from appliance.usage.outbox import Frame
from appliance.usage.recorder import Event, Recorder
from content_sync.adapters.keys import BoxKey
from content_sync.formats import dsse
from content_sync.formats.envelope import Ack
from content_sync.formats.report import FIRST_PREV, MAX_BATCH, Batch, parse_batch, payload_hash

BOX = "b-" + "1" * 16
BOARD = "b" * 16
TRUE = 1_795_000_000


@dataclass
class HandClock:
    """ports.Clock that a test moves. Seconds."""

    mono: float = 100.0
    offset: float = TRUE
    boot: str = "boot-1"
    kind: str = "ntp"

    def monotonic(self) -> float:
        return self.mono

    def wall(self) -> float:
        return self.mono + self.offset

    def boot_id(self) -> str:
        return self.boot

    def source(self) -> str:
        return self.kind


def event(type: str, visit: str = "v1", lesson: str = "l1", board: str = BOARD) -> Event:
    """An event of one video."""
    origin = "server" if type == "open" else "page"
    return Event(board, lesson, "r1", "video", visit, type, None, None, origin)


def play(recorder: Recorder, clock: HandClock, visit: str, seconds: int = 60, lesson: str = "l1") -> None:
    """One video opened, played and closed long enough ago; the clock moves on."""
    recorder.record([event("open", visit, lesson), event("play", visit, lesson)])
    for _ in range(seconds // 60):
        clock.mono += 60
        if seconds > 60:
            recorder.record([event("ping", visit, lesson)])
    recorder.record([event("close", visit, lesson)])
    clock.mono += 20  # after which it is told


def frame(enrol: tuple[str, str] | None = None) -> Frame:
    """What batches say beside their sessions."""
    return Frame(BOX, "0.1.0", 3, enrol)


def unwrap(signed: bytes) -> tuple[bytes, Batch]:
    """Payload and batch of signed bytes."""
    payload = dsse.parse_signed(signed, dsse.REPORT_TYPE, 2 * MAX_BATCH).payload
    return payload, parse_batch(payload)


@dataclass
class Ledger:
    """A county's memory of one box: refuses another payload under a known number."""

    payloads: dict[int, bytes] = field(default_factory=dict)
    batches: dict[int, Batch] = field(default_factory=dict)

    def store(self, signed: bytes) -> Batch:
        payload, batch = unwrap(signed)
        assert self.payloads.setdefault(batch.seq, payload) == payload, (
            f"number {batch.seq} stands for two batches"
        )
        self.batches[batch.seq] = batch
        return batch

    def ack(self) -> Ack:
        """As the next envelope would say it."""
        through = 0
        while through + 1 in self.batches:
            through += 1
        stream = next(iter(self.batches.values())).stream
        return Ack(stream, through, tuple((seq, seq) for seq in sorted(self.batches) if seq > through))

    def sessions(self) -> list[str]:
        """Ids of all sessions told, in order of their batches."""
        return [one.id for _, batch in sorted(self.batches.items()) for one in batch.sessions]

    def check_chain(self) -> None:
        """Numbers without a gap, each naming the one before."""
        assert sorted(self.batches) == list(range(1, len(self.batches) + 1))
        before = FIRST_PREV
        for seq in sorted(self.batches):
            assert self.batches[seq].prev == before
            before = payload_hash(self.payloads[seq])


def make_key(folder: Path) -> BoxKey:
    """A box's key."""
    return BoxKey.make(folder / "keys" / "box.pem")


def seconds_of(batches: Sequence[Batch]) -> int:
    """Active seconds in all of them."""
    return sum(one.seconds for batch in batches for one in batch.sessions)
