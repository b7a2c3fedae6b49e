"""Names on the wire, devices, the own Wi-Fi's rule and files, uplinks and shares: what is pure of them."""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import BOX_SETTINGS, BoxPaths, has_line, load_settings
from appliance.firstboot import network
from appliance.network import hotspot, names, shares, ssdp
from appliance.network.answering import Answerer
from appliance.network.lines import Line, free_radio, lines, parse_uplinks
from appliance.network.minding import NO_HELPER, NO_PASSWORD, NO_RADIO, Minder, read_lan
from appliance.network.prepare import Prepare, uplink_files
from appliance.network.wanted import wifi
from appliance.setting_file import change
from appliance.setup import blank
from content_sync.adapters.metering import InterfaceMeter, is_modem
from content_sync.errors import SettingError
from content_sync.formats.boxconfig import BoxConfig
from content_sync.formats.enrolment import Enrolment
from content_sync.formats.hotspot import hotspot_name, hotspot_password, psk
from content_sync.settings import Settings
from content_sync.testing.fakes import ManualClock

OWN = "192.168.1.10"
#: As Windows 10 asks for http://lesson/ : LLMNR, and the NetBIOS question for LESSON<00>.
WINDOWS_LLMNR = bytes.fromhex("8f5a00000001000000000000066c6573736f6e0000010001")
WINDOWS_NETBIOS = bytes.fromhex(
    "9c1f01100001000000000000"
    "20"
    + "".join(f"{0x41 + (b >> 4):02x}{0x41 + (b & 15):02x}" for b in b"LESSON         \0")
    + "00"
    + "00200001"
)


def test_llmnr_answers_for_its_name_alone() -> None:
    heard = names.hear_llmnr(WINDOWS_LLMNR, "lesson", OWN)
    assert heard.answer == bytes.fromhex("8f5a80000001000100000000") + WINDOWS_LLMNR[12:] + bytes.fromhex(
        "c00c000100010000001e0004c0a8010a"
    )
    assert names.hear_llmnr(WINDOWS_LLMNR, "lesson-2", OWN) == names.NOTHING
    assert names.hear_llmnr(WINDOWS_LLMNR + b"\0", "lesson", OWN).answer  # EDNS and the like may follow
    for flags in ("8000", "0800", "7800"):  # a response without answers, other kinds of question
        assert (
            names.hear_llmnr(bytes.fromhex(f"8f5a{flags}") + WINDOWS_LLMNR[4:], "lesson", OWN).answer == b""
        )


def test_llmnr_hears_who_else_has_the_name() -> None:
    answer = names.hear_llmnr(names.llmnr_query("lesson", 7), "lesson", "192.168.1.77").answer
    assert names.hear_llmnr(answer, "LESSON", OWN) == names.Heard(claims="192.168.1.77")
    assert names.hear_llmnr(answer, "other", OWN) == names.NOTHING


def test_netbios_answers_status_and_defends() -> None:
    answer = names.hear_netbios(WINDOWS_NETBIOS, "lesson", OWN).answer
    assert answer[:4] == bytes.fromhex("9c1f8500") and answer.endswith(bytes.fromhex("00060000c0a8010a"))
    assert names.hear_netbios(answer, "lesson", "192.168.1.20").claims == OWN
    assert names.hear_netbios(WINDOWS_NETBIOS, "lesson-2", OWN) == names.NOTHING
    assert names.hear_netbios(WINDOWS_NETBIOS, "a-name-of-16-let", OWN) == names.NOTHING
    register = bytearray(WINDOWS_NETBIOS) + bytes.fromhex("c00c00200001000493e000060000c0a80132")
    register[2:4] = bytes.fromhex("2910")
    assert names.hear_netbios(bytes(register), "lesson", OWN).answer[2:4] == bytes.fromhex("ad86")
    assert names.hear_netbios(bytes(register)[:-4] + bytes([192, 168, 1, 10]), "lesson", OWN).answer == b""


@given(st.binary(max_size=700), st.booleans())
def test_no_packet_raises(tail: bytes, ours: bool) -> None:
    for packet in (tail, WINDOWS_LLMNR[:12] + tail, WINDOWS_NETBIOS[:46] + tail):
        names.hear_llmnr(packet, "lesson", OWN)
        names.hear_netbios(packet, "lesson", OWN)
        ssdp.answers(b"M-SEARCH * HTTP/1.1\r\n" + packet if ours else packet, "u", "http://x/")


def test_upnp_says_who_it_is_and_where() -> None:
    device = ssdp.device_id("0" * 32)
    assert uuid.UUID(device).version == 5 and device != ssdp.device_id("1" * 32)
    text = ssdp.description(device, "课箱 希望<小学> lesson-2", "http://192.168.1.10/", "b-1")
    found = ElementTree.fromstring(text.encode())
    space = "{urn:schemas-upnp-org:device-1-0}"
    told = {one.tag.removeprefix(space): one.text for one in found.iter()}
    assert told["friendlyName"] == "课箱 希望<小学> lesson-2" and told["UDN"] == f"uuid:{device}"
    assert told["presentationURL"] == "http://192.168.1.10/"
    alive, bye = ssdp.notices(device, "http://192.168.1.10/upnp.xml"), ssdp.notices(device, "")
    assert all(
        b"NTS: ssdp:alive" in one and b"LOCATION: http://192.168.1.10/upnp.xml\r\n" in one for one in alive
    )
    assert all(b"NTS: ssdp:byebye" in one and b"LOCATION" not in one for one in bye) and len(bye) == 3


class Wire(Answerer):
    """An Answerer that stands on no network: what it asks is kept, what comes is put in."""

    def __init__(self, known: str | None = None) -> None:
        self.known, self.asked = known, [""]
        super().__init__("lesson", lambda: self.known, lambda: [OWN], 80, "device")

    def _open(self, on: tuple[str, ...]) -> None:
        self._on = on

    def _ask(self, name: str) -> None:
        self.asked.append(name)

    def _notify(self, here: bool) -> None:
        pass

    def until_named(self, now: float) -> float:
        for _ in range(50):
            now = self.step(now)
            if self.name:
                return now
        raise AssertionError(self.asked)


def test_a_name_that_is_taken_is_left_alone() -> None:
    one = Wire()
    one.step(0.0)
    one._contested("192.168.1.200", "192.168.1.200")
    assert one.until_named(0.0) and one.name == "lesson-2"


def test_two_lans_become_one_and_the_lower_address_keeps_the_name() -> None:
    keeps, leaves = Wire(), Wire()
    keeps.until_named(0.0)
    leaves.until_named(0.0)
    keeps._contested("192.168.1.200", "192.168.1.200")
    leaves._contested("192.168.1.2", "192.168.1.2")
    assert keeps.name == "lesson" and not leaves.name
    leaves.until_named(100.0)
    assert leaves.name == "lesson-2"


def test_it_is_called_as_multicast_dns_calls_it() -> None:
    one = Wire("lesson-3.local")
    now = one.until_named(0.0)
    assert one.name == "lesson-3"
    one.known = "lesson-4.local"
    one.until_named(one.step(now + 100))
    assert one.name == "lesson-4"
    one.known = "someone.local"  # not one of ours
    one.step(now + 200)
    assert one.name == "lesson-4"


def test_strangers_and_floods_get_no_answer() -> None:
    one = Wire()
    assert not one.admits("8.8.8.8", 1)
    assert [one.admits("192.168.1.3", 1) for _ in range(70)].count(True) == 60
    assert one.admits("192.168.1.3", 2)
    one.close()


# the own Wi-Fi


def test_the_wifi_comes_when_the_lan_goes_and_not_at_once() -> None:
    rule = hotspot.Rule()
    assert [rule.look("auto", False, False, now) for now in (0, 30, 59)] == [False] * 3
    assert rule.look("auto", False, False, 60)
    assert rule.look("auto", True, False, 70)
    assert rule.look("auto", False, False, 100) and rule.look(
        "auto", True, False, 110
    )  # a cable that wobbles
    assert rule.look("auto", True, True, 300)  # a class is watching by it
    assert not rule.look("auto", True, False, 301)
    assert rule.look("on", True, False, 302) and not rule.look("off", False, False, 303)


def enrolment(key: str | None) -> Enrolment:
    return Enrolment("甲县", ("http://c/",), "b-0123456789abcdef", "1", "一小", None, {}, key)


def test_its_name_and_password_come_from_the_enrolment_and_it_is_never_open_unasked() -> None:
    def made(key: str | None = "ab" * 32, **values: object) -> object:
        return wifi(Settings(BOX_SETTINGS, values), enrolment(key))

    plain = wifi(Settings(BOX_SETTINGS, {}), enrolment("ab" * 32))
    assert plain is not None and plain.name == "lesson-cdef" == hotspot_name("b-0123456789abcdef")
    assert re.fullmatch(r"\d{10}", plain.password) and plain.password == hotspot_password(
        enrolment("ab" * 32)
    )
    assert hotspot_password(enrolment("ac" * 32)) != plain.password
    assert made(None) is None and wifi(Settings(BOX_SETTINGS, {}), None) is None
    assert made(hotspot="off") is None
    opened = wifi(Settings(BOX_SETTINGS, {"hotspot_password": "open"}), None)
    assert opened is not None and (opened.password, opened.key) == ("", "")
    chosen = wifi(Settings(BOX_SETTINGS, {"hotspot_name": 'a;b"', "hotspot_password": "pass,word"}), None)
    assert chosen is not None and chosen.code == 'WIFI:T:WPA;S:a\\;b\\";P:pass\\,word;;'


def test_the_key_is_what_wpa_passphrase_makes() -> None:
    """IEEE 802.11i, test vectors of annex H.4.3."""
    assert psk("password", "IEEE") == "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    assert psk("ThisIsAPassword", "ThisIsASSID").startswith("0dc0d6eb90555ed6")


def test_nothing_typed_becomes_a_line_of_its_own() -> None:
    text = hotspot.hostapd("wlan0", "x\ninterface=eth9", "ab" * 32, "CN", 6)
    assert "eth9" not in text and text.count("interface=") == 1
    assert "wpa" not in hotspot.hostapd("wlan0", "x", "", "CN", 6)
    with pytest.raises(SettingError):
        hotspot.hostapd("wlan0", "课" * 11, "ab" * 32, "CN", 6)
    assert {hotspot.channel_of(f"lesson-{n:04x}") for n in range(50)} == {1, 6, 11}


# lines


def interface(net: Path, name: str, up: bool = True, **more: str) -> None:
    (net / name).mkdir(parents=True)
    (net / name / "carrier").write_text("1\n" if up else "0\n")
    for path, text in more.items():
        (net / name / path).write_text(text)


def test_lines_by_what_the_kernel_shows(tmp_path: Path) -> None:
    net = tmp_path / "net"
    interface(net, "eth0", uevent="INTERFACE=eth0\n", type="1\n")
    interface(net, "wwan0", uevent="DEVTYPE=wwan\n", type="1\n")
    interface(net, "docker0")
    interface(net, "eth1", up=False)
    interface(net, "wlan0", up=False)
    (net / "wlan0" / "wireless").mkdir()
    # a 4G stick that says it is a network card, and a card with the same driver
    for name, maker in (("usb0", "12d1"), ("enx1", "0bda")):
        device = tmp_path / "devices" / maker / "1:1.0"
        device.mkdir(parents=True)
        (device.parent / "idVendor").write_text(maker + "\n")
        (tmp_path / "drivers" / "cdc_ether").mkdir(parents=True, exist_ok=True)
        (device / "driver").symlink_to(tmp_path / "drivers" / "cdc_ether")
        interface(net, name, uevent="", type="1\n")
        (net / name / "device").symlink_to(device)
    found = {line.name: line for line in lines({"eth1": "receive"}, net)}
    assert sorted(found) == ["enx1", "eth0", "eth1", "usb0", "wlan0", "wwan0"]
    assert {name: line.out for name, line in found.items() if line.out} == {
        "eth1": "receive", "usb0": "modem", "wwan0": "modem",
    }  # fmt: skip
    assert is_modem("usb0", net) and not is_modem("enx1", net)
    assert free_radio(list(found.values()), lambda name: False) == "wlan0"
    assert free_radio(list(found.values()), lambda name: name == "wlan0") == ""


def test_an_address_that_a_machine_gave_itself_is_no_lan() -> None:
    assert Line("eth0", True, ("169.254.7.7",)).lan == ()
    assert Line("eth0", True, ("169.254.7.7", OWN)).lan == (OWN,)
    assert Line("usb0", True, (OWN,), out="metered").lan == () == Line("eth0", False, (OWN,)).lan


@pytest.mark.parametrize(
    "text", ["usb0", "usb0 dear", "../x free", "a" * 16 + " free", "usb0 free\n[Network]"]
)
def test_an_uplink_that_cannot_be(text: str) -> None:
    with pytest.raises(SettingError):
        parse_uplinks([text])


def test_uplinks_for_networkd_and_for_the_budget(tmp_path: Path) -> None:
    files = uplink_files(parse_uplinks(["usb0 metered", "eth1 receive", "eth2  free"]))
    assert "RouteMetric=4096" in files["05-lessonbox-uplink-usb0.network"]
    assert "UseGateway=no" in files["05-lessonbox-uplink-eth1.network"]
    assert "RouteMetric" not in files["05-lessonbox-uplink-eth1.network"]

    def line(*uplinks: str, **more: object) -> bool:
        return has_line(Settings(BOX_SETTINGS, {"uplinks": uplinks, **more}))

    assert line() and line("usb0 metered", "eth1 receive") and not line("eth1 receive")
    assert not line("usb0 metered", sources=("drop",))

    def meter(own: Sequence[str], free: Sequence[str]) -> bool | None:
        return InterfaceMeter(
            own, "auto", tmp_path / "none", lambda: "b", lambda: "127.0.0.1", free
        ).metered()

    assert (meter(["lo"], []), meter([], ["lo"]), meter([], [])) == (True, False, None)


# shares


def shared(**values: object) -> Settings:
    return Settings(BOX_SETTINGS, values)


@pytest.mark.parametrize(
    "share",
    ["/recv", "//pc", "//pc/a,uid=0", "//pc/a\nOptions=exec", "//-x/a", "//pc/" + "a" * 101, "\\\\pc\\a"],
)
def test_a_share_that_cannot_be(tmp_path: Path, share: str) -> None:
    blank(tmp_path)
    with pytest.raises(SettingError):
        change(BoxPaths(tmp_path).config, {"receiver_share": share})
    assert load_settings(tmp_path).text("receiver_share") == ""


def test_the_receivers_folder_is_read_only_and_by_smb1_only_when_asked(tmp_path: Path) -> None:
    settings = shared(
        receiver_share="//192.168.1.20/接收 100%", receiver_user="a,uid=0", receiver_password="p"
    )
    units = shares.mount_units(settings, tmp_path / "secret", 1001, 1002)
    mount = units[f"{shares.MOUNT}.mount"]
    assert "What=//192.168.1.20/接收 100%%\n" in mount and f"Where={shares.RECEIVED}\n" in mount
    (options,) = re.findall(r"^Options=(.*)$", mount, re.MULTILINE)
    words = options.split(",")
    assert {"ro", "nosuid", "nodev", "noexec", "soft", f"credentials={tmp_path}/secret", "uid=1001"} <= set(
        words
    )
    assert "uid=0" not in words and not any(word.startswith("vers=") for word in words)
    assert "p" not in words and "a" not in words
    assert shares.credentials(settings) == "username=a,uid=0\npassword=p\n"
    old = shares.mount_units(shared(receiver_share="//pc/a", receiver_smb1=True), tmp_path, 1, 1)
    assert "guest,vers=1.0" in old[f"{shares.MOUNT}.mount"]
    assert shares.mount_units(shared(), tmp_path, 1, 1) == {}
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in units)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "lessonbox" not in done.stderr, done.stderr


def test_roots_part_lays_files_and_takes_them_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.network.prepare.USER", "root")
    data, run, did = tmp_path / "data", tmp_path / "run", []
    blank(data)
    run.mkdir()

    def prepare() -> list[str]:
        did.clear()
        assert Prepare(data, run, lambda command: did.append(" ".join(command)) or "").all() == []  # type: ignore[func-returns-value]
        return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())

    assert prepare() == [] and did == ["systemctl --no-block stop lessonbox-share.service"]
    change(BoxPaths(data).config, {
        "uplinks": ("usb0 metered",), "receiver_share": "//pc/a", "receiver_user": "u",
        "receiver_password": "geheim-1", "share_drop": True, "share_password": "geheim-2",
    })  # fmt: skip
    assert prepare() == [
        "lessonbox-network/receiver.credentials", "lessonbox-network/share.password",
        "lessonbox-network/smb.conf", "systemd/network/05-lessonbox-uplink-usb0.network",
        f"systemd/system/{shares.MOUNT}.automount", f"systemd/system/{shares.MOUNT}.mount",
    ]  # fmt: skip
    for secret in ("receiver.credentials", "share.password"):
        assert (run / "lessonbox-network" / secret).stat().st_mode & 0o777 == 0o600
    assert not any("geheim" in command for command in did)
    assert did == [
        "networkctl reload", "systemctl daemon-reload", f"systemctl restart {shares.MOUNT}.automount",
        "systemctl --no-block restart lessonbox-share.service",
    ]  # fmt: skip
    assert prepare() and did == []  # nothing changed: nothing is disturbed
    change(BoxPaths(data).config, {"lan_gateway": "no"})
    added = [name for name in prepare() if "no-gateway" in name]
    assert did == ["networkctl reload"] and [Path(name).parent.name for name in added] == [
        "10-lessonbox-cable.network.d", "10-lessonbox-wifi.network.d", "80-lan.network.d",
    ]  # fmt: skip
    assert "[DHCPv4]\nUseGateway=no\n" in (run / added[2]).read_text("utf-8")
    assert all(set(network.networks(config)) <= {Path(one).parent.name.removesuffix(".d") for one in added}
               for config in (BoxConfig(wifi_name="x"), BoxConfig(address="10.0.0.2/8")))  # fmt: skip
    change(BoxPaths(data).config, {"lan_gateway": "yes"})
    assert not any("gateway" in name for name in prepare()) and did == ["networkctl reload"]
    change(
        BoxPaths(data).config, {"uplinks": (), "receiver_share": "", "receiver_user": "", "share_drop": False}
    )
    assert prepare() == []
    assert "systemctl --no-block stop lessonbox-share.service" in did


# what `lessonbox lan` minds


class Asked:
    """A helper that keeps what it was asked."""

    def __init__(self) -> None:
        self.verbs: list[str] = []

    def there(self) -> bool:
        return True

    def ask(self, verb: str, name: str = "") -> None:
        self.verbs.append(verb)


def test_the_wifi_is_asked_for_only_where_it_can_be(tmp_path: Path) -> None:
    data, net, clock, helper = tmp_path / "data", tmp_path / "net", ManualClock(), Asked()
    blank(data)
    interface(net, "eth0", up=False)

    def look(seconds: float) -> str:
        for _ in range(int(seconds // 10)):
            clock.go(10)
            minder.step("lesson")
        told = read_lan(data / "lan.json")
        assert told is not None and told.name == "lesson"
        return told.why

    minder = Minder(data, clock, helper, net)  # type: ignore[arg-type]
    assert look(100) == NO_PASSWORD and helper.verbs == []
    change(BoxPaths(data).config, {"hotspot_password": "12345678"})
    assert look(20) == NO_RADIO and helper.verbs == []
    interface(net, "wlan0", up=False)
    (net / "wlan0" / "wireless").mkdir()
    assert look(20) == "" and helper.verbs == ["hotspot-on"]
    change(BoxPaths(data).config, {"hotspot": "off"})
    assert look(20) == "" and helper.verbs[-1] == "hotspot-off"
    with pytest.raises(SettingError):
        change(BoxPaths(data).config, {"hotspot_password": "短"})
    BoxPaths(data).config.write_text("nonsense = 1\n")
    look(20)  # what held before goes on
    helper.there = lambda: False  # type: ignore[method-assign]
    BoxPaths(data).config.write_text('hotspot = "on"\nhotspot_password = "12345678"\n')
    assert look(20) == NO_HELPER
