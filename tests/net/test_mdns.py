"""The box's name on a LAN of two machines (namespaces): found, unique, yielded, left to avahi."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.root, pytest.mark.needs("ip", "nft")]

_ANNOUNCE = """
import functools, sys, time
from appliance.announce.avahi import avahi_host_name
from appliance.announce.mdns import Announcer, lan_addresses
box, school, avahi = sys.argv[1:4]
asked = avahi_host_name if avahi == "avahi" else (lambda: None)
announcer = Announcer(box, school, "lesson", 8080, functools.partial(lan_addresses, "0.0.0.0"), asked)
said = None
while True:
    announcer.step()
    if announcer.host != said:
        said = announcer.host
        print(said, flush=True)
    time.sleep(0.5)
"""
_BROWSE = """
import json, sys, time
from zeroconf import AddressResolver, ServiceBrowser, ServiceListener, Zeroconf
class Found(ServiceListener):
    services = {}
    def add_service(self, zc, type_, name):
        info = zc.get_service_info(type_, name)
        if info:
            texts = {key.decode(): value.decode() for key, value in info.properties.items()}
            self.services[name] = [info.server, info.port, texts, info.parsed_addresses()]
    update_service = add_service
    def remove_service(self, zc, type_, name):
        self.services.pop(name, None)
zc = Zeroconf(interfaces=[sys.argv[1]])
ServiceBrowser(zc, "_http._tcp.local.", Found())
deadline = time.monotonic() + 15
while len(Found.services) < int(sys.argv[2]) and time.monotonic() < deadline:
    time.sleep(0.1)
names = {}
for name in sys.argv[3:]:
    resolver = AddressResolver(name)
    resolver.request(zc, 3000)
    names[name] = resolver.parsed_addresses()
print(json.dumps([Found.services, names]))
zc.close()
"""


class Lan:
    """Two machines on a wire, 10.78.0.1 and .2."""

    def __init__(self) -> None:
        self.names = [f"lbm{os.getpid()}-{number}" for number in (1, 2)]
        self.processes: list[subprocess.Popen[str]] = []
        for name in self.names:
            _run("ip", "netns", "add", name)
        link = ("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.names[1])
        _run("ip", "-n", self.names[0], *link)
        for number, name in enumerate(self.names, 1):
            _run("ip", "-n", name, "link", "set", "lo", "up")
            _run("ip", "-n", name, "address", "add", f"10.78.0.{number}/24", "dev", "eth0")
            _run("ip", "-n", name, "link", "set", "eth0", "up")
            _run("ip", "-n", name, "route", "add", "224.0.0.0/4", "dev", "eth0")

    def run(self, number: int, *command: str, **environment: str) -> str:
        done = subprocess.run(
            ["ip", "netns", "exec", self.names[number - 1], *command], cwd=ROOT, capture_output=True,
            text=True, timeout=60, env={**os.environ, **environment},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, number: int, *command: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.names[number - 1], *command], cwd=ROOT, stdout=subprocess.PIPE,
            text=True, env={**os.environ, **environment},
        )  # fmt: skip
        self.processes.append(process)
        return process

    def announce(self, number: int, avahi: str = "none", **environment: str) -> subprocess.Popen[str]:
        box = f"b-{number:016x}"
        return self.start(number, sys.executable, "-c", _ANNOUNCE, box, "希望小学", avahi, **environment)

    def browse(self, number: int, services: int, *names: str) -> tuple[dict, dict]:  # type: ignore[type-arg]
        said = self.run(number, sys.executable, "-c", _BROWSE, f"10.78.0.{number}", str(services), *names)
        found, resolved = json.loads(said)
        return found, resolved

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(10)
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=30)


def line(process: subprocess.Popen[str]) -> str:
    """The next name that an announcer says it has."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def lan() -> Iterator[Lan]:
    made = Lan()
    try:
        yield made
    finally:
        made.close()


def test_found_by_name_and_by_service(lan: Lan) -> None:
    assert line(lan.announce(1)) == "lesson.local"
    found, resolved = lan.browse(2, 1, "lesson.local.")
    assert resolved == {"lesson.local.": ["10.78.0.1"]}
    texts = {"product": "lessonbox", "id": "b-0000000000000001", "path": "/"}
    assert found == {"希望小学._http._tcp.local.": ["lesson.local.", 8080, texts, ["10.78.0.1"]]}


def test_the_second_box_takes_the_next_name(lan: Lan) -> None:
    assert line(lan.announce(1)) == "lesson.local"
    assert line(lan.announce(2)) == "lesson-2.local"
    found, resolved = lan.browse(1, 2, "lesson.local.", "lesson-2.local.")
    assert resolved == {"lesson.local.": ["10.78.0.1"], "lesson-2.local.": ["10.78.0.2"]}
    assert len(found) == 2


def test_two_lans_become_one(lan: Lan) -> None:
    """Both have the name already when they first hear each other: the lower address keeps it."""
    for number, name in enumerate(lan.names, 1):
        lan.run(number, "nft", "add table inet t; add chain inet t i { type filter hook input priority 0; };"
                " add rule inet t i iifname eth0 udp dport 5353 drop")  # fmt: skip
        assert name
    first, second = lan.announce(1), lan.announce(2)
    assert (line(first), line(second)) == ("lesson.local", "lesson.local")
    for number in (1, 2):
        lan.run(number, "nft", "delete", "table", "inet", "t")
    assert line(second) == "lesson-2.local"
    assert lan.browse(1, 2, "lesson.local.")[1] == {"lesson.local.": ["10.78.0.1"]}


def test_a_new_address_is_announced(lan: Lan) -> None:
    process = lan.announce(1)
    assert line(process) == "lesson.local"
    _run("ip", "-n", lan.names[0], "address", "flush", "dev", "eth0")
    _run("ip", "-n", lan.names[0], "address", "add", "10.78.0.7/24", "dev", "eth0")
    _run("ip", "-n", lan.names[0], "route", "replace", "224.0.0.0/4", "dev", "eth0")
    deadline = time.monotonic() + 30
    while lan.browse(2, 1, "lesson.local.")[1]["lesson.local."] != ["10.78.0.7"]:
        assert time.monotonic() < deadline


@pytest.mark.needs("avahi-daemon", "dbus-daemon", "busctl", "unshare")
def test_avahi_keeps_the_name_and_the_service_is_found(
    lan: Lan, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    bus = f"unix:path={tmp_path}/bus"
    (tmp_path / "bus.conf").write_text(
        f"<busconfig><type>system</type><listen>{bus}</listen><auth>EXTERNAL</auth>"
        '<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>'
        '<allow user="*"/></policy></busconfig>'
    )
    (tmp_path / "avahi.conf").write_text(
        "[server]\nhost-name=lesson\nuse-ipv6=no\n[publish]\npublish-aaaa-on-ipv4=no\npublish-workstation=no\n"
    )
    lan.start(1, "dbus-daemon", f"--config-file={tmp_path}/bus.conf", "--nofork", "--nopidfile")
    wait_until((tmp_path / "bus").exists, 20, "the bus")
    avahi = f"exec avahi-daemon -f {tmp_path}/avahi.conf --no-drop-root --no-chroot"
    own = f"mount -t tmpfs none /run && mkdir /run/avahi-daemon && {avahi}"  # seen by this process alone
    lan.start(1, "unshare", "-m", "sh", "-c", own, DBUS_SYSTEM_BUS_ADDRESS=bus)

    def avahi_name() -> str:
        ask = "from appliance.announce.avahi import avahi_host_name; print(avahi_host_name() or '')"
        return lan.run(1, sys.executable, "-c", ask, DBUS_SYSTEM_BUS_ADDRESS=bus).strip()

    wait_until(lambda: avahi_name() == "lesson.local", 30, "avahi has its name")
    process = lan.announce(1, "avahi", DBUS_SYSTEM_BUS_ADDRESS=bus)
    assert line(process) == "lesson.local"
    found, resolved = lan.browse(2, 1, "lesson.local.", "b-0000000000000001.local.")
    assert found["希望小学._http._tcp.local."][0] == "b-0000000000000001.local."
    assert resolved == {"lesson.local.": ["10.78.0.1"], "b-0000000000000001.local.": ["10.78.0.1"]}
    with suppress(AssertionError):  # nothing may drive avahi off its name within some seconds
        wait_until(lambda: avahi_name() != "lesson.local", 6, "avahi lost its name")
    assert avahi_name() == "lesson.local"
