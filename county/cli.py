"""The verbs of `county` (contract.md). Each imports what it runs only when it runs."""

from __future__ import annotations

from pathlib import Path

import click

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="COUNTY_DATA",
    default=Path("/var/lib/lessonbox-county"),
    show_default=True,
    help="The county's data folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group()
@click.version_option(package_name="lessonbox")
def cli() -> None:
    """The county's side of Lesson Box (课箱): publish lessons, serve boxes, count usage."""
