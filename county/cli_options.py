"""Options that many verbs of `county` share."""

from __future__ import annotations

from pathlib import Path

import click

from content_sync.terminal import absolute

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
