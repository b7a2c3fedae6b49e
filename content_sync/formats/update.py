"""A system update: its signed manifest, and where it stands in a release (formats.md 18)."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from content_sync.errors import FormatError
from content_sync.formats.canonical import check_format, dump, load, need, need_hex
from content_sync.formats.lesson import Lesson, Resource, ResourceFile
from content_sync.formats.paths import check_component, collection_id, lesson_id, subject_id
from content_sync.formats.policy import Policy

FORMAT = "lessonbox-update/1"
UPDATE_TYPE = "application/vnd.lessonbox.update+json"
#: The file of an update's package that is signed with the root key.
MANIFEST = "update.json"
#: Of the payload; and of the signed file that holds it.
MAX_UPDATE = 256 << 10
MAX_SIGNED = 512 << 10
MAX_FILES = 500
MAX_FILE = 8 << 30
#: What the file of a whole system is called; of an app the pins, beside wheels.
SYSTEM, PINS = "system.img.xz", "requirements.txt"

#: An update is a lesson of a place that no library has: it comes by every road that lessons come by.
STAGE, SUBJECT = "系统", "课箱"
UPDATES = subject_id(STAGE, SUBJECT)
_FOR = re.compile(r"(system-(amd64|arm64))|(app-(amd64|arm64)-3[0-9]{2})")


class UpdateFile(Struct, frozen=True):
    """A file of an update as it lies; `raw`: length and SHA-256 of what it is unpacked, where it is
    packed."""

    name: str
    root: str
    size: int
    sha256: str
    raw: tuple[int, str] | None = None


class Update(Struct, frozen=True):
    """`kind`: the machines that it is for (`system-amd64`, `app-arm64-313`). `number` rises with each
    update of a kind; `version` is for people."""

    kind: str
    number: int
    version: str
    files: tuple[UpdateFile, ...]

    @property
    def is_system(self) -> bool:
        """Whether it is a whole system, not the programs alone."""
        return self.kind.startswith("system-")


def check_kind(text: str) -> str:
    """A kind; returns it. Raises FormatError."""
    if not _FOR.fullmatch(text):
        raise FormatError(f"not a kind of update: {text[:60]!r}")
    return text


def update_collection(kind: str, pilot: bool = False) -> str:
    """Id of the collection that holds the newest update of a kind, for all boxes or those that try it
    first."""
    return collection_id(STAGE, SUBJECT, kind, _grade(pilot), "")


def _grade(pilot: bool) -> str:
    return "试点" if pilot else "正式"


def is_update(collection: str) -> bool:
    """Whether a collection (or lesson, by its id) is one of updates."""
    return collection.startswith(UPDATES + "-")


def dump_update(update: Update) -> bytes:
    """The payload that is signed."""
    files: list[dict[str, Any]] = []
    for file in update.files:
        made: dict[str, Any] = {
            "name": file.name,
            "root": file.root,
            "size": file.size,
            "sha256": file.sha256,
        }
        if file.raw is not None:
            made["raw"] = {"size": file.raw[0], "sha256": file.raw[1]}
        files.append(made)
    facts = {"for": update.kind, "number": update.number, "version": update.version}
    return dump({"format": FORMAT, **facts, "files": files})


def parse_update(data: bytes) -> Update:
    """Read and check a payload whose signature holds. Raises FormatError, PathError, TooBigError."""
    obj = load(data, MAX_UPDATE)
    check_format(obj, FORMAT)
    number, version = need(obj, "number", int), need(obj, "version", str)
    if not 0 < number < 1 << 53 or not 0 < len(version) <= 100 or not version.isprintable():
        raise FormatError("the update's number or version is damaged")
    values = need(obj, "files", list)
    if not 0 < len(values) <= MAX_FILES:
        raise FormatError(f"an update of {len(values)} files")
    files = tuple(map(_file, values))
    names = [file.name for file in files]
    if len({name.casefold() for name in names}) < len(names) or MANIFEST in names:
        raise FormatError("two files of the update have one name")
    update = Update(check_kind(need(obj, "for", str)), number, version, files)
    if update.is_system and (names != [SYSTEM] or files[0].raw is None or files[0].raw[0] % 4096):
        raise FormatError(f"a system is one {SYSTEM}, unpacked whole blocks of 4096 bytes")
    if not update.is_system and (PINS not in names or not all(map(_of_app, names))):
        raise FormatError(f"the programs are wheels and {PINS}")
    return update


def _of_app(name: str) -> bool:
    return name == PINS or name.endswith(".whl")


def _file(value: object) -> UpdateFile:
    raw = None
    if isinstance(value, dict) and value.get("raw") is not None:
        raw = _size(value["raw"]), need_hex(value["raw"], "sha256", 64)
    name = check_component(need(value, "name", str))
    return UpdateFile(name, need_hex(value, "root", 64), _size(value), need_hex(value, "sha256", 64), raw)


def _size(value: object) -> int:
    size: int = need(value, "size", int)
    if not 0 < size <= MAX_FILE:
        raise FormatError(f"a file of {size} bytes in an update")
    return size


def update_lesson(update: Update, files: tuple[ResourceFile, ...], pilot: bool) -> Lesson:
    """The lesson that carries an update; `files`: the manifest first, as its main."""
    collection = update_collection(update.kind, pilot)
    return Lesson(
        id=lesson_id(collection, "", "update"),
        collection=collection,
        stage=STAGE,
        subject=SUBJECT,
        edition=update.kind,
        grade=_grade(pilot),
        volume="",
        unit="",
        unit_no=None,
        no=None,
        title=f"{update.kind} {update.version}",
        periods=1,
        resources=(Resource("update", "other", "read", update.version, "application/json", files),),
    )


def update_patterns(kind: str, policy: Policy) -> tuple[str, ...]:
    """The collections of updates that a machine takes by its policy's `updates`: absent, `pilot` or
    `hold`."""
    told = policy.other.get("updates")
    if not kind or told == "hold":
        return ()
    first = (update_collection(kind, True),) if told == "pilot" else ()
    return (*first, update_collection(kind))
