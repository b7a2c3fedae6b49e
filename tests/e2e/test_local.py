"""A teacher's own files, from the phone to the board: real web and sync, real chromium; cut off, restarted,
taken away."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.box import film
from tests.e2e.browser import PHONE
from tests.e2e.programs import Box, County, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.needs("ffmpeg")]
PIN = "286401"
Opener = Callable[..., Any]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder: Path = tmp_path_factory.mktemp("own")
    county = County(folder / "county")
    made = Box(folder / "box", county.enrol(folder / "school.json"), sources=["drop"], threads=24)
    command = [sys.executable, "-m", "appliance", "pin", "--data", str(made.data)]
    subprocess.run(command, input=PIN + "\n", text=True, check=True, timeout=60)
    made.start("web", "sync")
    made.wait_ready()
    yield made
    made.close()
    print(made.words())


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return film(tmp_path_factory.mktemp("film") / "film.mp4")


def shown(box: Box) -> dict[str, str]:
    """Title -> address of the lessons on the school's shelf."""
    page = requests.get(f"{box.url}/local", timeout=20).text
    return {
        m[2]: m[1]
        for m in re.finditer(r'href="(/lesson/local-[0-9a-f]{16})".*?<b class="[a-z]+">(.*?)</b>', page)
    }


def enter(tab: Any, box: Box, path: str) -> None:
    """Open a page behind the PIN."""
    tab.page.goto(box.url + path)
    if "/pin" in tab.page.url:
        tab.page.fill("input[name=pin]", PIN)
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_url("**" + path)


def session(box: Box) -> tuple[requests.Session, str]:
    """A browser without script that has entered the PIN, and its secret."""
    browser = requests.Session()
    browser.post(f"{box.url}/pin", data={"pin": PIN}, headers={"Origin": box.url}, timeout=20)
    page = browser.get(f"{box.url}/local/new", timeout=20).text
    found = re.search('name="secret" value="([0-9a-f]+)"', page)
    assert found is not None
    return browser, found[1]


def test_a_phone_brings_files_and_they_play(box: Box, open_tab: Opener, video: bytes, tmp_path: Path) -> None:
    (tmp_path / "视频 我们的长城.mp4").write_bytes(video)
    (tmp_path / "教案 长城.pdf").write_bytes(b"%PDF-1.4\n" + b"x" * 5000)
    tab = open_tab(viewport=PHONE, is_mobile=True, has_touch=True)
    page = tab.page
    enter(tab, box, "/local/new")
    page.set_input_files("input[type=file]", [str(path) for path in sorted(tmp_path.iterdir(), reverse=True)])
    page.fill("input[name=title]", "本校长城课")
    page.select_option("select[name=subject]", "语文")
    page.select_option("select[name=grade]", "四年级")
    page.click("form#add button[type=submit]")
    page.wait_for_url("**/local/edit/local-*")
    wait_until(lambda: "本校长城课" in shown(box), "the lesson is on the shelf")
    page.goto(box.url + "/local")
    page.click("text=本校长城课")
    page.click("text=我们的长城")
    tab.until("document.querySelector('video').readyState > 1")
    page.evaluate("document.querySelector('video').play()")
    tab.until("document.querySelector('video').currentTime > 0.3")
    assert page.locator(".tag-own").count() == 1, "marked as the school's own"

    def found() -> bool:
        answer = requests.get(f"{box.url}/api/v1/search", params={"q": "长城"}, timeout=20).json()
        return [lesson["title"] for lesson in answer["lessons"]] == ["本校长城课"]

    wait_until(found, "search finds it")
    assert not [error for error in tab.errors if "favicon" not in error]
    counts = box.status()["lessons"]
    assert counts["present"] == 0, "never among the county's"


def test_it_outlives_sync_and_state(box: Box) -> None:
    before = shown(box)
    assert before
    box.programs["sync"].kill()
    for path in box.data.glob("state.db*"):
        path.unlink()
    box.start("sync")
    wait_until(lambda: shown_now(box) == before, "the shelf is as it was")


def shown_now(box: Box) -> dict[str, str]:
    """`shown`, or nothing while state.db is made."""
    try:
        return shown(box)
    except requests.RequestException:
        return {}


def test_web_killed_in_the_middle_of_an_upload(box: Box, open_tab: Opener, tmp_path: Path) -> None:
    big = tmp_path / "视频 大片.mp4"
    big.write_bytes(bytes(range(256)) * (40 << 12))  # 40 MiB
    tab = open_tab(viewport=PHONE)
    page = tab.page
    # a phone on poor Wi-Fi: 8 MiB a second, so that the middle is not missed
    network = tab.context.new_cdp_session(page)
    network.send("Network.enable")
    enter(tab, box, "/local/new")
    network.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 5, "downloadThroughput": -1, "uploadThroughput": 8 << 20},
    )
    page.set_input_files("input[type=file]", str(big))
    page.fill("input[name=title]", "断了又续")
    page.click("form#add button[type=submit]", no_wait_after=True)
    tab.until("(document.querySelector('#sending progress') || {value: 0}).value > 6e6")
    box.programs["web"].kill()
    part = next((box.data / "incoming" / "uploads").glob("*.part"))
    here = part.stat().st_size
    assert 0 < here < big.stat().st_size
    box.start("web")
    box.wait_ready()
    # sessions lived in the killed process: the PIN once more, in another page, as the message says
    tab.until("/密码/.test(document.querySelector('#sending').textContent)")
    other = tab.context.new_page()
    other.goto(box.url + "/pin?next=/local/new")
    other.fill("input[name=pin]", PIN)
    other.keyboard.press("Enter")
    other.wait_for_url("**/local/new")
    page.wait_for_url("**/local/edit/local-*", timeout=90_000)
    wait_until(lambda: "断了又续" in shown(box), "the lesson is on the shelf")
    address = shown(box)["断了又续"]
    lesson = requests.get(box.url + address, timeout=20).text
    resource = re.search(rf'href="({address}/[^"/?]+)"', lesson)
    assert resource is not None
    opened = requests.get(box.url + resource[1], timeout=20).text
    content = re.search(r'(/content/[0-9a-f]{64}/[^"?]+)', opened)
    assert content is not None
    assert requests.get(box.url + content[1], timeout=60).content == big.read_bytes()


def test_without_script_and_against_the_rules(box: Box) -> None:
    browser, secret = session(box)
    lesson = "local-" + "5" * 16
    url = f"{box.url}/local/add/{lesson}"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    files = [
        ("files", ("../../x.svg", svg, "image/png")),
        ("files", ("空.pdf", b"", "application/pdf")),
        ("files", ("\u202egpj.html", b"<script>1</script>", "video/mp4")),
    ]
    nobody = requests.post(url, data={"title": "x"}, files=files, allow_redirects=False, timeout=20)
    assert nobody.status_code == 303 and "/pin" in nobody.headers["Location"]
    forged = browser.post(url, data={"title": "x", "secret": "0" * 64}, files=files, timeout=20)
    assert forged.status_code == 403
    assert not list((box.data / "incoming" / "uploads").glob("*"))
    empty = browser.post(url, data={"title": "x", "secret": secret}, files=files[1:2], timeout=20)
    assert empty.status_code == 400 and "空文件" in empty.text
    page = browser.post(
        url,
        data={"title": "图画课", "subject": "美术", "grade": "一年级", "secret": secret},
        files=files,
        timeout=20,
    )
    assert page.status_code == 200
    wait_until(lambda: "图画课" in shown(box), "the lesson is on the shelf")
    listed = requests.get(f"{box.url}/api/v1/search", params={"q": "图画课"}, timeout=20)
    assert listed.status_code == 200
    detail = json.loads((box.data / "local" / lesson / "lesson.json").read_text("utf-8"))
    for resource in detail["resources"]:
        entry = resource["files"][0]
        name = entry["path"].rpartition("/")[2]
        answer = requests.get(f"{box.url}/content/{entry['root']}/{name}", timeout=20)
        assert answer.status_code == 200 and answer.headers["Content-Disposition"] == "attachment"
        assert answer.headers["Content-Security-Policy"] == "sandbox"
        assert "\u202e" not in entry["path"] and ".." not in entry["path"].split("/")
    other = {"title": "图画课", "subject": "书法社团", "grade": "一年级", "secret": secret}
    assert browser.post(f"{box.url}/local/save/{lesson}", data=other, timeout=20).status_code == 200
    edit = f"{box.url}/local/edit/{lesson}"
    wait_until(lambda: "书法社团" in browser.get(edit, timeout=20).text, "a subject that no list has")
    assert '<option value="书法社团" selected>' in browser.get(edit, timeout=20).text, (
        "it would be filed elsewhere"
    )
    screen = browser.get(f"{box.url}/tv/lesson/{lesson}", timeout=20).text
    back = re.search(r'id="back" href="([^"]+)"', screen)
    assert back and requests.get(box.url + back[1], timeout=20).status_code == 200
    headers = {"X-Secret": secret}
    upload = f"{box.url}/local/upload/{'a' * 16}"
    assert requests.get(upload, timeout=20).status_code == 403
    assert browser.get(upload, timeout=20).status_code == 403
    assert browser.get(upload, headers=headers, timeout=20).json() == {"at": 0, "whole": False}
    piece = browser.post(upload, params={"at": 0, "size": 9}, data=b"abcd", headers=headers, timeout=20)
    assert piece.json() == {"at": 4, "whole": False}
    wrong = browser.post(upload, params={"at": 7, "size": 9}, data=b"zz", headers=headers, timeout=20)
    assert wrong.json() == {"at": 4, "whole": False}, "what does not follow changes nothing"
    huge = browser.post(upload, params={"at": 0, "size": 1 << 45}, data=b"a", headers=headers, timeout=20)
    assert huge.status_code == 400
    full = browser.post(upload, params={"at": 4, "size": 60 << 30}, data=b"a", headers=headers, timeout=20)
    assert full.status_code in (200, 507)
    done = browser.post(upload, params={"at": 4, "size": 9}, data=b"efghi", headers=headers, timeout=20)
    assert done.json()["whole"] is True or full.status_code == 200
    for path in ("local-x", "../../x", "0" * 16):
        assert browser.post(
            f"{box.url}/local/add/{path}", data={"secret": secret}, timeout=20
        ).status_code in (400, 404, 405)


def test_a_basket_becomes_a_lesson_and_goes(box: Box, open_tab: Opener) -> None:
    address = shown(box)["本校长城课"]
    tab = open_tab()
    page = tab.page
    page.goto(box.url + address)
    page.click("text=我们的长城")
    page.click("text=放进备课篮")
    page.wait_for_url("**/baskets/*")
    page.fill("input[name=name]", "四年级一起备课")
    page.click("text=保存名字")
    page.click("button:has-text('放进本校资料')")
    page.wait_for_selector("input[name=pin]")
    page.fill("input[name=pin]", PIN)
    page.keyboard.press("Enter")
    page.wait_for_url("**/baskets/*")
    page.click("button:has-text('放进本校资料')")
    wait_until(lambda: "四年级一起备课" in shown(box), "the basket is a lesson")
    page.click("text=不要这个篮子了")
    assert "四年级一起备课" in page.inner_text("h1") and "1份资料" in page.inner_text("main")
    page.click("text=留着")
    page.wait_for_selector("text=保存名字")
    browser, secret = session(box)
    lesson = address.rpartition("/")[2]
    asked = browser.get(f"{box.url}/local/delete/{lesson}", timeout=20).text
    assert "要删掉这一课吗" in asked and "2份资料" in asked and "本校长城课" in asked
    assert "本校长城课" in shown(box), "asking takes nothing away"
    for sure in (False, True):
        page.goto(f"{box.url}/local/edit/{lesson}")
        page.locator("button:has-text('去掉')").last.click()
        assert "要去掉这份资料吗" in page.inner_text("main")
        page.click("main button" if sure else "nav a.tool")
        page.wait_for_url("**/local/edit/*")
        assert sure or page.locator("button:has-text('去掉')").count() == 2
    of_basket = shown(box)["四年级一起备课"].rpartition("/")[2]
    page.goto(f"{box.url}/local/edit/{of_basket}")
    page.locator("button:has-text('去掉')").last.click()
    assert "别的课里还有就留着" in page.inner_text("main"), "it is no only copy"
    gone = f"{box.url}/local/delete/{lesson}"
    wait_until(lambda: "1份资料" in browser.get(gone, timeout=20).text, "one resource is taken out")
    browser.post(f"{box.url}/local/delete/{lesson}", data={"secret": secret}, timeout=20)
    wait_until(lambda: "本校长城课" not in shown(box), "the lesson is gone")
    page.reload()
    page.goto(box.url + shown(box)["四年级一起备课"])
    page.click("text=我们的长城")
    tab.until("document.querySelector('video').readyState > 1")
    assert not tab.errors
