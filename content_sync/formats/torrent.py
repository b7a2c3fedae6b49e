"""The package's v2-only torrent: bencode, build, and a strict parser (formats.md 3.2; BEP 3, BEP 52).

Our own because the hashes are our identity: `publish` already holds every leaf, and a box must refuse a
hostile file before any library sees it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from content_sync.errors import LeavesError, TooBigError, TorrentError
from content_sync.formats import hashtree
from content_sync.formats.hashtree import BLOCK, HASH, FileId
from content_sync.formats.paths import check_component, check_distinct, check_path

MAX_TORRENT = 16 << 20
MAX_FILES = 20_000
MAX_BENCODE_DEPTH = 40
#: More than 20 000 files need; each costs tens of bytes of memory, so a hostile file can't fill it.
MAX_BENCODE_VALUES = 500_000
PIECE_LENGTHS = (65_536, 262_144, 1_048_576)


def bencode(value: object) -> bytes:
    """Bencoding of ints, bytes, str (as UTF-8), lists and dicts (keys sorted as bytes)."""
    if isinstance(value, bool):
        raise TypeError("bencode has no bool")
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode("utf-8")
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list | tuple):
        return b"l" + b"".join(bencode(item) for item in value) + b"e"
    if isinstance(value, dict):
        items = sorted((k.encode("utf-8") if isinstance(k, str) else k, v) for k, v in value.items())
        return b"d" + b"".join(bencode(k) + bencode(v) for k, v in items) + b"e"
    raise TypeError(f"cannot bencode {type(value).__name__}")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.count = 0
        self.spans: dict[str, tuple[int, int]] = {}

    def value(self, depth: int = 0) -> Any:
        if depth > MAX_BENCODE_DEPTH:
            raise TorrentError("nested too deep")
        self.count += 1
        if self.count > MAX_BENCODE_VALUES:
            raise TorrentError("too many values")
        lead = self.data[self.at : self.at + 1]
        if lead == b"i":
            return self._integer()
        if lead == b"l":
            self.at += 1
            items = []
            while self.data[self.at : self.at + 1] != b"e":
                items.append(self.value(depth + 1))
            self.at += 1
            return items
        if lead == b"d":
            return self._dict(depth)
        if lead.isdigit():
            return self._string()
        raise TorrentError(f"not bencoded at byte {self.at}")

    def _number(self, start: int, end: int) -> int:
        text = self.data[start:end]
        digits = text[1:] if text[:1] == b"-" else text
        canonical = digits.isdigit() and (digits == b"0" or digits[:1] != b"0") and text != b"-0"
        if not canonical or len(digits) > 19:
            raise TorrentError(f"bad number at byte {start}")
        return int(text)

    def _integer(self) -> int:
        end = self.data.find(b"e", self.at, self.at + 24)
        if end < 0:
            raise TorrentError(f"number without end at byte {self.at}")
        value = self._number(self.at + 1, end)
        self.at = end + 1
        return value

    def _string(self) -> bytes:
        colon = self.data.find(b":", self.at, self.at + 12)
        if colon < 0:
            raise TorrentError(f"string without length at byte {self.at}")
        length = self._number(self.at, colon)
        end = colon + 1 + length
        if end > len(self.data):
            raise TorrentError("string runs past the end")
        self.at = end
        return self.data[colon + 1 : end]

    def _dict(self, depth: int) -> dict[bytes, Any]:
        self.at += 1
        made: dict[bytes, Any] = {}
        last: bytes | None = None
        while self.data[self.at : self.at + 1] != b"e":
            key = self._string() if self.data[self.at : self.at + 1].isdigit() else None
            if key is None or (last is not None and key <= last):
                raise TorrentError("keys of a dictionary are not in order")
            start = self.at
            made[key] = self.value(depth + 1)
            if depth == 0 and key == b"info":
                self.spans["info"] = (start, self.at)
            last = key
        self.at += 1
        return made


def bdecode(data: bytes) -> Any:
    """The value of a whole bencoded text (dict keys and strings as bytes). Raises TorrentError."""
    reader = _Reader(data)
    value = reader.value()
    if reader.at != len(data):
        raise TorrentError("bytes after the end")
    return value


def piece_length_for(size: int) -> int:
    """Piece length of a package of `size` bytes in all (formats.md 3.2)."""
    if size < 64 << 20:
        return PIECE_LENGTHS[0]
    return PIECE_LENGTHS[1] if size < 1 << 30 else PIECE_LENGTHS[2]


class TorrentFile(Struct, frozen=True):
    """One file of a torrent: its path, identity and, in the torrent's order, its first piece."""

    path: str
    file: FileId
    first_piece: int


class Torrent(Struct, frozen=True):
    """A checked v2-only torrent."""

    infohash: str
    name: str
    piece_length: int
    files: tuple[TorrentFile, ...]
    data: bytes

    @property
    def size(self) -> int:
        """Bytes of all files, without padding."""
        return sum(entry.file.length for entry in self.files)

    @property
    def pieces(self) -> int:
        """Number of pieces; each file begins a new one."""
        return sum(-(-entry.file.length // self.piece_length) for entry in self.files)


def _sorted_by_tree(paths: Sequence[str]) -> list[str]:
    return sorted(paths, key=lambda path: [part.encode("utf-8") for part in path.split("/")])


def build(name: str, files: Sequence[tuple[str, FileId, bytes]]) -> Torrent:
    """Make the torrent of a package from (path, identity, leaf list) of each file.

    Raises PathError, TorrentError, LengthError, LeavesError.
    """
    check_distinct(path for path, _, _ in files)
    piece_length = piece_length_for(sum(file.length for _, file, _ in files))
    tree: dict[str, Any] = {}
    layers: dict[bytes, bytes] = {}
    for path, file, leaves in files:
        check_path(path)
        hashtree.check_leaves(file, leaves)
        if not file.length:
            raise TorrentError(f"an empty file can't be in a package: {path}")
        node = tree
        for part in path.split("/"):
            node = node.setdefault(part, {})
        node[""] = {"length": file.length, "pieces root": bytes.fromhex(file.root)}
        if file.length > piece_length:
            layers[bytes.fromhex(file.root)] = hashtree.piece_layer(leaves, piece_length)
    info = {"file tree": tree, "meta version": 2, "name": name, "piece length": piece_length}
    return parse(bencode({"info": info, "piece layers": layers}))


def _walk(tree: Any, parents: list[str], out: list[tuple[str, FileId]], depth: int = 0) -> None:
    if not isinstance(tree, dict) or not tree or depth > 16:
        raise TorrentError("file tree is damaged")
    for key, node in tree.items():
        try:
            name = key.decode("utf-8")
        except UnicodeDecodeError:
            raise TorrentError("a file name is not UTF-8") from None
        check_component(name)
        if isinstance(node, dict) and b"" in node:
            if len(node) != 1 or not isinstance(node[b""], dict):
                raise TorrentError("a file can't also be a folder")
            leaf = node[b""]
            extra = set(leaf) - {b"length", b"pieces root"}
            length, root = leaf.get(b"length"), leaf.get(b"pieces root")
            if extra or not isinstance(length, int) or not isinstance(root, bytes) or len(root) != HASH:
                raise TorrentError(f"file {name!r} has no plain length and root")
            if not 0 < length <= hashtree.MAX_LENGTH:
                raise TorrentError(f"file {name!r} has length {length}")
            out.append((check_path("/".join([*parents, name])), FileId(root.hex(), length)))
            if len(out) > MAX_FILES:
                raise TorrentError(f"more than {MAX_FILES} files")
        else:
            _walk(node, [*parents, name], out, depth + 1)


def parse(data: bytes, expect: str | None = None) -> Torrent:
    """Check a torrent file in every respect; `expect` is the infohash that was signed.

    Raises TooBigError, TorrentError, PathError.
    """
    if len(data) > MAX_TORRENT:
        raise TooBigError(f"torrent of {len(data)} bytes")
    reader = _Reader(data)
    top = reader.value()
    if reader.at != len(data) or not isinstance(top, dict) or set(top) != {b"info", b"piece layers"}:
        raise TorrentError("not a torrent, or one with more than info and piece layers")
    start, end = reader.spans["info"]
    infohash = hashlib.sha256(data[start:end]).hexdigest()
    if expect is not None and infohash != expect:
        raise TorrentError(f"infohash is {infohash}, expected {expect}")
    info = top[b"info"]
    if not isinstance(info, dict) or set(info) != {b"file tree", b"meta version", b"name", b"piece length"}:
        raise TorrentError("not a plain v2-only torrent")
    piece_length = info[b"piece length"]
    if info[b"meta version"] != 2 or not isinstance(piece_length, int) or piece_length not in PIECE_LENGTHS:
        raise TorrentError("not version 2, or its piece length is not allowed")
    try:
        name = info[b"name"].decode("utf-8")
    except (AttributeError, UnicodeDecodeError):
        raise TorrentError("name is not UTF-8") from None
    check_component(name)
    listed: list[tuple[str, FileId]] = []
    _walk(info[b"file tree"], [], listed)
    check_distinct(path for path, _ in listed)
    if len(listed) < 2:
        raise TorrentError("a package has at least two files")
    if [path for path, _ in listed] != _sorted_by_tree([path for path, _ in listed]):
        raise TorrentError("files are not in order")
    _check_layers(top.get(b"piece layers"), listed, piece_length)
    files = []
    piece = 0
    for path, file in listed:
        files.append(TorrentFile(path, file, piece))
        piece += -(-file.length // piece_length)
    return Torrent(infohash, name, piece_length, tuple(files), data)


def _check_layers(layers: Any, listed: Sequence[tuple[str, FileId]], piece_length: int) -> None:
    needed: dict[bytes, int] = {}
    for _, file in listed:
        count = -(-file.length // piece_length)
        if count > 1 and needed.setdefault(bytes.fromhex(file.root), count) != count:
            raise TorrentError("files of different length share a root")
    if not isinstance(layers, dict) or set(layers) != set(needed):
        raise TorrentError("piece layers are missing or too many")
    height = (piece_length // BLOCK).bit_length() - 1
    pad = hashtree.layer_pad(height)
    for root, layer in layers.items():
        if not isinstance(layer, bytes) or len(layer) != HASH * needed[root]:
            raise TorrentError("a piece layer has a wrong length")
        nodes = [layer[i : i + HASH] for i in range(0, len(layer), HASH)]
        if hashtree.merkle_root(nodes, pad) != root:
            raise TorrentError("a piece layer does not lead to its root")


def leaves_lengths(torrent: Torrent) -> list[int]:
    """Bytes of each file's leaf list in the leaves file (formats.md 3.3)."""
    return [HASH * hashtree.block_count(entry.file.length) for entry in torrent.files]


def split_leaves(torrent: Torrent, data: bytes) -> dict[str, bytes]:
    """Cut a leaves file (formats.md 3.3) into checked leaf lists, by path. Raises LeavesError."""
    expected = sum(HASH * hashtree.block_count(entry.file.length) for entry in torrent.files)
    if len(data) != expected:
        raise LeavesError(f"{len(data)} bytes of leaves, expected {expected}")
    out: dict[str, bytes] = {}
    at = 0
    for entry in torrent.files:
        size = HASH * hashtree.block_count(entry.file.length)
        hashtree.check_leaves(entry.file, data[at : at + size])
        out[entry.path] = data[at : at + size]
        at += size
    return out
