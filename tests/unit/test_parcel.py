"""Parcels as bytes: what was written is read, whatever surrounds it; nothing else is."""

from __future__ import annotations

import hashlib
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content_sync.errors import FormatError, LessonBoxError, TooBigError
from content_sync.formats import parcel
from content_sync.formats.hashtree import BLOCK, FileId
from content_sync.formats.parcel import (
    MARK,
    MAX_RECORD,
    Block,
    Head,
    Manifest,
    Reader,
    Record,
    Repair,
    Symbol,
    dump_manifest,
    dump_record,
    file_symbols,
    parse_manifest,
    read_records,
)

ROOT = "ab" * 32
SIZE = 2 * BLOCK + 5
HEAD = Head(b"countyid", 3, 7, 9, 12, 5, 1_760_000_000)
SAMPLES: list[Record] = [
    HEAD,
    Block(FileId(ROOT, SIZE), 0, b"x" * BLOCK),
    Block(FileId(ROOT, SIZE), 2, b"short"),
    Repair(ROOT, 256, 256, 300, b"r" * BLOCK),
    *file_symbols("metadata/timestamp.json", b'{"signed":{}}'),
    *file_symbols("packs/0", b"p" * (BLOCK + 1)),
]


def raw(kind: int, head: bytes, body: bytes) -> bytes:
    """A record with a right check around whatever is inside."""
    return parcel._record(kind, head, body)


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_a_record_comes_back(record: Record) -> None:
    data = dump_record(record)
    assert read_records(data) == [record] and len(data) <= MAX_RECORD
    reader = Reader()
    found = [made for at in range(len(data)) for made in reader.feed(data[at : at + 1])]
    assert found + list(reader.finish()) == [record] and reader.damaged == 0 and reader.records == 1


def test_the_format_is_what_the_specification_says() -> None:
    """Written by hand from formats.md 13."""
    body = b"short"
    head = bytes.fromhex(ROOT) + struct.pack(">QI", SIZE, 2)
    start = struct.pack(">BHI", 2, len(head), len(body))
    check = hashlib.sha256(start + bytes(16) + head + body).digest()[:16]
    assert dump_record(SAMPLES[2]) == b"\x89LBprc1\n" + start + check + head + body


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(SAMPLES), st.binary(max_size=40)), max_size=8), st.randoms())
def test_records_are_found_among_anything(pieces: list[tuple[Record, bytes]], chance: random.Random) -> None:
    data = b"".join(dump_record(record) + junk for record, junk in pieces)
    reader = Reader()
    found: list[Record] = []
    at = 0
    while at < len(data):
        step = chance.randrange(1, 40_000)
        found += reader.feed(data[at : at + step])
        at += step
    found += reader.finish()
    assert found == [record for record, _ in pieces]
    assert reader.damaged == sum(len(junk) for _, junk in pieces)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_takes_the_records_it_hits_and_no_other(data: st.DataObject) -> None:
    records = [dump_record(record) for record in SAMPLES]
    whole = b"".join(records)
    at = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(1, 20_000))
    kind = data.draw(st.sampled_from(["zero", "cut", "insert", "end"]))
    if kind == "zero":
        broken = whole[:at] + bytes(len(whole[at : at + length])) + whole[at + length :]
    elif kind == "cut":
        broken = whole[:at] + whole[at + length :]
    elif kind == "insert":
        broken, length = whole[:at] + b"\x89" * length + whole[at:], 0
    else:
        broken, length = whole[:at], len(whole) - at
    safe, begin = [], 0
    for record, encoded in zip(SAMPLES, records, strict=True):
        end = begin + len(encoded)
        if end <= at or begin >= at + length:
            safe.append(record)
        begin = end
    found = read_records(broken)
    assert [record for record in found if record in safe] == safe
    assert all(record in SAMPLES for record in found), "nothing that was not sent"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 6), st.binary(max_size=1200), st.binary(max_size=300))
def test_whatever_is_in_a_record_is_taken_or_passed_over(kind: int, head: bytes, body: bytes) -> None:
    data = raw(kind, head[:1066], body)
    reader = Reader()
    found = [*reader.feed(data), *reader.finish()]
    for record in found:
        assert dump_record(record) == data
    assert len(found) + (reader.damaged > 0) <= 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000))
def test_no_record_in_noise(data: bytes) -> None:
    reader = Reader()
    assert [*reader.feed(MARK + data), *reader.finish()] == []
    assert reader.damaged == len(MARK + data)


@pytest.mark.parametrize(
    "record",
    [
        Head(b"countyid", 1, 9, 9, 1, 0, 0),
        Head(b"countyid", 1, 0, (1 << 20) + 1, 1, 0, 0),
        Block(FileId(ROOT, SIZE), 3, b"x"),
        Block(FileId(ROOT, SIZE), 0, b"x"),
        Block(FileId(ROOT, SIZE), 2, b"longer"),
        Repair(ROOT, 0, 0, 5, bytes(BLOCK)),
        Repair(ROOT, 0, 513, 600, bytes(BLOCK)),
        Repair(ROOT, 0, 9, 8, bytes(BLOCK)),
        Repair(ROOT, 0, 9, 1 << 16, bytes(BLOCK)),
        Repair(ROOT, 0, 9, 10, b"short"),
        Symbol(ROOT, 0, 0, 0, "packs/0", b""),
        Symbol(ROOT, (16 << 20) + 1, 0, 0, "packs/0", bytes(BLOCK)),
        Symbol(ROOT, 100, 1, 0, "packs/0", bytes(100)),
        Symbol(ROOT, 100, 0, 0, "packs/0", bytes(99)),
        Symbol(ROOT, 100, 0, 1, "packs/0", bytes(100)),
        Symbol(ROOT, 100, 0, 0, "../etc/passwd", bytes(100)),
        Symbol(ROOT, 100, 0, 1 << 16, "packs/0", bytes(BLOCK)),
    ],
    ids=str,
)
def test_what_no_reader_takes_is_not_written(record: Record) -> None:
    with pytest.raises(LessonBoxError):
        dump_record(record)


def test_forged_marks_do_not_make_a_reader_hash_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few bytes a mark that claims the largest record."""
    header = MARK + struct.pack(">BHI", 2, 1000, BLOCK)
    data = header * 20_000
    hashed = 0
    real = hashlib.sha256

    def counted(data: bytes = b"") -> object:
        nonlocal hashed
        hashed += len(data)
        return real(data)

    monkeypatch.setattr("content_sync.formats.parcel.hashlib.sha256", counted)
    reader = Reader()
    found = [r for at in range(0, len(data), BLOCK) for r in reader.feed(data[at : at + BLOCK])]
    assert found + list(reader.finish()) == []
    assert hashed < 6 * len(data)


def test_manifest() -> None:
    manifest = Manifest("清河县", "ab" * 8, 3, 12, 1130, 150, {ROOT: 31_459_000})
    assert parse_manifest(dump_manifest(manifest)) == manifest
    many = {f"{number:064x}": 1 for number in range(70_000)}
    with pytest.raises(TooBigError):
        dump_manifest(Manifest("县", "ab" * 8, 1, 1, 1, 0, many))
    for wrong in (b"{}", b"[]", dump_manifest(manifest).replace(b"1130", b"-1"), b"\xff"):
        with pytest.raises(FormatError):
            parse_manifest(wrong)
