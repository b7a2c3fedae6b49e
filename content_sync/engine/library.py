"""The release that the box follows, and the descriptions of its packages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set

from msgspec.structs import replace

from content_sync.engine.offers import Offer
from content_sync.engine.problems import Problems
from content_sync.engine.refresh import Refresh
from content_sync.engine.targets import Catalogue, Package, Targets
from content_sync.errors import FormatError, LessonBoxError, TrustError
from content_sync.formats.collection import LessonEntry
from content_sync.formats.policy import Policy
from content_sync.ports import State


class Library:
    """Entries by infohash; `blocked` are packages that can't be had, with the error's code, until the release
    changes."""

    def __init__(self, state: State, targets: Targets, refresh: Refresh, problems: Problems) -> None:
        self._state, self._targets, self._refresh, self._problems = state, targets, refresh, problems
        self.entries: dict[str, LessonEntry] = {}
        self.blocked: dict[str, str] = {}
        #: Takes what is here of a package before anything is asked for (engine/reuse.py); once a run.
        self.fill: Callable[[Package], object] = lambda package: None
        self._filled: set[str] = set()
        #: The paths of a package that this box fetches (engine/choosing.py).
        self.choose: Callable[[Package], frozenset[str]] = lambda package: frozenset(
            file.path for file in package.torrent.files
        )
        #: The collections of updates that this machine takes by a policy (formats.md 18).
        self.updates: Callable[[Policy], tuple[str, ...]] = lambda policy: ()
        #: Neither trust nor policy has changed since this pair was applied.
        self._followed: tuple[int, tuple[str, ...]] | None = None

    @property
    def current(self) -> bool:
        """Whether the newest accepted release is the one that is followed; never before there is one."""
        return self._followed is not None and self._followed == self._newest()

    def _newest(self) -> tuple[int, tuple[str, ...]] | None:
        trust, envelope = self._refresh.trust, self._refresh.envelope
        if not trust.release:
            return None
        patterns = envelope.collections if envelope else ("*",)
        return trust.timestamp_version, (*patterns, *self.updates(envelope.policy if envelope else Policy()))

    def begin(self) -> None:
        """Follow what was applied last, as far as it is on the disk."""
        catalogue = self._targets.applied()
        if catalogue is not None:
            self._adopt(catalogue)
        self.follow(())

    def follow(self, offers: Sequence[Offer]) -> bool:
        """Make the newest accepted release the wanted one once all of its indexes are here; whether lessons
        changed."""
        newest = self._newest()
        if newest is None or newest == self._followed:
            return False
        trust = self._refresh.trust
        catalogue = self._targets.catalogue(trust.release, trust.subjects, newest[1], offers)
        if catalogue is None:
            return False
        changed = self._targets.apply(catalogue, trust.subjects) or not self.entries
        if changed:
            self._adopt(catalogue)
        self._followed = newest
        return changed

    def _adopt(self, catalogue: Catalogue) -> None:
        gone = {entry.title for entry in self.entries.values()}
        self.entries = {
            entry.infohash: entry for collection in catalogue.collections for entry in collection.lessons
        }
        self.blocked = {infohash: why for infohash, why in self.blocked.items() if infohash in self.entries}
        for title in gone - {entry.title for entry in self.entries.values()}:
            self._problems.solved(title)

    def drop(self, infohash: str) -> None:
        """A lesson that was only kept (not subscribed to) has gone."""
        self.entries.pop(infohash, None)

    def block(self, infohash: str, error: LessonBoxError) -> None:
        """This package can't become a lesson, whatever comes."""
        self._problems.note(self.entries[infohash].title, error)
        self.blocked[infohash] = error.code

    def package(self, infohash: str, offers: Sequence[Offer] = ()) -> Package | None:
        """A package described; None when its description is not to be had now, or it is blocked."""
        entry = self.entries.get(infohash)
        if entry is None or infohash in self.blocked:
            return None
        try:
            package = self._targets.package(entry, offers)
        except (FormatError, TrustError) as error:
            self.block(infohash, error)
            return None
        if package is not None:
            chosen = self._state.set_files(package.torrent, self.choose(package))
            if len(chosen) < len(package.torrent.files):
                package = replace(package, chosen=chosen)
            if infohash not in self._filled:
                self._filled.add(infohash)
                self.fill(package)
        return package

    def describe_all(self, offers: Sequence[Offer], among: Iterable[str] | None = None) -> list[str]:
        """Describe every package (or those `among` all) whose description lies here; infohashes of those that
        are new."""
        known = self._state.described()
        names = list(self.entries) if among is None else among
        return [name for name in names if name not in known and self.package(name, offers) is not None]

    def lists_any(self, infohash: str, leaves: Set[bytes]) -> bool:
        """Whether a package whose description is here holds one of these blocks."""
        entry = self.entries.get(infohash)
        return entry is not None and self._targets.lists_any(entry, leaves)
