"""An image that the county signed: its manifest, its check before the first card, its ranges."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

from content_sync.adapters.files import read_capped, storage_errors, write_durable
from content_sync.adapters.tuf import Trust
from content_sync.errors import FormatError, NotFoundError, SignatureError, TargetError
from content_sync.formats.canonical import dump
from content_sync.formats.image import (
    IMAGE_TYPE,
    MAX_MANIFEST,
    ImageManifest,
    SignedFile,
    dump_manifest,
    parse_manifest,
)
from county.flash.bmap import MAX_BMAP, Range, parse_bmap
from county.publish.signing import Repository

_PIECE = 1 << 20
Tick = Callable[[int], None]
#: What reading packed bytes that are not what they should be raises.
_BROKEN = (lzma.LZMAError, zlib.error, gzip.BadGzipFile, EOFError)


class Image(Struct, frozen=True):
    """A signed image, whole as far as its own bytes go."""

    path: Path
    manifest: ImageManifest
    ranges: tuple[Range, ...]

    @property
    def size(self) -> int:
        """Bytes on a card from its begin to the image's end."""
        return self.manifest.raw.size

    @property
    def to_write(self) -> int:
        """Bytes that are written: those of the ranges."""
        return sum(one.end - one.begin for one in self.ranges)

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of all ranges, unpacked, each range checked at its end. Raises TargetError."""
        with _unpacked(self.path) as stream:
            for one in self.ranges:
                stream.seek(one.begin)
                digest, at = hashlib.sha256(), one.begin
                while at < one.end:
                    data = stream.read(min(_PIECE - at % _PIECE, one.end - at))
                    if not data:
                        raise TargetError(f"{self.path.name} ends too early")
                    digest.update(data)
                    yield at, data
                    at += len(data)
                if digest.hexdigest() != one.sha256:
                    raise TargetError(f"{self.path.name} differs from its signed checksum at {one.begin}")


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    openers: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open}
    opener = openers.get(path.suffix, open)
    try:
        with storage_errors(path.name), opener(path, "rb") as stream:
            yield stream
    except _BROKEN as error:
        raise TargetError(f"{path.name} is damaged: {error}") from None


def manifest_path(image: Path) -> Path:
    """Where the signed manifest of an image lies: beside it."""
    return image.with_name(image.name + ".json")


def find_bmap(image: Path) -> Path | None:
    """The block map beside an image, where bmaptool too looks: `x.img.xz.bmap`, `x.img.bmap`, `x.bmap`."""
    name, found = image.name, image.with_name(image.name + ".bmap")
    while not found.is_file():
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
        found = image.with_name(name + ".bmap")
    return found


def open_image(path: Path, root: dict[str, Any], tick: Tick = lambda done: None) -> Image:
    """Read and check everything about an image but what is in it: signature, SHA-256, block map.

    `root`: the county's root metadata, which is trusted. `tick` hears of the bytes checked.
    Raises NotFoundError, SignatureError, TargetError, FormatError, TooBigError, StorageError.
    """
    try:
        data = read_capped(manifest_path(path), MAX_MANIFEST)
    except NotFoundError:
        raise SignatureError(
            f"{manifest_path(path).name} is not beside the image: `county sign-image`"
        ) from None
    manifest = parse_manifest(Trust.from_root(dump(root)).verify_signed(data, IMAGE_TYPE, MAX_MANIFEST))
    if measured(path, tick, manifest.file.size) != (manifest.file.size, manifest.file.sha256):
        raise TargetError(f"{path.name} differs from its signed manifest")
    raw = manifest.raw
    if manifest.bmap is None:
        return Image(path, manifest, (Range(0, raw.size, raw.sha256),))
    bmap = read_capped(path.with_name(manifest.bmap.name), MAX_BMAP)
    if (len(bmap), hashlib.sha256(bmap).hexdigest()) != (manifest.bmap.size, manifest.bmap.sha256):
        raise TargetError(f"{manifest.bmap.name} differs from the signed manifest")
    return Image(path, manifest, tuple(parse_bmap(bmap, raw.size)))


def measured(path: Path, tick: Tick, cap: int | None = None) -> tuple[int, str]:
    """Length (not beyond `cap` and one byte) and SHA-256 of a file. Raises NotFoundError, StorageError."""
    with storage_errors(path.name), path.open("rb") as stream:
        return _measure(stream, tick, cap)


def _measure(stream: IO[bytes], tick: Tick = lambda done: None, cap: int | None = None) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while data := stream.read(_PIECE):
        digest.update(data)
        size += len(data)
        tick(size)
        if cap is not None and size > cap:
            break
    return size, digest.hexdigest()


def sign_image(path: Path, repository: Repository, tick: Tick = lambda done: None) -> ImageManifest:
    """Write the manifest of an image, and of the block map beside it, signed by the county's key.

    Raises NotFoundError, FormatError, TargetError, SetupError, DiskFullError, StorageError.
    """
    size, sha256 = measured(path, tick)
    with _unpacked(path) as stream:
        raw = SignedFile("", *_measure(stream))
    bmap, found = None, find_bmap(path)
    if found is not None:
        data = read_capped(found, MAX_BMAP)
        parse_bmap(data, raw.size)
        bmap = SignedFile(found.name, len(data), hashlib.sha256(data).hexdigest())
    if raw.size % 512:
        raise FormatError(f"{path.name} is no image of whole sectors")
    manifest = ImageManifest(SignedFile(path.name, size, sha256), raw, bmap)
    parse_manifest(dump_manifest(manifest))
    write_durable(manifest_path(path), repository.sign_payload(IMAGE_TYPE, dump_manifest(manifest)))
    return manifest
