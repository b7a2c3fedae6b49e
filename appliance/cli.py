"""The verbs of `lessonbox` (contract.md). Each imports what it runs only when it runs."""

from __future__ import annotations

from pathlib import Path

import click

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="LESSONBOX_DATA",
    default=Path("/var/lib/lessonbox"),
    show_default=True,
    help="The box's data folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
listen_option = click.option(
    "--listen",
    metavar="HOST:PORT",
    default="0.0.0.0:80",
    show_default=True,
    help="Where boards reach the pages.",
)


@click.group()
@click.version_option(package_name="lessonbox")
def cli() -> None:
    """Lesson Box (课箱): mirrors the county's lessons and serves them to the classroom boards."""


@cli.command()
@data_option
@listen_option
def web(data: Path, listen: str) -> None:
    """Serve the pages to the boards (one program, as its unit starts it)."""
    from appliance.web.wiring import run

    run(data, listen)
