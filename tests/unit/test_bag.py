"""What lies on a stick: names that every file system takes, tag files, requests; hostile ones too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_sync.errors import FormatError, PathError, TooBigError
from content_sync.formats import bag
from content_sync.formats.hashtree import BLOCK, block_count
from content_sync.formats.paths import Distinct, check_path
from content_sync.formats.request import (
    MAX_REQUEST,
    Request,
    Rest,
    dump_request,
    dump_rest,
    parse_request,
    parse_rest,
)

ROOT, HASH = "ab" * 32, "0f" * 32


def names() -> list[str]:
    return [
        bag.DECLARATION,
        bag.MANIFEST,
        bag.metadata_path("timestamp.json"),
        bag.metadata_path("envelopes/b-0123456789abcdef.json"),
        bag.index_path(HASH),
        bag.package_path(HASH, "torrent"),
        bag.package_path(HASH, "leaves"),
        bag.object_path(ROOT),
        bag.object_path(ROOT, 0),
        bag.object_path(ROOT, 1 << 32),
    ]


def test_names_are_safe_everywhere_and_told_apart() -> None:
    distinct = Distinct()
    for name in names():
        assert check_path(f"{bag.DOWN}/{distinct.claim(name)}").isascii() and name == name.lower()
        assert max(map(len, name.split("/"))) <= 80
        assert bag.is_ours(name) == name.startswith(bag.DATA)
    with pytest.raises(PathError):
        distinct.claim(bag.object_path(ROOT).upper())
    assert bag.part_of(bag.object_path(ROOT, 7)) == (ROOT, 7)
    assert bag.part_of(bag.object_path(ROOT)) == (ROOT, None)
    for other in (
        f"data/objects/ab/{ROOT}.7",
        f"data/objects/cd/{ROOT}",
        f"data/objects/ab/{ROOT}.",
        f"data/objects/ab/{ROOT}.٠٠٠٠٠٠٠٠٠٠",
        f"data/objects/ab/x/{ROOT}",
        "data/holiday.jpg",
        "data/packages/ab/abba.torrent",
        "lessons/x.json",
    ):
        assert bag.part_of(other) is None and not bag.is_ours(other)


@given(st.integers(1, 1 << 44), st.integers(1, 1 << 18), st.integers(0, 1 << 20))
def test_parts_cover_a_file_once(length: int, per: int, begin: int) -> None:
    count = block_count(length)
    per = max(per, count // 1000 + 1)
    found = bag.parts(length, begin, per * BLOCK + 5)
    at = begin
    for first, blocks in found:
        assert first == at and 0 < blocks <= per
        at += blocks
    assert at == max(count, begin)


def test_the_largest_part_fits_on_fat32() -> None:
    assert bag.MAX_PART % BLOCK == 0 and bag.MAX_PART <= (1 << 32) - 1
    assert bag.parts(bag.MAX_PART, 0, bag.MAX_PART) == [(0, bag.MAX_PART // BLOCK)]
    assert len(bag.parts(bag.MAX_PART + 1, 0, bag.MAX_PART)) == 2


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.binary(min_size=32, max_size=32)))
def test_a_manifest_reads_back(named: dict[str, bytes]) -> None:
    names = {f"data/{path}" for path in named if "\0" not in path and not path.startswith((" ", "*"))}
    names = {path for path in names if not {"", ".", ".."} & set(path.split("/"))}
    digests = {path: named[path.removeprefix("data/")].hex() for path in names}
    try:
        data = bag.dump_manifest(digests)
    except UnicodeEncodeError:
        return  # half a surrogate pair: no name that a system gives us
    assert bag.parse_manifest(data) == digests


@given(st.binary(max_size=400))
def test_any_bytes_are_a_manifest_of_safe_names(data: bytes) -> None:
    for path, digest in bag.parse_manifest(data).items():
        assert path.startswith("data/") and ".." not in path.split("/") and len(digest) == 64


def test_a_torn_or_foreign_manifest_line_names_nothing() -> None:
    good = f"{HASH}  data/a\n".encode()
    for bad in (
        good[:-1],
        f"{HASH}  ../etc/passwd\n".encode(),
        f"{HASH}  data/../../x\n".encode(),
        f"{HASH}  /data/x\n".encode(),
        b"zz  data/a\n",
        b"\xff\xfe\n",
        b"\n",
    ):
        assert bag.parse_manifest(bad) == {}
        assert bag.parse_manifest(good + bad) == {"data/a": HASH}
    assert bag.parse_manifest(f"{HASH} *data/x\r\n".encode()) == {"data/x": HASH}


def test_only_our_bags_are_taken_for_ours() -> None:
    bag.check_info(bag.dump_info([("Source-Organization", "清河县\nx")]))
    for other in (b"", b"Source-Organization: x\n", b"Lessonbox-Format: lessonbox-bag/2\n", b"\xff" * 9):
        with pytest.raises(FormatError):
            bag.check_info(other)


def request() -> Request:
    return Request("b-0123456789abcdef", 7, ("*",), {HASH: frozenset({"a" * 16}), ROOT: None}, frozenset())


def test_a_request_reads_back_and_tells_what_lacks() -> None:
    made = request()
    assert parse_request(dump_request(made)) == made and list(made.wanted) == [HASH, ROOT]
    assert made.lacks(HASH, "a" * 64) and not made.lacks(HASH, "b" * 64)
    assert made.lacks(ROOT, "b" * 64) and made.lacks("cd" * 32, "b" * 64)
    known = Request(made.box, 7, (), {}, frozenset({"b" * 16}))
    assert not known.lacks(HASH, "b" * 64) and known.lacks(HASH, "c" * 64)
    rest = Rest((made.box,), ((HASH, {ROOT: 3}), (ROOT, {})))
    assert parse_rest(dump_rest(rest)) == rest


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    for parse in (parse_request, parse_rest):
        with pytest.raises(FormatError):
            parse(data)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"have":[]', b'"have":["ABC"]'),
        (b'"have":[]', b'"have":{}'),
        (b'"collections":["*"]', b'"collections":[7]'),
        (b'"lacking":null', b'"lacking":7'),
        (b'"wanted":[', b'"wanted":[7,'),
        (b"lessonbox-request/1", b"lessonbox-request/2"),
        (b"b-0123456789abcdef", b"../../../etc/passwd"),
    ],
)
def test_a_damaged_request_is_refused(old: bytes, new: bytes) -> None:
    data = dump_request(request())
    assert old in data
    with pytest.raises(FormatError):
        parse_request(data.replace(old, new, 1))


def test_a_huge_request_is_not_read() -> None:
    with pytest.raises(TooBigError):
        parse_request(b" " * (MAX_REQUEST + 1))
