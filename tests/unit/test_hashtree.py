"""Identity equals libtorrent's, and root and length name a file only together (formats.md 1)."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content_sync.errors import FormatError, LeavesError, LengthError
from content_sync.formats import hashtree
from content_sync.formats.hashtree import BLOCK, EMPTY_ROOT, HASH, FileId, Hasher
from tests.unit.bittorrent import content, libtorrent_v2

PIECE = 65_536


def identify(data: bytes) -> tuple[FileId, bytes]:
    return hashtree.identify(io.BytesIO(data))


@pytest.mark.parametrize(
    "size",
    [1, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 3 * 65_536 + 1, 16 * 65_536, (5 << 20) + 7],
)
def test_roots_and_layers_equal_libtorrents(tmp_path: Path, size: int) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "video.mp4").write_bytes(data := content(size))
    torrent = libtorrent_v2(folder, ["video.mp4"], PIECE)
    file, leaves = identify(data)
    (tree,) = torrent[b"info"][b"file tree"].values()
    theirs = tree.get(b"") or tree[b"video.mp4"][b""]
    assert (theirs[b"pieces root"].hex(), theirs[b"length"]) == (file.root, file.length)
    if size > PIECE:
        assert torrent[b"piece layers"] == {bytes.fromhex(file.root): hashtree.piece_layer(leaves, PIECE)}
    else:
        assert not torrent.get(b"piece layers")
    hashtree.check_leaves(file, leaves)
    assert leaves == b"".join(hashlib.sha256(data[at : at + BLOCK]).digest() for at in range(0, size, BLOCK))


def test_300_megabytes_as_a_stream(tmp_path: Path) -> None:
    """Hashed in portions that fit no block; the big file lies on disk for libtorrent alone."""
    folder = tmp_path / "package"
    folder.mkdir()
    block = content(1 << 20)
    hasher = Hasher()
    with (folder / "video.mp4").open("wb") as stream:
        for index in range(300):
            data = index.to_bytes(4, "big") + block + b"x"
            stream.write(data)
            hasher.update(data)
    file, leaves = hasher.finish()
    torrent = libtorrent_v2(folder, ["video.mp4"], 1 << 20)
    (layer,) = torrent[b"piece layers"].items()
    assert layer == (bytes.fromhex(file.root), hashtree.piece_layer(leaves, 1 << 20))
    assert file.length == 300 * ((1 << 20) + 5)


def test_the_empty_file() -> None:
    file, leaves = identify(b"")
    assert file == FileId(EMPTY_ROOT, 0) and leaves == b""
    hashtree.check_leaves(file, b"")
    for root, length in ((EMPTY_ROOT, 1), ("a" * 64, 0)):
        with pytest.raises(LengthError):
            FileId(root, length)
    with pytest.raises(LengthError):
        hashtree.check_leaves(file, bytes(HASH))


def test_the_impostor_of_64_bytes() -> None:
    """BEP 52 gives leaves and nodes one hash: the two leaves of a 32 KiB file are a file with its root."""
    genuine, leaves = identify(content(2 * BLOCK))
    impostor, impostor_leaves = identify(leaves)
    assert impostor.root == genuine.root and impostor != genuine
    with pytest.raises(LengthError):
        hashtree.check_leaves(genuine, impostor_leaves)
    with pytest.raises(LengthError):
        hashtree.check_leaves(impostor, leaves)
    assert not hashtree.block_ok(genuine, leaves, 0, leaves)
    assert hashtree.block_ok(impostor, impostor_leaves, 0, leaves)


def test_leaves_prove_themselves() -> None:
    file, leaves = identify(content(5 * BLOCK + 1))
    hashtree.check_leaves(file, leaves)
    with pytest.raises(LeavesError):
        hashtree.check_leaves(file, leaves[HASH:] + leaves[:HASH])
    with pytest.raises(LeavesError):
        hashtree.check_leaves(file, bytes(len(leaves)))
    for wrong in (leaves[:-HASH], leaves + bytes(HASH), leaves[:-1], b""):
        with pytest.raises(LengthError):
            hashtree.check_leaves(file, wrong)


def test_block_ok() -> None:
    data = content(2 * BLOCK + 5)
    file, leaves = identify(data)
    blocks = [data[:BLOCK], data[BLOCK : 2 * BLOCK], data[2 * BLOCK :]]
    assert [hashtree.block_ok(file, leaves, i, block) for i, block in enumerate(blocks)] == [True] * 3
    assert not hashtree.block_ok(file, leaves, 0, blocks[1])
    assert not hashtree.block_ok(file, leaves, 2, blocks[2] + b"\0")
    assert not hashtree.block_ok(file, leaves, 2, blocks[2][:-1])
    assert not hashtree.block_ok(file, leaves, 0, bytes([blocks[0][0] ^ 1]) + blocks[0][1:])
    assert not hashtree.block_ok(file, leaves, -1, blocks[2])
    assert not hashtree.block_ok(file, leaves, 3, b"")


def test_what_is_no_name() -> None:
    for root in ("", "g" * 64, "A" * 64, "0" * 63):
        with pytest.raises(FormatError):
            FileId(root, 1)
    for length in (-1, (1 << 48) + 1):
        with pytest.raises(LengthError):
            FileId("a" * 64, length)


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(st.integers(0, 5 * BLOCK), st.lists(st.integers(1, 3 * BLOCK), max_size=12))
def test_portions_do_not_matter(size: int, portions: list[int]) -> None:
    data = content(size)
    hasher = Hasher()
    at = 0
    for portion in [*portions, size]:
        hasher.update(memoryview(data)[at : at + portion])
        at += portion
    assert hasher.finish() == identify(data)
