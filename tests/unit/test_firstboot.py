"""What a box makes of its card: files for networkd and wpa_supplicant, the claim, and cards of nonsense."""

from __future__ import annotations

import json
import random
import re
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.config import BoxPaths, load_settings, read_enrolment
from appliance.firstboot import network
from appliance.firstboot.boot import NOT_ENROLLED, Boot
from appliance.firstboot.console import ISSUE, Trouble, issue, pinyin, refresh, troubles_of
from appliance.firstboot.host import SystemHost
from appliance.firstboot.wiring import open_state
from appliance.health.problems import keep, kept
from appliance.setting_file import change, with_setting
from appliance.setup import SetupByPage, blank, enrol
from appliance.status import read_status
from content_sync.errors import EnrolError, NotFoundError
from content_sync.formats.boxconfig import CONFIG_NAME, BoxConfig
from content_sync.formats.enrolment import Enrolment, dump_enrolment, of_one_county, parse_enrolment
from content_sync.ports import Problem
from tests.faults.test_firstboot_faults import QuietHost
from tests.unit.small_county import SmallCounty

NOW = 1_760_000_000


class Sticks(QuietHost):
    """A machine with these sticks."""

    def __init__(self, *sticks: Path) -> None:
        super().__init__()
        self._sticks = sticks

    def sticks(self) -> tuple[Path, ...]:
        return self._sticks


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Enrolment files of three boxes; the last has no claim."""
    root = json.loads(SmallCounty(tmp_path_factory.mktemp("county")).root)
    return [
        dump_enrolment(
            Enrolment(
                "清河县",
                ("http://c.test",),
                f"b-{n:016x}",
                "001",
                "溪口",
                f"{n:032x}" if n < 3 else None,
                root,
            )
        )
        for n in (1, 2, 3)
    ]


def boot(folder: Path, config: bytes = b"", paper: bytes = b"", *sticks: Path) -> Boot:
    """A start with this on the card."""
    for name in ("card", "run"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if config:
        (folder / "card" / CONFIG_NAME).write_bytes(config)
    if paper:
        (folder / "card" / "enrolment.json").write_bytes(paper)
    return Boot(folder / "card", folder / "data", folder / "run", Sticks(*sticks), NOW)


def test_wifi_as_wpa_passphrase_makes_it() -> None:
    made = network.wpa(BoxConfig(wifi_name="IEEE", wifi_password="password"))
    assert (
        "\tpsk=f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e\n" in made
    )  # IEEE 802.11i, H.4.1
    assert "\tssid=49454545\n" in made and "country=CN" in made
    tricky = network.wpa(BoxConfig(wifi_name='a"\\b}#', wifi_password='"};network={"'))
    assert tricky.count("network={") == 1 and tricky.count("}") == 1
    assert "key_mgmt=NONE" in network.wpa(BoxConfig(wifi_name="open")) and network.wpa(BoxConfig()) == ""
    assert f"psk={'ab' * 32}\n" in network.wpa(BoxConfig(wifi_name="x", wifi_password="AB" * 32))


def test_addresses_go_to_the_wifi_where_there_is_one() -> None:
    fixed = BoxConfig(address="10.1.2.3/24", gateway="10.1.2.1", dns=("10.1.2.1", "223.5.5.5"))
    cable = network.networks(fixed)
    assert list(cable) == [network.CABLE]
    for line in ("Type=ether", "Address=10.1.2.3/24", "Gateway=10.1.2.1", "DNS=223.5.5.5", "DHCP=no"):
        assert f"{line}\n" in cable[network.CABLE]
    assert "Gateway" not in network.networks(replace(fixed, lan_gateway="no"))[network.CABLE]
    wifi = network.networks(BoxConfig(wifi_name="x", address="10.1.2.3/24"))
    assert list(wifi) == [network.WIFI] and "Type=wlan\n" in wifi[network.WIFI]
    assert "DHCP=yes" in network.networks(BoxConfig(wifi_name="x"))[network.WIFI]
    assert network.networks(BoxConfig(host_name="x")) == {}


def test_a_box_without_anything_on_its_card_comes_up(tmp_path: Path) -> None:
    start = boot(tmp_path)
    assert start.work() == []
    assert start.host.shown == NOT_ENROLLED  # type: ignore[attr-defined]
    assert load_settings(start.data) and not BoxPaths(start.data).enrolment.exists()
    codes = [problem["code"] for problem in read_status(start.data)["problems"]]
    assert codes == ["E-UNENROLLED"]
    assert "/enrol" in (tmp_path / "run/issue.d/lessonbox.issue").read_text()


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
def test_whoever_wrote_it_the_config_is_done(tmp_path: Path, papers: list[bytes], coding: str) -> None:
    text = "主机名 = lesson-9\r\n无线名称 = 学校的网\r\n无线密码 = geheim123\r\n代理 = 192.168.1.2:8080\r\n"
    mark = b"\xfe\xff" if coding == "utf-16-be" else b""
    start = boot(tmp_path, mark + text.encode(coding), papers[0])
    assert start.work() == []
    settings = load_settings(start.data)
    assert settings.text("host_name") == "lesson-9" and settings.text("proxy") == "http://192.168.1.2:8080"
    assert "学校的网".encode().hex() in (start.own / "wpa.conf").read_text()
    assert (start.own / "wpa.conf").stat().st_mode & 0o777 == 0o600
    assert start.host.name == "lesson-9" and start.host.shown == "well"  # type: ignore[attr-defined]
    assert read_enrolment(BoxPaths(start.data)).box == "b-" + f"{1:016x}"


def test_nonsense_never_stops_it_and_each_line_is_named(tmp_path: Path) -> None:
    start = boot(
        tmp_path,
        "地址 = 300.1.1.1/24\n热点 = 也许\nhost_name = --\nwas ist das\n代理 = ::\nhost_name = a\n".encode(),
    )
    found = start.work()
    assert {p.code for p in found} == {"E-CONFIG"} and len(found) >= 5
    shown = [p for p in read_status(start.data)["problems"] if p["code"] == "E-CONFIG"]
    assert any("第1行" in p["message"] for p in shown)
    said = (tmp_path / "run/issue.d/lessonbox.issue").read_text()
    assert "501-" in said and said.isascii()
    assert start.host.shown == "trouble"  # type: ignore[attr-defined]


def test_what_kept_the_data_from_its_disk_is_told_and_no_claim_is_used_up(
    tmp_path: Path, papers: list[bytes]
) -> None:
    """An image whose data is only memory says so before (images/files/usr/lib/lessonbox/data)."""
    start = boot(tmp_path, b"", papers[0])
    (start.data / "not-kept").parent.mkdir()
    (start.data / "not-kept").touch()
    (start.run / "lessonbox").mkdir()
    (start.run / "lessonbox" / "trouble").write_text("硬盘不在\tthe disk is not there: plug it in\n", "utf-8")
    found = start.work()
    assert [(p.code, p.subject) for p in found] == [("E-STORAGE", "disk"), ("E-STORAGE", "enrolment")]
    assert found[0].message == "硬盘不在（the disk is not there: plug it in）"
    assert (start.card / "enrolment.json").read_bytes() == papers[0]
    assert not BoxPaths(start.data).enrolment.exists() and load_settings(start.data)
    assert "plug it in" in (start.run / "issue.d" / "lessonbox.issue").read_text()
    (start.data / "not-kept").unlink()
    (start.run / "lessonbox" / "trouble").unlink()
    assert boot(tmp_path).work() == [] and BoxPaths(start.data).enrolment.exists()


def test_what_the_card_says_no_more_is_taken_back(tmp_path: Path) -> None:
    start = boot(
        tmp_path, b"proxy = 10.0.0.1:80\nuplinks = usb0 metered\nhost_name = lesson-9\nhotspot = on\n"
    )
    assert start.work() == [] and load_settings(start.data).text("hotspot") == "on"
    change(BoxPaths(start.data).config, {"hotspot": "off", "wifi_country": "DE"})  # a page, a hand
    for unreadable in (b"", b"\xff\xfe\0" * 9):
        (start.card / CONFIG_NAME).write_bytes(unreadable)
        boot(tmp_path).work()
        assert load_settings(start.data).text("proxy") == "http://10.0.0.1:80", "a torn card takes nothing"
    assert boot(tmp_path, b"# proxy = 10.0.0.1:80\n# host_name = x\n").work() == []
    settings = load_settings(start.data)
    assert settings.text("proxy") == "" and settings.texts("uplinks") == ()
    assert settings.text("host_name") == "lesson"
    assert (settings.text("hotspot"), settings.text("wifi_country")) == ("off", "DE"), "no card gave these"


@pytest.mark.parametrize(("word", "kept"), [("不能", "no"), ("no", "no"), ("能", "yes"), ("也许", "yes")])
def test_a_lan_that_leads_nowhere(tmp_path: Path, word: str, kept: str) -> None:
    start = boot(tmp_path, f"局域网能上网 = {word}\nuplinks = usb0 metered\n".encode())
    assert len(start.work()) == (word == "也许")
    assert load_settings(start.data).text("lan_gateway") == kept
    boot(tmp_path, b"uplinks = usb0 metered\n").work()
    assert load_settings(start.data).text("lan_gateway") == "yes", "the router was mended"


def test_a_fixed_gateway_goes_where_the_page_says_that_it_leads_nowhere(tmp_path: Path) -> None:
    fixed = b"address = 10.1.2.3/24\ngateway = 10.1.2.1\n"
    start = boot(tmp_path, fixed)
    cable = start.run / "systemd" / "network" / network.CABLE
    assert start.work() == [] and "Gateway=10.1.2.1\n" in cable.read_text()
    change(BoxPaths(start.data).config, {"lan_gateway": "no"})
    assert boot(tmp_path, fixed).work() == [] and "Gateway" not in cable.read_text()


def test_a_key_without_a_value_clears_whoever_set_it(tmp_path: Path) -> None:
    start = boot(tmp_path)
    start.work()
    change(BoxPaths(start.data).config, {"proxy": "http://无", "hotspot_name": "x"})
    assert boot(tmp_path, "代理 = 无\nhotspot_name =\n".encode()).work() == []
    settings = load_settings(start.data)
    assert settings.text("proxy") == "" and settings.text("hotspot_name") == ""


@pytest.mark.parametrize("letters", [60, 61, 63])
def test_a_long_name_costs_no_other_line(tmp_path: Path, letters: int) -> None:
    start = boot(tmp_path, f"host_name = {'a' * letters}\nproxy = 10.0.0.1:80\n".encode())
    assert [(p.code, p.subject) for p in start.work()] == [("E-CONFIG", CONFIG_NAME)] * (letters > 60)
    assert load_settings(start.data).text("proxy") == "http://10.0.0.1:80"


def test_many_cards_of_noise(tmp_path: Path) -> None:
    chance = random.Random(5)
    words = [
        "host_name",
        "=",
        "wifi_name",
        "\0",
        "\r",
        "\n",
        "“",
        "lesson",
        "地址",
        "10.0.0.1/8",
        "\\4",
        "@",
        "ssh_key",
        " ",
    ]
    start = boot(tmp_path)
    for number in range(40):
        text = "".join(chance.choice(words) for _ in range(40)).encode("gb18030" if number % 2 else "utf-8")
        (start.card / CONFIG_NAME).write_bytes(text + (chance.randbytes(30) if number % 3 == 0 else b""))
        again = Boot(start.card, start.data, start.run, Sticks(), NOW)
        again.work()
        assert load_settings(start.data)
        said = (tmp_path / "run/issue.d/lessonbox.issue").read_text()
        assert "\\" not in said.replace("\\4", "")
        assert "@" not in said


def test_the_claim_is_erased_and_a_later_start_needs_no_card(tmp_path: Path, papers: list[bytes]) -> None:
    start = boot(tmp_path, b"", papers[0])
    inode = (start.card / "enrolment.json").open("rb")  # still open: what the sectors hold
    assert start.work() == []
    assert set(inode.read()) == {0} and list(start.card.iterdir()) == []
    inode.close()
    with closing(open_state(BoxPaths(start.data).state_db)) as state:
        assert state.meta("school_name") == "溪口", "the pages say it before the county is heard"
    assert boot(tmp_path).work() == []


def test_of_used_files_only_its_own_are_erased(tmp_path: Path, papers: list[bytes]) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    kept = {"三年级成绩.used": b"1,2", "a.json.used": b"{}", "enrolment.json.used": papers[1]}
    for name, content in kept.items():
        (stick / name).write_bytes(content)
    for folder in ("x.used", "x.json.lessonbox-used"):
        (stick / folder).mkdir()
    (stick / "y.json.lessonbox-used").symlink_to(stick / "a.json.used")
    (stick / "school.json.lessonbox-used").write_bytes(papers[1][:40])
    start = boot(tmp_path, b"", papers[0], stick)
    assert start.work() == [] and BoxPaths(start.data).enrolment.exists()
    assert {p.name: p.read_bytes() for p in stick.iterdir() if p.is_file() and not p.is_symlink()} == kept
    assert list(start.card.iterdir()) == []


@pytest.mark.parametrize(
    "paper", [b"", b"{}", b"\0" * 300, b"\xff\xfe{", b'{"format": "lessonbox-enrolment/1"}']
)
def test_a_damaged_enrolment_file_is_told(tmp_path: Path, paper: bytes) -> None:
    start = boot(tmp_path, b"host_name = lesson-3\n")
    (start.card / "enrolment.json").write_bytes(paper)
    assert [p.code for p in start.work()] == ["E-ENROL"]
    assert load_settings(start.data).text("host_name") == "lesson-3", "the rest is done all the same"
    assert (start.card / "enrolment.json").read_bytes() == paper


@pytest.mark.parametrize("change", [{"school_code": "002"}, {"county": "别的县"}, {"root": {}}])
def test_another_schools_file_changes_nothing(
    tmp_path: Path, papers: list[bytes], change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    boot(tmp_path, b"", papers[0]).work()
    there = replace(parse_enrolment(papers[1]), **change)
    if not there.root:  # a county that was begun anew under its old name
        monkeypatch.setattr("appliance.setup.usable", lambda content, name: parse_enrolment(content))
    start = boot(tmp_path, b"", dump_enrolment(there))
    found = start.work()
    assert [p.code for p in found] == ["E-OTHER-SCHOOL"] and there.school_code in found[0].message
    assert start.host.shown == "trouble"  # type: ignore[attr-defined]
    assert read_enrolment(BoxPaths(start.data)).box == "b-" + f"{1:016x}"
    assert (start.card / "enrolment.json").read_bytes() == dump_enrolment(there)


def test_a_new_card_beside_the_schools_old_disk_lets_its_box_go_on(
    tmp_path: Path, papers: list[bytes]
) -> None:
    first = boot(tmp_path, b"", papers[0])
    first.work()
    key = BoxPaths(first.data).key.read_bytes()
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "b.json").write_bytes(papers[1])
    start = boot(tmp_path, b"", papers[1], stick)
    assert [p.code for p in start.work()] == ["E-SPARE-CLAIM"]
    assert start.host.shown == "well", "a notice, no trouble"  # type: ignore[attr-defined]
    assert read_enrolment(BoxPaths(start.data)).box == "b-" + f"{1:016x}"
    assert BoxPaths(start.data).key.read_bytes() == key and list(start.card.iterdir()) == []
    assert (stick / "b.json").read_bytes() == papers[1], "a stick may be for another box"
    again = boot(tmp_path, b"", b"", stick)
    assert again.work() == [] and read_status(start.data)["problems"] == [], "told once"


def test_files_of_one_county_know_each_other_by_the_roots_keys(papers: list[bytes]) -> None:
    here = parse_enrolment(papers[0])
    assert of_one_county(here, parse_enrolment(papers[1]))
    signed = {**here.root["signed"], "roles": {"root": {"keyids": ["new"], "threshold": 1}}}
    both = [{"keyid": "new"}, *here.root["signatures"]]
    rotated = replace(here, root={"signed": signed, "signatures": both})
    assert of_one_county(here, rotated) and of_one_county(rotated, here)
    stranger = replace(here, root={"signed": signed, "signatures": [{"keyid": "new"}]})
    assert not of_one_county(here, stranger) and not of_one_county(replace(here, root={"signed": 3}), here)


def test_a_stick_enrols_when_it_can_only_mean_one_box(tmp_path: Path, papers: list[bytes]) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    for number, paper in enumerate(papers):
        (stick / f"school-{number}.json").write_bytes(paper)
    start = boot(tmp_path / "a", b"", b"", stick)
    assert [p.code for p in start.work()] == ["E-ENROL"] and not BoxPaths(start.data).enrolment.exists()
    (stick / "school-1.json").unlink()
    start = boot(tmp_path / "a", b"", b"", stick)
    assert start.work() == [] and read_enrolment(BoxPaths(start.data)).box == "b-" + f"{1:016x}"
    assert sorted(p.name for p in stick.iterdir()) == ["school-2.json"]


def test_by_page_it_is_taken_once(tmp_path: Path, papers: list[bytes]) -> None:
    blank(tmp_path)
    open_state(BoxPaths(tmp_path).state_db).close()
    page = SetupByPage(tmp_path, ())
    assert page.needed() and page.offers() == []
    with pytest.raises(EnrolError):
        page.take(papers[2])
    with pytest.raises(NotFoundError):
        page.take_from("../../enrolment.json")
    assert page.needed()
    page.take(papers[0])
    assert not page.needed()
    with pytest.raises(EnrolError):
        page.take(papers[1])
    assert enrol(tmp_path, papers[0]).box == "b-" + f"{1:016x}"


def test_a_setting_is_put_into_its_own_line() -> None:
    assert (
        with_setting('# help\n#proxy = ""\nx = 1\n', "proxy", "http://a")
        == '# help\nproxy = "http://a"\nx = 1\n'
    )
    assert (
        with_setting('proxy = "old"\n#proxy = ""\n', "proxy", 'a"\\1') == 'proxy = "a\\"\\\\1"\n#proxy = ""\n'
    )
    assert with_setting("x = 1\n", "proxy", "p") == 'proxy = "p"\nx = 1\n'


def test_the_console_gets_ascii_without_agettys_own_signs() -> None:
    told = [
        {"code": "E-CONFIG", "message": "坏（\\l @ 中文 \x1b[2J bad）"},
        {"code": "E-LINK", "message": "线"},
    ]
    said = issue("001 溪口\\l@小学\x1b", "box-2", False, troubles_of(told))
    assert said.isascii() and "\x1b" not in said and "@" not in said
    assert set(re.findall(r"\\.", said)) == {"\\4"}
    assert max(map(len, said.splitlines())) <= 80 and len(said.splitlines()) <= 24
    assert "001 Xi Kou" in said and "http://box-2.local/" in said and "/enrol" in said
    assert "101-0   501-2" in said, "what is worst comes first"
    many = [Trouble("E-CONFIG", f"line {n} is wrong " * 20) for n in range(30)]
    assert len(issue("x" * 200, "l" * 60, True, many).splitlines()) <= 34
    assert "000-0" in issue("", "", True, ())


def test_names_stand_in_pinyin() -> None:
    assert pinyin("001 清河镇中心小学") == "001 Qing He Zhen Zhong Xin Xiao Xue"
    assert pinyin("No.2 二小（分校）").isascii() and pinyin("") == ""


def test_the_doctor_brings_the_console_up_to_date(tmp_path: Path, papers: list[bytes]) -> None:
    start = boot(tmp_path, "school_code = 7\nschool_name = 溪口".encode())
    start.work()
    path = tmp_path / "run" / ISSUE
    assert "7 Xi Kou" in path.read_text() and "401-7" in path.read_text()
    assert not refresh(tmp_path / "data", tmp_path / "run"), "nothing is new"
    keep(tmp_path / "data" / "health.json", [Problem("E-LINK", "eth0", "网线没插（no carrier）", 5)])
    assert refresh(tmp_path / "data", tmp_path / "run")
    assert "101-0" in path.read_text() and "no carrier" in path.read_text() and "7 Xi Kou" in path.read_text()
    path.write_text("")
    assert not refresh(tmp_path / "data", tmp_path / "run"), "no start of an image wrote it"


IMAGER = """config_version = "1.0"

[system]
hostname = "box-9"

[user]
name = "pi"
password = "$5$x"
password_encrypted = true
groups = ["sudo"]

[ssh]
enabled = true
password_authentication = false
authorized_keys = [
  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl li@pc",
]

[wlan]
ssid = "学校"
password = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
password_encrypted = true
hidden = false
country = "CN"

[locale]
keymap = "cn"
timezone = "Asia/Shanghai"
""".encode()


@pytest.mark.parametrize("name", ["rpi-preseed.toml", "custom.toml"])
def test_what_imager_was_told(tmp_path: Path, name: str) -> None:
    start = boot(tmp_path)
    (tmp_path / "card" / name).write_bytes(IMAGER)
    assert start.work() == []
    made = (tmp_path / "run/lessonbox-firstboot/wpa.conf").read_text()
    assert "学校".encode().hex() in made and "psk=0123456789abcdef" in made and "country=CN" in made
    assert "ssh-ed25519" in (tmp_path / "run/lessonbox-firstboot/authorized_keys").read_text()
    assert 'host_name = "box-9"' in (tmp_path / "data/box.toml").read_text("utf-8")


def test_lessonbox_conf_comes_before_imager(tmp_path: Path) -> None:
    start = boot(tmp_path, b"host_name = own\nwifi_name = own-wifi\n")
    (tmp_path / "card" / "rpi-preseed.toml").write_bytes(IMAGER)
    assert start.work() == []
    assert 'host_name = "own"' in (tmp_path / "data/box.toml").read_text("utf-8")
    made = (tmp_path / "run/lessonbox-firstboot/wpa.conf").read_text()
    assert b"own-wifi".hex() in made and "key_mgmt=NONE" in made, "no password of another network"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rpi-preseed.toml", b"[wlan\n", "不是 TOML"),
        ("rpi-preseed.toml", b"\xff\xfe[", "不是 TOML"),
        ("rpi-preseed.toml", b"[wlan]\nssid=3\n[system]\nhostname='a b'", "只能用小写字母"),
        ("rpi-preseed.toml", b"[ssh]\nenabled=true\n", "没有密码登录"),
        ("rpi-preseed.toml", b"[wlan]\nssid_hex='ff'\n", "不是 UTF-8"),
        ("rpi-preseed.toml", b"wlan=1\nssh=[]\nsystem='x'", ""),
        ("rpi-preseed.toml", b"x" * 70_000, "E-TOO-BIG"),
        ("firstrun.sh", b"#!/bin/bash\nrm -rf /\n", "课箱不用"),
    ],
)
def test_nonsense_of_imager_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    start = boot(tmp_path, b"proxy = http://a:1\n")
    (tmp_path / "card" / name).write_bytes(content)
    found = start.work()
    assert (not said and not found) or said in f"{found[-1].code} {found[-1].message}"
    assert 'proxy = "http://a:1"' in (tmp_path / "data/box.toml").read_text("utf-8")


def test_problems_are_written_once_and_keep_their_day(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    keep(path, [])
    assert not path.exists()
    keep(path, [Problem("E-HEAT", "x", "热（76 °C）", 5)])
    first = path.stat().st_ino
    keep(path, [Problem("E-HEAT", "x", "热（78 °C）", 9)])
    assert path.stat().st_ino == first and kept(path)[0]["since"] == 5
    keep(path, [])
    assert kept(path) == [] and path.exists()
    for nonsense in (b"", b"[]", b'{"format":"lessonbox-health/1","problems":[3,{"code":1}]}', b"\xff" * 99):
        path.write_bytes(nonsense)
        assert kept(path) == []


def test_a_lamp_blinks_where_there_is_one(tmp_path: Path) -> None:
    lamp = tmp_path / "class/leds/ACT"
    lamp.mkdir(parents=True)
    (lamp / "trigger").write_text("none [mmc0] timer")
    host = SystemHost("root", (), tmp_path, tmp_path / "run")
    host.show("well")
    assert (lamp / "trigger").read_text() == "none [mmc0] timer"
    for _ in range(2):
        host.show("trouble")
        told = [(lamp / name).read_text() for name in ("trigger", "delay_on", "delay_off")]
        assert told == ["timer", "100", "900"]
        (lamp / "trigger").write_text("none mmc0 [timer]")
    host.show("well")
    assert (lamp / "trigger").read_text() == "mmc0", "as it was before"
    SystemHost("root", (), tmp_path / "nothing", tmp_path / "run").show("trouble")


def test_the_lamp_follows_an_enrolment_by_page(tmp_path: Path, papers: list[bytes]) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    for number in (0, 1):
        (stick / f"{number}.json").write_bytes(papers[number])
    start = boot(tmp_path, b"", b"", stick)
    assert [p.code for p in start.work()] == ["E-ENROL"], "which of the two?"
    SetupByPage(start.data, ()).take(papers[1])
    after = boot(tmp_path)
    after.enrolled()
    assert after.host.shown == "well" and read_status(start.data)["problems"] == []  # type: ignore[attr-defined]
    (start.card / CONFIG_NAME).write_bytes(b"nonsense\n")
    boot(tmp_path).work()
    wrong = boot(tmp_path)
    wrong.enrolled()
    assert wrong.host.shown == "trouble", "a wrong line is not settled by it"  # type: ignore[attr-defined]


def test_the_units_tell_the_lamp() -> None:
    units = Path(__file__).resolve().parents[2] / "systemd"
    assert "lessonbox-lamp.service" in (units / "lessonbox-enrolled.target").read_text("utf-8")
    assert "firstboot --enrolled\n" in (units / "lessonbox-lamp.service").read_text("utf-8")
