"""Small files out of parcels: put together from their symbols, unpacked, and offered as signed files that
nobody has verified yet."""

from __future__ import annotations

import hashlib

from content_sync.engine.offers import DropOffer
from content_sync.errors import FormatError
from content_sync.formats.canonical import is_hex
from content_sync.formats.parcel import (
    MANIFEST,
    PACKS,
    PART,
    Manifest,
    Symbol,
    parse_manifest,
    part_symbols,
    parts,
    read_records,
)
from content_sync.ports import Fec, Stash


class _Shelf:
    """The kept small files, as `DropOffer` asks a drop folder and state.db for them."""

    def __init__(self, stash: Stash) -> None:
        self._stash = stash

    def small(self, path: str, cap: int) -> bytes | None:
        """By its SHA-256."""
        data = self._stash.paper(path)
        return data if data and len(data) <= cap else None

    def drop_named(self, sha256: str) -> list[str]:
        """Itself, when it is here."""
        return [sha256] if self._stash.paper(sha256) else []


class Papers:
    """`take` symbols; `offer` is where signed files can be had. `news`: something has come."""

    def __init__(self, stash: Stash, fec: Fec, box: str) -> None:
        self._stash, self._fec, self._box = stash, fec, box
        shelf = _Shelf(stash)
        self.offer = DropOffer(shelf, shelf)  # what asks for it does not care where it lies
        self.news = False
        self.manifest: Manifest | None = None

    def begin(self) -> None:
        """Offer what was kept."""
        for sha256, _, size in self._stash.papers():
            if size:
                self.offer.learn(sha256, size)
                self.news = True
        self.offer.settled()
        self._read_manifest(self._stash.fact("manifest"))

    def _read_manifest(self, text: str | None) -> None:
        try:
            self.manifest = parse_manifest(text.encode()) if text else None
        except FormatError:
            self.manifest = None

    @staticmethod
    def package_of(path: str) -> str | None:
        """The package that a file describes: `targets/packages/<sha256>.<infohash>.<ending>`."""
        start, _, name = path.rpartition("/")
        words = name.split(".")
        found = start == "targets/packages" and len(words) == 3 and is_hex(words[1], 64)
        return words[1] if found else None

    def useful(self, path: str) -> bool:
        """Whether a file that describes no package is for this box."""
        if path.startswith("metadata/envelopes/"):
            return path == f"metadata/envelopes/{self._box}.json"
        return path == MANIFEST or path.startswith(
            ("metadata/", "targets/subjects/", "targets/collections/", PACKS)
        )

    def take(self, symbol: Symbol) -> None:
        """Keep a symbol; a file that is whole now is offered."""
        if self._stash.paper(symbol.sha256) is not None:
            return
        if parts(symbol.length) == symbol.count == 1 and symbol.esi == 0:
            self._whole(symbol, symbol.data)
            return
        group = f"f {symbol.sha256} {symbol.length} {symbol.path}"
        if not self._stash.add(group, symbol.part << 16 | symbol.esi, symbol.data):
            return
        numbers = self._stash.numbers(group)
        held = [0] * parts(symbol.length)
        for number in numbers:
            held[number >> 16] += 1
        if all(have >= part_symbols(symbol.length, part) for part, have in enumerate(held)):
            self._join(symbol, group)

    def _join(self, symbol: Symbol, group: str) -> None:
        rows = self._stash.read(group)
        whole = bytearray()
        for part in range(parts(symbol.length)):
            count, size = part_symbols(symbol.length, part), min(PART, symbol.length - part * PART)
            symbols = {
                number & 0xFFFF: data.ljust(1 << 14, b"\0")
                for number, data in rows.items()
                if number >> 16 == part
            }
            try:
                blocks = self._fec.decode(count, symbols)
            except FormatError:
                self._stash.remove([group])
                return
            if blocks is None:
                return
            whole += b"".join(blocks)[:size]
        self._stash.remove([group])
        self._whole(symbol, bytes(whole))

    def _whole(self, symbol: Symbol, data: bytes) -> None:
        if len(data) != symbol.length or hashlib.sha256(data).hexdigest() != symbol.sha256:
            return
        if symbol.path.startswith(PACKS):
            self._unpack(data)
            self._stash.put_paper(symbol.sha256, symbol.path, b"")
        elif symbol.path == MANIFEST:
            self._stash.set_fact("manifest", data.decode("utf-8", "replace"))
            self._stash.put_paper(symbol.sha256, symbol.path, b"")
            self._read_manifest(self._stash.fact("manifest"))
        else:
            self._stash.put_paper(symbol.sha256, symbol.path, data)
            self.offer.learn(symbol.sha256, len(data))
            self.news = True

    def _unpack(self, data: bytes) -> None:
        """A pack holds the source symbols of files, in order; never another pack."""
        begun: dict[str, bytearray] = {}
        for record in read_records(data):
            if not isinstance(record, Symbol) or record.path.startswith(PACKS):
                continue
            made = begun.setdefault(record.sha256, bytearray())
            made += record.data
            if len(made) >= record.length:
                del begun[record.sha256]
                wanted = self.package_of(record.path) is not None or self.useful(record.path)
                if wanted and self._stash.paper(record.sha256) is None:
                    self._whole(record, bytes(made))

    def evict(self, most: int) -> None:
        """Forget the oldest files until they take at most `most` bytes; packs may come again then."""
        rows = self._stash.papers()
        total = sum(size + 200 for _, _, size in rows)
        gone = []
        for sha256, _, size in rows:
            if total <= most:
                break
            gone.append(sha256)
            total -= size + 200
        if gone:
            self._stash.remove_papers([*gone, *(sha256 for sha256, _, size in rows if not size)])
            for sha256 in gone:
                self.offer.forget(sha256)
