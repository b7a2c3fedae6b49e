"""A USB stick or disc: the bag on it as ports.Stick, and finding what lies on it for an import."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from content_sync.adapters.drops import Folders
from content_sync.adapters.files import (
    cut,
    edited,
    make_durable,
    make_folder,
    opened,
    read_capped,
    remove,
    storage_error,
    storage_errors,
    sync_folder,
    write_at,
    write_durable,
)
from content_sync.adapters.objects import open_regular, read_blocks
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import FormatError, LessonBoxError, NotFoundError, StorageError
from content_sync.formats import bag
from content_sync.formats.request import (
    ENDING,
    MAX_REQUEST,
    Request,
    Rest,
    dump_rest,
    parse_request,
    parse_rest,
)
from content_sync.ports import DropStat

_PORTION = 1 << 20
#: Written and not yet synced: little enough that the bar tells the truth and an unplugged stick is noticed.
_DIRTY = 64 << 20
_MOST_UP = 1000
_MOST_FILES, _MOST_DEPTH = 1_000_000, 64


class FolderStick:
    """ports.Stick over `<top>/lessonbox/down` or another folder of it. `top` must stay on the file system it
    is on now: a mount point whose stick was pulled out is an empty folder of the machine's own disk."""

    def __init__(self, top: Path, folder: str = bag.DOWN) -> None:
        with storage_errors(str(top)):
            self._device = os.stat(top).st_dev
        self._top, self._folder = top, top / folder
        self._checked: set[Path] = set()

    def _there(self) -> None:
        try:
            if os.stat(self._top).st_dev == self._device:
                return
        except OSError:
            pass
        raise StorageError(f"{self._top} is no longer there: it was pulled out")

    def _place(self, path: str) -> Path:
        """Where a file is to be written: in real folders of the medium; a link that is there goes."""
        self._there()
        target = self._folder / path
        if target.parent not in self._checked:
            there = target.parent
            while not os.path.lexists(there):
                there = there.parent
            real = self._top.resolve() / there.relative_to(self._top)
            if there.resolve() != real or os.stat(real).st_dev != self._device:
                raise StorageError(f"{there} is a link or another file system: it is not written to")
            make_folder(target.parent)
            self._checked.add(target.parent)
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(target).st_mode):
                remove(target)
        return target

    def free(self) -> int:
        """Bytes free for an ordinary user."""
        self._there()
        with storage_errors("the stick"):
            found = os.statvfs(self._top)
        return found.f_bavail * found.f_frsize

    def cost(self, size: int) -> int:
        """Rounded up to clusters, and one more for its name."""
        with storage_errors("the stick"):
            cluster = os.statvfs(self._top).f_frsize or 4096
        return (-(-size // cluster) + 1) * cluster

    def files(self) -> dict[str, int]:
        """Every regular file of the bag."""
        found: dict[str, int] = {}
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = os.path.join(folder, name)
                with suppress(OSError):
                    held = os.lstat(path)
                    if stat.S_ISREG(held.st_mode):
                        found[os.path.relpath(path, self._folder).replace(os.sep, "/")] = held.st_size
        return found

    def read(self, path: str, cap: int) -> bytes | None:
        """A file's bytes, or None."""
        try:
            return read_capped(self._folder / path, cap)
        except NotFoundError:
            return None

    def blocks(self, path: str, cold: bool = False) -> Iterator[bytes]:
        """A file's bytes."""
        with storage_errors(path):
            if cold:
                with open_regular(self._folder / path) as stream:
                    os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            yield from read_blocks(self._folder / path)

    def put(self, path: str, data: bytes) -> None:
        """Write durably."""
        with storage_errors(path):
            target = self._place(path)
        write_durable(target, data)

    def append(self, path: str, data: bytes) -> None:
        """Add to the end, fsync."""
        with storage_errors(path):
            with edited(self._place(path)) as descriptor:
                write_at(descriptor, data, os.fstat(descriptor).st_size)
                make_durable(descriptor)

    def write(self, path: str, blocks: Iterable[bytes]) -> None:
        """Write anew, synced every 64 MiB."""
        with storage_errors(path):
            target = self._place(path)
        try:
            self._write(target, blocks)
        except Exception as error:
            with suppress(OSError):
                remove(target)
            if isinstance(error, OSError):
                raise storage_error(error, path) from error
            raise

    def _write(self, target: Path, blocks: Iterable[bytes]) -> None:
        at = dirty = 0
        portion = bytearray()
        with edited(target) as descriptor:
            cut(descriptor, 0)
            for data in blocks:
                portion += data
                if len(portion) >= _PORTION:
                    write_at(descriptor, bytes(portion), at)
                    at, dirty = at + len(portion), dirty + len(portion)
                    portion.clear()
                    if dirty >= _DIRTY:
                        self._there()
                        make_durable(descriptor)
                        dirty = 0
            write_at(descriptor, bytes(portion), at)

    def flush(self, paths: Iterable[str]) -> None:
        """fsync of each file, then of each folder."""
        self._there()
        folders: dict[Path, None] = {}
        with storage_errors("the stick"):
            for path in paths:
                with opened(self._folder / path) as descriptor:
                    make_durable(descriptor)
                folders[(self._folder / path).parent] = None
            for folder in folders:
                sync_folder(folder)

    def remove(self, paths: Iterable[str]) -> None:
        """Delete, then fsync of each folder."""
        self._there()
        folders: dict[Path, None] = {}
        with storage_errors("the stick"):
            for path in paths:
                target = self._folder / path
                if target.parent.is_dir():
                    remove(target)
                    folders[target.parent] = None
            for folder in folders:
                sync_folder(folder)


class ObjectFolder:
    """ports.Objects over a store; `place` gives an object's path."""

    def __init__(self, place: Callable[[str], Path]) -> None:
        self._place = place

    def blocks(self, root: str, first: int) -> Iterator[bytes]:
        """An object's bytes from a block on."""
        with storage_errors(root):
            yield from read_blocks(self._place(root), first)


class StickFiles(Folders):
    """What lies on a stick, disc or folder, looked through once: files and folders as named, links and other
    file systems that are mounted below left out, so many files and so deep at most."""

    def scan(self) -> Iterator[DropStat]:
        """Every regular file, found while it is iterated."""
        self._let_go()
        left = _MOST_FILES
        for folder in self._folders:
            queue = [(folder.path, 0)]
            while queue and left:
                path, depth = queue.pop()
                try:
                    found = os.lstat(path)
                    if stat.S_ISDIR(found.st_mode) and depth <= _MOST_DEPTH:
                        with os.scandir(path) as entries:
                            names = [entry.path for entry in entries if _on(entry, found.st_dev)]
                        queue += [(name, depth + 1) for name in sorted(names, reverse=True)]
                    elif stat.S_ISREG(found.st_mode) and found.st_size:
                        path.encode("utf-8")
                        left -= 1
                        yield DropStat(path, found.st_size, found.st_mtime_ns, 0)
                except (OSError, ValueError):
                    continue  # gone, unreadable, or a name that no state.db could keep


def _on(entry: os.DirEntry[str], device: int) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_dev == device
    except OSError:
        return False


def find_bag(path: Path) -> Path | None:
    """The bag of ours that lies at `path`: the stick's top, its folder `lessonbox`, or the bag itself; whole
    or not finished. None when there is none."""
    for folder in (path / bag.DOWN, path / Path(bag.DOWN).name, path):
        if not (folder / bag.DATA).is_dir():
            continue
        if (folder / bag.WRITING).is_file():
            return folder
        with suppress(NotFoundError, FormatError, StorageError):
            bag.check_info(read_capped(folder / bag.INFO, _PORTION))
            return folder
    return None


def bag_stages(folder: Path, state: StateReader) -> Iterator[list[Path]]:
    """What to read of a bag, in stages that build on one another: signed metadata and indexes, then the
    descriptions of lessons that lack, then the files that lack. `state` is asked anew before each stage, so
    that nothing is read that is here already. Names are all that is believed: what they hold is checked."""
    yield [place for name in ("metadata", "indexes") if (place := folder / bag.DATA / name).is_dir()]
    described = state.described()
    wanted = [row.wanted for row in state.lessons() if not row.complete and row.wanted not in described]
    names = [bag.package_path(infohash, kind) for infohash in wanted for kind in ("torrent", "leaves")]
    yield _present(folder, names)
    lacking = {root for roots in state.lacking().values() for root in roots}
    found: list[Path] = []
    for below in sorted({bag.object_path(root).rpartition("/")[0] for root in lacking}):
        with suppress(OSError):
            for name in sorted(os.listdir(folder / below)):
                part = bag.part_of(f"{below}/{name}")
                if part is not None and part[0] in lacking:
                    found.append(folder / below / name)
    yield found


def _present(folder: Path, names: Sequence[str]) -> list[Path]:
    return [place for name in names if (place := folder / name).is_file()]


def read_requests(top: Path) -> tuple[list[Request], list[tuple[str, LessonBoxError]]]:
    """The requests that lie on a stick, one a box, and what is wrong with others. Links are not followed."""
    found: dict[str, Request] = {}
    odd: list[tuple[str, LessonBoxError]] = []
    for path in upward(top, ENDING):
        try:
            request = parse_request(read_capped(path, MAX_REQUEST))
            found[request.box] = request
        except LessonBoxError as error:
            odd.append((path.name, error))
    return list(found.values()), odd


def upward(top: Path, ending: str) -> list[Path]:
    """Regular files of what goes up on a stick, by their names' ending; at most a thousand."""
    found: list[Path] = []
    with suppress(OSError):
        for name in sorted(os.listdir(top / bag.UP)):
            path = top / bag.UP / name
            if name.endswith(ending) and stat.S_ISREG(os.lstat(path).st_mode):
                found.append(path)
    return found[:_MOST_UP]


def write_rest(path: Path | None, rest: Rest) -> None:
    """Keep what did not fit for the next stick, or forget the file when nothing is left."""
    if path is None:
        return
    if rest.lessons:
        write_durable(path, dump_rest(rest))
    else:
        with storage_errors(path.name):
            path.unlink(missing_ok=True)


def read_rest(path: Path | None) -> Rest | None:
    """What an earlier stick left over; None when there is no such file. Raises FormatError, TooBigError."""
    if path is None:
        return None
    try:
        return parse_rest(read_capped(path, 8 * MAX_REQUEST))
    except NotFoundError:
        return None
