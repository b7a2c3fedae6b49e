"""Pages beside Kolibri: `python -m bench.pages --box VENV --kolibri VENV [--data DATA] [--rounds 5]`.

DATA is a box's data folder, else one is made of all titles of tests/data/search/lessons.txt in 2 editions.
The environments are as `pip install` makes them, of this repository and of Kolibri, set up afresh for
this run. Measured in the same chromium, each with an empty cache: bytes and requests of the first page, first
contentful paint; of the servers CPU a page (what the process and its children used while pages were asked for
again and again), memory at rest, start to first page. Our pages other than the first stand beside Kolibri's
first: it draws all of its pages in that one, and what it asks its API for besides is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from playwright.sync_api import Playwright, sync_playwright

from tests.box import SmallBox, png
from tests.e2e.browser import BOARD, launch
from tests.e2e.programs import free_port
from tests.search_library import EDITIONS, sections

_START, _REST = 180.0, 20.0
_PAGES = 200
#: Rows of the table for our pages that are made anew each time; the first page unchanged is a row of its own.
ANEW = ("home made anew", "a volume", "a lesson", "a search")
_PAINTED = "performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)[0] || 0"


@dataclass
class Figures:
    """What was measured of one server."""

    start: float
    start_cpu: float
    idle: float
    cpu_ms: float
    kilobytes: float = 0.0
    requests: int = 0
    paint_ms: float = 0.0
    anew_ms: dict[str, float] = field(default_factory=dict)


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def used(pid: int) -> float:
    """Seconds of CPU of a family so far, with what of it has ended by now: that stands with its parent."""
    total = 0.0
    for one in reversed(family(pid)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(one.cpu_times()[:4])
    return total


def memory(pid: int) -> float:
    """MB of a family, shared pages counted once (PSS)."""
    return sum(one.memory_full_info().pss for one in family(pid)) / 1e6


def answers(url: str) -> bool:
    """Whether the address gives a page."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bool(answer.status == 200 and answer.read())
    except (OSError, urllib.error.URLError):
        return False


@contextlib.contextmanager
def served(command: list[str], url: str, environment: dict[str, str]) -> Iterator[tuple[int, float]]:
    """Run a server; its pid, and the seconds to its first page."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not answers(url):
            if process.poll() is not None or time.monotonic() - began > _START:
                raise SystemExit(f"{command[0]} gave no page")
            time.sleep(0.01)  # a wait of 0.05 s would be a tenth of what is measured
        yield process.pid, time.monotonic() - began
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def seen(playwright: Playwright, url: str) -> tuple[float, int, float]:
    """KB, requests and first contentful paint in ms of a first visit. The browser is open meanwhile only: two
    cores may be one, and a server starts more slowly beside another program."""
    browser = launch(playwright)
    context = browser.new_context(viewport=BOARD, locale="zh-CN")
    page = context.new_page()
    client = context.new_cdp_session(page)
    client.send("Network.enable")
    asked: set[str] = set()
    sizes: dict[str, int] = {}

    def sent(event: dict[str, Any]) -> None:
        if event["request"]["url"].startswith("http"):  # not what stands in a style sheet itself
            asked.add(event["requestId"])

    client.on("Network.requestWillBeSent", sent)
    client.on(
        "Network.loadingFinished", lambda e: sizes.update({e["requestId"]: int(e["encodedDataLength"])})
    )
    page.goto(url, wait_until="networkidle", timeout=120_000)
    paint, deadline = 0.0, time.monotonic() + 60
    while not paint and time.monotonic() < deadline:
        page.wait_for_timeout(200)
        paint = float(page.evaluate(_PAINTED))
    browser.close()
    return sum(size for one, size in sizes.items() if one in asked) / 1000, len(asked), paint


def library(data: Path) -> Path:
    """A box of some 960 lessons of 88 volumes, each with something to hear and something to see."""
    box = SmallBox(data)
    for edition in EDITIONS[:2]:
        for (stage, subject, grade, volume), unit, titles in sections():
            for title in titles:
                resources = (
                    box.resource("r1", "audio", "朗读", "audio/mpeg", ("朗读.mp3", "main", b"ID3")),
                    box.resource(
                        "r2", "picture", title, "image/png", ("图.png", "main", png(64, 48, (9, 9, 9)))
                    ),
                )
                box.lesson(f"{stage}/{subject}/{edition}/{grade}/{volume}", unit, None, title, resources)
    box.write(int(time.time()))
    return data


def anew(url: str) -> dict[str, list[str]]:
    """Row -> addresses of ours, as many as there are, so that none is kept from one time for the next."""
    with urllib.request.urlopen(f"{url}/api/v1/lessons?state=present&limit={_PAGES}", timeout=30) as answer:
        lessons = json.load(answer)["lessons"]
    names = [str(lesson["id"]) for lesson in lessons]
    words = dict.fromkeys(lesson["title"][at : at + 2] for lesson in lessons for at in (0, 1))
    found = (
        [f"{url}/?{number}" for number in range(_PAGES)],
        [f"{url}/volume/{name}" for name in dict.fromkeys(name.rpartition("-")[0] for name in names)],
        [f"{url}/lesson/{name}" for name in names],
        [f"{url}/search?q={quote(word)}" for word in words if word.strip()][:_PAGES],
    )
    return dict(zip(ANEW, found, strict=True))


def cost(pid: int, addresses: list[str]) -> float:
    """CPU ms a page of a family that is asked for these, again and again."""
    before = used(pid)
    for number in range(_PAGES):
        if not answers(address := addresses[number % len(addresses)]):
            raise SystemExit(f"{address} gave no page")
    return (used(pid) - before) * 1000 / _PAGES


def measure(
    command: list[str],
    url: str,
    environment: dict[str, str],
    playwright: Playwright,
    more: Callable[[str], dict[str, list[str]]] = lambda url: {},
) -> Figures:
    """Start it, look at its first page, ask for it often, let it rest; `more`: addresses of further rows."""
    with served(command, url, environment) as (pid, start):
        began = used(pid)
        time.sleep(_REST)
        idle = memory(pid)
        kilobytes, requests, paint = seen(playwright, url)
        cpu = cost(pid, [url])
        rows = {row: cost(pid, addresses) for row, addresses in more(url.rstrip("/")).items()}
        return Figures(start, began, idle, cpu, kilobytes, requests, paint, rows)


def kolibri_ready(venv: Path, home: Path) -> dict[str, str]:
    """A device of Kolibri's that has been set up, so that its first page is the one that learners see."""
    environment = os.environ | {"KOLIBRI_HOME": str(home), "PYTHONWARNINGS": "ignore", "LANG": "C.UTF-8"}
    command = [
        str(venv / "bin" / "kolibri"), "manage", "provisiondevice", "--facility", "School", "--preset",
        "informal", "--superusername", "admin", "--superuserpassword", "admin-1234", "--language_id",
        "zh-hans", "--noinput",
    ]  # fmt: skip
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return environment


def main() -> None:
    """Measure and print the table."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--data", type=Path)
    reader.add_argument("--box", type=Path, required=True)
    reader.add_argument("--kolibri", type=Path, required=True)
    reader.add_argument("--rounds", type=int, default=3)
    chosen = reader.parse_args()
    found: dict[str, list[Figures]] = {"Lesson Box": [], "Kolibri": []}
    with tempfile.TemporaryDirectory(prefix="lessonbox-pages-") as name, sync_playwright() as playwright:
        data = chosen.data or library(Path(name, "box"))
        own, other = dict(os.environ), kolibri_ready(chosen.kolibri, Path(name, "kolibri"))
        for number in range(chosen.rounds):
            port, more = free_port(), free_port()
            ours = [str(chosen.box / "bin" / "lessonbox"), "web", "--data", str(data), "--listen"]
            ours.append(f"127.0.0.1:{port}")
            if not number:  # no template is compiled yet
                with served(ours, f"http://127.0.0.1:{port}/", own):
                    pass
            found["Lesson Box"].append(measure(ours, f"http://127.0.0.1:{port}/", own, playwright, anew))
            kolibri = [str(chosen.kolibri / "bin" / "kolibri"), "start", "--foreground", "--port", str(port)]
            kolibri += ["--zip-port", str(more)]
            found["Kolibri"].append(measure(kolibri, f"http://127.0.0.1:{port}/", other, playwright))
    rows = {
        "first page, KB": "kilobytes", "requests": "requests", "CPU ms, first page unchanged": "cpu_ms",
        "memory at rest, MB (PSS)": "idle", "start to first page, s": "start",
        "start to first page, s of CPU": "start_cpu",
        "first contentful paint, ms": "paint_ms",
    }  # fmt: skip
    print("| | Lesson Box | Kolibri | ratio |\n|---|---|---|---|")
    for label, key in rows.items():
        a, b = (statistics.median(getattr(one, key) for one in found[name]) for name in found)
        print(f"| {label} | {a:.4g} | {b:.4g} | {a / b:.3f} |" if b else f"| {label} | {a:.4g} | {b} | |")
    peer = statistics.median(one.cpu_ms for one in found["Kolibri"])
    for row in ANEW:
        a = statistics.median(one.anew_ms[row] for one in found["Lesson Box"])
        print(f"| CPU ms, {row}; Kolibri's first page | {a:.4g} | {peer:.4g} | {a / peer:.3f} |")
    print(json.dumps({"rounds": chosen.rounds, "pages": _PAGES, "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
