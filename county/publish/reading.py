"""Reading the files of a source into the store, each once: an unchanged one is not read again."""

from __future__ import annotations

import os
from collections.abc import Callable

from content_sync.errors import LengthError, SourceError
from content_sync.formats.hashtree import FileId
from county.library import Library, SourceRow
from county.publish.derive import NewBar
from county.publish.scan import Plan, PlannedFile
from county.publish.store import Store
from county.publish.tree import Problem

#: A file changed within this time of its reading may change again without its mtime showing it.
_RACY_NS = 2_000_000_000
_FLUSH_FILES, _FLUSH_BYTES = 200, 256 << 20


class SourceReader:
    """Reads for one publishing. Raises DiskFullError, StorageError; the rest is in `problems`."""

    def __init__(self, library: Library, store: Store, clock: Callable[[], float], new_bar: NewBar) -> None:
        self.library, self.store, self.clock, self.new_bar = library, store, clock, new_bar
        self.problems: list[Problem] = []
        self.read_bytes = 0

    def read_all(self, planned: Plan) -> dict[str, FileId]:
        """Every source file in the store: path -> identity. Unchanged files are not read again."""
        files = [file for lesson in planned.lessons for r in lesson.resources for file in r.files]
        bar = self.new_bar("reading", sum(file.node.size for file in files), "B")
        held: dict[str, FileId] = {}
        sources: list[SourceRow] = []
        objects: list[tuple[FileId, bytes]] = []
        done = unsaved = 0
        try:
            for file in files:
                known = self.known(file)
                if known is None:
                    known = self.read(file, sources, objects)
                    unsaved += file.node.size
                if known is not None:
                    held[file.node.path] = known
                done += file.node.size
                bar.to(done)
                if len(objects) >= _FLUSH_FILES or unsaved >= _FLUSH_BYTES:
                    self.save(sources, objects)
                    unsaved = 0
        finally:
            self.save(sources, objects)
            bar.close()
        return held

    def save(self, sources: list[SourceRow], objects: list[tuple[FileId, bytes]]) -> None:
        with self.library.transaction():
            self.library.put_objects(objects)
            self.library.put_sources(sources)
        sources.clear()
        objects.clear()

    def known(self, file: PlannedFile) -> FileId | None:
        """The identity of a source file that is as it was when it was read, and still in the store."""
        row, node = self.library.source(os.fsencode(file.node.path)), file.node
        if row is None or (row.size, row.mtime_ns, row.ctime_ns, row.inode) != (
            node.size,
            node.mtime_ns,
            node.ctime_ns,
            node.inode,
        ):
            return None
        identity = FileId(row.root, row.size)
        return identity if self.store.holds(identity) else None

    def read(
        self, file: PlannedFile, sources: list[SourceRow], objects: list[tuple[FileId, bytes]]
    ) -> FileId | None:
        path, started = file.node.path, int(self.clock() * 1e9)
        try:
            identity, leaves, found = self.store.admit(path)
            if self.library.object_size(identity.root) not in (None, identity.length):
                raise LengthError("has the root of another file in the library, but another length")
        except (SourceError, LengthError) as error:
            self.problems.append(Problem.of(file.where, error))
            return None
        self.read_bytes += identity.length
        objects.append((identity, leaves))
        if abs(started - found.st_mtime_ns) > _RACY_NS:
            sources.append(
                SourceRow(
                    os.fsencode(path),
                    found.st_size,
                    found.st_mtime_ns,
                    found.st_ctime_ns,
                    found.st_ino,
                    identity.root,
                )
            )
        return identity
