"""Drop folders on any file system: scanned, read, cleared. Watching them is in watchdog.py."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field

from content_sync.adapters.archives import PORTION, Cursor, Member, list_members
from content_sync.adapters.objects import open_regular
from content_sync.errors import DropError
from content_sync.formats.hashtree import BLOCK
from content_sync.ports import DropFolder, DropStat

_log = logging.getLogger(__name__)
#: Local file systems whose changes the kernel reports, whoever makes them, and whose inodes last. All others
#: (shares, FUSE, FAT on sticks) are looked through by the clock.
_WATCHABLE = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "nilfs2", "zfs", "bcachefs", "tmpfs", "ramfs")
    + ("overlay", "squashfs", "erofs")
)
#: A share that does not answer for so long is passed over until it does.
_PATIENCE = 5.0
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL)
_BETWEEN = "//"


def file_system(path: str) -> str:
    """Type of the file system that an absolute path lies on, as the kernel calls it; empty when unknown. A
    share whose server is gone is told without being touched."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
        kind = _mounted(mounts, path)
        return _mounted(mounts, os.path.realpath(path)) if kind in _WATCHABLE else kind
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return ""


def _mounted(mounts: list[str], path: str) -> str:
    best, kind = "", ""
    for line in mounts:
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # the later mount hides the earlier
            best, kind = point, right.split(" ")[0]
    return kind


def local(path: str) -> bool:
    """Whether the kernel reports changes there, whoever makes them, and inodes last."""
    return file_system(path) in _WATCHABLE


class _Folder(Struct):
    """A configured folder and how it was found last."""

    path: str
    delete: bool
    polled: bool = False
    problem: str = ""
    shared: int | None = None  # the device of the share that was mounted here
    probe: threading.Thread | None = None
    refused: list[str] = field(default_factory=list)


class Folders:
    """ports.Drops over folders or single files, without watching: `hint` is true once.

    `delete`: those of them where consumed files are deleted. `poll`: none is watched.
    """

    def __init__(self, folders: Sequence[Path], delete: Sequence[Path] = (), poll: bool = False) -> None:
        gone = {os.path.abspath(folder) for folder in delete}
        self._folders = [
            _Folder(path, path in gone) for path in dict.fromkeys(os.path.abspath(f) for f in folders)
        ]
        self._poll = poll
        self._changed = threading.Event()
        self._changed.set()
        self._archive: tuple[tuple[str, int, int], dict[str, Member]] | None = None
        self._cursor: tuple[str, Cursor] | None = None

    def hint(self) -> bool:
        """Whether anything may have changed since the last call."""
        changed = self._changed.is_set()
        self._changed.clear()
        return changed

    def folders(self) -> list[DropFolder]:
        """How each was found last."""
        return [DropFolder(f.path, f.polled, f.problem, f.delete) for f in self._folders]

    # Looking

    def scan(self) -> Iterator[DropStat]:
        """Every regular file, links not followed; a path that is not Unicode is passed over."""
        self._let_go()
        for folder in self._folders:
            if self._look_at(folder):
                yield from self._walk(folder)

    def _look_at(self, folder: _Folder) -> bool:
        """Find out what kind of folder it is now, and whether it can be looked through."""
        folder.refused.clear()
        kind = file_system(folder.path)
        folder.polled = self._poll or kind not in _WATCHABLE
        if folder.polled and not self._answers(folder):
            folder.problem = "does not answer"
            return False
        try:
            device = os.stat(folder.path).st_dev
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            folder.problem = getattr(error, "strerror", None) or "no such folder"
            return False
        if kind in _WATCHABLE and folder.shared not in (None, device):
            folder.problem = "the share that was mounted here is gone"
            return False
        if kind not in _WATCHABLE:
            folder.shared = device
        folder.problem = ""
        return True

    def _answers(self, folder: _Folder) -> bool:
        """A share whose server is gone can hold a caller for minutes: ask in a thread of its own."""

        def probe() -> None:
            try:
                with os.scandir(folder.path) as entries:
                    next(entries, None)
            except (OSError, ValueError):
                return

        if folder.probe is None:
            folder.probe = threading.Thread(target=probe, daemon=True, name="drop folder")
            folder.probe.start()
            folder.probe.join(_PATIENCE)
        if folder.probe.is_alive():
            return False
        folder.probe = None
        return True

    def _walk(self, folder: _Folder) -> Iterator[DropStat]:
        queue = [folder.path]
        while queue:
            top = queue.pop()
            try:
                entries = os.scandir(top)
            except NotADirectoryError:
                yield from _stat(top, folder.polled)
                continue
            except OSError as error:
                if error.errno not in _GONE:
                    folder.refused.append(top)
                    folder.problem = f"{error.strerror}: {top}"
                continue
            with entries:
                while True:
                    try:
                        entry = next(entries)
                        if entry.is_dir(follow_symlinks=False):
                            queue.append(entry.path)
                        elif entry.is_file(follow_symlinks=False):
                            yield from _stat(entry.path, folder.polled)
                    except StopIteration:
                        break
                    except OSError as error:
                        folder.problem = f"{error.strerror}: {top}"
                        break

    # Reading

    def portions(self, path: str, first: int = 0) -> Iterator[bytes]:
        """The file's bytes. What vanished is an end."""
        try:
            if _BETWEEN in path:
                cursor = self._member(path)
                while cursor is not None and (data := cursor.blocks(first, PORTION)):
                    yield data
                    first += PORTION
                return
            with open_regular(path) as stream:
                at, rest = first * BLOCK, b""
                while data := os.pread(stream.fileno(), PORTION * BLOCK - len(rest), at):
                    at += len(data)
                    data = rest + data
                    whole = len(data) // BLOCK * BLOCK
                    if whole:
                        yield data[:whole] if whole < len(data) else data
                    rest = data[whole:]
                if rest:
                    yield rest
        except OSError as error:
            if error.errno not in _GONE:
                raise DropError(f"{path}: {error.strerror}") from None

    def block(self, path: str, index: int, count: int = 1) -> bytes | None:
        """Some blocks, or None."""
        try:
            if _BETWEEN in path:
                cursor = self._member(path)
                return cursor.blocks(index, count) if cursor is not None else None
            with open_regular(path) as stream:
                return os.pread(stream.fileno(), count * BLOCK, index * BLOCK)
        except OSError:
            return None

    def small(self, path: str, cap: int) -> bytes | None:
        """All bytes of a small file, or None."""
        data = self.block(path, 0, cap // BLOCK + 1)
        return data if data and len(data) <= cap else None

    # Archives

    def members(self, stat: DropStat) -> tuple[list[DropStat], str]:
        """What an archive holds; archives in it are files like others."""
        if _BETWEEN in stat.path:
            return [], ""
        try:
            found, left_out = self._index(stat.path)
        except OSError as error:
            return [], f"{error.strerror}"
        return [
            DropStat(stat.path + _BETWEEN + name, member.size, stat.mtime_ns, stat.inode)
            for name, member in found.items()
        ], left_out

    def _index(self, path: str) -> tuple[dict[str, Member], str]:
        with open_regular(path) as stream:
            now = os.fstat(stream.fileno())
            found, left_out = list_members(stream.fileno(), now.st_size)
        named = {member.name: member for member in found}
        self._archive = (path, now.st_size, now.st_mtime_ns), named
        return named, left_out

    def _member(self, path: str) -> Cursor | None:
        if self._cursor is not None and self._cursor[0] == path:
            return self._cursor[1]
        self._let_go()
        container, _, name = path.partition(_BETWEEN)
        stream = open_regular(container)
        try:
            now = os.fstat(stream.fileno())
            key = (container, now.st_size, now.st_mtime_ns)
            if self._archive is None or self._archive[0] != key:
                self._index(container)
            assert self._archive is not None
            member = self._archive[1].get(name)
            if member is None:
                return None
            cursor = Cursor(os.dup(stream.fileno()), member)
        finally:
            stream.close()
        self._cursor = (path, cursor)
        return cursor

    def _let_go(self) -> None:
        if self._cursor is not None:
            self._cursor[1].close()
            self._cursor = None

    # Clearing

    def remove(self, stat: DropStat) -> bool:
        """Delete a consumed file, never one that is another than it was or that someone writes to."""
        folder = next((f for f in self._folders if stat.path.startswith(f.path + "/")), None)
        if folder is None or not folder.delete:
            return False
        try:
            with open_regular(stat.path) as stream:
                now = os.fstat(stream.fileno())
                same = (now.st_size, now.st_mtime_ns) == (stat.size, stat.mtime_ns)
                if not same or stat.inode not in (0, now.st_ino) or _written_to(stream.fileno()):
                    return False
                os.unlink(stat.path)
        except FileNotFoundError:
            return True
        except OSError as error:
            _log.warning("%s is consumed and can't be deleted: %s", stat.path, error.strerror)
            return False
        return True

    def close(self) -> None:
        """Let everything go."""
        self._let_go()


def _written_to(descriptor: int) -> bool:
    """Whether someone holds the file open to write, where the kernel can tell: a read lease is refused
    then (fcntl(2))."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _stat(path: str, polled: bool) -> list[DropStat]:
    try:
        path.encode("utf-8")
        found = os.lstat(path)
    except (OSError, UnicodeEncodeError):
        return []
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return []
    return [DropStat(path, found.st_size, found.st_mtime_ns, 0 if polled else found.st_ino)]
