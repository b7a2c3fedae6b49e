"""Which files of a package this box fetches, as the county's policy says."""

from __future__ import annotations

from content_sync.core import renditions
from content_sync.engine.refresh import Refresh
from content_sync.engine.targets import Package
from content_sync.errors import LessonBoxError
from content_sync.formats import lesson
from content_sync.formats.policy import Policy
from content_sync.formats.update import is_update
from content_sync.ports import Store


class Choosing:
    """Call it with a package: the paths that are chosen. Where the paths alone don't tell, lesson.json is
    fetched first, and the rest chosen by it."""

    def __init__(self, store: Store, refresh: Refresh) -> None:
        self._store, self._refresh = store, refresh

    def __call__(self, package: Package) -> frozenset[str]:
        envelope, description = self._refresh.envelope, package.description
        policy = envelope.policy if envelope else Policy()
        paths = frozenset(file.path for file in package.torrent.files)
        if description is None or renditions.plain(policy) or is_update(package.entry.id):
            return renditions.full_paths(paths)
        if not self._store.has_object(description):
            return frozenset((lesson.NAME,))
        try:
            made = lesson.parse_lesson(self._store.read_object(description, lesson.MAX_LESSON))
        except LessonBoxError:  # it is named when it is to be shown
            return renditions.full_paths(paths)
        return renditions.paths_of(renditions.choose(made, policy)) & paths
