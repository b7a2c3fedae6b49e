"""Local lessons (本校资料): files that teachers add become lessons of the school's own (formats.md 15).

The record local/<id>/lesson.json is what lasts; it is written before the bytes that it names are moved, and
says where they lie until they are: so a crash at any point leaves an upload, a resource that is not shown
yet, or a whole one. state.db follows the records.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator

from msgspec import Struct
from msgspec.structs import replace

from content_sync.core.renditions import narrow
from content_sync.engine.local_files import AT_ONCE, Bringing, Taken
from content_sync.engine.problems import Problems
from content_sync.errors import (
    DiskFullError,
    FormatError,
    LessonBoxError,
    LocalError,
    NotFoundError,
)
from content_sync.formats.hashtree import FileId, Hasher
from content_sync.formats.lesson import KINDS, STEPS, Lesson, Resource
from content_sync.formats.local import (
    ANY_GRADE,
    MOST_FILES,
    MOST_LESSONS,
    Heading,
    LocalLesson,
    LocalRequest,
    clean,
    dump_local,
    lesson_of,
    package_of,
    parse_local,
    with_heading,
)
from content_sync.formats.paths import check_path
from content_sync.ports import Clock, Drops, LocalStore, State, Store


class LocalAsked(Struct):
    """A request; `name` is that of its file. `done` once it was carried out or refused (then a problem says
    why)."""

    request: LocalRequest
    name: str
    done: bool = False


class _Job(Struct):
    """Work on one request: a generator that rests after each slice."""

    asked: LocalAsked | None
    steps: Generator[None, None, None]
    subject: str = ""


class Locals:
    """Carries out requests one after the other, in slices, and keeps state.db true to the records."""

    def __init__(
        self,
        kept: LocalStore,
        drops: Drops,
        state: State,
        store: Store,
        clock: Clock,
        problems: Problems,
        reserve: int,
    ) -> None:
        self._kept, self._state, self._store = kept, state, store
        self._clock, self._problems = clock, problems
        self._asked: deque[LocalAsked] = deque()
        self._job: _Job | None = None
        self._unfinished: deque[str] = deque()
        self._lessons: dict[str, LocalLesson] = {}
        self._unreadable: set[str] = set()
        self._bringing = Bringing(kept, drops, state, store, reserve)
        self._seen = -1
        self._lacks = False

    # The records

    def begin(self) -> None:
        """Make state.db what the records say. Files on their way go on in the next steps."""
        self._lessons, self._unreadable = {}, set()
        for identity, data in self._kept.records().items():
            try:
                local = parse_local(data or b"")
                if local.lesson.id != identity:
                    raise FormatError(f"the record of {identity} is that of {local.lesson.id}")
            except FormatError as error:
                self._unreadable.add(identity)
                self._problems.note(f"local/{identity}", LocalError(error.what))
                continue
            self._lessons[identity] = local
            if local.uploads:
                self._unfinished.append(identity)
        known = {one.row.id for one in self._state.local_lessons()}
        self._free(known - self._lessons.keys() - self._unreadable)
        self._kept.tidy(place for one in self._lessons.values() for place in one.uploads.values())
        for local in self._lessons.values():
            self._put(local)
        self._state.set_status({"local_unreadable": sorted(self._unreadable)})

    @property
    def holds(self) -> bool:
        """Whether nothing may be deleted as unwanted: a record that can't be read may name it."""
        return bool(self._unreadable)

    def show(self) -> None:
        """Show what is whole of each lesson, name what the disk has lost; when that may have changed."""
        if self._seen == self._state.generation() and not self._lacks:
            return
        lacking = self._state.local_lacking()
        self._lacks = any(lacking.values())
        shown = {one.row.id: one for one in self._state.local_lessons()}
        for identity, local in self._lessons.items():
            row = shown.get(identity)
            visible = self._visible(local, lacking.get(identity, frozenset()))
            package = None if visible is None else package_of(visible)
            if row is None or row.row.present != package or row.row.wanted != local.package:
                self._put(local)
        self._seen = self._state.generation()

    def _visible(self, local: LocalLesson, lacking: frozenset[str]) -> Lesson | None:
        """The resources all of whose files are here; the lesson itself where nothing lacks."""
        lesson = local.lesson
        if not lacking:
            return lesson if lesson.resources else None
        whole = [r for r in lesson.resources if not any(entry.file.root in lacking for entry in r.files)]
        paths = [entry.path for resource in whole for entry in resource.files]
        return narrow(lesson, paths) if whole else None

    def _put(self, local: LocalLesson) -> None:
        """Tell state.db of a lesson as it is on the disk."""
        lesson = local.lesson
        lacking = frozenset(file.root for file in _files(lesson) if not self._state.has_object(file))
        self._state.put_local(local, self._visible(local, lacking), int(self._clock.wall()))
        gone = lacking.difference(local.uploads)
        lost = [r.title for r in lesson.resources if any(e.file.root in gone for e in r.files)]
        if lost:
            what = f"{', '.join(lost)[:200]}: the disk has lost it, and only this box had it"
            self._problems.note(lesson.title, LocalError(what))
        else:
            self._problems.solved(lesson.title, LocalError.code)

    def _write(self, local: LocalLesson) -> None:
        data = dump_local(local)
        parse_local(data)  # what could not be read again is never written
        self._kept.write(local.lesson.id, data)
        self._lessons[local.lesson.id] = local

    def _free(self, lessons: set[str]) -> None:
        for file in self._state.drop_local(sorted(lessons)):
            self._store.remove_object(file.root)

    # Requests

    def ask(self, request: LocalRequest, name: str) -> LocalAsked:
        """Do it in the next steps; `name` tells this request from others, also after a restart."""
        asked = LocalAsked(request, name)
        self._asked.append(asked)
        return asked

    @property
    def pending(self) -> bool:
        """Whether `step` has something to do."""
        return self._job is not None or bool(self._asked) or bool(self._unfinished)

    def step(self) -> None:
        """A slice."""
        if self._job is None:
            self._job = self._next()
        if self._job is None:
            self.show()
            return
        job = self._job
        try:
            next(job.steps)
            return
        except StopIteration:
            if job.subject:
                self._problems.solved(job.subject, DiskFullError.code)
        except (FormatError, NotFoundError) as error:  # none of the county's: neither mends nor clears it
            self._problems.note(job.subject or "local", LocalError(error.what))
        except LessonBoxError as error:
            self._problems.note(job.subject or "local", error)
        self._job = None
        if job.asked is not None:
            job.asked.done = True

    def _next(self) -> _Job | None:
        if self._unfinished:
            local = self._lessons.get(self._unfinished.popleft())
            return _Job(None, self._finish(local), local.lesson.title) if local is not None else None
        if not self._asked:
            return None
        unfinished = [name for name, local in self._lessons.items() if local.uploads]
        if unfinished:  # an error of the disk got in the way
            self._unfinished.extend(unfinished)
            return self._next()
        asked = self._asked.popleft()
        request = asked.request
        known = self._lessons.get(request.lesson)
        subject = request.heading.title if request.heading else known.lesson.title if known else "local"
        return _Job(asked, self._carry_out(request, asked.name), subject)

    def _carry_out(self, request: LocalRequest, name: str) -> Generator[None, None, None]:
        if request.do == "delete":
            self._kept.remove(request.lesson)
            self._lessons.pop(request.lesson, None)
            self._unreadable.discard(request.lesson)
            self._problems.solved(f"local/{request.lesson}")
            self._free({request.lesson})
            self._state.set_status({"local_unreadable": sorted(self._unreadable)})
            return
        if request.lesson in self._unreadable:
            raise LocalError(f"the record of {request.lesson} can't be read: delete it, then add it again")
        if request.do == "import":
            yield from self._import(request, name)
        elif request.do == "basket":
            self._basket(request)
        elif request.do == "add":
            yield from self._add(request, name)
        else:
            local = self._known(request.lesson)
            changed = replace(local, offered=request.offered)
            if request.do == "edit":
                changed = self._edited(local, request)
            if changed != local:
                self._write(changed)
                self._put(changed)
                self._clear(local, changed)

    def _known(self, identity: str) -> LocalLesson:
        found = self._lessons.get(identity)
        if found is None:
            raise LocalError(f"{identity} is no lesson of this school")
        return found

    def _begun(self, request: LocalRequest) -> LocalLesson:
        """The lesson to add to, made when it is new."""
        found = self._lessons.get(request.lesson)
        if found is not None:
            return found
        if len(self._lessons) >= MOST_LESSONS:
            raise LocalError(f"the school has {MOST_LESSONS} lessons of its own: take some away first")
        if request.heading is None:
            raise LocalError(f"{request.lesson} is no lesson of this school")
        return LocalLesson(lesson_of(request.lesson, request.heading), int(self._clock.wall()))

    @staticmethod
    def _edited(local: LocalLesson, request: LocalRequest) -> LocalLesson:
        assert request.heading is not None
        lesson = with_heading(local.lesson, request.heading)
        order = {identity: place for place, (identity, _, _) in enumerate(request.order)}
        said = {identity: (kind, clean(title)) for identity, kind, title in request.order}
        resources = []
        for resource in sorted(lesson.resources, key=lambda r: order.get(r.id, len(order))):
            if resource.id in request.removed:
                continue
            kind, title = said.get(resource.id, (resource.kind, resource.title))
            # what runs stays what it is: no name makes a courseware of a file, or the other way round
            if kind not in KINDS or "interactive" in (kind, resource.kind):
                kind = resource.kind
            step = resource.step if kind == resource.kind else KINDS[kind][1]
            resources.append(replace(resource, kind=kind, step=step, title=title or resource.title))
        kept = {resource.id for resource in resources}
        return replace(
            local,
            lesson=replace(lesson, resources=tuple(resources)),
            taken={resource: pair for resource, pair in local.taken.items() if resource in kept},
        )

    def _clear(self, before: LocalLesson, after: LocalLesson) -> None:
        """Give back the space of files that this change took out of a lesson."""
        gone = _files(before.lesson) - _files(after.lesson)
        wanted = self._state.referenced()
        free = [file.root for file in gone if file.root not in wanted]
        self._state.forget_objects(free)
        for root in free:
            self._store.remove_object(root)

    # Files

    def _add(self, request: LocalRequest, name: str) -> Generator[None, None, None]:
        local = self._begun(request)
        held = {resource.id for resource in local.lesson.resources}
        if len(held) + len(request.files) > MOST_FILES:
            raise LocalError(f"a lesson holds at most {MOST_FILES} files")
        taken, refused, spoilt = Taken(), None, list[str]()
        for number, source in enumerate(request.files):
            identity = f"f-{name}-{number}"
            if identity in held:
                continue  # this request was carried out so far before
            before = len(taken.copies)
            try:
                yield from self._bringing.take(identity, source, taken)
            except (LocalError, NotFoundError, FormatError) as error:
                yield from self._bringing.drop(taken.copies[before:])
                refused = LocalError(f"{clean(source.name, 60)}: {error.what}")  # the others are kept
                if source.kind_of_source == "upload":
                    spoilt.append(self._kept.uploaded(source.where))
            except LessonBoxError:  # a full disk is no refusal: uploads stay
                yield from self._bringing.drop(taken.copies)
                raise
        if taken.places:  # also of what is here already: the disk may have lost it
            known = {_content(resource) for resource in local.lesson.resources}
            unlike = {_content(one): one for one in taken.resources if _content(one) not in known}
            more = sorted(unlike.values(), key=lambda resource: STEPS.index(resource.step))
            lesson = replace(local.lesson, resources=(*local.lesson.resources, *more))
            local = replace(local, lesson=lesson, uploads={**local.uploads, **taken.places})
            self._write(local)
        for place in taken.spare:
            self._kept.drop(place)
        yield from self._finish(local)
        yield from self._bringing.drop(spoilt)  # not before: the request may name an upload twice
        if refused is not None:
            raise refused

    def _finish(self, local: LocalLesson) -> Generator[None, None, None]:
        """Make every file that the record names an object, then show the lesson. Nothing is believed: what
        lies there is hashed once more where this program did not do it just now."""
        if not local.uploads:
            return
        self._put(local)  # from here on its files are protected
        objects = self._state.objects()
        sizes = {file.root: file for file in _files(local.lesson)}
        for root, place in local.uploads.items():
            file = sizes.get(root)
            if file is not None and objects.get(root) != file.length:
                known = self._bringing.hashed.get(place) == file
                if self._kept.size(place) == file.length:
                    self._kept.arrive(place, file)
                if known or (yield from self._arrived(file)):
                    self._store.admit(file)
                    self._state.add_object(file, int(self._clock.wall()))
            yield
        for place in local.uploads.values():
            self._bringing.hashed.pop(place, None)
            self._kept.drop(place)
        local = replace(self._lessons.get(local.lesson.id, local), uploads={})
        self._write(local)
        self._put(local)

    def _arrived(self, file: FileId) -> Generator[None, None, bool]:
        """Whether the arriving file is what its name says, read from the disk."""
        hasher, left = Hasher(), AT_ONCE
        for data in self._store.partial_blocks(file.root):
            hasher.update(data)
            left -= len(data)
            if left <= 0:
                left = AT_ONCE
                yield
        return hasher.finish()[0] == file

    # Baskets, and lessons from other boxes

    def _basket(self, request: LocalRequest) -> None:
        """A lesson of resources that are here: the same files by root, no byte is copied."""
        assert request.heading is not None
        before = self._lessons.get(request.lesson)
        if before is not None and not before.basket:
            raise LocalError(f"{request.lesson} is no basket")
        held = {r.id: r for r in before.lesson.resources} if before else {}
        resources: list[Resource] = []
        taken: dict[str, tuple[str, str]] = {}
        for pair in dict.fromkeys(request.items):
            identity = "b-" + hashlib.sha256("/".join(pair).encode()).hexdigest()[:16]
            lesson = self._state.present_lesson(pair[0])
            found = next((r for r in lesson.resources if r.id == pair[1]), None) if lesson else None
            if found is None:
                if identity in held:  # its lesson was withdrawn: what the basket keeps stays
                    resources.append(held[identity])
                    taken[identity] = pair
                continue
            files = tuple(replace(e, path=check_path(f"{identity}/{e.path}")) for e in found.files)
            resources.append(replace(found, id=identity, files=files))
            taken[identity] = pair
        if not resources:
            raise LocalError("nothing that is in the basket is here")
        local = replace(
            self._begun(request),
            basket=True,
            lesson=lesson_of(request.lesson, request.heading, tuple(resources)),
            taken=taken,
        )
        self._write(local)
        self._put(local)
        if before is not None:
            self._clear(before, local)

    def _import(self, request: LocalRequest, name: str) -> Generator[None, None, None]:
        """A local lesson of another box, from a stick."""
        place, data = self._kept.package(request.path)
        local = parse_local(data)
        if local.lesson.id != request.lesson or not local.lesson.resources:
            raise LocalError("the stick holds another lesson than was asked for")
        before = self._lessons.get(request.lesson)
        if before is not None and not before.origin:
            return  # our own, come home
        head = Heading(local.lesson.title, local.lesson.subject, local.lesson.grade or ANY_GRADE)
        objects, places = self._state.objects(), dict[str, str]()
        for number, file in enumerate(sorted(_files(local.lesson))):
            if objects.get(file.root) == file.length:
                continue
            copy = f"i-{name}-{number}"
            places[file.root] = self._kept.copied(copy)
            try:
                found = yield from self._bringing.copy(copy, self._kept.parts(place, file), file.length)
                if found != file:
                    raise LocalError(f"a file of {local.lesson.title} is damaged on the stick")
            except LessonBoxError:
                yield from self._bringing.drop(places.values())
                raise
        fresh = replace(
            local,
            lesson=with_heading(local.lesson, head),
            added=int(self._clock.wall()),
            offered=False,
            origin=local.origin or "stick",
            uploads=places,
        )
        self._write(fresh)
        yield from self._finish(fresh)
        if before is not None:
            self._clear(before, fresh)


def _content(resource: Resource) -> tuple[tuple[str, str], ...]:
    """Names and roots of its files, without the folder that is named after the resource."""
    return tuple((entry.path.partition("/")[2], entry.file.root) for entry in resource.files)


def _files(lesson: Lesson) -> set[FileId]:
    return {entry.file for resource in lesson.resources for entry in resource.files}
