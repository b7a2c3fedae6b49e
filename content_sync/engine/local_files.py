"""The files that become part of a local lesson: hashed where they lie, or copied first when others own them.

Generators rest after each slice; what they return at their end is the file's identity.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator

from msgspec import Struct, field

from content_sync.errors import DiskFullError, LocalError, NotFoundError, PathError
from content_sync.formats.hashtree import FileId, Hasher
from content_sync.formats.lesson import KINDS, Resource, ResourceFile
from content_sync.formats.local import Source, guess, safe_name
from content_sync.formats.names import media_type
from content_sync.formats.paths import check_distinct, check_path
from content_sync.ports import Drops, LocalStore, State, Store

#: Bytes hashed or copied in a step.
AT_ONCE = 16 << 20
_ENTRY = "index.html"


class Taken(Struct):
    """Files of a request, hashed where they lie: resources for the record, and root -> place. `copies`:
    places of copies that were begun for it."""

    resources: list[Resource] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    spare: list[str] = field(default_factory=list)  # the same bytes once more
    copies: list[str] = field(default_factory=list)

    def put(self, file: FileId, place: str) -> None:
        if self.places.setdefault(file.root, place) != place:
            self.spare.append(place)


class Bringing:
    """`take` brings one file; `hashed` says what was hashed at a place since this program started."""

    def __init__(self, kept: LocalStore, drops: Drops, state: State, store: Store, reserve: int) -> None:
        self._kept, self._drops, self._state, self._store = kept, drops, state, store
        self._reserve = reserve
        self.hashed: dict[str, FileId] = {}

    def take(self, identity: str, source: Source, taken: Taken) -> Generator[None, None, None]:
        """Hash a file where it lies, or copy it first when others own it."""
        kind, title = guess(source.name)
        kind, title = source.kind or kind, source.title or title
        if source.kind_of_source == "upload":
            place = self._kept.uploaded(source.where)
            if self._kept.size(place) is None:
                raise NotFoundError("the upload is not here any more")
            file = yield from self._hash(place)
        else:
            place = self._kept.copied(identity)
            taken.copies.append(place)
            file = yield from self.copy(identity, self._bytes_of(source), self._size_of(source))
        if not file.length:
            raise LocalError("the file is empty")
        path = f"{identity}/{safe_name(source.name)}"
        parts: list[ResourceFile] = []
        if kind in ("interactive", "other", "courseware"):
            parts = yield from self._unpack(path, place, taken)
        if parts:
            kind, entry = "interactive", ResourceFile(path, "original", file)
            files, kind_of = (*parts, entry), "text/html"
        else:
            kind = "other" if kind == "interactive" else kind  # nothing runs that is not a whole courseware
            files, kind_of = (ResourceFile(path, "main", file),), media_type(source.name)
        taken.resources.append(Resource(identity, kind, KINDS[kind][1], title, kind_of, files))
        taken.put(file, place)

    def drop(self, places: Iterable[str]) -> Generator[None, None, None]:
        """Let copies and uploads go that no record names."""
        for place in places:
            self.hashed.pop(place, None)
            self._kept.drop(place)
            yield

    def _size_of(self, source: Source) -> int:
        if source.kind_of_source == "drop":
            stat = self._state.foreign_drop(source.where)
            if stat is None:
                raise NotFoundError(f"{source.where} is no file in a drop folder that no release names")
            return stat.size
        size = self._kept.size(self._kept.found(source.kind_of_source, source.where))
        if size is None:
            raise NotFoundError(f"{source.where} is not there")
        return size

    def _bytes_of(self, source: Source) -> Iterator[bytes]:
        if source.kind_of_source == "drop":
            yield from self._drops.portions(source.where)
        else:
            yield from self._kept.portions(self._kept.found(source.kind_of_source, source.where))

    def _hash(self, place: str) -> Generator[None, None, FileId]:
        hasher, left = Hasher(), AT_ONCE
        for data in self._kept.portions(place):
            hasher.update(data)
            left -= len(data)
            if left <= 0:
                left = AT_ONCE
                yield
        file = self.hashed[place] = hasher.finish()[0]
        return file

    def copy(self, name: str, portions: Iterator[bytes], size: int) -> Generator[None, None, FileId]:
        """Copy to a place of our own; `size`: what was said, and not a byte more."""
        if self._store.free() - size <= self._reserve:
            raise DiskFullError(f"no space to keep {size} bytes")
        hasher, at, left = Hasher(), 0, AT_ONCE
        self._kept.append(name, b"", 0)
        for data in portions:
            self._kept.append(name, data, at)
            hasher.update(data)
            at += len(data)
            left -= len(data)
            if at > size:
                break
            if left <= 0:
                left = AT_ONCE
                yield
        if at != size:
            self._kept.drop(self._kept.copied(name))
            raise LocalError("it changed while it was copied")
        self._kept.settle(name)
        file = self.hashed[self._kept.copied(name)] = hasher.finish()[0]
        return file

    def _unpack(self, zipped: str, place: str, taken: Taken) -> Generator[None, None, list[ResourceFile]]:
        """The files of a zip that holds a courseware, its entry first; nothing of any other file. `zipped`:
        the zip's own path in the lesson."""
        names = self._kept.members(place)
        tops = [name for name in names if name.rpartition("/")[2] == _ENTRY]
        if not tops:
            return []
        root = min(tops, key=lambda name: (name.count("/"), name))[: -len(_ENTRY)]
        inside = sorted(name for name in names if name.startswith(root))
        identity = zipped.partition("/")[0]
        paths = [f"{identity}/z/{name[len(root) :]}" for name in inside]
        try:
            check_distinct([zipped, *map(check_path, paths)])
        except PathError as error:
            what = "a name in the zip can't be used: rename it and pack the zip again"
            raise LocalError(f"压缩包里有不能用的文件名，请改名后重新打包，{what}: {error.what}") from None
        found: list[tuple[ResourceFile, str]] = []
        for number, (name, path) in enumerate(zip(inside, paths, strict=True)):
            copy = f"{identity}-{number}"
            taken.copies.append(self._kept.copied(copy))
            file = yield from self._copy_member(copy, place, name)
            role = "main" if name == root + _ENTRY else "part"
            found.append((ResourceFile(path, role, file), taken.copies[-1]))
        for entry, where in found:  # all are good: what a refused zip holds is no other file's place
            taken.put(entry.file, where)
        return sorted((entry for entry, _ in found), key=lambda entry: (entry.role != "main", entry.path))

    def _copy_member(self, copy: str, place: str, name: str) -> Generator[None, None, FileId]:
        hasher, at, left = Hasher(), 0, AT_ONCE
        self._kept.append(copy, b"", 0)
        for data in self._kept.member(place, name):
            if self._store.free() - len(data) <= self._reserve:
                raise DiskFullError("no space to unpack the zip")
            self._kept.append(copy, data, at)
            hasher.update(data)
            at += len(data)
            left -= len(data)
            if left <= 0:
                left = AT_ONCE
                yield
        self._kept.settle(copy)
        file = self.hashed[self._kept.copied(copy)] = hasher.finish()[0]
        return file
