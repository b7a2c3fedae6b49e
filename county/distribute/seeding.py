"""Keeps the seeder in step with what is asked for: a package is loaded when a box asks for it, and let go
when nobody has asked for some time. What the library holds beside costs neither memory nor time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from content_sync.adapters.files import read_capped
from content_sync.adapters.libtorrent.seeder import Seeder
from content_sync.errors import LessonBoxError, TorrentError
from content_sync.formats import torrent
from county.config import CountyPaths
from county.library import Library, PackageRow
from county.publish.store import object_path

#: After a failure nobody makes the seeder try the same package again for so long.
_RETRY_SECONDS = 30.0
_STEP_SECONDS = 1.0
_NEW_SECONDS = 14 * 86_400
_MOST_SHOWN, _MOST_FAILED = 5, 1_000


class SeedingOptions(Struct, frozen=True):
    """`most` packages loaded at once; `keep`: seconds after which one that nobody asked for is let go;
    `super_seeding`: whether a new lesson may be sent so."""

    most: int = 2_000
    keep: float = 900.0
    super_seeding: bool = True


class Seeding:
    """`load` what is asked for; call `step` every second or two. `wall`: unix seconds, for the age of
    lessons."""

    def __init__(
        self,
        paths: CountyPaths,
        library: Library,
        seeder: Seeder,
        options: SeedingOptions,
        wall: Callable[[], float],
    ) -> None:
        self._paths, self._library, self._seeder = paths, library, seeder
        self._options, self._wall = options, wall
        self._asked: dict[str, float] = {}  # loaded packages, the longest unasked first
        self._made: dict[str, int] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._problems: list[str] = []
        self._release_state = self._release()
        self._step_due = 0.0

    def load(self, prefix: bytes, near: int, seeds: int, now: float) -> bool:
        """Somebody asks for the package whose infohash begins so; whether it is served now. Quick, and never
        raises for a package that is not here or damaged.

        `near`: how many at one public address lack something of it; `seeds`: boxes that have it all; `now`:
        monotonic seconds.
        """
        infohash = self._seeder.named(prefix.hex()) or self._load(prefix.hex(), now)
        if infohash is None:
            return False
        self._asked.pop(infohash, None)
        self._asked[infohash] = now
        new = 0 <= self._wall() - self._made[infohash] < _NEW_SECONDS
        if self._options.super_seeding and new and near > 1 and not seeds:
            self._seeder.super_seed(infohash, True)
        return True

    def _load(self, prefix: str, now: float) -> str | None:
        try:
            package = self._library.published(prefix)
            if package is None or self._failed.get(package.infohash, (0.0, ""))[0] > now:
                return None
        except LessonBoxError as error:
            self._note(error.line())
            return None
        while len(self._asked) >= self._options.most:
            self._let_go(self._least_wanted())
        try:
            self._add(package)
        except LessonBoxError as error:
            self._fail(package.infohash, f"{error.code} {package.infohash[:16]}: {error.what}", now)
            return None
        self._failed.pop(package.infohash, None)
        self._made[package.infohash] = package.made
        return package.infohash

    def _least_wanted(self) -> str:
        busy = {entry.infohash for entry in self._seeder.served() if entry.peers}
        return next((key for key in self._asked if key not in busy), next(iter(self._asked)))

    def _let_go(self, infohash: str) -> None:
        self._seeder.remove(infohash)
        self._asked.pop(infohash, None)
        self._made.pop(infohash, None)

    def _fail(self, infohash: str, what: str, now: float) -> None:
        self._failed.pop(infohash, None)
        self._failed[infohash] = now + _RETRY_SECONDS, what
        if len(self._failed) > _MOST_FAILED:
            del self._failed[next(iter(self._failed))]

    def _note(self, line: str) -> None:
        self._problems = [*self._problems, line][-_MOST_SHOWN:]

    def step(self, now: float) -> None:
        """Look after what is loaded. `now`: monotonic seconds."""
        for line in self._seeder.poll(now):
            self._note(line)
        for prefix in self._seeder.knocks():
            self.load(prefix, 0, 0, now)
        for infohash, what in self._seeder.damaged().items():
            # Its objects must be mended first: until then boxes have each other, and the web seed for what is
            # whole of it.
            self._let_go(infohash)
            self._fail(infohash, f"E-STORAGE {infohash[:16]}: {what}", now)
        if now < self._step_due:
            return
        self._step_due = now + _STEP_SECONDS
        served = {entry.infohash: entry for entry in self._seeder.served()}
        for infohash in self._seeder.super_seeding():
            entry = served.get(infohash)
            # Not before all have gone: libtorrent 2.1.1 would leave a peer to which it has shown nothing yet
            # without any piece for ever.
            if entry is not None and not entry.peers:
                self._seeder.super_seed(infohash, False)
        for infohash, asked in list(self._asked.items()):
            if now - asked <= self._options.keep:
                break
            if infohash in served and served[infohash].peers:
                self._asked.pop(infohash)
                self._asked[infohash] = now
            else:
                self._let_go(infohash)
        state = self._release()
        if state != self._release_state:
            self._release_state = state
            for infohash in list(self._asked):
                if self._library.published(infohash) is None:
                    self._let_go(infohash)

    def figures(self, wall: int) -> dict[str, Any]:
        """For the status page and for whoever looks at work/seeder.json."""
        served = sorted(self._seeder.served(), key=lambda entry: -entry.uploaded)
        return {
            "time": wall,
            "port": self._seeder.port(),
            "torrents": len(self._asked),
            "peers": sum(entry.peers for entry in served),
            "uploaded": self._seeder.uploaded(),
            "rate": sum(entry.rate for entry in served),
            "packages": [asdict(entry) for entry in served[:100]],
            "problems": [*[what for _, what in self._failed.values()][-_MOST_SHOWN:], *self._problems],
        }

    def _release(self) -> object:
        """Changes with every release."""
        try:
            found = (self._paths.public / "metadata" / "timestamp.json").stat()
        except OSError:
            return self._library.newest_release(), None
        return self._library.newest_release(), (found.st_mtime_ns, found.st_ino)

    def _add(self, package: PackageRow) -> None:
        name = f"{package.torrent_sha256}.{package.infohash}.torrent"
        data = read_capped(self._paths.public / "targets" / "packages" / name, torrent.MAX_TORRENT)
        if hashlib.sha256(data).hexdigest() != package.torrent_sha256:
            raise TorrentError(f"{name} is damaged")
        listed = self._library.package_files(package.infohash)
        objects = {path: object_path(self._paths.objects, file.root) for path, file in listed.items()}
        self._seeder.add(data, objects)
