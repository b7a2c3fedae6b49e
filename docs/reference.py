"""Writes the pages of docs/ that are made from the program: settings, errors, commands.

`make docs` runs it; tests/unit/test_docs.py fails when a page and the program differ.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from appliance.cli import cli as lessonbox
from appliance.config import BOX_SETTINGS
from appliance.firstboot.console import Trouble, issue
from appliance.health.faults import NUMBERS, OTHER, WELL, fault_of, spoken
from appliance.web.troubles import advice
from content_sync.errors import ConfigError, LessonBoxError, all_errors
from content_sync.formats.boxconfig import BoxConfig, dump_boxconfig, parse_boxconfig
from content_sync.remedies import CHINESE
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


def operations_page(zh: bool) -> str:
    """docs/operations.md or operations.en.md, what comes from the program made anew in it."""
    text = (HERE / ("operations.md" if zh else "operations.en.md")).read_text("utf-8")
    made = {
        "fault codes": _faults(zh),
        "config": _code(dump_boxconfig(_EXAMPLE).decode("utf-8-sig").replace("\r\n", "\n")),
        "console": _code(_console()),
    }
    for name, part in made.items():
        begin, end = f"<!-- {name}: made by `make docs` -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = text.partition(begin)
        text = before + begin + part + end + rest.partition(end)[2]
    return text


_EXAMPLE = BoxConfig(
    school_code="001", school_name="清河镇中心小学", address="192.168.1.10/24", gateway="192.168.1.1"
)


def _code(text: str) -> str:
    return f"```\n{text.strip(chr(10))}\n```\n"


def _console() -> str:
    wrong = parse_boxconfig("地址 = 192.168.1.300".encode()).problems
    said = [Trouble(ConfigError.code, one.text("en")) for one in wrong]
    return issue("001 清河镇中心小学", "", True, said).replace("\\4", "192.168.1.10")


def _faults(zh: bool) -> str:
    rows = "".join(
        _fault(cls, zh) for cls in sorted(all_errors(), key=lambda cls: NUMBERS.get(cls.code, OTHER))
    )
    if zh:
        well = f"| {spoken(WELL)} | | 没有发现毛病。 | 机器没有毛病：看白板自己的网络。 |\n"
        return f"| 代号 | 代码 | 学校看到的 | 技术员怎么办 |\n|---|---|---|---|\n{well}{rows}"
    well = f"| {spoken(WELL)} | | Nothing is wrong that the box can see: look at the board's own network. |\n"
    return f"| fault | code | what to do |\n|---|---|---|\n{well}{rows}"


def _fault(cls: type[LessonBoxError], zh: bool) -> str:
    first = f"| {fault_of(cls.code)} | `{cls.code}` |"
    if zh:
        hurts, todo = advice(cls.code)
        return f"{first} {hurts}{todo} | {_one_line(CHINESE[cls.code])} |\n"
    return f"{first} {_one_line(cls.__doc__)} |\n"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "commands.md": commands_page,
    "operations.md": lambda: operations_page(True),
    "operations.en.md": lambda: operations_page(False),
}


def main() -> int:
    """Write each page; an exit code."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
