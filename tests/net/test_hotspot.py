"""The box's own Wi-Fi as far as this machine has one: a wire in place of the radio, and on it real dnsmasq,
real `lessonbox web` and a telephone that asks for a lease, resolves and makes its maker's test of the
network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.helper import run_command
from appliance.network import hotspot
from appliance.network.prepare import Prepare
from tests.box import sample
from tests.e2e.programs import set_settings, wait_until
from tests.net.lan import SchoolLan

pytestmark = [pytest.mark.root, pytest.mark.needs("ip", "dnsmasq", "hostapd", "busybox")]
BOX = hotspot.ADDRESS
#: Each maker's test: who asks, what, and what the Internet would answer.
PROBES = {
    "captive.apple.com/hotspot-detect.html": (200, "Success"),
    "connectivitycheck.gstatic.com/generate_204": (204, ""),
    "connect.rom.miui.com/generate_204": (204, ""),
    "connectivitycheck.platform.hicloud.com/generate_204": (204, ""),
    "wifi.vivo.com.cn/generate_204": (204, ""),
    "conn1.oppomobile.com/generate_204": (204, ""),
    "www.msftconnecttest.com/connecttest.txt": (200, "Microsoft Connect Test"),
    "www.msftncsi.com/ncsi.txt": (200, "Microsoft NCSI"),
}
_ASK = """
import http.client, json, sys
host, path, method, body = sys.argv[1:5]
one = http.client.HTTPConnection('10.77.77.1', 80, timeout=60)
headers = {'Host': host} | ({'Content-Type': 'application/x-www-form-urlencoded'} if body else {})
headers |= json.loads(sys.argv[5])
one.request(method, path, body or None, headers)
answer = one.getresponse()
said = dict((k.lower(), v) for k, v in answer.getheaders())
print(json.dumps([answer.status, said, answer.read().decode('utf-8', 'replace')]))
"""
#: What busybox's DHCP client does with a lease: it takes the address and says all of it.
_LEASED = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" broadcast + dev "$interface"
echo "$ip $mask $router $dns $lease"
"""


class Telephone:
    """What one on the own Wi-Fi does."""

    def __init__(self, lan: SchoolLan) -> None:
        self._lan = lan

    def ask(
        self, host: str, path: str, method: str = "GET", body: str = "", **more: str
    ) -> tuple[int, dict[str, str], str]:
        status, headers, text = json.loads(
            self._lan.python("phone", _ASK, host, path, method, body, json.dumps(more))
        )
        return status, headers, text

    def resolve(self, name: str, kind: str = "A") -> str:
        return self._lan.run("phone", "busybox", "nslookup", f"-type={kind}", name, BOX, ok=(0, 1))


@pytest.fixture(scope="module")
def air(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SchoolLan, list[str]]]:
    """A box that made its Wi-Fi, and a telephone with a lease: its words."""
    folder = tmp_path_factory.mktemp("air")
    box, _ = sample(folder / "box", 1_795_000_000)
    box.paths.config.write_text("")
    set_settings(box.paths.config, hotspot="on", hotspot_name="课箱", hotspot_password="12345678")
    net = folder / "net"
    (net / "eth0" / "wireless").mkdir(parents=True)
    (net / "eth0" / "carrier").write_text("1\n")
    lan = SchoolLan({"box": 1, "phone": 1})
    try:
        lan.run("phone", "ip", "address", "flush", "dev", "eth0")
        make = Prepare(folder / "box", folder / "run", lambda command: lan.run("box", *command))
        (folder / "run").mkdir()
        assert make.hotspot(lambda radio: False, net) == "eth0"
        own = folder / "run" / "lessonbox-hotspot"
        run_command(["dnsmasq", "--test", f"--conf-file={own}/dnsmasq.conf"])
        lan.start(
            "box",
            "dnsmasq",
            f"--conf-file={own}/dnsmasq.conf",
            "--keep-in-foreground",
            "--user=root",
            "--log-facility=-",
        )
        lan.start(
            "box",
            sys.executable,
            "-m",
            "appliance",
            "web",
            "--data",
            str(folder / "box"),
            "--listen",
            "0.0.0.0:80",
        )
        script = folder / "leased"
        script.write_text(_LEASED)
        script.chmod(0o755)
        client = ("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-t", "60", "-T", "1", "-s", str(script))
        said = lan.run("phone", *client)
        phone = Telephone(lan)

        def answers() -> bool:
            with suppress(AssertionError):
                return phone.ask(BOX, "/healthz")[0] == 200
            return False

        wait_until(answers, "web answers on the own Wi-Fi")
        yield lan, next(line for line in said.splitlines() if line.startswith("10.77.77.")).split()
    finally:
        lan.close()


@pytest.fixture
def phone(air: tuple[SchoolLan, list[str]]) -> Telephone:
    return Telephone(air[0])


def test_hostapd_takes_what_is_written_for_it(air: tuple[SchoolLan, list[str]], tmp_path: Path) -> None:
    """Its own parser, and all of its start but the radio (`driver=none`)."""
    text = hotspot.hostapd("lo", "课箱 一小", "ab" * 32, "CN", 6).replace("driver=nl80211", "driver=none")
    (tmp_path / "hostapd.conf").write_text(text)
    process = air[0].start("box", "hostapd", "-d", str(tmp_path / "hostapd.conf"))
    assert process.stdout is not None
    said = ""
    while "AP-ENABLED" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    process.kill()
    assert "errors found" not in said and "unknown configuration" not in said
    (tmp_path / "wrong.conf").write_text(text + "nonsense=1\n")
    done = subprocess.run(
        ["hostapd", str(tmp_path / "wrong.conf")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "unknown configuration item" in done.stdout  # it does read all lines


def test_a_lease(air: tuple[SchoolLan, list[str]]) -> None:
    address, mask, router, server, seconds = air[1]
    assert 20 <= int(address.rpartition(".")[2]) <= 250 and address.startswith("10.77.77.")
    assert (mask, router, server, seconds) == ("24", BOX, BOX, "7200")


def test_names(phone: Telephone) -> None:
    for name in ("lesson", "lesson.local", "captive.apple.com", "www.example.com"):
        assert f"Address: {BOX}" in phone.resolve(name), name
    assert "131.107.255.255" in phone.resolve("dns.msftncsi.com")  # Windows asks for just this
    assert "Address: " not in phone.resolve("captive.apple.com", "AAAA").partition("Name:")[2]


@pytest.mark.parametrize("probe", PROBES)
def test_each_makers_test_leads_to_the_page_and_to_nothing_else(phone: Telephone, probe: str) -> None:
    host, _, path = probe.partition("/")
    status, headers, body = phone.ask(host, f"/{path}")
    assert (status, headers["location"]) == (302, f"http://{BOX}/captive")
    assert headers["cache-control"] == "no-store" and "set-cookie" not in headers
    assert host not in body


def test_the_page_and_the_two_ways(phone: Telephone) -> None:
    status, _, page = phone.ask(BOX, "/captive")
    assert status == 200 and "看课" in page and "自己的流量" in page and f"http://{BOX}/" in page
    own = {"Origin": f"http://{BOX}"}
    status, headers, _ = phone.ask(BOX, "/captive", "POST", "use=lessons", **own)
    assert (status, headers["location"]) == (303, "/")
    for probe, expected in PROBES.items():
        host, _, path = probe.partition("/")
        status, headers, body = phone.ask(host, f"/{path}")
        assert status == expected[0] and expected[1] in body and "set-cookie" not in headers
    assert phone.ask("www.example.com", "/")[0] == 302  # any other request still finds the box
    assert phone.ask(BOX, "/captive", "POST", "use=both", **own)[0] == 303
    assert phone.ask("captive.apple.com", "/hotspot-detect.html")[0] == 302


def test_a_strangers_name_shows_no_page_and_changes_nothing(phone: Telephone) -> None:
    for path in ("/", "/pin", "/school", "/api/v1/status", "//evil.example/", "/captive"):
        status, headers, _ = phone.ask("bank.example", path)
        assert (status, headers["location"]) == (302, f"http://{BOX}/captive"), path
        assert "set-cookie" not in headers
    assert phone.ask("bank.example", "/pin", "POST", "pin=123456")[0] == 403
    assert (
        phone.ask("bank.example", "/captive", "POST", "use=lessons", Origin="http://bank.example")[0] == 403
    )
    # under the box's own name, but sent by a stranger's page
    assert phone.ask(BOX, "/captive", "POST", "use=lessons", Origin="http://bank.example")[0] == 403
    assert phone.ask("captive.apple.com", "/hotspot-detect.html")[0] == 302
    for own in (BOX, "lesson", "lesson.local", "LESSON-2.local", f"{BOX}:80"):
        assert phone.ask(own, "/")[0] == 200


def test_the_lan_has_no_such_page(air: tuple[SchoolLan, list[str]]) -> None:
    """Who comes by another address of the box is not on its Wi-Fi: a name that a school gave it holds."""
    lan = air[0]
    with suppress(AssertionError):
        lan.run("box", "ip", "address", "add", "10.79.1.1/24", "dev", "eth0")
    text = _ASK.replace(BOX, "10.79.1.1")
    assert json.loads(lan.python("box", text, "box.school.example", "/", "GET", "", "{}"))[0] == 200
    assert json.loads(lan.python("box", text, "10.79.1.1", "/captive", "GET", "", "{}"))[0] == 404
