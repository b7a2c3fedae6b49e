"""`county publish`: source trees -> objects, packages, indexes -> a signed release.

Everything is durable before the release names it: objects, then targets, then library.db's packages, then the
signature, which is the switch. A crash before it leaves the old release whole; publishing again goes on.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from msgspec import Struct

from content_sync.adapters.files import lock_file, write_durable
from content_sync.core.timefloor import check_signing_time
from content_sync.errors import FormatError, SourceError, ToolError
from content_sync.formats.collection import (
    Collection,
    CollectionRef,
    LessonEntry,
    Subject,
    TargetRef,
    dump_collection,
    dump_subject,
    parse_collection,
)
from content_sync.formats.hashtree import FileId
from content_sync.formats.lesson import MAX_LESSON, Lesson, parse_lesson
from content_sync.formats.paths import subject_id
from content_sync.settings import Settings
from county.config import CountyPaths
from county.library import LessonRow, Library, PackageRow, ReleaseRow
from county.publish.derive import Deriver, Made, NewBar
from county.publish.names import natural, suffix
from county.publish.package import describe, lesson_bytes, pack
from county.publish.reading import SourceReader
from county.publish.scan import Plan, plan, teaching_order
from county.publish.signing import Repository
from county.publish.store import Store
from county.publish.tools import Tools
from county.publish.tree import Problem, read_tree


class Published(Struct, frozen=True):
    """What came of it. `new_bytes`: what a box with the last release lacks; `read_bytes`: of the source."""

    release: int
    lessons: int
    resources: int
    bytes: int
    new_bytes: int
    withdrawn: int
    read_bytes: int
    problems: tuple[Problem, ...]


class Packed(Struct, frozen=True):
    """A lesson as it goes into a release: its description, package and files."""

    lesson: Lesson
    package: PackageRow
    files: Mapping[str, FileId]


def alone(paths: CountyPaths) -> AbstractContextManager[None]:
    """Hold the lock of publishing. Raises BusyError."""
    return lock_file(paths.data / "publish.lock", "another `county publish` is at work here")


def publish(
    paths: CountyPaths,
    settings: Settings,
    sources: Sequence[Path],
    clock: Callable[[], float],
    new_bar: NewBar,
    allow_date: bool = False,
    withdraw: bool = False,
    tools: Tools | None = None,
) -> Published:
    """Publish the lessons of all `sources` together as the whole library.

    `withdraw`: more than half of the published lessons may go. Raises SourceError when there is nothing to
    publish, BusyError, ClockError, DiskFullError, StorageError; then the old release stands.
    """
    for source in sources:
        data = paths.data.resolve()
        if data.is_relative_to(source.resolve()) or source.resolve().is_relative_to(data):
            raise SourceError(f"{source} and the county's data folder lie in one another")
    with alone(paths), Library.open(paths.library_db, write=True) as library:
        work = paths.work / "publish"
        shutil.rmtree(work, ignore_errors=True)  # what a killed run left
        repository = Repository(paths.public, paths.keys, settings.number("expire_days"))
        run = Run(paths, library, repository, Store(paths.objects, work), clock, new_bar)
        try:
            return run.publish(
                sources,
                Deriver(
                    library,
                    run.store,
                    tools or Tools(work),
                    settings.number("page_pixels"),
                    settings.number("most_pages"),
                    new_bar,
                    settings.number("light_kbit"),
                ),
                allow_date,
                withdraw,
            )
        finally:
            shutil.rmtree(work, ignore_errors=True)


class Run:
    """One publishing: the steps from planned lessons to a signed release."""

    def __init__(
        self,
        paths: CountyPaths,
        library: Library,
        repository: Repository,
        store: Store,
        clock: Callable[[], float],
        new_bar: NewBar,
    ) -> None:
        self.library, self.repository, self.store = library, repository, store
        self.targets = paths.public / "targets"
        self.clock, self.new_bar = clock, new_bar
        self.problems: list[Problem] = []

    def publish(
        self, sources: Sequence[Path], deriver: Deriver, allow_date: bool, withdraw: bool
    ) -> Published:
        now = int(self.clock())
        planned = plan([read_tree(str(source.absolute())) for source in dict.fromkeys(sources)])
        self.problems += planned.problems
        kept = self.keep(planned)
        found = {lesson.id for lesson in planned.lessons} | {entry.lesson.id for entry in kept}
        self.check_withdrawal(found, withdraw)
        reader = SourceReader(self.library, self.store, self.clock, self.new_bar)
        held = reader.read_all(planned)
        self.problems += reader.problems
        made = self.derive(planned, held, deriver)
        packed = self.pack(planned, held, made, now) + kept
        self.check_withdrawal({entry.lesson.id for entry in packed}, withdraw)
        result = self.release(packed, now, allow_date, reader.read_bytes)
        self.library.mark_adopted([lesson.id for lesson in planned.lessons], None)  # the county's own now
        return result

    def release(
        self,
        packed: Sequence[Packed],
        now: int,
        allow_date: bool,
        read_bytes: int,
        adopted: Sequence[str] = (),
    ) -> Published:
        """Sign these lessons as the library; `adopted` are marked as such before anything names them."""
        before = {row.id for row in self.library.lessons()}
        published = self.library.published_roots()
        if any(self.library.first_added(entry.lesson.id) is None for entry in packed):
            check_signing_time(now, self.repository.issued, allow_date)
        with self.library.transaction():
            added = {e.lesson.id: self.library.add_lesson(e.lesson.id, now) for e in packed}
            self.library.mark_adopted(adopted, True)
        subjects = self.index(packed, added)
        release = self.repository.publish(subjects, now, allow_date)

        files = {file for entry in packed for file in entry.files.values()}
        result = Published(
            release=release,
            lessons=len(packed),
            resources=sum(len(entry.lesson.resources) for entry in packed),
            bytes=sum(entry.package.size for entry in packed),
            new_bytes=sum(file.length for file in files if file.root not in published),
            withdrawn=len(before - {entry.lesson.id for entry in packed}),
            read_bytes=read_bytes,
            problems=tuple(sorted(self.problems, key=lambda problem: natural(problem.path))),
        )
        row = ReleaseRow(release, now, result.lessons, result.resources, result.bytes, result.new_bytes)
        self.library.put_release(row, [_lesson_row(entry) for entry in packed])
        return result

    def keep(self, planned: Plan) -> list[Packed]:
        """Published lessons that stay as they are though the sources do not hold them: adopted ones, and what
        may lie in a folder that could not be read."""
        found = {lesson.id for lesson in planned.lessons}
        adopted = self.library.adopted()
        kept = []
        for row in self.library.lessons():
            place = (row.stage, row.subject, row.edition, row.grade + row.volume, row.unit)
            if row.id not in found and (adopted.get(row.id) or planned.may_hold(*place)):
                kept.append(self.kept(row))
        return kept

    def kept(self, row: LessonRow) -> Packed:
        """A published lesson as it is."""
        package = self.library.package(row.infohash)
        assert package is not None
        lesson = parse_lesson(self.store.read(package.lesson_root, MAX_LESSON))
        return Packed(lesson, package, self.library.package_files(row.infohash))

    def check_withdrawal(self, lessons: set[str], withdraw: bool) -> None:
        """Refuse to publish nothing, or to lose most of a library by mistake (an unplugged disk)."""
        named = "; ".join(problem.line() for problem in self.problems[:3])
        if not lessons:
            raise SourceError(f"there is no lesson to publish{': ' if named else ''}{named}")
        before = {row.id for row in self.library.lessons()}
        gone = before - lessons
        if 2 * len(gone) > len(before) and not withdraw:
            raise SourceError(
                f"{len(gone)} of {len(before)} published lessons are not in the source; if they are really to"
                " be withdrawn, add --withdraw"
            )

    def derive(
        self, planned: Plan, held: Mapping[str, FileId], deriver: Deriver
    ) -> dict[tuple[FileId, str], Made]:
        """What is made of the files that open, and its notes as problems."""
        mains = [
            (file, (held[file.node.path], suffix(file.path)))
            for lesson in planned.lessons
            for resource in lesson.resources
            for file in resource.files
            if file.role == "main" and file.node.path in held
        ]
        made = deriver.derive([key for _, key in mains])
        for file, key in mains:
            for code, what in made[key].notes if key in made else ():
                ending = "" if code == ToolError.code else "; published as it is"
                if made[key].refused:
                    ending = "; left out"
                self.problems.append(Problem(code, Problem.source(file.where, "").path, what + ending))
        return made

    def pack(
        self,
        planned: Plan,
        held: Mapping[str, FileId],
        made: Mapping[tuple[FileId, str], Made],
        now: int,
    ) -> list[Packed]:
        """Every lesson's package, in teaching order; lessons that can't be packed are named."""
        bar = self.new_bar("packing", len(planned.lessons), "lessons")
        packed = []
        try:
            for done, lesson in enumerate(sorted(planned.lessons, key=teaching_order), 1):
                try:
                    described = describe(lesson, held, made)
                    if described is None:
                        self.problems.append(Problem.source(lesson.where, "no file of it could be published"))
                    else:
                        packed.append(self.pack_one(described, now))
                except FormatError as error:
                    self.problems.append(Problem.of(lesson.where, error))
                bar.to(done)
        finally:
            bar.close()
        return packed

    def pack_one(self, lesson: Lesson, now: int) -> Packed:
        data = lesson_bytes(lesson)
        identity, leaves = self.store.admit_bytes(data)
        row = self.library.package_of(lesson.id, identity.root)
        if row is None or not self.targets_held(row):
            package = pack(lesson, (identity, leaves), self.library.leaves)
            torrent, infohash = package.torrent, package.torrent.infohash
            torrent_ref = self.put_target(f"packages/{infohash}.torrent", torrent.data)
            leaves_ref = self.put_target(f"packages/{infohash}.leaves", package.leaves)
            row = PackageRow(
                infohash,
                lesson.id,
                identity.root,
                torrent.name,
                torrent.size,
                torrent_ref.sha256,
                torrent_ref.length,
                leaves_ref.sha256,
                leaves_ref.length,
                now,
            )
            with self.library.transaction():
                self.library.put_objects([(identity, leaves)])
                self.library.put_package(row, [(entry.path, entry.file) for entry in torrent.files])
        return Packed(lesson, row, self.library.package_files(row.infohash))

    def put_target(self, path: str, data: bytes) -> TargetRef:
        """Write a target file durably, unless it is there; its name for the level above."""
        ref = TargetRef(path, len(data), hashlib.sha256(data).hexdigest())
        if not self.target_held(ref):
            write_durable(self.targets / ref.url_path, data)
        return ref

    def target_held(self, ref: TargetRef) -> bool:
        try:
            return (self.targets / ref.url_path).stat().st_size == ref.length
        except OSError:
            return False

    def targets_held(self, row: PackageRow) -> bool:
        return all(self.target_held(ref) for ref in package_refs(row))

    def index(self, packed: Sequence[Packed], added: Mapping[str, int]) -> dict[str, tuple[Subject, bytes]]:
        """Collection indexes, written; subject indexes, with their bytes, by id."""
        weeks = self.library.weeks()
        by_collection: dict[tuple[str, ...], list[Packed]] = defaultdict(list)
        for entry in packed:
            lesson = entry.lesson
            by_collection[(lesson.stage, lesson.subject, lesson.edition, lesson.grade, lesson.volume)].append(
                entry
            )
        by_subject: dict[tuple[str, str], list[CollectionRef]] = defaultdict(list)
        for place in sorted(by_collection, key=lambda place: [natural(part) for part in place]):
            stage, subject, edition, grade, volume = place
            entries = sorted(by_collection[place], key=lambda entry: teaching_order(entry.lesson))
            lessons = tuple(_entry(e, added[e.lesson.id], weeks.get(e.lesson.id)) for e in entries)
            identity = entries[0].lesson.collection
            data = dump_collection(Collection(identity, stage, subject, edition, grade, volume, lessons))
            parse_collection(data)
            ref = self.put_target(f"collections/{identity}.json", data)
            size = sum(entry.package.size for entry in entries)
            by_subject[stage, subject].append(
                CollectionRef(identity, edition, grade, volume, len(lessons), size, ref)
            )
        made = {}
        for (stage, subject), collections in by_subject.items():
            index = Subject(subject_id(stage, subject), stage, subject, tuple(collections))
            made[index.id] = (index, dump_subject(index))
        return made


def package_refs(row: PackageRow) -> tuple[TargetRef, TargetRef]:
    """A package's torrent and leaves file as a collection index names them."""
    return (
        TargetRef(f"packages/{row.infohash}.torrent", row.torrent_length, row.torrent_sha256),
        TargetRef(f"packages/{row.infohash}.leaves", row.leaves_length, row.leaves_sha256),
    )


def _entry(packed: Packed, added: int, week: int | None) -> LessonEntry:
    lesson, package = packed.lesson, packed.package
    torrent, leaves = package_refs(package)
    return LessonEntry(
        id=lesson.id,
        title=lesson.title,
        unit=lesson.unit,
        unit_no=lesson.unit_no,
        no=lesson.no,
        periods=lesson.periods,
        kinds=tuple(dict.fromkeys(resource.kind for resource in lesson.resources)),
        added=added,
        infohash=package.infohash,
        size=package.size,
        files=len(packed.files),
        torrent=torrent,
        leaves=leaves,
        week=week,
    )


def _lesson_row(packed: Packed) -> LessonRow:
    lesson = packed.lesson
    texts: dict[str, Any] = {
        key: getattr(lesson, key)
        for key in (
            "id",
            "collection",
            "title",
            "stage",
            "subject",
            "edition",
            "grade",
            "volume",
            "unit",
        )
    }
    return LessonRow(**texts, infohash=packed.package.infohash)
