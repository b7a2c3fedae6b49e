"""`lessonbox init`: a data folder from an enrolment file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from appliance.config import BOX_SETTINGS, BoxPaths
from appliance.sticks import mounted
from content_sync.adapters.files import make_folder, read_capped, storage_errors, write_durable
from content_sync.errors import EnrolError, LessonBoxError, NotFoundError, StorageError
from content_sync.formats.canonical import dump
from content_sync.formats.enrolment import MAX_ENROLMENT, Enrolment, parse_enrolment
from content_sync.settings import toml_value

_MOST_FILES = 200
#: In a data folder that is only memory (images/files/usr/lib/lessonbox/data puts it there).
_NOT_KEPT = "not-kept"


def forgets(data: Path) -> bool:
    """Whether this data folder is only memory: the disk that it belongs on did not come up."""
    return (data / _NOT_KEPT).exists()


def initialise(data: Path, enrolment_file: Path) -> dict[str, Any]:
    """Make a box's data folder, or complete one that was begun with the same enrolment. Nothing is
    overwritten.

    Raises EnrolError for what is no enrolment file or another box's, SignatureError, StorageError.
    """
    content = read_capped(enrolment_file, MAX_ENROLMENT)
    enrolment = usable(content, str(enrolment_file))
    enrol(data, content)
    return {"box": enrolment.box, "county": enrolment.county, "data": str(data), "urls": list(enrolment.urls)}


def usable(content: bytes, name: str) -> Enrolment:
    """An enrolment file's content, if a box can be enrolled with it. Raises EnrolError, FormatError,
    SignatureError."""
    enrolment = parse_enrolment(content)
    if enrolment.claim is None:
        raise EnrolError(f"{name} has no claim any more: it was used")
    from content_sync.adapters.tuf import Trust  # heavy, and web holds this module for one rare page

    Trust.from_root(dump(enrolment.root))
    return enrolment


def enrol(data: Path, content: bytes) -> Enrolment:
    """The same with the file's content. Safe to repeat after a power cut at any step: the enrolment itself
    is written last. Raises as `initialise`, and StorageError where nothing is kept."""
    enrolment, paths = usable(content, "the enrolment file"), BoxPaths(data)
    if forgets(data):
        raise StorageError("this box keeps nothing now: the claim would be used up and the key lost")
    if paths.enrolment.exists():
        _check_same(parse_enrolment(read_capped(paths.enrolment, MAX_ENROLMENT)), enrolment)
    _folders(paths)
    if not paths.key.exists():
        from content_sync.adapters.keys import BoxKey

        BoxKey.make(paths.key)
    if not paths.config.exists():
        write_durable(paths.config, _config(enrolment.box).encode())
    if not paths.enrolment.exists():
        write_durable(paths.enrolment, content, 0o600)
    return enrolment


def blank(data: Path) -> None:
    """A data folder of a box that is not enrolled yet: web alone runs on it. An existing one stays as it
    is. Raises DiskFullError, StorageError."""
    paths = BoxPaths(data)
    _folders(paths)
    if not paths.config.exists():
        write_durable(paths.config, _config("a box that is not enrolled yet").encode())


def _folders(paths: BoxPaths) -> None:
    with storage_errors(str(paths.data)):
        for folder in (paths.drop, paths.incoming, paths.objects, paths.partial, paths.trust):
            make_folder(folder)
        make_folder(paths.key.parent, 0o700)


def _check_same(here: Enrolment, there: Enrolment) -> None:
    if (here.box, here.county, here.root) != (there.box, there.county, there.root):
        raise EnrolError(f"this folder is already box {here.box} of {here.county}, and stays it")
    if here.claim is not None and here.claim != there.claim:
        raise EnrolError(f"box {here.box} was enrolled with another claim")


def _config(whose: str) -> str:
    lines = [
        f"# box.toml of {whose}. Take the # from a line to change it; docs/settings.md lists all.",
        "",
    ]
    for setting in BOX_SETTINGS:
        unit = f" ({setting.unit})" if setting.unit else ""
        lines += [f"# {setting.help}{unit}", f"#{setting.name} = {toml_value(setting.default)}", ""]
    return "\n".join(lines)


def enrolments(folder: Path) -> list[tuple[Path, Enrolment]]:
    """The enrolment files with a claim at the top of a stick or a card, by name; what is none is passed
    over."""
    found = []
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".json" and not p.is_symlink())
    except OSError:
        return []
    for path in paths[:_MOST_FILES]:
        with suppress(LessonBoxError, OSError):
            if path.is_file():
                found.append((path, usable(read_capped(path, MAX_ENROLMENT), path.name)))
    return found


class SetupByPage:
    """web.enrol.Enrolling for the box whose data folder this is."""

    def __init__(self, data: Path, folders: Sequence[str]) -> None:
        self._data, self._paths, self._folders = data, BoxPaths(data), folders

    def needed(self) -> bool:
        """Whether nobody has enrolled this box."""
        return not self._paths.enrolment.exists()

    def offers(self) -> list[tuple[str, Enrolment]]:
        """What lies on sticks: stick/file and what it says."""
        return [
            (f"{stick.name}/{path.name}", enrolment)
            for stick in mounted(self._folders)
            for path, enrolment in enrolments(Path(stick.path))
        ]

    def take_from(self, name: str) -> Enrolment:
        """Enrol with the file of that name. Raises NotFoundError, and as `enrol`."""
        for stick in mounted(self._folders):
            for path, _ in enrolments(Path(stick.path)):
                if f"{stick.name}/{path.name}" == name:
                    return self.take(read_capped(path, MAX_ENROLMENT))
        raise NotFoundError("no such enrolment file is plugged in")

    def take(self, content: bytes) -> Enrolment:
        """Enrol with a file's content. Raises EnrolError when it is done already, and as `enrol`."""
        if not self.needed():
            raise EnrolError("this box is enrolled already, and stays it")
        return enrol(self._data, content)
