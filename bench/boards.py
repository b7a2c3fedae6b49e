# ruff: noqa: E501 (rows and words)
"""Forty boards at once on one gunicorn: `python -m bench.boards [--seconds 60] [--boards 40]`.

Each board plays a film at 4 Mbit/s, ten times a second one of them seeks, forty pages a second are asked for
beside that, as a school would: home, a volume, a lesson, its parts, search, the school's page, all from a
school's usual library. A page's time counts from when it was due, not from when a client found the time. Then
clients that stand still, that send half a request and (as root) whose network is gone: how soon their
connections are free. The same streams and seeks against nginx. Prints Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import multiprocessing
import os
import random
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import quote

import psutil

from bench.serve import NGINX
from tests.box import SmallBox, png
from tests.e2e.board import WebProcess
from tests.e2e.programs import free_port

RATE = 500_000  # bytes a second: 4 Mbit/s
SEEKS, PAGES = 10, 40
BEHIND = 2.0  # seconds of play that a film may lag before it counts as a stall: players hold more than that
PATIENCE = 10  # of the server
SUBJECTS = (
    ("语文", "统编版"),
    ("数学", "人教版"),
    ("英语", "人教版"),
    ("科学", "教科版"),
    ("道德与法治", "统编版"),
)
GRADES = ("一年级", "二年级", "三年级", "四年级", "五年级", "六年级")


@dataclass
class Stream:
    """A film being played: where it is, since when, how far behind it ever was."""

    socket: socket.socket | None = None
    began: float = 0.0
    got: int = 0
    asked: float = 0.0
    first: float | None = None


@dataclass
class Played:
    """What became of all streams: times to the first byte after a seek, seconds without a byte, stalls."""

    seeks: list[float] = field(default_factory=list)
    stalls: int = 0
    refused: int = 0
    bytes: int = 0


def play(port: int, path: str, size: int, boards: int, seconds: float, out: Any) -> None:
    """All films in one process: read at the film's rate, seek ten times a second."""
    chance, played, buffer = random.Random(7), Played(), bytearray(1 << 17)
    streams = [Stream() for _ in range(boards)]

    def seek(one: Stream) -> None:
        if one.socket is not None:
            one.socket.close()
        one.socket = socket.create_connection(("127.0.0.1", port))
        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
        start = chance.randrange(size // 2)
        one.asked, one.first, one.got = time.monotonic(), None, 0
        one.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: b\r\nRange: bytes={start}-\r\n\r\n".encode())
        one.socket.setblocking(False)

    for one in streams:
        seek(one)
    end, due = time.monotonic() + seconds, time.monotonic() + 1
    while (now := time.monotonic()) < end:
        if now >= due:
            seek(chance.choice(streams))
            due += 1 / SEEKS
        hungry = [s for s in streams if s.first is None or s.got < (now - s.first) * RATE]
        waited = [s.socket for s in hungry if s.socket is not None]
        ready = set(select.select(waited, [], [], 0.02)[0]) if waited else set()
        if not hungry:
            time.sleep(0.005)
        for one in hungry:
            if one.socket not in ready or one.socket is None:
                late = now - one.asked if one.first is None else (now - one.first) - one.got / RATE
                if late > BEHIND:
                    played.stalls += 1
                    seek(one)
                continue
            count = one.socket.recv_into(buffer)
            if one.first is None:
                if not bytes(buffer[:12]).startswith(b"HTTP/1.1 206"):
                    played.refused += 1
                    seek(one)
                    continue
                one.first = time.monotonic()
                played.seeks.append(one.first - one.asked)
            if not count:
                played.stalls += 1
                seek(one)
            one.got += count
            played.bytes += count
    out.put(played)


def ask(port: int, paths: list[str], seconds: float, out: Any) -> None:
    """Pages at a steady rate from 40 boards' connections; each one's time from when it was due."""
    work: Queue[tuple[float, str, int] | None] = Queue()
    times: list[tuple[float, str, int]] = []

    def board(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        cookie = f"board={number:016x}"
        while (item := work.get()) is not None:
            due, path, _ = item
            try:
                connection.request("GET", path, headers={"Cookie": cookie, "Accept": "text/html"})
                answer = connection.getresponse()
                answer.read()
                times.append((time.monotonic() - due, path, answer.status))
            except (OSError, http.client.HTTPException):
                connection.close()
                times.append((time.monotonic() - due, path, 0))

    threads = [threading.Thread(target=board, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    chance, began, count = random.Random(3), time.monotonic(), 0
    while (due := began + count / PAGES) < began + seconds:
        pause = due - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        work.put((due, chance.choice(paths), count))
        count += 1
    for _ in threads:
        work.put(None)
    for thread in threads:
        thread.join()
    out.put(times)


def library(folder: Path, megabytes: int) -> tuple[SmallBox, list[str], str, int]:
    """A school's library of 60 volumes with 30 lessons each; the pages asked for, the film and its size."""
    box = SmallBox(folder / "box")
    with open("/dev/urandom", "rb") as noise:
        data = noise.read(1 << 20) * megabytes
    film = box.resource("r1", "video", "录像", "video/mp4", ("视频.mp4", "main", data))
    sheets = tuple((f"课件/{n}.png", "page", png(64, 36, (n, 90, 120))) for n in range(20))
    slides = box.resource(
        "r2", "courseware", "课件", "application/pdf", ("课件.pdf", "main", b"%PDF-1.4"), *sheets
    )
    lessons: list[str] = []
    for subject, edition in SUBJECTS:
        for grade in GRADES:
            for volume in ("上册", "下册"):
                for number in range(1, 31):
                    made = box.lesson(
                        f"小学/{subject}/{edition}/{grade}/{volume}", f"第{(number + 4) // 5}单元", number,
                        f"{subject}第{number}课 {grade[0]}{volume[0]}", (film, slides), unit_no=(number + 4) // 5,
                    )  # fmt: skip
                    if number == 7:
                        lessons += [f"/volume/{made.collection}", f"/lesson/{made.id}"]
                        lessons += [f"/lesson/{made.id}/r1", f"/lesson/{made.id}/r2"]
    found = ["/search?q=" + quote("第三课"), "/search?q=jys", "/browse", "/status", "/school", "/new"]
    pages = lessons + ["/"] * (len(lessons) // 3) + found * (len(lessons) // 36)
    box.write(int(time.time()))
    box.paths.incoming.mkdir(exist_ok=True)
    root = film.main.file.root
    return box, pages, f"/content/{root}/a.mp4", len(data)


def memory(pid: int) -> tuple[float, float]:
    """PSS of a process and its children in MB, and the part of it that is its own (not shared, not a file)."""
    first = psutil.Process(pid)
    found = [process.memory_full_info() for process in (first, *first.children(recursive=True))]
    return sum(one.pss for one in found) / 1e6, sum(one.uss for one in found) / 1e6


def run(port: int, film: str, size: int, pages: list[str], boards: int, seconds: float) -> tuple[Played, Any]:
    """The load; what became of streams and pages."""
    out: Any = multiprocessing.Queue()
    told: Any = multiprocessing.Queue()
    jobs = [multiprocessing.Process(target=play, args=(port, film, size, boards, seconds, out))]
    if pages:
        jobs.append(multiprocessing.Process(target=ask, args=(port, pages, seconds, told)))
    for job in jobs:
        job.start()
    played = out.get(timeout=seconds + 120)
    times = told.get(timeout=seconds + 120) if pages else []
    for job in jobs:
        job.join()
    return played, times


def held(pid: int, port: int) -> int:
    """Connections that the server holds open on this port."""
    first = psutil.Process(pid)
    return sum(
        one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port
        for process in (first, *first.children(recursive=True))
        for one in process.net_connections("tcp")
    )


def freed(pid: int, port: int, most: float = 60) -> float:
    """Seconds until the server holds none."""
    began = time.monotonic()
    while not held(pid, port) and time.monotonic() - began < 5:
        time.sleep(0.05)
    while held(pid, port) and time.monotonic() - began < most:
        time.sleep(0.1)
    return time.monotonic() - began


@contextlib.contextmanager
def cable(name: str) -> Iterator[tuple[str, str]]:
    """A network namespace on a cable to this machine: its name, and this machine's address on it."""
    words = [
        f"ip netns add {name}", f"ip link add {name} type veth peer name far netns {name}",
        f"ip addr add 10.213.77.1/24 dev {name}", f"ip link set {name} up",
        f"ip -n {name} addr add 10.213.77.2/24 dev far", f"ip -n {name} link set far up",
    ]  # fmt: skip
    try:
        for line in words:
            subprocess.run(line.split(), check=True)
        yield name, "10.213.77.1"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


GONE = """
import socket, sys, time
held = []
for number in range(40):
    one = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    one.sendall(("GET %s HTTP/1.1\\r\\nHost: b\\r\\n\\r\\n" % sys.argv[3]).encode())
    held.append(one)
print("there", flush=True)
time.sleep(600)
"""


def stand_still(pid: int, port: int, film: str) -> dict[str, float]:
    """Seconds until clients of each kind no longer hold anything."""
    found = {}
    still = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    for one in still:
        one.sendall(f"GET {film} HTTP/1.1\r\nHost: b\r\n\r\n".encode())
    found["40 that ask for a film and read nothing"] = freed(pid, port)
    halves = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    for one in halves:
        one.sendall(b"GET / HTTP/1.1\r\nHo")
    time.sleep(0.5)
    found["40 that send half a request"] = freed(pid, port)
    for one in (*still, *halves):
        one.close()
    if os.geteuid() == 0 and shutil.which("ip"):
        with cable(f"boards{os.getpid()}") as (name, address):
            gone = subprocess.Popen(
                ["ip", "netns", "exec", name, sys.executable, "-c", GONE, address, str(port), film],
                stdout=subprocess.PIPE,
            )
            assert gone.stdout is not None and gone.stdout.readline() == b"there\n"
            subprocess.run(["ip", "link", "set", name, "down"], check=True)
            found["40 whose cable was pulled in the middle of a film"] = freed(pid, port)
            gone.kill()
            gone.wait()
            gone.stdout.close()
    return found


def quantile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def kind(path: str) -> str:
    """A page's kind, for the table."""
    path = path.partition("?")[0]
    return re.sub(r"^/lesson/[^/]+/", "/lesson/…/", re.sub(r"^/(volume|lesson)/[^/]+$", r"/\1/…", path))


def main() -> None:
    """Measure and print."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--seconds", type=float, default=60)
    reader.add_argument("--boards", type=int, default=40)
    reader.add_argument("--size", type=int, default=200, help="MiB of the film")
    chosen = reader.parse_args()
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="lessonbox-bench-", dir=shared if shared.is_dir() else None))
    box, pages, film, size = library(folder, chosen.size)
    web = WebProcess(box, 'sources = ["drop"]\n', listen="0.0.0.0:0")
    nginx = None
    try:
        deadline = time.monotonic() + 120
        while not box.paths.search_db.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        run(web.port, film, size, pages, chosen.boards, 3)  # every page once, the index made
        idle = memory(web.process.pid)
        before, began = psutil.cpu_times(), time.monotonic()
        played, times = run(web.port, film, size, pages, chosen.boards, chosen.seconds)
        busy = memory(web.process.pid)
        used = sum(psutil.cpu_times()[:3]) - sum(before[:3])
        took = time.monotonic() - began
        waits = [1000 * wait for wait, _, _ in times]
        print(
            f"\n{chosen.boards} films at {RATE * 8 / 1e6:.0f} Mbit/s, {SEEKS} seeks and {PAGES} pages a second,"
        )
        print(
            f"{chosen.seconds:.0f} s; the whole machine was {100 * used / took / (os.cpu_count() or 1):.0f}% busy\n"
        )
        print("| page | asked | p50 ms | p99 ms | most ms |\n|---|---|---|---|---|")
        by: dict[str, list[float]] = {"all": waits}
        for wait, path, _ in times:
            by.setdefault(kind(path), []).append(1000 * wait)
        for name, values in sorted(by.items(), key=lambda it: -len(it[1])):
            print(
                f"| {name} | {len(values)} | {statistics.median(values):.0f} | {quantile(values, 0.99):.0f}"
                f" | {max(values):.0f} |"
            )
        wrong = [(path, status) for _, path, status in times if status != 200]
        print(f"\nanswers other than 200: {len(wrong)} {wrong[:3]}\n")
        print("| streams | Lesson Box | nginx |\n|---|---|---|")
        port = free_port()
        root = film.split("/")[2]
        conf = folder / "nginx.conf"
        where = box.paths.objects / root[:2] / root
        conf.write_text(NGINX.format(dir=folder, port=port, file=where))
        nginx = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(conf)], stderr=subprocess.DEVNULL)
        time.sleep(1)
        peer, _ = run(port, "/a.mp4", size, [], chosen.boards, chosen.seconds / 2)
        for name, mine, theirs in (
            ("stalls", played.stalls, peer.stalls),
            ("refused", played.refused, peer.refused),
            (
                "MB/s",
                f"{played.bytes / chosen.seconds / 1e6:.1f}",
                f"{peer.bytes / chosen.seconds * 2 / 1e6:.1f}",
            ),
            (
                "first byte after a seek, p50 ms",
                *(f"{1000 * statistics.median(p.seeks):.1f}" for p in (played, peer)),
            ),
            (
                "first byte after a seek, p99 ms",
                *(f"{1000 * quantile(p.seeks, 0.99):.1f}" for p in (played, peer)),
            ),
        ):
            print(f"| {name} | {mine} | {theirs} |")
        print("\n| memory of web, all processes, MB | PSS | own |\n|---|---|---|")
        print(f"| after a first load | {idle[0]:.0f} | {idle[1]:.0f} |")
        print(f"| after {chosen.seconds:.0f} s of 40 boards | {busy[0]:.0f} | {busy[1]:.0f} |")
        print(f"\n| clients that stand still (time-out {PATIENCE} s) | all freed after |\n|---|---|")
        for name, seconds in stand_still(web.process.pid, web.port, film).items():
            print(f"| {name} | {seconds:.1f} s |")
    finally:
        if nginx is not None:
            nginx.terminate()
            nginx.wait(30)
        web.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
