"""What a person with the PIN asks of the other programs: rest for a while, begin anew (formats.md 10)."""

from __future__ import annotations

from pathlib import Path

from content_sync.adapters.files import read_capped, storage_errors, write_durable
from content_sync.errors import LessonBoxError
from content_sync.formats.canonical import check_format, dump, load
from content_sync.ports import Clock

PAUSE = "lessonbox-pause/1"
#: No pause is longer: who forgets it finds the lessons here tomorrow.
LONGEST = 12 * 3600
#: The programs that can be asked to begin anew.
PROGRAMS = ("sync", "agent")
_MAX = 4096


def pause(incoming: Path, clock: Clock, seconds: int) -> None:
    """Fetch nothing from afar for so long, at most until the machine starts again; 0: go on. Raises
    StorageError, DiskFullError."""
    path = incoming / "pause.json"
    if seconds <= 0:
        with storage_errors(path.name):
            path.unlink(missing_ok=True)
        return
    until = int(clock.monotonic()) + min(seconds, LONGEST)
    write_durable(path, dump({"format": PAUSE, "boot": clock.boot_id(), "until": until}))


def pause_left(incoming: Path, clock: Clock) -> int:
    """Seconds that a pause still holds; 0: none does."""
    try:
        said = load(read_capped(incoming / "pause.json", _MAX), _MAX)
        check_format(said, PAUSE)
    except LessonBoxError:
        return 0
    until = said.get("until")
    if said.get("boot") != clock.boot_id() or type(until) is not int:
        return 0
    left = until - clock.monotonic()
    return int(left) if 0 < left <= LONGEST else 0


def ask_restart(incoming: Path, program: str) -> None:
    """Leave word that a program is to begin anew. Raises StorageError."""
    assert program in PROGRAMS
    with storage_errors(program):
        (incoming / f"restart-{program}").touch()


def restart_asked(incoming: Path, program: str) -> bool:
    """Whether that word was left; it is taken away, so that it is followed once."""
    try:
        (incoming / f"restart-{program}").unlink()
    except OSError:
        return False
    return True
