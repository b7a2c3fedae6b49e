"""A data disk that can only be read, as a failing card becomes: lessons go on, usage is refused politely."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from content_sync.adapters.sqlite import StateReader
from content_sync.adapters.sqlite_writer import State
from tests.e2e import library
from tests.e2e.programs import Box, County

MakeCounty = Callable[[], County]
MakeBox = Callable[..., Box]


@pytest.mark.root
def test_lessons_are_served_from_a_disk_that_can_only_be_read(
    make_county: MakeCounty, make_box: MakeBox, tmp_path: Path
) -> None:
    """First as sync left it, then with the newest part of state.db in its log, as after a crash."""
    county, tree = make_county(), tmp_path / "tree"
    (path,) = library.lesson_of_noise(tree, 1, 400_000)
    county.publish(tree)
    county.serve()
    box = make_box(county)
    box.command("sync", "--once")
    with read_only(box.data):
        reader = StateReader(box.data / "state.db")
        assert reader.meta("seen") is None and len(reader.lessons()) == 1
        reader.close()
    writer = State(box.data / "state.db")
    writer.set_meta({"seen": "yes"})
    with closing(writer), read_only(box.data), closing(box):
        reader = StateReader(box.data / "state.db")
        assert reader.meta("seen") == "yes"
        (row,) = reader.lessons()
        assert row.state == "present"
        box.start("web")
        box.wait_ready()
        lesson = json.loads(_get(f"{box.url}/api/v1/lessons"))["lessons"][0]
        assert _get(box.url + lesson["resources"][0]["url"]) == path.read_bytes()
        for page in ("/", f"/lesson/{row.id}", f"/lesson/{row.id}/{lesson['resources'][0]['id']}", "/status"):
            assert _get(box.url + page), page
        held = open_files(box)
        for _ in range(30):
            assert _get(f"{box.url}/api/v1/status") and _get(f"{box.url}/school")
        assert open_files(box) <= held + 10
        event = {
            "lesson": row.id,
            "resource": lesson["resources"][0]["id"],
            "visit": "0" * 16,
            "type": "open",
            "at": 1,
            "position": 0,
        }
        request = urllib.request.Request(
            f"{box.url}/api/v1/events",
            json.dumps({"events": [event]}).encode(),
            {"Content-Type": "application/json"},
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=20)
        assert refused.value.code == 503
        assert json.load(refused.value)["error"]["code"] in ("E-STORAGE", "E-DISK-FULL")


def open_files(box: Box) -> int:
    """How many descriptors web holds."""
    return len(os.listdir(f"/proc/{box.programs['web'].pid}/fd"))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A mount over the folder that only gives."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _get(url: str) -> bytes:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > deadline:
                raise AssertionError(f"{url}: {error.code} {error.read()[:300]!r}") from None
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)
