"""`county calendar`: a teaching calendar from a table into a signed release of the same lessons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from content_sync.settings import Settings
from county.config import CountyPaths
from county.library import Library
from county.publish.calendar import Calendar, read_calendar
from county.publish.derive import NewBar
from county.publish.publish import Published, Run, alone
from county.publish.scan import teaching_order
from county.publish.sheet import read_rows
from county.publish.signing import Repository
from county.publish.store import Store


def set_calendar(
    paths: CountyPaths,
    settings: Settings,
    file: Path,
    clock: Callable[[], float],
    new_bar: NewBar,
    allow_date: bool = False,
) -> tuple[Published, Calendar]:
    """Sign the library again with the weeks of `file` in place of those of the collections that it names.

    Raises SourceError when nothing in it is a lesson of the library, NotFoundError, TooBigError, BusyError,
    ClockError, DiskFullError, StorageError; then the old calendar stands.
    """
    rows = read_rows(file)
    with alone(paths), Library.open(paths.library_db, write=True) as library:
        repository = Repository(paths.public, paths.keys, settings.number("expire_days"))
        run = Run(paths, library, repository, Store(paths.objects, paths.work / "publish"), clock, new_bar)
        packed = [run.kept(row) for row in library.lessons()]
        packed.sort(key=lambda entry: teaching_order(entry.lesson))
        calendar = read_calendar(rows, [entry.lesson for entry in packed], file.name)
        ours = [e.lesson.id for e in packed if e.lesson.collection in calendar.collections]
        before = library.weeks()
        with library.transaction():
            library.set_weeks(calendar.weeks, ours)
        try:
            return run.release(packed, int(clock()), allow_date, 0), calendar
        except BaseException:
            with library.transaction():
                library.set_weeks({key: before[key] for key in ours if key in before}, ours)
            raise
