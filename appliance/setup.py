"""`lessonbox init`: a data folder from an enrolment file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from appliance.config import BOX_SETTINGS, BoxPaths
from content_sync.adapters.files import make_folder, read_capped, storage_errors, write_durable
from content_sync.adapters.keys import BoxKey
from content_sync.adapters.tuf import Trust
from content_sync.errors import EnrolError
from content_sync.formats.canonical import dump
from content_sync.formats.enrolment import MAX_ENROLMENT, Enrolment, parse_enrolment
from content_sync.settings import toml_value


def initialise(data: Path, enrolment_file: Path) -> dict[str, Any]:
    """Make a box's data folder, or complete one that was begun with the same enrolment. Nothing is
    overwritten.

    Raises EnrolError for what is no enrolment file or another box's, SignatureError, StorageError.
    """
    content = read_capped(enrolment_file, MAX_ENROLMENT)
    enrolment = parse_enrolment(content)
    if enrolment.claim is None:
        raise EnrolError(f"{enrolment_file} has no claim any more: it was used")
    Trust.from_root(dump(enrolment.root))
    paths = BoxPaths(data)
    if paths.enrolment.exists():
        _check_same(parse_enrolment(read_capped(paths.enrolment, MAX_ENROLMENT)), enrolment)
    with storage_errors(str(data)):
        for folder in (paths.drop, paths.incoming, paths.objects, paths.partial, paths.trust):
            make_folder(folder)
        make_folder(paths.key.parent, 0o700)
    if not paths.key.exists():
        BoxKey.make(paths.key)
    if not paths.config.exists():
        write_durable(paths.config, _config(enrolment).encode())
    if not paths.enrolment.exists():
        write_durable(paths.enrolment, content, 0o600)
    return {"box": enrolment.box, "county": enrolment.county, "data": str(data), "urls": list(enrolment.urls)}


def _check_same(here: Enrolment, there: Enrolment) -> None:
    if (here.box, here.county, here.root) != (there.box, there.county, there.root):
        raise EnrolError(f"this folder is already box {here.box} of {here.county}, and stays it")
    if here.claim is not None and here.claim != there.claim:
        raise EnrolError(f"box {here.box} was enrolled with another claim")


def _config(enrolment: Enrolment) -> str:
    lines = [
        f"# box.toml of {enrolment.box}. Take the # from a line to change it; docs/settings.md lists all.",
        "",
    ]
    for setting in BOX_SETTINGS:
        unit = f" ({setting.unit})" if setting.unit else ""
        lines += [f"# {setting.help}{unit}", f"#{setting.name} = {toml_value(setting.default)}", ""]
    return "\n".join(lines)
