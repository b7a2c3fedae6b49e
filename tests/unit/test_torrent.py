"""Our v2-only torrents are libtorrent's, and nothing hostile gets past the parser (formats.md 3.2, 3.3)."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content_sync.errors import LeavesError, LessonBoxError, PathError, TooBigError, TorrentError
from content_sync.formats import hashtree, torrent
from content_sync.formats.hashtree import FileId
from content_sync.formats.torrent import MAX_TORRENT, Torrent, bdecode, bencode
from tests.unit.bittorrent import content, libtorrent_v2

NAME = "61a01d7f-1234abcd-00ff00ff"
SIZES = {
    "视频 望天门山.mp4": 3 * 65_536 + 9,
    "lesson.json": 700,
    "课件/index.html": 65_537,
    "课件/js/app.js": 16_385,
    "课件.pdf": 65_536,
    "a.vtt": 1,
    "Z.txt": 16_384,
}


def hashed(sizes: Mapping[str, int]) -> list[tuple[str, FileId, bytes]]:
    return [
        (path, *hashtree.identify(io.BytesIO(content(size, 100 * n))))
        for n, (path, size) in enumerate(sizes.items())
    ]


@pytest.fixture(scope="module")
def made() -> Torrent:
    return torrent.build(NAME, hashed(SIZES))


def write(folder: Path, sizes: Mapping[str, int]) -> None:
    for n, (path, size) in enumerate(sizes.items()):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content(size, 100 * n))


def test_equal_to_what_libtorrent_makes(tmp_path: Path, made: Torrent) -> None:
    write(tmp_path / NAME, SIZES)
    theirs = libtorrent_v2(tmp_path / NAME, list(SIZES), made.piece_length)
    ours = bdecode(made.data)
    assert ours[b"info"] == theirs[b"info"]
    assert ours[b"piece layers"] == theirs[b"piece layers"]
    assert made.data == bencode({"info": theirs[b"info"], "piece layers": theirs[b"piece layers"]})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_libtorrent_reads_it_alike(made: Torrent) -> None:
    decoded: Any = lt.bdecode(made.data)
    info = lt.torrent_info(decoded)
    assert str(info.info_hashes().v2) == made.infohash
    assert not info.info_hashes().has_v1()
    files = info.files()
    theirs = [
        (files.file_path(i), files.file_size(i), str(files.root(i)), files.piece_index_at_file(i))
        for i in range(files.num_files())
        if not files.file_flags(i) & lt.file_storage.flag_pad_file
    ]
    assert theirs == [
        (f"{NAME}/{entry.path}", entry.file.length, entry.file.root, entry.first_piece)
        for entry in made.files
    ]
    assert (info.piece_length(), info.num_pieces(), info.name()) == (made.piece_length, made.pieces, NAME)
    assert made.size == sum(SIZES.values())


def test_the_same_files_in_any_order_give_the_same_bytes(made: Torrent) -> None:
    assert torrent.build(NAME, hashed(SIZES)[::-1]).data == made.data
    assert torrent.parse(made.data, made.infohash) == made


def test_piece_length_by_size() -> None:
    for size, expected in (
        (1, 65_536),
        ((64 << 20) - 1, 65_536),
        (64 << 20, 262_144),
        ((1 << 30) - 1, 262_144),
        (1 << 30, 1_048_576),
    ):
        assert torrent.piece_length_for(size) == expected


def test_leaves_file(made: Torrent) -> None:
    by_path = {path: leaves for path, _, leaves in hashed(SIZES)}
    whole = b"".join(by_path[entry.path] for entry in made.files)
    assert torrent.split_leaves(made, whole) == by_path
    for wrong in (whole[:-32], whole + bytes(32), b"", whole[32:] + whole[:32], bytes(len(whole))):
        with pytest.raises(LeavesError):
            torrent.split_leaves(made, wrong)


def test_build_refuses() -> None:
    (one, two) = hashed({"a": 1, "b": 2})
    with pytest.raises(TorrentError, match="at least two"):
        torrent.build(NAME, [one])
    with pytest.raises(TorrentError, match="empty"):
        torrent.build(NAME, [one, ("b", FileId(hashtree.EMPTY_ROOT, 0), b"")])
    for path in ("a", "A", "a/b", "../b", "/b", "con", "b" * 300):
        with pytest.raises(PathError):
            torrent.build(NAME, [one, (path, *two[1:])])
    with pytest.raises(LeavesError):
        torrent.build(NAME, [one, ("b", two[1], one[2])])
    with pytest.raises(PathError):
        torrent.build("../x", [one, two])


def leaf(length: Any = 1, root: Any = b"r" * 32, **extra: Any) -> dict[Any, Any]:
    return {b"": {b"length": length, b"pieces root": root, **{k.encode(): v for k, v in extra.items()}}}


TWO = {b"a": leaf(), b"b": leaf()}


def pack(file_tree: Any = None, layers: Any = None, top: Any = None, **info: Any) -> bytes:
    described = {
        "file tree": TWO if file_tree is None else file_tree,
        "meta version": 2,
        "name": "x",
        "piece length": 65_536,
        **{key.replace("_", " "): value for key, value in info.items()},
    }
    return bencode({"info": described, "piece layers": {} if layers is None else layers, **(top or {})})


def deep(levels: int, name: bytes = b"d") -> dict[Any, Any]:
    node: dict[Any, Any] = leaf()
    for _ in range(levels):
        node = {name: node}
    return node


def test_the_forge_itself_is_sound() -> None:
    assert [entry.path for entry in torrent.parse(pack()).files] == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (pack({b"..": leaf(), b"a": leaf()}), PathError),
        (pack({b".": leaf(), b"a": leaf()}), PathError),
        (pack({b"": leaf(), b"a": leaf()}), PathError),
        (pack({b"../x": leaf(), b"a": leaf()}), PathError),
        (pack({b"/etc": leaf(), b"a": leaf()}), PathError),
        (pack({b"a\\b": leaf(), b"b": leaf()}), PathError),
        (pack({b"C:": leaf(), b"a": leaf()}), PathError),
        (pack({b"NUL.txt": leaf(), b"a": leaf()}), PathError),
        (pack({b"a" * 300: leaf(), b"b": leaf()}), PathError),
        (pack({b"a\x00": leaf(), b"b": leaf()}), PathError),
        (pack({b"A": leaf(), b"a": leaf()}), PathError),
        (pack({b"A": leaf(), b"a": {b"b": leaf()}}), PathError),
        (pack({b"\xff": leaf(), b"a": leaf()}), TorrentError),
        (pack({b"a": leaf()}), TorrentError),
        (pack({b"a": leaf(), b"d": deep(17)}), TorrentError),
        (pack({b"a": leaf(), b"d": deep(15, b"d" * 100)}), PathError),
        (pack({b"a": leaf(), b"d": {}}), TorrentError),
        (pack({b"a": leaf(), b"d": 1}), TorrentError),
        (pack({b"a": leaf(), b"d": {b"": 1}}), TorrentError),
        (pack({b"a": leaf(), b"d": {b"": [], b"x": leaf()}}), TorrentError),
        (pack({b"a": leaf(), b"b": leaf(attr=b"l", symlink_path=[b"a"])}), TorrentError),
        (pack({b"a": leaf(), b"b": leaf(attr=b"x")}), TorrentError),
        (pack({b"a": leaf(), b"b": leaf(attr=b"p")}), TorrentError),
        (pack({b"a": leaf(), b"b": leaf(0)}), TorrentError),
        (pack({b"a": leaf(), b"b": leaf(-1)}), TorrentError),
        (pack({b"a": leaf(), b"b": leaf((1 << 48) + 1)}), TorrentError),
        (pack({b"a": leaf(), b"b": leaf(b"1")}), TorrentError),
        (pack({b"a": leaf(), b"b": leaf(1, b"r" * 20)}), TorrentError),
        (pack({b"a": leaf(), b"b": leaf(1, 5)}), TorrentError),
        (pack({b"a": leaf(), b"b": leaf(65_537)}), TorrentError),  # no layer
        (pack({b"a": leaf(), b"b": leaf(65_537)}, {b"r" * 32: b"x" * 64}), TorrentError),  # a false layer
        (pack({b"a": leaf(), b"b": leaf(65_537)}, {b"r" * 32: 7}), TorrentError),
        (pack({b"a": leaf(65_537), b"b": leaf(1 << 40)}, {b"r" * 32: b"x" * 64}), TorrentError),
        (pack(layers={b"r" * 32: b"x" * 32}), TorrentError),  # a layer that nobody needs
        (pack(layers=[]), TorrentError),
        (pack([]), TorrentError),
        (pack({}), TorrentError),
        (pack(meta_version=1), TorrentError),
        (pack(meta_version=[2]), TorrentError),
        (pack(piece_length=16_384), TorrentError),
        (pack(piece_length=b"65536"), TorrentError),
        (pack(piece_length={}), TorrentError),
        (pack(name=b"\xff"), TorrentError),
        (pack(name=7), TorrentError),
        (pack(name=b".."), PathError),
        (pack(pieces=b"x" * 20), TorrentError),
        (pack(files=[]), TorrentError),
        (pack(private=1), TorrentError),
        (pack(top={"announce": "http://elsewhere/"}), TorrentError),
        (pack(top={"url-list": "http://elsewhere/"}), TorrentError),
        (bencode({"info": 1, "piece layers": {}}), TorrentError),
        (bencode({"piece layers": {}}), TorrentError),
        (bencode([]), TorrentError),
        (pack() + b"e", TorrentError),
        (pack()[:-1], TorrentError),
        (b"", TorrentError),
        (b"l" * 100_000, TorrentError),
        (b"d1:a" * 100_000, TorrentError),
        (b"l" + b"le" * 600_000 + b"e", TorrentError),
        (b"d1:b0:1:a0:e", TorrentError),  # keys not in order
        (b"d1:a0:1:a0:e", TorrentError),  # a key twice
        (b"di1e0:e", TorrentError),
        (b"i-0e", TorrentError),
        (b"i01e", TorrentError),
        (b"ie", TorrentError),
        (b"i-e", TorrentError),
        (b"i" + b"9" * 20 + b"e", TorrentError),
        (b"i" + b"9" * 10_000 + b"e", TorrentError),
        (b"99999999999:x", TorrentError),
        (b"05:hello", TorrentError),
        (b"5:hell", TorrentError),
        (b"-1:x", TorrentError),
        (b" " * (MAX_TORRENT + 1), TooBigError),
    ],
)
def test_refused(data: bytes, error: type[LessonBoxError]) -> None:
    with pytest.raises(error) as caught:
        torrent.parse(data)
    assert type(caught.value) is error


def test_too_many_files() -> None:
    files = {b"%05d" % n: leaf() for n in range(20_001)}
    with pytest.raises(TorrentError, match="20000"):
        torrent.parse(pack(files))
    files.pop(b"00000")
    assert len(torrent.parse(pack(files)).files) == 20_000


def test_another_infohash(made: Torrent) -> None:
    with pytest.raises(TorrentError, match="infohash"):
        torrent.parse(made.data, "0" * 64)


def test_one_layer_cannot_serve_two_lengths() -> None:
    """Both files claim one root; only the first one's length fits the layer that is there."""
    _, leaves = hashtree.identify(io.BytesIO(content(2 * 65_536)))
    layer = hashtree.piece_layer(leaves, 65_536)
    root = hashtree.merkle_root([layer[:32], layer[32:]])
    ok = {b"a": leaf(2 * 65_536, root), b"b": leaf(2 * 65_536, root)}
    assert torrent.parse(pack(ok, {root: layer})).pieces == 4
    for files in (
        {b"a": leaf(1 << 40, root), b"b": leaf(2 * 65_536, root)},
        {b"a": leaf(2 * 65_536, root), b"b": leaf(1 << 40, root)},
    ):
        with pytest.raises(TorrentError):
            torrent.parse(pack(files, {root: layer}))


def parses_or_refuses(data: bytes) -> None:
    try:
        parsed = torrent.parse(data)
    except LessonBoxError:
        return
    assert torrent.parse(data, parsed.infohash) == parsed


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(st.binary(max_size=400))
def test_noise(data: bytes) -> None:
    parses_or_refuses(data)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(st.integers(0, 1 << 32))
def test_mutations(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(pack({b"a": leaf(), b"b": {b"c": leaf(2)}}))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 8)]
            case 2:
                data[at:at] = chance.choice([b"i1e", b"le", b"de", b"0:", b"e", b"d", b"l", b"1:"])
            case _:
                data[at:at] = data[chance.randrange(len(data)) :][: chance.randint(1, 30)]
    parses_or_refuses(bytes(data))


_values = st.recursive(
    st.integers(-(10**18), 10**18) | st.binary(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(_values)
def test_bencode_round_trip(value: Any) -> None:
    assert bdecode(bencode(value)) == value
    assert lt.bencode(lt.bdecode(bencode(value))) == bencode(value)


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(_values, _values)
def test_any_values_in_place_of_info(one: Any, two: Any) -> None:
    parses_or_refuses(bencode({"info": one, "piece layers": two}))
    parses_or_refuses(pack({b"a": leaf(), b"b": one}, two))
    parses_or_refuses(pack(piece_length=one, meta_version=two))
