"""`lessonbox lan` and `lessonbox network`: the box on its network, as a program without rights and as root's
short part (decision 0040)."""

from __future__ import annotations

from pathlib import Path

import click

from content_sync.terminal import absolute

_data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="LESSONBOX_DATA",
    default=Path("/var/lib/lessonbox"),
    show_default=True,
    callback=absolute,
    help="The box's data folder.",
)


@click.command()
@_data_option
@click.option("--listen", metavar="HOST:PORT", default="0.0.0.0:80", show_default=True, help="Of the pages.")
def lan(data: Path, listen: str) -> None:
    """Answer for the box where multicast DNS is not heard, and mind its own Wi-Fi (as its unit starts it).

    LLMNR and NetBIOS (`http://lesson/`) and SSDP (the Network folder of Windows).
    """
    import signal
    import threading

    from appliance.announce.avahi import avahi_host_name
    from appliance.network.answering import Answerer
    from appliance.network.minding import Minder, device_of_machine, given_socket
    from content_sync.adapters.clock import SystemClock
    from content_sync.adapters.sdnotify import Pulse
    from content_sync.settings import parse_listen

    _, port = parse_listen(listen)
    clock, pulse, stopping = SystemClock(), Pulse(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    minder = Minder(data, clock)
    answerer = Answerer(
        minder.host_name, avahi_host_name, minder.lan, port, device_of_machine(), given_socket()
    )
    try:
        while not stopping.is_set():
            pulse.beat()
            minder.step(answerer.name)
            due = answerer.step(clock.monotonic())
            answerer.hear(min(due - clock.monotonic(), 1.0))
    finally:
        answerer.close()


@click.command()
@click.option("--hotspot", is_flag=True, help="What hostapd and dnsmasq need instead, and the address.")
@click.option("--hotspot-ends", "ends", is_flag=True, help="Take that address away.")
@_data_option
def network(hotspot: bool, ends: bool, data: Path) -> int:
    """Do what box.toml asks of the machine's network: uplinks, shares (root; as its unit starts it)."""
    from appliance.helper import run_command
    from appliance.network.prepare import Prepare, is_client
    from content_sync.terminal import DONE, FAILED

    work = Prepare(data, Path("/run"), run_command)
    if ends:
        work.hotspot_ends()
        return DONE
    if hotspot:
        click.echo(f"own Wi-Fi on {work.hotspot(is_client)}")
        return DONE
    troubles = work.all()
    for line in troubles:
        click.echo(f"error {line}", err=True)
    return FAILED if troubles else DONE
