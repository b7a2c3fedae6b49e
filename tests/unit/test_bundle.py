"""The diagnosis holds no secret, wherever one was planted; the doctor's checks stand on a real folder."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from appliance.config import BoxPaths, read_enrolment
from appliance.firstboot.wiring import open_state
from appliance.health import bundles
from appliance.health.bundles import blotted, summary
from appliance.health.doctor import diagnose, told
from appliance.health.machine import Machine
from appliance.health.problems import keep
from appliance.helped import Helper
from appliance.setup import blank, enrol
from appliance.status import read_status
from appliance.web.pin import set_pin
from content_sync.adapters.http import Answer
from content_sync.errors import BusyError, NetworkError
from content_sync.formats.enrolment import Enrolment, dump_enrolment
from content_sync.formats.hotspot import hotspot_password
from content_sync.formats.token import make_token
from content_sync.ports import Problem
from tests.unit.small_county import SmallCounty
from tests.unit.test_web_app import StoppedClock

BOX, CLAIM, KEY, PIN = "b-00000000000000a1", "c1a1" * 8, "d00d" * 16, "739182"
TOKEN = make_token(KEY, BOX, 7)
WIFI, PROXY = "wifi-geheim-88", "proxy-geheim-77"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A box's folder with every secret that a box has."""
    root = json.loads(SmallCounty(tmp_path / "county").root)
    folder = tmp_path / "box"
    enrol(
        folder,
        dump_enrolment(Enrolment("清河县", ("http://192.0.2.1",), BOX, "001", "溪口", CLAIM, root, KEY)),
    )
    paths = BoxPaths(folder)
    open_state(paths.state_db).close()
    set_pin(paths.pin, PIN)
    text = paths.config.read_text() + f'\nproxy = "http://admin:{PROXY}@192.168.1.2:8080"\n'
    paths.config.write_text(text)
    message = f"连不上（http://county/seed/{TOKEN}/ab: password={WIFI}）"
    keep(paths.health, [Problem("E-NETWORK", "county", message, 5)])
    return folder


def journal(data: Path) -> str:
    """A journal in which programs said more than they should have."""
    paths = BoxPaths(data)
    return "\n".join([
        f"sync: GET http://county/announce/{TOKEN}", f"init: claim {CLAIM}",
        f"own Wi-Fi {hotspot_password(read_enrolment(paths))}", f"wpa: psk={WIFI}",
        f"密码：{WIFI}", f"pin: {PIN}",
        paths.key.read_text(), paths.pin.read_text(), paths.enrolment.read_text(),
        f'{{"token_key": "{KEY}", "password": "{WIFI}"}}', f"http://admin:{PROXY}@192.168.1.2/",
    ])  # fmt: skip


def test_no_secret_gets_into_the_bundle(data: Path) -> None:
    paths, said = BoxPaths(data), journal(data)
    machine = Machine(data, lambda command: said)
    checks = [{"name": "county", "message": f"http://x/{TOKEN} {CLAIM}", "code": "E-NETWORK"}]
    made = bundles.make(data, checks, 1_760_000_000, machine)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        held = {name: archive.read(name).decode() for name in archive.namelist()}
        assert archive.testzip() is None
    assert {"checks.json", "status.json", "summary.txt", "settings.json", "journal.txt"} <= set(held)
    pem = [line for line in paths.key.read_text().splitlines() if not line.startswith("---")]
    pin_file = [
        value
        for value in json.loads(paths.pin.read_text()).values()
        if isinstance(value, str) and len(value) > 12
    ]
    own = hotspot_password(read_enrolment(paths))
    assert own
    for secret in (CLAIM, KEY, TOKEN, PIN, WIFI, PROXY, own, *pem, *pin_file):
        for name, text in held.items():
            assert secret not in text, (name, secret)
    assert "E-NETWORK" in held["status.json"] and BOX in held["summary.txt"], "what helps is there"
    assert "192.168.1.2:8080" in held["settings.json"]
    assert "announce/" in held["journal.txt"]


@pytest.mark.parametrize(
    "password",
    ['ab"cd12345', "ab'cd12345", "pa/ss/w0rd", "p@ss:w0rd#x", "两个 汉字12", "a\\b\\cd12345", "{a},b;cd123"],
)
def test_a_password_with_any_sign_in_it_leaves_nothing_behind(data: Path, password: str) -> None:
    paths = BoxPaths(data)
    text = paths.config.read_text("utf-8").replace("proxy =", "#").rstrip()
    for name in ("hotspot_password", "share_password"):
        text += f"\n{name} = {json.dumps(password, ensure_ascii=False)}"
    text += f"\nproxy = {json.dumps(f'http://admin:{password}@10.0.0.1:3128', ensure_ascii=False)}\n"
    paths.config.write_text(text, "utf-8")
    quoted = quote(password, safe="")
    said = (
        f"smb: {password} refused\nGET http://admin:{quoted}@10.0.0.1:3128/\n{text}\n{{'p': {password!r}}}\n"
    )
    checks = [{"name": "lan", "message": f"{password}", "code": "E-SETTING"}]
    made = bundles.make(data, checks, 1_760_000_000, Machine(data, lambda command: said))
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        held = {name: archive.read(name).decode() for name in archive.namelist()}
    parts = {part for part in re.split(r"\W+", password) if len(part) > 3} or {password}
    for secret in (password, quoted, *parts):
        for name, kept in held.items():
            assert secret not in kept, (name, secret)
    assert "refused" in held["journal.txt"] and "10.0.0.1" in held["journal.txt"]


def test_what_looks_like_a_password_is_blotted_out_to_its_end() -> None:
    """Where nothing is known: another machine's, or one of before."""
    assert blotted('{"password": "ab\\"cd12345", "x": 1}') == '{"password": ***, "x": 1}'
    assert blotted("by http://admin:pa/ss/w0rd@10.0.0.1:3128/ now") == "by http://***@10.0.0.1:3128/ now"


def test_the_doctors_own_is_given_where_there_is_a_helper(data: Path, tmp_path: Path) -> None:
    class Asked(Helper):
        def there(self) -> bool:
            return True

        def ask(self, verb: str, name: str = "") -> None:
            assert verb == "diagnose"
            (tmp_path / "left.zip").write_bytes(b"PK by the doctor")

    class Dead(Asked):
        def ask(self, verb: str, name: str = "") -> None:
            raise BusyError("the box's helper does not answer")

    left = tmp_path / "left.zip"
    assert bundles.newest(data, 5, Asked(), left) == b"PK by the doctor"
    for made in (
        bundles.newest(data, 5, Dead(), left),
        bundles.newest(data, 5, Helper(tmp_path / "no"), left),
    ):
        assert "summary.txt" in zipfile.ZipFile(io.BytesIO(made)).namelist()


def test_what_is_no_secret_stays_readable() -> None:
    plain = "2026-11-22T03:50 sync[211]: 12 lessons, E-NETWORK http://county.example:8000 can't be reached"
    assert blotted(plain) == plain


def test_the_summary_is_short_enough_for_a_code_and_names_what_hurts_first(data: Path) -> None:
    status = read_status(data)
    status["problems"] = [{"code": code, "subject": "", "message": "", "since": 0}
                          for code in ("E-NETWORK", "E-POWER", "E-READ-ONLY", "E-POWER")]  # fmt: skip
    text = summary(status, "1.2.3")
    assert "fault=202-" in text and text.count("301-") == 1 and len(text) < 300
    assert "溪口" not in text and CLAIM not in text


class Unreachable:
    """A county that does not answer; notes over which proxy it was asked."""

    def __init__(self) -> None:
        self.proxies: list[str] = []

    def over(self, proxy: str) -> Unreachable:
        self.proxies.append(proxy)
        return self

    def ask(self, method: str, url: str, cap: int, data: bytes = b"", headers: object = None) -> Answer:
        raise NetworkError(f"{url} can't be reached")


def cable(root: Path, carrier: str) -> Machine:
    """A machine with one network card."""
    net = root / "sys/class/net/eth0"
    (net / "device").mkdir(parents=True)
    (net / "carrier").write_text(carrier)

    def tool(command: Sequence[str]) -> str:
        return ""

    return Machine(root, tool)


def test_the_cause_is_told_not_what_follows_from_it(data: Path, tmp_path: Path) -> None:
    county = Unreachable()
    checks = {c.name: c for c in diagnose(data, StoppedClock(), county.over, cable(tmp_path / "off", "0\n"))}
    assert checks["link"].code == "E-LINK" and not checks["county"].code and not county.proxies
    linked = diagnose(data, StoppedClock(), county.over, cable(tmp_path / "on", "1\n"))
    by_name = {c.name: c for c in linked}
    assert by_name["county"].code == "E-NETWORK" and county.proxies == [
        f"http://admin:{PROXY}@192.168.1.2:8080"
    ]
    assert by_name["link"].plain()["ok"] and by_name["county"].plain()["fault"].startswith("103-")
    problems = {p.code for p in told(linked, 5)}
    assert "E-NETWORK" in problems
    config = BoxPaths(data).config
    config.write_text(re.sub("(?m)^proxy.*$", 'urls = ["http://no-such-county.invalid"]', config.read_text()))
    nameless = {c.name: c for c in diagnose(data, StoppedClock(), county.over, Machine(tmp_path / "on"))}
    assert nameless["county's name"].code == "E-DNS" and not nameless["county"].code


def test_a_box_that_is_not_enrolled_is_told_once(tmp_path: Path) -> None:
    blank(tmp_path / "box")
    open_state(BoxPaths(tmp_path / "box").state_db).close()
    checks = diagnose(tmp_path / "box", StoppedClock(), Unreachable().over, cable(tmp_path, "1\n"))
    assert [c.name for c in checks if c.code == "E-UNENROLLED"] == ["set up"]
