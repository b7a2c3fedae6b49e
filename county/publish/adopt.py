"""`county adopt`: what the county's own receiver got from a national broadcast, described and signed byte for
byte, beside what the county publishes itself (formats.md 11.1).

Nothing is converted: each file becomes part of a package as it was received, so that every box that heard the
same broadcast has it already. What the receiver deletes later stays adopted until it is taken out by hand.
"""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from content_sync.errors import DiskFullError, FormatError, NotFoundError, SourceError
from content_sync.formats.hashtree import FileId
from content_sync.formats.lesson import KINDS, STEPS, Lesson, Resource
from content_sync.formats.paths import check_id
from content_sync.settings import Settings
from county.config import CountyPaths
from county.library import LessonRow, Library
from county.publish import sound
from county.publish.derive import Deriver, Made, NewBar
from county.publish.names import MEDIA_TYPES, natural, suffix
from county.publish.package import describe
from county.publish.placing import Place, Table, place
from county.publish.publish import Packed, Published, Run, alone
from county.publish.reading import SourceReader
from county.publish.scan import Plan, PlannedFile, teaching_order
from county.publish.sheet import read_rows
from county.publish.signing import Repository
from county.publish.store import Store
from county.publish.tools import Tools
from county.publish.tree import Node, Problem, read_tree
from county.publish.unzip import BROKEN, entries_of, entry_of

#: A file that was written to so lately may not be whole yet.
STILL_SECONDS = 30
TABLES = ("目录.xlsx", "目录.csv", "lessons.xlsx", "lessons.csv")
_MOST_ENTRIES = 100_000
_MOST_RATIO, _ALWAYS_FINE = 200, 64 << 20


def adopt(
    paths: CountyPaths,
    settings: Settings,
    folder: Path,
    clock: Callable[[], float],
    new_bar: NewBar,
    collection: str | None = None,
    table: Path | None = None,
    allow_date: bool = False,
    still: int = STILL_SECONDS,
    tools: Tools | None = None,
) -> Published:
    """Add what lies below `folder` to the library. `collection`: where that goes which neither a table, a
    lesson.toml nor folder names place (an id or a path like 小学/语文/统编版/三年级上册); `table`: a CSV or
    XLSX that places files (else one of TABLES in the folder); `still`: seconds that a file must not have
    changed.

    Raises SourceError, TooBigError (the table), BusyError, ClockError, DiskFullError, StorageError; then the
    old release stands.
    """
    data = paths.data.resolve()
    if data.is_relative_to(folder.resolve()) or folder.resolve().is_relative_to(data):
        raise SourceError(f"{folder} and the county's data folder lie in one another")
    with alone(paths), Library.open(paths.library_db, write=True) as library:
        work = paths.work / "publish"
        shutil.rmtree(work, ignore_errors=True)
        run = _run(paths, settings, library, clock, new_bar)
        try:
            return _Adoption(run, work, still).adopt(
                folder,
                None if collection is None else _place_of(library, collection),
                table,
                Deriver(library, run.store, tools or Tools(work), 0, 0, new_bar),
                allow_date,
            )
        finally:
            shutil.rmtree(work, ignore_errors=True)


def take_out(
    paths: CountyPaths,
    settings: Settings,
    lessons: Sequence[str],
    clock: Callable[[], float],
    new_bar: NewBar,
    allow_date: bool = False,
) -> Published:
    """Take adopted lessons out of the library; adopting again does not bring them back.

    Raises NotFoundError, and as `adopt`.
    """
    with alone(paths), Library.open(paths.library_db, write=True) as library:
        run = _run(paths, settings, library, clock, new_bar)
        adopted = library.adopted()
        for lesson in lessons:
            if lesson not in adopted:
                raise NotFoundError(f"{lesson} is not an adopted lesson")
        kept = [run.kept(row) for row in library.lessons() if row.id not in lessons]
        run.check_withdrawal({entry.lesson.id for entry in kept}, withdraw=True)
        with library.transaction():
            library.mark_adopted(lessons, False)
        return run.release(kept, int(clock()), allow_date, 0)


def _run(
    paths: CountyPaths, settings: Settings, library: Library, clock: Callable[[], float], new_bar: NewBar
) -> Run:
    repository = Repository(paths.public, paths.keys, settings.number("expire_days"))
    return Run(paths, library, repository, Store(paths.objects, paths.work / "publish"), clock, new_bar)


def _place_of(library: Library, text: str) -> Place:
    names = tuple(part.strip() for part in text.strip().strip("/").split("/"))
    if len(names) == 4:
        return names[0], names[1], names[2], names[3]
    try:
        check_id(text)
    except FormatError:
        raise SourceError(f"{text!r} is neither a collection's id nor a path of four names") from None
    for row in library.lessons(withdrawn=True):
        if row.collection == text:
            return row.stage, row.subject, row.edition, row.grade + row.volume
    raise SourceError(f"the library has no collection {text}")


class _Adoption:
    def __init__(self, run: Run, work: Path, still: int) -> None:
        self.run, self.library, self.store = run, run.library, run.store
        self.work, self.still = work, still
        self.problems = run.problems
        self.now = int(run.clock())
        self.unpacked = 0

    def adopt(
        self, folder: Path, collection: Place | None, table: Path | None, deriver: Deriver, allow_date: bool
    ) -> Published:
        root = read_tree(str(folder.absolute()))
        named = table or next((folder / name for name in TABLES if (folder / name).is_file()), None)
        rows = None if named is None else Table.of(named.name, read_rows(named))
        if named is not None:
            own = str(named.absolute())
            root = replace(root, children=[child for child in root.children if child.path != own])
        planned = place(self.settled(root), collection, rows)
        self.problems += planned.problems
        planned = self.news(planned)
        reader = SourceReader(self.library, self.store, self.run.clock, self.run.new_bar)
        held = reader.read_all(planned)
        self.problems += reader.problems
        made = self.judge(planned, held, deriver)
        packed = self.pack(planned, held, made)
        new = {entry.lesson.id for entry in packed}
        kept = [self.run.kept(row) for row in self.library.lessons() if row.id not in new]
        self.run.check_withdrawal(new | {entry.lesson.id for entry in kept}, withdraw=False)
        return self.run.release([*kept, *packed], self.now, allow_date, reader.read_bytes, sorted(new))

    # The tree as it can be used

    def settled(self, node: Node) -> Node:
        """The tree with what is still being received made odd, and archives of lessons as folders."""
        children = []
        plain = any(not c.folder and suffix(c.name) != "zip" and not c.odd for c in node.children)
        for child in node.children:
            if child.odd:
                children.append(child)
            elif child.folder:
                children.append(self.settled(child))
            elif suffix(child.name) in sound.UNFINISHED:
                children.append(
                    replace(child, odd="is still being received: it has a name for unfinished files")
                )
            elif abs(self.now - child.mtime_ns // 10**9) < self.still:
                children.append(replace(child, odd="is still being received: adopt again in a minute"))
            elif suffix(child.name) == "zip" and not plain:
                children.append(self.unfold(child))
            else:
                children.append(child)
        return replace(node, children=children)

    def unfold(self, node: Node) -> Node:
        """An archive of lessons as a folder of that name; a courseware, or what is no zip, stays a file."""
        try:
            with zipfile.ZipFile(node.path) as opened:
                entries = entries_of(opened, _MOST_ENTRIES)
                total = sum(info.file_size for info in entries.values())
                if entry_of(opened, entries) is not None:
                    return node
                if total > _ALWAYS_FINE and total > _MOST_RATIO * node.size:
                    return replace(node, odd=f"would unpack to {total} bytes from {node.size}")
                return self._unfold(opened, entries, node)
        except BROKEN as error:
            return replace(node, odd=f"is damaged or not whole yet: {str(error)[:100]}")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFullError(f"no space left to unpack {node.name}") from None
            return replace(node, odd=f"can't be read: {error.strerror or error}")
        except FormatError as error:
            return replace(node, odd=error.what)

    def _unfold(self, opened: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], node: Node) -> Node:
        self.work.mkdir(parents=True, exist_ok=True)
        tree: dict[str, object] = {}
        for name, info in entries.items():
            self.unpacked += 1
            place = self.work / f"member-{self.unpacked}"  # no name from an archive reaches the file system
            with opened.open(info) as source, place.open("wb") as out:
                shutil.copyfileobj(source, out)
            os.utime(place, ns=(node.mtime_ns, node.mtime_ns))
            found = place.stat()
            at = tree
            *folders, last = name.split("/")
            for part in folders:
                at = at.setdefault(part, {})  # type: ignore[assignment]
            at[last] = Node(
                last, str(place), False, found.st_size, node.mtime_ns, found.st_ctime_ns, found.st_ino
            )
        folder = _tree(node.name.rpartition(".")[0], node.path, tree)
        only = folder.children[0] if len(folder.children) == 1 else folder
        return replace(only, name=folder.name) if only.folder and only.name == folder.name else folder

    # What is new, whole and ours to add

    def news(self, planned: Plan) -> Plan:
        """Without the lessons that are not adopted's to touch."""
        adopted = self.library.adopted()
        lessons = []
        for lesson in planned.lessons:
            row = self._row(lesson.id)
            if adopted.get(lesson.id) is False:
                self.problems.append(Problem.source(lesson.where, "was taken out by hand: left out"))
            elif row is not None and lesson.id not in adopted:
                self.problems.append(
                    Problem.source(
                        lesson.where, "is a lesson that the county publishes itself: left as it is"
                    )
                )
            else:
                lessons.append(lesson)
        return replace(planned, lessons=tuple(lessons))

    def _row(self, lesson: str) -> LessonRow | None:
        row = self.library.lesson(lesson)
        return row if row is not None and row.withdrawn is None else None

    def judge(
        self, planned: Plan, held: dict[str, FileId], deriver: Deriver
    ) -> dict[tuple[FileId, str], Made]:
        """Take out of `held` what is broken, naming it; playing times and coursewares of the rest."""
        files = [file for lesson in planned.lessons for r in lesson.resources for file in r.files]
        for file in files:
            identity = held.get(file.node.path)
            if identity is not None:
                leaves = self.library.leaves(identity.root)
                self._refuse(file, held, sound.fault(self.store.path(identity.root), file.path, leaves))
        mains = {
            file.node.path: (held[file.node.path], suffix(file.path))
            for file in files
            if file.role == "main" and file.node.path in held and _is_played(file.path)
        }
        made = deriver.derive(mains.values())
        for file in files:
            found = made.get(mains[file.node.path]) if file.node.path in mains else None
            if found is not None and (found.failed or found.refused):
                self._refuse(file, held, "; ".join(what for _, what in found.notes))
            for code, what in found.notes if found is not None else ():
                if file.node.path in held:
                    self.problems.append(Problem(code, Problem.source(file.where, "").path, what))
        return made

    def _refuse(self, file: PlannedFile, held: dict[str, FileId], fault: str | None) -> None:
        if fault is not None and held.pop(file.node.path, None) is not None:
            self.problems.append(Problem.source(file.where, f"is broken, so it is left out: {fault}"))

    # Packages

    def pack(
        self, planned: Plan, held: dict[str, FileId], made: dict[tuple[FileId, str], Made]
    ) -> list[Packed]:
        """New and grown lessons; one that brings no byte that is not adopted already is none of them."""
        here = {
            file.root
            for row in self.library.lessons()
            if self.library.adopted().get(row.id)
            for file in self.library.package_files(row.infohash).values()
        }
        packed = []
        for lesson in sorted(planned.lessons, key=teaching_order):
            try:
                new = describe(lesson, held, made)
                row = self._row(lesson.id)
                if new is None:
                    self.problems.append(Problem.source(lesson.where, "no file of it could be adopted"))
                elif row is not None:
                    old = self.run.kept(row)
                    merged = merge(old.lesson, new)
                    packed.append(old if merged == old.lesson else self.run.pack_one(merged, self.now))
                elif not all(_received(resource).root in here for resource in new.resources):
                    packed.append(self.run.pack_one(new, self.now))
            except FormatError as error:
                self.problems.append(Problem.of(lesson.where, error))
        return packed


def merge(old: Lesson, new: Lesson) -> Lesson:
    """The adopted lesson with what came since. A resource whose file is here under any name is here; one of
    the same name with other bytes is a newer version; what the receiver holds no longer stays."""
    known = {_received(resource).root for resource in old.resources}
    resources = {resource.id: resource for resource in old.resources}
    fresh = [resource for resource in new.resources if _received(resource).root not in known]
    if not fresh:
        return old
    resources |= {resource.id: resource for resource in fresh}
    order = sorted(
        resources.values(), key=lambda r: (STEPS.index(r.step), list(KINDS).index(r.kind), natural(r.title))
    )
    return replace(old, resources=tuple(order))


def _received(resource: Resource) -> FileId:
    """The file that was received: what the main was made from, else the main."""
    files = {entry.role: entry.file for entry in resource.files if entry.role in ("main", "original")}
    return files.get("original", files["main"])


def _is_played(path: str) -> bool:
    kind = MEDIA_TYPES.get(suffix(path), "")
    return kind.startswith(("video/", "audio/")) or suffix(path) == "zip"


def _tree(name: str, path: str, tree: dict[str, object]) -> Node:
    children = []
    for key, value in sorted(tree.items()):
        if isinstance(value, Node):
            children.append(value)
        elif isinstance(value, dict):
            children.append(_tree(key, f"{path}/{key}", value))
    return Node(name, path, True, children=children)
