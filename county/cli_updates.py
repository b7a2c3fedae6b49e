"""`county system-update`: programs and whole systems for boxes, in the release like any lesson."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from content_sync.terminal import absolute_or_none
from county.cli_options import data_option, json_option

if TYPE_CHECKING:
    from county.publish.updates import Listed

_PILOT = "Only for boxes that try updates first (`county policy --updates pilot`)."
date_option = click.option(
    "--allow-date", is_flag=True, help="The date of this computer is right, though far from the last."
)


@click.group("system-update")
def system_update() -> None:
    """Updates of the boxes' own programs."""


@system_update.command("publish")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@data_option
@click.option(
    "--root-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    callback=absolute_or_none,
    help="The root key, from its safe.  [default: <data>.root-key.pem]",
)
@click.option("--pilot", is_flag=True, help=_PILOT)
@date_option
@json_option
def publish(
    files: tuple[Path, ...], data: Path, root_key: Path | None, pilot: bool, allow_date: bool, as_json: bool
) -> None:
    """Sign each FILE.update with the root key and put it into a new release, beside the lessons.

    Check first where it came from: what is signed here runs as root on every box. Boxes take it by every
    road, install it while nobody teaches, try it, and go back by themselves where it fails.
    """
    import time

    from content_sync.terminal import Progress, show, size_text
    from county.config import CountyPaths, load_settings
    from county.publish.updates import publish_update
    from county.setup import default_root_key

    paths, settings = CountyPaths(data), load_settings(data)
    key, made = root_key or default_root_key(data), []
    for file in files:
        done, one = publish_update(
            paths, settings, file.absolute(), key, time.time, Progress, pilot, allow_date
        )
        made.append({"release": done.release, **_plain(one)})
    show(
        {"updates": made},
        as_json,
        lambda r: "\n".join(
            f"release {it['release']}: {it['for']} {it['version']}, {size_text(it['size'])}"
            + (", for pilot schools" if it["pilot"] else "")
            for it in r["updates"]
        ),
    )


@system_update.command("list")
@data_option
@json_option
def list_(data: Path, as_json: bool) -> None:
    """The updates that the release holds."""
    import time

    from content_sync.terminal import Progress, show, size_text
    from county.config import CountyPaths, load_settings
    from county.publish.updates import list_updates

    found = list_updates(CountyPaths(data), load_settings(data), time.time, Progress)
    show(
        {"updates": [_plain(one) for one in found]},
        as_json,
        lambda r: (
            "\n".join(
                f"{it['for']} {it['version']} (number {it['number']}), {size_text(it['size'])}"
                + (", for pilot schools" if it["pilot"] else "")
                for it in r["updates"]
            )
            or "none"
        ),
    )


@system_update.command("withdraw")
@click.argument("kind", metavar="FOR")
@data_option
@click.option("--pilot", is_flag=True, help=_PILOT)
@date_option
@json_option
def withdraw(kind: str, data: Path, pilot: bool, allow_date: bool, as_json: bool) -> None:
    """Take the update for these machines (like system-arm64) out of the release. Boxes that have taken it
    stay as they are: a box goes on to a higher number only."""
    import time

    from content_sync.terminal import Progress, show
    from county.config import CountyPaths, load_settings
    from county.publish.updates import withdraw_update

    done = withdraw_update(
        CountyPaths(data), load_settings(data), kind, time.time, Progress, pilot, allow_date
    )
    show(
        {"release": done.release, "for": kind, "pilot": pilot},
        as_json,
        lambda r: f"release {r['release']}: no update for {r['for']}",
    )


@system_update.command("reports")
@data_option
@json_option
def reports(data: Path, as_json: bool) -> None:
    """What boxes have told of updates: who runs which, who went back and why."""
    from content_sync.terminal import show
    from county.config import CountyPaths, load_settings
    from county.library import Library
    from county.receive.database import Reader

    paths = CountyPaths(data)
    load_settings(data)
    with Library.open(paths.library_db) as library:
        schools = {row.id: row.school_name for row in library.boxes()}
    reader, found = Reader(paths.reports_db), []
    if paths.reports_db.is_file() and reader.all("SELECT 1 FROM sqlite_master WHERE name = 'updated'"):
        found = reader.all("SELECT box, number, version, well, why, at FROM updated ORDER BY number, box")
    keys = ("box", "number", "version", "well", "why", "at")
    rows = [dict(zip(keys, row, strict=True)) | {"school": schools.get(row[0], "")} for row in found]
    show(
        {"updates": [row | {"well": bool(row["well"])} for row in rows]},
        as_json,
        lambda r: (
            "\n".join(
                f"{it['version']} {it['box']} {it['school']}: "
                + ("well" if it["well"] else f"went back ({it['why']})")
                for it in r["updates"]
            )
            or "none"
        ),
    )


def _plain(one: Listed) -> dict[str, Any]:
    update = one.update
    return {
        "for": update.kind,
        "number": update.number,
        "version": update.version,
        "size": one.size,
        "pilot": one.pilot,
        "lesson": one.lesson,
    }
