"""`make demo`: a county and a box in this terminal, with sample lessons. Ctrl-C ends both; data: build/demo.

python samples/demo.py [--library DIR] [--fresh]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import FrameType
from typing import Any

from content_sync.terminal import Progress

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
DEMO = BUILD / "demo"
COUNTY, BOX = DEMO / "county", DEMO / "box"
SCHOOL = "东沟小学"


class Stop(Exception):
    """Ctrl-C, or a program ended; the message says which."""


def stop(_number: int, _frame: FrameType | None) -> None:
    """Signal handler."""
    raise Stop("")


def run(*command: str) -> None:
    """Run a command with its output in this terminal. Raises Stop when it fails."""
    if subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode:
        raise Stop(f"failed: {' '.join(command)}")


def ask(*command: str) -> dict[str, Any]:
    """Run a command with --json; what it printed. Raises Stop when it fails."""
    done = subprocess.run(
        [sys.executable, *command, "--json"], cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise Stop(f"failed: {' '.join(command)}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def free(first: int, count: int = 1) -> int:
    """The first port from `first` on with `count` free ones in a row."""
    for port in range(first, first + 1000):
        try:
            for number in range(port, port + count):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("0.0.0.0", number))
        except OSError:
            continue
        return port
    raise Stop(f"no free port from {first} on")


def lan_address() -> str:
    """This machine's address on its network; the loopback's when there is none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def set_settings(path: Path, **values: object) -> None:
    """Put flat settings into a TOML file, replacing those it has."""
    text = path.read_text("utf-8") if path.exists() else ""
    for name, value in values.items():
        text = re.sub(rf"(?m)^{name}\s*=.*\n?", "", text)
        text = text.rstrip("\n") + f"\n{name} = {json.dumps(value, ensure_ascii=False)}\n"
    path.write_text(text.lstrip("\n"), "utf-8")


def get(url: str) -> dict[str, Any]:
    """JSON from a URL; {} while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            value: dict[str, Any] = json.load(answer)
            return value
    except (OSError, ValueError):
        return {}


class Programs:
    """The county's and the box's programs, each with a log in build/demo."""

    def __init__(self) -> None:
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, *command: str) -> None:
        """Start one. In a session of its own: Ctrl-C reaches this program, which ends them in order."""
        with (DEMO / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        self._running.append((name, process))

    def check(self) -> None:
        """Raises Stop when one has ended."""
        for name, process in self._running:
            if process.poll() is not None:
                words = (DEMO / f"{name}.log").read_text("utf-8", "replace")[-2000:]
                raise Stop(f"{name} ended ({process.returncode}):\n{words}")

    def wait_for(self, url: str) -> None:
        """Until the URL answers."""
        while not get(url):
            self.check()
            time.sleep(0.1)

    def end(self) -> None:
        """End all, the last started first."""
        for name, process in reversed(self._running):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                print(f"{name} had to be killed")


def prepare(library: Path, county_port: int, box_port: int) -> str:
    """County and box, made the first time and brought up to date each time; the county's login."""
    urls = list(dict.fromkeys([f"http://127.0.0.1:{county_port}", f"http://{lan_address()}:{county_port}"]))
    login = DEMO / "county-login.txt"
    if not (COUNTY / "county.toml").exists():
        shutil.rmtree(COUNTY, ignore_errors=True)
        (DEMO / "county.root-key.pem").unlink(missing_ok=True)
        words = [word for url in urls for word in ("--url", url)]
        made = ask("-m", "county", "init", "--data", str(COUNTY), "--name", "清河县", *words)
        login.write_text(f"{made['account']} / {made['password']}", "utf-8")
    set_settings(COUNTY / "county.toml", urls=urls, seeder_port=free(6889), announce_seconds=30)
    run("-m", "county", "publish", "--data", str(COUNTY), str(library), "--withdraw")
    if not (BOX / "box.toml").exists():
        shutil.rmtree(BOX, ignore_errors=True)
        enrolment = DEMO / "school.json"
        enrolment.unlink(missing_ok=True)
        words = ["--school-code", "001", "--name", SCHOOL, "--out", str(enrolment)]
        run("-m", "county", "enrol", "--data", str(COUNTY), *words)
        run("-m", "appliance", "init", "--data", str(BOX), "--enrolment", str(enrolment))
    ports = {"courseware_port": box_port + 1, "torrent_port": free(6881)}
    set_settings(BOX / "box.toml", urls=urls, refresh_seconds=10, report_seconds=5, **ports)
    return login.read_text("utf-8")


def show_sync(box: str, programs: Programs) -> None:
    """A bar of lessons until the box holds them all."""
    bar: Progress | None = None
    while True:
        programs.check()
        counts = get(f"{box}/api/v1/status").get("lessons")
        if counts:
            total = sum(counts[name] for name in ("present", "arriving", "wanted"))
            if total and bar is None:
                bar = Progress(f"课箱同步 {SCHOOL}", total, "课")
            if bar is not None:
                bar.to(counts["present"])
            if total and counts["present"] == total:
                break
        time.sleep(0.2)
    if bar is not None:
        bar.close()


def demo(library: Path | None, programs: Programs) -> None:
    """Make, start, show; returns only by Stop."""
    DEMO.mkdir(parents=True, exist_ok=True)
    if library is None:
        library = BUILD / "sample-library"
        run("samples/build.py", "--out", str(library))
    county_port, box_port = free(8000), free(8080, 2)
    county, box = f"http://127.0.0.1:{county_port}", f"http://127.0.0.1:{box_port}"
    login = prepare(library, county_port, box_port)
    programs.start("county", "county", "serve", "--data", str(COUNTY), "--listen", f"0.0.0.0:{county_port}")
    programs.wait_for(f"{county}/healthz")
    programs.start("box", "appliance", "run", "--data", str(BOX), "--listen", f"0.0.0.0:{box_port}")
    programs.wait_for(f"{box}/healthz")
    show_sync(box, programs)
    print(
        f"""
  课箱 (the board's pages)    {box}/    http://{lan_address()}:{box_port}/
  县 (the county's pages)     {county}/    {login}
  logs and data               {DEMO.relative_to(ROOT)}/

Ctrl-C ends both.""",
        flush=True,
    )
    while True:
        programs.check()
        time.sleep(0.5)


def main() -> int:
    """Parse, run, end cleanly; an exit code."""
    parser = argparse.ArgumentParser(description="A county and a box in this terminal.")
    parser.add_argument("--library", type=Path, help="a source tree of your own (docs/formats.md 11)")
    parser.add_argument("--fresh", action="store_true", help="forget the data of earlier runs")
    given = parser.parse_args()
    if given.library is not None and not given.library.is_dir():
        parser.error(f"{given.library} is not a folder")
    if given.fresh:
        shutil.rmtree(DEMO, ignore_errors=True)
    programs = Programs()
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        demo(given.library and given.library.resolve(), programs)
    except Stop as reason:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if str(reason):
            print(reason, file=sys.stderr)
        print("\nEnding …", flush=True)
        programs.end()
        print("Ended.", flush=True)
        return 1 if str(reason) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
