"""A form that was filled in while the PIN's session ended: nothing of it is lost, and nothing is saved
without the PIN and another tap."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from appliance import digits
from appliance.school.database import School
from appliance.school.rooms import check_room, rooms, save_room
from appliance.school.timetable import load
from tests.unit.test_school_pages import PIN, Site

PATH = "/school/timetable/r-1"
OWN = {"Origin": "http://lesson.local"}
SUBJECT = '语文"><b>&amp;\r\n'


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A box with a room, and a browser that has entered the PIN."""
    monkeypatch.setattr(digits, "N", 16)
    made = Site(tmp_path / "box")
    save_room(School(made.paths.school_db), check_room("一号", ["一年级"], identity="r-1"))
    made.client.post("/pin", base_url="http://lesson.local", data={"pin": PIN}, headers=OWN)
    return made


def send(site: Site, path: str, form: Any, headers: Any = OWN, client: Client | None = None) -> Any:
    return (client or site.client).post(path, base_url="http://lesson.local", data=form, headers=headers)


def secret(site: Site) -> str:
    found = re.search(r'name="secret" value="([0-9a-f]{32})"', site.get(PATH).text)
    assert found is not None
    return found[1]


def form_of(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that goes there."""
    part = page.split(f'action="{action}"', 1)[1].split("</form>")[0]
    return {
        html.unescape(name): html.unescape(value)
        for name, value in re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', part)
    }


def subjects(site: Site) -> list[str]:
    return [slot.subject for slot in load(School(site.paths.school_db), "r-1").slots]


def test_a_form_waits_for_the_pin_and_for_a_second_tap(site: Site) -> None:
    filled = {"secret": secret(site), "weeks": "1", "s-1-1-0-0": "语文"}
    site.clock.go(901)
    page = send(site, PATH, filled)
    assert page.status_code == 403 and "密码过期了" in page.text and "还没有存" in page.text
    assert filled["secret"] not in page.text and subjects(site) == []
    wrong = send(site, "/pin", {**form_of(page.text, "/pin"), "pin": "999999"})
    assert wrong.status_code == 403 and "密码不对" in wrong.text and "还没有存" in wrong.text
    right = send(site, "/pin", {**form_of(wrong.text, "/pin"), "pin": PIN})
    assert right.status_code == 200 and "再存一次" in right.text and subjects(site) == []
    again = form_of(right.text, PATH)
    assert again == {"secret": secret(site), "weeks": "1", "s-1-1-0-0": "语文"} != filled
    assert send(site, PATH, again).status_code == 303 and subjects(site) == ["语文"]


def test_a_form_of_the_session_before_is_offered_again(site: Site) -> None:
    filled = {"secret": secret(site), "s-1-1-0-0": SUBJECT, '"><i>': "1"}
    send(site, "/pin", {"pin": PIN})  # in another tab
    page = send(site, PATH + "?lang=en", filled)
    assert page.status_code == 403 and "Nothing was saved yet" in page.text and subjects(site) == []
    assert "<b>" not in page.text.split("<form", 1)[1] and "<i>" not in page.text
    again = form_of(page.text, PATH + "?lang=en")
    assert again == {**filled, "secret": secret(site)} != filled


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://lesson.local:8101"}],
)
def test_only_a_page_of_the_box_is_offered_its_form_again(site: Site, headers: dict[str, str]) -> None:
    old = secret(site)
    send(site, "/pin", {"pin": PIN})
    page = send(site, PATH, {"secret": old, "s-1-1-0-0": "语文"}, headers)
    assert page.status_code == 403 and secret(site) not in page.text and "语文" not in page.text
    held = {"pin": PIN, "to": PATH, "held": "s-1-1-0-0=x"}
    entered = send(site, "/pin", held, headers, Client(site.app))
    assert entered.status_code in (303, 403) and "s-1-1-0-0" not in entered.text


def test_a_name_that_the_internet_may_have_given_is_not_believed(site: Site) -> None:
    old = secret(site)
    for host in ("lesson.local", "evil.example"):
        answer = Client(site.app).post(
            PATH, base_url=f"http://{host}", data={"secret": old, "a": "held-it"}, headers={"Origin": f"http://{host}"}
        )  # fmt: skip
        assert ("held-it" in answer.text) == (host == "lesson.local")


def test_a_form_leads_to_no_other_host(site: Site) -> None:
    for to in ("//evil.example/x", "http://evil.example", "/\\evil.example", "x", ""):
        answer = send(site, "/pin", {"pin": PIN, "to": to, "held": "a=1"})
        assert answer.status_code == 303 and answer.headers["Location"] == "/school", to


def test_what_cannot_wait_is_said_to_be_lost(site: Site) -> None:
    old = secret(site)
    send(site, "/pin", {"pin": PIN})
    for path, form in (
        (f"{PATH}/paste", {"file": b"held-it", "text": "held-it"}),
        ("/school/teachers", {"name": "held-it", "pin": "1357"}),
        (PATH, {"s": "held-it" * 40_000}),
    ):
        for client in (site.client, Client(site.app)):
            sent = {n: (io.BytesIO(v), "a.csv") if isinstance(v, bytes) else v for n, v in form.items()}
            page = send(site, path, {"secret": old, **sent}, client=client)
            assert page.status_code == 403 and "刚才的没有存" in page.text, path
            assert "held-it" not in page.text and "再存一次" not in page.text
    assert [room.name for room in rooms(School(site.paths.school_db))] == ["一号"]


def test_a_grid_as_big_as_any_waits(site: Site) -> None:
    old = secret(site)
    site.clock.go(901)
    filled = {f"s-{day}-{period}-{grade}-{weeks}": "道德与法治" for day in range(1, 8)
              for period in range(1, 13) for grade in range(6) for weeks in (1, 2)}  # fmt: skip
    page = send(site, PATH, {"secret": old, **filled})
    page = send(site, "/pin", {**form_of(page.text, "/pin"), "pin": PIN})
    assert form_of(page.text, PATH) == {"secret": secret(site), **filled}


def test_pasted_text_without_a_file_waits(site: Site) -> None:
    old = secret(site)
    site.clock.go(901)
    form = {"secret": old, "grade": "一年级", "text": "节次\t星期一\r\n1\t语文", "file": (io.BytesIO(), "")}
    page = send(site, f"{PATH}/paste", form)
    page = send(site, "/pin", {**form_of(page.text, "/pin"), "pin": PIN})
    page = send(site, f"{PATH}/paste", form_of(page.text, f"{PATH}/paste"))
    assert page.status_code == 200 and "对吗" in page.text
