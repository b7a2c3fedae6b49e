"""How the box is found, through WSGI; and what the page of the network changes behind the PIN."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from appliance import digits
from appliance.config import load_settings
from appliance.network.by_page import NetworkByPage
from appliance.network.minding import FORMAT
from appliance.web.captive import Captive
from content_sync.formats.canonical import dump
from tests.e2e.programs import set_settings
from tests.unit import test_school_pages as pages
from tests.unit.test_network import Asked


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[pages.Site, Asked]]:
    """A box whose pages know its network."""
    helper, real = Asked(), pages.Board

    def board(*words: Any, **more: Any) -> Any:
        data = words[0].parent
        (data / "box.toml").write_text("")
        network = NetworkByPage(data, helper)  # type: ignore[arg-type]
        return real(*words, **more, network=network, captive=Captive("lesson", lambda: 0.0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "N", 16)
        patch.setattr(pages, "Board", board)
        yield pages.Site(tmp_path_factory.mktemp("network") / "box"), helper


@pytest.fixture
def site(made: tuple[pages.Site, Asked]) -> pages.Site:
    """The same box as nobody has touched it."""
    site, helper = made
    helper.verbs.clear()
    site.paths.config.write_text("")
    told = {"format": FORMAT, "name": "lesson-2", "hotspot": False, "why": "", "lines": [
        {"name": "eth0", "up": True, "addresses": ["192.168.1.10"], "out": ""},
        {"name": "usb0", "up": False, "addresses": [], "out": "metered"},
    ]}  # fmt: skip
    site.paths.lan.write_bytes(dump(told))
    site.client = pages.Client(site.app)
    return site


def get(site: pages.Site, path: str, base: str = "http://192.168.1.10") -> Any:
    return site.client.get(path, base_url=base, buffered=True)


def secret(site: pages.Site) -> str:
    own = {"Origin": "http://192.168.1.10"}
    answer = site.client.post("/pin", data={"pin": pages.PIN}, base_url="http://192.168.1.10", headers=own)
    assert answer.status_code == 303
    found = re.search(r'name="secret" value="([^"]+)"', get(site, "/school/lan").get_data(as_text=True))
    assert found
    return found[1]


def change(site: pages.Site, known: str, **form: str) -> Any:
    own = {"Origin": "http://192.168.1.10"}
    data = {"secret": known, **form}
    return site.client.post("/school/lan", data=data, base_url="http://192.168.1.10", headers=own)


def test_windows_is_told_which_box_of_which_school(site: pages.Site) -> None:
    answer = get(site, "/upnp.xml")
    text = {one.tag.rpartition("}")[2]: one.text for one in ElementTree.fromstring(answer.data).iter()}
    assert text["friendlyName"] == "课箱 溪口教学点 lesson-2"
    assert text["presentationURL"] == "http://192.168.1.10/" and answer.mimetype == "text/xml"


def test_shortcuts_lead_by_number(site: pages.Site) -> None:
    answer = get(site, "/lesson.url")
    assert answer.data == b"[InternetShortcut]\r\nURL=http://192.168.1.10/\r\n"
    assert 'filename="lesson.url"' in answer.headers["Content-Disposition"]
    page = get(site, "/lesson.html")
    assert page.headers["Content-Disposition"].startswith("attachment")
    text = page.get_data(as_text=True)
    for home in ("http://192.168.1.10/", "http://lesson-2/", "http://lesson.local/", "http://10.77.77.1/"):
        assert f'"{home}"' in text
    device = re.search(r"device = '([0-9a-f-]{36})'", text)
    assert device and get(site, f"/here/{device[1]}.gif").data.startswith(b"GIF89a")
    assert get(site, f"/here/{'0' * 36}.gif").status_code == 404  # another box has that address now


def test_a_second_box_says_on_its_pages_which_it_is(site: pages.Site) -> None:
    assert "· 课箱 lesson-2</title>" in get(site, "/school").get_data(as_text=True)
    assert "lesson-2" in get(site, "/").get_data(as_text=True)
    site.paths.lan.write_bytes(
        dump({"format": FORMAT, "name": "lesson", "hotspot": False, "why": "", "lines": []})
    )
    assert "· 课箱</title>" in get(site, "/school").get_data(as_text=True)


def test_the_wifi_password_stands_on_the_door_sheet_for_who_knows_the_pin(site: pages.Site) -> None:
    set_settings(site.paths.config, hotspot_password="12345678", hotspot_name="lesson-k")
    open_page = get(site, "/school/door").get_data(as_text=True)
    assert "lesson-k" in open_page and "12345678" not in open_page and "http://lesson-2/" in open_page
    secret(site)
    assert "12345678" in get(site, "/school/door").get_data(as_text=True)


def test_nothing_is_changed_or_shown_without_the_pin(site: pages.Site) -> None:
    assert get(site, "/school/lan").status_code == 302
    own = {"Origin": "http://192.168.1.10"}
    form = {"part": "hotspot", "hotspot": "on"}
    answer = site.client.post("/school/lan", data=form, base_url="http://192.168.1.10", headers=own)
    assert answer.status_code == 302 and site.paths.config.read_text() == ""


def test_changes_reach_box_toml_and_who_has_to_know(site: pages.Site, made: tuple[pages.Site, Asked]) -> None:
    known, helper = secret(site), made[1]
    assert (
        change(
            site, known, part="hotspot", hotspot="on", hotspot_name="课箱", hotspot_password="abcdefgh"
        ).status_code
        == 303
    )
    settings = load_settings(site.paths.data)
    assert (settings.text("hotspot"), settings.text("hotspot_name")) == ("on", "课箱")
    assert helper.verbs == [] and site.paths.config.stat().st_mode & 0o007 == 0
    # an empty password stays as it is, unless that is asked for
    change(site, known, part="hotspot", hotspot="auto", hotspot_name="", hotspot_password="")
    assert load_settings(site.paths.data).text("hotspot_password") == "abcdefgh"
    change(site, known, **{"part": "hotspot", "hotspot": "auto", "no-hotspot_password": "yes"})
    assert load_settings(site.paths.data).text("hotspot_password") == ""
    assert change(site, known, **{"part": "lines", "line-eth0": "", "line-usb0": "free"}).status_code == 303
    assert load_settings(site.paths.data).texts("uplinks") == ("usb0 free",)
    assert helper.verbs == ["network"] and (site.paths.incoming / "restart-sync").exists()
    change(
        site,
        known,
        part="receiver",
        receiver_share="//192.168.1.20/recv",
        receiver_user="u",
        receiver_password="p",
    )
    change(site, known, part="share", share_drop="yes", share_smb1="yes")
    settings = load_settings(site.paths.data)
    assert settings.flag("share_drop") and settings.flag("share_smb1") and not settings.flag("receiver_smb1")
    assert settings.text("receiver_password") == "p" and helper.verbs == ["network"] * 3
    page = get(site, "/school/lan?see=share").get_data(as_text=True)
    assert "//192.168.1.20/recv" in page and 'value="p"' not in page


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"part": "hotspot", "hotspot": "on", "hotspot_password": "short"}, "hotspot_password"),
        ({"part": "hotspot", "hotspot": "maybe"}, "hotspot"),
        ({"part": "hotspot", "hotspot": "on", "hotspot_name": "课" * 11}, "hotspot_name"),
        ({"part": "receiver", "receiver_share": "C:\\recv"}, "receiver_share"),
        ({"part": "receiver", "receiver_share": "//pc/a", "receiver_user": "u\nuid=0"}, "receiver_user"),
        ({"part": "lines", "line-../x": "free"}, "uplinks"),
    ],
)
def test_what_cannot_be_changes_nothing_and_is_said(
    site: pages.Site, form: dict[str, str], said: str
) -> None:
    answer = change(site, secret(site), **form)
    assert answer.status_code == 400 and f'small">{said}</span>' in answer.get_data(as_text=True)
    assert site.paths.config.read_text() == ""


def test_an_unknown_part_is_refused(site: pages.Site) -> None:
    known = secret(site)
    for form in ({"part": "nonsense"}, {}, {"part": "hotspot_name"}):
        assert change(site, known, **form).status_code == 400
