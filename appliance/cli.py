"""The verbs of `lessonbox` (contract.md). Each imports what it runs only when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from appliance.config import BOX_SETTINGS
from content_sync.settings import help_text
from content_sync.terminal import absolute

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="LESSONBOX_DATA",
    default=Path("/var/lib/lessonbox"),
    show_default=True,
    callback=absolute,
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


@click.group(epilog=help_text(BOX_SETTINGS, "box.toml"))
@click.version_option(package_name="lessonbox")
def cli() -> None:
    """Lesson Box (课箱): mirrors the county's lessons and serves them to the classroom boards."""


@cli.command()
@click.option(
    "--enrolment",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The file that `county enrol` made for this box.",
)
@data_option
@json_option
def init(enrolment: Path, data: Path, as_json: bool) -> None:
    """Make a box's data folder from its enrolment file."""
    from appliance.config import BoxPaths
    from appliance.setup import initialise
    from appliance.wiring import open_state
    from content_sync.terminal import show

    made = initialise(data, enrolment)
    open_state(BoxPaths(data).state_db).close()
    show(
        made,
        as_json,
        lambda it: f"{it['data']} is box {it['box']} of {it['county']}",
    )


def _synced(it: dict[str, Any]) -> str:
    from content_sync.terminal import size_text

    counts = it["lessons"]
    lines = [
        f"release {it['release'] or 'none yet'}: {counts['present']} of {counts['listed']} lessons,"
        f" {size_text(it['bytes'])} of {size_text(it['bytes_listed'])}"
    ]
    lines += [f"problem {p['code']} {p['subject']}: {p['message']}" for p in it["problems"]]
    return "\n".join(lines)


@cli.command()
@click.option(
    "--once", is_flag=True, help="End when nothing more can be done now: exit 0 complete, 3 incomplete."
)
@data_option
@json_option
def sync(once: bool, data: Path, as_json: bool) -> int:
    """Keep the box in step with the county (one program, as its unit starts it)."""
    from appliance import sync_program
    from content_sync.terminal import DONE, INCOMPLETE, show

    if not once:
        sync_program.serve(data)
        return DONE
    result = sync_program.once(data, not as_json)
    show(result, as_json, _synced)
    return DONE if result["complete"] else INCOMPLETE


@cli.command("import")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@data_option
@json_option
def import_(path: Path, data: Path, as_json: bool) -> int:
    """Take what this box wants from PATH, a USB stick, disc or folder, once. Exit 0 complete, 3
    incomplete."""
    from appliance.sync_program import import_folder
    from content_sync.terminal import DONE, INCOMPLETE, show

    result = import_folder(data, path)
    show(
        result,
        as_json,
        lambda it: f"{it['files']} files read, {it['new_lessons']} lessons are new\n{_synced(it)}",
    )
    return DONE if result["complete"] else INCOMPLETE


@cli.command()
@click.option("--lessons", is_flag=True, help="Also why each lesson is here or not.")
@data_option
@json_option
def status(lessons: bool, data: Path, as_json: bool) -> None:
    """Release, lessons, sources, space, reports, clock, problems."""
    from appliance.config import load_settings
    from appliance.status import read_status, status_text
    from content_sync.terminal import show

    load_settings(data)
    show(read_status(data, lessons), as_json, status_text)


@cli.command()
@data_option
@listen_option
def web(data: Path, listen: str) -> None:
    """Serve the pages to the boards (one program, as its unit starts it)."""
    from appliance.web.wiring import run

    run(data, listen)


@cli.command()
@data_option
@listen_option
def agent(data: Path, listen: str) -> None:
    """Announce the box, collect and send usage (one program, as its unit starts it)."""
    import random
    import signal
    import threading
    from importlib.metadata import version

    from appliance.agent import Agent
    from appliance.announce.avahi import avahi_host_name
    from appliance.announce.mdns import Announcer, lan_addresses
    from appliance.config import BoxPaths, load_settings
    from content_sync.adapters.clock import SystemClock
    from content_sync.adapters.files import lock_file
    from content_sync.adapters.http import HttpFetcher
    from content_sync.settings import parse_listen

    paths, settings, clock = BoxPaths(data), load_settings(data), SystemClock()
    host, port = parse_listen(listen)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with lock_file(data / "agent.lock"):
        worker = Agent(paths, settings, clock, HttpFetcher(), random.random, version("lessonbox"))
        announcer = Announcer(
            worker.enrolment.box,
            worker.enrolment.school_name,
            settings.text("host_name"),
            port,
            lambda: lan_addresses(host),
            avahi_host_name,
        )
        due = 0.0
        try:
            while not stopping.is_set():
                if clock.monotonic() >= due:
                    announcer.step()
                    worker.announced(announcer.host, announcer.problem)
                    due = clock.monotonic() + 10
                stopping.wait(worker.step())
        finally:
            announcer.close()
            worker.close()


@cli.command()
@data_option
@listen_option
def run(data: Path, listen: str) -> int:
    """Run the whole box in this terminal: web, sync and agent. Ctrl-C ends it."""
    from appliance.run import run as run_all
    from content_sync.settings import parse_listen

    return run_all(data, listen, *parse_listen(listen))


@cli.command()
@data_option
@json_option
def doctor(data: Path, as_json: bool) -> int:
    """Check the machine and the box: what is wrong, by code, and what to do about it."""
    from appliance.health.doctor import diagnose
    from content_sync.adapters.clock import SystemClock
    from content_sync.adapters.http import HttpFetcher
    from content_sync.terminal import DONE, FAILED, show

    checks = diagnose(data, SystemClock(), HttpFetcher())
    result = {"ok": not any(check.code for check in checks), "checks": [check.plain() for check in checks]}

    def text(_: object) -> str:
        return "\n".join(
            f"{check.code or 'ok':14} {check.name}: {check.found}"
            + (f"\n{'':14} -> {check.remedy}" if check.remedy else "")
            for check in checks
        )

    show(result, as_json, text)
    return DONE if result["ok"] else FAILED


@cli.group()
def reports() -> None:
    """What this box has to tell the county."""


@reports.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@json_option
def reports_export(file: Path, data: Path, as_json: bool) -> None:
    """Write the reports that the county has not acknowledged to FILE, one a line, for a courier.

    They are signed by the box but not secret, and stay on it until the county's acknowledgement comes down.
    """
    from appliance.config import BoxPaths, load_settings
    from appliance.usage.outbox import read_agent_status, read_batches
    from content_sync.adapters.files import write_durable
    from content_sync.terminal import show

    load_settings(data)
    paths = BoxPaths(data)
    batches = read_batches(paths.outbox_db)
    write_durable(file.absolute(), b"".join(batch + b"\n" for batch in batches))
    waiting = read_agent_status(paths.outbox_db)["outbox"]["waiting"]
    result = {"file": str(file), "batches": len(batches), "waiting_sessions": waiting}
    show(result, as_json, lambda it: f"{it['batches']} reports in {it['file']}; {waiting} sessions wait")
