"""Identity: the BEP 52 Merkle root over 16 KiB blocks, together with the length (formats.md 1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import BinaryIO

from msgspec import Struct

from content_sync.errors import FormatError, LeavesError, LengthError

BLOCK = 16_384
HASH = 32
ZERO_LEAF = bytes(HASH)
EMPTY_ROOT = "0" * 64
MAX_LENGTH = 1 << 48


def _sha256(data: bytes | memoryview) -> bytes:
    return hashlib.sha256(data).digest()


class FileId(Struct, frozen=True, order=True):
    """A file's name: its root (64 hex digits) and its length in bytes. Neither alone is enough."""

    root: str
    length: int

    def __post_init__(self) -> None:
        if len(self.root) != 64 or any(c not in "0123456789abcdef" for c in self.root):
            raise FormatError(f"not a root: {self.root[:80]!r}")
        if not 0 <= self.length <= MAX_LENGTH:
            raise LengthError(f"length {self.length} is out of range")
        if (self.length == 0) != (self.root == EMPTY_ROOT):
            raise LengthError("only the empty file has the zero root")


def block_count(length: int) -> int:
    """Number of 16 KiB blocks (= leaves) of a file of `length` bytes."""
    return -(-length // BLOCK)


def block_length(length: int, index: int) -> int:
    """Bytes in block `index` of a file of `length` bytes."""
    return min(BLOCK, length - index * BLOCK)


def merkle_root(nodes: Iterable[bytes], pad: bytes = ZERO_LEAF) -> bytes:
    """The root over a layer of hashes, padded with `pad` up to a power of two. Raises on no node."""
    layer = list(nodes)
    if not layer:
        raise LengthError("an empty layer has no root")
    while len(layer) > 1:
        if len(layer) % 2:
            layer.append(pad)
        layer = [_sha256(layer[i] + layer[i + 1]) for i in range(0, len(layer), 2)]
        pad = _sha256(pad + pad)
    return layer[0]


def layer_pad(height: int) -> bytes:
    """The hash of an all-padding subtree of 2**height leaves."""
    pad = ZERO_LEAF
    for _ in range(height):
        pad = _sha256(pad + pad)
    return pad


def piece_layer(leaves: bytes, piece_length: int) -> bytes:
    """The hashes of whole pieces, concatenated, for a BEP 52 `piece layers` entry.

    `leaves` is a leaf list of a file longer than one piece. The last piece is padded to full size.
    """
    per = piece_length // BLOCK
    out = bytearray()
    for start in range(0, len(leaves), per * HASH):
        nodes = [leaves[i : i + HASH] for i in range(start, min(start + per * HASH, len(leaves)), HASH)]
        nodes += [ZERO_LEAF] * (per - len(nodes))
        out += merkle_root(nodes)
    return bytes(out)


class Hasher:
    """Feed bytes in any portions; get the FileId and the leaf list of all of them."""

    def __init__(self) -> None:
        self._leaves = bytearray()
        self._tail = bytearray()
        self._length = 0

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes."""
        self._length += len(data)
        view = memoryview(data)
        if self._tail:
            take = min(BLOCK - len(self._tail), len(view))
            self._tail += view[:take]
            view = view[take:]
            if len(self._tail) < BLOCK:
                return
            self._leaves += _sha256(bytes(self._tail))
            self._tail.clear()
        whole = len(view) - len(view) % BLOCK
        for start in range(0, whole, BLOCK):
            self._leaves += _sha256(view[start : start + BLOCK])
        self._tail += view[whole:]

    def finish(self) -> tuple[FileId, bytes]:
        """The identity and the leaf list. The hasher must not be fed afterwards."""
        if self._tail:
            self._leaves += _sha256(bytes(self._tail))
            self._tail.clear()
        leaves = bytes(self._leaves)
        if not leaves:
            return FileId(EMPTY_ROOT, 0), b""
        return FileId(root_of(leaves), self._length), leaves


def root_of(leaves: bytes) -> str:
    """The root, hex, of a leaf list."""
    return merkle_root(leaves[i : i + HASH] for i in range(0, len(leaves), HASH)).hex()


def identify(stream: BinaryIO, portion: int = 1 << 20) -> tuple[FileId, bytes]:
    """Read a binary stream to its end; its FileId and leaf list."""
    hasher = Hasher()
    while data := stream.read(portion):
        hasher.update(data)
    return hasher.finish()


def check_leaves(file: FileId, leaves: bytes) -> None:
    """Raise unless `leaves` is the leaf list of `file`: count first, then the root.

    The count refuses the 64-byte impostor of a 32 KiB file (formats.md 1).
    Raises LengthError, LeavesError.
    """
    if len(leaves) != HASH * block_count(file.length):
        raise LengthError(f"{len(leaves)} bytes of leaves for a file of {file.length} bytes")
    if file.length and root_of(leaves) != file.root:
        raise LeavesError(f"leaf list does not lead to root {file.root}")


def block_ok(file: FileId, leaves: bytes, index: int, data: bytes | memoryview) -> bool:
    """Whether `data` is block `index` of `file`, whose checked leaf list is `leaves`."""
    return (
        0 <= index < block_count(file.length)
        and len(data) == block_length(file.length, index)
        and _sha256(data) == leaves[index * HASH : (index + 1) * HASH]
    )
