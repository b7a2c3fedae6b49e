"""ports.Fec: the real code and the one of the tests."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest

from content_sync.adapters.fec import RaptorQ
from content_sync.errors import FormatError
from content_sync.formats.hashtree import BLOCK
from content_sync.formats.parcel import MAX_CHUNK, MAX_ESI
from content_sync.ports import Fec
from content_sync.testing.fec import FakeFec

VECTOR = Path(__file__).resolve().parents[1] / "data" / "raptorq.json"
#: Symbols beyond the number of blocks with which each must succeed (the fake: 2^-24 not to).
SURPLUS = {RaptorQ: 2, FakeFec: 24}


@pytest.fixture(params=[RaptorQ, FakeFec])
def fec(request: pytest.FixtureRequest) -> Fec:
    made: Fec = request.param()
    return made


def chunk(size: int, last: int = BLOCK) -> list[bytes]:
    chance = random.Random(size)
    return [chance.randbytes(BLOCK) for _ in range(size - 1)] + [chance.randbytes(last)]


def padded(blocks: list[bytes]) -> list[bytes]:
    return [block.ljust(BLOCK, b"\0") for block in blocks]


@pytest.mark.parametrize("size", [1, 2, 3, 17, 40])
def test_any_mixture_decodes(fec: Fec, size: int) -> None:
    blocks = chunk(size, 100)
    more = SURPLUS[type(fec)]
    extra = size + more
    symbols = dict(enumerate(padded(blocks)))
    symbols |= {size + at: data for at, data in enumerate(fec.repair(blocks, 0, extra))}
    chance = random.Random(size)
    for held in (0, size // 2, size - 1):
        kept = chance.sample(range(size), held) + chance.sample(range(size, size + extra), size - held + more)
        assert fec.decode(size, {esi: symbols[esi] for esi in kept}) == padded(blocks)


def test_a_whole_chunk_decodes_from_as_many_symbols_as_it_has_blocks_and_one() -> None:
    blocks = chunk(256)
    repair = RaptorQ().repair(blocks, 0, 60)
    lost = set(random.Random(1).sample(range(256), 59))
    symbols = {at: data for at, data in enumerate(blocks) if at not in lost}
    symbols |= {256 + at: data for at, data in enumerate(repair)}
    assert len(symbols) == 257 and RaptorQ().decode(256, symbols) == blocks


def test_repair_symbols_do_not_depend_on_how_many_are_asked_for(fec: Fec) -> None:
    blocks = chunk(9)
    assert fec.repair(blocks, 0, 30)[10:30] == fec.repair(blocks, 10, 20)
    assert fec.repair(blocks, 5, 0) == []
    assert fec.repair([b"short"], 0, 2) == fec.repair([b"short".ljust(BLOCK, b"\0")], 0, 2)


def test_too_few_symbols_give_nothing(fec: Fec) -> None:
    blocks = chunk(8)
    repair = fec.repair(blocks, 0, 7)
    assert fec.decode(8, {8 + at: data for at, data in enumerate(repair)}) is None
    assert fec.decode(8, {}) is None


@pytest.mark.parametrize(
    ("count", "symbols"),
    [
        (0, {}),
        (-1, {}),
        (MAX_CHUNK + 1, {}),
        (1, {0: b"short"}),
        (1, {0: bytes(BLOCK + 1)}),
        (1, {-1: bytes(BLOCK)}),
        (1, {MAX_ESI: bytes(BLOCK)}),
        (1, {1 << 24: bytes(BLOCK)}),
    ],
)
def test_what_no_chunk_has_is_refused(fec: Fec, count: int, symbols: dict[int, bytes]) -> None:
    with pytest.raises(FormatError):
        fec.decode(count, symbols)


@pytest.mark.parametrize(
    ("blocks", "first", "count"),
    [
        ([], 0, 1),
        ([b""], 0, 1),
        ([bytes(BLOCK + 1)], 0, 1),
        ([b"x"] * (MAX_CHUNK + 1), 0, 1),
        ([b"x"], -1, 1),
        ([b"x"], 0, -1),
        ([b"x"], MAX_ESI - 1, 1),
    ],
)
def test_what_can_not_be_coded_is_refused(fec: Fec, blocks: list[bytes], first: int, count: int) -> None:
    with pytest.raises(FormatError):
        fec.repair(blocks, first, count)


def test_the_largest_chunk_and_the_last_symbol(fec: Fec) -> None:
    assert len(fec.repair(chunk(MAX_CHUNK), 0, 1)) == 1
    last = fec.repair([b"x"], MAX_ESI - 2, 1)
    assert fec.decode(1, {MAX_ESI - 1: last[0]}) in ([b"x".ljust(BLOCK, b"\0")], None)


def test_the_packets_are_what_they_always_were() -> None:
    """A library that codes in another way would make yesterday's parcels useless."""
    for entry in json.loads(VECTOR.read_text())["chunks"]:
        blocks = [
            hashlib.shake_128(f"{entry['blocks']}/{at}".encode()).digest(BLOCK)
            for at in range(entry["blocks"])
        ]
        repair = RaptorQ().repair(blocks, 0, max(map(int, entry["repair"])) + 1)
        found = {at: hashlib.sha256(repair[int(at)]).hexdigest() for at in entry["repair"]}
        assert found == entry["repair"]


def test_a_panic_of_the_library_is_an_ordinary_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import raptorq

    from content_sync.adapters import fec as adapter

    with pytest.raises(FormatError):
        adapter._contained(lambda: raptorq.Decoder.with_defaults(BLOCK, BLOCK).decode(b"\0"))
    with pytest.raises(KeyboardInterrupt):
        adapter._contained(lambda: (_ for _ in ()).throw(KeyboardInterrupt()))
