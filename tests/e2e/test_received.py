"""A file that no release names, from the drop to the received shelf and away again, by the real programs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import requests

from tests.e2e.programs import Box, County, wait_until

PIN = "286401"


def test_a_foreign_file_is_kept_with_the_pin(
    make_county: Callable[[], County], make_box: Callable[..., Box], tmp_path: Path
) -> None:
    box = make_box(make_county(), sources=["drop"])
    set_pin = [sys.executable, "-m", "appliance", "pin", "--data", str(box.data)]
    refused = subprocess.run(set_pin, input="1234\n", text=True, capture_output=True, timeout=60)
    assert refused.returncode == 2 and refused.stderr.startswith("error E-USAGE")
    subprocess.run(set_pin, input=PIN + "\n", text=True, check=True, timeout=60)
    film = os.urandom(100_000)
    (box.data / "drop" / "科普 片.mp4").write_bytes(film)
    box.start("web", "sync")
    box.wait_ready()
    wait_until(lambda: box.status()["sources"]["drop"].get("foreign") == 1, "the file is counted")
    browser = requests.Session()
    manage = f"{box.url}/received/manage"
    assert browser.get(manage, timeout=20).url.startswith(f"{box.url}/pin")
    assert browser.post(f"{box.url}/pin", data={"pin": "999999"}, timeout=20).status_code == 403
    page = browser.post(f"{box.url}/pin", data={"pin": PIN, "next": "/received/manage"}, timeout=20)
    assert page.url == manage and "科普 片.mp4" in page.text

    def change(**form: str) -> None:
        secret = re.search('name="secret" value="([0-9a-f]+)"', browser.get(manage, timeout=20).text)
        assert secret is not None
        form["secret"] = secret[1]
        assert browser.post(f"{box.url}/received/change", data=form, timeout=20).status_code == 200

    change(accept=str(box.data / "drop" / "科普 片.mp4"))
    wait_until(lambda: box.status()["received"]["files"] == 1, "the file is kept")
    (box.data / "drop" / "科普 片.mp4").unlink()
    found = re.search("/received/file/([0-9a-f]{64})/", requests.get(f"{box.url}/received", timeout=20).text)
    assert found is not None
    url = f"{box.url}/received/file/{found[1]}/{quote('科普 片.mp4')}"
    answer = requests.get(url, timeout=20)
    assert answer.content == film and answer.headers["Content-Security-Policy"].startswith("sandbox")
    change(remove=found[1])
    wait_until(lambda: box.status()["received"]["files"] == 0, "the file is gone")
    assert requests.get(url, timeout=20).status_code == 404
    assert not list((box.data / "received").iterdir()) and not list(box.data.glob("incoming/received-*"))
