"""`county carousel`: the release as parcels for a satellite's uplink (formats.md 13, 14).

Parcels are made in a hidden folder beside where they go, and named only when all of them are whole. Each run
is the next cycle, with other repair symbols, so that what two passes bring adds up.
"""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from content_sync.adapters.files import (
    lock_file,
    make_folder,
    move_durable,
    read_capped,
    storage_errors,
    write_durable,
)
from content_sync.core import carousel as rules
from content_sync.core.trust import MAX_ROOT, MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP, check_target
from content_sync.errors import FormatError, NotFoundError, SetupError, StorageError, UsageError
from content_sync.formats import torrent
from content_sync.formats.canonical import dump, load, need, need_hex
from content_sync.formats.collection import (
    LessonEntry,
    TargetRef,
    parse_collection,
    parse_subject,
    subscribes,
    touches_subject,
)
from content_sync.formats.hashtree import BLOCK, block_count, block_length, block_ok
from content_sync.formats.parcel import (
    MANIFEST,
    MAX_FILE,
    PACKS,
    PART,
    Block,
    Head,
    Manifest,
    Record,
    Repair,
    Symbol,
    dump_manifest,
    dump_record,
    file_symbols,
    files_size,
    part_symbols,
    parts,
)
from content_sync.formats.torrent import Torrent
from content_sync.ports import Fec
from county.publish.store import object_path
from county.services import Services

#: Packs of what describes packages: one part each, so that one is decoded from any of its symbols.
_PACK = PART - BLOCK
_RECORD = 120  # what a record costs beside its 16 KiB, and a little more
_SUFFIX = ".parcel"

#: What one shows progress with: name and total, then how much is done.
MakeBar = Callable[[str, int], Any]


class Asked(Struct, frozen=True):
    """`overhead`: repair symbols as a share of the source symbols. `urgent`: lesson ids and collection
    patterns. `since`: only lessons that changed after this release."""

    out: Path
    overhead: float
    patterns: tuple[str, ...] = ("*",)
    urgent: tuple[str, ...] = ()
    since: int | None = None
    parcel_bytes: int = 2_200_000


class _Chunk(Struct, frozen=True):
    """Blocks of a package that are coded together."""

    package: str
    first: int
    count: int
    repair: int
    skip: int  # repair symbols that other cycles send

    @property
    def symbols(self) -> int:
        return self.count + self.repair


class _Part(Struct, frozen=True):
    """A part of a small file: a target, or a pack of several."""

    path: str
    targets: tuple[TargetRef, ...]
    part: int
    symbols: int


class _Stretch(Struct):
    """What is spread over the same parcels, at most `room` symbols in each; `first` is the number of the
    first of them."""

    items: list[_Chunk | _Part]
    room: int
    first: int = 0

    @property
    def symbols(self) -> list[int]:
        return [item.symbols for item in self.items]

    @property
    def parcels(self) -> int:
        return max(1, sum(group.parcels for group in rules.groups(self.symbols, self.room)))


def build(services: Services, fec: Fec, asked: Asked, now: int, bar: MakeBar) -> dict[str, Any]:
    """Write one cycle; what `county carousel --json` prints. `now`: unix seconds.

    Raises UsageError, SetupError before the first release, StorageError, DiskFullError, BusyError.
    """
    if not 0 <= asked.overhead <= 4 or not 128 << 10 <= asked.parcel_bytes <= 64 << 20:
        raise UsageError("--overhead must be 0 to 4, --parcel-bytes 131072 to 67108864")
    with lock_file(services.paths.data / "carousel.lock", "another carousel is being made"):
        return _Builder(services, fec, asked, now).run(bar)


class _Builder:
    """One cycle."""

    def __init__(self, services: Services, fec: Fec, asked: Asked, now: int) -> None:
        self._services, self._fec, self._asked, self._now = services, fec, asked, now
        self._public, self._objects = services.paths.public, services.paths.objects
        self._entries: dict[str, LessonEntry] = {}
        self._lesson_collection: dict[str, str] = {}
        self._torrents: dict[str, Torrent] = {}
        self._left_out: list[str] = []
        self._written = 0

    def run(self, bar: MakeBar) -> dict[str, Any]:
        control, release = self._release()
        order, urgent = self._order()
        carousel, cycle = self._next_cycle()
        stretches = self._plan(order, urgent, cycle)
        total = stretches[-1].first + stretches[-1].parcels
        manifest = Manifest(
            self._services.settings.text("name"),
            carousel,
            cycle,
            release,
            total,
            round(1000 * self._asked.overhead),
            {name: self._entries[name].size for name in order},
        )
        control.append((MANIFEST, dump_manifest(manifest)))
        head = Head(bytes.fromhex(carousel), cycle, 0, total, release, 0, self._now)
        folder = self._folder(cycle)
        progress = bar("carousel", sum(sum(stretch.symbols) for stretch in stretches) * BLOCK)
        try:
            symbols = self._control_symbols(control, total)
            for stretch in stretches:
                self._write(folder, stretch, symbols, head, progress)
            self._publish(folder, cycle, total)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            progress.close()
        shutil.rmtree(folder, ignore_errors=True)
        content = sum(self._entries[name].size for name in order)
        return {
            "cycle": cycle,
            "carousel": carousel,
            "release": release,
            "lessons": len(order),
            "content": content,
            "parcels": total,
            "bytes": self._written,
            "times": round(self._written / content, 3) if content else 0,
            "folder": str(self._asked.out),
            "left_out": self._left_out,
        }

    # What there is

    def _read(self, path: str, cap: int) -> bytes:
        return read_capped(self._public / path, cap)

    def _target(self, ref: TargetRef) -> bytes:
        data = self._read(f"targets/{ref.url_path}", ref.length)
        check_target(ref, data)
        return data

    def _release(self) -> tuple[list[tuple[str, bytes]], int]:
        """The signed metadata and every box's envelope, as (path, bytes); fills in the lessons that it
        lists."""
        try:
            timestamp = self._read("metadata/timestamp.json", MAX_TIMESTAMP)
        except NotFoundError:
            raise SetupError("nothing is published yet") from None
        snapshot_name = f"{_version(timestamp, 'snapshot.json', MAX_TIMESTAMP)}.snapshot.json"
        snapshot = self._read(f"metadata/{snapshot_name}", MAX_SNAPSHOT)
        release = _version(snapshot, "targets.json", MAX_SNAPSHOT)
        targets = self._read(f"metadata/{release}.targets.json", MAX_TARGETS)
        found = [
            (f"metadata/{release}.targets.json", targets),
            (f"metadata/{snapshot_name}", snapshot),
            ("metadata/timestamp.json", timestamp),
        ]
        for path in sorted((self._public / "metadata").glob("*.root.json")):
            found.append((f"metadata/{path.name}", read_capped(path, MAX_ROOT)))
        for path, entry in need(load(targets, MAX_TARGETS)["signed"], "targets", dict).items():
            name = path.rpartition("/")[2].removesuffix(".json")
            if not path.startswith("subjects/") or not touches_subject(self._asked.patterns, name):
                continue
            ref = TargetRef(path, need(entry, "length", int), need(entry, "hashes", dict)["sha256"])
            data = self._target(ref)
            found.append((f"targets/{ref.url_path}", data))
            for listed in parse_subject(data).collections:
                if subscribes(self._asked.patterns, listed.id):
                    index = self._target(listed.index)
                    found.append((f"targets/{listed.index.url_path}", index))
                    for lesson in parse_collection(index).lessons:
                        self._entries[lesson.infohash] = lesson
                        self._lesson_collection[lesson.infohash] = listed.id
        for box in self._services.library().boxes():
            envelope = self._services.envelopes.current(box.id, self._now)
            found.append((f"metadata/envelopes/{box.id}.json", envelope))
        return found, release

    def _order(self) -> tuple[list[str], list[str]]:
        """Packages to send, the newest first; the urgent ones among them."""
        library = self._services.library()
        made = {}
        for infohash in list(self._entries):
            row = library.package(infohash)
            if row is None:
                raise StorageError(f"library.db does not know the package {infohash}")
            made[infohash] = row.made
        if self._asked.since is not None:
            issued = library.issued(self._asked.since)
            if issued is None:
                raise UsageError(f"there is no release {self._asked.since}")
            self._entries = {name: entry for name, entry in self._entries.items() if made[name] > issued}
        for infohash, entry in list(self._entries.items()):
            if max(entry.leaves.length, entry.torrent.length) > MAX_FILE:
                self._left_out.append(entry.id)
                del self._entries[infohash]
        order = sorted(self._entries, key=lambda name: (-made[name], self._entries[name].id))
        urgent = [
            name
            for name in order
            if self._entries[name].id in self._asked.urgent
            or subscribes(self._asked.urgent, self._lesson_collection[name])
        ]
        return order, urgent

    def _next_cycle(self) -> tuple[str, int]:
        """This carousel's id and the number of this cycle, which is no other's even when this run fails."""
        path = self._services.paths.data / "carousel.json"
        try:
            kept = load(read_capped(path, 4096), 4096)
            carousel, cycle = need_hex(kept, "carousel", 16), need(kept, "cycle", int) + 1
        except (NotFoundError, FormatError):
            carousel, cycle = secrets.token_hex(8), 1
        write_durable(path, dump({"carousel": carousel, "cycle": cycle}))
        return carousel, cycle

    # Plan

    def _plan(self, order: Sequence[str], urgent: Sequence[str], cycle: int) -> list[_Stretch]:
        """Urgent lessons come first and once more half-way, with other repair symbols."""
        room = (self._asked.parcel_bytes - 2 * _RECORD) // (BLOCK + _RECORD)
        skip = cycle % rules.ROUNDS
        first = self._stretches(urgent, room, skip)
        rest = self._stretches([name for name in order if name not in set(urgent)], room, skip)
        again = self._stretches(urgent, room, skip + rules.ROUNDS) if rest else []
        half = len(rest) // 2 or len(rest)
        stretches = first + rest[:half] + again + rest[half:]
        if not stretches:  # no lessons: the metadata alone
            stretches = [_Stretch([], 1, number) for number in range(rules.CONTROL_TIMES)]
        number = 0
        for stretch in stretches:
            stretch.first = number
            number += stretch.parcels
        return stretches

    def _stretches(self, names: Sequence[str], room: int, skip: int) -> list[_Stretch]:
        """Whole lessons, in stretches of about one size: a burst would take most of a short one."""
        chunks: list[tuple[str, int, int]] = []
        ends = []
        for name in names:
            blocks = sum(block_count(file.file.length) for file in self._torrent(name).files)
            chunks += [(name, first, count) for first, count in rules.split(blocks)]
            ends.append(len(chunks))
        made: list[_Stretch] = []
        number = max(1, round(len(chunks) / rules.WINDOW))
        start = 0
        for end in ends:
            if end == len(chunks) or end >= len(chunks) * (len(made) + 1) / number:
                made.append(self._stretch(chunks[start:end], room, skip))
                start = end
        return made

    def _stretch(self, window: Sequence[tuple[str, int, int]], room: int, skip: int) -> _Stretch:
        repairs = rules.repairs([count for _, _, count in window], self._asked.overhead)
        items: list[_Chunk | _Part] = [
            _Chunk(name, first, count, repair, skip * repair)
            for (name, first, count), repair in zip(window, repairs, strict=True)
        ]
        names = list(dict.fromkeys(name for name, _, _ in window))
        for path, length, targets in self._describing(names):
            for part in range(parts(length)):
                symbols = rules.metadata_symbols(part_symbols(length, part), self._asked.overhead)
                items.append(_Part(path, targets, part, symbols))
        return _Stretch(items, room)

    def _torrent(self, infohash: str) -> Torrent:
        found = self._torrents.get(infohash)
        if found is None:
            if len(self._torrents) > 64:
                self._torrents.clear()
            found = torrent.parse(self._target(self._entries[infohash].torrent), infohash)
            self._torrents[infohash] = found
        return found

    def _describing(self, names: Sequence[str]) -> Iterator[tuple[str, int, tuple[TargetRef, ...]]]:
        """Torrents and leaf lists of packages, in packs, a large one by itself: path, bytes, what it has."""
        pack: list[TargetRef] = []
        size = number = 0
        for name in names:
            for ref in (self._entries[name].torrent, self._entries[name].leaves):
                more = files_size(f"targets/{ref.url_path}", ref.length)
                if more > _PACK // 2:
                    yield f"targets/{ref.url_path}", ref.length, (ref,)
                    continue
                if size + more > _PACK:
                    yield f"{PACKS}{number}", size, tuple(pack)
                    pack, size, number = [], 0, number + 1
                pack.append(ref)
                size += more
        if pack:
            yield f"{PACKS}{number}", size, tuple(pack)

    # Write

    def _folder(self, cycle: int) -> Path:
        with storage_errors(str(self._asked.out)):
            make_folder(self._asked.out)
            for left in self._asked.out.glob(".carousel-*.part"):
                shutil.rmtree(left, ignore_errors=True)
            folder = self._asked.out / f".carousel-{cycle:05}.part"
            make_folder(folder)
        return folder

    def _control_symbols(self, control: Sequence[tuple[str, bytes]], total: int) -> list[list[Symbol]]:
        """For each parcel of the cycle, its symbols of the control packs."""
        found: list[list[Symbol]] = [[] for _ in range(total)]
        for path, data in _packs(control):
            for part in range(parts(len(data))):
                count = part_symbols(len(data), part)
                symbols = list(self._symbols(path, data, part, 1 if count == 1 else 2 * count + 16))
                for parcel in range(total):
                    for at in rules.control_symbols(count, parcel, total):
                        found[parcel].append(symbols[at % len(symbols)])
        return found

    def _write(
        self,
        folder: Path,
        stretch: _Stretch,
        control: Sequence[Sequence[Symbol]],
        head: Head,
        progress: Any,
    ) -> None:
        laid = rules.lay(stretch.symbols, stretch.room)
        records = Counter[int]()
        for places in laid:
            records.update(places)
        heads = []
        for at in range(stretch.parcels):
            number = stretch.first + at
            count = records[at] + len(control[number])
            heads.append(dump_record(replace(head, number=number, records=count)))
            _append(folder / str(number), heads[-1])
        for item, places in zip(stretch.items, laid, strict=True):
            for record, place in zip(self._records(item), places, strict=True):
                _append(folder / str(stretch.first + place), dump_record(record))
            progress.to(progress.done + item.symbols * BLOCK)
        for at, data in enumerate(heads):
            number = stretch.first + at
            _append(folder / str(number), b"".join(map(dump_record, control[number])) + data)

    def _records(self, item: _Chunk | _Part) -> Iterator[Record]:
        if isinstance(item, _Chunk):
            return self._chunk_records(item)
        files = [(f"targets/{ref.url_path}", self._target(ref)) for ref in item.targets]
        data = _pack(files) if item.path.startswith(PACKS) else files[0][1]
        return self._symbols(item.path, data, item.part, item.symbols)

    def _chunk_records(self, chunk: _Chunk) -> Iterator[Record]:
        blocks: list[bytes] = []
        for record in self._blocks(chunk.package, chunk.first, chunk.count):
            blocks.append(record.data)
            yield record
        repair = self._fec.repair(blocks, chunk.skip, chunk.repair)
        esi = chunk.count + chunk.skip
        for at, data in enumerate(repair):
            yield Repair(chunk.package, chunk.first, chunk.count, esi + at, data)

    def _blocks(self, infohash: str, first: int, count: int) -> Iterator[Block]:
        """Blocks of a package, each checked: what has rotten here must not be sent to all boxes."""
        library = self._services.library()
        start = 0
        for entry in self._torrent(infohash).files:
            file, many = entry.file, block_count(entry.file.length)
            low, high = max(first, start) - start, min(first + count, start + many) - start
            start += many
            if low >= high:
                continue
            leaves = library.leaves(file.root)
            path = object_path(self._objects, file.root)
            with storage_errors(file.root), path.open("rb") as stream:
                stream.seek(low * BLOCK)
                for index in range(low, high):
                    data = stream.read(block_length(file.length, index))
                    if not block_ok(file, leaves, index, data):
                        raise StorageError(f"{path} is damaged: publish its lesson again")
                    yield Block(file, index, data)

    def _symbols(self, path: str, data: bytes, part: int, most: int) -> Iterator[Symbol]:
        every = [symbol for symbol in file_symbols(path, data) if symbol.part == part]
        yield from every[:most]
        count = len(every)
        repair = self._fec.repair([symbol.data for symbol in every], 0, max(0, most - count))
        for at, symbol in enumerate(repair):
            yield replace(every[0], esi=count + at, data=symbol)

    def _publish(self, folder: Path, cycle: int, total: int) -> None:
        digits = max(4, len(str(total)))
        for number in range(total):
            source = folder / str(number)
            with storage_errors(source.name):
                self._written += source.stat().st_size
            move_durable(source, self._asked.out / f"lessonbox-{cycle:05}-{number:0{digits}}{_SUFFIX}", 0o644)


def _append(path: Path, data: bytes) -> None:
    with storage_errors(path.name), path.open("ab") as stream:
        stream.write(data)


def _pack(files: Sequence[tuple[str, bytes]]) -> bytes:
    return b"".join(dump_record(symbol) for path, data in files for symbol in file_symbols(path, data))


def _packs(files: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Small files put together."""
    pack, number = b"", 0
    for file in files:
        records = _pack([file])
        if pack and len(pack) + len(records) > _PACK:
            yield f"{PACKS}{number}", pack
            pack, number = b"", number + 1
        pack += records
    if pack:
        yield f"{PACKS}{number}", pack


def _version(data: bytes, name: str, cap: int) -> int:
    version: int = need(need(need(load(data, cap)["signed"], "meta", dict), name, dict), "version", int)
    return version
