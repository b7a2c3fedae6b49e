"""How a cycle is laid out: evenly, in groups, nothing forgotten."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from content_sync.core import carousel


@settings(max_examples=100)
@given(st.integers(1, 5000))
def test_chunks_cover_a_package_once_and_are_of_one_size(blocks: int) -> None:
    chunks = carousel.split(blocks)
    assert [first for first, _ in chunks] == [sum(n for _, n in chunks[:at]) for at in range(len(chunks))]
    sizes = [count for _, count in chunks]
    assert sum(sizes) == blocks and max(sizes) <= carousel.CHUNK and max(sizes) - min(sizes) <= 1
    assert len(chunks) == -(-blocks // carousel.CHUNK)


def test_nothing_makes_no_chunk() -> None:
    assert carousel.split(0) == [] and carousel.repairs([], 0.2) == [] and carousel.repairs([5], 0) == [0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 256), min_size=1, max_size=60), st.floats(0.02, 1))
def test_repair_keeps_to_the_overhead_and_small_chunks_get_more(counts: list[int], overhead: float) -> None:
    repair = carousel.repairs(counts, overhead)
    assert min(repair) >= 1
    assert sum(repair) <= max(overhead * sum(counts), len(counts)) + 1
    shares = {count: more / count for count, more in zip(counts, repair, strict=True)}
    assert shares[min(counts)] >= shares[max(counts)] - 1 / max(counts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 140))
def test_every_symbol_has_one_place_and_no_parcel_is_too_full(symbols: list[int], room: int) -> None:
    places = carousel.lay(symbols, room)
    assert [len(found) for found in places] == symbols
    held = Counter(parcel for found in places for parcel in found)
    parcels = sum(group.parcels for group in carousel.groups(symbols, room))
    assert sorted(held) == list(range(parcels)) and max(held.values(), default=0) <= room
    assert all(sorted(found) == list(found) for found in places)


def test_a_chunk_has_a_parcel_for_each_symbol_and_a_burst_takes_little_of_it() -> None:
    symbols = [294] * 512
    places = carousel.lay(symbols, 133)
    parcels = 1 + max(max(found) for found in places)
    assert parcels == 4 * 294 and all(len(set(found)) == 294 for found in places)
    assert len({tuple(found) for found in places}) == 4, "four fates, not 512"
    for start in range(0, parcels - 30, 97):
        burst = range(start, start + 30)
        assert max(sum(parcel in burst for parcel in found) for found in places) <= 8


def test_a_small_carousel_is_cut_into_many_parcels() -> None:
    assert [group.parcels for group in carousel.groups([300, 300], 127)] == [75]
    assert [group.parcels for group in carousel.groups([5, 2], 127)] == [5]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 100), st.integers(1, 700))
def test_control_symbols_come_evenly_and_often(count: int, parcels: int) -> None:
    sent = [list(carousel.control_symbols(count, parcel, parcels)) for parcel in range(parcels)]
    flat = [at for found in sent for at in found]
    assert flat == list(range(min(carousel.CONTROL_TIMES, parcels) * count))
    assert max(map(len, sent)) <= count
