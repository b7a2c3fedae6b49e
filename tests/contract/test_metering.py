"""ports.Meter and ports.Probe over real interfaces, routes and lines, in namespaces."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from content_sync.adapters.metering import InterfaceMeter, interface_of, is_modem
from content_sync.adapters.probe import HandshakeProbe
from tests.net.rig import COUNTY, Rig

ROOT = Path(__file__).resolve().parents[2]
_SAY = """
import json, pathlib, sys
from content_sync.adapters.metering import InterfaceMeter, default_interface, interface_of
own, local, hint = sys.argv[1:4]
meter = InterfaceMeter(own.split(), "auto", pathlib.Path(hint), lambda: "boot", lambda: local or None)
found = meter.read()
print(json.dumps([default_interface(), interface_of(local) if local else None,
                  found and [found.boot, found.interface, found.carried], meter.metered()]))
"""
_SEND = """
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(500): one.sendto(bytes(1000), (sys.argv[1], 9))
"""
_PROBE = """
import json, sys, time
from content_sync.adapters.probe import HandshakeProbe
probe = HandshakeProbe(sys.argv[1:], time.monotonic)
probe.want(True)
samples, deadline = [], time.monotonic() + 20
while len([trip for _, trip in samples if trip]) < 8 and time.monotonic() < deadline:
    time.sleep(0.05); samples += probe.samples()
probe.want(False)
print(json.dumps([[trip for _, trip in samples], probe.local]))
probe.close()
"""


@pytest.fixture
def places() -> Iterator[tuple[str, str]]:
    """Two machines on one wire, `eth0` in both: a box, and its way out."""
    names = (f"lbg{os.getpid()}-a", f"lbg{os.getpid()}-b")
    try:
        for name in names:
            ip("netns", "add", name)
        link = ("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1])
        ip("-n", names[0], *link)
        for number, name in enumerate(names, 1):
            ip("-n", name, "address", "add", f"10.79.0.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=30)


def run(place: str, code: str, *words: str) -> str:
    command = ["ip", "netns", "exec", place, sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.root
@pytest.mark.needs("ip")
def test_the_default_route_and_its_counters(places: tuple[str, str], tmp_path: Path) -> None:
    box, _ = places
    none = str(tmp_path / "network.json")
    assert json.loads(run(box, _SAY, "eth0", "", none)) == [None, None, None, None]
    ip("-n", box, "link", "add", "dum0", "type", "bridge")
    ip("-n", box, "address", "add", "10.80.0.1/24", "dev", "dum0")
    ip("-n", box, "link", "set", "dum0", "up")
    ip("-n", box, "route", "add", "default", "via", "10.80.0.9", "dev", "dum0", "metric", "500")
    assert json.loads(run(box, _SAY, "eth0", "", none))[0] == "dum0"
    ip("-n", box, "route", "add", "default", "via", "10.79.0.2", "metric", "10")
    route, _, before, metered = json.loads(run(box, _SAY, "eth0", "", none))
    assert route == "eth0" and before[:2] == ["boot", "eth0"] and metered is True
    run(box, _SEND, "10.79.0.2")
    after = json.loads(run(box, _SAY, "eth0", "", none))[2]
    # 500 datagrams of 1000 bytes with UDP, IP and Ethernet headers; a little ARP and IPv6 chatter beside
    assert 500 * 1042 <= after[2] - before[2] < 500 * 1042 + 20_000
    # The county was reached through the other interface: that one counts, and it is the LAN's too.
    assert json.loads(run(box, _SAY, "eth0", "10.80.0.1", none))[1:3] == ["dum0", None]
    (tmp_path / "network.json").write_text('{"metered": false}')
    assert json.loads(run(box, _SAY, "eth0", "", none))[3] is False
    for nonsense in ("", "[]", '{"metered": 1}', "\x00" * 9000):
        (tmp_path / "network.json").write_text(nonsense)
        assert json.loads(run(box, _SAY, "", "", none))[3] is None


def test_what_a_modem_is(tmp_path: Path) -> None:
    for name, uevent, kind, modem in (
        ("wwan0", "DEVTYPE=wwan\nINTERFACE=wwan0\n", "1", True),
        ("ppp0", "INTERFACE=ppp0\n", "512", True),
        ("eth0", "INTERFACE=eth0\n", "1", False),
        ("wlan0", "DEVTYPE=wlan\n", "1", False),
        ("odd", "", "x", False),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "uevent").write_text(uevent)
        (tmp_path / name / "type").write_text(kind)
        assert is_modem(name, tmp_path) is modem
    assert not is_modem("gone", tmp_path)
    assert interface_of("127.0.0.1") == "lo" and interface_of("203.0.113.77") is None


def test_a_setting_says_whether_it_is_metered(tmp_path: Path) -> None:
    for setting, answer in (("yes", True), ("no", False)):
        meter = InterfaceMeter((), setting, tmp_path / "network.json", lambda: "b", lambda: "127.0.0.1")
        assert meter.metered() is answer and meter.read() is None


@pytest.mark.root
@pytest.mark.needs("ip")
def test_the_probe_measures_the_line_and_not_the_machine() -> None:
    rig = Rig(rate=10e6, delay_ms=100, loss=0.0)
    listen = (
        f"import socket, sys; one = socket.create_server(('{COUNTY}', 8000), backlog=99);"
        " print(1, flush=True); sys.stdin.read()"
    )
    try:
        command = [*rig.place("county").prefix, sys.executable, "-c", listen]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as county:
            assert county.stdout is not None and county.stdout.readline()
            command = [*rig.place("box1").prefix, sys.executable, "-c", _PROBE]
            command += [f"http://{COUNTY}:7", f"http://{COUNTY}:8000"]  # nobody listens at the first
            said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60).stdout
            county.kill()
        trips, local = json.loads(said)
        found = sorted(trip for trip in trips if trip)
        assert len(found) >= 8 and 0.2 <= found[0] < 0.25
        assert local == "10.77.1.11"
    finally:
        rig.close()


def test_where_nobody_answers_there_is_no_round_trip(wait_until: Callable[..., None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    probe = HandshakeProbe([f"http://127.0.0.1:{port}"], time.monotonic)
    samples: list[tuple[float, float | None]] = []
    probe.want(True)

    def some() -> bool:
        samples.extend(probe.samples())
        return bool(samples)

    wait_until(some, 20, "a sample")
    assert {trip for _, trip in samples} == {None}
    probe.close()


def test_no_address_is_no_thread() -> None:
    probe = HandshakeProbe([], time.monotonic)
    probe.want(True)
    assert probe.samples() == [] and probe.local is None
    probe.close()
