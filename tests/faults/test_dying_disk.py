"""The kernel finds an error in the box's file system and lets nothing be written any more, as a dying card
makes it (errors=remount-ro): lessons go on, and everybody is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from appliance.health import machine as machines
from appliance.health.machine import Machine
from tests.box import sample
from tests.e2e.board import WebProcess
from tests.e2e.programs import ROOT
from tests.image.logwrites import make_file_system, mounted

pytestmark = [pytest.mark.root, pytest.mark.needs("mount", "umount", "mke2fs", "findmnt")]


def get(url: str, data: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        body: bytes = answer.read()
        return body


def break_down(place: Path) -> None:
    """What the kernel does when it meets an error in this file system."""
    found = subprocess.run(["findmnt", "-no", "SOURCE", place], check=True, capture_output=True, text=True)
    Path("/sys/fs/ext4", Path(found.stdout.strip()).name, "trigger_fs_error").write_text("test")
    with pytest.raises(OSError, match="Read-only"):
        (place / "x").write_text("x")


@pytest.mark.parametrize("serving", [True, False], ids=["while it serves", "before it starts"])
def test_lessons_go_on_and_it_is_told(tmp_path: Path, serving: bool) -> None:
    image = tmp_path / "disk"
    make_file_system(image, 256 << 20)
    with mounted(image, tmp_path / "mnt") as place:
        box, lesson = sample(place / "box", int(time.time()))
        if not serving:
            break_down(place)
        web = WebProcess(box)
        try:
            if serving:
                assert get(web.url + "/")
                break_down(place)
            (found,) = [
                it for it in json.loads(get(web.url + "/api/v1/lessons"))["lessons"] if it["id"] == lesson.id
            ]
            for resource in found["resources"]:
                assert len(get(web.url + resource["url"])) > 0
            for page in ("/", f"/lesson/{lesson.id}", "/browse", "/status"):
                assert get(web.url + page), page
            event = {"lesson": lesson.id, "resource": "r1", "visit": "0" * 16, "type": "open", "at": 1}
            with pytest.raises(urllib.error.HTTPError) as refused:
                get(web.url + "/api/v1/events", json.dumps({"events": [event]}).encode())
            assert refused.value.code == 503
            page = get(web.url + "/help").decode()
            number = re.search(r'class="fault num">([0-9-]+)<', page)
            assert number and number[1] == "202-4" and "只能读" in page
        finally:
            web.stop()
        told = machines.filesystems(Machine(), box.data)
        assert [one.mend for one in told if one.code == "E-READ-ONLY"].count("reboot") == 1
        done = subprocess.run(
            [sys.executable, "-m", "appliance", "doctor", "--keep", "--data", str(box.data)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 1 and "202-4" in done.stdout and not done.stderr, done.stderr
