"""Writes the pages of docs/ that are made from the program: settings, errors, commands.

`make docs` runs it; tests/unit/test_docs.py fails when a page and the program differ.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from appliance.cli import cli as lessonbox
from appliance.config import BOX_SETTINGS
from appliance.health.faults import NUMBERS, OTHER, WELL, fault_of, spoken
from appliance.web.troubles import advice
from content_sync.errors import LessonBoxError, all_errors
from content_sync.settings import markdown
from county.cli import cli as county
from county.config import COUNTY_SETTINGS

HERE = Path(__file__).parent
MADE = "Made from the program by `make docs`; do not edit.\n"


def settings_page() -> str:
    """docs/settings.md: both settings tables."""
    return f"""# Settings

{MADE}
A program reads its file once, when it starts. An absent setting has its default; an unknown one is refused
(`E-SETTING`).

## Box: `box.toml` in the data folder

{markdown(BOX_SETTINGS)}
## County: `county.toml` in the data folder

{markdown(COUNTY_SETTINGS)}"""


def errors_page() -> str:
    """docs/errors.md: every code, whether the program tries again by itself, and the remedy."""
    rows = "".join(
        f"| `{cls.code}` | {'yes' if cls.retryable else ''} | {_one_line(cls.__doc__)} |\n"
        for cls in all_errors()
    )
    return f"""# Errors

{MADE}
A command prints one line, `error E-CODE: what happened. What to do`, and ends with 1 (`E-USAGE`: 2). Pages,
the status and the HTTP interfaces use the same codes. A code never changes its meaning.

| code | tried again by itself | what to do |
|---|---|---|
{rows}"""


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def commands_page() -> str:
    """docs/commands.md: every verb with its options, from click."""
    parts = [
        f"""# Commands

{MADE}
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 incomplete (nothing broken, more to come). An error is one line
on stderr, see [errors.md](errors.md).
"""
    ]
    for prog, group in (("lessonbox", lessonbox), ("county", county)):
        parts.append(f"\n## {prog}\n\n{_one_line(group.help)}\n")
        parts.extend(_command(group, prog))
    return "".join(parts)


def _command(group: click.Group, path: str) -> list[str]:
    parts = []
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        full = f"{path} {name}"
        if isinstance(command, click.Group):
            parts.extend(_command(command, full))
            continue
        context = click.Context(command, info_name=full)
        pieces = " ".join(command.collect_usage_pieces(context))
        parts.append(
            f"\n### `{full}`\n\n{command.help or ''}\n\n`{full} {pieces}`\n\n".replace("\n\n\n", "\n\n")
        )
        for option in command.params:
            record = option.get_help_record(context)
            if record and record[1]:
                parts.append(f"- `{record[0]}`: {record[1]}\n")
    return parts


FAULTS_BEGIN, FAULTS_END = "<!-- fault codes: made by `make docs` -->\n", "<!-- end of fault codes -->\n"


def operations_page() -> str:
    """docs/operations.md, its table of fault codes made anew from the program's."""
    text = (HERE / "operations.md").read_text("utf-8")
    before, _, rest = text.partition(FAULTS_BEGIN)
    _, _, after = rest.partition(FAULTS_END)
    rows = "".join(_fault(cls) for cls in sorted(all_errors(), key=lambda cls: NUMBERS.get(cls.code, OTHER)))
    head = "| 代号 fault | code | 影响上课吗，怎么办 | what to do |\n|---|---|---|---|\n"
    well = f"| {spoken(WELL)} | | 没有发现毛病。 | Nothing is wrong that the box can see. |\n"
    return before + FAULTS_BEGIN + head + well + rows + FAULTS_END + after


def _fault(cls: type[LessonBoxError]) -> str:
    hurts, todo = advice(cls.code)
    return f"| {fault_of(cls.code)} | `{cls.code}` | {hurts}{todo} | {_one_line(cls.__doc__)} |\n"


PAGES = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "commands.md": commands_page,
    "operations.md": operations_page,
}


def main() -> int:
    """Write each page; an exit code."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
