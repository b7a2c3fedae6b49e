"""The verbs of `county` (contract.md). Each imports what it runs only when it runs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from content_sync.settings import help_text
from content_sync.terminal import absolute
from county.config import COUNTY_SETTINGS

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="COUNTY_DATA",
    default=Path("/var/lib/lessonbox-county"),
    show_default=True,
    callback=absolute,
    help="The county's data folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group(epilog=help_text(COUNTY_SETTINGS, "county.toml"))
@click.version_option(package_name="lessonbox")
def cli() -> None:
    """The county's side of Lesson Box (课箱): publish lessons, serve boxes, count usage."""


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
    import dataclasses
    import sys
    import time

    from content_sync.terminal import Progress, show, size_text
    from county.config import CountyPaths, load_settings
    from county.publish.publish import publish as run

    done = run(CountyPaths(data), load_settings(data), sources, time.time, Progress, allow_date, withdraw)
    for problem in done.problems:
        print(f"warning {problem.line()}", file=sys.stderr)
    result = dataclasses.asdict(done)
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
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.  [default: stdout]"
)
@data_option
def stats(data: Path, first: datetime, last: datetime, form: str, out: Path | None) -> None:
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
    body = output.WRITERS[form](found)
    if out is not None:
        write_durable(out.absolute(), body)
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


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
