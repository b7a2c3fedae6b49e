"""Running other programs on files that nobody vouches for: no shell, a time-out, bounds."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from content_sync.adapters.files import make_folder, storage_errors
from content_sync.errors import DiskFullError

_KILL = 9
_MOST_OUTPUT = 1 << 20
_MOST_MEMORY = 4 << 30
_MOST_FILE = 1 << 30
_SPARE = 32 << 20
# Debian package -> its program, how that tells its version, and the part of it that lies beside the program.
_PACKAGES = {
    "libreoffice-impress": ("soffice", "--version", "libsdlo.so"),
    "libreoffice-writer": ("soffice", "--version", "libswlo.so"),
    "poppler-utils": ("pdftoppm", "-v", None),
    "ffmpeg": ("ffprobe", "-version", None),
}


class Ran(Struct, frozen=True):
    """How a program ended. `code` is None when it was stopped; `said`: what it printed last; `free`: bytes
    that the disk had left for it then."""

    code: int | None
    out: bytes
    said: str
    free: int = 0

    @property
    def sure(self) -> bool:
        """Whether the same would happen again: it ended by itself, and had room for whatever it may write."""
        return self.code is not None and self.code >= 0 and self.free >= _MOST_FILE

    @property
    def starved(self) -> bool:
        """Whether it may have failed for want of space. LibreOffice ends with 0 then."""
        return self.code is not None and self.free < _SPARE


class Tools:
    """The programs that derive files, found on PATH. For several threads."""

    def __init__(self, work: Path, seconds: float = 600, path: str | None = None) -> None:
        """`work`: where private folders are made; `seconds`: time-out of a run; `path`: instead of $PATH."""
        self._work, self._seconds = work, seconds
        self._path = path if path is not None else os.environ.get("PATH", os.defpath)
        self._versions: dict[str, str | None] = {}
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._stopped = False

    def version(self, package: str) -> str | None:
        """A Debian package of `_PACKAGES` and its version; None when it is not installed."""
        if package not in self._versions:
            self._versions[package] = self._ask_version(package)
        return self._versions[package]

    def _ask_version(self, package: str) -> str | None:
        program, argument, part = _PACKAGES[package]
        found = shutil.which(program, path=self._path)
        if not found:
            return None
        beside = Path(found).resolve().parent
        parts = {p for _, _, p in _PACKAGES.values() if p and (beside / p).exists()}
        if part and parts and part not in parts:
            return None
        with self.folder() as folder:
            ran = self.run([program, argument], folder)
        number = re.search(r"\d+(\.\d+)+", ran.out.decode("utf-8", "replace") + ran.said)
        return f"{package} {number[0]}" if number and ran.code is not None and ran.code >= 0 else None

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A private folder that is gone afterwards, on the library's file system."""
        with storage_errors("the work folder"):
            make_folder(self._work)
            made = tempfile.mkdtemp(prefix="tool-", dir=self._work)
        try:
            yield Path(made)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def run(self, command: Sequence[str], folder: Path) -> Ran:
        """Run a program with `folder` as its place, home and temporary folder. Raises DiskFullError."""
        program = shutil.which(command[0], path=self._path)
        if program is None:
            return Ran(None, b"", "is not installed")
        environment = {
            "PATH": self._path,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            # Nothing here needs the network; a document that asks for it gets none.
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
        }
        with tempfile.TemporaryFile(dir=folder) as out, tempfile.TemporaryFile(dir=folder) as said:
            try:
                process = subprocess.Popen(
                    [program, *command[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=said,
                    cwd=folder,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                return Ran(None, b"", str(error.strerror or error))
            code = self._wait(process)
            out.seek(0)
            said.seek(0, os.SEEK_END)
            said.seek(max(0, said.tell() - 4000))
            last = said.read().decode("utf-8", "replace").strip()
            ran = Ran(code, out.read(_MOST_OUTPUT), last, shutil.disk_usage(folder).free)
        if code != 0 and ran.free < _SPARE:
            raise DiskFullError(f"no space left for {command[0]}")
        return ran

    def _wait(self, process: subprocess.Popen[bytes]) -> int | None:
        with self._guard:
            self._running.add(process)
            stopped = self._stopped
        try:
            for limit, most in ((resource.RLIMIT_AS, _MOST_MEMORY), (resource.RLIMIT_FSIZE, _MOST_FILE)):
                try:
                    resource.prlimit(process.pid, limit, (most, most))
                except (ProcessLookupError, PermissionError):
                    break  # it has ended, or may not be bounded by this user: the time-out holds
            code: int | None = process.wait(timeout=0 if stopped else self._seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
            with self._guard:
                self._running.discard(process)
        return code

    def stop(self) -> None:
        """End what runs; what is started from now on ends at once."""
        with self._guard:
            self._stopped = True
            running = list(self._running)
        for process in running:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, _KILL)  # its session holds what it started, too
    except ProcessLookupError:
        pass
    process.wait()
