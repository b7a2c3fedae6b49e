"""Writing a bag onto a stick, so that it may be pulled out at any moment (formats.md 14).

The order is: signed files, lessons (the most urgent first), the manifest, bagit.txt. What is durable is noted
in the manifest of the unfinished bag; what is not noted there is read and checked before it counts. So
running again writes nothing twice, and a bag without bagit.txt is a source like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from content_sync.engine.shipment import Load, Signed
from content_sync.errors import (
    DamagedDataError,
    DiskFullError,
    FormatError,
    LessonBoxError,
    NotFoundError,
    StorageError,
    TooBigError,
)
from content_sync.formats import bag, torrent
from content_sync.formats.collection import TargetRef
from content_sync.formats.hashtree import BLOCK, FileId, block_count, block_ok
from content_sync.formats.request import Rest
from content_sync.ports import Objects, Shelf, Stick

_BATCH_BYTES, _BATCH_FILES = 64 << 20, 400
#: Left free for the manifest, and for what a file system takes for itself.
_SPARE, _SPARE_PER_FILE = 512 << 10, 400
_TRIES = 2


class Exported(Struct, frozen=True):
    """What is on the stick now: of the `asked` lessons of which something lacks those that are on it whole,
    their files and bytes, how much of it was written this time; what did not fit; what could not be carried
    at all and why."""

    asked: int
    lessons: int
    files: int
    bytes: int
    written: int
    rest: Rest
    left_bytes: int
    problems: tuple[tuple[str, LessonBoxError], ...]

    def plain(self, release: int) -> dict[str, Any]:
        """As both commands print it. `error`: the line to say when something did not fit, or None."""
        full = self.full()
        return {
            "release": release,
            "boxes": list(self.rest.boxes),
            "asked": self.asked,
            "lessons": self.lessons,
            "files": self.files,
            "bytes": self.bytes,
            "written": self.written,
            "left_lessons": len(self.rest.lessons),
            "left_bytes": self.left_bytes,
            "problems": [
                {"code": error.code, "subject": subject, "message": error.what}
                for subject, error in self.problems
            ],
            "error": None if full is None else full.line(),
        }

    def full(self) -> DiskFullError | None:
        """What to say when not all fitted."""
        if not self.rest.lessons:
            return None
        return DiskFullError(
            f"the stick is full: {self.lessons} of {self.asked} lessons are on it whole,"
            f" {self.left_bytes / 1e6:.1f} MB did not fit; with --rest FILE the next stick takes them"
        )


class _Tally(Struct):
    """One look at all loads."""

    asked: int = 0
    lessons: int = 0
    files: int = 0
    bytes: int = 0
    left: int = 0


class Export:
    """One writing of one bag. `most`: bytes of the largest file (at least a block, a multiple of it);
    `least`: a smaller piece than this is not worth cutting a file for."""

    def __init__(
        self, stick: Stick, shelf: Shelf, objects: Objects, most: int = bag.MAX_PART, least: int = 1 << 20
    ) -> None:
        self._stick, self._shelf, self._objects = stick, shelf, objects
        self._most, self._least = most, least
        self._files: dict[str, int] = {}
        self._digests: dict[str, str] = {}  # of files that are whole, durable or in `_pending`
        self._doubted: set[str] = set()  # of these, what is read before it is believed
        self._pending: list[str] = []
        self._unsynced = self._room = self._written = 0
        self._full = self._swept = False
        self._problems: dict[str, LessonBoxError] = {}
        self._signed: Sequence[Signed] = ()
        self._loads: Sequence[Load] = ()

    def run(
        self,
        signed: Sequence[Signed],
        loads: Sequence[Load],
        info: Mapping[str, str],
        boxes: Sequence[str] = (),
        tick: Callable[[int], None] = lambda done: None,
        verify: bool = False,
        asked: bool = False,
    ) -> Exported:
        """Write it all, or as much as fits. `info`: lines of bag-info.txt; `boxes`: whom the rest is for;
        `tick(n)`: n loads are done; `verify`: read everything back; `asked`: boxes say that they lack it,
        so what a finished bag has of it may have been carried there and found damaged: it is read.

        Raises DiskFullError when not even the signed files fit, StorageError when the stick fails or is
        pulled out: what is on it then is whole as far as it goes.
        """
        self._signed, self._loads = signed, loads
        self._open(asked)
        for path, data in signed:
            self._put(path, data)
        self._settle()
        for tries in range(_TRIES):
            tally, rest = self._carry_all(tick)
            bad = self._unreadable() if verify else []
            if not bad:
                break
            if tries + 1 == _TRIES:
                raise StorageError(f"{len(bad)} files read back wrong: do not use this stick")
        self._finish(info)
        return Exported(
            tally.asked,
            tally.lessons,
            tally.files,
            tally.bytes,
            self._written,
            Rest(tuple(boxes), tuple(rest)),
            tally.left,
            tuple(self._problems.items()),
        )

    # Beginning and end

    def _open(self, asked: bool) -> None:
        """Find out what is here, and make the bag an unfinished one."""
        self._files = self._stick.files()
        known: dict[str, str] = {}
        for name in (bag.MANIFEST, bag.WRITING):
            if name == bag.WRITING or bag.DECLARATION in self._files:
                known |= bag.parse_manifest(self._stick.read(name, bag.MAX_MANIFEST) or b"")
        self._digests = {path: digest for path, digest in known.items() if path in self._files}
        self._doubted = set(self._digests) if asked and bag.DECLARATION in self._files else set()
        self._stick.put(bag.WRITING, bag.dump_manifest(self._digests))
        self._stick.remove([name for name in (bag.DECLARATION, bag.TAGS) if name in self._files])
        self._look()

    def _finish(self, info: Mapping[str, str]) -> None:
        """Name everything, then say that the bag is whole; nothing of an earlier writing stays unnamed."""
        self._settle()
        self._files = self._stick.files()
        unnamed = [path for path in self._files if path.startswith(bag.DATA) and path not in self._digests]
        self._stick.remove([path for path in unnamed if bag.is_ours(path)])
        for path in unnamed:
            if not bag.is_ours(path):
                self._digests[path] = self._digest(path)
        named = {path: digest for path, digest in self._digests.items() if path in self._files}
        size = sum(self._files[path] for path in named)
        fields = [*info.items(), ("Payload-Oxum", f"{size}.{len(named)}")]
        tags = {
            bag.DECLARATION: bag.DECLARED,
            bag.INFO: bag.dump_info(fields),
            bag.MANIFEST: bag.dump_manifest(named),
        }
        for name in (bag.MANIFEST, bag.INFO):
            self._stick.put(name, tags[name])
        self._stick.put(bag.TAGS, bag.dump_tags(tags))
        self._stick.put(bag.DECLARATION, bag.DECLARED)
        self._stick.remove([bag.WRITING])

    def _digest(self, path: str, cold: bool = False) -> str:
        whole = hashlib.sha256()
        for data in self._stick.blocks(path, cold):
            whole.update(data)
        return whole.hexdigest()

    def _reads_as(self, path: str, digest: str) -> bool:
        try:
            return self._digest(path, cold=True) == digest
        except StorageError:
            return False

    def _unreadable(self) -> list[str]:
        """Files that the medium gives back otherwise than they were written; they are deleted."""
        self._settle()
        bad = []
        for path, digest in self._digests.items():
            if not self._reads_as(path, digest):
                bad.append(path)
        if bad:
            self._forget(bad)
        return bad

    def _forget(self, paths: Sequence[str]) -> None:
        for path in paths:
            self._digests.pop(path, None)
            self._files.pop(path, None)
        self._stick.remove(paths)
        self._look()

    # Space and durability

    def _look(self) -> None:
        self._room = self._stick.free() - _SPARE - _SPARE_PER_FILE * len(self._digests)

    def _settle(self) -> None:
        """Make what was written durable, then note it."""
        if self._pending:
            self._stick.flush(self._pending)
            lines = bag.dump_manifest({path: self._digests[path] for path in self._pending})
            self._stick.append(bag.WRITING, lines)
            self._pending, self._unsynced = [], 0
        self._look()

    def _save_pending(self) -> None:
        """The stick is full: keep what was written last, or free its space where even a note fails."""
        try:
            self._settle()
        except DiskFullError:
            lost, self._pending, self._unsynced = self._pending, [], 0
            self._forget(lost)

    def _wrote(self, path: str, size: int, digest: str) -> None:
        self._digests[path], self._files[path] = digest, size
        self._pending.append(path)
        self._unsynced += size
        self._written += size
        self._room -= self._stick.cost(size)
        if self._unsynced >= _BATCH_BYTES or len(self._pending) >= _BATCH_FILES:
            self._settle()

    # Signed files

    def _put(self, path: str, data: bytes) -> None:
        """A small file whole; one whose name stays while its content changes is replaced all or nothing."""
        digest = hashlib.sha256(data).hexdigest()
        noted = self._files.get(path) == len(data) and self._digests.get(path) == digest
        if noted and (path not in self._doubted or self._reads_as(path, digest)):
            return
        if path.startswith(bag.metadata_path("")):
            self._settle()  # what it names comes first
            self._stick.put(path, data)
        else:
            self._stick.write(path, (data[at : at + BLOCK] for at in range(0, len(data), BLOCK)))
        self._wrote(path, len(data), digest)

    # Lessons

    def _carry_all(self, tick: Callable[[int], None]) -> tuple[_Tally, list[tuple[str, dict[str, int]]]]:
        """Bring every load; once the stick is full, only count what is there."""
        while True:
            tally, rest = _Tally(), []
            try:
                for done, load in enumerate(self._loads, 1):
                    left = self._carry(load, tally)
                    if left:
                        rest.append((load.entry.infohash, left))
                    tick(done)
                self._settle()
                return tally, rest
            except DiskFullError:
                if self._full:
                    raise
                self._full = True
                self._save_pending()

    def _carry(self, load: Load, tally: _Tally) -> dict[str, int]:
        """Bring one package: root -> first block that lacks of each file that did not fit."""
        entry, left = load.entry, {}
        try:
            described = self._describe(load)
            wanted = [(file, leaves, begin) for file, leaves, begin in described if begin is not None]
            if not wanted:
                return {}
            tally.asked += 1
            for kind, ref in (("torrent", entry.torrent), ("leaves", entry.leaves)):
                path, data = bag.package_path(entry.infohash, kind), self._target(ref)
                if self._fits(len(data)) or self._files.get(path) == len(data):
                    self._put(path, data)
                else:
                    self._full = True
            for file, leaves, begin in wanted:
                at = self._bring(file, leaves, begin)
                tally.files += 1
                tally.bytes += min(file.length, at * BLOCK) - begin * BLOCK
                if at < block_count(file.length):
                    left[file.root] = at
                    tally.left += file.length - at * BLOCK
        except (DamagedDataError, NotFoundError, FormatError) as error:  # ours, not the stick's
            self._problems[entry.title] = error
            return {}
        tally.lessons += not left
        return left

    def _target(self, ref: TargetRef) -> bytes:
        data = self._shelf.get(f"targets/{ref.url_path}", ref.length)
        if data is None or hashlib.sha256(data).hexdigest() != ref.sha256:
            raise NotFoundError(f"{ref.path} is not here")
        return data

    def _describe(self, load: Load) -> list[tuple[FileId, bytes, int | None]]:
        entry = load.entry
        described = torrent.parse(self._target(entry.torrent), entry.infohash)
        leaves = torrent.split_leaves(described, self._target(entry.leaves))
        files = {held.file: leaves[held.path] for held in described.files}
        return [(file, listed, load.begin(file.root)) for file, listed in files.items()]

    def _bring(self, file: FileId, leaves: bytes, begin: int) -> int:
        """Bring a file from block `begin` on; the first block that is not on the stick."""
        at, count = begin, block_count(file.length)
        if self._good(bag.object_path(file.root), file, leaves, 0):
            return count
        while at < count:
            path = bag.object_path(file.root, at)
            if self._good(path, file, leaves, at):
                at += block_count(self._files[path])
                continue
            if self._full:
                break
            first, blocks = bag.parts(file.length, at, self._most)[0]
            size = min(file.length - first * BLOCK, blocks * BLOCK)
            if not self._fits(size):
                self._full = True
                blocks = (self._room - self._stick.cost(0)) // BLOCK
                size = blocks * BLOCK
                if size < self._least:
                    break
            if (first, size) == (0, file.length):
                path = bag.object_path(file.root)
            self._copy(path, file, leaves, first, blocks)
            at += blocks
        return at

    def _copy(self, path: str, file: FileId, leaves: bytes, first: int, count: int) -> None:
        whole = hashlib.sha256()
        size = 0

        def checked() -> Iterator[bytes]:
            nonlocal size
            blocks = self._objects.blocks(file.root, first)
            for index in range(first, first + count):
                try:
                    data = next(blocks, b"")
                except StorageError as error:  # of the store here, not of the stick
                    raise DamagedDataError(error.what) from None
                if not block_ok(file, leaves, index, data):
                    raise DamagedDataError(f"block {index} of {file.root} is damaged in the store here")
                whole.update(data)
                size += len(data)
                yield data

        self._stick.write(path, checked())
        self._wrote(path, size, whole.hexdigest())

    def _good(self, path: str, file: FileId, leaves: bytes, first: int) -> bool:
        """Whether this part of a file lies on the stick whole: noted as durable, or read and checked."""
        size = self._files.get(path, 0)
        to_end = file.length - first * BLOCK
        if not 0 < size <= to_end or (size % BLOCK and size != to_end):
            return False
        if path == bag.object_path(file.root) and size != file.length:
            return False
        if path in self._digests and path not in self._doubted:
            return True
        self._digests.pop(path, None)
        self._doubted.discard(path)
        whole = hashlib.sha256()
        try:
            for index, data in enumerate(self._stick.blocks(path, cold=True), first):
                if not block_ok(file, leaves, index, data):
                    return False
                whole.update(data)
        except StorageError:
            return False
        self._digests[path] = whole.hexdigest()
        self._pending.append(path)
        return True

    def _fits(self, size: int) -> bool:
        """Whether a file of this size may be written; what nobody asked for gives way first."""
        if self._full:
            return False
        if self._stick.cost(size) <= self._room:
            return True
        self._settle()
        if self._stick.cost(size) > self._room and not self._swept:
            self._swept = True
            self._sweep()
        return self._stick.cost(size) <= self._room

    def _sweep(self) -> None:
        """Delete what an earlier writing left for others."""
        asked = {path for path, _ in self._signed}
        roots: set[str] = set()
        for load in self._loads:
            asked |= {bag.package_path(load.entry.infohash, kind) for kind in ("torrent", "leaves")}
            try:
                roots |= {file.root for file, _, begin in self._describe(load) if begin is not None}
            except (NotFoundError, FormatError, TooBigError):
                continue
        stale = []
        for path in self._files:
            part = bag.part_of(path)
            if bag.is_ours(path) and path not in asked and (part is None or part[0] not in roots):
                stale.append(path)
        self._forget(stale)
