"""The verbs of `lessonbox` (contract.md). Each imports what it runs only when it runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from appliance.cli_lan import lan, network
from appliance.config import BOX_SETTINGS
from content_sync.settings import help_text
from content_sync.terminal import absolute, absolute_or_none

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
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The file that `county enrol` made for this box.",
)
@click.option("--blank", is_flag=True, help="Without one: the box is enrolled later, from its page /enrol.")
@data_option
@json_option
def init(enrolment: Path | None, blank: bool, data: Path, as_json: bool) -> None:
    """Make a box's data folder from its enrolment file."""
    from appliance import setup
    from appliance.config import BoxPaths
    from appliance.firstboot.wiring import open_state
    from content_sync.terminal import show

    if (enrolment is None) != blank:
        raise click.UsageError("give --enrolment FILE, or --blank")
    if enrolment is None:
        setup.blank(data)
        open_state(BoxPaths(data).state_db).close()
        show({"data": str(data)}, as_json, lambda it: f"{it['data']} is a box that is not enrolled yet")
        return
    made = setup.initialise(data, enrolment)
    open_state(BoxPaths(data).state_db).close()
    show(
        made,
        as_json,
        lambda it: f"{it['data']} is box {it['box']} of {it['county']}",
    )


def _begin_anew() -> None:
    """This very command again, in the same process: whoever started it notices nothing."""
    import os
    import sys

    os.execv(sys.executable, [sys.executable, "-m", "appliance", *sys.argv[1:]])


def _synced(it: dict[str, Any]) -> str:
    from appliance.status_text import problem_text
    from content_sync.terminal import chinese, size_text

    counts = it["lessons"]
    lines = [
        f"release {it['release'] or 'none yet'}: {counts['present']} of {counts['listed']} lessons,"
        f" {size_text(it['bytes'])} of {size_text(it['bytes_listed'])}"
    ]
    lines += [f"problem {problem_text(problem, chinese())}" for problem in it["problems"]]
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
        if sync_program.serve(data):
            _begin_anew()
        return DONE
    result = sync_program.once(data, not as_json)
    show(result, as_json, _synced)
    return DONE if result["complete"] else INCOMPLETE


_NEXT = (
    "what lacks goes on a stick: `lessonbox export PATH --request` here, `county export PATH` at the county"
)


def _full(it: dict[str, Any]) -> bool:
    return any(p["code"] == "E-DISK-FULL" for p in it["problems"])


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
        lambda it: (
            f"{it['files']} files read, {it['new_lessons']} lessons are new\n{_synced(it)}"
            + ("" if it["complete"] or _full(it) else "\n" + _NEXT)
        ),
    )
    return DONE if result["complete"] else INCOMPLETE


@cli.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--request", is_flag=True, help="Only what this box lacks and reports, to take to the county.")
@click.option(
    "--for",
    "request_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What the box lacks that made this request.  [default: the requests on the stick, else all]",
)
@click.option("--collection", "collections", multiple=True, help="All of this: an id, `<subject id>-*`, `*`.")
@click.option(
    "--rest",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=absolute_or_none,
    help="Keep what does not fit in this file; with the next stick, go on with what is in it.",
)
@click.option(
    "--local",
    "own",
    multiple=True,
    help="Lessons of the school's own instead, for another school: an id, or `all`.",
)
@click.option("--verify", is_flag=True, help="Read everything back from the stick.")
@data_option
@json_option
def export(
    path: Path,
    request: bool,
    request_file: Path | None,
    collections: tuple[str, ...],
    rest: Path | None,
    own: tuple[str, ...],
    verify: bool,
    data: Path,
    as_json: bool,
) -> int:
    """Write this box's lessons onto the stick at PATH for another box; may be run again at any time.

    With --request: what this box lacks and its reports, for `county export PATH`; then `lessonbox import
    PATH`. Exit 3: the stick is full.
    """
    import time

    from appliance.export import export_lessons, write_request
    from appliance.helped import Helper
    from content_sync.terminal import DONE, show, show_exported, ticker

    click.get_current_context().with_resource(Helper().writable(path.absolute()))
    if own:
        from appliance.local_export import export_local

        if request or request_file or collections or rest or verify:
            raise click.UsageError("--local stands alone")
        show(
            export_local(data, path.absolute(), own, ticker),
            as_json,
            lambda it: f"{it['local']} lessons of this school are on the stick",
        )
        return DONE
    if request:
        if request_file or collections or rest or verify:
            raise click.UsageError("--request stands alone")
        show(
            write_request(data, path.absolute()),
            as_json,
            lambda it: (
                f"{it['wanted']} lessons wanted, {it['batches']} reports: take the stick to the county"
            ),
        )
        return DONE
    if request_file and collections:
        raise click.UsageError("give --for or --collection, not both")
    made = export_lessons(
        data, path.absolute(), int(time.time()), request_file, collections, rest, verify, ticker
    )
    return show_exported(made, as_json)


@cli.command()
@click.argument("lesson", required=False)
@click.option("--lessons", is_flag=True, help="Also why each lesson is here or not.")
@data_option
@json_option
def status(lesson: str | None, lessons: bool, data: Path, as_json: bool) -> None:
    """Release, lessons, sources, space, reports, clock, problems.

    With LESSON, an id or a title: why it is here or not, and when it is expected.
    """
    from appliance.config import load_settings
    from appliance.lesson_status import lessons_text, read_lessons
    from appliance.status import read_status
    from appliance.status_text import status_text
    from content_sync.terminal import chinese, show

    load_settings(data)
    if lesson is not None:
        show(read_lessons(data, lesson), as_json, lambda found: lessons_text(found, chinese()))
        return
    show(read_status(data, lessons), as_json, lambda it: status_text(it, chinese()))


@cli.command()
@click.argument("lesson")
@data_option
@json_option
def wish(lesson: str, data: Path, as_json: bool) -> None:
    """Ask for LESSON, an id or a title: it comes before what the teaching calendar says."""
    from appliance.config import load_settings
    from appliance.lesson_status import wish as make
    from content_sync.terminal import show

    load_settings(data)
    show(
        make(data, lesson),
        as_json,
        lambda it: f"{it['title']} " + ("is here already" if it["present"] else "is asked for"),
    )


@cli.command()
@click.option("--clear", is_flag=True, help="Take the PIN away: nothing can be changed from pages then.")
@data_option
def pin(clear: bool, data: Path) -> None:
    """Set the PIN (6 to 12 digits) that pages ask for before they change something on the box. It is asked
    for, or read from standard input."""
    import sys

    from appliance.config import BoxPaths, load_settings
    from appliance.web.pin import clear_pin, set_pin

    load_settings(data)
    path = BoxPaths(data).pin
    if clear:
        clear_pin(path)
    elif sys.stdin.isatty():
        set_pin(path, click.prompt("PIN", hide_input=True, confirmation_prompt=True))
    else:
        set_pin(path, sys.stdin.readline(100).strip())


@cli.command()
@data_option
@listen_option
def web(data: Path, listen: str) -> None:
    """Serve the pages to the boards (one program, as its unit starts it)."""
    from appliance.web.starting import run

    if run(data, listen):
        _begin_anew()


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
    from appliance.announce.nearby import Nearby
    from appliance.asked import restart_asked
    from appliance.config import BoxPaths, county_urls, load_settings, token_source
    from appliance.helped import ClockSetter, Helper
    from content_sync import loading
    from content_sync.adapters.clock import SystemClock
    from content_sync.adapters.files import lock_file
    from content_sync.adapters.http import HttpFetcher
    from content_sync.adapters.sdnotify import Pulse
    from content_sync.settings import parse_listen

    paths, settings, clock = BoxPaths(data), load_settings(data), SystemClock()
    host, port = parse_listen(listen)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with lock_file(data / "agent.lock"):
        setter = ClockSetter(data, clock, Helper())
        worker = Agent(
            paths,
            settings,
            clock,
            HttpFetcher(proxy=settings.text("proxy")),
            random.random,
            version("lessonbox"),
            setter,
        )
        announcer = Announcer(
            worker.enrolment.box,
            worker.enrolment.school_name,
            settings.text("host_name"),
            port,
            lambda: lan_addresses(host),
            avahi_host_name,
        )
        nearby = Nearby(
            worker.enrolment.box,
            port,
            lambda: lan_addresses(host),
            county_urls(settings, worker.enrolment.urls),
            token_source(paths, worker.enrolment),
            HttpFetcher(timeout=5),
            clock,
            paths.neighbours,
        )
        due, again, pulse = 0.0, False, Pulse()
        loading.end()
        restart_asked(paths.incoming, "agent")  # before this beginning
        try:
            while not stopping.is_set() and not again:
                pulse.beat()
                if clock.monotonic() >= due:
                    announcer.step()
                    worker.announced(announcer.host, announcer.problem)
                    nearby.step()
                    due = clock.monotonic() + 10
                stopping.wait(worker.step())
                again = restart_asked(paths.incoming, "agent")
        finally:
            nearby.close()
            announcer.close()
            worker.close()
    if again and not stopping.is_set():
        _begin_anew()


@cli.command()
@click.option("--url", default="http://127.0.0.1/tv", show_default=True, help="What it shows.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    default=Path("/var/lib/lessonbox-tv"),
    show_default=True,
    help="Where the browser keeps what it remembers.",
)
@click.option("--anyway", is_flag=True, help="Also where no display says that it is connected.")
def tv(url: str, data: Path, anyway: bool) -> None:
    """Show the lessons full screen on the box's own display, until it is ended.

    Ends at once, with 3, where no display is connected; with 1 where no page came for a quarter of an hour.
    """
    import os
    import signal
    import time

    from appliance.tv import NO_DISPLAY, begin_anew, connected, draws, kiosk, sound
    from appliance.tv_watch import Browser, GoneError, Watch

    outputs = connected()
    if not outputs and not anyway:
        click.echo("no display is connected")
        raise SystemExit(NO_DISPLAY)
    profile = data / "browser"
    begin_anew(profile)
    root = os.geteuid() == 0
    command = kiosk(url, profile, os.environ, root=root, drawn=draws(), speakers=sound(outputs))
    browser = Browser(command, time.monotonic)
    watch = Watch(time.monotonic())
    try:
        while True:
            browser.rest(10)
            todo = watch.look(browser.shows(url), time.monotonic())
            if todo == "open":
                click.echo("no page of the box: it is opened again")
                browser.open(url)
            elif todo == "end":
                click.echo("no page of the box: the browser is ended")
                os.kill(browser.pid, signal.SIGTERM)
                raise SystemExit(1)
    except GoneError:
        click.echo("the browser ended")
        os.kill(browser.pid, signal.SIGTERM)  # cage, should it be left


@cli.command()
@data_option
@listen_option
def run(data: Path, listen: str) -> int:
    """Run the whole box in this terminal: web, sync and agent. Ctrl-C ends it."""
    from appliance.run import run as run_all
    from content_sync.settings import parse_listen

    return run_all(data, listen, *parse_listen(listen))


@cli.command()
@click.option(
    "--card",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/boot/firmware"),
    show_default=True,
    help="The FAT partition with lessonbox.conf and the enrolment file.",
)
@click.option("--user", default="lessonbox", show_default=True, help="Whom the data folder belongs to.")
@data_option
@click.option("--enrolled", is_flag=True, help="Only let the lamp follow an enrolment by page.")
@json_option
def firstboot(card: Path, user: str, data: Path, enrolled: bool, as_json: bool) -> None:
    """Do what the card says, at each start of the machine (as root, as its unit does). What is wrong on the
    card is told on the pages and the console; it is no reason to fail."""
    import time

    from appliance.config import load_settings
    from appliance.firstboot.boot import Boot
    from appliance.firstboot.host import SystemHost
    from appliance.status_text import problem_text
    from content_sync.errors import LessonBoxError
    from content_sync.terminal import chinese, show

    try:
        folders = load_settings(data).texts("stick_folders")
    except LessonBoxError:
        folders = ("/media/lessonbox",)
    host = SystemHost(user, folders)
    start = Boot(card, data, Path("/run"), host, int(time.time()))
    if enrolled:
        start.enrolled()
        return
    found = start.work()
    host.begin()
    problems = [{"code": p.code, "subject": p.subject, "message": p.message} for p in found]
    show(
        {"problems": problems},
        as_json,
        lambda it: "\n".join(problem_text(p, chinese()) for p in it["problems"]) or "the card is in order",
    )


@cli.command()
@click.option("--keep", is_flag=True, help="Let the pages show what was found (as its unit does).")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=absolute_or_none,
    help="Also write a diagnosis without secrets to this zip, for the county's technician.",
)
@data_option
@json_option
def doctor(data: Path, keep: bool, bundle: Path | None, as_json: bool) -> int:
    """Check the machine and the box: what is wrong, by code, and what to do about it."""
    from appliance.config import BoxPaths
    from appliance.firstboot import console
    from appliance.health import bundles, problems
    from appliance.health.doctor import diagnose, told
    from appliance.health.faults import fault_of
    from appliance.health.machine import Machine, boards
    from appliance.health.mending import mend
    from appliance.helped import Helper
    from content_sync.adapters.clock import SystemClock
    from content_sync.adapters.http import HttpFetcher
    from content_sync.errors import LessonBoxError
    from content_sync.remedies import remedy
    from content_sync.terminal import DONE, FAILED, chinese, show

    clock = SystemClock()
    checks = diagnose(data, clock, lambda proxy: HttpFetcher(proxy=proxy))
    if keep:
        with suppress(LessonBoxError):  # a disk that takes nothing is among what was found
            problems.keep(BoxPaths(data).health, told(checks, int(clock.wall())))
        console.refresh(data, Path("/run"))
        mend((check.mend for check in checks if check.mend), clock.monotonic(), boards(Machine()), Helper())
    result = {"ok": not any(check.code for check in checks), "checks": [check.plain() for check in checks]}

    def text(_: object) -> str:
        return "\n".join(
            f"{check.code or 'ok':14} {check.name}: {check.found}"
            + (f" [{fault_of(check.code)}]" if check.code else "")
            + (f"\n{'':14} -> {remedy(check.code, check.remedy, chinese())}" if check.remedy else "")
            for check in checks
        )

    show(result, as_json, text)
    if bundle is not None:
        bundles.write(bundle, data, [check.plain() for check in checks], int(clock.wall()))
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


cli.add_command(lan)
cli.add_command(network)
