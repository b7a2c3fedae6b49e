"""The verbs of `county` (contract.md). Each imports what it runs only when it runs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from content_sync.settings import help_text
from content_sync.terminal import absolute, absolute_or_none
from county.cli_flash import COMMANDS as FLASH_COMMANDS
from county.cli_options import data_option, json_option
from county.cli_updates import system_update
from county.config import COUNTY_SETTINGS

if TYPE_CHECKING:
    from county.publish.publish import Published


@click.group(epilog=help_text(COUNTY_SETTINGS, "county.toml"))
@click.version_option(package_name="lessonbox")
def cli() -> None:
    """The county's side of Lesson Box (课箱): publish lessons, serve boxes, count usage."""


for _command in (*FLASH_COMMANDS, system_update):
    cli.add_command(_command)


@cli.command()
@data_option
@click.option("--name", required=True, help="The county's name, as boxes and pages show it.")
@click.option(
    "--url",
    "urls",
    multiple=True,
    required=True,
    help="Where boxes reach this county, like http://HOST:PORT; may be given again, the best first.",
)
@click.option(
    "--root-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the root key is written.  [default: <data>.root-key.pem]",
)
@click.option("--admin-password", help="Password of the staff account `admin`.  [default: a random one]")
@json_option
def init(
    data: Path,
    name: str,
    urls: tuple[str, ...],
    root_key: Path | None,
    admin_password: str | None,
    as_json: bool,
) -> None:
    """Make a county: keys, settings, database."""
    import time

    from content_sync.terminal import show
    from county import setup
    from county.config import CountyPaths

    made = setup.init(CountyPaths(data), name, urls, int(time.time()), root_key, admin_password)
    show(
        {
            "data": str(data.absolute()),
            "root_key": str(made.root_key),
            "account": made.account,
            "password": made.password,
        },
        as_json,
        lambda r: (
            f"county made in {r['data']}\n"
            f"staff account: {r['account']}, password: {r['password']} (shown this once)\n"
            f"root key: {r['root_key']}\n"
            "Move the root key to a USB stick now and lock it in a safe: it is needed only to change keys,"
            " and who has it can speak for the county."
        ),
    )


@cli.command()
@click.argument(
    "sources",
    metavar="SOURCE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@data_option
@click.option(
    "--allow-date", is_flag=True, help="The date of this computer is right, though far from the last."
)
@click.option("--withdraw", is_flag=True, help="More than half of the published lessons may be withdrawn.")
@json_option
def publish(sources: tuple[Path, ...], data: Path, allow_date: bool, withdraw: bool, as_json: bool) -> None:
    """Publish the lessons below SOURCE (all of them together) as the whole library: a signed release.

    A SOURCE is a tree 学段/学科/版本/年级册次/单元/课/. What is odd is named.
    """
    import time

    from content_sync.terminal import Progress
    from county.config import CountyPaths, load_settings
    from county.publish.publish import publish as run

    done = run(CountyPaths(data), load_settings(data), sources, time.time, Progress, allow_date, withdraw)
    _show_published(done, as_json)


def _show_published(done: Published, as_json: bool) -> None:
    import sys

    import msgspec

    from content_sync.terminal import show, size_text

    for problem in done.problems:
        print(f"warning {problem.line()}", file=sys.stderr)
    result = msgspec.to_builtins(done)
    show(
        result,
        as_json,
        lambda r: (
            f"release {r['release']}: {r['lessons']} lessons, {r['resources']} resources,"
            f" {size_text(r['bytes'])}; new {size_text(r['new_bytes'])}, withdrawn {r['withdrawn']},"
            f" problems {len(r['problems'])}"
        ),
    )


@cli.command()
@click.argument(
    "folder",
    required=False,
    metavar="[FOLDER]",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@data_option
@click.option(
    "--collection",
    help="Where that goes which nothing else places: an id, or a path like 小学/语文/统编版/三年级上册.",
)
@click.option(
    "--table",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A CSV or XLSX that says where files belong.  [default: 目录.xlsx or 目录.csv in FOLDER]",
)
@click.option("--still", default=30, show_default=True, help="Seconds that a file must not have changed.")
@click.option("--withdraw", "gone", multiple=True, metavar="LESSON", help="Take an adopted lesson out again.")
@click.option(
    "--allow-date", is_flag=True, help="The date of this computer is right, though far from the last."
)
@json_option
def adopt(
    folder: Path | None,
    data: Path,
    collection: str | None,
    table: Path | None,
    still: int,
    gone: tuple[str, ...],
    allow_date: bool,
    as_json: bool,
) -> None:
    """Sign what the county's receiver got from a national broadcast into FOLDER, byte for byte, as lessons
    beside those that are published: a new release.

    May be run again at any time: only what is new is added. What is broken or still growing is named.
    """
    import time

    from content_sync.terminal import Progress
    from county.config import CountyPaths, load_settings
    from county.publish import adopt as adopting

    paths, settings = CountyPaths(data), load_settings(data)
    if (folder is None) == (not gone):
        raise click.UsageError("give a FOLDER, or --withdraw LESSON")
    if folder is None:
        done = adopting.take_out(paths, settings, gone, time.time, Progress, allow_date)
    else:
        done = adopting.adopt(
            paths, settings, folder, time.time, Progress, collection, table, allow_date, still
        )
    _show_published(done, as_json)


@cli.command()
@data_option
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def collect(data: Path, dry_run: bool, as_json: bool) -> None:
    """Delete packages, indexes and files that no kept release names (settings keep_releases, keep_days).

    Sources are not touched. May run while `county serve` does.
    """
    import time

    import msgspec

    from content_sync.terminal import show, size_text
    from county.config import CountyPaths, load_settings
    from county.publish.collect import collect as run

    done = run(CountyPaths(data), load_settings(data), time.time, dry_run)
    show(
        msgspec.to_builtins(done),
        as_json,
        lambda r: (
            f"{'would delete' if dry_run else 'deleted'} {r['objects']} files of lessons, {r['targets']} of"
            f" packages and indexes, {r['metadata']} of metadata: {size_text(r['bytes'])};"
            f" {r['kept']} releases are kept"
        ),
    )


@cli.command()
@data_option
@click.option("--school-code", required=True, help="The school's code in the county's lists.")
@click.option("--name", required=True, help="The school's name.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The enrolment file to write; give it to this box alone.",
)
@click.option(
    "--collection",
    "collections",
    multiple=True,
    help="What the box mirrors: an id, `<subject id>-*`, `*`, or a path like"
    " 小学/语文/统编版/三年级上册; may be given again.  [default: *]",
)
@json_option
def enrol(
    data: Path, school_code: str, name: str, out: Path, collections: tuple[str, ...], as_json: bool
) -> None:
    """Make the enrolment file of one box: trust root, addresses, a claim that works once."""
    import time

    from content_sync.terminal import show
    from county import setup
    from county.config import CountyPaths, load_settings

    made = setup.enrol(
        CountyPaths(data), load_settings(data), school_code, name, collections, out, int(time.time())
    )
    show(
        {"box": made.box, "school_code": made.school_code, "name": made.school_name, "out": str(out)},
        as_json,
        lambda r: f"{r['out']}: box {r['box']} for {r['school_code']} {r['name']}",
    )


@cli.command()
@click.argument("box")
@data_option
@json_option
def forget(box: str, data: Path, as_json: bool) -> None:
    """Take back the enrolment of BOX, which no box has used: a card that was lost, broken or not needed."""
    from content_sync.terminal import show
    from county import setup
    from county.config import CountyPaths, load_settings

    load_settings(data)
    row = setup.forget(CountyPaths(data), box)
    show(
        {"box": row.id, "school_code": row.school_code, "name": row.school_name},
        as_json,
        lambda r: f"{r['box']} of {r['school_code']} {r['name']} is forgotten; its file enrols no box now",
    )


@cli.command()
@click.argument("lesson")
@data_option
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write."
)
@click.option(
    "--guest",
    default="guest",
    show_default=True,
    help="Whose token is in it; each person should have an own one, so that one can be made void.",
)
@click.option("--web-seed", is_flag=True, help="Name the web seed too; libtorrent up to 2.1.1 misreads it.")
@json_option
def torrent(lesson: str, data: Path, out: Path, guest: str, web_seed: bool, as_json: bool) -> None:
    """Make the .torrent of LESSON (id or title) for an ordinary BitTorrent client, with a token in it."""
    from content_sync.adapters.files import write_durable
    from content_sync.terminal import show
    from county.config import CountyPaths, load_settings
    from county.distribute.outsiders import lesson_torrent, open_tokens
    from county.library import Library
    from county.setup import plain_name

    paths, settings = CountyPaths(data), load_settings(data)
    with Library.open(paths.library_db) as library:
        tokens = open_tokens(paths, library)
        holder = tokens.guest(plain_name(guest, "the guest's name"))
        made = lesson_torrent(paths, settings, library, lesson, tokens.give(holder), web_seed)
    write_durable(out.absolute(), made, 0o600)
    show(
        {"out": str(out), "holder": holder, "guest": guest},
        as_json,
        lambda r: f"{r['out']}: for {r['guest']} ({r['holder']})",
    )


@cli.command()
@click.argument("holder")
@click.option("--renew", is_flag=True, help="Make the earlier tokens void; let one shut out in again.")
@click.option("--shut-out", is_flag=True, help="Make all tokens void.")
@data_option
@json_option
def token(holder: str, renew: bool, shut_out: bool, data: Path, as_json: bool) -> None:
    """Renew or void the tokens of HOLDER, a box id or a guest's name; a box learns of it by its envelope."""
    from content_sync.errors import NotFoundError, UsageError
    from content_sync.terminal import show
    from county.config import CountyPaths, load_settings
    from county.distribute.outsiders import open_tokens
    from county.library import Library

    if renew == shut_out:
        raise UsageError("give --renew or --shut-out")
    load_settings(data)
    paths = CountyPaths(data)
    with Library.open(paths.library_db) as library:
        tokens = open_tokens(paths, library)
        guests = {name: identity for identity, name in tokens.guests().items()}
        found = guests.get(holder, holder)
        if found not in guests.values() and library.box(found) is None:
            raise NotFoundError(f"box or guest {holder[:80]!r}")
        if shut_out:
            tokens.shut_out(found)
        number = 0 if shut_out else tokens.renew(found)
    show(
        {"holder": found, "number": number},
        as_json,
        lambda r: f"{r['holder']}: " + (f"token {r['number']}" if r["number"] else "shut out"),
    )


@cli.command()
@data_option
@click.option("--box", "boxes", multiple=True, help="This box; may be given again.")
@click.option("--school", "schools", multiple=True, help="All boxes of this school code; may be given again.")
@click.option("--all", "everyone", is_flag=True, help="Every box.")
@click.option(
    "--collection", "collections", multiple=True, help="Mirror this instead of what was set; as in enrol."
)
@click.option(
    "--deadline", "deadlines", multiple=True, help="LESSON=TIME: must be here by then, 2026-11-23T08:00."
)
@click.option("--pin", "pins", multiple=True, help="Lesson or collection that never makes room for others.")
@click.option("--reserve-mb", type=click.IntRange(0, 1 << 20), help="MiB of the disk that stay free.")
@click.option(
    "--rendition", "renditions", multiple=True, help="KIND=full, light or none: video=light for thin lines."
)
@click.option("--term", help="FIRST-DAY:WEEKS:VOLUME, like 2026-09-01:20:上册.")
@click.option("--class-goal", type=click.IntRange(1, 1000), help="Classes a teacher should hold a term.")
@click.option(
    "--updates",
    type=click.Choice(["all", "pilot", "hold"]),
    help="System updates: those for all, also those tried first, or none until told.",
)
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="JSON of parts, like budget.")
@click.option(
    "--clear",
    multiple=True,
    type=click.Choice(
        ["deadlines", "pins", "reserve", "renditions", "term", "class_goal", "budget", "timetable", "cards"]
    ),
    help="Make this part as by default first; may be given again.",
)
@json_option
def policy(
    data: Path,
    boxes: tuple[str, ...],
    schools: tuple[str, ...],
    everyone: bool,
    as_json: bool,
    **parts: Any,
) -> None:
    """Show or change what boxes are told: deadlines, pins, space, renditions, term, budget.

    A box learns of it with its next envelope, by whatever road that comes.
    """
    import json

    from content_sync.terminal import show
    from county import policy as policies
    from county.config import CountyPaths, load_settings
    from county.library import Library
    from county.stats.figures import zone_of

    changes = policies.Changes(**parts)
    zone = zone_of(load_settings(data).text("timezone"))
    asked = changes != policies.Changes()
    with Library.open(CountyPaths(data).library_db, write=asked) as library:
        rows = policies.choose(library, boxes, schools, everyone)
        if asked:
            rows = policies.change(library, rows, changes, zone)

    def line(it: dict[str, Any]) -> str:
        told = json.dumps(it["policy"], ensure_ascii=False)
        return f"{it['box']} {it['school_code']} {it['school']}: {told}"

    show(
        {"boxes": [policies.plain(row) for row in rows]},
        as_json,
        lambda found: "\n".join(map(line, found["boxes"])),
    )


@cli.command()
@click.argument("lesson", default="")
@data_option
@click.option("--box", "boxes", multiple=True, help="To this box; may be given again.")
@click.option(
    "--school", "schools", multiple=True, help="To all boxes of this school code; may be given again."
)
@click.option("--all", "everyone", is_flag=True, help="To every box.")
@click.option("--room", "rooms", multiple=True, help="Only in the room of this name; may be given again.")
@click.option("--grade", "grades", multiple=True, help="Only in rooms of this grade, like 三年级.")
@click.option("--note", default="", help="One sentence for the teacher.")
@click.option("--from", "begin", help="Shown from this time on, and to be here by then: 2026-11-23T08:00.")
@click.option("--until", help="Shown until this time.")
@click.option("--withdraw", multiple=True, metavar="ID", help="Take this card back; may be given again.")
@json_option
def push(
    lesson: str,
    data: Path,
    boxes: tuple[str, ...],
    schools: tuple[str, ...],
    everyone: bool,
    rooms: tuple[str, ...],
    grades: tuple[str, ...],
    note: str,
    begin: str | None,
    until: str | None,
    withdraw: tuple[str, ...],
    as_json: bool,
) -> None:
    """Let LESSON (id or title) wait as a card on classroom boards until a teacher opens it or puts it away.

    A box learns of it with its next envelope. A lesson with a time is fetched before others.
    """
    from content_sync.errors import UsageError
    from content_sync.terminal import show
    from county import policy as policies
    from county.config import CountyPaths, load_settings
    from county.library import Library
    from county.stats.figures import zone_of

    if bool(lesson) == bool(withdraw):
        raise UsageError("give LESSON, or --withdraw ID")
    zone = zone_of(load_settings(data).text("timezone"))
    with Library.open(CountyPaths(data).library_db, write=True) as library:
        changes = policies.Changes(withdrawn=withdraw)
        if lesson:
            changes = policies.push(library, lesson, (rooms, grades), note, (begin, until), zone)
        rows = policies.choose(library, boxes, schools, everyone)
        policies.change(library, rows, changes, zone)
    made = changes.cards[0].id if changes.cards else ""
    show(
        {"card": made, "withdrawn": list(withdraw), "boxes": [row.id for row in rows]},
        as_json,
        lambda it: (f"{it['card']}: waits on" if made else "withdrawn from") + f" {len(it['boxes'])} boxes",
    )


@cli.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@data_option
@click.option(
    "--allow-date", is_flag=True, help="The date of this computer is right, though far from the last."
)
@json_option
def calendar(file: Path, data: Path, allow_date: bool, as_json: bool) -> None:
    """Take the teaching calendar (教学进度) from FILE, CSV or XLSX, and sign it: boxes fetch by it.

    Columns: 周次, and 课程编号 or 学科, 版本, 年级册次, 单元, 课.
    """
    import sys
    import time

    from content_sync.terminal import Progress, show
    from county.config import CountyPaths, load_settings
    from county.publish.teaching import set_calendar

    done, made = set_calendar(CountyPaths(data), load_settings(data), file, time.time, Progress, allow_date)
    for problem in made.problems:
        print(f"warning {problem.line()}", file=sys.stderr)
    show(
        {
            "release": done.release,
            "lessons": len(made.weeks),
            "collections": sorted(made.collections),
            "problems": len(made.problems),
        },
        as_json,
        lambda r: (
            f"release {r['release']}: {r['lessons']} lessons of {len(r['collections'])} volumes have their"
            f" week, problems {r['problems']}"
        ),
    )


@cli.command()
@click.argument("account")
@data_option
@click.option("--password", help="The new password.  [default: a random one]")
@json_option
def passwd(account: str, data: Path, password: str | None, as_json: bool) -> None:
    """Make a staff account for the county's pages, or give it a new password."""
    from content_sync.terminal import show
    from county import setup
    from county.config import CountyPaths

    password = setup.set_password(CountyPaths(data), account, password)
    show(
        {"account": account, "password": password},
        as_json,
        lambda r: f"account {r['account']}, password: {r['password']} (shown this once)",
    )


@cli.command()
@click.option(
    "--listen", default="0.0.0.0:8080", show_default=True, metavar="HOST:PORT", help="Where to answer."
)
@data_option
def serve(data: Path, listen: str) -> int:
    """Serve boxes and staff until Ctrl-C: pages, metadata, tracker, web seed, seeder, reports."""
    from county.serve import serve as run_server

    return run_server(data, listen, click.echo)


@cli.command("serve-part", hidden=True)
@click.argument("part", type=click.Choice(["web", "seeder"]))
@click.option("--parent", type=int, required=True)
@click.option("--listener", type=int)
@data_option
def serve_part(part: str, data: Path, parent: int, listener: int | None) -> int:
    """One process of `serve`; started by it."""
    from county.serve import serve_part as run_part

    return run_part(part, data, parent, listener)


@cli.command()
@click.option("--from", "first", required=True, type=click.DateTime(["%Y-%m-%d"]), help="First day.")
@click.option("--to", "last", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Last day, included.")
@click.option(
    "--format", "form", type=click.Choice(["json", "csv", "xlsx"]), default="json", show_default=True
)
@click.option(
    "--table",
    type=click.Choice(["rows", "schools", "teachers", "wishes", "offers", "damage"]),
    default="rows",
    show_default=True,
    help="What a CSV holds: uses, schools, classes by teacher, wishes by lesson, offered local lessons,"
    " damaged stores.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.  [default: stdout]"
)
@data_option
def stats(data: Path, first: datetime, last: datetime, form: str, table: str, out: Path | None) -> None:
    """Who used what: the figures of the two-weekly bulletin."""
    import sys
    import time

    from content_sync.adapters.files import write_durable
    from county.config import CountyPaths, load_settings
    from county.library import Library
    from county.stats import figures, output

    if form == "xlsx" and out is None and sys.stdout.isatty():
        raise click.UsageError("an Excel file is nothing for a terminal: give --out FILE")
    paths, settings = CountyPaths(data), load_settings(data)
    with Library.open(paths.library_db) as library:
        zone = figures.zone_of(settings.text("timezone"))
        found = figures.compute(
            paths, library, settings.text("name"), zone, first.date(), last.date(), int(time.time())
        )
    body = output.as_csv(found, table) if form == "csv" else output.WRITERS[form](found)
    if out is not None:
        write_durable(out.absolute(), body)
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


@cli.command("export")
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@data_option
@click.option("--box", "boxes", multiple=True, help="What this box lacks; may be given again.")
@click.option(
    "--collection",
    "collections",
    multiple=True,
    help="All of this: an id, `<subject id>-*`, `*`, or a path like 小学/语文/统编版/三年级上册.",
)
@click.option(
    "--rest",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=absolute_or_none,
    help="Keep what does not fit in this file; with the next stick, go on with what is in it.",
)
@click.option("--verify", is_flag=True, help="Read everything back from the stick.")
@json_option
def export_(
    path: Path,
    data: Path,
    boxes: tuple[str, ...],
    collections: tuple[str, ...],
    rest: Path | None,
    verify: bool,
    as_json: bool,
) -> int:
    """Write lessons onto the stick at PATH, for boxes that can't fetch them; may be run again at any time.

    Takes in the reports that boxes put on it (`lessonbox export PATH --request`), and writes what those boxes
    lack, with their acknowledgements; without a request on it, the whole library. Exit 3: it is full.
    """
    import time

    from content_sync.terminal import show_exported, ticker
    from county.distribute.export import Asked
    from county.setup import collection_pattern
    from county.wiring import export_stick

    if boxes and collections:
        raise click.UsageError("give --box or --collection, not both")
    patterns = tuple(collection_pattern(text) for text in collections)
    asked = Asked(boxes, patterns, rest, verify)
    made, imported = export_stick(data, path.absolute(), asked, int(time.time()), ticker)
    for where, error in imported.refused:
        click.echo(type(error)(f"{where}: {error.what}").line(), err=True)
    made["reports"] = {
        "stored": imported.stored,
        "repeated": imported.repeated,
        "refused": len(imported.refused),
    }
    return show_exported(made, as_json)


@cli.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    callback=absolute,
    help="Where the parcels are written, for the uplink to send.",
)
@click.option(
    "--overhead",
    type=click.FloatRange(0, 4),
    default=0.15,
    show_default=True,
    help="Repair symbols, as a share of the content: what may be lost in one pass, and a little more.",
)
@click.option(
    "--collection",
    "collections",
    multiple=True,
    help="Only this: an id, `<subject id>-*`, `*`, or a path like 小学/语文/统编版/三年级上册; may be given"
    " again.",
)
@click.option(
    "--urgent",
    multiple=True,
    help="Lesson id or collection that is sent first and twice; may be given again.",
)
@click.option("--since-release", type=int, help="Only lessons that are new since this release.")
@click.option(
    "--parcel-bytes",
    type=click.IntRange(128 << 10, 64 << 20),
    default=2_200_000,
    show_default=True,
    help="Most bytes of one parcel; a small carousel has smaller ones.",
)
@data_option
@json_option
def carousel(
    out: Path,
    overhead: float,
    collections: tuple[str, ...],
    urgent: tuple[str, ...],
    since_release: int | None,
    parcel_bytes: int,
    data: Path,
    as_json: bool,
) -> int:
    """Write the next cycle of the satellite carousel: the release as parcels, the newest lessons first.

    Boxes that hear enough of them, in any order, have the lessons; each further cycle brings other repair
    symbols.
    """
    import time

    from content_sync.terminal import DONE, INCOMPLETE, Progress, show, size_text
    from county.distribute.carousel import Asked
    from county.setup import collection_pattern
    from county.wiring import make_carousel

    asked = Asked(
        out,
        overhead,
        tuple(map(collection_pattern, collections)) or ("*",),
        tuple(map(collection_pattern, urgent)),
        since_release,
        parcel_bytes,
    )
    made = make_carousel(data, asked, int(time.time()), Progress)
    for identity in made["left_out"]:
        click.echo(f"warning: {identity} is too large for a carousel and left out", err=True)
    show(
        made,
        as_json,
        lambda r: (
            f"cycle {r['cycle']} of release {r['release']}: {r['lessons']} lessons in {r['parcels']} parcels,"
            f" {size_text(r['bytes'])}, {r['times']} times the content"
        ),
    )
    return INCOMPLETE if made["left_out"] else DONE


@cli.group()
def submissions() -> None:
    """Lessons that schools made themselves and offer."""


@submissions.command("import")
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@data_option
@json_option
def submissions_import(path: Path, data: Path, as_json: bool) -> int:
    """Lay the schools' own lessons that lie on the stick at PATH in the folder submissions/, to be looked at.
    Nothing of them is published."""
    from content_sync.terminal import DONE, FAILED, show
    from county.config import load_settings
    from county.submissions import collect

    load_settings(data)
    made = collect(data / "submissions", path.absolute())

    def text(it: dict[str, Any]) -> str:
        lines = [f"{one['title']}: {one['folder']}" for one in it["lessons"]]
        lines += [f"problem {one['code']} {one['subject']}: {one['message']}" for one in it["problems"]]
        return "\n".join(lines) or "nothing"

    show(made, as_json, text)
    return DONE if made["lessons"] else FAILED


@cli.group()
def reports() -> None:
    """Reports of boxes."""


@reports.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@data_option
@json_option
def reports_import(files: tuple[Path, ...], data: Path, as_json: bool) -> int:
    """Take in reports that a courier brought; writes BOX.envelope.json beside each file, to carry back."""
    import time

    from content_sync.terminal import DONE, FAILED, show
    from county.wiring import import_reports

    result = import_reports(data, list(files), int(time.time()))
    for where, error in result.refused:
        click.echo(type(error)(f"{where}: {error.what}").line(), err=True)
    show(
        {
            "stored": result.stored,
            "repeated": result.repeated,
            "refused": len(result.refused),
            "envelopes": [str(path) for path in result.written],
        },
        as_json,
        lambda r: "\n".join(
            [f"{r['stored']} stored, {r['repeated']} here already, {r['refused']} refused"]
            + [f"carry back: {path}" for path in r["envelopes"]]
        ),
    )
    return FAILED if result.refused else DONE
